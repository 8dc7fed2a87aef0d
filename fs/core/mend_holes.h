/* SPDX-License-Identifier: Apache-2.0 */
/* Holes of a file that lacks bytes: those where an extent may have been that is lost become lost
 * extents, one in each chunk. Where nothing can have been lost is passed over in one step, since a
 * size may be any number; the others take as many walks as the batch asks for. */
#ifndef FS_CORE_MEND_HOLES_H
#define FS_CORE_MEND_HOLES_H

#include "fs/core/check.h"

/* The file has fewer bytes than it had, or nobody knows how many: its holes are not known to be
 * holes. Returns how many bytes are lost extents from now on, or a part of them if the batch is
 * full. */
uint64_t mend_holes_lose(struct check *c, const struct subject *s);

#endif
