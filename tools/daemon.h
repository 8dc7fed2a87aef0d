/* SPDX-License-Identifier: Apache-2.0 */
/* The process behind a mount, or behind a store that is served without one: opens the store, mounts
 * it, serves, and closes it again. */
#ifndef KVFS_TOOLS_DAEMON_H
#define KVFS_TOOLS_DAEMON_H

#include <sys/types.h>

#include "tools/mount_options.h"
#include "tools/report.h"

struct mount_plan {
    char *store;      /* resolved, or a URL; both owned */
    char *mountpoint; /* resolved; NULL: served through its control socket alone */
    bool create;      /* make the store if it is missing */
    bool debug;
    struct mount_options options;
};

void mount_plan_finish(struct mount_plan *plan);

/* Resolve `store` and `mountpoint` and look at everything that can be told before a daemon is
 * started. A mount of the same store whose daemon died is taken away. */
KV_MUST_CHECK int mount_plan_prepare(struct mount_plan *plan, const char *store,
                                     const char *mountpoint, struct fault *fault);

/* The same for a store that is to be served without a mount. */
KV_MUST_CHECK int serve_plan_prepare(struct mount_plan *plan, const char *store,
                                     struct fault *fault);

/* Serve in this process until unmounted or told to end by a signal. */
KV_MUST_CHECK int daemon_serve(const struct mount_plan *plan, struct fault *fault);

/* Start a daemon in the background and wait until it serves. On success `ret_pid` is a child
 * of this process, in a session of its own, holding none of our descriptors. */
KV_MUST_CHECK int daemon_start(const struct mount_plan *plan, pid_t *ret_pid, struct fault *fault);

#endif
