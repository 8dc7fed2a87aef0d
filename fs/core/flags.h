/* SPDX-License-Identifier: Apache-2.0 */
/* What chattr(1) sets, and what it forbids. The kernel does not know of it, and some files are open
 * when it is set: so every operation asks here before it changes anything. The rules are those of
 * ioctl_iflags(2) as the kernel's own filesystems keep them. Each check returns 0 or -EPERM. */
#ifndef FS_CORE_FLAGS_H
#define FS_CORE_FLAGS_H

#include "fs/core/record.h"

/* Whether anything but appending is refused, and appending too. */
bool flags_append_only(const struct inode *inode);
bool flags_immutable(const struct inode *inode);

/* Opening with these flags of open(2). */
KV_MUST_CHECK int flags_check_open(const struct inode *inode, int open_flags);
/* Writing at the offset. */
KV_MUST_CHECK int flags_check_write(const struct inode *inode, uint64_t offset);
/* Owner, mode, size, extended attributes; more links. */
KV_MUST_CHECK int flags_check_change(const struct inode *inode);
/* A new name in a directory. */
KV_MUST_CHECK int flags_check_add(const struct inode *dir);
/* The name of `child` goes. */
KV_MUST_CHECK int flags_check_drop(const struct inode *dir, const struct inode *child);
/* Reading leaves no trace. */
bool flags_no_atime(const struct inode *inode);
/* What something made in `dir` inherits. */
uint64_t flags_inherited(const struct inode *dir, uint32_t mode);

#endif
