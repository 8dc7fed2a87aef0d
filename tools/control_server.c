/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/control_server.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/thread.h"
#include "tools/control_io.h"

#define NS_PER_S 1000000000ULL

enum {
    CLIENTS_MAX = 16,
    ROWS_SIZE = 32 * 1024,  /* so many bytes of rows are sent together */
    IDLE_TIMEOUT_S = 60,    /* a client that takes or sends nothing for so long is cut off */
    ANSWER_TIMEOUT_S = 600, /* one step of a copy: a command that was stopped holds files of ours */
    ENDING_TIMEOUT_S = 2,   /* one that takes nothing, once the daemon is to end */
    COPIES_MAX = 8, /* at a time, so that commands that were stopped leave room for others */
    SEND_STEP_MS = 100,
};

struct client {
    struct control_server *server;
    struct thread thread;
    struct kvfs_who who;
    struct kv_buf frame; /* replies to be sent; thread-private */
    bool verifying;      /* what it asked for may take hours; thread-private */
    uint64_t cut_off_ns; /* monotonic, 0: the daemon is not to end; thread-private */
    int fd;              /* -1: the slot is free. Guarded by the server's mu */
    bool ended;          /* the thread is about to return. Guarded by the server's mu */
};

struct control_server {
    const struct control_host *host;
    int dir_fd, listen_fd;
    struct stat socket; /* that of listen_fd, by its name */
    struct thread thread;
    struct mutex mu;
    struct condvar changed; /* a client ended, or the server is to stop */
    bool stopping;          /* guarded by mu */
    unsigned copies;        /* that are being made. Guarded by mu */
    struct client clients[CLIENTS_MAX];
};

/* ---- one client ------------------------------------------------------------------------------ */

static bool is_stopping(struct control_server *server)
{
    mutex_lock(&server->mu);
    bool stopping = server->stopping;
    mutex_unlock(&server->mu);
    return stopping;
}

/* The daemon ends: what takes long is not waited for. */
static bool is_given_up(struct client *client, const struct control_reply *reply)
{
    return client->verifying && reply->type == CONTROL_DATA && is_stopping(client->server);
}

/* Until the client takes more. Errors: -ETIMEDOUT, which comes soon once the daemon is to end,
 * however slowly it reads. */
static int await_room(struct client *client, uint64_t idle_until_ns)
{
    struct pollfd writable = {.fd = client->fd, .events = POLLOUT};
    uint64_t now = clock_monotonic_ns();
    if (client->cut_off_ns == 0 && is_stopping(client->server)) {
        client->cut_off_ns = now + ENDING_TIMEOUT_S * NS_PER_S;
    }
    if (now >= idle_until_ns || (client->cut_off_ns != 0 && now >= client->cut_off_ns)) {
        return -ETIMEDOUT;
    }
    (void)poll(&writable, 1, SEND_STEP_MS);
    return 0;
}

static int send_frame(struct client *client)
{
    struct kv_slice rest = kv_buf_slice(&client->frame);
    uint64_t idle_until_ns = clock_monotonic_ns() + IDLE_TIMEOUT_S * NS_PER_S;
    int r = 0;
    while (rest.size > 0 && r == 0) {
        ssize_t n = send(client->fd, rest.data, rest.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            rest = kv_slice(rest.data + n, rest.size - (size_t)n);
            idle_until_ns = clock_monotonic_ns() + IDLE_TIMEOUT_S * NS_PER_S;
        } else if (errno == EAGAIN) {
            r = await_room(client, idle_until_ns);
        } else if (errno != EINTR) {
            r = -EPIPE;
        }
    }
    client->frame.size = 0;
    return r;
}

/* What the client answers to an ask, however long it works on that, but for one that was stopped.
 * Its end, and ours, show as the end of what it sends. What came after an answer that is missing
 * would be taken for it: so that is the end. */
static int await_answer(struct client *client)
{
    struct pollfd readable = {.fd = client->fd, .events = POLLIN};
    struct control_reply answer = {0};
    struct kv_buf body = {0};
    int ready;
    while ((ready = poll(&readable, 1, ANSWER_TIMEOUT_S * 1000)) < 0) {
    }
    int r = ready == 0 ? -ETIMEDOUT : control_receive(client->fd, &body);
    r = r < 0 ? r : control_reply_decode(kv_buf_slice(&body), &answer);
    r = r == 0 && answer.type != CONTROL_DONE ? -EPROTO : r;
    kv_buf_finish(&body);
    if (r < 0) {
        shutdown(client->fd, SHUT_RDWR);
    }
    return r < 0 ? r : answer.error;
}

/* Rows are sent some together, and at the latest before what follows them, which is never nothing:
 * a call for each would cost more than finding them. */
static int send_reply(void *arg, const struct control_reply *reply)
{
    struct client *client = arg;
    if (is_given_up(client, reply)) {
        return -ESHUTDOWN;
    }
    int r = control_reply_encode(reply, &client->frame);
    if (r == 0 && (reply->type != CONTROL_ROW || client->frame.size >= ROWS_SIZE)) {
        r = send_frame(client);
    }
    return r == 0 && reply->type == CONTROL_ASK ? await_answer(client) : r;
}

static int refuse(struct client *client, int error, const char *text)
{
    struct control_reply done = {.type = CONTROL_DONE, .error = error, .bytes = kv_slice_str(text)};
    return send_reply(client, &done);
}

static int make_copy(struct client *client, const struct control_request *request,
                     const struct kvfs_who *who)
{
    struct control_server *server = client->server;
    mutex_lock(&server->mu);
    bool many = server->copies >= COPIES_MAX;
    server->copies += many ? 0 : 1;
    mutex_unlock(&server->mu);
    if (many) {
        return refuse(client, -EBUSY,
                      "too many copies of the store are being made. Try again when one is done");
    }
    int r = control_execute(server->host, request, who, send_reply, client);
    mutex_lock(&server->mu);
    server->copies--;
    mutex_unlock(&server->mu);
    return r;
}

static int serve_one(struct client *client, struct kv_buf *body)
{
    struct control_request request;
    int r = control_receive(client->fd, body);
    if (r < 0) {
        return r;
    }
    r = control_request_decode(kv_buf_slice(body), &request);
    if (r < 0) {
        return r == -EOPNOTSUPP ? refuse(client, r, "") : r;
    }
    struct kvfs_who who = client->who;
    who.umask = request.umask;
    client->verifying = request.op == CONTROL_VERIFY;
    return request.op == CONTROL_CHECKPOINT
               ? make_copy(client, &request, &who)
               : control_execute(client->server->host, &request, &who, send_reply, client);
}

static void *client_main(void *arg)
{
    struct client *client = arg;
    struct kv_buf body = {0};
    int r = control_receive_hello(client->fd);
    if (r == 0) {
        r = control_send_hello(client->fd);
    }
    while (r == 0) {
        r = serve_one(client, &body);
    }
    kv_buf_finish(&body);
    kv_buf_finish(&client->frame);
    /* The peer sees the end at once; the descriptor stays ours until the thread is joined, so that
     * its number cannot come to mean something else. */
    shutdown(client->fd, SHUT_RDWR);
    mutex_lock(&client->server->mu);
    client->ended = true;
    condvar_signal(&client->server->changed);
    mutex_unlock(&client->server->mu);
    return NULL;
}

/* ---- accepting ------------------------------------------------------------------------------- */

static bool is_welcome(int fd, struct kvfs_who *ret_who)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        (peer.uid != 0 && peer.uid != geteuid())) {
        return false;
    }
    *ret_who = (struct kvfs_who){.uid = peer.uid, .gid = peer.gid};
    return true;
}

/* Join the threads of clients that are done and free their slots. Only the accepting thread and,
 * after it, the stopping one join. */
static struct client *free_slot(struct control_server *server)
{
    struct client *found = NULL;
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &server->clients[i];
        mutex_lock(&server->mu);
        bool ended = client->fd >= 0 && client->ended;
        mutex_unlock(&server->mu);
        if (ended) {
            thread_join(&client->thread);
            mutex_lock(&server->mu);
            close(client->fd);
            client->fd = -1;
            mutex_unlock(&server->mu);
        }
        if (client->fd < 0) {
            found = client;
        }
    }
    return found;
}

static bool has_ended_client(const struct control_server *server)
{
    for (int i = 0; i < CLIENTS_MAX; i++) {
        if (server->clients[i].fd >= 0 && server->clients[i].ended) {
            return true;
        }
    }
    return false;
}

/* Where all slots are taken the next client waits until one is free: clients come, ask and go. NULL
 * if the server stops meanwhile. */
static struct client *await_slot(struct control_server *server)
{
    struct client *client = free_slot(server);
    while (client == NULL) {
        mutex_lock(&server->mu);
        while (!server->stopping && !has_ended_client(server)) {
            condvar_wait(&server->changed, &server->mu);
        }
        bool stopping = server->stopping;
        mutex_unlock(&server->mu);
        if (stopping) {
            return NULL;
        }
        client = free_slot(server);
    }
    return client;
}

static void accept_one(struct control_server *server)
{
    struct timeval timeout = {.tv_sec = IDLE_TIMEOUT_S};
    struct kvfs_who who;
    int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct client *client = is_welcome(fd, &who) ? await_slot(server) : NULL;
    if (client == NULL) {
        close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    mutex_lock(&server->mu);
    *client = (struct client){.server = server, .who = who, .fd = fd};
    if (thread_start(&client->thread, "kvfs-client", client_main, client) < 0) {
        client->fd = -1;
        close(fd);
    }
    mutex_unlock(&server->mu);
}

static void *server_main(void *arg)
{
    struct control_server *server = arg;
    while (!is_stopping(server)) {
        accept_one(server);
    }
    return NULL;
}

/* ---- starting and stopping ------------------------------------------------------------------- */

static int open_socket(struct control_server *server)
{
    server->dir_fd = control_directory_open(server->host->store, true);
    if (server->dir_fd < 0) {
        return server->dir_fd;
    }
    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->listen_fd < 0) {
        return -errno;
    }
    struct sockaddr_un address = control_address(server->dir_fd);
    if (unlinkat(server->dir_fd, CONTROL_SOCKET_NAME, 0) != 0 && errno != ENOENT) {
        return -errno;
    }
    /* The name gets the mode of the unbound socket, so that it never exists with a wider one. */
    if (fchmod(server->listen_fd, 0600) != 0 ||
        bind(server->listen_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        fstatat(server->dir_fd, CONTROL_SOCKET_NAME, &server->socket, AT_SYMLINK_NOFOLLOW) != 0 ||
        listen(server->listen_fd, CLIENTS_MAX) != 0) {
        return -errno;
    }
    return 0;
}

/* Who takes a store over from this process, on this machine, puts its socket there. */
static bool is_own_socket(const struct control_server *server)
{
    struct stat st;
    return fstatat(server->dir_fd, CONTROL_SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_dev == server->socket.st_dev && st.st_ino == server->socket.st_ino;
}

static void close_socket(struct control_server *server)
{
    if (server->dir_fd >= 0) {
        if (is_own_socket(server)) { /* as long as it is open no other one has its number */
            (void)unlinkat(server->dir_fd, CONTROL_SOCKET_NAME, 0);
        }
        control_directory_release(server->host->store);
        close(server->dir_fd);
    }
    if (server->listen_fd >= 0) {
        close(server->listen_fd);
    }
}

int control_server_start(const struct control_host *host, struct control_server **ret_server)
{
    struct control_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return -ENOMEM;
    }
    server->host = host;
    server->dir_fd = -1;
    server->listen_fd = -1;
    mutex_init(&server->mu, LOCK_RANK_CONTROL, "control");
    condvar_init(&server->changed);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        server->clients[i].fd = -1;
    }
    int r = open_socket(server);
    if (r == 0) {
        r = thread_start(&server->thread, "kvfs-control", server_main, server);
    }
    if (r < 0) {
        close_socket(server);
        condvar_finish(&server->changed);
        mutex_finish(&server->mu);
        free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

void control_server_stop(struct control_server *server)
{
    if (server == NULL) {
        return;
    }
    mutex_lock(&server->mu);
    server->stopping = true;
    condvar_signal(&server->changed);
    mutex_unlock(&server->mu);
    shutdown(server->listen_fd, SHUT_RDWR); /* wakes accept */
    thread_join(&server->thread);
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &server->clients[i];
        if (client->fd >= 0) {
            shutdown(client->fd, SHUT_RD); /* a reply on its way may still leave */
            thread_join(&client->thread);
            close(client->fd);
        }
    }
    close_socket(server);
    condvar_finish(&server->changed);
    mutex_finish(&server->mu);
    free(server);
}
