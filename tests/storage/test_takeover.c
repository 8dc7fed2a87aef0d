/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a pool: its writer dies, is overtaken or loses an answer at each call it makes, and so
 * does who takes over. Each time the next one must find all that was acknowledged, and nothing that
 * an earlier one does may count any more. */
#include "tests/storage/takeover_rig.h"

#include <stdatomic.h>

enum { NEVER = 10000 };

/* What is to happen at one call of a client. */
struct plan {
    unsigned at;
    enum fake_fate fate; /* of that call */
    bool overtake;       /* and before it somebody else takes over */
    struct fake_cluster *cluster;
    struct kv_storage *successor; /* who did */
    atomic_uint calls;            /* made in all, by the thread that renews too */
};

static void count_nothing(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
}

static enum fake_fate follow(void *arg, unsigned index)
{
    struct plan *plan = (struct plan *)arg;

    atomic_fetch_add(&plan->calls, 1);
    if (index != plan->at) {
        return FAKE_DONE;
    }
    if (plan->overtake) {
        fake_cluster_pass(plan->cluster, RIG_LEASE_MS + 1);
        ck_ok(rig_acquire(plan->cluster, NULL, NULL, &plan->successor));
        ck_ok(plan->successor->ops->list(plan->successor, count_nothing, NULL));
    }
    return plan->fate;
}

static int run_script(struct plan *plan, struct rig_model *model)
{
    return rig_run_script(rig_connect(plan->cluster, follow, plan), model);
}

/* How many calls the script makes if nothing happens. */
static unsigned count_calls(void)
{
    struct plan plan = {.at = NEVER, .cluster = fake_cluster_create()};
    struct rig_model model;

    ck_ok(run_script(&plan, &model));
    fake_cluster_destroy(plan.cluster);
    ck_assert_uint_gt(plan.calls, 40);
    return plan.calls;
}

/* The store is as the model says, takes writes, and is handed over without waiting. */
static void expect_sound(struct fake_cluster *cluster, struct kv_storage *storage,
                         struct rig_model *model, unsigned strays_max)
{
    rig_verify(cluster, storage, model, strays_max);
    fake_cluster_land(cluster); /* what was on its way must not count any more */
    rig_verify(cluster, storage, model, strays_max);
    rig_resume_logs(storage, model);
    rig_go_on(storage);
    storage->ops->close(storage);
    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    rig_go_on(storage);
    storage->ops->close(storage);
}

/* ---- the writer -------------------------------------------------------------------------------
 */

static const enum fake_fate fates[] = {FAKE_UNSENT, FAKE_UNHEARD, FAKE_LATE};

/* Also where nobody may shut others out; then a call that comes late may leave an empty object. */
static void try_fate(unsigned at, enum fake_fate fate, bool forbidden)
{
    struct plan plan = {.at = at, .fate = fate, .cluster = fake_cluster_create()};
    struct kv_storage *storage = NULL;
    struct rig_model model;

    if (forbidden) {
        fake_cluster_forbid_shut_out(plan.cluster);
    }
    kv_ignore(run_script(&plan, &model));
    fake_cluster_pass(plan.cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(plan.cluster, NULL, NULL, &storage));
    expect_sound(plan.cluster, storage, &model, forbidden && fate == FAKE_LATE);
    fake_cluster_destroy(plan.cluster);
}

START_TEST(a_writer_may_die_or_lose_an_answer_at_any_call)
{
    unsigned calls = count_calls();
    for (unsigned at = 0; at < calls; at++) {
        try_fate(at, fates[_i], false);
        try_fate(at, fates[_i], true);
    }
}
END_TEST

/* The writer was stopped before a call, and goes on with it after another has taken over. */
static void try_overtaking(unsigned at, bool forbidden)
{
    struct plan plan = {.at = at, .overtake = true, .cluster = fake_cluster_create()};
    struct rig_model model;

    if (forbidden) {
        fake_cluster_forbid_shut_out(plan.cluster);
    }
    kv_ignore(run_script(&plan, &model));
    ck_assert_ptr_nonnull(plan.successor);
    expect_sound(plan.cluster, plan.successor, &model, forbidden);
    fake_cluster_destroy(plan.cluster);
}

START_TEST(what_an_overtaken_writer_is_told_is_true_and_it_changes_nothing)
{
    unsigned calls = count_calls();
    for (unsigned at = 0; at < calls; at++) {
        try_overtaking(at, _i == 1);
    }
}
END_TEST

/* ---- who takes over ---------------------------------------------------------------------------
 */

/* A store whose writer died at a call, so that there is something to take over. */
static struct fake_cluster *make_abandoned(unsigned died_at, struct rig_model *model)
{
    struct plan plan = {.at = died_at, .fate = FAKE_UNSENT, .cluster = fake_cluster_create()};
    kv_ignore(run_script(&plan, model));
    fake_cluster_pass(plan.cluster, RIG_LEASE_MS + 1);
    return plan.cluster;
}

/* Open as the engine does, with a list, and die. Returns whether the plan's call was reached. */
static bool open_and_die(struct plan *plan)
{
    struct kv_storage *storage = NULL;
    int r = rig_acquire(plan->cluster, follow, plan, &storage);
    if (r == 0) {
        kv_ignore(storage->ops->list(storage, count_nothing, NULL));
        storage->ops->close(storage);
    }
    return plan->calls > plan->at;
}

/* Returns whether there was such a call. */
static bool try_dying_successor(unsigned died_at, unsigned at, enum fake_fate fate)
{
    struct rig_model model;
    struct plan plan = {.at = at, .fate = fate, .cluster = make_abandoned(died_at, &model)};
    struct kv_storage *storage = NULL;

    bool reached = open_and_die(&plan);
    fake_cluster_pass(plan.cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(plan.cluster, NULL, NULL, &storage));
    expect_sound(plan.cluster, storage, &model, 0);
    fake_cluster_destroy(plan.cluster);
    return reached;
}

START_TEST(who_takes_over_may_die_or_lose_an_answer_at_any_call)
{
    unsigned calls = count_calls();
    for (unsigned died_at = 0; died_at < calls; died_at++) {
        for (unsigned at = 0; try_dying_successor(died_at, at, fates[_i]);) {
            at++;
        }
    }
}
END_TEST

/* Two take over: the first is stopped at a call, and the other is done before it goes on. Returns
 * whether there was such a call. */
static bool try_two(unsigned died_at, unsigned at, bool forbidden)
{
    struct rig_model model;
    struct plan plan = {.at = at, .overtake = true, .cluster = make_abandoned(died_at, &model)};
    struct kv_storage *storage = NULL;

    if (forbidden) {
        fake_cluster_forbid_shut_out(plan.cluster);
    }
    bool reached = open_and_die(&plan);
    if (reached) {
        expect_sound(plan.cluster, plan.successor, &model, 0);
    } else {
        ck_ok(rig_acquire(plan.cluster, NULL, NULL, &storage));
        expect_sound(plan.cluster, storage, &model, 0);
    }
    fake_cluster_destroy(plan.cluster);
    return reached;
}

START_TEST(of_two_who_take_over_one_gets_the_store)
{
    unsigned calls = count_calls();
    for (unsigned died_at = 0; died_at < calls; died_at++) {
        for (unsigned at = 0; try_two(died_at, at, _i == 1);) {
            at++;
        }
    }
}
END_TEST

/* A zombie that appends while it is overtaken. */
struct beside {
    unsigned at;
    struct kv_storage *writer;
    struct kv_log *log;
    uint64_t acknowledged;
    atomic_uint calls;
};

/* And be told that it is there. */
static int append_byte(struct kv_storage *storage, struct kv_log *log)
{
    struct iovec part = {(void *)(uintptr_t) "x", 1};
    int r = storage->ops->log_append(log, &part, 1);
    return r < 0 ? r : storage->ops->log_sync(log);
}

static enum fake_fate append_beside(void *arg, unsigned index)
{
    struct beside *beside = (struct beside *)arg;

    atomic_fetch_add(&beside->calls, 1);
    if (index == beside->at) {
        int r = append_byte(beside->writer, beside->log);
        ck_assert(r == 0 || r == -ESHUTDOWN);
        beside->acknowledged += r == 0;
    }
    return FAKE_DONE;
}

/* Returns whether there was such a call. */
static bool try_append_beside(unsigned at)
{
    static const struct kv_file_id id = {KV_FILE_LOG, 1};
    struct fake_cluster *cluster = fake_cluster_create();
    struct beside beside = {.at = at, .acknowledged = 1};
    struct kv_storage *successor = NULL;
    struct kv_log *found = NULL;

    fake_cluster_forbid_shut_out(cluster);
    ck_ok(rig_acquire(cluster, NULL, NULL, &beside.writer));
    ck_ok(beside.writer->ops->root_swap(beside.writer, 0, kv_slice_str("root")));
    ck_ok(beside.writer->ops->log_create(beside.writer, id, 0, 0, &beside.log));
    ck_ok(append_byte(beside.writer, beside.log)); /* the next needs no new piece */
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(cluster, append_beside, &beside, &successor));
    bool reached = beside.calls > at;
    ck_ok(successor->ops->log_open(successor, id, &found));
    ck_assert_uint_eq(successor->ops->log_size(found), beside.acknowledged);
    ck_assert_int_lt(append_byte(beside.writer, beside.log), 0);
    ck_fails(append_byte(beside.writer, beside.log), EIO);
    ck_fails(beside.writer->ops->root_swap(beside.writer, 1, kv_slice_str("x")), ESHUTDOWN);
    successor->ops->log_close(found);
    beside.writer->ops->log_close(beside.log);
    beside.writer->ops->close(beside.writer);
    rig_go_on(successor);
    successor->ops->close(successor);
    fake_cluster_destroy(cluster);
    return reached;
}

START_TEST(an_append_beside_a_takeover_is_found_or_refused)
{
    unsigned at = 0;
    while (try_append_beside(at)) {
        at++;
    }
    ck_assert_uint_gt(at, 8);
}
END_TEST

/* A writer that does not know that its store was purged, and another made under its name. */
START_TEST(a_writer_of_a_purged_store_changes_nothing_in_the_one_made_after_it)
{
    static const struct kv_file_id id = {KV_FILE_LOG, 1};
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *zombie = NULL;
    struct kv_storage *writer = NULL;
    struct kv_log *stale = NULL;
    struct kv_log *log = NULL;

    fake_cluster_forbid_shut_out(cluster);
    ck_ok(rig_acquire(cluster, NULL, NULL, &zombie));
    ck_ok(zombie->ops->root_swap(zombie, 0, kv_slice_str("purged")));
    ck_ok(zombie->ops->log_create(zombie, id, 0, 0, &stale));
    ck_ok(append_byte(zombie, stale));
    fake_cluster_purge(cluster);
    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    ck_ok(writer->ops->root_swap(writer, 0, kv_slice_str("new")));
    ck_ok(writer->ops->log_create(writer, id, 0, 0, &log));
    ck_ok(append_byte(writer, log));
    if (_i == 0) {
        ck_fails(append_byte(zombie, stale), ESHUTDOWN);
    }
    ck_fails(zombie->ops->root_swap(zombie, 1, kv_slice_str("zombie")), ESHUTDOWN);
    ck_fails(zombie->ops->remove(zombie, id), ESHUTDOWN);
    zombie->ops->log_close(stale);
    zombie->ops->close(zombie);
    writer->ops->log_close(log);
    ck_ok(writer->ops->log_open(writer, id, &log));
    ck_assert_uint_eq(writer->ops->log_size(log), 1);
    writer->ops->log_close(log);
    ck_ok(writer->ops->remove(writer, id));
    rig_go_on(writer);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

/* ---- the lease --------------------------------------------------------------------------------
 */

START_TEST(a_lease_that_is_held_keeps_others_out_and_names_its_holder)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_storage *other = NULL;
    struct kv_buf holder = {0};

    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    rig_go_on(writer);
    ck_fails(rig_acquire(cluster, NULL, NULL, &other), EBUSY);
    other = rig_connect(cluster, NULL, NULL);
    ck_fails(other->ops->lease_acquire(other, KV_LEASE_SHARED, "a reader"), EBUSY);
    ck_ok(other->ops->lease_holder(other, &holder));
    ck_assert(kv_slice_equal(kv_buf_slice(&holder), kv_slice_str("the rig")));
    other->ops->close(other);
    rig_go_on(writer);
    writer->ops->close(writer);
    kv_buf_finish(&holder);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(readers_share_the_store_and_keep_writers_out_until_their_leases_end)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_storage *readers[2];

    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    rig_go_on(writer);
    writer->ops->close(writer);
    for (int i = 0; i < 2; i++) {
        readers[i] = rig_connect(cluster, NULL, NULL);
        ck_ok(readers[i]->ops->lease_acquire(readers[i], KV_LEASE_SHARED, "a reader"));
    }
    ck_fails(rig_acquire(cluster, NULL, NULL, &writer), EBUSY);
    readers[0]->ops->close(readers[0]);
    ck_fails(rig_acquire(cluster, NULL, NULL, &writer), EBUSY);
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    writer->ops->close(writer);
    readers[1]->ops->close(readers[1]);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(a_lease_that_ran_out_while_nobody_came_is_taken_again)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_storage *other = NULL;
    struct kv_buf bytes = {0};
    uint64_t version = 0;

    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    rig_go_on(writer);
    fake_cluster_pass(cluster, 10 * RIG_LEASE_MS);
    ck_ok(writer->ops->root_read(writer, &bytes, &version)); /* has the renewer look at once */
    ck_fails(rig_acquire(cluster, NULL, NULL, &other), EBUSY);
    rig_go_on(writer);
    writer->ops->close(writer);
    kv_buf_finish(&bytes);
    fake_cluster_destroy(cluster);
}
END_TEST

static enum fake_fate lose_answer(void *arg, unsigned index)
{
    const _Atomic bool *lose = (const _Atomic bool *)arg;
    return atomic_load(lose) ? FAKE_UNHEARD : FAKE_DONE;
}

/* Somebody comes while the holder's lease has run out, is stopped at a call until its own lock has
 * ended too, and the holder takes the lease again before it goes on. */
struct retake {
    unsigned at;
    struct fake_cluster *cluster;
    struct kv_storage *holder;
    bool is_held; /* by the holder, which was told so */
    atomic_uint calls;
};

static enum fake_fate retake_before(void *arg, unsigned index)
{
    struct retake *retake = (struct retake *)arg;
    struct kv_buf bytes = {0};
    uint64_t version = 0;

    atomic_fetch_add(&retake->calls, 1);
    if (index == retake->at) {
        fake_cluster_pass(retake->cluster, RIG_LEASE_MS + 1);
        int r = retake->holder->ops->root_read(retake->holder, &bytes, &version);
        ck_assert(r == 0 || r == -ESHUTDOWN);
        retake->is_held = r == 0;
        kv_buf_finish(&bytes);
    }
    return FAKE_DONE;
}

/* Returns whether there was such a call. */
static bool try_retaking(unsigned at, unsigned *ret_kept)
{
    struct retake retake = {.at = at, .cluster = fake_cluster_create()};
    struct kv_storage *taker = NULL;

    fake_cluster_forbid_shut_out(retake.cluster);
    ck_ok(rig_acquire(retake.cluster, NULL, NULL, &retake.holder));
    rig_go_on(retake.holder);
    fake_cluster_pass(retake.cluster, RIG_LEASE_MS + 1);
    int r = rig_acquire(retake.cluster, retake_before, &retake, &taker);
    bool reached = retake.calls > at;
    if (retake.is_held) {
        ck_assert_int_eq(r, -EBUSY);
        rig_go_on(retake.holder);
        *ret_kept += 1;
    } else if (r == 0) {
        rig_go_on(taker);
        taker->ops->close(taker);
    }
    retake.holder->ops->close(retake.holder);
    fake_cluster_destroy(retake.cluster);
    return reached;
}

START_TEST(who_takes_its_lease_again_is_not_thrown_out_by_one_who_had_looked_before)
{
    unsigned kept = 0;
    unsigned at = 0;

    while (try_retaking(at, &kept)) {
        at++;
    }
    ck_assert_uint_gt(at, kept); /* from the raise on the holder is out */
    ck_assert_uint_ge(kept, 7);  /* looking, the lock, who wrote last, and the raise itself */
}
END_TEST

/* The last call of a taker before it raises the epoch: stop there until its lock has ended, and
 * have a reader come. */
struct slip {
    struct fake_cluster *cluster;
    struct kv_storage *reader;
    struct kv_buf epoch; /* before the taker came */
    bool done;
};

static enum fake_fate slip_in_reader(void *arg, unsigned index)
{
    struct slip *slip = (struct slip *)arg;
    struct pool *pool = fake_cluster_connect(slip->cluster, NULL, NULL);
    struct kv_buf epoch = {0};

    ck_ok(pool->ops->attribute(pool, POOLED_ROOT, POOLED_EPOCH_ATTR, &epoch));
    bool raised =
        slip->epoch.size > 0 && !kv_slice_equal(kv_buf_slice(&epoch), kv_buf_slice(&slip->epoch));
    if (index == 0) {
        ck_ok(kv_buf_assign(&slip->epoch, kv_buf_slice(&epoch)));
    } else if (raised && !slip->done) {
        slip->done = true;
        fake_cluster_pass(slip->cluster, RIG_LEASE_MS + 1);
        slip->reader = rig_connect(slip->cluster, NULL, NULL);
        ck_ok(slip->reader->ops->lease_acquire(slip->reader, KV_LEASE_SHARED, "a reader"));
    }
    pool->ops->close(pool);
    kv_buf_finish(&epoch);
    return FAKE_DONE;
}

START_TEST(who_lost_its_lock_while_it_took_over_does_not_write_beside_a_reader)
{
    struct slip slip = {.cluster = fake_cluster_create()};
    struct kv_storage *storage = NULL;

    ck_ok(rig_acquire(slip.cluster, NULL, NULL, &storage));
    rig_go_on(storage);
    storage->ops->close(storage);
    ck_fails(rig_acquire(slip.cluster, slip_in_reader, &slip, &storage), EBUSY);
    ck_assert_ptr_nonnull(slip.reader);
    slip.reader->ops->close(slip.reader);
    ck_ok(rig_acquire(slip.cluster, NULL, NULL, &storage));
    rig_go_on(storage);
    storage->ops->close(storage);
    kv_buf_finish(&slip.epoch);
    fake_cluster_destroy(slip.cluster);
}
END_TEST

START_TEST(a_change_whose_answer_is_lost_ends_the_lease)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    _Atomic bool lose = false;

    ck_ok(rig_acquire(cluster, lose_answer, &lose, &writer));
    rig_go_on(writer);
    atomic_store(&lose, true);
    ck_fails(writer->ops->root_swap(writer, 1, kv_slice_str("perhaps")), ESHUTDOWN);
    atomic_store(&lose, false);
    ck_fails(writer->ops->root_swap(writer, 2, kv_slice_str("no more")), ESHUTDOWN);
    writer->ops->close(writer);
    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    ck_ok(writer->ops->root_read(writer, &bytes, &version));
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice_str("perhaps")));
    writer->ops->close(writer);
    kv_buf_finish(&bytes);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(who_was_overtaken_reads_nothing_any_more_and_every_call_says_so)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_storage *other = NULL;
    struct kv_buf bytes = {0};
    uint64_t version = 0;

    fake_cluster_forbid_shut_out(cluster);
    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    rig_go_on(writer);
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(cluster, NULL, NULL, &other));
    ck_fails(writer->ops->root_read(writer, &bytes, &version), ESHUTDOWN);
    ck_fails(writer->ops->root_swap(writer, 1, kv_slice_str("x")), ESHUTDOWN);
    ck_fails(writer->ops->list(writer, count_nothing, NULL), ESHUTDOWN);
    ck_fails(writer->ops->lease_describe(writer, "x"), ESHUTDOWN);
    ck_fails(writer->ops->lease_acquire(writer, KV_LEASE_EXCLUSIVE, "again"), EBUSY);
    rig_go_on(other);
    writer->ops->close(writer);
    rig_go_on(other);
    other->ops->close(other);
    fake_cluster_destroy(cluster);
}
END_TEST

static void count_object(void *arg, const char *name)
{
    unsigned *count = (unsigned *)arg;
    *count += 1;
}

START_TEST(no_half_of_a_store_is_made_in_a_pool_without_keys)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *storage = NULL;

    fake_cluster_forbid_keys(cluster);
    ck_fails(rig_acquire(cluster, NULL, NULL, &storage), EOPNOTSUPP);
    ck_fails(rig_acquire(cluster, NULL, NULL, &storage), EOPNOTSUPP);
    ck_assert_uint_eq(fake_cluster_bytes(cluster, POOLED_ROOT, NULL, 0), SIZE_MAX);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(a_store_that_is_not_there_is_not_made_by_reading)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *reader = rig_connect(cluster, NULL, NULL);
    unsigned count = 0;
    struct kv_buf holder = {0};

    ck_fails(reader->ops->lease_acquire(reader, KV_LEASE_SHARED, "a reader"), ENOENT);
    ck_fails(reader->ops->lease_holder(reader, &holder), ENOENT);
    reader->ops->close(reader);
    fake_cluster_objects(cluster, count_object, &count);
    ck_assert_uint_eq(count, 0);
    fake_cluster_destroy(cluster);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test, int variants)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 0);
    tcase_add_loop_test(tc, test, 0, variants);
    suite_add_tcase(s, tc);
}

Suite *test_suite(void)
{
    Suite *s = suite_create("takeover");
    add(s, "writer", a_writer_may_die_or_lose_an_answer_at_any_call, 3);
    add(s, "writer", what_an_overtaken_writer_is_told_is_true_and_it_changes_nothing, 2);
    add(s, "successor", who_takes_over_may_die_or_lose_an_answer_at_any_call, 3);
    add(s, "successor", an_append_beside_a_takeover_is_found_or_refused, 1);
    add(s, "writer", a_writer_of_a_purged_store_changes_nothing_in_the_one_made_after_it, 2);
    add(s, "successor", of_two_who_take_over_one_gets_the_store, 2);
    suite_add(s, "lease", a_lease_that_is_held_keeps_others_out_and_names_its_holder);
    suite_add(s, "lease", readers_share_the_store_and_keep_writers_out_until_their_leases_end);
    suite_add(s, "lease", a_lease_that_ran_out_while_nobody_came_is_taken_again);
    suite_add(s, "lease", who_takes_its_lease_again_is_not_thrown_out_by_one_who_had_looked_before);
    suite_add(s, "lease", who_lost_its_lock_while_it_took_over_does_not_write_beside_a_reader);
    suite_add(s, "lease", a_change_whose_answer_is_lost_ends_the_lease);
    suite_add(s, "lease", who_was_overtaken_reads_nothing_any_more_and_every_call_says_so);
    suite_add(s, "lease", no_half_of_a_store_is_made_in_a_pool_without_keys);
    suite_add(s, "lease", a_store_that_is_not_there_is_not_made_by_reading);
    return s;
}
