/* SPDX-License-Identifier: Apache-2.0 */
/* A shard is one array of slots: the open-addressing hash table and, read in a circle, the clock of
 * the second-chance eviction. Removal shifts followers back, so there are no tombstones. */
#include "kvcore/table/block_cache.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/thread.h"

enum {
    CACHE_SHARDS = 16,
    CACHE_SLOTS_MIN = 4,
    CACHE_LINE = 64,
    CACHE_PREFETCH_LINES = 8,
};

struct cache_slot {
    uint64_t table_number;
    uint64_t offset;
    struct cached_block *block; /* NULL: empty */
    uint32_t hash;              /* which slot it would like best */
    bool used;                  /* since the hand last passed */
};

/* Everything but the mutex is guarded by it; the counters may be read without. */
struct cache_shard {
    _Alignas(CACHE_LINE) struct mutex mu;
    struct cache_slot *slots;
    size_t slot_count; /* a power of two, or 0 */
    size_t block_count;
    size_t hand;
    _Atomic size_t bytes; /* blocks and slots */
    _Atomic uint64_t hits, misses;
};

struct block_cache {
    size_t budget; /* constant */
    /* Relaxed: what a charge must be seen by comes after it through a shard's mutex. */
    _Atomic size_t resident[RESIDENT_KINDS];
    struct cache_shard shards[CACHE_SHARDS];
};

/* ---- blocks ---- */

int cached_block_create(size_t size, struct cached_block **ret_block)
{
    struct cached_block *block;

    if (size > SIZE_MAX / 2) {
        return -ENOMEM;
    }
    block = malloc(sizeof *block + size + CACHED_BLOCK_SLACK);
    if (block == NULL) {
        return -ENOMEM;
    }
    block->rows = (struct rows_block){0};
    memset(block->bytes + size, 0, CACHED_BLOCK_SLACK);
    atomic_init(&block->refs, 1);
    block->size = size;
    *ret_block = block;
    return 0;
}

/* Relaxed: who takes a reference has the block already, through a reference or the shard's mutex.
 */
void cached_block_ref(struct cached_block *block)
{
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
}

/* Release and acquire order every reader's last access before the free. */
void cached_block_unref(struct cached_block *block)
{
    if (block == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        free(block);
    }
}

/* ---- the cache ---- */

int block_cache_create(size_t capacity_bytes, struct block_cache **ret_cache)
{
    struct block_cache *cache = aligned_alloc(CACHE_LINE, sizeof *cache);
    if (cache == NULL) {
        return -ENOMEM;
    }
    memset(cache, 0, sizeof *cache);
    cache->budget = capacity_bytes;
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        mutex_init(&cache->shards[i].mu, LOCK_RANK_BLOCK_CACHE, "block_cache");
    }
    *ret_cache = cache;
    return 0;
}

static struct resident_bytes resident_now(const struct block_cache *cache)
{
    struct resident_bytes bytes;

    for (size_t i = 0; i < RESIDENT_KINDS; i++) {
        bytes.of[i] = atomic_load_explicit(&cache->resident[i], memory_order_relaxed);
    }
    return bytes;
}

/* What a shard has for blocks at least. */
static size_t shard_floor(const struct block_cache *cache)
{
    return cache->budget / BLOCK_CACHE_FLOOR_PART / CACHE_SHARDS;
}

/* What a shard has for blocks beside the tables that are open now. */
static size_t shard_capacity(const struct block_cache *cache)
{
    struct resident_bytes resident = resident_now(cache);
    size_t taken = resident_sum(&resident);
    size_t left = taken < cache->budget ? (cache->budget - taken) / CACHE_SHARDS : 0;

    return left > shard_floor(cache) ? left : shard_floor(cache);
}

void block_cache_destroy(struct block_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    struct resident_bytes resident = resident_now(cache);
    assert(resident_sum(&resident) == 0);
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *shard = &cache->shards[i];
        mutex_lock(&shard->mu);
        for (size_t at = 0; at < shard->slot_count; at++) {
            cached_block_unref(shard->slots[at].block);
        }
        free(shard->slots);
        mutex_unlock(&shard->mu);
        mutex_finish(&shard->mu);
    }
    free(cache);
}

static uint64_t place_hash(uint64_t table_number, uint64_t offset)
{
    return hash_u64(table_number * UINT64_C(0x9e3779b97f4a7c15) + offset);
}

static struct cache_shard *shard_of(struct block_cache *cache, uint64_t hash)
{
    return &cache->shards[hash >> 60];
}

static size_t block_charge(const struct cached_block *block)
{
    return sizeof *block + block->size + CACHED_BLOCK_SLACK;
}

/* The slot that holds the place, or the empty one where it would go. */
static size_t find_slot(const struct cache_shard *shard, uint32_t hash, uint64_t table_number,
                        uint64_t offset) REQUIRES(shard->mu)
{
    size_t mask = shard->slot_count - 1;
    size_t at = hash & mask;

    while (shard->slots[at].block != NULL &&
           (shard->slots[at].offset != offset || shard->slots[at].table_number != table_number)) {
        at = (at + 1) & mask;
    }
    return at;
}

static void add_relaxed(_Atomic uint64_t *counter)
{
    uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, v + 1, memory_order_relaxed);
}

static size_t shard_bytes(const struct cache_shard *shard)
{
    return atomic_load_explicit(&shard->bytes, memory_order_relaxed);
}

static void set_shard_bytes(struct cache_shard *shard, size_t bytes) REQUIRES(shard->mu)
{
    atomic_store_explicit(&shard->bytes, bytes, memory_order_relaxed);
}

/* The block is searched next: ask for its head, where the columns are, in one go instead of meeting
 * one cache miss behind the other. The lines may lie beyond a small block; that does no harm. */
static void prefetch_block(const struct cached_block *block)
{
    const uint8_t *at = (const uint8_t *)block;

    for (size_t i = 0; i < CACHE_PREFETCH_LINES; i++) {
        __builtin_prefetch(at + i * CACHE_LINE);
    }
}

static struct cached_block *look(struct block_cache *cache, uint64_t table_number, uint64_t offset,
                                 bool passing)
{
    uint64_t hash = place_hash(table_number, offset);
    struct cache_shard *shard = shard_of(cache, hash);
    struct cached_block *block = NULL;

    mutex_lock(&shard->mu);
    if (shard->slot_count > 0) {
        struct cache_slot *slot =
            &shard->slots[find_slot(shard, (uint32_t)hash, table_number, offset)];
        block = slot->block;
        if (block != NULL) {
            prefetch_block(block);
            slot->used |= !passing;
            cached_block_ref(block);
        }
    }
    if (!passing) {
        add_relaxed(block != NULL ? &shard->hits : &shard->misses);
    }
    mutex_unlock(&shard->mu);
    return block;
}

struct cached_block *block_cache_lookup(struct block_cache *cache, uint64_t table_number,
                                        uint64_t offset)
{
    return look(cache, table_number, offset, false);
}

struct cached_block *block_cache_peek(struct block_cache *cache, uint64_t table_number,
                                      uint64_t offset)
{
    return look(cache, table_number, offset, true);
}

/* Empty a slot; each follower that the gap cuts off from its best place moves into it. */
static void remove_slot(struct cache_shard *shard, size_t gap) REQUIRES(shard->mu)
{
    size_t mask = shard->slot_count - 1;
    struct cached_block *block = shard->slots[gap].block;

    set_shard_bytes(shard, shard_bytes(shard) - block_charge(block));
    shard->block_count--;
    cached_block_unref(block);
    for (size_t at = (gap + 1) & mask; shard->slots[at].block != NULL; at = (at + 1) & mask) {
        size_t best = shard->slots[at].hash & mask;
        if (((at - best) & mask) >= ((at - gap) & mask)) {
            shard->slots[gap] = shard->slots[at];
            gap = at;
        }
    }
    shard->slots[gap] = (struct cache_slot){0};
}

/* Evict until `more` bytes fit. The hand passes each slot at most twice per block it takes. */
static void make_room(struct cache_shard *shard, size_t capacity, size_t more) REQUIRES(shard->mu)
{
    while (shard->block_count > 0 && shard_bytes(shard) + more > capacity) {
        struct cache_slot *slot = &shard->slots[shard->hand & (shard->slot_count - 1)];
        if (slot->block != NULL && !slot->used) {
            /* The slot may now hold a follower, so the hand stays. */
            remove_slot(shard, shard->hand & (shard->slot_count - 1));
            continue;
        }
        slot->used = false;
        shard->hand++;
    }
}

/* What a shard may hold, slots included, and what its slots may take. Slots do not shrink, so they
 * stay below half of what a shard keeps in any case. */
struct shard_limits {
    size_t bytes, slot_bytes;
};

static struct shard_limits shard_limits(const struct block_cache *cache)
{
    return (struct shard_limits){.bytes = shard_capacity(cache),
                                 .slot_bytes = shard_floor(cache) / 2};
}

/* Double the slots when they are three quarters full. False: no memory, or beyond the budget. */
static bool grow_slots(struct cache_shard *shard, struct shard_limits limits) REQUIRES(shard->mu)
{
    size_t count = shard->slot_count > 0 ? shard->slot_count * 2 : CACHE_SLOTS_MIN;
    size_t more = (count - shard->slot_count) * sizeof(struct cache_slot);
    struct cache_slot *old = shard->slots;
    size_t old_count = shard->slot_count;

    if (shard->block_count < old_count / 4 * 3) {
        return true;
    }
    if (count * sizeof *old > limits.slot_bytes) {
        return false;
    }
    make_room(shard, limits.bytes, more);
    shard->slots = calloc(count, sizeof *old);
    if (shard->slots == NULL) {
        shard->slots = old;
        return false;
    }
    shard->slot_count = count;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].block != NULL) {
            shard->slots[find_slot(shard, old[i].hash, old[i].table_number, old[i].offset)] =
                old[i];
        }
    }
    set_shard_bytes(shard, shard_bytes(shard) + more);
    free(old);
    return true;
}

/* Room for one more block in bytes and in slots. */
static bool prepare_insert(struct cache_shard *shard, struct shard_limits limits, size_t charge)
    REQUIRES(shard->mu)
{
    if (charge > limits.bytes) {
        return false;
    }
    if (!grow_slots(shard, limits)) {
        /* The slots cannot grow: one block makes way for the other. */
        if (shard->slot_count == 0) {
            return false;
        }
        make_room(shard, shard_bytes(shard), 1);
    }
    make_room(shard, limits.bytes, charge);
    return shard_bytes(shard) + charge <= limits.bytes;
}

/* Put the slot's block where it belongs, if no other is there; slots and bytes are prepared. */
static void place_block(struct cache_shard *shard, const struct cache_slot *slot)
    REQUIRES(shard->mu)
{
    size_t at = find_slot(shard, slot->hash, slot->table_number, slot->offset);

    if (shard->slots[at].block == NULL) {
        cached_block_ref(slot->block);
        shard->slots[at] = *slot;
        shard->block_count++;
        set_shard_bytes(shard, shard_bytes(shard) + block_charge(slot->block));
    }
}

void block_cache_insert(struct block_cache *cache, uint64_t table_number, uint64_t offset,
                        struct cached_block *block)
{
    uint64_t hash = place_hash(table_number, offset);
    struct cache_shard *shard = shard_of(cache, hash);
    const struct cache_slot slot = {table_number, offset, block, (uint32_t)hash, false};

    mutex_lock(&shard->mu);
    if (prepare_insert(shard, shard_limits(cache), block_charge(block))) {
        place_block(shard, &slot);
    }
    mutex_unlock(&shard->mu);
}

/* Is there room for a block, and for twice the slots should it take that, with nothing evicted? */
static bool has_room(const struct cache_shard *shard, size_t capacity, size_t charge)
    REQUIRES(shard->mu)
{
    size_t slots = shard->slot_count > 0 ? shard->slot_count : CACHE_SLOTS_MIN;
    return shard_bytes(shard) + charge + slots * sizeof(struct cache_slot) <= capacity;
}

bool block_cache_offer(struct block_cache *cache, uint64_t table_number, uint64_t offset,
                       struct cached_block *block)
{
    uint64_t hash = place_hash(table_number, offset);
    struct cache_shard *shard = shard_of(cache, hash);
    const struct cache_slot slot = {table_number, offset, block, (uint32_t)hash, false};
    struct shard_limits limits;
    bool fits;

    mutex_lock(&shard->mu);
    limits = shard_limits(cache);
    fits = has_room(shard, limits.bytes, block_charge(block)) && grow_slots(shard, limits);
    if (fits) {
        place_block(shard, &slot);
    }
    mutex_unlock(&shard->mu);
    return fits;
}

size_t block_cache_room(struct block_cache *cache)
{
    struct resident_bytes resident = resident_now(cache);
    size_t taken = resident_sum(&resident);
    size_t left = taken < cache->budget ? (cache->budget - taken) / CACHE_SHARDS : 0;
    size_t room = left;

    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        size_t bytes = shard_bytes(&cache->shards[i]);
        size_t kept = bytes > shard_floor(cache) ? bytes : shard_floor(cache);
        size_t here = left > kept ? left - kept : 0;
        room = here < room ? here : room;
    }
    return room * CACHE_SHARDS;
}

void block_cache_drop_table(struct block_cache *cache, uint64_t table_number)
{
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *shard = &cache->shards[i];
        mutex_lock(&shard->mu);
        for (size_t at = 0; at < shard->slot_count;) {
            if (shard->slots[at].block != NULL && shard->slots[at].table_number == table_number) {
                remove_slot(shard, at); /* a follower may have moved here: look again */
            } else {
                at++;
            }
        }
        mutex_unlock(&shard->mu);
    }
}

/* Whoever inserts into a shard after it was trimmed here sees the new charge; whoever came before
 * is trimmed. */
void block_cache_charge(struct block_cache *cache, const struct resident_bytes *bytes)
{
    for (size_t i = 0; i < RESIDENT_KINDS; i++) {
        atomic_fetch_add_explicit(&cache->resident[i], bytes->of[i], memory_order_relaxed);
    }
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *shard = &cache->shards[i];
        mutex_lock(&shard->mu);
        make_room(shard, shard_capacity(cache), 0);
        mutex_unlock(&shard->mu);
    }
}

void block_cache_uncharge(struct block_cache *cache, const struct resident_bytes *bytes)
{
    for (size_t i = 0; i < RESIDENT_KINDS; i++) {
        size_t before =
            atomic_fetch_sub_explicit(&cache->resident[i], bytes->of[i], memory_order_relaxed);
        assert(before >= bytes->of[i]);
    }
}

void block_cache_stats(const struct block_cache *cache, struct block_cache_stats *ret_stats)
{
    struct block_cache_stats stats = {.budget = cache->budget, .resident = resident_now(cache)};

    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        const struct cache_shard *shard = &cache->shards[i];
        stats.bytes += shard_bytes(shard);
        stats.hits += atomic_load_explicit(&shard->hits, memory_order_relaxed);
        stats.misses += atomic_load_explicit(&shard->misses, memory_order_relaxed);
    }
    uint64_t all = stats.bytes + resident_sum(&stats.resident);
    stats.excess = all > stats.budget ? all - stats.budget : 0;
    *ret_stats = stats;
}
