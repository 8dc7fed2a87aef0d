/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/icache.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"

enum { BUCKETS_FIRST = 16 };

struct icache_entry {
    struct icache_entry *hash_next;
    struct icache_entry *newer, *older;
    uint64_t ino;
    uint64_t parent;
    struct inode inode; /* target points behind the name */
    size_t size;        /* asked for */
    uint8_t name_size;
    uint8_t bytes[]; /* name, then target */
};

void location_set(struct location *loc, uint64_t parent, struct kv_slice name)
{
    assert(name.size <= KVFS_NAME_SIZE_MAX);
    loc->parent = parent;
    loc->name_size = (uint8_t)name.size;
    if (name.size > 0) {
        memmove(loc->name, name.data, name.size);
    }
}

void icache_init(struct icache *cache, size_t budget_bytes)
{
    *cache = (struct icache){.budget_bytes = budget_bytes};
}

void icache_finish(struct icache *cache)
{
    struct icache_entry *entry = cache->newest;
    while (entry != NULL) {
        struct icache_entry *older = entry->older;
        free(entry);
        entry = older;
    }
    free(cache->buckets);
    *cache = (struct icache){0};
}

/* The stripe was chosen by the low bits of the number, so the table hashes all of them. */
static struct icache_entry **bucket_of(const struct icache *cache, uint64_t ino)
{
    return &cache->buckets[hash_u64(ino) & (cache->bucket_count - 1)];
}

static struct icache_entry *find(const struct icache *cache, uint64_t ino)
{
    if (cache->bucket_count == 0) {
        return NULL;
    }
    struct icache_entry *entry = *bucket_of(cache, ino);
    while (entry != NULL && entry->ino != ino) {
        entry = entry->hash_next;
    }
    return entry;
}

/* What the entry takes: its block with the allocator's head, in units of 16 bytes, and its part of
 * the buckets, of which there are up to two for an entry. */
static size_t charge_of(const struct icache_entry *entry)
{
    size_t block = (entry->size + sizeof(size_t) + 15) / 16 * 16;
    return block + 2 * sizeof(struct icache_entry *);
}

static void list_remove(struct icache *cache, struct icache_entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void list_push(struct icache *cache, struct icache_entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void remove_entry(struct icache *cache, struct icache_entry *entry)
{
    struct icache_entry **link = bucket_of(cache, entry->ino);
    while (*link != entry) {
        link = &(*link)->hash_next;
    }
    *link = entry->hash_next;
    list_remove(cache, entry);
    cache->count--;
    cache->bytes -= charge_of(entry);
    free(entry);
}

static int grow(struct icache *cache)
{
    uint32_t count = cache->bucket_count == 0 ? BUCKETS_FIRST : cache->bucket_count * 2;
    struct icache_entry **buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL) {
        return -ENOMEM;
    }
    free(cache->buckets);
    cache->buckets = buckets;
    cache->bucket_count = count;
    for (struct icache_entry *entry = cache->newest; entry != NULL; entry = entry->older) {
        struct icache_entry **bucket = bucket_of(cache, entry->ino);
        entry->hash_next = *bucket;
        *bucket = entry;
    }
    return 0;
}

bool icache_get(struct icache *cache, uint64_t ino, struct node *ret_node)
{
    struct icache_entry *entry = find(cache, ino);
    if (entry == NULL) {
        return false;
    }
    if (cache->newest != entry) {
        list_remove(cache, entry);
        list_push(cache, entry);
    }
    ret_node->ino = ino;
    ret_node->inode = entry->inode;
    location_set(&ret_node->loc, entry->parent, kv_slice(entry->bytes, entry->name_size));
    return true;
}

/* Name and target have the sizes the entry was made for. */
static void fill(struct icache_entry *entry, const struct node *node)
{
    struct kv_slice target = node->inode.target;
    entry->ino = node->ino;
    entry->parent = node->loc.parent;
    entry->name_size = node->loc.name_size;
    memcpy(entry->bytes, node->loc.name, node->loc.name_size);
    if (target.size > 0) {
        memmove(entry->bytes + entry->name_size, target.data, target.size);
        target.data = entry->bytes + entry->name_size;
    }
    entry->inode = node->inode;
    entry->inode.target = target;
}

int icache_put(struct icache *cache, const struct node *node)
{
    struct icache_entry *old = find(cache, node->ino);
    size_t size = sizeof(struct icache_entry) + node->loc.name_size + node->inode.target.size;
    /* The usual change keeps the name: then the entry stays where it is. */
    if (old != NULL && old->size == size && old->name_size == node->loc.name_size) {
        fill(old, node);
        return 0;
    }
    struct icache_entry *entry = malloc(size);
    if (entry == NULL || (cache->count >= cache->bucket_count && grow(cache) < 0)) {
        free(entry);
        icache_drop(cache, node->ino);
        return -ENOMEM;
    }
    entry->size = size;
    fill(entry, node);
    if (old != NULL) {
        remove_entry(cache, old);
    }
    struct icache_entry **bucket = bucket_of(cache, node->ino);
    entry->hash_next = *bucket;
    *bucket = entry;
    list_push(cache, entry);
    cache->count++;
    cache->bytes += charge_of(entry);
    return 0;
}

void icache_drop(struct icache *cache, uint64_t ino)
{
    struct icache_entry *entry = find(cache, ino);
    if (entry != NULL) {
        remove_entry(cache, entry);
    }
}

void icache_trim(struct icache *cache)
{
    while (cache->bytes > cache->budget_bytes && cache->oldest != NULL) {
        remove_entry(cache, cache->oldest);
    }
}
