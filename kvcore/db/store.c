/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/store.h"
#include "kvcore/blob/blob_set.h"
#include "kvcore/db/dead_probe.h"
#include "kvcore/db/flush.h"
#include "kvcore/db/follow.h"
#include "kvcore/db/followers.h"
#include "kvcore/db/health.h"
#include "kvcore/db/job.h"
#include "kvcore/db/latency.h"
#include "kvcore/db/manifest.h"
#include "kvcore/db/named_snapshot.h"
#include "kvcore/db/obsolete.h"
#include "kvcore/db/reclaim.h"
#include "kvcore/db/recover.h"
#include "kvcore/db/space.h"
#include "kvcore/db/suspect.h"
#include "kvcore/db/sync.h"
#include "kvcore/db/view.h"
#include "kvcore/db/worker.h"
#include "kvcore/db/write.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    MEMTABLES_DEFAULT = 4,
    /* Twice what a merge of level 0 brings, compressed: with less, a level between that and the
     * deepest one costs more than it saves. */
    LEVEL_BASE_MEMTABLES = 8,
    CLOSE_PATIENCE_MS = 30000, /* on a full device, for rows that lie in memory alone */
};

static const size_t memtable_default = (size_t)64 << 20;
static const size_t memtable_min = (size_t)64 << 10;
static const size_t cache_default = (size_t)64 << 20;
static const uint64_t file_default = (uint64_t)32 << 20;
static const size_t blob_commit_default = (size_t)16 << 10;
static const size_t blob_flush_default = (size_t)4 << 10;
static const size_t blob_file_default = (size_t)256 << 20;
/* A batch more must not make it larger than a blob can be, nor must growing on for want of room. */
enum { BLOB_FILE_MAX = 256 << 20 };
static_assert(3 * (uint64_t)BLOB_FILE_MAX + KV_BATCH_SIZE_MAX <= BLOB_DATA_SIZE_MAX,
              "a blob has room for all that is written before the next one is begun");

static void fill_options(const struct kv_options *from, struct kv_options *to)
{
    *to = *from;
    to->holder = NULL; /* borrowed texts are not kept */
    to->label = NULL;
    to->store_id = NULL;
    to->read_only = from->read_only || from->follow;
    to->memtable_bytes = from->memtable_bytes != 0 ? from->memtable_bytes : memtable_default;
    if (to->memtable_bytes < memtable_min) {
        to->memtable_bytes = memtable_min;
    }
    to->cache_bytes = from->cache_bytes != 0 ? from->cache_bytes : cache_default;
    to->memtables_max = from->memtables_max != 0 ? from->memtables_max : MEMTABLES_DEFAULT;
    if (to->memtables_max < 2) {
        to->memtables_max = 2;
    }
    if (to->memtables_max > IMMUTABLE_MAX / 2) {
        to->memtables_max = IMMUTABLE_MAX / 2;
    }
    to->compaction_threads = from->compaction_threads != 0 ? from->compaction_threads : 1;
    if (to->compaction_threads > WORKER_MAX - 5) {
        /* beside those that flush, reclaim, probe, sync and warm */
        to->compaction_threads = WORKER_MAX - 5;
    }
    to->file_bytes = from->file_bytes != 0 ? from->file_bytes : file_default;
    to->level_base_bytes = from->level_base_bytes != 0 ? from->level_base_bytes
                                                       : LEVEL_BASE_MEMTABLES * to->memtable_bytes;
    to->blob_commit_bytes =
        from->blob_commit_bytes != 0 ? from->blob_commit_bytes : blob_commit_default;
    to->blob_flush_bytes =
        from->blob_flush_bytes != 0 ? from->blob_flush_bytes : blob_flush_default;
    to->blob_file_bytes = from->blob_file_bytes != 0 ? from->blob_file_bytes : blob_file_default;
    if (to->blob_file_bytes > BLOB_FILE_MAX) {
        to->blob_file_bytes = BLOB_FILE_MAX;
    }
}

/* Wherever stored bytes are found damaged. */
static void note_damage(void *arg, const struct message_place *place, const char *text)
{
    struct kv_store *store = arg;
    struct kv_event event = {.kind = KV_EVENT_DAMAGE_FOUND, .error = -KV_EDAMAGED, .text = text};
    count_add(&store->counters.damage_seen, 1);
    suspect_note(store, place);
    event_tell(store, &event);
}

static void init(struct kv_store *store, struct kv_storage *storage,
                 const struct kv_options *options)
{
    fill_options(options, &store->options);
    store->storage = storage;
    store->sink = (struct message_sink){.fn = options->message_fn,
                                        .arg = options->message_arg,
                                        .damage_fn = note_damage,
                                        .damage_arg = store};
    store->opened_ns = clock_monotonic_ns();
    store->health.state = KV_HEALTH_OK;
    store->next_table_number = 1;
    store->next_blob_number = 1;
    store->snapshots.prev = &store->snapshots;
    store->snapshots.next = &store->snapshots;
    store->views.prev = &store->views;
    store->views.next = &store->views;
    store->next_stamp = 1;
    mutex_init(&store->suspect_mu, LOCK_RANK_LEAF, "suspects");
    mutex_init(&store->write_mu, LOCK_RANK_DB_WRITE, "write queue");
    mutex_init(&store->sync_mu, LOCK_RANK_DB_SYNC, "sync");
    mutex_init(&store->flush_mu, LOCK_RANK_DB_FLUSH, "flush");
    mutex_init(&store->manifest_mu, LOCK_RANK_DB_MANIFEST, "manifest");
    mutex_init(&store->mu, LOCK_RANK_DB_STATE, "store state");
    condvar_init(&store->sync_done);
    condvar_init(&store->sync_group.arrived);
    condvar_init(&store->work);
    condvar_init(&store->progress);
}

void store_destroy(struct kv_store *store) NO_LOCK_ANALYSIS
{
    views_close(store);
    generation_unref(store->active);
    log_writer_destroy(store->manifest);
    for (size_t i = 0; i < store->obsolete_count; i++) {
        file_meta_unref(store->obsolete[i]);
    }
    free(store->obsolete);
    free(store->left_tables);
    followers_finish(store);
    obsolete_forget(&store->doubtful);
    free(store->closed_logs);
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        free(store->tables[i]);
    }
    for (struct kv_table *table = store->dropped_tables; table != NULL;) {
        struct kv_table *next = table->next;
        free(table);
        table = next;
    }
    named_snapshots_free(store);
    dead_probe_destroy(store);
    reclaim_destroy(store);
    blob_set_destroy(store->blobs);
    block_cache_destroy(store->cache);
    latency_destroy(store);
    condvar_finish(&store->progress);
    condvar_finish(&store->work);
    condvar_finish(&store->sync_group.arrived);
    condvar_finish(&store->sync_done);
    mutex_finish(&store->mu);
    mutex_finish(&store->manifest_mu);
    mutex_finish(&store->flush_mu);
    mutex_finish(&store->sync_mu);
    mutex_finish(&store->write_mu);
    mutex_finish(&store->suspect_mu);
    free(store);
}

int store_create_beside(const struct kv_store *store, bool silent, struct kv_store **ret_store)
{
    struct kv_options options = store->options;
    struct kv_store *beside = calloc(1, sizeof *beside);

    if (beside == NULL) {
        return -ENOMEM;
    }
    options.event_fn = NULL;
    options.message_fn = silent ? NULL : store->sink.fn;
    options.message_arg = store->sink.arg;
    init(beside, store->storage, &options);
    *ret_store = beside;
    return 0;
}

/* Somebody else has the store, or may: what is in memory is no answer any more. */
static void lose_lease(void *arg, int error)
{
    struct kv_store *store = arg;
    int none = 0;

    atomic_compare_exchange_strong(&store->read_only_error, &none, ESHUTDOWN);
    mutex_lock(&store->mu);
    for (size_t i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        if (store->tables[i] != NULL) {
            atomic_store(&store->tables[i]->gone, -ESHUTDOWN);
        }
    }
    mutex_unlock(&store->mu);
    health_set(store, KV_HEALTH_READ_ONLY, error,
               "the lease on the store was lost: nothing is read or written until it is opened "
               "again");
    event_tell(store, &(struct kv_event){.kind = KV_EVENT_STORE_LOST, .error = error});
}

static void watch_lease(struct kv_store *store, kv_lease_lost_fn *fn)
{
    if (store->storage->ops->lease_watch != NULL) {
        store->storage->ops->lease_watch(store->storage, fn, store);
    }
}

int kv_open(struct kv_storage *storage, const struct kv_options *options,
            struct kv_store **ret_store)
{
    struct kv_store *store = calloc(1, sizeof *store);
    int r;

    if (store == NULL) {
        return -ENOMEM;
    }
    init(store, storage, options);
    r = space_fit_options(store);
    r = r < 0 ? r : block_cache_create(store->options.cache_bytes, &store->cache);
    r = r < 0 ? r : latency_create(store);
    r = r < 0 ? r : reclaim_create(store);
    r = r < 0 ? r : dead_probe_create(store);
    r = r < 0 ? r : options->follow ? follow_begin(store, options) : recover(store, options);
    if (r == 0 && !store->options.read_only) {
        space_begin(store);
    }
    r = r < 0 ? r : workers_start(store);
    if (r < 0) {
        workers_stop(store);
        store_destroy(store);
        return r;
    }
    if (store->options.read_only) {
        atomic_store(&store->read_only_error, EROFS);
    }
    watch_lease(store, lose_lease);
    *ret_store = store;
    return 0;
}

/* Where nobody knows which root record lasts, a new manifest makes that known first. */
static int write_clean_root(struct kv_store *store) REQUIRES(&store->manifest_mu)
{
    int r = store->manifest_suspect ? manifest_roll(store) : 0;

    if (r < 0) {
        return r;
    }
    store->root.clean = true;
    store->root.last_log = log_writer_end(store->active->log);
    store->root.last_manifest = log_writer_end(store->manifest);
    return root_commit(store);
}

/* Rows to tables: 0. Where the device is full they stay in their logs: 1. -ENOSPC: these have no
 * room for them either, with what was kept for deletes, but would take them. */
static int save_rows(struct kv_store *store)
{
    uint64_t covered;
    int r = flush_all(store);

    if (!space_is_full(space_failed(store, r))) {
        return r;
    }
    int pushed = write_push(store, &covered); /* one that takes no more may still be synced */
    r = sync_logs(store);
    bool kept = pushed == 0 && r == 0;
    return kept || !store->storage->ops->log_sync_keeps ? 1 : -ENOSPC;
}

/* Everything in tables, a close record at the end of the empty log, then the clean flag. */
static int shut_down(struct kv_store *store)
{
    int r = space_wait(store, save_rows, CLOSE_PATIENCE_MS);

    if (r < 0 && r != -ENOSPC) {
        kv_ignore(kv_sync(store)); /* the first error is the one to tell */
    }
    if (r != 0) {
        return r < 0 ? r : -ENOSPC;
    }
    r = log_writer_add(store->active->log, LOG_RECORD_CLOSE, store->last_sequence, NULL, 0, false);
    r = r < 0 ? r : log_writer_sync(store->active->log);
    if (r < 0) {
        return r;
    }
    mutex_lock(&store->manifest_mu);
    r = write_clean_root(store);
    mutex_unlock(&store->manifest_mu);
    return r;
}

int kv_close(struct kv_store *store)
{
    struct kv_storage *storage;
    int r = 0;

    if (store == NULL) {
        return 0;
    }
    watch_lease(store, NULL);
    workers_stop(store);
    obsolete_purge(store);
    if (!store->options.read_only) {
        r = shut_down(store);
    }
    storage = store->storage;
    store_destroy(store);
    storage->ops->close(storage);
    return r;
}

void kv_identify(const struct kv_store *store, struct kv_identity *ret_identity) NO_LOCK_ANALYSIS
{
    const struct root *root = &store->root; /* these fields are constant after open */
    struct kv_identity identity = {.format_version = root->format_version,
                                   .compat = root->compat,
                                   .ro_compat = root->ro_compat,
                                   .incompat = root->incompat,
                                   .lease_epoch = root->lease_epoch,
                                   .was_clean = store->was_clean,
                                   .rows_unchecked = root->rows_unchecked};
    memcpy(identity.store_id, root->store_id, sizeof identity.store_id);
    memcpy(identity.label, root->label, sizeof identity.label);
    *ret_identity = identity;
}

struct kv_storage *kv_storage_of(struct kv_store *store)
{
    return store->storage;
}

int kv_describe_holder(struct kv_store *store, const char *holder)
{
    return store->storage->ops->lease_describe(store->storage, holder);
}

int kv_space(struct kv_store *store, struct kv_space *ret_space)
{
    int r = store->storage->ops->space(store->storage, ret_space);
    if (r == 0 && atomic_load(&store->full)) {
        ret_space->free_bytes = 0; /* what there is, is for deletes and merges */
    }
    return r;
}
