/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fsck_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/store_open.h"
#include "tools/store_url.h"

enum {
    STEPS_MAX = 256, /* each writes up to 16 MiB of rows */
    STEPS_VAIN = 4,  /* in a row that leave no fewer faults than before: it leads nowhere */
};

/* ---- lost keys ------------------------------------------------------------------------------- */

/* A manifest that is made anew does not know of tables whose files are gone. */
static bool may_lose_tables(int code)
{
    return code >= KV_PROBLEM_MANIFEST_MISSING && code <= KV_PROBLEM_MANIFEST_HEAD &&
           code != KV_PROBLEM_SNAPSHOT_AHEAD;
}

static bool may_lose_rows(int code)
{
    return code == KV_PROBLEM_FILE_UNREADABLE || may_lose_tables(code) ||
           (code >= KV_PROBLEM_TABLE_MISSING && code <= KV_PROBLEM_TABLE_OTHER);
}

static int lose_keys(struct kvfs_lost_keys *lost, const struct kv_problem *problem)
{
    int code = problem->kind->code;
    bool knows = code == KV_PROBLEM_TABLE_MISSING || code == KV_PROBLEM_TABLE_BLOCK;
    struct kvfs_key_range range = {{0}, {0}};
    struct kvfs_key_range *larger;
    int r;

    if (!knows) {
        lost->anywhere = true;
        return 0;
    }
    larger = realloc(lost->ranges, (lost->count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    lost->ranges = larger;
    r = kv_buf_assign(&range.from, problem->from);
    r = r < 0 ? r : kv_buf_assign(&range.to, problem->to);
    larger[lost->count++] = range;
    return r;
}

static int lose(struct fsck_rows *rows, const struct kv_problem *problem)
{
    bool any = problem->table == NULL; /* which of them is not known */
    int r = 0;

    if (!may_lose_rows(problem->kind->code) || problem->kind->severity != KV_SEVERITY_LOSS) {
        return 0;
    }
    if (any || strcmp(problem->table, "data") == 0) {
        r = lose_keys(&rows->lost.data, problem);
    }
    if (r == 0 && (any || strcmp(problem->table, "meta") == 0)) {
        r = lose_keys(&rows->lost.meta, problem);
    }
    return r;
}

int fsck_rows_take(void *arg, const struct kv_problem *problem)
{
    struct fsck_rows *rows = arg;
    int r = lose(rows, problem);
    return r < 0 ? r : fsck_report_problem(rows->report, problem);
}

/* ---- one walk -------------------------------------------------------------------------------- */

struct walk {
    struct fsck_report *report;
    enum kv_admin_mode mode;
    bool tell;
    uint64_t notes, problems, unsafe, lost_extents, lost_holes;
    bool index_is_unbuilt;
    bool unfinished; /* not all that follows from what was lost is known, or written */
    struct kvfs_lost_table lost_table; /* for want of it there was no walk; no name: none is lost */
};

static bool is_to_be_repaired(const struct walk *walk, const struct kv_problem_kind *kind)
{
    bool can = kind != NULL && kind->repair != NULL;
    if (can && kind->code == KV_PROBLEM_FS_UNREADABLE) {
        can = walk->lost_table.name != NULL;
    }
    return can && (walk->mode == KV_ADMIN_REPAIR || (walk->mode == KV_ADMIN_SAFE && kind->safe));
}

static void take_fault(void *arg, int code, const char *text)
{
    struct walk *walk = arg;
    const struct kv_problem_kind *kind = kv_problem_kind(code);
    bool is_note = kind != NULL && kind->severity == KV_SEVERITY_NOTE;
    walk->notes += is_note;
    walk->problems += !is_note;
    walk->unsafe += !is_note && (kind == NULL || !kind->safe);
    if (walk->tell) {
        fsck_report_fault(walk->report, code, text, !is_note && is_to_be_repaired(walk, kind));
    }
}

static void tell_lost(struct walk *walk)
{
    char text[128];
    if (walk->lost_extents > 0) {
        snprintf(text, sizeof text,
                 "%" PRIu64 " extents of files are known to be lost: reading them fails",
                 walk->lost_extents);
        take_fault(walk, KV_PROBLEM_FS_LOST_EXTENTS, text);
    }
    if (walk->lost_holes > 0) {
        snprintf(text, sizeof text,
                 "holes of %" PRIu64 " files are known to be lost: reading them fails",
                 walk->lost_holes);
        take_fault(walk, KV_PROBLEM_FS_LOST_EXTENTS, text);
    }
}

static void tell_unbuilt_index(struct walk *walk)
{
    if (walk->index_is_unbuilt) {
        take_fault(walk, KV_PROBLEM_FS_INDEX_UNBUILT,
                   "the index of an attribute is not built: the next mount goes on with it");
    }
}

static bool is_index_unbuilt(struct kvfs *fs)
{
    struct kvfs_index_status index;
    return kvfs_index_status(fs, &index) && !index.built;
}

static bool is_damage(int error)
{
    return error == -EIO || error == -KV_EDAMAGED;
}

typedef int engine_fn(struct kv_store *engine, void *arg);

/* Where there is no filesystem that could be opened. */
static int ask_engine(const struct fsck_rows *rows, engine_fn *fn, void *arg)
{
    const struct kv_options options = {.read_only = true};
    struct kv_storage *storage = NULL;
    struct kv_store *engine = NULL;
    int closed;
    int r = store_storage_open(rows->path, false, &storage);

    if (r < 0) {
        return r;
    }
    r = kv_open(storage, &options, &engine);
    if (r < 0) {
        storage->ops->close(storage);
        return r;
    }
    r = fn(engine, arg);
    closed = kv_close(engine);
    return closed < 0 && r >= 0 ? closed : r;
}

static int find_lost_table(struct kv_store *engine, void *arg)
{
    return kvfs_lost_table(engine, arg);
}

static int is_marked_with_files(struct kv_store *engine, void *arg)
{
    struct kv_identity identity;

    (void)arg;
    kv_identify(engine, &identity);
    return identity.rows_unchecked ? kvfs_may_have_files(engine) : 0;
}

/* The rows cannot be walked through: why not? */
static int take_unreadable(const struct fsck_rows *rows, struct walk *walk)
{
    char text[128] = "the rows of the filesystem cannot be read";
    int r = ask_engine(rows, find_lost_table, &walk->lost_table);

    if (r == 1) {
        snprintf(text, sizeof text, "the table '%s' of the filesystem is lost as a whole%s",
                 walk->lost_table.name,
                 walk->lost_table.found_as[0] != '\0' ? ", but for what logs have of it" : "");
    }
    take_fault(walk, KV_PROBLEM_FS_UNREADABLE, text);
    walk->unfinished = true;
    return r < 0 && !is_damage(r) ? r : 0;
}

/* A store that holds no filesystem has no such rows. One of a newer version, or of which not even
 * that is left, has some, which nobody has looked at then. */
static int take_no_filesystem(const struct fsck_rows *rows, struct walk *walk)
{
    int r = ask_engine(rows, is_marked_with_files, NULL);

    if (r != 0) {
        take_fault(walk, KV_PROBLEM_FS_UNREADABLE,
                   "there may be files that this version cannot find: nobody has looked what an "
                   "earlier repair left out of them");
        walk->unfinished = true;
    }
    return r < 0 && !is_damage(r) ? r : 0;
}

/* What mends the rows is collected in `batch`, unless that is NULL. */
static int walk_rows(struct fsck_rows *rows, struct walk *walk, struct kv_batch *batch)
{
    struct kvfs_options options = {.read_only = true,
                                   .without_facts = true,
                                   .walk_fn = fsck_report_walk,
                                   .walk_arg = rows->report};
    struct kvfs_check_counts counts = {0};
    struct kvfs *fs = NULL;
    int r = store_open_plain(rows->path, &options, &fs);

    if (r == -KV_EFORMAT) {
        return take_no_filesystem(rows, walk);
    }
    if (r == 0) {
        rows->lost.repaired |= rows->result->repaired > 0;
        r = batch == NULL ? kvfs_check(fs, take_fault, walk, &counts)
                          : kvfs_mend(fs, take_fault, walk, &rows->lost, batch, &counts);
        walk->index_is_unbuilt = is_index_unbuilt(fs);
        int closed = kvfs_close(fs);
        r = r == 0 ? closed : r;
    }
    walk->lost_extents = counts.lost_extents;
    walk->lost_holes = counts.lost_holes;
    return is_damage(r) ? take_unreadable(rows, walk) : r;
}

static int list_lost(struct fsck_rows *rows)
{
    struct kvfs_options options = {.read_only = true, .without_facts = true};
    struct kvfs *fs = NULL;
    int r = store_open_plain(rows->path, &options, &fs);

    if (r == 0) {
        r = kvfs_lost_ranges(fs, fsck_report_lost, rows->report);
        int closed = kvfs_close(fs);
        r = r == 0 ? closed : r;
    }
    return r;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* One on the closed store, with an archive of its own. */
typedef int step_fn(struct kv_storage *storage, const struct kv_admin_options *options,
                    const void *arg, struct kv_admin_result *ret_result);

static int take_step(struct fsck_rows *rows, step_fn *fn, const void *arg)
{
    struct kv_admin_options options = {.holder = "kvfs fsck"};
    struct kv_admin_result result = {0};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(rows->path, false, &storage);

    if (r == 0) {
        r = fn(storage, &options, arg, &result);
        storage->ops->close(storage);
    }
    if (rows->result->archive[0] == '\0') { /* taking the first one back takes back all */
        memcpy(rows->result->archive, result.archive, sizeof result.archive);
    }
    return r;
}

static int write_rows(struct kv_storage *storage, const struct kv_admin_options *options,
                      const void *arg, struct kv_admin_result *ret_result)
{
    return kv_admin_amend(storage, options, arg, ret_result);
}

static int add_keyspace(struct kv_storage *storage, const struct kv_admin_options *options,
                        const void *arg, struct kv_admin_result *ret_result)
{
    return kv_admin_add_keyspace(storage, options, arg, ret_result);
}

static int say_checked(struct kv_storage *storage, const struct kv_admin_options *options,
                       const void *arg, struct kv_admin_result *ret_result)
{
    (void)arg;
    return kv_admin_rows_checked(storage, options, ret_result);
}

/* The table is made anew, so that there can be a walk: what it held is lost, wherever that was. */
static int replace_table(struct fsck_rows *rows, struct walk *walk, struct kv_batch *batch)
{
    const struct kvfs_lost_table *lost = &walk->lost_table;
    const struct kv_admin_keyspace keyspace = {
        .name = lost->name, .options = &lost->options, .found_as = lost->found_as};
    int r = take_step(rows, add_keyspace, &keyspace);

    if (r < 0) {
        return r;
    }
    rows->result->problems++;
    rows->result->repaired++;
    rows->lost.data.anywhere |= strcmp(lost->name, "data") == 0;
    rows->lost.meta.anywhere |= strcmp(lost->name, "meta") == 0;
    *walk = (struct walk){.report = rows->report, .mode = rows->mode, .tell = true};
    return walk_rows(rows, walk, batch);
}

/* `walk` is the one before, whose rows are in `batch`; it becomes the last one. */
static int mend(struct fsck_rows *rows, struct walk *walk, struct kv_batch *batch)
{
    uint64_t best = walk->problems;
    unsigned vain = 0;
    int step = 0;
    int r = 0;

    for (; step < STEPS_MAX && vain < STEPS_VAIN && r == 0; step++) {
        if (kv_batch_is_empty(batch)) {
            break;
        }
        r = take_step(rows, write_rows, batch);
        rows->result->needs_replay |= r == 0;
        kv_batch_clear(batch);
        *walk = (struct walk){.report = rows->report, .mode = rows->mode};
        r = r < 0 ? r : walk_rows(rows, walk, batch);
        vain = walk->problems < best ? 0 : vain + 1;
        best = walk->problems < best ? walk->problems : best;
    }
    walk->unfinished |= step == STEPS_MAX;
    return r;
}

static void tell_unchecked(struct fsck_rows *rows)
{
    fsck_report_fault(rows->report, KV_PROBLEM_FS_UNCHECKED,
                      "an earlier repair was cut short before the files were looked at",
                      rows->mode == KV_ADMIN_REPAIR);
    rows->result->problems++;
}

/* Nothing that the engine's part lost reads as if it had never been, from now on. */
static int end_repair(struct fsck_rows *rows, bool was_unchecked)
{
    int r;

    if (!was_unchecked && rows->result->archive[0] == '\0') {
        return 0;
    }
    r = take_step(rows, say_checked, NULL);
    rows->result->repaired += r == 0 && was_unchecked;
    return r;
}

int fsck_rows_run(struct fsck_rows *rows)
{
    struct walk walk = {.report = rows->report, .mode = rows->mode, .tell = true};
    struct kv_batch *batch = NULL;
    uint64_t told;
    bool unchecked = rows->result->rows_unchecked;
    bool wanted = rows->mode != KV_ADMIN_REPORT;
    int r = wanted ? kv_batch_create(&batch) : 0;

    if (unchecked) {
        tell_unchecked(rows);
        rows->lost.repaired = true;
        /* That repair knew where, and nobody else does. */
        rows->lost.data.anywhere = rows->lost.meta.anywhere = true;
    }
    r = r < 0 ? r : walk_rows(rows, &walk, batch);
    while (r == 0 && walk.lost_table.name != NULL && rows->mode == KV_ADMIN_REPAIR) {
        r = replace_table(rows, &walk, batch);
    }
    told = walk.problems;
    if (r == 0 && wanted && (rows->mode == KV_ADMIN_REPAIR || (walk.unsafe == 0 && !unchecked))) {
        r = mend(rows, &walk, batch);
        rows->result->repaired += walk.problems < told ? told - walk.problems : 0;
    }
    if (r == 0 && rows->mode == KV_ADMIN_REPAIR && !walk.unfinished) {
        r = end_repair(rows, unchecked);
    }
    walk.tell = true;
    if (r == 0) {
        tell_lost(&walk);
        tell_unbuilt_index(&walk);
    }
    if (r == 0 && rows->report->damage && walk.lost_extents + walk.lost_holes > 0) {
        r = list_lost(rows);
    }
    rows->result->problems += told;
    rows->result->notes += walk.notes;
    kv_batch_destroy(batch);
    return r;
}

static void finish_keys(struct kvfs_lost_keys *lost)
{
    for (size_t i = 0; i < lost->count; i++) {
        kv_buf_finish(&lost->ranges[i].from);
        kv_buf_finish(&lost->ranges[i].to);
    }
    free(lost->ranges);
}

void fsck_rows_finish(struct fsck_rows *rows)
{
    finish_keys(&rows->lost.data);
    finish_keys(&rows->lost.meta);
}
