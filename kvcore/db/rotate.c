/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/rotate.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/db/flush.h"
#include "kvcore/db/health.h"
#include "kvcore/db/job.h"
#include "kvcore/db/large.h"
#include "kvcore/db/obsolete.h"
#include "kvcore/db/space.h"
#include "kvcore/db/view.h"
#include "kvcore/db/worker.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

static bool too_many_waiting(struct kv_store *store, unsigned limit) REQUIRES(&store->mu)
{
    return store->view->immutable_count + 1 >= limit;
}

/* Too many memtables wait for the flush, or too many tables of level 0 for merging. (Merging that
 * fails does not stop writers: they would wait for ever.) */
static bool must_wait(struct kv_store *store, unsigned limit) REQUIRES(&store->mu)
{
    return too_many_waiting(store, limit) ||
           (limit < IMMUTABLE_MAX && store_l0_files(store) >= L0_STOP_FILES &&
            store->health.state == KV_HEALTH_OK);
}

/* Why waiting would not help: reads go on, this write fails. 0: it would. */
static int hopeless(struct kv_store *store) REQUIRES(&store->mu)
{
    if (atomic_load(&store->read_only_error) != 0 || atomic_load(&store->stopping)) {
        return -EROFS;
    }
    return atomic_load(&store->full) ? -ENOSPC : 0;
}

/* Wait until a generation may be added: a flush is under way that ends this, or the store is
 * failing. Where nobody else can flush, the caller does. */
static int wait_for_room(struct kv_store *store, unsigned limit)
{
    uint64_t began = clock_monotonic_ns();
    uint64_t took;
    bool waited = false;
    int r = 0;

    mutex_lock(&store->mu);
    while (must_wait(store, limit) && (r = hopeless(store)) == 0) {
        bool flush = too_many_waiting(store, limit);
        /* The flush thread, if there is one, stands in the queue of writers, behind this one or as
         * this one: no flush is under way. */
        if (store->options.no_background || (flush && atomic_load(&store->flusher_queued))) {
            mutex_unlock(&store->mu);
            r = flush ? flush_one(store) : 0;
            r = r < 0 ? space_failed(store, r) : 0;
            mutex_lock(&store->mu);
            break;
        }
        r = store->health.error;
        if (r < 0) {
            break;
        }
        if (!waited) {
            waited = true;
            mutex_unlock(&store->mu);
            event_tell(store, &(struct kv_event){.kind = KV_EVENT_STALL_BEGUN});
            mutex_lock(&store->mu);
            continue; /* it may have ended meanwhile */
        }
        condvar_broadcast(&store->work);
        condvar_wait(&store->progress, &store->mu);
    }
    mutex_unlock(&store->mu);
    if (waited) {
        count_add(&store->counters.stalls, 1);
        took = clock_monotonic_ns() - began;
        count_add(&store->counters.stall_ns, took);
        event_tell(store, &(struct kv_event){.kind = KV_EVENT_STALL_ENDED, .duration_ns = took});
    }
    return r;
}

/* The next log segment. What a crash left under its number is removed first, and a segment that
 * cannot be reused is done without. */
static int make_log(struct kv_store *store, const struct log_end *previous, uint64_t recycle,
                    struct log_writer **ret_log)
{
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = store->next_log};
    struct log_writer_options options = {
        .store_seed = store->seed, .salt = rng_entropy(), .previous = previous, .recycle = recycle};
    /* A log that is begun by hand, or to close the store, may stay small. */
    bool busy = generation_bytes(store->active) >= store->options.memtable_bytes;
    if (busy && recycle == 0) {
        options.preallocate_bytes = store->options.memtable_bytes;
    }
    int r = log_writer_create(store->storage, id, &options, ret_log);

    if (r == -EEXIST) {
        r = store->storage->ops->remove(store->storage, id);
        r = r < 0 ? r : log_writer_create(store->storage, id, &options, ret_log);
    }
    if (r == -ENOSPC && options.preallocate_bytes != 0) {
        options.preallocate_bytes = 0; /* it may still grow as far as there is room */
        r = log_writer_create(store->storage, id, &options, ret_log);
    }
    if (r == -ENOENT && recycle != 0) {
        options.recycle = 0;
        r = log_writer_create(store->storage, id, &options, ret_log);
    }
    return r;
}

static int make_generation(struct kv_store *store, const struct log_end *previous,
                           struct generation **ret_generation)
{
    struct generation *generation = NULL;
    uint64_t recycle;
    int r = generation_create(store->options.memtable_bytes, &generation);

    if (r < 0) {
        return r;
    }
    mutex_lock(&store->mu);
    generation->blob_limit = large_limit(store, store->view->version);
    recycle = store->recyclable_log;
    store->recyclable_log = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        if (store->tables[id - 1] != NULL) {
            r = generation_add_table(generation, id);
        }
    }
    mutex_unlock(&store->mu);
    if (r < 0) {
        goto out;
    }
    generation->log_number = store->next_log;
    r = make_log(store, previous, recycle, &generation->log);
    if (r < 0) {
        goto out;
    }
    store->next_log++;
    *ret_generation = generation;
    generation = NULL;
out:
    if (r < 0 && recycle != 0) {
        obsolete_log(store, recycle); /* if it is still there */
    }
    generation_unref(generation);
    return r;
}

int rotate_push(struct kv_store *store)
{
    int r = store->deferred ? log_writer_push(store->active->log) : 0;
    if (r < 0) {
        atomic_store(&store->log_failed, true);
    } else {
        store->deferred = false;
    }
    return r;
}

/* Make `generation` the active one, and the present one the newest that waits to be flushed. */
static void install_generation(struct kv_store *store, struct generation *generation,
                               struct view *take_view)
{
    struct generation *immutable[IMMUTABLE_MAX];
    struct view *old;
    unsigned count;

    store->active->sequence_last = store->last_sequence;
    generation->sequence_first = store->last_sequence + 1;
    mutex_lock(&store->mu);
    count = store->view->immutable_count;
    for (unsigned i = 0; i < count; i++) {
        immutable[i] = store->view->immutable[i];
    }
    immutable[count++] = store->active;
    old = view_install(store, take_view, generation, immutable, count, store->view->version);
    mutex_unlock(&store->mu);
    view_release(old);
    generation_unref(store->active);
    generation_ref(generation);
    store->active = generation;
    atomic_store(&store->rotated_ns, clock_monotonic_ns());
    atomic_store(&store->deletes_wait, false);
}

int rotate_settle(struct kv_store *store)
{
    int r = store->rows_lost ? 1 : 0;
    while (r > 0) {
        r = flush_one(store);
    }
    if (r == 0) {
        store->rows_lost = false;
    } else if (!space_is_full(space_failed(store, r))) {
        atomic_store(&store->read_only_error, EROFS);
        health_set(store, KV_HEALTH_READ_ONLY, r,
                   "rows that were not logged could not be written to tables; reopen the store");
    }
    return r;
}

int rotate(struct kv_store *store, unsigned limit)
{
    struct generation *generation = NULL;
    struct view *view = NULL;
    struct log_end end;
    bool lost;
    int r = wait_for_room(store, limit);

    r = r < 0 ? r : view_prepare(&view);
    if (r < 0) {
        return r;
    }
    lost = rotate_push(store) < 0;
    end = log_writer_end(store->active->log);
    r = make_generation(store, &end, &generation);
    if (r < 0) {
        /* The head of the log that was begun may last all the same, also if the log was removed: it
         * names the end of the present one, which so takes no further record. Where there was no
         * space there is no whole head. */
        if (r != -ENOSPC) {
            atomic_store(&store->log_failed, true);
        }
        free(view);
        return space_failed(store, r);
    }
    /* From the moment others see the new log, its syncs may fail, which must not be forgotten. */
    atomic_store(&store->log_failed, false);
    install_generation(store, generation, view);
    store->deferred = false;
    store->rows_lost = store->rows_lost || lost;
    generation_unref(generation);
    workers_wake(store);
    return rotate_settle(store);
}
