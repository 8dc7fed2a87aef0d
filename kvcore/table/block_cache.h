/* SPDX-License-Identifier: Apache-2.0 */
/* Cache of decompressed, verified blocks, keyed by table number and offset.
 *
 * Sharded; each shard has its mutex, a hash table and a clock hand (second chance), so that a hit
 * sets one flag and moves nothing. Blocks are reference-counted: an evicted block lives until its
 * last reader lets go.
 *
 * One budget covers the blocks, their bookkeeping, and what open tables keep in memory: indexes,
 * filters, range deletes. The latter is charged here as a table is opened and given back as it is
 * closed; data blocks get what it leaves. They were refused as blocks of this cache, to be evicted
 * and read again: every lookup would then look for three blocks instead of one.
 *
 * Invariants: 1. blocks + charges <= budget whenever no call is under way, unless 2. charges leave
 * less than one part in BLOCK_CACHE_FLOOR_PART of the budget: reads must go on, so that much stays
 * for blocks, and the budget is exceeded by what statistics tell as excess. */
#ifndef KVCORE_TABLE_BLOCK_CACHE_H
#define KVCORE_TABLE_BLOCK_CACHE_H

#include "kvcore/table/rows_block.h"

struct block_cache;

/* Data blocks keep this part of the budget whatever open tables take. */
enum { BLOCK_CACHE_FLOOR_PART = 8 };

/* What an open table keeps in memory. */
enum resident_kind {
    RESIDENT_INDEX,
    RESIDENT_FILTER,
    RESIDENT_OTHER, /* range deletes, and the table's own bookkeeping */
    RESIDENT_KINDS,
};
struct resident_bytes {
    size_t of[RESIDENT_KINDS];
};
static inline size_t resident_sum(const struct resident_bytes *bytes)
{
    return bytes->of[RESIDENT_INDEX] + bytes->of[RESIDENT_FILTER] + bytes->of[RESIDENT_OTHER];
}

/* Immutable once published. */
struct cached_block {
    struct rows_block rows; /* points into bytes */
    _Atomic uint32_t refs;
    size_t size;
    _Alignas(8) uint8_t bytes[];
};

KV_MUST_CHECK int block_cache_create(size_t capacity_bytes, struct block_cache **ret_cache);
void block_cache_destroy(
    struct block_cache *cache); /* accepts NULL; no block referenced, no table open */

/* So many bytes behind a cached block may be read (not used), which makes short copies cheap. */
enum { CACHED_BLOCK_SLACK = 16 };

/* A block of `size` bytes to be filled, with one reference. Errors: -ENOMEM. */
KV_MUST_CHECK int cached_block_create(size_t size, struct cached_block **ret_block);
void cached_block_ref(struct cached_block *block);
void cached_block_unref(struct cached_block *block); /* accepts NULL */

/* The block with a reference for the caller, or NULL. Counts a hit or a miss. */
struct cached_block *block_cache_lookup(struct block_cache *cache, uint64_t table_number,
                                        uint64_t offset);
/* The same for a reader who passes once, as a compaction does: neither counted nor a reason to keep
 * the block. */
struct cached_block *block_cache_peek(struct block_cache *cache, uint64_t table_number,
                                      uint64_t offset);
/* Publish `block`; the cache takes a reference of its own. If another thread was faster its block
 * stays and this one is simply not cached. Never fails. */
void block_cache_insert(struct block_cache *cache, uint64_t table_number, uint64_t offset,
                        struct cached_block *block);
/* The same for a block that nobody asked for yet: nothing makes way for it. Whether it is there
 * now.
 */
bool block_cache_offer(struct block_cache *cache, uint64_t table_number, uint64_t offset,
                       struct cached_block *block);
/* So much could be charged without evicting a block and without leaving blocks less than their part
 * of the budget. */
size_t block_cache_room(struct block_cache *cache);
/* Forget every block of a table that is gone. */
void block_cache_drop_table(struct block_cache *cache, uint64_t table_number);

/* A table was opened, or is closed: so much of the budget is its. Charging evicts what has no room
 * any more; it may not be called with a mutex of a shard held. */
void block_cache_charge(struct block_cache *cache, const struct resident_bytes *bytes);
void block_cache_uncharge(struct block_cache *cache, const struct resident_bytes *bytes);

struct block_cache_stats {
    uint64_t budget; /* for all of it */
    uint64_t bytes;  /* data blocks and their bookkeeping */
    struct resident_bytes resident;
    uint64_t excess; /* of both over the budget */
    uint64_t hits, misses;
};
void block_cache_stats(const struct block_cache *cache, struct block_cache_stats *ret_stats);

#endif
