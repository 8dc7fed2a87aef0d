/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that waits for SIGTERM, SIGINT and SIGHUP, or for the loss of the store, and ends the
 * mount cleanly. It is a thread and not a handler because unmounting, and dropping what the kernel
 * keeps, make requests that the workers must answer meanwhile.
 *
 * The signals stay blocked when it is over. One that comes while the mount is being ended, for
 * which nobody waits any more, asks for what is under way: let through it would end the process
 * before the mount is gone and the store is closed. */
#ifndef KVFS_FUSE_SIGNALS_H
#define KVFS_FUSE_SIGNALS_H

#include <signal.h>

#include "fs/fuse/session.h"

struct signals {
    struct kvfs_mount *mount;
    struct thread thread;
    int fd; /* signalfd */
    struct sigaction old_wake, old_pipe;
};

/* Block the signals in the calling thread, before it starts workers, and start waiting.
 * Errors: -EMFILE, -ENOMEM, -EAGAIN. */
KV_MUST_CHECK int signals_start(struct signals *s, struct kvfs_mount *mount);
/* Once the loop has ended. The signals stay blocked. */
void signals_stop(struct signals *s);

#endif
