/* SPDX-License-Identifier: Apache-2.0 */
/* Files that nobody needs any more. A removal that fails or is lost in a crash harms nothing: the
 * next opening finds the file not named by the manifest and removes it. */
#ifndef KVCORE_DB_OBSOLETE_H
#define KVCORE_DB_OBSOLETE_H

#include "kvcore/db/store.h"

/* Remove files that nobody needs any more. */
void obsolete_purge(struct kv_store *store);
/* After opening: remove what a crash left behind. */
KV_MUST_CHECK int obsolete_sweep(struct kv_store *store);
/* A log segment below the released mark: keep it for reuse or remove it. */
void obsolete_log(struct kv_store *store, uint64_t number);

#endif
