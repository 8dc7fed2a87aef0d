/* SPDX-License-Identifier: Apache-2.0 */
/* What followers may still read stays, though this process, which writes, is done with it.
 * docs/architecture.md, "Life of a follower", says why the following is enough.
 *
 * A state is what the manifest says after one of its records; its mark grows with each. A file that
 * an edit removes is *gone from* the state with that edit on. Followers are registered with marks
 * at the storage. A file may be removed from the device once
 *   - the edit is durable, which store->mark tells: it is raised after that and read before
 *   - the storage is asked, which then knows of no follower with a smaller mark than the file's.
 * Tables wait in the list of obsolete ones (obsolete.h), a pass over blobs where it waits for views
 * (reclaim.h), all other files here. What waits is looked at when the flush thread looks around, or
 * who stands in for it.
 *
 * Not kept: logs, which followers do not read, and manifests, which they read in no time. */
#ifndef KVCORE_DB_FOLLOWERS_H
#define KVCORE_DB_FOLLOWERS_H

#include "kvcore/db/store.h"

/* The mark of the state that so many records of the manifest make. There are never 2^31 manifests,
 * of which each takes an opening or megabytes of records, and a record takes some bytes at least.
 */
static inline uint64_t state_mark(uint64_t manifest, uint64_t edits)
{
    return manifest << 32 | edits;
}

/* The newest state is durable. */
void followers_note_state(struct kv_store *store) REQUIRES(&store->manifest_mu);
/* Files that are gone from this state on, or from an older one, are nobody's to read. Asks the
 * storage: no mutex may be held. */
uint64_t followers_limit(struct kv_store *store);
/* Something waits. */
void followers_wait(struct kv_store *store);
/* Remove a file that is gone from the newest state, now or once it may; returns whether now. If
 * that fails, or is cut short, the next opening does it. */
bool followers_remove(struct kv_store *store, struct kv_file_id id);
/* If something waits: see whether it still has to. */
void followers_look(struct kv_store *store);
/* The same, unless that was less than two seconds ago: for who comes often. */
void followers_look_in_turn(struct kv_store *store);
/* The store is closed. */
void followers_finish(struct kv_store *store);

#endif
