/* SPDX-License-Identifier: Apache-2.0 */
/* A table: what its properties say, then every block from the first to the last, by their headers
 * alone. What the blocks add up to is compared with the properties. */
#include <inttypes.h>
#include <stdio.h>

#include "kvcore/admin/block_walk.h"
#include "kvcore/admin/inspect.h"
#include "kvcore/table/filter.h"
#include "kvcore/table/rows_block.h"

struct sums {
    uint64_t rows, tombstones, range_deletes, key_bytes, value_bytes;
    uint64_t data_blocks, index_entries;
    uint64_t blocks, damaged_blocks, gap_bytes;
};

struct looking {
    struct inspect *in;
    struct block_walk walk;
    bool has_footer, has_properties;
    struct table_footer footer;
    struct table_properties properties;
    struct sums sums;
    struct kv_buf key, last_key;
    uint64_t last_trailer;
};

static const char *type_name(int type)
{
    static const char *const names[] = {"gap",    "data",          "index",
                                        "filter", "range_deletes", "properties"};
    return type >= 0 && type <= BLOCK_PROPERTIES ? names[type] : "unknown";
}

/* ---- what it says of itself ---- */

/* The list of tables that a job read, as text: it may be long, and is cut then. */
static void numbers_text(const struct kv_buf *varints, char to[256])
{
    struct coding_cursor c = coding_cursor(kv_buf_slice(varints));
    size_t at = 0;

    to[0] = '\0';
    while (coding_left(&c) > 0 && coding_ok(&c)) {
        uint64_t number = coding_read_varint(&c);
        if (at > 200) {
            snprintf(to + at, 256 - at, " ...");
            return;
        }
        at += (size_t)snprintf(to + at, 256 - at, "%s%" PRIu64, at > 0 ? " " : "", number);
    }
}

static void add_counts(struct inspect *in, const struct table_properties *p)
{
    inspect_number(in, "row_count", p->row_count);
    inspect_number(in, "tombstone_count", p->tombstone_count);
    inspect_number(in, "range_delete_count", p->range_delete_count);
    inspect_number(in, "key_bytes", p->key_bytes);
    inspect_number(in, "value_bytes", p->value_bytes);
    inspect_number(in, "data_blocks", p->data_blocks);
    inspect_number(in, "longest_delete_run", p->longest_delete_run);
    inspect_number(in, "blobs", p->blobs.count);
    inspect_number(in, "blob_bytes", blob_uses_sum(&p->blobs));
}

static void add_birth(struct inspect *in, const struct table_properties *p, const char *inputs,
                      const char *replaced)
{
    inspect_number(in, "created_s", p->created_s);
    inspect_number(in, "job", p->job);
    inspect_number(in, "output_index", p->output_index);
    inspect_number(in, "output_count", p->output_count);
    if (inputs[0] != '\0') {
        inspect_text(in, "inputs", inputs);
    }
    if (replaced[0] != '\0') {
        inspect_text(in, "replaced", replaced);
    }
    inspect_number(in, "flushed_sequence", p->flushed_sequence);
    inspect_number(in, "released_log", p->released_log);
    if (p->by_repair != 0) {
        inspect_number(in, "by_repair", p->by_repair);
    }
}

static int tell_properties(struct looking *l)
{
    const struct table_properties *p = &l->properties;
    struct inspect *in = l->in;
    char inputs[256], replaced[256];

    numbers_text(&p->inputs, inputs);
    numbers_text(&p->replaced, replaced);
    inspect_begin(in, KV_INSPECT_FILE, "table");
    inspect_number(in, "file_bytes", in->bytes_all);
    inspect_bytes(in, "store_id", KV_INSPECT_ID, kv_slice(p->store_id, sizeof p->store_id));
    inspect_number(in, "number", p->number);
    inspect_number(in, "keyspace_id", p->table_id);
    inspect_bytes(in, "keyspace", KV_INSPECT_TEXT, kv_buf_slice(&p->table_name));
    inspect_number(in, "level", p->level);
    inspect_bytes(in, "smallest_key", KV_INSPECT_KEY, kv_buf_slice(&p->smallest_key));
    inspect_bytes(in, "largest_key", KV_INSPECT_KEY, kv_buf_slice(&p->largest_key));
    inspect_number(in, "sequence_min", p->sequence_min);
    inspect_number(in, "sequence_max", p->sequence_max);
    add_counts(in, p);
    inspect_number(in, "filter_bytes", p->filter.size);
    inspect_number(in, "prefix_size", p->prefix_size);
    add_birth(in, p, inputs, replaced);
    return inspect_end(in);
}

/* 1: they are no properties. */
static int take_properties(struct looking *l, const struct cached_block *block)
{
    int r = table_properties_decode(block_bytes(block), &l->properties);

    l->in->newer |= r == -KV_EFORMAT;
    if (r == -KV_EDAMAGED || r == -KV_EFORMAT) {
        return 1;
    }
    l->has_properties = r == 0;
    return r < 0 ? r : tell_properties(l);
}

static int look_at_footer(struct looking *l)
{
    struct inspect *in = l->in;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    uint64_t at = in->bytes_all - TABLE_FOOTER_SIZE;
    int r;

    if (in->bytes_all < TABLE_FOOTER_SIZE) {
        return inspect_damage(in, 0, "the file is too short for a table");
    }
    r = block_walk_bytes(&l->walk, at, bytes, sizeof bytes);
    r = r < 0 ? r : table_footer_decode(bytes, in->file_seed, at, &l->footer);
    if (r == 0 && l->footer.number != in->id.number) {
        r = -KV_EDAMAGED;
    }
    in->newer |= r == -KV_EFORMAT;
    l->has_footer = r == 0;
    l->walk.end = r == 0 ? at : l->walk.end;
    return r == -KV_EDAMAGED || r == -KV_EFORMAT ? inspect_damage(in, at, "the footer is damaged")
                                                 : r;
}

/* Ahead of the walk, which tells if there is anything wrong with them. */
static int look_at_properties(struct looking *l)
{
    struct block_handle at = l->footer.properties;
    struct block_header header;
    struct cached_block *block = NULL;
    int r;

    if (!l->has_footer || at.offset >= l->walk.end) {
        return 0;
    }
    r = block_walk_read(&l->walk, at.offset, l->walk.end, &header, &block);
    if (r == 0 && header.type == BLOCK_PROPERTIES) {
        r = take_properties(l, block);
    }
    cached_block_unref(block);
    return r == -KV_EDAMAGED || r == 1 ? 0 : r;
}

/* ---- rows ---- */

static int tell_row(struct looking *l, const struct rows_block *rows, uint32_t i, uint64_t offset)
{
    uint64_t trailer = rows_block_trailer(rows, i);
    struct inspect_row row = {.kind = row_kind(trailer),
                              .sequence = row_sequence(trailer),
                              .key = kv_buf_slice(&l->key),
                              .value = rows_block_value(rows, i)};

    if (!l->in->options->rows) {
        return 0;
    }
    inspect_begin(l->in, KV_INSPECT_ROW, inspect_kind(row.kind));
    inspect_number(l->in, "block", offset);
    inspect_row(l->in, &row);
    return inspect_end(l->in);
}

/* Blocks stand in the order of their rows. 1: this one does not. */
static int check_order(struct looking *l, uint64_t trailer)
{
    bool follows = l->sums.rows == 0 || row_compare(kv_buf_slice(&l->last_key), l->last_trailer,
                                                    kv_buf_slice(&l->key), trailer) < 0;
    int r = kv_buf_assign(&l->last_key, kv_buf_slice(&l->key));
    l->last_trailer = trailer;
    return r < 0 ? r : !follows;
}

static int look_at_row(struct looking *l, const struct rows_block *rows, uint32_t i,
                       uint64_t offset)
{
    uint64_t trailer = rows_block_trailer(rows, i);
    int r = rows_block_key(rows, i, &l->key);

    r = r < 0 ? r : check_order(l, trailer);
    if (r == 1) {
        r = inspect_damage(l->in, offset, "a row of the block is out of order");
    }
    l->sums.rows++;
    l->sums.tombstones += row_kind(trailer) == ROW_DELETE;
    l->sums.key_bytes += l->key.size;
    l->sums.value_bytes += rows_block_value(rows, i).size;
    return r < 0 ? r : tell_row(l, rows, i, offset);
}

static int look_at_data(struct looking *l, const struct walked_block *block)
{
    struct rows_block rows;
    uint64_t min = UINT64_MAX, max = 0;
    int r = rows_block_parse(block_bytes(block->content), &rows);

    if (r < 0) {
        l->in->newer |= r == -KV_EFORMAT;
        return r == -KV_EFORMAT || r == -KV_EDAMAGED ? 1 : r;
    }
    l->sums.data_blocks++;
    for (uint32_t i = 0; i < rows.count && r == 0; i++) {
        uint64_t sequence = row_sequence(rows_block_trailer(&rows, i));
        min = sequence < min ? sequence : min;
        max = sequence > max ? sequence : max;
        r = look_at_row(l, &rows, i, block->offset);
    }
    if (r == 0 && (rows.count != block->header.row_count || min != block->header.sequence_min ||
                   max != block->header.sequence_max)) {
        r = inspect_damage(l->in, block->offset, "the block's header does not fit its rows");
    }
    return r;
}

/* Rows whose kind is told by the block: 1 it holds something else. */
static int look_at_ranges(struct looking *l, const struct walked_block *block)
{
    struct rows_block rows;
    int r = rows_block_parse(block_bytes(block->content), &rows);

    if (r < 0) {
        l->in->newer |= r == -KV_EFORMAT;
        return r == -KV_EFORMAT || r == -KV_EDAMAGED ? 1 : r;
    }
    l->sums.range_deletes += rows.count;
    for (uint32_t i = 0; i < rows.count && r == 0; i++) {
        r = rows_block_key(&rows, i, &l->key);
        r = r < 0 ? r : tell_row(l, &rows, i, block->offset);
    }
    return r;
}

/* ---- blocks ---- */

static int look_at_index(struct looking *l, const struct walked_block *block)
{
    struct rows_block rows;
    int r = rows_block_parse(block_bytes(block->content), &rows);
    l->sums.index_entries += r == 0 ? rows.count : 0;
    return r == -KV_EFORMAT || r == -KV_EDAMAGED ? 1 : r;
}

/* 1: its checksum is right, but what it holds is not. */
static int look_at_content(struct looking *l, const struct walked_block *block)
{
    struct filter filter;
    switch (block->type) {
    case BLOCK_DATA:
        return look_at_data(l, block);
    case BLOCK_INDEX:
        return look_at_index(l, block);
    case BLOCK_FILTER:
        return filter_parse(block_bytes(block->content), &filter) < 0;
    case BLOCK_RANGE_DELETES:
        return look_at_ranges(l, block);
    case BLOCK_PROPERTIES:
        return l->has_properties ? 0 : take_properties(l, block->content);
    default:
        return 0;
    }
}

static int tell_part(struct looking *l, const struct walked_block *block)
{
    struct inspect *in = l->in;

    if (!in->options->parts) {
        return 0;
    }
    inspect_begin(in, KV_INSPECT_PART, "block");
    inspect_number(in, "offset", block->offset);
    inspect_number(in, "bytes", block->size);
    inspect_text(in, "holds", type_name(block->type));
    inspect_number(in, "sound", block->content != NULL);
    if (block->type != 0) {
        inspect_number(in, "raw_bytes", block->header.raw_size);
        inspect_number(in, "codec", block->header.codec);
    }
    if (block->type == BLOCK_DATA) {
        inspect_number(in, "rows", block->header.row_count);
        inspect_number(in, "sequence_min", block->header.sequence_min);
        inspect_number(in, "sequence_max", block->header.sequence_max);
    }
    return inspect_end(in);
}

/* The damaged footer was told already. */
static bool is_footer(const struct looking *l, const struct walked_block *gap)
{
    return !l->has_footer && gap->size == TABLE_FOOTER_SIZE &&
           gap->offset + gap->size == l->in->bytes_all;
}

static int take_gap(struct looking *l, const struct walked_block *gap)
{
    if (is_footer(l, gap)) {
        return 0;
    }
    l->sums.gap_bytes += gap->size;
    return inspect_damage(l->in, gap->offset, "%" PRIu64 " bytes hold no block that fits here",
                          gap->size);
}

static int take_block(void *arg, struct walked_block *block)
{
    struct looking *l = arg;
    int r = tell_part(l, block);

    if (r < 0 || block->type == 0) {
        return r < 0 ? r : take_gap(l, block);
    }
    l->sums.blocks++;
    r = block->content != NULL ? look_at_content(l, block) : 1;
    if (r == 1) {
        l->sums.damaged_blocks++;
        r = inspect_damage(l->in, block->offset, "the %s block of %" PRIu64 " bytes is damaged",
                           type_name(block->type), block->size);
    }
    return r;
}

static int spend(void *arg, uint64_t bytes)
{
    const struct looking *l = arg;
    return inspect_spend(l->in, bytes);
}

/* ---- the whole ---- */

/* Only what was read whole can be compared. */
static int compare(const struct looking *l)
{
    const struct table_properties *p = &l->properties;
    const struct sums *sums = &l->sums;

    if (l->in->damages > 0 || l->in->newer) {
        return 0;
    }
    if (!l->has_properties) {
        return inspect_damage(l->in, MESSAGE_NO_OFFSET, "there are no properties");
    }
    if (p->number == l->in->id.number && p->row_count == sums->rows &&
        p->tombstone_count == sums->tombstones && p->key_bytes == sums->key_bytes &&
        p->value_bytes == sums->value_bytes && p->data_blocks == sums->data_blocks &&
        p->range_delete_count == sums->range_deletes && sums->index_entries == sums->data_blocks) {
        return 0;
    }
    return inspect_damage(l->in, MESSAGE_NO_OFFSET,
                          "every block is sound, but the properties do not fit what they hold");
}

static int tell_sums(const struct looking *l)
{
    struct inspect *in = l->in;
    const struct sums *sums = &l->sums;
    int r = 0;

    if (!l->has_footer && sums->blocks == 0) {
        r = inspect_damage(in, MESSAGE_NO_OFFSET,
                           "nothing in it fits the store's checksums: is it a file of another "
                           "store, or under another number?");
    }
    inspect_begin(in, KV_INSPECT_SUMMARY, "blocks");
    inspect_number(in, "sound", sums->blocks - sums->damaged_blocks);
    inspect_number(in, "damaged", sums->damaged_blocks);
    inspect_number(in, "gap_bytes", sums->gap_bytes);
    inspect_number(in, "rows", sums->rows);
    inspect_number(in, "range_deletes", sums->range_deletes);
    return r < 0 ? r : inspect_end(in);
}

int inspect_table(struct inspect *in)
{
    const struct kv_storage_ops *ops = in->storage->ops;
    struct looking l = {.in = in};
    struct kv_object *object = NULL;
    int r = ops->object_open(in->storage, in->id, &object);

    if (r < 0) {
        return r;
    }
    in->bytes_all = ops->object_size(object);
    l.walk = (struct block_walk){.storage = in->storage,
                                 .object = object,
                                 .file_seed = in->file_seed,
                                 .end = in->bytes_all,
                                 .read_fn = spend,
                                 .block_fn = take_block,
                                 .arg = &l};
    r = look_at_footer(&l);
    r = r < 0 ? r : look_at_properties(&l);
    r = r < 0 ? r : block_walk(&l.walk);
    r = r < 0 ? r : compare(&l);
    r = r < 0 ? r : tell_sums(&l);
    if (l.has_properties) {
        table_properties_finish(&l.properties);
    }
    kv_buf_finish(&l.key);
    kv_buf_finish(&l.last_key);
    ops->object_close(object);
    return r;
}
