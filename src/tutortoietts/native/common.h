// What the kernels here share: vectors of the processor's own length, linear layers, and threads that take tasks.
#pragma once
#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__AVX512F__) && !defined(PLAIN)
#define LANES 16
#elif defined(__AVX__) && !defined(PLAIN)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define LINE 8     // int64 in a cache line
#define SPINS 2000 // pauses before a waiting thread lets others run
#define ALIGN(n) (((n) + 63) / 64 * 64)

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));

enum { F32, BF16, INT8 };

typedef struct {           // y = x weight^T + bias
    const void *weight;    // (out, in) of `kind`
    const float *scale;    // INT8: (out,) of each row
    const int32_t *sums;   // INT8: (out,) of each row's whole numbers
    const float *bias;     // (out,)
    int64_t kind, in, out;
} Linear;

// -- vectors

INLINE vf load(const float *p) { vf v; memcpy(&v, p, sizeof v); return v; }
INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }
INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf larger(vf a, vf b) { vi m = a > b; return (vf)((m & (vi)a) | (~m & (vi)b)); }
INLINE vf smaller(vf a, vf b) { vi m = a < b; return (vf)((m & (vi)a) | (~m & (vi)b)); }
INLINE float sum_of(vf v) {
    float s[LANES]; memcpy(s, &v, sizeof v);
    for (int w = LANES / 2; w; w /= 2) for (int i = 0; i < w; i++) s[i] += s[i + w];
    return s[0];
}
INLINE vf exponential(vf x) {  // to 1e-7; Cephes' polynomial
    x = smaller(larger(x, splat(-87.0f)), splat(88.0f));
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

// -- threads

typedef struct { int64_t thread, threads; int64_t *counters; } Team;

// A phase is over when all its tasks are done, whether every thread came or not: one that the system has put to sleep
// holds nobody up but with the task in its hands, and finds its inputs unchanged as long as there is a task to take.

static int over(const Team *team, int64_t tasks) {
    return __atomic_load_n(team->counters + LINE * team->threads, __ATOMIC_ACQUIRE) == tasks;
}

// Runs the block that follows for every task: first those of this thread's own range, then what others have left.
#define EACH(task, count, team)                                                                            \
    for (int64_t help_ = 0; help_ < (team)->threads; help_++)                                              \
        for (int64_t who_ = ((team)->thread + help_) % (team)->threads,                                    \
                     start_ = (count) * who_ / (team)->threads, stop_ = (count) * (who_ + 1) / (team)->threads, task; \
             (task = start_ + __atomic_fetch_add((team)->counters + LINE * who_, 1, __ATOMIC_RELAXED)) < stop_; \
             __atomic_fetch_add((team)->counters + LINE * (team)->threads, 1, __ATOMIC_RELEASE))

static void next_phase(Team *team, int64_t tasks) {
    for (int64_t tries = 0; !over(team, tasks); tries++) {
        if (tries > SPINS) sched_yield();
#if defined(__x86_64__) || defined(__i386__)
        else __builtin_ia32_pause();
#endif
    }
    team->counters += LINE * (team->threads + 1);
}

static int64_t counter_bytes(int64_t phases, int64_t threads) { return 8 * LINE * phases * (threads + 1); }

static inline int64_t thread_number(void) {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static inline int64_t thread_count(void) {
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}
