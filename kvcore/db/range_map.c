/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/range_map.h"

#include <assert.h>
#include <stdatomic.h>

#include "kvcore/util/checksum.h"

/* Searched by `from`; a parent's priority is not below its children's. */
struct range_node {
    struct range_delete range;
    uint64_t priority;
    uint64_t plan; /* that made it */
    struct range_node *left, *right;
};

/* The map after one write. `jump` leads to an older version, so that any is found in a logarithmic
 * number of steps (Myers 1983). */
struct range_version {
    uint64_t sequence;
    uint64_t depth;
    const struct range_node *root;
    const struct range_version *previous, *jump;
};

/* A delete as it was written. */
struct range_raw {
    struct range_delete range;
    const struct range_raw *next;
};

void range_map_init(struct range_map *map, struct arena *arena)
{
    *map = (struct range_map){.arena = arena, .plan = 1};
}

/* ---- the tree: functions of a plan that ran out of memory do nothing more ---- */

struct planner {
    struct arena *arena;
    uint64_t plan;
    uint64_t salt; /* for priorities */
    bool failed;
};

static struct range_node *make_node(struct planner *p, const struct range_delete *range)
{
    struct range_node *node = p->failed ? NULL : arena_alloc(p->arena, sizeof *node);
    if (node == NULL) {
        p->failed = true;
        return NULL;
    }
    *node = (struct range_node){.range = *range, .plan = p->plan};
    node->priority = hash_u64(range->sequence + hash_u64(p->salt++));
    return node;
}

/* A node of this plan in the place of `node`: that one itself, or a copy. */
static struct range_node *own(struct planner *p, struct range_node *node)
{
    struct range_node *copy;
    if (node->plan == p->plan) {
        return node;
    }
    copy = p->failed ? NULL : arena_alloc(p->arena, sizeof *copy);
    if (copy == NULL) {
        p->failed = true;
        return NULL;
    }
    *copy = *node;
    copy->plan = p->plan;
    return copy;
}

/* Part the ranges that begin before `key` from the others. */
static void split(struct planner *p, struct range_node *tree, struct kv_slice key,
                  struct range_node **ret_before, struct range_node **ret_rest)
{
    struct range_node *node = tree != NULL ? own(p, tree) : NULL;
    if (node == NULL) {
        *ret_before = NULL;
        *ret_rest = NULL;
    } else if (kv_slice_compare(node->range.from, key) < 0) {
        split(p, node->right, key, &node->right, ret_rest);
        *ret_before = node;
    } else {
        split(p, node->left, key, ret_before, &node->left);
        *ret_rest = node;
    }
}

/* One tree of two, all ranges of `a` being before those of `b`. */
static struct range_node *join(struct planner *p, struct range_node *a, struct range_node *b)
{
    struct range_node *top;
    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    if (a->priority >= b->priority) {
        top = own(p, a);
        if (top != NULL) {
            top->right = join(p, top->right, b);
        }
    } else {
        top = own(p, b);
        if (top != NULL) {
            top->left = join(p, a, top->left);
        }
    }
    return top;
}

/* End the last range of the tree before `from` at the latest. What it has from `to` on is a range
 * of its own from now on. */
static struct range_node *clip_last(struct planner *p, struct range_node *tree,
                                    const struct range_delete *by, struct range_node **ret_rest)
{
    struct range_node *node = tree != NULL ? own(p, tree) : NULL;
    struct range_delete rest;

    if (node == NULL) {
        return NULL;
    }
    if (node->right != NULL) {
        node->right = clip_last(p, node->right, by, ret_rest);
        return node;
    }
    if (kv_slice_compare(node->range.to, by->from) <= 0) {
        return node;
    }
    rest = node->range;
    node->range.to = by->from;
    if (kv_slice_compare(rest.to, by->to) > 0) {
        rest.from = by->to;
        *ret_rest = make_node(p, &rest);
    }
    return node;
}

/* What the last range of the tree has from by->to on. */
static struct range_node *rest_of_last(struct planner *p, const struct range_node *tree,
                                       const struct range_delete *by)
{
    struct range_delete rest;
    if (tree == NULL) {
        return NULL;
    }
    while (tree->right != NULL) {
        tree = tree->right;
    }
    if (kv_slice_compare(tree->range.to, by->to) <= 0) {
        return NULL;
    }
    rest = tree->range;
    rest.from = by->to;
    return make_node(p, &rest);
}

static struct range_node *cover(struct planner *p, struct range_node *root,
                                const struct range_delete *by)
{
    struct range_node *before = NULL, *covered = NULL, *behind = NULL, *rest = NULL;

    split(p, root, by->from, &before, &behind);
    split(p, behind, by->to, &covered, &behind);
    before = clip_last(p, before, by, &rest);
    if (rest == NULL) {
        rest = rest_of_last(p, covered, by);
    }
    return join(p, join(p, before, make_node(p, by)), join(p, rest, behind));
}

/* ---- writing ---- */

static struct range_raw *copy_delete(struct arena *arena, const struct range_delete *from)
{
    struct range_raw *raw = arena_alloc(arena, sizeof *raw + from->from.size + from->to.size);
    uint8_t *bytes;

    if (raw == NULL) {
        return NULL;
    }
    bytes = (uint8_t *)(raw + 1);
    memcpy(bytes, from->from.data, from->from.size);
    memcpy(bytes + from->from.size, from->to.data, from->to.size);
    raw->range = (struct range_delete){.from = kv_slice(bytes, from->from.size),
                                       .to = kv_slice(bytes + from->from.size, from->to.size),
                                       .sequence = from->sequence};
    return raw;
}

/* The version that is planned, begun from the newest one if there is none. */
static struct range_version *planned_version(struct range_map *map)
{
    const struct range_version *newest =
        atomic_load_explicit(&map->newest, memory_order_relaxed); /* only the writer changes it */
    struct range_version *version = map->planned;

    if (version != NULL) {
        return version;
    }
    version = arena_alloc(map->arena, sizeof *version);
    if (version == NULL) {
        return NULL;
    }
    *version = (struct range_version){.previous = newest, .jump = newest};
    if (newest != NULL) {
        const struct range_version *far = newest->jump;
        version->root = newest->root;
        version->depth = newest->depth + 1;
        if (far != NULL && far->jump != NULL &&
            newest->depth - far->depth == far->depth - far->jump->depth) {
            version->jump = far->jump;
        }
    }
    map->planned = version;
    map->planned_deletes = atomic_load_explicit(&map->deletes, memory_order_relaxed);
    return version;
}

int range_map_plan(struct range_map *map, const struct range_delete *range_delete)
{
    struct range_version *version = planned_version(map);
    struct range_raw *raw = copy_delete(map->arena, range_delete);
    struct planner p = {
        .arena = map->arena, .plan = map->plan, .salt = range_delete->sequence << 2};
    struct range_node *root;

    assert(kv_slice_compare(range_delete->from, range_delete->to) < 0);
    if (version == NULL || raw == NULL) {
        return -ENOMEM;
    }
    /* The cast takes const from nodes of older plans, which are copied before they change. */
    root = cover(&p, (struct range_node *)(uintptr_t)version->root, &raw->range);
    if (p.failed) {
        return -ENOMEM;
    }
    raw->next = map->planned_deletes;
    map->planned_deletes = raw;
    version->root = root;
    version->sequence = range_delete->sequence;
    return 0;
}

void range_map_publish(struct range_map *map)
{
    if (map->planned != NULL) {
        /* Release: pairs with the acquire of readers; all nodes are whole when seen. */
        atomic_store_explicit(&map->deletes, map->planned_deletes, memory_order_release);
        atomic_store_explicit(&map->newest, map->planned, memory_order_release);
    }
    range_map_drop_plan(map);
}

void range_map_drop_plan(struct range_map *map)
{
    map->planned = NULL;
    map->planned_deletes = NULL;
    map->plan++;
}

/* ---- reading ---- */

bool range_map_is_empty(const struct range_map *map)
{
    return atomic_load_explicit(&map->newest, memory_order_acquire) == NULL;
}

const struct range_node *range_map_at(const struct range_map *map, uint64_t sequence)
{
    const struct range_version *version = atomic_load_explicit(&map->newest, memory_order_acquire);
    while (version != NULL && version->sequence > sequence) {
        const struct range_version *far = version->jump;
        version = far != NULL && far->sequence > sequence ? far : version->previous;
    }
    return version != NULL ? version->root : NULL;
}

void range_node_window(const struct range_node *root, struct kv_slice key,
                       struct range_window *ret_window)
{
    const struct range_node *before = NULL; /* the last range that begins at or before the key */
    const struct range_node *behind = NULL;

    for (const struct range_node *node = root; node != NULL;) {
        if (kv_slice_compare(node->range.from, key) <= 0) {
            before = node;
            node = node->right;
        } else {
            behind = node;
            node = node->left;
        }
    }
    *ret_window = (struct range_window){0};
    if (before != NULL && kv_slice_compare(key, before->range.to) < 0) {
        *ret_window = (struct range_window){
            .from = before->range.from, .to = before->range.to, .sequence = before->range.sequence};
        return;
    }
    if (before != NULL) {
        ret_window->from = before->range.to;
    }
    if (behind != NULL) {
        ret_window->to = behind->range.from;
    }
}

int range_map_collect(const struct range_map *map, struct range_builder *builder)
{
    const struct range_raw *raw = atomic_load_explicit(&map->deletes, memory_order_acquire);
    int r = 0;
    for (; raw != NULL && r == 0; raw = raw->next) {
        r = range_builder_add(builder, &raw->range);
    }
    return r;
}
