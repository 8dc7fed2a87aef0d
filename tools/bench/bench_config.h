/* SPDX-License-Identifier: Apache-2.0 */
/* What `kvfs bench kv` was asked to do. Constant once read from the command line. */
#ifndef KVFS_TOOLS_BENCH_CONFIG_H
#define KVFS_TOOLS_BENCH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_WORKLOADS_MAX = 64, BENCH_ENGINES_MAX = 8, BENCH_ROUNDS_MAX = 64 };

enum bench_distribution {
    BENCH_UNIFORM = 1,
    BENCH_ZIPFIAN, /* a few rows get most of the accesses; they lie scattered */
    BENCH_LATEST,  /* so do the rows written last */
};

enum bench_durability {
    BENCH_DURABLE_NONE = 1, /* may be in the process's memory */
    BENCH_DURABLE_WRITE,    /* handed to the operating system */
    BENCH_DURABLE_SYNC,     /* survives power loss */
};

struct bench_workload;
struct bench_engine_ops;

struct bench_config {
    const char *dir;
    const struct bench_workload *workloads[BENCH_WORKLOADS_MAX];
    unsigned workload_count;
    const struct bench_engine_ops *engines[BENCH_ENGINES_MAX];
    unsigned engine_count;
    unsigned rounds;
    uint64_t rows;
    uint64_t reads; /* 0: as many as rows */
    unsigned threads;
    size_t key_size, value_size;
    size_t memtable_bytes, cache_bytes;
    unsigned memtables_max;
    unsigned background_jobs; /* of engines that let one say */
    unsigned filter_bits;
    size_t block_bytes; /* 0: what each engine has by itself */
    bool no_compression;
    double compressible; /* size to which values compress, 1: not */
    unsigned seek_nexts;
    unsigned batch_rows;
    uint64_t write_rate; /* rows a second of the writer beside readers; 0: as fast as it goes */
    enum bench_durability durability;
    enum bench_distribution distribution;
    uint64_t seed;
    bool existing; /* use the stores that an earlier run left */
    bool json;
    bool quiet;
    const char *plot; /* NULL: none */
};

const char *bench_distribution_name(enum bench_distribution distribution);
const char *bench_durability_name(enum bench_durability durability);

#endif
