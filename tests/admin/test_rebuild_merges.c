/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that lost every manifest in the middle of a merge, or after a job that was given up: one
 * case for each thing that may be there then. test_rebuild.c has random ones. */
#include "kvcore/db/compact.h"
#include "kvcore/util/rng.h"
#include "tests/admin/admin_crash.h"
#include "tests/admin/rebuild_rows.h"
#include "tests/lib/temp_dir.h"

static const char *const names[] = {"one"};

enum { MERGED_KEYS = 200 };

static void put_merged_keys(struct kv_table *table)
{
    char name[16], value[VALUE_MAX];

    for (unsigned i = 0; i < MERGED_KEYS; i++) {
        ck_ok(kv_put(table, key_of(i, name), value_of(i * 11 + 1, value), KV_DURABLE_WRITE));
    }
}

static void delete_even_keys(struct kv_table *table)
{
    char name[16];

    for (unsigned i = 0; i < MERGED_KEYS; i += 2) {
        ck_ok(kv_delete(table, key_of(i, name), KV_DURABLE_WRITE));
    }
}

/* Before: a table of all keys, and a newer one that deletes every other. After: what a merge of
 * both, which needs no deletes, made of them. */
static void make_merge(const struct temp_dir *dir, char before[512], char after[512])
{
    struct kv_options options = {
        .create = true, .file_bytes = 4096, .blob_commit_bytes = 4500, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;

    temp_dir_name(dir, "before", before);
    temp_dir_name(dir, "after", after);
    ck_ok(kv_storage_posix_open(after, true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    put_merged_keys(table);
    ck_ok(kv_compact(store));
    delete_even_keys(table);
    ck_ok(kv_flush(store));
    copy_tree(after, before);
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
}

/* Copy the tables that `to` does not have, the largest or the smallest number only, or all. */
enum which { ALL = 1, SMALLEST, LARGEST };

static void add_tables(const char *from, const char *to, enum which which)
{
    static const char *const filters[] = {"", "cat", "head -n 1", "tail -n 1"};
    char command[2048];
    snprintf(command, sizeof command,
             "cd %s && for t in *.table; do test -e %s/$t || echo $t; done | sort | %s | "
             "xargs -I{} cp {} %s/",
             from, to, filters[which], to);
    ck_assert_int_eq(system(command), 0);
}

/* A block of rows of the table of the smallest number. */
static void flip_first_table(const char *path)
{
    char name[64], command[1024];
    FILE *list;

    snprintf(command, sizeof command, "cd %s && ls | grep table$ | head -n 1", path);
    list = popen(command, "r");
    ck_assert_ptr_nonnull(list);
    ck_assert_ptr_nonnull(fgets(name, sizeof name, list));
    name[strcspn(name, "\n")] = '\0';
    ck_assert_int_eq(pclose(list), 0);
    flip(path, name, 100);
}

/* Every `step`th key before `to` was deleted as well. */
static void check_merged_but(const char *path, unsigned step, unsigned to)
{
    struct kv_options options = {.no_background = true};
    struct kv_admin_result result;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    int codes[64];

    lose(path, false);
    ck_ok(store_check(path, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_eq(result.repaired, result.problems);
    ck_ok(kv_open(store_storage(path), &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    for (unsigned i = 0; i < MERGED_KEYS; i++) {
        bool deleted = i % 2 == 0 || (i < to && i % step == 0);
        unsigned wanted = deleted ? DELETED : i * 11 + 1;
        ck_assert_msg(look_up(table, i) == wanted, "key %u", i);
    }
    ck_ok(kv_close(store));
}

static void check_merged(const char *path)
{
    check_merged_but(path, 1, 0);
}

/* The table of all keys: its deletes are gone, and the outputs need none. */
START_TEST(an_input_that_was_not_removed_yet_does_not_come_back_beside_the_outputs)
{
    struct temp_dir dir;
    char before[512], after[512];
    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    add_tables(before, after, _i == 0 ? SMALLEST : ALL);
    check_merged(after);
    temp_dir_remove(&dir);
}
END_TEST

START_TEST(outputs_of_a_merge_that_was_not_finished_are_left_out)
{
    struct temp_dir dir;
    char before[512], after[512];
    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    add_tables(after, before, _i == 0 ? SMALLEST : LARGEST);
    check_merged(before);
    temp_dir_remove(&dir);
}
END_TEST

/* Deletes every third key as well, and merges that twice over: nothing is left of what names the
 * table of these deletes. */
static void delete_and_merge_on(struct kv_store *store, struct kv_table *table)
{
    char name[16];
    for (unsigned part = 0; part < 2; part++) {
        for (unsigned i = part * 90; i < part * 90 + 90; i += 3) {
            ck_ok(kv_delete(table, key_of(i, name), KV_DURABLE_WRITE));
        }
        ck_ok(kv_compact(store));
    }
}

enum { AT_AN_OPENING, FOLLOWED, WHILE_MERGING, IN_DOUBT, WHILE_FLUSHING, WAYS_TO_GIVE_UP };

/* Outputs of a job are there that was given up, and none of them can be removed: by the opening
 * after a crash, or not yet
 * since somebody follows the store; or since it failed itself, or the edit that was to install
 * them. */
static void give_up(int way, const char *path, struct kv_store *store, struct kv_table *table,
                    const char *after)
{
    char name[16], value[VALUE_MAX];
    switch (way) {
    case AT_AN_OPENING:
    case FOLLOWED:
        ck_ok(kv_close(store));
        add_tables(after, path, ALL);
        crash.removals_that_fail = way == FOLLOWED ? 0 : 100;
        break;
    case WHILE_MERGING:
        crash.fail_at_make = crash.made + 3;
        crash.removals_that_fail = 2;
        ck_fails(kv_compact(store), EIO);
        ck_assert_uint_eq(crash.removals_that_fail, 0);
        break;
    case WHILE_FLUSHING:
        ck_ok(kv_put(table, key_of(3, name), value_of(34, value), KV_DURABLE_WRITE));
        __attribute__((fallthrough));
    default:
        crash.manifests_fail = true;
        ck_assert_int_lt(way == WHILE_FLUSHING ? kv_flush(store) : kv_compact(store), 0);
        crash.manifests_fail = false;
        crash.removals_that_fail = 100;
    }
}

/* What they were made of is merged by another job, with deletes that it drops; its own outputs are
 * merged on. */
START_TEST(outputs_of_a_job_that_was_given_up_are_left_out)
{
    struct kv_options options = {.file_bytes = 4096, .no_background = true};
    struct kv_options following = {.follow = true, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL, *follower = NULL;
    struct kv_table *table = NULL;
    struct temp_dir dir;
    char before[512], after[512], image[512];

    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    crash_begin(0);
    for (int n = 0; n < (_i <= FOLLOWED ? 2 : 1); n++) {
        if (n == 1 && _i == FOLLOWED) {
            ck_ok(kv_open(store_storage(before), &following, &follower));
        }
        ck_ok(storage_posix_open_with_calls(before, true, &crash.calls, NULL, &storage));
        ck_ok(kv_open(storage, &options, &store));
        ck_ok(kv_table_open(store, names[0], NULL, &table));
        if (n == 0) {
            give_up(_i, before, store, table, after);
        }
    }
    delete_and_merge_on(store, table);
    crash.removals_that_fail = 0;
    copy_tree(before, temp_dir_name(&dir, "image", image));
    ck_ok(kv_close(store));
    ck_ok(_i == FOLLOWED ? kv_close(follower) : 0);
    check_merged_but(image, 3, 180);
    temp_dir_remove(&dir);
}
END_TEST

/* The edit of a merge to the deepest level is in doubt, and nothing is written before another one
 * takes its inputs and a delete from above them. */
START_TEST(outputs_of_a_merge_in_doubt_are_left_out)
{
    struct kv_options options = {
        .file_bytes = 4096, .level_base_bytes = 1024, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct temp_dir dir;
    char before[512], after[512], image[512], name[16], value[VALUE_MAX];

    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    crash_begin(0);
    ck_ok(storage_posix_open_with_calls(after, true, &crash.calls, NULL, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    for (unsigned i = 0; i < 120; i++) { /* four tables of level 0 */
        unsigned key = i % 30 * 2 + 1;
        ck_ok(kv_put(table, key_of(key, name), value_of(key * 11 + 1, value), KV_DURABLE_WRITE));
        ck_ok(i % 30 == 29 ? kv_flush(store) : 0);
    }
    ck_assert_int_eq(compact_one(store), 1);
    ck_ok(kv_delete(table, key_of(3, name), KV_DURABLE_WRITE));
    ck_ok(kv_flush(store));
    crash.manifests_fail = true;
    ck_assert_int_lt(compact_one(store), 0);
    crash.manifests_fail = false;
    crash.removals_that_fail = 100;
    ck_ok(kv_compact(store));
    crash.removals_that_fail = 0;
    copy_tree(after, temp_dir_name(&dir, "image", image));
    ck_ok(kv_close(store));
    check_merged_but(image, 3, 4);
    temp_dir_remove(&dir);
}
END_TEST

/* A reader keeps inputs of a merge. An output of it was merged on twice, the others are there: what
 * says that it was installed is that a later merge knows its inputs to be gone. */
START_TEST(a_merge_whose_inputs_are_kept_is_known_by_who_says_so)
{
    struct kv_options options = {.file_bytes = 4096, .no_background = true};
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_iter *reader = NULL;
    struct temp_dir dir;
    char before[512], after[512], image[512], from[16], to[16];

    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    ck_ok(kv_open(store_storage(before), &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    ck_ok(kv_iter_create(table, NULL, &reader));
    delete_even_keys(table);
    ck_ok(kv_compact(store));
    for (int n = 0; n < 2; n++) {
        ck_ok(kv_delete(table, key_of(0, from), KV_DURABLE_WRITE));
        ck_ok(kv_compact_range(table, key_of(0, from), key_of(1, to)));
    }
    copy_tree(before, temp_dir_name(&dir, "image", image));
    kv_iter_destroy(reader);
    ck_ok(kv_close(store));
    check_merged(image);
    temp_dir_remove(&dir);
}
END_TEST

/* Its inputs are part of the store still, though tables that are there say that it was given up. */
START_TEST(what_a_merge_was_to_merge_that_was_given_up_counts)
{
    struct kv_options options = {.file_bytes = 4096, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct temp_dir dir;
    char before[512], after[512], image[512];

    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    add_tables(after, before, ALL);
    crash_begin(0);
    crash.removals_that_fail = 100;
    ck_ok(storage_posix_open_with_calls(before, true, &crash.calls, NULL, &storage));
    ck_ok(kv_open(storage, &options, &store));
    crash.fail_at_make = crash.made + 3;
    ck_fails(kv_compact(store), EIO);
    copy_tree(before, temp_dir_name(&dir, "image", image));
    crash.removals_that_fail = 0;
    ck_ok(kv_close(store));
    check_merged(image);
    temp_dir_remove(&dir);
}
END_TEST

/* What it could read of a damaged table: all of it, the table itself, is there. */
START_TEST(a_table_of_a_repair_that_was_cut_short_is_left_out)
{
    struct kv_options options = {
        .create = true, .blob_commit_bytes = 8192, .blob_flush_bytes = 8192, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_admin_result result;
    struct temp_dir dir;
    char before[512], repaired[512];
    int codes[64];

    temp_dir_make(&dir);
    ck_ok(kv_storage_posix_open(temp_dir_name(&dir, "before", before), true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    put_merged_keys(table);
    ck_ok(kv_flush(store));
    delete_even_keys(table);
    ck_ok(kv_close(store));
    copy_tree(before, temp_dir_name(&dir, "repaired", repaired));
    flip_first_table(repaired);
    ck_ok(store_check(repaired, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert(has_code(codes, KV_PROBLEM_TABLE_BLOCK));
    ck_assert_uint_eq(result.repaired, result.problems);
    add_tables(repaired, before, ALL);
    check_merged(before);
    temp_dir_remove(&dir);
}
END_TEST

/* Two readers keep an input of the merge and an output of it, the other outputs are merged on and
 * gone. That the merge was installed is told by what its output was merged to. */
START_TEST(a_merge_of_which_one_input_and_one_output_are_left_is_known_by_its_successor)
{
    struct kv_options options = {.file_bytes = 4096, .no_background = true};
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct temp_dir dir;
    char before[512], after[512], on[512];

    temp_dir_make(&dir);
    make_merge(&dir, before, after);
    copy_tree(after, temp_dir_name(&dir, "on", on));
    ck_ok(kv_open(store_storage(on), &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    delete_even_keys(table);
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
    add_tables(before, on, SMALLEST);
    add_tables(after, on, SMALLEST);
    check_merged(on);
    temp_dir_remove(&dir);
}
END_TEST

enum { LARGE_KEYS = 12, LARGE_LEFT = 5, LARGE_SIZE = 4400 };

static void put_large(struct kv_table *table)
{
    struct rng rng = {7};
    uint8_t value[LARGE_SIZE];
    char name[16];

    for (unsigned i = 0; i < LARGE_KEYS; i++) {
        for (size_t n = 0; n < sizeof value; n++) {
            value[n] = (uint8_t)rng_next(&rng); /* not to be compressed */
        }
        ck_ok(kv_put(table, key_of(i, name), kv_slice(value, sizeof value), KV_DURABLE_WRITE));
    }
}

/* The last output was cut where only deleted rows followed. It says all the same that it is the
 * last, so that the merge is known for a finished one while inputs of it are there. */
START_TEST(a_merge_that_ends_with_rows_it_drops_knows_its_last_output)
{
    struct kv_options options = {
        .create = true, .file_bytes = 4096, .blob_commit_bytes = 4500, .no_background = true};
    struct kv_admin_result result;
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct temp_dir dir;
    char path[512], before[512], name[16];
    int codes[64];

    temp_dir_make(&dir);
    ck_ok(kv_storage_posix_open(temp_dir_name(&dir, "store", path), true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    put_large(table);
    ck_ok(kv_compact(store));
    for (unsigned i = LARGE_LEFT; i < LARGE_KEYS; i++) {
        ck_ok(kv_delete(table, key_of(i, name), KV_DURABLE_WRITE));
    }
    ck_ok(kv_flush(store));
    copy_tree(path, temp_dir_name(&dir, "before", before));
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
    add_tables(before, path, SMALLEST);

    lose(path, false);
    ck_ok(store_check(path, KV_ADMIN_REPAIR, false, codes, &result));
    ck_assert_uint_eq(result.repaired, result.problems);
    options.create = false;
    ck_ok(kv_open(store_storage(path), &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    for (unsigned i = 0; i < LARGE_KEYS; i++) {
        struct kv_pinned pinned = {0};
        int r = kv_get(table, NULL, key_of(i, name), &pinned);
        ck_assert_int_eq(r, i < LARGE_LEFT ? 0 : -ENOENT);
        kv_pinned_release(&pinned);
    }
    ck_ok(kv_close(store));
    temp_dir_remove(&dir);
}
END_TEST

/* Deletes every other key of a table, and merges that away twice over. */
static void delete_in_parts(struct kv_store *store, struct kv_table *table)
{
    char name[16];
    for (unsigned part = 0; part < 2; part++) {
        for (unsigned i = part * 100; i < part * 100 + 100; i += 2) {
            ck_ok(kv_delete(table, key_of(i, name), KV_DURABLE_WRITE));
        }
        ck_ok(kv_compact(store));
    }
}

/* A table of all keys was merged with deletes, but is there still: an iterator reads it, or it and
 * the deletes cannot be removed. What it was merged to is merged on. Then the process is killed. */
START_TEST(a_table_that_was_replaced_and_stays_does_not_come_back)
{
    struct kv_options options = {.create = true, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_iter *reader = NULL;
    struct temp_dir dir;
    char path[512], image[512];

    temp_dir_make(&dir);
    crash_begin(0);
    ck_ok(storage_posix_open_with_calls(temp_dir_name(&dir, "store", path), true, &crash.calls,
                                        NULL, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, names[0], NULL, &table));
    put_merged_keys(table);
    ck_ok(kv_compact(store));
    if (_i == 0) {
        ck_ok(kv_iter_create(table, NULL, &reader));
    } else {
        crash.removals_that_fail = 2;
    }
    delete_in_parts(store, table);
    ck_assert_uint_eq(crash.removals_that_fail, 0);
    copy_tree(path, temp_dir_name(&dir, "image", image));
    kv_iter_destroy(reader);
    ck_ok(kv_close(store));
    check_merged(image);
    temp_dir_remove(&dir);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("rebuild_merges");
    TCase *tcase;

    tcase = tcase_create("merges");
    tcase_add_loop_test(
        tcase, an_input_that_was_not_removed_yet_does_not_come_back_beside_the_outputs, 0, 2);
    tcase_add_loop_test(tcase, outputs_of_a_merge_that_was_not_finished_are_left_out, 0, 2);
    tcase_add_test(tcase,
                   a_merge_of_which_one_input_and_one_output_are_left_is_known_by_its_successor);
    tcase_add_loop_test(tcase, outputs_of_a_job_that_was_given_up_are_left_out, 0, WAYS_TO_GIVE_UP);
    tcase_add_test(tcase, outputs_of_a_merge_in_doubt_are_left_out);
    tcase_add_test(tcase, a_merge_whose_inputs_are_kept_is_known_by_who_says_so);
    tcase_add_test(tcase, what_a_merge_was_to_merge_that_was_given_up_counts);
    tcase_add_test(tcase, a_table_of_a_repair_that_was_cut_short_is_left_out);
    tcase_add_test(tcase, a_merge_that_ends_with_rows_it_drops_knows_its_last_output);
    tcase_add_loop_test(tcase, a_table_that_was_replaced_and_stays_does_not_come_back, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite;
}
