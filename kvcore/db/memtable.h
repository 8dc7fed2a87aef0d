/* SPDX-License-Identifier: Apache-2.0 */
/* The newest rows of one table, sorted in memory: a skip list in an arena, and beside it its range
 * deletes (range_map.h).
 *
 * Why a skip list: reads beside an insert need no lock, and nothing is freed before the whole
 * memtable is. Each node keeps the first eight bytes of its key as a number,
 * and each link those of the node it leads to, so that a search touches the nodes it takes and
 * hardly any other, and mostly no key bytes. An insert goes on from where the last one with the
 * same first bytes ended, if that is near. (Skip lists: Pugh 1990; the arena with atomic links
 * follows LevelDB's.)
 *
 * Invariants: 1. a node never changes after it was linked at level 0; 2. links are published with
 * release and followed with acquire; 3. rows of one key stand newest first.
 *
 * Concurrency: one thread inserts at a time (the leader of a write group), any number read.
 *
 * The caller sets memory aside before the log is written, so that inserting cannot fail. Range
 * deletes are planned before, which takes their memory, and published after. */
#ifndef KVCORE_DB_MEMTABLE_H
#define KVCORE_DB_MEMTABLE_H

#include "kvcore/db/range_map.h"
#include "kvcore/db/row_filter.h"
#include "kvcore/table/iter.h"
#include "kvcore/util/arena.h"

struct memtable;

/* `arena` must outlive the memtable; the memtable's nodes lie in it. So must `filter`, which gets
 * the keys; several memtables may share it. */
KV_MUST_CHECK int memtable_create(struct arena *arena, struct row_filter *filter,
                                  struct memtable **ret_memtable);
void memtable_destroy(struct memtable *memtable); /* accepts NULL */

/* What a row takes, a multiple of 8, but for its links, which come to memtable_link_bytes() for
 * `count` rows numbered from `sequence` on: sum up, and allocate once for a group of rows. */
size_t memtable_row_bytes(size_t key_size, size_t value_size);
size_t memtable_link_bytes(uint64_t sequence, uint64_t count);
/* Link a row, copying key and value into `*memory`, which is moved on behind what was used and must
 * have what the row and its links take left. Never fails. One thread at a time. */
void memtable_insert(struct memtable *memtable, const struct row *row, uint8_t **memory);

/* The range deletes, written by one thread at a time. */
struct range_map *memtable_range_map(struct memtable *memtable);
const struct range_map *memtable_ranges(const struct memtable *memtable);

/* Newest row of `key`, whose filter_hash_key() is `hash`, visible at `sequence`: true and the row's
 * trailer and value (valid as long as the memtable), or false. */
bool memtable_get(const struct memtable *memtable, struct kv_slice key, uint64_t hash,
                  uint64_t sequence, uint64_t *ret_trailer, struct kv_slice *ret_value);
/* Neither rows nor range deletes. */
bool memtable_is_empty(const struct memtable *memtable);
uint64_t memtable_row_count(const struct memtable *memtable);
/* Of these, how many were searched for from the start. For the thread that inserts. */
uint64_t memtable_searches(const struct memtable *memtable);
/* Are there thousands of rows in [from, to)? A guess from the upper levels of the list. */
bool memtable_range_is_long(const struct memtable *memtable, struct kv_slice from,
                            struct kv_slice to);
/* The memtable must outlive the iterator. */
KV_MUST_CHECK int memtable_iter_create(const struct memtable *memtable, struct iter **ret_iter);

#endif
