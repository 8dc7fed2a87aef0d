/* SPDX-License-Identifier: Apache-2.0 */
/* One thread and several transactions: what each sees, and which may commit. */
#include "tests/lib/check_main.h"

#include <stdio.h>

#include <kv/txn.h>

#include "kvcore/util/thread.h"

struct world {
    struct kv_storage *storage;
    struct kv_store *store;
    struct kv_table *table, *other;
    struct kv_txn_manager *manager;
};

static struct world w;

static const struct kv_txn_options serializable = {.isolation = KV_TXN_SERIALIZABLE};
static const struct kv_txn_options pessimistic = {.mode = KV_TXN_PESSIMISTIC,
                                                  .lock_timeout_ms = 20};

static void open_store(void)
{
    const struct kv_options options = {.create = true, .no_background = true};
    ck_ok(kv_open(w.storage, &options, &w.store));
    ck_ok(kv_table_open(w.store, "rows", NULL, &w.table));
    ck_ok(kv_table_open(w.store, "other", NULL, &w.other));
    ck_ok(kv_txn_manager_open(w.store, &w.manager));
}

static void close_store(void)
{
    ck_ok(kv_txn_manager_close(w.manager));
    ck_ok(kv_close(w.store));
}

static void begin(void)
{
    ck_ok(kv_storage_mem_create(&w.storage));
    open_store();
}

static void end(void)
{
    close_store();
    kv_storage_mem_destroy(w.storage);
}

static struct kv_slice s(const char *text)
{
    return kv_slice_str(text);
}

static struct kv_txn *txn_begin(const struct kv_txn_options *options)
{
    struct kv_txn *txn = NULL;
    ck_ok(kv_txn_begin(w.manager, options, &txn));
    return txn;
}

static void put(struct kv_txn *txn, const char *key, const char *value)
{
    ck_ok(kv_txn_put(txn, w.table, s(key), s(value)));
}

/* `expected` NULL: there is none. */
static void expect(struct kv_txn *txn, const char *key, const char *expected)
{
    struct kv_buf value = {0};
    int r = kv_txn_get(txn, w.table, s(key), &value);
    if (expected == NULL) {
        ck_assert_int_eq(r, -ENOENT);
    } else {
        ck_ok(r);
        ck_assert(kv_slice_equal(kv_buf_slice(&value), s(expected)));
    }
    kv_buf_finish(&value);
}

static void plain_put(const char *key, const char *value)
{
    ck_ok(kv_put(w.table, s(key), s(value), KV_DURABLE_WRITE));
}

static void expect_now(const char *key, const char *expected)
{
    struct kv_txn *txn = txn_begin(NULL);
    expect(txn, key, expected);
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
}

/* Rows of the table from `from` on, up to `to`, as "key=value ...". */
static void expect_scan(struct kv_txn *txn, const char *from, const char *to, const char *expected)
{
    const struct kv_txn_iter_options options = {.lower = s(from), .upper = s(to)};
    struct kv_txn_iter *it = NULL;
    struct kv_buf text = {0};
    struct kv_slice value;

    ck_ok(kv_txn_iter_create(txn, w.table, &options, &it));
    for (kv_txn_iter_seek_first(it); kv_txn_iter_valid(it); kv_txn_iter_next(it)) {
        ck_ok(kv_buf_append(&text, kv_txn_iter_key(it)));
        ck_ok(kv_buf_append(&text, s("=")));
        ck_ok(kv_txn_iter_value(it, &value));
        ck_ok(kv_buf_append(&text, value));
        ck_ok(kv_buf_append(&text, s(" ")));
    }
    ck_ok(kv_txn_iter_error(it));
    kv_txn_iter_destroy(it);
    ck_assert_msg(kv_slice_equal(kv_buf_slice(&text), s(expected)), "got '%.*s', not '%s'",
                  (int)text.size, (const char *)text.data, expected);
    kv_buf_finish(&text);
}

/* ---- what is seen ---- */

START_TEST(own_writes_are_seen_by_nobody_else_before_the_commit)
{
    struct kv_txn *a;
    struct kv_txn *b;

    plain_put("a", "1");
    a = txn_begin(NULL);
    b = txn_begin(NULL);
    put(a, "a", "2");
    ck_ok(kv_txn_delete(a, w.table, s("gone")));
    put(a, "b", "new");
    expect(a, "a", "2");
    expect(a, "b", "new");
    expect(b, "a", "1");
    expect(b, "b", NULL);
    ck_ok(kv_txn_commit(a, KV_DURABLE_WRITE));
    expect(b, "a", "1"); /* the state of its first read */
    expect(b, "b", NULL);
    ck_ok(kv_txn_commit(b, KV_DURABLE_WRITE));
    expect_now("a", "2");
    expect_now("b", "new");
}
END_TEST

START_TEST(the_state_to_read_is_pinned_by_the_first_read_or_at_once)
{
    const struct kv_txn_options now = {.read_now = true};
    struct kv_txn *first;
    struct kv_txn *late;

    plain_put("a", "1");
    first = txn_begin(&now);
    late = txn_begin(NULL);
    plain_put("a", "2");
    expect(first, "a", "1");
    expect(late, "a", "2");
    kv_txn_rollback(first);
    kv_txn_rollback(late);
}
END_TEST

START_TEST(a_rollback_leaves_nothing)
{
    struct kv_txn *txn = txn_begin(&pessimistic);
    put(txn, "a", "1");
    ck_ok(kv_txn_delete_range(txn, w.table, s("a"), s("z")));
    kv_txn_rollback(txn);
    kv_txn_rollback(NULL);
    expect_now("a", NULL);
}
END_TEST

START_TEST(a_commit_over_two_tables_is_one_batch_that_lasts)
{
    struct kv_buf value = {0};
    struct kv_stats before;
    struct kv_stats after;
    struct kv_txn *txn = txn_begin(NULL);

    put(txn, "a", "1");
    ck_ok(kv_txn_put(txn, w.other, s("a"), s("2")));
    kv_stats(w.store, &before);
    ck_ok(kv_txn_commit(txn, KV_DURABLE_SYNC));
    kv_stats(w.store, &after);
    ck_assert_uint_eq(after.batches, before.batches + 1);
    close_store();
    open_store();
    expect_now("a", "1");
    ck_ok(kv_get_copy(w.other, NULL, s("a"), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), s("2")));
    kv_buf_finish(&value);
}
END_TEST

START_TEST(large_values_are_read_back_before_and_after_the_commit)
{
    struct kv_buf value = {0};
    struct kv_buf large = {0};
    struct kv_txn *txn = txn_begin(NULL);

    for (int i = 0; i < 40000; i++) {
        ck_ok(kv_buf_append(&large, s("large")));
    }
    ck_ok(kv_txn_put(txn, w.table, s("a"), kv_buf_slice(&large)));
    ck_ok(kv_txn_get(txn, w.table, s("a"), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_buf_slice(&large)));
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
    ck_ok(kv_get_copy(w.table, NULL, s("a"), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_buf_slice(&large)));
    kv_buf_finish(&value);
    kv_buf_finish(&large);
}
END_TEST

START_TEST(a_range_that_was_deleted_hides_rows_but_not_later_puts)
{
    struct kv_txn *txn;
    plain_put("a", "1");
    plain_put("b", "1");
    plain_put("c", "1");
    txn = txn_begin(NULL);
    put(txn, "ab", "own");
    put(txn, "d", "own");
    ck_ok(kv_txn_delete_range(txn, w.table, s("a"), s("c")));
    put(txn, "b", "later");
    expect(txn, "a", NULL);
    expect(txn, "ab", NULL);
    expect(txn, "b", "later");
    expect_scan(txn, "", "", "b=later c=1 d=own ");
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
    txn = txn_begin(NULL);
    expect_scan(txn, "", "", "b=later c=1 d=own ");
    kv_txn_rollback(txn);
}
END_TEST

START_TEST(a_value_that_an_iterator_shows_can_be_put_under_its_own_key)
{
    struct kv_txn_iter *it = NULL;
    struct kv_slice value;
    struct kv_txn *txn = txn_begin(NULL);
    put(txn, "a", "value");
    ck_ok(kv_txn_iter_create(txn, w.table, NULL, &it));
    kv_txn_iter_seek_first(it);
    ck_ok(kv_txn_iter_value(it, &value));
    value = kv_slice_behind(value, 2);
    ck_ok(kv_txn_put(txn, w.table, kv_txn_iter_key(it), value));
    kv_txn_iter_destroy(it);
    expect(txn, "a", "lue");
    kv_txn_rollback(txn);
}
END_TEST

START_TEST(going_back_to_a_savepoint_undoes_what_came_after_it)
{
    struct kv_txn *txn;
    plain_put("a", "1");
    plain_put("b", "1");
    txn = txn_begin(NULL);
    ck_fails(kv_txn_rollback_to_savepoint(txn), ENOENT);
    ck_fails(kv_txn_release_savepoint(txn), ENOENT);
    put(txn, "a", "2");
    ck_ok(kv_txn_savepoint(txn));
    put(txn, "a", "3");
    put(txn, "a", "4");
    ck_ok(kv_txn_savepoint(txn));
    ck_ok(kv_txn_delete_range(txn, w.table, s("a"), s("z")));
    put(txn, "c", "5");
    expect_scan(txn, "", "", "c=5 ");
    ck_ok(kv_txn_rollback_to_savepoint(txn));
    expect_scan(txn, "", "", "a=4 b=1 ");
    ck_ok(kv_txn_savepoint(txn));
    put(txn, "b", "6");
    ck_ok(kv_txn_release_savepoint(txn));
    expect_scan(txn, "", "", "a=4 b=6 ");
    ck_ok(kv_txn_rollback_to_savepoint(txn));
    expect_scan(txn, "", "", "a=2 b=1 ");
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
    expect_now("a", "2");
    expect_now("b", "1");
}
END_TEST

/* ---- conflicts ---- */

/* A transaction that read "r" and writes "k"; `change` happens in between. */
static int commit_across(const struct kv_txn_options *options, void (*change)(void))
{
    struct kv_txn *txn = txn_begin(options);
    int r;

    expect(txn, "r", "1");
    change();
    r = kv_txn_put(txn, w.table, s("k"), s("mine"));
    /* With a lock in hand it is told at once. */
    ck_assert_int_eq(r, options == &pessimistic ? -EAGAIN : 0);
    return kv_txn_commit(txn, KV_DURABLE_WRITE);
}

static void put_k(void)
{
    plain_put("k", "theirs");
}

static void delete_k(void)
{
    ck_ok(kv_delete(w.table, s("k"), KV_DURABLE_WRITE));
}

static void delete_range_over_k(void)
{
    ck_ok(kv_delete_range(w.table, s("j"), s("l"), KV_DURABLE_WRITE));
}

static void put_k_and_flush(void)
{
    put_k();
    ck_ok(kv_flush(w.store));
    plain_put("x", "1");
}

static void put_k_and_compact(void)
{
    put_k();
    ck_ok(kv_compact(w.store));
}

static void delete_range_over_k_and_flush(void)
{
    delete_range_over_k();
    ck_ok(kv_flush(w.store));
}

static void commit_k(void)
{
    struct kv_txn *txn = txn_begin(NULL);
    put(txn, "k", "theirs");
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
}

static void put_others_and_flush(void)
{
    plain_put("j", "theirs");
    plain_put("l", "theirs");
    ck_ok(kv_delete_range(w.table, s("a"), s("k"), KV_DURABLE_WRITE));
    ck_ok(kv_delete_range(w.table, s("k\001"), s("l"), KV_DURABLE_WRITE));
    ck_ok(kv_flush(w.store));
}

START_TEST(a_key_that_somebody_else_changed_is_a_conflict_wherever_the_change_is_now)
{
    void (*const changes[])(void) = {
        put_k,           delete_k,          delete_range_over_k,
        put_k_and_flush, put_k_and_compact, delete_range_over_k_and_flush,
        commit_k};
    plain_put("r", "1");
    plain_put("k", "1");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        plain_put("k", "1");
        ck_fails(commit_across(NULL, changes[i]), EAGAIN);
        plain_put("k", "1");
        ck_fails(commit_across(&pessimistic, changes[i]), EAGAIN);
    }
}
END_TEST

START_TEST(changes_beside_the_keys_are_no_conflict_also_when_memtables_went)
{
    plain_put("r", "1");
    ck_ok(commit_across(NULL, put_others_and_flush));
    expect_now("k", "mine");
}
END_TEST

START_TEST(writes_without_a_read_do_not_conflict)
{
    struct kv_txn *txn = txn_begin(NULL);
    put(txn, "a", "mine");
    plain_put("a", "theirs");
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
    expect_now("a", "mine");
}
END_TEST

START_TEST(a_key_got_for_update_is_a_conflict_though_it_was_not_written)
{
    struct kv_buf value = {0};
    struct kv_txn *txn = txn_begin(NULL);
    ck_fails(kv_txn_get_for_update(txn, w.table, s("absent"), &value), ENOENT);
    put(txn, "k", "1");
    plain_put("absent", "theirs");
    ck_fails(kv_txn_commit(txn, KV_DURABLE_WRITE), EAGAIN);
    expect_now("k", NULL);
    kv_buf_finish(&value);
}
END_TEST

START_TEST(a_deleted_range_in_which_somebody_put_is_a_conflict)
{
    struct kv_txn *txn = txn_begin(NULL);
    expect(txn, "a", NULL);
    ck_ok(kv_txn_delete_range(txn, w.table, s("b"), s("d")));
    plain_put("d", "beside");
    plain_put("a", "beside");
    plain_put("c", "theirs");
    ck_fails(kv_txn_commit(txn, KV_DURABLE_WRITE), EAGAIN);
    expect_now("c", "theirs");
}
END_TEST

/* Two transactions that each read what the other one writes. */
static int write_skew(const struct kv_txn_options *options)
{
    struct kv_txn *a = txn_begin(options);
    struct kv_txn *b = txn_begin(options);
    expect(a, "x", "1");
    expect(b, "y", "1");
    put(a, "y", "a");
    put(b, "x", "b");
    ck_ok(kv_txn_commit(a, KV_DURABLE_WRITE));
    return kv_txn_commit(b, KV_DURABLE_WRITE);
}

START_TEST(write_skew_is_possible_at_snapshot_level_only)
{
    plain_put("x", "1");
    plain_put("y", "1");
    ck_ok(write_skew(NULL));
    plain_put("x", "1");
    plain_put("y", "1");
    ck_fails(write_skew(&serializable), EAGAIN);
}
END_TEST

/* A transaction that scans [from, to) of b, d, f and writes elsewhere. */
static int commit_across_scan(const char *from, const char *to, const char *rows,
                              void (*change)(void))
{
    struct kv_txn *txn;
    plain_put("b", "1");
    plain_put("d", "1");
    plain_put("f", "1");
    ck_ok(kv_delete(w.table, s("c"), KV_DURABLE_WRITE));
    txn = txn_begin(&serializable);
    expect_scan(txn, from, to, rows);
    change();
    put(txn, "result", "1");
    return kv_txn_commit(txn, KV_DURABLE_WRITE);
}

static void put_c(void)
{
    plain_put("c", "phantom");
}

static void put_c_and_flush(void)
{
    put_c();
    ck_ok(kv_flush(w.store));
}

static void delete_range_of_d_and_flush(void)
{
    ck_ok(kv_delete_range(w.table, s("cc"), s("e"), KV_DURABLE_WRITE));
    ck_ok(kv_flush(w.store));
}

static void delete_range_of_d(void)
{
    ck_ok(kv_delete_range(w.table, s("cc"), s("e"), KV_DURABLE_WRITE));
}

START_TEST(a_phantom_in_a_range_that_was_read_is_a_conflict)
{
    ck_fails(commit_across_scan("b", "e", "b=1 d=1 ", put_c), EAGAIN);
    ck_fails(commit_across_scan("b", "e", "b=1 d=1 ", put_c_and_flush), EAGAIN);
    ck_fails(commit_across_scan("", "", "b=1 d=1 f=1 ", put_c), EAGAIN);
    ck_fails(commit_across_scan("", "", "b=1 d=1 f=1 ", delete_range_of_d), EAGAIN);
    ck_fails(commit_across_scan("b", "e", "b=1 d=1 ", delete_range_of_d_and_flush), EAGAIN);
    ck_ok(commit_across_scan("d", "e", "d=1 ", put_c));
    ck_ok(commit_across_scan("e", "g", "f=1 ", put_c_and_flush));
}
END_TEST

START_TEST(a_gap_passed_backward_is_read_as_well)
{
    struct kv_txn_iter *it = NULL;
    struct kv_txn *txn;
    plain_put("b", "1");
    plain_put("d", "1");
    plain_put("f", "1");
    for (int i = 0; i < 2; i++) {
        ck_ok(kv_delete(w.table, s("c"), KV_DURABLE_WRITE));
        txn = txn_begin(&serializable);
        ck_ok(kv_txn_iter_create(txn, w.table, NULL, &it));
        kv_txn_iter_seek_for_prev(it, s("e"));
        ck_assert(kv_slice_equal(kv_txn_iter_key(it), s("d")));
        if (i == 0) {
            kv_txn_iter_prev(it);
            ck_assert(kv_slice_equal(kv_txn_iter_key(it), s("b")));
        }
        kv_txn_iter_destroy(it);
        put(txn, "x", "1");
        plain_put("c", "phantom");
        ck_assert_int_eq(kv_txn_commit(txn, KV_DURABLE_WRITE), i == 0 ? -EAGAIN : 0);
    }
}
END_TEST

START_TEST(one_that_only_reads_never_fails)
{
    struct kv_txn *txn;
    plain_put("a", "1");
    txn = txn_begin(&serializable);
    expect(txn, "a", "1");
    plain_put("a", "2");
    expect(txn, "a", "1");
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
}
END_TEST

/* ---- locks ---- */

START_TEST(a_lock_is_waited_for_until_the_time_is_over_and_the_transaction_goes_on)
{
    struct kv_txn *a = txn_begin(&pessimistic);
    struct kv_txn *b = txn_begin(&pessimistic);
    struct kv_txn_stats stats;
    put(a, "k", "a");
    ck_fails(kv_txn_put(b, w.table, s("k"), s("b")), ETIMEDOUT);
    expect(b, "k", NULL);
    ck_ok(kv_txn_put(b, w.other, s("k"), s("another table"))); /* another lock */
    kv_txn_manager_stats(w.manager, &stats);
    ck_assert_uint_eq(stats.locks, 2);
    ck_assert_uint_eq(stats.timeouts, 1);
    ck_assert_uint_eq(stats.open, 2);
    ck_ok(kv_txn_commit(a, KV_DURABLE_WRITE));
    ck_fails(kv_txn_put(b, w.table, s("k"), s("b")), EAGAIN); /* it has read before */
    ck_fails(kv_txn_get(b, w.table, s("k"), &(struct kv_buf){0}), EAGAIN);
    ck_fails(kv_txn_commit(b, KV_DURABLE_WRITE), EAGAIN);
    kv_txn_manager_stats(w.manager, &stats);
    ck_assert_uint_eq(stats.locks, 0);
    ck_assert_uint_eq(stats.open, 0);
    ck_assert_uint_eq(stats.conflicts, 1);
}
END_TEST

START_TEST(optimistic_ones_take_no_locks)
{
    struct kv_txn *a = txn_begin(NULL);
    struct kv_txn *b = txn_begin(NULL);
    struct kv_txn_stats stats;
    put(a, "k", "a");
    put(b, "k", "b");
    kv_txn_manager_stats(w.manager, &stats);
    ck_assert_uint_eq(stats.locks, 0);
    ck_ok(kv_txn_commit(a, KV_DURABLE_WRITE));
    ck_ok(kv_txn_commit(b, KV_DURABLE_WRITE));
    expect_now("k", "b");
}
END_TEST

enum { RAISERS = 4, RAISES = 200 };

static void *raise_counter(void *arg)
{
    const struct kv_txn_options patient = {.mode = KV_TXN_PESSIMISTIC,
                                           .lock_timeout_ms = (unsigned)test_patience_ms()};
    struct kv_buf value = {0};
    int *failed = arg;
    for (int i = 0; i < RAISES && *failed == 0; i++) {
        struct kv_txn *txn = NULL;
        uint64_t number = 0;
        int r = kv_txn_begin(w.manager, &patient, &txn);
        r = r < 0 ? r : kv_txn_get_for_update(txn, w.table, s("counter"), &value);
        if (r == 0) {
            memcpy(&number, value.data, sizeof number);
        }
        number++;
        r = r < 0 && r != -ENOENT
                ? r
                : kv_txn_put(txn, w.table, s("counter"), kv_slice(&number, sizeof number));
        if (r < 0) {
            kv_txn_rollback(txn);
        } else {
            r = kv_txn_commit(txn, KV_DURABLE_WRITE);
        }
        *failed = r;
    }
    kv_buf_finish(&value);
    return NULL;
}

START_TEST(a_counter_raised_by_many_with_locks_loses_nothing_and_nobody_fails)
{
    struct thread threads[RAISERS];
    int failed[RAISERS] = {0};
    struct kv_buf value = {0};
    uint64_t number = 0;
    for (int i = 0; i < RAISERS; i++) {
        ck_ok(thread_start(&threads[i], "raiser", raise_counter, &failed[i]));
    }
    for (int i = 0; i < RAISERS; i++) {
        thread_join(&threads[i]);
        ck_ok(failed[i]);
    }
    ck_ok(kv_get_copy(w.table, NULL, s("counter"), &value));
    memcpy(&number, value.data, sizeof number);
    ck_assert_uint_eq(number, RAISERS * RAISES);
    kv_buf_finish(&value);
}
END_TEST

/* ---- limits and misuse ---- */

START_TEST(memory_is_bounded_and_what_does_not_fit_has_no_effect)
{
    const struct kv_txn_options small = {.isolation = KV_TXN_SERIALIZABLE, .bytes_max = 4000};
    const struct kv_txn_options huge = {.bytes_max = (size_t)KV_TXN_BYTES_MAX + 1};
    static const char large[3900];
    struct kv_txn *txn = NULL;
    struct kv_buf value = {0};
    char key[16];
    int r = -ENOENT;

    ck_fails(kv_txn_begin(w.manager, &huge, &txn), EINVAL);
    txn = txn_begin(&small);
    put(txn, "a", "1");
    ck_fails(kv_txn_put(txn, w.table, s("a"), kv_slice(large, sizeof large)), E2BIG);
    ck_fails(kv_txn_put(txn, w.table, s("b"), kv_slice(large, sizeof large)), E2BIG);
    expect(txn, "a", "1");
    expect(txn, "b", NULL);
    for (int i = 0; i < 1000 && r == -ENOENT; i++) {
        snprintf(key, sizeof key, "key%d", i);
        r = kv_txn_get(txn, w.table, s(key), &value);
    }
    ck_assert_int_eq(r, -E2BIG);
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
    expect_now("a", "1");
    expect_now("b", NULL);
}
END_TEST

START_TEST(what_savepoints_undo_gives_its_memory_back)
{
    const struct kv_txn_options small = {.bytes_max = 4000};
    static const char large[2000];
    struct kv_txn *txn = txn_begin(&small);
    for (int i = 0; i < 50; i++) {
        ck_ok(kv_txn_savepoint(txn));
        ck_ok(kv_txn_put(txn, w.table, s("a"), kv_slice(large, sizeof large)));
        ck_ok(kv_txn_delete_range(txn, w.table, s("a"), s("z")));
        ck_ok(kv_txn_rollback_to_savepoint(txn));
    }
    kv_txn_rollback(txn);
}
END_TEST

START_TEST(keys_and_ranges_that_cannot_be_are_refused)
{
    struct kv_txn *txn = txn_begin(NULL);
    ck_fails(kv_txn_put(txn, w.table, s(""), s("1")), EINVAL);
    ck_fails(kv_txn_delete(txn, w.table, s("")), EINVAL);
    ck_fails(kv_txn_delete_range(txn, w.table, s("b"), s("b")), EINVAL);
    ck_fails(kv_txn_delete_range(txn, w.table, s(""), s("b")), EINVAL);
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
}
END_TEST

START_TEST(a_dropped_table_and_one_of_another_store_are_refused)
{
    const struct kv_options options = {.create = true, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *foreign = NULL;
    struct kv_txn *txn = txn_begin(NULL);
    struct kv_txn *late = txn_begin(NULL);

    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "rows", NULL, &foreign));
    ck_fails(kv_txn_put(txn, foreign, s("a"), s("1")), EINVAL);
    ck_ok(kv_txn_put(late, w.other, s("a"), s("1")));
    ck_ok(kv_table_drop(w.store, "other"));
    ck_fails(kv_txn_put(txn, w.other, s("a"), s("1")), EIDRM);
    ck_ok(kv_txn_commit(txn, KV_DURABLE_WRITE));
    ck_fails(kv_txn_commit(late, KV_DURABLE_WRITE), EIDRM);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(a_manager_with_open_transactions_is_not_closed)
{
    struct kv_txn *txn = txn_begin(NULL);
    ck_fails(kv_txn_manager_close(w.manager), EBUSY);
    kv_txn_rollback(txn);
    ck_ok(kv_txn_manager_close(NULL));
}
END_TEST

Suite *test_suite(void)
{
    const TTest *const tests[] = {
        own_writes_are_seen_by_nobody_else_before_the_commit,
        the_state_to_read_is_pinned_by_the_first_read_or_at_once,
        a_rollback_leaves_nothing,
        a_commit_over_two_tables_is_one_batch_that_lasts,
        large_values_are_read_back_before_and_after_the_commit,
        a_range_that_was_deleted_hides_rows_but_not_later_puts,
        a_value_that_an_iterator_shows_can_be_put_under_its_own_key,
        going_back_to_a_savepoint_undoes_what_came_after_it,
        a_key_that_somebody_else_changed_is_a_conflict_wherever_the_change_is_now,
        changes_beside_the_keys_are_no_conflict_also_when_memtables_went,
        writes_without_a_read_do_not_conflict,
        a_key_got_for_update_is_a_conflict_though_it_was_not_written,
        a_deleted_range_in_which_somebody_put_is_a_conflict,
        write_skew_is_possible_at_snapshot_level_only,
        a_phantom_in_a_range_that_was_read_is_a_conflict,
        a_gap_passed_backward_is_read_as_well,
        one_that_only_reads_never_fails,
        a_lock_is_waited_for_until_the_time_is_over_and_the_transaction_goes_on,
        optimistic_ones_take_no_locks,
        a_counter_raised_by_many_with_locks_loses_nothing_and_nobody_fails,
        memory_is_bounded_and_what_does_not_fit_has_no_effect,
        what_savepoints_undo_gives_its_memory_back,
        keys_and_ranges_that_cannot_be_are_refused,
        a_dropped_table_and_one_of_another_store_are_refused,
        a_manager_with_open_transactions_is_not_closed,
    };
    Suite *suite = suite_create("txn");
    TCase *tc = tcase_create("txn");
    tcase_add_checked_fixture(tc, begin, end);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        tcase_add_test(tc, tests[i]);
    }
    suite_add_tcase(suite, tc);
    return suite;
}
