/* SPDX-License-Identifier: Apache-2.0 */
/* What the mount has its guard do (mount.h). Several threads may call: one waits for the other.
 * Errors: -EPIPE the guard is gone; -ETIMEDOUT it was stopped, and nothing is asked of it again. */
#ifndef KVFS_FUSE_GUARD_H
#define KVFS_FUSE_GUARD_H

#include "fs/fuse/mount.h"

/* What it is to mount with: `list` as libfuse reads it behind -o. Once. Errors: -E2BIG; -EPERM it
 * has options already. */
KV_MUST_CHECK int guard_options(struct kvfs_guard *guard, const char *list);
/* Mount with those options. Once. On success `ret_fd` is the device of the mount. Errors: -EIO
 * libfuse or the kernel refuse; -EPERM it has no options, or mounted before. */
KV_MUST_CHECK int guard_mount(struct kvfs_guard *guard, int *ret_fd);
/* As kvfs_unmount() of what was mounted, and of nothing else. Errors: -EINVAL that is not there any
 * more; -EBUSY in use, or something else was mounted on it. */
KV_MUST_CHECK int guard_unmount(struct kvfs_guard *guard, bool lazy);
/* syncfs(2) of what is mounted. */
KV_MUST_CHECK int guard_sync(struct kvfs_guard *guard);

/* Hangs up, for poll(2), when the guard ends. */
int guard_fd(const struct kvfs_guard *guard);
/* Once it has: nothing is left of it. */
void guard_bury(struct kvfs_guard *guard);
/* Why the guard did not unmount, in words. */
const char *guard_strerror(int error);

#endif
