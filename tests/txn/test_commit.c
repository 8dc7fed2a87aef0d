/* SPDX-License-Identifier: Apache-2.0 */
/* What comes between while a commit stands in the queue of writers. A gate holds the queue up: a
 * writer that leads it and does nothing until it is told. */
#include "tests/lib/check_main.h"

#include <sched.h>

#include <kv/txn.h>

#include "kvcore/db/flush.h"
#include "kvcore/db/rotate.h"
#include "kvcore/db/write.h"
#include "kvcore/util/clock.h"

static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *table;
static struct kv_txn_manager *manager;

/* Somebody in the queue, in a thread of its own. */
struct actor {
    struct thread thread;
    struct kv_txn *txn; /* to be committed; NULL: put `key` */
    const char *key;
    int (*fn)(struct kv_store *store, void *arg); /* to lead the queue with; NULL: none */
    int result;
};

static struct actor gate;
static _Atomic bool gate_open;

static void begin(void)
{
    const struct kv_options options = {.create = true, .no_background = true};
    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "rows", NULL, &table));
    ck_ok(kv_txn_manager_open(store, &manager));
    ck_ok(kv_put(table, kv_slice_str("read"), kv_slice_str("1"), KV_DURABLE_WRITE));
}

static void end(void)
{
    ck_ok(kv_txn_manager_close(manager));
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}

static void *act(void *arg)
{
    struct actor *actor = arg;
    if (actor->fn != NULL) {
        actor->result = write_exclusive(store, actor->fn, NULL);
    } else if (actor->txn != NULL) {
        actor->result = kv_txn_commit(actor->txn, KV_DURABLE_WRITE);
    } else {
        actor->result =
            kv_put(table, kv_slice_str(actor->key), kv_slice_str("theirs"), KV_DURABLE_WRITE);
    }
    return NULL;
}

/* Returns when it stands in the queue, in which are `count` then. */
static void enter(struct actor *actor, uint64_t count)
{
    uint64_t deadline_ns = clock_monotonic_ns() + test_patience_ms() * 1000000;
    ck_ok(thread_start(&actor->thread, "actor", act, actor));
    while (writers_waiting(store) < count) {
        ck_assert_msg(clock_monotonic_ns() < deadline_ns, "nobody queues");
        sched_yield();
    }
}

static int leave(struct actor *actor)
{
    thread_join(&actor->thread);
    return actor->result;
}

static int wait_at_gate(struct kv_store *held, void *arg)
{
    (void)held;
    (void)arg;
    while (!atomic_load(&gate_open)) {
        sched_yield();
    }
    return 0;
}

static void close_gate(void)
{
    atomic_store(&gate_open, false);
    gate = (struct actor){.fn = wait_at_gate};
    enter(&gate, 1);
}

static void open_gate(void)
{
    atomic_store(&gate_open, true);
    ck_ok(leave(&gate));
}

static int rotate_and_flush(struct kv_store *led, void *arg)
{
    int r = rotate(led, IMMUTABLE_MAX);
    (void)arg;
    while (r >= 0 && (r = flush_one(led)) > 0) {
    }
    return r;
}

/* A transaction that has read, and has put "k". */
static struct kv_txn *make_txn(const struct kv_txn_options *options)
{
    struct kv_txn *txn = NULL;
    struct kv_buf value = {0};
    ck_ok(kv_txn_begin(manager, options, &txn));
    ck_ok(kv_txn_get(txn, table, kv_slice_str("read"), &value));
    ck_ok(kv_txn_put(txn, table, kv_slice_str("k"), kv_slice_str("mine")));
    kv_buf_finish(&value);
    return txn;
}

/* Others put `key` and perhaps flush between the commit's first look and its turn. */
static int commit_behind(const char *key, bool flush, const struct kv_txn_options *options)
{
    struct actor other = {.key = key};
    struct actor flusher = {.fn = rotate_and_flush};
    struct actor commit = {.txn = make_txn(options)};

    close_gate();
    enter(&other, 2);
    if (flush) {
        enter(&flusher, 3);
    }
    enter(&commit, flush ? 4 : 3);
    open_gate();
    ck_ok(leave(&other));
    ck_ok(flush ? leave(&flusher) : 0);
    return leave(&commit);
}

START_TEST(what_was_written_in_front_of_a_commit_in_the_queue_is_a_conflict)
{
    ck_fails(commit_behind("k", false, NULL), EAGAIN);
    ck_ok(commit_behind("other", false, NULL));
    ck_ok(commit_behind("read", false, NULL));
    ck_fails(
        commit_behind("read", false, &(struct kv_txn_options){.isolation = KV_TXN_SERIALIZABLE}),
        EAGAIN);
}
END_TEST

START_TEST(what_went_to_tables_in_front_of_a_commit_is_looked_for_there)
{
    ck_fails(commit_behind("k", true, NULL), EAGAIN);
    ck_ok(commit_behind("other", true, NULL));
}
END_TEST

START_TEST(a_commit_that_fails_takes_nobody_along)
{
    struct actor other = {.key = "k"};
    struct actor commit = {.txn = make_txn(NULL)};
    struct actor behind[2] = {{.key = "x"}, {.key = "y"}};

    close_gate();
    enter(&other, 2);
    enter(&commit, 3);
    enter(&behind[0], 4);
    enter(&behind[1], 5);
    open_gate();
    ck_ok(leave(&other));
    ck_fails(leave(&commit), EAGAIN);
    ck_ok(leave(&behind[0]));
    ck_ok(leave(&behind[1]));
    ck_ok(kv_exists(table, NULL, kv_slice_str("y")));
}
END_TEST

START_TEST(of_two_commits_in_the_queue_that_conflict_the_first_wins)
{
    struct actor first = {.txn = make_txn(NULL)};
    struct actor second = {.txn = make_txn(NULL)};

    close_gate();
    enter(&first, 2);
    enter(&second, 3);
    open_gate();
    ck_ok(leave(&first));
    ck_fails(leave(&second), EAGAIN);
}
END_TEST

START_TEST(locks_are_held_until_the_commit_can_be_seen)
{
    const struct kv_txn_options options = {.mode = KV_TXN_PESSIMISTIC, .lock_timeout_ms = 20};
    struct actor commit = {.txn = make_txn(&options)};
    struct kv_buf value = {0};
    struct kv_txn *txn = NULL;

    close_gate();
    enter(&commit, 2);
    ck_ok(kv_txn_begin(manager, &options, &txn));
    ck_fails(kv_txn_get_for_update(txn, table, kv_slice_str("k"), &value), ETIMEDOUT);
    open_gate();
    ck_ok(leave(&commit));
    ck_ok(kv_txn_get_for_update(txn, table, kv_slice_str("k"), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_slice_str("mine")));
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
    kv_buf_finish(&value);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("commit");
    TCase *tc = tcase_create("commit");
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, what_was_written_in_front_of_a_commit_in_the_queue_is_a_conflict);
    tcase_add_test(tc, what_went_to_tables_in_front_of_a_commit_is_looked_for_there);
    tcase_add_test(tc, a_commit_that_fails_takes_nobody_along);
    tcase_add_test(tc, of_two_commits_in_the_queue_that_conflict_the_first_wins);
    tcase_add_test(tc, locks_are_held_until_the_commit_can_be_seen);
    suite_add_tcase(suite, tc);
    return suite;
}
