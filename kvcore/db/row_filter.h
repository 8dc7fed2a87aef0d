/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys a generation may hold: a Bloom filter beside its memtables. A get that finds its row
 * in a table, or nowhere, would else search each memtable first, at a cache miss a step.
 *
 * All bits of a key lie in one word, so that adding is one atomic operation and asking one load
 * (register-blocked; Lang et al., "Performance-Optimal Filtering", 2019). All tables share it; that
 * a key of another table answers for one of ours costs a search. Sized by memory: where rows are
 * tiny, more keys pass than should.
 *
 * Concurrency: any number of threads add and ask. A key whose row somebody can see is found: it is
 * added before its row is linked (release), and whoever sees the row (acquire) sees it here. */
#ifndef KVCORE_DB_ROW_FILTER_H
#define KVCORE_DB_ROW_FILTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kv/error.h>

#include "kvcore/util/arena.h"

struct row_filter {
    _Atomic uint64_t *words; /* in the arena */
    uint32_t word_count;
};

/* Empty, with `bytes` for its words; they lie in `arena`, which must outlive it. Errors: -ENOMEM.
 */
KV_MUST_CHECK int row_filter_init(struct row_filter *filter, struct arena *arena, size_t bytes);

static inline _Atomic uint64_t *row_filter_word(const struct row_filter *filter, uint64_t hash)
{
    return &filter->words[(hash >> 32) * filter->word_count >> 32];
}

/* Four bits, of six bits of the hash each: those the word was not chosen by. */
static inline uint64_t row_filter_bits(uint64_t hash)
{
    return UINT64_C(1) << (hash & 63) | UINT64_C(1) << (hash >> 6 & 63) |
           UINT64_C(1) << (hash >> 12 & 63) | UINT64_C(1) << (hash >> 18 & 63);
}

/* `hash` is filter_hash_key() of the key. */
static inline void row_filter_add(struct row_filter *filter, uint64_t hash)
{
    atomic_fetch_or_explicit(row_filter_word(filter, hash), row_filter_bits(hash),
                             memory_order_relaxed);
}

static inline bool row_filter_may_contain(const struct row_filter *filter, uint64_t hash)
{
    uint64_t bits = row_filter_bits(hash);
    return (atomic_load_explicit(row_filter_word(filter, hash), memory_order_relaxed) & bits) ==
           bits;
}

#endif
