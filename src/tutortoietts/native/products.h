// Products of rows with the weights of a linear layer, which are read once for all rows.
//
// Weights stay in torch's layout, (out, in) row after row: a tile is the dot products of OUTS such rows with up to ROWS
// inputs, and the next weight rows are prefetched meanwhile.
//
// A result never depends on how many rows, tiles or threads there are: every dot product is summed in the same order,
// `LANES` partial sums and then a tree. Sums of 8-bit integers are exact.
#pragma once
#include "linear.h"
#include "simd.h"
#include "threads.h"
#if LANES > 4
#include <immintrin.h>
#endif
#if defined(__AMX_INT8__) && defined(__AMX_BF16__) && defined(__linux__) && LANES == 16
#include <sys/syscall.h>
#include <unistd.h>
#define HAVE_AMX
#endif

#define OUTS 4     // weight rows of a tile
#define ROWS 4     // input rows of a tile
#define CHUNK 16   // weight rows that a thread takes at once
#define GROUP 16   // input rows that go through a chunk together

typedef uint16_t vh __attribute__((vector_size(2 * LANES)));
typedef int8_t vb __attribute__((vector_size(LANES)));

static const int64_t sizes[3] = {4, 2, 1};

INLINE vf bf16_to_f32(const uint16_t *p) {
    vh v; memcpy(&v, p, sizeof v);
    return (vf)(__builtin_convertvector(v, vi) << 16);
}
INLINE float max_lane(vf v) {
    float s[LANES]; memcpy(s, &v, sizeof v);
    float m = s[0];
    for (int i = 1; i < LANES; i++) m = s[i] > m ? s[i] : m;
    return m;
}
INLINE vf gelu(vf x) {  // tanh approximation
    vf u = splat(-1.5957691216f) * (x + splat(0.044715f) * (x * x * x));
    return x / (splat(1.0f) + exp_lanes(u));
}
INLINE uint16_t f32_to_bf16(float x) {
    uint32_t u; memcpy(&u, &x, 4);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

// -- tiles: y[row * outs + out] = the dot product of w[out] (k apart) and x[row] (xs apart), k numbers each

#if LANES == 16
INLINE __m512 sum_4x4(__m512 a, __m512 b, __m512 c, __m512 d) {  // sums of 4 x 4 lanes, side by side in each quarter
    __m512 u = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 v = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512d x = _mm512_castps_pd(u), y = _mm512_castps_pd(v);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
INLINE __m512 sum_quarters(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
INLINE void reduce(const vf *acc, int count, float *y) {
    __m512 zero = _mm512_setzero_ps(), s[4];
    UNROLL for (int i = 0; i < 4; i++) {
        __m512 a[4];
        UNROLL for (int j = 0; j < 4; j++) a[j] = 4 * i + j < count ? (__m512)acc[4 * i + j] : zero;
        s[i] = 4 * i < count ? sum_4x4(a[0], a[1], a[2], a[3]) : zero;
    }
    __m512 all = sum_quarters(sum_quarters(s[0], s[1]), sum_quarters(s[2], s[3]));
    _mm512_mask_storeu_ps(y, (__mmask16)((1u << count) - 1), all);
}
#else
INLINE void reduce(const vf *acc, int count, float *y) {
    for (int i = 0; i < count; i++) y[i] = sum_lanes(acc[i]);
}
#endif

#define FLOAT_TILE(name, type, load_w)                                                                     \
    INLINE void name(const void *w_, int64_t k, const void *x_, int64_t xs, int outs, int rows, int prefetch, void *y) { \
        const type *w = w_;                                                                                \
        const float *x = x_;                                                                               \
        vf acc[16] = {{0}};                                                                                \
        for (int64_t i = 0; i < k; i += LANES) {                                                           \
            vf in[ROWS];                                                                                   \
            UNROLL for (int r = 0; r < rows; r++) in[r] = load(x + r * xs + i);                            \
            UNROLL for (int o = 0; o < outs; o++) {                                                        \
                vf weight = load_w(w + o * k + i);                                                         \
                if (prefetch) __builtin_prefetch(w + (outs + o) * k + i);                                     \
                UNROLL for (int r = 0; r < rows; r++) acc[r * outs + o] += weight * in[r];                 \
            }                                                                                              \
        }                                                                                                  \
        reduce(acc, rows * outs, y);                                                                       \
    }
FLOAT_TILE(tile_f32, float, load)
FLOAT_TILE(tile_bf16, uint16_t, bf16_to_f32)

// x holds its numbers plus 128, so y is too large by 128 times the sum of the weights.
#if LANES == 16 && defined(__AVX512VNNI__) && defined(__AVX512BW__)
INLINE void reduce_int32(const __m512i *acc, int count, int32_t *y) {
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
INLINE void tile_int8(const void *w_, int64_t k, const void *x_, int64_t xs, int outs, int rows, int prefetch,
                      void *y) {
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
            if (prefetch) __builtin_prefetch(w + (outs + o) * k + i);
            UNROLL for (int r = 0; r < rows; r++)
                acc[r * outs + o] = _mm512_dpbusd_epi32(acc[r * outs + o], in[r], weight);
        }
    }
    reduce_int32(acc, rows * outs, y);
}
#elif LANES == 8 && defined(__AVX2__)
INLINE void tile_int8(const void *w_, int64_t k, const void *x_, int64_t xs, int outs, int rows, int prefetch,
                      void *y_) {
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
            if (prefetch && i % 64 == 0) __builtin_prefetch(w + (outs + o) * k + i);
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
INLINE void tile_int8(const void *w_, int64_t k, const void *x_, int64_t xs, int outs, int rows, int prefetch,
                      void *y_) {
    int32_t *y = y_;
    for (int o = 0; o < outs; o++) {
        const int8_t *w = (const int8_t *)w_ + o * k;
        if (prefetch) for (int64_t i = 0; i < k; i += 64) __builtin_prefetch(w + outs * k + i);
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
#define SIZED(tile, outs, rows, prefetch)                                                                    \
    static void tile##_##outs##_##rows##_##prefetch(const void *w, int64_t k, const void *x, int64_t xs, void *y) { \
        tile(w, k, x, xs, outs, rows, prefetch, y);                                                           \
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

// -- AMX: 16 weight rows by 16 input rows at a time, at the cost of one input row

static int amx_allowed;  // 1: this process may use AMX; set once by `start`

#ifdef HAVE_AMX
typedef struct { uint8_t palette, first, zero[14]; uint16_t bytes[16]; uint8_t rows[16]; } TileConfig;

static int request_amx(void) { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }  // ARCH_REQ_XCOMP_PERM

// Other code on this thread may use its own tile configuration: save it, and put it back afterwards.
static void configure_tiles(TileConfig *before) {
    TileConfig all = {.palette = 1};
    for (int i = 0; i < 8; i++) all.bytes[i] = 64, all.rows[i] = 16;
    _tile_storeconfig(before);
    _tile_loadconfig(&all);
}
static void restore_tiles(const TileConfig *before) {
    if (before->palette) _tile_loadconfig(before);
    else _tile_release();
}

// raw[row * CHUNK + out]: 16 weight rows, `bytes` apart, times a group of inputs in the layout of `interleave`.
#define AMX_CHUNK(name, multiply_add, type)                                                               \
    static void name(const char *w, int64_t bytes, const uint32_t *x, int64_t rows, int prefetch, type *raw) { \
        type both[2][16][16];                                                                              \
        __asm__ volatile("" ::: "memory");                                                                 \
        _tile_zero(0);                                                                                     \
        _tile_zero(1);                                                                                     \
        for (int64_t i = 0; i < bytes; i += 128) {                                                         \
            if (prefetch)                                                                                     \
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
AMX_CHUNK(amx_int8, _tile_dpbsud, int32_t)
AMX_CHUNK(amx_bf16, _tile_dpbf16ps, float)
#else
typedef struct { int none; } TileConfig;
static int request_amx(void) { return 0; }
static void configure_tiles(TileConfig *before) { (void)before; }
static void restore_tiles(const TileConfig *before) { (void)before; }
static void amx_int8(const char *w, int64_t b, const uint32_t *x, int64_t r, int a, int32_t *y) { (void)w, (void)b,
    (void)x, (void)r, (void)a, (void)y; }
static void amx_bf16(const char *w, int64_t b, const uint32_t *x, int64_t r, int a, float *y) { (void)w, (void)b,
    (void)x, (void)r, (void)a, (void)y; }
#endif

// bfloat16 inputs are rounded for AMX, so it is used for any number of rows or for none; int8 sums are exact, so it is
// used where it is faster, for more than a tile of rows.
static int uses_amx(const Linear *l, int64_t rows) {
    return amx_allowed && l->in * sizes[l->kind] % 64 == 0 && (l->kind == BF16 || (l->kind == INT8 && rows > ROWS));
}

// -- linear layers

// Round each row to 8 bits by its own largest number: q = round(127 x / largest) + 128, x = (q - 128) size.
static void quantize_rows(const float *x, uint8_t *q, float *size, int64_t rows, int64_t k) {
    const vf magic = splat(12582912.0f);
    for (int64_t r = 0; r < rows; r++, x += k, q += k) {
        vf top = {0};
        for (int64_t i = 0; i < k; i += LANES) top = max_lanes((vf)((vi)load(x + i) & 0x7fffffff), top);
        float largest = max_lane(top);
        vf scale = splat(largest > 0 ? 127.0f / largest : 0.0f);
        size[r] = largest / 127.0f;
        for (int64_t i = 0; i < k; i += LANES) {
            vi whole = (vi)(load(x + i) * scale + magic) - 0x4b400000;
            vb narrow = __builtin_convertvector((whole + 128) & 255, vb);
            memcpy(q + i, &narrow, sizeof narrow);
        }
    }
}

// 32-bit words of rows (rows, words) -> (groups of 16 rows, words, 16), the layout of AMX.
static void interleave(const uint32_t *x, uint32_t *y, int64_t rows, int64_t words) {
    for (int64_t group = 0; group < rows; group += GROUP, y += GROUP * words) {
        const int64_t count_rows = rows - group < GROUP ? rows - group : GROUP;
        for (int64_t i = 0; i < words; i++)
            for (int64_t r = 0; r < GROUP; r++) y[i * GROUP + r] = r < count_rows ? x[(group + r) * words + i] : 0;
    }
}

typedef struct {           // input rows in the forms that `multiply` reads
    const float *plain;
    uint8_t *rounded;      // 8-bit by `quantize_rows`, or bfloat16
    uint32_t *packed;      // for AMX
    float *size;           // of `quantize_rows`, (rows,)
} Inputs;

static int64_t input_bytes(const Linear *l, int64_t rows) {
    return 2 * ALIGN((rows + GROUP) * l->in * 2) + ALIGN(4 * rows);
}

static void prepare_inputs(const Linear *l, const float *x, int64_t rows, Inputs *to) {
    to->plain = x;
    if (l->kind == INT8) quantize_rows(x, to->rounded, to->size, rows, l->in);
    if (!uses_amx(l, rows)) return;
    if (l->kind == BF16) for (int64_t i = 0; i < rows * l->in; i++) ((uint16_t *)to->rounded)[i] = f32_to_bf16(x[i]);
    interleave((uint32_t *)to->rounded, to->packed, rows, l->in * sizes[l->kind] / 4);
}

enum { SET, ADD, GELU };  // epilogues: y = sum, y += sum, y = gelu(sum)

static void finish_outputs(const Linear *l, const float *raw, float size, float *y, int64_t first_out, int64_t count,
                           int epilogue) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vf sum = load(raw + i);
        if (l->kind == INT8) {
            vi whole, sums;
            memcpy(&whole, raw + i, sizeof whole);
            memcpy(&sums, l->sums + first_out + i, sizeof sums);
            sum = __builtin_convertvector(whole - 128 * sums, vf) * (splat(size) * load(l->scale + first_out + i));
        }
        sum = sum + load(l->bias + first_out + i);
        store(y + first_out + i, epilogue == ADD ? load(y + first_out + i) + sum : epilogue == GELU ? gelu(sum) : sum);
    }
    if (i < count) {  // the last few outputs, padded to a whole vector: the same arithmetic
        float part[5][LANES] = {{0}};
        int32_t sums[LANES] = {0};
        size_t bytes = 4 * (size_t)(count - i);
        memcpy(part[0], raw + i, bytes);
        memcpy(part[1], l->bias + first_out + i, bytes);
        memcpy(part[2], y + first_out + i, bytes);
        if (l->kind == INT8) memcpy(part[3], l->scale + first_out + i, bytes), memcpy(sums, l->sums + first_out + i,
                bytes);
        Linear few = {l->weight, part[3], sums, part[1], l->kind, l->in, l->out};
        finish_outputs(&few, part[0], size, part[2], 0, LANES, epilogue);
        memcpy(y + first_out + i, part[2], bytes);
    }
}

static void multiply_chunk(const Linear *l, const Inputs *x, int64_t first_out, int64_t count, int64_t group,
                           int64_t count_rows,
                           float *raw) {
    const int64_t k = l->in, bytes = l->kind == INT8 ? k : 4 * k;
    const char *rows = l->kind == INT8 ? (const char *)x->rounded : (const char *)x->plain;
    float part[ROWS * OUTS];
    for (int64_t o = 0, outs; o < count; o += outs) {
        outs = count - o >= OUTS ? OUTS : 1;
        const char *w = (const char *)l->weight + (first_out + o) * k * sizes[l->kind];
        for (int64_t r = 0; r < count_rows; r += ROWS) {
            const int64_t n = count_rows - r < ROWS ? count_rows - r : ROWS;
            const int form = outs == 1 ? 2 : group + r == 0;
            tiles[l->kind][form][n - 1](w, k, rows + (group + r) * bytes, k, part);
            for (int64_t i = 0; i < n; i++) memcpy(raw + (r + i) * CHUNK + o, part + i * outs, 4 * outs);
        }
    }
}

static int64_t chunk_count(const Linear *l) { return (l->out + CHUNK - 1) / CHUNK; }

// y (rows, out) from x (rows, in), which `prepare_inputs` has prepared.
static void multiply(const Linear *l, const Inputs *x, float *y, int64_t rows, int epilogue, Team *team) {
    const int64_t k = l->in, bytes = k * sizes[l->kind], words = bytes / 4;
    const int amx = uses_amx(l, rows);
    float raw[GROUP * CHUNK];
    EACH(chunk, chunk_count(l), team) {
        const int64_t first_out = chunk * CHUNK, count = l->out - first_out < CHUNK ? l->out - first_out : CHUNK;
        const char *w = (const char *)l->weight + first_out * bytes;
        for (int64_t group = 0; group < rows; group += GROUP) {
            const int64_t count_rows = rows - group < GROUP ? rows - group : GROUP;
            if (!amx || count < CHUNK) multiply_chunk(l, x, first_out, count, group, count_rows, raw);
            else if (l->kind == INT8) amx_int8(w, bytes, x->packed + group * words, count_rows, group == 0,
                                               (int32_t *)raw);
            else amx_bf16(w, bytes, x->packed + group * words, count_rows, group == 0, raw);
            for (int64_t r = 0; r < count_rows; r++)
                finish_outputs(l, raw + r * CHUNK, l->kind == INT8 ? x->size[group + r] : 0, y + (group + r) * l->out,
                               first_out,
                       count, epilogue);
        }
    }
}

// Lay out the memory of `inputs` for a layer: input_bytes from `at` on.
static void place_inputs(Inputs *inputs, const Linear *l, int64_t rows, char *at) {
    const int64_t most = ALIGN((rows + GROUP) * l->in * 2);
    inputs->rounded = (uint8_t *)at;
    inputs->packed = (uint32_t *)(at + most);
    inputs->size = (float *)(at + 2 * most);
}
