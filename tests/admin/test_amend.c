/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are written to a store while nobody has it open, and taken back. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

static struct temp_dir dir;
static char clean[512], not_closed[512], work[512];

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "clean", clean);
    temp_dir_name(&dir, "open", not_closed);
    temp_dir_name(&dir, "work", work);
    store_make_both(dir.path);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

/* ---- rows ---- */

struct opened {
    struct kv_store *store;
    struct kv_table *table;
};

static struct opened open_store(const char *path, bool read_only)
{
    struct kv_options options = {.read_only = read_only, .no_background = true};
    struct opened opened = {NULL, NULL};
    ck_ok(kv_open(store_storage(path), &options, &opened.store));
    ck_ok(kv_table_open(opened.store, "rows", NULL, &opened.table));
    return opened;
}

/* Of the keys 0, 2 and 630, which all have values, one is written, one deleted, one lost. */
static struct kv_batch *make_rows(const char *path, const char *value)
{
    struct opened opened = open_store(path, true);
    struct kv_batch *rows = NULL;
    ck_ok(kv_batch_create(&rows));
    ck_ok(kv_batch_put(rows, opened.table, kv_slice_str("key00000"), kv_slice_str(value)));
    ck_ok(kv_batch_delete(rows, opened.table, kv_slice_str("key00002")));
    ck_ok(kv_batch_put_lost(rows, opened.table, kv_slice_str("key00630")));
    ck_ok(kv_close(opened.store));
    return rows;
}

static int amend(const char *path, const struct kv_batch *rows, struct kv_admin_result *ret_result)
{
    struct kv_admin_options options = {.holder = "a test"};
    struct kv_storage *storage = store_storage(path);
    int r = kv_admin_amend(storage, &options, rows, ret_result);
    storage->ops->close(storage);
    return r;
}

static void amend_with(const char *path, const char *value, const char *archive)
{
    struct kv_admin_result result;
    struct kv_batch *rows = make_rows(path, value);
    ck_ok(amend(path, rows, &result));
    ck_assert_str_eq(result.archive, archive);
    kv_batch_destroy(rows);
}

static void expect_rows(const char *path, bool read_only, const char *value)
{
    struct opened opened = open_store(path, read_only);
    struct kv_pinned pinned;
    ck_ok(kv_get(opened.table, NULL, kv_slice_str("key00000"), &pinned));
    ck_assert(kv_slice_equal(pinned.value, kv_slice_str(value)));
    kv_pinned_release(&pinned);
    ck_fails(kv_get(opened.table, NULL, kv_slice_str("key00002"), &pinned), ENOENT);
    ck_fails(kv_get(opened.table, NULL, kv_slice_str("key00630"), &pinned), KV_EDAMAGED);
    ck_ok(kv_close(opened.store));
}

static void expect_no_problem(const char *path)
{
    struct kv_admin_result result;
    int codes[64];
    ck_ok(store_check(path, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
}

static int undo(const char *path, const char *archive)
{
    struct kv_storage *storage = store_storage(path);
    int r = kv_admin_undo(storage, archive);
    storage->ops->close(storage);
    return r;
}

/* ---- tests ---- */

START_TEST(rows_that_are_written_are_newer_than_all_others)
{
    const char *path = _i == 0 ? clean : not_closed;
    struct verdict verdict;
    amend_with(path, "mended", "00000001");
    expect_no_problem(path);
    expect_rows(path, true, "mended");
    expect_no_problem(path);
    expect_rows(path, false, "mended");
    expect_no_problem(path);
    store_judge(path, &verdict);
    ck_assert_uint_eq(verdict.stale, 1);
    ck_assert_uint_eq(verdict.lost, 1);
    ck_assert_uint_eq(verdict.unreadable, 1);
    ck_assert_uint_eq(verdict.right, STORE_KEYS - 3);
    expect_rows(path, true, "mended");
}
END_TEST

START_TEST(what_was_written_in_several_steps_is_taken_back_as_one)
{
    const char *path = _i == 0 ? clean : not_closed;
    copy_tree(path, work);
    amend_with(path, "first", "00000001");
    amend_with(path, "second", "00000002");
    amend_with(path, "third", "00000003");
    expect_no_problem(path);
    expect_rows(path, true, "third");
    ck_ok(undo(path, "00000003"));
    expect_rows(path, true, "second");
    ck_ok(undo(path, "00000001"));
    ck_assert(same_tree(path, work, true));
    ck_ok(undo(path, "00000001")); /* nothing is left to do */
    ck_assert(same_tree(path, work, true));
}
END_TEST

static uint64_t bytes_below(const char *path)
{
    char command[700];
    unsigned long long bytes = 0;
    snprintf(command, sizeof command, "du -sb '%s' | cut -f1", path);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): a path of the test's own */
    ck_assert_ptr_nonnull(pipe);
    ck_assert_int_eq(fscanf(pipe, "%llu", &bytes), 1);
    ck_assert_int_eq(pclose(pipe), 0);
    return bytes;
}

/* What a step before wrote is in the logs, so that an archive of them would hold it again. */
START_TEST(archives_of_many_steps_do_not_hold_what_the_steps_before_wrote)
{
    enum { STEPS = 12, VALUE_BYTES = 4000 };
    const char *path = _i == 0 ? clean : not_closed;
    char archive[600], value[VALUE_BYTES + 1], name[16];
    uint64_t sizes[STEPS];
    copy_tree(path, work);
    memset(value, 'x', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    for (int i = 0; i < STEPS; i++) {
        snprintf(name, sizeof name, "%08d", i + 1);
        amend_with(path, value, name);
        snprintf(archive, sizeof archive, "%s/lost+found.d/%s", path, name);
        sizes[i] = bytes_below(archive);
    }
    /* One more log in each manifest. */
    ck_assert_uint_lt(sizes[STEPS - 1], sizes[1] + VALUE_BYTES);
    expect_no_problem(path);
    expect_rows(path, true, value);
    ck_ok(undo(path, "00000001"));
    ck_assert(same_tree(path, work, true));
}
END_TEST

START_TEST(steps_are_not_taken_back_once_the_store_was_written_to)
{
    struct verdict verdict;
    amend_with(clean, "first", "00000001");
    amend_with(clean, "second", "00000002");
    store_judge(clean, &verdict); /* opens it for writing */
    ck_fails(undo(clean, "00000002"), ESTALE);
    ck_fails(undo(clean, "00000001"), ESTALE);
    ck_fails(undo(clean, "1"), EINVAL);
    ck_fails(undo(clean, "00000003"), ENOENT);
    expect_rows(clean, true, "second");
}
END_TEST

START_TEST(nothing_is_written_to_a_store_that_has_a_problem)
{
    struct kv_batch *rows = make_rows(clean, "x");
    struct kv_batch *none = NULL;
    struct kv_admin_result result;
    ck_ok(kv_batch_create(&none));
    copy_tree(clean, work);
    ck_fails(amend(clean, none, &result), EINVAL);
    ck_assert(same_tree(clean, work, true));
    flip(clean, "ROOT", 40);
    copy_tree(clean, temp_dir_name(&dir, "flipped", not_closed));
    ck_fails(amend(clean, rows, &result), KV_EDAMAGED);
    ck_assert(same_tree(clean, not_closed, true));
    kv_batch_destroy(rows);
    kv_batch_destroy(none);
}
END_TEST

/* ---- rows that a repair left out ---- */

static void apply_damage(int code)
{
    size_t i = 0;
    while (i + 1 < damage_count && damages[i].code != code) {
        i++;
    }
    ck_assert_int_eq(damages[i].code, code);
    damages[i].apply(clean);
}

static bool is_unchecked(const char *path)
{
    struct opened opened = open_store(path, true);
    struct kv_identity identity;
    kv_identify(opened.store, &identity);
    ck_ok(kv_close(opened.store));
    return identity.rows_unchecked;
}

static int say_checked(const char *path, struct kv_admin_result *ret_result)
{
    struct kv_admin_options options = {.holder = "a test"};
    struct kv_storage *storage = store_storage(path);
    int r = kv_admin_rows_checked(storage, &options, ret_result);
    storage->ops->close(storage);
    return r;
}

/* As those do who would take what was left out for never written. */
static void expect_refused(const char *path)
{
    struct kv_options options = {.refuse_unchecked = true, .no_background = true};
    struct kv_storage *storage;
    struct kv_store *store = NULL;
    copy_tree(path, work);
    for (int i = 0; i < 2; i++) {
        storage = store_storage(path);
        ck_fails(kv_open(storage, &options, &store), KV_EDAMAGED);
        storage->ops->close(storage);
        options.read_only = true;
    }
    ck_assert(same_tree(path, work, true));
}

/* In between rows are amended and the store is opened. */
START_TEST(a_repair_that_leaves_rows_out_marks_the_store_until_they_are_checked)
{
    struct kv_admin_result result;
    struct verdict verdict;
    int codes[64];
    apply_damage(KV_PROBLEM_TABLE_BLOCK);
    ck_assert(!is_unchecked(clean));
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(!result.rows_unchecked);
    ck_assert_uint_eq(result.problems, result.repaired);
    ck_assert(is_unchecked(clean));
    expect_refused(clean);
    amend_with(clean, "mended", "00000002");
    ck_assert(is_unchecked(clean));
    store_judge(clean, &verdict);
    ck_assert(is_unchecked(clean));
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(result.rows_unchecked);
    ck_assert_uint_eq(result.problems, 0);
    ck_ok(say_checked(clean, &result));
    ck_assert_str_eq(result.archive, "00000003");
    ck_assert(!is_unchecked(clean));
    expect_rows(clean, false, "mended");
    expect_no_problem(clean);
    ck_ok(say_checked(clean, &result));
    ck_assert_str_eq(result.archive, "");
}
END_TEST

START_TEST(saying_that_rows_are_checked_is_taken_back_with_the_repair)
{
    struct kv_admin_result result;
    int codes[64];
    apply_damage(KV_PROBLEM_TABLE_BLOCK);
    copy_tree(clean, work);
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    amend_with(clean, "mended", "00000002");
    ck_ok(say_checked(clean, &result));
    ck_ok(undo(clean, "00000003"));
    ck_assert(is_unchecked(clean));
    ck_ok(say_checked(clean, &result));
    ck_assert(!is_unchecked(clean));
    ck_ok(undo(clean, "00000001"));
    ck_assert(same_tree(clean, work, true));
}
END_TEST

START_TEST(a_repair_that_leaves_no_row_out_does_not_mark_the_store)
{
    static const int safe[] = {KV_PROBLEM_TABLE_FILTER, KV_PROBLEM_ROOT_COPY_DAMAGED};
    struct kv_admin_result result;
    int codes[64];
    apply_damage(safe[_i]);
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_gt(result.repaired, 0);
    ck_assert(!is_unchecked(clean));
}
END_TEST

/* ---- a keyspace that was lost ---- */

static int add_keyspace(const char *path, const char *name, const char *found_as,
                        struct kv_admin_result *ret_result)
{
    struct kv_admin_options options = {.holder = "a test"};
    struct kv_table_options like = {.prefix_size = 4};
    struct kv_admin_keyspace keyspace = {name, &like, found_as};
    struct kv_storage *storage = store_storage(path);
    int r = kv_admin_add_keyspace(storage, &options, &keyspace, ret_result);
    storage->ops->close(storage);
    return r;
}

/* A row of a keyspace that is there; without `value` it has none. */
static void expect_row(const char *path, const char *keyspace, const char *key, const char *value)
{
    struct opened opened = open_store(path, true);
    struct kv_table *table = NULL;
    struct kv_pinned pinned;
    ck_ok(kv_table_open(opened.store, keyspace, NULL, &table));
    int r = kv_get(table, NULL, kv_slice_str(key), &pinned);
    ck_assert_int_eq(r, value == NULL ? -ENOENT : 0);
    if (r == 0) {
        ck_assert(kv_slice_equal(pinned.value, kv_slice_str(value)));
        kv_pinned_release(&pinned);
    }
    ck_ok(kv_close(opened.store));
}

/* Whoever opened it would take its rows for never written. */
START_TEST(a_keyspace_that_was_lost_is_there_again_without_rows_and_the_store_is_marked)
{
    const char *path = _i == 0 ? clean : not_closed;
    struct kv_admin_result result;
    struct kv_table *table = NULL;
    char before[512];
    copy_tree(path, temp_dir_name(&dir, "before", before));
    ck_ok(add_keyspace(path, "more", "", &result));
    ck_assert_str_eq(result.archive, "00000001");
    expect_no_problem(path);
    expect_refused(path);
    expect_row(path, "more", "a", NULL);
    ck_ok(undo(path, "00000001"));
    ck_assert(same_tree(path, before, true));
    ck_ok(add_keyspace(path, "more", "", &result));
    ck_ok(say_checked(path, &result));
    struct opened opened = open_store(path, false);
    ck_ok(kv_table_open(opened.store, "more", NULL, &table));
    ck_ok(kv_put(table, kv_slice_str("a"), kv_slice_str("b"), KV_DURABLE_WRITE));
    ck_ok(kv_close(opened.store));
    expect_row(path, "more", "a", "b");
    expect_no_problem(path);
}
END_TEST

START_TEST(what_logs_had_of_a_keyspace_gets_its_name_again)
{
    const char *path = _i == 0 ? clean : not_closed;
    struct kv_admin_result result;
    struct kv_table *table = NULL;
    struct kv_pinned pinned;
    struct kv_batch *rows = make_rows(path, "x");
    char before[512];
    ck_ok(amend(path, rows, &result)); /* they are in a log alone */
    kv_batch_destroy(rows);
    copy_tree(path, temp_dir_name(&dir, "before", before));
    ck_ok(add_keyspace(path, "named", "rows", &result));
    expect_no_problem(path);
    struct kv_options options = {.read_only = true, .no_background = true};
    struct kv_store *store = NULL;
    ck_ok(kv_open(store_storage(path), &options, &store));
    ck_fails(kv_table_open(store, "rows", NULL, &table), ENOENT);
    ck_ok(kv_table_open(store, "named", NULL, &table));
    ck_ok(kv_get(table, NULL, kv_slice_str("key00000"), &pinned));
    ck_assert(kv_slice_equal(pinned.value, kv_slice_str("x")));
    kv_pinned_release(&pinned);
    ck_fails(kv_get(table, NULL, kv_slice_str("key00630"), &pinned), KV_EDAMAGED);
    ck_ok(kv_close(store));
    ck_ok(undo(path, result.archive));
    ck_assert(same_tree(path, before, true));
}
END_TEST

static void put_row(const char *path, const char *keyspace, const char *key, const char *value)
{
    struct opened opened = open_store(path, false);
    struct kv_table *table = NULL;
    ck_ok(kv_table_open(opened.store, keyspace, NULL, &table));
    ck_ok(kv_put(table, kv_slice_str(key), kv_slice_str(value), KV_DURABLE_WRITE));
    ck_ok(kv_close(opened.store)); /* to a table */
}

static void remove_manifests(const char *path)
{
    char command[700];
    snprintf(command, sizeof command, "rm '%s'/*.manifest", path);
    ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c): a path of the test's own */
}

/* The older tables say of themselves whose rows they hold by the name that is gone. */
START_TEST(a_keyspace_that_got_its_name_again_keeps_its_tables_if_the_manifest_is_lost_again)
{
    struct kv_admin_result result;
    int codes[64];
    put_row(clean, "lost-7", "a", "old");
    put_row(clean, "lost-7", "b", "old");
    ck_ok(add_keyspace(clean, "named", "lost-7", &result));
    put_row(clean, "named", "b", "new");
    remove_manifests(clean);
    ck_ok(store_check(clean, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_eq(result.problems, result.repaired);
    expect_no_problem(clean);
    expect_row(clean, "named", "a", "old");
    expect_row(clean, "named", "b", "new");
}
END_TEST

START_TEST(a_keyspace_that_is_there_or_cannot_be_is_not_made)
{
    char longer[KV_TABLE_NAME_SIZE_MAX + 2];
    struct kv_admin_result result;
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    copy_tree(clean, work);
    ck_fails(add_keyspace(clean, "rows", "", &result), EEXIST);
    ck_fails(add_keyspace(clean, "more", "gone", &result), ENOENT);
    ck_fails(add_keyspace(clean, "", "", &result), EINVAL);
    ck_fails(add_keyspace(clean, longer, "", &result), EINVAL);
    ck_assert(same_tree(clean, work, true));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("amend");
    TCase *tcase = tcase_create("amend");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, rows_that_are_written_are_newer_than_all_others, 0, 2);
    tcase_add_loop_test(tcase, what_was_written_in_several_steps_is_taken_back_as_one, 0, 2);
    tcase_add_loop_test(tcase, archives_of_many_steps_do_not_hold_what_the_steps_before_wrote, 0,
                        2);
    tcase_add_test(tcase, steps_are_not_taken_back_once_the_store_was_written_to);
    tcase_add_test(tcase, nothing_is_written_to_a_store_that_has_a_problem);
    tcase_add_test(tcase, a_repair_that_leaves_rows_out_marks_the_store_until_they_are_checked);
    tcase_add_test(tcase, saying_that_rows_are_checked_is_taken_back_with_the_repair);
    tcase_add_loop_test(tcase, a_repair_that_leaves_no_row_out_does_not_mark_the_store, 0, 2);
    tcase_add_loop_test(
        tcase, a_keyspace_that_was_lost_is_there_again_without_rows_and_the_store_is_marked, 0, 2);
    tcase_add_loop_test(tcase, what_logs_had_of_a_keyspace_gets_its_name_again, 0, 2);
    tcase_add_test(
        tcase, a_keyspace_that_got_its_name_again_keeps_its_tables_if_the_manifest_is_lost_again);
    tcase_add_test(tcase, a_keyspace_that_is_there_or_cannot_be_is_not_made);
    suite_add_tcase(suite, tcase);
    return suite;
}
