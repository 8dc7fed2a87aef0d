/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/thread.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef KV_LOCK_CHECKS

enum { HELD_MAX = 640 }; /* a batch of fs/core may hold all its stripes, 512 */
static __thread const struct mutex *held[HELD_MAX];
static __thread unsigned held_count;

static void check_order(const struct mutex *m, bool same_rank_allowed)
{
    for (unsigned i = 0; i < held_count; i++) {
        bool fine = held[i]->rank < m->rank || (same_rank_allowed && held[i]->rank == m->rank);
        if (!fine) {
            fprintf(stderr, "lock order: taking %s (%d) while holding %s (%d)\n", m->name, m->rank,
                    held[i]->name, held[i]->rank);
            abort();
        }
    }
}

static void note_locked(struct mutex *m)
{
    assert(held_count < HELD_MAX);
    held[held_count++] = m;
    m->owner = pthread_self();
    m->held = true;
}

static void note_unlocked(struct mutex *m)
{
    for (unsigned i = held_count; i-- > 0;) {
        if (held[i] == m) {
            held[i] = held[--held_count];
            m->held = false;
            return;
        }
    }
    fprintf(stderr, "unlocking %s, which this thread does not hold\n", m->name);
    abort();
}

void mutex_assert_held(const struct mutex *m)
{
    assert(m->held && pthread_equal(m->owner, pthread_self()));
}

#else

static void check_order(const struct mutex *m, bool same_rank_allowed)
{
    (void)m;
    (void)same_rank_allowed;
}

static void note_locked(struct mutex *m)
{
    (void)m;
}

static void note_unlocked(struct mutex *m)
{
    (void)m;
}

void mutex_assert_held(const struct mutex *m)
{
    (void)m;
}

#endif

void mutex_init(struct mutex *m, enum lock_rank rank, const char *name)
{
    *m = (struct mutex){.rank = rank, .name = name};
    pthread_mutex_init(&m->handle, NULL);
}

void mutex_finish(struct mutex *m)
{
    pthread_mutex_destroy(&m->handle);
}

void mutex_lock(struct mutex *m) NO_LOCK_ANALYSIS
{
    check_order(m, false);
    pthread_mutex_lock(&m->handle);
    note_locked(m);
}

void mutex_lock_same_rank(struct mutex *m) NO_LOCK_ANALYSIS
{
    check_order(m, true);
    pthread_mutex_lock(&m->handle);
    note_locked(m);
}

bool mutex_trylock(struct mutex *m) NO_LOCK_ANALYSIS
{
    if (pthread_mutex_trylock(&m->handle) != 0) {
        return false;
    }
    note_locked(m);
    return true;
}

void mutex_unlock(struct mutex *m) NO_LOCK_ANALYSIS
{
    note_unlocked(m);
    pthread_mutex_unlock(&m->handle);
}

void condvar_init(struct condvar *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->handle, &attr);
    pthread_condattr_destroy(&attr);
}

void condvar_finish(struct condvar *c)
{
    pthread_cond_destroy(&c->handle);
}

void condvar_wait(struct condvar *c, struct mutex *m) NO_LOCK_ANALYSIS
{
    note_unlocked(m);
    pthread_cond_wait(&c->handle, &m->handle);
    note_locked(m);
}

bool condvar_wait_until(struct condvar *c, struct mutex *m, uint64_t deadline_ns) NO_LOCK_ANALYSIS
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000ULL),
                                .tv_nsec = (long)(deadline_ns % 1000000000ULL)};
    note_unlocked(m);
    int r = pthread_cond_timedwait(&c->handle, &m->handle, &deadline);
    note_locked(m);
    return r != ETIMEDOUT;
}

void condvar_signal(struct condvar *c)
{
    pthread_cond_signal(&c->handle);
}

void condvar_broadcast(struct condvar *c)
{
    pthread_cond_broadcast(&c->handle);
}

int thread_start(struct thread *t, const char *name, void *(*main)(void *), void *arg)
{
    sigset_t all;
    sigset_t before;
    int r;

    /* Signals are for the main thread; a worker inherits the mask of its maker. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&t->handle, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        return -r;
    }
    pthread_setname_np(t->handle, name);
    return 0;
}

void thread_join(struct thread *t)
{
    pthread_join(t->handle, NULL);
}
