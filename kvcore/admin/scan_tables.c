/* SPDX-License-Identifier: Apache-2.0 */
/* Every block of every table. A table that reads through and is what the manifest says is sound;
 * of any other a second walk, which needs no index, finds out which parts are damaged. */
#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/admin/salvage.h"
#include "kvcore/admin/scan_crew.h"
#include "kvcore/admin/scan_values.h"
#include "kvcore/table/range_list.h"

struct table_scan {
    struct scan *scan;
    struct file_meta *file;
    struct blob_uses uses;
    struct value_reader reader;
    struct kv_buf key;
};

static struct scan_place place(const struct table_scan *t, int code, uint64_t offset)
{
    return (struct scan_place){.code = code,
                               .id = {KV_FILE_TABLE, t->file->number},
                               .offset = offset,
                               .table_id = t->file->table_id};
}

static void tell(const struct table_scan *t, int code, uint64_t offset, const char *what)
{
    struct scan_place at = place(t, code, offset);
    scan_tell(t->scan, &at, "table %08" PRIu64 ": %s", t->file->number, what);
}

/* ---- large values of its rows ---- */

/* The row becomes a damaged one, and the blob is kept for those who want to look into it. */
static int note_value(struct table_scan *t, uint64_t number)
{
    struct scan_file *file = scan_find(t->scan, KV_FILE_BLOB, number);
    if (file != NULL) {
        file->has_lost_values = true;
    }
    return scan_note_table(t->scan, t->file, false);
}

static int tell_value(struct table_scan *t, uint64_t number, const char *what)
{
    struct scan_place at = place(t, KV_PROBLEM_BLOB_VALUE, MESSAGE_NO_OFFSET);
    at.id = (struct kv_file_id){KV_FILE_BLOB, number};
    at.from = kv_buf_slice(&t->key);
    at.to = kv_buf_slice(&t->key);
    scan_tell(t->scan, &at, "a large value in blob %08" PRIu64 " %s", number, what);
    return note_value(t, number);
}

static int tell_senseless(struct table_scan *t)
{
    struct scan_place at = place(t, KV_PROBLEM_BLOB_POINTER, MESSAGE_NO_OFFSET);
    at.from = kv_buf_slice(&t->key);
    at.to = kv_buf_slice(&t->key);
    scan_tell(t->scan, &at, "table %08" PRIu64 ": a row points at a large value without a sense",
              t->file->number);
    return note_value(t, 0);
}

static int check_pointer(struct table_scan *t, struct kv_slice value)
{
    struct blob_pointer pointer = {0};
    int verdict = value_judge(&t->reader, value, &pointer);
    int r = 0;

    if (verdict >= 0 && verdict != VALUE_SENSELESS) {
        r = blob_uses_add(&t->uses, pointer.number, pointer.stored_size);
    }
    if (r < 0 || verdict < 0) {
        return r < 0 ? r : verdict;
    }
    switch ((enum value_verdict)verdict) {
    case VALUE_SENSELESS:
        return tell_senseless(t);
    case VALUE_UNNAMED:
        return tell_value(t, pointer.number, "is lost: the store has no such blob");
    case VALUE_BEYOND:
        return tell_value(t, pointer.number, "lies beyond its end");
    case VALUE_DAMAGED:
        return tell_value(t, pointer.number, "is damaged");
    case VALUE_MISSING: /* which is told of the blob as a whole */
    case VALUE_SOUND:
        break;
    }
    return 0;
}

static int take_rows(void *arg, const struct rows_block *rows)
{
    struct table_scan *t = arg;
    int r = 0;
    for (uint32_t i = 0; i < rows->count && r == 0; i++) {
        if (row_kind(rows_block_trailer(rows, i)) == ROW_BLOB) {
            r = rows_block_key(rows, i, &t->key);
            r = r < 0 ? r : check_pointer(t, rows_block_value(rows, i));
        }
    }
    return r;
}

/* ---- what the manifest says ---- */

static bool same_uses(const struct blob_uses *a, const struct blob_uses *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = a->items[i].number == b->items[i].number && a->items[i].bytes == b->items[i].bytes;
    }
    return same;
}

static bool is_the_file(const struct file_meta *file, const struct table_properties *p)
{
    return p->table_id == file->table_id && file->smallest_trailer == p->smallest_trailer &&
           file->largest_trailer == p->largest_trailer &&
           kv_slice_equal(kv_buf_slice(&file->smallest), kv_buf_slice(&p->smallest_key)) &&
           kv_slice_equal(kv_buf_slice(&file->largest), kv_buf_slice(&p->largest_key)) &&
           p->row_count == file->row_count && p->tombstone_count == file->tombstone_count &&
           p->range_delete_count == file->range_delete_count &&
           p->sequence_min == file->sequence_min && p->sequence_max == file->sequence_max;
}

/* Sets whether it is another one. */
static int compare(struct table_scan *t, const struct table *table, bool *ret_other)
{
    const struct table_properties *p = table_properties(table);
    if (!is_the_file(t->file, p)) {
        tell(t, KV_PROBLEM_TABLE_OTHER, MESSAGE_NO_OFFSET,
             "it is sound, but not the one that the manifest means");
        *ret_other = true;
        return 0;
    }
    if (!same_uses(&p->blobs, &t->file->blobs) || !same_uses(&t->uses, &t->file->blobs)) {
        tell(t, KV_PROBLEM_BLOB_USES, MESSAGE_NO_OFFSET,
             "its rows point at other large values than the manifest says");
        return scan_note_table(t->scan, t->file, false);
    }
    return 0;
}

/* ---- damage ---- */

int scan_note_table(struct scan *scan, struct file_meta *file, bool missing)
{
    struct scan_table *larger;

    for (size_t i = 0; i < scan->bad_table_count; i++) {
        if (scan->bad_tables[i].file == file) {
            scan->bad_tables[i].missing |= missing;
            return 0;
        }
    }
    larger = realloc(scan->bad_tables, (scan->bad_table_count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    scan->bad_tables = larger;
    file_meta_ref(file);
    larger[scan->bad_table_count++] = (struct scan_table){.file = file, .missing = missing};
    return 0;
}

static int note_bad(struct table_scan *t, bool missing)
{
    struct scan *scan = t->scan;
    int r = scan_note_table(scan, t->file, missing);
    for (size_t i = 0; r == 0 && i < scan->bad_table_count; i++) {
        scan->bad_tables[i].unsound |= scan->bad_tables[i].file == t->file;
    }
    return r;
}

/* The keys of a part that cannot be read: the index says which, or else the manifest. A gap may
 * have been several blocks. */
static int tell_block(struct table_scan *t, const struct salvage *s,
                      const struct salvage_part *part)
{
    uint64_t offset = part->offset;
    bool found = false;
    struct scan_place at = place(t, KV_PROBLEM_TABLE_BLOCK, offset);
    struct kv_buf from = {0}, to = {0};
    int r = 0;

    at.from = kv_buf_slice(&t->file->smallest);
    at.to = kv_buf_slice(&t->file->largest);
    for (uint32_t i = 0; s->has_index && i < s->index.rows.count && r == 0; i++) {
        uint64_t handle = s->index.handles[i].offset;
        if (handle < offset || handle - offset >= part->size) {
            continue;
        }
        if (!found && i > 0) {
            r = rows_block_key(&s->index.rows, i - 1, &from);
            at.from = kv_buf_slice(&from);
        }
        found = true;
        r = r < 0 ? r : rows_block_key(&s->index.rows, i, &to);
        at.to = kv_buf_slice(&to);
    }
    if (r == 0) {
        scan_tell(t->scan, &at,
                  "table %08" PRIu64 ": the block at offset %" PRIu64
                  " is damaged, its rows are lost",
                  t->file->number, offset);
    }
    kv_buf_finish(&from);
    kv_buf_finish(&to);
    return r;
}

/* Gaps in front of the blocks that every table ends with were data, unless no row is missing. A
 * table whose end is gone may have been cut between two of them. */
static int tell_data(struct table_scan *t, const struct salvage *s, uint64_t *told)
{
    bool all_rows = s->rows >= t->file->row_count;
    bool behind = false, is_lost = false;
    int r = 0;
    for (size_t i = 0; i < s->count && r == 0; i++) {
        const struct salvage_part *part = &s->parts[i];
        behind |= part->type > BLOCK_DATA;
        is_lost =
            !part->sound && !all_rows && (part->type == BLOCK_DATA || (part->type == 0 && !behind));
        if (is_lost) {
            r = tell_block(t, s, part);
            (*told)++;
        }
    }
    if (r == 0 && !behind && !is_lost && !all_rows) {
        const struct salvage_part end = {.offset = s->file_bytes};
        r = tell_block(t, s, &end);
        (*told)++;
    }
    return r;
}

static bool has_sound(const struct salvage *s, int type)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->parts[i].type == type && s->parts[i].sound) {
            return true;
        }
    }
    return false;
}

static void tell_ranges(const struct table_scan *t)
{
    struct range_list list = {0};
    bool known = range_list_decode(kv_buf_slice(&t->file->range_list), &list) == 0;
    const char *what = "the range deletes are damaged, but the manifest repeats them";

    if (!known) {
        what = "the range deletes are damaged: any row that they may have deleted is lost";
    } else if (!list.is_exact) {
        what = "the range deletes are damaged, and too many for the manifest to repeat them: any "
               "row that they may have deleted is lost";
    }
    tell(t, KV_PROBLEM_TABLE_RANGE_DELETES, MESSAGE_NO_OFFSET, what);
    range_list_finish(&list);
}

/* The blocks at the end, and the footer. */
static void tell_rest(const struct table_scan *t, const struct salvage *s, uint64_t *told)
{
    bool wants_ranges = t->file->range_delete_count > 0;
    bool wants_rows = t->file->row_count > 0;
    uint64_t before = t->scan->result.problems;

    if (!s->has_footer) {
        tell(t, KV_PROBLEM_TABLE_FOOTER, s->file_bytes, "the footer is damaged");
    }
    if (!s->has_properties) {
        tell(t, KV_PROBLEM_TABLE_PROPERTIES, MESSAGE_NO_OFFSET, "the properties are damaged");
    }
    if (wants_rows && !s->has_index) {
        tell(t, KV_PROBLEM_TABLE_INDEX, MESSAGE_NO_OFFSET, "the index is damaged");
    }
    if (s->has_properties && s->properties.filter.size > 0 && !has_sound(s, BLOCK_FILTER)) {
        tell(t, KV_PROBLEM_TABLE_FILTER, s->properties.filter.offset, "the filter is damaged");
    }
    if (wants_ranges && !s->has_ranges) {
        tell_ranges(t);
    }
    *told += t->scan->result.problems - before;
}

static int classify(struct table_scan *t)
{
    struct scan *scan = t->scan;
    struct salvage *s = NULL;
    uint64_t told = 0;
    int r = salvage_open(scan->storage, scan->seed, t->file->number, scan_read_fn, scan, &s);

    if (r == -ELOOP || r == -KV_EDAMAGED) {
        tell(t, KV_PROBLEM_FILE_UNREADABLE, MESSAGE_NO_OFFSET, "it cannot be opened");
        return note_bad(t, true);
    }
    if (r == 0 && s->newer) {
        tell(t, KV_PROBLEM_TABLE_NEWER, MESSAGE_NO_OFFSET,
             "it has something that this version does not know");
        r = -KV_EFORMAT;
    }
    if (r == 0) {
        r = tell_data(t, s, &told);
        tell_rest(t, s, &told);
    }
    if (r == 0 && told == 0) {
        tell(t, KV_PROBLEM_TABLE_SUMS, scan->said_offset,
             "its blocks are sound, but do not fit each other");
    }
    salvage_close(s);
    return r < 0 ? r : note_bad(t, false);
}

/* ---- one table ---- */

static int read_block(void *arg, uint64_t bytes)
{
    struct table_scan *t = arg;
    return scan_spend(t->scan, bytes);
}

static int read_table(struct table_scan *t)
{
    struct scan *scan = t->scan;
    struct table_watch watch = {.read_fn = read_block, .rows_fn = take_rows, .arg = t};
    struct table *table = NULL;
    bool other = false;
    int r = table_open(scan->storage, scan->seed, t->file->number, NULL, &scan->sink, &table);

    r = r < 0 ? r : table_verify(table, &watch);
    if (r == 0) {
        r = compare(t, table, &other);
    }
    table_close(table);
    if (other) {
        return note_bad(t, true);
    }
    return r == -KV_EDAMAGED || r == -EIO || r == -ELOOP || r == -KV_EFORMAT ? classify(t) : r;
}

static int check_table(struct scan *scan, struct file_meta *meta)
{
    struct table_scan t = {.scan = scan, .file = meta, .reader = {.scan = scan}};
    struct scan_file *file = scan_find(scan, KV_FILE_TABLE, meta->number);
    struct scan_place at = place(&t, KV_PROBLEM_TABLE_MISSING, MESSAGE_NO_OFFSET);
    int r;

    if (file == NULL) {
        at.from = kv_buf_slice(&meta->smallest);
        at.to = kv_buf_slice(&meta->largest);
        scan_tell(scan, &at, "table %08" PRIu64 " of %" PRIu64 " bytes is missing", meta->number,
                  meta->size);
        return note_bad(&t, true);
    }
    file->wanted = true;
    if (file->size != meta->size) {
        at.code = KV_PROBLEM_TABLE_SIZE;
        scan_tell(scan, &at, "table %08" PRIu64 " has %" PRIu64 " bytes instead of %" PRIu64,
                  meta->number, file->size, meta->size);
        r = classify(&t);
    } else {
        r = read_table(&t);
    }
    blob_uses_finish(&t.uses);
    value_reader_finish(&t.reader);
    kv_buf_finish(&t.key);
    return r;
}

struct table_list {
    struct file_meta **files;
    size_t count;
};

static int add_level(struct table_list *list, const struct file_list *level)
{
    size_t count = list->count + level->count;
    struct file_meta **larger = realloc(list->files, (count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    list->files = larger;
    for (size_t i = 0; i < level->count; i++) {
        larger[list->count++] = level->files[i];
    }
    return 0;
}

int scan_tables(struct scan *scan)
{
    struct table_list list = {NULL, 0};
    int r = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(scan->state.version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT && r == 0; level++) {
            r = add_level(&list, &files->levels[level]);
        }
    }
    r = r < 0 ? r : crew_run(scan, list.files, list.count, check_table);
    free(list.files);
    return r;
}
