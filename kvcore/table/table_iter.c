/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the rows of a table. The key is put together in a buffer: the block's prefix once per
 * block, the suffix at every step. A step inside a block calls nothing and allocates nothing. */
#include <stdlib.h>

#include "kvcore/table/table_impl.h"

struct table_iter {
    struct iter base;
    struct row at; /* what base.row points to */
    const struct table *table;
    bool keep_cache;
    uint32_t block_index; /* of `block` */
    uint32_t row;         /* within it */
    uint32_t key_end;     /* where the row's suffix and value end in their areas */
    uint32_t value_end;
    struct cached_block *block; /* referenced; NULL: none */
    struct rows_block rows;     /* copy of block->rows */
    struct kv_buf key;          /* room for the largest key of the block */
    struct table_window window;
};

static struct table_iter *iter_of(struct iter *it)
{
    return (struct table_iter *)it;
}

/* Stand nowhere; `error` 0 is the end. The block is kept for a seek that comes back to it. */
static void stop(struct table_iter *ti, int error)
{
    ti->base.valid = false;
    ti->base.error = error;
    ti->at = (struct row){0};
}

static void drop_block(struct table_iter *ti)
{
    cached_block_unref(ti->block);
    ti->block = NULL;
}

/* Make data block `index` the present one. */
static int enter_block(struct table_iter *ti, uint32_t index)
{
    struct cached_block *block = NULL;
    size_t suffixes;
    bool in_order;
    int r;

    if (ti->block != NULL && ti->block_index == index) {
        return 0;
    }
    in_order = ti->block != NULL && index == ti->block_index + 1;
    if (!in_order) {
        ti->window.ahead_bytes = 0; /* reading ahead begins anew, small */
    }
    r = table_load_block(ti->table, index, ti->keep_cache,
                         in_order || ti->keep_cache ? &ti->window : NULL, &block);
    if (r < 0) {
        drop_block(ti);
        return r;
    }
    suffixes = (size_t)(block->rows.values - block->rows.suffixes);
    ti->key.size = 0;
    r = kv_buf_reserve(&ti->key, block->rows.prefix.size + suffixes + CACHED_BLOCK_SLACK);
    if (r < 0) {
        cached_block_unref(block);
        drop_block(ti);
        return r;
    }
    r = kv_buf_append(&ti->key, block->rows.prefix);
    drop_block(ti);
    ti->block = block;
    ti->block_index = index;
    ti->rows = block->rows;
    return r;
}

/* Most suffixes are short: a copy of constant size is a load and a store. Both sides have the room:
 * a cached block CACHED_BLOCK_SLACK bytes behind it, the key as many behind its largest size. */
static inline void copy_suffix(uint8_t *to, struct kv_slice suffix)
{
    memcpy(to, suffix.data, CACHED_BLOCK_SLACK);
    if (__builtin_expect(suffix.size > CACHED_BLOCK_SLACK, 0)) {
        memcpy(to, suffix.data, suffix.size);
    }
}

/* Values lie further apart than the processor fetches ahead by itself, and a scan meets each for
 * the first time: ask for those of the rows that come next. */
enum { VALUES_AHEAD = 4 };

static inline void prefetch_value(const struct rows_block *rows, uint32_t row)
{
    if (row < rows->count) {
        __builtin_prefetch(rows->values + rows_block_end(rows, rows->value_ends, row - 1));
    }
}

/* Stand on row `row` of the present block, whose key suffix and value start where given. */
static inline void stand_at(struct table_iter *ti, uint32_t row, uint32_t key_start,
                            uint32_t value_start)
{
    const struct rows_block *rows = &ti->rows;
    uint32_t key_end = rows_block_end(rows, rows->key_ends, row);
    uint32_t value_end = rows_block_end(rows, rows->value_ends, row);
    struct kv_slice suffix = kv_slice(rows->suffixes + key_start, key_end - key_start);

    prefetch_value(rows, row + VALUES_AHEAD);
    copy_suffix(ti->key.data + rows->prefix.size, suffix);
    ti->row = row;
    ti->key_end = key_end;
    ti->value_end = value_end;
    ti->at.key = kv_slice(ti->key.data, rows->prefix.size + suffix.size);
    ti->at.trailer = rows_block_trailer(rows, row);
    ti->at.value = kv_slice(rows->values + value_start, value_end - value_start);
}

static inline void stand_on(struct table_iter *ti, uint32_t row)
{
    const struct rows_block *rows = &ti->rows;

    stand_at(ti, row, row > 0 ? rows_block_end(rows, rows->key_ends, row - 1) : 0,
             row > 0 ? rows_block_end(rows, rows->value_ends, row - 1) : 0);
    __builtin_prefetch(ti->at.value.data);
    for (uint32_t i = 1; i < VALUES_AHEAD; i++) {
        prefetch_value(rows, row + i);
    }
}

static void start_on(struct table_iter *ti, uint32_t row)
{
    ti->base.valid = true;
    ti->base.error = 0;
    stand_on(ti, row);
}

static void table_iter_seek(struct iter *it, struct kv_slice key, uint64_t trailer)
{
    struct table_iter *ti = iter_of(it);
    uint32_t index = table_index_seek(&ti->table->index, key, trailer);

    for (; index < ti->table->index.rows.count; index++) {
        int r = enter_block(ti, index);
        if (r < 0) {
            stop(ti, r);
            return;
        }
        uint32_t row = rows_block_seek(&ti->rows, key, trailer);
        if (row < ti->rows.count) {
            start_on(ti, row);
            return;
        }
    }
    stop(ti, 0);
}

static void table_iter_seek_first(struct iter *it)
{
    struct table_iter *ti = iter_of(it);
    int r = ti->table->index.rows.count > 0 ? enter_block(ti, 0) : 0;

    if (r < 0 || ti->table->index.rows.count == 0) {
        stop(ti, r);
        return;
    }
    start_on(ti, 0);
}

static void table_iter_seek_last(struct iter *it)
{
    struct table_iter *ti = iter_of(it);
    uint32_t count = ti->table->index.rows.count;
    int r = count > 0 ? enter_block(ti, count - 1) : 0;

    if (r < 0 || count == 0) {
        stop(ti, r);
        return;
    }
    start_on(ti, ti->rows.count - 1);
}

static void next_block(struct table_iter *ti)
{
    int r;

    if (ti->block_index + 1 == ti->table->index.rows.count) {
        stop(ti, 0);
        return;
    }
    r = enter_block(ti, ti->block_index + 1);
    if (r < 0) {
        stop(ti, r);
        return;
    }
    stand_on(ti, 0);
}

static void prev_block(struct table_iter *ti)
{
    int r;

    if (ti->block_index == 0) {
        stop(ti, 0);
        return;
    }
    r = enter_block(ti, ti->block_index - 1);
    if (r < 0) {
        stop(ti, r);
        return;
    }
    stand_on(ti, ti->rows.count - 1);
}

static void table_iter_next(struct iter *it)
{
    struct table_iter *ti = iter_of(it);

    if (ti->row + 1 < ti->rows.count) {
        stand_at(ti, ti->row + 1, ti->key_end, ti->value_end);
        return;
    }
    next_block(ti);
}

static void table_iter_prev(struct iter *it)
{
    struct table_iter *ti = iter_of(it);

    if (ti->row > 0) {
        stand_on(ti, ti->row - 1);
        return;
    }
    prev_block(ti);
}

static void table_iter_destroy(struct iter *it)
{
    struct table_iter *ti = iter_of(it);

    drop_block(ti);
    kv_buf_finish(&ti->key);
    kv_buf_finish(&ti->window.bytes);
    free(ti);
}

int table_iter_create(struct table *table, bool keep_cache, struct iter **ret_iter)
{
    static const struct iter_ops ops = {
        .seek = table_iter_seek,
        .seek_first = table_iter_seek_first,
        .seek_last = table_iter_seek_last,
        .next = table_iter_next,
        .prev = table_iter_prev,
        .destroy = table_iter_destroy,
    };
    struct table_iter *ti = calloc(1, sizeof *ti);

    if (ti == NULL) {
        return -ENOMEM;
    }
    ti->base.ops = &ops;
    ti->base.row = &ti->at;
    ti->table = table;
    ti->keep_cache = keep_cache;
    *ret_iter = &ti->base;
    return 0;
}
