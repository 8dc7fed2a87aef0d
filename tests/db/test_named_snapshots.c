/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that the store keeps by name: what they show, for how long, and what they cost. */
#include "tests/lib/check_main.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <kv/kv.h>

#include "kvcore/db/named_snapshot.h"
#include "kvcore/util/thread.h"
#include "tests/lib/temp_dir.h"

enum { KEYS = 200, LARGE_SIZE = 6000, COPIES = 6, RACERS = 4, RACES = 30 };

static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *table;

static void open_store(bool read_only)
{
    struct kv_options options = {.create = !read_only,
                                 .read_only = read_only,
                                 .memtable_bytes = (size_t)128 << 10,
                                 .file_bytes = (size_t)32 << 10,
                                 .blob_commit_bytes = 4096,
                                 .no_background = true};
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
}

static void setup(void)
{
    ck_ok(kv_storage_mem_create(&storage));
    open_store(false);
}

static void teardown(void)
{
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}

static void reopen(void)
{
    ck_ok(kv_close(store));
    open_store(false);
}

static struct kv_slice key_of(int i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05d", i));
}

/* Every fifth value goes to a blob. */
static struct kv_slice value_of(int i, int round, uint8_t to[LARGE_SIZE])
{
    size_t size = i % 5 == 0 ? LARGE_SIZE : 20;
    memset(to, 'a' + round, size);
    memcpy(to, &i, sizeof i);
    return kv_slice(to, size);
}

static void put_all(struct kv_table *to, int round)
{
    static uint8_t value[LARGE_SIZE];
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        ck_ok(kv_put(to, key_of(i, key), value_of(i, round, value), KV_DURABLE_WRITE));
    }
}

static void check_key(const struct kv_snapshot *snapshot, int i, int round)
{
    static uint8_t expected[LARGE_SIZE];
    struct kv_pinned value = {0};
    char key[16];
    int r = kv_get(table, snapshot, key_of(i, key), &value);

    if (round < 0) {
        ck_fails(r, ENOENT);
        return;
    }
    ck_ok(r);
    ck_assert(kv_slice_equal(value.value, value_of(i, round, expected)));
    kv_pinned_release(&value);
}

/* All keys have the values of this round; -1: there are none. Read by gets and by a scan. */
static void check_all(const struct kv_snapshot *snapshot, int round)
{
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;
    int rows = 0;

    for (int i = 0; i < KEYS; i++) {
        check_key(snapshot, i, round);
    }
    ck_ok(kv_iter_create(table, &options, &it));
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        rows++;
    }
    ck_ok(kv_iter_error(it));
    ck_assert_int_eq(rows, round < 0 ? 0 : KEYS);
    kv_iter_destroy(it);
}

static void check_named(const char *name, int round)
{
    struct kv_snapshot *snapshot = NULL;
    ck_ok(kv_named_snapshot_open(store, name, &snapshot));
    check_all(snapshot, round);
    kv_snapshot_release(snapshot);
}

struct names {
    char text[512];
    uint64_t last_sequence;
    int count;
};

static int note_name(void *arg, const struct kv_named_snapshot *snapshot)
{
    struct names *names = arg;
    size_t used = strlen(names->text);
    ck_assert_uint_ge(snapshot->sequence, names->last_sequence);
    ck_assert_uint_gt(snapshot->time_s, 1500000000);
    names->last_sequence = snapshot->sequence;
    names->count++;
    snprintf(names->text + used, sizeof names->text - used, "%s%s", used > 0 ? " " : "",
             snapshot->name);
    return 0;
}

static void check_names(const char *expected)
{
    struct names names = {0};
    struct kv_stats stats;
    ck_ok(kv_named_snapshot_list(store, note_name, &names));
    ck_assert_str_eq(names.text, expected);
    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.named_snapshots, (uint64_t)names.count);
    ck_assert_uint_eq(stats.snapshots, 0);
}

/* ---- what it shows ---- */

START_TEST(a_named_snapshot_shows_its_state_through_merges_and_openings)
{
    put_all(table, 0);
    ck_ok(kv_named_snapshot_create(store, "zero"));
    put_all(table, 1);
    ck_ok(kv_flush(store));
    ck_ok(kv_named_snapshot_create(store, "one"));
    ck_ok(kv_delete_range(table, kv_slice_str("key"), kv_slice_str("kez"), KV_DURABLE_WRITE));
    ck_ok(kv_named_snapshot_create(store, "none"));
    put_all(table, 2);
    for (int i = 0; i < 3; i++) {
        check_named("zero", 0);
        check_named("one", 1);
        check_named("none", -1);
        check_all(NULL, 2);
        check_names("zero one none");
        if (i == 0) {
            ck_ok(kv_compact(store));
        } else {
            reopen();
        }
    }
    put_all(table, 3);
    ck_ok(kv_compact(store));
    ck_ok(kv_named_snapshot_drop(store, "one"));
    ck_ok(kv_compact(store));
    reopen();
    check_named("zero", 0);
    check_named("none", -1);
    check_all(NULL, 3);
    check_names("zero none");
}
END_TEST

START_TEST(a_named_snapshot_sees_nothing_that_is_written_later)
{
    ck_ok(kv_named_snapshot_create(store, "empty"));
    put_all(table, 0);
    check_named("empty", -1);
    reopen();
    check_named("empty", -1);
    check_all(NULL, 0);
}
END_TEST

START_TEST(what_was_opened_of_a_named_snapshot_goes_on_when_it_is_dropped)
{
    struct kv_snapshot *snapshot = NULL;
    put_all(table, 0);
    ck_ok(kv_named_snapshot_create(store, "zero"));
    put_all(table, 1);
    ck_ok(kv_named_snapshot_create(store, "one"));
    put_all(table, 2);
    ck_ok(kv_named_snapshot_open(store, "zero", &snapshot));
    ck_ok(kv_named_snapshot_drop(store, "zero"));
    ck_fails(kv_named_snapshot_open(store, "zero", &snapshot), ENOENT);
    ck_ok(kv_compact(store));
    check_all(snapshot, 0);
    check_named("one", 1);
    kv_snapshot_release(snapshot);
    check_names("one");
    check_named("one", 1);
}
END_TEST

static uint64_t count_rows(void)
{
    struct kv_stats stats;
    uint64_t rows = 0;
    kv_stats(store, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        rows += stats.levels[level].rows;
    }
    return rows;
}

START_TEST(old_versions_of_rows_go_when_the_last_name_is_dropped)
{
    struct kv_stats stats;
    put_all(table, 0);
    ck_ok(kv_named_snapshot_create(store, "a"));
    ck_ok(kv_named_snapshot_create(store, "b"));
    put_all(table, 1);
    ck_ok(kv_compact(store));
    ck_assert_uint_eq(count_rows(), (uint64_t)2 * KEYS);
    ck_ok(kv_named_snapshot_drop(store, "a"));
    put_all(table, 2);
    ck_ok(kv_compact(store));
    ck_assert_uint_eq(count_rows(), (uint64_t)2 * KEYS);
    ck_ok(kv_named_snapshot_drop(store, "b"));
    put_all(table, 3);
    ck_ok(kv_compact(store));
    ck_assert_uint_eq(count_rows(), KEYS);
    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.blob_garbage_bytes, 0);
    reopen();
    check_names("");
    check_all(NULL, 3);
}
END_TEST

/* ---- names ---- */

START_TEST(a_name_is_taken_once_and_free_again_when_it_is_dropped)
{
    put_all(table, 0);
    ck_ok(kv_named_snapshot_create(store, "x"));
    put_all(table, 1);
    ck_fails(kv_named_snapshot_create(store, "x"), EEXIST);
    ck_fails(kv_named_snapshot_drop(store, "y"), ENOENT);
    check_named("x", 0);
    ck_ok(kv_named_snapshot_drop(store, "x"));
    ck_fails(kv_named_snapshot_drop(store, "x"), ENOENT);
    ck_ok(kv_named_snapshot_create(store, "x"));
    put_all(table, 2);
    reopen();
    check_named("x", 1);
}
END_TEST

START_TEST(names_that_are_empty_too_long_or_too_many_are_refused)
{
    char name[KV_SNAPSHOT_NAME_SIZE_MAX + 2] = {0};
    ck_fails(kv_named_snapshot_create(store, ""), EINVAL);
    memset(name, 'n', sizeof name - 1);
    ck_fails(kv_named_snapshot_create(store, name), EINVAL);
    name[KV_SNAPSHOT_NAME_SIZE_MAX] = '\0';
    ck_ok(kv_named_snapshot_create(store, name));
    for (int i = 1; i < KV_NAMED_SNAPSHOT_COUNT_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        ck_ok(kv_named_snapshot_create(store, name));
    }
    ck_fails(kv_named_snapshot_create(store, "one more"), EMLINK);
    reopen();
    ck_fails(kv_named_snapshot_create(store, "one more"), EMLINK);
    ck_ok(kv_named_snapshot_drop(store, "7"));
    ck_ok(kv_named_snapshot_create(store, "one more"));
}
END_TEST

START_TEST(a_store_opened_read_only_shows_its_named_snapshots_and_keeps_them)
{
    put_all(table, 0);
    ck_ok(kv_named_snapshot_create(store, "zero"));
    put_all(table, 1);
    ck_ok(kv_close(store));
    open_store(true);
    check_named("zero", 0);
    check_all(NULL, 1);
    check_names("zero");
    ck_fails(kv_named_snapshot_create(store, "one"), EROFS);
    ck_fails(kv_named_snapshot_drop(store, "zero"), EROFS);
    check_names("zero");
}
END_TEST

START_TEST(a_dropped_table_is_gone_from_named_snapshots_and_a_new_one_is_empty_in_them)
{
    struct kv_table *other = NULL;
    struct kv_snapshot *snapshot = NULL;
    struct kv_pinned value = {0};
    char key[16];

    put_all(table, 0);
    ck_ok(kv_table_open(store, "other", NULL, &other));
    put_all(other, 0);
    ck_ok(kv_named_snapshot_create(store, "zero"));
    ck_ok(kv_table_drop(store, "other"));
    reopen();
    ck_ok(kv_table_open(store, "other", NULL, &other));
    ck_ok(kv_named_snapshot_open(store, "zero", &snapshot));
    ck_fails(kv_get(other, snapshot, key_of(1, key), &value), ENOENT);
    put_all(other, 1);
    ck_fails(kv_get(other, snapshot, key_of(1, key), &value), ENOENT);
    ck_ok(kv_compact(store));
    check_all(snapshot, 0);
    kv_snapshot_release(snapshot);
}
END_TEST

START_TEST(rows_that_end_below_a_named_snapshot_are_damage)
{
    put_all(table, 0);
    ck_ok(kv_named_snapshot_create(store, "zero"));
    ck_ok(named_snapshots_check(store));
    store->last_sequence--; /* as if the last row were lost */
    ck_fails(named_snapshots_check(store), KV_EDAMAGED);
    store->last_sequence++;
}
END_TEST

/* ---- beside others ---- */

static _Atomic bool enough;
static _Atomic int rounds_done;

/* Writes, and names what it wrote. */
static void *make_and_drop(void *arg)
{
    struct kv_store *at = arg;
    struct kv_table *to = NULL;
    ck_ok(kv_table_open(at, "t", NULL, &to));
    while (!atomic_load(&enough)) {
        ck_ok(kv_put(to, kv_slice_str("beside"), kv_slice_str("v"), KV_DURABLE_WRITE));
        ck_ok(kv_named_snapshot_create(at, "beside"));
        atomic_fetch_add(&rounds_done, 1);
        ck_ok(kv_named_snapshot_drop(at, "beside"));
    }
    return NULL;
}

static struct kv_store *open_dir_with(const struct temp_dir *dir, const char *name,
                                      const struct kv_options *options)
{
    struct kv_storage *at = NULL;
    struct kv_store *opened = NULL;
    char path[512];
    ck_ok(kv_storage_posix_open(temp_dir_name(dir, name, path), true, &at));
    ck_ok(kv_open(at, options, &opened));
    return opened;
}

static struct kv_store *open_dir(const struct temp_dir *dir, const char *name)
{
    return open_dir_with(dir, name, &(struct kv_options){.create = true});
}

static void copy(const struct temp_dir *dir, struct kv_store *from, const char *name)
{
    struct kv_storage *to = NULL;
    char path[512];
    ck_ok(kv_storage_posix_begin(temp_dir_name(dir, name, path), &to));
    ck_ok(kv_checkpoint(from, to));
    to->ops->close(to);
}

static void check_value(struct kv_store *at, const char *name, const char *expected)
{
    struct kv_table *t = NULL;
    struct kv_snapshot *snapshot = NULL;
    struct kv_pinned value = {0};

    ck_ok(kv_table_open(at, "t", NULL, &t));
    ck_ok(kv_named_snapshot_open(at, name, &snapshot));
    ck_ok(kv_get(t, snapshot, kv_slice_str("k"), &value));
    ck_assert(kv_slice_equal(value.value, kv_slice_str(expected)));
    kv_pinned_release(&value);
    kv_snapshot_release(snapshot);
}

START_TEST(copies_have_the_named_snapshots_that_were_there_and_open)
{
    struct temp_dir dir;
    struct kv_store *from;
    struct kv_store *opened;
    struct kv_table *t = NULL;
    struct thread thread;
    char name[16];

    temp_dir_make(&dir);
    from = open_dir(&dir, "store");
    ck_ok(kv_table_open(from, "t", NULL, &t));
    ck_ok(kv_put(t, kv_slice_str("k"), kv_slice_str("old"), KV_DURABLE_WRITE));
    ck_ok(kv_named_snapshot_create(from, "before"));
    ck_ok(kv_put(t, kv_slice_str("k"), kv_slice_str("new"), KV_DURABLE_WRITE));
    atomic_store(&enough, false);
    atomic_store(&rounds_done, 0);
    ck_ok(thread_start(&thread, "names", make_and_drop, from));
    for (int i = 0; i < COPIES; i++) {
        int done = atomic_load(&rounds_done);
        while (atomic_load(&rounds_done) == done) {
            sched_yield();
        }
        snprintf(name, sizeof name, "copy%d", i);
        copy(&dir, from, name);
        opened = open_dir(&dir, name);
        check_value(opened, "before", "old");
        ck_ok(kv_close(opened));
    }
    atomic_store(&enough, true);
    thread_join(&thread);
    ck_ok(kv_close(from));
    temp_dir_remove(&dir);
}
END_TEST

/* What happens when a flush has ended, once. */
struct afterwards {
    struct kv_store *store; /* NULL: nothing */
    struct kv_table *table;
};

static void *put_and_name(void *arg)
{
    struct afterwards *afterwards = arg;
    ck_ok(kv_put(afterwards->table, kv_slice_str("k"), kv_slice_str("new"), KV_DURABLE_WRITE));
    ck_ok(kv_named_snapshot_create(afterwards->store, "since"));
    return NULL;
}

/* The flush goes on when the other thread is done: what that writes is in no table. */
static void when_flushed(void *arg, const struct kv_event *event)
{
    struct afterwards *afterwards = arg;
    struct thread thread;

    if (event->kind == KV_EVENT_FLUSH_ENDED && afterwards->store != NULL) {
        ck_ok(thread_start(&thread, "since", put_and_name, afterwards));
        thread_join(&thread);
        afterwards->store = NULL;
    }
}

START_TEST(a_copy_leaves_out_names_of_rows_that_came_after_its_flush)
{
    struct afterwards afterwards = {0};
    struct kv_options options = {
        .create = true, .no_background = true, .event_fn = when_flushed, .event_arg = &afterwards};
    struct temp_dir dir;
    struct kv_store *from;
    struct kv_store *opened;
    struct kv_snapshot *snapshot = NULL;
    struct kv_table *t = NULL;

    temp_dir_make(&dir);
    from = open_dir_with(&dir, "store", &options);
    ck_ok(kv_table_open(from, "t", NULL, &t));
    ck_ok(kv_put(t, kv_slice_str("k"), kv_slice_str("old"), KV_DURABLE_WRITE));
    ck_ok(kv_named_snapshot_create(from, "before"));
    afterwards = (struct afterwards){.store = from, .table = t};
    copy(&dir, from, "copy");
    ck_assert_ptr_null(afterwards.store);
    check_value(from, "since", "new");
    opened = open_dir(&dir, "copy");
    check_value(opened, "before", "old");
    ck_fails(kv_named_snapshot_open(opened, "since", &snapshot), ENOENT);
    ck_ok(kv_close(opened));
    ck_ok(kv_close(from));
    temp_dir_remove(&dir);
}
END_TEST

static _Atomic int made;

static void *race(void *arg)
{
    struct kv_snapshot *snapshot = NULL;
    (void)arg;
    for (int i = 0; i < RACES; i++) {
        int r = kv_named_snapshot_create(store, "one");
        ck_assert(r == 0 || r == -EEXIST);
        atomic_fetch_add(&made, r == 0);
        r = kv_named_snapshot_open(store, "one", &snapshot);
        ck_assert(r == 0 || r == -ENOENT);
        if (r == 0) {
            kv_snapshot_release(snapshot);
        }
        r = kv_named_snapshot_drop(store, "one");
        ck_assert(r == 0 || r == -ENOENT);
        atomic_fetch_sub(&made, r == 0);
    }
    return NULL;
}

START_TEST(of_threads_that_make_or_drop_one_name_each_time_one_does)
{
    struct thread threads[RACERS];
    put_all(table, 0);
    atomic_store(&made, 0);
    for (int i = 0; i < RACERS; i++) {
        ck_ok(thread_start(&threads[i], "race", race, NULL));
    }
    for (int i = 0; i < RACERS; i++) {
        thread_join(&threads[i]);
    }
    ck_assert_int_eq(atomic_load(&made), 0);
    check_names("");
    reopen();
    check_names("");
}
END_TEST

Suite *test_suite(void)
{
    const TTest *const tests[] = {
        a_named_snapshot_shows_its_state_through_merges_and_openings,
        a_named_snapshot_sees_nothing_that_is_written_later,
        what_was_opened_of_a_named_snapshot_goes_on_when_it_is_dropped,
        old_versions_of_rows_go_when_the_last_name_is_dropped,
        a_name_is_taken_once_and_free_again_when_it_is_dropped,
        names_that_are_empty_too_long_or_too_many_are_refused,
        a_store_opened_read_only_shows_its_named_snapshots_and_keeps_them,
        a_dropped_table_is_gone_from_named_snapshots_and_a_new_one_is_empty_in_them,
        rows_that_end_below_a_named_snapshot_are_damage,
        copies_have_the_named_snapshots_that_were_there_and_open,
        a_copy_leaves_out_names_of_rows_that_came_after_its_flush,
        of_threads_that_make_or_drop_one_name_each_time_one_does,
    };
    Suite *s = suite_create("named_snapshots");
    TCase *tcase = tcase_create("named_snapshots");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        tcase_add_test(tcase, tests[i]);
    }
    suite_add_tcase(s, tcase);
    return s;
}
