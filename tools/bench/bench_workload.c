/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_workload.h"

#include <stdlib.h>

#include "kvcore/util/clock.h"

enum {
    SYNC_SHARE = 1000, /* of the rows are written by fillsync, as db_bench has it */
    HOT_SHARE = 100,   /* of the rows are read by readhot */
    SAMPLE_ROWS = 16,  /* one row of so many is timed in a scan */
    SCAN_ROWS_MAX = 100,
};

/* ---- operations ------------------------------------------------------------------------------ */

static void finish_op(struct bench_thread *t, uint64_t done)
{
    uint64_t now = clock_monotonic_ns();
    histogram_record(&t->latency_ns, now - t->clock_ns);
    t->clock_ns = now;
    t->done += done;
}

static struct kv_slice key_of(const struct bench_thread *t, uint64_t row, enum bench_place place,
                              uint8_t *to)
{
    size_t size = t->run->config->key_size;
    bench_key(row, place, to, size);
    return kv_slice(to, size);
}

/* A row as the distribution asked for draws it. */
static uint64_t draw_row(struct bench_thread *t, enum bench_distribution distribution)
{
    const struct bench_run *run = t->run;
    uint64_t rows = run->config->rows;
    switch (distribution) {
    case BENCH_ZIPFIAN:
        return bench_permutation_at(&run->order, bench_zipf_draw(&run->zipf, &t->rng));
    case BENCH_LATEST:
        return bench_permutation_at(&run->order, rows - 1 - bench_zipf_draw(&run->zipf, &t->rng));
    case BENCH_UNIFORM:
        break;
    }
    return rng_below(&t->rng, rows);
}

static int get_row(struct bench_thread *t, uint64_t row, enum bench_place place)
{
    uint8_t bytes[BENCH_KEY_SIZE_MAX];
    struct kv_slice key = key_of(t, row, place, bytes);
    size_t size = 0;
    int r = t->run->engine->get(t->session, key, &size);
    if (r == -ENOENT) {
        return 0;
    }
    if (r == 0) {
        t->found++;
        t->read_bytes += key.size + size;
    }
    return r;
}

/* `number` picks the value: no two writes of a row in one workload put the same. */
static int put_row(struct bench_thread *t, uint64_t row, enum bench_place place, uint64_t number)
{
    uint8_t bytes[BENCH_KEY_SIZE_MAX];
    const struct bench_run *run = t->run;
    struct bench_row put = {
        .key = key_of(t, row, place, bytes),
        .value = bench_value_at(&run->values, run->seed + number),
    };
    t->written_bytes += put.key.size + put.value.size;
    return run->engine->put(t->session, &put, 1, run->durability);
}

/* Seek to `row` and read up to `nexts` rows behind it. */
static int scan_from(struct bench_thread *t, uint64_t row, uint64_t nexts)
{
    uint8_t bytes[BENCH_KEY_SIZE_MAX];
    const struct bench_engine_ops *engine = t->run->engine;
    struct kv_slice key = key_of(t, row, BENCH_PLACE_FILL, bytes);
    struct bench_iter *iter = NULL;
    struct bench_row at;
    int r = engine->iter_open(t->session, false, &iter);
    if (r < 0) {
        return r;
    }
    r = engine->move(iter, BENCH_SEEK, key, &at);
    t->found += r == 0 && kv_slice_equal(at.key, key);
    for (uint64_t i = 0; r == 0; i++) {
        bench_touch(at.value);
        t->read_bytes += at.key.size + at.value.size;
        if (i == nexts) {
            break;
        }
        r = engine->move(iter, BENCH_NEXT, key, &at);
    }
    engine->iter_close(iter);
    return r == -ENOENT ? 0 : r; /* the end of the store */
}

/* ---- writing --------------------------------------------------------------------------------- */

/* `random`: in the order of the permutation, else ascending. */
static int fill(struct bench_thread *t, bool random)
{
    for (uint64_t i = t->first; i < t->first + t->ops; i++) {
        uint64_t row = random ? bench_permutation_at(&t->run->order, i) : i;
        int r = put_row(t, row, BENCH_PLACE_FILL, i);
        if (r < 0) {
            return r;
        }
        finish_op(t, 1);
    }
    return 0;
}

static int run_fillseq(struct bench_thread *t)
{
    return fill(t, false);
}

static int run_fillrandom(struct bench_thread *t)
{
    return fill(t, true);
}

static int run_fillbatch(struct bench_thread *t)
{
    const struct bench_run *run = t->run;
    const struct bench_config *config = run->config;
    unsigned size = config->batch_rows;
    struct bench_row *rows = calloc(size, sizeof *rows);
    uint8_t *keys = calloc(size, config->key_size);
    int r = rows != NULL && keys != NULL ? 0 : -ENOMEM;
    uint64_t at = t->first;
    uint64_t end = t->first + t->ops;

    while (r == 0 && at < end) {
        unsigned count = 0;
        for (; count < size && at < end; count++, at++) {
            uint64_t row = bench_permutation_at(&run->order, at);
            rows[count].key = key_of(t, row, BENCH_PLACE_FILL, keys + count * config->key_size);
            rows[count].value = bench_value_at(&run->values, run->seed + at);
            t->written_bytes += config->key_size + config->value_size;
        }
        r = run->engine->put(t->session, rows, count, run->durability);
        finish_op(t, count);
    }
    free(keys);
    free(rows);
    return r;
}

static int run_overwrite(struct bench_thread *t)
{
    for (uint64_t i = t->first; i < t->first + t->ops; i++) {
        int r = put_row(t, draw_row(t, t->run->config->distribution), BENCH_PLACE_FILL, i);
        if (r < 0) {
            return r;
        }
        finish_op(t, 1);
    }
    return 0;
}

/* Rows in the order of the permutation, each by a transaction. */
static int run_txn(struct bench_thread *t)
{
    const struct bench_run *run = t->run;
    if (run->engine->put_in_txn == NULL) {
        return -EOPNOTSUPP;
    }
    for (uint64_t i = t->first; i < t->first + t->ops; i++) {
        uint8_t bytes[BENCH_KEY_SIZE_MAX];
        const struct bench_row put = {
            .key = key_of(t, bench_permutation_at(&run->order, i), BENCH_PLACE_FILL, bytes),
            .value = bench_value_at(&run->values, run->seed + i)};
        int r = run->engine->put_in_txn(t->session, &put, run->workload->txn, run->durability);
        if (r < 0) {
            return r;
        }
        t->written_bytes += put.key.size + put.value.size;
        finish_op(t, 1);
    }
    return 0;
}

static int run_deleterandom(struct bench_thread *t)
{
    const struct bench_config *config = t->run->config;
    for (uint64_t i = 0; i < t->ops; i++) {
        uint8_t bytes[BENCH_KEY_SIZE_MAX];
        uint64_t row = draw_row(t, config->distribution);
        struct kv_slice key = key_of(t, row, BENCH_PLACE_FILL, bytes);
        int r = t->run->engine->remove(t->session, key, t->run->durability);
        if (r < 0) {
            return r;
        }
        t->written_bytes += key.size;
        finish_op(t, 1);
    }
    return 0;
}

static int run_compact(struct bench_thread *t)
{
    const struct bench_engine_ops *engine = t->run->engine;
    if (engine->compact == NULL) {
        return -EOPNOTSUPP;
    }
    if (t->ops == 0) { /* one thread is enough */
        return 0;
    }
    int r = engine->compact(t->run->store);
    finish_op(t, 1);
    return r;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int run_readrandom(struct bench_thread *t)
{
    for (uint64_t i = 0; i < t->ops; i++) {
        int r = get_row(t, draw_row(t, t->run->config->distribution), BENCH_PLACE_FILL);
        if (r < 0) {
            return r;
        }
        finish_op(t, 1);
    }
    return 0;
}

static int run_readhot(struct bench_thread *t)
{
    uint64_t hot = (t->run->config->rows + HOT_SHARE - 1) / HOT_SHARE;
    for (uint64_t i = 0; i < t->ops; i++) {
        int r = get_row(t, rng_below(&t->rng, hot), BENCH_PLACE_FILL);
        if (r < 0) {
            return r;
        }
        finish_op(t, 1);
    }
    return 0;
}

static int run_readmissing(struct bench_thread *t)
{
    for (uint64_t i = 0; i < t->ops; i++) {
        int r = get_row(t, draw_row(t, t->run->config->distribution), BENCH_PLACE_MISSING);
        if (r < 0) {
            return r;
        }
        finish_op(t, 1);
    }
    return 0;
}

static int run_seekrandom(struct bench_thread *t)
{
    const struct bench_config *config = t->run->config;
    for (uint64_t i = 0; i < t->ops; i++) {
        int r = scan_from(t, draw_row(t, config->distribution), config->seek_nexts);
        if (r < 0) {
            return r;
        }
        finish_op(t, 1);
    }
    return 0;
}

/* Reading the clock at every row would cost as much as a row: one of SAMPLE_ROWS is timed. */
static void finish_rows(struct bench_thread *t, const struct bench_row *row)
{
    bench_touch(row->value);
    t->read_bytes += row->key.size + row->value.size;
    t->found++;
    t->done++;
    if (t->done % SAMPLE_ROWS == 0) {
        t->clock_ns = clock_monotonic_ns();
    } else if (t->done % SAMPLE_ROWS == 1) {
        histogram_record(&t->latency_ns, clock_monotonic_ns() - t->clock_ns);
    }
}

/* Run through the store, at most `limit` rows, or until the run stops. */
static int scan_whole(struct bench_thread *t, bool forward, uint64_t limit)
{
    const struct bench_engine_ops *engine = t->run->engine;
    const struct kv_slice no_key = {0};
    enum bench_move step = forward ? BENCH_NEXT : BENCH_PREV;
    struct bench_iter *iter = NULL;
    struct bench_row row;
    int r = engine->iter_open(t->session, true, &iter);
    if (r < 0) {
        return r;
    }
    r = engine->move(iter, forward ? BENCH_FIRST : BENCH_LAST, no_key, &row);
    for (uint64_t i = 1; r == 0; i++) {
        finish_rows(t, &row);
        if (i >= limit || atomic_load_explicit(&t->run->stop, memory_order_relaxed)) {
            break;
        }
        r = engine->move(iter, step, no_key, &row);
    }
    engine->iter_close(iter);
    return r == -ENOENT ? 0 : r;
}

static int run_readseq(struct bench_thread *t)
{
    return scan_whole(t, true, t->ops);
}

static int run_readreverse(struct bench_thread *t)
{
    return scan_whole(t, false, t->ops);
}

/* ---- mixed, as YCSB's core workloads --------------------------------------------------------- */

enum { MIX_A = 1, MIX_B, MIX_C, MIX_D, MIX_E, MIX_F };

static int insert_row(struct bench_thread *t)
{
    uint64_t number = atomic_fetch_add(&t->run->inserted, 1);
    uint64_t row = bench_permutation_at(&t->run->order, number % t->run->config->rows);
    return put_row(t, row, BENCH_PLACE_INSERTED, number);
}

/* The newest rows are the most popular, those inserted meanwhile included. */
static int read_latest(struct bench_thread *t)
{
    const struct bench_run *run = t->run;
    uint64_t rows = run->config->rows;
    uint64_t newest = rows + atomic_load_explicit(&run->inserted, memory_order_relaxed) - 1;
    uint64_t number = newest - bench_zipf_draw(&run->zipf, &t->rng);
    bool inserted = number >= rows;
    uint64_t row = bench_permutation_at(&run->order, number % rows);
    return get_row(t, row, inserted ? BENCH_PLACE_INSERTED : BENCH_PLACE_FILL);
}

static int mixed_op(struct bench_thread *t, unsigned mix, uint64_t number)
{
    unsigned percent = (unsigned)rng_below(&t->rng, 100);
    uint64_t row;
    int r;
    switch (mix) {
    case MIX_D:
        return percent < 95 ? read_latest(t) : insert_row(t);
    case MIX_E:
        row = draw_row(t, BENCH_ZIPFIAN);
        return percent < 95 ? scan_from(t, row, rng_below(&t->rng, SCAN_ROWS_MAX)) : insert_row(t);
    case MIX_F:
        row = draw_row(t, BENCH_ZIPFIAN);
        r = get_row(t, row, BENCH_PLACE_FILL);
        return r < 0 || percent < 50 ? r : put_row(t, row, BENCH_PLACE_FILL, number);
    default:
        break;
    }
    row = draw_row(t, BENCH_ZIPFIAN);
    unsigned reads = mix == MIX_A ? 50 : mix == MIX_B ? 95 : 100;
    return percent < reads ? get_row(t, row, BENCH_PLACE_FILL)
                           : put_row(t, row, BENCH_PLACE_FILL, number);
}

static int run_mixed(struct bench_thread *t)
{
    for (uint64_t i = t->first; i < t->first + t->ops; i++) {
        int r = mixed_op(t, t->run->workload->mix, i);
        if (r < 0) {
            return r;
        }
        finish_op(t, 1);
    }
    return 0;
}

/* ---- companions ------------------------------------------------------------------------------ */

/* Sleep until the write with this number is due. */
static void pace(uint64_t began_ns, uint64_t number, uint64_t rate)
{
    uint64_t due = rate > 0 ? began_ns + (uint64_t)((double)number * 1e9 / (double)rate) : 0;
    uint64_t now = clock_monotonic_ns();
    if (due > now) {
        struct timespec rest = {.tv_sec = (time_t)((due - now) / 1000000000),
                                .tv_nsec = (long)((due - now) % 1000000000)};
        nanosleep(&rest, NULL);
    }
}

static int write_until_stopped(struct bench_thread *t)
{
    uint64_t began = clock_monotonic_ns();
    for (uint64_t i = 0; !atomic_load_explicit(&t->run->stop, memory_order_relaxed); i++) {
        pace(began, i, t->run->config->write_rate);
        t->clock_ns = clock_monotonic_ns();
        int r = put_row(t, draw_row(t, BENCH_UNIFORM), BENCH_PLACE_FILL, i);
        if (r < 0) {
            return r;
        }
        finish_op(t, 1);
    }
    return 0;
}

static int scan_until_stopped(struct bench_thread *t)
{
    int r = 0;
    while (r == 0 && !atomic_load_explicit(&t->run->stop, memory_order_relaxed)) {
        r = scan_whole(t, true, UINT64_MAX);
    }
    return r;
}

int bench_companion_run(struct bench_thread *thread)
{
    return thread->run->workload->companion == BENCH_BESIDE_WRITER ? write_until_stopped(thread)
                                                                   : scan_until_stopped(thread);
}

/* ---- the list -------------------------------------------------------------------------------- */

static const struct bench_workload workloads[] = {
    {.name = "fillsync",
     .summary = "rows / 1000 in random order, each synced",
     .run = run_fillrandom,
     .count = BENCH_COUNT_SYNCS,
     .fresh = true,
     .sync = true,
     .writes = true},
    {.name = "fillbatch",
     .summary = "all rows in random order, --batch rows at once",
     .run = run_fillbatch,
     .count = BENCH_COUNT_ROWS,
     .fresh = true,
     .writes = true},
    {.name = "fillseq",
     .summary = "all rows in the order of their keys",
     .run = run_fillseq,
     .count = BENCH_COUNT_ROWS,
     .fresh = true,
     .writes = true},
    {.name = "fillrandom",
     .summary = "all rows in random order, each once",
     .run = run_fillrandom,
     .count = BENCH_COUNT_ROWS,
     .fresh = true,
     .writes = true},
    {.name = "readrandom",
     .summary = "rows drawn as --distribution says",
     .run = run_readrandom,
     .count = BENCH_COUNT_READS},
    {.name = "readhot",
     .summary = "rows of the first hundredth",
     .run = run_readhot,
     .count = BENCH_COUNT_READS},
    {.name = "readmissing",
     .summary = "keys between those that exist",
     .run = run_readmissing,
     .count = BENCH_COUNT_READS},
    {.name = "readseq",
     .summary = "one scan from the first row on",
     .run = run_readseq,
     .count = BENCH_COUNT_READS},
    {.name = "readreverse",
     .summary = "one scan from the last row back",
     .run = run_readreverse,
     .count = BENCH_COUNT_READS},
    {.name = "seekrandom",
     .summary = "a new iterator, a seek, --seek-nexts rows behind it",
     .run = run_seekrandom,
     .count = BENCH_COUNT_READS},
    {.name = "readwhilewriting",
     .summary = "readrandom beside a thread that overwrites rows",
     .run = run_readrandom,
     .count = BENCH_COUNT_READS,
     .companion = BENCH_BESIDE_WRITER,
     .writes = true},
    {.name = "readwhilescanning",
     .summary = "readrandom beside a thread that scans all rows",
     .run = run_readrandom,
     .count = BENCH_COUNT_READS,
     .companion = BENCH_BESIDE_SCAN},
    {.name = "overwrite",
     .summary = "rows that exist, as many writes as rows",
     .run = run_overwrite,
     .count = BENCH_COUNT_ROWS,
     .writes = true},
    {.name = "ycsba",
     .summary = "half reads, half updates; zipfian, as b to f",
     .run = run_mixed,
     .count = BENCH_COUNT_READS,
     .writes = true,
     .zipf = true,
     .mix = MIX_A},
    {.name = "ycsbb",
     .summary = "95 % reads, 5 % updates",
     .run = run_mixed,
     .count = BENCH_COUNT_READS,
     .writes = true,
     .zipf = true,
     .mix = MIX_B},
    {.name = "ycsbc",
     .summary = "reads only",
     .run = run_mixed,
     .count = BENCH_COUNT_READS,
     .zipf = true,
     .mix = MIX_C},
    {.name = "ycsbd",
     .summary = "95 % reads of the newest rows, 5 % inserts",
     .run = run_mixed,
     .count = BENCH_COUNT_READS,
     .writes = true,
     .zipf = true,
     .mix = MIX_D},
    {.name = "ycsbe",
     .summary = "95 % scans of 1 to 100 rows, 5 % inserts",
     .run = run_mixed,
     .count = BENCH_COUNT_READS,
     .writes = true,
     .zipf = true,
     .mix = MIX_E},
    {.name = "ycsbf",
     .summary = "half reads, half reads that write back",
     .run = run_mixed,
     .count = BENCH_COUNT_READS,
     .writes = true,
     .zipf = true,
     .mix = MIX_F},
    {.name = "txnoptimistic",
     .summary = "fillrandom, each row by a transaction checked at its commit",
     .run = run_txn,
     .count = BENCH_COUNT_ROWS,
     .fresh = true,
     .writes = true,
     .txn = BENCH_TXN_OPTIMISTIC},
    {.name = "txnpessimistic",
     .summary = "fillrandom, each row by a transaction that locks it",
     .run = run_txn,
     .count = BENCH_COUNT_ROWS,
     .fresh = true,
     .writes = true,
     .txn = BENCH_TXN_PESSIMISTIC},
    {.name = "txnupdate",
     .summary = "rows that exist, each locked, read and put by a transaction",
     .run = run_txn,
     .count = BENCH_COUNT_ROWS,
     .writes = true,
     .txn = BENCH_TXN_UPDATE},
    {.name = "compact",
     .summary = "merge everything, as far as the engine can",
     .run = run_compact,
     .count = BENCH_COUNT_ONE,
     .writes = true},
    {.name = "deleterandom",
     .summary = "random rows, as many deletes as rows",
     .run = run_deleterandom,
     .count = BENCH_COUNT_ROWS,
     .writes = true},
};

enum { WORKLOAD_COUNT = sizeof workloads / sizeof workloads[0] };

const struct bench_workload *bench_workload_find(const char *name)
{
    for (unsigned i = 0; i < WORKLOAD_COUNT; i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

const struct bench_workload *bench_workload_at(unsigned index)
{
    return index < WORKLOAD_COUNT ? &workloads[index] : NULL;
}

const struct bench_workload *bench_workload_filler(void)
{
    return bench_workload_find("fillrandom");
}

uint64_t bench_workload_ops(const struct bench_workload *workload,
                            const struct bench_config *config)
{
    uint64_t syncs = config->rows / SYNC_SHARE;
    switch (workload->count) {
    case BENCH_COUNT_READS:
        return config->reads > 0 ? config->reads : config->rows;
    case BENCH_COUNT_SYNCS:
        return syncs > 0 ? syncs : 1;
    case BENCH_COUNT_ONE:
        return 1;
    case BENCH_COUNT_ROWS:
        break;
    }
    return config->rows;
}
