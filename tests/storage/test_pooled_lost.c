/* SPDX-License-Identifier: Apache-2.0 */
/* The lease on a store in a pool is lost: who is told of it, when and why, and what the engine then
 * still answers from memory, which is nothing. */
#include "tests/storage/takeover_rig.h"

#include <stdatomic.h>
#include <time.h>

#include <kv/kv.h>

enum { SHORT_LEASE_MS = 1000 };

/* What was told of a lease. */
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

static void sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
}

static void wait_until_told(struct told *told)
{
    for (unsigned ms = 0; atomic_load(&told->times) == 0; ms += 10) {
        ck_assert_msg(ms < test_patience_ms(), "nobody is told");
        sleep_ms(10);
    }
}

static enum fake_fate lose_answer(void *arg, unsigned index)
{
    const _Atomic bool *lose = (const _Atomic bool *)arg;
    return atomic_load(lose) ? FAKE_UNHEARD : FAKE_DONE;
}

START_TEST(who_watches_a_lease_is_told_once_that_it_was_taken_over)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_storage *other = NULL;
    struct told told = {0};
    struct told late = {0};

    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    writer->ops->lease_watch(writer, note, &told);
    rig_go_on(writer);
    ck_assert_uint_eq(atomic_load(&told.times), 0);
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(cluster, NULL, NULL, &other));
    ck_fails(writer->ops->root_swap(writer, 1, kv_slice_str("x")), ESHUTDOWN);
    wait_until_told(&told);
    ck_fails(writer->ops->root_swap(writer, 1, kv_slice_str("x")), ESHUTDOWN);
    writer->ops->lease_watch(writer, note, &late); /* it is lost already */
    ck_assert_uint_eq(atomic_load(&late.times), 1);
    writer->ops->close(writer);
    ck_assert_uint_eq(atomic_load(&told.times), 1);
    ck_assert_uint_eq(atomic_load(&late.times), 1);
    ck_assert_int_eq(atomic_load(&told.error), -ESHUTDOWN);
    other->ops->close(other);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(who_watches_a_lease_is_told_why_it_was_lost)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct told told = {0};
    _Atomic bool lose = false;

    ck_ok(rig_acquire(cluster, lose_answer, &lose, &writer));
    writer->ops->lease_watch(writer, note, &told);
    atomic_store(&lose, true);
    ck_fails(writer->ops->root_swap(writer, 0, kv_slice_str("x")), ESHUTDOWN);
    atomic_store(&lose, false);
    wait_until_told(&told);
    ck_assert_int_eq(atomic_load(&told.error), -ETIMEDOUT);
    writer->ops->close(writer);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(who_watches_no_more_and_who_gives_the_lease_up_is_told_nothing)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_storage *other = NULL;
    struct told told = {0};

    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    writer->ops->lease_watch(writer, note, &told);
    writer->ops->close(writer);
    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    writer->ops->lease_watch(writer, note, &told);
    writer->ops->lease_watch(writer, NULL, NULL);
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(cluster, NULL, NULL, &other));
    ck_fails(writer->ops->root_swap(writer, 0, kv_slice_str("x")), ESHUTDOWN);
    writer->ops->close(writer);
    other->ops->close(other);
    ck_assert_uint_eq(atomic_load(&told.times), 0);
    fake_cluster_destroy(cluster);
}
END_TEST

static void count_nothing(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
}

/* A store that is gone has no files, no root record and no rows, but that is not what it is asked
 * for. */
START_TEST(who_holds_a_store_that_was_purged_loses_the_lease_at_its_next_call)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_log *log = NULL;
    struct told told = {0};
    struct kv_buf bytes = {0};
    uint64_t version = 0;

    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    writer->ops->lease_watch(writer, note, &told);
    rig_go_on(writer);
    fake_cluster_purge(cluster);
    if (_i == 0) {
        ck_fails(writer->ops->list(writer, count_nothing, NULL), ESHUTDOWN);
    } else if (_i == 1) {
        ck_fails(writer->ops->root_read(writer, &bytes, &version), ESHUTDOWN);
    } else if (_i == 2) {
        ck_fails(writer->ops->root_swap(writer, 1, kv_slice_str("x")), ESHUTDOWN);
    } else {
        ck_fails(writer->ops->log_open(writer, (struct kv_file_id){KV_FILE_LOG, 1}, &log),
                 ESHUTDOWN);
    }
    wait_until_told(&told);
    ck_assert_int_eq(atomic_load(&told.error), -ENOENT);
    writer->ops->close(writer);
    kv_buf_finish(&bytes);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(a_renewal_that_cannot_succeed_any_more_ends_the_lease_and_nobody_waits)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct pool *vandal = fake_cluster_connect(cluster, NULL, NULL);
    struct pool_value none = {POOLED_EPOCH_ATTR, kv_slice_str("none")};
    struct kv_storage *reader = NULL;
    struct told told = {0};
    struct kv_buf bytes = {0};
    uint64_t version = 0;

    ck_ok(rig_acquire(cluster, NULL, NULL, &reader));
    rig_go_on(reader);
    reader->ops->close(reader);
    reader = rig_connect(cluster, NULL, NULL);
    ck_ok(reader->ops->lease_acquire(reader, KV_LEASE_SHARED, "a reader"));
    reader->ops->lease_watch(reader, note, &told);
    ck_ok(vandal->ops->change(vandal, POOLED_ROOT,
                              &(struct pool_change){.attributes = &none, .attribute_count = 1}));
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_fails(reader->ops->root_read(reader, &bytes, &version), ESHUTDOWN);
    wait_until_told(&told);
    ck_assert_int_eq(atomic_load(&told.error), -KV_EDAMAGED);
    reader->ops->close(reader);
    vandal->ops->close(vandal);
    kv_buf_finish(&bytes);
    fake_cluster_destroy(cluster);
}
END_TEST

/* ---- how long it counts -----------------------------------------------------------------------
 */

static enum fake_fate count_call(void *arg, unsigned index)
{
    _Atomic unsigned *calls = (_Atomic unsigned *)arg;
    atomic_store(calls, index + 1);
    return FAKE_DONE;
}

/* Calls that a read of the root record makes once so much of the lease is over. */
static unsigned calls_of_read_after(uint64_t ms)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *writer = NULL;
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    _Atomic unsigned calls = 0;

    ck_ok(rig_acquire(cluster, count_call, &calls, &writer));
    rig_go_on(writer);
    unsigned before = atomic_load(&calls);
    fake_cluster_pass(cluster, ms);
    ck_ok(writer->ops->root_read(writer, &bytes, &version));
    unsigned made = atomic_load(&calls) - before;
    writer->ops->close(writer);
    kv_buf_finish(&bytes);
    fake_cluster_destroy(cluster);
    return made;
}

START_TEST(a_read_in_the_last_fifth_of_a_lease_waits_for_its_renewal)
{
    ck_assert_uint_eq(calls_of_read_after(RIG_LEASE_MS * 7 / 10), 1);
    ck_assert_uint_ge(calls_of_read_after(RIG_LEASE_MS * 9 / 10), 3); /* the lock, and the epoch */
}
END_TEST

/* Monitors that take longer to answer than the lease lasts. */
static int slow_shut_out(struct pool *pool, const char *address)
{
    sleep_ms(SHORT_LEASE_MS / 2 + 50);
    sleep_ms(SHORT_LEASE_MS / 2 + 50);
    ck_assert_int_eq(pool->ops->is_locked(pool, POOLED_LEASE), 1);
    return -ETIMEDOUT;
}

START_TEST(a_lease_is_renewed_while_the_writer_before_is_shut_out)
{
    struct pooled_options options = {
        .create = true, .lease_ms = SHORT_LEASE_MS, .piece_bytes = RIG_PIECE_BYTES};
    struct fake_cluster *cluster = fake_cluster_create();
    struct pool *pool = fake_cluster_connect(cluster, NULL, NULL);
    struct pool_ops ops = *pool->ops;
    struct kv_storage *writer = NULL;
    struct kv_storage *other = NULL;

    ck_ok(rig_acquire(cluster, NULL, NULL, &writer));
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ops.shut_out = slow_shut_out;
    pool->ops = &ops;
    ck_ok(pooled_storage_open(pool, "rados://fake/store", &options, &other));
    ck_ok(other->ops->lease_acquire(other, KV_LEASE_EXCLUSIVE, "slow"));
    rig_go_on(other);
    ck_fails(writer->ops->root_swap(writer, 0, kv_slice_str("x")), ESHUTDOWN);
    writer->ops->close(writer);
    other->ops->close(other);
    fake_cluster_destroy(cluster);
}
END_TEST

/* ---- beginning --------------------------------------------------------------------------------
 */

/* What happens at one call. */
struct at {
    unsigned index;
    enum fake_fate fate;
    struct fake_cluster *cluster; /* in which somebody writes before it; or NULL */
};

static enum fake_fate follow(void *arg, unsigned index)
{
    struct at *at = (struct at *)arg;
    struct kv_storage *writer = NULL;

    if (index != at->index) {
        return FAKE_DONE;
    }
    if (at->cluster != NULL && rig_acquire(at->cluster, NULL, NULL, &writer) == 0) {
        rig_go_on(writer);
        writer->ops->close(writer);
    }
    return at->fate;
}

/* Whatever comes of it, the lock is not held any longer than the store is. */
START_TEST(an_acquisition_whose_answer_is_lost_leaves_no_lock)
{
    struct at at = {.fate = FAKE_UNHEARD};

    do {
        struct fake_cluster *cluster = fake_cluster_create();
        struct kv_storage *storage = NULL;
        kv_ignore(rig_acquire(cluster, follow, &at, &storage));
        if (storage != NULL) {
            storage->ops->close(storage);
        }
        ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
        rig_go_on(storage);
        storage->ops->close(storage);
        fake_cluster_destroy(cluster);
        at.index++;
    } while (at.index < 6); /* up to the change that makes the store */
}
END_TEST

START_TEST(a_reader_that_is_overtaken_before_it_has_the_lock_reads_what_is_there_then)
{
    struct at at = {.index = 0};

    do {
        struct fake_cluster *cluster = fake_cluster_create();
        struct kv_storage *storage = NULL;
        struct kv_buf bytes = {0};
        uint64_t version = 0;

        ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
        rig_go_on(storage);
        storage->ops->close(storage);
        at.cluster = cluster;
        storage = rig_connect(cluster, follow, &at);
        ck_ok(storage->ops->lease_acquire(storage, KV_LEASE_SHARED, "a reader"));
        fake_cluster_pass(cluster, RIG_LEASE_MS * 9 / 10); /* the renewal compares the epoch */
        ck_ok(storage->ops->root_read(storage, &bytes, &version));
        storage->ops->close(storage);
        kv_buf_finish(&bytes);
        fake_cluster_destroy(cluster);
        at.index++;
    } while (at.index < 6); /* up to the lock and one more */
}
END_TEST

/* ---- the engine -------------------------------------------------------------------------------
 */

/* Told by the engine. */
static void note_event(void *arg, const struct kv_event *event)
{
    if (event->kind == KV_EVENT_STORE_LOST) {
        note(arg, event->error);
    }
}

static struct kv_store *open_store(struct fake_cluster *cluster, struct told *told,
                                   struct kv_table **ret_table)
{
    struct pooled_options pooled = {
        .create = true, .lease_ms = SHORT_LEASE_MS, .piece_bytes = 64 * 1024};
    struct kv_options options = {.create = true, .event_fn = note_event, .event_arg = told};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;

    ck_ok(pooled_storage_open(fake_cluster_connect(cluster, NULL, NULL), "rados://fake/store",
                              &pooled, &storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, ret_table));
    return store;
}

static int get(struct kv_table *table, const char *key)
{
    struct kv_pinned value = {0};
    int r = kv_get(table, NULL, kv_slice_str(key), &value);
    if (r == 0) {
        kv_pinned_release(&value);
    }
    return r;
}

START_TEST(a_store_whose_lease_is_lost_answers_nothing_from_memory)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_slice key = kv_slice_str("cached");
    struct kv_get_result result = {0};
    struct kv_table *table = NULL;
    struct told told = {0};
    struct kv_store *store = open_store(cluster, &told, &table);
    struct kv_storage *other = NULL;
    struct kv_iter *iter = NULL;
    struct kv_health health;

    ck_ok(kv_put(table, key, kv_slice_str("old"), KV_DURABLE_SYNC));
    ck_ok(get(table, "cached"));
    int r = -EBUSY;
    for (unsigned tries = 0; r == -EBUSY && tries < 100; tries++) { /* unless it is just renewed */
        fake_cluster_pass(cluster, SHORT_LEASE_MS + 1);
        r = rig_acquire(cluster, NULL, NULL, &other);
    }
    ck_ok(r);
    r = 0; /* nothing is asked of the pool: the renewal finds out */
    for (unsigned ms = 0; r == 0; ms += 10) {
        ck_assert_msg(ms < test_patience_ms(), "it is still read");
        sleep_ms(10);
        r = get(table, "cached");
    }
    ck_assert_int_eq(r, -ESHUTDOWN);
    ck_fails(kv_exists(table, NULL, key), ESHUTDOWN);
    ck_fails(kv_multi_get(table, NULL, &key, 1, &result), ESHUTDOWN);
    ck_fails(kv_iter_create(table, NULL, &iter), ESHUTDOWN);
    ck_fails(kv_put(table, key, key, KV_DURABLE_WRITE), ESHUTDOWN);
    kv_health(store, &health);
    ck_assert_int_eq(health.state, KV_HEALTH_READ_ONLY);
    ck_assert_ptr_nonnull(strstr(health.reason, "lease"));
    wait_until_told(&told);
    ck_assert_int_lt(kv_close(store), 0);
    ck_assert_uint_eq(atomic_load(&told.times), 1);
    ck_assert_int_eq(atomic_load(&told.error), -ESHUTDOWN);
    rig_go_on(other);
    other->ops->close(other);
    fake_cluster_destroy(cluster);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_lost");
    suite_add(s, "watch", who_watches_a_lease_is_told_once_that_it_was_taken_over);
    suite_add(s, "watch", who_watches_a_lease_is_told_why_it_was_lost);
    suite_add(s, "watch", who_watches_no_more_and_who_gives_the_lease_up_is_told_nothing);
    TCase *purged = tcase_create("purged");
    tcase_add_loop_test(purged, who_holds_a_store_that_was_purged_loses_the_lease_at_its_next_call,
                        0, 4);
    suite_add_tcase(s, purged);
    suite_add(s, "renewal", a_renewal_that_cannot_succeed_any_more_ends_the_lease_and_nobody_waits);
    suite_add(s, "time", a_read_in_the_last_fifth_of_a_lease_waits_for_its_renewal);
    suite_add(s, "time", a_lease_is_renewed_while_the_writer_before_is_shut_out);
    suite_add(s, "begin", an_acquisition_whose_answer_is_lost_leaves_no_lock);
    suite_add(s, "begin",
              a_reader_that_is_overtaken_before_it_has_the_lock_reads_what_is_there_then);
    suite_add(s, "engine", a_store_whose_lease_is_lost_answers_nothing_from_memory);
    return s;
}
