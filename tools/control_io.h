/* SPDX-License-Identifier: Apache-2.0 */
/* Moving whole frames over a connected socket, and finding the socket of a store.
 *
 * That of a URL lies below /run/kvfs for root, else below $XDG_RUNTIME_DIR/kvfs: a directory of
 * that user and this machine, where nobody else can put one in its place. */
#ifndef KVFS_TOOLS_CONTROL_IO_H
#define KVFS_TOOLS_CONTROL_IO_H

#include <kv/slice.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONTROL_SOCKET_NAME "control"

/* The directory with the socket of a store: its own, or one of this machine and user for a store
 * that is named by a URL. */
enum { CONTROL_DIRECTORY_SIZE = 4096 };
void control_directory_name(const char *store, char *to, size_t size);
/* A descriptor of it, made if it is missing and `make`. Errors: of open(2), mkdir(2). */
KV_MUST_CHECK int control_directory_open(const char *store, bool make);
/* It may go again, if it was made for the socket alone and is empty. */
void control_directory_release(const char *store);

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
