/* SPDX-License-Identifier: Apache-2.0 */
/* kvfs_check(), which walks all rows, finds no fault, and no orphan is left. */
#ifndef TESTS_FS_FS_CHECK_H
#define TESTS_FS_FS_CHECK_H

#include "fs/kvfs.h"

/* Asserts; nothing may be in use. */
void fs_check(struct kvfs *fs);

#endif
