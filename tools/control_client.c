/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/control_client.h"

#include <stdlib.h>
#include <unistd.h>

#include "tools/control_io.h"

struct control_client {
    int fd;
    pid_t pid;
    struct kv_buf buf;
};

static int connect_to(const char *store, int fd)
{
    int dir_fd = control_directory_open(store, false);
    if (dir_fd < 0) {
        return dir_fd;
    }
    struct sockaddr_un address = control_address(dir_fd);
    int r = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno;
    close(dir_fd);
    return r;
}

static int greet(struct control_client *client)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return -errno;
    }
    client->pid = peer.pid;
    int r = control_send_hello(client->fd);
    return r == 0 ? control_receive_hello(client->fd) : r;
}

int control_client_open(const char *store, struct control_client **ret_client)
{
    struct control_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return -ENOMEM;
    }
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = client->fd < 0 ? -errno : connect_to(store, client->fd);
    if (r == 0) {
        r = greet(client);
    }
    if (r < 0) {
        control_client_close(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

void control_client_close(struct control_client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->fd >= 0) {
        close(client->fd);
    }
    kv_buf_finish(&client->buf);
    free(client);
}

pid_t control_client_pid(const struct control_client *client)
{
    return client->pid;
}

int control_client_fd(const struct control_client *client)
{
    return client->fd;
}

/* How what the daemon asked for went. */
static int answer(struct control_client *client, int result)
{
    struct control_reply done = {.type = CONTROL_DONE, .error = result};
    struct kv_buf frame = {0};
    int r = control_reply_encode(&done, &frame);
    if (r == 0) {
        r = control_send(client->fd, kv_buf_slice(&frame));
    }
    kv_buf_finish(&frame);
    return r;
}

int control_client_call(struct control_client *client, const struct control_request *request,
                        control_reply_fn *fn, void *arg)
{
    struct control_reply reply = {0};
    client->buf.size = 0;
    int r = control_request_encode(request, &client->buf);
    if (r == 0) {
        r = control_send(client->fd, kv_buf_slice(&client->buf));
    }
    while (r == 0 && reply.type != CONTROL_DONE) {
        r = control_receive(client->fd, &client->buf);
        if (r == 0) {
            r = control_reply_decode(kv_buf_slice(&client->buf), &reply);
        }
        if (r == 0) {
            r = fn(arg, &reply);
            r = reply.type == CONTROL_ASK ? answer(client, r) : r;
        }
    }
    return r;
}
