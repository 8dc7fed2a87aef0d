/* SPDX-License-Identifier: Apache-2.0 */
/* What `kvfs bench fs` was asked to do. Constant once read from the command line. */
#ifndef KVFS_TOOLS_BENCH_FS_H
#define KVFS_TOOLS_BENCH_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/bench/bench_config.h"

struct bench_fs_workload;

struct bench_fs_config {
    const char *dir;
    const struct bench_fs_workload *workloads[BENCH_WORKLOADS_MAX];
    unsigned workload_count;
    uint64_t files; /* of all threads together, as are the two numbers below */
    uint64_t stream_bytes;
    uint64_t syncs;
    uint64_t seconds;       /* of the workload that ends by the clock */
    uint64_t per_directory; /* files */
    size_t file_size;
    unsigned threads;
    unsigned daemon; /* process that serves the file system; 0: this one, which the kernel serves */
    bool shared;     /* threads work in the same directories */
    bool cold;       /* drop the kernel's caches before each workload */
    bool json;
    bool quiet;
    const char *plot; /* NULL: none */
};

#endif
