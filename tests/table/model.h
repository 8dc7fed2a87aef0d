/* SPDX-License-Identifier: Apache-2.0 */
/* A sorted array of random rows, to compare blocks and tables with. */
#ifndef TESTS_TABLE_MODEL_H
#define TESTS_TABLE_MODEL_H

#include <stdlib.h>

#include "kvcore/table/row.h"
#include "kvcore/util/rng.h"
#include "tests/lib/check_main.h"

enum { MODEL_KEY_MAX = 700 };

/* How the random keys and rows look. */
struct model_shape {
    size_t shared;         /* bytes all keys begin with */
    size_t tail_max;       /* up to so many bytes behind them */
    unsigned letters;      /* the bytes are chosen from so many: few make equal heads */
    size_t value_max;      /* largest value */
    uint64_t sequence_max; /* largest sequence number */
    uint64_t sequence_min;
    bool only_puts;
};

struct model {
    struct row *rows; /* key and value owned */
    size_t count;
};

static inline void model_fill(struct rng *rng, uint8_t *to, size_t size, unsigned letters)
{
    for (size_t i = 0; i < size; i++) {
        /* The letters are spread over all bytes, 0 and 255 among them. */
        to[i] = (uint8_t)(rng_below(rng, letters) * 255 / (letters > 1 ? letters - 1 : 1));
    }
}

/* A random key of the shape, into `to`; returns its size. */
static inline size_t model_key(struct rng *rng, const struct model_shape *shape,
                               uint8_t to[MODEL_KEY_MAX])
{
    size_t tail = rng_below(rng, shape->tail_max + 1);
    memset(to, 'p', shape->shared);
    model_fill(rng, to + shape->shared, tail, shape->letters);
    return shape->shared + tail;
}

static inline struct kv_slice model_copy(struct kv_slice bytes)
{
    uint8_t *copy = malloc(bytes.size + 1);
    ck_assert_ptr_nonnull(copy);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return kv_slice(copy, bytes.size);
}

static inline int model_compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return row_compare(x->key, x->trailer, y->key, y->trailer);
}

static inline struct row model_random_row(struct rng *rng, const struct model_shape *shape)
{
    static const enum row_kind kinds[] = {ROW_PUT, ROW_DELETE, ROW_DAMAGED};
    uint8_t key[MODEL_KEY_MAX];
    size_t key_size = model_key(rng, shape, key);
    size_t value_size = rng_below(rng, 4) > 0 ? rng_below(rng, shape->value_max + 1) : 0;
    uint8_t *value = malloc(value_size + 1);
    uint64_t sequence =
        shape->sequence_min + rng_below(rng, shape->sequence_max - shape->sequence_min + 1);
    enum row_kind kind = shape->only_puts ? ROW_PUT : kinds[rng_below(rng, 3)];

    ck_assert_ptr_nonnull(value);
    model_fill(rng, value, value_size, 40);
    return (struct row){.key = model_copy(kv_slice(key, key_size)),
                        .trailer = row_trailer(sequence, kind),
                        .value = kv_slice(value, value_size)};
}

static inline void model_free_row(struct row *row)
{
    free((void *)(uintptr_t)row->key.data);
    free((void *)(uintptr_t)row->value.data);
}

/* At most `count` rows in order; equal ones are thrown away. */
static inline struct model model_create(struct rng *rng, const struct model_shape *shape,
                                        size_t count)
{
    struct model m = {.rows = calloc(count, sizeof(struct row))};
    size_t kept = 0;

    ck_assert_ptr_nonnull(m.rows);
    for (size_t i = 0; i < count; i++) {
        m.rows[i] = model_random_row(rng, shape);
    }
    qsort(m.rows, count, sizeof *m.rows, model_compare);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && model_compare(&m.rows[kept - 1], &m.rows[i]) == 0) {
            model_free_row(&m.rows[i]);
        } else {
            m.rows[kept++] = m.rows[i];
        }
    }
    m.count = kept;
    return m;
}

static inline void model_finish(struct model *m)
{
    for (size_t i = 0; i < m->count; i++) {
        model_free_row(&m->rows[i]);
    }
    free(m->rows);
}

/* Index of the first row >= (key, trailer). */
static inline size_t model_seek(const struct model *m, struct kv_slice key, uint64_t trailer)
{
    size_t from = 0, to = m->count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (row_compare(m->rows[middle].key, m->rows[middle].trailer, key, trailer) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/* Shapes that reach every case of the format. */
static inline const struct model_shape *model_shapes(size_t *ret_count)
{
    static const struct model_shape shapes[] = {
        {.tail_max = 16, .letters = 256, .value_max = 100, .sequence_max = 1000},
        {.tail_max = 6, .letters = 2, .value_max = 10, .sequence_max = 3},
        {.shared = 16, .tail_max = 8, .letters = 4, .value_max = 30, .sequence_max = 1 << 20},
        {.shared = 300, .tail_max = 12, .letters = 3, .value_max = 30, .sequence_max = 1},
        {.shared = 7, .tail_max = 0, .letters = 1, .value_max = 20, .sequence_max = 100000},
        {.tail_max = 3, .letters = 3, .value_max = 70000, .sequence_max = 300, .only_puts = true},
        {.tail_max = 20, .letters = 256, .value_max = 0, .sequence_max = 0, .only_puts = true},
        {.tail_max = 600, .letters = 2, .value_max = 9, .sequence_max = ROW_SEQUENCE_MAX},
        {.tail_max = 9,
         .letters = 9,
         .value_max = 9,
         .sequence_min = UINT64_C(1) << 50,
         .sequence_max = (UINT64_C(1) << 50) + 255},
    };
    *ret_count = sizeof shapes / sizeof shapes[0];
    return shapes;
}

#endif
