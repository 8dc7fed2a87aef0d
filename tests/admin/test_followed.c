/* SPDX-License-Identifier: Apache-2.0 */
/* Followers of a store that is put back to an older state, by taking a repair back or from a copy,
 * and then written to again: the same numbers mean other files then. */
#include <dirent.h>
#include <stdio.h>
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

Suite *test_suite(void)
{
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
        {"repair", who_follows_a_repaired_store_reads_it_on_when_the_repair_is_taken_back},
        {"copy", who_follows_a_store_does_not_go_on_when_an_older_copy_was_put_back},
        {"copy", a_manifest_is_not_taken_for_another_one_of_its_number},
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
