/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: one row each. An inode that never had one says so in its hints, so that the
 * kernel's question for security.capability before a first write costs no read. */
#ifndef FS_CORE_XATTR_H
#define FS_CORE_XATTR_H

#include "fs/core/txn.h"

/* -ENODATA no such row; -EIO; -ENOMEM. */
KV_MUST_CHECK int xattr_read(struct kvfs *fs, uint64_t ino, struct kv_slice name,
                             struct kv_buf *value);
/* Collect the row; the caller sets INODE_HINT_XATTRS. Errors: those of
 * xattr_delete(). */
KV_MUST_CHECK int xattr_put(struct txn *txn, uint64_t ino, struct kv_slice name,
                            struct kv_slice value);
/* Errors: -EIO neither the row nor the index of the attribute can be read; -ENOMEM. */
KV_MUST_CHECK int xattr_delete(struct txn *txn, uint64_t ino, struct kv_slice name);

#endif
