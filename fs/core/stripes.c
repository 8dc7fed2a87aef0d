/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/stripes.h"

#include <assert.h>

void stripes_init(struct stripes *stripes, size_t cache_bytes)
{
    for (unsigned i = 0; i < STRIPE_COUNT; i++) {
        mutex_init(&stripes->dirs[i], LOCK_RANK_FS_DIR, "directory stripe");
        mutex_init(&stripes->inodes[i].mu, LOCK_RANK_FS_INODE, "inode stripe");
        icache_init(&stripes->inodes[i].cache, cache_bytes / STRIPE_COUNT);
        stripes->inodes[i].unlinked = NULL;
        atomic_init(&stripes->versions[i], 0);
    }
}

void stripes_finish(struct stripes *stripes)
{
    for (unsigned i = 0; i < STRIPE_COUNT; i++) {
        mutex_finish(&stripes->dirs[i]);
        mutex_finish(&stripes->inodes[i].mu);
        icache_finish(&stripes->inodes[i].cache);
    }
}

size_t stripes_cache_bytes(struct stripes *stripes)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < STRIPE_COUNT; i++) {
        mutex_lock(&stripes->inodes[i].mu);
        bytes += stripes->inodes[i].cache.bytes;
        mutex_unlock(&stripes->inodes[i].mu);
    }
    return bytes;
}

static void set_insert(struct stripe_set *set, unsigned index)
{
    unsigned at = 0;
    while (at < set->count && set->index[at] < index) {
        at++;
    }
    if (at < set->count && set->index[at] == index) {
        return;
    }
    assert(set->count < STRIPE_COUNT);
    for (unsigned i = set->count; i > at; i--) {
        set->index[i] = set->index[i - 1];
    }
    set->index[at] = (uint8_t)index;
    set->count++;
}

static void set_fill(struct stripe_set *set, const uint64_t *inos, unsigned count)
{
    assert(set->count == 0);
    for (unsigned i = 0; i < count; i++) {
        if (inos[i] != 0) {
            set_insert(set, stripe_of(inos[i]));
        }
    }
}

bool stripe_set_has(const struct stripe_set *set, uint64_t ino)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->index[i] == stripe_of(ino)) {
            return true;
        }
    }
    return false;
}

void stripes_lock_dirs(struct stripes *stripes, struct stripe_set *set, const uint64_t *inos,
                       unsigned count) NO_LOCK_ANALYSIS
{
    set_fill(set, inos, count);
    for (unsigned i = 0; i < set->count; i++) {
        mutex_lock_same_rank(&stripes->dirs[set->index[i]]);
    }
}

void stripes_unlock_dirs(struct stripes *stripes, struct stripe_set *set) NO_LOCK_ANALYSIS
{
    while (set->count > 0) {
        mutex_unlock(&stripes->dirs[set->index[--set->count]]);
    }
}

void stripes_lock_inodes(struct stripes *stripes, struct stripe_set *set, const uint64_t *inos,
                         unsigned count) NO_LOCK_ANALYSIS
{
    set_fill(set, inos, count);
    for (unsigned i = 0; i < set->count; i++) {
        mutex_lock_same_rank(&stripes->inodes[set->index[i]].mu);
    }
}

void stripes_unlock_inodes(struct stripes *stripes, struct stripe_set *set) NO_LOCK_ANALYSIS
{
    while (set->count > 0) {
        struct inode_stripe *stripe = &stripes->inodes[set->index[--set->count]];
        icache_trim(&stripe->cache);
        mutex_unlock(&stripe->mu);
    }
}

void stripe_lock(struct stripes *stripes, uint64_t ino) NO_LOCK_ANALYSIS
{
    mutex_lock(&stripes->inodes[stripe_of(ino)].mu);
}

void stripe_unlock(struct stripes *stripes, uint64_t ino) NO_LOCK_ANALYSIS
{
    struct inode_stripe *stripe = &stripes->inodes[stripe_of(ino)];
    icache_trim(&stripe->cache);
    mutex_unlock(&stripe->mu);
}

void stripes_sample(const struct stripes *stripes, struct stripe_versions *ret_versions)
{
    for (unsigned i = 0; i < STRIPE_COUNT; i++) {
        /* Acquire: rows read afterwards are no older than the commits counted here. */
        ret_versions->at[i] = atomic_load_explicit(&stripes->versions[i], memory_order_acquire);
    }
}

bool stripe_is_unchanged(const struct stripes *stripes, const struct stripe_versions *versions,
                         uint64_t ino)
{
    unsigned i = stripe_of(ino);
    return atomic_load_explicit(&stripes->versions[i], memory_order_relaxed) == versions->at[i];
}

void stripe_changed(struct stripes *stripes, uint64_t ino)
{
    /* Release: pairs with stripes_sample(). */
    atomic_fetch_add_explicit(&stripes->versions[stripe_of(ino)], 1, memory_order_release);
}
