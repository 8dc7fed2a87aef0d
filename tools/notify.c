/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int notify_send(const char *state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *name = getenv("NOTIFY_SOCKET");
    if (name == NULL || *name == '\0') {
        return 0;
    }
    size_t size = strlen(name);
    if ((*name != '/' && *name != '@') || size >= sizeof address.sun_path) {
        return -EINVAL;
    }
    memcpy(address.sun_path, name, size);
    if (*name == '@') {
        address.sun_path[0] = '\0'; /* how the kernel writes an abstract name */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    /* A manager that does not read must not stop a mount. */
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
                          (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
    int r = sent < 0 ? -errno : 1;
    close(fd);
    return r;
}
