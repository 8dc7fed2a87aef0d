/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/obsolete.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/blob/blob_writer.h"
#include "kvcore/db/followers.h"

/* One table that only the list still holds, and no follower may read, or NULL. It stays on the list
 * until its file is gone: merges that begin meanwhile name it (record_replaced() in compact.c). */
static struct file_meta *begin_removal(struct kv_store *store, uint64_t limit)
{
    struct file_meta *found = NULL;
    bool waits = false;
    mutex_lock(&store->mu);
    for (size_t i = 0; i < store->obsolete_count && found == NULL; i++) {
        struct file_meta *file = store->obsolete[i];
        /* Nobody can take a new reference: no version that is reachable holds it. */
        if (file->removing || atomic_load_explicit(&file->refs, memory_order_acquire) != 1) {
            continue;
        }
        if (file->gone <= limit) {
            file->removing = true;
            found = file;
        } else {
            waits = true;
        }
    }
    mutex_unlock(&store->mu);
    if (waits) {
        followers_wait(store);
    }
    return found;
}

static void end_removal(struct kv_store *store, struct file_meta *file)
{
    mutex_lock(&store->mu);
    for (size_t i = 0; i < store->obsolete_count; i++) {
        if (store->obsolete[i] == file) {
            store->obsolete[i] = store->obsolete[--store->obsolete_count];
            break;
        }
    }
    mutex_unlock(&store->mu);
    file_meta_unref(file);
}

void obsolete_purge(struct kv_store *store)
{
    uint64_t limit = followers_limit(store);
    struct file_meta *file;
    while ((file = begin_removal(store, limit)) != NULL) {
        struct kv_file_id id = {.kind = KV_FILE_TABLE, .number = file->number};
        block_cache_drop_table(store->cache, file->number);
        int r = store->storage->ops->remove(store->storage, id);
        if (r == 0 || r == -ENOENT) {
            end_removal(store, file);
        } /* else it is there, on the list, until the next opening tries again */
    }
}

/* Without memory for it a table may come back with a manifest that is rebuilt, should that be lost
 * before the next opening. */
static void note_left(struct kv_store *store, uint64_t number)
{
    mutex_lock(&store->mu);
    uint64_t *larger =
        reallocarray(store->left_tables, store->left_count + 1, sizeof store->left_tables[0]);
    if (larger != NULL) {
        store->left_tables = larger;
        larger[store->left_count++] = number;
    }
    mutex_unlock(&store->mu);
}

void obsolete_remove_now(struct kv_store *store, struct kv_file_id id)
{
    int r = store->storage->ops->remove(store->storage, id);
    if (r < 0 && r != -ENOENT && id.kind == KV_FILE_TABLE) {
        note_left(store, id.number);
    }
}

static bool is_moved(const struct edit *edit, uint64_t number)
{
    for (size_t i = 0; i < edit->removed_count; i++) {
        if (edit->removed[i].number == number) {
            return true;
        }
    }
    return false;
}

static bool is_of_generation(const struct generation *generation, uint64_t blob)
{
    const struct blob_writer *writer = atomic_load(&generation->blob);
    return writer != NULL && blob_writer_number(writer) == blob;
}

/* The edit names the blob, but it was not made for it: it was there before, or memtables refer to
 * it. */
static bool is_needed_anyway(const struct view *view, uint64_t blob)
{
    bool needed =
        version_find_blob(view->version, blob) != NULL || is_of_generation(view->active, blob);
    for (unsigned i = 0; i < view->immutable_count && !needed; i++) {
        needed = is_of_generation(view->immutable[i], blob);
    }
    return needed;
}

static void doubt_blob(struct doubtful *doubtful, uint64_t number)
{
    uint64_t *larger =
        reallocarray(doubtful->blobs, doubtful->blob_count + 1, sizeof doubtful->blobs[0]);
    if (larger != NULL) { /* else it stays until the next opening */
        doubtful->blobs = larger;
        larger[doubtful->blob_count++] = number;
    }
}

void obsolete_doubt(struct kv_store *store, const struct edit *edit, const struct view *view)
{
    struct doubtful *doubtful = &store->doubtful;

    for (size_t i = 0; i < edit->added_count; i++) {
        struct file_meta *file = edit->added[i];
        if (!is_moved(edit, file->number)) {
            file_meta_ref(file);
            file->next_doubtful = doubtful->tables;
            doubtful->tables = file;
        }
    }
    for (size_t i = 0; i < edit->blob_count; i++) {
        if (!is_needed_anyway(view, edit->blobs[i].number)) {
            doubt_blob(doubtful, edit->blobs[i].number);
        }
    }
}

struct doubtful obsolete_settle(struct kv_store *store)
{
    struct doubtful doubtful = store->doubtful;
    store->doubtful = (struct doubtful){0};
    return doubtful;
}

void obsolete_forget(struct doubtful *take_doubtful)
{
    for (struct file_meta *file = take_doubtful->tables; file != NULL;) {
        struct file_meta *next = file->next_doubtful;
        file_meta_unref(file);
        file = next;
    }
    free(take_doubtful->blobs);
    *take_doubtful = (struct doubtful){0};
}

void obsolete_remove(struct kv_store *store, struct doubtful *take_doubtful)
{
    for (struct file_meta *file = take_doubtful->tables; file != NULL; file = file->next_doubtful) {
        followers_remove(store, (struct kv_file_id){KV_FILE_TABLE, file->number});
    }
    for (size_t i = 0; i < take_doubtful->blob_count; i++) {
        followers_remove(store, (struct kv_file_id){KV_FILE_BLOB, take_doubtful->blobs[i]});
    }
    obsolete_forget(take_doubtful);
}

void obsolete_log(struct kv_store *store, uint64_t number)
{
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = number};
    bool keep;

    mutex_lock(&store->mu);
    keep = store->recyclable_log == 0 && !atomic_load(&store->stopping);
    if (keep) {
        store->recyclable_log = number;
    }
    mutex_unlock(&store->mu);
    if (!keep) {
        kv_ignore(store->storage->ops->remove(store->storage, id));
    }
}

/* ---- after opening ---- */

struct sweep {
    struct kv_store *store;
    struct kv_file_id *leftovers;
    size_t count;
    int error;
};

static bool level_has(const struct table_files *files, int level, uint64_t number)
{
    for (size_t i = 0; i < files->levels[level].count; i++) {
        if (files->levels[level].files[i]->number == number) {
            return true;
        }
    }
    return false;
}

static bool version_has(const struct version *version, uint64_t number)
{
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            if (level_has(files, level, number)) {
                return true;
            }
        }
    }
    return false;
}

static bool log_is_needed(const struct kv_store *store, uint64_t number) NO_LOCK_ANALYSIS
{
    if (number >= store->first_log) {
        return true;
    }
    for (size_t i = 0; i < store->closed_log_count; i++) {
        if (store->closed_logs[i].number == number) {
            return true;
        }
    }
    return false;
}

/* Opening is single-threaded: no locks. */
static bool is_needed(const struct kv_store *store, struct kv_file_id id) NO_LOCK_ANALYSIS
{
    switch (id.kind) {
    case KV_FILE_LOG:
        return log_is_needed(store, id.number);
    case KV_FILE_MANIFEST:
        return id.number == store->root.manifest;
    case KV_FILE_TABLE:
        return version_has(store->view->version, id.number);
    case KV_FILE_BLOB:
        return version_find_blob(store->view->version, id.number) != NULL;
    }
    return true;
}

static void note_leftover(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    struct sweep *sweep = arg;
    struct kv_file_id *larger;
    (void)size_bytes;
    if (is_needed(sweep->store, id)) {
        return;
    }
    larger = realloc(sweep->leftovers, (sweep->count + 1) * sizeof *larger);
    if (larger == NULL) {
        sweep->error = -ENOMEM;
        return;
    }
    sweep->leftovers = larger;
    sweep->leftovers[sweep->count++] = id;
}

int obsolete_sweep(struct kv_store *store)
{
    struct sweep sweep = {.store = store};
    size_t removed = 0;
    int r = store->storage->ops->list(store->storage, note_leftover, &sweep);

    r = r < 0 ? r : sweep.error;
    for (size_t i = 0; i < sweep.count && r == 0; i++) {
        /* They may read states of the last writer. */
        removed += followers_remove(store, sweep.leftovers[i]);
    }
    if (removed > 0) {
        message(&store->sink, KV_MESSAGE_INFO, "%s: removed %zu leftover file(s) of an earlier run",
                store->storage->ops->name(store->storage), removed);
    }
    free(sweep.leftovers);
    return r;
}
