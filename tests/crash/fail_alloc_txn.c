/* SPDX-License-Identifier: Apache-2.0 */
/* Fails every n-th allocation under two transactions, one of them over an index. A call that it
 * hits returns -ENOMEM, has changed nothing, and works when it is made again; a commit that it hits
 * has committed nothing. In the end the rows are those of a run without a failure, rows and index
 * agree, and nothing is left allocated. */
#include <stdio.h>

#include <kv/index.h>

#include "tests/crash/alloc_wrap.h"
#include "tests/lib/check_main.h"
#include "tests/sim/sim_fs.h"

enum { LARGE = 40000, ALLOCATIONS_MAX = 5000, ROWS_MISSED = 5 };

struct world {
    struct sim_fs *sim;
    struct kv_store *store;
    struct kv_table *table;
    struct kv_txn_manager *manager;
    struct kv_indexed *indexed;
    struct kv_index *index;
    unsigned failures;
};

static struct world w;
static uint8_t large[LARGE];

static struct kv_slice s(const char *text)
{
    return kv_slice_str(text);
}

static int whole_value(void *arg, struct kv_slice key, struct kv_slice value,
                       struct kv_index_keys *to)
{
    (void)arg;
    (void)key;
    return value.size < 100 ? kv_index_keys_add(to, value) : 0;
}

static void open_world(void)
{
    const struct kv_options options = {.create = true, .no_background = true};
    struct kv_storage *storage = NULL;
    const struct kv_index_options index = {.name = "value", .fn = whole_value, .version = 1};
    ck_ok(sim_create(&w.sim));
    ck_ok(sim_storage_open(w.sim, true, &storage));
    ck_ok(kv_open(storage, &options, &w.store));
    ck_ok(kv_table_open(w.store, "rows", NULL, &w.table));
    ck_ok(kv_txn_manager_open(w.store, &w.manager));
    ck_ok(kv_indexed_open(w.manager, w.table, "rows", &w.indexed));
    ck_ok(kv_indexed_add(w.indexed, &index, &w.index));
    ck_ok(kv_put(w.table, s("b"), s("old"), KV_DURABLE_WRITE));
    ck_ok(kv_put(w.table, s("c"), s("old"), KV_DURABLE_WRITE));
    ck_ok(kv_put(w.table, s("f"), s("old"), KV_DURABLE_WRITE));
    ck_ok(kv_index_build(w.index, NULL, NULL));
}

static void close_world(void)
{
    kv_indexed_close(w.indexed);
    ck_ok(kv_txn_manager_close(w.manager));
    ck_ok(kv_close(w.store));
    sim_destroy(w.sim);
}

/* ---- the calls; each is made again if it was hit ---- */

/* What stands outside of it (Check, too) does not count. */
#define UNDER_TEST(r, call)                                                                        \
    do {                                                                                           \
        alloc_enter();                                                                             \
        (r) = (call);                                                                              \
        alloc_leave();                                                                             \
    } while (0)

#define AGAIN(call)                                                                                \
    do {                                                                                           \
        int again_r;                                                                               \
        UNDER_TEST(again_r, call);                                                                 \
        if (again_r == -ENOMEM) {                                                                  \
            w.failures++;                                                                          \
            UNDER_TEST(again_r, call);                                                             \
        }                                                                                          \
        ck_ok(again_r);                                                                            \
    } while (0)

static int scan(struct kv_txn *txn, unsigned *ret_rows)
{
    struct kv_txn_iter *it = NULL;
    unsigned rows = 0;
    int r = kv_txn_iter_create(txn, w.table, NULL, &it);
    if (r < 0) {
        return r;
    }
    for (kv_txn_iter_seek_last(it); kv_txn_iter_valid(it); kv_txn_iter_prev(it)) {
        rows++;
    }
    r = kv_txn_iter_error(it);
    kv_txn_iter_destroy(it);
    if (r == 0) {
        *ret_rows = rows;
    }
    return r;
}

/* Read rows that are not there: more than what a transaction keeps without an allocation. */
static int miss(struct kv_txn *txn)
{
    static const uint8_t keys[ROWS_MISSED * 100] = {1};
    struct kv_buf value = {0};
    int r = -ENOENT;
    for (unsigned i = 0; i < ROWS_MISSED && r == -ENOENT; i++) {
        r = kv_txn_get(txn, w.table, kv_slice(keys, sizeof keys - i), &value);
    }
    kv_buf_finish(&value);
    return r == -ENOENT ? 0 : r;
}

/* False: it has ended without having happened, and is to be begun anew. */
static bool rolled_back(struct kv_txn *txn)
{
    int r;
    UNDER_TEST(r, kv_txn_rollback_to_savepoint(txn));
    if (r == -ENOMEM) {
        w.failures++;
        ck_fails(kv_txn_put(txn, w.table, s("a"), s("1")), ENOMEM);
        kv_txn_rollback(txn);
        return false;
    }
    ck_ok(r);
    return true;
}

static bool commit(struct kv_txn *txn)
{
    int r;
    UNDER_TEST(r, kv_txn_commit(txn, KV_DURABLE_WRITE));
    if (r == -ENOMEM) {
        w.failures++;
        ck_fails(kv_exists(w.table, NULL, s("a")), ENOENT);
        return false;
    }
    ck_ok(r);
    return true;
}

static bool plain(void)
{
    const struct kv_txn_options options = {.mode = KV_TXN_PESSIMISTIC,
                                           .isolation = KV_TXN_SERIALIZABLE};
    struct kv_buf value = {0};
    struct kv_txn *txn = NULL;
    unsigned rows = 0;

    AGAIN(kv_txn_begin(w.manager, &options, &txn));
    AGAIN(miss(txn));
    AGAIN(kv_txn_get_for_update(txn, w.table, s("b"), &value));
    AGAIN(kv_txn_delete_range(txn, w.table, s("e"), s("g")));
    AGAIN(kv_txn_savepoint(txn));
    AGAIN(kv_txn_put(txn, w.table, s("b"), s("undone")));
    AGAIN(kv_txn_delete_range(txn, w.table, s("a"), s("d")));
    if (!rolled_back(txn)) {
        kv_buf_finish(&value);
        return false;
    }
    AGAIN(kv_txn_get(txn, w.table, s("b"), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), s("old")));
    kv_buf_finish(&value);
    AGAIN(kv_txn_put(txn, w.table, s("a"), kv_slice(large, sizeof large)));
    AGAIN(kv_txn_put(txn, w.table, s("a"), kv_slice(large, sizeof large - 1)));
    AGAIN(scan(txn, &rows));
    ck_assert_uint_eq(rows, 3); /* a, b, c */
    return commit(txn);
}

/* Of the row and its entries a part may be there: so from the beginning. */
static bool over_the_index(void)
{
    struct kv_txn *txn = NULL;
    int r;
    AGAIN(kv_txn_begin(w.manager, NULL, &txn));
    UNDER_TEST(r, kv_indexed_put(txn, w.indexed, s("c"), s("new")));
    if (r == 0) {
        UNDER_TEST(r, kv_indexed_delete(txn, w.indexed, s("b")));
    }
    if (r == -ENOMEM) {
        w.failures++;
        kv_txn_rollback(txn);
        return false;
    }
    ck_ok(r);
    UNDER_TEST(r, kv_txn_commit(txn, KV_DURABLE_WRITE));
    w.failures += r == -ENOMEM;
    ck_assert(r == 0 || r == -ENOMEM);
    return r == 0;
}

static void expect_rows(void)
{
    struct kv_index_verdict verdict = {0};
    struct kv_txn *txn = NULL;
    struct kv_buf value = {0};
    unsigned rows = 0;

    ck_ok(kv_txn_begin(w.manager, NULL, &txn));
    ck_ok(scan(txn, &rows));
    ck_assert_uint_eq(rows, 2); /* a, c */
    ck_ok(kv_txn_get(txn, w.table, s("a"), &value));
    ck_assert_uint_eq(value.size, sizeof large - 1);
    ck_ok(kv_txn_get(txn, w.table, s("c"), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), s("new")));
    kv_txn_rollback(txn);
    kv_buf_finish(&value);
    /* The row "f" went past the index: its entry is left, and nothing else differs. */
    ck_fails(kv_index_verify(w.index, &verdict), EUCLEAN);
    ck_assert_uint_eq(verdict.surplus, 1);
    ck_assert_uint_eq(verdict.missing, 0);
}

START_TEST(an_allocation_that_fails_leaves_a_transaction_as_it_was)
{
    uint64_t number = 1;
    unsigned failures = 0;

    for (; number < ALLOCATIONS_MAX; number++) {
        bool hit;
        w.failures = 0;
        open_world();
        alloc_fail_at(number, ALLOC_ONCE);
        while (!plain()) {
        }
        while (!over_the_index()) {
        }
        hit = alloc_failures() > 0;
        alloc_fail_at(0, ALLOC_ONCE);
        expect_rows();
        close_world();
        ck_assert_uint_eq(alloc_live(), 0);
        if (!hit) {
            break;
        }
        failures += w.failures;
    }
    ck_assert_uint_lt(number, ALLOCATIONS_MAX);
    ck_assert_uint_gt(failures, 0);
    printf("# tried: %" PRIu64 " allocations failed, %u calls said so\n", number - 1, failures);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fail_alloc_txn");
    suite_add(suite, "fail_alloc_txn", an_allocation_that_fails_leaves_a_transaction_as_it_was);
    return suite;
}
