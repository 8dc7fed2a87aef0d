/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows a workload touches, and what their keys and values are. All of it is a function of
 * seeds, so that every engine gets the same rows in the same order.
 *
 * Row numbers and keys: the store is filled with rows 0..count-1 in ascending order of their keys.
 * A key is the number 4 * row + place as 8 bytes, most significant first, then '0' up to the key
 * size, as db_bench has it. Place 0 is a row of the fill; 1 is never written, so a key that is
 * missing lies between two that exist; 2 is a row that a mixed workload inserted later.
 *
 * Random order is a permutation: a random fill writes each row once (db_bench draws with
 * replacement and leaves 37 % of the keys out). */
#ifndef KVFS_TOOLS_BENCH_KEYS_H
#define KVFS_TOOLS_BENCH_KEYS_H

#include <kv/slice.h>

#include "kvcore/util/rng.h"

enum { BENCH_KEY_SIZE_MIN = 8, BENCH_KEY_SIZE_MAX = 1024 };

enum bench_place {
    BENCH_PLACE_FILL = 0,
    BENCH_PLACE_MISSING = 1,
    BENCH_PLACE_INSERTED = 2,
};

/* Write the key to `to`, of `size` bytes. */
void bench_key(uint64_t row, enum bench_place place, uint8_t *to, size_t size);

/* A permutation of 0..count-1. */
struct bench_permutation {
    uint64_t count;
    uint64_t seed;
    unsigned half_bits;
};
void bench_permutation_init(struct bench_permutation *permutation, uint64_t count, uint64_t seed);
uint64_t bench_permutation_at(const struct bench_permutation *permutation, uint64_t index);

/* Ranks 0..count-1, rank r with a probability proportional to 1 / (r+1)^theta (J. Gray et al.,
 * "Quickly generating billion-record synthetic databases", SIGMOD 1994, as YCSB does it).
 * Setting up takes time proportional to `count`; drawing changes nothing. */
struct bench_zipf {
    uint64_t count;
    double theta, zeta, alpha, eta;
};
void bench_zipf_init(struct bench_zipf *zipf, uint64_t count, double theta);
uint64_t bench_zipf_draw(const struct bench_zipf *zipf, struct rng *rng);

/* Bytes of which values are cut: each piece of 100 bytes starts with random ones and repeats them,
 * so that it compresses to about `ratio` of its size (1: random throughout). */
struct bench_values {
    struct kv_buf pool;
    size_t value_size;
};
KV_MUST_CHECK int bench_values_init(struct bench_values *values, size_t value_size, double ratio,
                                    uint64_t seed);
void bench_values_finish(struct bench_values *values);
/* The value that the write with this number puts; lives as long as `values`. */
struct kv_slice bench_value_at(const struct bench_values *values, uint64_t number);

#endif
