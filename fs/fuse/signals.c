/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/signals.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/fuse/guard.h"
#include "kvcore/util/clock.h"

enum {
    WAKE_INTERVAL_MS = 10,
    QUIET_INTERVAL_MS = 2,
    QUIET_COUNT = 10,
};
#define WRITE_BACK_TIMEOUT_NS (10 * 1000000000ULL)

/* Interrupts the loop's wait for its workers; there is nothing to do. */
static void on_wake(int signal_number)
{
}

/* No request waits in the kernel, and every write that we took is answered. */
static bool is_quiet(struct kvfs_mount *mount)
{
    struct pollfd waiting = {.fd = fuse_session_fd(mount->session), .events = POLLIN};
    uint64_t done = __atomic_load_n(&mount->writes_done, __ATOMIC_ACQUIRE);
    uint64_t begun = __atomic_load_n(&mount->requests[REQUEST_WRITE], __ATOMIC_ACQUIRE);
    return poll(&waiting, 1, 0) == 0 && begun == done;
}

static int sync_mount(struct kvfs_mount *mount)
{
    if (mount->guard != NULL) {
        return guard_sync(mount->guard);
    }
    int fd = open(mount->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    (void)syncfs(fd);
    close(fd);
    return 0;
}

static int unmount(struct kvfs_mount *mount)
{
    return mount->guard != NULL ? guard_unmount(mount->guard, false)
                                : kvfs_unmount(mount->mountpoint, false);
}

/* Have the kernel write back what programs changed through mmap(2), as long as we still answer.
 * syncfs(2) starts the writes but does not wait for those of a FUSE filesystem, so that is done
 * here: until it stayed quiet for a while, as a worker may just have taken a request. */
static void write_back(struct kvfs_mount *mount)
{
    if (sync_mount(mount) < 0) {
        return;
    }
    uint64_t deadline = clock_monotonic_ns() + WRITE_BACK_TIMEOUT_NS;
    unsigned quiet = 0;
    while (quiet < QUIET_COUNT && clock_monotonic_ns() < deadline) {
        quiet = is_quiet(mount) ? quiet + 1 : 0;
        (void)poll(NULL, 0, QUIET_INTERVAL_MS);
    }
    if (quiet < QUIET_COUNT) {
        message(&mount->sink, KV_MESSAGE_WARNING,
                "%s is too busy to tell whether all mapped pages were written", mount->mountpoint);
    }
}

/* libfuse's loop looks at its exit flag only when its wait is interrupted, and the signal may come
 * just before the wait, so it is repeated. */
static void end_loop(struct kvfs_mount *mount)
{
    fuse_session_exit(mount->session);
    while (!mount->ended) {
        (void)syscall(SYS_tgkill, getpid(), mount->main_thread, SIGUSR1);
        (void)poll(NULL, 0, WAKE_INTERVAL_MS);
    }
}

static void end_mount(struct kvfs_mount *mount)
{
    int r = unmount(mount);
    if (r == 0) {
        return; /* the loop ends by itself */
    }
    if (r == -EPIPE || r == -ETIMEDOUT) {
        message(&mount->sink, KV_MESSAGE_WARNING, "%s cannot be unmounted: %s", mount->mountpoint,
                guard_strerror(r));
    } else {
        message(&mount->sink, KV_MESSAGE_WARNING,
                "%s is still in use; unmounting it from its users", mount->mountpoint);
    }
    write_back(mount);
    notify_stop(&mount->notify);
    end_loop(mount);
}

/* That the kernel kept nothing is no failure. This waits for nobody. */
static void drop_attributes(void *arg, uint64_t ino)
{
    const struct kvfs_mount *mount = arg;
    (void)fuse_lowlevel_notify_inval_inode(mount->session, ino, -1, 0);
}

/* Pages, listings and targets of links. Waits for pages that are being read or written back. */
static void drop_contents(void *arg, uint64_t ino)
{
    const struct kvfs_mount *mount = arg;
    (void)fuse_lowlevel_notify_inval_inode(mount->session, ino, 0, 0);
}

/* What the kernel keeps may be out of date. Names stay, but nothing is found by one where the
 * attributes of the directory are gone; so the root, which comes first, already ends all that comes
 * by a path, and the others end what is open. All attributes go before any page, as a request that
 * hangs may keep a page for long. Dirty pages are refused, and go. Nobody keeps a mount that only
 * fails, and its daemon waits for nobody. */
static void lose_mount(struct kvfs_mount *mount)
{
    kvfs_known_inodes(mount->fs, drop_attributes, mount);
    kvfs_known_inodes(mount->fs, drop_contents, mount);
    notify_stop(&mount->notify);
    end_loop(mount);
}

/* What it was needed for is to be done by somebody else, who hears of that. */
static void lose_guard(struct kvfs_mount *mount)
{
    guard_bury(mount->guard);
    message(
        &mount->sink, KV_MESSAGE_WARNING,
        "the process that unmounts %s was killed: end the mount with umount(8) or 'kvfs umount'",
        mount->mountpoint);
}

static void *signals_main(void *arg)
{
    struct signals *s = arg;
    struct signalfd_siginfo info;
    struct pollfd fds[] = {{.fd = s->fd, .events = POLLIN},
                           {.fd = s->mount->stop_fd, .events = POLLIN},
                           {.fd = s->mount->lost_fd, .events = POLLIN},
                           {.fd = s->mount->guard != NULL ? guard_fd(s->mount->guard) : -1}};
    for (;;) {
        if (poll(fds, 4, -1) < 0) {
            continue;
        }
        if (fds[3].revents != 0) {
            lose_guard(s->mount);
            fds[3].fd = -1; /* hears no more */
        }
        if ((fds[1].revents & POLLIN) != 0) {
            return NULL;
        }
        if ((fds[2].revents & POLLIN) != 0) {
            lose_mount(s->mount);
            return NULL;
        }
        if ((fds[0].revents & POLLIN) == 0) {
            continue;
        }
        if (read(s->fd, &info, sizeof info) != (ssize_t)sizeof info) {
            continue;
        }
        message(&s->mount->sink, KV_MESSAGE_INFO, "signal %u from process %u: unmounting %s",
                info.ssi_signo, info.ssi_pid, s->mount->mountpoint);
        end_mount(s->mount);
    }
}

int signals_start(struct signals *s, struct kvfs_mount *mount)
{
    sigset_t mask;
    sigset_t before;
    struct sigaction wake = {.sa_handler = on_wake}; /* without SA_RESTART */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    *s = (struct signals){.mount = mount};
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    s->fd = signalfd(-1, &mask, SFD_CLOEXEC);
    if (s->fd < 0) {
        return -errno;
    }
    sigprocmask(SIG_BLOCK, &mask, &before);
    sigaction(SIGUSR1, &wake, &s->old_wake);
    sigaction(SIGPIPE, &ignore, &s->old_pipe);
    int r = thread_start(&s->thread, "kvfs-signals", signals_main, s);
    if (r < 0) {
        sigaction(SIGUSR1, &s->old_wake, NULL);
        sigaction(SIGPIPE, &s->old_pipe, NULL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(s->fd);
    }
    return r;
}

void signals_stop(struct signals *s)
{
    (void)eventfd_write(s->mount->stop_fd, 1);
    thread_join(&s->thread);
    close(s->fd);
    sigaction(SIGUSR1, &s->old_wake, NULL);
    sigaction(SIGPIPE, &s->old_pipe, NULL);
}
