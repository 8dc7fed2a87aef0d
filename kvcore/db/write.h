/* SPDX-License-Identifier: Apache-2.0 */
/* Writers queue up. Who comes first leads: it takes the batches of those behind it, up to a size,
 * writes them to the log as one record, puts the rows into the memtables, makes them visible and
 * wakes the others (group commit as in LevelDB). Then it goes on for those who came meanwhile, as
 * far as that is a matter of microseconds: LEAD_GROUPS_MAX groups at most, and nothing that has to
 * wait for a flush, a merge or a new generation. Where it ends, it tells the next in the queue to
 * lead. One thread leads at a time, and needs no lock for what is the leader's.
 *
 * Memory for the rows is set aside before the log is written, so that nothing can fail between the
 * record in the log and the rows being visible. Syncing is not the leader's: see sync.c. */
#ifndef KVCORE_DB_WRITE_H
#define KVCORE_DB_WRITE_H

#include "kvcore/db/store.h"

/* So many groups a thread writes before it goes about its own business. */
enum { LEAD_GROUPS_MAX = 8 };

/* Whether a batch may still be written. Called as the leader, when no other write is under way and
 * room was made, right before the rows get their numbers: what it finds holds until they are
 * visible. No I/O. 0 goes on; anything else is the result of the write, which does not happen. */
typedef int write_check_fn(struct kv_store *store, void *arg);
/* kv_write() of a batch if `check` (NULL: none) says so. Such a batch leads a group and joins none:
 * rows of others that are not yet in a memtable could not be checked against. */
KV_MUST_CHECK int write_checked(struct kv_store *store, struct kv_batch *batch,
                                enum kv_durability durability, write_check_fn *check, void *arg);

/* Run `fn` while no writer and no rotation is under way. */
KV_MUST_CHECK int write_exclusive(struct kv_store *store, int (*fn)(struct kv_store *, void *),
                                  void *arg);
/* Become the only writer, rotate to a new generation and log unless the active one is empty. Waits
 * for flushes only in extremity. */
KV_MUST_CHECK int write_rotate(struct kv_store *store);
/* Push deferred log bytes to the storage. All rows up to `ret_sequence` are in the logs then. */
KV_MUST_CHECK int write_push(struct kv_store *store, uint64_t *ret_sequence);

/* In the queue at the moment, those included whose batches are being written. */
uint64_t writers_waiting(struct kv_store *store);

#endif
