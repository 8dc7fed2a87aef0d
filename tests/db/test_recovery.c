/* SPDX-License-Identifier: Apache-2.0 */
/* Opening after a death of the process and after damage to the files, on a real directory. */
#include "tests/lib/check_main.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kv/kv.h>

#include "kvcore/db/root.h"

static char dir[64];
static char complaint[1024];

static void setup(void)
{
    snprintf(dir, sizeof dir, "%s", "/tmp/kv-recovery-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    complaint[0] = '\0';
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static void keep_complaint(void *arg, enum kv_message_level level, const char *text)
{
    (void)arg;
    if (level == KV_MESSAGE_ERROR) {
        snprintf(complaint, sizeof complaint, "%s", text);
    }
}

static int open_with(const struct kv_options *options, struct kv_store **ret_store)
{
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(dir, options->create, &storage);
    if (r == 0) {
        r = kv_open(storage, options, ret_store);
        if (r < 0) {
            storage->ops->close(storage);
        }
    }
    return r;
}

static int try_open(struct kv_store **ret_store)
{
    struct kv_options options = {
        .create = true, .memtable_bytes = 1 << 20, .message_fn = keep_complaint};
    return open_with(&options, ret_store);
}

static struct kv_table *open_store(struct kv_store **ret_store)
{
    struct kv_table *table = NULL;
    ck_ok(try_open(ret_store));
    ck_ok(kv_table_open(*ret_store, "t", NULL, &table));
    return table;
}

static void put(struct kv_table *table, int i, enum kv_durability durability)
{
    char key[32];
    char value[64];
    snprintf(key, sizeof key, "key%06d", i);
    snprintf(value, sizeof value, "value of %d", i);
    ck_ok(kv_put(table, kv_slice_str(key), kv_slice_str(value), durability));
}

/* Rows 0..n-1 are there and no others; returns n. */
static int count_prefix(struct kv_table *table)
{
    struct kv_iter *it = NULL;
    struct kv_slice shown;
    int n = 0;
    ck_ok(kv_iter_create(table, NULL, &it));
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        char key[32];
        char value[64];
        snprintf(key, sizeof key, "key%06d", n);
        snprintf(value, sizeof value, "value of %d", n);
        ck_assert(kv_slice_equal(kv_iter_key(it), kv_slice_str(key)));
        ck_ok(kv_iter_value(it, &shown));
        ck_assert(kv_slice_equal(shown, kv_slice_str(value)));
        n++;
    }
    ck_ok(kv_iter_error(it));
    kv_iter_destroy(it);
    return n;
}

/* A child writes `rows` rows and dies without closing. With `sync_every` it syncs now and then. */
static void write_and_die(int rows, int sync_every)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct kv_store *store = NULL;
        struct kv_table *table = open_store(&store);
        for (int i = 0; i < rows; i++) {
            put(table, i,
                sync_every != 0 && i % sync_every == 0 ? KV_DURABLE_SYNC : KV_DURABLE_WRITE);
        }
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    ck_assert_int_eq(status, 0);
}

/* The one file that matches, or the last of several in order. */
static void find_file(const char *pattern, char *to, size_t size)
{
    char path[128];
    glob_t found = {0};
    snprintf(path, sizeof path, "%s/%s", dir, pattern);
    ck_assert_int_eq(glob(path, 0, NULL, &found), 0);
    snprintf(to, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
}

static void flip_byte(const char *path, off_t offset)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

START_TEST(a_process_that_dies_loses_nothing_it_was_told_is_written)
{
    struct kv_store *store = NULL;
    write_and_die(30000, 0); /* several memtables */
    struct kv_table *table = open_store(&store);
    ck_assert_int_eq(count_prefix(table), 30000);
    ck_ok(kv_close(store));
    table = open_store(&store);
    ck_assert_int_eq(count_prefix(table), 30000);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_log_cut_in_its_unsynced_tail_gives_a_prefix_and_work_goes_on)
{
    struct kv_store *store = NULL;
    char log[160];
    struct stat st;
    write_and_die(1000, 0);
    find_file("*.log", log, sizeof log);
    ck_assert_int_eq(stat(log, &st), 0);
    ck_assert_int_eq(truncate(log, st.st_size / 2), 0);
    struct kv_table *table = open_store(&store);
    int n = count_prefix(table);
    ck_assert_int_gt(n, 100);
    ck_assert_int_lt(n, 900);
    put(table, n, KV_DURABLE_SYNC);
    ck_ok(kv_close(store));
    table = open_store(&store);
    ck_assert_int_eq(count_prefix(table), n + 1);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_flipped_bit_in_the_synced_part_of_a_log_is_damage_not_a_shorter_log)
{
    struct kv_store *store = NULL;
    char log[160];
    write_and_die(1000, 100);
    find_file("*.log", log, sizeof log);
    flip_byte(log, 2000);
    ck_fails(try_open(&store), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(complaint, "kvfs fsck"));
    flip_byte(log, 2000); /* nothing was removed or changed by the attempt */
    struct kv_table *table = open_store(&store);
    ck_assert_int_eq(count_prefix(table), 1000);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(after_a_clean_close_even_the_last_record_of_log_and_manifest_is_proven)
{
    static const char *const patterns[] = {"*.log", "*.manifest"};
    for (int i = 0; i < 2; i++) {
        struct kv_store *store = NULL;
        char path[160];
        struct stat st;
        put(open_store(&store), 0, KV_DURABLE_WRITE);
        ck_ok(kv_close(store));
        find_file(patterns[i], path, sizeof path);
        ck_assert_int_eq(stat(path, &st), 0);
        flip_byte(path, st.st_size - 20);
        ck_fails(try_open(&store), KV_EDAMAGED);
        flip_byte(path, st.st_size - 20);
        ck_assert_int_eq(count_prefix(open_store(&store)), 1);
        ck_ok(kv_close(store));
    }
}
END_TEST

static void make_store_with_tables(void)
{
    struct kv_store *store = NULL;
    struct kv_table *table = open_store(&store);
    for (int i = 0; i < 2000; i++) {
        put(table, i, KV_DURABLE_WRITE);
    }
    ck_ok(kv_close(store));
}

static void make_file(const char *name, char path[160])
{
    snprintf(path, 160, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

START_TEST(a_missing_or_shortened_table_is_damage_and_nothing_is_removed)
{
    struct kv_store *store = NULL;
    char leftover[160]; /* as a merge that was cut short leaves one: perhaps it can be used yet */
    char table[160];
    char aside[200];
    struct stat st;
    make_store_with_tables();
    find_file("*.table", table, sizeof table);
    make_file("00009999.table", leftover);
    snprintf(aside, sizeof aside, "%s.aside", dir);
    ck_assert_int_eq(rename(table, aside), 0);
    ck_fails(try_open(&store), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(complaint, "missing"));
    ck_assert_int_eq(rename(aside, table), 0);
    ck_assert_int_eq(stat(table, &st), 0);
    ck_assert_int_eq(truncate(table, st.st_size - 1), 0);
    ck_fails(try_open(&store), KV_EDAMAGED);
    ck_assert_int_eq(stat(table, &st), 0);
    ck_assert_int_eq(stat(leftover, &st), 0);
}
END_TEST

START_TEST(a_damaged_block_is_an_error_for_its_rows_and_the_others_are_read)
{
    struct kv_store *store = NULL;
    char path[160];
    int good = 0;
    int bad = 0;
    make_store_with_tables();
    find_file("*.table", path, sizeof path);
    flip_byte(path, 100);
    struct kv_table *table = open_store(&store);
    for (int i = 0; i < 2000; i++) {
        char key[32];
        struct kv_pinned value = {0};
        snprintf(key, sizeof key, "key%06d", i);
        int r = kv_get(table, NULL, kv_slice_str(key), &value);
        good += r == 0;
        bad += r == -KV_EDAMAGED;
        kv_pinned_release(&value);
    }
    ck_assert_int_eq(good + bad, 2000);
    ck_assert_int_gt(bad, 0);
    ck_assert_int_gt(good, bad);
    ck_assert_ptr_nonnull(strstr(complaint, "block at"));
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_lost_root_is_damage_and_never_makes_the_store_anew)
{
    struct kv_store *store = NULL;
    char path[160];
    make_store_with_tables();
    snprintf(path, sizeof path, "%s/ROOT", dir);
    ck_assert_int_eq(unlink(path), 0);
    ck_fails(try_open(&store), KV_EDAMAGED);
    find_file("*.table", path, sizeof path); /* still there */
}
END_TEST

START_TEST(a_store_that_is_open_is_refused_and_a_missing_one_named)
{
    struct kv_store *store = NULL;
    struct kv_store *other = NULL;
    struct kv_options no_create = {0};
    struct kv_options reader = {.read_only = true};
    ck_fails(open_with(&no_create, &other), ENOENT);
    open_store(&store);
    ck_fails(try_open(&other), EBUSY);
    ck_fails(open_with(&reader, &other), EBUSY);
    ck_ok(kv_close(store));
    ck_ok(open_with(&reader, &store));
    ck_ok(open_with(&reader, &other)); /* readers share */
    ck_ok(kv_close(store));
    ck_ok(kv_close(other));
}
END_TEST

static uint64_t digest_of_dir(void)
{
    char command[160];
    char text[64] = "";
    snprintf(command, sizeof command,
             "cd '%s' && cat $(ls) | cksum && ls -lA --time-style=full-iso | cksum", dir);
    FILE *out = popen(command, "r");
    uint64_t sum = 0;
    ck_assert_ptr_nonnull(out);
    while (fgets(text, sizeof text, out) != NULL) {
        sum = sum * 31 + strtoull(text, NULL, 10);
    }
    ck_assert_int_eq(pclose(out), 0);
    return sum;
}

START_TEST(reading_an_unclean_store_shows_all_and_changes_not_a_byte)
{
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_options reader = {.read_only = true};
    write_and_die(500, 0);
    uint64_t before = digest_of_dir();
    ck_ok(open_with(&reader, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
    ck_assert_int_eq(count_prefix(table), 500);
    ck_fails(kv_put(table, kv_slice_str("k"), kv_slice_str("v"), KV_DURABLE_WRITE), EROFS);
    ck_ok(kv_close(store));
    ck_assert_uint_eq(digest_of_dir(), before);
}
END_TEST

/* ---- numbers, and what is not a store ---- */

static uint64_t sequence_of(struct kv_store *store)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    return stats.sequence;
}

/* A child opens the store and dies. */
static void open_and_die(void)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct kv_store *store = NULL;
        open_store(&store);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    ck_assert_int_eq(status, 0);
}

START_TEST(sequence_numbers_and_epochs_that_a_crash_may_have_taken_are_not_given_again)
{
    struct kv_store *store = NULL;
    char log[160];
    write_and_die(100, 0);
    find_file("*.log", log, sizeof log);
    ck_assert_int_eq(truncate(log, 2000), 0); /* rows are lost whose numbers somebody has seen */
    open_and_die();
    open_store(&store);
    struct kv_identity identity;
    kv_identify(store, &identity);
    ck_assert_uint_eq(identity.lease_epoch, 3); /* an epoch for each opening */
    uint64_t second = sequence_of(store);
    ck_assert_uint_gt(second, 1 << 24);
    ck_ok(kv_close(store));
    open_and_die();
    open_store(&store);
    ck_assert_uint_gt(sequence_of(store), second);
    ck_ok(kv_close(store));
}
END_TEST

/* Number of the newest table that there is. */
static unsigned long newest_table(void)
{
    char path[160];
    find_file("*.table", path, sizeof path);
    return strtoul(strrchr(path, '/') + 1, NULL, 10);
}

/* Leave a store without any table. */
static unsigned long make_and_remove_tables(struct kv_store *store, struct kv_table *table)
{
    put(table, 0, KV_DURABLE_WRITE);
    ck_ok(kv_flush(store));
    put(table, 0, KV_DURABLE_WRITE);
    ck_ok(kv_flush(store));
    unsigned long newest = newest_table();
    ck_ok(kv_delete(table, kv_slice_str("key000000"), KV_DURABLE_WRITE));
    ck_ok(kv_compact(store));
    return newest;
}

START_TEST(table_numbers_are_not_given_again_when_all_tables_are_gone)
{
    struct kv_store *store = NULL;
    int status = 0;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct kv_table *table = open_store(&store);
        _exit((int)make_and_remove_tables(store, table)); /* only edits tell of the numbers */
    }
    waitpid(pid, &status, 0);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) >= 2);
    struct kv_table *table = open_store(&store);
    unsigned long last = make_and_remove_tables(store, table);
    ck_assert_uint_gt(last, (unsigned long)WEXITSTATUS(status) + 1);
    ck_ok(kv_close(store));
    open_store(&store);
    ck_ok(kv_close(store)); /* now only a snapshot does */
    table = open_store(&store);
    put(table, 0, KV_DURABLE_WRITE);
    ck_ok(kv_flush(store));
    ck_assert_uint_gt(newest_table(), last);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_directory_with_logs_of_a_lost_store_is_not_made_a_store)
{
    struct kv_store *store = NULL;
    char path[160];
    struct stat st;
    make_file("00000001.log", path);
    make_file("00000002.log", path);
    ck_fails(try_open(&store), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(complaint, "remains of a store"));
    ck_assert_int_eq(stat(path, &st), 0);
}
END_TEST

START_TEST(a_store_whose_making_was_cut_short_is_made_and_can_be_cut_short_again)
{
    struct kv_store *store = NULL;
    char path[160];
    make_file("00000001.log", path); /* all that such an attempt may leave */
    struct kv_table *table = open_store(&store);
    find_file("*.log", path, sizeof path);
    ck_assert_ptr_nonnull(strstr(path, "/00000001.log"));
    put(table, 0, KV_DURABLE_SYNC);
    ck_ok(kv_close(store));
    ck_assert_int_eq(count_prefix(open_store(&store)), 1);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_manifest_without_its_snapshot_is_damage)
{
    struct kv_store *store = NULL;
    char path[160];
    enum { HEAD_RECORD = 40 + 32 };
    write_and_die(10, 0);
    find_file("*.manifest", path, sizeof path);
    ck_assert_int_eq(truncate(path, HEAD_RECORD), 0);
    ck_fails(try_open(&store), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(complaint, "manifest"));
}
END_TEST

/* Change the feature bits in the root record. */
static void set_features(uint64_t ro_compat, uint64_t incompat)
{
    struct kv_storage *storage = NULL;
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    struct root root;
    ck_ok(kv_storage_posix_open(dir, false, &storage));
    ck_ok(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "the test"));
    ck_ok(storage->ops->root_read(storage, &bytes, &version));
    ck_ok(root_decode(kv_buf_slice(&bytes), &root));
    root.ro_compat = ro_compat;
    root.incompat = incompat;
    bytes.size = 0;
    ck_ok(root_encode(&root, &bytes));
    ck_ok(storage->ops->root_swap(storage, version, kv_buf_slice(&bytes)));
    kv_buf_finish(&bytes);
    storage->ops->close(storage);
}

START_TEST(a_store_with_features_of_a_later_version_is_refused_or_only_read)
{
    struct kv_options reader = {.read_only = true};
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    make_store_with_tables();
    set_features((uint64_t)1 << 63, 0);
    ck_fails(try_open(&store), KV_EFORMAT);
    ck_assert_ptr_nonnull(strstr(complaint, "newer version"));
    ck_ok(open_with(&reader, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
    ck_assert_int_eq(count_prefix(table), 2000);
    ck_ok(kv_close(store));
    set_features(0, (uint64_t)1 << 63);
    ck_fails(try_open(&store), KV_EFORMAT);
    ck_fails(open_with(&reader, &store), KV_EFORMAT);
    set_features(0, 0);
    ck_assert_int_eq(count_prefix(open_store(&store)), 2000);
    ck_ok(kv_close(store));
}
END_TEST

Suite *test_suite(void)
{
    const TTest *const tests[] = {
        a_process_that_dies_loses_nothing_it_was_told_is_written,
        a_log_cut_in_its_unsynced_tail_gives_a_prefix_and_work_goes_on,
        a_flipped_bit_in_the_synced_part_of_a_log_is_damage_not_a_shorter_log,
        after_a_clean_close_even_the_last_record_of_log_and_manifest_is_proven,
        a_missing_or_shortened_table_is_damage_and_nothing_is_removed,
        a_damaged_block_is_an_error_for_its_rows_and_the_others_are_read,
        a_lost_root_is_damage_and_never_makes_the_store_anew,
        a_store_that_is_open_is_refused_and_a_missing_one_named,
        reading_an_unclean_store_shows_all_and_changes_not_a_byte,
        sequence_numbers_and_epochs_that_a_crash_may_have_taken_are_not_given_again,
        table_numbers_are_not_given_again_when_all_tables_are_gone,
        a_directory_with_logs_of_a_lost_store_is_not_made_a_store,
        a_store_whose_making_was_cut_short_is_made_and_can_be_cut_short_again,
        a_manifest_without_its_snapshot_is_damage,
        a_store_with_features_of_a_later_version_is_refused_or_only_read,
    };
    Suite *s = suite_create("recovery");
    TCase *tc = tcase_create("recovery");
    tcase_set_timeout(tc, 0);
    tcase_add_checked_fixture(tc, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        tcase_add_test(tc, tests[i]);
    }
    suite_add_tcase(s, tc);
    return s;
}
