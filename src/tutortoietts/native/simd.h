// Vectors of the processor's own length, and their arithmetic.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

// LANES: numbers of 32 bits in a vector. PLAIN: as a processor without AVX.
#if defined(__AVX512F__) && !defined(PLAIN)
#define LANES 16
#elif defined(__AVX__) && !defined(PLAIN)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define ALIGN(n) (((n) + 63) / 64 * 64)

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));

INLINE vf load(const float *p) { vf v; memcpy(&v, p, sizeof v); return v; }
INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }
INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf max_lanes(vf a, vf b) { vi m = a > b; return (vf)((m & (vi)a) | (~m & (vi)b)); }
INLINE vf min_lanes(vf a, vf b) { vi m = a < b; return (vf)((m & (vi)a) | (~m & (vi)b)); }
INLINE float sum_lanes(vf v) {
    float s[LANES]; memcpy(s, &v, sizeof v);
    for (int w = LANES / 2; w; w /= 2) for (int i = 0; i < w; i++) s[i] += s[i + w];
    return s[0];
}
INLINE vf exp_lanes(vf x) {  // relative error 1e-7; the polynomial of Cephes
    x = min_lanes(max_lanes(x, splat(-87.0f)), splat(88.0f));
    vf t = x * splat(1.44269504088896341f) + splat(12582912.0f), n = t - splat(12582912.0f);
    vf r = x - n * splat(0.693359375f);
    r = r + n * splat(2.12194440e-4f);
    vf p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * (r * r) + r + splat(1.0f);
    return (vf)((vi)p + (((vi)t - 0x4b400000) << 23));
}

