/* SPDX-License-Identifier: Apache-2.0 */
/* Making written rows durable. Whoever needs a sync waits until one that began after its rows were
 * written has ended well; one thread at a time runs it for all (group sync).
 *
 * Logs are synced oldest first, so that what is durable is always a prefix. After a failed sync
 * nobody can tell what reached the device, and asking again may falsely succeed (seen on Linux: the
 * second fsync returns 0 with the data gone). So every sync fails until the worker has rewritten
 * all unsynced rows to new, synced tables.
 *
 * Only a storage that keeps what it has no room for is asked again (log_sync of kv/storage.h), for
 * some seconds, and with what is kept for deletes given back. */
#ifndef KVCORE_DB_SYNC_H
#define KVCORE_DB_SYNC_H

#include "kvcore/db/store.h"

KV_MUST_CHECK int sync_to(struct kv_store *store, uint64_t sequence);
/* A sync that somebody else made failed, of bytes that a log stands for: as if it had been one of
 * these. */
void sync_failed(struct kv_store *store, int error);
/* Sync what the logs hold, also after a sync has failed: of that nobody is told, so this is for who
 * closes the store. -ENOSPC: they may hold more once there is room. */
KV_MUST_CHECK int sync_logs(struct kv_store *store);
/* Sync all logs, whatever is known to be synced already: heads of new logs too are durable then. */
KV_MUST_CHECK int sync_all_logs(struct kv_store *store);
/* After a failed sync everything was rewritten to tables: rows up to `sequence` are durable. */
void sync_rescued(struct kv_store *store, uint64_t sequence);

/* If somebody is syncing, wait until that is done: for those who are about to keep the device busy.
 */
void sync_give_way(struct kv_store *store);

#endif
