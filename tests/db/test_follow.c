/* SPDX-License-Identifier: Apache-2.0 */
/* Followers: what they show of a store that somebody else writes, and that what they read stays. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kv/kv.h>
#include <kv/verify.h>

#include "kvcore/db/followers.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/db/follow_place.h"

enum { KEYS = 60, LARGE_SIZE = 20 * 1024, SMALL_SIZE = 304 };

/* ---- opening ----------------------------------------------------------------------------------
 */

static struct kv_store *open_store(const struct kv_options *options)
{
    struct kv_store *store = NULL;
    ck_ok(kv_open(place_open(options->create), options, &store));
    return store;
}

static struct kv_store *open_writer(struct kv_table **ret_table)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)256 << 10,
                                 .blob_file_bytes = (size_t)256 << 10,
                                 .no_background = true};
    struct kv_store *store = open_store(&options);
    ck_ok(kv_table_open(store, "t", NULL, ret_table));
    return store;
}

static struct kv_store *open_follower(struct kv_table **ret_table)
{
    struct kv_options options = {.follow = true, .no_background = true};
    struct kv_store *store = open_store(&options);
    ck_ok(kv_table_open(store, "t", NULL, ret_table));
    return store;
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static struct kv_slice key_of(uint64_t i, char to[24])
{
    return kv_slice(to, (size_t)snprintf(to, 24, "key%05" PRIu64, i));
}

/* One in ten is large: it goes to a blob. */
static struct kv_slice value_of(uint64_t i, uint64_t round, uint8_t to[LARGE_SIZE])
{
    struct rng rng = {i * 100000 + round};
    size_t size = (i + round) % 10 == 0 ? LARGE_SIZE : SMALL_SIZE;
    for (size_t n = 0; n + 8 <= size; n += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(to + n, &word, sizeof word);
    }
    return kv_slice(to, size);
}

static void put_all(struct kv_table *table, uint64_t round)
{
    static uint8_t value[LARGE_SIZE];
    char key[24];
    for (uint64_t i = 0; i < KEYS; i++) {
        ck_ok(kv_put(table, key_of(i, key), value_of(i, round, value), KV_DURABLE_WRITE));
    }
}

static void check_all(struct kv_table *table, const struct kv_snapshot *snapshot, uint64_t round)
{
    static uint8_t expected[LARGE_SIZE];
    struct kv_buf value = {0};
    char key[24];
    for (uint64_t i = 0; i < KEYS; i++) {
        ck_ok(kv_get_copy(table, snapshot, key_of(i, key), &value));
        ck_assert(kv_slice_equal(kv_buf_slice(&value), value_of(i, round, expected)));
    }
    kv_buf_finish(&value);
}

static void check_iterator(struct kv_iter *iter, uint64_t round)
{
    static uint8_t expected[LARGE_SIZE];
    struct kv_slice value;
    uint64_t i = 0;
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        ck_ok(kv_iter_value(iter, &value));
        ck_assert(kv_slice_equal(value, value_of(i++, round, expected)));
    }
    ck_ok(kv_iter_error(iter));
    ck_assert_uint_eq(i, KEYS);
}

static int get(struct kv_table *table, const char *key, char to[32])
{
    struct kv_buf value = {0};
    int r = kv_get_copy(table, NULL, kv_slice_str(key), &value);
    if (r == 0) {
        snprintf(to, 32, "%.*s", (int)value.size, (const char *)value.data);
    }
    kv_buf_finish(&value);
    return r;
}

static void put(struct kv_table *table, const char *key, const char *value)
{
    ck_ok(kv_put(table, kv_slice_str(key), kv_slice_str(value), KV_DURABLE_WRITE));
}

static void expect(struct kv_table *table, const char *key, const char *value)
{
    char got[32];
    ck_ok(get(table, key, got));
    ck_assert_str_eq(got, value);
}

/* ---- what it shows ----------------------------------------------------------------------------
 */

START_TEST(a_follower_shows_what_the_writer_has_in_tables_and_moves_forward)
{
    struct kv_table *written = NULL;
    struct kv_table *followed = NULL;
    char got[32];
    struct kv_store *writer = open_writer(&written);
    put(written, "k", "1");
    ck_ok(kv_flush(writer));
    struct kv_store *follower = open_follower(&followed);

    expect(followed, "k", "1");
    put(written, "k", "2");
    put(written, "new", "x");
    ck_ok(kv_sync(writer));
    ck_ok(kv_refresh(follower));
    expect(followed, "k", "1"); /* it is in the writer's memory */
    ck_ok(kv_flush(writer));
    expect(followed, "k", "1");
    ck_ok(kv_refresh(follower));
    expect(followed, "k", "2");
    expect(followed, "new", "x");
    ck_ok(kv_delete(written, kv_slice_str("k"), KV_DURABLE_WRITE));
    ck_ok(kv_compact(writer));
    ck_ok(kv_refresh(follower));
    ck_fails(get(followed, "k", got), ENOENT);
    ck_fails(kv_put(followed, kv_slice_str("k"), kv_slice_str("3"), KV_DURABLE_WRITE), EROFS);
    ck_fails(kv_verify(follower, NULL), ENOSYS);
    ck_ok(kv_close(follower));
    ck_ok(kv_close(writer));
}
END_TEST

START_TEST(a_follower_moves_by_itself)
{
    struct kv_options options = {.follow = true};
    struct kv_table *written = NULL;
    struct kv_table *followed = NULL;
    char got[32] = "";
    struct kv_store *writer = open_writer(&written);
    put(written, "k", "1");
    ck_ok(kv_flush(writer));
    struct kv_store *follower = open_store(&options);

    ck_ok(kv_table_open(follower, "t", NULL, &followed));
    put(written, "k", "2");
    ck_ok(kv_flush(writer));
    for (unsigned ms = 0; strcmp(got, "2") != 0; ms += 10) {
        ck_assert_uint_lt(ms, test_patience_ms());
        usleep(10000);
        ck_ok(get(followed, "k", got));
    }
    ck_ok(kv_close(follower));
    ck_ok(kv_close(writer));
}
END_TEST

START_TEST(tables_that_come_and_go_do_so_for_followers)
{
    struct kv_table *written = NULL;
    struct kv_table *followed = NULL;
    struct kv_table *other = NULL;
    struct kv_iter *iter = NULL;
    char got[32];
    struct kv_store *writer = open_writer(&written);
    put(written, "k", "1");
    ck_ok(kv_flush(writer));
    struct kv_store *follower = open_follower(&followed);

    ck_fails(kv_table_open(follower, "other", NULL, &other), ENOENT);
    ck_ok(kv_table_open(writer, "other", NULL, &written));
    put(written, "k", "of another");
    ck_ok(kv_flush(writer));
    ck_ok(kv_refresh(follower));
    ck_ok(kv_table_open(follower, "other", NULL, &other));
    expect(other, "k", "of another");
    ck_ok(kv_table_drop(writer, "t"));
    expect(followed, "k", "1");
    ck_ok(kv_refresh(follower));
    ck_fails(get(followed, "k", got), EIDRM);
    ck_fails(kv_iter_create(followed, NULL, &iter), EIDRM);
    ck_fails(kv_table_open(follower, "t", NULL, &followed), ENOENT);
    expect(other, "k", "of another");
    ck_ok(kv_close(follower));
    ck_ok(kv_close(writer));
}
END_TEST

/* ---- files stay -------------------------------------------------------------------------------
 */

struct files {
    uint64_t tables, blobs;
};

static void count_file(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    struct files *files = arg;
    files->tables += id.kind == KV_FILE_TABLE;
    files->blobs += id.kind == KV_FILE_BLOB;
    (void)size_bytes;
}

/* Every table and blob there is belongs to the writer's present state. */
static bool has_only_its_own(struct kv_store *writer)
{
    struct kv_storage *storage = kv_storage_of(writer);
    struct files files = {0};
    struct kv_stats stats;
    uint64_t tables = 0;
    ck_ok(storage->ops->list(storage, count_file, &files));
    kv_stats(writer, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        tables += stats.levels[level].files;
    }
    ck_assert_uint_ge(files.tables, tables);
    ck_assert_uint_ge(files.blobs, stats.blobs);
    return files.tables == tables && files.blobs == stats.blobs;
}

/* As the flush thread does now and then. */
static void clean_up(struct kv_store *writer)
{
    ck_ok(kv_compact(writer));
    followers_look(writer);
}

/* Whether nothing is kept any more once the follower (NULL: none) has moved. */
static bool lets_go(struct kv_store *writer, struct kv_store *follower)
{
    for (unsigned i = 0; i < 4; i++) {
        clean_up(writer);
        ck_ok(follower != NULL ? kv_refresh(follower) : 0);
    }
    followers_look(writer);
    return has_only_its_own(writer);
}

START_TEST(what_a_follower_reads_stays_until_it_is_done_with_it)
{
    struct kv_table *written = NULL;
    struct kv_table *followed = NULL;
    struct kv_snapshot *snapshot = NULL;
    struct kv_iter *iter = NULL;
    struct kv_store *writer = open_writer(&written);
    put_all(written, 1);
    ck_ok(kv_compact(writer));
    struct kv_store *follower = open_follower(&followed);

    ck_ok(kv_snapshot_create(follower, &snapshot));
    ck_ok(kv_iter_create(followed, NULL, &iter));
    for (uint64_t round = 2; round < 6; round++) {
        put_all(written, round);
        clean_up(writer);
        check_all(followed, snapshot, 1);
        ck_ok(kv_refresh(follower));
        check_all(followed, NULL, round);
        check_all(followed, snapshot, 1);
        check_iterator(iter, 1);
    }
    ck_assert(!has_only_its_own(writer));
    kv_snapshot_release(snapshot);
    ck_assert(!lets_go(writer, follower)); /* the iterator still has its view */
    check_iterator(iter, 1);
    kv_iter_destroy(iter);
    ck_assert(lets_go(writer, follower));
    ck_assert(!place_holds_removed_files());
    check_all(followed, NULL, 5);
    ck_ok(kv_close(follower));
    ck_ok(kv_close(writer));
}
END_TEST

START_TEST(a_follower_that_does_not_move_keeps_what_it_shows)
{
    struct kv_table *written = NULL;
    struct kv_table *followed = NULL;
    struct kv_store *writer = open_writer(&written);
    put_all(written, 1);
    ck_ok(kv_compact(writer));
    struct kv_store *follower = open_follower(&followed);

    put_all(written, 2);
    clean_up(writer);
    put_all(written, 3);
    clean_up(writer);
    check_all(followed, NULL, 1); /* nothing of it was read before */
    ck_ok(kv_close(follower));
    ck_assert(lets_go(writer, NULL));
    ck_ok(kv_close(writer));
}
END_TEST

/* A process that follows, or writes round 1, and waits. Returns when it is ready. */
static pid_t start_process(bool follows)
{
    struct kv_table *table = NULL;
    int ready[2];
    char byte;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct kv_store *store = follows ? open_follower(&table) : open_writer(&table);
        if (!follows) {
            put_all(table, 1);
            if (kv_compact(store) < 0) {
                _exit(1);
            }
            put(table, "unflushed", "x");
        }
        if (write(ready[1], "", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void kill_process(pid_t pid)
{
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(a_follower_that_dies_keeps_nothing)
{
    struct kv_table *written = NULL;
    struct kv_store *writer = open_writer(&written);
    put_all(written, 1);
    ck_ok(kv_compact(writer));
    ck_ok(kv_close(writer));
    pid_t follower = start_process(true);

    writer = open_writer(&written);
    put_all(written, 2);
    clean_up(writer);
    ck_assert(!lets_go(writer, NULL));
    kill_process(follower);
    ck_assert(lets_go(writer, NULL));
    ck_ok(kv_close(writer));
}
END_TEST

START_TEST(writers_may_die_and_others_come_while_a_follower_reads)
{
    struct kv_table *written = NULL;
    struct kv_table *followed = NULL;
    struct kv_snapshot *snapshot = NULL;
    pid_t first = start_process(false);
    struct kv_store *follower = open_follower(&followed);

    ck_ok(kv_snapshot_create(follower, &snapshot));
    kill_process(first);
    struct kv_store *writer = open_writer(&written);
    ck_ok(kv_refresh(follower));
    expect(followed, "unflushed", "x"); /* the opening wrote it to a table */
    ck_ok(kv_delete(written, kv_slice_str("unflushed"), KV_DURABLE_WRITE));
    put_all(written, 2);
    clean_up(writer);
    check_all(followed, snapshot, 1);
    ck_ok(kv_close(writer));
    writer = open_writer(&written); /* which sweeps away what is nobody's */
    ck_assert(!has_only_its_own(writer));
    check_all(followed, snapshot, 1);
    ck_assert(!lets_go(writer, follower));
    kv_snapshot_release(snapshot);
    ck_assert(lets_go(writer, follower));
    check_all(followed, NULL, 2);
    ck_ok(kv_close(writer));
    check_all(followed, NULL, 2); /* nobody writes any more */
    ck_ok(kv_close(follower));
}
END_TEST

START_TEST(a_writer_without_threads_removes_what_waited_when_it_writes)
{
    struct kv_table *written = NULL;
    struct kv_table *followed = NULL;
    struct kv_store *writer = open_writer(&written);
    put_all(written, 1);
    ck_ok(kv_compact(writer));
    struct kv_store *follower = open_follower(&followed);
    put_all(written, 2);
    ck_ok(kv_compact(writer));
    ck_ok(kv_close(writer));

    writer = open_writer(&written);
    put(written, "k", "1");
    ck_assert(!has_only_its_own(writer));
    ck_ok(kv_close(follower));
    for (unsigned ms = 0; !has_only_its_own(writer); ms += 10) {
        ck_assert_uint_lt(ms, test_patience_ms());
        usleep(10000);
        put(written, "k", "2");
    }
    ck_ok(kv_close(writer));
}
END_TEST

START_TEST(a_follower_does_not_go_on_to_another_store_in_the_same_place)
{
    struct kv_table *written = NULL;
    struct kv_table *followed = NULL;
    struct kv_store *writer = open_writer(&written);
    put(written, "k", "1");
    ck_ok(kv_flush(writer));
    struct kv_store *follower = open_follower(&followed);
    expect(followed, "k", "1");
    ck_ok(kv_close(writer));
    place_empty();
    writer = open_writer(&written);
    put(written, "k", "another");
    ck_ok(kv_flush(writer));

    ck_fails(kv_refresh(follower), ESTALE);
    expect(followed, "k", "1");
    ck_ok(kv_close(follower));
    ck_ok(kv_close(writer));
}
END_TEST

/* ---- beside a busy writer ---------------------------------------------------------------------
 */

enum { SLOTS = 200, FOLLOWERS = 2 };

struct load {
    struct place_load wanted;
    uint64_t writes; /* that were made, once it is done */
    _Atomic bool done;
    _Atomic unsigned begun;            /* followers */
    _Atomic unsigned looks[FOLLOWERS]; /* of each */
};

/* Each has looked twice since: so it has seen what was there before the call. */
static void await_looks(struct load *load)
{
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        unsigned before = atomic_load(&load->looks[i]);
        for (unsigned ms = 0; atomic_load(&load->looks[i]) < before + 2; ms++) {
            ck_assert_uint_lt(ms, test_patience_ms());
            usleep(1000);
        }
    }
}

/* The n-th write: the count, and one of the slots. */
static void write_one(struct kv_store *store, struct kv_table *table, struct kv_batch *batch,
                      uint64_t n)
{
    static uint8_t value[LARGE_SIZE];
    char key[24];
    kv_batch_clear(batch);
    ck_ok(kv_batch_put(batch, table, kv_slice_str("count"), kv_slice(&n, sizeof n)));
    ck_ok(kv_batch_put(batch, table, key_of(n % SLOTS, key), value_of(n % SLOTS, n, value)));
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
}

static bool goes_on(const struct place_load *wanted, uint64_t writes, uint64_t begun_ns)
{
    uint64_t passed_s = (clock_monotonic_ns() - begun_ns) / 1000000000;
    return writes < wanted->writes && (wanted->seconds == 0 || passed_s < wanted->seconds);
}

static void *write_main(void *arg)
{
    struct load *load = arg;
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)128 << 10,
                                 .file_bytes = (size_t)256 << 10,
                                 .level_base_bytes = (size_t)512 << 10,
                                 .blob_file_bytes = (size_t)1 << 20};
    struct kv_store *store = open_store(&options);
    struct kv_table *table = NULL;
    struct kv_batch *batch = NULL;
    uint64_t begun_ns = clock_monotonic_ns();
    ck_ok(kv_table_open(store, "t", NULL, &table));
    ck_ok(kv_batch_create(&batch));
    while (goes_on(&load->wanted, load->writes, begun_ns)) {
        write_one(store, table, batch, ++load->writes);
        if (load->writes % load->wanted.writes_per_compaction == 0) {
            ck_ok(kv_compact(store));
            await_looks(load);
        }
    }
    kv_batch_destroy(batch);
    ck_ok(kv_close(store));
    atomic_store(&load->done, true);
    return NULL;
}

/* Just the first `count` writes are there, or none: then there is no slot either. */
static uint64_t check_prefix(struct kv_table *table, const struct kv_snapshot *snapshot,
                             uint8_t expected[LARGE_SIZE])
{
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *iter = NULL;
    struct kv_slice value;
    uint64_t count = 0;
    uint64_t slots = 0;
    char key[24];
    ck_ok(kv_iter_create(table, &options, &iter));
    kv_iter_seek_first(iter);
    if (kv_iter_valid(iter)) {
        ck_ok(kv_iter_value(iter, &value));
        ck_assert_uint_eq(value.size, sizeof count);
        memcpy(&count, value.data, sizeof count);
        kv_iter_next(iter);
    }
    for (; kv_iter_valid(iter); kv_iter_next(iter)) {
        uint64_t slot = slots++ + (count < SLOTS); /* the first write is to slot 1 */
        uint64_t n = count - (count - slot) % SLOTS;
        ck_assert(kv_slice_equal(kv_iter_key(iter), key_of(slot, key)));
        ck_ok(kv_iter_value(iter, &value));
        ck_assert(kv_slice_equal(value, value_of(slot, n, expected)));
    }
    ck_ok(kv_iter_error(iter));
    ck_assert_uint_eq(slots, count < SLOTS ? count : SLOTS);
    kv_iter_destroy(iter);
    return count;
}

static void *follow_main(void *arg)
{
    struct load *load = arg;
    unsigned number = atomic_fetch_add(&load->begun, 1);
    struct kv_table *table = NULL;
    uint8_t *expected = malloc(LARGE_SIZE);
    struct kv_store *follower = open_follower(&table);
    unsigned times = number == 0 ? 10 : 1; /* it lingers at old states */
    uint64_t before = 0;
    uint64_t states = 0;
    bool done;
    do {
        struct kv_snapshot *snapshot = NULL;
        done = atomic_load(&load->done);
        ck_ok(kv_refresh(follower));
        ck_ok(kv_snapshot_create(follower, &snapshot));
        for (unsigned i = 0; i < times; i++) {
            uint64_t count = check_prefix(table, snapshot, expected);
            ck_assert_uint_ge(count, before);
            states += count > before;
            before = count;
        }
        kv_snapshot_release(snapshot);
        atomic_fetch_add(&load->looks[number], 1);
    } while (!done);
    ck_assert_uint_eq(before, load->writes);
    ck_assert_uint_gt(states, 4);
    free(expected);
    ck_ok(kv_close(follower));
    return NULL;
}

START_TEST(each_follower_of_a_busy_writer_sees_prefixes_that_only_grow)
{
    struct load load = {.wanted = place_load()};
    struct thread writer;
    struct thread followers[FOLLOWERS];
    struct kv_table *table = NULL;
    ck_ok(kv_close(open_writer(&table))); /* so that there is a table */
    ck_ok(thread_start(&writer, "writer", write_main, &load));
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        ck_ok(thread_start(&followers[i], "follower", follow_main, &load));
    }
    thread_join(&writer);
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        thread_join(&followers[i]);
    }
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *test)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 0);
    tcase_add_checked_fixture(t, place_make, place_remove);
    tcase_add_test(t, test);
    suite_add_tcase(suite, t);
}

Suite *test_suite(void)
{
    Suite *s = suite_create("follow");
    add(s, "shows", a_follower_shows_what_the_writer_has_in_tables_and_moves_forward);
    add(s, "shows", a_follower_moves_by_itself);
    add(s, "tables", tables_that_come_and_go_do_so_for_followers);
    add(s, "files", what_a_follower_reads_stays_until_it_is_done_with_it);
    add(s, "files", a_follower_that_does_not_move_keeps_what_it_shows);
    if (PLACE_SPANS_PROCESSES) {
        add(s, "files", a_follower_that_dies_keeps_nothing);
        add(s, "files", writers_may_die_and_others_come_while_a_follower_reads);
    }
    add(s, "files", a_writer_without_threads_removes_what_waited_when_it_writes);
    if (PLACE_CAN_BE_EMPTIED) {
        add(s, "place", a_follower_does_not_go_on_to_another_store_in_the_same_place);
    }
    add(s, "busy", each_follower_of_a_busy_writer_sees_prefixes_that_only_grow);
    return s;
}
