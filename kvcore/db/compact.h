/* SPDX-License-Identifier: Apache-2.0 */
/* Merging tables a level deeper. The inputs are marked busy under the state mutex, so that merges
 * on disjoint files run side by side; the merge itself works on the pinned view without a lock; one
 * edit takes the inputs out and puts the outputs in. A merge that fails leaves its inputs as they
 * were. */
#ifndef KVCORE_DB_COMPACT_H
#define KVCORE_DB_COMPACT_H

#include "kvcore/db/store.h"

/* Run the most urgent compaction. 1 if there was one, 0 if not, or an error. */
KV_MUST_CHECK int compact_one(struct kv_store *store);
/* Merge everything of one table into its lowest level. */
KV_MUST_CHECK int compact_table(struct kv_store *store, uint32_t table_id);

#endif
