/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/mount.h"

#include <spawn.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ordinary users unmount through libfuse's setuid helper. */
static int unmount_by_helper(const char *mountpoint, bool lazy)
{
    char helper[] = "fusermount3";
    char quiet[] = "-uq";
    char quiet_lazy[] = "-uqz";
    char end[] = "--";
    char *path = strdup(mountpoint);
    if (path == NULL) {
        return -ENOMEM;
    }
    char *argv[] = {helper, lazy ? quiet_lazy : quiet, end, path, NULL};
    pid_t pid;
    int status = 0;
    int r = -posix_spawnp(&pid, helper, NULL, NULL, argv, environ);
    free(path);
    if (r < 0) {
        return r;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    /* The helper does not tell why; a mount that is there and ours is refused only when in use. */
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int kvfs_unmount(const char *mountpoint, bool lazy)
{
    if (umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) {
        return 0;
    }
    return errno == EPERM ? unmount_by_helper(mountpoint, lazy) : -errno;
}
