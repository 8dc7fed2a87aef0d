/* SPDX-License-Identifier: Apache-2.0 */
/* How long operations take.
 *
 * What is frequent is sampled: one in so many operations of a place for readers (store.h) reads the
 * clock. Reads are recorded in a histogram of that place, so that threads share no cache line for
 * them; where two threads share a place and meet, one sample is dropped. Writes share enough as it
 * is. What is rare is all recorded. */
#ifndef KVCORE_DB_LATENCY_H
#define KVCORE_DB_LATENCY_H

#include "kvcore/db/store.h"
#include "kvcore/util/clock.h"

enum {
    LATENCY_GET_ONE_IN = 64,
    LATENCY_WRITE_ONE_IN = 32,
    LATENCY_SEEK_ONE_IN = 32,
};

KV_MUST_CHECK int latency_create(struct kv_store *store);
void latency_destroy(struct kv_store *store);

/* Kept out of line: few operations come here. `place` is that of reads, else it may be NULL. */
void latency_record(struct kv_store *store, const struct reader_place *place, enum kv_latency kind,
                    uint64_t ns);

/* When the operation that follows `count` others began, if it is one of those measured; else 0. */
static inline uint64_t latency_begin(const _Atomic uint64_t *count, unsigned one_in)
{
    uint64_t before = atomic_load_explicit(count, memory_order_relaxed);
    return __builtin_expect(before % one_in == 0, 0) ? clock_monotonic_ns() : 0;
}

static inline void latency_end(struct kv_store *store, const struct reader_place *place,
                               enum kv_latency kind, uint64_t began)
{
    if (__builtin_expect(began != 0, 0)) {
        latency_record(store, place, kind, clock_monotonic_ns() - began);
    }
}

#endif
