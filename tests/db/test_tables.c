/* SPDX-License-Identifier: Apache-2.0 */
/* Tables (keyspaces) that come and go: what is left of a dropped one, which is nothing. */
#include "tests/lib/check_main.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "kvcore/db/compact.h"
#include "kvcore/db/store.h"
#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/sim/sim_fs.h"

enum { MOMENTS_MAX = 1000, KEYS = 80, LARGE_SIZE = 8 * 1024, SMALL_SIZE = 200 };

static struct kv_slice key_of(size_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05zu", i));
}

static struct kv_slice value_of(size_t i, unsigned round, uint8_t to[LARGE_SIZE])
{
    struct rng rng = {i * 1000 + round};
    size_t size = i % 8 == 0 ? LARGE_SIZE : SMALL_SIZE;
    for (size_t n = 0; n + 8 <= size; n += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(to + n, &word, sizeof word);
    }
    return kv_slice(to, size);
}

static struct kv_store *open_store(struct kv_storage *storage)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)64 << 10,
                                 .blob_commit_bytes = 4096,
                                 .no_background = true};
    struct kv_store *store = NULL;
    ck_ok(kv_open(storage, &options, &store));
    return store;
}

static struct kv_table *open_table(struct kv_store *store, const char *name)
{
    struct kv_table *table = NULL;
    ck_ok(kv_table_open(store, name, NULL, &table));
    return table;
}

static void put_all(struct kv_table *table, unsigned round)
{
    uint8_t value[LARGE_SIZE];
    char key[16];
    for (size_t i = 0; i < KEYS; i++) {
        ck_ok(kv_put(table, key_of(i, key), value_of(i, round, value), KV_DURABLE_WRITE));
    }
}

/* All rows of the round, in order, and no others; round 0: none at all. */
static void check_iter(struct kv_iter *it, unsigned round)
{
    uint8_t expected[LARGE_SIZE];
    struct kv_slice got;
    char key[16];
    size_t i = 0;
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        ck_assert(kv_slice_equal(kv_iter_key(it), key_of(i, key)));
        ck_ok(kv_iter_value(it, &got));
        ck_assert(kv_slice_equal(got, value_of(i++, round, expected)));
    }
    ck_ok(kv_iter_error(it));
    ck_assert_uint_eq(i, round == 0 ? 0 : KEYS);
}

static void check_all(struct kv_table *table, unsigned round)
{
    struct kv_iter *it = NULL;
    struct kv_buf value = {0};
    char key[16];
    ck_ok(kv_iter_create(table, NULL, &it));
    check_iter(it, round);
    kv_iter_destroy(it);
    if (round == 0) {
        ck_fails(kv_get_copy(table, NULL, key_of(3, key), &value), ENOENT);
    }
}

struct names {
    char text[256];
};

static int add_name(void *arg, const char *name, const struct kv_table_options *options)
{
    struct names *names = arg;
    size_t used = strlen(names->text);
    snprintf(names->text + used, sizeof names->text - used, "%s:%u ", name, options->prefix_size);
    return 0;
}

static void check_names(struct kv_store *store, const char *expected)
{
    struct names names = {0};
    ck_ok(kv_table_list(store, add_name, &names));
    ck_assert_str_eq(names.text, expected);
}

static int stop(void *arg, const char *name, const struct kv_table_options *options)
{
    (void)name;
    (void)options;
    ++*(int *)arg;
    return -ECANCELED;
}

START_TEST(tables_are_listed_with_their_options)
{
    struct kv_table_options options = {.prefix_size = 9};
    struct kv_storage *storage = NULL;
    struct kv_store *store;
    struct kv_table *table = NULL;
    int calls = 0;

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage);
    check_names(store, "");
    open_table(store, "one");
    ck_ok(kv_table_open(store, "two", &options, &table));
    check_names(store, "one:0 two:9 ");
    ck_ok(kv_table_drop(store, "one"));
    check_names(store, "two:9 ");
    ck_ok(kv_close(store));
    store = open_store(storage);
    check_names(store, "two:9 ");
    open_table(store, "three");
    ck_fails(kv_table_list(store, stop, &calls), ECANCELED);
    ck_assert_int_eq(calls, 1);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

/* They would be in the manifest for good, and refused at the next opening. */
START_TEST(options_beyond_their_limits_are_refused_before_they_are_written)
{
    static const struct kv_table_options beyond[] = {
        {.prefix_size = KV_TABLE_PREFIX_SIZE_MAX + 1},
        {.filter_bits_per_key = KV_TABLE_FILTER_BITS_MAX + 1},
        {.block_bytes = KV_TABLE_BLOCK_BYTES_MAX + 1},
    };
    struct kv_table_options largest = {.prefix_size = KV_TABLE_PREFIX_SIZE_MAX,
                                       .filter_bits_per_key = KV_TABLE_FILTER_BITS_MAX,
                                       .block_bytes = KV_TABLE_BLOCK_BYTES_MAX};
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store;

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage);
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        ck_fails(kv_table_open(store, "table", &beyond[i], &table), EINVAL);
    }
    ck_ok(kv_table_open(store, "table", &largest, &table));
    ck_ok(kv_close(store));
    store = open_store(storage);
    check_names(store, "table:256 ");
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

/* A table with rows in tables, in blobs, in memtables that wait and in the active one. */
static struct kv_table *fill(struct kv_store *store, const char *name)
{
    struct kv_table *table = open_table(store, name);
    put_all(table, 1);
    ck_ok(kv_compact(store));
    put_all(table, 2);
    ck_ok(kv_flush(store));
    put_all(table, 3);
    return table;
}

START_TEST(a_table_of_the_same_name_is_another_and_empty)
{
    struct kv_storage *storage = NULL;
    struct kv_store *store;
    struct kv_table *table;
    struct kv_table *other;

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage);
    other = fill(store, "other");
    fill(store, "t");
    ck_ok(kv_table_drop(store, "t"));
    table = open_table(store, "t");
    check_all(table, 0);
    put_all(table, 4);
    ck_ok(kv_flush(store)); /* with rows of the dropped one in memory */
    check_all(table, 4);
    ck_ok(kv_compact(store));
    check_all(table, 4);
    check_all(other, 3);
    ck_ok(kv_close(store));
    store = open_store(storage);
    check_all(open_table(store, "t"), 4);
    check_all(open_table(store, "other"), 3);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(through_handles_of_a_dropped_table_everything_fails)
{
    struct kv_storage *storage = NULL;
    struct kv_store *store;
    struct kv_table *table;
    struct kv_table *other;
    struct kv_batch *batch = NULL;
    struct kv_iter *it = NULL;
    struct kv_buf value = {0};
    struct kv_slice a = kv_slice_str("a");
    struct kv_slice b = kv_slice_str("b");

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage);
    table = fill(store, "t");
    other = open_table(store, "other");
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put(batch, other, a, b));
    ck_ok(kv_batch_put(batch, table, a, b));
    ck_fails(kv_table_drop(store, "x"), ENOENT);
    ck_ok(kv_table_drop(store, "t"));
    ck_fails(kv_table_drop(store, "t"), ENOENT);
    ck_fails(kv_write(store, batch, KV_DURABLE_NONE), EIDRM);
    ck_fails(kv_get_copy(other, NULL, a, &value), ENOENT); /* nothing of the batch */
    ck_fails(kv_get_copy(table, NULL, a, &value), EIDRM);
    ck_fails(kv_put(table, a, b, KV_DURABLE_NONE), EIDRM);
    ck_fails(kv_delete(table, a, KV_DURABLE_NONE), EIDRM);
    ck_fails(kv_delete_range(table, a, b, KV_DURABLE_NONE), EIDRM);
    ck_fails(kv_iter_create(table, NULL, &it), EIDRM);
    kv_batch_clear(batch);
    ck_ok(kv_batch_put(batch, other, a, b));
    ck_ok(kv_write(store, batch, KV_DURABLE_NONE));
    kv_batch_destroy(batch);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

static uint64_t used_bytes(struct kv_store *store)
{
    struct kv_space space;
    ck_ok(kv_space(store, &space));
    return space.used_bytes;
}

START_TEST(the_space_of_a_dropped_table_comes_back_once_no_iterator_reads_it)
{
    struct kv_storage *storage = NULL;
    struct kv_store *store;
    struct kv_iter *it = NULL;
    struct kv_table *table;
    struct kv_stats stats;
    uint64_t with;

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage);
    table = fill(store, "t");
    ck_ok(kv_compact(store));
    with = used_bytes(store);
    ck_ok(kv_iter_create(table, NULL, &it));
    ck_ok(kv_table_drop(store, "t"));
    ck_ok(kv_compact(store));
    check_iter(it, 3);
    ck_assert_uint_gt(used_bytes(store), with / 2);
    kv_iter_destroy(it);
    ck_ok(kv_compact(store)); /* and with the blobs, in which no other table has a value */
    kv_stats(store, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        ck_assert_uint_eq(stats.levels[level].files, 0);
    }
    ck_assert_uint_eq(stats.blobs, 0);
    ck_assert_uint_lt(used_bytes(store), with / 2); /* what is left is log */
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(an_id_is_used_again_only_by_a_later_opening)
{
    struct kv_storage *storage = NULL;
    struct kv_store *store;
    struct kv_table *table = NULL;

    ck_ok(kv_storage_mem_create(&storage));
    for (int opening = 0; opening < 3; opening++) {
        store = open_store(storage);
        for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
            table = open_table(store, "t");
            check_all(table, 0);
            put_all(table, 1);
            ck_ok(kv_table_drop(store, "t"));
        }
        ck_fails(kv_table_open(store, "t", NULL, &table), ENOSPC);
        ck_ok(kv_close(store));
    }
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(a_store_opened_read_only_drops_nothing)
{
    struct kv_options read_only = {.read_only = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store;

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage);
    open_table(store, "t");
    ck_ok(kv_close(store));
    ck_ok(kv_open(storage, &read_only, &store));
    ck_fails(kv_table_drop(store, "t"), EROFS);
    check_names(store, "t:0 ");
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

/* ---- crashes ---- */

/* After a crash table t is whole (3) or gone, or, once its successor is there, is that, empty. */
struct crashes {
    bool done; /* it must be gone */
    unsigned moments, gone, whole;
    struct sim_fs *all[MOMENTS_MAX];
    bool all_done[MOMENTS_MAX];
    size_t moment_count;
};

static void check_crashed(struct crashes *crashes, struct sim_fs *sim)
{
    struct kv_storage *storage = NULL;
    struct kv_store *store;
    struct names names = {0};

    ck_ok(sim_storage_open(sim, false, &storage));
    store = open_store(storage);
    ck_ok(kv_table_list(store, add_name, &names));
    check_all(open_table(store, "other"), 3);
    if (strcmp(names.text, "other:0 t:0 ") == 0 && !crashes->done) {
        check_all(open_table(store, "t"), 3);
        crashes->whole++;
    } else {
        check_all(open_table(store, "t"), 0);
        crashes->gone++;
    }
    put_all(open_table(store, "t"), 7); /* perhaps under the same id */
    ck_ok(kv_close(store));
    ck_ok(sim_storage_open(sim, false, &storage));
    store = open_store(storage);
    check_all(open_table(store, "t"), 7);
    check_all(open_table(store, "other"), 3);
    ck_ok(kv_close(store));
}

/* What is kept during a call is judged later: then other calls may be made. */
static void keep_moment(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct crashes *crashes = arg;
    if (event->changes) {
        ck_assert_uint_lt(crashes->moment_count, MOMENTS_MAX);
        crashes->all_done[crashes->moment_count] = crashes->done;
        ck_ok(sim_kill(sim, &crashes->all[crashes->moment_count++]));
    }
}

static void crash_at_moments(struct crashes *crashes)
{
    for (size_t i = 0; i < crashes->moment_count; i++) {
        crashes->done = crashes->all_done[i];
        for (int mode = SIM_DROP_ALL; mode < SIM_MODE_COUNT; mode++) {
            struct sim_fs *crashed = NULL;
            uint64_t damage;
            ck_ok(sim_crash(crashes->all[i], test_seed() + crashes->moments++, (enum sim_mode)mode,
                            &crashed, &damage));
            check_crashed(crashes, crashed);
            sim_destroy(crashed);
        }
        check_crashed(crashes, crashes->all[i]); /* only the process died */
        sim_destroy(crashes->all[i]);
    }
}

START_TEST(rows_of_a_dropped_table_do_not_come_back_whatever_crashes)
{
    static struct crashes crashes;
    struct sim_event event = {.changes = true};
    struct sim_fs *sim = NULL;
    struct kv_storage *storage = NULL;
    struct kv_store *store;

    ck_ok(sim_create(&sim));
    ck_ok(sim_storage_open(sim, true, &storage));
    store = open_store(storage);
    fill(store, "other");
    fill(store, "t");
    ck_ok(kv_sync(store));
    sim_watch(sim, keep_moment, &crashes);
    ck_ok(kv_table_drop(store, "t"));
    crashes.done = true;
    keep_moment(&crashes, sim, &event);
    mutex_lock(&store->manifest_mu);
    store->manifest_roll_bytes = 0; /* a new manifest has to know, too */
    mutex_unlock(&store->manifest_mu);
    open_table(store, "t");
    ck_ok(kv_flush(store)); /* with a log of their rows that now goes */
    ck_ok(kv_compact(store));
    ck_ok(kv_close(store));
    sim_watch(sim, NULL, NULL);
    crash_at_moments(&crashes);
    ck_assert_uint_gt(crashes.gone, 10);
    ck_assert_uint_gt(crashes.whole, 0);
    sim_destroy(sim);
}
END_TEST

START_TEST(what_was_written_to_other_tables_before_a_drop_is_not_lost_behind_it)
{
    struct sim_fs *sim = NULL;
    struct sim_fs *crashed = NULL;
    struct kv_storage *storage = NULL;
    struct kv_store *store;
    uint64_t damage;

    ck_ok(sim_create(&sim));
    ck_ok(sim_storage_open(sim, true, &storage));
    store = open_store(storage);
    open_table(store, "old");
    put_all(open_table(store, "new"), 1); /* moved from one to the other, say */
    ck_ok(kv_table_drop(store, "old"));
    ck_ok(sim_crash(sim, 1, SIM_DROP_ALL, &crashed, &damage));
    ck_ok(kv_close(store));
    ck_ok(sim_storage_open(crashed, false, &storage));
    store = open_store(storage);
    check_names(store, "new:0 ");
    check_all(open_table(store, "new"), 1);
    ck_ok(kv_close(store));
    sim_destroy(crashed);
    sim_destroy(sim);
}
END_TEST

START_TEST(a_drop_that_fails_leaves_a_table_that_is_whole_or_gone_after_the_next_opening)
{
    bool hit = true;
    for (uint64_t n = 1; hit; n++) {
        static struct crashes crashes;

        struct sim_event event;
        struct sim_fs *sim = NULL;
        struct sim_fault fault = {.failure = n % 2 == 0 ? SIM_FAIL_EIO : SIM_FAIL_EIO_LATE};
        struct kv_storage *storage = NULL;
        struct kv_store *store;
        char key[16];
        int r;

        crashes = (struct crashes){0};
        ck_ok(sim_create(&sim));
        ck_ok(sim_storage_open(sim, true, &storage));
        store = open_store(storage);
        fill(store, "other");
        fill(store, "t");
        fault.at = sim_calls_made(sim) + (n + 1) / 2;
        fault.forever = n % 3 == 0;
        sim_fail(sim, &fault);
        r = kv_table_drop(store, "t");
        hit = sim_fault_hit(sim, &event);
        sim_fail(sim, NULL);
        /* Nothing is acknowledged any more that may be lost. */
        if (kv_put(open_table(store, "other"), key_of(0, key), kv_slice_str("x"),
                   KV_DURABLE_WRITE) == 0) {
            put_all(open_table(store, "other"), 3);
        }
        if (r == 0 || kv_table_drop(store, "t") == 0) {
            crashes.done = true;
        }
        kv_ignore(kv_close(store));
        check_crashed(&crashes, sim);
        sim_destroy(sim);
    }
}
END_TEST

/* ---- beside others ---- */

struct others {
    struct kv_store *store;
    _Atomic bool stop;
    _Atomic unsigned complaints;
};

static void count_complaint(void *arg, enum kv_message_level level, const char *text)
{
    struct others *others = arg;
    (void)text;
    others->complaints += level != KV_MESSAGE_INFO;
}

static void *write_on(void *arg)
{
    struct others *others = arg;
    uint8_t value[LARGE_SIZE];
    char key[16];
    size_t n = 0;

    while (!atomic_load(&others->stop)) {
        struct kv_table *table = NULL;
        int r = kv_table_open(others->store, "t", NULL, &table);
        ck_assert_msg(r == 0 || r == -ENOSPC, "kv_table_open: %s", strerror(-r));
        for (size_t i = 0; r == 0 && i < 500; i++, n++) {
            r = kv_put(table, key_of(n % KEYS, key), value_of(n % KEYS, 1, value), KV_DURABLE_NONE);
            ck_assert(r == 0 || r == -EIDRM);
        }
    }
    return NULL;
}

static void await_use_below(struct kv_store *store, uint64_t bytes)
{
    struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    for (int i = 0; i < 6000 && used_bytes(store) >= bytes; i++) {
        nanosleep(&pause, NULL);
    }
    ck_assert_uint_lt(used_bytes(store), bytes);
}

START_TEST(tables_are_dropped_beside_writers_flushes_and_merges)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)64 << 10,
                                 .file_bytes = (size_t)64 << 10,
                                 .level_base_bytes = (size_t)128 << 10,
                                 .blob_commit_bytes = 4096,
                                 .message_fn = count_complaint};
    struct others others = {0};
    struct kv_health health;
    struct kv_storage *storage = NULL;
    struct thread threads[2];

    ck_ok(kv_storage_mem_create(&storage));
    options.message_arg = &others;
    ck_ok(kv_open(storage, &options, &others.store));
    put_all(open_table(others.store, "kept"), 1);
    for (int i = 0; i < 2; i++) {
        ck_ok(thread_start(&threads[i], "writer", write_on, &others));
    }
    for (int i = 0; i < 20; i++) {
        struct kv_stats before;
        struct kv_stats now;
        int r = kv_table_drop(others.store, "t");
        ck_assert(r == 0 || r == -ENOENT);
        kv_stats(others.store, &before);
        do { /* until there is something to drop */
            kv_stats(others.store, &now);
        } while (now.rows_written < before.rows_written + 500 + 100 * (uint64_t)i);
    }
    atomic_store(&others.stop, true);
    for (int i = 0; i < 2; i++) {
        thread_join(&threads[i]);
    }
    kv_ignore(kv_table_drop(others.store, "t")); /* or it was just dropped */
    ck_ok(kv_compact(others.store));
    /* A merge that began before may still read what is garbage: it goes once that has ended. */
    await_use_below(others.store, (uint64_t)KEYS * LARGE_SIZE * 4);
    kv_health(others.store, &health);
    ck_assert_int_eq(health.state, KV_HEALTH_OK);
    ck_ok(kv_close(others.store));
    ck_assert_uint_eq(others.complaints, 0);
    struct kv_store *store = open_store(storage);
    check_names(store, "kept:0 ");
    check_all(open_table(store, "kept"), 1);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

static void *drop_it(void *arg)
{
    ck_ok(kv_table_drop(arg, "t"));
    return NULL;
}

/* As a merge marks its inputs. */
static void set_busy(struct kv_store *store, const struct kv_table *table, bool busy)
{
    mutex_lock(&store->mu);
    version_table(store->view->version, table->id)->levels[0].files[0]->busy = busy;
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
}

START_TEST(a_drop_waits_for_the_merge_that_is_under_way)
{
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    struct kv_storage *storage = NULL;
    struct kv_store *store;
    struct kv_table *table;
    struct thread thread;
    bool begun = false;

    ck_ok(kv_storage_mem_create(&storage));
    store = open_store(storage);
    table = fill(store, "t");
    set_busy(store, table, true);
    ck_ok(thread_start(&thread, "dropper", drop_it, store));
    while (!begun) {
        mutex_lock(&store->mu);
        begun = table->dropping;
        mutex_unlock(&store->mu);
    }
    nanosleep(&pause, NULL);
    check_all(table, 3);
    ck_assert_int_eq(compact_one(store), 0); /* and none begins */
    set_busy(store, table, false);
    thread_join(&thread);
    check_names(store, "");
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("tables");
    TCase *tc = tcase_create("crashes");
    suite_add(s, "list", tables_are_listed_with_their_options);
    suite_add(s, "options", options_beyond_their_limits_are_refused_before_they_are_written);
    suite_add(s, "same name", a_table_of_the_same_name_is_another_and_empty);
    suite_add(s, "handles", through_handles_of_a_dropped_table_everything_fails);
    suite_add(s, "space", the_space_of_a_dropped_table_comes_back_once_no_iterator_reads_it);
    suite_add(s, "ids", an_id_is_used_again_only_by_a_later_opening);
    suite_add(s, "read-only", a_store_opened_read_only_drops_nothing);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, rows_of_a_dropped_table_do_not_come_back_whatever_crashes);
    tcase_add_test(tc, what_was_written_to_other_tables_before_a_drop_is_not_lost_behind_it);
    tcase_add_test(tc,
                   a_drop_that_fails_leaves_a_table_that_is_whole_or_gone_after_the_next_opening);
    tcase_add_test(tc, a_drop_waits_for_the_merge_that_is_under_way);
    tcase_add_test(tc, tables_are_dropped_beside_writers_flushes_and_merges);
    suite_add_tcase(s, tc);
    return s;
}
