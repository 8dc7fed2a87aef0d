/* SPDX-License-Identifier: Apache-2.0 */
/* Eight threads run random transactions, beside plain writers and flushes; then each transaction is
 * judged (history.h). */
#include "tests/lib/check_main.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/view.h"
#include "kvcore/db/write.h"
#include "kvcore/table/range_dels.h"
#include "kvcore/txn/txn.h"
#include "kvcore/util/rng.h"
#include "tests/txn/history.h"

enum { THREADS = 8, TXNS = 12000, VIEWS_MAX = 4096, PLAIN_ONE_IN = 12, MEMTABLE_BYTES = 8 << 20 };

struct run {
    struct kv_storage *storage;
    struct kv_store *store;
    struct kv_table *table;
    struct kv_txn_manager *manager;
    enum kv_txn_isolation isolation;
    uint64_t per_thread;
    struct history_txn *txns; /* by number - 1 */
    _Atomic bool stop;
    _Atomic int error;
    /* The flusher's: they keep the memtables alive, and with them every version. */
    struct view *views[VIEWS_MAX];
    unsigned view_count;
};

struct worker {
    struct run *run;
    struct thread thread;
    uint64_t first; /* number of its first transaction */
    struct rng rng;
    struct kv_buf value;
};

static unsigned below(struct worker *w, unsigned bound)
{
    return (unsigned)rng_below(&w->rng, bound);
}

static struct kv_slice key_of(unsigned i, char to[32])
{
    return kv_slice(to, (size_t)snprintf(to, 32, "k%02u", i));
}

static struct kv_slice marker_of(uint64_t number, char to[32])
{
    return kv_slice(to, (size_t)snprintf(to, 32, "z%" PRIu64, number));
}

static uint64_t number_in(struct kv_slice value)
{
    uint64_t number = 0;
    if (value.size == sizeof number) {
        memcpy(&number, value.data, sizeof number);
    }
    return number;
}

/* ---- what a transaction does ---- */

static int do_read(struct worker *w, struct kv_txn *txn, struct history_op *op)
{
    char key[32];
    int r = op->kind == HISTORY_READ
                ? kv_txn_get(txn, w->run->table, key_of(op->key, key), &w->value)
                : kv_txn_get_for_update(txn, w->run->table, key_of(op->key, key), &w->value);
    op->value = r == 0 ? number_in(kv_buf_slice(&w->value)) : 0;
    return r == -ENOENT ? 0 : r;
}

static int note_row(struct kv_txn_iter *it, struct history_op *op)
{
    struct kv_slice value;
    struct kv_slice key = kv_txn_iter_key(it);
    int r = kv_txn_iter_value(it, &value);
    if (r == 0) {
        op->scanned[(key.data[1] - '0') * 10 + (key.data[2] - '0')] = number_in(value);
    }
    return r;
}

static int do_scan(struct worker *w, struct kv_txn *txn, struct history_op *op)
{
    char from[32];
    char to[32];
    const struct kv_txn_iter_options options = {.lower = key_of(op->key, from),
                                                .upper = key_of(op->end, to)};
    bool backward = below(w, 2) == 0;
    struct kv_txn_iter *it = NULL;
    int r = kv_txn_iter_create(txn, w->run->table, &options, &it);

    if (r < 0) {
        return r;
    }
    backward ? kv_txn_iter_seek_last(it) : kv_txn_iter_seek_first(it);
    while (kv_txn_iter_valid(it) && r == 0) {
        r = note_row(it, op);
        backward ? kv_txn_iter_prev(it) : kv_txn_iter_next(it);
    }
    r = r < 0 ? r : kv_txn_iter_error(it);
    kv_txn_iter_destroy(it);
    return r;
}

static int do_write(struct worker *w, struct kv_txn *txn, const struct history_op *op)
{
    char key[32];
    char to[32];
    switch (op->kind) {
    case HISTORY_PUT:
        return kv_txn_put(txn, w->run->table, key_of(op->key, key),
                          kv_slice(&op->value, sizeof op->value));
    case HISTORY_DELETE:
        return kv_txn_delete(txn, w->run->table, key_of(op->key, key));
    default:
        return kv_txn_delete_range(txn, w->run->table, key_of(op->key, key), key_of(op->end, to));
    }
}

static void draw_op(struct worker *w, uint64_t number, unsigned index, struct history_op *op)
{
    static const enum history_kind kinds[] = {
        HISTORY_READ, HISTORY_READ,         HISTORY_READ,  HISTORY_READ_FOR_UPDATE,
        HISTORY_SCAN, HISTORY_PUT,          HISTORY_PUT,   HISTORY_PUT,
        HISTORY_PUT,  HISTORY_DELETE_RANGE, HISTORY_DELETE};
    op->kind = kinds[below(w, sizeof kinds / sizeof kinds[0])];
    op->key = (uint8_t)below(w, HISTORY_KEYS);
    op->end = (uint8_t)(op->key + 1 + below(w, 4));
    op->end = op->end < HISTORY_KEYS ? op->end : HISTORY_KEYS;
    op->value = number << 16 | (index + 1);
}

static int do_op(struct worker *w, struct kv_txn *txn, struct history_op *op)
{
    switch (op->kind) {
    case HISTORY_READ:
    case HISTORY_READ_FOR_UPDATE:
        return do_read(w, txn, op);
    case HISTORY_SCAN:
        return do_scan(w, txn, op);
    default:
        return do_write(w, txn, op);
    }
}

/* Only operations that succeeded are recorded. */
static int do_ops(struct worker *w, struct kv_txn *txn, struct history_txn *record)
{
    unsigned count = 1 + below(w, HISTORY_OPS);
    char key[32];
    int r = 0;

    for (unsigned i = 0; i < count && r == 0; i++) {
        struct history_op *op = &record->ops[record->op_count];
        draw_op(w, record->number, i, op);
        r = do_op(w, txn, op);
        if (r == 0) {
            record->op_count++;
            record->writes =
                record->writes || (op->kind != HISTORY_READ &&
                                   op->kind != HISTORY_READ_FOR_UPDATE && op->kind != HISTORY_SCAN);
        }
        if (below(w, 4) == 0) {
            sched_yield();
        }
    }
    if (r == 0 && record->writes) {
        r = kv_txn_put(txn, w->run->table, marker_of(record->number, key),
                       kv_slice(&record->number, sizeof record->number));
    }
    return r;
}

static int run_txn(struct worker *w, struct history_txn *record)
{
    const struct kv_txn_options options = {.mode = below(w, 2) == 0 ? KV_TXN_OPTIMISTIC
                                                                    : KV_TXN_PESSIMISTIC,
                                           .isolation = w->run->isolation,
                                           .lock_timeout_ms = (unsigned)test_patience_ms(),
                                           .read_now = below(w, 4) == 0};
    struct kv_txn *txn = NULL;
    int r;

    record->begun = visible_sequence(w->run->store);
    r = kv_txn_begin(w->run->manager, &options, &txn);
    if (r < 0) {
        return r;
    }
    r = do_ops(w, txn, record);
    record->state = txn->snapshot != NULL ? kv_snapshot_sequence(txn->snapshot) : UINT64_MAX;
    if (r < 0 || below(w, 10) == 0) {
        kv_txn_rollback(txn);
    } else {
        r = kv_txn_commit(txn, KV_DURABLE_NONE);
        record->committed = r == 0;
    }
    return r == -EAGAIN || r == -EDEADLK ? 0 : r;
}

/* Rows that no transaction wrote. */
static int run_plain(struct worker *w, struct history_txn *record)
{
    struct history_op *op = &record->ops[0];
    struct kv_batch *batch = NULL;
    char key[32];
    int r = kv_batch_create(&batch);

    record->state = UINT64_MAX;
    record->op_count = 1;
    record->writes = true;
    draw_op(w, record->number, 0, op);
    op->kind = HISTORY_PUT;
    r = r < 0 ? r
              : kv_batch_put(batch, w->run->table, key_of(op->key, key),
                             kv_slice(&op->value, sizeof op->value));
    r = r < 0 ? r
              : kv_batch_put(batch, w->run->table, marker_of(record->number, key),
                             kv_slice(&record->number, sizeof record->number));
    r = r < 0 ? r : kv_write(w->run->store, batch, KV_DURABLE_NONE);
    record->committed = r == 0;
    kv_batch_destroy(batch);
    return r;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (uint64_t i = 0; i < w->run->per_thread; i++) {
        struct history_txn *record = &w->run->txns[w->first + i - 1];
        int r;
        record->number = w->first + i;
        record->serializable = w->run->isolation == KV_TXN_SERIALIZABLE;
        r = below(w, PLAIN_ONE_IN) == 0 ? run_plain(w, record) : run_txn(w, record);
        if (r < 0) {
            atomic_store(&w->run->error, r);
            break;
        }
    }
    kv_buf_finish(&w->value);
    return NULL;
}

/* Flushes and merges all the time, so that what transactions are checked against moves to tables.
 */
static void *flush(void *arg)
{
    struct run *run = arg;
    while (!atomic_load(&run->stop) && run->view_count < VIEWS_MAX - 1) {
        int r;
        run->views[run->view_count++] = view_acquire(run->store);
        r = run->view_count % 8 == 0 ? kv_compact(run->store) : kv_flush(run->store);
        if (r < 0) {
            atomic_store(&run->error, r);
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

/* ---- what happened ---- */

static void add_row(struct history *history, const struct row *row)
{
    if (row->key.data[0] == 'z') {
        history_add_marker(history, number_in(row->value), row_sequence(row->trailer));
    } else {
        unsigned key =
            (unsigned)(row->key.data[1] - '0') * 10U + (unsigned)(row->key.data[2] - '0');
        history_add_version(history, key, row_sequence(row->trailer),
                            row_kind(row->trailer) == ROW_PUT ? number_in(row->value) : 0);
    }
}

static void add_range_delete(struct history *history, const struct range_delete *range)
{
    char text[32];
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        struct kv_slice k = key_of(key, text);
        if (kv_slice_compare(range->from, k) <= 0 && kv_slice_compare(k, range->to) < 0) {
            history_add_version(history, key, range->sequence, 0);
        }
    }
}

static void add_generation(const struct run *run, const struct generation *generation,
                           struct history *history)
{
    const struct memtable *memtable = generation->memtables[run->table->id - 1];
    struct range_builder ranges = {0};
    struct iter *it = NULL;

    ck_ok(memtable_iter_create(memtable, &it));
    for (iter_seek_first(it); it->valid; iter_next(it)) {
        add_row(history, it->row);
    }
    iter_destroy(it);
    ck_ok(range_map_collect(memtable_ranges(memtable), &ranges));
    for (size_t i = 0; i < ranges.count; i++) {
        add_range_delete(history, &ranges.deletes[i]);
    }
    range_builder_finish(&ranges);
}

/* The active generation of each view: each is there once, the flusher being the only one who
 * rotates. */
static void collect(struct run *run, struct history *history)
{
    const struct generation *last = NULL;
    run->views[run->view_count++] = view_acquire(run->store);
    for (unsigned i = 0; i < run->view_count; i++) {
        if (run->views[i]->active != last) {
            last = run->views[i]->active;
            add_generation(run, last, history);
        }
    }
    history_sort(history);
}

static void judge(struct run *run, uint64_t count, uint64_t sequence)
{
    struct history history;
    uint64_t committed = 0;
    struct kv_txn_stats stats;

    history_init(&history, count, sequence);
    collect(run, &history);
    for (uint64_t i = 0; i < count; i++) {
        const char *anomaly = history_judge(&history, &run->txns[i]);
        ck_assert_msg(anomaly == NULL, "transaction %" PRIu64 ": %s (seed %" PRIu64 ")", i + 1,
                      anomaly, test_seed());
        committed += run->txns[i].committed;
    }
    kv_txn_manager_stats(run->manager, &stats);
    printf("# %" PRIu64 " transactions, %" PRIu64 " committed, %" PRIu64 " conflicts, %" PRIu64
           " deadlocks, %u flushes\n",
           count, committed, stats.conflicts, stats.deadlocks, run->view_count - 1);
    ck_assert_uint_gt(committed, 0);
    ck_assert_uint_eq(stats.timeouts, 0);
    ck_assert_uint_eq(stats.locks, 0);
    history_finish(&history);
}

/* ---- the whole ---- */

static void open_run(struct run *run)
{
    /* So that nobody but the flusher rotates. */
    const struct kv_options options = {
        .create = true, .no_background = true, .memtable_bytes = MEMTABLE_BYTES};
    ck_ok(kv_storage_mem_create(&run->storage));
    ck_ok(kv_open(run->storage, &options, &run->store));
    ck_ok(kv_table_open(run->store, "rows", NULL, &run->table));
    ck_ok(kv_txn_manager_open(run->store, &run->manager));
}

static void close_run(struct run *run)
{
    for (unsigned i = 0; i < run->view_count; i++) {
        view_release(run->views[i]);
    }
    ck_ok(kv_txn_manager_close(run->manager));
    ck_ok(kv_close(run->store));
    kv_storage_mem_destroy(run->storage);
    free(run->txns);
}

static void run_history(enum kv_txn_isolation isolation, uint64_t txns)
{
    struct run run = {.isolation = isolation, .per_thread = txns / THREADS + 1};
    struct worker workers[THREADS];
    struct thread flusher;
    uint64_t count = run.per_thread * THREADS;
    uint64_t sequence;

    open_run(&run);
    sequence = visible_sequence(run.store);
    run.txns = calloc(count, sizeof *run.txns);
    ck_assert_ptr_nonnull(run.txns);
    ck_ok(thread_start(&flusher, "flusher", flush, &run));
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.run = &run,
                                     .first = i * run.per_thread + 1,
                                     .rng = {hash_u64(test_seed() + i + isolation * 100U)}};
        ck_ok(thread_start(&workers[i].thread, "worker", work, &workers[i]));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(&workers[i].thread);
    }
    atomic_store(&run.stop, true);
    thread_join(&flusher);
    ck_ok(atomic_load(&run.error));
    judge(&run, count, sequence);
    close_run(&run);
}

/* In pieces, as all that happened is kept in memory. */
static void run_histories(enum kv_txn_isolation isolation)
{
    uint64_t left = test_steps(TXNS);
    while (left > 0) {
        uint64_t piece = left < TXNS ? left : TXNS;
        run_history(isolation, piece);
        left -= piece;
    }
}

START_TEST(at_snapshot_level_there_is_no_anomaly_but_write_skew)
{
    run_histories(KV_TXN_SNAPSHOT);
}
END_TEST

START_TEST(serializable_transactions_are_as_if_one_after_the_other)
{
    run_histories(KV_TXN_SERIALIZABLE);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("history");
    TCase *tc = tcase_create("history");
    tcase_add_test(tc, at_snapshot_level_there_is_no_anomaly_but_write_skew);
    tcase_add_test(tc, serializable_transactions_are_as_if_one_after_the_other);
    suite_add_tcase(suite, tc);
    return suite;
}
