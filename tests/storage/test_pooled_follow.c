/* SPDX-License-Identifier: Apache-2.0 */
/* Followers of a store in a pool: that the writer learns of each that may still read, and of none
 * that is dead; and that who was taken for dead reads nothing. */
#include "tests/storage/takeover_rig.h"

#include <stdatomic.h>
#include <time.h>

enum {
    NOBODY = 0, /* marks are told plus one, so that nobody is the smallest */
    NEVER = 10000,
    STEP_MS = RIG_LEASE_MS / POOLED_RENEWALS_PER_LEASE,
    SHORT_LEASE_MS = 250,
};

static const struct kv_file_id table_id = {KV_FILE_TABLE, 1};

/* ---- the store --------------------------------------------------------------------------------
 */

/* One with a table in it. */
static struct kv_storage *make_store(struct fake_cluster *cluster)
{
    struct kv_storage *writer = NULL;
    struct kv_object_writer *table = NULL;
    struct iovec part = {(void *)(uintptr_t) "rows", 4};

    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    ck_ok(writer->ops->root_swap(writer, 0, kv_slice_str("root")));
    ck_ok(writer->ops->object_begin(writer, table_id, 0, &table));
    ck_ok(writer->ops->object_write(table, &part, 1));
    ck_ok(writer->ops->object_finish(table));
    return writer;
}

/* 0, or what kept it from following. */
static int try_follow(struct kv_storage *storage)
{
    return storage->ops->lease_acquire(storage, KV_LEASE_FOLLOW, "a follower");
}

static struct kv_storage *follow(struct fake_cluster *cluster, fake_plan_fn *plan, void *arg)
{
    struct kv_storage *storage = rig_connect(cluster, plan, arg);
    ck_ok(try_follow(storage));
    return storage;
}

static void beat(struct kv_storage *follower)
{
    ck_ok(pooled_follow_beat(pooled_storage(follower)));
}

/* The oldest mark plus one, or NOBODY. */
static uint64_t ask(struct kv_storage *writer)
{
    uint64_t mark = 0;
    ck_ok(writer->ops->followers_oldest(writer, &mark));
    return mark + 1; /* UINT64_MAX becomes NOBODY */
}

/* A part of a lease goes by, and the writer looks. */
static uint64_t step(struct fake_cluster *cluster, struct kv_storage *writer)
{
    fake_cluster_pass(cluster, STEP_MS);
    return ask(writer);
}

/* Long enough for everybody who is silent to be struck out. */
static uint64_t wait_a_lease(struct fake_cluster *cluster, struct kv_storage *writer)
{
    for (unsigned i = 0; i < POOLED_RENEWALS_PER_LEASE; i++) {
        kv_ignore((int)step(cluster, writer));
    }
    return step(cluster, writer);
}

static bool exists(struct fake_cluster *cluster, const char *name)
{
    return fake_cluster_bytes(cluster, name, NULL, 0) != SIZE_MAX;
}

static int read_root(struct kv_storage *storage)
{
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    int r = storage->ops->root_read(storage, &bytes, &version);
    kv_buf_finish(&bytes);
    return r;
}

/* What somebody puts in the place of the lines. */
static void put_bytes(struct fake_cluster *cluster, struct kv_slice bytes)
{
    struct pool *vandal = fake_cluster_connect(cluster, NULL, NULL);
    struct pool_value value = {POOLED_LINES_ATTR, bytes};
    struct pool_change change = {.attributes = &value, .attribute_count = 1};

    change.create = !exists(cluster, POOLED_FOLLOWERS);
    ck_ok(vandal->ops->change(vandal, POOLED_FOLLOWERS, &change));
    vandal->ops->close(vandal);
}

static void put_lines(struct fake_cluster *cluster, size_t count, uint32_t beat)
{
    struct pooled_lines lines = {.count = count};
    uint8_t bytes[POOLED_LINES_SIZE_MAX];

    for (size_t i = 0; i < count; i++) {
        lines.lines[i] = (struct pooled_line){.id = i + 1, .mark = 100 + i, .beat = beat};
    }
    put_bytes(cluster, kv_slice(bytes, pooled_lines_encode(&lines, bytes)));
}

/* ---- registered -------------------------------------------------------------------------------
 */

START_TEST(a_follower_is_registered_until_it_is_closed)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    struct kv_lease_state first, state;

    ck_assert_uint_eq(ask(writer), NOBODY);
    struct kv_storage *follower = follow(cluster, NULL, NULL);
    ck_assert_uint_eq(ask(writer), 0 + 1);
    ck_fails(try_follow(follower), EBUSY);
    ck_ok(read_root(follower));
    ck_fails(follower->ops->root_swap(follower, 1, kv_slice_str("x")), EROFS);
    ck_fails(follower->ops->remove(follower, table_id), EROFS);
    ck_fails(writer->ops->follow_move(writer, 1), EROFS);
    ck_ok(follower->ops->follow_move(follower, 7));
    ck_assert_uint_eq(ask(writer), 7 + 1);
    ck_ok(writer->ops->lease_state(writer, &first));
    ck_ok(follower->ops->lease_state(follower, &state));
    ck_assert_uint_eq(state.epoch, first.epoch);
    ck_assert_uint_gt(state.left_ms, 0);
    follower->ops->close(follower);
    ck_assert_uint_eq(ask(writer), NOBODY);
    ck_assert(!exists(cluster, POOLED_FOLLOWERS));
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(what_is_no_store_is_not_followed_and_nothing_is_left_there)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *follower = rig_connect(cluster, NULL, NULL);

    ck_fails(try_follow(follower), ENOENT);
    ck_assert(!exists(cluster, POOLED_FOLLOWERS));
    follower->ops->close(follower);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(the_oldest_of_several_counts_and_writers_come_and_go)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    struct kv_storage *one = follow(cluster, NULL, NULL);
    struct kv_storage *two = follow(cluster, NULL, NULL);

    ck_ok(one->ops->follow_move(one, 5));
    ck_assert_uint_eq(ask(writer), 0 + 1);
    ck_ok(two->ops->follow_move(two, 9));
    ck_assert_uint_eq(ask(writer), 5 + 1);
    writer->ops->close(writer);
    ck_ok(read_root(one));
    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    ck_assert_uint_eq(ask(writer), 5 + 1);
    one->ops->close(one);
    ck_assert_uint_eq(ask(writer), 9 + 1);
    ck_ok(read_root(two));
    two->ops->close(two);
    ck_assert_uint_eq(ask(writer), NOBODY);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

/* ---- dead or alive ----------------------------------------------------------------------------
 */

static enum fake_fate die_if(void *arg, unsigned index)
{
    return atomic_load((atomic_bool *)arg) ? FAKE_UNSENT : FAKE_DONE;
}

START_TEST(who_is_dead_is_struck_out_after_a_lease_and_not_before)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    atomic_bool dead = false;
    struct kv_storage *follower = follow(cluster, die_if, &dead);
    struct kv_storage *alive = follow(cluster, NULL, NULL);

    ck_ok(follower->ops->follow_move(follower, 3));
    ck_ok(alive->ops->follow_move(alive, 8));
    atomic_store(&dead, true);
    ck_assert_uint_eq(ask(writer), 3 + 1);
    for (unsigned i = 1; i < POOLED_RENEWALS_PER_LEASE; i++) {
        ck_assert_uint_eq(step(cluster, writer), 3 + 1);
        beat(alive);
    }
    kv_ignore((int)step(cluster, writer));
    ck_assert_uint_eq(ask(writer), 8 + 1);
    for (unsigned i = 0; i < 4 * POOLED_RENEWALS_PER_LEASE; i++) {
        beat(alive);
        ck_assert_uint_eq(step(cluster, writer), 8 + 1);
    }
    follower->ops->close(follower);
    alive->ops->close(alive);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(a_new_writer_waits_a_lease_of_its_own)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    atomic_bool dead = false;
    struct kv_storage *follower = follow(cluster, die_if, &dead);

    atomic_store(&dead, true);
    for (unsigned i = 0; i < POOLED_RENEWALS_PER_LEASE; i++) {
        ck_assert_uint_eq(step(cluster, writer), 0 + 1);
    }
    writer->ops->close(writer);
    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    for (unsigned i = 0; i < POOLED_RENEWALS_PER_LEASE; i++) {
        ck_assert_uint_eq(step(cluster, writer), 0 + 1);
    }
    ck_assert_uint_eq(wait_a_lease(cluster, writer), NOBODY);
    follower->ops->close(follower);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

/* The cluster was away, or the writer was stopped. */
START_TEST(a_time_in_which_nobody_looked_makes_nobody_dead)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    struct kv_storage *follower = follow(cluster, NULL, NULL);

    ck_assert_uint_eq(ask(writer), 0 + 1);
    fake_cluster_pass(cluster, 100 * RIG_LEASE_MS);
    ck_assert_uint_eq(ask(writer), 0 + 1);
    ck_ok(read_root(follower));
    follower->ops->close(follower);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

/* ---- taken for dead ---------------------------------------------------------------------------
 */

struct told {
    _Atomic unsigned times;
    _Atomic int error;
};

static void note(void *arg, int error)
{
    struct told *told = (struct told *)arg;
    atomic_store(&told->error, error);
    atomic_fetch_add(&told->times, 1);
}

static void wait_until_told(const struct told *told)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (unsigned ms = 0; atomic_load(&told->times) == 0; ms++) {
        ck_assert_uint_lt(ms, test_patience_ms());
        nanosleep(&pause, NULL);
    }
}

static struct {
    _Atomic bool done;
    struct kv_storage *follower;
    int (*change)(struct pool *pool, const char *object, const struct pool_change *change);
} refused;

/* As SIGSTOP and SIGCONT do: time goes by, and it makes no call. */
START_TEST(who_was_stopped_reads_on_unless_it_was_struck_out)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    struct kv_storage *follower = follow(cluster, NULL, NULL);
    struct kv_object *table = NULL;
    struct told told = {0};
    char bytes[4] = "";
    size_t size = 0;

    follower->ops->lease_watch(follower, note, &told);
    ck_ok(follower->ops->object_open(follower, table_id, &table));
    if (_i == 0) {
        fake_cluster_pass(cluster, 3 * RIG_LEASE_MS);
        ck_ok(follower->ops->object_read(table, 0, bytes, 4, &size));
        ck_assert_mem_eq(bytes, "rows", 4);
        ck_assert_uint_eq(atomic_load(&told.times), 0);
    } else {
        ck_assert_uint_eq(wait_a_lease(cluster, writer), NOBODY);
        ck_ok(writer->ops->object_discard(writer, table_id, 0, 4));
        ck_fails(follower->ops->object_read(table, 0, bytes, 4, &size), ESHUTDOWN);
        ck_fails(follower->ops->follow_move(follower, 1), ESHUTDOWN);
        ck_fails(read_root(follower), ESHUTDOWN);
        wait_until_told(&told);
        ck_assert_int_eq(atomic_load(&told.error), -ESHUTDOWN);
    }
    follower->ops->object_close(table);
    follower->ops->close(follower);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

/* With a clock that runs a fifth too slow. */
START_TEST(in_the_last_fifth_of_a_lease_a_follower_says_that_it_lives_before_it_reads)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    struct kv_storage *follower = follow(cluster, NULL, NULL);

    put_lines(cluster, 1, 1); /* its line is gone */
    fake_cluster_pass(cluster, RIG_LEASE_MS * 7 / 10);
    ck_ok(read_root(follower));
    fake_cluster_pass(cluster, RIG_LEASE_MS * 2 / 10);
    ck_fails(read_root(follower), ESHUTDOWN);
    follower->ops->close(follower);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

/* It may not write there any more. */
static int refuse_once(struct pool *pool, const char *object, const struct pool_change *change)
{
    if (!atomic_exchange(&refused.done, true)) {
        return -EPERM;
    }
    /* What it says after that is that it is gone. */
    ck_assert(atomic_load(&pooled_storage(refused.follower)->lost));
    return refused.change(pool, object, change);
}

START_TEST(a_follower_that_cannot_say_that_it_lives_is_done_before_its_line_goes)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    struct kv_storage *follower = follow(cluster, NULL, NULL);
    struct pool *pool = pooled_storage(follower)->pool;
    struct pool_ops ops = *pool->ops;
    struct told told = {0};

    refused.follower = follower;
    refused.change = ops.change;
    ops.change = refuse_once;
    pool->ops = &ops;
    follower->ops->lease_watch(follower, note, &told);
    fake_cluster_pass(cluster, RIG_LEASE_MS);
    ck_fails(read_root(follower), ESHUTDOWN);
    wait_until_told(&told);
    ck_assert_int_eq(atomic_load(&told.error), -EPERM);
    follower->ops->close(follower);
    ck_assert_uint_eq(ask(writer), NOBODY);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(who_follows_a_store_that_was_erased_or_purged_is_told_that_it_is_lost)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    struct kv_storage *follower = follow(cluster, NULL, NULL);
    struct kv_object *table = NULL;
    struct told told = {0};
    char bytes[4];
    size_t size = 0;

    follower->ops->lease_watch(follower, note, &told);
    ck_ok(follower->ops->object_open(follower, table_id, &table));
    if (_i == 0) {
        ck_ok(writer->ops->erase(writer));
    } else {
        fake_cluster_purge(cluster);
    }
    ck_fails(follower->ops->object_read(table, 0, bytes, 4, &size), ESHUTDOWN);
    wait_until_told(&told);
    follower->ops->object_close(table);
    follower->ops->close(follower);
    ck_assert(!exists(cluster, POOLED_FOLLOWERS));
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

/* ---- others at the same time ------------------------------------------------------------------
 */

/* What happens before, or to, one call of a client. */
struct plan {
    unsigned at;
    enum fake_fate fate;
    struct fake_cluster *cluster;
    struct kv_storage *other; /* comes to follow then, and moves to mark 4; NULL: it cannot */
    bool comes;
    atomic_uint calls;
};

static enum fake_fate keep_to(void *arg, unsigned index)
{
    struct plan *plan = (struct plan *)arg;

    atomic_fetch_add(&plan->calls, 1);
    if (index != plan->at) {
        return FAKE_DONE;
    }
    if (plan->comes) {
        plan->other = rig_connect(plan->cluster, NULL, NULL);
        if (try_follow(plan->other) < 0) {
            plan->other->ops->close(plan->other);
            plan->other = NULL;
        } else {
            ck_ok(plan->other->ops->follow_move(plan->other, 4));
        }
    }
    return plan->fate;
}

static void close_other(struct plan *plan)
{
    if (plan->other != NULL) {
        plan->other->ops->close(plan->other);
    }
}

START_TEST(two_may_come_move_and_go_at_once_and_none_is_forgotten)
{
    struct plan plan = {.comes = true};

    for (bool happened = true; happened; plan.at++) {
        plan.cluster = fake_cluster_create();
        plan.other = NULL;
        atomic_store(&plan.calls, 0);
        struct kv_storage *writer = make_store(plan.cluster);
        struct kv_storage *follower = follow(plan.cluster, keep_to, &plan);
        ck_ok(follower->ops->follow_move(follower, 2));
        ck_assert_uint_eq(ask(writer), 2 + 1);
        follower->ops->close(follower);
        ck_assert_uint_eq(ask(writer), plan.other != NULL ? 4 + 1 : NOBODY);
        close_other(&plan);
        ck_assert_uint_eq(ask(writer), NOBODY);
        writer->ops->close(writer);
        fake_cluster_destroy(plan.cluster);
        happened = plan.at < atomic_load(&plan.calls);
    }
    ck_assert_uint_gt(plan.at, 10);
}
END_TEST

/* Somebody follows whom the eraser has not seen. */
START_TEST(nothing_is_left_of_a_store_that_is_erased_while_a_follower_comes)
{
    struct plan plan = {.comes = true};

    for (bool happened = true; happened; plan.at++) {
        struct kv_storage *eraser = NULL;
        plan.cluster = fake_cluster_create();
        plan.other = NULL;
        atomic_store(&plan.calls, 0);
        struct kv_storage *writer = make_store(plan.cluster);
        writer->ops->close(writer);
        ck_ok(rig_acquire(plan.cluster, keep_to, &plan, &eraser));
        ck_ok(eraser->ops->erase(eraser));
        ck_assert(!exists(plan.cluster, POOLED_ROOT));
        ck_assert(!exists(plan.cluster, POOLED_FOLLOWERS));
        eraser->ops->close(eraser);
        close_other(&plan);
        ck_assert(!exists(plan.cluster, POOLED_FOLLOWERS));
        fake_cluster_destroy(plan.cluster);
        happened = plan.at < atomic_load(&plan.calls);
    }
    ck_assert_uint_gt(plan.at, 10);
}
END_TEST

struct reader {
    struct kv_storage *follower;
    struct kv_object *table;
};

static enum fake_fate read_before_each(void *arg, unsigned index)
{
    struct reader *reader = (struct reader *)arg;
    char bytes[4] = "";
    size_t size = 0;
    int r = reader->follower != NULL
                ? reader->follower->ops->object_read(reader->table, 0, bytes, 4, &size)
                : -ESHUTDOWN;

    ck_assert_msg(r == 0 || r == -ESHUTDOWN, "%s", kv_strerror(r));
    ck_assert(r < 0 || memcmp(bytes, "rows", 4) == 0);
    return FAKE_DONE;
}

START_TEST(who_reads_a_store_while_it_is_erased_reads_what_was_there_or_that_it_is_lost)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *eraser = make_store(cluster);
    struct reader reader = {0};

    eraser->ops->close(eraser);
    ck_ok(rig_acquire(cluster, read_before_each, &reader, &eraser));
    reader.follower = follow(cluster, NULL, NULL);
    ck_ok(reader.follower->ops->object_open(reader.follower, table_id, &reader.table));
    ck_ok(eraser->ops->erase(eraser));
    ck_fails(read_root(reader.follower), ESHUTDOWN);
    reader.follower->ops->object_close(reader.table);
    reader.follower->ops->close(reader.follower);
    reader.follower = NULL;
    eraser->ops->close(eraser);
    fake_cluster_destroy(cluster);
}
END_TEST

static const enum fake_fate fates[] = {FAKE_UNSENT, FAKE_UNHEARD, FAKE_LATE};

/* What a follower does, until something fails. Returns the mark of the last move that succeeded, or
 * NEVER: it is not registered any more, or was not yet. */
static uint64_t run_follower(struct kv_storage *follower)
{
    uint64_t mark = NEVER;
    int r = try_follow(follower);

    for (uint64_t next = 0; r == 0 && next < 3; next++) {
        mark = next;
        r = read_root(follower);
        r = r < 0 ? r : follower->ops->follow_move(follower, next + 1);
        mark = r == 0 ? next + 1 : mark;
    }
    return mark;
}

START_TEST(a_follower_may_die_or_lose_an_answer_at_any_call)
{
    struct plan plan = {.fate = fates[_i]};

    for (bool happened = true; happened; plan.at++) {
        plan.cluster = fake_cluster_create();
        atomic_store(&plan.calls, 0);
        struct kv_storage *writer = make_store(plan.cluster);
        struct kv_storage *follower = rig_connect(plan.cluster, keep_to, &plan);
        uint64_t mark = run_follower(follower);
        uint64_t seen = ask(writer);
        ck_assert(mark == NEVER || (seen > 0 && seen <= mark + 1 + 1));
        fake_cluster_land(plan.cluster);
        seen = ask(writer);
        ck_assert(mark == NEVER || (seen > 0 && seen <= mark + 1 + 1));
        follower->ops->close(follower);
        fake_cluster_land(plan.cluster);
        ck_assert_uint_eq(wait_a_lease(plan.cluster, writer), NOBODY);
        ck_assert(!exists(plan.cluster, POOLED_FOLLOWERS));
        writer->ops->close(writer);
        fake_cluster_destroy(plan.cluster);
        happened = plan.at < atomic_load(&plan.calls);
    }
    ck_assert_uint_gt(plan.at, 10);
}
END_TEST

/* ---- no room, and other bytes -----------------------------------------------------------------
 */

struct crowd {
    struct fake_cluster *cluster;
    uint32_t beat;
};

/* All those that are there live. */
static enum fake_fate beat_all(void *arg, unsigned index)
{
    struct crowd *crowd = (struct crowd *)arg;
    put_lines(crowd->cluster, POOLED_LINES_MAX, ++crowd->beat);
    return FAKE_DONE;
}

static struct kv_storage *connect_hurried(struct fake_cluster *cluster, fake_plan_fn *plan,
                                          void *arg)
{
    struct pooled_options options = {.lease_ms = SHORT_LEASE_MS, .piece_bytes = RIG_PIECE_BYTES};
    struct kv_storage *storage = NULL;
    ck_ok(pooled_storage_open(fake_cluster_connect(cluster, plan, arg), "rados://fake/store",
                              &options, &storage));
    return storage;
}

START_TEST(where_fifty_follow_one_more_comes_in_once_one_of_them_is_dead)
{
    struct crowd crowd = {.cluster = fake_cluster_create()};
    struct kv_storage *writer = make_store(crowd.cluster);
    struct kv_storage *follower = connect_hurried(crowd.cluster, beat_all, &crowd);

    ck_fails(try_follow(follower), EBUSY);
    follower->ops->close(follower);
    ck_assert_uint_eq(ask(writer), 100 + 1);
    follower = connect_hurried(crowd.cluster, NULL, NULL);
    ck_ok(try_follow(follower));
    ck_assert_uint_eq(ask(writer), 0 + 1);
    follower->ops->close(follower);
    ck_assert_uint_eq(ask(writer), NOBODY);
    writer->ops->close(writer);
    fake_cluster_destroy(crowd.cluster);
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
} foreign[] = {{"\0", 1}, {"\1 too short", 11}, {"\2 of a later version", 20}, {"", 0}};

/* They may be of somebody who follows: everything is kept, until nobody has changed them for a
 * lease. No bytes at all are no lines. */
START_TEST(bytes_that_cannot_be_read_keep_everything_for_a_lease)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = make_store(cluster);
    struct kv_storage *follower = follow(cluster, NULL, NULL);
    uint64_t expected = foreign[_i].size > 0 ? 0 + 1 : NOBODY;

    ck_ok(follower->ops->follow_move(follower, 7));
    put_bytes(cluster, kv_slice(foreign[_i].bytes, foreign[_i].size));
    ck_assert_uint_eq(ask(writer), expected);
    for (unsigned i = 1; i < POOLED_RENEWALS_PER_LEASE; i++) {
        ck_assert_uint_eq(step(cluster, writer), expected);
    }
    ck_assert_uint_eq(wait_a_lease(cluster, writer), NOBODY);
    ck_fails(read_root(follower), ESHUTDOWN);
    follower->ops->close(follower);
    follower = follow(cluster, NULL, NULL);
    ck_assert_uint_eq(ask(writer), 0 + 1);
    follower->ops->close(follower);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_follow");
    suite_add(s, "registered", a_follower_is_registered_until_it_is_closed);
    suite_add(s, "registered", what_is_no_store_is_not_followed_and_nothing_is_left_there);
    suite_add(s, "registered", the_oldest_of_several_counts_and_writers_come_and_go);
    suite_add(s, "dead", who_is_dead_is_struck_out_after_a_lease_and_not_before);
    suite_add(s, "dead", a_new_writer_waits_a_lease_of_its_own);
    suite_add(s, "dead", a_time_in_which_nobody_looked_makes_nobody_dead);
    TCase *lost = tcase_create("lost");
    tcase_add_loop_test(lost, who_was_stopped_reads_on_unless_it_was_struck_out, 0, 2);
    tcase_add_loop_test(lost, who_follows_a_store_that_was_erased_or_purged_is_told_that_it_is_lost,
                        0, 2);
    suite_add_tcase(s, lost);
    suite_add(s, "time",
              in_the_last_fifth_of_a_lease_a_follower_says_that_it_lives_before_it_reads);
    suite_add(s, "time", a_follower_that_cannot_say_that_it_lives_is_done_before_its_line_goes);
    suite_add(s, "others", two_may_come_move_and_go_at_once_and_none_is_forgotten);
    suite_add(s, "others", nothing_is_left_of_a_store_that_is_erased_while_a_follower_comes);
    suite_add(s, "others",
              who_reads_a_store_while_it_is_erased_reads_what_was_there_or_that_it_is_lost);
    TCase *calls = tcase_create("calls");
    tcase_add_loop_test(calls, a_follower_may_die_or_lose_an_answer_at_any_call, 0, 3);
    suite_add_tcase(s, calls);
    suite_add(s, "room", where_fifty_follow_one_more_comes_in_once_one_of_them_is_dead);
    TCase *bytes = tcase_create("bytes");
    tcase_add_loop_test(bytes, bytes_that_cannot_be_read_keep_everything_for_a_lease, 0, 4);
    suite_add_tcase(s, bytes);
    return s;
}
