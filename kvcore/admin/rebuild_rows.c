/* SPDX-License-Identifier: Apache-2.0 */
/* All tables of a keyspace merged into new ones of the deepest level. The newest row of each key is
 * what counts, whatever table it is in; deletes hide what they hide and are then done with, since
 * nothing is left outside of the merge but logs, whose rows are newer.
 *
 * Of a damaged table what is left goes to one that is merged in its place. A row that something
 * lost of it may have hidden becomes a damaged one. */
#include <stdlib.h>

#include "kvcore/admin/rebuild.h"
#include "kvcore/admin/rescue.h"
#include "kvcore/admin/scan_values.h"
#include "kvcore/db/merge_iter.h"
#include "kvcore/db/output.h"
#include "kvcore/table/table_builder.h"

enum { LEVEL_LAST = KV_LEVEL_COUNT - 1 };

static const uint64_t table_bytes_max = (uint64_t)32 << 20;

struct merging {
    struct scan *scan;
    uint32_t table_id;
    const struct file_list *files;
    struct table **tables;
    size_t table_count;
    struct lost_rows *lost; /* of damaged tables */
    size_t lost_count;
    struct kv_buf left; /* numbers of the tables with what is left of them, as varints */
    struct iter *rows;
    struct range_dels *deletes;
    struct table_builder *builder; /* of the output being written */
    struct kv_buf inputs;
    uint64_t job;
    uint32_t outputs;
    struct kv_buf last_key;
    struct value_reader reader;
    struct edit edit;
};

/* ---- inputs ---- */

static const struct scan_table *find_bad(const struct scan *scan, const struct file_meta *file)
{
    for (size_t i = 0; i < scan->bad_table_count; i++) {
        if (scan->bad_tables[i].file->number == file->number && scan->bad_tables[i].unsound) {
            return &scan->bad_tables[i];
        }
    }
    return NULL;
}

/* The number of the table to be merged in the place of `file`; 0: nothing is left of it. */
static int find_number(struct merging *m, const struct file_meta *file, uint64_t *ret_number)
{
    const struct scan_table *bad = find_bad(m->scan, file);
    struct file_meta *left = NULL;
    uint64_t number = file->number;
    int r = 0;

    if (bad != NULL) {
        number = m->scan->state.next_table++;
        r = rescue_alone(m->scan, bad, number, &left, &m->lost[m->lost_count++]);
        number = left != NULL ? number : 0;
        r = r == 0 && left != NULL ? coding_append_varint(&m->left, number) : r;
        file_meta_unref(left);
    }
    *ret_number = number;
    return r;
}

/* They were never part of the store. */
static void remove_left(const struct merging *m)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(&m->left));
    while (coding_ok(&cursor) && coding_left(&cursor) > 0) {
        struct kv_file_id id = {KV_FILE_TABLE, coding_read_varint(&cursor)};
        char name[48];
        scan_file_name(id, name);
        kv_ignore(raw_remove(m->scan->storage, name)); /* else the next opening does it */
    }
}

static int open_input(struct merging *m, struct iter_list *list, struct range_builder *ranges,
                      const struct file_meta *file)
{
    struct scan *scan = m->scan;
    struct table **opened = &m->tables[m->table_count];
    struct iter *iter = NULL;
    uint64_t number = 0;
    int r = coding_append_varint(&m->inputs, file->number);

    r = r < 0 ? r : find_number(m, file, &number);
    if (r < 0 || number == 0) {
        return r;
    }
    r = table_open(scan->storage, scan->seed, number, NULL, &scan->sink, opened);
    if (r < 0) {
        return r;
    }
    m->table_count++;
    if (table_range_dels(*opened) != NULL) {
        r = range_builder_add_all(ranges, table_range_dels(*opened));
    }
    if (r == 0 && table_properties(*opened)->row_count > 0) {
        r = table_iter_create(*opened, true, &iter);
        r = r < 0 ? r : iter_list_add(list, iter);
    }
    return r;
}

static int open_inputs(struct merging *m)
{
    struct iter_list list = {0};
    struct range_builder ranges = {0};
    int r = 0;

    m->tables = calloc(m->files->count + 1, sizeof(struct table *));
    m->lost = calloc(m->files->count + 1, sizeof *m->lost);
    if (m->tables == NULL || m->lost == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < m->files->count && r == 0; i++) {
        r = open_input(m, &list, &ranges, m->files->files[i]);
    }
    r = r < 0 ? r : range_builder_make(&ranges, NULL, 0, &m->deletes);
    if (r == 0 && list.count > 0) {
        r = iter_list_merge(&list, &m->rows);
    }
    iter_list_finish(&list);
    range_builder_finish(&ranges);
    return r;
}

/* ---- outputs ---- */

static int begin_output(struct merging *m)
{
    struct scan *scan = m->scan;
    struct admin_state *state = &scan->state;
    const struct edit_table *table = &state->tables[m->table_id - 1];
    uint64_t number = state->next_table++;
    struct table_origin origin = {.table_id = m->table_id,
                                  .level = LEVEL_LAST,
                                  .output_index = ++m->outputs,
                                  .by_repair = true,
                                  .flushed_sequence = state->last_sequence,
                                  .released_log = state->released_log,
                                  .table_name = kv_slice_str(table->name),
                                  .inputs = kv_buf_slice(&m->inputs),
                                  .replaced = kv_buf_slice(&m->left)};
    struct table_builder_options options = {
        .block_bytes = table->options.block_bytes,
        .filter_bits_per_key = table->options.filter_bits_per_key,
        .prefix_size = table->options.prefix_size,
        .codec = table->options.no_compression ? CODEC_NONE : CODEC_SNAPPY};

    m->job = m->job != 0 ? m->job : number;
    origin.job = m->job;
    memcpy(origin.store_id, scan->root.store_id, sizeof origin.store_id);
    return table_builder_create(scan->storage, scan->seed, number, &origin, &options, &m->builder);
}

static int end_output(struct merging *m, bool last)
{
    struct table_properties properties = {0};
    struct file_meta *file = NULL;
    uint64_t size = 0;
    int r = table_builder_finish(m->builder, last ? m->outputs : 0, &properties, &size);

    if (r == 0) {
        r = file_from_properties(&properties, size, &file);
        table_properties_finish(&properties);
    }
    r = r < 0 ? r : edit_add_file(&m->edit, file);
    file_meta_unref(file);
    table_builder_destroy(m->builder);
    m->builder = NULL;
    return r;
}

/* ---- rows ---- */

/* The row as it shows: one that a range delete hides is deleted right behind that. */
static struct row as_shown(const struct merging *m, const struct row *row)
{
    struct range_window window = {0};
    struct row shown = *row;

    if (m->deletes != NULL && m->deletes->count > 0) {
        range_dels_window(m->deletes, row->key, ROW_SEQUENCE_MAX, &window);
    }
    if (window.sequence > row_sequence(row->trailer)) {
        shown.trailer = row_trailer(window.sequence + 1, ROW_DELETE);
    }
    return shown;
}

static bool may_be_hidden(const struct merging *m, const struct row *row)
{
    bool may = false;
    for (size_t i = 0; i < m->lost_count && !may; i++) {
        may = lost_rows_may_hide(&m->lost[i], row);
    }
    return may;
}

static int add_row(struct merging *m, struct row row)
{
    int r = 0;

    if (may_be_hidden(m, &row)) {
        row.trailer = row_trailer(row_sequence(row.trailer), ROW_DAMAGED);
        row.value = kv_slice(NULL, 0);
    }
    if (row_kind(row.trailer) == ROW_DELETE) {
        return 0;
    }
    if (m->builder != NULL && table_builder_size(m->builder) >= table_bytes_max) {
        r = end_output(m, false);
    }
    r = r == 0 && m->builder == NULL ? begin_output(m) : r;
    if (r == 0 && row_kind(row.trailer) == ROW_BLOB) {
        r = value_settle(&m->reader, m->builder, &row);
    }
    m->scan->result.damaged_rows += row_kind(row.trailer) == ROW_DAMAGED;
    return r < 0 ? r : table_builder_add(m->builder, &row);
}

static int merge_rows(struct merging *m)
{
    struct iter *it = m->rows;
    int r = 0;

    if (it != NULL) {
        iter_seek_first(it);
    }
    for (; it != NULL && it->valid && r == 0; iter_next(it)) {
        struct kv_slice last = kv_buf_slice(&m->last_key);
        if (last.size > 0 && kv_slice_equal(it->row->key, last)) {
            continue; /* an older row of the same key */
        }
        r = kv_buf_assign(&m->last_key, it->row->key);
        r = r < 0 ? r : add_row(m, as_shown(m, it->row));
        r = r < 0 ? r : scan_spend(m->scan, 0);
    }
    if (r == 0 && it != NULL) {
        r = it->error;
    }
    return r == 0 && m->builder != NULL ? end_output(m, true) : r;
}

/* ---- the whole ---- */

static void finish(struct merging *m)
{
    iter_destroy(m->rows);
    for (size_t i = 0; i < m->table_count; i++) {
        table_close(m->tables[i]);
    }
    free(m->tables);
    for (size_t i = 0; i < m->lost_count; i++) {
        lost_rows_finish(&m->lost[i]);
    }
    free(m->lost);
    remove_left(m);
    kv_buf_finish(&m->left);
    range_dels_destroy(m->deletes);
    value_reader_finish(&m->reader);
    table_builder_destroy(m->builder);
    kv_buf_finish(&m->inputs);
    kv_buf_finish(&m->last_key);
    edit_finish(&m->edit);
}

static int merge_keyspace(struct scan *scan, uint32_t id, const struct file_list *files)
{
    struct merging m = {.scan = scan, .table_id = id, .files = files, .reader = {.scan = scan}};
    int r = open_inputs(&m);

    r = r < 0 ? r : merge_rows(&m);
    for (size_t i = 0; i < files->count && r == 0; i++) {
        r = edit_remove_file(&m.edit, files->files[i]);
    }
    r = r < 0 ? r : admin_state_apply(&scan->state, &m.edit);
    finish(&m);
    return r;
}

/* Those that no row of the new tables points into. */
static int drop_blobs(struct scan *scan)
{
    const struct version_blobs *blobs = scan->state.version->blobs;
    struct edit edit = {0};
    int r = 0;

    for (size_t i = 0; blobs != NULL && i < blobs->count && r == 0; i++) {
        if (blobs->items[i].referenced == 0) {
            r = edit_remove_blob(&edit, blobs->items[i].info.number);
        }
    }
    r = r < 0 ? r : admin_state_apply(&scan->state, &edit);
    edit_finish(&edit);
    return r;
}

int rebuild_rows(struct scan *scan)
{
    int r = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        const struct table_files *files = version_table(scan->state.version, id);
        if (files != NULL && files->levels[0].count > 0) {
            r = merge_keyspace(scan, id, &files->levels[0]);
        }
    }
    return r < 0 ? r : drop_blobs(scan);
}
