/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that were not closed, with a manifest that ends at an earlier edit than it did: a case for
 * each thing that may follow it, and for what only looks like it. test_rebuild.c has random ones.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

enum { KEYS = 100, GONE = 0, UNREADABLE = -1, TABLES_MAX = 64, FILE_BYTES = 2048 };

struct fixture {
    struct temp_dir dir;
    char path[512], image[512];
    struct kv_store *store; /* NULL: closed */
    struct kv_table *table;
    off_t end; /* of the manifest, from which on it is lost */
};

static struct fixture f;

static const struct kv_options options = {.create = true,
                                          .file_bytes = FILE_BYTES,
                                          .blob_commit_bytes = 1 << 20,
                                          .blob_flush_bytes = 1 << 20,
                                          .no_background = true};

static void setup(void)
{
    struct kv_storage *storage = NULL;
    f = (struct fixture){.end = 0};
    temp_dir_make(&f.dir);
    temp_dir_name(&f.dir, "store", f.path);
    temp_dir_name(&f.dir, "image", f.image);
    ck_ok(kv_storage_posix_open(f.path, true, &storage));
    ck_ok(kv_open(storage, &options, &f.store));
    ck_ok(kv_table_open(f.store, "one", NULL, &f.table));
}

static void teardown(void)
{
    temp_dir_remove(&f.dir);
}

/* ---- rows ---- */

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "k%04u", i));
}

static struct kv_slice value_of(unsigned i, int version, char to[64])
{
    return kv_slice(to,
                    (size_t)snprintf(to, 64, "%d of key %u with a tail of some bytes", version, i));
}

static void put_to(struct kv_table *table, unsigned from, unsigned to, unsigned step, int version)
{
    char key[16], value[64];
    for (unsigned i = from; i < to; i += step) {
        ck_ok(kv_put(table, key_of(i, key), value_of(i, version, value), KV_DURABLE_WRITE));
    }
}

static void put(unsigned from, unsigned to, int version)
{
    put_to(f.table, from, to, 1, version);
}

/* Every other key, so that a merge has something to drop. */
static void delete_even(unsigned to)
{
    char key[16];
    for (unsigned i = 0; i < to; i += 2) {
        ck_ok(kv_delete(f.table, key_of(i, key), KV_DURABLE_WRITE));
    }
}

static int version_in(struct kv_table *table, unsigned i)
{
    char key[16], value[64];
    struct kv_pinned pinned = {0};
    int version, r = kv_get(table, NULL, key_of(i, key), &pinned);
    if (r == -ENOENT || r == -KV_EDAMAGED) {
        return r == -ENOENT ? GONE : UNREADABLE;
    }
    ck_ok(r);
    version = (int)strtol((const char *)pinned.value.data, NULL, 10);
    ck_assert(kv_slice_equal(pinned.value, value_of(i, version, value)));
    kv_pinned_release(&pinned);
    return version;
}

/* ---- files ---- */

static off_t manifest_size(const char *path)
{
    char pattern[600];
    struct stat st;
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/*.manifest", path);
    ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
    ck_assert_uint_eq(found.gl_pathc, 1);
    ck_assert(stat(found.gl_pathv[0], &st) == 0);
    globfree(&found);
    return st.st_size;
}

/* What is said from now on is lost. */
static void lose_from_here(void)
{
    f.end = manifest_size(f.path);
}

/* Numbers of the tables that are there, ascending. */
static unsigned list_tables(const char *path, unsigned numbers[TABLES_MAX])
{
    char name[600];
    unsigned count = 0;
    for (unsigned n = 1; n < 1000; n++) {
        snprintf(name, sizeof name, "%s/%08u.table", path, n);
        if (access(name, F_OK) == 0) {
            ck_assert_uint_lt(count, TABLES_MAX);
            numbers[count++] = n;
        }
    }
    return count;
}

static void remove_table(const char *path, unsigned number)
{
    char name[600];
    snprintf(name, sizeof name, "%s/%08u.table", path, number);
    ck_assert(unlink(name) == 0);
}

static void copy_table(const char *from, const char *to, unsigned number)
{
    char command[1400];
    snprintf(command, sizeof command, "cp %s/%08u.table %s/", from, number, to);
    ck_assert_int_eq(system(command), 0);
}

/* The process is killed while these read, and the end of the manifest is lost. */
static void crash_while_reading(struct kv_iter *one, struct kv_iter *other)
{
    char pattern[600];
    glob_t found;

    copy_tree(f.path, f.image);
    kv_iter_destroy(one);
    kv_iter_destroy(other);
    ck_ok(kv_close(f.store));
    f.store = NULL;
    snprintf(pattern, sizeof pattern, "%s/*.manifest", f.image);
    ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
    ck_assert(f.end == 0 || truncate(found.gl_pathv[0], f.end) == 0);
    globfree(&found);
}

static void crash(void)
{
    crash_while_reading(NULL, NULL);
}

/* ---- judging ---- */

/* Repairs, after it was taken back once. Returns whether `code` was told. */
static bool repair(int code)
{
    struct kv_admin_result result;
    char before[512];
    struct kv_storage *storage;
    int codes[64];
    bool told;

    copy_tree(f.image, temp_dir_name(&f.dir, "before", before));
    ck_ok(store_check(f.image, KV_ADMIN_REPAIR, false, codes, &result));
    told = has_code(codes, code);
    if (result.archive[0] != '\0') {
        storage = store_storage(f.image);
        ck_ok(kv_admin_undo(storage, result.archive));
        storage->ops->close(storage);
        ck_assert(same_tree(f.image, before, true));
        ck_ok(store_check(f.image, KV_ADMIN_REPAIR, false, codes, &result));
    }
    ck_assert_uint_eq(result.repaired, result.problems);
    ck_ok(store_check(f.image, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    return told;
}

static struct kv_store *open_image(void)
{
    struct kv_options with = options;
    struct kv_store *store = NULL;
    with.create = false;
    ck_ok(kv_open(store_storage(f.image), &with, &store));
    return store;
}

/* `wanted` of a key. */
static void expect(int (*wanted)(unsigned key))
{
    struct kv_store *store = open_image();
    struct kv_table *table = NULL;
    ck_ok(kv_table_open(store, "one", NULL, &table));
    for (unsigned i = 0; i < KEYS; i++) {
        int version = version_in(table, i);
        ck_assert_msg(version == wanted(i), "key %u is of version %d", i, version);
    }
    ck_ok(kv_close(store));
}

static int take_text(void *arg, const struct kv_problem *problem)
{
    char *text = arg;
    if (problem->kind->code == KV_PROBLEM_MANIFEST_SHORT) {
        snprintf(text, 512, "%s", problem->text);
    }
    return 0;
}

/* What is told of the manifest has these words. */
static void expect_told(const char *words)
{
    char text[512] = "";
    const struct kv_admin_options with = {
        .mode = KV_ADMIN_REPORT, .problem_fn = take_text, .arg = text};
    struct kv_admin_result result;
    struct kv_storage *storage = store_storage(f.image);
    ck_ok(kv_admin_check(storage, &with, &result));
    storage->ops->close(storage);
    ck_assert_msg(strstr(text, words) != NULL, "told is: %s", text);
}

/* ---- flushes ---- */

static int after_flush(unsigned key)
{
    return key < 20 ? 3 : key < 60 ? 2 : 1;
}

/* The log of the last one is there until it is used again. */
static void make_two_flushes(void)
{
    put(0, KEYS, 1);
    ck_ok(kv_flush(f.store));
    lose_from_here();
    put(0, 60, 2);
    ck_ok(kv_flush(f.store));
    put(0, 20, 3);
    ck_ok(kv_flush(f.store));
}

START_TEST(a_flush_whose_log_is_there_is_no_lost_edit)
{
    put(0, KEYS, 1);
    ck_ok(kv_flush(f.store));
    lose_from_here();
    put(0, 60, 2);
    ck_ok(kv_flush(f.store));
    put(0, 20, 3);
    crash();
    ck_assert(!repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(after_flush);
}
END_TEST

START_TEST(a_flush_is_found_again)
{
    make_two_flushes();
    crash();
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(after_flush);
}
END_TEST

START_TEST(two_flushes_are_found_again)
{
    make_two_flushes();
    put(0, 10, 4);
    ck_ok(kv_flush(f.store));
    put(0, 10, 3);
    crash();
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(after_flush);
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
    unsigned tables[TABLES_MAX];
    make_two_flushes();
    put(20, 30, 4);
    crash();
    ck_assert_uint_eq(list_tables(f.image, tables), 3);
    remove_table(f.image, tables[1]);
    ck_assert(repair(KV_PROBLEM_LOG_MISSING));
    expect(before_all);
}
END_TEST

/* The log of the first flush was kept to be used again, but its end is damaged. */
START_TEST(a_flush_counts_in_the_place_of_its_damaged_log)
{
    char name[600];
    glob_t found;

    make_two_flushes();
    put(0, 5, 3);
    ck_ok(kv_sync(f.store));
    put(0, 1, 3); /* says that the sync was */
    crash();
    snprintf(name, sizeof name, "%s/*.log", f.image);
    ck_assert_int_eq(glob(name, 0, NULL, &found), 0);
    ck_assert_uint_eq(found.gl_pathc, 2);
    ck_assert(truncate(found.gl_pathv[0], 200) == 0);
    globfree(&found);
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(after_flush);
}
END_TEST

/* ---- merges ---- */

static int after_deletes(unsigned key)
{
    return key < 60 && key % 2 == 0 ? GONE : 1;
}

static void make_merge(bool lose_flush)
{
    put(0, KEYS, 1);
    ck_ok(kv_compact(f.store));
    if (lose_flush) {
        lose_from_here();
    }
    delete_even(60);
    ck_ok(kv_flush(f.store));
    if (!lose_flush) {
        lose_from_here();
    }
    ck_ok(kv_compact(f.store));
}

/* With its inputs in the state, and with one that came and went behind the manifest's end. */
START_TEST(a_merge_is_found_again)
{
    make_merge(_i == 1);
    crash();
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(after_deletes);
}
END_TEST

static int two_merges(unsigned key)
{
    return key >= 80 ? 4 : key < 60 && key % 2 == 0 ? GONE : 1;
}

START_TEST(what_was_merged_on_is_found_again)
{
    make_merge(true);
    put(80, KEYS, 3);
    ck_ok(kv_compact(f.store));
    put(80, KEYS, 4);
    ck_ok(kv_flush(f.store));
    crash();
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(two_merges);
}
END_TEST

/* All outputs are there, and so are all inputs: no edit need have been lost. */
START_TEST(a_merge_that_may_not_have_been_installed_is_no_lost_edit)
{
    unsigned before[TABLES_MAX], after[TABLES_MAX];
    unsigned count_before, count;
    struct kv_admin_result result;
    int codes[64];

    put(0, KEYS, 1);
    ck_ok(kv_compact(f.store));
    delete_even(60);
    ck_ok(kv_flush(f.store));
    copy_tree(f.path, f.image);
    count_before = list_tables(f.image, before);
    ck_ok(kv_compact(f.store));
    count = list_tables(f.path, after);
    for (unsigned i = 0; i < count; i++) {
        if (after[i] > before[count_before - 1]) {
            copy_table(f.path, f.image, after[i]);
        }
    }
    ck_ok(kv_close(f.store));
    ck_ok(store_check(f.image, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    expect(after_deletes);
}
END_TEST

/* Keys 0 to 59 were merged on behind the end of the manifest, keys 60 to 99 were not touched. */
static void make_chain_of(bool with_range_delete)
{
    char from[16], to[16];
    put(0, 60, 1);
    ck_ok(kv_compact(f.store));
    put(60, KEYS, 1);
    delete_even(60);
    ck_ok(kv_flush(f.store));
    ck_ok(kv_compact(f.store));
    if (with_range_delete) {
        ck_ok(kv_delete_range(f.table, key_of(0, from), key_of(10, to), KV_DURABLE_WRITE));
        ck_ok(kv_flush(f.store));
    }
    lose_from_here();
    for (int version = 2; version < 4; version++) {
        put(0, 20, version);
        ck_ok(kv_flush(f.store));
        ck_ok(kv_compact_range(f.table, key_of(0, from), key_of(20, to)));
    }
}

static void make_chain(void)
{
    make_chain_of(false);
}

static int before_chain(unsigned key)
{
    return key < 60 && key % 2 == 0 ? GONE : 1;
}

static int after_chain(unsigned key)
{
    return key < 20 ? 3 : key < 60 && key % 2 == 0 ? GONE : 1;
}

/* How many keys are as they were; none of the others shows what it was before. */
static unsigned count_right(int (*wanted)(unsigned key))
{
    struct kv_store *store = open_image();
    struct kv_table *table = NULL;
    unsigned right = 0;
    ck_ok(kv_table_open(store, "one", NULL, &table));
    for (unsigned i = 0; i < KEYS; i++) {
        int version = version_in(table, i);
        ck_assert_msg(version == wanted(i) || version <= GONE, "key %u is of version %d", i,
                      version);
        right += version == wanted(i);
    }
    ck_ok(kv_close(store));
    return right;
}

/* The rows of that output are lost, which is told; none is what it was before. */
START_TEST(a_merge_of_which_an_output_is_lost_brings_nothing_back)
{
    unsigned tables[TABLES_MAX];

    make_merge(false);
    crash();
    ck_assert_uint_ge(list_tables(f.image, tables), 2);
    remove_table(f.image, tables[0]);
    expect_told("is lost: the store goes back");
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    ck_assert_uint_ge(count_right(after_deletes), 30);
}
END_TEST

START_TEST(what_was_not_merged_on_is_kept_beside_it)
{
    make_chain();
    crash();
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(after_chain);
}
END_TEST

/* No merge can have taken it in: where its deletes are gone nothing may be decided without them. */
START_TEST(a_table_that_is_lost_as_well_is_told)
{
    unsigned tables[TABLES_MAX];
    make_chain();
    crash();
    ck_assert_uint_ge(list_tables(f.image, tables), 2);
    remove_table(f.image, tables[0]);
    expect_told("is lost: the store goes back");
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    count_right(after_chain);
}
END_TEST

/* What a damaged table hid is not known. Nothing is silently left as it is. */
START_TEST(a_table_that_is_damaged_as_well_is_told)
{
    unsigned tables[TABLES_MAX];
    char name[64];
    make_chain_of(_i == 1); /* also where a range delete is missing */
    crash();
    ck_assert_uint_ge(list_tables(f.image, tables), 2);
    snprintf(name, sizeof name, "%08u.table", tables[0]);
    flip(f.image, name, 60);
    expect_told("another table is damaged: the store goes back");
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    count_right(before_chain);
}
END_TEST

/* The flushes behind it are: rows would be missing in the middle. */
START_TEST(a_flush_that_no_merge_can_have_taken_in_is_told)
{
    unsigned tables[TABLES_MAX], count;

    make_chain();
    for (int version = 4; version < 7; version++) {
        put(0, 20, version);
        ck_ok(kv_flush(f.store));
    }
    crash();
    count = list_tables(f.image, tables);
    remove_table(f.image, tables[count - 3]);
    expect_told("held is lost: the store goes back");
    ck_assert(repair(KV_PROBLEM_LOG_MISSING));
}
END_TEST

START_TEST(a_table_that_does_not_say_what_it_is_is_told)
{
    unsigned tables[TABLES_MAX], count;
    char name[600];

    make_chain();
    crash();
    count = list_tables(f.image, tables);
    snprintf(name, sizeof name, "%s/%08u.table", f.image, tables[count - 1]);
    ck_assert(truncate(name, 200) == 0);
    expect_told("a table does not say what it is: the store goes back");
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
}
END_TEST

/* Readers keep what was replaced, before the end of the manifest and behind it. */
START_TEST(tables_that_readers_keep_do_not_come_back)
{
    struct kv_iter *before = NULL, *after = NULL;
    put(0, KEYS, 1);
    ck_ok(kv_compact(f.store));
    ck_ok(kv_iter_create(f.table, NULL, &before));
    delete_even(60);
    ck_ok(kv_compact(f.store));
    lose_from_here();
    put(80, KEYS, 3);
    ck_ok(kv_compact(f.store));
    ck_ok(kv_iter_create(f.table, NULL, &after));
    put(80, KEYS, 4);
    ck_ok(kv_compact(f.store));
    crash_while_reading(before, after);
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(two_merges);
}
END_TEST

static int nothing(unsigned key)
{
    (void)key;
    return GONE;
}

/* A reader keeps a table that was merged to nothing, so that no other table names it. */
START_TEST(what_the_manifest_says_to_be_gone_stays_so)
{
    struct kv_iter *reader = NULL;
    struct kv_table *two = NULL;
    char from[16], to[16];

    put(0, KEYS, 1);
    ck_ok(kv_compact(f.store));
    ck_ok(kv_iter_create(f.table, NULL, &reader));
    ck_ok(kv_delete_range(f.table, key_of(0, from), key_of(KEYS, to), KV_DURABLE_WRITE));
    ck_ok(kv_compact(f.store));
    ck_ok(kv_table_open(f.store, "two", NULL, &two));
    lose_from_here();
    for (int version = 1; version < 4; version++) {
        put_to(two, 0, 10, 1, version);
        ck_ok(kv_flush(f.store));
    }
    crash_while_reading(reader, NULL);
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(nothing);
}
END_TEST

/* A merge was given up, and its inputs were merged again before the manifest's end. */
START_TEST(outputs_of_a_merge_that_was_given_up_are_no_lost_edit)
{
    unsigned before[TABLES_MAX], after[TABLES_MAX];
    unsigned count_before, count;
    struct kv_admin_result result;
    int codes[64];
    char again[512];

    put(0, KEYS, 1);
    ck_ok(kv_compact(f.store));
    delete_even(60);
    ck_ok(kv_flush(f.store));
    copy_tree(f.path, temp_dir_name(&f.dir, "again", again));
    count_before = list_tables(again, before);
    ck_ok(kv_compact(f.store));
    count = list_tables(f.path, after);
    for (unsigned i = 0; i < count; i++) { /* so that their numbers are not given again */
        copy_table(f.path, again, after[i]);
    }
    ck_ok(kv_close(f.store));
    ck_ok(kv_open(store_storage(again), &options, &f.store));
    ck_ok(kv_table_open(f.store, "one", NULL, &f.table));
    ck_ok(kv_compact(f.store));
    copy_tree(again, f.image);
    ck_ok(kv_close(f.store));
    for (unsigned i = 0; i < count; i++) {
        if (after[i] > before[count_before - 1]) {
            copy_table(f.path, f.image, after[i]);
        }
    }
    ck_ok(store_check(f.image, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    if (_i == 1) { /* a lost table is nothing but that */
        ck_assert_uint_gt(list_tables(f.image, before), count);
        remove_table(f.image, before[count]);
        ck_ok(store_check(f.image, KV_ADMIN_REPORT, true, codes, &result));
        ck_assert(has_code(codes, KV_PROBLEM_TABLE_MISSING));
        ck_assert(!has_code(codes, KV_PROBLEM_MANIFEST_SHORT));
        return;
    }
    expect(after_deletes);
}
END_TEST

/* What a repair, which was cut short, could read of a table that is gone since. */
START_TEST(a_table_of_a_repair_is_no_lost_merge)
{
    unsigned before[TABLES_MAX], after[TABLES_MAX];
    struct kv_admin_result result;
    char second[512], name[64];
    unsigned count;
    int codes[64];

    put(0, 1000, 1); /* more than one block */
    ck_ok(kv_flush(f.store));
    crash();
    ck_assert_uint_eq(list_tables(f.image, before), 1);
    copy_tree(f.image, temp_dir_name(&f.dir, "second", second));
    snprintf(name, sizeof name, "%08u.table", before[0]);
    flip(second, name, 60);
    ck_ok(store_check(second, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_TABLE_BLOCK));
    count = list_tables(second, after);
    ck_assert_uint_eq(count, 1);
    copy_table(second, f.image, after[0]);
    remove_table(f.image, before[0]);
    ck_assert(repair(KV_PROBLEM_TABLE_MISSING));
}
END_TEST

/* ---- keyspaces and snapshots ---- */

/* The name of one that no table has rows of is lost. */
START_TEST(keyspaces_that_lost_edits_added_come_back)
{
    struct kv_store *store;
    struct kv_table *two = NULL, *three = NULL;

    put(0, KEYS, 1);
    ck_ok(kv_flush(f.store));
    lose_from_here();
    ck_ok(kv_table_open(f.store, "two", NULL, &two));
    put_to(two, 0, 50, 1, 2);
    if (_i == 0) {
        ck_ok(kv_flush(f.store));
    }
    ck_ok(kv_table_open(f.store, "three", NULL, &three));
    put_to(three, 0, 50, 1, 3);
    put_to(two, 0, 25, 1, 4);
    crash();
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    expect(before_all);
    store = open_image();
    ck_ok(kv_table_open(store, _i == 0 ? "two" : "lost-2", NULL, &two));
    ck_ok(kv_table_open(store, "lost-3", NULL, &three));
    for (unsigned i = 0; i < 50; i++) {
        ck_assert_int_eq(version_in(two, i), i < 25 ? 4 : 2);
        ck_assert_int_eq(version_in(three, i), 3);
    }
    ck_ok(kv_close(store));
}
END_TEST

/* It may have been dropped, and then a merge need not have kept what it sees. */
START_TEST(named_snapshots_go_with_lost_edits)
{
    struct kv_snapshot *snapshot = NULL;
    struct kv_store *store;

    put(0, KEYS, 1);
    ck_ok(kv_flush(f.store));
    ck_ok(kv_named_snapshot_create(f.store, "before"));
    lose_from_here();
    ck_ok(kv_named_snapshot_drop(f.store, "before"));
    put(0, 60, 2);
    ck_ok(kv_flush(f.store));
    put(0, 20, 3);
    ck_ok(kv_flush(f.store));
    crash();
    ck_assert(repair(KV_PROBLEM_MANIFEST_SHORT));
    store = open_image();
    ck_fails(kv_named_snapshot_open(store, "before", &snapshot), ENOENT);
    ck_ok(kv_close(store));
    expect(after_flush);
}
END_TEST

/* Nothing is missing: of a store that was closed the root record says where the manifest ends, and
 * one that was not is told of only where tables or logs say more. */
START_TEST(a_store_that_lost_nothing_is_not_told_of)
{
    struct kv_admin_result result;
    int codes[64];

    make_two_flushes();
    put(20, 30, 4);
    f.end = 0;
    crash();
    ck_ok(store_check(_i == 0 ? f.image : f.path, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("short");
    TCase *tcase = tcase_create("short");
    tcase_add_checked_fixture(tcase, setup, teardown);
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
