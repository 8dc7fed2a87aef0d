/* SPDX-License-Identifier: Apache-2.0 */
/* Writing on condition that certain keys did not change since a moment.
 *
 * Each row carries the number of the write that made it, so "did this change since S" is a look-up:
 * is there a row, or a range delete, of this key with a number above S? As long as a snapshot at S
 * is held no merge drops the newest such row of a key, with one exception that changes nothing: a
 * key that was not there at S and is not there now may have left no trace of its life in between.
 *
 * The question is answered twice. First before the write joins the queue of writers, of memtables
 * and tables, in the caller's thread: this may read files. Then, as the leader, right before the
 * rows get their numbers, of what came since the first answer: only memtables are looked at, as
 * nobody may do I/O there. Should a flush have taken that out of memory already, the first step is
 * repeated for it. So a long transaction does not fail because memtables went, and no reading from
 * disk holds up other writers. (Refused: looking at memtables alone and failing where they do not
 * reach back far enough, as RocksDB's optimistic transactions do; they fail without a conflict.
 * Refused: a table of recently written hashes, which needs a size, and fails without a conflict,
 * too.)
 *
 * A claim of a range walks the rows of that range in the memtables, also as the leader if anybody
 * wrote in between: other writers wait for as long as that takes, about 10 million rows a second.
 */
#ifndef KVCORE_DB_CONFLICT_H
#define KVCORE_DB_CONFLICT_H

#include "kvcore/db/store.h"

/* Something that must not have changed. The keys are borrowed. */
struct conflict_claim {
    struct kv_table *table;
    struct kv_slice key; /* or where the range begins; empty: at the first key */
    bool is_range;
    struct kv_slice to; /* where it ends, exclusive; empty: behind the last key */
};

struct conflict_claims {
    const struct conflict_claim *items;
    size_t count;
};

/* Has any of it changed since `sequence`, of which a snapshot is held? Changes that returned before
 * the call are found, later ones perhaps. Errors: -EAGAIN yes; -EIDRM; those of reading. */
KV_MUST_CHECK int conflict_find(struct kv_store *store, const struct conflict_claims *claims,
                                uint64_t sequence);
/* kv_write() of the batch, unless any of it has changed since `sequence`, of which a snapshot is
 * held: nothing can come between the answer and the write. Errors: also -EAGAIN. */
KV_MUST_CHECK int conflict_write(struct kv_store *store, struct kv_batch *batch,
                                 enum kv_durability durability,
                                 const struct conflict_claims *claims, uint64_t sequence);

#endif
