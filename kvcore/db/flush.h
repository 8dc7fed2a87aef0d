/* SPDX-License-Identifier: Apache-2.0 */
/* Memtables to sorted tables of level 0. Strictly oldest generation first and one at a time, so
 * that tables of level 0 have disjoint, ascending ranges of sequence numbers. One edit installs the
 * tables of all keyspaces of the generation and releases its log. */
#ifndef KVCORE_DB_FLUSH_H
#define KVCORE_DB_FLUSH_H

#include "kvcore/db/store.h"

/* Write the rows of a generation to tables and add them to the edit, which says already how far the
 * logs are superfluous then. `version`: the tables before. `progress` may be NULL. */
KV_MUST_CHECK int flush_tables(struct kv_store *store, struct generation *generation,
                               const struct version *version, struct job *progress,
                               struct edit *edit);
/* Flush the oldest immutable generation. 1 if there was one, 0 if not, or an error. */
KV_MUST_CHECK int flush_one(struct kv_store *store);
/* Rotate, flush all and wait until it is done. */
KV_MUST_CHECK int flush_all(struct kv_store *store);

#endif
