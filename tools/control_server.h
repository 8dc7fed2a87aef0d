/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of a daemon: one thread accepts, one per client serves. */
#ifndef KVFS_TOOLS_CONTROL_SERVER_H
#define KVFS_TOOLS_CONTROL_SERVER_H

#include "tools/control_ops.h"

struct control_server;

/* Listen in the store directory `host->store`, which the caller holds for writing (what an earlier
 * daemon left there is removed). `host` and what it points at must outlive the server. Errors:
 * those of open(2), socket(2), bind(2). */
KV_MUST_CHECK int control_server_start(const struct control_host *host,
                                       struct control_server **ret_server);
/* Cut off every client, wait for what runs, remove the socket. Accepts NULL. */
void control_server_stop(struct control_server *server);

#endif
