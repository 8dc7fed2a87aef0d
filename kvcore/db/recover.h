/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: root, manifest, logs; see docs/format.md, "What a crash can leave".
 *
 * Rows that were only in logs are written to tables before anything is served and named by the new
 * manifest: what the logs hold may exist in the page cache only (a sync of it may have failed
 * before), and what a reader has seen once must survive the next crash. Nothing is removed before
 * every table that the manifest names was found with its size. */
#ifndef KVCORE_DB_RECOVER_H
#define KVCORE_DB_RECOVER_H

#include "kvcore/db/store.h"

/* Take the lease, read or make the root, read the manifest, replay the logs, begin a new log and
 * manifest. Single-threaded. `options` are the caller's, for what is used at creation only. */
KV_MUST_CHECK int recover(struct kv_store *store, const struct kv_options *options);

/* For followers (follow.h), without a lease: root record and manifest as they are at this moment,
 * into a store that is empty. Tables and logs are not looked at. Errors: also -ENOENT and
 * -KV_EDAMAGED where the writer replaced the manifest meanwhile. */
KV_MUST_CHECK int recover_look(struct kv_store *store, struct version **ret_version);
/* The root record is known: checksums can be computed and blobs be read. */
KV_MUST_CHECK int recover_set_seed(struct kv_store *store);

#endif
