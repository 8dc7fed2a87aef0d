/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/merge_iter.h"

#include <stdlib.h>

/* A child with the head of its present key, so that most comparisons touch the heap alone. */
struct entry {
    uint64_t head;
    struct iter *it;
};

/* The children stand in a binary heap. Sources differ in size, and neighbours in one of them are
 * often neighbours in the merge: the child that was stepped is first compared with the second best,
 * and the heap is touched only when it falls behind. */
struct merge_iter {
    struct iter base;
    bool forward;
    size_t count;
    struct iter **children;
    struct entry *heap; /* valid children; the next row's on top */
    size_t heap_count;
    size_t second; /* where in `heap` the row after the top's is; 0: there is no other child */
};

/* Does the row of `a` come before that of `b` in the present direction? */
static inline bool comes_first(const struct merge_iter *m, struct entry a, struct entry b)
{
    int r;
    if (a.head != b.head) {
        return (a.head < b.head) == m->forward;
    }
    r = row_compare(a.it->row->key, a.it->row->trailer, b.it->row->key, b.it->row->trailer);
    return m->forward ? r < 0 : r > 0;
}

static void sift_down(struct merge_iter *m, size_t i)
{
    struct entry moved = m->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->heap_count) {
            break;
        }
        if (child + 1 < m->heap_count && comes_first(m, m->heap[child + 1], m->heap[child])) {
            child++;
        }
        if (!comes_first(m, m->heap[child], moved)) {
            break;
        }
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = moved;
}

static void find_second(struct merge_iter *m)
{
    m->second = m->heap_count > 1;
    if (m->heap_count > 2 && comes_first(m, m->heap[2], m->heap[1])) {
        m->second = 2;
    }
}

/* Show the row on top, or the end, or a child's error. */
static void settle(struct merge_iter *m)
{
    find_second(m);
    m->base.valid = m->base.error == 0 && m->heap_count > 0;
    if (m->base.valid) {
        m->base.row = m->heap[0].it->row;
    }
}

/* All children were positioned: order them. */
static void build(struct merge_iter *m)
{
    m->heap_count = 0;
    m->base.error = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct iter *it = m->children[i];
        if (it->valid) {
            m->heap[m->heap_count++] = (struct entry){.head = key_head(it->row->key), .it = it};
        } else if (it->error != 0) {
            m->base.error = it->error;
        }
    }
    for (size_t i = m->heap_count / 2; i-- > 0;) {
        sift_down(m, i);
    }
    settle(m);
}

/* The child on top has moved: put it where it belongs. */
static void advance(struct merge_iter *m)
{
    struct iter *top = m->heap[0].it;
    if (!top->valid) {
        m->base.error = top->error;
        m->heap[0] = m->heap[--m->heap_count];
        if (m->heap_count > 1) {
            sift_down(m, 0);
        }
        settle(m);
        return;
    }
    if (m->second == 0) {
        m->base.row = top->row;
        return;
    }
    m->heap[0].head = key_head(top->row->key);
    if (!comes_first(m, m->heap[m->second], m->heap[0])) {
        m->base.row = top->row;
        return;
    }
    struct entry behind = m->heap[0];
    m->heap[0] = m->heap[m->second];
    m->heap[m->second] = behind;
    sift_down(m, m->second);
    settle(m);
}

static void merge_seek(struct iter *base, struct kv_slice key, uint64_t trailer)
{
    struct merge_iter *m = (struct merge_iter *)base;
    m->forward = true;
    for (size_t i = 0; i < m->count; i++) {
        iter_seek(m->children[i], key, trailer);
    }
    build(m);
}

static void merge_seek_first(struct iter *base)
{
    struct merge_iter *m = (struct merge_iter *)base;
    m->forward = true;
    for (size_t i = 0; i < m->count; i++) {
        iter_seek_first(m->children[i]);
    }
    build(m);
}

static void merge_seek_last(struct iter *base)
{
    struct merge_iter *m = (struct merge_iter *)base;
    m->forward = false;
    for (size_t i = 0; i < m->count; i++) {
        iter_seek_last(m->children[i]);
    }
    build(m);
}

/* Turn round: every other child goes to the far side of the present row. */
static void turn(struct merge_iter *m, bool forward)
{
    const struct iter *top = m->heap[0].it;
    m->forward = forward;
    for (size_t i = 0; i < m->count; i++) {
        struct iter *child = m->children[i];
        if (child == top) {
            continue;
        }
        iter_seek(child, top->row->key, top->row->trailer); /* first row behind: rows are unique */
        if (forward || child->error != 0) {
            continue;
        }
        if (child->valid) {
            iter_prev(child);
        } else {
            iter_seek_last(child);
        }
    }
}

static void merge_next(struct iter *base)
{
    struct merge_iter *m = (struct merge_iter *)base;
    if (!m->forward) {
        turn(m, true);
        iter_next(m->heap[0].it);
        build(m);
        return;
    }
    iter_next(m->heap[0].it);
    advance(m);
}

static void merge_prev(struct iter *base)
{
    struct merge_iter *m = (struct merge_iter *)base;
    if (m->forward) {
        turn(m, false);
        iter_prev(m->heap[0].it);
        build(m);
        return;
    }
    iter_prev(m->heap[0].it);
    advance(m);
}

static void merge_destroy(struct iter *base)
{
    struct merge_iter *m = (struct merge_iter *)base;
    for (size_t i = 0; i < m->count; i++) {
        iter_destroy(m->children[i]);
    }
    free(m->children);
    free(m->heap);
    free(m);
}

int merge_iter_create(struct iter **take_children, size_t count, struct iter **ret_iter)
{
    static const struct iter_ops ops = {.seek = merge_seek,
                                        .seek_first = merge_seek_first,
                                        .seek_last = merge_seek_last,
                                        .next = merge_next,
                                        .prev = merge_prev,
                                        .destroy = merge_destroy};
    struct merge_iter *m = calloc(1, sizeof *m);
    struct iter **children = calloc(count + 1, sizeof(struct iter *));
    struct entry *heap = calloc(count + 1, sizeof *heap);

    if (m == NULL || children == NULL || heap == NULL) {
        free(m);
        free(children);
        free(heap);
        return -ENOMEM;
    }
    m->base.ops = &ops;
    m->count = count;
    m->children = children;
    m->heap = heap;
    if (count > 0) {
        memcpy(m->children, take_children, count * sizeof(struct iter *));
    }
    *ret_iter = &m->base;
    return 0;
}

/* ---- lists ---- */

int iter_list_add(struct iter_list *list, struct iter *take_iter)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        struct iter **items = realloc(list->items, capacity * sizeof(struct iter *));
        if (items == NULL) {
            iter_destroy(take_iter);
            return -ENOMEM;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = take_iter;
    return 0;
}

void iter_list_finish(struct iter_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        iter_destroy(list->items[i]);
    }
    free(list->items);
    *list = (struct iter_list){0};
}

int iter_list_merge(struct iter_list *list, struct iter **ret_iter)
{
    int r = 0;
    if (list->count == 1) {
        *ret_iter = list->items[0];
    } else {
        r = merge_iter_create(list->items, list->count, ret_iter);
    }
    if (r == 0) {
        free(list->items);
        *list = (struct iter_list){0};
    }
    return r;
}
