/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/recover.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvcore/blob/blob_set.h"
#include "kvcore/db/flush.h"
#include "kvcore/db/large.h"
#include "kvcore/db/manifest.h"
#include "kvcore/db/named_snapshot.h"
#include "kvcore/db/obsolete.h"
#include "kvcore/db/recover_blobs.h"
#include "kvcore/db/recover_logs.h"
#include "kvcore/db/suspect.h"
#include "kvcore/db/view.h"
#include "kvcore/log/log_reader.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

enum { BLOBS_OPEN_MAX = 256 };

/* More numbers than rows fit in the logs that can exist at once. */
#define SEQUENCE_GAP ((uint64_t)1 << 24)

struct recovery {
    struct kv_store *store;
    struct recovery_files files;
    struct version *version;
    struct generation *generation; /* rows that were only in logs */
    struct recovered_blobs *blobs; /* what these point at */
};

static const char *store_name(const struct kv_store *store)
{
    return store->storage->ops->name(store->storage);
}

/* ---- a new store ---- */

static void random_id(uint8_t id[16])
{
    coding_put_u64(id, rng_entropy());
    coding_put_u64(id + 8, rng_entropy());
}

/* The root of a store that is being made; it is written once everything else is there. */
static void make_root(struct kv_store *store, const struct kv_options *options) NO_LOCK_ANALYSIS
{
    struct root *root = &store->root;

    *root = (struct root){.format_version = ROOT_FORMAT_VERSION};
    random_id(root->seed_id);
    random_id(root->store_id);
    if (options->store_id != NULL) {
        memcpy(root->store_id, options->store_id, sizeof root->store_id);
    }
    if (options->label != NULL) {
        strncpy(root->label, options->label, ROOT_LABEL_SIZE_MAX);
    }
    store->root_version = 0;
    store->was_clean = true;
    store->first_log = 1;
    store->released_log = 1;
}

/* The seed of all checksums is known: blobs can be read from now on. */
int recover_set_seed(struct kv_store *store) NO_LOCK_ANALYSIS
{
    struct blob_store blobs = {.storage = store->storage, .sink = &store->sink};
    store->seed = checksum_store_seed(store->root.seed_id);
    blobs.seed = store->seed;
    return blob_set_create(&blobs, BLOBS_OPEN_MAX, &store->blobs);
}

/* ---- root ---- */

static int judge_features(const struct kv_store *store, const struct root *root)
{
    bool ro_only = (root->ro_compat & ~ROOT_RO_COMPAT_KNOWN) != 0 && !store->options.read_only;
    if ((root->incompat & ~ROOT_INCOMPAT_KNOWN) == 0 && !ro_only) {
        return 0;
    }
    message(&store->sink, KV_MESSAGE_ERROR,
            "%s: uses features this version does not know (%s); open it with a newer version%s",
            store_name(store), ro_only ? "ro_compat" : "incompat", ro_only ? ", or read-only" : "");
    return -KV_EFORMAT;
}

static int judge_repair(const struct kv_store *store, const struct root *root)
{
    if (!root->rows_unchecked || !store->options.refuse_unchecked) {
        return 0;
    }
    return message_damage(&store->sink,
                          "%s: a repair lost rows and was cut short before the others were looked "
                          "at, so that lost bytes would read as zeros. Run 'kvfs fsck -y' on it "
                          "again, or take the repair back with its option --undo",
                          store_name(store));
}

static int read_root(struct kv_store *store) NO_LOCK_ANALYSIS
{
    struct kv_buf bytes = {0};
    int r = store->storage->ops->root_read(store->storage, &bytes, &store->root_version);

    if (r == 0) {
        r = root_decode(kv_buf_slice(&bytes), &store->root);
    }
    kv_buf_finish(&bytes);
    if (r == -KV_EDAMAGED) {
        return message_damage(&store->sink,
                              "%s: both copies of the root record are damaged; run kvfs fsck",
                              store_name(store));
    }
    if (r == -KV_EFORMAT) {
        message(&store->sink, KV_MESSAGE_ERROR,
                "%s: written in a format this version does not know; open it with a newer version",
                store_name(store));
    }
    store->was_clean = store->root.clean;
    memcpy(store->errors_before, store->root.counters, sizeof store->errors_before);
    suspects_begin(store);
    r = r < 0 ? r : judge_features(store, &store->root);
    return r < 0 ? r : judge_repair(store, &store->root);
}

/* ---- manifest ---- */

static int add_table(struct kv_store *store, const struct edit_table *entry) NO_LOCK_ANALYSIS
{
    struct kv_table *table;
    if (store->tables[entry->id - 1] != NULL || store->dropped[entry->id - 1].is) {
        return -KV_EDAMAGED;
    }
    table = calloc(1, sizeof *table);
    if (table == NULL) {
        return -ENOMEM;
    }
    *table = (struct kv_table){.store = store, .id = entry->id, .options = entry->options};
    memcpy(table->name, entry->name, sizeof table->name);
    store->tables[entry->id - 1] = table;
    return 0;
}

static void drop_table(struct kv_store *store, const struct edit_dropped *dropped) NO_LOCK_ANALYSIS
{
    free(store->tables[dropped->id - 1]);
    store->tables[dropped->id - 1] = NULL;
    store->dropped[dropped->id - 1] = (struct dropped_table){true, dropped->sequence};
}

static int note_closed_log(struct kv_store *store, const struct log_end *end) NO_LOCK_ANALYSIS
{
    struct log_end *larger =
        realloc(store->closed_logs, (store->closed_log_count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    store->closed_logs = larger;
    larger[store->closed_log_count++] = *end;
    return 0;
}

static int apply_edit(struct recovery *rec, const struct edit *edit) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct version *version = NULL;
    int r = 0;

    for (size_t i = 0; i < edit->table_count && r == 0; i++) {
        r = add_table(store, &edit->tables[i]);
    }
    for (size_t i = 0; i < edit->dropped_count && r == 0; i++) {
        drop_table(store, &edit->dropped[i]);
    }
    for (size_t i = 0; i < edit->closed_log_count && r == 0; i++) {
        r = note_closed_log(store, &edit->closed_logs[i]);
    }
    for (size_t i = 0; i < edit->added_count && r == 0; i++) {
        r = store->tables[edit->added[i]->table_id - 1] != NULL ? 0 : -KV_EDAMAGED;
    }
    if (edit->next_table > store->next_table_number) {
        store->next_table_number = edit->next_table;
    }
    if (edit->last_sequence > store->flushed_sequence) {
        store->flushed_sequence = edit->last_sequence;
    }
    if (edit->next_blob > store->next_blob_number) {
        store->next_blob_number = edit->next_blob;
    }
    store->first_log = edit->first_log != 0 ? edit->first_log : store->first_log;
    store->released_log = edit->released_log != 0 ? edit->released_log : store->released_log;
    r = r < 0 ? r : named_snapshots_restore(store, edit);
    r = r < 0 ? r : version_apply(rec->version, edit, &version);
    if (r < 0) {
        return r;
    }
    version_unref(rec->version);
    rec->version = version;
    return 0;
}

static int apply_record(struct recovery *rec, const struct log_record *record, uint64_t expected)
{
    struct edit edit = {0};
    int r;

    if (record->sequence != expected ||
        record->type != (expected == 1 ? LOG_RECORD_SNAPSHOT : LOG_RECORD_EDIT)) {
        return -KV_EDAMAGED;
    }
    r = edit_decode(record->payload, &edit);
    if (r == 0) {
        r = apply_edit(rec, &edit);
        edit_finish(&edit);
    }
    return r;
}

static int read_manifest(struct recovery *rec) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST, .number = store->root.manifest};
    struct log_reader *reader = NULL;
    struct log_record record;
    uint64_t edits = 0;
    int r = log_reader_open(store->storage, id, store->seed,
                            store->root.clean ? &store->root.last_manifest : NULL, &store->sink,
                            &reader);

    while (r == 0 && (r = log_reader_next(reader, &record)) == 1) {
        edits++;
        r = apply_record(rec, &record, edits);
    }
    store->manifest_salt = reader != NULL ? log_reader_salt(reader) : 0;
    log_reader_close(reader);
    store->manifest_edits = edits;
    if (r == 0 && edits == 0) {
        r = -KV_EDAMAGED; /* the root names it, so its snapshot was durable */
    }
    if (r == -KV_EDAMAGED || r == -ENOENT) {
        r = message_damage(
            &store->sink,
            "%s: manifest %08" PRIu64 " is %s (after edit %" PRIu64 "); run kvfs fsck",
            store_name(store), id.number, r == -ENOENT ? "missing" : "damaged", edits);
    }
    return r;
}

/* ---- putting it together ---- */

static int wrong_table(const struct kv_store *store, const struct file_meta *file, uint64_t size)
{
    return message_damage(&store->sink,
                          "%s: table %08" PRIu64 " of %" PRIu64 " bytes is %s; run kvfs fsck",
                          store_name(store), file->number, file->size,
                          size == UINT64_MAX ? "missing" : "of another size");
}

static int check_list(const struct recovery *rec, const struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        uint64_t size = recovery_file_size(&rec->files.tables, list->files[i]->number);
        if (size != list->files[i]->size) {
            return wrong_table(rec->store, list->files[i], size);
        }
    }
    return 0;
}

static int wrong_blob(const struct kv_store *store, const struct blob_info *blob, uint64_t size)
{
    return message_damage(&store->sink,
                          "%s: blob %08" PRIu64 " of %" PRIu64 " bytes is %s; run kvfs fsck",
                          store_name(store), blob->number, blob->file_size,
                          size == UINT64_MAX ? "missing" : "shorter");
}

static int check_blobs(const struct recovery *rec)
{
    const struct version_blobs *blobs = rec->version->blobs;
    for (size_t i = 0; blobs != NULL && i < blobs->count; i++) {
        const struct blob_info *blob = &blobs->items[i].info;
        uint64_t size = recovery_file_size(&rec->files.blobs, blob->number);
        /* One that was sealed without room for its directory may be longer. */
        if (size == UINT64_MAX || size < blob->file_size) {
            return wrong_blob(rec->store, blob, size);
        }
    }
    return 0;
}

/* Every table and blob that the manifest names is there in its size. Before anything is removed. */
static int check_files(const struct recovery *rec)
{
    int r = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        const struct table_files *files = version_table(rec->version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT && r == 0; level++) {
            r = check_list(rec, &files->levels[level]);
        }
    }
    return r < 0 ? r : check_blobs(rec);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Numbers that exist as files are not given out again, whether the manifest knows them or not. */
static void set_numbers(struct recovery *rec) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    const struct recovery_files *files = &rec->files;
    store->next_table_number =
        larger(store->next_table_number, recovery_highest(&files->tables) + 1);
    store->next_blob_number = larger(store->next_blob_number, recovery_highest(&files->blobs) + 1);
    store->next_manifest = larger(files->highest_manifest, store->root.manifest) + 1;
    store->next_log = larger(files->highest_log + 1, store->first_log);
}

/* The replayed rows to tables of level 0. */
static int flush_replayed(struct recovery *rec) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct edit edit = {.released_log = store->next_log, .last_sequence = store->last_sequence};
    struct version *version = NULL;
    int r;

    if (generation_is_empty(rec->generation)) {
        return 0;
    }
    r = recovered_blobs_seal(rec->blobs, &edit);
    r = r < 0 ? r : flush_tables(store, rec->generation, rec->version, NULL, &edit);
    r = r < 0 ? r : version_apply(rec->version, &edit, &version);
    if (r == 0) {
        version_unref(rec->version);
        rec->version = version;
        store->flushed_sequence = store->last_sequence;
    }
    edit_finish(&edit);
    return r;
}

/* The generation that new rows go to, with a new log. All earlier logs are in tables: it has no
 * predecessor. */
static int begin_log(struct kv_store *store, const struct version *version,
                     struct generation **ret_active) NO_LOCK_ANALYSIS
{
    struct generation *active = NULL;
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = store->next_log};
    struct log_writer_options options = {.store_seed = store->seed, .salt = rng_entropy()};
    int r = generation_create(store->options.memtable_bytes, &active);

    for (uint32_t table = 1; table <= KV_TABLE_COUNT_MAX && r == 0; table++) {
        if (store->tables[table - 1] != NULL) {
            r = generation_add_table(active, table);
        }
    }
    r = r < 0 ? r : log_writer_create(store->storage, id, &options, &active->log);
    if (r < 0) {
        generation_unref(active);
        return r;
    }
    active->blob_limit = large_limit(store, version);
    active->log_number = id.number;
    store->next_log++;
    store->first_log = id.number;
    store->released_log = id.number;
    store->closed_log_count = 0;
    *ret_active = active;
    return 0;
}

static int install_view(struct recovery *rec, struct generation *active) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct view *view = NULL;
    struct view *none;
    int r = view_prepare(&view);

    if (r < 0) {
        return r;
    }
    mutex_lock(&store->mu);
    none = view_install(store, view, active, NULL, 0, rec->version);
    mutex_unlock(&store->mu);
    assert(none == NULL);
    generation_ref(active);
    store->active = active;
    atomic_store(&store->rotated_ns, clock_monotonic_ns());
    store->synced_sequence = store->last_sequence;
    return 0;
}

static int begin_writing(struct recovery *rec) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    struct generation *active = NULL;
    /* Opening needs room itself, also on a full device. */
    int r = store->storage->ops->reserve(store->storage, 0);

    r = r < 0 ? r : flush_replayed(rec);

    if (r == 0 && !store->was_clean) {
        /* Rows that were dropped had numbers too; leave a gap so that none is used twice. */
        uint64_t left = ROW_SEQUENCE_MAX - store->last_sequence;
        store->last_sequence += left < SEQUENCE_GAP ? left : SEQUENCE_GAP;
        store->flushed_sequence = store->last_sequence;
        atomic_store(&store->visible_sequence, store->last_sequence);
    }
    r = r < 0 ? r : begin_log(store, rec->version, &active);
    r = r < 0 ? r : install_view(rec, active);
    if (r == 0) {
        /* The new manifest names no log with rows of them, so that it need not name them. */
        memset(store->dropped, 0, sizeof store->dropped);
        store->root.clean = false;
        store->root.lease_epoch++;
        mutex_lock(&store->manifest_mu);
        r = manifest_roll(store);
        mutex_unlock(&store->manifest_mu);
    }
    generation_unref(active);
    return r < 0 ? r : obsolete_sweep(store);
}

/* What an earlier attempt to make the store left. Removed before anything is made, and the number
 * of the log used again, so that however many attempts are cut short there is one log at most:
 * several would be the remains of a store. */
static int remove_attempt(struct recovery *rec)
{
    const struct kv_storage_ops *ops = rec->store->storage->ops;
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = rec->files.highest_log};
    int r = id.number > 0 ? ops->remove(rec->store->storage, id) : 0;
    rec->files.highest_log = 0;
    return r;
}

/* No root: a directory that is to become a store, unless it once was one. */
static int begin_store(struct recovery *rec, const struct kv_options *options)
{
    struct kv_store *store = rec->store;
    int r;

    if (rec->files.tables.count > 0 || rec->files.blobs.count > 0 || rec->files.highest_log > 1) {
        return message_damage(
            &store->sink,
            "%s: the root record is missing, but there are tables, blobs or logs, the "
            "remains of a store; run kvfs fsck",
            store_name(store));
    }
    if (!options->create || options->read_only) {
        return -ENOENT;
    }
    make_root(store, options);
    r = recover_set_seed(store);
    return r < 0 ? r : remove_attempt(rec);
}

static int read_state(struct recovery *rec, const struct kv_options *options) NO_LOCK_ANALYSIS
{
    struct kv_store *store = rec->store;
    int r = read_root(store);

    if (r == -ENOENT) {
        r = begin_store(rec, options);
        set_numbers(rec);
        return r;
    }
    if (r < 0) {
        return r;
    }
    r = recover_set_seed(store);
    r = r < 0 ? r : read_manifest(rec);
    if (r == 0 && store->root.clean) {
        r = note_closed_log(store, &store->root.last_log); /* where it ends is known exactly */
    }
    r = r < 0 ? r : check_files(rec);
    set_numbers(rec);
    r = r < 0 ? r : recovered_blobs_create(store, &rec->files.blobs, rec->version, &rec->blobs);
    r = r < 0 ? r : recover_logs(store, rec->files.highest_log, rec->generation, rec->blobs);
    r = r < 0 ? r : named_snapshots_check(store);
    atomic_store(&store->visible_sequence, store->last_sequence);
    return r;
}

int recover_look(struct kv_store *store, struct version **ret_version)
{
    struct recovery rec = {.store = store};
    int r = version_create_empty(&rec.version);

    r = r < 0 ? r : read_root(store);
    r = r < 0 ? r : recover_set_seed(store);
    r = r < 0 ? r : read_manifest(&rec);
    if (r < 0) {
        version_unref(rec.version);
        return r;
    }
    *ret_version = rec.version;
    return 0;
}

int recover(struct kv_store *store, const struct kv_options *options)
{
    const struct kv_storage_ops *ops = store->storage->ops;
    struct recovery rec = {.store = store};
    char pid_line[32];
    int r;

    snprintf(pid_line, sizeof pid_line, "process %d", (int)getpid());
    r = ops->lease_acquire(store->storage,
                           options->read_only ? KV_LEASE_SHARED : KV_LEASE_EXCLUSIVE,
                           options->holder != NULL ? options->holder : pid_line);
    r = r < 0 ? r : version_create_empty(&rec.version);
    r = r < 0 ? r : generation_create(store->options.memtable_bytes, &rec.generation);
    r = r < 0 ? r : recovery_list_files(store->storage, &rec.files);
    r = r < 0 ? r : read_state(&rec, options);
    if (r == 0) {
        r = options->read_only ? install_view(&rec, rec.generation) : begin_writing(&rec);
    }
    if (r == 0 && !store->was_clean) {
        message(&store->sink, KV_MESSAGE_INFO,
                "%s: was not closed cleanly; recovered up to sequence number %" PRIu64,
                store_name(store), store->last_sequence);
    }
    recovered_blobs_destroy(rec.blobs);
    version_unref(rec.version);
    generation_unref(rec.generation);
    recovery_files_finish(&rec.files);
    return r;
}
