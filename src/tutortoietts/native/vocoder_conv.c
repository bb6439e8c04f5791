// Convolutions over samples with their activations: see vocoder_conv.py.
//
// A signal of C channels is kept in planes of 32 channels, (C / 32, length, 32) float32. The operand of a convolution
// is made tile by tile in scratch memory that stays in a cache. It is float32 or, for AMX, which multiplies bfloat16 and
// sums in float32, split into two bfloat16 numbers, high and low, of 16 bits together; of their products all but low by
// low are summed. Every sum has the same order wherever its tile begins, so a part of a signal has the same bits as the
// whole.
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif
#ifdef __AMX_BF16__
#include <sys/syscall.h>
#include <unistd.h>
#endif

// SIDE: numbers of a vector. ROWS: float32 rows of a tile, so that its sums stay in registers.
#ifdef __AVX512F__
enum { SIDE = 16, ROWS = 12 };
#else
enum { SIDE = 8, ROWS = 3 };
#endif
enum { PLANE = 32, VECS = PLANE / SIDE, TAPS = 12, REACH = 6, LINE = 128, MOST = 32, TILE = 16 };
enum { NONE, LEAKY, SNAKE };
typedef float vec __attribute__((vector_size(4 * SIDE)));
typedef int32_t bits __attribute__((vector_size(4 * SIDE)));

typedef struct {
    const void *weights; // (outputs, taps, inputs, 32 in, 32 out); split (..., low and high, 2, 16 pairs in, 16 out, 2)
    const float *bias;
    int64_t inputs, outputs; // in planes
    int64_t taps, dilation, before; // the first tap of output t is at input t - before
    int64_t split;
} layer;

typedef struct {
    int64_t kind;
    float slope;
    const float *rate, *share; // one for each channel: x + sin^2(pi rate x) share
    const float *taps; // (12,), the filter that doubles and halves the rate
} activation;

typedef struct { // destination of results: row r at `to + r stride`, the first `columns` of a plane
    float *to;
    int64_t stride, columns;
    const float *residual; // added before scaling; rows of 32
    float scale;
    int64_t add; // 1: add to the destination
} sink;

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static inline vec nearest(vec x) {
#ifdef __AVX512F__
    return (vec)_mm512_roundscale_ps((__m512)x, 0);
#else
    const vec large = (vec){} + 12582912.0f;
    return (x + large) - large;
#endif
}

// x + sin^2(pi rate x) share; error 1e-7 share
static inline vec snake(vec x, vec rate, vec share) {
    vec turn = x * rate;
    turn -= nearest(turn);
    vec square = turn * turn;
    vec sine = square * 0.07722012f - 0.59804517f;
    sine = sine * square + 2.55003142f;
    sine = sine * square - 5.16770697f;
    sine = (sine * square + 3.14159250f) * turn;
    return x + sine * sine * share;
}

static inline vec leaky(vec x, float slope) {
    const bits up = x > 0;
    return (vec)(((bits)x & up) | ((bits)(x * slope) & ~up));
}

// Store a vector of an operand; `low`: distance from the high to the low numbers of a split one.
static inline void store(void *to, int64_t split, int64_t at, int64_t low, vec x) {
#ifdef __AMX_BF16__
    if (split) {
        uint16_t *half = (uint16_t *)to + at;
        const __m256i high = (__m256i)_mm512_cvtneps_pbh((__m512)x);
        x -= (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16);
        _mm256_store_si256((__m256i *)half, high);
        _mm256_store_si256((__m256i *)(half + low), (__m256i)_mm512_cvtneps_pbh((__m512)x));
        return;
    }
#else
    (void)split, (void)low;
#endif
    *(vec *)((float *)to + at) = x;
}

// Bytes of an operand of `rows`.
static int64_t operand_bytes(const layer *l, int64_t rows) { return l->inputs * rows * PLANE * 4; }
static inline void *operand_row(const layer *l, void *operand, int64_t row) {
    return (char *)operand + row * PLANE * (l->split ? 2 : 4);
}

// Apply snake to `count` rows from `row` on of SIDE channels, at twice the rate and back; edges are replicated.
static void snake_rows(const activation *a, int64_t channel, const float *x, int64_t first, int64_t length, int64_t row,
                       int64_t count, vec *restrict y) {
    vec line[LINE + 2 * REACH], even[LINE + REACH], odd[LINE + REACH];
    const vec rate = *(const vec *)(a->rate + channel), share = *(const vec *)(a->share + channel);
    const float *f = a->taps;
    for (int64_t i = 0; i < count + 2 * REACH; i++) {
        int64_t at = least(most(row - REACH + i, 0), length - 1);
        line[i] = *(const vec *)(x + (at - first) * PLANE);
    }
    for (int64_t i = 0; i < count + REACH; i++) {
        vec p = line[i] * f[11], q = line[i + 1] * f[10];
        for (int64_t m = 1; m < 6; m++) {
            p += line[i + m] * f[11 - 2 * m];
            q += line[i + 1 + m] * f[10 - 2 * m];
        }
        even[i] = snake(p + p, rate, share);
        odd[i] = snake(q + q, rate, share);
    }
    const int64_t start = row - REACH / 2; // of even and odd
    for (int64_t t = start; t < 0; t++) even[t - start] = odd[t - start] = even[-start];
    for (int64_t t = length; t < start + count + REACH; t++) even[t - start] = odd[t - start] = odd[length - 1 - start];
    for (int64_t i = 0; i < count; i++) {
        vec sum = even[i + 1] * f[1] + odd[i] * f[0];
        for (int64_t m = 1; m < 6; m++) sum += even[i + 1 + m] * f[2 * m + 1] + odd[i + m] * f[2 * m];
        y[i] = sum;
    }
}

// Make the operand of a layer: rows lo..hi-1 of a signal of `length`, activated, zeros outside the signal. x (inputs,
// held, 32) has `held` rows from `first` on.
static void activate(const activation *a, const layer *l, const float *x, int64_t first, int64_t held, int64_t length,
                     void *operand, int64_t lo, int64_t hi) {
    const int64_t begin = least(most(lo, 0), hi), end = most(least(hi, length), begin), height = hi - lo;
    if (begin > lo || end < hi) memset(operand, 0, operand_bytes(l, height));
    for (int64_t plane = 0; plane < l->inputs; plane++)
        for (int64_t row = begin; row < end; row += LINE) {
            const int64_t count = least(LINE, end - row);
            for (int64_t side = 0; side < PLANE; side += SIDE) {
                vec y[LINE];
                const float *rows = x + plane * held * PLANE + side, *from = rows + (row - first) * PLANE;
                if (a->kind == SNAKE) snake_rows(a, plane * PLANE + side, rows, first, length, row, count, y);
                else
                    for (int64_t i = 0; i < count; i++) {
                        vec v = *(const vec *)(from + i * PLANE);
                        y[i] = a->kind == LEAKY ? leaky(v, a->slope) : v;
                    }
                const int64_t to = (plane * height + row - lo) * PLANE + side, low = l->inputs * height * PLANE;
                for (int64_t i = 0; i < count; i++) store(operand, l->split, to + i * PLANE, low, y[i]);
            }
        }
}

// Compute ROWS rows of a plane of outputs: x (inputs, height, 32) from the first row's first tap on.
static void multiply(const layer *l, const float *x, int64_t height, const float *w, vec *restrict out) {
    vec sum[ROWS][VECS] = {};
    for (int64_t tap = 0; tap < l->taps; tap++)
        for (int64_t plane = 0; plane < l->inputs; plane++) {
            const float *rows = x + (plane * height + tap * l->dilation) * PLANE;
            for (int64_t c = 0; c < PLANE; c++, w += PLANE) {
                const vec *weights = (const vec *)w;
#pragma GCC unroll 12
                for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
                    for (int v = 0; v < VECS; v++) sum[r][v] += rows[r * PLANE + c] * weights[v];
            }
        }
    memcpy(out, sum, sizeof sum);
}

#ifdef __AMX_BF16__
static inline void load_rows(const uint16_t *x) {
    _tile_loadd(4, x, 64);
    _tile_loadd(5, x + TILE * PLANE, 64);
}
static inline void load_weights(const uint16_t *w) {
    _tile_loadd(6, w, 64);
    _tile_loadd(7, w + TILE * PLANE, 64);
}
static inline void add_products(void) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

// Compute 32 rows of a plane of outputs from a split operand.
static void multiply_split(const layer *l, const uint16_t *x, int64_t height, const uint16_t *w, vec *restrict out) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const int64_t low = l->inputs * height * PLANE;
    for (int64_t tap = 0; tap < l->taps; tap++)
        for (int64_t plane = 0; plane < l->inputs; plane++, w += 2 * PLANE * PLANE) {
            const uint16_t *rows = x + (plane * height + tap * l->dilation) * PLANE;
            load_rows(rows);
            load_weights(w);
            add_products();
            load_weights(w + PLANE * PLANE);
            add_products();
            load_rows(rows + low);
            add_products();
        }
    float *to = (float *)out;
    _tile_stored(0, to, 4 * PLANE);
    _tile_stored(1, to + TILE, 4 * PLANE);
    _tile_stored(2, to + TILE * PLANE, 4 * PLANE);
    _tile_stored(3, to + TILE * PLANE + TILE, 4 * PLANE);
}
#endif

// Compute rows 0..count-1 of a plane of outputs from an operand (inputs, height, 32) that begins with the first row's
// first tap.
static void outputs(const layer *l, void *operand, int64_t height, int64_t plane, int64_t count, const sink *s) {
    const int64_t size = l->taps * l->inputs * PLANE * PLANE, step = l->split ? MOST : ROWS;
    const vec *bias = (const vec *)(l->bias + plane * PLANE);
    vec made[MOST][VECS];
    for (int64_t start = 0; start < count; start += step) {
        const void *rows = operand_row(l, operand, start);
#ifdef __AMX_BF16__
        if (l->split)
            multiply_split(l, rows, height, (const uint16_t *)l->weights + 2 * plane * size, made[0]);
        else
#endif
            multiply(l, rows, height, (const float *)l->weights + plane * size, made[0]);
        for (int64_t r = 0; r < least(step, count - start); r++) {
            float *to = s->to + (start + r) * s->stride;
            vec *row = made[r];
            for (int v = 0; v < VECS; v++) row[v] += bias[v];
            if (s->residual)
                for (int v = 0; v < VECS; v++) row[v] += ((const vec *)(s->residual + (start + r) * PLANE))[v];
            for (int v = 0; v < VECS; v++) row[v] *= s->scale;
            if (s->columns < PLANE) {
                memcpy(to, row, s->columns * sizeof(float));
                continue;
            }
            for (int v = 0; v < VECS; v++) ((vec *)to)[v] = s->add ? ((vec *)to)[v] + row[v] : row[v];
        }
    }
}

static void configure_tiles(const layer *l) {
    (void)l;
#ifdef __AMX_BF16__
    if (!l->split) return;
    struct { uint8_t palette, start, none[14]; uint16_t bytes[16]; uint8_t rows[16]; } sizes = {.palette = 1};
    for (int i = 0; i < 8; i++) sizes.bytes[i] = 64, sizes.rows[i] = 16;
    _tile_loadconfig(&sizes);
#endif
}

static void release_tiles(const layer *l) {
    (void)l;
#ifdef __AMX_BF16__
    if (l->split) _tile_release();
#endif
}

// 1: this processor has vectors of SIDE numbers.
int64_t has_vectors(void) {
#ifdef __AVX2__
    return 1;
#else
    return 0;
#endif
}

// 1: this processor has AMX for bfloat16 and the system grants it. Call before its first use.
int64_t has_amx(void) {
#ifdef __AMX_BF16__
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0; // ARCH_REQ_XCOMP_PERM for the tiles' registers
#else
    return 0;
#endif
}

// Bytes of scratch for each thread for tiles of `rows`: of `convolve`, and of `pair`, whose layers have equal planes.
int64_t scratch_convolve(const layer *l, int64_t rows) {
    return operand_bytes(l, rows + (l->taps - 1) * l->dilation + MOST);
}
int64_t scratch_pair(const layer *first, const layer *second, int64_t rows) {
    const int64_t middle = rows + second->taps - 1 + 2 * REACH;
    return scratch_convolve(first, middle) + first->outputs * (middle + MOST) * PLANE * 4;
}

// Apply a layer to the activated x (inputs, length, 32). Its output row t of plane p * planes + q is row
// t * rate + p - cut of plane q of `out` (planes, size, 32), if it is one of the `size`; rate > 1 for a transposed
// convolution. rows: rows of a tile. With fewer columns than 32, out is (size, columns).
void convolve(const float *x, int64_t length, const layer *l, const activation *a, float *out, int64_t size,
              int64_t planes, int64_t rate, int64_t cut, int64_t columns, int64_t rows, char *scratch,
              int64_t threads) {
    const int64_t count = (size + cut + rate - 1) / rate, more = (l->taps - 1) * l->dilation;
    const int64_t bytes = scratch_convolve(l, rows);
#pragma omp parallel num_threads(threads)
    {
        char *operand = scratch + omp_get_thread_num() * bytes;
        configure_tiles(l);
#pragma omp for schedule(dynamic)
        for (int64_t lo = 0; lo < count; lo += rows) {
            const int64_t hi = least(lo + rows, count), begin = lo - l->before;
            activate(a, l, x, 0, length, length, operand, begin, hi - l->before + more);
            for (int64_t p = 0; p < l->outputs; p++) {
                const int64_t phase = p / planes, back = cut - phase;
                const int64_t from = most(lo, (back + rate - 1) / rate * (back > 0));
                const int64_t to = least(hi, (size + back + rate - 1) / rate), at = from * rate - back;
                const sink s = {.to = out + (p % planes * size + at) * columns, .stride = rate * columns,
                                .columns = columns, .scale = 1};
                outputs(l, operand_row(l, operand, from - lo), hi - lo + more, p, to - from, &s);
            }
        }
        release_tiles(l);
    }
}

// out = (x + second(b(first(a(x))))) scale, added to `out` if `add`: x and out (planes, length, 32).
void pair(const float *x, int64_t length, const layer *first, const activation *a, const layer *second,
          const activation *b, float *out, float scale, int64_t add, int64_t rows, char *scratch, int64_t threads) {
    const int64_t more = (first->taps - 1) * first->dilation, wide = second->taps - 1;
    const int64_t edge = b->kind == SNAKE ? REACH : 0, bytes = scratch_pair(first, second, rows);
#pragma omp parallel num_threads(threads)
    {
        char *operand = scratch + omp_get_thread_num() * bytes;
        float *middle = (float *)(operand + scratch_convolve(first, rows + wide + 2 * REACH));
        configure_tiles(first);
#pragma omp for schedule(dynamic)
        for (int64_t lo = 0; lo < length; lo += rows) {
            const int64_t hi = least(lo + rows, length);
            // the rows that the second layer and the filters of its activation read, inside the signal
            const int64_t begin = most(lo - second->before - edge, 0);
            const int64_t end = least(hi - second->before + wide + edge, length), count = end - begin;
            activate(a, first, x, 0, length, length, operand, begin - first->before, end - first->before + more);
            for (int64_t p = 0; p < first->outputs; p++) {
                const sink s = {.to = middle + p * count * PLANE, .stride = PLANE, .columns = PLANE, .scale = 1};
                outputs(first, operand, count + more, p, count, &s);
            }
            activate(b, second, middle, begin, count, length, operand, lo - second->before, hi - second->before + wide);
            for (int64_t p = 0; p < second->outputs; p++) {
                const int64_t at = (p * length + lo) * PLANE;
                const sink s = {.to = out + at, .stride = PLANE, .columns = PLANE, .residual = x + at, .scale = scale,
                                .add = add};
                outputs(second, operand, hi - lo + wide, p, hi - lo, &s);
            }
        }
        release_tiles(first);
    }
}
