// One step of a GPT-2 on a CPU in one call, and the product of rows with 8-bit weights: see kernels.py and gpt_step.py.
//
// A step reads each weight once, which is what it costs; so all cores must read all the time. Weights stay as torch has
// them, (out, in) row after row: a tile is the dot products of 4 such rows with up to 4 inputs, and the next rows are
// fetched meanwhile. Each thread walks through a range of its own and then helps the others.
//
// A number never depends on how many rows, tiles or threads there are: every dot product is added up in the same order,
// `LANES` partial sums and then a tree. Sums of 8-bit numbers are exact.
#include "common.h"
#if LANES > 4
#include <immintrin.h>
#endif
#if defined(__AMX_INT8__) && defined(__AMX_BF16__) && defined(__linux__) && LANES == 16
#include <sys/syscall.h>
#include <unistd.h>
#define MATRIX_UNIT
#endif

#define OUTS 4     // weight rows of a tile
#define ROWS 4     // input rows of a tile
#define CHUNK 16   // weight rows that a thread takes at once
#define GROUP 16   // input rows that go through a chunk together

typedef uint16_t vh __attribute__((vector_size(2 * LANES)));
typedef int8_t vb __attribute__((vector_size(LANES)));

static const int64_t sizes[3] = {4, 2, 1};

typedef struct { const float *gain, *bias; double eps; } Norm;
typedef struct { Norm before, between; Linear qkv, proj, widen, narrow; } Block;
typedef struct { const Block *blocks; const Norm *norms; int64_t layers, norms_count, dim, heads; } Gpt;

typedef struct {           // (layers, rows, heads, positions, dim / heads); strides in elements
    void *keys, *values;
    int64_t kind, layer, row, head, positions;
    int64_t shared;        // so many first positions, not beyond where a step begins, are the same in all rows
} Cache;

INLINE vf bf16_to_f32(const uint16_t *p) {
    vh v; memcpy(&v, p, sizeof v);
    return (vf)(__builtin_convertvector(v, vi) << 16);
}
INLINE float max_of(vf v) {
    float s[LANES]; memcpy(s, &v, sizeof v);
    float m = s[0];
    for (int i = 1; i < LANES; i++) m = s[i] > m ? s[i] : m;
    return m;
}
INLINE vf gelu(vf x) {  // by the tanh approximation
    vf u = splat(-1.5957691216f) * (x + splat(0.044715f) * (x * x * x));
    return x / (splat(1.0f) + exponential(u));
}
INLINE uint16_t f32_to_bf16(float x) {
    uint32_t u; memcpy(&u, &x, 4);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

// -- tiles: y[row * outs + out] = the dot product of w[out] (k apart) and x[row] (xs apart), each of k numbers

#if LANES == 16
INLINE __m512 four(__m512 a, __m512 b, __m512 c, __m512 d) {  // sums of 4 x 4 lanes, side by side in each quarter
    __m512 u = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 v = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512d x = _mm512_castps_pd(u), y = _mm512_castps_pd(v);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
INLINE __m512 quarters(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
INLINE void reduce(const vf *acc, int count, float *y) {
    __m512 zero = _mm512_setzero_ps(), s[4];
    UNROLL for (int i = 0; i < 4; i++) {
        __m512 a[4];
        UNROLL for (int j = 0; j < 4; j++) a[j] = 4 * i + j < count ? (__m512)acc[4 * i + j] : zero;
        s[i] = 4 * i < count ? four(a[0], a[1], a[2], a[3]) : zero;
    }
    __m512 all = quarters(quarters(s[0], s[1]), quarters(s[2], s[3]));
    _mm512_mask_storeu_ps(y, (__mmask16)((1u << count) - 1), all);
}
#else
INLINE void reduce(const vf *acc, int count, float *y) {
    for (int i = 0; i < count; i++) y[i] = sum_of(acc[i]);
}
#endif

#define FLOAT_TILE(name, type, load_w)                                                                     \
    INLINE void name(const void *w_, int64_t k, const void *x_, int64_t xs, int outs, int rows, int ahead, void *y) { \
        const type *w = w_;                                                                                \
        const float *x = x_;                                                                               \
        vf acc[16] = {{0}};                                                                                \
        for (int64_t i = 0; i < k; i += LANES) {                                                           \
            vf in[ROWS];                                                                                   \
            UNROLL for (int r = 0; r < rows; r++) in[r] = load(x + r * xs + i);                            \
            UNROLL for (int o = 0; o < outs; o++) {                                                        \
                vf weight = load_w(w + o * k + i);                                                         \
                if (ahead) __builtin_prefetch(w + (outs + o) * k + i);                                     \
                UNROLL for (int r = 0; r < rows; r++) acc[r * outs + o] += weight * in[r];                 \
            }                                                                                              \
        }                                                                                                  \
        reduce(acc, rows * outs, y);                                                                       \
    }
FLOAT_TILE(tile_f32, float, load)
FLOAT_TILE(tile_bf16, uint16_t, bf16_to_f32)

// x holds its numbers plus 128: y is larger by 128 times the sum of the weights
#if LANES == 16 && defined(__AVX512VNNI__) && defined(__AVX512BW__)
INLINE void reduce_whole(const __m512i *acc, int count, int32_t *y) {
    __m512i zero = _mm512_setzero_si512(), s[4], t[2];
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i a[4];
        UNROLL for (int j = 0; j < 4; j++) a[j] = 4 * i + j < count ? acc[4 * i + j] : zero;
        __m512i u = _mm512_add_epi32(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
        __m512i v = _mm512_add_epi32(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
        s[i] = 4 * i < count ? _mm512_add_epi32(_mm512_unpacklo_epi64(u, v), _mm512_unpackhi_epi64(u, v)) : zero;
    }
    UNROLL for (int i = 0; i < 2; i++) {
        __m512i a = s[2 * i], b = s[2 * i + 1];
        t[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
    }
    __m512i all = _mm512_add_epi32(_mm512_shuffle_i32x4(t[0], t[1], 0x88), _mm512_shuffle_i32x4(t[0], t[1], 0xdd));
    _mm512_mask_storeu_epi32(y, (__mmask16)((1u << count) - 1), all);
}
INLINE void tile_int8(const void *w_, int64_t k, const void *x_, int64_t xs, int outs, int rows, int ahead, void *y) {
    const int8_t *w = w_;
    const uint8_t *x = x_;
    __m512i acc[16];
    UNROLL for (int i = 0; i < 16; i++) acc[i] = _mm512_setzero_si512();
    for (int64_t i = 0; i < k; i += 64) {
        __mmask64 some = k - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (k - i)) - 1;
        __m512i in[ROWS];
        UNROLL for (int r = 0; r < rows; r++) in[r] = _mm512_maskz_loadu_epi8(some, x + r * xs + i);
        UNROLL for (int o = 0; o < outs; o++) {
            __m512i weight = _mm512_maskz_loadu_epi8(some, w + o * k + i);
            if (ahead) __builtin_prefetch(w + (outs + o) * k + i);
            UNROLL for (int r = 0; r < rows; r++)
                acc[r * outs + o] = _mm512_dpbusd_epi32(acc[r * outs + o], in[r], weight);
        }
    }
    reduce_whole(acc, rows * outs, y);
}
#elif LANES == 8 && defined(__AVX2__)
INLINE void tile_int8(const void *w_, int64_t k, const void *x_, int64_t xs, int outs, int rows, int ahead, void *y_) {
    const int8_t *w = w_;
    const uint8_t *x = x_;
    int32_t *y = y_;
    __m256i acc[16];
    UNROLL for (int i = 0; i < 16; i++) acc[i] = _mm256_setzero_si256();
    for (int64_t i = 0; i < k; i += 16) {
        __m256i in[ROWS];
        UNROLL for (int r = 0; r < rows; r++)
            in[r] = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(x + r * xs + i)));
        UNROLL for (int o = 0; o < outs; o++) {
            const __m256i weight = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + o * k + i)));
            if (ahead && i % 64 == 0) __builtin_prefetch(w + (outs + o) * k + i);
            UNROLL for (int r = 0; r < rows; r++)
                acc[r * outs + o] = _mm256_add_epi32(acc[r * outs + o], _mm256_madd_epi16(in[r], weight));
        }
    }
    for (int i = 0; i < rows * outs; i++) {
        vi parts = (vi)acc[i];
        y[i] = 0;
        for (int lane = 0; lane < LANES; lane++) y[i] += parts[lane];
    }
}
#else
INLINE void tile_int8(const void *w_, int64_t k, const void *x_, int64_t xs, int outs, int rows, int ahead, void *y_) {
    int32_t *y = y_;
    for (int o = 0; o < outs; o++) {
        const int8_t *w = (const int8_t *)w_ + o * k;
        if (ahead) for (int64_t i = 0; i < k; i += 64) __builtin_prefetch(w + outs * k + i);
        for (int r = 0; r < rows; r++) {
            const uint8_t *x = (const uint8_t *)x_ + r * xs;
            int32_t sum = 0;
            for (int64_t i = 0; i < k; i++) sum += (int32_t)w[i] * (int32_t)x[i];
            y[r * outs + o] = sum;
        }
    }
}
#endif

typedef void tile_fn(const void *w, int64_t k, const void *x, int64_t xs, void *y);
#define SIZED(tile, outs, rows, ahead)                                                                    \
    static void tile##_##outs##_##rows##_##ahead(const void *w, int64_t k, const void *x, int64_t xs, void *y) { \
        tile(w, k, x, xs, outs, rows, ahead, y);                                                           \
    }
#define SIZES(tile)                                                                                        \
    SIZED(tile, 4, 1, 0) SIZED(tile, 4, 2, 0) SIZED(tile, 4, 3, 0) SIZED(tile, 4, 4, 0)                    \
    SIZED(tile, 4, 1, 1) SIZED(tile, 4, 2, 1) SIZED(tile, 4, 3, 1) SIZED(tile, 4, 4, 1)                    \
    SIZED(tile, 1, 1, 0) SIZED(tile, 1, 2, 0) SIZED(tile, 1, 3, 0) SIZED(tile, 1, 4, 0)
#define TABLE(tile)                                                                                        \
    {                                                                                                      \
        {tile##_4_1_0, tile##_4_2_0, tile##_4_3_0, tile##_4_4_0},                                          \
        {tile##_4_1_1, tile##_4_2_1, tile##_4_3_1, tile##_4_4_1},                                          \
        {tile##_1_1_0, tile##_1_2_0, tile##_1_3_0, tile##_1_4_0},                                          \
    }
SIZES(tile_f32) SIZES(tile_bf16) SIZES(tile_int8)
static tile_fn *const tiles[3][3][ROWS] = {TABLE(tile_f32), TABLE(tile_bf16), TABLE(tile_int8)};

// -- Intel's matrix unit (AMX): 16 weight rows by 16 input rows at a time, which costs no more than one input row

static int matrix_unit;  // whether this process may use it: of the machine, set once by start

#ifdef MATRIX_UNIT
typedef struct { uint8_t palette, first, zero[14]; uint16_t bytes[16]; uint8_t rows[16]; } TileShapes;

static int ask_for_matrix_unit(void) { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }  // ARCH_REQ_XCOMP_PERM

// Other code of this thread may have its own shapes: they are put back.
static void shape_tiles(TileShapes *before) {
    TileShapes all = {.palette = 1};
    for (int i = 0; i < 8; i++) all.bytes[i] = 64, all.rows[i] = 16;
    _tile_storeconfig(before);
    _tile_loadconfig(&all);
}
static void unshape_tiles(const TileShapes *before) {
    if (before->palette) _tile_loadconfig(before);
    else _tile_release();
}

// raw[row * CHUNK + out]: 16 weight rows, `bytes` apart, by a group of inputs as `interleave` gives it.
#define UNIT_CHUNK(name, multiply_add, type)                                                               \
    static void name(const char *w, int64_t bytes, const uint32_t *x, int64_t rows, int ahead, type *raw) { \
        type both[2][16][16];                                                                              \
        __asm__ volatile("" ::: "memory");                                                                 \
        _tile_zero(0);                                                                                     \
        _tile_zero(1);                                                                                     \
        for (int64_t i = 0; i < bytes; i += 128) {                                                         \
            if (ahead)                                                                                     \
                for (int o = 0; o < 16; o++) {                                                             \
                    __builtin_prefetch(w + (16 + o) * bytes + i, 0, 2);                                    \
                    __builtin_prefetch(w + (16 + o) * bytes + i + 64, 0, 2);                               \
                }                                                                                          \
            _tile_loadd(2, w + i, bytes);                                                                  \
            _tile_loadd(3, x + 4 * i, 64);                                                                 \
            multiply_add(0, 2, 3);                                                                         \
            if (i + 64 < bytes) {                                                                          \
                _tile_loadd(4, w + i + 64, bytes);                                                         \
                _tile_loadd(5, x + 4 * i + 256, 64);                                                       \
                multiply_add(1, 4, 5);                                                                     \
            }                                                                                              \
        }                                                                                                  \
        _tile_stored(0, both[0], 64);                                                                      \
        _tile_stored(1, both[1], 64);                                                                      \
        __asm__ volatile("" ::: "memory");                                                                 \
        for (int64_t r = 0; r < rows; r++)                                                                 \
            for (int o = 0; o < 16; o++) raw[r * CHUNK + o] = both[0][o][r] + both[1][o][r];               \
    }
UNIT_CHUNK(unit_int8, _tile_dpbsud, int32_t)
UNIT_CHUNK(unit_bf16, _tile_dpbf16ps, float)
#else
typedef struct { int none; } TileShapes;
static int ask_for_matrix_unit(void) { return 0; }
static void shape_tiles(TileShapes *before) { (void)before; }
static void unshape_tiles(const TileShapes *before) { (void)before; }
static void unit_int8(const char *w, int64_t b, const uint32_t *x, int64_t r, int a, int32_t *y) { (void)w, (void)b, (void)x, (void)r, (void)a, (void)y; }
static void unit_bf16(const char *w, int64_t b, const uint32_t *x, int64_t r, int a, float *y) { (void)w, (void)b, (void)x, (void)r, (void)a, (void)y; }
#endif

// In bfloat16 inputs are rounded for it, so always or never; in whole numbers it only pays from some rows on.
static int by_unit(const Linear *l, int64_t rows) {
    return matrix_unit && l->in * sizes[l->kind] % 64 == 0 && (l->kind == BF16 || (l->kind == INT8 && rows > ROWS));
}

// -- layers

static void normalise(const float *x, float *y, int64_t rows, int64_t dim, const Norm *norm) {
    for (int64_t r = 0; r < rows; r++, x += dim, y += dim) {
        vf sum = {0}, squares = {0};
        for (int64_t i = 0; i < dim; i += LANES) sum += load(x + i);
        vf mean = splat(sum_of(sum) / (float)dim);
        for (int64_t i = 0; i < dim; i += LANES) { vf d = load(x + i) - mean; squares += d * d; }
        vf scale = splat(1.0f / sqrtf(sum_of(squares) / (float)dim + (float)norm->eps));
        for (int64_t i = 0; i < dim; i += LANES)
            store(y + i, (load(x + i) - mean) * scale * load(norm->gain + i) + load(norm->bias + i));
    }
}

// Each row by its largest number: q = round(127 x / largest) + 128; y of q is to be multiplied by size.
static void round_rows(const float *x, uint8_t *q, float *size, int64_t rows, int64_t k) {
    const vf magic = splat(12582912.0f);
    for (int64_t r = 0; r < rows; r++, x += k, q += k) {
        vf top = {0};
        for (int64_t i = 0; i < k; i += LANES) top = larger((vf)((vi)load(x + i) & 0x7fffffff), top);
        float largest = max_of(top);
        vf scale = splat(largest > 0 ? 127.0f / largest : 0.0f);
        size[r] = largest / 127.0f;
        for (int64_t i = 0; i < k; i += LANES) {
            vi whole = (vi)(load(x + i) * scale + magic) - 0x4b400000;
            vb narrow = __builtin_convertvector((whole + 128) & 255, vb);
            memcpy(q + i, &narrow, sizeof narrow);
        }
    }
}

// Words of 32 bits of rows (rows, words) -> (groups of 16 rows, words, 16), what the matrix unit wants.
static void interleave(const uint32_t *x, uint32_t *y, int64_t rows, int64_t words) {
    for (int64_t group = 0; group < rows; group += GROUP, y += GROUP * words) {
        const int64_t many = rows - group < GROUP ? rows - group : GROUP;
        for (int64_t i = 0; i < words; i++)
            for (int64_t r = 0; r < GROUP; r++) y[i * GROUP + r] = r < many ? x[(group + r) * words + i] : 0;
    }
}

typedef struct {           // rows as `multiply` wants them
    const float *plain;
    uint8_t *rounded;      // by round_rows, or in bfloat16
    uint32_t *packed;      // for the matrix unit
    float *size;           // of round_rows
} Inputs;

static int64_t input_bytes(const Linear *l, int64_t rows) {
    return 2 * ALIGN((rows + GROUP) * l->in * 2) + ALIGN(4 * rows);
}

static void prepare(const Linear *l, const float *x, int64_t rows, Inputs *to) {
    to->plain = x;
    if (l->kind == INT8) round_rows(x, to->rounded, to->size, rows, l->in);
    if (!by_unit(l, rows)) return;
    if (l->kind == BF16) for (int64_t i = 0; i < rows * l->in; i++) ((uint16_t *)to->rounded)[i] = f32_to_bf16(x[i]);
    interleave((uint32_t *)to->rounded, to->packed, rows, l->in * sizes[l->kind] / 4);
}

enum { SET, ADD, GELU };

static void finish(const Linear *l, const float *raw, float size, float *y, int64_t from, int64_t count, int then) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vf sum = load(raw + i);
        if (l->kind == INT8) {
            vi whole, sums;
            memcpy(&whole, raw + i, sizeof whole);
            memcpy(&sums, l->sums + from + i, sizeof sums);
            sum = __builtin_convertvector(whole - 128 * sums, vf) * (splat(size) * load(l->scale + from + i));
        }
        sum = sum + load(l->bias + from + i);
        store(y + from + i, then == ADD ? load(y + from + i) + sum : then == GELU ? gelu(sum) : sum);
    }
    if (i < count) {  // the last few, through a whole vector: the same arithmetic
        float part[5][LANES] = {{0}};
        int32_t sums[LANES] = {0};
        size_t bytes = 4 * (size_t)(count - i);
        memcpy(part[0], raw + i, bytes);
        memcpy(part[1], l->bias + from + i, bytes);
        memcpy(part[2], y + from + i, bytes);
        if (l->kind == INT8) memcpy(part[3], l->scale + from + i, bytes), memcpy(sums, l->sums + from + i, bytes);
        Linear few = {l->weight, part[3], sums, part[1], l->kind, l->in, l->out};
        finish(&few, part[0], size, part[2], 0, LANES, then);
        memcpy(y + from + i, part[2], bytes);
    }
}

static void chunk_by_tiles(const Linear *l, const Inputs *x, int64_t from, int64_t count, int64_t group, int64_t many,
                           float *raw) {
    const int64_t k = l->in, bytes = l->kind == INT8 ? k : 4 * k;
    const char *rows = l->kind == INT8 ? (const char *)x->rounded : (const char *)x->plain;
    float part[ROWS * OUTS];
    for (int64_t o = 0, outs; o < count; o += outs) {
        outs = count - o >= OUTS ? OUTS : 1;
        const char *w = (const char *)l->weight + (from + o) * k * sizes[l->kind];
        for (int64_t r = 0; r < many; r += ROWS) {
            const int64_t n = many - r < ROWS ? many - r : ROWS;
            const int form = outs == 1 ? 2 : group + r == 0;
            tiles[l->kind][form][n - 1](w, k, rows + (group + r) * bytes, k, part);
            for (int64_t i = 0; i < n; i++) memcpy(raw + (r + i) * CHUNK + o, part + i * outs, 4 * outs);
        }
    }
}

static int64_t chunks(const Linear *l) { return (l->out + CHUNK - 1) / CHUNK; }

// y (rows, out) from x (rows, in).
static void multiply(const Linear *l, const Inputs *x, float *y, int64_t rows, int then, Team *team) {
    const int64_t k = l->in, bytes = k * sizes[l->kind], words = bytes / 4;
    const int unit = by_unit(l, rows);
    float raw[GROUP * CHUNK];
    EACH(chunk, chunks(l), team) {
        const int64_t from = chunk * CHUNK, count = l->out - from < CHUNK ? l->out - from : CHUNK;
        const char *w = (const char *)l->weight + from * bytes;
        for (int64_t group = 0; group < rows; group += GROUP) {
            const int64_t many = rows - group < GROUP ? rows - group : GROUP;
            if (!unit || count < CHUNK) chunk_by_tiles(l, x, from, count, group, many, raw);
            else if (l->kind == INT8) unit_int8(w, bytes, x->packed + group * words, many, group == 0, (int32_t *)raw);
            else unit_bf16(w, bytes, x->packed + group * words, many, group == 0, raw);
            for (int64_t r = 0; r < many; r++)
                finish(l, raw + r * CHUNK, l->kind == INT8 ? x->size[group + r] : 0, y + (group + r) * l->out, from,
                       count, then);
        }
    }
}

// -- attention

static void keep(const float *x, void *to, int64_t count, int64_t kind) {
    if (kind == F32) memcpy(to, x, 4 * count);
    else for (int64_t i = 0; i < count; i++) ((uint16_t *)to)[i] = f32_to_bf16(x[i]);
}

// scores[t] = q . keys[t]; meanwhile the values, which lie alike, are fetched.
#if LANES == 16 && defined(__AVX512BF16__)
INLINE void score_pairs(const uint16_t *k, int64_t size, const uint16_t *q, int count, float *scores) {
    __m512 acc[16];
    UNROLL for (int t = 0; t < 16; t++) acc[t] = _mm512_setzero_ps();
    for (int64_t i = 0; i < size; i += 32) {
        __m512bh in = (__m512bh)_mm512_loadu_si512(q + i);
        UNROLL for (int t = 0; t < count; t++)
            acc[t] = _mm512_dpbf16_ps(acc[t], (__m512bh)_mm512_loadu_si512(k + t * size + i), in);
    }
    reduce((const vf *)acc, count, scores);
}
static int64_t score_halves(const uint16_t *k, const uint16_t *v, int64_t count, int64_t size, const float *q, float *scores) {
    uint16_t rounded[512];
    if (size % 32 || size > 512) return 0;
    for (int64_t i = 0; i < size; i++) rounded[i] = f32_to_bf16(q[i]);
    int64_t t = 0;
    for (; t + 16 <= count; t += 16) {
        for (int64_t i = 0; i < 16 * size; i += 32) __builtin_prefetch(v + t * size + i);
        score_pairs(k + t * size, size, rounded, 16, scores + t);
    }
    for (; t + 4 <= count; t += 4) score_pairs(k + t * size, size, rounded, 4, scores + t);
    for (; t < count; t++) score_pairs(k + t * size, size, rounded, 1, scores + t);
    return count;
}
#else
static int64_t score_halves(const uint16_t *k, const uint16_t *v, int64_t count, int64_t size, const float *q, float *scores) {
    (void)k, (void)v, (void)count, (void)size, (void)q, (void)scores;
    return 0;
}
#endif

static void score(const char *keys, const char *values, int64_t count, int64_t size, int kind, const float *q, float *scores) {
    const int64_t bytes = size * sizes[kind];
    int64_t t = kind == BF16 ? score_halves((const uint16_t *)keys, (const uint16_t *)values, count, size, q, scores) : 0;
    for (; t + 4 <= count; t += 4) {
        for (int64_t i = 0; i < 4 * bytes; i += 64) __builtin_prefetch(values + t * bytes + i);
        tiles[kind][0][0](keys + t * bytes, size, q, 0, scores + t);
    }
    for (; t < count; t++) tiles[kind][2][0](keys + t * bytes, size, q, 0, scores + t);
}

// y = the sum of p[t] values[t], even and odd t apart; the first `shared` values lie elsewhere.
#define GATHER(name, type, load_v)                                                                         \
    INLINE void name##_wide(const type *first, int64_t shared, const type *own, int64_t count, int64_t size, \
                            const float *p, float *y, int wide) {                                          \
        vf acc[2][4] = {{{0}}};                                                                            \
        for (int64_t t = 0; t < count; t += 2) {                                                           \
            const type *a = t < shared ? first : own, *b = t + 1 < shared ? first : own;                   \
            const vf one = splat(p[t]), two = splat(p[t + 1]);                                             \
            UNROLL for (int i = 0; i < wide; i++) acc[0][i] += one * load_v(a + t * size + i * LANES);     \
            if (t + 1 < count)                                                                             \
                UNROLL for (int i = 0; i < wide; i++) acc[1][i] += two * load_v(b + (t + 1) * size + i * LANES); \
        }                                                                                                  \
        UNROLL for (int i = 0; i < wide; i++) store(y + i * LANES, acc[0][i] + acc[1][i]);                 \
    }                                                                                                      \
    static void name(const type *first, int64_t shared, const type *own, int64_t count, int64_t size,      \
                     const float *p, float *y) {                                                           \
        int64_t e = 0;                                                                                     \
        for (; e + 4 * LANES <= size; e += 4 * LANES) name##_wide(first + e, shared, own + e, count, size, p, y + e, 4); \
        for (; e < size; e += LANES) name##_wide(first + e, shared, own + e, count, size, p, y + e, 1);    \
    }
GATHER(gather_f32, float, load)
GATHER(gather_bf16, uint16_t, bf16_to_f32)

static float softmax(float *scores, int64_t count) {  // exp(scores - largest), and 1 / their sum
    const int64_t whole = (count + LANES - 1) / LANES * LANES;
    for (int64_t t = count; t < whole; t++) scores[t] = -1e30f;
    vf top = load(scores), sum = {0};
    for (int64_t t = LANES; t < whole; t += LANES) top = larger(load(scores + t), top);
    const vf largest = splat(max_of(top));
    for (int64_t t = 0; t < whole; t += LANES) {
        vf e = exponential(load(scores + t) - largest);
        store(scores + t, e);
        sum += e;
    }
    return 1.0f / sum_of(sum);
}

// One row and head: its new keys and values into the cache, then each of `steps` queries over all there is before it.
static void attend(const Gpt *g, const Cache *c, int64_t layer, int64_t row, int64_t head, int64_t position,
                   int64_t steps, const float *qkv, float *y, float *scores) {
    const int64_t size = g->dim / g->heads, bytes = sizes[c->kind], at = layer * c->layer + head * c->head;
    const char *first[2] = {(char *)c->keys + at * bytes, (char *)c->values + at * bytes};
    char *own[2] = {(char *)first[0] + row * c->row * bytes, (char *)first[1] + row * c->row * bytes};
    qkv += row * steps * 3 * g->dim + head * size;
    y += row * steps * g->dim + head * size;
    for (int64_t s = 0; s < steps; s++)
        for (int part = 0; part < 2; part++)
            keep(qkv + (3 * s + 1 + part) * g->dim, own[part] + (position + s) * size * bytes, size, c->kind);
    const float scale = 1.0f / sqrtf((float)size);
    float *q = scores + ALIGN(c->positions);
    for (int64_t s = 0; s < steps; s++) {
        const int64_t seen = position + s + 1, shared = c->shared, skip = shared * size * bytes;
        for (int64_t i = 0; i < size; i++) q[i] = qkv[3 * s * g->dim + i] * scale;
        score(first[0], first[1], shared, size, c->kind, q, scores);
        score(own[0] + skip, own[1] + skip, seen - shared, size, c->kind, q, scores + shared);
        const float inverse = softmax(scores, seen);
        float *to = y + s * g->dim;
        if (c->kind == F32) gather_f32((float *)first[1], shared, (float *)own[1], seen, size, scores, to);
        else gather_bf16((uint16_t *)first[1], shared, (uint16_t *)own[1], seen, size, scores, to);
        for (int64_t i = 0; i < size; i++) to[i] *= inverse;
    }
}

// -- a step

typedef struct {
    float *qkv, *mixed, *wide;   // of all threads
    float *normed, *scores;      // of each
    Inputs inputs;
} Space;

// What a thread needs, and all together: bytes.
static int64_t own_bytes(const Gpt *g, int64_t rows, int64_t positions) {
    return ALIGN(rows * g->dim * 4) + input_bytes(&g->blocks->narrow, rows) + 4 * ALIGN(positions) + 4 * ALIGN(g->dim);
}

int64_t gpt_step_bytes(const Gpt *g, int64_t rows, int64_t positions, int64_t threads) {
    return 64 + ALIGN(rows * g->dim * 8 * 4) + threads * own_bytes(g, rows, positions) + counter_bytes(5 * g->layers, threads);
}

static void apply(const Linear *l, const float *x, float *y, int64_t rows, int then, Space *s, Team *team) {
    const int64_t tasks = chunks(l);
    if (!over(team, tasks)) {
        prepare(l, x, rows, &s->inputs);
        multiply(l, &s->inputs, y, rows, then, team);
    }
    next_phase(team, tasks);
}

static void place(Inputs *inputs, const Linear *l, int64_t rows, char *at) {
    const int64_t most = ALIGN((rows + GROUP) * l->in * 2);
    inputs->rounded = (uint8_t *)at;
    inputs->packed = (uint32_t *)(at + most);
    inputs->size = (float *)(at + 2 * most);
}

static void run(const Gpt *g, const Cache *c, float *x, float *y, int64_t batch, int64_t steps,
                const int64_t *positions, Space *s, Team *team) {
    const int64_t rows = batch * steps;
    for (int64_t layer = 0; layer < g->layers; layer++) {
        const Block *b = g->blocks + layer;
        normalise(x, s->normed, rows, g->dim, &b->before);
        apply(&b->qkv, s->normed, s->qkv, rows, SET, s, team);
        EACH(task, batch * g->heads, team)
            attend(g, c, layer, task % batch, task / batch, positions[task % batch], steps, s->qkv, s->mixed, s->scores);
        next_phase(team, batch * g->heads);
        apply(&b->proj, s->mixed, x, rows, ADD, s, team);
        normalise(x, s->normed, rows, g->dim, &b->between);
        apply(&b->widen, s->normed, s->wide, rows, GELU, s, team);
        apply(&b->narrow, s->wide, x, rows, ADD, s, team);
    }
    if (team->thread == 0)
        for (int64_t i = 0; i < g->norms_count; i++) normalise(i ? y : x, y, rows, g->dim, g->norms + i);
}

// x (batch * steps, dim), changed on the way, to y, the same after all blocks and norms. positions (batch,): of the
// first of `steps`, which follow each other. scratch: gpt_step_bytes of anything.
void gpt_step(const Gpt *g, const Cache *c, float *x, float *y, int64_t batch, int64_t steps, const int64_t *positions,
              void *scratch, int64_t threads) {
    const int64_t rows = batch * steps;
    char *at = (char *)ALIGN((uintptr_t)scratch);
    int64_t *counters = (int64_t *)at;
    memset(counters, 0, counter_bytes(5 * g->layers, threads));
    at += counter_bytes(5 * g->layers, threads);
    Space all = {.qkv = (float *)at, .mixed = (float *)at + 3 * rows * g->dim, .wide = (float *)at + 4 * rows * g->dim};
    at += ALIGN(rows * g->dim * 8 * 4);
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    {
        Team team = {thread_number(), thread_count(), counters};
        TileShapes before;
        Space own = all;
        char *mine = at + team.thread * own_bytes(g, rows, c->positions);
        own.normed = (float *)mine, mine += ALIGN(rows * g->dim * 4);
        place(&own.inputs, &g->blocks->narrow, rows, mine), mine += input_bytes(&g->blocks->narrow, rows);
        own.scores = (float *)mine;
        if (matrix_unit) shape_tiles(&before);
        run(g, c, x, y, batch, steps, positions, &own, &team);
        if (matrix_unit) unshape_tiles(&before);
    }
}

// y (rows, out) = x (rows, in) weight^T + bias. scratch: linear_bytes of anything.
int64_t linear_bytes(const Linear *l, int64_t rows, int64_t threads) {
    return 64 + counter_bytes(1, threads) + input_bytes(l, rows);
}

void linear(const Linear *l, const float *x, float *y, int64_t rows, void *scratch, int64_t threads) {
    int64_t *counters = (int64_t *)ALIGN((uintptr_t)scratch);
    memset(counters, 0, counter_bytes(1, threads));
    Inputs inputs;
    place(&inputs, l, rows, (char *)counters + counter_bytes(1, threads));
    prepare(l, x, rows, &inputs);
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    {
        Team team = {thread_number(), thread_count(), counters};
        TileShapes before;
        if (matrix_unit) shape_tiles(&before);
        multiply(l, &inputs, y, rows, SET, &team);
        if (matrix_unit) unshape_tiles(&before);
    }
}

// To be called once, before all else: which units of the processor may be used (`allowed` 0: only the usual ones).
int64_t start(int64_t allowed) { return matrix_unit = allowed && ask_for_matrix_unit(); }
