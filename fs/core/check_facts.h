/* SPDX-License-Identifier: Apache-2.0 */
/* The facts of a filesystem, in front of a walk over its rows. */
#ifndef FS_CORE_CHECK_FACTS_H
#define FS_CORE_CHECK_FACTS_H

#include "fs/core/check.h"

/* Tells what is wrong with them, and sets what the walk needs of them. Every number in use is below
 * the fact `next_inode`, which is moved ahead before a number is given out. */
void check_facts(struct check *c);

#endif
