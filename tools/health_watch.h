/* SPDX-License-Identifier: Apache-2.0 */
/* A thread of the daemon that looks every second whether the store is well, by the rules of `kvfs
 * health`, and writes a line to the log when that changes; and whether the process keeps much
 * memory that nothing uses (heap.h). */
#ifndef KVFS_TOOLS_HEALTH_WATCH_H
#define KVFS_TOOLS_HEALTH_WATCH_H

#include "tools/control_ops.h"

struct health_watch;

/* `host`, with its log, must outlive the watch. Errors: -ENOMEM; of thread_start(). */
KV_MUST_CHECK int health_watch_start(const struct control_host *host,
                                     struct health_watch **ret_watch);
void health_watch_stop(struct health_watch *watch); /* accepts NULL */

#endif
