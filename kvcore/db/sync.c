/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/sync.h"

#include <stdatomic.h>

#include "kvcore/db/health.h"
#include "kvcore/db/latency.h"
#include "kvcore/db/view.h"
#include "kvcore/db/worker.h"
#include "kvcore/db/write.h"

/* Sync a log, after the blob that its records point at. The log may grow meanwhile, by records
 * whose bytes in the blob this sync of the blob does not cover; those do not count as synced. */
static int sync_generation(struct generation *generation)
{
    uint64_t pushed = log_writer_pushed_bytes(generation->log);
    struct blob_writer *blob = atomic_load_explicit(&generation->blob, memory_order_acquire);
    int r = blob != NULL ? blob_writer_sync(blob) : 0;
    return r < 0 ? r : log_writer_sync_to(generation->log, pushed);
}

/* Sync the logs of all generations that rows up to `sequence` may lie in. */
static int sync_logs(struct kv_store *store)
{
    struct view *view = view_acquire(store);
    int r = 0;

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
    return r;
}

static void note_failure(struct kv_store *store, int error) REQUIRES(&store->sync_mu)
{
    store->sync_error = -EIO; /* whatever it was: an errno of a sync never means "disk full" */
    mutex_lock(&store->mu);
    store->rescue_wanted = true;
    mutex_unlock(&store->mu);
    atomic_store(&store->log_failed, true); /* the next writer begins a new log */
    count_add(&store->counters.write_errors, 1);
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

/* As the thread that syncs for all. Called and returns with the mutex held. */
static void run_sync(struct kv_store *store) REQUIRES(&store->sync_mu)
{
    uint64_t began = clock_monotonic_ns();
    uint64_t covered = 0; /* not the rows of a moment later, which may be held back again */
    int r;

    store->sync_running = true;
    mutex_unlock(&store->sync_mu);
    r = write_push(store, &covered);
    if (r == 0) {
        r = sync_logs(store);
    }
    latency_record(store, NULL, KV_LATENCY_SYNC, clock_monotonic_ns() - began);
    mutex_lock(&store->sync_mu);
    store->sync_running = false;
    if (r == 0 && store->synced_sequence < covered) {
        store->synced_sequence = covered;
    }
    if (r < 0) {
        note_failure(store, r);
    }
    condvar_broadcast(&store->sync_done);
}

int sync_to(struct kv_store *store, uint64_t sequence)
{
    int r;

    mutex_lock(&store->sync_mu);
    while (store->synced_sequence < sequence && store->sync_error == 0) {
        if (store->sync_running) {
            condvar_wait(&store->sync_done, &store->sync_mu);
        } else {
            run_sync(store);
        }
    }
    r = store->sync_error;
    mutex_unlock(&store->sync_mu);
    return r;
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
