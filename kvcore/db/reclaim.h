/* SPDX-License-Identifier: Apache-2.0 */
/* Giving back what no row points at any more, of blobs that the manifest names.
 *
 * There are no reference counts that could drift: the truth is in the rows. A pass
 *   1. chooses blobs of which much is garbage (reclaim_choice.h: estimated by sums over tables);
 *   2. as the only writer, takes a view T, a new one, so that whatever is older can be told;
 *   3. syncs all logs;
 *   4. walks all rows of all versions in T's memtables, and in its tables that name one of the
 *      blobs, and marks the pages they point at (reclaim_walk.h);
 *   5. waits until every view that is older than T is gone, and so is every follower (followers.h);
 *   6. gives back the pages that nothing points at, removes the blobs that nothing points at, and
 *      flags for evacuation what is worth more empty.
 *
 * Why this is safe. What can be read, or come back at an opening, is in rows of the manifest's
 * tables and of logs that were not released. One generation of memtables is one log, with every
 * version of its rows; so T's memtables and tables hold it all:
 *  - A row in a log but in no memtable is that of a failed append. The head of the next log cuts it
 *    off, once it is durable: so no pass begins while the log has failed, and the logs are synced.
 *  - A newer row that is lost with the power uncovers an older one: that is in T too, since only
 *    merges leave rows out, into tables that are durable.
 *  - A batch that took parts of values (kv_batch_put_part) before T may be written after. It keeps
 *    its old view, so step 5 waits for it, and its writer takes the blobs it names out of the pass
 *    (reclaim_note_batch). One that took them from T or a later view names nothing that T lacks.
 *  - Snapshots need nothing of their own: what they see is in the tables.
 *  - If the manifest's state on disk is not certain nothing is given back.
 * A crash between giving back and the edit that remembers it makes it be done again.
 *
 * Pages and not values are given back: a value that is not aligned to pages leaves its first and
 * last page to its neighbours. Where little is left of a blob, or the storage cannot give back
 * parts of files, flagged blobs are emptied by merges (output_blobs.h; the picker helps). */
#ifndef KVCORE_DB_RECLAIM_H
#define KVCORE_DB_RECLAIM_H

#include "kvcore/db/store.h"

KV_MUST_CHECK int reclaim_create(struct kv_store *store);
void reclaim_destroy(struct kv_store *store);
/* Do what is due: begin a pass, or end one that waited. `eager`: any garbage is worth it. 1
 * something was done, 0 nothing could be, or an error (a later call tries again). */
KV_MUST_CHECK int reclaim_step(struct kv_store *store, bool eager);
/* Give back all that is garbage at this moment; what views that are older still read is left to a
 * later step. Waits for whoever is at it. */
KV_MUST_CHECK int reclaim_now(struct kv_store *store);
/* As the leader of writers, before a batch with parts is logged. */
void reclaim_note_batch(struct kv_store *store, const struct kv_batch *batch);
/* Blobs that are being emptied; the bytes mean nothing. */
const struct blob_uses *reclaim_flagged(const struct kv_store *store) REQUIRES(&store->mu);
/* A value of the blob cannot be moved: give up its evacuation. */
void reclaim_keep(struct kv_store *store, uint64_t number);

#endif
