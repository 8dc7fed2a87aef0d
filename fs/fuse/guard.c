/* SPDX-License-Identifier: Apache-2.0 */
/* The messages go through a pair of sockets that keeps their bounds, one answer to each. The guard
 * reads what comes from the daemon as it would a stranger's: all that can be asked for is about the
 * one mount point. */
#include "fs/fuse/guard.h"

#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/thread.h"

#define STOPPED_NS (STOPPED_S * 1000000000ULL)

enum guard_verb {
    GUARD_OPTIONS = 1, /* followed by them */
    GUARD_MOUNT,
    GUARD_UNMOUNT,
    GUARD_DETACH,
    GUARD_SYNC,
};

enum {
    MESSAGE_SIZE_MAX = 16 * 1024,
    STOPPED_S = 5, /* so long a guard may have been stopped, as by a debugger */
    END_PAUSE_MS = 10,
};

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U /* Linux 6.8 */
#endif

struct kvfs_guard {
    struct mutex mu; /* held during a call: one asks at a time */
    int fd;          /* constant until the end */
    pid_t pid;       /* constant */
    bool lost;       /* what it still says is no answer to the next call. Guarded by mu */
    bool buried;     /* its number may be another's. Guarded by mu */
};

/* What the guard keeps. */
struct charge {
    const char *mountpoint;
    char *options;          /* NULL: none came */
    bool tried, mounted;    /* to mount; and it is there, as far as is known */
    uint64_t id, unique_id; /* of the mount; 0: the kernel does not tell */
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

/* The same from the kernel's table of open files, which has only one of the numbers. */
static int find_id_without_access(const char *mountpoint, uint64_t *ret_id)
{
    char name[64];
    char line[128];
    int fd = open(mountpoint, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(name, "re");
    int r = info != NULL ? -ENODATA : -errno;
    while (r == -ENODATA && fgets(line, sizeof line, info) != NULL) {
        r = sscanf(line, "mnt_id: %" SCNu64, ret_id) == 1 ? 0 : r;
    }
    if (info != NULL) {
        fclose(info);
    }
    close(fd);
    return r;
}

/* Of what is mounted at the path, or with fd >= 0 of what is open. Asks nothing of who serves it.
 * Where a number is not told it is 0. Who mounts in the name of root for another user may not touch
 * the mount. */
static int find_ids(const char *mountpoint, int fd, uint64_t *ret_id, uint64_t *ret_unique_id)
{
    static const unsigned kinds[] = {STATX_MNT_ID, STATX_MNT_ID_UNIQUE};
    uint64_t found[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        struct statx info;
        int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW;
        if (statx(fd, fd < 0 ? mountpoint : "", fd < 0 ? flags : flags | AT_EMPTY_PATH, kinds[i],
                  &info) != 0) {
            *ret_unique_id = 0;
            return errno == EACCES && fd < 0 ? find_id_without_access(mountpoint, ret_id) : -errno;
        }
        found[i] = (info.stx_mask & kinds[i]) != 0 ? info.stx_mnt_id : 0;
    }
    *ret_id = found[0];
    *ret_unique_id = found[1];
    return 0;
}

/* Whether a mount of this number is in our name space. */
static bool is_in_table(uint64_t id)
{
    FILE *table = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = table == NULL;
    while (!found && getline(&line, &size, table) > 0) {
        found = strtoull(line, NULL, 10) == id;
    }
    free(line);
    if (table != NULL) {
        fclose(table);
    }
    return found;
}

/* What is at the mount point now, or open as `fd`, is our mount and no other. */
static int check_mount(const struct charge *charge, int fd)
{
    uint64_t id = 0;
    uint64_t unique_id = 0;
    if (!charge->mounted) {
        return -EINVAL;
    }
    int r = find_ids(charge->mountpoint, fd, &id, &unique_id);
    if (r < 0 || (id == charge->id && unique_id == charge->unique_id)) {
        return r;
    }
    return is_in_table(charge->id) ? -EBUSY : -EINVAL;
}

static int sync_mount(const struct charge *charge)
{
    int fd = charge->mounted ? open(charge->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return charge->mounted ? -errno : -EINVAL;
    }
    int r = check_mount(charge, fd);
    if (r == 0) {
        (void)syncfs(fd); /* starts the writes; how they end is seen by who serves them */
    }
    close(fd);
    return r;
}

static int unmount(struct charge *charge, bool lazy)
{
    int r = check_mount(charge, -1);
    r = r < 0 ? r : kvfs_unmount(charge->mountpoint, lazy);
    charge->mounted = charge->mounted && r < 0;
    return r;
}

static int keep_options(struct charge *charge, const char *list)
{
    if (charge->options != NULL) {
        return -EPERM;
    }
    charge->options = strdup(list);
    return charge->options != NULL ? 0 : -ENOMEM;
}

static int mount_once(struct charge *charge, int *ret_device)
{
    if (charge->options == NULL || charge->tried) {
        return -EPERM;
    }
    charge->tried = true;
    int device = mount_device(charge->mountpoint, charge->options);
    if (device < 0) {
        return device;
    }
    int r = find_ids(charge->mountpoint, -1, &charge->id, &charge->unique_id);
    if (r < 0) {
        close(device);
        kv_ignore(kvfs_unmount(charge->mountpoint, true)); /* the first failure is told */
        return r;
    }
    charge->mounted = true;
    *ret_device = device;
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

static bool carry_out(int fd, struct charge *charge, const char *message)
{
    int device = -1;
    int r = -EINVAL;
    switch (message[0]) {
    case GUARD_OPTIONS:
        r = keep_options(charge, message + 1);
        break;
    case GUARD_MOUNT:
        r = mount_once(charge, &device);
        close_stdio(); /* what libfuse had to say was said, and nobody is to wait for us */
        break;
    case GUARD_UNMOUNT:
    case GUARD_DETACH:
        r = unmount(charge, message[0] == GUARD_DETACH);
        break;
    case GUARD_SYNC:
        r = sync_mount(charge);
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
    struct charge charge = {.mountpoint = mountpoint};
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
        if (!carry_out(fd, &charge, message)) {
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

static bool is_stopped(const struct kvfs_guard *guard)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)guard->pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == guard->pid;
}

/* The kernel may refuse us that: we gave up to signal others. Then it ends once it goes on. */
static bool end_stopped(struct kvfs_guard *guard)
{
    guard->lost = true;
    return kill(guard->pid, SIGKILL) == 0;
}

static void await_end(struct kvfs_guard *guard)
{
    uint64_t stopped_ns = 0;
    while (!guard->buried) {
        pid_t pid = waitpid(guard->pid, NULL, WNOHANG);
        uint64_t now = clock_monotonic_ns();
        guard->buried = pid == guard->pid || (pid < 0 && errno != EINTR);
        stopped_ns = guard->buried || !is_stopped(guard) ? 0 : stopped_ns == 0 ? now : stopped_ns;
        bool patient = stopped_ns == 0 || (!guard->lost && now - stopped_ns < STOPPED_NS);
        if (!patient && !end_stopped(guard)) {
            return;
        }
        if (!guard->buried) {
            (void)poll(NULL, 0, END_PAUSE_MS);
        }
    }
}

void kvfs_guard_end(struct kvfs_guard *guard)
{
    if (guard == NULL) {
        return;
    }
    close(guard->fd);
    await_end(guard);
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

/* However long it takes what it does, but not that long once it was stopped. */
static ssize_t receive_from(struct kvfs_guard *guard, struct msghdr *message)
{
    for (int stopped = 0; stopped < STOPPED_S;) {
        struct pollfd readable = {.fd = guard->fd, .events = POLLIN};
        int ready = poll(&readable, 1, 1000);
        if (ready > 0) {
            return recvmsg(guard->fd, message, MSG_CMSG_CLOEXEC);
        }
        stopped = ready == 0 && is_stopped(guard) ? stopped + 1 : 0;
    }
    (void)end_stopped(guard);
    return -ETIMEDOUT;
}

/* `ret_fd` NULL: none comes. */
static int receive_answer(struct kvfs_guard *guard, int *ret_fd)
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
        size = receive_from(guard, &message);
    } while (size == -1 && errno == EINTR);
    if (size != (ssize_t)sizeof result) {
        return size == -ETIMEDOUT ? -ETIMEDOUT : -EPIPE;
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
    int r = guard->lost                                      ? -ETIMEDOUT
            : sendmsg(guard->fd, &message, MSG_NOSIGNAL) < 0 ? -EPIPE
                                                             : receive_answer(guard, ret_fd);
    mutex_unlock(&guard->mu);
    return r;
}

int guard_options(struct kvfs_guard *guard, const char *list)
{
    return call(guard, GUARD_OPTIONS, list, NULL);
}

int guard_mount(struct kvfs_guard *guard, int *ret_fd)
{
    return call(guard, GUARD_MOUNT, "", ret_fd);
}

int guard_unmount(struct kvfs_guard *guard, bool lazy)
{
    return call(guard, lazy ? GUARD_DETACH : GUARD_UNMOUNT, "", NULL);
}

int guard_sync(struct kvfs_guard *guard)
{
    return call(guard, GUARD_SYNC, "", NULL);
}

int guard_fd(const struct kvfs_guard *guard)
{
    return guard->fd;
}

void guard_bury(struct kvfs_guard *guard)
{
    mutex_lock(&guard->mu);
    while (!guard->buried) {
        guard->buried = waitpid(guard->pid, NULL, 0) >= 0 || errno != EINTR;
    }
    mutex_unlock(&guard->mu);
}

const char *guard_strerror(int error)
{
    return error == -EPIPE       ? "the process that unmounts it has ended"
           : error == -ETIMEDOUT ? "the process that unmounts it was stopped"
                                 : kv_strerror(error);
}
