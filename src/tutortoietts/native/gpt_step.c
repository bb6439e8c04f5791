// One step of a GPT-2 on a CPU in one call, and a linear layer alone: see gpt_step.py.
//
// A step reads each weight once, and that is its cost; so all cores must read all the time. Each thread works through a
// range of its own and then helps the others.
//
// A row's result never depends on how many rows or threads there are: see products.h.
#include "products.h"

typedef struct { const float *gain, *bias; double eps; } Norm;
typedef struct { Norm before, between; Linear qkv, proj, widen, narrow; } Block;
typedef struct { const Block *blocks; const Norm *norms; int64_t layers, norms_count, dim, heads; } Gpt;

typedef struct {           // keys and values (layers, rows, heads, positions, dim / heads); strides in elements
    void *keys, *values;
    int64_t kind, layer, row, head, positions;
    int64_t shared;        // the number of first positions, all before the step, that are equal in all rows
} Cache;

// x, y (rows, dim).
static void layer_norm(const float *x, float *y, int64_t rows, int64_t dim, const Norm *norm) {
    for (int64_t r = 0; r < rows; r++, x += dim, y += dim) {
        vf sum = {0}, squares = {0};
        for (int64_t i = 0; i < dim; i += LANES) sum += load(x + i);
        vf mean = splat(sum_lanes(sum) / (float)dim);
        for (int64_t i = 0; i < dim; i += LANES) { vf d = load(x + i) - mean; squares += d * d; }
        vf scale = splat(1.0f / sqrtf(sum_lanes(squares) / (float)dim + (float)norm->eps));
        for (int64_t i = 0; i < dim; i += LANES)
            store(y + i, (load(x + i) - mean) * scale * load(norm->gain + i) + load(norm->bias + i));
    }
}

// -- attention

// Store float32 numbers in the kind of the cache.
static void convert_to(const float *x, void *to, int64_t count, int64_t kind) {
    if (kind == F32) memcpy(to, x, 4 * count);
    else for (int64_t i = 0; i < count; i++) ((uint16_t *)to)[i] = f32_to_bf16(x[i]);
}

// scores[t] = q . keys[t]; the values, in the same layout, are prefetched meanwhile.
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
static int64_t score_bf16(const uint16_t *k, const uint16_t *v, int64_t count, int64_t size, const float *q,
                          float *scores) {
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
static int64_t score_bf16(const uint16_t *k, const uint16_t *v, int64_t count, int64_t size, const float *q,
                          float *scores) {
    (void)k, (void)v, (void)count, (void)size, (void)q, (void)scores;
    return 0;
}
#endif

static void score(const char *keys, const char *values, int64_t count, int64_t size, int kind, const float *q,
                  float *scores) {
    const int64_t bytes = size * sizes[kind];
    int64_t t = kind == BF16 ? score_bf16((const uint16_t *)keys, (const uint16_t *)values, count, size, q, scores) : 0;
    for (; t + 4 <= count; t += 4) {
        for (int64_t i = 0; i < 4 * bytes; i += 64) __builtin_prefetch(values + t * bytes + i);
        tiles[kind][0][0](keys + t * bytes, size, q, 0, scores + t);
    }
    for (; t < count; t++) tiles[kind][2][0](keys + t * bytes, size, q, 0, scores + t);
}

// y = the sum of p[t] values[t], even and odd t in separate sums; the first `shared` values are those of row 0.
#define DEFINE_GATHER(name, type, load_v)                                                                         \
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
DEFINE_GATHER(gather_f32, float, load)
DEFINE_GATHER(gather_bf16, uint16_t, bf16_to_f32)

// scores become exp(scores - largest); return 1 / their sum.
static float softmax(float *scores, int64_t count) {
    const int64_t whole = (count + LANES - 1) / LANES * LANES;
    for (int64_t t = count; t < whole; t++) scores[t] = -1e30f;
    vf top = load(scores), sum = {0};
    for (int64_t t = LANES; t < whole; t += LANES) top = max_lanes(load(scores + t), top);
    const vf largest = splat(max_lane(top));
    for (int64_t t = 0; t < whole; t += LANES) {
        vf e = exp_lanes(load(scores + t) - largest);
        store(scores + t, e);
        sum += e;
    }
    return 1.0f / sum_lanes(sum);
}

// Attention of one row and head: store its new keys and values, then attend from each of `steps` queries to all
// positions up to its own.
static void attend(const Gpt *g, const Cache *c, int64_t layer, int64_t row, int64_t head, int64_t position,
                   int64_t steps, const float *qkv, float *y, float *scores) {
    const int64_t size = g->dim / g->heads, bytes = sizes[c->kind], at = layer * c->layer + head * c->head;
    const char *first[2] = {(char *)c->keys + at * bytes, (char *)c->values + at * bytes};
    char *own[2] = {(char *)first[0] + row * c->row * bytes, (char *)first[1] + row * c->row * bytes};
    qkv += row * steps * 3 * g->dim + head * size;
    y += row * steps * g->dim + head * size;
    for (int64_t s = 0; s < steps; s++)
        for (int part = 0; part < 2; part++)
            convert_to(qkv + (3 * s + 1 + part) * g->dim, own[part] + (position + s) * size * bytes, size, c->kind);
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
    float *qkv, *mixed, *wide;   // shared by all threads
    float *normed, *scores;      // of each thread
    Inputs inputs;
} Scratch;

// Bytes of scratch for one thread.
static int64_t thread_bytes(const Gpt *g, int64_t rows, int64_t positions) {
    return ALIGN(rows * g->dim * 4) + input_bytes(&g->blocks->narrow, rows) + 4 * ALIGN(positions) + 4 * ALIGN(g->dim);
}

// Bytes of scratch for `gpt_step`.
int64_t gpt_step_bytes(const Gpt *g, int64_t rows, int64_t positions, int64_t threads) {
    const int64_t shared = ALIGN(rows * g->dim * 8 * 4), own = thread_bytes(g, rows, positions);
    return 64 + shared + threads * own + counter_bytes(5 * g->layers, threads);
}

static void apply(const Linear *l, const float *x, float *y, int64_t rows, int epilogue, Scratch *s, Team *team) {
    const int64_t tasks = chunk_count(l);
    if (!phase_is_done(team, tasks)) {
        prepare_inputs(l, x, rows, &s->inputs);
        multiply(l, &s->inputs, y, rows, epilogue, team);
    }
    next_phase(team, tasks);
}

static void run(const Gpt *g, const Cache *c, float *x, float *y, int64_t batch, int64_t steps,
                const int64_t *positions, Scratch *s, Team *team) {
    const int64_t rows = batch * steps;
    for (int64_t layer = 0; layer < g->layers; layer++) {
        const Block *b = g->blocks + layer;
        layer_norm(x, s->normed, rows, g->dim, &b->before);
        apply(&b->qkv, s->normed, s->qkv, rows, SET, s, team);
        EACH(task, batch * g->heads, team)
            attend(g, c, layer, task % batch, task / batch, positions[task % batch], steps, s->qkv, s->mixed,
                   s->scores);
        next_phase(team, batch * g->heads);
        apply(&b->proj, s->mixed, x, rows, ADD, s, team);
        layer_norm(x, s->normed, rows, g->dim, &b->between);
        apply(&b->widen, s->normed, s->wide, rows, GELU, s, team);
        apply(&b->narrow, s->wide, x, rows, ADD, s, team);
    }
    if (team->thread == 0)
        for (int64_t i = 0; i < g->norms_count; i++) layer_norm(i ? y : x, y, rows, g->dim, g->norms + i);
}

// x (batch * steps, dim), overwritten, -> y (batch * steps, dim) after all blocks and norms. positions (batch,): those
// of the first of `steps` consecutive inputs. scratch: gpt_step_bytes, uninitialised.
void gpt_step(const Gpt *g, const Cache *c, float *x, float *y, int64_t batch, int64_t steps, const int64_t *positions,
              void *scratch, int64_t threads) {
    const int64_t rows = batch * steps;
    char *at = (char *)ALIGN((uintptr_t)scratch);
    int64_t *counters = (int64_t *)at;
    memset(counters, 0, counter_bytes(5 * g->layers, threads));
    at += counter_bytes(5 * g->layers, threads);
    Scratch all = {.qkv = (float *)at, .mixed = (float *)at + 3 * rows * g->dim,
        .wide = (float *)at + 4 * rows * g->dim};
    at += ALIGN(rows * g->dim * 8 * 4);
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    {
        Team team = {thread_number(), thread_count(), counters};
        TileConfig before;
        Scratch own = all;
        char *mine = at + team.thread * thread_bytes(g, rows, c->positions);
        own.normed = (float *)mine, mine += ALIGN(rows * g->dim * 4);
        place_inputs(&own.inputs, &g->blocks->narrow, rows, mine), mine += input_bytes(&g->blocks->narrow, rows);
        own.scores = (float *)mine;
        if (amx_allowed) configure_tiles(&before);
        run(g, c, x, y, batch, steps, positions, &own, &team);
        if (amx_allowed) restore_tiles(&before);
    }
}

// Bytes of scratch for `linear`.
int64_t linear_bytes(const Linear *l, int64_t rows, int64_t threads) {
    return 64 + counter_bytes(1, threads) + input_bytes(l, rows);
}

// y (rows, out) = x (rows, in) weight^T + bias. scratch: linear_bytes, uninitialised.
void linear(const Linear *l, const float *x, float *y, int64_t rows, void *scratch, int64_t threads) {
    int64_t *counters = (int64_t *)ALIGN((uintptr_t)scratch);
    memset(counters, 0, counter_bytes(1, threads));
    Inputs inputs;
    place_inputs(&inputs, l, rows, (char *)counters + counter_bytes(1, threads));
    prepare_inputs(l, x, rows, &inputs);
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    {
        Team team = {thread_number(), thread_count(), counters};
        TileConfig before;
        if (amx_allowed) configure_tiles(&before);
        multiply(l, &inputs, y, rows, SET, &team);
        if (amx_allowed) restore_tiles(&before);
    }
}

// Call once, before everything else: use AMX if `allowed` and the system grants it. Return 1 if so.
int64_t start(int64_t allowed) { return amx_allowed = allowed && request_amx(); }
