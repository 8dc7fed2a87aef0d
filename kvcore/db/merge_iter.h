/* SPDX-License-Identifier: Apache-2.0 */
/* Iterators over several sources: the merge of any number of iterators, and the files of one level
 * one behind the other. Both are struct iter and keep its contract; an error of any source ends the
 * walk with that error, never by leaving the source out. */
#ifndef KVCORE_DB_MERGE_ITER_H
#define KVCORE_DB_MERGE_ITER_H

#include "kvcore/db/iter_bounds.h"
#include "kvcore/db/store.h"

/* Takes the children (and the duty to destroy them) on success; on failure the caller keeps them.
 * `children` is copied. */
KV_MUST_CHECK int merge_iter_create(struct iter **take_children, size_t count,
                                    struct iter **ret_iter);

/* The files `slice` of `list`, sorted and disjoint, which must outlive the iterator (pin the
 * version). */
KV_MUST_CHECK int level_iter_create(struct kv_store *store, const struct file_list *list,
                                    struct file_slice slice, bool keep_cache,
                                    struct iter **ret_iter);

/* A growing array of iterators for merge_iter_create(). */
struct iter_list {
    struct iter **items;
    size_t count, capacity;
};
/* Destroys `take_iter` on failure. */
KV_MUST_CHECK int iter_list_add(struct iter_list *list, struct iter *take_iter);
/* Destroys all items and frees the array. */
void iter_list_finish(struct iter_list *list);
/* Merge of all items (one item: the item itself); the list is empty after success. */
KV_MUST_CHECK int iter_list_merge(struct iter_list *list, struct iter **ret_iter);

struct view_iter_options {
    uint64_t sequence; /* range deletes up to it count */
    bool keep_cache;
    struct iter_bounds bounds;
};
/* Every source of rows of `table_id` in `view`, merged, without what range deletes hide from a
 * reader at the sequence number; rows that are newer may be among them, and so may rows outside the
 * bounds, or not. The view must outlive the iterator. */
KV_MUST_CHECK int view_iter_create(struct kv_store *store, const struct view *view,
                                   uint32_t table_id, const struct view_iter_options *options,
                                   struct iter **ret_iter);

#endif
