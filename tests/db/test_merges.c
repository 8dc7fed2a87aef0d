/* SPDX-License-Identifier: Apache-2.0 */
/* Merges on the levels between: what they must keep. */
#include "tests/lib/check_main.h"

#include <stdio.h>

#include "kvcore/db/compact.h"
#include "kvcore/util/rng.h"

enum { KEYS = 500, DELETES = 4 };

static struct kv_slice key_of(size_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05zu", i));
}

/* With so small a base size rows have several levels on their way. */
static struct kv_store *open_store(struct kv_storage *storage, struct kv_table **ret_table)
{
    struct kv_options options = {
        .create = true, .level_base_bytes = (uint64_t)1 << 10, .no_background = true};
    struct kv_store *store = NULL;
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, ret_table));
    return store;
}

static uint64_t moves(struct kv_store *store)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    return stats.trivial_moves;
}

/* KEYS rows at the deepest level. */
static void fill(struct kv_store *store, struct kv_table *table)
{
    uint8_t value[64];
    char key[16];

    for (size_t i = 0; i < KEYS; i++) {
        struct rng rng = {i};
        for (size_t n = 0; n < sizeof value; n += 8) {
            uint64_t word = rng_next(&rng);
            memcpy(value + n, &word, 8);
        }
        ck_ok(kv_put(table, key_of(i, key), kv_slice(value, sizeof value), KV_DURABLE_NONE));
    }
    ck_ok(kv_compact(store));
}

START_TEST(a_moved_table_stays_for_those_who_still_read_it_where_it_was)
{
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store;
    struct kv_iter *it = NULL;
    size_t rows = 0;
    int merges = 0;

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage, &table);
    fill(store, table);
    ck_ok(kv_delete(table, kv_slice_str("z"), KV_DURABLE_NONE));
    ck_ok(kv_flush(store));
    ck_assert_int_eq(compact_one(store), 1);
    ck_assert_uint_eq(moves(store), 1);
    ck_ok(kv_close(store));
    store = open_store(storage, &table);
    ck_ok(kv_iter_create(table, NULL, &it)); /* it has not opened the table yet */
    while (compact_one(store) == 1) {
        merges++;
    }
    ck_assert_uint_gt(moves(store), 0);
    ck_assert_int_gt(merges, (int)moves(store)); /* in the end it was merged and is gone */
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        rows++;
    }
    ck_ok(kv_iter_error(it));
    ck_assert_uint_eq(rows, KEYS);
    kv_iter_destroy(it);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(a_tombstone_stays_as_long_as_an_older_row_lies_deeper)
{
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store;
    struct kv_buf value = {0};
    char key[16];

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage, &table);
    fill(store, table);
    for (size_t i = 0; i < DELETES; i++) {
        ck_ok(kv_delete(table, key_of(100 * i + 7, key), KV_DURABLE_NONE));
        ck_ok(kv_flush(store));
    }
    while (compact_one(store) == 1) {
        for (size_t i = 0; i < DELETES; i++) {
            ck_fails(kv_get_copy(table, NULL, key_of(100 * i + 7, key), &value), ENOENT);
        }
    }
    ck_ok(kv_get_copy(table, NULL, key_of(8, key), &value));
    kv_buf_finish(&value);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(a_tombstone_goes_where_nothing_older_lies_deeper)
{
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store;
    struct kv_stats stats;
    char key[16];
    uint64_t rows = 0;

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage, &table);
    fill(store, table);
    for (size_t i = 1; i < KEYS; i++) {
        ck_ok(kv_delete(table, key_of(i, key), KV_DURABLE_NONE));
    }
    ck_ok(kv_compact(store));
    kv_stats(store, &stats);
    for (int i = 0; i < KV_LEVEL_COUNT; i++) {
        ck_assert_uint_eq(stats.levels[i].tombstones, 0);
        rows += stats.levels[i].rows;
    }
    ck_assert_uint_eq(rows, 1);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("merges");
    suite_add(s, "moves", a_moved_table_stays_for_those_who_still_read_it_where_it_was);
    suite_add(s, "tombstones", a_tombstone_stays_as_long_as_an_older_row_lies_deeper);
    suite_add(s, "tombstones", a_tombstone_goes_where_nothing_older_lies_deeper);
    return s;
}
