/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, mutexes and condition variables: the only file that sees pthread.
 *
 * Every mutex has a rank (lock_rank.h). With KV_LOCK_CHECKS a thread that takes a mutex whose rank
 * is not above the ranks it already holds aborts with both names, and mutex_assert_held() checks
 * the owner. The annotations let clang's -Wthread-safety prove most of it at compile time. */
#ifndef KVCORE_UTIL_THREAD_H
#define KVCORE_UTIL_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <kv/error.h>

#include "kvcore/util/lock_rank.h"

#if defined(__clang__)
#define THREAD_ATTR(x) __attribute__((x))
#else
#define THREAD_ATTR(x)
#endif
/* For the reader: in C, clang before 20 cannot parse a field that names another field of its
 * struct. */
#define GUARDED_BY(m)
#define REQUIRES(...)    THREAD_ATTR(requires_capability(__VA_ARGS__))
#define EXCLUDES(...)    THREAD_ATTR(locks_excluded(__VA_ARGS__))
#define ACQUIRES(...)    THREAD_ATTR(acquire_capability(__VA_ARGS__))
#define RELEASES(...)    THREAD_ATTR(release_capability(__VA_ARGS__))
#define NO_LOCK_ANALYSIS THREAD_ATTR(no_thread_safety_analysis)

struct THREAD_ATTR(capability("mutex")) mutex {
    pthread_mutex_t handle;
    enum lock_rank rank;
    const char *name;
#ifdef KV_LOCK_CHECKS
    pthread_t owner;
    bool held;
#endif
};

void mutex_init(struct mutex *m, enum lock_rank rank, const char *name);
void mutex_finish(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRES(m);
/* Like mutex_lock() for a second mutex of the same rank; the caller orders them by address. */
void mutex_lock_same_rank(struct mutex *m) ACQUIRES(m);
bool mutex_trylock(struct mutex *m) THREAD_ATTR(try_acquire_capability(true, m));
void mutex_unlock(struct mutex *m) RELEASES(m);
void mutex_assert_held(const struct mutex *m) THREAD_ATTR(assert_capability(m));

struct condvar {
    pthread_cond_t handle;
};

void condvar_init(struct condvar *c);
void condvar_finish(struct condvar *c);
void condvar_wait(struct condvar *c, struct mutex *m) REQUIRES(m);
/* Wait until signalled or clock_monotonic_ns() reaches `deadline_ns`; false when it did. */
bool condvar_wait_until(struct condvar *c, struct mutex *m, uint64_t deadline_ns) REQUIRES(m);
void condvar_signal(struct condvar *c);
void condvar_broadcast(struct condvar *c);

struct thread {
    pthread_t handle;
};

/* Start `main` with all signals blocked. `name` has at most 15 bytes. Errors: -EAGAIN, -EINVAL. */
KV_MUST_CHECK int thread_start(struct thread *t, const char *name, void *(*main)(void *),
                               void *arg);
void thread_join(struct thread *t);

/* A number that threads living at the same time do not share; the same at every call of a thread.
 */
static inline uint64_t thread_token(void)
{
    return (uint64_t)(uintptr_t)pthread_self();
}

#endif
