/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots by sequence number: a list that compaction asks. */
#ifndef KVCORE_DB_SNAPSHOT_H
#define KVCORE_DB_SNAPSHOT_H

#include "kvcore/db/store.h"

/* Put it into the list, where its sequence number belongs: rows that it sees are kept from now on.
 */
void snapshot_link(struct kv_store *store, struct kv_snapshot *snapshot) REQUIRES(&store->mu);
/* Take it out; the caller frees it. Returns whether merges may have waited for that. */
bool snapshot_unlink(struct kv_store *store, struct kv_snapshot *snapshot) REQUIRES(&store->mu);

/* kv_snapshot_create() and kv_snapshot_release() in the caller's memory. */
void snapshot_take(struct kv_store *store, struct kv_snapshot *snapshot);
void snapshot_drop(struct kv_snapshot *snapshot);

/* Sequence numbers that compaction must keep apart, ascending; the last is the newest visible one.
 * Free the array. */
KV_MUST_CHECK int snapshot_list(struct kv_store *store, uint64_t **ret_sequences,
                                size_t *ret_count);

/* The first of them. */
uint64_t snapshot_oldest(const struct kv_store *store) REQUIRES(&store->mu);

#endif
