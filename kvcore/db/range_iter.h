/* SPDX-License-Identifier: Apache-2.0 */
/* Hides from an iterator what range deletes cover.
 *
 * Each source of a merge (memtable, table of level 0, level) that may hold covered rows gets a
 * wrapper. Whatever a newer source covers is older in this one, so that a whole covered range is
 * passed with one seek of the source, unread. What the source's own deletes cover is told apart row
 * by row: rows written after a delete stay. (Skipping in the merge below the user's iterator, by
 * source, is RocksDB's and Pebble's way; a filter above the merge would have to step through every
 * hidden row.)
 *
 * The answer for a key is kept with the range in which it stays the same: a row costs one
 * comparison in between. */
#ifndef KVCORE_DB_RANGE_ITER_H
#define KVCORE_DB_RANGE_ITER_H

#include "kvcore/db/range_map.h"
#include "kvcore/db/store.h"
#include "kvcore/table/iter.h"

/* Range deletes of one source; all NULL: it has none. */
struct range_source {
    const struct range_node *map;  /* of a memtable, at the reader's sequence number */
    const struct range_dels *dels; /* of a table */
    const struct file_list *level; /* of a level with range deletes; tables are opened as needed */
};

/* The sources of one merge, newest first, shared by its wrappers. */
struct range_sources {
    struct kv_store *store;
    uint64_t sequence; /* the reader's */
    unsigned refs;
    size_t count, capacity;
    size_t first; /* index of the newest source with deletes; count: none has any */
    struct range_source *items;
};

KV_MUST_CHECK int range_sources_create(struct kv_store *store, uint64_t sequence,
                                       struct range_sources **ret_sources);
void range_sources_unref(struct range_sources *sources); /* accepts NULL */
KV_MUST_CHECK int range_sources_add(struct range_sources *sources,
                                    const struct range_source *source);
/* Wrap the iterator over source `index`; all sources must outlive it. Takes `take_iter` on success
 * only, and a reference on `sources`. */
KV_MUST_CHECK int range_iter_create(struct range_sources *sources, size_t index,
                                    struct iter *take_iter, struct iter **ret_iter);

#endif
