/* SPDX-License-Identifier: Apache-2.0 */
/* Values of rows of kind ROW_BLOB, whose bytes lie in a blob. They are read when somebody asks for
 * them, never kept in the cache of blocks, and every unit that is touched is verified.
 *
 * Whoever reads holds the view that the row comes from: as long as it lives, no byte that its rows
 * point at is given back (reclaim.h). */
#ifndef KVCORE_DB_VALUE_H
#define KVCORE_DB_VALUE_H

#include "kvcore/blob/blob_pointer.h"
#include "kvcore/db/store.h"

/* The pointer that a row of the table holds. Errors: -KV_EDAMAGED (told). */
KV_MUST_CHECK int value_pointer(const struct kv_table *table, struct kv_slice stored,
                                struct blob_pointer *ret_pointer);
/* The whole value, replacing the contents of `to`. Errors: -KV_EDAMAGED (told), -ENOMEM, -EIO. */
KV_MUST_CHECK int value_read(struct kv_store *store, const struct blob_pointer *pointer,
                             struct kv_buf *to);
/* Count a failed read of a value; returns it. */
int value_failed(struct kv_store *store, int error);

#endif
