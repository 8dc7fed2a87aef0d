/* SPDX-License-Identifier: Apache-2.0 */
/* A table of the filesystem that is lost as a whole; see kvfs_lost_table().
 *
 * Both tables are made before the first row of a filesystem is. So where one of them has such rows,
 * and the other is not there, that one is lost: an empty one in its place would show files as
 * zeros, or none of them. */
#ifndef FS_CORE_LOST_TABLE_H
#define FS_CORE_LOST_TABLE_H

#include "fs/kvfs.h"

#define LOST_TABLE_META_KINDS "DIPX"
#define LOST_TABLE_DATA_KINDS "B"

/* Whether it has a row of one of these kinds, and of an inode, whatever else it has: 1 or 0.
 * Errors: those of reading. */
KV_MUST_CHECK int lost_table_has_rows(struct kv_table *table, const char *kinds);

#endif
