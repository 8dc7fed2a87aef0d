/* SPDX-License-Identifier: Apache-2.0 */
/* Tables in memory: written from a model, opened, compared with it. */
#ifndef TESTS_TABLE_TABLE_LIB_H
#define TESTS_TABLE_TABLE_LIB_H

#include <stdio.h>

#include "kvcore/table/table.h"
#include "kvcore/table/table_builder.h"
#include "tests/table/model.h"

enum { TEST_TABLE = 12 };

#define TEST_SEED UINT64_C(0x5eed)

/* The messages of a table: how many, and the last. */
struct heard {
    int count;
    char last[400];
};

static inline void hear(void *arg, enum kv_message_level level, const char *text)
{
    struct heard *heard = arg;
    heard->count++;
    snprintf(heard->last, sizeof heard->last, "%d %s", (int)level, text);
}

static inline struct table_builder_options small_blocks(enum codec codec)
{
    return (struct table_builder_options){
        .block_bytes = 512, .filter_bits_per_key = 10, .prefix_size = 4, .codec = codec};
}

static inline struct table_builder *begin_table(struct kv_storage *storage,
                                                const struct table_builder_options *options)
{
    static const uint8_t inputs[] = {3, 0x81, 1};
    struct table_builder *builder = NULL;
    struct table_origin origin = {.store_id = "0123456789abcde",
                                  .table_id = 2,
                                  .level = 3,
                                  .job = 44,
                                  .output_index = 1,
                                  .inputs = kv_slice(inputs, sizeof inputs)};
    ck_ok(table_builder_create(storage, TEST_SEED, TEST_TABLE, &origin, options, &builder));
    return builder;
}

static inline void write_table(struct kv_storage *storage, const struct model *m,
                               const struct table_builder_options *options)
{
    struct table_builder *builder = begin_table(storage, options);
    struct table_properties properties;
    uint64_t size;

    for (size_t i = 0; i < m->count; i++) {
        ck_ok(table_builder_add(builder, &m->rows[i]));
    }
    ck_assert_uint_eq(table_builder_row_count(builder), m->count);
    ck_ok(table_builder_finish(builder, 1, &properties, &size));
    ck_assert_uint_eq(properties.row_count, m->count);
    table_properties_finish(&properties);
    table_builder_destroy(builder);
}

/* What a reader at `sequence` must get; NULL: nothing. */
static inline const struct row *model_get(const struct model *m, struct kv_slice key,
                                          uint64_t sequence)
{
    size_t at = model_seek(m, key, row_seek_trailer(sequence));
    return at < m->count && kv_slice_equal(m->rows[at].key, key) ? &m->rows[at] : NULL;
}

/* 0 if the table gave the right answer, or its error. A wrong answer fails the test. */
static inline int check_get(struct table *table, const struct model *m, struct kv_slice key,
                            uint64_t sequence)
{
    const struct row *expected = model_get(m, key, sequence);
    struct cached_block *block = NULL;
    struct kv_slice value;
    uint64_t trailer;
    int r = table_get(table, key, sequence, &trailer, &value, &block);

    if (r < 0) {
        return r;
    }
    ck_assert_msg(r == (expected != NULL), "get returned %d (seed %" PRIu64 ")", r, test_seed());
    if (r == 1) {
        ck_assert(table_may_contain(table, filter_hash_key(key)));
        ck_assert_uint_eq(trailer, expected->trailer);
        ck_assert(kv_slice_equal(value, expected->value));
        cached_block_unref(block);
    }
    return 0;
}

static inline void check_row(const struct iter *it, const struct row *expected)
{
    ck_assert(it->valid);
    ck_assert(kv_slice_equal(it->row->key, expected->key));
    ck_assert_uint_eq(it->row->trailer, expected->trailer);
    ck_assert(kv_slice_equal(it->row->value, expected->value));
}

/* 0 if the iterator gave all rows in order, or its error; the rows before it must be right. */
static inline int check_scan(struct table *table, const struct model *m, bool keep_cache)
{
    struct iter *it = NULL;
    size_t i = 0;

    ck_ok(table_iter_create(table, keep_cache, &it));
    for (iter_seek_first(it); it->valid; iter_next(it)) {
        ck_assert_uint_lt(i, m->count);
        check_row(it, &m->rows[i++]);
    }
    int r = it->error;
    ck_assert(r < 0 || i == m->count);
    iter_destroy(it);
    return r;
}

#endif
