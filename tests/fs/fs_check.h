/* SPDX-License-Identifier: Apache-2.0 */
/* Walk all rows and check every invariant of docs/format.md: entries, inodes and back-pointers
 * belong together one to one, link counts, sizes of directories, the tree hangs together, extents
 * do not overlap nor reach beyond the size, allocated bytes add up, no orphan is left. */
#ifndef TESTS_FS_FS_CHECK_H
#define TESTS_FS_FS_CHECK_H

#include "fs/kvfs.h"

/* Asserts; nothing may be in use. */
void fs_check(struct kvfs *fs);

#endif
