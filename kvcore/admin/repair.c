/* SPDX-License-Identifier: Apache-2.0 */
/* plan -> archive -> apply -> verify. What is there is never written to: new tables, a new log and
 * a new manifest are made beside it, and ROOT, replaced as a whole, is what makes them the store.
 * The archive is durable before that, and what it keeps is removed only after. */
#include "kvcore/admin/repair.h"

#include <stdlib.h>

#include "kvcore/admin/journal.h"
#include "kvcore/admin/rebuild.h"
#include "kvcore/admin/rescue.h"
#include "kvcore/db/batch.h"
#include "kvcore/db/manifest.h"
#include "kvcore/log/log_writer.h"
#include "kvcore/util/rng.h"

/* Rows that were dropped behind the end of the logs had numbers, too. */
#define SEQUENCE_GAP ((uint64_t)1 << 24)

struct repair {
    struct scan *scan;
    const struct kv_batch *rows; /* to be written; NULL: none */
    struct raw_archive *archive;
    bool new_state;    /* the manifest is written anew */
    uint64_t manifest; /* numbers of what is made; 0: none */
    uint64_t log;
    struct root root; /* as it will be */
    uint8_t root_bytes[RAW_ROOT_SIZE];
    uint64_t tables_from, tables_to; /* numbers of the tables that were made: [from, to) */
};

/* ---- the plan ---- */

static bool snapshot_is_ahead(const struct scan *scan, const struct edit_snapshot *snapshot)
{
    return snapshot->sequence > scan->last_sequence;
}

static bool has_snapshot_ahead(const struct scan *scan)
{
    bool ahead = false;
    for (size_t i = 0; i < scan->state.snapshot_count; i++) {
        ahead |= snapshot_is_ahead(scan, &scan->state.snapshots[i]);
    }
    return ahead;
}

/* The oldest first: what is older than a table has to be sound when that is rescued. */
static int compare_age(const void *a, const void *b)
{
    const struct file_meta *fa = ((const struct scan_table *)a)->file;
    const struct file_meta *fb = ((const struct scan_table *)b)->file;
    if (fa->level != fb->level) {
        return fa->level > fb->level ? -1 : 1;
    }
    return (fa->sequence_max > fb->sequence_max) - (fa->sequence_max < fb->sequence_max);
}

static void sort_tables(struct scan *scan)
{
    if (scan->bad_table_count > 0) {
        qsort(scan->bad_tables, scan->bad_table_count, sizeof scan->bad_tables[0], compare_age);
    }
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void plan(struct repair *repair)
{
    struct scan *scan = repair->scan;
    struct admin_state *state = &scan->state;

    repair->root = scan->root;
    repair->root.suspects = (struct kv_suspects){0};
    sort_tables(scan);
    repair->new_state = scan->has_state && (scan->cut_back || scan->keyspaces_added ||
                                            scan->logs_cut || has_snapshot_ahead(scan) ||
                                            scan->bad_table_count > 0 || scan->bad_blob_count > 0);
    if (scan->rebuilt) {
        repair->new_state = rebuild_can(scan);
        repair->root.clean = false;
    }
    if (!repair->new_state) {
        return;
    }
    /* What is safe leaves no row out. */
    repair->root.rows_unchecked |= scan->unsafe > 0 || scan->keyspaces_added;
    repair->manifest = larger(scan->highest[KV_FILE_MANIFEST], scan->root.manifest) + 1;
    repair->root.manifest = repair->manifest;
    repair->root.lease_epoch++;
    state->next_table = larger(state->next_table, scan->highest[KV_FILE_TABLE] + 1);
    state->next_blob = larger(state->next_blob, scan->highest[KV_FILE_BLOB] + 1);
    repair->tables_from = state->next_table;
    repair->tables_to = state->next_table;
    if (scan->logs_cut) {
        /* Where none is there any more: nor one of a number that counts as released. */
        uint64_t known = larger(state->first_log, state->released_log);
        repair->log = larger(scan->highest[KV_FILE_LOG], known) + 1;
        repair->root.clean = false;
    }
}

/* ---- the archive ---- */

static int keep_leftover(void *arg, const struct raw_name *name)
{
    struct repair *repair = arg;
    return name->kind == RAW_LEFTOVER && name->is_ours
               ? raw_archive_keep(repair->archive, name->name, false)
               : 0;
}

static void ignore_file(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    (void)arg;
    (void)id;
    (void)size_bytes;
}

/* Files that were being made stand in the way of those that are to be made. */
static int clear_leftovers(struct repair *repair)
{
    struct kv_storage *storage = repair->scan->storage;
    int r = raw_list(storage, keep_leftover, repair);
    return r < 0 ? r : storage->ops->list(storage, ignore_file, NULL);
}

static int keep_file(struct repair *repair, struct kv_file_id id, bool copy)
{
    const struct scan_file *file = scan_find(repair->scan, id.kind, id.number);
    char name[48];
    scan_file_name(id, name);
    return file != NULL && file->is_ours ? raw_archive_keep(repair->archive, name, copy) : 0;
}

/* Whether the new state has rows of the log. */
static bool log_stays(const struct scan *scan, uint64_t number)
{
    bool stays = false;
    for (size_t i = 0; i < scan->log_end_count; i++) {
        stays |= scan->log_ends[i].number == number && scan->log_ends[i].size > 0;
    }
    return stays;
}

/* A log whose beginning is still needed stays, and once it is not it may be written over: what
 * stands behind that beginning is kept by a copy. Where rows are added all of it is needed, and
 * taking that back finds it where it is: a copy at each of many steps would be one of all the
 * steps before. */
static int keep_logs(struct repair *repair)
{
    struct scan *scan = repair->scan;
    int r = 0;
    for (size_t i = 0; i < scan->file_count && r == 0; i++) {
        const struct scan_file *file = &scan->files[i];
        bool whole = repair->rows != NULL && log_stays(scan, file->id.number);
        if (file->id.kind == KV_FILE_LOG && file->wanted && !whole) {
            r = keep_file(repair, file->id, true);
        }
    }
    return r;
}

/* Part of a lost value may be there still. Nothing in the store names it any more, so that its room
 * would be given back; of a file that has another name it is not. */
static int keep_blobs(struct repair *repair)
{
    struct scan *scan = repair->scan;
    int r = 0;
    for (size_t i = 0; i < scan->file_count && r == 0; i++) {
        if (scan->files[i].has_lost_values) {
            r = keep_file(repair, scan->files[i].id, false);
        }
    }
    return r;
}

/* The next opening removes what nothing names: whatever was decided, nothing is gone. What it may
 * write to is copied. */
static int keep_all(struct repair *repair)
{
    const struct scan *scan = repair->scan;
    int r = 0;
    for (size_t i = 0; i < scan->file_count && r == 0; i++) {
        struct kv_file_id id = scan->files[i].id;
        bool written =
            id.kind == KV_FILE_LOG ||
            (id.kind == KV_FILE_BLOB && version_find_blob(scan->state.version, id.number) == NULL);
        r = keep_file(repair, id, written);
    }
    return r;
}

static int keep_state(struct repair *repair)
{
    struct scan *scan = repair->scan;
    struct kv_file_id id = {KV_FILE_MANIFEST, scan->root.manifest};
    int r = keep_file(repair, id, false);

    for (size_t i = 0; i < scan->bad_table_count && r == 0; i++) {
        id = (struct kv_file_id){KV_FILE_TABLE, scan->bad_tables[i].file->number};
        r = keep_file(repair, id, false);
    }
    r = r < 0 ? r : keep_blobs(repair);
    return r == 0 && scan->logs_cut ? keep_logs(repair) : r;
}

static int write_journal(struct repair *repair)
{
    struct journal journal = {0};
    struct kv_buf text = {0};
    int r;

    memcpy(journal.highest, repair->scan->highest, sizeof journal.highest);
    r = journal_encode(&journal, &text);
    r = r < 0 ? r : raw_archive_write(repair->archive, JOURNAL_NAME, kv_buf_slice(&text));
    kv_buf_finish(&text);
    return r;
}

static int begin_archive(struct repair *repair)
{
    int r = raw_archive_create(repair->scan->storage, &repair->archive);
    if (r == 0 && repair->scan->has_raw_root) {
        r = raw_archive_keep(repair->archive, ROOT_OLD_NAME, true);
    }
    r = r < 0 ? r : write_journal(repair);
    r = r < 0 ? r : clear_leftovers(repair);
    if (r == 0 && repair->new_state) {
        r = repair->scan->rebuilt || repair->scan->cut_back ? keep_all(repair) : keep_state(repair);
    }
    return r;
}

static int finish_archive(struct repair *repair)
{
    struct kv_slice root = kv_slice(repair->root_bytes, sizeof repair->root_bytes);
    int r = raw_archive_write(repair->archive, ROOT_NEW_NAME, root);
    return r < 0 ? r : raw_archive_finish(repair->archive);
}

/* ---- new files ---- */

static int replace_table(struct repair *repair, const struct scan_table *bad)
{
    struct admin_state *state = &repair->scan->state;
    struct edit edit = {0};
    struct file_meta *file = NULL;
    int r = rescue_table(repair->scan, bad, state->next_table, &file);

    repair->tables_to = ++state->next_table;
    r = r < 0 ? r : edit_remove_file(&edit, bad->file);
    if (r == 0 && file != NULL) {
        r = edit_add_file(&edit, file);
    }
    r = r < 0 ? r : admin_state_apply(state, &edit);
    file_meta_unref(file);
    edit_finish(&edit);
    return r;
}

static int replace_tables(struct repair *repair)
{
    struct scan *scan = repair->scan;
    int r = 0;

    for (size_t i = 0; i < scan->bad_table_count && r == 0; i++) {
        r = replace_table(repair, &scan->bad_tables[i]);
    }
    return r;
}

static struct version_blob *find_blob(struct version_blobs *blobs, uint64_t number)
{
    for (size_t i = 0; blobs != NULL && i < blobs->count; i++) {
        if (blobs->items[i].info.number == number) {
            return &blobs->items[i];
        }
    }
    return NULL;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* No table points at what is lost any more. A blob that ends early is named with the size it has:
 * the version is ours alone, and its numbers go into a new snapshot. */
static int drop_blobs(struct scan *scan)
{
    struct edit edit = {0};
    int r = 0;

    for (size_t i = 0; i < scan->bad_blob_count && r == 0; i++) {
        const struct scan_blob *bad = &scan->bad_blobs[i];
        struct version_blob *blob = find_blob(scan->state.version->blobs, bad->number);
        if (bad->size == 0) {
            r = edit_remove_blob(&edit, bad->number);
        } else if (blob != NULL) {
            blob->info.file_size = bad->size;
            blob->info.data_bytes = smaller(blob->info.data_bytes, bad->size);
            blob->info.punched_bytes = smaller(blob->info.punched_bytes, bad->size);
        }
    }
    r = r < 0 ? r : admin_state_apply(&scan->state, &edit);
    edit_finish(&edit);
    return r;
}

/* The logs as far as they can be replayed are closed ones now, each with the end it has. */
static int close_logs(struct repair *repair)
{
    struct scan *scan = repair->scan;
    struct admin_state *state = &scan->state;
    struct log_end *ends = calloc(scan->log_end_count + 1, sizeof *ends);
    size_t count = 0;

    if (ends == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < scan->log_end_count; i++) {
        if (scan->log_ends[i].size > 0) {
            ends[count++] = scan->log_ends[i];
        }
    }
    free(state->closed_logs);
    state->closed_logs = ends;
    state->closed_log_count = count;
    state->first_log = repair->log;
    return 0;
}

static void drop_snapshots(struct scan *scan)
{
    struct admin_state *state = &scan->state;
    size_t kept = 0;
    for (size_t i = 0; i < state->snapshot_count; i++) {
        if (!snapshot_is_ahead(scan, &state->snapshots[i])) {
            state->snapshots[kept++] = state->snapshots[i];
        }
    }
    state->snapshot_count = kept;
}

/* In one record, so that all of them count or none; the mark says that it was synced. */
static int add_rows(const struct repair *repair, struct log_writer *log)
{
    struct kv_slice payload = kv_buf_slice(&repair->rows->payload);
    uint64_t sequence = repair->scan->last_sequence + SEQUENCE_GAP;
    int r = log_writer_add(log, LOG_RECORD_BATCH, sequence, &payload, 1, false);

    r = r < 0 ? r : log_writer_sync(log);
    return r < 0 ? r : log_writer_add(log, LOG_RECORD_MARK, 0, NULL, 0, false);
}

/* A log that no opening began, so it names a predecessor where there is one. */
static int write_log(struct repair *repair)
{
    struct scan *scan = repair->scan;
    const struct admin_state *state = &scan->state;
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = repair->log};
    struct log_writer_options options = {.store_seed = scan->seed, .salt = rng_entropy()};
    struct log_writer *log = NULL;
    int r;

    if (repair->rows != NULL && state->closed_log_count > 0) {
        options.previous = &state->closed_logs[state->closed_log_count - 1];
    }
    r = log_writer_create(scan->storage, id, &options, &log);
    if (r == 0 && repair->rows != NULL) {
        r = add_rows(repair, log);
    }
    r = r < 0 ? r : log_writer_sync(log);
    log_writer_destroy(log);
    return r;
}

static int write_manifest(struct repair *repair)
{
    struct scan *scan = repair->scan;
    struct kv_file_id id = {.kind = KV_FILE_MANIFEST, .number = repair->manifest};
    struct log_writer_options options = {.store_seed = scan->seed, .salt = rng_entropy()};
    struct log_writer *manifest = NULL;
    struct edit edit = {0};
    int r = admin_state_edit(&scan->state, &edit);

    r = r < 0 ? r : log_writer_create(scan->storage, id, &options, &manifest);
    r = r < 0 ? r : manifest_append(manifest, LOG_RECORD_SNAPSHOT, 1, &edit);
    if (r == 0) {
        repair->root.last_manifest = log_writer_end(manifest);
    }
    log_writer_destroy(manifest);
    edit_finish(&edit);
    return r;
}

static int make_tables(struct repair *repair)
{
    struct scan *scan = repair->scan;
    int r;

    if (scan->rebuilt) {
        r = rebuild_rows(scan);
        repair->tables_to = scan->state.next_table;
        return r;
    }
    r = replace_tables(repair);
    return r < 0 ? r : drop_blobs(scan);
}

static int make_state(struct repair *repair)
{
    int r = make_tables(repair);

    if (r == 0 && repair->scan->logs_cut) {
        r = close_logs(repair);
        r = r < 0 ? r : write_log(repair);
    }
    if (r == 0) {
        drop_snapshots(repair->scan);
        r = write_manifest(repair);
    }
    return r;
}

static int make_root(struct repair *repair)
{
    struct kv_buf content = {0};
    int r = root_encode(&repair->root, &content);
    if (r == 0) {
        raw_root_encode(repair->scan->root_version + 1, kv_buf_slice(&content), repair->root_bytes);
    }
    kv_buf_finish(&content);
    return r;
}

/* ---- after ---- */

static void remove_file(struct repair *repair, enum kv_file_kind kind, uint64_t number)
{
    const struct scan_file *file = scan_find(repair->scan, kind, number);
    char name[48];
    if (file != NULL && !file->is_ours) {
        return; /* no file of ours, so that it is not kept either */
    }
    scan_file_name((struct kv_file_id){kind, number}, name);
    kv_ignore(raw_remove(repair->scan->storage, name)); /* else the next opening does it */
}

/* It failed: what was made is nobody's. */
static void remove_made(struct repair *repair)
{
    for (uint64_t n = repair->tables_from; n < repair->tables_to; n++) {
        remove_file(repair, KV_FILE_TABLE, n);
    }
    if (repair->log != 0) {
        remove_file(repair, KV_FILE_LOG, repair->log);
    }
    if (repair->manifest != 0) {
        remove_file(repair, KV_FILE_MANIFEST, repair->manifest);
    }
}

static bool is_kept_log(const struct repair *repair, uint64_t number)
{
    return admin_state_closed_log(&repair->scan->state, number) != NULL;
}

/* All tables and manifests there were; what is left of logs and blobs the next opening sees to. */
static void remove_all(struct repair *repair)
{
    const struct scan *scan = repair->scan;
    for (size_t i = 0; i < scan->file_count; i++) {
        struct kv_file_id id = scan->files[i].id;
        if (id.kind == KV_FILE_TABLE || id.kind == KV_FILE_MANIFEST) {
            remove_file(repair, id.kind, id.number);
        }
    }
}

/* Tables that told of later changes, so that they do not once more. */
static void remove_left_out(struct repair *repair)
{
    const struct scan *scan = repair->scan;
    for (size_t i = 0; i < scan->file_count; i++) {
        const struct scan_file *file = &scan->files[i];
        if (file->id.kind == KV_FILE_TABLE && !file->wanted) {
            remove_file(repair, KV_FILE_TABLE, file->id.number);
        }
    }
}

/* It is done: what the archive keeps need not stand here, too. */
static void remove_replaced(struct repair *repair)
{
    struct scan *scan = repair->scan;

    if (scan->rebuilt) {
        remove_all(repair);
    } else if (scan->cut_back) {
        remove_left_out(repair);
    }
    remove_file(repair, KV_FILE_MANIFEST, scan->root.manifest);
    for (size_t i = 0; i < scan->bad_table_count; i++) {
        remove_file(repair, KV_FILE_TABLE, scan->bad_tables[i].file->number);
    }
    for (size_t i = 0; scan->logs_cut && i < scan->file_count; i++) {
        const struct scan_file *file = &scan->files[i];
        if (file->id.kind == KV_FILE_LOG && file->wanted && !is_kept_log(repair, file->id.number)) {
            remove_file(repair, KV_FILE_LOG, file->id.number);
        }
    }
    kv_ignore(raw_sync(scan->storage)); /* names that come back are removed by the next opening */
}

/* What is left is what another scan finds. */
static int verify(struct scan *before)
{
    struct kv_admin_options options = {.mode = KV_ADMIN_REPORT, .deep = before->deep};
    struct scan after = {.storage = before->storage, .options = &options};
    int r = scan_run(&after);

    if (r == 0 && after.result.problems < before->result.problems) {
        before->result.repaired = before->result.problems - after.result.problems;
    }
    before->result.needs_replay = after.result.needs_replay;
    scan_finish(&after);
    return r;
}

/* Everything but ROOT: until that is replaced all of this is nobody's. */
static int prepare(struct repair *repair)
{
    int r = begin_archive(repair);

    r = r == 0 && repair->new_state ? make_state(repair) : r;
    r = r < 0 ? r : make_root(repair);
    r = r < 0 ? r : finish_archive(repair);
    if (r < 0) {
        remove_made(repair);
    }
    return r;
}

/* If this fails, either ROOT may be the one that lasts: what both name stays. */
static int install(struct repair *repair)
{
    struct scan *scan = repair->scan;
    const char *name = raw_archive_name(repair->archive);
    int r =
        raw_root_replace(scan->storage, kv_slice(repair->root_bytes, sizeof repair->root_bytes));

    memcpy(scan->result.archive, name, strlen(name) + 1);
    if (r == 0 && repair->new_state) {
        remove_replaced(repair);
    }
    return r;
}

/* What was planned, in one step. */
static int carry_out(struct repair *repair)
{
    int r = prepare(repair);
    r = r < 0 ? r : install(repair);
    raw_archive_close(repair->archive);
    return r;
}

/* Numbers come from names of files: there must be larger ones left to give. */
static bool numbers_are_left(const struct scan *scan)
{
    bool left = true;
    for (int kind = KV_FILE_LOG; kind <= KV_FILE_BLOB; kind++) {
        left &= scan->highest[kind] < UINT64_MAX / 2;
    }
    return left;
}

int repair_run(struct scan *scan)
{
    struct repair repair = {.scan = scan};
    int r;

    if (!scan->has_root || (scan->root_lost && !scan->has_state) || scan->repairable == 0 ||
        !numbers_are_left(scan)) {
        return 0;
    }
    plan(&repair);
    if (scan->rebuilt && !repair.new_state) {
        return 0; /* a root record alone would only hide what is wrong */
    }
    if (!repair.new_state && !scan->root_bad) {
        return verify(scan); /* LOCK, say, is there since it is held */
    }
    r = carry_out(&repair);
    return r < 0 ? r : verify(scan);
}

int repair_amend(struct scan *scan, const struct kv_batch *rows)
{
    struct repair repair = {.scan = scan, .rows = rows};

    if (!numbers_are_left(scan)) {
        return -KV_EDAMAGED;
    }
    scan->logs_cut = true; /* they are closed ones from now on: the rows have a log of their own */
    plan(&repair);
    return carry_out(&repair);
}

int repair_keyspaces(struct scan *scan)
{
    struct repair repair = {.scan = scan};

    if (!numbers_are_left(scan)) {
        return -KV_EDAMAGED;
    }
    scan->keyspaces_added = true;
    plan(&repair);
    return carry_out(&repair);
}

int repair_rows_checked(struct scan *scan)
{
    struct repair repair = {.scan = scan};

    plan(&repair);
    repair.root.rows_unchecked = false;
    return carry_out(&repair);
}
