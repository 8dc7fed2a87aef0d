/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded pseudo-random numbers (splitmix64): tower heights, tests, benchmarks. Not for secrets. */
#ifndef KVCORE_UTIL_RNG_H
#define KVCORE_UTIL_RNG_H

#include <sys/random.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/clock.h"

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    rng->state += 0x9e3779b97f4a7c15ULL;
    return hash_u64(rng->state);
}

/* Uniform in [0, bound); `bound` > 0. The bias is below 2^-32 for bounds below 2^32. */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)rng_next(rng) * bound) >> 64);
}

/* A number nobody else has drawn: from the kernel, or should that fail, from clock and address. */
static inline uint64_t rng_entropy(void)
{
    uint64_t v;
    if (getrandom(&v, sizeof v, 0) != sizeof v) {
        v = hash_u64(clock_monotonic_ns() ^ (uint64_t)(uintptr_t)&v) ^ clock_wall_s();
    }
    return v;
}

#endif
