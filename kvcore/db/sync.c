/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/sync.h"

#include <stdatomic.h>

#include "kvcore/db/health.h"
#include "kvcore/db/latency.h"
#include "kvcore/db/space.h"
#include "kvcore/db/view.h"
#include "kvcore/db/worker.h"
#include "kvcore/db/write.h"
#include "kvcore/util/probe.h"

enum {
    GATHER_SHARE = 4,               /* wait at most for this part of what the last sync took, */
    GATHER_SYNC_NS_MIN = 40 * 1000, /* and not at all where syncs are as quick as waking up */
    GATHER_MISSES_MAX = 6,          /* as a power of two: syncs without waiting */
    ROOM_PATIENCE_MS = 5000,        /* for logs that a storage keeps while it is full */
};

/* Sync a log, after the blob that its records point at. The log may grow meanwhile, by records
 * whose bytes in the blob this sync of the blob does not cover; those do not count as synced. */
static int sync_generation(struct generation *generation)
{
    uint64_t pushed = log_writer_pushed_bytes(generation->log);
    struct blob_writer *blob = atomic_load_explicit(&generation->blob, memory_order_acquire);
    int r = blob != NULL ? blob_writer_sync(blob) : 0;
    return r < 0 ? r : log_writer_sync_to(generation->log, pushed);
}

/* Sync the logs of all generations that rows may lie in that are not in tables. */
int sync_logs(struct kv_store *store)
{
    struct view *view = view_acquire(store);
    int r = 0;

    KV_PROBE(1, log__sync__start, store);
    for (unsigned i = 0; i < view->immutable_count && r == 0; i++) {
        struct generation *generation = view->immutable[i];
        if (generation->log != NULL && !atomic_load(&generation->log_synced)) {
            r = sync_generation(generation);
            atomic_store(&generation->log_synced, r == 0);
        }
    }
    if (r == 0 && view->active->log != NULL) {
        r = sync_generation(view->active);
    }
    view_release(view);
    count_add(&store->counters.log_syncs, 1);
    KV_PROBE(2, log__sync__done, store, r);
    return r;
}

static void note_failure(struct kv_store *store, int error) REQUIRES(&store->sync_mu)
{
    store->sync_error = -EIO; /* whatever it was: an errno of a sync never means "disk full" */
    mutex_lock(&store->mu);
    store->rescue_wanted = true;
    mutex_unlock(&store->mu);
    atomic_store(&store->log_failed, true); /* the next writer begins a new log */
    count_add(&store->counters.sync_errors, 1);
    health_set(store, KV_HEALTH_DEGRADED, error,
               "syncing the log failed; rewriting unsynced rows to new files");
    workers_wake(store);
}

void sync_failed(struct kv_store *store, int error)
{
    mutex_lock(&store->sync_mu);
    note_failure(store, error);
    mutex_unlock(&store->sync_mu);
}

/* Threads that write and sync in a loop would otherwise meet in two halves: while one half's flush
 * runs the other half arrives, and begins its own before the first is back. So whoever is about to
 * sync waits a moment for those that the last sync served. If they do not come, it is not tried for
 * a while, twice as long each time. A lone thread is back itself and waits for nobody.
 *
 * Taken further than the commit_delay of PostgreSQL, which waits for a fixed time. */
static void gather(struct kv_store *store) REQUIRES(&store->sync_mu)
{
    struct sync_group *group = &store->sync_group;
    if (group->due == 0 || group->sync_ns < GATHER_SYNC_NS_MIN) {
        return;
    }
    if (group->passes > 0) {
        group->passes--;
        return;
    }
    uint64_t deadline = clock_monotonic_ns() + group->sync_ns / GATHER_SHARE;
    bool in_time = true;
    while (group->due > 0 && in_time) {
        in_time = condvar_wait_until(&group->arrived, &store->sync_mu, deadline);
    }
    if (in_time) {
        group->misses = 0;
    } else {
        group->passes = 1U << group->misses;
        group->misses += group->misses < GATHER_MISSES_MAX;
    }
}

/* A storage that keeps what it has no room for may have some once the reserve is given back. Of any
 * other what a failed sync covered is unknown, and a second one may say yes all the same: the log
 * may have left the view meanwhile. */
static int sync_pushed(struct kv_store *store)
{
    int r = sync_logs(store);

    if (store->storage->ops->log_sync_keeps && space_is_full(space_failed(store, r)) &&
        space_wait(store, sync_logs, ROOM_PATIENCE_MS) == 0) {
        r = 0;
    }
    return r;
}

/* As the thread that syncs for all. Called and returns with the mutex held. */
static void run_sync(struct kv_store *store) REQUIRES(&store->sync_mu)
{
    struct sync_group *group = &store->sync_group;
    uint64_t covered = 0; /* not the rows of a moment later, which may be held back again */
    int r;

    store->sync_running = true;
    gather(store);
    uint64_t began = clock_monotonic_ns();
    unsigned served = group->waiting;
    group->waiting = 0;
    group->begun++;
    mutex_unlock(&store->sync_mu);
    r = write_push(store, &covered);
    if (r == 0) {
        r = sync_pushed(store);
    }
    uint64_t took = clock_monotonic_ns() - began;
    latency_record(store, NULL, KV_LATENCY_SYNC, took);
    mutex_lock(&store->sync_mu);
    store->sync_running = false;
    group->sync_ns = took;
    group->due = served;
    if (r == 0 && store->synced_sequence < covered) {
        store->synced_sequence = covered;
    }
    if (r < 0) {
        note_failure(store, r);
    }
    condvar_broadcast(&store->sync_done);
}

/* Somebody waits for a sync that has not begun. Returns how many have. */
static uint64_t arrive(struct kv_store *store) REQUIRES(&store->sync_mu)
{
    struct sync_group *group = &store->sync_group;
    group->waiting++;
    if (group->due > 0 && --group->due == 0) {
        condvar_signal(&group->arrived);
    }
    return group->begun;
}

/* Somebody waits no more. If no sync has begun meanwhile the last one served this thread too: its
 * rows were there before that began, only the thread came too late to be counted. */
static void leave(struct kv_store *store, uint64_t begun) REQUIRES(&store->sync_mu)
{
    struct sync_group *group = &store->sync_group;
    if (group->begun == begun) {
        group->waiting--;
        group->due++;
    }
}

int sync_to(struct kv_store *store, uint64_t sequence)
{
    int r;

    mutex_lock(&store->sync_mu);
    if (store->synced_sequence < sequence && store->sync_error == 0) {
        uint64_t begun = arrive(store);
        while (store->synced_sequence < sequence && store->sync_error == 0) {
            if (store->sync_running) {
                condvar_wait(&store->sync_done, &store->sync_mu);
            } else {
                run_sync(store);
            }
        }
        leave(store, begun);
    }
    r = store->sync_error;
    mutex_unlock(&store->sync_mu);
    return r;
}

void sync_give_way(struct kv_store *store)
{
    mutex_lock(&store->sync_mu);
    if (store->sync_running) {
        condvar_wait(&store->sync_done, &store->sync_mu);
    }
    mutex_unlock(&store->sync_mu);
}

int sync_all_logs(struct kv_store *store)
{
    int r;

    mutex_lock(&store->sync_mu);
    while (store->sync_running) {
        condvar_wait(&store->sync_done, &store->sync_mu); /* that one may have begun too early */
    }
    if (store->sync_error == 0) {
        run_sync(store);
    }
    r = store->sync_error;
    mutex_unlock(&store->sync_mu);
    return r;
}

int kv_sync(struct kv_store *store)
{
    if (store->options.read_only) {
        return 0; /* nothing of ours is unsynced */
    }
    if (atomic_load(&store->read_only_error) != 0) {
        return -EIO; /* -EROFS would sound as if there were nothing to lose */
    }
    workers_stand_in(store);
    return sync_to(store, visible_sequence(store));
}

void sync_rescued(struct kv_store *store, uint64_t sequence)
{
    mutex_lock(&store->sync_mu);
    store->sync_error = 0;
    if (store->synced_sequence < sequence) {
        store->synced_sequence = sequence;
    }
    condvar_broadcast(&store->sync_done);
    mutex_unlock(&store->sync_mu);
}
