/* SPDX-License-Identifier: Apache-2.0 */
/* What an iterator's bounds say of tables: those outside them, and those whose filter knows that
 * they hold no key with the prefix that all keys between the bounds share, need not be read.
 *
 * Filters know nothing of range deletes: of a table that has some, its rows may be left out, but
 * not these. Keys shorter than a table's prefix size are in no prefix filter, so bounds that let
 * one in do not share a prefix. */
#ifndef KVCORE_DB_ITER_BOUNDS_H
#define KVCORE_DB_ITER_BOUNDS_H

#include "kvcore/db/version.h"

struct iter_bounds {
    struct kv_slice lower; /* inclusive; empty: none */
    struct kv_slice upper; /* exclusive; empty: none */
    size_t prefix_size;    /* all keys within begin alike, with so many bytes; 0: they may not */
    uint64_t prefix_hash;  /* of these, as filters have it */
};

/* `prefix_size`: of the table's (keyspace's) filters; 0: they hold no prefixes. The bounds must
 * outlive what is made. */
struct iter_bounds iter_bounds_make(struct kv_slice lower, struct kv_slice upper,
                                    size_t prefix_size);
/* Has the file anything, a row or a range delete, between the bounds? */
bool iter_bounds_meet(const struct iter_bounds *bounds, const struct file_meta *file);
/* May the table hold rows between the bounds, as its filter tells? */
bool iter_bounds_may_hold(const struct iter_bounds *bounds, const struct table *table);

/* Files [from, to) of a list. */
struct file_slice {
    size_t from, to;
};
/* Those of a sorted, disjoint list that meet the bounds. */
struct file_slice iter_bounds_slice(const struct iter_bounds *bounds, const struct file_list *list);

#endif
