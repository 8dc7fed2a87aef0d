/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/worker.h"

#include <stdatomic.h>

#include "kvcore/db/compact.h"
#include "kvcore/db/dead_probe.h"
#include "kvcore/db/flush.h"
#include "kvcore/db/follow.h"
#include "kvcore/db/followers.h"
#include "kvcore/db/health.h"
#include "kvcore/db/large.h"
#include "kvcore/db/reclaim.h"
#include "kvcore/db/space.h"
#include "kvcore/db/suspect.h"
#include "kvcore/db/sync.h"
#include "kvcore/db/view.h"
#include "kvcore/db/warm.h"
#include "kvcore/db/write.h"
#include "kvcore/util/clock.h"

enum { RETRY_FIRST_MS = 100, RETRY_MAX_MS = 10000 };

/* A device may refuse writes while it tells of room: do not change one's mind at once. */
static const uint64_t full_min_ms = 1000;
static const uint64_t space_check_ms = 500;       /* between looks for room on a full device */
static const uint64_t space_watch_ms = 2000;      /* between looks how much is free */
static const uint64_t generation_age_ms = 300000; /* rows wait no longer to be flushed */
static const uint64_t idle_ms = 5000; /* without a write before deletes are flushed, and more than
                                       * is due is merged */

static const uint64_t ns_per_ms = 1000000;

static bool stopping(const struct kv_store *store)
{
    return atomic_load(&store->stopping);
}

void workers_wake(struct kv_store *store)
{
    mutex_lock(&store->mu);
    store->work_count++;
    condvar_broadcast(&store->work);
    mutex_unlock(&store->mu);
}

/* Sleep until stopped or the time is over. */
static void pause_for(struct kv_store *store, unsigned ms)
{
    uint64_t until = clock_monotonic_ns() + ms * ns_per_ms;
    mutex_lock(&store->mu);
    while (!stopping(store) && condvar_wait_until(&store->work, &store->mu, until)) {
    }
    mutex_unlock(&store->mu);
}

unsigned workers_next_pause(unsigned pause_ms)
{
    pause_ms = pause_ms == 0 ? RETRY_FIRST_MS : pause_ms * 2;
    return pause_ms < RETRY_MAX_MS ? pause_ms : RETRY_MAX_MS;
}

/* After failed work: say so, wait, let the caller try again. */
static void back_off(struct kv_store *store, const char *what, int error, unsigned *pause_ms)
{
    *pause_ms = workers_next_pause(*pause_ms);
    count_add(&store->counters.write_errors, 1);
    if (space_failed(store, error) != -ENOSPC) {
        health_set(store, KV_HEALTH_DEGRADED, error, what);
    }
    pause_for(store, *pause_ms);
}

/* Before the flush thread joins the queue of writers, and after: a leader that waits for a flush
 * then flushes itself. */
static void set_queued(struct kv_store *store, bool queued)
{
    mutex_lock(&store->mu);
    atomic_store(&store->flusher_queued, queued);
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
}

static int do_in_queue(struct kv_store *store, int (*fn)(struct kv_store *))
{
    set_queued(store, true);
    int r = fn(store);
    set_queued(store, false);
    return r;
}

/* A log sync failed: rewrite everything unsynced to tables. If that fails as well the store cannot
 * keep its word any more: no writes until reopened. Unless it fails for want of space: then all is
 * in memory as it was, syncs go on failing, and the error returned says to try again later. */
static int rescue(struct kv_store *store)
{
    int r = do_in_queue(store, flush_all);
    uint64_t sequence = 0;

    if (space_is_full(r)) {
        return space_failed(store, r);
    }

    mutex_lock(&store->manifest_mu);
    sequence = store->flushed_sequence;
    mutex_unlock(&store->manifest_mu);
    mutex_lock(&store->mu);
    store->rescue_wanted = false;
    mutex_unlock(&store->mu);
    if (r < 0) {
        atomic_store(&store->read_only_error, EROFS);
        health_set(store, KV_HEALTH_READ_ONLY, r,
                   "syncing the log failed and so did rewriting the rows; reopen the store");
        return 0;
    }
    sync_rescued(store, sequence);
    health_clear(store);
    return 0;
}

void workers_stand_in(struct kv_store *store)
{
    bool wanted;

    if (!store->options.no_background || store->options.read_only) {
        return;
    }
    space_check(store);
    suspects_save(store);
    followers_look_in_turn(store);
    mutex_lock(&store->mu);
    wanted = store->rescue_wanted;
    mutex_unlock(&store->mu);
    if (wanted) {
        kv_ignore(rescue(store)); /* what it is to mend still fails for its own reason */
    }
}

/* Rows do not stay in memory for ever when nothing more comes, not long behind a stream of large
 * values, and not at all on a full device, where the tombstones among them are what gives space
 * back. */
static bool generation_is_old(struct kv_store *store)
{
    uint64_t age = clock_monotonic_ns() - atomic_load(&store->rotated_ns);
    struct view *view = view_acquire(store);
    bool enough = large_is_enough(store, view->active, 1);

    view_release(view);
    return enough ||
           age > (atomic_load(&store->full) ? space_check_ms : generation_age_ms) * ns_per_ms;
}

/* When rows were last seen to come, by somebody who looks now and then. */
struct idle_watch {
    uint64_t sequence;
    uint64_t since_ns;
};

static void watch_idle(struct kv_store *store, struct idle_watch *watch)
{
    uint64_t sequence = visible_sequence(store);
    uint64_t now = clock_monotonic_ns();
    bool idle;

    if (sequence != watch->sequence || watch->since_ns == 0) {
        *watch = (struct idle_watch){.sequence = sequence, .since_ns = now};
    }
    idle = now - watch->since_ns > idle_ms * ns_per_ms;
    if (atomic_exchange(&store->idle, idle) != idle && idle) {
        workers_wake(store);
    }
}

/* Deletes of ranges, or of very many keys, hide what only merging gives back: they go to a table
 * soon after the last write. */
static bool deletes_are_due(const struct kv_store *store)
{
    return atomic_load(&store->deletes_wait) && atomic_load(&store->idle);
}

static void wait_for_flush(struct kv_store *store) REQUIRES(&store->mu)
{
    uint64_t ms = atomic_load(&store->full) ? space_check_ms : space_watch_ms;
    condvar_wait_until(&store->work, &store->mu, clock_monotonic_ns() + ms * ns_per_ms);
}

/* Look at the device: at once whether a full one has room again, else now and then. */
static void watch_space(struct kv_store *store, uint64_t *watched_ns)
{
    uint64_t now = clock_monotonic_ns();
    if (now - atomic_load(&store->full_ns) > full_min_ms * ns_per_ms) {
        space_check(store);
    }
    if (now - *watched_ns >= space_watch_ms * ns_per_ms) {
        space_watch(store);
        followers_look(store);
        *watched_ns = now;
    }
}

static bool flush_is_due(struct kv_store *store) REQUIRES(&store->mu)
{
    return store->view->immutable_count > 0 || store->rescue_wanted;
}

static void *flush_main(void *arg)
{
    struct kv_store *store = arg;
    struct idle_watch watch = {0};
    uint64_t watched_ns = clock_monotonic_ns();
    unsigned pause_ms = 0;

    for (;;) {
        bool wanted;
        int r;
        mutex_lock(&store->mu);
        if (!stopping(store) && !flush_is_due(store)) {
            wait_for_flush(store);
        }
        wanted = store->rescue_wanted;
        mutex_unlock(&store->mu);
        if (stopping(store)) {
            return NULL;
        }
        if (wanted) {
            r = rescue(store);
            if (r < 0) {
                back_off(store, "rewriting unsynced rows fails; trying again", r, &pause_ms);
            }
            continue;
        }
        suspects_save(store);
        watch_space(store, &watched_ns);
        watch_idle(store, &watch);
        r = deletes_are_due(store) || generation_is_old(store) ? do_in_queue(store, write_rotate)
                                                               : 0;
        r = r < 0 ? r : flush_one(store);
        if (r < 0) {
            back_off(store, "writing memtables to tables fails; trying again", r, &pause_ms);
        } else if (pause_ms != 0) {
            pause_ms = 0;
            health_clear(store);
        }
    }
}

/* Wait until somebody woke the workers since `seen` was read. */
static void wait_for_work(struct kv_store *store, uint64_t seen)
{
    mutex_lock(&store->mu);
    while (!stopping(store) && store->work_count == seen) {
        condvar_wait(&store->work, &store->mu);
    }
    mutex_unlock(&store->mu);
}

/* Take steps as long as there is something to do; a step returns 1, 0 nothing to do, or an error.
 */
static void work(struct kv_store *store, int (*step)(struct kv_store *), const char *failing)
{
    unsigned pause_ms = 0;

    while (!stopping(store)) {
        uint64_t seen;
        int r;
        mutex_lock(&store->mu);
        seen = store->work_count;
        mutex_unlock(&store->mu);
        r = step(store);
        if (r == 0) {
            wait_for_work(store, seen);
        } else if (r < 0 && r != -ECANCELED) {
            back_off(store, failing, r, &pause_ms);
        } else if (pause_ms != 0) {
            pause_ms = 0;
            health_clear(store);
        }
    }
}

static void *compact_main(void *arg)
{
    work(arg, compact_one, "merging tables fails; trying again");
    return NULL;
}

static int reclaim_one(struct kv_store *store)
{
    return reclaim_step(store, atomic_load(&store->full));
}

/* A thread of its own: it joins the queue of writers, whose leader may wait for a flush or a merge.
 */
static void *reclaim_main(void *arg)
{
    work(arg, reclaim_one, "giving back dead bytes of large values fails; trying again");
    return NULL;
}

static void *sync_main(void *arg)
{
    struct kv_store *store = arg;

    while (!stopping(store)) {
        pause_for(store, store->options.sync_interval_ms);
        if (!stopping(store)) {
            kv_ignore(
                kv_sync(store)); /* a failure is recorded in sync.c and told to whoever asks */
        }
    }
    return NULL;
}

static void *follow_main(void *arg)
{
    struct kv_store *store = arg;
    int before = 0;

    while (!stopping(store)) {
        pause_for(store, FOLLOW_INTERVAL_MS);
        int r = stopping(store) ? 0 : follow_step(store);
        if (r == -ESTALE && r != before) {
            health_set(store, KV_HEALTH_DEGRADED, r,
                       "another store, or an older state of this one, was put in its place: what "
                       "was seen last is shown until it is opened again");
        } else if (r < 0 && r != before) {
            health_set(
                store, KV_HEALTH_DEGRADED, r,
                "cannot see what the writer does, what was seen last is shown; trying again");
        } else if (r >= 0 && before < 0) {
            health_clear(store);
        }
        before = r < 0 ? r : 0;
    }
    return NULL;
}

static int start(struct kv_store *store, const char *name, void *(*main)(void *))
{
    int r = thread_start(&store->workers[store->worker_count], name, main, store);
    store->worker_count += r == 0;
    return r;
}

int workers_start(struct kv_store *store)
{
    int r = 0;
    if (store->options.no_background) {
        return 0;
    }
    if (store->options.warm) {
        atomic_store(&store->warming, true);
        r = start(store, "kv-warm", warm_main);
    }
    if (r == 0 && store->options.follow) {
        r = start(store, "kv-follow", follow_main);
    }
    if (store->options.read_only || r < 0) {
        return r;
    }
    atomic_store(&store->idle, true); /* what an earlier life left is merged before much is read */
    r = start(store, "kv-flush", flush_main);
    for (unsigned i = 0; i < store->options.compaction_threads && r == 0; i++) {
        r = start(store, "kv-compact", compact_main);
    }
    r = r < 0 ? r : start(store, "kv-reclaim", reclaim_main);
    r = r < 0 ? r : start(store, "kv-probe", dead_probe_main);
    if (r == 0 && store->options.sync_interval_ms > 0) {
        r = start(store, "kv-sync", sync_main);
    }
    return r;
}

void workers_stop(struct kv_store *store)
{
    mutex_lock(&store->mu);
    atomic_store(&store->stopping, true);
    condvar_broadcast(&store->work);
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
    dead_probe_wake(store);
    for (unsigned i = 0; i < store->worker_count; i++) {
        thread_join(&store->workers[i]);
    }
    store->worker_count = 0;
}
