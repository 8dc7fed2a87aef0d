/* SPDX-License-Identifier: Apache-2.0 */
/* Random reads and writes of one transaction, compared with an array that knows what it must see.
 */
#include "tests/lib/check_main.h"

#include <stdio.h>

#include <kv/txn.h>

#include "kvcore/util/rng.h"

enum { KEYS = 40, DEPTH_MAX = 4, ROUNDS = 60 };

/* Number of each key's value; 0: there is none. */
struct state {
    unsigned value[KEYS];
};

struct world {
    struct kv_storage *storage;
    struct kv_store *store;
    struct kv_table *table;
    struct kv_txn_manager *manager;
    struct rng rng;
    struct kv_txn *txn;
    struct state now;
    struct state saved[DEPTH_MAX];
    unsigned depth;
    unsigned next_value;
};

static struct world w;

static void begin(void)
{
    const struct kv_options options = {.create = true, .no_background = true};
    w = (struct world){.rng = {test_seed()}, .next_value = 1};
    ck_ok(kv_storage_mem_create(&w.storage));
    ck_ok(kv_open(w.storage, &options, &w.store));
    ck_ok(kv_table_open(w.store, "rows", NULL, &w.table));
    ck_ok(kv_txn_manager_open(w.store, &w.manager));
}

static void end(void)
{
    ck_ok(kv_txn_manager_close(w.manager));
    ck_ok(kv_close(w.store));
    kv_storage_mem_destroy(w.storage);
}

static unsigned below(unsigned bound)
{
    return (unsigned)rng_below(&w.rng, bound);
}

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "k%02u", i));
}

static struct kv_slice value_of(unsigned number, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "v%u", number));
}

/* ---- reading ---- */

static void check_get(unsigned i)
{
    char key[16];
    char value[16];
    struct kv_buf got = {0};
    int r = below(4) == 0 ? kv_txn_get_for_update(w.txn, w.table, key_of(i, key), &got)
                          : kv_txn_get(w.txn, w.table, key_of(i, key), &got);
    if (w.now.value[i] == 0) {
        ck_assert_int_eq(r, -ENOENT);
    } else {
        ck_ok(r);
        ck_assert(kv_slice_equal(kv_buf_slice(&got), value_of(w.now.value[i], value)));
    }
    kv_buf_finish(&got);
}

/* First key from `i` on, in steps of `step`, within [lower, upper); -1: none. */
static int search(int i, int step, int lower, int upper)
{
    for (; i >= lower && i < upper; i += step) {
        if (w.now.value[i] != 0) {
            return i;
        }
    }
    return -1;
}

static void check_at(struct kv_txn_iter *it, int expected)
{
    struct kv_slice value;
    char text[16];
    ck_ok(kv_txn_iter_error(it));
    ck_assert_msg(kv_txn_iter_valid(it) == (expected >= 0), "seed %" PRIu64, test_seed());
    if (expected >= 0) {
        ck_assert_msg(kv_slice_equal(kv_txn_iter_key(it), key_of((unsigned)expected, text)),
                      "at %.*s, not %s (seed %" PRIu64 ")", (int)kv_txn_iter_key(it).size,
                      (const char *)kv_txn_iter_key(it).data, text, test_seed());
        ck_ok(kv_txn_iter_value(it, &value));
        ck_assert(kv_slice_equal(value, value_of(w.now.value[expected], text)));
    }
}

static void write_something(void);

/* Random moves between random bounds, with writes beneath the iterator in between. */
static void check_iter(bool with_writes)
{
    char text[2][16];
    char key[16];
    int lower = below(3) == 0 ? (int)below(KEYS) : 0;
    int upper = below(3) == 0 ? (int)below(KEYS) : KEYS;
    const struct kv_txn_iter_options options = {
        .lower = lower > 0 ? key_of((unsigned)lower, text[0]) : (struct kv_slice){0},
        .upper = upper < KEYS ? key_of((unsigned)upper, text[1]) : (struct kv_slice){0}};
    struct kv_txn_iter *it = NULL;
    int at = -1;

    upper = upper == 0 ? 0 : upper;
    ck_ok(kv_txn_iter_create(w.txn, w.table, &options, &it));
    for (int i = 0; i < 30; i++) {
        unsigned move = at < 0 ? below(4) : below(12);
        int target = (int)below(KEYS);
        if (move == 0) {
            kv_txn_iter_seek(it, key_of((unsigned)target, key));
            at = search(target > lower ? target : lower, 1, lower, upper);
        } else if (move == 1) {
            kv_txn_iter_seek_for_prev(it, key_of((unsigned)target, key));
            at = search(target < upper ? target : upper - 1, -1, lower, upper);
        } else if (move == 2) {
            kv_txn_iter_seek_first(it);
            at = search(lower, 1, lower, upper);
        } else if (move == 3) {
            kv_txn_iter_seek_last(it);
            at = search(upper - 1, -1, lower, upper);
        } else if (move < 8) {
            kv_txn_iter_next(it);
            at = search(at + 1, 1, lower, upper);
        } else {
            kv_txn_iter_prev(it);
            at = search(at - 1, -1, lower, upper);
        }
        check_at(it, at);
        if (with_writes && below(3) == 0) {
            write_something();
        }
    }
    kv_txn_iter_destroy(it);
}

/* ---- writing ---- */

static void delete_range(void)
{
    char from[16];
    char to[16];
    unsigned first = below(KEYS - 1);
    unsigned behind = first + 1 + below(KEYS - 1 - first < 8 ? KEYS - 1 - first : 8);
    ck_ok(kv_txn_delete_range(w.txn, w.table, key_of(first, from), key_of(behind, to)));
    for (unsigned i = first; i < behind; i++) {
        w.now.value[i] = 0;
    }
}

static void write_something(void)
{
    unsigned i = below(KEYS);
    unsigned what = below(12);
    char key[16];
    char value[16];

    if (what < 5) {
        ck_ok(kv_txn_put(w.txn, w.table, key_of(i, key), value_of(w.next_value, value)));
        w.now.value[i] = w.next_value++;
    } else if (what < 7) {
        ck_ok(kv_txn_delete(w.txn, w.table, key_of(i, key)));
        w.now.value[i] = 0;
    } else if (what == 7) {
        delete_range();
    } else if (what == 8 && w.depth < DEPTH_MAX) {
        ck_ok(kv_txn_savepoint(w.txn));
        w.saved[w.depth++] = w.now;
    } else if (what == 9 && w.depth > 0) {
        ck_ok(kv_txn_rollback_to_savepoint(w.txn));
        w.now = w.saved[--w.depth];
    } else if (what == 10 && w.depth > 0) {
        ck_ok(kv_txn_release_savepoint(w.txn));
        w.depth--;
    }
}

/* One transaction; returns with the model as the store is. */
static void run_txn(void)
{
    const struct kv_txn_options options = {
        .mode = below(2) == 0 ? KV_TXN_OPTIMISTIC : KV_TXN_PESSIMISTIC,
        .isolation = below(2) == 0 ? KV_TXN_SNAPSHOT : KV_TXN_SERIALIZABLE};
    struct state before = w.now;

    w.depth = 0;
    ck_ok(kv_txn_begin(w.manager, &options, &w.txn));
    for (unsigned i = 0; i < 20; i++) {
        unsigned what = below(10);
        if (what < 6) {
            write_something();
        } else if (what < 9) {
            check_get(below(KEYS));
        } else {
            check_iter(below(2) == 0);
        }
    }
    if (below(4) == 0) {
        kv_txn_rollback(w.txn);
        w.now = before;
    } else {
        ck_ok(kv_txn_commit(w.txn, KV_DURABLE_WRITE));
    }
    if (below(8) == 0) {
        ck_ok(below(2) == 0 ? kv_flush(w.store) : kv_compact(w.store));
    }
}

START_TEST(a_transaction_always_sees_its_own_writes_above_the_state_it_reads)
{
    uint64_t rounds = test_steps(ROUNDS * 5);
    for (uint64_t i = 0; i < rounds; i++) {
        run_txn();
    }
}
END_TEST

START_TEST(an_iterator_finds_rows_that_a_savepoint_uncovers_again)
{
    struct kv_txn_iter *it = NULL;
    char key[16];
    char value[16];
    for (unsigned i = 0; i < 6; i++) {
        ck_ok(kv_put(w.table, key_of(i, key), value_of(i + 1, value), KV_DURABLE_WRITE));
        w.now.value[i] = i + 1;
    }
    ck_ok(kv_txn_begin(w.manager, NULL, &w.txn));
    ck_ok(kv_txn_put(w.txn, w.table, key_of(0, key), value_of(7, value)));
    w.now.value[0] = 7;
    ck_ok(kv_txn_savepoint(w.txn));
    ck_ok(kv_txn_delete_range(w.txn, w.table, kv_slice_str("k01"), kv_slice_str("k05")));
    ck_ok(kv_txn_iter_create(w.txn, w.table, NULL, &it));
    kv_txn_iter_seek_first(it);
    check_at(it, 0); /* its own row; in the store it stands behind the range already */
    ck_ok(kv_txn_rollback_to_savepoint(w.txn));
    kv_txn_iter_next(it);
    check_at(it, 1);
    kv_txn_iter_destroy(it);
    kv_txn_rollback(w.txn);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("txn iterators");
    TCase *tc = tcase_create("txn iterators");
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, a_transaction_always_sees_its_own_writes_above_the_state_it_reads);
    tcase_add_test(tc, an_iterator_finds_rows_that_a_savepoint_uncovers_again);
    suite_add_tcase(suite, tc);
    return suite;
}
