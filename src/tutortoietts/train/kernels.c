// Fused bfloat16 pieces of a training step on a CPU: see kernels.py. Built with -O3 -march=native -ffast-math.
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float widen(uint16_t b) { uint32_t u = (uint32_t)b << 16; float f; memcpy(&f, &u, 4); return f; }
static inline uint16_t narrow(float f) {
    uint32_t u; memcpy(&u, &f, 4);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

// y = gelu(x) by the tanh approximation, d = its derivative.
void gelu(const uint16_t *restrict x, uint16_t *restrict y, uint16_t *restrict d, int64_t n) {
    const float c = 0.7978845608f, k = 0.044715f;
    for (int64_t i = 0; i < n; i++) {
        float f = widen(x[i]), f2 = f * f;
        float u = 2.0f * c * f * (1.0f + k * f2);
        u = u > 30.0f ? 30.0f : u < -30.0f ? -30.0f : u;
        float t = 1.0f - 2.0f / (expf(u) + 1.0f);
        y[i] = narrow(0.5f * f * (1.0f + t));
        d[i] = narrow(0.5f * (1.0f + t) + 0.5f * f * (1.0f - t * t) * c * (1.0f + 3.0f * k * f2));
    }
}

// In place: rows of (count, size, size) scores become causal softmax(scale * scores); later keys become 0.
void causal_softmax(uint16_t *scores, int64_t count, int64_t size, float scale) {
    for (int64_t r = 0; r < count * size; r++) {
        uint16_t *s = scores + r * size;
        int64_t n = r % size + 1;
        float line[n], top = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) { line[j] = widen(s[j]) * scale; top = line[j] > top ? line[j] : top; }
        for (int64_t j = 0; j < n; j++) { line[j] = expf(line[j] - top); sum += line[j]; }
        float inverse = 1.0f / sum;
        for (int64_t j = 0; j < n; j++) s[j] = narrow(line[j] * inverse);
        memset(s + n, 0, 2 * (size - n));
    }
}

// In place: g, the gradient of the probabilities p, becomes that of the scores.
void causal_softmax_backward(const uint16_t *p, uint16_t *g, int64_t count, int64_t size, float scale) {
    for (int64_t r = 0; r < count * size; r++) {
        const uint16_t *q = p + r * size;
        uint16_t *s = g + r * size;
        int64_t n = r % size + 1;
        float sum = 0;
        for (int64_t j = 0; j < n; j++) sum += widen(q[j]) * widen(s[j]);
        for (int64_t j = 0; j < n; j++) s[j] = narrow(widen(q[j]) * (widen(s[j]) - sum) * scale);
        memset(s + n, 0, 2 * (size - n));
    }
}
