/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/rescue.h"

#include <stdlib.h>

#include "kvcore/admin/salvage.h"
#include "kvcore/admin/scan_values.h"
#include "kvcore/db/merge_iter.h"
#include "kvcore/db/output.h"
#include "kvcore/table/range_list.h"
#include "kvcore/table/table_builder.h"

struct rescue {
    struct scan *scan;
    const struct file_meta *file; /* the damaged one */
    struct salvage *salvage;      /* NULL: nothing of it is there */
    uint64_t number;
    struct table_builder *builder;
    struct value_reader reader;
    struct kv_buf inputs;
    bool any; /* something was added */
    struct kv_buf last_key;
    uint64_t last_trailer;
    struct kv_buf lost_from; /* where the lost part begins that is being passed */
    bool is_lost;
    bool lost_with_from;    /* no row of that key was read before */
    struct lost_rows *lost; /* takes what is lost; NULL: what is older is looked up instead */
    /* What is older than the damaged table, merged. */
    struct table **older_tables;
    size_t older_count;
    struct iter *older;
    /* Where its range deletes are lost, which are not known exactly: ranges that hold them all, and
     * what is older in them. */
    struct range_list doubt;
    struct iter *doubtful; /* NULL: nothing is in doubt, or no more */
    struct kv_buf doubtful_key;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- what is older ---- */

static int open_older(struct rescue *rescue, const struct file_meta *file)
{
    struct scan *scan = rescue->scan;
    struct table **larger =
        realloc(rescue->older_tables, (rescue->older_count + 1) * sizeof(struct table *));
    struct table *table = NULL;
    int r;

    if (larger == NULL) {
        return -ENOMEM;
    }
    rescue->older_tables = larger;
    r = table_open(scan->storage, scan->seed, file->number, NULL, &scan->sink, &table);
    if (r < 0) {
        return r == -ENOENT ? -KV_EDAMAGED : r;
    }
    larger[rescue->older_count++] = table;
    return 0;
}

static bool is_older(const struct file_meta *file, const struct file_meta *than)
{
    return file->level > than->level ||
           (file->level == 0 && than->level == 0 && file->sequence_max < than->sequence_min);
}

/* `ret_iter` is NULL if there are no rows. */
static int merge_older(const struct rescue *rescue, struct iter **ret_iter)
{
    struct iter_list list = {0};
    int r = 0;

    *ret_iter = NULL;
    for (size_t i = 0; i < rescue->older_count && r == 0; i++) {
        struct iter *iter = NULL;
        if (table_properties(rescue->older_tables[i])->row_count > 0) {
            r = table_iter_create(rescue->older_tables[i], true, &iter);
            r = r < 0 ? r : iter_list_add(&list, iter);
        }
    }
    if (r == 0 && list.count > 0) {
        r = iter_list_merge(&list, ret_iter);
    }
    iter_list_finish(&list);
    return r;
}

static int open_all_older(struct rescue *rescue)
{
    const struct file_meta *bad = rescue->file;
    const struct table_files *files = version_table(rescue->scan->state.version, bad->table_id);
    int r = 0;

    for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < files->levels[level].count && r == 0; i++) {
            const struct file_meta *file = files->levels[level].files[i];
            if (is_older(file, bad) &&
                file_overlaps(file, kv_buf_slice(&bad->smallest), kv_buf_slice(&bad->largest))) {
                r = open_older(rescue, file);
            }
        }
    }
    return r < 0 ? r : merge_older(rescue, &rescue->older);
}

/* ---- writing ---- */

static int begin_builder(struct rescue *rescue)
{
    const struct scan *scan = rescue->scan;
    const struct file_meta *bad = rescue->file;
    const struct edit_table *table = &scan->state.tables[bad->table_id - 1];
    const struct table_properties *old = rescue->salvage != NULL && rescue->salvage->has_properties
                                             ? &rescue->salvage->properties
                                             : NULL;
    struct table_origin origin = {.table_id = bad->table_id,
                                  .level = bad->level,
                                  .job = rescue->number,
                                  .output_index = 1,
                                  .by_repair = true,
                                  .flushed_sequence = old != NULL ? old->flushed_sequence : 0,
                                  .released_log = old != NULL ? old->released_log : 0,
                                  .table_name = kv_slice_str(table->name)};
    struct table_builder_options options = {
        .block_bytes = table->options.block_bytes,
        .filter_bits_per_key = table->options.filter_bits_per_key,
        .prefix_size = table->options.prefix_size,
        .codec = table->options.no_compression ? CODEC_NONE : CODEC_SNAPPY};
    int r = coding_append_varint(&rescue->inputs, bad->number);

    memcpy(origin.store_id, scan->root.store_id, sizeof origin.store_id);
    origin.inputs = kv_buf_slice(&rescue->inputs);
    return r < 0 ? r
                 : table_builder_create(scan->storage, scan->seed, rescue->number, &origin,
                                        &options, &rescue->builder);
}

/* Rows that are not in order cannot be: a table that says so lies. They are left out. */
static bool is_in_order(const struct rescue *rescue, const struct row *row)
{
    return rescue->last_key.size == 0 ||
           row_compare(kv_buf_slice(&rescue->last_key), rescue->last_trailer, row->key,
                       row->trailer) < 0;
}

/* Behind a newer row of the key readers at snapshots alone see it. */
static bool is_newest(const struct rescue *rescue, const struct row *row)
{
    return !kv_slice_equal(row->key, kv_buf_slice(&rescue->last_key));
}

static int append_row(struct rescue *rescue, const struct row *row)
{
    struct row stored = *row;
    int r = 0;

    if (row->key.size == 0 || !is_in_order(rescue, row)) {
        return 0;
    }
    if (row_kind(row->trailer) == ROW_BLOB) {
        r = value_settle(&rescue->reader, rescue->builder, &stored);
    }
    if (row_kind(stored.trailer) == ROW_DAMAGED && rescue->lost == NULL) {
        rescue->scan->result.damaged_rows += is_newest(rescue, &stored);
    }
    r = r < 0 ? r : table_builder_add(rescue->builder, &stored);
    r = r < 0 ? r : kv_buf_assign(&rescue->last_key, stored.key);
    rescue->last_trailer = stored.trailer;
    rescue->any = true;
    return r;
}

/* Tables of level 0 stand in the order of their numbers. */
static uint64_t least_sequence(const struct rescue *rescue, uint64_t sequence)
{
    return rescue->file->level == 0 ? larger(sequence, rescue->file->sequence_min) : sequence;
}

static struct row damaged_row(const struct rescue *rescue, struct kv_slice key, uint64_t sequence)
{
    return (struct row){.key = key,
                        .trailer = row_trailer(least_sequence(rescue, sequence), ROW_DAMAGED)};
}

/* ---- range deletes that are lost ---- */

/* The manifest knows them, or ranges that cover them; else they may have been anywhere in the
 * table. */
static int find_ranges(const struct file_meta *file, struct range_list *ret_list)
{
    struct kv_slice from = kv_buf_slice(&file->smallest), to = kv_buf_slice(&file->largest);
    struct range_delete all = {from, to, file->sequence_max};
    int r;

    if (file->range_list.size > 0) {
        return range_list_decode(kv_buf_slice(&file->range_list), ret_list);
    }
    r = range_dels_create(1, 0, &ret_list->dels);
    if (r == 0 && !range_dels_push(ret_list->dels, &all)) {
        range_list_finish(ret_list); /* of one key: it has none */
    }
    return r;
}

static int begin_doubt(struct rescue *rescue)
{
    const struct range_list *doubt = &rescue->doubt;
    int r;

    if (rescue->file->range_delete_count == 0 ||
        (rescue->salvage != NULL && rescue->salvage->has_ranges)) {
        return 0;
    }
    r = find_ranges(rescue->file, &rescue->doubt);
    if (r == 0 && doubt->dels != NULL && !doubt->is_exact) {
        r = merge_older(rescue, &rescue->doubtful);
    }
    if (r == 0 && rescue->doubtful != NULL) {
        iter_seek(rescue->doubtful, doubt->dels->fragments[0].from, UINT64_MAX);
    }
    return r;
}

/* Of the table itself, as far as they are known; may be NULL. */
static const struct range_dels *own_range_dels(const struct rescue *rescue)
{
    if (rescue->doubt.is_exact) {
        return rescue->doubt.dels;
    }
    return rescue->salvage != NULL ? rescue->salvage->range_dels : NULL;
}

static const struct range_fragment *fragment_at(const struct range_dels *dels, struct kv_slice key)
{
    size_t i = dels != NULL ? range_dels_find(dels, key) : 0;
    bool holds =
        dels != NULL && i < dels->count && kv_slice_compare(dels->fragments[i].from, key) <= 0;
    return holds ? &dels->fragments[i] : NULL;
}

static uint64_t deleted_by(const struct range_dels *dels, struct kv_slice key)
{
    const struct range_fragment *fragment = fragment_at(dels, key);
    return fragment != NULL ? fragment->sequences[0] : 0;
}

/* The newest range delete that something older has of the key. */
static uint64_t older_delete(const struct rescue *rescue, struct kv_slice key)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < rescue->older_count; i++) {
        newest = larger(newest, deleted_by(table_range_dels(rescue->older_tables[i]), key));
    }
    return newest;
}

/* Deleted also without the table. */
static bool is_away(const struct rescue *rescue, const struct row *row)
{
    return row_kind(row->trailer) == ROW_DELETE ||
           older_delete(rescue, row->key) > row_sequence(row->trailer);
}

/* Older rows of the keys before `to` (NULL: all) that may have been deleted: nobody shall see them.
 * Where the table has newer rows of the key they stand behind those, for readers at snapshots. */
static int add_doubtful(struct rescue *rescue, const struct kv_slice *to)
{
    struct iter *it = rescue->doubtful;
    int r = 0;

    while (r == 0 && it != NULL && it->valid &&
           (to == NULL || kv_slice_compare(it->row->key, *to) < 0)) {
        struct kv_slice key;
        r = kv_buf_assign(&rescue->doubtful_key, it->row->key);
        key = kv_buf_slice(&rescue->doubtful_key);
        if (r == 0 && deleted_by(rescue->doubt.dels, key) > 0 && !is_away(rescue, it->row)) {
            struct row row = damaged_row(rescue, key, row_sequence(it->row->trailer));
            r = append_row(rescue, &row);
        }
        while (it->valid && kv_slice_equal(it->row->key, key)) {
            iter_next(it);
        }
    }
    return r == 0 && it != NULL ? it->error : r;
}

/* Rows of the table itself may be hidden, too, where it was written for a snapshot. */
static bool is_doubtful(const struct rescue *rescue, const struct row *row)
{
    int kind = row_kind(row->trailer);
    return rescue->doubt.dels != NULL && !rescue->doubt.is_exact && !rescue->doubt.rows_shown &&
           kind != ROW_DELETE && kind != ROW_DAMAGED &&
           deleted_by(rescue->doubt.dels, row->key) > row_sequence(row->trailer);
}

/* ---- rows ---- */

static int add_row(struct rescue *rescue, const struct row *row)
{
    int r = 0;
    if (!kv_slice_equal(row->key, kv_buf_slice(&rescue->last_key))) {
        r = add_doubtful(rescue, &row->key);
    }
    return r < 0 ? r : append_row(rescue, row);
}

/* One that the table has. */
static int add_own(struct rescue *rescue, const struct row *row)
{
    struct row damaged = {.key = row->key,
                          .trailer = row_trailer(row_sequence(row->trailer), ROW_DAMAGED)};
    return add_row(rescue, is_doubtful(rescue, row) ? &damaged : row);
}

static int add_damaged_at(struct rescue *rescue, struct kv_slice key, uint64_t sequence)
{
    struct row row = damaged_row(rescue, key, sequence);
    return add_row(rescue, &row);
}

/* In front of an older row of that number, or of the range delete that hides it; and in front of
 * each of the table's own range deletes, which would hide the damaged row from those who see them.
 * There are no rows of the table between numbers that follow each other, and none behind its last.
 */
static int add_damaged(struct rescue *rescue, struct kv_slice key, uint64_t sequence)
{
    const struct range_fragment *own = fragment_at(own_range_dels(rescue), key);
    uint64_t last = rescue->file->sequence_max, deleted = older_delete(rescue, key);
    bool none = deleted > sequence && deleted >= last;
    int r = 0;

    sequence = least_sequence(rescue, deleted > sequence ? deleted + 1 : sequence);
    for (size_t i = 0; own != NULL && i < own->count && r == 0; i++) {
        uint64_t at = own->sequences[i];
        bool follows = at == last || (i > 0 && own->sequences[i - 1] == at + 1);
        r = at >= sequence && !follows ? add_damaged_at(rescue, key, at + 1) : 0;
        none |= at == sequence;
    }
    return r == 0 && !none ? add_damaged_at(rescue, key, sequence) : r;
}

/* ---- lost parts ---- */

static int copy_key(struct kv_buf *to, struct kv_slice key)
{
    return kv_buf_assign(to, key);
}

static int begin_lost(struct rescue *rescue, struct kv_slice from)
{
    struct kv_slice smallest = kv_buf_slice(&rescue->file->smallest);
    if (rescue->is_lost) {
        return 0; /* it goes on */
    }
    rescue->is_lost = true;
    rescue->lost_with_from = kv_slice_compare(from, smallest) < 0;
    return copy_key(&rescue->lost_from, kv_slice_compare(from, smallest) < 0 ? smallest : from);
}

/* The filter of the damaged table knows most of the keys that were never in it. */
static bool may_be_lost(const struct rescue *rescue, struct kv_slice key)
{
    return rescue->salvage == NULL || !rescue->salvage->has_filter ||
           filter_may_match(&rescue->salvage->filter, filter_hash_key(key));
}

static int note_lost(const struct rescue *rescue, struct kv_slice to)
{
    struct lost_rows *lost = rescue->lost;
    struct lost_span *larger = realloc(lost->spans, (lost->count + 1) * sizeof *larger);
    struct lost_span *span;
    int r;

    if (larger == NULL) {
        return -ENOMEM;
    }
    lost->spans = larger;
    span = &larger[lost->count++];
    *span = (struct lost_span){.with_from = rescue->lost_with_from,
                               .with_to = file_compare_end(rescue->file, to) >= 0};
    r = kv_buf_assign(&span->from, kv_buf_slice(&rescue->lost_from));
    return r < 0 ? r : kv_buf_assign(&span->to, to);
}

/* Damaged rows for the keys up to `to` that something older has rows of. `own`, of the key `to`,
 * may be NULL: the newest row that is left of the key at which the lost part ended. */
static int add_lost(struct rescue *rescue, struct kv_slice to, const struct row *own)
{
    struct iter *older = rescue->older;
    struct kv_buf key = {0};
    uint64_t own_sequence = own != NULL ? row_sequence(own->trailer) : 0;
    int r = rescue->lost != NULL ? note_lost(rescue, to) : 0;

    if (older != NULL) {
        iter_seek(older, kv_buf_slice(&rescue->lost_from), UINT64_MAX);
    }
    while (r == 0 && older != NULL && older->valid && kv_slice_compare(older->row->key, to) <= 0 &&
           file_compare_end(rescue->file, older->row->key) >= 0) {
        uint64_t sequence = row_sequence(older->row->trailer);
        bool known = row_kind(older->row->trailer) == ROW_DAMAGED;
        r = copy_key(&key, older->row->key);
        if (own != NULL && kv_slice_equal(kv_buf_slice(&key), to)) {
            own_sequence = larger(sequence, own_sequence);
        } else if (r == 0 && !known && may_be_lost(rescue, kv_buf_slice(&key))) {
            r = add_damaged(rescue, kv_buf_slice(&key), sequence);
        }
        while (older->valid && kv_slice_equal(older->row->key, kv_buf_slice(&key))) {
            iter_next(older);
        }
    }
    if (r == 0 && older != NULL) {
        r = older->error;
    }
    if (r == 0 && own != NULL) {
        r = add_damaged(rescue, to, own_sequence);
    }
    rescue->is_lost = false;
    kv_buf_finish(&key);
    return r;
}

/* ---- the blocks ---- */

static int add_block(struct rescue *rescue, const struct rows_block *rows)
{
    struct kv_buf key = {0};
    int r = 0;
    for (uint32_t i = 0; i < rows->count && r == 0; i++) {
        r = rows_block_key(rows, i, &key);
        if (r == 0) {
            struct row row = {.key = kv_buf_slice(&key),
                              .trailer = rows_block_trailer(rows, i),
                              .value = rows_block_value(rows, i)};
            r = add_own(rescue, &row);
        }
    }
    kv_buf_finish(&key);
    return r;
}

/* A lost part ends where this block begins. `to` empty: nothing says that its keys ended before. */
static int end_lost(struct rescue *rescue, const struct rows_block *rows, struct kv_slice to)
{
    struct kv_buf first = {0};
    struct row own;
    int r;

    if (!rescue->is_lost) {
        return 0;
    }
    r = rows_block_key(rows, 0, &first);
    if (r == 0) {
        own = (struct row){.key = kv_buf_slice(&first), .trailer = rows_block_trailer(rows, 0)};
        r = to.size > 0 && kv_slice_compare(to, own.key) < 0 ? add_lost(rescue, to, NULL)
                                                             : add_lost(rescue, own.key, &own);
    }
    kv_buf_finish(&first);
    return r;
}

/* A block that changed since the walk is one that is lost. */
static int take_part(struct rescue *rescue, const struct salvage_part *part, struct kv_slice from,
                     struct kv_slice lost_to)
{
    struct cached_block *block = NULL;
    int r = part != NULL && part->sound && part->type == BLOCK_DATA
                ? salvage_rows(rescue->salvage, part, &block)
                : -KV_EDAMAGED;

    if (r == -KV_EDAMAGED) {
        return begin_lost(rescue, from);
    }
    r = r < 0 ? r : end_lost(rescue, &block->rows, lost_to);
    r = r < 0 ? r : add_block(rescue, &block->rows);
    cached_block_unref(block);
    return r;
}

static int end_all(struct rescue *rescue)
{
    return rescue->is_lost ? add_lost(rescue, kv_buf_slice(&rescue->file->largest), NULL) : 0;
}

/* With the index: it says of every block between which keys it stands. */
static int take_indexed(struct rescue *rescue)
{
    const struct table_index *index = &rescue->salvage->index;
    struct kv_buf before = {0}; /* the index key of the block before */
    struct kv_buf lost_to = {0};
    int r = 0;

    for (uint32_t i = 0; i < index->rows.count && r == 0; i++) {
        bool ended = i > 0 && rows_block_trailer(&index->rows, i - 1) == INDEX_TRAILER_LAST;
        r = ended ? copy_key(&lost_to, kv_buf_slice(&before)) : 0;
        lost_to.size = ended ? lost_to.size : 0;
        r = r < 0 ? r
                  : take_part(rescue, salvage_find(rescue->salvage, index->handles[i].offset),
                              kv_buf_slice(&before), kv_buf_slice(&lost_to));
        r = r < 0 ? r : rows_block_key(&index->rows, i, &before);
    }
    kv_buf_finish(&before);
    kv_buf_finish(&lost_to);
    return r < 0 ? r : end_all(rescue);
}

/* Without: what stands between sound blocks is lost, up to the first key behind it. A file that was
 * cut between two blocks has no gap, and yet lacks rows. */
static int take_found(struct rescue *rescue)
{
    const struct salvage *s = rescue->salvage;
    bool all_rows = s->rows >= rescue->file->row_count;
    bool behind = false;
    int r = 0;

    for (size_t i = 0; i < s->count && r == 0; i++) {
        behind |= s->parts[i].type > BLOCK_DATA;
        if (!behind && (s->parts[i].sound || !all_rows)) {
            r = take_part(rescue, &s->parts[i], kv_buf_slice(&rescue->last_key), kv_slice(NULL, 0));
        }
    }
    if (r == 0 && !behind && !all_rows) {
        r = begin_lost(rescue, kv_buf_slice(&rescue->last_key));
    }
    return r < 0 ? r : end_all(rescue);
}

static int take_rows(struct rescue *rescue)
{
    int r;
    if (rescue->salvage == NULL) {
        r = rescue->file->row_count > 0 ? begin_lost(rescue, (struct kv_slice){0}) : 0;
        return r < 0 ? r : end_all(rescue);
    }
    return rescue->salvage->has_index ? take_indexed(rescue) : take_found(rescue);
}

static int take_range_deletes(struct rescue *rescue)
{
    const struct range_dels *dels = own_range_dels(rescue);
    int r = 0;

    for (size_t i = 0; dels != NULL && i < dels->count && r == 0; i++) {
        const struct range_fragment *fragment = &dels->fragments[i];
        for (size_t n = 0; n < fragment->count && r == 0; n++) {
            struct range_delete one = {fragment->from, fragment->to, fragment->sequences[n]};
            r = table_builder_add_range_delete(rescue->builder, &one);
            rescue->any = true;
        }
    }
    return r;
}

/* ---- the whole ---- */

static int finish_builder(struct rescue *rescue, struct file_meta **ret_file)
{
    struct table_properties properties = {0};
    uint64_t size = 0;
    int r;

    if (!rescue->any) {
        *ret_file = NULL;
        return 0;
    }
    r = table_builder_finish(rescue->builder, 1, &properties, &size);
    if (r == 0) {
        r = file_from_properties(&properties, size, ret_file);
        table_properties_finish(&properties);
    }
    return r;
}

static void finish(struct rescue *rescue)
{
    iter_destroy(rescue->older);
    iter_destroy(rescue->doubtful);
    range_list_finish(&rescue->doubt);
    kv_buf_finish(&rescue->doubtful_key);
    for (size_t i = 0; i < rescue->older_count; i++) {
        table_close(rescue->older_tables[i]);
    }
    free(rescue->older_tables);
    table_builder_destroy(rescue->builder);
    salvage_close(rescue->salvage);
    value_reader_finish(&rescue->reader);
    kv_buf_finish(&rescue->inputs);
    kv_buf_finish(&rescue->last_key);
    kv_buf_finish(&rescue->lost_from);
}

static int make_table(struct rescue *rescue, bool missing, struct file_meta **ret_file)
{
    struct scan *scan = rescue->scan;
    int r = 0;

    if (!missing) {
        r = salvage_open(scan->storage, scan->seed, rescue->file->number, scan_read_fn, scan,
                         &rescue->salvage);
    }
    r = r == 0 && rescue->lost == NULL ? open_all_older(rescue) : r;
    r = r < 0 ? r : begin_doubt(rescue);
    r = r < 0 ? r : begin_builder(rescue);
    r = r < 0 ? r : take_rows(rescue);
    r = r < 0 ? r : add_doubtful(rescue, NULL);
    r = r < 0 ? r : take_range_deletes(rescue);
    return r < 0 ? r : finish_builder(rescue, ret_file);
}

int rescue_table(struct scan *scan, const struct scan_table *bad, uint64_t number,
                 struct file_meta **ret_file)
{
    struct rescue rescue = {
        .scan = scan, .file = bad->file, .number = number, .reader = {.scan = scan}};
    int r = make_table(&rescue, bad->missing, ret_file);
    finish(&rescue);
    return r;
}

/* ---- alone ---- */

int rescue_alone(struct scan *scan, const struct scan_table *bad, uint64_t number,
                 struct file_meta **ret_file, struct lost_rows *ret_lost)
{
    struct rescue rescue = {.scan = scan,
                            .file = bad->file,
                            .number = number,
                            .reader = {.scan = scan},
                            .lost = ret_lost};
    int r = make_table(&rescue, bad->missing, ret_file);

    ret_lost->salvage = rescue.salvage;
    ret_lost->doubt = rescue.doubt;
    ret_lost->sequence_max = bad->file->sequence_max;
    rescue.salvage = NULL;
    rescue.doubt = (struct range_list){0};
    finish(&rescue);
    return r;
}

static bool span_holds(const struct lost_span *span, struct kv_slice key)
{
    int from = kv_slice_compare(kv_buf_slice(&span->from), key);
    int to = kv_slice_compare(key, kv_buf_slice(&span->to));
    return (from < 0 || (from == 0 && span->with_from)) && (to < 0 || (to == 0 && span->with_to));
}

/* They ascend, and two meet in a key at most. */
static bool spans_hold(const struct lost_rows *lost, struct kv_slice key)
{
    size_t low = 0, high = lost->count;
    while (low < high) { /* the first one that does not end before the key */
        size_t middle = (low + high) / 2;
        if (kv_slice_compare(kv_buf_slice(&lost->spans[middle].to), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (low < lost->count && span_holds(&lost->spans[low], key)) ||
           (low + 1 < lost->count && span_holds(&lost->spans[low + 1], key));
}

static bool filter_denies(const struct salvage *salvage, struct kv_slice key)
{
    return salvage != NULL && salvage->has_filter &&
           !filter_may_match(&salvage->filter, filter_hash_key(key));
}

/* A damaged row that was lost may have had the number of the row at whose place it stood. */
bool lost_rows_may_hide(const struct lost_rows *lost, const struct row *row)
{
    uint64_t sequence = row_sequence(row->trailer);
    bool deleted = row_kind(row->trailer) == ROW_DELETE; /* the same whoever deleted it */
    return (!deleted && !lost->doubt.is_exact &&
            deleted_by(lost->doubt.dels, row->key) > sequence) ||
           (sequence <= lost->sequence_max && spans_hold(lost, row->key) &&
            !filter_denies(lost->salvage, row->key));
}

void lost_rows_finish(struct lost_rows *lost)
{
    for (size_t i = 0; i < lost->count; i++) {
        kv_buf_finish(&lost->spans[i].from);
        kv_buf_finish(&lost->spans[i].to);
    }
    free(lost->spans);
    salvage_close(lost->salvage);
    range_list_finish(&lost->doubt);
    *lost = (struct lost_rows){0};
}
