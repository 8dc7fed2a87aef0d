/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/control_io.h"

#include <stdio.h>

#include "tools/control.h"

enum {
    RECEIVE_STEP = 256 * 1024
}; /* memory grows with what arrived, not with what was announced */

struct sockaddr_un control_address(int dir_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir_fd,
             CONTROL_SOCKET_NAME);
    return address;
}

static int socket_error(void)
{
    return errno == EAGAIN ? -ETIMEDOUT : errno == ECONNRESET ? -EPIPE : -errno;
}

int control_send(int fd, struct kv_slice bytes)
{
    while (bytes.size > 0) {
        ssize_t n = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return socket_error();
        }
        bytes = kv_slice(bytes.data + n, bytes.size - (size_t)n);
    }
    return 0;
}

static int receive_exactly(int fd, uint8_t *to, size_t size)
{
    while (size > 0) {
        ssize_t n = recv(fd, to, size, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? -EPIPE : socket_error();
        }
        to += n;
        size -= (size_t)n;
    }
    return 0;
}

int control_send_hello(int fd)
{
    uint8_t hello[CONTROL_HELLO_SIZE];
    control_hello_encode(CONTROL_VERSION, hello);
    return control_send(fd, kv_slice(hello, sizeof hello));
}

int control_receive_hello(int fd)
{
    uint8_t hello[CONTROL_HELLO_SIZE];
    uint32_t version = 0;
    int r = receive_exactly(fd, hello, sizeof hello);
    return r == 0 ? control_hello_decode(hello, &version) : r;
}

int control_receive(int fd, struct kv_buf *body)
{
    uint8_t header[CONTROL_HEADER_SIZE];
    size_t size = 0;
    int r = receive_exactly(fd, header, sizeof header);
    if (r == 0) {
        r = control_frame_size(header, &size);
    }
    body->size = 0;
    while (r == 0 && body->size < size) {
        size_t step = size - body->size < RECEIVE_STEP ? size - body->size : RECEIVE_STEP;
        r = kv_buf_reserve(body, step);
        if (r == 0) {
            r = receive_exactly(fd, body->data + body->size, step);
        }
        body->size += r == 0 ? step : 0;
    }
    return r;
}
