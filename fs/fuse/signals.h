/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that waits for SIGTERM, SIGINT and SIGHUP and ends the mount cleanly. It is a thread and
 * not a handler because unmounting makes requests that the workers must answer meanwhile. */
#ifndef KVFS_FUSE_SIGNALS_H
#define KVFS_FUSE_SIGNALS_H

#include <signal.h>

#include "fs/fuse/session.h"

struct signals {
    struct kvfs_mount *mount;
    struct thread thread;
    int fd; /* signalfd */
    sigset_t old_mask;
    struct sigaction old_wake, old_pipe;
};

/* Block the signals in the calling thread, before it starts workers, and start waiting for them.
 * Errors: -EMFILE, -ENOMEM, -EAGAIN. */
KV_MUST_CHECK int signals_start(struct signals *s, struct kvfs_mount *mount);
/* Once the loop has ended. */
void signals_stop(struct signals *s);

#endif
