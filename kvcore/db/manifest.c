/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/manifest.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/db/followers.h"
#include "kvcore/db/named_snapshot.h"
#include "kvcore/db/obsolete.h"
#include "kvcore/db/suspect.h"
#include "kvcore/db/view.h"
#include "kvcore/util/rng.h"

/* A manifest may grow this far beyond twice its snapshot before it is written anew. */
#define MANIFEST_ROLL_BYTES ((uint64_t)4 << 20)

/* What was seen since the opening comes on top of what was seen before. */
static void sum_errors(struct kv_store *store) REQUIRES(&store->manifest_mu)
{
    const struct counters *c = &store->counters;
    const _Atomic uint64_t *const seen[ROOT_COUNTERS] = {&c->damage_seen, &c->read_errors,
                                                         &c->write_errors, &c->sync_errors};
    for (int i = 0; i < ROOT_COUNTERS; i++) {
        store->root.counters[i] =
            store->errors_before[i] + atomic_load_explicit(seen[i], memory_order_relaxed);
    }
}

int root_commit(struct kv_store *store)
{
    struct kv_buf bytes = {0};
    bool news;
    int r;

    mutex_assert_held(&store->manifest_mu);
    sum_errors(store);
    news = suspects_to_root(store);
    r = root_encode(&store->root, &bytes);
    if (r == 0) {
        r = store->storage->ops->root_swap(store->storage, store->root_version,
                                           kv_buf_slice(&bytes));
        store->manifest_suspect = r < 0;
        store->root_version += r == 0;
    }
    if (r < 0 && news) {
        suspects_not_written(store);
    }
    kv_buf_finish(&bytes);
    return r;
}

/* ---- a snapshot of the whole state ---- */

static int snapshot_files(const struct version *version, struct edit *edit)
{
    int r = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            const struct file_list *list = &files->levels[level];
            for (size_t i = 0; i < list->count && r == 0; i++) {
                r = edit_add_file(edit, list->files[i]);
            }
        }
    }
    return r;
}

static int snapshot_blobs(const struct version *version, struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; version->blobs != NULL && i < version->blobs->count && r == 0; i++) {
        r = edit_add_blob(edit, &version->blobs->items[i].info);
    }
    return r;
}

static int snapshot_tables(struct kv_store *store, struct edit *edit) REQUIRES(&store->mu)
{
    int r = 0;
    for (int i = 0; i < KV_TABLE_COUNT_MAX && r == 0; i++) {
        const struct kv_table *table = store->tables[i];
        if (table != NULL) {
            struct edit_table entry = {.id = table->id, .options = table->options};
            memcpy(entry.name, table->name, sizeof entry.name);
            r = edit_add_table(edit, &entry);
        }
    }
    return r;
}

int manifest_state(struct kv_store *store, struct edit *ret_edit)
{
    struct edit *edit = ret_edit;
    int r = 0;

    mutex_assert_held(&store->manifest_mu);
    edit->first_log = store->first_log;
    edit->released_log = store->released_log;
    edit->last_sequence = store->flushed_sequence;
    for (size_t i = 0; i < store->closed_log_count && r == 0; i++) {
        r = edit_add_closed_log(edit, &store->closed_logs[i]);
    }
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        const struct dropped_table *dropped = &store->dropped[id - 1];
        r = dropped->is ? edit_drop_table(edit, id, dropped->sequence) : 0;
    }
    mutex_lock(&store->mu);
    edit->next_table = store->next_table_number;
    edit->next_blob = store->next_blob_number;
    r = r < 0 ? r : snapshot_tables(store, edit);
    r = r < 0 ? r : snapshot_files(store->view->version, edit);
    r = r < 0 ? r : snapshot_blobs(store->view->version, edit);
    r = r < 0 ? r : named_snapshots_state(store, edit);
    mutex_unlock(&store->mu);
    return r;
}

int manifest_append(struct log_writer *writer, enum log_record_type type, uint64_t number,
                    const struct edit *edit)
{
    struct kv_buf bytes = {0};
    struct kv_slice part;
    int r = edit_encode(edit, &bytes);

    part = kv_buf_slice(&bytes);
    if (r == 0) {
        r = log_writer_add(writer, type, number, &part, 1, false);
    }
    if (r == 0) {
        r = log_writer_sync(writer);
    }
    kv_buf_finish(&bytes);
    return r;
}

/* A manifest that the root does not name. Should removing it fail, the next opening does it. */
static void forget_manifest(struct kv_store *store, struct kv_file_id id,
                            struct log_writer *take_writer)
{
    log_writer_destroy(take_writer);
    kv_ignore(store->storage->ops->remove(store->storage, id));
}

/* Write manifest `id` with the snapshot, and `edit` (may be NULL) behind it. */
static int write_manifest(struct kv_store *store, struct kv_file_id id, const struct edit *edit,
                          struct log_writer **ret_writer) REQUIRES(&store->manifest_mu)
{
    struct log_writer_options options = {.store_seed = store->seed, .salt = rng_entropy()};
    struct log_writer *writer = NULL;
    struct edit snapshot = {0};
    int r = manifest_state(store, &snapshot);

    r = r < 0 ? r : log_writer_create(store->storage, id, &options, &writer);
    if (r < 0) {
        goto out;
    }
    r = manifest_append(writer, LOG_RECORD_SNAPSHOT, 1, &snapshot);
    if (r == 0) {
        store->manifest_roll_bytes = 2 * log_writer_end(writer).size + MANIFEST_ROLL_BYTES;
    }
    if (r == 0 && edit != NULL) {
        r = manifest_append(writer, LOG_RECORD_EDIT, 2, edit);
    }
    if (r < 0) {
        forget_manifest(store, id, writer);
        goto out;
    }
    *ret_writer = writer;
out:
    edit_finish(&snapshot);
    return r;
}

/* The record of a swap that failed may stand there all the same. Under our lease nobody else swaps,
 * so whichever version there is, is the one to go on from. */
static int find_root_version(struct kv_store *store) REQUIRES(&store->manifest_mu)
{
    struct kv_buf bytes = {0};
    int r = store->storage->ops->root_read(store->storage, &bytes, &store->root_version);
    kv_buf_finish(&bytes);
    return r;
}

/* A new manifest, then the root. A swap that failed may last all the same, so that from then on
 * nobody knows which manifest counts: none is removed or appended to until a later swap succeeds.
 */
static int roll_with(struct kv_store *store, const struct edit *edit) REQUIRES(&store->manifest_mu)
{
    struct log_writer *writer = NULL;
    struct root before = store->root;
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST, .number = store->next_manifest++};
    bool was_suspect = store->manifest_suspect;
    int r = was_suspect ? find_root_version(store) : 0;

    r = r < 0 ? r : write_manifest(store, id, edit, &writer);
    if (r < 0) {
        return r;
    }
    store->root.manifest = id.number;
    r = root_commit(store);
    if (r < 0 && store->manifest_suspect) {
        store->root = before;
        log_writer_destroy(writer);
        return r;
    }
    if (r < 0) {
        store->root = before;
        forget_manifest(store, id, writer);
        return r;
    }
    log_writer_destroy(store->manifest);
    store->manifest = writer;
    store->manifest_edits = edit != NULL ? 2 : 1;
    followers_note_state(store);
    id.number = before.manifest;
    if (id.number != 0 && !was_suspect) {
        kv_ignore(store->storage->ops->remove(store->storage, id)); /* else the next opening does */
    }
    return 0;
}

int manifest_roll(struct kv_store *store)
{
    return roll_with(store, NULL);
}

/* ---- applying an edit in memory ---- */

static void forget_released_logs(struct kv_store *store) REQUIRES(&store->manifest_mu)
{
    size_t kept = 0;
    for (size_t i = 0; i < store->closed_log_count; i++) {
        if (store->closed_logs[i].number >= store->released_log) {
            store->closed_logs[kept++] = store->closed_logs[i];
        }
    }
    store->closed_log_count = kept;
}

/* How many files go with the edit. */
static size_t count_going(const struct version *version, const struct edit *edit)
{
    size_t count = edit->removed_count;
    for (size_t i = 0; i < edit->dropped_count; i++) {
        count += version_count_files(version, edit->dropped[i].id);
    }
    return count;
}

/* Room for what apply must not fail at, before the edit is durable. */
static int prepare(struct kv_store *store, const struct edit *edit, struct view **ret_view)
    REQUIRES(&store->manifest_mu)
{
    size_t logs = store->closed_log_count + edit->closed_log_count + 1;
    struct log_end *closed = realloc(store->closed_logs, logs * sizeof *closed);
    struct file_meta **obsolete;
    int r = 0;

    if (closed == NULL) {
        return -ENOMEM;
    }
    store->closed_logs = closed;
    mutex_lock(&store->mu);
    obsolete = realloc(store->obsolete,
                       (store->obsolete_count + count_going(store->view->version, edit) + 1) *
                           sizeof(struct file_meta *));
    if (obsolete != NULL) {
        store->obsolete = obsolete;
    } else {
        r = -ENOMEM;
    }
    mutex_unlock(&store->mu);
    return r < 0 ? r : view_prepare(ret_view);
}

static bool is_added_again(const struct edit *edit, uint64_t number)
{
    for (size_t i = 0; i < edit->added_count; i++) {
        if (edit->added[i]->number == number) {
            return true;
        }
    }
    return false;
}

/* The state without it is durable. */
static void add_obsolete(struct kv_store *store, struct file_meta *file) REQUIRES(&store->mu)
{
    file_meta_ref(file);
    file->gone = atomic_load(&store->mark);
    store->obsolete[store->obsolete_count++] = file;
}

static void note_obsolete(struct kv_store *store, const struct edit *edit,
                          const struct edit_removed *removed) REQUIRES(&store->mu)
{
    const struct file_list *list =
        &version_table(store->view->version, removed->table_id)->levels[removed->level];
    if (is_added_again(edit, removed->number)) {
        return; /* only moved to another level */
    }
    for (size_t i = 0; i < list->count; i++) {
        if (list->files[i]->number == removed->number) {
            add_obsolete(store, list->files[i]);
            return;
        }
    }
}

/* A table goes: its files as others do, its handle stays for who has it. */
static void drop_table(struct kv_store *store, uint32_t id) REQUIRES(&store->mu)
{
    const struct table_files *files = version_table(store->view->version, id);
    struct kv_table *table = store->tables[id - 1];

    for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < files->levels[level].count; i++) {
            add_obsolete(store, files->levels[level].files[i]);
        }
    }
    store->tables[id - 1] = NULL;
    table->next = store->dropped_tables;
    store->dropped_tables = table;
}

/* The tables (keyspaces) of the edit come and go in the same step as its files, so that a snapshot
 * of the state has all of an edit or nothing. */
static void install_tables(struct kv_store *store, const struct edit *edit) REQUIRES(&store->mu)
{
    if (edit->table_count > 0) {
        assert(edit->table_count == 1 && store->new_table->id == edit->tables[0].id);
        store->tables[store->new_table->id - 1] = store->new_table;
        store->new_table = NULL;
    }
    for (size_t i = 0; i < edit->dropped_count; i++) {
        drop_table(store, edit->dropped[i].id);
    }
}

/* Put the new version in place, and take `flushed` out of the view. */
static void install(struct kv_store *store, const struct edit *edit, struct version *version,
                    const struct generation *flushed, struct view *take_view)
{
    struct generation *immutable[IMMUTABLE_MAX];
    struct view *old;
    unsigned count = 0;

    mutex_lock(&store->mu);
    for (size_t i = 0; i < edit->removed_count; i++) {
        note_obsolete(store, edit, &edit->removed[i]);
    }
    install_tables(store, edit);
    named_snapshots_install(store, edit);
    for (unsigned i = 0; i < store->view->immutable_count; i++) {
        if (store->view->immutable[i] != flushed) {
            immutable[count++] = store->view->immutable[i];
        }
    }
    old = view_install(store, take_view, store->view->active, immutable, count, version);
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
    view_release(old);
}

/* Ends of logs that were synced whole since the last edit: proof for recovery. */
static int add_log_ends(struct kv_store *store, struct edit *edit, const struct view *view)
{
    int r = 0;
    for (unsigned i = 0; i < view->immutable_count && r == 0; i++) {
        struct generation *generation = view->immutable[i];
        if (generation->log != NULL && !generation->end_recorded &&
            generation->log_number >= edit->released_log && atomic_load(&generation->log_synced)) {
            struct log_end end = log_writer_end(generation->log);
            r = edit_add_closed_log(edit, &end);
        }
    }
    return r;
}

/* Append the edit, or begin a new manifest where that is due or the append fails. */
static int make_durable(struct kv_store *store, const struct edit *edit)
    REQUIRES(&store->manifest_mu)
{
    int r = -EFBIG;
    if (!store->manifest_suspect &&
        log_writer_end(store->manifest).size < store->manifest_roll_bytes) {
        r = manifest_append(store->manifest, LOG_RECORD_EDIT, store->manifest_edits + 1, edit);
        store->manifest_edits += r == 0; /* no number may be missing, nor come twice */
    }
    if (r < 0) {
        return roll_with(store, edit);
    }
    followers_note_state(store);
    return 0;
}

/* Only here, under the manifest's mutex. */
static void note_end_recorded(const struct view *view, uint64_t log_number)
{
    for (unsigned i = 0; i < view->immutable_count; i++) {
        struct generation *generation = view->immutable[i];
        generation->end_recorded = generation->end_recorded || generation->log_number == log_number;
    }
}

static void note_logs(struct kv_store *store, const struct edit *edit, const struct view *view)
    REQUIRES(&store->manifest_mu)
{
    for (size_t i = 0; i < edit->closed_log_count; i++) {
        store->closed_logs[store->closed_log_count++] = edit->closed_logs[i];
        note_end_recorded(view, edit->closed_logs[i].number);
    }
    for (size_t i = 0; i < edit->dropped_count; i++) {
        const struct edit_dropped *dropped = &edit->dropped[i];
        store->dropped[dropped->id - 1] = (struct dropped_table){true, dropped->sequence};
    }
    if (edit->released_log > store->released_log) {
        store->released_log = edit->released_log;
        forget_released_logs(store);
    }
    if (edit->last_sequence > store->flushed_sequence) {
        store->flushed_sequence = edit->last_sequence;
    }
}

static int commit_locked(struct kv_store *store, struct edit *edit, struct generation *flushed)
    REQUIRES(&store->manifest_mu)
{
    struct version *version = NULL;
    struct view *prepared = NULL;
    struct view *view = view_acquire(store);
    int r = add_log_ends(store, edit, view);

    mutex_lock(&store->mu);
    edit->next_table = store->next_table_number;
    edit->next_blob = store->next_blob_number;
    mutex_unlock(&store->mu);
    r = r < 0 ? r : version_apply(view->version, edit, &version);
    r = r < 0 ? r : prepare(store, edit, &prepared);
    r = r < 0 ? r : make_durable(store, edit);
    if (r == 0) {
        note_logs(store, edit, view);
        install(store, edit, version, flushed, prepared);
        prepared = NULL;
    } else {
        obsolete_doubt(store, edit, view);
    }
    free(prepared);
    version_unref(version);
    view_release(view);
    return r;
}

int manifest_commit(struct kv_store *store, struct edit *edit, struct generation *flushed)
{
    struct doubtful doubtful = {0};
    uint64_t released_before;
    int r;

    mutex_lock(&store->manifest_mu);
    released_before = store->released_log;
    r = commit_locked(store, edit, flushed);
    if (r == 0) {
        doubtful = obsolete_settle(store);
    }
    mutex_unlock(&store->manifest_mu);
    if (r < 0) {
        return r;
    }
    for (uint64_t n = released_before; edit->released_log != 0 && n < edit->released_log; n++) {
        obsolete_log(store, n);
    }
    obsolete_remove(store, &doubtful);
    obsolete_purge(store);
    return 0;
}

int manifest_settle(struct kv_store *store)
{
    struct doubtful doubtful = {0};
    int r = 0;

    mutex_lock(&store->manifest_mu);
    if (store->doubtful.tables != NULL) {
        r = manifest_roll(store);
        if (r == 0) {
            doubtful = obsolete_settle(store);
        }
    }
    mutex_unlock(&store->manifest_mu);
    obsolete_remove(store, &doubtful);
    return r;
}
