/* SPDX-License-Identifier: Apache-2.0 */
/* What one measurement found, and the figures made of it. */
#ifndef KVFS_TOOLS_BENCH_RESULT_H
#define KVFS_TOOLS_BENCH_RESULT_H

#include "kvcore/util/histogram.h"

enum { BENCH_PARTS = 6 };

struct bench_result {
    int error; /* negative errno; -EOPNOTSUPP the engine cannot do this */
    uint64_t ops, found;
    uint64_t elapsed_ns;
    uint64_t user_bytes;    /* keys and values, or contents, read and written; without the
                               companion's */
    uint64_t written_bytes; /* of which written, with the companion's */
    uint64_t companion_ops;
    uint64_t storage_bytes; /* sent to storage, background work included */
    uint64_t space_bytes;   /* of the closed store, or of the files there are */
    uint64_t peak_bytes;    /* largest resident size of the process */
    uint64_t processor_ns;  /* of the whole process, background work included */
    struct histogram latency_ns;
    /* Of a load that ends by the clock, by the sixths of its time; all zero for others. */
    uint64_t part_ops[BENCH_PARTS], part_resident_bytes[BENCH_PARTS];
};

double bench_result_ops_per_second(const struct bench_result *result);
double bench_result_mb_per_second(const struct bench_result *result);
double bench_result_percentile_us(const struct bench_result *result, double fraction);
/* Bytes sent to storage for each that was written; 0 if none was. */
double bench_result_written_per_byte(const struct bench_result *result);
/* Processor time for an operation: says more than the clock on a machine that others use too. */
double bench_result_processor_us(const struct bench_result *result);

struct json_t; /* of jansson */
/* A new object with the figures that every benchmark reports. */
struct json_t *bench_result_json(const char *workload, const struct bench_result *result);

struct libscols_table;
struct libscols_line;
/* Add a column of figures, which are shown flush right, or of names. */
void bench_column(struct libscols_table *table, const char *title, int is_figure);
__attribute__((format(printf, 3, 4))) void bench_cell(struct libscols_line *line, unsigned column,
                                                      const char *format, ...);
/* Fill six columns from `first` on, titled as below. */
void bench_result_cells(struct libscols_line *line, unsigned first,
                        const struct bench_result *result);
#define BENCH_RESULT_TITLES "OPS/S", "MB/S", "P50 us", "P99 us", "P99.9 us", "MAX us"
enum { BENCH_RESULT_COLUMNS = 6 };

#endif
