/* SPDX-License-Identifier: Apache-2.0 */
/* What the mount has its guard do (mount.h). Several threads may call: one waits for the other.
 * Errors: -EPIPE the guard is gone. */
#ifndef KVFS_FUSE_GUARD_H
#define KVFS_FUSE_GUARD_H

#include "fs/fuse/mount.h"

/* Mount with the options of `list`, as libfuse reads them behind -o. On success `ret_fd` is the
 * device of the mount. Errors: -EIO libfuse or the kernel refuse; -E2BIG. */
KV_MUST_CHECK int guard_mount(struct kvfs_guard *guard, const char *list, int *ret_fd);
/* As kvfs_unmount() of the mount point. */
KV_MUST_CHECK int guard_unmount(struct kvfs_guard *guard, bool lazy);
/* syncfs(2) of what is mounted. */
KV_MUST_CHECK int guard_sync(struct kvfs_guard *guard);

#endif
