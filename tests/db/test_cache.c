/* SPDX-License-Identifier: Apache-2.0 */
/* What a store keeps of its tables in memory: how much, and what it tells of that. */
#include "tests/lib/check_main.h"

#include <stdio.h>

#include <kv/kv.h>

#include "kvcore/db/store.h"
#include "kvcore/db/warm.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

enum { ROWS = 20000, VALUE_SIZE = 100, READS = 20000, FILTER_BITS = 10 };

static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *table;

static void open_with(struct kv_options options)
{
    options.create = !options.read_only;
    options.memtable_bytes = (size_t)256 << 10;
    options.file_bytes = (size_t)64 << 10;
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", &(struct kv_table_options){.filter_bits_per_key = FILTER_BITS},
                        &table));
}

static struct kv_slice key_of(uint64_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%06llu", (unsigned long long)i));
}

/* Of noise, so that blocks do not shrink; it begins with the row's number. */
static void value_of(uint64_t i, uint64_t to[VALUE_SIZE / 8])
{
    struct rng rng = {i};
    to[0] = i;
    for (size_t at = 1; at < VALUE_SIZE / 8; at++) {
        to[at] = rng_next(&rng);
    }
}

/* In tables and nowhere else, as they are after merging. */
static void write_rows(uint64_t count)
{
    char key[16];
    uint64_t value[VALUE_SIZE / 8];

    for (uint64_t i = 0; i < count; i++) {
        value_of(i, value);
        ck_ok(kv_put(table, key_of(i, key), kv_slice(value, sizeof value), KV_DURABLE_NONE));
    }
    ck_ok(kv_compact(store));
}

static struct kv_stats stats_now(void)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    return stats;
}

static void read_row(uint64_t i)
{
    struct kv_pinned value;
    char key[16];
    uint64_t expected[VALUE_SIZE / 8];

    value_of(i, expected);
    ck_ok(kv_get(table, NULL, key_of(i, key), &value));
    ck_assert_uint_eq(value.value.size, sizeof expected);
    ck_assert_mem_eq(value.value.data, expected, sizeof expected);
    kv_pinned_release(&value);
}

static void setup(void)
{
    ck_ok(kv_storage_mem_create(&storage));
}

static void teardown(void)
{
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}

/* ---- the budget ---- */

START_TEST(indexes_filters_and_blocks_together_keep_the_budget)
{
    const size_t budget = (size_t)512 << 10;
    struct rng rng = {test_seed()};
    struct kv_stats stats = {0};

    open_with((struct kv_options){.cache_bytes = budget, .no_background = true});
    write_rows(ROWS);
    for (int i = 0; i < READS; i++) {
        read_row(rng_below(&rng, ROWS));
        stats = stats_now();
        ck_assert_uint_le(stats.cache_bytes + stats.resident_bytes, budget);
        ck_assert_uint_eq(stats.cache_excess_bytes, 0);
    }
    ck_assert_uint_eq(stats.cache_budget_bytes, budget);
    /* Every table was read by now: this is all there is of filters and indexes. */
    ck_assert_uint_ge(stats.filter_bytes, ROWS * FILTER_BITS / 8);
    ck_assert_uint_le(stats.filter_bytes, ROWS * FILTER_BITS / 8 * 3 / 2);
    ck_assert_uint_gt(stats.index_bytes, 0);
    ck_assert_uint_lt(stats.index_bytes + stats.filter_bytes, stats.resident_bytes);
    ck_assert_uint_ge(stats.cache_bytes + stats.resident_bytes, budget / 4 * 3);
}
END_TEST

START_TEST(indexes_larger_than_the_budget_are_told_and_every_row_is_read)
{
    const size_t budget = (size_t)32 << 10;
    struct kv_stats stats;

    open_with((struct kv_options){.cache_bytes = budget, .no_background = true});
    write_rows(ROWS);
    for (uint64_t i = 0; i < ROWS; i++) {
        read_row(i);
    }
    stats = stats_now();
    ck_assert_uint_gt(stats.resident_bytes, budget);
    ck_assert_uint_le(stats.cache_bytes, budget / 8);
    ck_assert_uint_eq(stats.cache_excess_bytes, stats.cache_bytes + stats.resident_bytes - budget);
}
END_TEST

START_TEST(tables_that_are_gone_give_back_what_they_took)
{
    open_with((struct kv_options){.cache_bytes = (size_t)4 << 20, .no_background = true});
    write_rows(ROWS);
    for (uint64_t i = 0; i < ROWS; i++) {
        read_row(i);
    }
    ck_assert_uint_gt(stats_now().filter_bytes, 0);
    ck_ok(kv_table_drop(store, "t"));
    ck_assert_uint_eq(stats_now().resident_bytes, 0);
    ck_assert_uint_eq(stats_now().index_bytes, 0);
    ck_assert_uint_eq(stats_now().filter_bytes, 0);
}
END_TEST

/* ---- reading ahead ---- */

static void reopen(struct kv_options options)
{
    ck_ok(kv_close(store));
    open_with(options);
}

static struct kv_stats stats_when_warm(void)
{
    uint64_t until = clock_monotonic_ns() + test_patience_ms() * 1000000;
    struct kv_stats stats = stats_now();
    while (stats.warm_running != 0 && clock_monotonic_ns() < until) {
        stats = stats_now();
    }
    ck_assert_uint_eq(stats.warm_running, 0);
    return stats;
}

/* Blocks that reading the first rows of the table waits for. */
static uint64_t misses_of(uint64_t count)
{
    uint64_t before = stats_now().cache_misses;
    for (uint64_t i = 0; i < count; i++) {
        read_row(i);
    }
    return stats_now().cache_misses - before;
}

static void no_read_misses_once_warm(bool read_only)
{
    const size_t ample = (size_t)16 << 20;
    struct kv_stats stats;

    open_with((struct kv_options){.no_background = true});
    write_rows(ROWS);
    reopen((struct kv_options){.cache_bytes = ample, .read_only = read_only});
    ck_assert_uint_gt(misses_of(ROWS), 100); /* as it is without */
    ck_assert_uint_eq(stats_now().warm_files, 0);
    reopen((struct kv_options){.cache_bytes = ample, .read_only = read_only, .warm = true});
    stats = stats_when_warm();
    ck_assert_uint_gt(stats.warm_files, 3);
    ck_assert_uint_eq(stats.warm_files_opened, stats.warm_files);
    ck_assert_uint_eq(stats.warm_files_read, stats.warm_files);
    ck_assert_uint_ge(stats.warm_bytes, ROWS * VALUE_SIZE);
    ck_assert_uint_eq(stats.cache_hits + stats.cache_misses, 0);
    ck_assert_uint_eq(misses_of(ROWS), 0);
    ck_assert_uint_eq(stats_now().filter_bytes, stats.filter_bytes);
}

START_TEST(once_warm_no_read_misses)
{
    no_read_misses_once_warm(false);
}
END_TEST

START_TEST(a_store_that_is_only_read_is_warmed_as_well)
{
    no_read_misses_once_warm(true);
}
END_TEST

START_TEST(warming_ends_when_the_cache_is_full)
{
    const size_t budget = (size_t)512 << 10;
    struct kv_stats stats;

    open_with((struct kv_options){.no_background = true});
    write_rows(ROWS);
    reopen((struct kv_options){.cache_bytes = budget, .warm = true});
    stats = stats_when_warm();
    ck_assert_uint_eq(stats.warm_files_opened, stats.warm_files);
    ck_assert_uint_gt(stats.warm_files_read, 0);
    ck_assert_uint_lt(stats.warm_files_read, stats.warm_files);
    ck_assert_uint_le(stats.cache_bytes + stats.resident_bytes, budget);
    ck_assert_uint_ge(stats.cache_bytes + stats.resident_bytes, budget / 4 * 3);
    ck_assert_uint_le(stats.warm_bytes, stats.cache_bytes); /* what came in was not for nothing */
}
END_TEST

START_TEST(without_room_for_all_indexes_warming_opens_some)
{
    struct kv_stats stats;

    open_with((struct kv_options){.no_background = true});
    write_rows(ROWS);
    reopen((struct kv_options){.cache_bytes = (size_t)48 << 10, .warm = true});
    stats = stats_when_warm();
    ck_assert_uint_gt(stats.warm_files_opened, 0);
    ck_assert_uint_lt(stats.warm_files_opened, stats.warm_files);
    ck_assert_uint_eq(stats.cache_excess_bytes, 0);
}
END_TEST

START_TEST(the_table_that_was_made_first_is_warmed_first)
{
    struct kv_table *first;

    open_with((struct kv_options){.no_background = true});
    first = table;
    ck_ok(kv_table_open(store, "second", NULL, &table));
    write_rows(ROWS);
    table = first;
    write_rows(ROWS / 10);
    reopen((struct kv_options){.cache_bytes = (size_t)1 << 20, .warm = true});
    stats_when_warm();
    ck_assert_uint_eq(misses_of(ROWS / 10), 0);
    ck_ok(kv_table_open(store, "second", NULL, &table));
    ck_assert_uint_gt(misses_of(ROWS), 0);
}
END_TEST

START_TEST(closing_ends_warming)
{
    struct kv_stats stats;

    open_with((struct kv_options){.no_background = true});
    write_rows(ROWS);
    reopen((struct kv_options){.no_background = true});
    atomic_store(&store->stopping, true);
    warm_main(store);
    stats = stats_now();
    ck_assert_uint_gt(stats.warm_files, 1);
    ck_assert_uint_le(stats.warm_files_opened, 1);
    ck_assert_uint_eq(stats.warm_bytes, 0);
    atomic_store(&store->stopping, false);
    for (int i = 0; i < 20; i++) { /* wherever it is when the store is closed */
        reopen((struct kv_options){.warm = true});
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("cache");
    TCase *tests = tcase_create("budget");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, indexes_filters_and_blocks_together_keep_the_budget);
    tcase_add_test(tests, indexes_larger_than_the_budget_are_told_and_every_row_is_read);
    tcase_add_test(tests, tables_that_are_gone_give_back_what_they_took);
    suite_add_tcase(s, tests);
    tests = tcase_create("warm");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, once_warm_no_read_misses);
    tcase_add_test(tests, a_store_that_is_only_read_is_warmed_as_well);
    tcase_add_test(tests, warming_ends_when_the_cache_is_full);
    tcase_add_test(tests, without_room_for_all_indexes_warming_opens_some);
    tcase_add_test(tests, the_table_that_was_made_first_is_warmed_first);
    tcase_add_test(tests, closing_ends_warming);
    suite_add_tcase(s, tests);
    return s;
}
