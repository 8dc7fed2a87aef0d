/* SPDX-License-Identifier: Apache-2.0 */
/* Followers of a store that is put back to an older state, by taking a repair back or from a copy,
 * and then written to again: the same numbers mean other files then. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/admin/admin_store.h"
#include "tests/lib/temp_dir.h"

static struct temp_dir dir;
static char path[512], copy[512];

struct follower {
    struct kv_store *store;
    struct kv_table *table;
};

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "clean", path);
    temp_dir_name(&dir, "copy", copy);
    store_make_both(dir.path);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

static struct follower follow(void)
{
    struct follower f;
    f.store = store_open(path, true, &f.table);
    return f;
}

static void expect(const struct follower *f, int version, const struct verdict *wanted)
{
    struct verdict verdict;
    store_judge_table(f->table, version, &verdict);
    ck_assert_uint_eq(verdict.right, wanted->right);
    ck_assert_uint_eq(verdict.lost, wanted->lost);
    ck_assert_uint_eq(verdict.unreadable, wanted->unreadable);
    ck_assert_uint_eq(verdict.stale, wanted->stale);
}

static const struct verdict all_right = {.right = STORE_KEYS};

/* ---- a repair ---------------------------------------------------------------------------------
 */

static void repair(char ret_archive[32])
{
    struct kv_admin_result result;
    int codes[64];
    ck_ok(store_check(path, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_gt(result.repaired, 0);
    snprintf(ret_archive, 32, "%s", result.archive);
}

static void take_back(const char *archive)
{
    struct kv_storage *storage = store_storage(path);
    ck_ok(kv_admin_undo(storage, archive));
    storage->ops->close(storage);
}

static void count_table(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    uint64_t *tables = arg;
    *tables += id.kind == KV_FILE_TABLE;
    (void)size_bytes;
}

/* After an opening for writing: tables that are not the store's. */
static uint64_t count_leftovers(void)
{
    struct kv_table *table = NULL;
    struct kv_store *store = store_open(path, false, &table);
    struct kv_storage *storage = kv_storage_of(store);
    struct kv_stats stats;
    uint64_t tables = 0;
    ck_ok(storage->ops->list(storage, count_table, &tables));
    kv_stats(store, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        tables -= stats.levels[level].files;
    }
    ck_ok(kv_close(store));
    return tables;
}

/* Nothing is read before the store was written to again. */
START_TEST(who_follows_a_repaired_store_reads_it_on_when_the_repair_is_taken_back)
{
    struct verdict repaired;
    char archive[32];
    find_damage("a damaged block of newer rows")->apply(path);
    repair(archive);
    copy_tree(path, copy);
    store_judge(copy, &repaired);
    ck_assert_uint_gt(repaired.lost + repaired.unreadable, 0);
    struct follower looks = follow();
    struct follower sleeps = follow();

    take_back(archive);
    ck_fails(kv_refresh(looks.store), ESTALE);
    store_write_again(path, 7, 2);
    expect(&looks, 0, &repaired);
    expect(&sleeps, 0, &repaired);
    ck_fails(kv_refresh(looks.store), ESTALE);
    expect(&looks, 0, &repaired);
    ck_ok(kv_refresh(sleeps.store));
    expect(&sleeps, 7, &all_right);
    ck_ok(kv_close(sleeps.store));
    ck_assert_uint_eq(count_leftovers(), 1);
    ck_ok(kv_close(looks.store));
    ck_assert_uint_eq(count_leftovers(), 0);
}
END_TEST

/* ---- a copy -----------------------------------------------------------------------------------
 */

/* As a program would that restores a directory. */
static void restore(void)
{
    char name[512 + 256];
    DIR *stream = opendir(path);
    const struct dirent *entry;
    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "LOCK") != 0) {
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            ck_assert_int_eq(unlink(name), 0);
        }
    }
    closedir(stream);
    copy_files(copy, path);
}

START_TEST(who_follows_a_store_does_not_go_on_when_an_older_copy_was_put_back)
{
    copy_tree(path, copy);
    store_write_again(path, 2, 1);
    struct follower looks = follow();
    struct follower sleeps = follow();
    expect(&looks, 2, &all_right);
    expect(&sleeps, 2, &all_right);

    restore();
    ck_fails(kv_refresh(looks.store), ESTALE);
    store_write_again(path, 3, 2); /* the manifest of the same number, and more in it */
    ck_fails(kv_refresh(looks.store), ESTALE);
    ck_fails(kv_refresh(sleeps.store), ESTALE);
    expect(&looks, 2, &all_right);
    expect(&sleeps, 2, &all_right);
    store_write_again(path, 4, 1); /* a later manifest */
    ck_fails(kv_refresh(looks.store), ESTALE);
    ck_fails(kv_refresh(sleeps.store), ESTALE);
    expect(&looks, 2, &all_right);
    expect(&sleeps, 2, &all_right);
    ck_ok(kv_close(looks.store));
    ck_ok(kv_close(sleeps.store));
}
END_TEST

/* Who follows what was written after a copy was made, which then takes its place. */
static struct follower follow_and_restore(void)
{
    copy_tree(path, copy);
    store_write_again(path, 2, 1);
    struct follower follower = follow();
    expect(&follower, 2, &all_right);
    restore();
    return follower;
}

/* All of its tables have numbers that no table of the copy has, and none that is followed: what
 * tells it from a later state of the one that was followed is the manifest itself. */
START_TEST(a_manifest_is_not_taken_for_another_one_of_its_number)
{
    struct follower sleeps = follow_and_restore();

    store_write_again_compacted(path, 3, 4);
    ck_fails(kv_refresh(sleeps.store), ESTALE);
    expect(&sleeps, 2, &all_right);
    ck_ok(kv_close(sleeps.store));
}
END_TEST

/* Two openings, so that the manifest is a later one, and not looked at in between. */
START_TEST(a_table_is_not_taken_for_another_one_of_its_number)
{
    struct follower sleeps = follow_and_restore();

    store_write_again(path, 333, 1);
    struct kv_table *table = NULL;
    ck_ok(kv_close(store_open(path, false, &table)));
    ck_fails(kv_refresh(sleeps.store), ESTALE);
    expect(&sleeps, 2, &all_right);
    ck_ok(kv_close(sleeps.store));
}
END_TEST

/* ---- leftovers ------------------------------------------------------------------------------ */

enum { ROWS = 300, DELETED = 5, NUMBERS_MAX = 1000 };

static const struct kv_options small = {
    .create = true, .file_bytes = 2048, .no_background = true, .blob_commit_bytes = 1 << 20};

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "k%04u", i));
}

static struct kv_store *open_small(const char *where, struct kv_table **ret_table)
{
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    ck_ok(kv_storage_posix_open(where, true, &storage));
    ck_ok(kv_open(storage, &small, &store));
    ck_ok(kv_table_open(store, "one", NULL, ret_table));
    return store;
}

static void put_rows(struct kv_table *table, unsigned from, unsigned to, const char *value)
{
    char key[16];
    for (unsigned i = from; i < to; i++) {
        ck_ok(kv_put(table, key_of(i, key), kv_slice(value, strlen(value)), KV_DURABLE_WRITE));
    }
}

static void merge_rows(struct kv_table *table, unsigned from, unsigned to)
{
    char first[16], last[16];
    ck_ok(kv_compact_range(table, key_of(from, first), key_of(to, last)));
}

static void name_table(const char *where, unsigned number, char to[600])
{
    snprintf(to, 600, "%s/%08u.table", where, number);
}

static unsigned newest_table(const char *where)
{
    char name[600];
    unsigned newest = 0;
    for (unsigned number = 1; number < NUMBERS_MAX; number++) {
        name_table(where, number, name);
        newest = access(name, F_OK) == 0 ? number : newest;
    }
    return newest;
}

/* Killed after the outputs of a merge and before the edit: `image` is what was before, and they. */
static void merge_without_edit(struct kv_table *table, const char *image)
{
    char output[600];
    unsigned newest = newest_table(path);
    copy_tree(path, image);
    merge_rows(table, 0, 3);
    for (unsigned number = newest + 1; number < NUMBERS_MAX; number++) {
        name_table(path, number, output);
        if (access(output, F_OK) == 0) {
            char command[1300];
            snprintf(command, sizeof command, "cp %s %s/", output, image);
            ck_assert_int_eq(system(command), 0);
        }
    }
}

/* They name an input that is lost, and a merge elsewhere names them: that one did not take it in.
 */
START_TEST(leftovers_that_a_follower_keeps_stand_for_no_lost_table)
{
    struct kv_options following = small;
    struct kv_store *follower = NULL;
    struct kv_table *table = NULL;
    struct kv_admin_result result;
    char image[512], name[600], key[16];
    int codes[64];

    temp_dir_name(&dir, "small", path);
    temp_dir_name(&dir, "image", image);
    struct kv_store *store = open_small(path, &table);
    put_rows(table, 0, ROWS, "old");
    ck_ok(kv_compact(store));
    for (unsigned i = 0; i < DELETED; i++) {
        ck_ok(kv_delete(table, key_of(i, key), KV_DURABLE_WRITE));
    }
    ck_ok(kv_flush(store));
    unsigned deletes = newest_table(path);
    merge_without_edit(table, image);
    ck_ok(kv_close(store));

    following.create = false;
    following.follow = true;
    ck_ok(kv_open(store_storage(image), &following, &follower));
    store = open_small(image, &table);
    put_rows(table, 250, 260, "new");
    merge_rows(table, 250, 260);
    copy_tree(image, copy);
    ck_ok(kv_close(store));
    ck_ok(kv_close(follower));

    ck_ok(store_check(copy, KV_ADMIN_REPORT, true, codes, &result));
    ck_assert_uint_eq(result.problems, 0);
    name_table(copy, deletes, name);
    ck_assert(unlink(name) == 0);
    ck_ok(store_check(copy, KV_ADMIN_REPAIR, true, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_TABLE_MISSING));
    ck_assert(!has_code(codes, KV_PROBLEM_MANIFEST_SHORT));
    store = open_small(copy, &table);
    for (unsigned i = 0; i < DELETED; i++) {
        struct kv_pinned pinned = {0};
        ck_assert_int_lt(kv_get(table, NULL, key_of(i, key), &pinned), 0);
    }
    ck_ok(kv_close(store));
}
END_TEST

Suite *test_suite(void)
{
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
        {"repair", who_follows_a_repaired_store_reads_it_on_when_the_repair_is_taken_back},
        {"copy", who_follows_a_store_does_not_go_on_when_an_older_copy_was_put_back},
        {"copy", a_manifest_is_not_taken_for_another_one_of_its_number},
        {"leftovers", leftovers_that_a_follower_keeps_stand_for_no_lost_table},
        {"copy", a_table_is_not_taken_for_another_one_of_its_number},
    };
    Suite *s = suite_create("followed");
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        TCase *t = tcase_create(tests[i].name);
        tcase_add_checked_fixture(t, setup, teardown);
        tcase_add_test(t, tests[i].test);
        suite_add_tcase(s, t);
    }
    return s;
}
