// A chain of layers over all frames of a signal in one call: convolutions, each with its norm and activation, and
// attention. See layer_chain.py.
//
// A signal is channels of frames, (channels, stride): vectors hold frames, and weights stay in torch's layout,
// (out, taps, in). An operand is the input of a convolution in the layout of its product, in panels of PANEL frames
// with one more on either side: (panels, words, WIDE) words of 32 bits, each a float or four 8-bit numbers of one frame.
// A thread takes a block of weights, which then stays in its cache, through all panels.
//
// A result never depends on how many rows or threads there are.
#include "linear.h"
#include "simd.h"
#include "threads.h"

#if LANES == 8
#define ROWS 4    // outputs of a tile, so that its sums stay in registers
#else
#define ROWS 8
#endif
#define VECS 3    // vectors of a tile
#define PANEL (VECS * LANES)
#define WIDE (PANEL + 2)
#define BLOCK 64  // outputs of a thread's task
#define DEEP 256  // words of a panel for all outputs of a block before the next words: they stay in the first cache
#define QUERIES (2 * LANES)  // queries of a thread's task

enum { CONVOLVE, ATTEND, ROTATE };
enum { NO_NORM, GROUP_NORM, RMS_NORM };
enum { NO_ACTIVATION, SILU, GEGLU };

typedef struct {
    int64_t kind;
    int64_t from, to, add;      // first channels of input and output in the signal; add: add to the output
    Linear linear;              // CONVOLVE: weight (out, taps, in); INT8: sums (taps, out)
    int64_t taps;               // 1 or 3
    int64_t norm, groups;       // of the input, with gain and shift (in,); RMS_NORM: gain alone
    const float *gain, *shift;
    double eps;
    int64_t modulation;         // index of the scale and shift after the norm; -1: none
    int64_t active;             // after that; GEGLU: of 2 in channels, the second half gates the first
    int64_t heads, size;        // ATTEND, ROTATE: heads of `size` channels
    int64_t head_stride;        // ATTEND: the query of head h begins at channel from + h * head_stride,
    int64_t part_stride;        //   its key `part_stride` channels later, its value as far again
    const float *table;         // ATTEND: (heads, table_stride) added to scores by query - key, 1 - frames first; or NULL
    int64_t table_stride;       //   ROTATE: (2, rotated / 2, table_stride) cosines and sines by frame
    int64_t rotated;            // ROTATE: rotated channels of a head, each of the first half with one of the second
} Op;

typedef struct {
    const Op *ops;
    int64_t count;
    float *signal;              // (rows, channels, stride)
    int64_t rows, channels, frames, stride;
    const float *modulations;   // (count, modulated, 2 width); `modulated`: rows, or 1 for all rows
    int64_t modulated, width;
    const int64_t *lengths;     // (rows,) number of keys to attend to; NULL: all
} Chain;

typedef struct { uint32_t *operand; float *size, *stats, *own; } Scratch;

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE vf select_lanes(vi mask, vf x) { return (vf)(mask & (vi)x); }
INLINE vi lanes(void) {
    vi v;
    for (int i = 0; i < LANES; i++) v[i] = i;
    return v;
}
INLINE vi before(int64_t first, int64_t end) { return lanes() + (int32_t)first < (int32_t)end - (vi){0}; }

static int64_t panels_of(int64_t frames) { return (frames + PANEL - 1) / PANEL; }
static int64_t vectors_of(int64_t frames, int64_t panel) {
    return least(VECS, (frames - panel * PANEL + LANES - 1) / LANES);
}
static int64_t words_of(const Op *op) { return op->linear.kind == INT8 ? op->linear.in / 4 : op->linear.in; }

// -- products

// sum[r][v] += the dot product of row r of a (rows `ra`, numbers `ka` apart) with vector v of b (rows `kb` apart).
INLINE void tile_floats(const float *a, int64_t ra, int64_t ka, const float *b, int64_t kb, int64_t count, int vecs,
                        vf sum[ROWS][VECS]) {
    vf acc[ROWS][VECS];
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = sum[r][v];
    for (int64_t k = 0; k < count; k++, a += ka, b += kb) {
        vf in[VECS];
        UNROLL for (int v = 0; v < vecs; v++) in[v] = load(b + v * LANES);
        UNROLL for (int r = 0; r < ROWS; r++) {
            const vf weight = splat(a[r * ra]);
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] += weight * in[v];
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int v = 0; v < vecs; v++) sum[r][v] = acc[r][v];
}

// Add four products of 8-bit numbers to each sum; x holds its numbers plus 128.
INLINE void add_four(vi *sum, vi x, vi w) {
#if LANES == 16 && defined(__AVX512VNNI__)
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));  // the intrinsic would spill the sums
#else
    for (int i = 0; i < 4; i++) *sum += ((x >> 8 * i) & 255) * ((w << (24 - 8 * i)) >> 24);
#endif
}

// `tile_floats` for 8-bit numbers; a word is four of them.
INLINE void tile_int8(const int8_t *a, int64_t ra, const uint32_t *b, int64_t words, int vecs, vi sum[ROWS][VECS]) {
    vi acc[ROWS][VECS];
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int v = 0; v < vecs; v++) acc[r][v] = sum[r][v];
    for (int64_t k = 0; k < words; k++, a += 4, b += WIDE) {
        vi in[VECS];
        UNROLL for (int v = 0; v < vecs; v++) memcpy(&in[v], b + v * LANES, sizeof in[v]);
        UNROLL for (int r = 0; r < ROWS; r++) {
            int32_t four;
            memcpy(&four, a + r * ra, 4);
            const vi weight = four - (vi){0};
            UNROLL for (int v = 0; v < vecs; v++) add_four(&acc[r][v], in[v], weight);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int v = 0; v < vecs; v++) sum[r][v] = acc[r][v];
}

// Compute outputs from..end-1 of a panel.
INLINE void outputs(const Op *op, int64_t from, int64_t end, const uint32_t *operand, const float *size, int vecs,
                    float *y, int64_t stride) {
    const Linear *l = &op->linear;
    const int64_t row_stride = op->taps * l->in, words = words_of(op), tiles = (end - from) / ROWS,
        first = 1 - op->taps / 2;
    vf sums[BLOCK / ROWS][ROWS][VECS] = {{{{0}}}};
    for (int64_t tap = 0; tap < op->taps; tap++) {
        vi whole[BLOCK / ROWS][ROWS][VECS] = {{{{0}}}};
        for (int64_t word = 0; word < words; word += DEEP) {
            const uint32_t *b = operand + word * WIDE + first + tap;
            const int64_t count = least(DEEP, words - word), at = from * row_stride + tap * l->in;
            for (int64_t tile = 0; tile < tiles; tile++) {
                const int64_t row = at + tile * ROWS * row_stride;
                if (l->kind == INT8) tile_int8((const int8_t *)l->weight + row + 4 * word, row_stride, b, count, vecs,
                                               whole[tile]);
                else tile_floats((const float *)l->weight + row + word, row_stride, 1, (const float *)b, WIDE, count,
                                 vecs, sums[tile]);
            }
        }
        if (l->kind != INT8) continue;
        vf by[VECS];
        UNROLL for (int v = 0; v < vecs; v++) by[v] = load(size + first + tap + v * LANES);
        for (int64_t i = 0; i < end - from; i++) {
            const int32_t more = 128 * l->sums[tap * l->out + from + i];
            UNROLL for (int v = 0; v < vecs; v++)
                sums[i / ROWS][i % ROWS][v] += __builtin_convertvector(whole[i / ROWS][i % ROWS][v] - more, vf) * by[v];
        }
    }
    for (int64_t i = 0; i < end - from; i++) {
        const vf scale = splat(l->kind == INT8 ? l->scale[from + i] : 1.0f), bias = splat(l->bias[from + i]);
        UNROLL for (int v = 0; v < vecs; v++) {
            float *to = y + i * stride + v * LANES;
            const vf made = sums[i / ROWS][i % ROWS][v] * scale + bias;
            store(to, op->add ? load(to) + made : made);
        }
    }
}
#define SIZED(vecs)                                                                                        \
    static void outputs_##vecs(const Op *op, int64_t from, int64_t end, const uint32_t *operand,           \
                               const float *size, float *y, int64_t stride) {                              \
        outputs(op, from, end, operand, size, vecs, y, stride);                                            \
    }
SIZED(1) SIZED(2) SIZED(3)

// Compute a block of outputs for all panels of a row.
static void output_block(const Chain *c, const Op *op, const Scratch *scratch, int64_t row, int64_t number) {
    const int64_t panels = panels_of(c->frames), words = words_of(op);
    const int64_t from = number * BLOCK, end = least(from + BLOCK, op->linear.out);
    for (int64_t panel = 0; panel < panels; panel++) {
        const uint32_t *operand = scratch->operand + (row * panels + panel) * words * WIDE;
        const float *size = scratch->size + (row * panels + panel) * WIDE;
        float *y = c->signal + (row * c->channels + op->to + from) * c->stride + panel * PANEL;
        const int64_t vecs = vectors_of(c->frames, panel);
        (vecs == 3 ? outputs_3 : vecs == 2 ? outputs_2 : outputs_1)(op, from, end, operand, size, y, c->stride);
    }
}

// -- operands

INLINE vf gelu_by_erf(vf x) {  // error 2e-7; Abramowitz and Stegun 7.1.26
    const vf size = (vf)((vi)x & 0x7fffffff) * splat(0.70710678118f),
        t = splat(1.0f) / (splat(1.0f) + splat(0.3275911f) * size);
    vf p = splat(1.061405429f);
    p = p * t - splat(1.453152027f);
    p = p * t + splat(1.421413741f);
    p = p * t - splat(0.284496736f);
    p = (p * t + splat(0.254829592f)) * t * exp_lanes(-size * size) * splat(0.5f);  // of the smaller tail
    const vi up = x > 0;
    return x * (vf)((up & (vi)(splat(1.0f) - p)) | (~up & (vi)p));
}

// Compute mean and 1 / deviation of a group, over its channels and all frames.
static void measure_group(const Chain *c, const Op *op, const Scratch *scratch, int64_t row, int64_t group) {
    const int64_t many = op->linear.in / op->groups, whole = c->frames / LANES * LANES;
    const float *x = c->signal + (row * c->channels + op->from + group * many) * c->stride;
    const vi rest = before(whole, c->frames);
    const float count = (float)(many * c->frames);
    vf sum = {0}, squares = {0};
    for (int64_t i = 0; i < many; i++) {
        for (int64_t f = 0; f < whole; f += LANES) sum += load(x + i * c->stride + f);
        if (whole < c->frames) sum += select_lanes(rest, load(x + i * c->stride + whole));
    }
    const float mean = sum_lanes(sum) / count;
    for (int64_t i = 0; i < many; i++) {
        for (int64_t f = 0; f < whole; f += LANES) { vf d = load(x + i * c->stride + f) - splat(mean);
            squares += d * d; }
        if (whole < c->frames) { vf d = select_lanes(rest, load(x + i * c->stride + whole) - splat(mean));
            squares += d * d; }
    }
    float *to = scratch->stats + 2 * (row * op->groups + group);
    to[0] = mean;
    to[1] = 1.0f / sqrtf(sum_lanes(squares) / count + (float)op->eps);
}

// Combine norm and modulation of a channel: y = x by + plus.
INLINE void channel_affine(const Chain *c, const Op *op, const Scratch *scratch, int64_t row, int64_t channel,
                           float *by, float *plus) {
    if (op->norm != GROUP_NORM) {
        *by = op->norm ? op->gain[channel] : 1.0f, *plus = 0.0f;
        return;
    }
    const float *stats = scratch->stats + 2 * (row * op->groups + channel / (op->linear.in / op->groups));
    float scale = stats[1] * op->gain[channel], shift = op->shift[channel] - stats[0] * scale;
    if (op->modulation >= 0) {
        const float *more = c->modulations + (op->modulation * c->modulated + row % c->modulated) * 2 * c->width;
        scale *= 1.0f + more[channel];
        shift = shift * (1.0f + more[channel]) + more[c->width + channel];
    }
    *by = scale, *plus = shift;
}

// Write one line of the operand into every panel that sees it: its own and, for the edges, the two beside it.
INLINE void write_line(uint32_t *panel, int64_t part_stride, int64_t number, int64_t panels, int64_t vecs,
                       const uint32_t *words) {
    memcpy(panel + 1, words, 4 * LANES * vecs);
    if (number == 0) panel[0] = 0;
    else panel[-part_stride + 1 + PANEL] = words[0];
    if (number + 1 == panels) panel[1 + LANES * vecs] = 0;
    else panel[part_stride] = words[PANEL - 1];
}

// root = 1 / root of the mean square, for each frame.
INLINE void inverse_rms(const float *x, int64_t stride, int64_t in, int64_t vecs, float eps, vf root[VECS]) {
    vf squares[VECS] = {{0}};
    for (int64_t channel = 0; channel < in; channel++)
        for (int64_t v = 0; v < vecs; v++) {
            const vf y = load(x + channel * stride + v * LANES);
            squares[v] += y * y;
        }
    for (int64_t v = 0; v < vecs; v++) {
        squares[v] = squares[v] / splat((float)in) + splat(eps);
        for (int i = 0; i < LANES; i++) root[v][i] = 1.0f / sqrtf(squares[v][i]);
    }
}

// Prepare the operand of a panel: normalised, modulated, activated and, for INT8, rounded, each frame by its own
// largest number; zeros beyond the last frame.
static void prepare_operand(const Chain *c, const Op *op, const Scratch *scratch, int64_t row, int64_t number) {
    const int64_t panels = panels_of(c->frames), words = words_of(op), in = op->linear.in;
    const int64_t vecs = vectors_of(c->frames, number);
    const int whole = op->linear.kind == INT8;
    const float *x = c->signal + (row * c->channels + op->from) * c->stride + number * PANEL;
    uint32_t *operand = scratch->operand + (row * panels + number) * words * WIDE, line[PANEL];
    float *values = whole ? scratch->own : (float *)line;
    vf top[VECS] = {{0}};
    vi there[VECS];
    vf root[VECS];
    for (int v = 0; v < VECS; v++) there[v] = before(number * PANEL + v * LANES, c->frames), root[v] = splat(1.0f);
    if (op->norm == RMS_NORM) inverse_rms(x, c->stride, in, vecs, (float)op->eps, root);
    for (int64_t channel = 0; channel < in; channel++) {
        float by, plus;
        channel_affine(c, op, scratch, row, channel, &by, &plus);
        for (int64_t v = 0; v < vecs; v++) {
            vf y = load(x + channel * c->stride + v * LANES) * root[v] * splat(by) + splat(plus);
            if (op->active == SILU) y = y / (splat(1.0f) + exp_lanes(-y));
            if (op->active == GEGLU) y = y * gelu_by_erf(load(x + (in + channel) * c->stride + v * LANES));
            y = select_lanes(there[v], y);
            top[v] = max_lanes((vf)((vi)y & 0x7fffffff), top[v]);
            store(values + v * LANES, y);
        }
        if (whole) values += PANEL;
        else write_line(operand + channel * WIDE, words * WIDE, number, panels, vecs, line);
    }
    if (!whole) return;
    const vf magic = splat(12582912.0f);
    vf scale[VECS];
    for (int64_t v = 0; v < vecs; v++) {
        vf size = top[v] / splat(127.0f);
        store((float *)line + v * LANES, size);
        scale[v] = select_lanes(top[v] > 0, splat(127.0f) / top[v]);
    }
    write_line((uint32_t *)scratch->size + (row * panels + number) * WIDE, WIDE, number, panels, vecs, line);
    for (int64_t word = 0; word < words; word++) {
        const float *four = scratch->own + 4 * word * PANEL;
        for (int64_t v = 0; v < vecs; v++) {
            vi all = {0};
            UNROLL for (int i = 0; i < 4; i++) {
                vi rounded = (vi)(load(four + i * PANEL + v * LANES) * scale[v] + magic) - 0x4b400000 + 128;
                all |= (rounded & 255) << (8 * i);
            }
            memcpy(line + v * LANES, &all, sizeof all);
        }
        write_line(operand + word * WIDE, words * WIDE, number, panels, vecs, line);
    }
}

// -- attention

// Attend from QUERIES queries of one head to all keys. scores (keys, QUERIES): a column for each query.
static void attend(const Chain *c, const Op *op, float *scores, int64_t row, int64_t head, int64_t first) {
    const int64_t size = op->size, stride = c->stride, frames = c->frames, keys = c->lengths ? c->lengths[row] : frames;
    const float *q = c->signal + (row * c->channels + op->from + head * op->head_stride) * stride;
    const float *k = q + op->part_stride * stride, *v = k + op->part_stride * stride;
    const float *bias = op->table ? op->table + head * op->table_stride + first + frames - 1 : NULL;
    float *y = c->signal + (row * c->channels + op->to + head * size) * stride + first;
    const int vecs = QUERIES / LANES;
    const vf scale = splat(1.0f / sqrtf((float)size));
    vf top[QUERIES / LANES], total[QUERIES / LANES] = {{0}};
    for (int i = 0; i < vecs; i++) top[i] = splat(-1e30f);
    for (int64_t key = 0; key < keys; key += ROWS) {
        vf sum[ROWS][VECS] = {{{0}}};
        tile_floats(k + key, 1, stride, q + first, stride, size, QUERIES / LANES, sum);
        for (int64_t r = 0; r < ROWS && key + r < keys; r++)
            for (int i = 0; i < vecs; i++) {
                const vf more = bias ? load(bias - key - r + i * LANES) : (vf){0}, score = sum[r][i] * scale + more;
                store(scores + (key + r) * QUERIES + i * LANES, score);
                top[i] = max_lanes(score, top[i]);
            }
    }
    for (int64_t key = 0; key < keys; key++)
        for (int i = 0; i < vecs; i++) {
            const vf e = exp_lanes(load(scores + key * QUERIES + i * LANES) - top[i]);
            store(scores + key * QUERIES + i * LANES, e);
            total[i] += e;
        }
    const int64_t vectors = least(vecs, (frames - first + LANES - 1) / LANES);
    for (int64_t channel = 0; channel < size; channel += ROWS) {
        vf sum[ROWS][VECS] = {{{0}}};
        tile_floats(v + channel * stride, stride, 1, scores, QUERIES, keys, QUERIES / LANES, sum);
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t i = 0; i < vectors; i++) store(y + (channel + r) * stride + i * LANES, sum[r][i] / total[i]);
    }
}

// Rotate the first `rotated` channels of a head in place: each of the first half with one of the second.
static void rotate(const Chain *c, const Op *op, int64_t row, int64_t head) {
    const int64_t half = op->rotated / 2;
    float *x = c->signal + (row * c->channels + op->from + head * op->size) * c->stride;
    for (int64_t i = 0; i < half; i++) {
        float *one = x + i * c->stride, *two = one + half * c->stride;
        const float *cosine = op->table + i * op->table_stride, *sine = cosine + half * op->table_stride;
        for (int64_t f = 0; f < c->frames; f += LANES) {
            const vf a = load(one + f), b = load(two + f), cs = load(cosine + f), sn = load(sine + f);
            store(one + f, a * cs - b * sn);
            store(two + f, b * cs + a * sn);
        }
    }
}

// -- the chain

static void run(const Chain *c, Scratch *scratch, Team *team) {
    const int64_t panels = panels_of(c->frames), strips = (c->frames + QUERIES - 1) / QUERIES;
    for (const Op *op = c->ops; op < c->ops + c->count; op++) {
        if (op->kind == ROTATE) {
            EACH(task, c->rows * op->heads, team) rotate(c, op, task / op->heads, task % op->heads);
            next_phase(team, c->rows * op->heads);
            continue;
        }
        if (op->kind == ATTEND) {
            const int64_t tasks = c->rows * op->heads * strips;
            EACH(task, tasks, team)
                attend(c, op, scratch->own, task / strips / op->heads, task / strips % op->heads,
                       task % strips * QUERIES);
            next_phase(team, tasks);
            continue;
        }
        if (op->norm == GROUP_NORM) {
            EACH(task, c->rows * op->groups, team) measure_group(c, op, scratch, task / op->groups, task % op->groups);
            next_phase(team, c->rows * op->groups);
        }
        EACH(task, c->rows * panels, team) prepare_operand(c, op, scratch, task / panels, task % panels);
        next_phase(team, c->rows * panels);
        const int64_t blocks = (op->linear.out + BLOCK - 1) / BLOCK;
        EACH(task, c->rows * blocks, team) output_block(c, op, scratch, task % c->rows, task / c->rows);
        next_phase(team, c->rows * blocks);
    }
}

typedef struct { int64_t operand, size, stats, own, counters; } Bytes;

static Bytes bytes_of(const Chain *c, int64_t threads) {
    const int64_t panels = panels_of(c->frames);
    int64_t words = 0, groups = 0, own = 4 * QUERIES * (c->frames + ROWS);
    for (const Op *op = c->ops; op < c->ops + c->count; op++) {
        if (op->kind != CONVOLVE) continue;
        words = words_of(op) > words ? words_of(op) : words;
        groups = op->groups > groups ? op->groups : groups;
        if (op->linear.kind == INT8 && 4 * op->linear.in * PANEL > own) own = 4 * op->linear.in * PANEL;
    }
    return (Bytes){ALIGN(c->rows * panels * words * WIDE * 4), ALIGN(c->rows * panels * WIDE * 4),
                   ALIGN(c->rows * groups * 8), ALIGN(own), counter_bytes(3 * c->count, threads)};
}

// Bytes of scratch for `chain`.
int64_t chain_bytes(const Chain *c, int64_t threads) {
    const Bytes b = bytes_of(c, threads);
    return 64 + b.operand + b.size + b.stats + threads * b.own + b.counters;
}

// Run all layers of a chain over its signal, in place.
void chain(const Chain *c, void *memory, int64_t threads) {
    const Bytes b = bytes_of(c, threads);
    char *at = (char *)ALIGN((uintptr_t)memory);
    int64_t *counters = (int64_t *)at;
    memset(counters, 0, b.counters);
    at += b.counters;
    Scratch all = {.operand = (uint32_t *)at, .size = (float *)(at + b.operand),
        .stats = (float *)(at + b.operand + b.size)};
    at += b.operand + b.size + b.stats;
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
    {
        Team team = {thread_number(), thread_count(), counters};
        Scratch own = all;
        own.own = (float *)(at + team.thread * b.own);
        run(c, &own, &team);
    }
}

// Stride of the channels of a signal of `frames`: whole vectors, but no multiple of 256, which would put all channels
// of a frame into the same few sets of a cache.
int64_t chain_stride(int64_t frames) {
    const int64_t whole = (frames + LANES - 1) / LANES * LANES;
    return whole % 256 ? whole : whole + LANES;
}

// 1: this processor multiplies 8-bit integers faster than floats.
int64_t has_integer_products(void) {
#if LANES == 16 && defined(__AVX512VNNI__)
    return 1;
#else
    return 0;
#endif
}
