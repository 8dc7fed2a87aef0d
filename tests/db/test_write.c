/* SPDX-License-Identifier: Apache-2.0 */
/* Who writes what, of those that stand in the queue of writers. A gate holds the queue up until it
 * is filled: a writer that leads it and does nothing. */
#include "tests/lib/check_main.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "kvcore/db/write.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/thread.h"
#include "tests/sim/sim_fs.h"

/* A batch of so many rows leaves no room in its group for another. */
enum { ROWS = 150, WRITERS = LEAD_GROUPS_MAX + 2, NOBODY = -1 };

static struct sim_fs *sim;
static struct kv_store *store;
static struct kv_table *table;

/* Somebody who writes, in a thread of its own. */
struct actor {
    struct thread thread;
    struct kv_batch *batch;
    enum kv_durability durability;
    write_check_fn *check;
    _Atomic uint64_t token; /* of the thread */
    _Atomic bool is_back;
    int result;
};

static struct actor actors[WRITERS];
static int leader_of[WRITERS]; /* by the number of the group */
static int groups;
static uint64_t group_after; /* the last sequence number before the newest group */

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static int actor_here(void)
{
    for (int i = 0; i < WRITERS; i++) {
        if (atomic_load(&actors[i].token) == thread_token()) {
            return i;
        }
    }
    return NOBODY;
}

/* The thread that writes to the log leads. (Called one at a time; last_sequence is the leader's.)
 */
static void note_leader(void *arg, struct sim_fs *of, const struct sim_event *event)
{
    (void)arg;
    (void)of;
    if (event->call != SIM_PWRITEV || event->kind != SIM_LOG || actor_here() == NOBODY) {
        return;
    }
    if (groups == 0 || group_after != store->last_sequence) {
        ck_assert_int_lt(groups, WRITERS);
        group_after = store->last_sequence;
        groups++;
    }
    leader_of[groups - 1] = actor_here();
}

static void begin(void)
{
    const struct kv_options options = {.create = true, .no_background = true};
    struct kv_storage *storage = NULL;
    ck_ok(sim_create(&sim));
    ck_ok(sim_storage_open(sim, true, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
}

static void end(void)
{
    ck_ok(kv_close(store));
    sim_destroy(sim);
}

/* ---- the queue ---- */

static atomic_bool gate_open;

static int wait_at_gate(struct kv_store *of, void *arg)
{
    (void)of;
    (void)arg;
    while (!atomic_load(&gate_open)) {
        nap();
    }
    return 0;
}

static void *hold_gate(void *arg)
{
    ck_ok(write_exclusive(store, wait_at_gate, arg));
    return NULL;
}

static void *act(void *arg)
{
    struct actor *actor = arg;
    atomic_store(&actor->token, thread_token());
    actor->result = write_checked(store, actor->batch, actor->durability, actor->check, NULL);
    atomic_store(&actor->is_back, true);
    return NULL;
}

static void wait_for_queue(uint64_t length)
{
    uint64_t deadline_ns = clock_monotonic_ns() + test_patience_ms() * 1000000;
    while (writers_waiting(store) < length) {
        ck_assert_msg(clock_monotonic_ns() < deadline_ns, "nobody queues");
        nap();
    }
}

/* A batch of 4 KiB rows. */
static struct kv_batch *make_batch(int number, int rows)
{
    static const uint8_t value[4096] = {1};
    struct kv_batch *batch = NULL;
    char key[24];
    ck_ok(kv_batch_create(&batch));
    for (int i = 0; i < rows; i++) {
        int size = snprintf(key, sizeof key, "%02d/%05d", number, i);
        ck_ok(
            kv_batch_put(batch, table, kv_slice(key, (size_t)size), kv_slice(value, sizeof value)));
    }
    return batch;
}

static void make_actors(int count)
{
    for (int i = 0; i < WRITERS; i++) {
        actors[i] = (struct actor){.durability = KV_DURABLE_WRITE};
    }
    for (int i = 0; i < count; i++) {
        actors[i].batch = make_batch(i, ROWS);
    }
}

/* The actors stand in the queue in their order, and then it moves. */
static void start_actors(int count)
{
    struct thread gate;
    atomic_store(&gate_open, false);
    ck_ok(thread_start(&gate, "gate", hold_gate, NULL));
    wait_for_queue(1);
    for (int i = 0; i < count; i++) {
        ck_ok(thread_start(&actors[i].thread, "actor", act, &actors[i]));
        wait_for_queue((uint64_t)i + 2);
    }
    atomic_store(&gate_open, true);
    thread_join(&gate);
}

static void finish_actors(int count)
{
    for (int i = 0; i < count; i++) {
        thread_join(&actors[i].thread);
        ck_ok(actors[i].result);
        kv_batch_destroy(actors[i].batch);
    }
}

/* Let the actors write, and see who leads. */
static void let_write(int count)
{
    groups = 0;
    sim_watch(sim, note_leader, NULL);
    start_actors(count);
    finish_actors(count);
    sim_watch(sim, NULL, NULL);
    ck_assert_int_eq(groups, count);
    ck_assert_int_eq(leader_of[0], 0);
}

START_TEST(a_leader_goes_on_for_eight_groups_and_then_tells_the_next_to_lead)
{
    make_actors(WRITERS);
    let_write(WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        ck_assert_int_eq(leader_of[i], i < LEAD_GROUPS_MAX ? 0 : LEAD_GROUPS_MAX);
    }
}
END_TEST

/* ---- a leader that does not go on ---- */

static int fail_log(struct kv_store *of, void *arg)
{
    (void)arg;
    atomic_store(&of->log_failed, true);
    return 0;
}

static int lose_rows(struct kv_store *of, void *arg)
{
    (void)arg;
    of->rows_lost = true;
    return 0;
}

static int pile_up_tables(struct kv_store *of, void *arg)
{
    (void)arg;
    atomic_store(&of->l0_files, L0_SLOW_FILES + 1);
    return 0;
}

/* What the first of two writers, or its store in the middle of the write, is like. */
static const struct {
    const char *name;
    enum kv_durability durability;
    write_check_fn *check;
} firsts[] = {
    {"it is to sync", KV_DURABLE_SYNC, NULL},
    {"the log failed", KV_DURABLE_WRITE, fail_log},
    {"rows were lost", KV_DURABLE_WRITE, lose_rows},
    {"writers are slowed down", KV_DURABLE_WRITE, pile_up_tables},
};

START_TEST(a_leader_does_not_go_on_where_it_would_have_to_wait_or_has_more_to_do)
{
    make_actors(2);
    actors[0].durability = firsts[_i].durability;
    actors[0].check = firsts[_i].check;
    let_write(2);
    ck_assert_msg(leader_of[1] == 1, "%s, and it led for the next", firsts[_i].name);
}
END_TEST

START_TEST(a_leader_with_large_values_has_them_written_out_and_does_not_go_on)
{
    static const uint8_t value[32 << 10] = {1};
    make_actors(2);
    ck_ok(
        kv_batch_put(actors[0].batch, table, kv_slice_str("large"), kv_slice(value, sizeof value)));
    let_write(2);
    ck_assert_int_eq(leader_of[1], 1);
}
END_TEST

START_TEST(a_very_large_batch_is_led_by_its_own_writer)
{
    make_actors(2);
    kv_batch_destroy(actors[1].batch);
    actors[1].batch = make_batch(1, 2 * ROWS);
    let_write(2);
    ck_assert_int_eq(leader_of[1], 1);
}
END_TEST

START_TEST(a_range_delete_is_led_by_its_own_writer)
{
    make_actors(2);
    kv_batch_clear(actors[1].batch);
    ck_ok(kv_batch_delete_range(actors[1].batch, table, kv_slice_str("x"), kv_slice_str("y")));
    let_write(2);
    ck_assert_int_eq(leader_of[1], 1);
}
END_TEST

/* ---- a stall ---- */

static atomic_bool flush_begun;
static atomic_bool flush_may_go_on;
static _Atomic int stalled;

static void hold_flush(void *arg, const struct kv_event *event)
{
    (void)arg;
    if (event->kind == KV_EVENT_STALL_BEGUN) {
        atomic_store(&stalled, actor_here());
    }
    if (event->kind == KV_EVENT_FLUSH_BEGUN) {
        atomic_store(&flush_begun, true);
        while (!atomic_load(&flush_may_go_on)) {
            nap();
        }
    }
}

static void open_with_flush_held(struct kv_storage *storage)
{
    const struct kv_options options = {.create = true,
                                       .memtable_bytes = (size_t)512 << 10,
                                       .memtables_max = 2,
                                       .event_fn = hold_flush};
    atomic_store(&flush_begun, false);
    atomic_store(&flush_may_go_on, false);
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
    ck_ok(kv_put(table, kv_slice_str("first"), kv_slice_str("1"), KV_DURABLE_WRITE));
    ck_ok(write_rotate(store));
    while (!atomic_load(&flush_begun)) {
        nap();
    }
}

/* The first batch fills the memtable; the second needs another, for which a flush has to end. */
START_TEST(a_leader_whose_batch_is_written_does_not_wait_through_the_stall_of_another)
{
    struct kv_storage *storage = NULL;
    uint64_t deadline_ns = clock_monotonic_ns() + test_patience_ms() * 1000000;
    ck_ok(kv_storage_mem_create(&storage));
    open_with_flush_held(storage);
    atomic_store(&stalled, NOBODY);
    make_actors(2);
    start_actors(2);
    while (atomic_load(&stalled) == NOBODY) {
        ck_assert_msg(clock_monotonic_ns() < deadline_ns, "nobody waits for the flush");
        nap();
    }
    ck_assert_msg(atomic_load(&stalled) == 1, "the first waits for the second");
    thread_join(&actors[0].thread); /* while the flush is held */
    ck_ok(actors[0].result);
    ck_assert(!atomic_load(&actors[1].is_back));
    atomic_store(&flush_may_go_on, true);
    thread_join(&actors[1].thread);
    ck_ok(actors[1].result);
    kv_batch_destroy(actors[0].batch);
    kv_batch_destroy(actors[1].batch);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

/* ---- what a batch counts ---- */

START_TEST(a_batch_that_was_cleared_counts_anew)
{
    struct kv_batch *batch = NULL;
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_delete(batch, table, kv_slice_str("gone")));
    ck_ok(kv_batch_put(batch, table, kv_slice_str("key"), kv_slice_str("value")));
    kv_batch_clear(batch);
    ck_ok(kv_batch_put(batch, table, kv_slice_str("key"), kv_slice_str("value")));
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE)); /* its memory is asserted there */
    ck_assert_uint_eq(store->active->delete_count, 0);
    kv_batch_destroy(batch);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("write");
    TCase *tc = tcase_create("leaders");
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, a_leader_goes_on_for_eight_groups_and_then_tells_the_next_to_lead);
    tcase_add_loop_test(tc, a_leader_does_not_go_on_where_it_would_have_to_wait_or_has_more_to_do,
                        0, (int)(sizeof firsts / sizeof firsts[0]));
    tcase_add_test(tc, a_leader_with_large_values_has_them_written_out_and_does_not_go_on);
    tcase_add_test(tc, a_very_large_batch_is_led_by_its_own_writer);
    tcase_add_test(tc, a_range_delete_is_led_by_its_own_writer);
    tcase_add_test(tc, a_batch_that_was_cleared_counts_anew);
    suite_add_tcase(s, tc);
    suite_add(s, "stall",
              a_leader_whose_batch_is_written_does_not_wait_through_the_stall_of_another);
    return s;
}
