/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that were not closed, with a manifest that ends at an earlier edit than it did: a case for
 * each thing that may follow it, and for what only looks like it. test_rebuild.c has random ones.
 */
#include <glob.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/admin/short_store.h"

/* ---- flushes ---- */

static int after_flush(unsigned key)
{
    return key < 20 ? 3 : key < 60 ? 2 : 1;
}

/* One is lost from the manifest; of what came behind it there is the log. */
static void make_flush(void)
{
    short_put(0, SHORT_KEYS, 1);
    ck_ok(kv_flush(short_store.store));
    short_lose_from_here();
    short_put(0, 60, 2);
    ck_ok(kv_flush(short_store.store));
    short_put(0, 20, 3);
}

/* The log of the last one is there until it is used again. */
static void make_two_flushes(void)
{
    make_flush();
    ck_ok(kv_flush(short_store.store));
}

START_TEST(a_flush_whose_log_is_there_is_no_lost_edit)
{
    make_flush();
    short_crash();
    ck_assert(!short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(after_flush);
}
END_TEST

START_TEST(a_flush_is_found_again)
{
    make_two_flushes();
    short_crash();
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(after_flush);
}
END_TEST

START_TEST(two_flushes_are_found_again)
{
    make_two_flushes();
    short_put(0, 10, 4);
    ck_ok(kv_flush(short_store.store));
    short_put(0, 10, 3);
    short_crash();
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(after_flush);
}
END_TEST

static int before_all(unsigned key)
{
    (void)key;
    return 1;
}

/* Neither the second flush nor the log behind it: rows would be missing in the middle. */
START_TEST(a_flush_behind_one_that_is_not_there_is_left_out)
{
    unsigned tables[SHORT_TABLES_MAX];
    make_two_flushes();
    short_put(20, 30, 4);
    short_crash();
    ck_assert_uint_eq(short_list_tables(short_store.image, tables), 3);
    short_remove_table(short_store.image, tables[1]);
    ck_assert(short_repair(KV_PROBLEM_LOG_MISSING));
    short_expect(before_all);
}
END_TEST

/* The log of the first flush was kept to be used again, but its end is damaged. */
START_TEST(a_flush_counts_in_the_place_of_its_damaged_log)
{
    char name[600];
    glob_t found;

    make_two_flushes();
    short_put(0, 5, 3);
    ck_ok(kv_sync(short_store.store));
    short_put(0, 1, 3); /* says that the sync was */
    short_crash();
    snprintf(name, sizeof name, "%s/*.log", short_store.image);
    ck_assert_int_eq(glob(name, 0, NULL, &found), 0);
    ck_assert_uint_eq(found.gl_pathc, 2);
    ck_assert(truncate(found.gl_pathv[0], 200) == 0);
    globfree(&found);
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(after_flush);
}
END_TEST

/* ---- merges ---- */

static int after_deletes(unsigned key)
{
    return key < 60 && key % 2 == 0 ? SHORT_GONE : 1;
}

static void make_merge(bool lose_flush)
{
    short_put(0, SHORT_KEYS, 1);
    ck_ok(kv_compact(short_store.store));
    if (lose_flush) {
        short_lose_from_here();
    }
    short_delete_even(60);
    ck_ok(kv_flush(short_store.store));
    if (!lose_flush) {
        short_lose_from_here();
    }
    ck_ok(kv_compact(short_store.store));
}

/* With its inputs in the state, and with one that came and went behind the manifest's end. */
START_TEST(a_merge_is_found_again)
{
    make_merge(_i == 1);
    short_crash();
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(after_deletes);
}
END_TEST

static int two_merges(unsigned key)
{
    return key >= 80 ? 4 : key < 60 && key % 2 == 0 ? SHORT_GONE : 1;
}

START_TEST(what_was_merged_on_is_found_again)
{
    make_merge(true);
    short_put(80, SHORT_KEYS, 3);
    ck_ok(kv_compact(short_store.store));
    short_put(80, SHORT_KEYS, 4);
    ck_ok(kv_flush(short_store.store));
    short_crash();
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(two_merges);
}
END_TEST

/* All outputs are there, and so are all inputs: no edit need have been lost. */
START_TEST(a_merge_that_may_not_have_been_installed_is_no_lost_edit)
{
    unsigned before[SHORT_TABLES_MAX], after[SHORT_TABLES_MAX];
    unsigned count_before, count;
    struct kv_admin_result result;
    int codes[64];

    short_put(0, SHORT_KEYS, 1);
    ck_ok(kv_compact(short_store.store));
    short_delete_even(60);
    ck_ok(kv_flush(short_store.store));
    copy_tree(short_store.path, short_store.image);
    count_before = short_list_tables(short_store.image, before);
    ck_ok(kv_compact(short_store.store));
    count = short_list_tables(short_store.path, after);
    for (unsigned i = 0; i < count; i++) {
        if (after[i] > before[count_before - 1]) {
            short_copy_table(short_store.path, short_store.image, after[i]);
        }
    }
    ck_ok(kv_close(short_store.store));
    ck_ok(store_check(short_store.image, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    short_expect(after_deletes);
}
END_TEST

/* Keys 0 to 59 were merged on behind the end of the manifest, keys 60 to 99 were not touched. */
static void make_chain_of(bool with_range_delete)
{
    char from[16], to[16];
    short_put(0, 60, 1);
    ck_ok(kv_compact(short_store.store));
    short_put(60, SHORT_KEYS, 1);
    short_delete_even(60);
    ck_ok(kv_flush(short_store.store));
    ck_ok(kv_compact(short_store.store));
    if (with_range_delete) {
        ck_ok(kv_delete_range(short_store.table, short_key(0, from), short_key(10, to),
                              KV_DURABLE_WRITE));
        ck_ok(kv_flush(short_store.store));
    }
    short_lose_from_here();
    for (int version = 2; version < 4; version++) {
        short_put(0, 20, version);
        ck_ok(kv_flush(short_store.store));
        ck_ok(kv_compact_range(short_store.table, short_key(0, from), short_key(20, to)));
    }
}

static void make_chain(void)
{
    make_chain_of(false);
}

static int before_chain(unsigned key)
{
    return key < 60 && key % 2 == 0 ? SHORT_GONE : 1;
}

static int after_chain(unsigned key)
{
    return key < 20 ? 3 : key < 60 && key % 2 == 0 ? SHORT_GONE : 1;
}

/* The rows of that output are lost, which is told; none is what it was before. */
START_TEST(a_merge_of_which_an_output_is_lost_brings_nothing_back)
{
    unsigned tables[SHORT_TABLES_MAX];

    make_merge(false);
    short_crash();
    ck_assert_uint_ge(short_list_tables(short_store.image, tables), 2);
    short_remove_table(short_store.image, tables[0]);
    short_expect_told("is lost: the store goes back");
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    ck_assert_uint_ge(short_count_right(after_deletes), 30);
}
END_TEST

START_TEST(what_was_not_merged_on_is_kept_beside_it)
{
    make_chain();
    short_crash();
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(after_chain);
}
END_TEST

/* No merge can have taken it in: where its deletes are gone nothing may be decided without them. */
START_TEST(a_table_that_is_lost_as_well_is_told)
{
    unsigned tables[SHORT_TABLES_MAX];
    make_chain();
    short_crash();
    ck_assert_uint_ge(short_list_tables(short_store.image, tables), 2);
    short_remove_table(short_store.image, tables[0]);
    short_expect_told("is lost: the store goes back");
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_count_right(after_chain);
}
END_TEST

/* What a damaged table hid is not known. Nothing is silently left as it is. */
START_TEST(a_table_that_is_damaged_as_well_is_told)
{
    unsigned tables[SHORT_TABLES_MAX];
    char name[64];
    make_chain_of(_i == 1); /* also where a range delete is missing */
    short_crash();
    ck_assert_uint_ge(short_list_tables(short_store.image, tables), 2);
    snprintf(name, sizeof name, "%08u.table", tables[0]);
    flip(short_store.image, name, 60);
    short_expect_told("another table is damaged: the store goes back");
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_count_right(before_chain);
}
END_TEST

/* The flushes behind it are: rows would be missing in the middle. */
START_TEST(a_flush_that_no_merge_can_have_taken_in_is_told)
{
    unsigned tables[SHORT_TABLES_MAX], count;

    make_chain();
    for (int version = 4; version < 7; version++) {
        short_put(0, 20, version);
        ck_ok(kv_flush(short_store.store));
    }
    short_crash();
    count = short_list_tables(short_store.image, tables);
    short_remove_table(short_store.image, tables[count - 3]);
    short_expect_told("held is lost: the store goes back");
    ck_assert(short_repair(KV_PROBLEM_LOG_MISSING));
}
END_TEST

START_TEST(a_table_that_does_not_say_what_it_is_is_told)
{
    unsigned tables[SHORT_TABLES_MAX], count;
    char name[600];

    make_chain();
    short_crash();
    count = short_list_tables(short_store.image, tables);
    snprintf(name, sizeof name, "%s/%08u.table", short_store.image, tables[count - 1]);
    ck_assert(truncate(name, 200) == 0);
    short_expect_told("a table does not say what it is: the store goes back");
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
}
END_TEST

/* Readers keep what was replaced, before the end of the manifest and behind it. */
START_TEST(tables_that_readers_keep_do_not_come_back)
{
    struct kv_iter *before = NULL, *after = NULL;
    short_put(0, SHORT_KEYS, 1);
    ck_ok(kv_compact(short_store.store));
    ck_ok(kv_iter_create(short_store.table, NULL, &before));
    short_delete_even(60);
    ck_ok(kv_compact(short_store.store));
    short_lose_from_here();
    short_put(80, SHORT_KEYS, 3);
    ck_ok(kv_compact(short_store.store));
    ck_ok(kv_iter_create(short_store.table, NULL, &after));
    short_put(80, SHORT_KEYS, 4);
    ck_ok(kv_compact(short_store.store));
    short_crash_while_reading(before, after);
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(two_merges);
}
END_TEST

static int nothing(unsigned key)
{
    (void)key;
    return SHORT_GONE;
}

/* A reader keeps a table that was merged to nothing, so that no other table names it. */
START_TEST(what_the_manifest_says_to_be_gone_stays_so)
{
    struct kv_iter *reader = NULL;
    struct kv_table *two = NULL;
    char from[16], to[16];

    short_put(0, SHORT_KEYS, 1);
    ck_ok(kv_compact(short_store.store));
    ck_ok(kv_iter_create(short_store.table, NULL, &reader));
    ck_ok(kv_delete_range(short_store.table, short_key(0, from), short_key(SHORT_KEYS, to),
                          KV_DURABLE_WRITE));
    ck_ok(kv_compact(short_store.store));
    ck_ok(kv_table_open(short_store.store, "two", NULL, &two));
    short_lose_from_here();
    for (int version = 1; version < 4; version++) {
        short_put_to(two, 0, 10, 1, version);
        ck_ok(kv_flush(short_store.store));
    }
    short_crash_while_reading(reader, NULL);
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(nothing);
}
END_TEST

/* A merge was given up, and its inputs were merged again before the manifest's end. */
START_TEST(outputs_of_a_merge_that_was_given_up_are_no_lost_edit)
{
    unsigned before[SHORT_TABLES_MAX], after[SHORT_TABLES_MAX];
    unsigned count_before, count;
    struct kv_admin_result result;
    int codes[64];
    char again[512];

    short_put(0, SHORT_KEYS, 1);
    ck_ok(kv_compact(short_store.store));
    short_delete_even(60);
    ck_ok(kv_flush(short_store.store));
    copy_tree(short_store.path, temp_dir_name(&short_store.dir, "again", again));
    count_before = short_list_tables(again, before);
    ck_ok(kv_compact(short_store.store));
    count = short_list_tables(short_store.path, after);
    for (unsigned i = 0; i < count; i++) { /* so that their numbers are not given again */
        short_copy_table(short_store.path, again, after[i]);
    }
    ck_ok(kv_close(short_store.store));
    ck_ok(kv_open(store_storage(again), &short_options, &short_store.store));
    ck_ok(kv_table_open(short_store.store, "one", NULL, &short_store.table));
    ck_ok(kv_compact(short_store.store));
    copy_tree(again, short_store.image);
    ck_ok(kv_close(short_store.store));
    for (unsigned i = 0; i < count; i++) {
        if (after[i] > before[count_before - 1]) {
            short_copy_table(short_store.path, short_store.image, after[i]);
        }
    }
    ck_ok(store_check(short_store.image, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    if (_i == 1) { /* a lost table is nothing but that */
        ck_assert_uint_gt(short_list_tables(short_store.image, before), count);
        short_remove_table(short_store.image, before[count]);
        ck_ok(store_check(short_store.image, KV_ADMIN_REPORT, true, codes, &result));
        ck_assert(has_code(codes, KV_PROBLEM_TABLE_MISSING));
        ck_assert(!has_code(codes, KV_PROBLEM_MANIFEST_SHORT));
        return;
    }
    short_expect(after_deletes);
}
END_TEST

/* What a repair, which was cut short, could read of a table that is gone since. */
START_TEST(a_table_of_a_repair_is_no_lost_merge)
{
    unsigned before[SHORT_TABLES_MAX], after[SHORT_TABLES_MAX];
    struct kv_admin_result result;
    char second[512], name[64];
    unsigned count;
    int codes[64];

    short_put(0, 1000, 1); /* more than one block */
    ck_ok(kv_flush(short_store.store));
    short_crash();
    ck_assert_uint_eq(short_list_tables(short_store.image, before), 1);
    copy_tree(short_store.image, temp_dir_name(&short_store.dir, "second", second));
    snprintf(name, sizeof name, "%08u.table", before[0]);
    flip(second, name, 60);
    ck_ok(store_check(second, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_TABLE_BLOCK));
    count = short_list_tables(second, after);
    ck_assert_uint_eq(count, 1);
    short_copy_table(second, short_store.image, after[0]);
    short_remove_table(short_store.image, before[0]);
    ck_assert(short_repair(KV_PROBLEM_TABLE_MISSING));
}
END_TEST

/* ---- keyspaces and snapshots ---- */

/* The name of one that no table has rows of is lost. */
START_TEST(keyspaces_that_lost_edits_added_come_back)
{
    struct kv_store *store;
    struct kv_table *two = NULL, *three = NULL;

    short_put(0, SHORT_KEYS, 1);
    ck_ok(kv_flush(short_store.store));
    short_lose_from_here();
    ck_ok(kv_table_open(short_store.store, "two", NULL, &two));
    short_put_to(two, 0, 50, 1, 2);
    if (_i == 0) {
        ck_ok(kv_flush(short_store.store));
    }
    ck_ok(kv_table_open(short_store.store, "three", NULL, &three));
    short_put_to(three, 0, 50, 1, 3);
    short_put_to(two, 0, 25, 1, 4);
    short_crash();
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    short_expect(before_all);
    store = short_open_image();
    ck_ok(kv_table_open(store, _i == 0 ? "two" : "lost-2", NULL, &two));
    ck_ok(kv_table_open(store, "lost-3", NULL, &three));
    for (unsigned i = 0; i < 50; i++) {
        ck_assert_int_eq(short_version_in(two, i), i < 25 ? 4 : 2);
        ck_assert_int_eq(short_version_in(three, i), 3);
    }
    ck_ok(kv_close(store));
}
END_TEST

/* It may have been dropped, and then a merge need not have kept what it sees. */
START_TEST(named_snapshots_go_with_lost_edits)
{
    struct kv_snapshot *snapshot = NULL;
    struct kv_store *store;

    short_put(0, SHORT_KEYS, 1);
    ck_ok(kv_flush(short_store.store));
    ck_ok(kv_named_snapshot_create(short_store.store, "before"));
    short_lose_from_here();
    ck_ok(kv_named_snapshot_drop(short_store.store, "before"));
    short_put(0, 60, 2);
    ck_ok(kv_flush(short_store.store));
    short_put(0, 20, 3);
    ck_ok(kv_flush(short_store.store));
    short_crash();
    ck_assert(short_repair(KV_PROBLEM_MANIFEST_SHORT));
    store = short_open_image();
    ck_fails(kv_named_snapshot_open(store, "before", &snapshot), ENOENT);
    ck_ok(kv_close(store));
    short_expect(after_flush);
}
END_TEST

/* Nothing is missing: of a store that was closed the root record says where the manifest ends, and
 * one that was not is told of only where tables or logs say more. */
START_TEST(a_store_that_lost_nothing_is_not_told_of)
{
    struct kv_admin_result result;
    int codes[64];

    make_two_flushes();
    short_put(20, 30, 4);
    short_store.end = 0;
    short_crash();
    ck_ok(store_check(_i == 0 ? short_store.image : short_store.path, KV_ADMIN_REPORT, true, codes,
                      &result));
    ck_assert_uint_eq(result.problems, 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("short");
    TCase *tcase = tcase_create("short");
    tcase_add_checked_fixture(tcase, short_setup, short_teardown);
    tcase_add_test(tcase, a_flush_whose_log_is_there_is_no_lost_edit);
    tcase_add_test(tcase, a_flush_is_found_again);
    tcase_add_test(tcase, two_flushes_are_found_again);
    tcase_add_test(tcase, a_flush_behind_one_that_is_not_there_is_left_out);
    tcase_add_test(tcase, a_flush_counts_in_the_place_of_its_damaged_log);
    tcase_add_loop_test(tcase, a_merge_is_found_again, 0, 2);
    tcase_add_test(tcase, what_was_merged_on_is_found_again);
    tcase_add_test(tcase, a_merge_that_may_not_have_been_installed_is_no_lost_edit);
    tcase_add_test(tcase, a_merge_of_which_an_output_is_lost_brings_nothing_back);
    tcase_add_test(tcase, what_was_not_merged_on_is_kept_beside_it);
    tcase_add_test(tcase, a_table_that_is_lost_as_well_is_told);
    tcase_add_loop_test(tcase, a_table_that_is_damaged_as_well_is_told, 0, 2);
    tcase_add_test(tcase, a_flush_that_no_merge_can_have_taken_in_is_told);
    tcase_add_test(tcase, a_table_that_does_not_say_what_it_is_is_told);
    tcase_add_test(tcase, tables_that_readers_keep_do_not_come_back);
    tcase_add_test(tcase, what_the_manifest_says_to_be_gone_stays_so);
    tcase_add_loop_test(tcase, outputs_of_a_merge_that_was_given_up_are_no_lost_edit, 0, 2);
    tcase_add_test(tcase, a_table_of_a_repair_is_no_lost_merge);
    tcase_add_loop_test(tcase, keyspaces_that_lost_edits_added_come_back, 0, 2);
    tcase_add_test(tcase, named_snapshots_go_with_lost_edits);
    tcase_add_loop_test(tcase, a_store_that_lost_nothing_is_not_told_of, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
