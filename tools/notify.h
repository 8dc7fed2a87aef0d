/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the service manager what the daemon is at: the protocol of sd_notify(3), which is one
 * datagram to the socket that NOTIFY_SOCKET names. Nothing of systemd is linked for that. */
#ifndef KVFS_TOOLS_NOTIFY_H
#define KVFS_TOOLS_NOTIFY_H

#include <kv/error.h>

/* Send `state`, lines such as "READY=1\nSTATUS=mounted". Returns 1 if it was sent and 0 if nobody
 * asked for it. Errors: -EINVAL where NOTIFY_SOCKET is no absolute path, no abstract name ("@...")
 * or too long; those of socket(2) and sendto(2), never by waiting for a receiver. */
KV_MUST_CHECK int notify_send(const char *state);

#endif
