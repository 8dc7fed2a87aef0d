/* SPDX-License-Identifier: Apache-2.0 */
/* Files in which damage was met: remembered once and for good, checked alone, and forgotten when
 * they are found sound. On real files, whose bytes are changed behind the store's back; a process
 * that dies is a copy of them as they are at that moment. */
#include "tests/lib/check_main.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <kv/verify.h>

#include "kvcore/db/store.h"
#include "kvcore/util/clock.h"
#include "tests/lib/temp_dir.h"

enum {
    ROWS = 4000,
    ROW_BYTES = 200,
    LARGE_ROW = 7,
    LARGE_BYTES = 50 * 1000,
    FILES_MAX = 64,
    AT = 100
};

static struct temp_dir dir;
static char live[512], copy[512];
static struct kv_store *store;
static struct kv_table *table;

/* ---- a store of several tables and a blob ---- */

static void open_at(const char *path, struct kv_options options)
{
    struct kv_storage *storage = NULL;
    options.memtable_bytes = (size_t)64 << 10;
    options.file_bytes = (size_t)24 << 10;
    ck_ok(kv_storage_posix_open(path, options.create, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "rows", NULL, &table));
}

static void reopen(const char *path)
{
    ck_ok(kv_close(store));
    open_at(path, (struct kv_options){.no_background = true});
}

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05u", i));
}

static void put(unsigned i)
{
    static char value[LARGE_BYTES];
    size_t size = i == LARGE_ROW ? LARGE_BYTES : ROW_BYTES;
    char key[16];
    for (size_t n = 0; n < size; n++) {
        value[n] = (char)(n * i + n / 7 * n);
    }
    ck_ok(kv_put(table, key_of(i, key), kv_slice(value, size), KV_DURABLE_WRITE));
}

/* Nothing of it is in memory. */
static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "live", live);
    temp_dir_name(&dir, "copy", copy);
    open_at(live, (struct kv_options){.create = true, .no_background = true});
    for (unsigned i = 0; i < ROWS; i++) {
        put(i);
    }
    ck_ok(kv_compact(store));
    reopen(live);
}

static void teardown(void)
{
    ck_ok(kv_close(store));
    store = NULL;
    temp_dir_remove(&dir);
}

/* How many rows cannot be read. */
static unsigned read_all(void)
{
    struct kv_pinned pinned;
    unsigned unreadable = 0;
    char key[16];
    for (unsigned i = 0; i < ROWS; i++) {
        int r = kv_get(table, NULL, key_of(i, key), &pinned);
        ck_assert(r == 0 || r == -KV_EDAMAGED);
        unreadable += r < 0;
        if (r == 0) {
            kv_pinned_release(&pinned);
        }
    }
    return unreadable;
}

/* ---- its files ---- */

/* Numbers of the files of one kind. Returns how many. */
static size_t list(const char *suffix, uint64_t numbers[FILES_MAX])
{
    DIR *stream = opendir(live);
    const struct dirent *entry;
    size_t count = 0;
    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        const char *dot = strchr(entry->d_name, '.');
        if (dot != NULL && strcmp(dot, suffix) == 0) {
            ck_assert_uint_lt(count, FILES_MAX);
            numbers[count++] = strtoull(entry->d_name, NULL, 10);
        }
    }
    closedir(stream);
    return count;
}

static void flip(const char *suffix, uint64_t number)
{
    char path[600];
    uint8_t byte = 0;
    snprintf(path, sizeof path, "%s/%08llu%s", live, (unsigned long long)number, suffix);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, AT), 1);
    byte ^= 8;
    ck_assert_int_eq(pwrite(fd, &byte, 1, AT), 1);
    close(fd);
}

static uint64_t flip_first(const char *suffix)
{
    uint64_t numbers[FILES_MAX];
    ck_assert_uint_gt(list(suffix, numbers), 0);
    flip(suffix, numbers[0]);
    return numbers[0];
}

static void read_root(uint8_t to[8192])
{
    char path[600];
    snprintf(path, sizeof path, "%s/ROOT", live);
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, to, 8192, 0), 8192);
    close(fd);
}

/* What another process would find if this one died now. */
static struct kv_suspects after_a_kill(void)
{
    struct kv_storage *storage = NULL;
    struct kv_store *found = NULL;
    struct kv_suspects suspects;
    char command[1600];
    snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", copy, live, copy);
    ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c): paths of the test's own */
    ck_ok(kv_storage_posix_open(copy, false, &storage));
    ck_ok(kv_open(storage, &(struct kv_options){.no_background = true}, &found));
    kv_suspects(found, &suspects);
    ck_ok(kv_close(found));
    return suspects;
}

/* ---- what is suspected ---- */

static void check_one(const struct kv_suspects *suspects, enum kv_file_kind kind, uint64_t number)
{
    ck_assert(suspects->check_needed);
    ck_assert_uint_eq(suspects->count, 1);
    ck_assert_uint_eq(suspects->files[0].kind, kind);
    ck_assert_uint_eq(suspects->files[0].number, number);
}

static bool is_suspicious(void)
{
    struct kv_suspects suspects;
    struct kv_stats stats;
    kv_suspects(store, &suspects);
    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.check_needed, suspects.check_needed);
    ck_assert(suspects.check_needed || suspects.count == 0);
    return suspects.check_needed;
}

static int take_progress(void *arg, const struct kv_verify_progress *progress)
{
    struct kv_verify_progress *last = arg;
    *last = *progress;
    return 0;
}

static int check_suspects(struct kv_verify_progress *ret_progress)
{
    struct kv_verify_options options = {
        .suspects_only = true, .progress_fn = take_progress, .arg = ret_progress};
    *ret_progress = (struct kv_verify_progress){0};
    return kv_verify(store, &options);
}

/* ---- tests ---- */

START_TEST(damage_that_a_read_meets_is_remembered_also_after_a_kill)
{
    struct kv_suspects suspects;
    uint64_t number = flip_first(".table");
    ck_assert(!is_suspicious());
    ck_assert_uint_gt(read_all(), 0);
    ck_assert(is_suspicious());
    put(0); /* who writes does what a thread of the store would */
    suspects = after_a_kill();
    check_one(&suspects, KV_FILE_TABLE, number);
    reopen(live);
    kv_suspects(store, &suspects);
    check_one(&suspects, KV_FILE_TABLE, number);
}
END_TEST

START_TEST(a_thread_remembers_it_within_seconds)
{
    const uint64_t until = clock_monotonic_ns() + (uint64_t)30 * 1000 * 1000 * 1000;
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    struct kv_suspects suspects = {0};
    ck_ok(kv_close(store));
    open_at(live, (struct kv_options){0});
    uint64_t number = flip_first(".table");
    ck_assert_uint_gt(read_all(), 0);
    while (!suspects.check_needed && clock_monotonic_ns() < until) {
        nanosleep(&pause, NULL);
        suspects = after_a_kill();
    }
    check_one(&suspects, KV_FILE_TABLE, number);
    flip(".table", number);
}
END_TEST

START_TEST(closing_remembers_what_nothing_else_wrote_down)
{
    struct kv_suspects suspects;
    uint64_t number = flip_first(".blob");
    ck_assert_uint_eq(read_all(), 1);
    reopen(live);
    kv_suspects(store, &suspects);
    check_one(&suspects, KV_FILE_BLOB, number);
}
END_TEST

START_TEST(damage_that_is_met_again_and_again_is_written_down_once)
{
    uint8_t before[8192], after[8192];
    flip_first(".table");
    read_all();
    put(0);
    read_root(before);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_gt(read_all(), 0);
        put(0);
    }
    read_root(after);
    ck_assert_mem_eq(before, after, sizeof before);
}
END_TEST

START_TEST(damaged_reads_are_counted_over_all_openings)
{
    struct kv_stats stats;
    uint64_t seen = 0;
    flip_first(".table");
    for (int opening = 0; opening < 2; opening++) {
        ck_assert_uint_gt(read_all(), 0);
        kv_stats(store, &stats);
        ck_assert_uint_gt(stats.damage_seen, 0);
        seen += stats.damage_seen;
        reopen(live);
        ck_assert_uint_eq(store->root.counters[0], seen);
    }
}
END_TEST

START_TEST(a_store_that_is_only_read_writes_nothing_down)
{
    struct kv_verify_progress progress;
    uint8_t before[8192], after[8192];
    uint64_t number = flip_first(".table");
    ck_ok(kv_close(store));
    read_root(before);
    open_at(live, (struct kv_options){.read_only = true, .no_background = true});
    ck_assert_uint_gt(read_all(), 0);
    ck_assert(is_suspicious());
    flip(".table", number);
    ck_ok(check_suspects(&progress));
    ck_ok(kv_close(store));
    read_root(after);
    ck_assert_mem_eq(before, after, sizeof before);
    open_at(live, (struct kv_options){.no_background = true});
}
END_TEST

START_TEST(too_many_files_are_any_file)
{
    struct kv_verify_progress progress;
    struct kv_suspects suspects;
    uint64_t numbers[FILES_MAX];
    size_t count = list(".table", numbers);
    ck_assert_uint_gt(count, KV_SUSPECTS_MAX);
    for (size_t i = 0; i < count; i++) {
        flip(".table", numbers[i]);
    }
    read_all();
    put(0);
    suspects = after_a_kill();
    ck_assert(suspects.check_needed);
    ck_assert_uint_eq(suspects.count, 0);
    for (size_t i = 0; i < count; i++) {
        flip(".table", numbers[i]);
    }
    ck_ok(check_suspects(&progress));
    ck_assert_uint_gt(progress.files, count);
    ck_assert(!is_suspicious());
}
END_TEST

START_TEST(only_what_is_suspected_is_checked_and_what_is_sound_is_forgotten)
{
    struct kv_verify_progress progress;
    struct kv_suspects suspects;
    uint64_t numbers[FILES_MAX];
    size_t count = list(".table", numbers);
    flip(".table", numbers[1]);
    read_all();
    reopen(live);
    ck_fails(check_suspects(&progress), KV_EDAMAGED);
    ck_assert_uint_eq(progress.findings, 1);
    kv_suspects(store, &suspects);
    check_one(&suspects, KV_FILE_TABLE, numbers[1]);
    flip(".table", numbers[1]);
    flip(".table", numbers[2]); /* of this one nobody knows yet */
    ck_ok(check_suspects(&progress));
    ck_assert_uint_eq(progress.files, 2); /* root record and table */
    ck_assert_uint_eq(progress.files, progress.files_all);
    ck_assert_uint_lt(progress.rows, ROWS / count * 2);
    ck_assert(!is_suspicious());
    suspects = after_a_kill();
    ck_assert(!suspects.check_needed);
    ck_ok(check_suspects(&progress)); /* of nothing */
    ck_assert_uint_eq(progress.files, 0);
    flip(".table", numbers[2]);
}
END_TEST

START_TEST(a_suspected_blob_is_read_through_the_tables_that_refer_to_it)
{
    struct kv_verify_progress progress;
    uint64_t number = flip_first(".blob");
    ck_assert_uint_eq(read_all(), 1);
    ck_fails(check_suspects(&progress), KV_EDAMAGED);
    ck_assert_uint_eq(progress.values, 1);
    ck_assert_uint_eq(progress.files, 3); /* root record, one table, the blob's directory */
    flip(".blob", number);
    ck_ok(check_suspects(&progress));
    ck_assert(!is_suspicious());
}
END_TEST

START_TEST(a_check_of_the_whole_store_ends_suspicions_too)
{
    uint64_t number = flip_first(".table");
    read_all();
    ck_fails(kv_verify(store, NULL), KV_EDAMAGED);
    ck_assert(is_suspicious());
    flip(".table", number);
    ck_ok(kv_verify(store, NULL));
    ck_assert(!is_suspicious());
}
END_TEST

START_TEST(a_file_that_is_gone_is_suspected_no_more)
{
    struct kv_verify_progress progress;
    flip_first(".table");
    read_all();
    ck_ok(kv_table_drop(store, "rows"));
    ck_ok(kv_table_open(store, "rows", NULL, &table));
    put(1);
    ck_assert(is_suspicious());
    ck_ok(check_suspects(&progress));
    ck_assert(!is_suspicious());
}
END_TEST

/* Another file is found damaged while the one that is suspected is checked. */
static int damage_another(void *arg, const struct kv_verify_progress *progress)
{
    uint64_t *number = arg;
    if (progress->files == 1 && *number != 0) {
        flip(".table", *number);
        ck_assert_uint_gt(read_all(), 0);
        *number = 0;
    }
    return 0;
}

START_TEST(damage_that_is_met_beside_a_check_is_not_forgotten_by_it)
{
    struct kv_verify_options options = {.suspects_only = true, .progress_fn = damage_another};
    struct kv_suspects suspects;
    uint64_t numbers[FILES_MAX];
    ck_assert_uint_gt(list(".table", numbers), 2);
    uint64_t other = numbers[2];
    flip(".table", numbers[1]);
    read_all();
    flip(".table", numbers[1]);
    reopen(live);
    options.arg = &other;
    ck_ok(kv_verify(store, &options));
    ck_assert_uint_eq(other, 0);
    kv_suspects(store, &suspects);
    ck_assert_uint_eq(suspects.count, 2);
    ck_assert_uint_eq(suspects.files[1].number, numbers[2]);
    flip(".table", numbers[2]);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("suspects");
    TCase *tcase = tcase_create("suspects");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, damage_that_a_read_meets_is_remembered_also_after_a_kill);
    tcase_add_test(tcase, a_thread_remembers_it_within_seconds);
    tcase_add_test(tcase, closing_remembers_what_nothing_else_wrote_down);
    tcase_add_test(tcase, damage_that_is_met_again_and_again_is_written_down_once);
    tcase_add_test(tcase, damaged_reads_are_counted_over_all_openings);
    tcase_add_test(tcase, a_store_that_is_only_read_writes_nothing_down);
    tcase_add_test(tcase, too_many_files_are_any_file);
    tcase_add_test(tcase, only_what_is_suspected_is_checked_and_what_is_sound_is_forgotten);
    tcase_add_test(tcase, a_suspected_blob_is_read_through_the_tables_that_refer_to_it);
    tcase_add_test(tcase, a_check_of_the_whole_store_ends_suspicions_too);
    tcase_add_test(tcase, a_file_that_is_gone_is_suspected_no_more);
    tcase_add_test(tcase, damage_that_is_met_beside_a_check_is_not_forgotten_by_it);
    suite_add_tcase(suite, tcase);
    return suite;
}
