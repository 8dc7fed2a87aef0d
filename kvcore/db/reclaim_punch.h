/* SPDX-License-Identifier: Apache-2.0 */
/* Giving dead pages of a blob back to the device. */
#ifndef KVCORE_DB_RECLAIM_PUNCH_H
#define KVCORE_DB_RECLAIM_PUNCH_H

#include "kvcore/db/reclaim_walk.h"

/* Give back all pages of the candidate's values that are not marked live; those in `free` were
 * given back before, and the new ones enter it. `punched_bytes` becomes what is given back now
 * altogether, or stays if the storage cannot do it. Begins nothing once clock_monotonic_ns() has
 * reached `until_ns`: then 1, there is more to give back. Errors: -EIO, -ENOMEM. */
KV_MUST_CHECK int reclaim_punch(struct kv_store *store, const struct candidate *candidate,
                                uint64_t until_ns, struct page_map *free, uint64_t *punched_bytes);

#endif
