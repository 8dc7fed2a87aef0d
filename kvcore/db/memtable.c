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
    FINGER_BITS = 4,
    FINGER_COUNT = 1 << FINGER_BITS,
    FINGER_LOOKS = 3, /* for a row: right at a finger, a level higher, and two levels above that */
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

/* Where the last row with this head of its key was put in. Rows come in runs: names that rise in
 * one directory, inodes as they are numbered, one key again and again. The next of a run is found
 * from here in a few steps. (Finger search: Guibas and others 1977; RocksDB's memtable takes such
 * hints from its caller.) */
struct finger {
    uint64_t head;
    struct node *prev[HEIGHT_MAX]; /* before that row, at each level; or the row itself */
};

struct memtable {
    struct node *head; /* a node before all others, HEIGHT_MAX links */
    _Atomic unsigned height;
    _Atomic uint64_t count;
    struct range_map ranges;
    struct row_filter *filter;
    struct finger fingers[FINGER_COUNT]; /* the inserting thread's, by a hash of their heads */
    uint64_t searches;                   /* likewise: rows that no finger led to */
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

/* First node that is not before the target, searched for from `node`, which is before it, downwards
 * from `level`, the number of levels to search. With `ret_prev` the last nodes before the target at
 * these. */
static struct node *descend(struct node *node, unsigned level, const struct target *target,
                            struct node **ret_prev)
{
    struct node *passed = NULL; /* known not to be before the target: compare it only once */

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

static struct node *find(const struct memtable *memtable, const struct target *target,
                         struct node **ret_prev)
{
    unsigned height = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    return descend(memtable->head, height, target, ret_prev);
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
    for (unsigned i = 0; i < FINGER_COUNT; i++) {
        for (unsigned level = 0; level < HEIGHT_MAX; level++) {
            memtable->fingers[i].prev[level] = memtable->head;
        }
    }
    *ret_memtable = memtable;
    return 0;
}

void memtable_destroy(struct memtable *memtable)
{
    free(memtable);
}

/* One in four nodes rises a level; the sequence number is unique, so its hash is as good as a
 * random number. */
static unsigned random_height(uint64_t sequence)
{
    uint64_t bits = hash_u64(sequence);
    unsigned height = 1;
    while (height < HEIGHT_MAX && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

size_t memtable_row_bytes(size_t key_size, size_t value_size)
{
    return sizeof(struct node) + ((key_size + value_size + 7) & ~(size_t)7);
}

size_t memtable_link_bytes(uint64_t sequence, uint64_t count)
{
    size_t links = 0;
    for (uint64_t i = 0; i < count; i++) {
        links += random_height(sequence + i);
    }
    return links * sizeof(struct link);
}

static struct node *make_node(const struct row *row, uint8_t **memory)
{
    struct node *node = (struct node *)(void *)*memory;
    unsigned height = random_height(row_sequence(row->trailer));
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

/* Link the node at one level, behind `prev`. */
static void link_node(struct node *prev, struct node *node, unsigned level)
{
    struct link *link = &prev->next[level];
    struct link *onwards = &node->next[level];
    uint64_t head = atomic_load_explicit(&link->head, memory_order_relaxed);

    atomic_store_explicit(&onwards->head, head, memory_order_relaxed);
    atomic_store_explicit(&onwards->to, node_next(prev, level), memory_order_relaxed);
    if (node->head < head) {
        atomic_store_explicit(&link->head, node->head, memory_order_relaxed);
    }
    /* Release: pairs with the acquire of those who follow the link; the node is whole when seen,
     * and the link's head low enough. */
    atomic_store_explicit(&link->to, node, memory_order_release);
}

/* Bring the finger to the target, at all levels below `height`: down from a level at which its node
 * is before the target and the next one is not. Above that it may be behind, since rows were put in
 * with other fingers. What lies far away is searched for as if there was no finger: where names
 * come in no order, climbing all the way would cost a quarter more than that. */
static void move_finger(struct memtable *memtable, struct finger *finger,
                        const struct target *target, unsigned height)
{
    unsigned end = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    unsigned level = height - 1;

    for (unsigned looks = 0; finger->head == target->head && looks < FINGER_LOOKS && level < end;
         looks++, level += looks) {
        struct node *node = finger->prev[level];
        if ((node == memtable->head || node_before(node, target)) &&
            !next_before(&node->next[level], node_next(node, level), target)) {
            descend(node, level + 1, target, finger->prev);
            return;
        }
    }
    memtable->searches++;
    finger->head = target->head;
    find(memtable, target, finger->prev);
}

static struct finger *finger_for(struct memtable *memtable, uint64_t head)
{
    return &memtable->fingers[hash_u64(head) >> (64 - FINGER_BITS)];
}

void memtable_insert(struct memtable *memtable, const struct row *row, uint8_t **memory)
{
    struct node *node = make_node(row, memory);
    struct target target = {.head = node->head, .key = row->key, .trailer = row->trailer};
    struct finger *finger = finger_for(memtable, node->head);
    uint64_t hash = filter_hash_key(row->key);

    __builtin_prefetch(row_filter_word(memtable->filter, hash), 1);
    if (node->height > atomic_load_explicit(&memtable->height, memory_order_relaxed)) {
        atomic_store_explicit(&memtable->height, node->height, memory_order_relaxed);
    }
    move_finger(memtable, finger, &target, node->height);
    row_filter_add(memtable->filter, hash);
    for (unsigned level = 0; level < node->height; level++) {
        link_node(finger->prev[level], node, level);
        finger->prev[level] = node;
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

uint64_t memtable_searches(const struct memtable *memtable)
{
    return memtable->searches;
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
