/* SPDX-License-Identifier: Apache-2.0 */
/* The part of fsck that looks at the rows, without the command: what it takes for lost that it does
 * not know, and when it takes the mark away of a repair that left rows out. */
#include <kv/admin.h>

#include "fs/core/key.h"
#include "kvcore/util/coding.h"
#include "tests/lib/check_main.h"
#include "tests/lib/temp_dir.h"
#include "tools/fsck_rows.h"
#include "tools/store_open.h"
#include "tools/store_url.h"

/* ---- in the place of the command ---- */

int fsck_report_problem(void *arg, const struct kv_problem *problem)
{
    return 0;
}

int fsck_report_walk(void *arg, uint64_t ino, uint64_t ino_end)
{
    return 0;
}

void fsck_report_fault(struct fsck_report *report, int code, const char *text, bool will_repair)
{
    printf("# %d: %s\n", code, text);
}

int fsck_report_lost(void *arg, const struct kvfs_lost_range *range)
{
    return 0;
}

int store_storage_open(const char *path, bool create, struct kv_storage **ret_storage)
{
    return kv_storage_posix_open(path, create, ret_storage);
}

int store_open_plain(const char *path, const struct kvfs_options *options, struct kvfs **ret_fs)
{
    return kvfs_open(path, options, ret_fs);
}

/* ---- stores ---- */

static struct temp_dir dir;
static char path[512];

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "store", path);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

static struct kv_storage *storage_of(bool create)
{
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_posix_open(path, create, &storage));
    return storage;
}

/* Keyspaces, of which the last gets the schema of a filesystem that a newer version made. */
static void make_store(const char *const names[], size_t count)
{
    const struct kv_options options = {.create = true, .no_background = true};
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct rowkey key;
    uint8_t schema[4];
    ck_ok(kv_open(storage_of(true), &options, &store));
    for (size_t i = 0; i < count; i++) {
        ck_ok(kv_table_open(store, names[i], NULL, &table));
    }
    coding_put_u32(schema, FORMAT_SCHEMA_INDEX + 1);
    rowkey_fact(&key, FORMAT_FACT_SCHEMA);
    ck_ok(kv_put(table, rowkey_slice(&key), kv_slice(schema, sizeof schema), KV_DURABLE_WRITE));
    ck_ok(kv_close(store));
}

/* As any repair marks it that leaves rows out. */
static void mark(void)
{
    const struct kv_admin_options options = {.holder = "a test"};
    const struct kv_table_options like = {.prefix_size = 0};
    const struct kv_admin_keyspace keyspace = {"other", &like, ""};
    struct kv_admin_result result;
    struct kv_storage *storage = storage_of(false);
    ck_ok(kv_admin_add_keyspace(storage, &options, &keyspace, &result));
    storage->ops->close(storage);
}

static bool is_marked(void)
{
    const struct kv_options options = {.read_only = true, .no_background = true};
    struct kv_identity identity;
    struct kv_store *store = NULL;
    ck_ok(kv_open(storage_of(false), &options, &store));
    kv_identify(store, &identity);
    ck_ok(kv_close(store));
    return identity.rows_unchecked;
}

/* The part of `fsck -y` that follows the engine's. Returns how many problems are left. */
static uint64_t repair_rows(void)
{
    struct fsck_report report = {.store = path};
    struct kv_admin_result result = {.rows_unchecked = true};
    struct fsck_rows rows = {
        .path = path, .mode = KV_ADMIN_REPAIR, .report = &report, .result = &result};
    ck_ok(fsck_rows_run(&rows));
    /* Nobody knows what the repair before this one left out. */
    ck_assert(rows.lost.data.anywhere && rows.lost.meta.anywhere);
    fsck_rows_finish(&rows);
    return result.problems - result.repaired;
}

/* Whether rows of file data may be missing anywhere once this was told. */
static bool is_lost_anywhere(int code)
{
    struct fsck_rows rows = {.path = path};
    const struct kv_problem problem = {.kind = kv_problem_kind(code), .will_repair = true};
    ck_ok(fsck_rows_take(&rows, &problem));
    ck_assert_uint_eq(rows.lost.data.count + rows.lost.meta.count, 0);
    ck_assert_int_eq(rows.lost.data.anywhere, rows.lost.meta.anywhere);
    return rows.lost.data.anywhere;
}

START_TEST(tables_may_be_missing_that_a_new_manifest_does_not_know_of)
{
    ck_assert(is_lost_anywhere(KV_PROBLEM_MANIFEST_MISSING));
    ck_assert(is_lost_anywhere(KV_PROBLEM_MANIFEST_DAMAGED));
    ck_assert(is_lost_anywhere(KV_PROBLEM_MANIFEST_SENSELESS));
    ck_assert(is_lost_anywhere(KV_PROBLEM_MANIFEST_SHORT));
    ck_assert(is_lost_anywhere(KV_PROBLEM_MANIFEST_HEAD));
    ck_assert(is_lost_anywhere(KV_PROBLEM_FILE_UNREADABLE));
    ck_assert(!is_lost_anywhere(KV_PROBLEM_MANIFEST_TORN));
    ck_assert(!is_lost_anywhere(KV_PROBLEM_SNAPSHOT_AHEAD));
    ck_assert(!is_lost_anywhere(KV_PROBLEM_LOG_DAMAGED)); /* what is kept is all there was once */
}
END_TEST

/* How many ranges of keys are noted of data, and ten times that of the other table. */
static size_t count_lost_keys(const char *table)
{
    struct fsck_rows rows = {.path = path};
    const struct kv_problem problem = {.kind = kv_problem_kind(KV_PROBLEM_TABLE_MISSING),
                                       .table = table,
                                       .from = kv_slice_str("A"),
                                       .to = kv_slice_str("M"),
                                       .will_repair = true};
    ck_ok(fsck_rows_take(&rows, &problem));
    ck_assert(!rows.lost.data.anywhere && !rows.lost.meta.anywhere);
    size_t count = rows.lost.data.count + 10 * rows.lost.meta.count;
    fsck_rows_finish(&rows);
    return count;
}

START_TEST(lost_keys_are_noted_of_the_table_they_are_of)
{
    ck_assert_uint_eq(count_lost_keys("data"), 1);
    ck_assert_uint_eq(count_lost_keys("meta"), 10);
    ck_assert_uint_eq(count_lost_keys(NULL), 11);
    ck_assert_uint_eq(count_lost_keys("other"), 0);
}
END_TEST

START_TEST(the_mark_stays_where_files_may_be_that_this_version_cannot_read)
{
    static const char *const names[][2] = {
        {"data", "meta"}, {"rows", "lost-2"}, {"lost-1", "rows"}};
    make_store(names[_i], 2);
    mark();
    ck_assert(is_marked());
    ck_assert_uint_gt(repair_rows(), 0);
    ck_assert(is_marked());
}
END_TEST

START_TEST(the_mark_is_taken_away_where_there_are_no_files)
{
    static const char *const names[] = {"rows"};
    make_store(names, 1);
    mark();
    ck_assert(is_marked());
    ck_assert_uint_eq(repair_rows(), 0);
    ck_assert(!is_marked());
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fsck_mark");
    TCase *tcase = tcase_create("fsck_mark");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, tables_may_be_missing_that_a_new_manifest_does_not_know_of);
    tcase_add_test(tcase, lost_keys_are_noted_of_the_table_they_are_of);
    tcase_add_loop_test(tcase, the_mark_stays_where_files_may_be_that_this_version_cannot_read, 0,
                        3);
    tcase_add_test(tcase, the_mark_is_taken_away_where_there_are_no_files);
    suite_add_tcase(suite, tcase);
    return suite;
}
