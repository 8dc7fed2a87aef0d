/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/watch.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kvcore/util/clock.h"

enum {
    TICK_MS = 1,
    REST_MS = 10, /* then see whether anybody looks after the others */
    IDLE_TICKS = 10,
    CALM_MAX = 128,  /* then one waits alone */
    CALM_MIN = 64,   /* and below this all together */
    CALM_CLIENT = 8, /* so many requests make up for one of another thread than the one before */
    SKIPPED_MAX = 64,
};
#define SPIN_NS 50000   /* longer than a client takes from one call to the next */
#define RARE_NS 1000000 /* requests that are further apart are not worth it */

/* What a worker remembers from one request to the next. */
static _Thread_local struct {
    uint64_t taken_ns; /* when it got the last one; 0: none yet */
    unsigned missed;   /* looks in vain, one after the other: the longer, the rarer */
    unsigned skip;     /* so many requests without looking for the next */
} worker;

int watch_init(struct watch *w, unsigned processors)
{
    *w = (struct watch){.together_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK),
                        .may_be_alone = processors > 1};
    mutex_init(&w->mu, LOCK_RANK_LEAF, "watch");
    return w->together_fd < 0 ? -EMFILE : 0;
}

void watch_finish(struct watch *w)
{
    if (w->together_fd >= 0) {
        close(w->together_fd);
    }
    mutex_finish(&w->mu);
}

static void set_alone(struct watch *w, bool alone)
{
    if (atomic_load_explicit(&w->alone, memory_order_relaxed) == alone) {
        return;
    }
    eventfd_t gone;
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* with the mutex nobody may end */
    mutex_lock(&w->mu);
    if (atomic_load(&w->alone) != alone) {
        atomic_store(&w->alone, alone);
        if (alone) {
            (void)eventfd_read(w->together_fd, &gone);
        } else {
            (void)eventfd_write(w->together_fd, 1);
        }
    }
    mutex_unlock(&w->mu);
    pthread_setcancelstate(cancel, NULL);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    return poll(&waiting, 1, timeout_ms) != 0;
}

/* How all should wait, after one more sign for one waiting alone (above 0) or against it. */
static void judge(struct watch *w, int sign)
{
    int calm = atomic_load_explicit(&w->calm, memory_order_relaxed);
    if (!w->may_be_alone ||
        (sign > 0 && calm >= CALM_MAX && atomic_load_explicit(&w->alone, memory_order_relaxed))) {
        return;
    }
    calm = calm + sign < 0 ? 0 : calm + sign;
    atomic_store_explicit(&w->calm, calm, memory_order_relaxed);
    if (calm >= CALM_MAX || calm < CALM_MIN) {
        set_alone(w, calm >= CALM_MAX);
    }
}

/* The request that this worker got last is served. If that took its time, and somebody waited for
 * it, then one is not enough. */
static void note_served(struct watch *w, int fd)
{
    uint64_t taken_ns = worker.taken_ns;
    worker.taken_ns = 0;
    if (taken_ns != 0 && clock_monotonic_ns() - taken_ns > SPIN_NS && is_readable(fd, 0)) {
        judge(w, -CALM_MAX);
    }
}

/* What has no thread (FORGET and the like, written pages; also a client that the daemon cannot see)
 * says nothing of how many there are. */
static void note_taken(struct watch *w, const struct fuse_in_header *head)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t before = atomic_exchange_explicit(&w->taken_ns, now, memory_order_relaxed);
    worker.taken_ns = now;
    if (head->pid != 0 && atomic_load_explicit(&w->client, memory_order_relaxed) != head->pid) {
        atomic_store_explicit(&w->client, head->pid, memory_order_relaxed);
        judge(w, -CALM_CLIENT);
    } else {
        judge(w, now - before < RARE_NS ? 1 : -1);
    }
}

/* One of those who rest: until all are to come back, or it sees that they should. */
static void look_after(struct watch *w, int fd)
{
    uint64_t before = atomic_load(&w->taken_ns);
    unsigned idle = 0;
    while (!is_readable(w->together_fd, TICK_MS)) {
        uint64_t now = atomic_load(&w->taken_ns);
        idle = now == before ? idle + 1 : 0;
        if (idle > 0 && (idle >= IDLE_TICKS || is_readable(fd, 0))) {
            judge(w, -CALM_MAX);
        }
        before = now;
    }
}

static void rest(struct watch *w, int fd)
{
    if (atomic_exchange(&w->looked_after, true)) {
        (void)is_readable(w->together_fd, REST_MS);
        return;
    }
    look_after(w, fd);
    atomic_store(&w->looked_after, false);
}

/* Until this worker may wait at the device; counts it among the readers. */
static void take_turn(struct watch *w, int fd)
{
    for (;;) {
        unsigned none = 0;
        if (!atomic_load(&w->alone)) {
            atomic_fetch_add(&w->readers, 1);
            return;
        }
        if (atomic_compare_exchange_strong(&w->readers, &none, 1)) {
            return;
        }
        rest(w, fd);
    }
}

/* Look for a request for a while, unless that was in vain lately. */
static void spin(int fd)
{
    if (worker.skip > 0) {
        worker.skip--;
        return;
    }
    uint64_t end = clock_monotonic_ns() + SPIN_NS;
    do {
        if (is_readable(fd, 0)) {
            worker.missed = 0;
            return;
        }
    } while (clock_monotonic_ns() < end);
    worker.missed += worker.missed < SKIPPED_MAX ? worker.missed + 1 : 0;
    worker.skip = worker.missed;
}

ssize_t watch_read(struct watch *w, int fd, void *buffer, size_t size)
{
    note_served(w, fd);
    take_turn(w, fd);
    if (atomic_load_explicit(&w->alone, memory_order_relaxed)) {
        spin(fd);
    }
    ssize_t got = read(fd, buffer, size);
    int error = errno;
    atomic_fetch_sub(&w->readers, 1);
    if (got >= (ssize_t)sizeof(struct fuse_in_header)) {
        note_taken(w, buffer);
    }
    errno = error;
    return got;
}
