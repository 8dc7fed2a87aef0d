/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a whole table and compares what it holds with what it says of itself. Goes on behind a
 * damaged block, so that one run names them all. */
#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/table/table_impl.h"

struct verify {
    const struct table *table;
    struct table_window window;
    struct kv_buf key;
    uint64_t rows, tombstones, key_bytes, value_bytes;
    uint64_t sequence_min, sequence_max;
    bool damaged;
};

/* The header repeats what the rows say; fsck relies on it where the index is lost. */
static int verify_header(struct verify *v, uint32_t index, const struct rows_block *rows)
{
    struct block_handle handle = v->table->index.handles[index];
    uint8_t bytes[BLOCK_HEADER_SIZE];
    struct block_header header;
    uint64_t min = UINT64_MAX, max = 0;
    int r = table_read_bytes(v->table, handle.offset, bytes, sizeof bytes);

    if (r < 0) {
        return r;
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        uint64_t sequence = row_sequence(rows_block_trailer(rows, i));
        min = sequence < min ? sequence : min;
        max = sequence > max ? sequence : max;
    }
    v->sequence_min = min < v->sequence_min ? min : v->sequence_min;
    v->sequence_max = max > v->sequence_max ? max : v->sequence_max;
    r = block_header_decode(bytes, v->table->file_seed, handle.offset, &header);
    if (r < 0 || header.sequence_min != min || header.sequence_max != max) {
        r = table_damaged(v->table, handle.offset, "its sequence numbers are not its rows'");
    }
    return r;
}

/* A filter that denies a key that is there would hide rows. */
static int verify_rows(struct verify *v, uint32_t index, const struct rows_block *rows)
{
    bool hidden = false;

    for (uint32_t i = 0; i < rows->count; i++) {
        int r = rows_block_key(rows, i, &v->key);
        if (r < 0) {
            return r;
        }
        struct kv_slice key = kv_buf_slice(&v->key);
        size_t prefix_size = v->table->properties.prefix_size;
        hidden |= !table_may_contain(v->table, filter_hash_key(key));
        if (prefix_size > 0 && key.size >= prefix_size) {
            uint64_t hash = filter_hash_prefix(kv_slice(key.data, prefix_size));
            hidden |= !table_may_contain_prefix(v->table, hash, prefix_size);
        }
        v->tombstones += row_kind(rows_block_trailer(rows, i)) == ROW_DELETE;
        v->key_bytes += key.size;
        v->value_bytes += rows_block_value(rows, i).size;
    }
    v->rows += rows->count;
    return hidden ? table_damaged(v->table, v->table->index.handles[index].offset,
                                  "the filter denies one of its keys")
                  : 0;
}

static int verify_block(struct verify *v, uint32_t index)
{
    struct cached_block *block = NULL;
    int r = table_read_block(v->table, index, &v->window, &block);

    if (r == 0) {
        r = verify_header(v, index, &block->rows);
    }
    if (r == 0) {
        r = verify_rows(v, index, &block->rows);
    }
    cached_block_unref(block);
    return r;
}

/* Damage is noted and the run goes on; another error ends it. */
static int noted(struct verify *v, int r)
{
    v->damaged |= r == -KV_EDAMAGED;
    return r == -KV_EDAMAGED ? 0 : r;
}

static int verify_data(struct verify *v)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < v->table->index.rows.count; i++) {
        r = noted(v, verify_block(v, i));
    }
    return r;
}

/* Filter, index and properties were checked when the table was opened, but that may be long ago. */
static int verify_frame(struct verify *v, struct block_handle handle, enum block_type type)
{
    struct block_header header;
    uint8_t *framed;
    int r;

    if (handle.size == 0) {
        return 0;
    }
    framed = malloc(handle.size);
    if (framed == NULL) {
        return -ENOMEM;
    }
    r = table_read_bytes(v->table, handle.offset, framed, handle.size);
    if (r == 0) {
        r = table_check_frame(v->table, handle, type, framed, &header);
    }
    free(framed);
    return noted(v, r);
}

static int verify_tail(struct verify *v)
{
    const struct table *t = v->table;
    uint64_t at = t->file_bytes - TABLE_FOOTER_SIZE;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer footer;
    int r = verify_frame(v, t->properties.filter, BLOCK_FILTER);

    if (r == 0) {
        r = verify_frame(v, t->footer.index, BLOCK_INDEX);
    }
    if (r == 0) {
        r = verify_frame(v, t->footer.properties, BLOCK_PROPERTIES);
    }
    if (r == 0) {
        r = table_read_bytes(t, at, bytes, sizeof bytes);
    }
    if (r == 0 && table_footer_decode(bytes, t->file_seed, at, &footer) < 0) {
        r = table_damaged(t, at, "the footer is damaged");
    }
    return noted(v, r);
}

/* Only a table that was read whole can be compared with its properties. */
static void verify_properties(struct verify *v, const struct rows_block *first,
                              const struct rows_block *last)
{
    const struct table_properties *p = &v->table->properties;
    struct kv_slice smallest = kv_buf_slice(&p->smallest_key);
    struct kv_slice largest = kv_buf_slice(&p->largest_key);
    bool fits = p->row_count == v->rows && p->tombstone_count == v->tombstones &&
                p->key_bytes == v->key_bytes && p->value_bytes == v->value_bytes &&
                p->data_blocks == v->table->index.rows.count &&
                p->sequence_min == v->sequence_min && p->sequence_max == v->sequence_max &&
                rows_block_key_equals(first, 0, smallest) &&
                rows_block_trailer(first, 0) == p->smallest_trailer &&
                rows_block_key_equals(last, last->count - 1, largest) &&
                rows_block_trailer(last, last->count - 1) == p->largest_trailer;
    if (!fits) {
        v->damaged = true;
        kv_ignore(message_damage(v->table->sink,
                                 "table %08" PRIu64 ": the properties do not fit the %" PRIu64
                                 " rows. Run 'kvfs fsck' on the store",
                                 v->table->number, v->rows));
    }
}

static int verify_bounds(struct verify *v)
{
    struct cached_block *first = NULL, *last = NULL;
    int r = table_read_block(v->table, 0, NULL, &first);

    if (r == 0) {
        r = table_read_block(v->table, v->table->index.rows.count - 1, NULL, &last);
    }
    if (r == 0) {
        verify_properties(v, &first->rows, &last->rows);
    }
    cached_block_unref(first);
    cached_block_unref(last);
    return r;
}

int table_verify(struct table *table)
{
    struct verify v = {.table = table, .sequence_min = UINT64_MAX};
    int r = verify_data(&v);

    if (r == 0) {
        r = verify_tail(&v);
    }
    if (r == 0 && !v.damaged) {
        r = verify_bounds(&v);
    }
    kv_buf_finish(&v.window.bytes);
    kv_buf_finish(&v.key);
    return r == 0 && v.damaged ? -KV_EDAMAGED : r;
}
