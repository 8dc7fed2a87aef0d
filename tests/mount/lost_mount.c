/* SPDX-License-Identifier: Apache-2.0 */
/* A mount whose store is lost to another holder, as a program sees it that uses the mount.
 *
 *   lost_mount MOUNTPOINT
 *
 * The store is one in memory that is lost when it is told so (tests/lib/losable.h), and its mount
 * belongs to a child; what is looked at is what the kernel kept of it. Output: TAP. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fuse/mount.h"
#include "kvcore/util/thread.h"
#include "tests/lib/losable.h"

enum {
    STATUS_LOST = 7, /* of the daemon */
    STATUS_ELSE = 1,
    FILE_SIZE = 64 * 1024,
    PATIENCE_MS = 60 * 1000,
};

/* ---- the daemon -------------------------------------------------------------------------------
 */

struct daemon {
    pid_t pid;
    int ready_fd; /* one byte comes when it is mounted */
    int lose_fd;  /* a byte loses the store */
};

/* The byte. */
enum { LOSE = 'l', LOSE_AND_STOP = 's' };

static void on_ready(void *arg)
{
    const int *fd = arg;
    if (write(*fd, "", 1) != 1) {
        _exit(STATUS_ELSE);
    }
}

static void *lose_main(void *arg)
{
    const int *fd = arg;
    char byte = 0;
    while (read(*fd, &byte, 1) < 0) {
    }
    losable_lose(-ESHUTDOWN);
    if (byte == LOSE_AND_STOP) { /* the mount has heard of the loss, and is being ended */
        kill(getpid(), SIGTERM);
        kill(getpid(), SIGINT);
    }
    return NULL;
}

static void say(void *arg, enum kv_message_level level, const char *text)
{
    fprintf(stderr, "# the daemon says (%d): %s\n", (int)level, text);
}

static int serve(const char *mountpoint, int ready_fd, int lose_fd)
{
    struct kvfs_options options = {.create = true, .memory_bytes = 16 << 20, .message_fn = say};
    struct kvfs_mount_options mounting = {.source = "lost",
                                          .mountpoint = mountpoint,
                                          .ready_fn = on_ready,
                                          .ready_arg = &ready_fd,
                                          .message_fn = say};
    struct kv_storage *storage = NULL;
    struct kvfs_mount *mount = NULL;
    struct kvfs *fs = NULL;
    struct thread thread;

    int r = kv_storage_mem_create(&storage);
    if (r == 0) {
        losable_wrap(storage);
        r = kvfs_open_storage(storage, &options, &fs);
    }
    r = r < 0 ? r : kvfs_mount_create(fs, &mounting, &mount);
    r = r < 0 ? r : thread_start(&thread, "loser", lose_main, &lose_fd);
    r = r < 0 ? r : kvfs_mount_run(mount);
    kvfs_mount_destroy(mount);
    return r == -ESHUTDOWN && kvfs_close(fs) < 0 ? STATUS_LOST : STATUS_ELSE;
}

static bool begin(const char *mountpoint, struct daemon *ret_daemon)
{
    int ready[2];
    int lose[2];
    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(lose, O_CLOEXEC) != 0) {
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        close(ready[0]);
        close(lose[1]);
        _exit(serve(mountpoint, ready[1], lose[0]));
    }
    close(ready[1]);
    close(lose[0]);
    *ret_daemon = (struct daemon){.pid = pid, .ready_fd = ready[0], .lose_fd = lose[1]};
    char byte;
    return pid > 0 && read(ready[0], &byte, 1) == 1;
}

/* Lose the store. Whether the daemon ends with the status that says so. */
static bool lose(struct daemon *daemon, char how)
{
    int status = 0;
    bool asked = write(daemon->lose_fd, &how, 1) == 1;
    close(daemon->lose_fd);
    close(daemon->ready_fd);
    for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 10) {
        if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid) {
            printf("# wait status %x\n", (unsigned)status);
            return asked && WIFEXITED(status) && WEXITSTATUS(status) == STATUS_LOST;
        }
        (void)poll(NULL, 0, 10);
    }
    kill(daemon->pid, SIGKILL);
    printf("# it does not end\n");
    return false;
}

/* ---- who uses the mount -----------------------------------------------------------------------
 */

static sigjmp_buf on_fault;

static void jump(int number)
{
    siglongjmp(on_fault, number);
}

/* Whether the kernel still has a page for this address. */
static bool can_read(const volatile char *at)
{
    struct sigaction action = {.sa_handler = jump};
    struct sigaction before;
    bool fine = false;
    sigaction(SIGBUS, &action, &before);
    if (sigsetjmp(on_fault, 1) == 0) {
        (void)*at;
        fine = true;
    }
    sigaction(SIGBUS, &before, NULL);
    return fine;
}

/* What a program has of the mount. */
struct user {
    char path[4096];       /* of a file */
    char dirty_path[4096]; /* of one whose page it has changed in place */
    int fd, dirty_fd, dir_fd;
    char *mapped, *dirty; /* their first pages */
    char bytes[FILE_SIZE];
};

static int make_file(struct user *user, const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    memset(user->bytes, 'o', sizeof user->bytes);
    if (fd < 0 || write(fd, user->bytes, sizeof user->bytes) != (ssize_t)sizeof user->bytes ||
        fsync(fd) != 0 || pread(fd, user->bytes, sizeof user->bytes, 0) != FILE_SIZE) {
        return -1;
    }
    return fd;
}

static bool use(struct user *user, const char *mountpoint)
{
    unsigned char resident[FILE_SIZE / 4096] = {0};
    snprintf(user->path, sizeof user->path, "%s/file", mountpoint);
    snprintf(user->dirty_path, sizeof user->dirty_path, "%s/dirty", mountpoint);
    user->fd = make_file(user, user->path);
    user->dirty_fd = make_file(user, user->dirty_path);
    user->dir_fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (user->fd < 0 || user->dirty_fd < 0 || user->dir_fd < 0) {
        return false;
    }
    user->mapped = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, user->fd, 0);
    user->dirty = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, user->dirty_fd, 0);
    if (user->mapped == MAP_FAILED || user->dirty == MAP_FAILED) {
        return false;
    }
    user->dirty[0] = 'n';
    return can_read(user->mapped) && mincore(user->mapped, FILE_SIZE, resident) == 0 &&
           resident[0] != 0 && resident[FILE_SIZE / 4096 - 1] != 0;
}

static void leave(struct user *user)
{
    munmap(user->mapped, FILE_SIZE);
    munmap(user->dirty, FILE_SIZE);
    close(user->fd);
    close(user->dirty_fd);
    close(user->dir_fd);
}

static bool fails(const char *what, bool failed)
{
    const char *how = errno != 0 ? strerror(errno) : "SIGBUS";
    printf("# %s: %s\n", what, failed ? how : "succeeds");
    return failed;
}

static bool has_nothing(struct user *user)
{
    struct stat st;
    bool fine = fails("read", pread(user->fd, user->bytes, sizeof user->bytes, 0) < 0);
    fine = fails("fstat", fstat(user->fd, &st) != 0) && fine;
    fine = fails("a name", fstatat(user->dir_fd, "file", &st, 0) != 0) && fine;
    fine = fails("read what was changed", pread(user->dirty_fd, user->bytes, 1, 0) < 0) && fine;
    errno = 0;
    fine = fails("the mapped page", !can_read(user->mapped)) && fine;
    fine = fails("the changed page", !can_read(user->dirty)) && fine;
    return fine;
}

static bool is_no_mount(const char *mountpoint)
{
    struct stat st;
    struct stat above;
    char path[4096];
    snprintf(path, sizeof path, "%s/..", mountpoint);
    return stat(mountpoint, &st) == 0 && stat(path, &above) == 0 && st.st_dev == above.st_dev;
}

/* ---- points -----------------------------------------------------------------------------------
 */

static int points, failures;

static void point(const char *name, bool fine)
{
    printf("%sok %d - %s\n", fine ? "" : "not ", ++points, name);
    failures += !fine;
}

static void lose_in_use(const char *mountpoint)
{
    struct daemon daemon;
    struct user user;
    bool fine = begin(mountpoint, &daemon) && use(&user, mountpoint);
    point("a program uses a mount, and the kernel keeps what it read", fine);
    if (!fine) {
        return;
    }
    point("a mount in use whose store is lost ends, and its daemon says so", lose(&daemon, LOSE));
    point("it is unmounted", is_no_mount(mountpoint));
    point("nothing that the kernel kept is read any more", has_nothing(&user));
    leave(&user);
}

/* A process that has a copy of all mounts. */
static pid_t copy_mounts(void)
{
    int made[2];
    char byte = 0;
    if (pipe2(made, O_CLOEXEC) != 0) {
        return -1;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            write(made[1], "", 1) == 1) {
            pause();
        }
        _exit(1);
    }
    close(made[1]);
    bool copied = read(made[0], &byte, 1) == 1;
    close(made[0]);
    if (!copied && pid > 0) {
        waitpid(pid, NULL, 0);
    }
    return copied ? pid : -1;
}

static void lose_with_a_copy(const char *mountpoint)
{
    static const char name[] = "a copy of the mount in another namespace does not keep its daemon";
    struct daemon daemon;
    if (!begin(mountpoint, &daemon)) {
        point(name, false);
        return;
    }
    pid_t holder = copy_mounts();
    bool ended = lose(&daemon, LOSE) && is_no_mount(mountpoint);
    if (holder < 0 && ended) {
        printf("ok %d - %s # SKIP no mount namespace can be made here\n", ++points, name);
        return;
    }
    point(name, ended);
    if (holder < 0) {
        return;
    }
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
}

static void lose_while_told_to_end(const char *mountpoint)
{
    struct daemon daemon;
    bool fine = begin(mountpoint, &daemon) && lose(&daemon, LOSE_AND_STOP);
    point("signals that come while a lost mount is ended change nothing of its status", fine);
    point("nor do they leave the mount there", is_no_mount(mountpoint));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s MOUNTPOINT\n", argv[0]);
        return EXIT_FAILURE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    lose_in_use(argv[1]);
    lose_with_a_copy(argv[1]);
    lose_while_told_to_end(argv[1]);
    printf("1..%d\n", points);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
