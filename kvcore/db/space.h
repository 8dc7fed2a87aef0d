/* SPDX-License-Identifier: Apache-2.0 */
/* A full device. Part of it is kept in reserve once it fills up. (While much is free, none is: a
 * small store takes little.) When a write meets -ENOSPC the reserve is given back, and from then on
 * only batches that free space are let in, so that deleting, flushing and merging have something to
 * work with. A worker looks for room now and then; once the reserve can be set aside again with as
 * much left over, writing goes on. Nothing has to be reopened.
 *
 * A storage may not be able to tell how much is free: a pool of which others may take any part.
 * Then the size of the store decides whether a reserve is kept, and that it can be set aside tells
 * that there is room again. */
#ifndef KVCORE_DB_SPACE_H
#define KVCORE_DB_SPACE_H

#include "kvcore/db/store.h"

/* Shrink memtables and tables so that the store works on the device it lies on, set the size of the
 * reserve, and judge whether it is needed. Called once, when opening. A storage that cannot tell
 * its size is taken for large.
 */
KV_MUST_CHECK int space_fit_options(struct kv_store *store);
/* After opening: set the reserve aside if little was free, else give it back. */
void space_begin(struct kv_store *store);
/* Now and then: set the reserve aside when the device fills up, give it back when it empties. */
void space_watch(struct kv_store *store);
/* An operation failed with `error`: if that is a full device, give the reserve back to deletes and
 * merges and refuse other writes until there is room again. Returns `error`. */
int space_failed(struct kv_store *store, int error);
/* The error is that of a full device. */
static inline bool space_is_full(int error)
{
    return error == -ENOSPC || error == -EDQUOT;
}
/* Do that again, with a pause, while it fails for want of space and the time is not over: who has
 * just given something back may not find it at once. */
KV_MUST_CHECK int space_wait(struct kv_store *store, int (*step)(struct kv_store *),
                             unsigned patience_ms);
/* Look whether there is room again. */
void space_check(struct kv_store *store);

#endif
