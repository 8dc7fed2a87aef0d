/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/control_io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/control.h"
#include "tools/store_url.h"

enum {
    RECEIVE_STEP = 256 * 1024
}; /* memory grows with what arrived, not with what was announced */

/* Where this user's sockets of URLs lie. */
static void name_sockets(char *to, size_t size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0) {
        snprintf(to, size, "/run/kvfs");
    } else if (runtime != NULL && runtime[0] == '/') {
        snprintf(to, size, "%s/kvfs", runtime);
    } else {
        snprintf(to, size, "/run/user/%u/kvfs", (unsigned)geteuid());
    }
}

/* POOL:NAME, since neither has a colon. */
void control_directory_name(const char *store, char *to, size_t size)
{
    static const char scheme[] = "rados://";
    if (!store_is_url(store)) {
        snprintf(to, size, "%s", store);
        return;
    }
    name_sockets(to, size);
    size_t used = strlen(to);
    snprintf(to + used, size - used, "/%s", store + strlen(scheme));
    char *slash = strrchr(to, '/');
    *slash = ':';
}

static int make_directory(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

int control_directory_open(const char *store, bool make)
{
    char path[CONTROL_DIRECTORY_SIZE];
    int r = 0;
    if (make && store_is_url(store)) {
        name_sockets(path, sizeof path);
        r = make_directory(path);
    }
    control_directory_name(store, path, sizeof path);
    if (r == 0 && make && store_is_url(store)) {
        r = make_directory(path);
    }
    int fd = r < 0 ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return r < 0 ? r : fd < 0 ? -errno : fd;
}

void control_directory_release(const char *store)
{
    char path[CONTROL_DIRECTORY_SIZE];
    if (store_is_url(store)) {
        control_directory_name(store, path, sizeof path);
        (void)rmdir(path); /* another daemon may have one there by now */
    }
}

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
