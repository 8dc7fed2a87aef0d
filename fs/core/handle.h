/* SPDX-License-Identifier: Apache-2.0 */
/* Open files. A handle is a reference that keeps an unlinked inode alive, and nothing more: reads
 * and writes name the inode. */
#ifndef FS_CORE_HANDLE_H
#define FS_CORE_HANDLE_H

#include "fs/kvfs.h"

/* A handle of no inode yet, released by kvfs_file_close(). Errors: -ENOMEM. */
KV_MUST_CHECK int handle_create(struct kvfs *fs, struct kvfs_file **ret_file);
/* Take over one reference that the caller holds. */
void handle_attach(struct kvfs_file *file, uint64_t ino);

#endif
