/* SPDX-License-Identifier: Apache-2.0 */
/* The workloads: what each thread of a measurement does. */
#ifndef KVFS_TOOLS_BENCH_WORKLOAD_H
#define KVFS_TOOLS_BENCH_WORKLOAD_H

#include <stdatomic.h>

#include "kvcore/util/histogram.h"
#include "tools/bench/bench_engine.h"
#include "tools/bench/bench_keys.h"

/* One measurement: one workload on one engine. Constant while threads run, but for the atomics. */
struct bench_run {
    const struct bench_config *config;
    const struct bench_workload *workload;
    const struct bench_engine_ops *engine;
    struct bench_store *store;
    struct bench_values values;
    struct bench_permutation order; /* of a random fill; spreads hot rows as well */
    struct bench_zipf zipf;         /* set up if the workload draws from it */
    enum bench_durability durability;
    uint64_t seed;                  /* of this workload and round, the same for every engine */
    atomic_uint_least64_t inserted; /* rows added beyond those of the fill; only grows */
    atomic_bool stop;               /* ends the companion; set once, relaxed: nothing hangs on it */
};

/* One thread's work and what came out of it. Private to the thread until it has ended. */
struct bench_thread {
    struct bench_run *run;
    struct bench_session *session;
    struct rng rng;
    uint64_t first, ops; /* its share: operations first..first+ops-1 of the workload */
    uint64_t clock_ns;   /* when the last operation ended */
    uint64_t done;       /* operations; rows of a fill or a scan */
    uint64_t found;      /* operations that found what they looked for */
    uint64_t read_bytes, written_bytes; /* keys and values of the user */
    struct histogram latency_ns;
    int error;
};

enum bench_companion { BENCH_ALONE = 0, BENCH_BESIDE_WRITER, BENCH_BESIDE_SCAN };

/* What number of operations a workload makes, before the threads share it. */
enum bench_count { BENCH_COUNT_ROWS = 1, BENCH_COUNT_READS, BENCH_COUNT_SYNCS, BENCH_COUNT_ONE };

struct bench_workload {
    const char *name;
    const char *summary;
    int (*run)(struct bench_thread *thread);
    enum bench_count count;
    enum bench_companion companion;
    bool fresh;  /* begins with an empty store */
    bool sync;   /* every write is synced whatever was asked for */
    bool writes; /* waits for the engine's background work afterwards */
    bool zipf;   /* draws from the zipfian distribution whatever was asked for */
    unsigned mix;
    enum bench_txn txn; /* what it does, it does by transactions of this kind */
};

/* The workload with this name, NULL if there is none. */
const struct bench_workload *bench_workload_find(const char *name);
/* All of them in the order in which they run when none is named; ends with NULL at `index`. */
const struct bench_workload *bench_workload_at(unsigned index);
/* Fills a store in random order; run before a workload that needs rows and finds no store. */
const struct bench_workload *bench_workload_filler(void);

uint64_t bench_workload_ops(const struct bench_workload *workload,
                            const struct bench_config *config);
/* What runs beside the workload until `stop`. Requires a companion. */
int bench_companion_run(struct bench_thread *thread);

#endif
