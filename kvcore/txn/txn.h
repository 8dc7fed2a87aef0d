/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of this folder share.
 *
 *   txn       begin, read, write, savepoints     txn_iter  iterators that see own writes
 *   txn_commit  what must not have changed, and the batch
 *   rows      keys touched, and own writes       spans     ranges deleted or read
 *   locks     row locks, deadlocks
 *
 * What a transaction wrote stays in its memory until it commits; then it is one batch in the
 * ordinary way of writing, so nothing on disk knows of transactions. Isolation rests on one thing
 * alone: conflict_write() (kvcore/db/conflict.h), which says with the write that nothing the
 * transaction relies on has changed. Locks only make others wait early. */
#ifndef KVCORE_TXN_TXN_H
#define KVCORE_TXN_TXN_H

#include <kv/txn.h>

#include "kvcore/db/store.h"
#include "kvcore/txn/locks.h"
#include "kvcore/txn/rows.h"
#include "kvcore/txn/spans.h"

struct kv_txn_manager {
    struct kv_store *store;
    struct locks locks;
    _Atomic uint64_t begun;                  /* the next one's age */
    _Atomic uint64_t committed, rolled_back; /* what is begun and neither of them is open */
    _Atomic uint64_t conflicts;
};

/* A delete of a range as it was asked for, to be undone. */
struct range_written {
    struct kv_table *table;
    struct kv_buf from, to;
    uint64_t number;
};

struct kv_txn {
    struct kv_txn_manager *manager;
    struct kv_txn_options options; /* defaults filled in */
    struct kv_snapshot *snapshot;  /* what it reads; NULL: it has not read yet; else `pinned` */
    int failed;                    /* not 0: it has ended with this, only rollback is left */
    uint64_t number;               /* of the last operation that wrote */
    uint64_t undos;                /* how often a savepoint was gone back to */
    unsigned iter_count;
    struct range_written *ranges;
    size_t range_count, range_capacity;
    uint64_t *savepoints; /* numbers of operations */
    size_t savepoint_count, savepoint_capacity;
    /* From here on each has its own way to begin. */
    struct kv_snapshot pinned;
    struct lock_party party;
    struct spans deleted; /* by range; own rows within them have versions of their own */
    struct spans read;    /* by iterators, of a serializable one */
    struct rows rows;
};

static inline bool txn_is_serializable(const struct kv_txn *txn)
{
    return txn->options.isolation == KV_TXN_SERIALIZABLE;
}

/* 0, or why nothing can be done with the table (any more). */
KV_MUST_CHECK int txn_check(const struct kv_txn *txn, const struct kv_table *table);
/* Pin the state to read, if it is not yet. */
void txn_pin(struct kv_txn *txn);
/* It cannot be committed any more: give the locks up. Returns `error`. */
int txn_fail(struct kv_txn *txn, int error);
/* Write the batch of everything it wrote. Nothing if that is nothing. */
KV_MUST_CHECK int txn_write(struct kv_txn *txn, enum kv_durability durability);

#endif
