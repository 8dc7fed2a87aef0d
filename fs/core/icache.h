/* SPDX-License-Identifier: Apache-2.0 */
/* Inodes kept decoded in memory, with where each lives: one small table per inode stripe, guarded
 * by that stripe's mutex, with the least recently used ones thrown out beyond a byte budget.
 *
 * Invariants
 *  1. An entry equals what the committed rows say; whoever changes an inode puts it here only after
 *     the commit, still holding the stripe.
 *  2. Targets of symbolic links handed out point into the entry. They last until icache_trim(),
 *     which is called only when the stripe is about to be unlocked. */
#ifndef FS_CORE_ICACHE_H
#define FS_CORE_ICACHE_H

#include "fs/core/record.h"

/* Where an inode is stored: in the entry (parent, name), or with parent 0 in its I row. */
struct location {
    uint64_t parent;
    uint8_t name_size;
    uint8_t name[KVFS_NAME_SIZE_MAX];
};

struct node {
    uint64_t ino;
    struct inode inode;
    struct location loc;
};

static inline struct kv_slice location_name(const struct location *loc)
{
    return kv_slice(loc->name, loc->name_size);
}

void location_set(struct location *loc, uint64_t parent, struct kv_slice name);

struct icache_entry;

struct icache {
    struct icache_entry **buckets; /* NULL until the first entry */
    uint32_t bucket_count;         /* power of two */
    uint32_t count;
    size_t bytes, budget_bytes; /* of memory, buckets included */
    struct icache_entry *newest, *oldest;
};

void icache_init(struct icache *cache, size_t budget_bytes);
void icache_finish(struct icache *cache);
/* Copies the node out and makes it the most recently used. */
bool icache_get(struct icache *cache, uint64_t ino, struct node *ret_node);
/* Insert or replace. `node` may hold the target of the entry it replaces. Errors: -ENOMEM, and then
 * the cache has no entry for the inode. */
KV_MUST_CHECK int icache_put(struct icache *cache, const struct node *node);
void icache_drop(struct icache *cache, uint64_t ino);
/* Come down to the budget. */
void icache_trim(struct icache *cache);

#endif
