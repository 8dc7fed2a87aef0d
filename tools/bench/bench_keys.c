/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_keys.h"

#include <assert.h>
#include <math.h>

enum { PLACES = 4, POOL_SIZE = 1 << 20, PIECE_SIZE = 100, FEISTEL_ROUNDS = 4 };

void bench_key(uint64_t row, enum bench_place place, uint8_t *to, size_t size)
{
    assert(size >= BENCH_KEY_SIZE_MIN);
    uint64_t number = __builtin_bswap64(row * PLACES + place);
    memcpy(to, &number, sizeof number);
    memset(to + sizeof number, '0', size - sizeof number);
}

/* ---- permutation ----------------------------------------------------------------------------- */

void bench_permutation_init(struct bench_permutation *permutation, uint64_t count, uint64_t seed)
{
    assert(count > 0);
    unsigned bits = count > 1 ? 64 - (unsigned)__builtin_clzll(count - 1) : 1;
    *permutation =
        (struct bench_permutation){.count = count, .seed = seed, .half_bits = (bits + 1) / 2};
}

/* One pass of a Feistel network: a permutation of all numbers of 2 * half_bits bits. */
static uint64_t feistel(const struct bench_permutation *p, uint64_t number)
{
    uint64_t mask = ((uint64_t)1 << p->half_bits) - 1;
    uint64_t left = number >> p->half_bits;
    uint64_t right = number & mask;
    for (unsigned round = 0; round < FEISTEL_ROUNDS; round++) {
        uint64_t mixed = left ^ (hash_u64(right + p->seed + ((uint64_t)round << 56)) & mask);
        left = right;
        right = mixed;
    }
    return (left << p->half_bits) | right;
}

uint64_t bench_permutation_at(const struct bench_permutation *permutation, uint64_t index)
{
    assert(index < permutation->count);
    /* Numbers beyond the count are walked through until the cycle comes back below it. The network
     * covers less than four times the count, so that takes few steps. */
    do {
        index = feistel(permutation, index);
    } while (index >= permutation->count);
    return index;
}

/* ---- zipf ------------------------------------------------------------------------------------ */

void bench_zipf_init(struct bench_zipf *zipf, uint64_t count, double theta)
{
    assert(count > 0 && theta > 0 && theta < 1);
    double zeta = 0;
    for (uint64_t i = count; i > 0; i--) { /* small terms first: less is lost in rounding */
        zeta += pow(1.0 / (double)i, theta);
    }
    double zeta_two = 1 + pow(0.5, theta);
    *zipf = (struct bench_zipf){.count = count, .theta = theta, .zeta = zeta};
    zipf->alpha = 1 / (1 - theta);
    zipf->eta = count > 2 ? (1 - pow(2.0 / (double)count, 1 - theta)) / (1 - zeta_two / zeta) : 1;
}

uint64_t bench_zipf_draw(const struct bench_zipf *zipf, struct rng *rng)
{
    double u = (double)(rng_next(rng) >> 11) * 0x1p-53;
    double scaled = u * zipf->zeta;
    if (scaled < 1 || zipf->count == 1) {
        return 0;
    }
    if (scaled < 1 + pow(0.5, zipf->theta) || zipf->count == 2) {
        return 1;
    }
    uint64_t rank =
        (uint64_t)((double)zipf->count * pow(zipf->eta * u - zipf->eta + 1, zipf->alpha));
    return rank < zipf->count ? rank : zipf->count - 1;
}

/* ---- values ---------------------------------------------------------------------------------- */

int bench_values_init(struct bench_values *values, size_t value_size, double ratio, uint64_t seed)
{
    assert(ratio > 0 && ratio <= 1);
    struct rng rng = {seed};
    struct kv_buf pool = {0};
    size_t size = value_size > POOL_SIZE / 2 ? 2 * value_size : POOL_SIZE;
    size_t random = (size_t)(ratio * PIECE_SIZE);
    random = random > 0 ? random : 1;

    int r = kv_buf_reserve(&pool, size);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < size; i++) {
        size_t within = i % PIECE_SIZE;
        /* db_bench's random bytes are printable: 95 of 256, which compresses no better with an LZ
         * code but would with an entropy code. */
        pool.data[i] =
            within < random ? (uint8_t)(' ' + rng_below(&rng, 95)) : pool.data[i - random];
    }
    pool.size = size;
    *values = (struct bench_values){.pool = pool, .value_size = value_size};
    return 0;
}

void bench_values_finish(struct bench_values *values)
{
    kv_buf_finish(&values->pool);
}

struct kv_slice bench_value_at(const struct bench_values *values, uint64_t number)
{
    size_t starts = (values->pool.size - values->value_size) / PIECE_SIZE + 1;
    return kv_slice(values->pool.data + hash_u64(number) % starts * PIECE_SIZE, values->value_size);
}
