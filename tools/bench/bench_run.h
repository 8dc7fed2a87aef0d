/* SPDX-License-Identifier: Apache-2.0 */
/* Running the workloads on the engines and collecting what came out.
 *
 * Each measurement is a process of its own: it opens the store, waits until the engine is idle,
 * runs the workload's threads, and closes the store. So memory, caches and allocator of one
 * measurement are nothing to the next; block caches start empty, while the system's page cache is
 * left as it is. In each round every workload is run on one engine after the other, and each time
 * another engine begins: what else the machine does falls on all of them. */
#ifndef KVFS_TOOLS_BENCH_RUN_H
#define KVFS_TOOLS_BENCH_RUN_H

#include <kv/error.h>

#include "kvcore/util/histogram.h"
#include "tools/bench/bench_config.h"

struct bench_result {
    int error; /* negative errno; -EOPNOTSUPP the engine cannot do this */
    uint64_t ops, found;
    uint64_t elapsed_ns;
    uint64_t user_bytes;    /* keys and values read and written, without the companion's */
    uint64_t written_bytes; /* of which written, with the companion's */
    uint64_t companion_ops;
    uint64_t storage_bytes; /* sent to storage, background work included */
    uint64_t space_bytes;   /* of the closed store */
    uint64_t peak_bytes;    /* largest resident size of the process */
    uint64_t processor_ns;  /* of the whole process, background work included */
    struct histogram latency_ns;
};

struct bench_results {
    const struct bench_config *config;
    struct bench_result *at; /* [round][workload][engine], in memory shared with the processes */
    size_t count;
};

/* Run everything. Complains on stderr about what fails and returns the first error. Requires
 * workloads, engines and rounds in `config`, which must outlive the results. */
KV_MUST_CHECK int bench_run_all(const struct bench_config *config,
                                struct bench_results *ret_results);
void bench_results_finish(struct bench_results *results);

struct bench_result *bench_result_of(const struct bench_results *results, unsigned round,
                                     unsigned workload, unsigned engine);
double bench_result_ops_per_second(const struct bench_result *result);
/* Processor time for an operation: says more than the clock on a machine that others use too. */
double bench_result_processor_us(const struct bench_result *result);

#endif
