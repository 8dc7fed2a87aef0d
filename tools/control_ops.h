/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying out control requests on an open filesystem: the daemon does for its clients, and the
 * command itself when nobody has the store mounted. */
#ifndef KVFS_TOOLS_CONTROL_OPS_H
#define KVFS_TOOLS_CONTROL_OPS_H

#include "fs/fuse/mount.h"
#include "tools/control.h"
#include "tools/log.h"

struct control_host {
    struct kvfs *fs;          /* NULL: only about the engine can be asked */
    struct kv_store *engine;  /* below `fs`, or opened alone */
    struct kvfs_mount *mount; /* NULL: not mounted */
    struct log *log;          /* what the library says goes there; may be NULL */
    const char *store;        /* path */
    const char *mountpoint;   /* NULL: not mounted */
    int pid;                  /* of the daemon that serves the store; 0: opened by a command */
    const char *state;        /* as `kvfs status` says it */
    const char *sandbox;      /* what the daemon gave up, in words; NULL: no daemon */
    const char
        *no_uring;  /* why requests do not come over io_uring; NULL if they do, or should not */
    bool idle_poll; /* idle processors poll while requests come in quick succession */
};

/* Carry out `request` for `who` and give every reply to `fn`, the done reply last. Any thread may.
 * Changes are in the kernel's caches when done is given. Returns what `fn` returned if that was an
 * error, else 0: failures of the operation are in the done reply. */
KV_MUST_CHECK int control_execute(const struct control_host *host,
                                  const struct control_request *request, const struct kvfs_who *who,
                                  control_reply_fn *fn, void *arg);

#endif
