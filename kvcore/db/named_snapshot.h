/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots that the manifest names, so that they survive reopening.
 *
 * In memory a named snapshot is one like others in the store's list: it keeps its rows visible for
 * merges and flushes as those do, those of a replay included, since the manifest is read before the
 * logs. What is different is that the manifest says so too:
 *   1. take it, in state "made": from now on its rows are kept;
 *   2. kv_sync(): every row that it sees is durable;
 *   3. an edit names it (state "there" in the same step).
 *
 * Where a crash may come between:
 *  - Before the edit is durable nothing has happened.
 *  - After it, all rows up to its sequence number are found again by 2, and nothing was merged away
 *    in between by 1. That they are found is checked: rows that end below it are damage.
 *  - An edit that failed may last all the same. Then no later edit did (manifest.h: the next one
 *    goes to a manifest that is made anew from the state, which does not know the name). So nothing
 *    was merged since the name was given up, and no log released: the snapshot is whole.
 *  - The edit of a drop that failed may last, and then the snapshot is gone, which harms nothing.
 *    As long as it is not known the rows are kept.
 *
 * Sequence numbers, not files, are pinned: a merge may write its rows anew. Blobs need nothing of
 * their own: reclaim goes by the rows that are there. A table that is dropped goes with its files,
 * whichever snapshot sees it, named or not: who drops a table wants the room. Refused: keeping the
 * files until the snapshot goes (a table that can be read but has no name any more), and refusing
 * the drop (it is then not plain which snapshots stand in its way). */
#ifndef KVCORE_DB_NAMED_SNAPSHOT_H
#define KVCORE_DB_NAMED_SNAPSHOT_H

#include "kvcore/db/store.h"

/* Does the manifest name it, for all we know? */
static inline bool named_snapshot_is_listed(const struct kv_snapshot *snapshot)
{
    return snapshot->named == NAMED_THERE || snapshot->named == NAMED_DROPPED;
}

/* Add to `edit`, a snapshot of the state, those that are there. */
KV_MUST_CHECK int named_snapshots_state(struct kv_store *store, struct edit *edit)
    REQUIRES(&store->mu);
/* The edit is durable: what it says of names holds now. */
void named_snapshots_install(struct kv_store *store, const struct edit *edit) REQUIRES(&store->mu);

/* While the store is being opened, single-threaded: what an edit of the manifest says of names.
 * Errors: -KV_EDAMAGED it contradicts what came before; -KV_EFORMAT more than this version knows;
 * -ENOMEM. */
KV_MUST_CHECK int named_snapshots_restore(struct kv_store *store, const struct edit *edit);
/* The logs are replayed: every row that one sees must have been found. */
KV_MUST_CHECK int named_snapshots_check(struct kv_store *store);
/* The store is closed. */
void named_snapshots_free(struct kv_store *store);

#endif
