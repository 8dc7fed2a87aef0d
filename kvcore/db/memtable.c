/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/memtable.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <kv/kv.h>

#include "kvcore/table/filter.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum {
    HEIGHT_MAX = 12, /* 4^12 rows: more than fit in any memtable */
    /* A range with so many nodes of this level, of which one in 4^3 rows has one, is long. */
    LONG_LEVEL = 3,
    LONG_STEPS = 64,
};

/* `head` is a lower bound of the head of the node that `to` leads to: a search that looks for less
 * passes by without touching that node, which mostly saves a cache miss. It only ever falls, and
 * falls before a node of that head is linked; so whoever loads `to` first and `head` second has a
 * bound that holds, whatever is inserted meanwhile. */
struct link {
    _Atomic uint64_t head;
    _Atomic(struct node *) to;
};

/* Followed in memory by `height` links, the key and the value. */
struct node {
    uint64_t head; /* first 8 bytes of the key, big-endian, zeros behind a shorter key */
    uint64_t trailer;
    uint32_t value_size;
    uint16_t key_size;
    uint16_t height;
    struct link next[];
};
static_assert(KV_KEY_SIZE_MAX <= UINT16_MAX, "the size of a key fits into a node");

struct memtable {
    struct node *head; /* a node before all others, HEIGHT_MAX links */
    _Atomic unsigned height;
    _Atomic uint64_t count;
    struct range_map ranges;
    struct row_filter *filter;
};

static const uint8_t *node_bytes(const struct node *node)
{
    return (const uint8_t *)node + sizeof *node + node->height * sizeof(struct link);
}

static struct kv_slice node_key(const struct node *node)
{
    return kv_slice(node_bytes(node), node->key_size);
}

static struct kv_slice node_value(const struct node *node)
{
    return kv_slice(node_bytes(node) + node->key_size, node->value_size);
}

static struct node *node_next(const struct node *node, unsigned level)
{
    return atomic_load_explicit(&node->next[level].to, memory_order_acquire);
}

/* What a search looks for, with the head computed once. */
struct target {
    uint64_t head;
    struct kv_slice key;
    uint64_t trailer;
};

/* Does the node stand before the target? */
static bool node_before(const struct node *node, const struct target *target)
{
    int r;
    if (node->head != target->head) {
        return node->head < target->head;
    }
    r = kv_slice_compare(node_key(node), target->key);
    return r != 0 ? r < 0 : node->trailer > target->trailer;
}

/* Does `next`, loaded from this link, stand before the target? False for none. */
static bool next_before(const struct link *link, const struct node *next,
                        const struct target *target)
{
    return next != NULL &&
           atomic_load_explicit(&link->head, memory_order_relaxed) <= target->head &&
           node_before(next, target);
}

/* First node that is not before the target. With `ret_prev` the last nodes before it at every
 * level. */
static struct node *find(const struct memtable *memtable, const struct target *target,
                         struct node **ret_prev)
{
    struct node *node = memtable->head;
    struct node *passed = NULL; /* known not to be before the target: compare it only once */
    unsigned level = atomic_load_explicit(&memtable->height, memory_order_relaxed);

    for (;;) {
        struct node *next = node_next(node, level - 1);
        if (level > 1) {
            /* Where the search goes on, should it not go to `next`. */
            __builtin_prefetch(node_next(node, level - 2));
        }
        if (next != passed && next_before(&node->next[level - 1], next, target)) {
            node = next;
            continue;
        }
        passed = next;
        if (ret_prev != NULL) {
            ret_prev[level - 1] = node;
        }
        if (--level == 0) {
            return next;
        }
    }
}

int memtable_create(struct arena *arena, struct row_filter *filter, struct memtable **ret_memtable)
{
    struct memtable *memtable = calloc(1, sizeof *memtable);
    size_t head_size = sizeof(struct node) + HEIGHT_MAX * sizeof(struct link);

    if (memtable == NULL) {
        return -ENOMEM;
    }
    memtable->head = arena_alloc(arena, head_size);
    if (memtable->head == NULL) {
        free(memtable);
        return -ENOMEM;
    }
    memset(memtable->head, 0, head_size);
    memtable->head->height = HEIGHT_MAX;
    for (unsigned level = 0; level < HEIGHT_MAX; level++) {
        atomic_init(&memtable->head->next[level].head, UINT64_MAX);
        atomic_init(&memtable->head->next[level].to, NULL);
    }
    atomic_init(&memtable->height, 1);
    range_map_init(&memtable->ranges, arena);
    memtable->filter = filter;
    *ret_memtable = memtable;
    return 0;
}

void memtable_destroy(struct memtable *memtable)
{
    free(memtable);
}

/* One in four nodes rises a level; the trailer is unique, so its hash is as good as a random
 * number. */
static unsigned random_height(uint64_t trailer)
{
    uint64_t bits = hash_u64(trailer);
    unsigned height = 1;
    while (height < HEIGHT_MAX && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

size_t memtable_row_bytes(size_t key_size, size_t value_size, uint64_t trailer)
{
    size_t size =
        sizeof(struct node) + random_height(trailer) * sizeof(struct link) + key_size + value_size;
    return (size + 7) & ~(size_t)7;
}

static void raise_height(struct memtable *memtable, unsigned height)
{
    unsigned now = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    while (now < height &&
           !atomic_compare_exchange_weak_explicit(&memtable->height, &now, height,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static struct node *make_node(const struct row *row, uint8_t **memory)
{
    struct node *node = (struct node *)(void *)*memory;
    unsigned height = random_height(row->trailer);
    uint8_t *bytes = *memory + sizeof *node + height * sizeof(struct link);
    uintptr_t end;

    node->head = key_head(row->key);
    node->trailer = row->trailer;
    node->key_size = (uint16_t)row->key.size;
    node->value_size = (uint32_t)row->value.size;
    node->height = (uint16_t)height;
    memcpy(bytes, row->key.data, row->key.size);
    if (row->value.size > 0) {
        memcpy(bytes + row->key.size, row->value.data, row->value.size);
    }
    end = (uintptr_t)(bytes + row->key.size + row->value.size);
    *memory += ((end + 7) & ~(uintptr_t)7) - (uintptr_t)*memory;
    return node;
}

static void lower_head(struct link *link, uint64_t head)
{
    uint64_t now = atomic_load_explicit(&link->head, memory_order_relaxed);
    while (now > head && !atomic_compare_exchange_weak_explicit(
                             &link->head, &now, head, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Link the node at one level, behind `prev` or, if others came between, further on. */
static void link_node(struct node *prev, struct node *node, unsigned level,
                      const struct target *target)
{
    struct link *link = &prev->next[level];
    struct node *next = atomic_load_explicit(&link->to, memory_order_acquire);
    for (;;) {
        /* Another insert may have come between since the search. */
        while (next_before(link, next, target)) {
            link = &next->next[level];
            next = atomic_load_explicit(&link->to, memory_order_acquire);
        }
        atomic_store_explicit(&node->next[level].head,
                              atomic_load_explicit(&link->head, memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&node->next[level].to, next, memory_order_relaxed);
        lower_head(link, node->head);
        /* Release: pairs with the acquire of those who follow the link; the node is whole when
         * seen, and the link's head low enough. */
        if (atomic_compare_exchange_weak_explicit(&link->to, &next, node, memory_order_release,
                                                  memory_order_acquire)) {
            return;
        }
    }
}

void memtable_insert(struct memtable *memtable, const struct row *row, uint8_t **memory)
{
    struct node *node = make_node(row, memory);
    struct target target = {.head = node->head, .key = row->key, .trailer = row->trailer};
    struct node *prev[HEIGHT_MAX];
    uint64_t hash = filter_hash_key(row->key);

    __builtin_prefetch(row_filter_word(memtable->filter, hash), 1);
    for (unsigned level = 0; level < HEIGHT_MAX; level++) {
        prev[level] = memtable->head; /* levels the search does not visit yet */
    }
    find(memtable, &target, prev);
    raise_height(memtable, node->height);
    row_filter_add(memtable->filter, hash);
    for (unsigned level = 0; level < node->height; level++) {
        link_node(prev[level], node, level, &target);
    }
    atomic_fetch_add_explicit(&memtable->count, 1, memory_order_relaxed);
}

bool memtable_get(const struct memtable *memtable, struct kv_slice key, uint64_t hash,
                  uint64_t sequence, uint64_t *ret_trailer, struct kv_slice *ret_value)
{
    struct target target = {
        .head = key_head(key), .key = key, .trailer = row_seek_trailer(sequence)};
    const struct node *node;

    /* No row at all: not even the filter has to be touched. */
    if (node_next(memtable->head, 0) == NULL || !row_filter_may_contain(memtable->filter, hash)) {
        return false;
    }
    node = find(memtable, &target, NULL);
    if (node == NULL || node->head != target.head || !kv_slice_equal(node_key(node), key)) {
        return false;
    }
    *ret_trailer = node->trailer;
    *ret_value = node_value(node);
    return true;
}

bool memtable_is_empty(const struct memtable *memtable)
{
    return node_next(memtable->head, 0) == NULL && range_map_is_empty(&memtable->ranges);
}

struct range_map *memtable_range_map(struct memtable *memtable)
{
    return &memtable->ranges;
}

const struct range_map *memtable_ranges(const struct memtable *memtable)
{
    return &memtable->ranges;
}

uint64_t memtable_row_count(const struct memtable *memtable)
{
    return atomic_load_explicit(&memtable->count, memory_order_relaxed);
}

bool memtable_range_is_long(const struct memtable *memtable, struct kv_slice from,
                            struct kv_slice to)
{
    struct target begin = {.head = key_head(from), .key = from, .trailer = UINT64_MAX};
    struct target end = {.head = key_head(to), .key = to, .trailer = UINT64_MAX};
    const struct node *node = memtable->head;
    unsigned level = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    unsigned steps = 0;

    if (level <= LONG_LEVEL) {
        return false;
    }
    for (level--; level + 1 > LONG_LEVEL; level--) {
        for (const struct node *next = node_next(node, level);
             next != NULL && node_before(next, &begin); next = node_next(node, level)) {
            node = next;
        }
    }
    for (node = node_next(node, LONG_LEVEL); node != NULL && node_before(node, &end);
         node = node_next(node, LONG_LEVEL)) {
        if (++steps == LONG_STEPS) {
            return true;
        }
    }
    return false;
}

/* ---- iterator ---- */

struct memtable_iter {
    struct iter base;
    struct row at; /* what base.row points to */
    const struct memtable *memtable;
    const struct node *node;
};

static void settle(struct memtable_iter *it, const struct node *node)
{
    it->node = node;
    it->base.valid = node != NULL;
    if (node != NULL) {
        it->at.key = node_key(node);
        it->at.trailer = node->trailer;
        it->at.value = node_value(node);
    }
}

static void seek(struct iter *base, struct kv_slice key, uint64_t trailer)
{
    struct memtable_iter *it = (struct memtable_iter *)base;
    struct target target = {.head = key_head(key), .key = key, .trailer = trailer};
    settle(it, find(it->memtable, &target, NULL));
}

static void seek_first(struct iter *base)
{
    struct memtable_iter *it = (struct memtable_iter *)base;
    settle(it, node_next(it->memtable->head, 0));
}

static void seek_last(struct iter *base)
{
    struct memtable_iter *it = (struct memtable_iter *)base;
    struct node *node = it->memtable->head;
    for (unsigned level = HEIGHT_MAX; level-- > 0;) {
        for (struct node *next = node_next(node, level); next != NULL;
             next = node_next(node, level)) {
            node = next;
        }
    }
    settle(it, node != it->memtable->head ? node : NULL);
}

static void next(struct iter *base)
{
    struct memtable_iter *it = (struct memtable_iter *)base;
    settle(it, node_next(it->node, 0));
}

/* Links go forward only; going back searches for the last node before the present one. */
static void prev(struct iter *base)
{
    struct memtable_iter *it = (struct memtable_iter *)base;
    struct target target = {
        .head = it->node->head, .key = node_key(it->node), .trailer = it->node->trailer};
    struct node *before[HEIGHT_MAX];
    find(it->memtable, &target, before);
    settle(it, before[0] != it->memtable->head ? before[0] : NULL);
}

static void destroy(struct iter *base)
{
    free(base);
}

int memtable_iter_create(const struct memtable *memtable, struct iter **ret_iter)
{
    static const struct iter_ops ops = {.seek = seek,
                                        .seek_first = seek_first,
                                        .seek_last = seek_last,
                                        .next = next,
                                        .prev = prev,
                                        .destroy = destroy};
    struct memtable_iter *it = calloc(1, sizeof *it);
    if (it == NULL) {
        return -ENOMEM;
    }
    it->base.ops = &ops;
    it->base.row = &it->at;
    it->memtable = memtable;
    *ret_iter = &it->base;
    return 0;
}
