/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of the open store that shares its files, or, for kv_copy(), has its own.
 *
 *   1. flush: what was written before is in tables;
 *   2. note the state, as a snapshot in the manifest says it, and hold its tables and its view;
 *   3. link its tables and blobs, or copy their bytes; they are finished and synced, and never
 *      change again;
 *   4. write an empty log and a manifest with that state;
 *   5. write the root, which makes the names durable with itself, and publish.
 *
 * Why the blobs are safe. Those of the state are in the durable manifest, so that no recovery
 * rewrites them in place or puts a directory behind them. The view that is held keeps a pass of
 * reclaim that begins later from giving anything back; one that began earlier gives back only what
 * was dead then, to all that is in the state too (see reclaim.h); and once there is a second link
 * the storage refuses. Bytes that are copied are read while the view is held: of what is dead in
 * the state either what stood there or zeros. A blob that no table refers to may vanish meanwhile:
 * it is left out.
 *
 * Checksums are seeded with the seed id, the number of the file and the offset: the copy keeps the
 * first two of each file. It gets another store id, which nothing is compared with. Its log has the
 * number from which on logs count in the store, since tables of both name logs that are superfluous
 * once they are there (see docs/format.md, properties 46). */
#include <stdlib.h>

#include "kvcore/db/copy_file.h"
#include "kvcore/db/flush.h"
#include "kvcore/db/manifest.h"
#include "kvcore/db/obsolete.h"
#include "kvcore/db/version_blobs.h"
#include "kvcore/db/view.h"
#include "kvcore/util/rng.h"

struct checkpoint {
    struct kv_store *store;
    struct kv_storage *to;
    struct copy_progress *progress; /* of bytes that are copied; NULL: files are shared */
    struct view *view;              /* keeps the blobs of the state */
    struct edit state;
    struct root root;
};

static void note_any(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    bool *any = arg;
    (void)id;
    (void)size_bytes;
    *any = true;
}

static int check_empty(struct kv_storage *to)
{
    struct kv_buf root = {0};
    uint64_t version;
    bool any = false;
    int r = to->ops->root_read(to, &root, &version);

    kv_buf_finish(&root);
    if (r != -ENOENT) {
        return r < 0 ? r : -EEXIST;
    }
    r = to->ops->list(to, note_any, &any);
    return r == 0 && any ? -EEXIST : r;
}

/* Blobs that no table refers to are garbage that may be gone by now. */
static void leave_out_garbage(struct checkpoint *copy)
{
    struct edit *state = &copy->state;
    size_t kept = 0;

    for (size_t i = 0; i < state->blob_count; i++) {
        const struct version_blob *blob =
            version_find_blob(copy->view->version, state->blobs[i].number);
        if (blob != NULL && blob->referenced > 0) {
            state->blobs[kept++] = state->blobs[i];
        }
    }
    state->blob_count = kept;
}

/* Named snapshots made since the flush: what they see may be in no table yet. */
static void leave_out_newer_snapshots(struct checkpoint *copy)
{
    struct edit *state = &copy->state;
    size_t kept = 0;

    for (size_t i = 0; i < state->snapshot_count; i++) {
        if (state->snapshots[i].sequence <= state->last_sequence) {
            state->snapshots[kept++] = state->snapshots[i];
        }
    }
    state->snapshot_count = kept;
}

static int note_state(struct checkpoint *copy)
{
    struct kv_store *store = copy->store;
    int r;

    mutex_lock(&store->manifest_mu);
    copy->view = view_acquire(store); /* versions change under this mutex only */
    r = manifest_state(store, &copy->state);
    copy->root = store->root;
    memset(copy->root.counters, 0, sizeof copy->root.counters); /* nothing failed there */
    mutex_unlock(&store->manifest_mu);
    leave_out_garbage(copy);
    leave_out_newer_snapshots(copy);
    copy->state.first_log = copy->state.released_log;
    copy->state.closed_log_count = 0;
    copy->state.dropped_count = 0; /* in no log of the copy is a row of them */
    coding_put_u64(copy->root.store_id, rng_entropy());
    coding_put_u64(copy->root.store_id + 8, rng_entropy());
    return r;
}

typedef int file_fn(const struct checkpoint *copy, struct kv_file_id id);

static int for_each_file(const struct checkpoint *copy, file_fn *fn)
{
    int r = 0;
    for (size_t i = 0; i < copy->state.added_count && r == 0; i++) {
        r = fn(copy, (struct kv_file_id){KV_FILE_TABLE, copy->state.added[i]->number});
    }
    for (size_t i = 0; i < copy->state.blob_count && r == 0; i++) {
        r = fn(copy, (struct kv_file_id){KV_FILE_BLOB, copy->state.blobs[i].number});
    }
    return r;
}

static int link_file(const struct checkpoint *copy, struct kv_file_id id)
{
    struct kv_storage *from = copy->store->storage;
    return copy->to->ops->object_take != NULL ? copy->to->ops->object_take(copy->to, from, id)
                                              : from->ops->object_link(from, id, copy->to);
}

static int add_size(const struct checkpoint *copy, struct kv_file_id id)
{
    uint64_t size = 0;
    int r = copy_file_size(copy->store->storage, id, &size);
    copy->progress->bytes_all += size;
    return r;
}

static int copy_one(const struct checkpoint *copy, struct kv_file_id id)
{
    return copy_file(copy->store->storage, id, copy->to, copy->progress);
}

static int take_files(const struct checkpoint *copy)
{
    if (copy->progress == NULL) {
        return for_each_file(copy, link_file);
    }
    int r = for_each_file(copy, add_size);
    return r < 0 ? r : for_each_file(copy, copy_one);
}

/* An empty log, closed cleanly, from which the next opening goes on. */
static int write_log(struct checkpoint *copy)
{
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = copy->state.first_log};
    struct log_writer_options options = {.store_seed = copy->store->seed, .salt = rng_entropy()};
    struct log_writer *log = NULL;
    int r = log_writer_create(copy->to, id, &options, &log);

    r = r < 0 ? r
              : log_writer_add(log, LOG_RECORD_CLOSE, copy->state.last_sequence, NULL, 0, false);
    r = r < 0 ? r : log_writer_sync(log);
    if (r == 0) {
        copy->root.last_log = log_writer_end(log);
    }
    log_writer_destroy(log);
    return r;
}

static int write_manifest(struct checkpoint *copy)
{
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST, .number = copy->root.manifest};
    struct log_writer_options options = {.store_seed = copy->store->seed, .salt = rng_entropy()};
    struct log_writer *manifest = NULL;
    int r = log_writer_create(copy->to, id, &options, &manifest);

    r = r < 0 ? r : manifest_append(manifest, LOG_RECORD_SNAPSHOT, 1, &copy->state);
    if (r == 0) {
        copy->root.last_manifest = log_writer_end(manifest);
    }
    log_writer_destroy(manifest);
    return r;
}

static int write_root(struct checkpoint *copy)
{
    struct kv_buf bytes = {0};
    int r;

    copy->root.clean = true;
    r = root_encode(&copy->root, &bytes);
    r = r < 0 ? r : copy->to->ops->root_swap(copy->to, 0, kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
    return r;
}

static int make(struct checkpoint *copy)
{
    int r = kv_flush(copy->store);

    r = r < 0 ? r : note_state(copy);
    r = r < 0 ? r : take_files(copy);
    r = r < 0 ? r : write_log(copy);
    r = r < 0 ? r : write_manifest(copy);
    r = r < 0 ? r : write_root(copy);
    r = r < 0 ? r : copy->to->ops->publish(copy->to);
    edit_finish(&copy->state);
    view_release(copy->view);
    obsolete_purge(copy->store); /* tables that were merged meanwhile */
    return r;
}

static int checkpoint(struct kv_store *store, struct kv_storage *to, struct copy_progress *progress)
{
    struct checkpoint copy = {.store = store, .to = to, .progress = progress};
    int r = store->options.read_only
                ? -EROFS
                : to->ops->lease_acquire(to, KV_LEASE_EXCLUSIVE, "a copy that is being made");

    r = r < 0 ? r : check_empty(to);
    if (r < 0) {
        return r;
    }
    r = make(&copy);
    if (r < 0 && to->ops->erase != NULL) {
        kv_ignore(to->ops->erase(to)); /* what is left has no root record: it is no store */
    }
    return r;
}

int kv_checkpoint(struct kv_store *store, struct kv_storage *to)
{
    return checkpoint(store, to, NULL);
}

int kv_copy(struct kv_store *store, struct kv_storage *to, kv_copy_progress_fn *fn, void *arg)
{
    struct copy_progress progress = {.fn = fn, .arg = arg};
    return checkpoint(store, to, &progress);
}
