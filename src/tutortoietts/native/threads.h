// A team of threads that share the tasks of a phase, and wait for each other between phases.
#pragma once
#include <sched.h>
#include <stdint.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#define LINE 8     // int64 in a cache line
#define SPINS 2000 // pauses before a waiting thread lets others run

// counters: for each phase one for each thread, tasks taken, and one more, tasks done; a cache line each
typedef struct { int64_t thread, threads; int64_t *counters; } Team;

// A phase ends when all its tasks are done, whether or not every thread took part: a thread that the system has put to
// sleep delays the others only by the task that it holds, and its inputs stay unchanged while tasks are left.

static int phase_is_done(const Team *team, int64_t tasks) {
    return __atomic_load_n(team->counters + LINE * team->threads, __ATOMIC_ACQUIRE) == tasks;
}

// Run the block that follows for every task: first those of this thread's own range, then those that others have left.
#define EACH(task, count, team)                                                                            \
    for (int64_t offset_ = 0; offset_ < (team)->threads; offset_++)                                              \
        for (int64_t owner_ = ((team)->thread + offset_) % (team)->threads,                                    \
                     start_ = (count) * owner_ / (team)->threads, stop_ = (count) * (owner_ + 1) / (team)->threads, task; \
             (task = start_ + __atomic_fetch_add((team)->counters + LINE * owner_, 1, __ATOMIC_RELAXED)) < stop_; \
             __atomic_fetch_add((team)->counters + LINE * (team)->threads, 1, __ATOMIC_RELEASE))

// Wait until the phase is done, then go on to the next.
static void next_phase(Team *team, int64_t tasks) {
    for (int64_t tries = 0; !phase_is_done(team, tasks); tries++) {
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
