/* SPDX-License-Identifier: Apache-2.0 */
/* Point lookups: newest source first, and the first row found decides. The key is hashed once; the
 * filter lines of all candidate tables are asked for before the first is probed, so that their
 * cache misses overlap. */
#ifndef KVCORE_DB_READ_H
#define KVCORE_DB_READ_H

#include "kvcore/db/store.h"

/* A row of kind "damaged" was met: count it and say what to do. Always -KV_EDAMAGED. */
int damaged_row(struct kv_table *table);

#endif
