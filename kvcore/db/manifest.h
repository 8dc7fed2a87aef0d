/* SPDX-License-Identifier: Apache-2.0 */
/* Durable changes of the version. An edit is appended to the manifest and synced, then applied in
 * memory. If the append fails, what the manifest holds behind its last good record is unknown, so
 * it is never appended to again: the whole state including the edit goes to a new manifest and the
 * root is pointed at that. If this fails too, the change did not happen. */
#ifndef KVCORE_DB_MANIFEST_H
#define KVCORE_DB_MANIFEST_H

#include "kvcore/db/store.h"

/* Make `edit` durable, then apply it. After an error it may or may not last: neither what it adds
 * nor what it removes may be deleted before a later edit is durable or the store is opened again;
 * the tables that it adds are removed here then. Applied means: new version, obsolete files noted.
 * The state mutex is not held. Fields of the store that the edit names (next table number, last
 * sequence) are filled in here. With `flushed` that generation leaves the view in the same step. */
KV_MUST_CHECK int manifest_commit(struct kv_store *store, struct edit *edit,
                                  struct generation *flushed);
/* If it is not known whether an edit lasted: make the state without it durable. */
KV_MUST_CHECK int manifest_settle(struct kv_store *store);
/* Begin a new manifest with the whole state and point the root at it. */
KV_MUST_CHECK int manifest_roll(struct kv_store *store) REQUIRES(&store->manifest_mu);
/* The whole state as a snapshot of it says it; add nothing before `ret_edit`, all-zero, and finish
 * it also after an error. The tables it names stay as long as it holds them, the blobs as long as
 * the version of the present view. */
KV_MUST_CHECK int manifest_state(struct kv_store *store, struct edit *ret_edit)
    REQUIRES(&store->manifest_mu);
/* Append the edit as record `number` and sync. */
KV_MUST_CHECK int manifest_append(struct log_writer *writer, enum log_record_type type,
                                  uint64_t number, const struct edit *edit);
/* Write store->root. Sets store->manifest_suspect: after a failure either root may last. */
KV_MUST_CHECK int root_commit(struct kv_store *store) REQUIRES(&store->manifest_mu);

#endif
