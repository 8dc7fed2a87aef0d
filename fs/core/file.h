/* SPDX-License-Identifier: Apache-2.0 */
/* Contents of regular files, for the other modules. */
#ifndef FS_CORE_FILE_H
#define FS_CORE_FILE_H

#include "fs/core/txn.h"

/* 0; -EISDIR; -EINVAL for other kinds. */
int file_check_regular(const struct inode *inode);
/* Make the file `size` bytes long; collects rows, leaves the commit to the caller. */
KV_MUST_CHECK int file_set_size(struct txn *txn, struct txn_node *node, uint64_t size);
/* Clear setuid, and setgid where group-executable. */
void file_kill_priv(struct txn_node *node);
/* Contents and times changed. */
void file_touch(struct txn *txn, struct txn_node *node);
enum { FILE_READ_ALL_MAX = 1 << 30 };

/* All contents, at `snapshot` (NULL: now, and then the stripe must be held). Errors: -EFBIG more
 * than FILE_READ_ALL_MAX, which a sparse file exceeds easily. */
KV_MUST_CHECK int file_read_all(struct kvfs *fs, const struct kv_snapshot *snapshot,
                                const struct node *node, struct kv_buf *to);

#endif
