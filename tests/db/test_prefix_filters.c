/* SPDX-License-Identifier: Apache-2.0 */
/* Iterators with bounds leave out tables that lie outside, and those whose filters know no key with
 * the prefix that the bounds share: they show the same rows, and read less. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include <kv/kv.h>

#include "kvcore/db/compact.h"
#include "kvcore/db/iter_bounds.h"
#include "kvcore/util/rng.h"

enum { PREFIX = 2, KEY_MAX = 5, ROWS_MAX = 2000, CHECKS = 40 };

static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *table;

static void open_store(unsigned prefix_size)
{
    const struct kv_options options = {.create = true,
                                       .memtable_bytes = (size_t)256 << 10,
                                       .file_bytes = 2048,
                                       .level_base_bytes = 8192,
                                       .no_background = true};
    const struct kv_table_options table_options = {.prefix_size = prefix_size, .block_bytes = 512};
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", &table_options, &table));
}

static void setup(void)
{
    ck_ok(kv_storage_mem_create(&storage));
    open_store(PREFIX);
}

static void teardown(void)
{
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}

/* ---- the same rows ---- */

struct key {
    uint8_t bytes[KEY_MAX];
    size_t size;
};

static struct kv_slice slice_of(const struct key *key)
{
    return kv_slice(key->bytes, key->size);
}

/* Few prefixes; some keys are shorter, and some bytes cannot be counted up. */
static struct key draw_key(struct rng *rng)
{
    static const uint8_t bytes[] = {0x00, 'a', 'b', 0xfe, 0xff};
    struct key key = {.size = 1 + rng_below(rng, KEY_MAX)};
    for (size_t i = 0; i < key.size; i++) {
        key.bytes[i] = bytes[rng_below(rng, sizeof bytes)];
    }
    return key;
}

/* What an iterator without bounds shows: it leaves nothing out. */
struct rows {
    struct key keys[ROWS_MAX];
    size_t count;
};

static void read_all(const struct kv_snapshot *snapshot, struct rows *rows)
{
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;

    rows->count = 0;
    ck_ok(kv_iter_create(table, &options, &it));
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        struct kv_slice key = kv_iter_key(it);
        ck_assert_uint_lt(rows->count, ROWS_MAX);
        memcpy(rows->keys[rows->count].bytes, key.data, key.size);
        rows->keys[rows->count++].size = key.size;
    }
    ck_ok(kv_iter_error(it));
    kv_iter_destroy(it);
}

/* First row that is not below `key`. */
static size_t row_at(const struct rows *rows, struct kv_slice key)
{
    size_t i = 0;
    while (i < rows->count && kv_slice_compare(slice_of(&rows->keys[i]), key) < 0) {
        i++;
    }
    return i;
}

/* The iterator stands on row `i` of [from, to), or on none. */
static void check_at(struct kv_iter *it, const struct rows *rows, size_t i, const size_t within[2])
{
    bool there = i >= within[0] && i < within[1];
    ck_ok(kv_iter_error(it));
    ck_assert_msg(kv_iter_valid(it) == there, "row %zu of %zu to %zu (seed %" PRIu64 ")", i,
                  within[0], within[1], test_seed());
    ck_assert(!there || kv_slice_equal(kv_iter_key(it), slice_of(&rows->keys[i])));
}

/* Walk both ways with turns, from a seek somewhere, perhaps outside the bounds. */
static void check_walk(struct kv_iter *it, const struct rows *rows, const size_t within[2],
                       struct rng *rng)
{
    struct key target = draw_key(rng);
    size_t i = row_at(rows, slice_of(&target));
    bool exact = i < rows->count && kv_slice_equal(slice_of(&rows->keys[i]), slice_of(&target));

    if (rng_below(rng, 2) == 0) {
        kv_iter_seek(it, slice_of(&target));
        i = i < within[0] ? within[0] : i;
    } else {
        kv_iter_seek_for_prev(it, slice_of(&target));
        i = exact ? i : i - 1; /* wraps to beyond the end */
        i = i + 1 > within[1] ? within[1] - 1 : i;
    }
    check_at(it, rows, i, within);
    for (int n = 0; n < 8 && kv_iter_valid(it); n++) {
        if (rng_below(rng, 2) == 0) {
            kv_iter_next(it);
            i++;
        } else {
            kv_iter_prev(it);
            i--;
        }
        check_at(it, rows, i, within);
    }
}

/* Bounds that often lie within a prefix, exactly or nearly. */
static void draw_bounds(struct rng *rng, struct key *lower, struct key *upper)
{
    *lower = draw_key(rng);
    *upper = draw_key(rng);
    if (rng_below(rng, 4) != 0) {
        memcpy(upper->bytes, lower->bytes, PREFIX);
        upper->size = upper->size < PREFIX ? PREFIX : upper->size;
    }
    if (rng_below(rng, 3) == 0) { /* the key behind all with the prefix, or a little more */
        upper->size = PREFIX + rng_below(rng, 2);
        upper->bytes[PREFIX] = 0;
        upper->bytes[PREFIX - 1]++;
        lower->size = lower->size < PREFIX ? PREFIX : lower->size;
    }
}

static void check_bounded(const struct rows *rows, const struct kv_snapshot *snapshot,
                          struct rng *rng)
{
    struct key lower;
    struct key upper;
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;
    size_t within[2];

    draw_bounds(rng, &lower, &upper);
    options.lower = slice_of(&lower);
    options.upper = slice_of(&upper);
    within[0] = row_at(rows, options.lower);
    within[1] = row_at(rows, options.upper);
    if (kv_slice_compare(options.lower, options.upper) >= 0) {
        return;
    }
    ck_ok(kv_iter_create(table, &options, &it));
    size_t i = within[0];
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        check_at(it, rows, i++, within);
    }
    check_at(it, rows, i, within);
    i = within[1];
    for (kv_iter_seek_last(it); kv_iter_valid(it); kv_iter_prev(it)) {
        check_at(it, rows, --i, within);
    }
    ck_assert_uint_eq(i, within[0]);
    for (int n = 0; n < 4 && within[0] < within[1]; n++) {
        check_walk(it, rows, within, rng);
    }
    kv_iter_destroy(it);
}

static void change(struct rng *rng)
{
    struct key key = draw_key(rng);
    struct key end = draw_key(rng);
    char value[64];

    memset(value, (int)rng_below(rng, 256), sizeof value);
    if (rng_below(rng, 40) == 0 && kv_slice_compare(slice_of(&key), slice_of(&end)) < 0) {
        ck_ok(kv_delete_range(table, slice_of(&key), slice_of(&end), KV_DURABLE_NONE));
    } else if (rng_below(rng, 3) == 0) {
        ck_ok(kv_delete(table, slice_of(&key), KV_DURABLE_NONE));
    } else {
        ck_ok(kv_put(table, slice_of(&key), kv_slice(value, sizeof value), KV_DURABLE_NONE));
    }
}

START_TEST(bounded_iterators_show_what_one_without_bounds_does)
{
    static struct rows now;
    static struct rows then;
    struct rng rng = {test_seed()};
    struct kv_snapshot *snapshot = NULL;
    struct kv_stats stats;

    for (uint64_t round = 0; round < test_steps(60); round++) {
        uint64_t changes = 1 + rng_below(&rng, 120);
        for (uint64_t i = 0; i < changes; i++) {
            change(&rng);
        }
        ck_ok(rng_below(&rng, 6) != 0 ? kv_flush(store) : kv_compact(store));
        if (rng_below(&rng, 3) == 0) {
            ck_ok(compact_one(store));
        }
        if (snapshot == NULL || rng_below(&rng, 8) == 0) {
            kv_snapshot_release(snapshot);
            ck_ok(kv_snapshot_create(store, &snapshot));
            read_all(snapshot, &then);
        }
        read_all(NULL, &now);
        for (int i = 0; i < CHECKS; i++) {
            check_bounded(&now, NULL, &rng);
            check_bounded(&then, snapshot, &rng);
        }
    }
    kv_stats(store, &stats);
    ck_assert_uint_gt(stats.prefix_useful, 0);
    kv_snapshot_release(snapshot);
}
END_TEST

/* ---- fewer reads ---- */

/* Each of the tables has the prefixes aa and cc, and one of them bb. */
static void fill_tables(int count)
{
    static const char *const ends[] = {"aa", "cc"};
    char key[16];
    for (int t = 0; t < count; t++) {
        for (int i = 0; i < 40; i++) {
            int size = snprintf(key, sizeof key, "%s%d-%03d", ends[i % 2], t, i);
            ck_ok(kv_put(table, kv_slice(key, (size_t)size), kv_slice_str("value"), 0));
        }
        if (t == 1) {
            ck_ok(kv_put(table, kv_slice_str("bb1"), kv_slice_str("value"), 0));
        }
        ck_ok(kv_flush(store));
    }
}

/* Blocks that a scan of the bounds asks for; there must be so many rows. */
static uint64_t blocks_of_scan(const char *lower, const char *upper, int rows)
{
    struct kv_iter_options options = {.lower = kv_slice_str(lower), .upper = kv_slice_str(upper)};
    struct kv_stats before;
    struct kv_stats after;
    struct kv_iter *it = NULL;

    kv_stats(store, &before);
    ck_ok(kv_iter_create(table, &options, &it));
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        rows--;
    }
    for (kv_iter_seek_last(it); kv_iter_valid(it); kv_iter_prev(it)) {
    }
    ck_ok(kv_iter_error(it));
    ck_assert_int_eq(rows, 0);
    kv_iter_destroy(it);
    kv_stats(store, &after);
    return after.cache_hits + after.cache_misses - before.cache_hits - before.cache_misses;
}

static uint64_t prefix_useful(void)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    return stats.prefix_useful;
}

START_TEST(a_prefix_that_no_table_knows_is_found_empty_without_reading_a_block)
{
    fill_tables(6);
    uint64_t before = prefix_useful();
    ck_assert_uint_eq(blocks_of_scan("bc", "bd", 0), 0);
    ck_assert_uint_eq(prefix_useful(), before + 6);
    ck_assert_uint_eq(blocks_of_scan("bcx", "bcy", 0), 0);
    ck_assert_uint_le(blocks_of_scan("bb", "bc", 1), 4); /* of one table: there and back */
    ck_assert_uint_ge(blocks_of_scan("b", "c", 1), 6);   /* shares no prefix: all are asked */
    ck_ok(kv_compact(store));
    ck_assert_uint_eq(blocks_of_scan("bc", "bd", 0), 0);
    ck_assert_uint_eq(blocks_of_scan("dd", "de", 0), 0); /* behind everything */
}
END_TEST

START_TEST(range_deletes_of_a_table_count_though_its_rows_are_passed_over)
{
    fill_tables(2);
    ck_ok(kv_delete_range(table, kv_slice_str("b"), kv_slice_str("c"), 0));
    ck_ok(kv_put(table, kv_slice_str("aa"), kv_slice_str("value"), 0));
    ck_ok(kv_put(table, kv_slice_str("cc"), kv_slice_str("value"), 0));
    ck_ok(kv_flush(store)); /* this table's filter does not know bb */
    blocks_of_scan("bb", "bc", 0);
    ck_assert_uint_gt(prefix_useful(), 0);
}
END_TEST

START_TEST(other_options_at_a_later_opening_do_not_change_which_tables_are_passed_over)
{
    for (unsigned prefix_size = 0; prefix_size < 4; prefix_size++) {
        fill_tables(3);
        ck_ok(kv_close(store));
        open_store(prefix_size);
        blocks_of_scan("bb", "bc", 1);
        ck_assert_uint_eq(blocks_of_scan("bc", "bd", 0), 0);
        blocks_of_scan("bb1", "bb2", 1);
    }
}
END_TEST

/* ---- which bounds share a prefix ---- */

static bool share(const char *lower, const char *upper)
{
    return iter_bounds_make(kv_slice_str(lower), kv_slice_str(upper), 2).prefix_size == 2;
}

START_TEST(bounds_share_a_prefix_if_every_key_between_them_has_it)
{
    ck_assert(share("ab", "ac") && share("ab", "abz") && share("abc", "abd") && share("abc", "ac"));
    ck_assert(share("a\xff", "b") && share("a\xff", "a\xff\xff") && share("\xff\xff", ""));
    ck_assert(share("\xff\xff", "\xff\xff\x01"));
    ck_assert(!share("ab", "ac\x01") && !share("ab", "b") && !share("ab", "ad"));
    ck_assert(!share("a", "ab") && !share("a", "b") && !share("", "ab") && !share("ab", ""));
    ck_assert(!share("a\xff", "b\x01") && !share("a\xff", "ba"));
    ck_assert(share("ab", "a") && share("ab", "aa")); /* no key is between them */
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("prefix_filters");
    TCase *tcase = tcase_create("prefix_filters");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, bounded_iterators_show_what_one_without_bounds_does);
    tcase_add_test(tcase, a_prefix_that_no_table_knows_is_found_empty_without_reading_a_block);
    tcase_add_test(tcase, range_deletes_of_a_table_count_though_its_rows_are_passed_over);
    tcase_add_test(tcase,
                   other_options_at_a_later_opening_do_not_change_which_tables_are_passed_over);
    tcase_add_test(tcase, bounds_share_a_prefix_if_every_key_between_them_has_it);
    suite_add_tcase(s, tcase);
    return s;
}
