/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation: a new generation, with a log of its own, takes the place of the active one, which then
 * waits to be flushed. Everything here is for the leader of the writers, see write.h. */
#ifndef KVCORE_DB_ROTATE_H
#define KVCORE_DB_ROTATE_H

#include "kvcore/db/store.h"

/* As the leader: put a new generation in front, once fewer than `limit` memtables wait. The new
 * log's head says where the old one ends; after that the old one takes no more records, so nothing
 * may fail behind its creation. */
KV_MUST_CHECK int rotate(struct kv_store *store, unsigned limit);
/* As the leader, before anything is logged: where rows that were held back never reached their log,
 * later rows must not outlive them, so all that waits in memory goes to tables first. -ENOSPC: to
 * be tried again; any other failure leaves the store read-only. */
KV_MUST_CHECK int rotate_settle(struct kv_store *store);
/* Bytes still held back go to the storage. After a failure they stay noted as held back, and the
 * next write rotates. */
KV_MUST_CHECK int rotate_push(struct kv_store *store);

#endif
