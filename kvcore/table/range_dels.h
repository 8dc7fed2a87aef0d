/* SPDX-License-Identifier: Apache-2.0 */
/* Range deletes as they are looked up: runs of keys that do not overlap, in order, each with the
 * sequence numbers of the deletes that cover all of it ("fragments"). A search is then one binary
 * search, whatever the deletes were like; kept as they were written, every one that begins before a
 * key would have to be looked at.
 *
 * Fragments come from a table's range-delete block, or from deletes of several sources that a
 * builder cuts at each other's ends. Keys are never empty, so that an empty bound stands for none.
 *
 * Immutable once made: any number of threads read them. */
#ifndef KVCORE_TABLE_RANGE_DELS_H
#define KVCORE_TABLE_RANGE_DELS_H

#include "kvcore/table/rows_block.h"

/* The largest bound of a table whose last key is the end of a range delete, which is not covered:
 * sorts before every row of that key. */
#define RANGE_END_TRAILER (ROW_SEQUENCE_MAX << 8 | (uint64_t)ROW_RANGE_DELETE)

/* One delete of [from, to). */
struct range_delete {
    struct kv_slice from, to;
    uint64_t sequence;
};

/* The keys [from, to) around a key that are covered alike. An empty bound: there is none. */
struct range_window {
    struct kv_slice from, to;
    uint64_t sequence; /* of the newest delete that covers them; 0: none does */
};

struct range_fragment {
    struct kv_slice from, to;
    const uint64_t *sequences; /* newest first */
    size_t count;              /* at least 1 */
};

struct range_dels {
    struct range_fragment *fragments; /* ascending, disjoint */
    size_t count;
    uint64_t *sequences; /* of all fragments; owned */
    size_t delete_count; /* rows of the block: sequence numbers of all fragments together */
    uint64_t sequence_min, sequence_max;
    uint8_t *bytes; /* keys that are owned; NULL: they are somebody else's */
    size_t memory_bytes;
};

void range_dels_destroy(struct range_dels *dels); /* accepts NULL */
/* Index of the first fragment that ends behind `key`; count if none. */
size_t range_dels_find(const struct range_dels *dels, struct kv_slice key);
/* What covers `key` for a reader at `sequence`, and how far around it nothing changes. */
void range_dels_window(const struct range_dels *dels, struct kv_slice key, uint64_t sequence,
                       struct range_window *ret_window);
static inline bool range_window_holds(const struct range_window *window, struct kv_slice key)
{
    return kv_slice_compare(window->from, key) <= 0 &&
           (window->to.size == 0 || kv_slice_compare(key, window->to) < 0);
}
/* Make the window end where the other one does, if that comes first. */
void range_window_narrow(struct range_window *window, const struct range_window *other);

/* Empty, with room for so many deletes, and behind `bytes` for so many bytes of their keys. Errors:
 * -ENOMEM. */
KV_MUST_CHECK int range_dels_create(size_t deletes, size_t key_bytes, struct range_dels **ret_dels);
/* Put it behind those before it, of one fragment newest first. There is room, and the keys live as
 * long. False: it does not belong there. */
KV_MUST_CHECK bool range_dels_push(struct range_dels *dels, const struct range_delete *row);
/* From the rows of a block. Keys are copied. Errors: -KV_EDAMAGED rows that are no fragments,
 * -ENOMEM. */
KV_MUST_CHECK int range_dels_from_block(const struct rows_block *rows,
                                        struct range_dels **ret_dels);

/* ---- making fragments of any deletes ---- */

struct range_builder {
    struct range_delete *deletes;
    size_t count, capacity;
    struct kv_slice *cuts; /* more places to cut at */
    size_t cut_count, cut_capacity;
};

void range_builder_finish(struct range_builder *builder); /* frees; all zero is empty */
/* The keys must outlive the builder and what it makes. Errors: -ENOMEM. */
KV_MUST_CHECK int range_builder_add(struct range_builder *builder,
                                    const struct range_delete *range_delete);
KV_MUST_CHECK int range_builder_add_all(struct range_builder *builder,
                                        const struct range_dels *dels);
/* Fragments shall not reach across `key`. */
KV_MUST_CHECK int range_builder_cut(struct range_builder *builder, struct kv_slice key);
/* Fragments with, of the deletes that all snapshots see alike, only the newest: `snapshots` ascend,
 * and two numbers look alike if the same count of snapshots is below them. The cost is bounded by
 * (deletes + cuts) x (snapshots between deletes + 1), however the deletes overlap. May give no
 * fragment at all. */
KV_MUST_CHECK int range_builder_make(const struct range_builder *builder, const uint64_t *snapshots,
                                     size_t snapshot_count, struct range_dels **ret_dels);

/* How many of the snapshots are below `sequence`: rows of one key with the same answer look alike
 * to all of them. */
size_t snapshot_stripe(const uint64_t *snapshots, size_t count, uint64_t sequence);

#endif
