/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's threads: one flushes, some compact, one gives back dead bytes of blobs, one looks
 * for runs of deleted keys (dead_probe.h), one syncs the log now and then, one fills the cache
 * after opening if that is wanted. They know nothing of who uses the store. Failed work is tried
 * again after a pause that doubles; its inputs are intact. */
#ifndef KVCORE_DB_WORKER_H
#define KVCORE_DB_WORKER_H

#include "kvcore/db/store.h"

KV_MUST_CHECK int workers_start(struct kv_store *store);
void workers_stop(struct kv_store *store);
/* In a store without workers the caller does, before its own work, what they would do by
 * themselves: see a full device that has room again, rows whose sync failed, damage to be
 * remembered, files that followers are done with. */
void workers_stand_in(struct kv_store *store);
/* The pause in ms after work that failed, when that before it was `pause_ms`; 0: it is the first.
 */
unsigned workers_next_pause(unsigned pause_ms);
/* Wake the workers. */
void workers_wake(struct kv_store *store);

#endif
