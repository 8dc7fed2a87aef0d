/* SPDX-License-Identifier: Apache-2.0 */
/* Rows are collected whole; only when the block is finished is it known what prefix all keys share
 * and how wide the columns must be. */
#include "kvcore/table/rows_block.h"

#include <assert.h>
#include <stdlib.h>

enum {
    ROWS_HEADER_SIZE = 24,
    ROWS_CAPACITY_MIN = 64,
};

/* Of one row: where it ends in the areas, and its trailer. */
struct builder_row {
    size_t key_end, value_end;
    uint64_t trailer;
};

struct rows_builder {
    struct builder_row *rows;
    size_t count, capacity;
    struct kv_buf keys, values; /* whole keys and values, one behind the other */
    size_t shared;              /* bytes that all keys begin with */
    uint64_t sequence_min, sequence_max;
    bool kinds_differ;
};

int rows_builder_create(struct rows_builder **ret_builder)
{
    struct rows_builder *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return -ENOMEM;
    }
    /* From here on there are bytes to point at, also when all keys are empty. */
    if (kv_buf_reserve(&b->keys, 1) < 0) {
        rows_builder_destroy(b);
        return -ENOMEM;
    }
    *ret_builder = b;
    return 0;
}

void rows_builder_destroy(struct rows_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    kv_buf_finish(&builder->keys);
    kv_buf_finish(&builder->values);
    free(builder->rows);
    free(builder);
}

static int grow_rows(struct rows_builder *b)
{
    size_t capacity = b->capacity > 0 ? b->capacity * 2 : ROWS_CAPACITY_MIN;
    struct builder_row *rows = realloc(b->rows, capacity * sizeof *rows);
    if (rows == NULL) {
        return -ENOMEM;
    }
    b->rows = rows;
    b->capacity = capacity;
    return 0;
}

/* How many of the first `max` bytes are the same. */
static size_t shared_size(const uint8_t *a, const uint8_t *b, size_t max)
{
    size_t n = 0;
    while (n + 8 <= max) {
        uint64_t differ = coding_get_u64(a + n) ^ coding_get_u64(b + n);
        if (differ != 0) {
            return n + (size_t)__builtin_ctzll(differ) / 8;
        }
        n += 8;
    }
    while (n < max && a[n] == b[n]) {
        n++;
    }
    return n;
}

/* What the columns must be able to hold once the row is in. */
static void widen(struct rows_builder *b, const struct row *row)
{
    uint64_t sequence = row_sequence(row->trailer);

    if (b->count == 0) {
        b->shared = row->key.size < UINT16_MAX ? row->key.size : UINT16_MAX;
        b->sequence_min = b->sequence_max = sequence;
        b->kinds_differ = false;
        return;
    }
    /* Keys come in order, so what first and last share is shared by all. */
    b->shared = shared_size(b->keys.data, row->key.data,
                            row->key.size < b->shared ? row->key.size : b->shared);
    b->sequence_min = sequence < b->sequence_min ? sequence : b->sequence_min;
    b->sequence_max = sequence > b->sequence_max ? sequence : b->sequence_max;
    b->kinds_differ |= row_kind(row->trailer) != row_kind(b->rows[0].trailer);
}

int rows_builder_add(struct rows_builder *builder, const struct row *row)
{
    int r = 0;

    if (builder->count == builder->capacity) {
        r = grow_rows(builder);
    }
    if (r == 0) {
        r = kv_buf_reserve(&builder->keys, row->key.size);
    }
    if (r == 0) {
        r = kv_buf_append(&builder->values, row->value);
    }
    if (r < 0) {
        return r;
    }
    widen(builder, row);
    kv_ignore(kv_buf_append(&builder->keys, row->key)); /* room was made above */
    builder->rows[builder->count++] = (struct builder_row){
        .key_end = builder->keys.size,
        .value_end = builder->values.size,
        .trailer = row->trailer,
    };
    return 0;
}

static size_t suffix_bytes(const struct rows_builder *b)
{
    return b->keys.size - b->count * b->shared;
}

static bool is_wide(const struct rows_builder *b)
{
    return suffix_bytes(b) > UINT16_MAX || b->values.size > UINT16_MAX;
}

static unsigned sequence_width(const struct rows_builder *b)
{
    uint64_t range = b->sequence_max - b->sequence_min;
    return range == 0 ? 0 : (unsigned)(71 - __builtin_clzll(range)) / 8;
}

static size_t padded(size_t prefix_size)
{
    return (prefix_size + 3) & ~(size_t)3;
}

size_t rows_builder_size(const struct rows_builder *builder)
{
    size_t row_size =
        4 + (is_wide(builder) ? 8 : 4) + sequence_width(builder) + (builder->kinds_differ ? 1 : 0);

    if (builder->count == 0) {
        return 0;
    }
    return ROWS_HEADER_SIZE + padded(builder->shared) + builder->count * row_size +
           suffix_bytes(builder) + builder->values.size;
}

size_t rows_builder_count(const struct rows_builder *builder)
{
    return builder->count;
}

static size_t key_start(const struct rows_builder *b, size_t index)
{
    return index > 0 ? b->rows[index - 1].key_end : 0;
}

struct row rows_builder_last(const struct rows_builder *builder)
{
    assert(builder->count > 0);
    size_t last = builder->count - 1;
    size_t value_start = last > 0 ? builder->rows[last - 1].value_end : 0;
    size_t from = key_start(builder, last);

    return (struct row){
        .key = kv_slice_behind(kv_buf_slice(&builder->keys), from),
        .trailer = builder->rows[last].trailer,
        .value = kv_slice_behind(kv_buf_slice(&builder->values), value_start),
    };
}

/* ---- encoding: each step fills one part and returns where the next begins ---- */

static uint8_t *put_header(const struct rows_builder *b, uint8_t *at)
{
    memset(at, 0, ROWS_HEADER_SIZE + padded(b->shared));
    coding_put_u32(at, (uint32_t)b->count);
    at[4] = is_wide(b);
    at[5] = (uint8_t)sequence_width(b);
    at[6] = b->kinds_differ ? 0 : row_kind(b->rows[0].trailer);
    coding_put_u16(at + 8, (uint16_t)b->shared);
    coding_put_u64(at + 16, b->sequence_min);
    at += ROWS_HEADER_SIZE;
    if (b->shared > 0) {
        memcpy(at, b->keys.data, b->shared);
    }
    return at + padded(b->shared);
}

static uint8_t *put_heads(const struct rows_builder *b, uint8_t *at)
{
    for (size_t i = 0; i < b->count; i++) {
        size_t from = key_start(b, i) + b->shared;
        size_t size = b->rows[i].key_end - from;
        uint8_t head[4] = {0};
        memcpy(head, b->keys.data + from, size < sizeof head ? size : sizeof head);
        coding_put_u32(at, (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 |
                               (uint32_t)head[2] << 8 | head[3]);
        at += sizeof head;
    }
    return at;
}

static uint8_t *put_ends(const struct rows_builder *b, uint8_t *at)
{
    size_t n = b->count;

    if (is_wide(b)) {
        for (size_t i = 0; i < n; i++) {
            coding_put_u32(at + 4 * i, (uint32_t)(b->rows[i].key_end - (i + 1) * b->shared));
            coding_put_u32(at + 4 * (n + i), (uint32_t)b->rows[i].value_end);
        }
        return at + 8 * n;
    }
    for (size_t i = 0; i < n; i++) {
        coding_put_u16(at + 2 * i, (uint16_t)(b->rows[i].key_end - (i + 1) * b->shared));
        coding_put_u16(at + 2 * (n + i), (uint16_t)b->rows[i].value_end);
    }
    return at + 4 * n;
}

static uint8_t *put_trailers(const struct rows_builder *b, uint8_t *at)
{
    unsigned width = sequence_width(b);

    for (size_t i = 0; i < b->count; i++) {
        uint64_t delta = row_sequence(b->rows[i].trailer) - b->sequence_min;
        for (unsigned byte = 0; byte < width; byte++) {
            *at++ = (uint8_t)(delta >> (8 * byte));
        }
    }
    for (size_t i = 0; b->kinds_differ && i < b->count; i++) {
        *at++ = row_kind(b->rows[i].trailer);
    }
    return at;
}

static uint8_t *put_areas(const struct rows_builder *b, uint8_t *at)
{
    for (size_t i = 0; i < b->count; i++) {
        size_t from = key_start(b, i) + b->shared;
        memcpy(at, b->keys.data + from, b->rows[i].key_end - from);
        at += b->rows[i].key_end - from;
    }
    if (b->values.size > 0) {
        memcpy(at, b->values.data, b->values.size);
    }
    return at + b->values.size;
}

int rows_builder_finish(struct rows_builder *builder, struct kv_buf *to)
{
    size_t size = rows_builder_size(builder);
    uint8_t *at;
    int r;

    assert(builder->count > 0);
    if (size > UINT32_MAX) {
        return -EFBIG;
    }
    to->size = 0;
    r = kv_buf_reserve(to, size);
    if (r < 0) {
        return r;
    }
    at = put_header(builder, to->data);
    at = put_heads(builder, at);
    at = put_ends(builder, at);
    at = put_trailers(builder, at);
    at = put_areas(builder, at);
    assert(at == to->data + size);
    to->size = size;
    builder->count = 0;
    builder->keys.size = 0;
    builder->values.size = 0;
    return 0;
}
