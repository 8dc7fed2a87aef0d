/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes of older tables a range delete covers: what a merge of it would give back. */
#ifndef KVCORE_DB_HIDDEN_H
#define KVCORE_DB_HIDDEN_H

#include "kvcore/db/version.h"

/* About how many bytes of [from, to) lie in the tables of `files` (NULL: none), from level 0 on if
 * `level` is 0, else in the levels behind it. Does no I/O: a table that is covered in part counts
 * only once it was opened. */
uint64_t hidden_bytes(const struct table_files *files, uint32_t level, struct kv_slice from,
                      struct kv_slice to);

#endif
