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

#include "tools/bench/bench_config.h"
#include "tools/bench/bench_result.h"

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

#endif
