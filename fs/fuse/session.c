/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/session.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fs/fuse/guard.h"
#include "fs/fuse/signals.h"
#include "fs/fuse/tune.h"

enum {
    TRANSFER_SIZE_MAX = 1 << 20,
    BACKGROUND_MAX = 64, /* asynchronous requests (read-ahead, write-back) in flight */
    THREADS_MAX = 8,
    READAHEAD_KIB = 1024,
    READAHEAD_FAR_KIB = 8192, /* with less a stream keeps too few round trips going */
};

/* Whoever waits for the mount hears of it when we are done with the path to it: a umount(2) that
 * came right after would find the mount in use. */
static void on_mounted(void *arg)
{
    struct kvfs_mount *mount = arg;
    tune_readahead(mount->mountpoint, mount->far_store ? READAHEAD_FAR_KIB : READAHEAD_KIB);
    if (mount->ready_fn != NULL) {
        mount->ready_fn(mount->ready_arg);
    }
}

static void op_init(void *arg, struct fuse_conn_info *conn)
{
    struct kvfs_mount *mount = arg;
    unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_READDIRPLUS |
                      FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS |
                      FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_DONT_MASK |
                      (mount->unchecked ? 0 : FUSE_CAP_POSIX_ACL) |
                      (mount->writeback ? FUSE_CAP_WRITEBACK_CACHE : 0);
    /* The kernel clears setuid bits itself and asks us to store the mode: told otherwise it would
     * leave that to each write. Changed times never mean that pages are stale: that is told. Opens
     * do not reach us (ops_file.c), so O_TRUNC has to come as a request of its own. Attributes come
     * with every listing: left to choose, the kernel asks for those of a large directory one by
     * one, since find(1) reads all names before it asks about the first. With ACLs of its own the
     * kernel would check permissions whatever the mount says. */
    unsigned unwanted = FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_AUTO_INVAL_DATA |
                        FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS_AUTO |
                        (mount->unchecked ? FUSE_CAP_POSIX_ACL : 0) |
                        (mount->writeback ? 0 : FUSE_CAP_WRITEBACK_CACHE);
    conn->want = (conn->want | (wanted & conn->capable)) & ~unwanted;
    conn->max_write = TRANSFER_SIZE_MAX;
    conn->max_readahead = TRANSFER_SIZE_MAX;
    conn->max_background = BACKGROUND_MAX;
    conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
    conn->time_gran = 1;
    mount->served = true;
    notify_mounted(&mount->notify, on_mounted, mount);
}

static struct fuse_lowlevel_ops operations(void)
{
    struct fuse_lowlevel_ops ops = {.init = op_init};
    ops_inode_install(&ops);
    ops_name_install(&ops);
    ops_dir_install(&ops);
    ops_file_install(&ops);
    ops_xattr_install(&ops);
    ops_ioctl_install(&ops);
    return ops;
}

/* What goes to mount(2). libfuse refuses nodiratime, which is kept here and means nothing to the
 * kernel: it leaves access times to us. */
static int add_kernel_options(const char *options, char **list)
{
    int r = 0;
    char *copy = strdup(options != NULL ? options : "");
    char *rest = copy;
    char *option;
    if (copy == NULL) {
        return -ENOMEM;
    }
    while (r == 0 && (option = strsep(&rest, ",")) != NULL) {
        if (option[0] != 0 && strcmp(option, "nodiratime") != 0) {
            r = fuse_opt_add_opt(list, option);
        }
    }
    free(copy);
    return r;
}

/* In a user namespace root is not root to files of users that are not mapped there. */
static bool is_initial_namespace(void)
{
    static const ino_t initial = 0xEFFFFFFD; /* PROC_USER_INIT_INO of Linux */
    struct stat info;
    return stat("/proc/self/ns/user", &info) == 0 && info.st_ino == initial;
}

/* The mount is for the real user, who need not be the one in whose name we act. */
static bool is_roots_alone(const struct kvfs_mount_options *options)
{
    return !options->allow_other && getuid() == 0 && geteuid() == 0 && is_initial_namespace();
}

/* The options as libfuse takes them behind -o, with commas in values escaped. */
static int build_list(const struct kvfs_mount_options *options, bool unchecked, char **ret_list)
{
    char *list = NULL;
    char *fsname = NULL;
    int r = -ENOMEM;
    if (asprintf(&fsname, "fsname=%s", options->source) < 0) {
        return -ENOMEM;
    }
    if (fuse_opt_add_opt(&list, "subtype=kvfs") != 0 ||
        (!unchecked && fuse_opt_add_opt(&list, "default_permissions") != 0) ||
        fuse_opt_add_opt_escaped(&list, fsname) != 0 ||
        (options->uring && fuse_opt_add_opt(&list, "io_uring") != 0) ||
        (options->read_only && fuse_opt_add_opt(&list, "ro") != 0) ||
        (options->allow_other && fuse_opt_add_opt(&list, "allow_other") != 0) ||
        add_kernel_options(options->kernel_options, &list) != 0) {
        goto out;
    }
    r = 0;
    *ret_list = list;
    list = NULL;
out:
    free(list);
    free(fsname);
    return r;
}

static int build_args(const char *list, bool debug, struct fuse_args *args)
{
    return fuse_opt_add_arg(args, "kvfs") != 0 || fuse_opt_add_arg(args, "-o") != 0 ||
                   fuse_opt_add_arg(args, list) != 0 || (debug && fuse_opt_add_arg(args, "-d") != 0)
               ? -ENOMEM
               : 0;
}

/* Those that we may run on. */
static unsigned processor_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return count > 0 ? (unsigned)count : 1;
}

static unsigned default_threads(void)
{
    unsigned threads = 2 * processor_count();
    return threads > THREADS_MAX ? THREADS_MAX : threads;
}

/* libfuse takes the device of what is mounted already by the name of a descriptor, and then leaves
 * unmounting to others. */
static int attach(struct kvfs_mount *mount)
{
    char device[32];
    int fd = -1;
    if (mount->guard == NULL) {
        return fuse_session_mount(mount->session, mount->mountpoint) != 0 ? -EIO : 0;
    }
    int r = guard_mount(mount->guard, &fd);
    if (r < 0) {
        return r;
    }
    snprintf(device, sizeof device, "/dev/fd/%d", fd);
    if (fuse_session_mount(mount->session, device) != 0) {
        close(fd);
        kv_ignore(guard_unmount(mount->guard, true)); /* that it failed is told */
        return -EIO;
    }
    return 0;
}

static int mount_open(struct kvfs_mount *mount, const struct kvfs_mount_options *options)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_lowlevel_ops ops = operations();
    char *list = NULL;
    int r = build_list(options, mount->unchecked, &list);
    r = r < 0 ? r : build_args(list, options->debug, &args);
    if (r < 0) {
        goto out;
    }
    r = -EIO;
    mount->session = fuse_session_new(&args, &ops, sizeof ops, mount);
    if (mount->session == NULL) {
        goto out;
    }
    r = notify_init(&mount->notify, mount->session);
    r = r < 0 ? r : attach(mount);
#if FUSE_VERSION < 318
    if (r == 0) {
        r = wire_install(mount->session);
    }
#endif
out:
    fuse_opt_free_args(&args);
    free(list);
    return r;
}

/* Whether `name` stands in the comma-separated list, which may be NULL. */
static bool has_option(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = list; at != NULL && *at != 0; at += *at == ',') {
        size_t length = strcspn(at, ",");
        if (length == size && strncmp(at, name, size) == 0) {
            return true;
        }
        at += length;
    }
    return false;
}

static void on_changed(void *arg, uint64_t ino, const char *name)
{
    kvfs_mount_tell(arg, ino, name);
}

static void on_store_lost(void *arg)
{
    struct kvfs_mount *mount = arg;
    (void)eventfd_write(mount->lost_fd, 1);
}

int kvfs_mount_prepare(const struct kvfs_mount_options *options)
{
    char *list = NULL;
    int r = build_list(options, is_roots_alone(options), &list);
    r = r < 0 ? r : guard_options(options->guard, list);
    free(list);
    return r;
}

int kvfs_mount_create(struct kvfs *fs, const struct kvfs_mount_options *options,
                      struct kvfs_mount **ret_mount)
{
    struct kvfs_mount *mount = calloc(1, sizeof *mount);
    if (mount == NULL) {
        return -ENOMEM;
    }
    mount->fs = fs;
    buffers_init(&mount->buffers);
    defer_init(&mount->defer);
    idle_poll_init(&mount->idle_poll, options->idle_poll_fd);
    mount->sink = (struct message_sink){.fn = options->message_fn, .arg = options->message_arg};
    mount->threads = options->threads != 0 ? options->threads : default_threads();
    mount->writeback = options->writeback;
    mount->far_store = options->far_store;
    mount->unchecked = is_roots_alone(options);
    mount->uring = options->uring;
    mount->noatime = has_option(options->kernel_options, "noatime");
    mount->nodiratime = mount->noatime || has_option(options->kernel_options, "nodiratime");
    mount->ready_fn = options->ready_fn;
    mount->ready_arg = options->ready_arg;
    mount->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mount->lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mount->mountpoint = strdup(options->mountpoint);
    mount->guard = options->guard;
    int r = watch_init(&mount->watch, processor_count());
    r = mount->mountpoint == NULL ? -ENOMEM : r;
    r = r == 0 && (mount->stop_fd < 0 || mount->lost_fd < 0) ? -EMFILE : r;
    if (r == 0) {
        r = mount_open(mount, options);
    }
    if (r < 0) {
        kvfs_mount_destroy(mount);
        return r;
    }
    kvfs_on_change(fs, on_changed, mount);
    kvfs_on_store_lost(fs, on_store_lost, mount);
    if (mount->writeback) {
        kvfs_keep_sizes(fs);
    }
    *ret_mount = mount;
    return 0;
}

int kvfs_mount_run(struct kvfs_mount *mount)
{
    struct signals signals;
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (config == NULL) {
        return -ENOMEM;
    }
    mount->main_thread = gettid();
    int r = mount->uring ? defer_start(&mount->defer) : 0;
    r = r == 0 ? idle_poll_start(&mount->idle_poll) : r;
    r = r == 0 ? signals_start(&signals, mount) : r;
    if (r == 0) {
        fuse_loop_cfg_set_max_threads(config, mount->threads);
        r = fuse_session_loop_mt(mount->session, config) != 0 ? -EIO : 0;
        mount->ended = true;
        signals_stop(&signals);
    }
    fuse_loop_cfg_destroy(config);
    if (kvfs_store_lost(mount->fs) != 0) {
        return -ESHUTDOWN; /* whatever ended the loop */
    }
    if (r == 0 && !mount->served) {
        r = -EIO; /* unmounted, or the versions did not agree, before the first request */
    }
    return r;
}

/* Whether the mount is still there: the device of one that was unmounted, or that the kernel was
 * told to give up, says so. */
static bool is_mounted(const struct kvfs_mount *mount)
{
    struct pollfd device = {.fd = fuse_session_fd(mount->session)};
    return device.fd >= 0 && (poll(&device, 1, 0) != 1 || (device.revents & POLLERR) == 0);
}

/* As libfuse does where there is no guard; where there is one its own attempt, which 3.18 makes in
 * a child, is refused, and the child would go on in our name. The device is closed before: what the
 * kernel still wants to write fails then, and unmounting does not wait for us. */
static void end_session(struct kvfs_mount *mount)
{
    bool mounted = mount->guard != NULL && is_mounted(mount);
    if (mount->guard == NULL) {
        fuse_session_unmount(mount->session);
    }
    fuse_session_destroy(mount->session);
    int r = mounted ? guard_unmount(mount->guard, true) : 0;
    if (r < 0 && r != -EINVAL) { /* a copy of the mount may be left in another name space */
        message(&mount->sink, KV_MESSAGE_WARNING, "%s could not be unmounted: %s",
                mount->mountpoint, guard_strerror(r));
    }
}

void kvfs_mount_destroy(struct kvfs_mount *mount)
{
    if (mount == NULL) {
        return;
    }
    kvfs_on_change(mount->fs, NULL, NULL);
    kvfs_on_store_lost(mount->fs, NULL, NULL);
    defer_finish(&mount->defer); /* its answers go through the session */
    if (mount->session != NULL) {
        notify_finish(&mount->notify);
        end_session(mount);
    }
    if (mount->stop_fd >= 0) {
        close(mount->stop_fd);
    }
    if (mount->lost_fd >= 0) {
        close(mount->lost_fd);
    }
    idle_poll_finish(&mount->idle_poll);
    watch_finish(&mount->watch);
    buffers_finish(&mount->buffers);
    free(mount->mountpoint);
    free(mount);
}

void kvfs_mount_tell(struct kvfs_mount *mount, uint64_t ino, const char *name)
{
    notify_add(&mount->notify, ino, name);
}

void kvfs_mount_flush_changes(struct kvfs_mount *mount)
{
    notify_flush(&mount->notify);
}

const char *kvfs_mount_request_count(const struct kvfs_mount *mount, unsigned kind,
                                     uint64_t *ret_count)
{
    static const char *const names[REQUEST_KIND_COUNT] = {
        [REQUEST_LOOKUP] = "lookup",
        [REQUEST_FORGET] = "forget",
        [REQUEST_GETATTR] = "getattr",
        [REQUEST_SETATTR] = "setattr",
        [REQUEST_READLINK] = "readlink",
        [REQUEST_MKNOD] = "mknod",
        [REQUEST_MKDIR] = "mkdir",
        [REQUEST_SYMLINK] = "symlink",
        [REQUEST_LINK] = "link",
        [REQUEST_UNLINK] = "unlink",
        [REQUEST_RMDIR] = "rmdir",
        [REQUEST_RENAME] = "rename",
        [REQUEST_CREATE] = "create",
        [REQUEST_OPEN] = "open",
        [REQUEST_RELEASE] = "release",
        [REQUEST_READ] = "read",
        [REQUEST_WRITE] = "write",
        [REQUEST_FLUSH] = "flush",
        [REQUEST_FSYNC] = "fsync",
        [REQUEST_FALLOCATE] = "fallocate",
        [REQUEST_COPY_FILE_RANGE] = "copy_file_range",
        [REQUEST_LSEEK] = "lseek",
        [REQUEST_OPENDIR] = "opendir",
        [REQUEST_RELEASEDIR] = "releasedir",
        [REQUEST_READDIR] = "readdir",
        [REQUEST_READDIRPLUS] = "readdirplus",
        [REQUEST_FSYNCDIR] = "fsyncdir",
        [REQUEST_GETXATTR] = "getxattr",
        [REQUEST_SETXATTR] = "setxattr",
        [REQUEST_LISTXATTR] = "listxattr",
        [REQUEST_REMOVEXATTR] = "removexattr",
        [REQUEST_STATFS] = "statfs",
        [REQUEST_IOCTL] = "ioctl",
        [REQUEST_TMPFILE] = "tmpfile",
        [REQUEST_STATX] = "statx",
        [REQUEST_ACCESS] = "access",
    };
    if (kind >= REQUEST_KIND_COUNT) {
        return NULL;
    }
    *ret_count = __atomic_load_n(&mount->requests[kind], __ATOMIC_RELAXED);
    return names[kind];
}
