/* SPDX-License-Identifier: Apache-2.0 */
/* Holes of a file that lacks bytes: where an extent may have been that is lost, there are lost
 * extents from then on, one in each chunk. A size may be any number, and no row says how many of
 * them a file ever had; so one that would take more than a bound says in its inode instead that
 * what no extent has of it is lost (`lost_below`). Either way it takes one walk, and the rows are
 * in one batch with the inode that counts them. */
#ifndef FS_CORE_MEND_HOLES_H
#define FS_CORE_MEND_HOLES_H

#include "fs/core/check.h"

enum { MEND_LOST_EXTENTS_MAX = 1024 }; /* of one file: 32 MiB */

/* The file has fewer bytes than it had, or nobody knows how many: its holes are not known to be
 * holes. `want`, which has its size and what its extents allocate, becomes what the inode is to say
 * once the rows that were collected are written. False: it is left to the next walk, for want of
 * room or after an error. */
KV_MUST_CHECK bool mend_holes_lose(struct check *c, const struct subject *s, struct inode *want);

#endif
