/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a whole table and compares what it holds with what it says of itself. Goes on behind a
 * damaged block, so that one run names them all. */
#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/table/table_impl.h"

struct verify {
    const struct table *table;
    struct table_watch watch;
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

static int will_read(const struct verify *v, uint64_t bytes)
{
    return v->watch.read_fn != NULL ? v->watch.read_fn(v->watch.arg, bytes) : 0;
}

static int verify_block(struct verify *v, uint32_t index)
{
    struct cached_block *block = NULL;
    int r = will_read(v, v->table->index.handles[index].size);

    if (r == 0) {
        r = table_read_block(v->table, index, &v->window, &block);
    }
    if (r == 0) {
        r = verify_header(v, index, &block->rows);
    }
    if (r == 0) {
        r = verify_rows(v, index, &block->rows);
    }
    if (r == 0 && v->watch.rows_fn != NULL) {
        r = v->watch.rows_fn(v->watch.arg, &block->rows);
    }
    cached_block_unref(block);
    return r;
}

/* The index says which keys the block was for. */
static int tell_lost(struct verify *v, uint32_t index)
{
    const struct rows_block *rows = &v->table->index.rows;
    struct kv_buf after = {0};
    int r = v->watch.lost_fn == NULL ? 0 : rows_block_key(rows, index, &v->key);

    if (r == 0 && v->watch.lost_fn != NULL && index > 0) {
        r = rows_block_key(rows, index - 1, &after);
    }
    if (r == 0 && v->watch.lost_fn != NULL) {
        v->watch.lost_fn(v->watch.arg, kv_buf_slice(&after), kv_buf_slice(&v->key));
    }
    kv_buf_finish(&after);
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
        r = verify_block(v, i);
        if (r == -KV_EDAMAGED) {
            r = tell_lost(v, i);
            v->damaged = true;
        }
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
    r = will_read(v, handle.size);
    if (r != 0) {
        return r;
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
        r = verify_frame(v, t->properties.range_deletes, BLOCK_RANGE_DELETES);
    }
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

struct bound {
    struct kv_buf key;
    uint64_t trailer;
};

/* Bounds of the rows alone; there are some. */
static int row_bounds(const struct table *t, struct bound *smallest, struct bound *largest)
{
    struct cached_block *first = NULL, *last = NULL;
    int r = table_read_block(t, 0, NULL, &first);

    if (r == 0) {
        r = table_read_block(t, t->index.rows.count - 1, NULL, &last);
    }
    if (r == 0) {
        r = rows_block_key(&first->rows, 0, &smallest->key);
        smallest->trailer = rows_block_trailer(&first->rows, 0);
    }
    if (r == 0) {
        r = rows_block_key(&last->rows, last->rows.count - 1, &largest->key);
        largest->trailer = rows_block_trailer(&last->rows, last->rows.count - 1);
    }
    cached_block_unref(first);
    cached_block_unref(last);
    return r;
}

/* Bounds that do not cover a range delete would let it be forgotten. */
static int widen_by_ranges(struct verify *v, struct bound *smallest, struct bound *largest)
{
    const struct range_dels *dels = v->table->range_dels;
    const struct range_fragment *first = &dels->fragments[0];
    const struct range_fragment *last = &dels->fragments[dels->count - 1];
    uint64_t trailer = row_trailer(first->sequences[0], ROW_RANGE_DELETE);
    int r = 0;

    if (v->rows == 0 ||
        row_compare(first->from, trailer, kv_buf_slice(&smallest->key), smallest->trailer) < 0) {
        r = kv_buf_assign(&smallest->key, first->from);
        smallest->trailer = trailer;
    }
    if (r == 0 &&
        (v->rows == 0 || row_compare(last->to, RANGE_END_TRAILER, kv_buf_slice(&largest->key),
                                     largest->trailer) > 0)) {
        r = kv_buf_assign(&largest->key, last->to);
        largest->trailer = RANGE_END_TRAILER;
    }
    v->sequence_min = dels->sequence_min < v->sequence_min ? dels->sequence_min : v->sequence_min;
    v->sequence_max = dels->sequence_max > v->sequence_max ? dels->sequence_max : v->sequence_max;
    return r;
}

/* Only a table that was read whole can be compared with its properties. */
static void verify_properties(struct verify *v, const struct bound *smallest,
                              const struct bound *largest)
{
    const struct table_properties *p = &v->table->properties;
    bool fits = p->row_count == v->rows && p->tombstone_count == v->tombstones &&
                p->key_bytes == v->key_bytes && p->value_bytes == v->value_bytes &&
                p->data_blocks == v->table->index.rows.count &&
                p->sequence_min == v->sequence_min && p->sequence_max == v->sequence_max &&
                kv_slice_equal(kv_buf_slice(&p->smallest_key), kv_buf_slice(&smallest->key)) &&
                p->smallest_trailer == smallest->trailer &&
                kv_slice_equal(kv_buf_slice(&p->largest_key), kv_buf_slice(&largest->key)) &&
                p->largest_trailer == largest->trailer;
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
    struct bound smallest = {0}, largest = {0};
    int r = v->rows > 0 ? row_bounds(v->table, &smallest, &largest) : 0;

    if (r == 0 && v->table->range_dels != NULL) {
        r = widen_by_ranges(v, &smallest, &largest);
    }
    if (r == 0) {
        verify_properties(v, &smallest, &largest);
    }
    kv_buf_finish(&smallest.key);
    kv_buf_finish(&largest.key);
    return r;
}

int table_verify(struct table *table, const struct table_watch *watch)
{
    struct verify v = {.table = table, .sequence_min = UINT64_MAX};
    int r;

    if (watch != NULL) {
        v.watch = *watch;
    }
    r = verify_data(&v);
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
