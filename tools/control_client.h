/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the daemon that holds a store. Used by one thread at a time. */
#ifndef KVFS_TOOLS_CONTROL_CLIENT_H
#define KVFS_TOOLS_CONTROL_CLIENT_H

#include <sys/types.h>

#include "tools/control.h"

struct control_client;

/* Connect to the daemon of the store directory. Errors: -ENOENT or -ECONNREFUSED there is none;
 * -EACCES; -EPIPE it does not want us (another user's), or is ending; -EPROTO; -ETIMEDOUT.
 */
KV_MUST_CHECK int control_client_open(const char *store, struct control_client **ret_client);
void control_client_close(struct control_client *client); /* accepts NULL */
/* Process id of the daemon. */
pid_t control_client_pid(const struct control_client *client);
/* The connection: who shuts it down, also in a handler of signals, ends what waits for the daemon.
 */
int control_client_fd(const struct control_client *client);
/* Send `request` and give every reply to `fn`, the done reply last. Errors: of the connection, or
 * what `fn` returned; the client is then only good for closing. What `fn` returns of an ask goes
 * to the daemon. */
KV_MUST_CHECK int control_client_call(struct control_client *client,
                                      const struct control_request *request, control_reply_fn *fn,
                                      void *arg);

#endif
