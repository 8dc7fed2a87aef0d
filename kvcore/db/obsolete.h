/* SPDX-License-Identifier: Apache-2.0 */
/* Files that nobody needs any more. A removal that fails or is lost in a crash harms nothing: the
 * next opening finds the file not named by the manifest and removes it. */
#ifndef KVCORE_DB_OBSOLETE_H
#define KVCORE_DB_OBSOLETE_H

#include "kvcore/db/store.h"

/* Remove tables that nobody needs any more. Those that cannot be removed stay on the list. */
void obsolete_purge(struct kv_store *store);
/* Remove a file that is no part of the store and never will be again. A table that cannot be
 * removed is noted, for merges to name it. */
void obsolete_remove_now(struct kv_store *store, struct kv_file_id id);
/* After opening: remove what a crash left behind. */
KV_MUST_CHECK int obsolete_sweep(struct kv_store *store);
/* The edit could not be made durable, and yet it may last: the tables and blobs that were made for
 * it stay until a later edit is durable, which then stands in its place. `view` is the present one;
 * blobs of its memtables stay anyway. */
void obsolete_doubt(struct kv_store *store, const struct edit *edit, const struct view *view)
    REQUIRES(&store->manifest_mu);
/* An edit is durable: those files, to be removed with obsolete_remove() once the mutex is free. */
struct doubtful obsolete_settle(struct kv_store *store) REQUIRES(&store->manifest_mu);
void obsolete_remove(struct kv_store *store, struct doubtful *take_doubtful);
/* Forget them: the store is closed, and the next opening decides. */
void obsolete_forget(struct doubtful *take_doubtful);
/* A log segment below the released mark: keep it for reuse or remove it. */
void obsolete_log(struct kv_store *store, uint64_t number);

#endif
