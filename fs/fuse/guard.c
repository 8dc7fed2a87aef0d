/* SPDX-License-Identifier: Apache-2.0 */
/* The messages go through a pair of sockets that keeps their bounds, one answer to each. The guard
 * reads what comes from the daemon as it would a stranger's: all that can be asked for is about the
 * one mount point. */
#include "fs/fuse/guard.h"

#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvcore/util/thread.h"

enum guard_verb {
    GUARD_MOUNT = 1, /* followed by the options */
    GUARD_UNMOUNT,
    GUARD_DETACH,
    GUARD_SYNC,
};

enum { MESSAGE_SIZE_MAX = 16 * 1024 };

struct kvfs_guard {
    struct mutex mu; /* held during a call: one asks at a time */
    int fd;          /* constant until the end */
    pid_t pid;       /* constant */
};

/* ---- the guard ------------------------------------------------------------------------------- */

/* The device of a new mount. The session was needed for the mounting alone. */
static int mount_device(const char *mountpoint, const char *list)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_lowlevel_ops none = {0};
    struct fuse_session *session = NULL;
    int r = -EIO;
    if (fuse_opt_add_arg(&args, "kvfs") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
        fuse_opt_add_arg(&args, list) == 0) {
        session = fuse_session_new(&args, &none, sizeof none, NULL);
    }
    if (session != NULL && fuse_session_mount(session, mountpoint) == 0) {
        r = fcntl(fuse_session_fd(session), F_DUPFD_CLOEXEC, 3);
        r = r < 0 ? -errno : r;
    }
    if (session != NULL) {
        fuse_session_destroy(session); /* closes its descriptor and leaves the mount */
    }
    fuse_opt_free_args(&args);
    return r;
}

static int sync_mount(const char *mountpoint)
{
    int fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    (void)syncfs(fd); /* starts the writes; how they end is seen by who serves them */
    close(fd);
    return 0;
}

static void close_stdio(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++) {
        (void)dup2(null, fd);
    }
    if (null > STDERR_FILENO) {
        close(null);
    }
}

/* `device` -1: none goes along. */
static bool send_answer(int fd, int result, int device)
{
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = &result, .iov_len = sizeof result};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (device >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(&control.header), &device, sizeof device);
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof result;
}

static bool carry_out(int fd, const char *mountpoint, const char *message)
{
    int device = -1;
    int r = -EINVAL;
    switch (message[0]) {
    case GUARD_MOUNT:
        device = mount_device(mountpoint, message + 1);
        r = device < 0 ? device : 0;
        close_stdio(); /* what libfuse had to say was said, and nobody is to wait for us */
        break;
    case GUARD_UNMOUNT:
    case GUARD_DETACH:
        r = kvfs_unmount(mountpoint, message[0] == GUARD_DETACH);
        break;
    case GUARD_SYNC:
        r = sync_mount(mountpoint);
        break;
    }
    bool sent = send_answer(fd, r, device);
    if (device >= 0) {
        close(device); /* the mount is to end with the daemon, whatever becomes of us */
    }
    return sent;
}

/* Signals are for the daemon, from which we hear what is to be done: also those of a terminal and
 * of a service manager, which come to both. */
__attribute__((noreturn)) static void run_guard(int fd, const char *mountpoint)
{
    static char message[MESSAGE_SIZE_MAX + 1];
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    (void)prctl(PR_SET_NAME, "kvfs-guard");
    if (fd > 3) {
        close_range(3, (unsigned)fd - 1, 0);
    }
    close_range((unsigned)fd + 1, ~0U, 0);
    for (;;) {
        ssize_t size = recv(fd, message, MESSAGE_SIZE_MAX, 0);
        if (size <= 0) {
            _exit(0); /* the daemon has ended; after a crash the mount stays */
        }
        message[size] = '\0';
        if (!carry_out(fd, mountpoint, message)) {
            _exit(0);
        }
    }
}

/* ---- the daemon ------------------------------------------------------------------------------ */

/* None of them is one of those that are given up to /dev/null once it serves, which are free where
 * the caller closed them. */
static int make_pair(int fds[2])
{
    int made[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, made) != 0) {
        return -errno;
    }
    int r = 0;
    for (int i = 0; i < 2; i++) {
        fds[i] = fcntl(made[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        r = fds[i] < 0 ? -errno : r;
        close(made[i]);
    }
    for (int i = 0; r < 0 && i < 2; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    return r;
}

int kvfs_guard_start(const char *mountpoint, struct kvfs_guard **ret_guard)
{
    struct kvfs_guard *guard = calloc(1, sizeof *guard);
    int fds[2];
    if (guard == NULL) {
        return -ENOMEM;
    }
    int r = make_pair(fds);
    if (r < 0) {
        free(guard);
        return r;
    }
    fflush(NULL);
    guard->pid = fork();
    if (guard->pid == 0) {
        close(fds[0]);
        run_guard(fds[1], mountpoint);
    }
    int error = -errno;
    close(fds[1]);
    if (guard->pid < 0) {
        close(fds[0]);
        free(guard);
        return error;
    }
    guard->fd = fds[0];
    mutex_init(&guard->mu, LOCK_RANK_LEAF, "guard");
    *ret_guard = guard;
    return 0;
}

void kvfs_guard_end(struct kvfs_guard *guard)
{
    if (guard == NULL) {
        return;
    }
    close(guard->fd);
    while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    mutex_finish(&guard->mu);
    free(guard);
}

static int take_device(struct msghdr *message)
{
    int fd = -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (header != NULL && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof fd)) {
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    }
    return fd;
}

/* `ret_fd` NULL: none comes. */
static int receive_answer(int fd, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    int result = 0;
    struct iovec part = {.iov_base = &result, .iov_len = sizeof result};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t size;
    do {
        size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size != (ssize_t)sizeof result) {
        return -EPIPE;
    }
    if (result == 0 && ret_fd != NULL) {
        int device = take_device(&message);
        result = device < 0 ? -EIO : 0;
        *ret_fd = device;
    }
    return result;
}

static int call(struct kvfs_guard *guard, enum guard_verb verb, const char *text, int *ret_fd)
{
    char first = (char)verb;
    struct iovec parts[] = {
        {.iov_base = &first, .iov_len = 1},
        {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (parts[1].iov_len >= MESSAGE_SIZE_MAX) {
        return -E2BIG;
    }
    mutex_lock(&guard->mu);
    int r =
        sendmsg(guard->fd, &message, MSG_NOSIGNAL) < 0 ? -EPIPE : receive_answer(guard->fd, ret_fd);
    mutex_unlock(&guard->mu);
    return r;
}

int guard_mount(struct kvfs_guard *guard, const char *list, int *ret_fd)
{
    return call(guard, GUARD_MOUNT, list, ret_fd);
}

int guard_unmount(struct kvfs_guard *guard, bool lazy)
{
    return call(guard, lazy ? GUARD_DETACH : GUARD_UNMOUNT, "", NULL);
}

int guard_sync(struct kvfs_guard *guard)
{
    return call(guard, GUARD_SYNC, "", NULL);
}
