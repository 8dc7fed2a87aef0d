/* SPDX-License-Identifier: Apache-2.0 */
/* The range deletes of a memtable: for every key, which delete covers it last, at every moment
 * since the memtable was begun.
 *
 * A later delete simply covers what it overlaps, so the state after each write is a map of disjoint
 * ranges to sequence numbers. It is kept as a treap whose nodes never change once they can be seen:
 * a write copies the nodes on its way and makes a new root (a persistent tree, as in Driscoll,
 * Sarnak, Sleator and Tarjan 1989). A reader takes the root of its own moment and then needs no
 * lock. A list of fragments with all their sequence numbers was refused: it costs a rebuild for
 * each delete, or for each read after one, and grows with the square of nested deletes; here both
 * cost a logarithm, always.
 *
 * One writer at a time, any number of readers. What may fail, fails before the log is written:
 * plan, then log, then publish. */
#ifndef KVCORE_DB_RANGE_MAP_H
#define KVCORE_DB_RANGE_MAP_H

#include "kvcore/table/range_dels.h"
#include "kvcore/util/arena.h"

/* Disjoint ranges; NULL is an empty map. Lies in the arena. */
struct range_node;
struct range_version;
struct range_raw;

struct range_map {
    struct arena *arena;                          /* constant */
    _Atomic(const struct range_version *) newest; /* NULL: no delete yet */
    _Atomic(const struct range_raw *) deletes;    /* as they were written, newest first */
    /* The writer's. */
    struct range_version *planned; /* NULL: nothing is planned */
    const struct range_raw *planned_deletes;
    uint64_t plan; /* number of the present plan: its nodes may still change */
};

void range_map_init(struct range_map *map, struct arena *arena);
/* Add a delete to the plan; keys are copied. Sequence numbers ascend. Errors: -ENOMEM, and then the
 * plan must be dropped. */
KV_MUST_CHECK int range_map_plan(struct range_map *map, const struct range_delete *range_delete);
/* Readers at the last planned number or later see the plan from now on. Never fails. */
void range_map_publish(struct range_map *map);
/* Forget the plan. */
void range_map_drop_plan(struct range_map *map);

bool range_map_is_empty(const struct range_map *map);
/* The state that a reader at `sequence` sees; valid as long as the arena. */
const struct range_node *range_map_at(const struct range_map *map, uint64_t sequence);
void range_node_window(const struct range_node *root, struct kv_slice key,
                       struct range_window *ret_window);
/* Hand all deletes to a builder. */
KV_MUST_CHECK int range_map_collect(const struct range_map *map, struct range_builder *builder);

#endif
