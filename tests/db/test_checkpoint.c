/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of an open store: what they hold, that nothing changes them, and crashes on the way. */
#include "tests/lib/check_main.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kv/kv.h>

#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/lib/temp_dir.h"
#include "tests/sim/sim_fs.h"

enum { MOMENTS_MAX = 1000, KEYS = 60, LARGE_SIZE = 12 * 1024, SMALL_SIZE = 304 };

static struct temp_dir dir;

static void setup(void)
{
    temp_dir_make(&dir);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

static struct kv_slice key_of(size_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05zu", i));
}

/* Every other value is large: it goes to a blob. */
static struct kv_slice value_of(size_t i, unsigned round, uint8_t to[LARGE_SIZE])
{
    struct rng rng = {i * 1000 + round};
    size_t size = i % 2 == 0 ? LARGE_SIZE : SMALL_SIZE;
    for (size_t n = 0; n + 8 <= size; n += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(to + n, &word, sizeof word);
    }
    return kv_slice(to, size);
}

static struct kv_store *open_store(struct kv_storage *storage, struct kv_table **ret_table)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)256 << 10,
                                 .blob_commit_bytes = 4096,
                                 .blob_file_bytes = (size_t)256 << 10,
                                 .no_background = true};
    struct kv_store *store = NULL;
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, ret_table));
    return store;
}

static void put_all(struct kv_table *table, unsigned round)
{
    static uint8_t value[LARGE_SIZE];
    char key[16];
    for (size_t i = 0; i < KEYS; i++) {
        ck_ok(kv_put(table, key_of(i, key), value_of(i, round, value), KV_DURABLE_WRITE));
    }
}

static void check_all(struct kv_table *table, unsigned round)
{
    static uint8_t expected[LARGE_SIZE];
    struct kv_buf value = {0};
    char key[16];
    for (size_t i = 0; i < KEYS; i++) {
        ck_ok(kv_get_copy(table, NULL, key_of(i, key), &value));
        ck_assert(kv_slice_equal(kv_buf_slice(&value), value_of(i, round, expected)));
    }
    kv_buf_finish(&value);
}

/* ---- on a directory ---- */

static const char *path_of(const char *name)
{
    static char path[512];
    return temp_dir_name(&dir, name, path);
}

static struct kv_store *open_dir(const char *name, bool create, struct kv_table **ret_table)
{
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_posix_open(path_of(name), create, &storage));
    return open_store(storage, ret_table);
}

static int checkpoint(struct kv_store *store, const char *name)
{
    struct kv_storage *to = NULL;
    int r = kv_storage_posix_begin(path_of(name), &to);
    if (r == 0) {
        r = kv_checkpoint(store, to);
        to->ops->close(to);
    }
    return r;
}

static bool exists(const char *name)
{
    struct stat st;
    return stat(path_of(name), &st) == 0;
}

START_TEST(a_copy_holds_what_was_written_before_and_opens_as_a_store_of_its_own)
{
    struct kv_table *table = NULL;
    struct kv_table *copy_table = NULL;
    struct kv_store *store = open_dir("store", true, &table);
    struct kv_store *copy;
    struct kv_identity identity;
    struct kv_identity copy_identity;

    put_all(table, 1);
    ck_ok(checkpoint(store, "copy"));
    ck_assert(!exists("copy.tmp"));
    copy = open_dir("copy", false, &copy_table); /* beside the store */
    check_all(copy_table, 1);
    kv_identify(store, &identity);
    kv_identify(copy, &copy_identity);
    ck_assert(copy_identity.was_clean);
    ck_assert_mem_ne(identity.store_id, copy_identity.store_id, sizeof identity.store_id);
    ck_ok(kv_close(copy));
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(store_and_copy_go_their_own_ways)
{
    struct kv_table *table = NULL;
    struct kv_table *copy_table = NULL;
    struct kv_store *store = open_dir("store", true, &table);
    struct kv_store *copy;

    put_all(table, 1);
    ck_ok(checkpoint(store, "copy"));
    copy = open_dir("copy", false, &copy_table);
    put_all(table, 2);
    ck_ok(kv_compact(store));
    put_all(copy_table, 3);
    ck_ok(kv_compact(copy));
    check_all(table, 2);
    check_all(copy_table, 3);
    ck_ok(kv_close(copy));
    ck_ok(kv_close(store));
    copy = open_dir("copy", false, &copy_table);
    check_all(copy_table, 3);
    store = open_dir("store", false, &table);
    check_all(table, 2);
    ck_ok(kv_close(copy));
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(rows_written_to_a_copy_survive_the_death_of_its_process)
{
    struct kv_table *table = NULL;
    struct kv_store *store = open_dir("store", true, &table);

    for (unsigned round = 1; round < 5; round++) { /* logs of higher numbers come and go */
        put_all(table, round);
        ck_ok(kv_flush(store));
    }
    ck_ok(checkpoint(store, "copy"));
    ck_ok(kv_close(store));
    pid_t pid = fork();
    if (pid == 0) {
        open_dir("copy", false, &table);
        put_all(table, 9);
        _exit(0);
    }
    ck_assert_int_gt(pid, 0);
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    store = open_dir("copy", false, &table);
    check_all(table, 9);
    ck_ok(kv_close(store));
}
END_TEST

static uint64_t punched(struct kv_store *store)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    return stats.blob_punched_bytes;
}

/* All large values but each eighth. */
static void delete_most(struct kv_table *table)
{
    char key[16];
    for (size_t i = 0; i < KEYS; i++) {
        if (i % 8 != 0) {
            ck_ok(kv_delete(table, key_of(i, key), KV_DURABLE_WRITE));
        }
    }
}

START_TEST(nothing_is_given_back_inside_a_blob_that_a_copy_holds)
{
    struct kv_table *table = NULL;
    struct kv_table *copy_table = NULL;
    struct kv_store *store = open_dir("store", true, &table);
    struct kv_store *copy;

    put_all(table, 1);
    ck_ok(checkpoint(store, "copy"));
    delete_most(table);
    ck_ok(kv_compact(store));
    ck_assert_uint_eq(punched(store), 0);
    copy = open_dir("copy", false, &copy_table);
    check_all(copy_table, 1);
    delete_most(copy_table);
    ck_ok(kv_compact(copy));
    ck_assert_uint_eq(punched(copy), 0);
    ck_ok(kv_close(copy));
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(what_cannot_be_copied_is_refused_and_leaves_nothing)
{
    struct kv_options read_only = {.read_only = true};
    struct kv_table *table = NULL;
    struct kv_storage *storage = NULL;
    struct kv_storage *to = NULL;
    struct kv_store *store = open_dir("store", true, &table);

    put_all(table, 1);
    ck_assert_int_eq(mkdir(path_of("taken"), 0700), 0);
    ck_fails(checkpoint(store, "taken"), EEXIST);
    ck_fails(checkpoint(store, ".."), EINVAL);
    ck_fails(checkpoint(store, "missing/copy"), ENOENT);
    ck_assert_int_eq(mkdir(path_of("full.tmp"), 0700), 0);
    ck_assert_int_eq(mkdir(path_of("full.tmp/something"), 0700), 0);
    ck_fails(checkpoint(store, "full"), ENOTEMPTY);
    ck_ok(kv_storage_mem_create(&storage));
    ck_fails(kv_checkpoint(store, storage), EXDEV);
    kv_storage_mem_destroy(storage);
    ck_ok(checkpoint(store, "copy"));
    ck_ok(kv_storage_posix_open(path_of("copy"), false, &to));
    ck_fails(kv_checkpoint(store, to), EEXIST);
    to->ops->close(to);
    ck_ok(kv_close(store));
    ck_ok(kv_storage_posix_open(path_of("store"), false, &storage));
    ck_ok(kv_open(storage, &read_only, &store));
    ck_fails(checkpoint(store, "other"), EROFS);
    ck_ok(kv_close(store));
    ck_assert(!exists("other") && exists("copy"));
}
END_TEST

/* ---- copies that share nothing -----------------------------------------------------------------
 */

struct copying {
    uint64_t bytes, bytes_all;
    uint64_t end_at; /* 0: never */
};

static int note_copying(void *arg, uint64_t bytes, uint64_t bytes_all)
{
    struct copying *copying = arg;
    ck_assert_uint_ge(bytes, copying->bytes);
    copying->bytes = bytes;
    copying->bytes_all = bytes_all;
    return copying->end_at > 0 && bytes >= copying->end_at;
}

/* From a directory to memory, which share no file, and on from there to a directory. */
START_TEST(bytes_are_copied_where_files_cannot_be_shared)
{
    struct copying copying = {0};
    struct kv_table *table = NULL;
    struct kv_storage *memory = NULL;
    struct kv_storage *to = NULL;
    struct kv_store *store = open_dir("store", true, &table);
    struct kv_store *copy;

    put_all(table, 1);
    ck_ok(kv_storage_mem_create(&memory));
    ck_ok(kv_copy(store, memory, note_copying, &copying));
    ck_assert_uint_gt(copying.bytes, KEYS / 2 * LARGE_SIZE);
    ck_assert_uint_eq(copying.bytes, copying.bytes_all);
    memory->ops->close(memory);
    put_all(table, 2); /* concerns the store alone */
    ck_ok(kv_compact(store));
    copy = open_store(memory, &table);
    check_all(table, 1);
    ck_ok(kv_storage_posix_begin(path_of("back"), &to));
    ck_ok(kv_copy(copy, to, NULL, NULL));
    to->ops->close(to);
    ck_fails(kv_copy(store, memory, NULL, NULL), EBUSY);
    ck_ok(kv_close(copy));
    ck_fails(kv_copy(store, memory, NULL, NULL), EEXIST);
    memory->ops->close(memory);
    copy = open_dir("back", false, &table);
    check_all(table, 1);
    ck_ok(kv_close(copy));
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(memory);
}
END_TEST

START_TEST(a_copy_of_bytes_that_is_given_up_leaves_nothing)
{
    struct copying copying = {.end_at = LARGE_SIZE};
    struct kv_table *table = NULL;
    struct kv_storage *to = NULL;
    struct kv_store *store = open_dir("store", true, &table);

    put_all(table, 1);
    ck_ok(kv_storage_posix_begin(path_of("copy"), &to));
    ck_fails(kv_copy(store, to, note_copying, &copying), ECANCELED);
    to->ops->close(to);
    ck_assert(!exists("copy") && !exists("copy.tmp"));
    check_all(table, 1);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_copy_that_was_cut_short_is_made_anew_but_not_under_another_who_makes_it)
{
    struct kv_table *table = NULL;
    struct kv_store *store = open_dir("store", true, &table);
    struct kv_storage *other = NULL;
    struct kv_store *copy;

    put_all(table, 1);
    ck_ok(kv_storage_posix_begin(path_of("copy"), &other));
    ck_ok(other->ops->lease_acquire(other, KV_LEASE_EXCLUSIVE, "another"));
    ck_assert(exists("copy.tmp"));
    ck_fails(checkpoint(store, "copy"), EBUSY);
    ck_assert(exists("copy.tmp"));
    other->ops->close(other);
    ck_assert(!exists("copy.tmp"));
    copy = open_dir("copy.tmp", true, &table); /* any store will do for remains */
    ck_ok(kv_close(copy));
    ck_ok(checkpoint(store, "copy"));
    ck_assert(!exists("copy.tmp"));
    copy = open_dir("copy", false, &table);
    check_all(table, 1);
    ck_ok(kv_close(copy));
    ck_ok(kv_close(store));
}
END_TEST

/* ---- beside writers ---- */

struct counter {
    struct kv_store *store;
    struct kv_table *table;
    _Atomic uint32_t written; /* the newest that kv_put() returned for */
    _Atomic bool stop;
};

/* Row n and, with it in one batch, how many there are. */
static void *count_up(void *arg)
{
    struct counter *counter = arg;
    struct kv_batch *batch = NULL;
    static uint8_t value[LARGE_SIZE];

    ck_ok(kv_batch_create(&batch));
    for (uint32_t n = 1; !atomic_load(&counter->stop); n++) {
        char key[16];
        kv_batch_clear(batch);
        ck_ok(kv_batch_put(batch, counter->table, key_of(n, key), value_of(n, 0, value)));
        ck_ok(kv_batch_put(batch, counter->table, kv_slice_str("n"), kv_slice(&n, sizeof n)));
        ck_ok(kv_write(counter->store, batch, KV_DURABLE_NONE));
        atomic_store(&counter->written, n);
    }
    kv_batch_destroy(batch);
    return NULL;
}

/* The copy holds all rows up to some number, which it returns. */
static uint32_t count_rows(struct kv_table *table)
{
    static uint8_t expected[LARGE_SIZE];
    struct kv_buf value = {0};
    struct kv_iter *it = NULL;
    struct kv_slice got;
    uint32_t rows = 0;
    uint32_t n;

    ck_ok(kv_get_copy(table, NULL, kv_slice_str("n"), &value));
    ck_assert_uint_eq(value.size, sizeof n);
    memcpy(&n, value.data, sizeof n);
    kv_buf_finish(&value);
    ck_ok(kv_iter_create(table, &(struct kv_iter_options){.lower = kv_slice_str("k")}, &it));
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        if (rows < n) {
            rows++;
            ck_ok(kv_iter_value(it, &got));
            ck_assert(kv_slice_equal(got, value_of(rows, 0, expected)));
        }
    }
    ck_ok(kv_iter_error(it));
    kv_iter_destroy(it);
    ck_assert_uint_eq(rows, n);
    return n;
}

START_TEST(a_copy_made_beside_a_writer_holds_a_prefix_with_all_that_was_written_before)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)256 << 10,
                                 .blob_commit_bytes = 4096,
                                 .blob_file_bytes = (size_t)256 << 10};
    struct counter counter = {0};
    struct thread thread;
    struct kv_storage *storage = NULL;
    struct kv_store *copy;
    struct kv_table *table = NULL;
    char name[] = "copy0";

    ck_ok(kv_storage_posix_open(path_of("store"), true, &storage));
    ck_ok(kv_open(storage, &options, &counter.store));
    ck_ok(kv_table_open(counter.store, "t", NULL, &counter.table));
    ck_ok(thread_start(&thread, "writer", count_up, &counter));
    for (; name[4] < '4'; name[4]++) {
        uint32_t before;
        while (atomic_load(&counter.written) < (uint32_t)(name[4] - '0') * 50 + 1) {
        }
        before = atomic_load(&counter.written);
        ck_ok(checkpoint(counter.store, name));
        copy = open_dir(name, false, &table);
        ck_assert_uint_ge(count_rows(table), before);
        ck_ok(kv_close(copy));
    }
    atomic_store(&counter.stop, true);
    thread_join(&thread);
    ck_ok(kv_close(counter.store));
}
END_TEST

/* ---- crashes ---- */

struct crashes {
    struct kv_store *store;
    unsigned moments, whole, remade;
    bool done; /* kv_checkpoint() has returned */
    struct sim_fs *all[MOMENTS_MAX];
    bool all_done[MOMENTS_MAX];
    size_t moment_count;
};

/* The copy in `sim`, if there is one, is whole. */
static bool check_copy(struct sim_fs *sim)
{
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *copy;
    int r = sim_storage_open_copy(sim, &storage);

    if (r == -ENOENT) {
        return false;
    }
    ck_ok(r);
    copy = open_store(storage, &table);
    check_all(table, 1);
    ck_ok(kv_close(copy));
    return true;
}

/* The store is as it was, and another attempt succeeds. */
static void make_again(struct sim_fs *sim)
{
    struct kv_storage *storage = NULL;
    struct kv_storage *to = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store;

    ck_ok(sim_storage_open(sim, false, &storage));
    store = open_store(storage, &table);
    check_all(table, 1);
    ck_ok(sim_storage_begin_copy(sim, &to));
    ck_ok(kv_checkpoint(store, to));
    to->ops->close(to);
    ck_assert(check_copy(sim));
    ck_ok(kv_close(store));
}

static void crash(struct crashes *crashes, struct sim_fs *sim, enum sim_mode mode)
{
    struct sim_fs *crashed = NULL;
    uint64_t damage;
    bool whole;

    ck_ok(sim_crash(sim, test_seed() + crashes->moments, mode, &crashed, &damage));
    whole = check_copy(crashed);
    ck_assert(whole || !crashes->done);
    if (!whole && crashes->moments % 8 == 0) {
        make_again(crashed);
        crashes->remade++;
    }
    crashes->whole += whole;
    sim_destroy(crashed);
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
        crashes->moments++;
        crashes->done = crashes->all_done[i];
        for (enum sim_mode mode = SIM_DROP_ALL; mode < SIM_MODE_COUNT; mode++) {
            crash(crashes, crashes->all[i], mode);
        }
        sim_destroy(crashes->all[i]);
    }
}

START_TEST(a_crash_leaves_a_whole_copy_or_none)
{
    static struct crashes crashes;
    struct sim_fs *sim = NULL;
    struct kv_storage *storage = NULL;
    struct kv_storage *to = NULL;
    struct kv_table *table = NULL;
    struct sim_event event = {.changes = true};

    ck_ok(sim_create(&sim));
    ck_ok(sim_storage_open(sim, true, &storage));
    crashes.store = open_store(storage, &table);
    put_all(table, 1);
    ck_ok(kv_sync(crashes.store));
    sim_watch(sim, keep_moment, &crashes);
    ck_ok(sim_storage_begin_copy(sim, &to));
    ck_ok(kv_checkpoint(crashes.store, to));
    to->ops->close(to);
    sim_watch(sim, NULL, NULL);
    crashes.done = true;
    keep_moment(&crashes, sim, &event);
    crash_at_moments(&crashes);
    ck_assert_uint_gt(crashes.whole, 4); /* and not only at the very end */
    ck_assert_uint_gt(crashes.remade, 4);
    ck_assert_uint_gt(sim_count_names(sim, SIM_BLOB), 1);
    ck_ok(kv_close(crashes.store));
    sim_destroy(sim);
}
END_TEST

START_TEST(a_call_that_fails_fails_the_copy_and_leaves_the_store_as_it_was)
{
    bool hit = true;
    for (uint64_t n = 1; hit; n++) {
        struct sim_event event;
        struct sim_fs *sim = NULL;
        struct sim_fault fault = {.failure = SIM_FAIL_EIO};
        struct kv_storage *storage = NULL;
        struct kv_storage *to = NULL;
        struct kv_table *table = NULL;
        struct kv_store *store;
        int r;

        ck_ok(sim_create(&sim));
        ck_ok(sim_storage_open(sim, true, &storage));
        store = open_store(storage, &table);
        put_all(table, 1);
        ck_ok(kv_flush(store));
        fault.at = sim_calls_made(sim) + n;
        sim_fail(sim, &fault);
        r = sim_storage_begin_copy(sim, &to);
        if (r == 0) {
            r = kv_checkpoint(store, to);
            to->ops->close(to);
        }
        hit = sim_fault_hit(sim, &event);
        sim_fail(sim, NULL);
        if (r == 0) {
            ck_assert(check_copy(sim));
        }
        ck_ok(kv_close(store));
        ck_ok(sim_storage_open(sim, false, &storage));
        store = open_store(storage, &table);
        check_all(table, 1);
        ck_ok(kv_close(store));
        ck_assert_uint_eq(sim_count_open(sim), 0);
        sim_destroy(sim);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("checkpoint");
    TCase *tc = tcase_create("directory");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_copy_holds_what_was_written_before_and_opens_as_a_store_of_its_own);
    tcase_add_test(tc, store_and_copy_go_their_own_ways);
    tcase_add_test(tc, rows_written_to_a_copy_survive_the_death_of_its_process);
    tcase_add_test(tc, nothing_is_given_back_inside_a_blob_that_a_copy_holds);
    tcase_add_test(tc, what_cannot_be_copied_is_refused_and_leaves_nothing);
    tcase_add_test(tc, bytes_are_copied_where_files_cannot_be_shared);
    tcase_add_test(tc, a_copy_of_bytes_that_is_given_up_leaves_nothing);
    tcase_add_test(tc, a_copy_that_was_cut_short_is_made_anew_but_not_under_another_who_makes_it);
    tcase_add_test(tc, a_copy_made_beside_a_writer_holds_a_prefix_with_all_that_was_written_before);
    suite_add_tcase(s, tc);
    tc = tcase_create("crashes");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_crash_leaves_a_whole_copy_or_none);
    tcase_add_test(tc, a_call_that_fails_fails_the_copy_and_leaves_the_store_as_it_was);
    suite_add_tcase(s, tc);
    return s;
}
