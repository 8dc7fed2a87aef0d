/* SPDX-License-Identifier: Apache-2.0 */
/* Moving whole frames over a connected socket, and finding the socket of a store. */
#ifndef KVFS_TOOLS_CONTROL_IO_H
#define KVFS_TOOLS_CONTROL_IO_H

#include <kv/slice.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONTROL_SOCKET_NAME "control"

/* Address of the socket in the directory open as `dir_fd`, however long that directory's path. */
struct sockaddr_un control_address(int dir_fd);
/* Errors: -EPIPE the peer is gone; -ETIMEDOUT. */
KV_MUST_CHECK int control_send(int fd, struct kv_slice bytes);
/* Send our hello and check the peer's. Errors: -EPROTO, -EPIPE, -ETIMEDOUT. */
KV_MUST_CHECK int control_send_hello(int fd);
KV_MUST_CHECK int control_receive_hello(int fd);
/* Replace `body` by the next frame's. Errors: -EPIPE the peer closed; -EPROTO; -ETIMEDOUT. */
KV_MUST_CHECK int control_receive(int fd, struct kv_buf *body);

#endif
