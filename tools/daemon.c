/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fuse/mount.h"
#include "tools/control_io.h"
#include "tools/control_server.h"
#include "tools/health_watch.h"
#include "tools/heap.h"
#include "tools/notify.h"
#include "tools/sandbox.h"
#include "tools/store_open.h"
#include "tools/store_url.h"
#include "tools/suspect_check.h"

/* ---- serving --------------------------------------------------------------------------------- */

/* Tells the process that waits for the daemon: nothing else is written on success, the sentence of
 * the fault on failure. */
struct starter {
    int fd;            /* -1: nobody waits */
    bool is_managed;   /* in the foreground, where a service manager may want to know */
    const char *ready; /* what that is told */
    struct log *log;
};

static void tell_manager(const struct starter *starter, const char *state)
{
    int r = starter->is_managed ? notify_send(state) : 0;
    if (r < 0) {
        char text[128];
        snprintf(text, sizeof text, "cannot tell the service manager by NOTIFY_SOCKET: %s",
                 kv_strerror(r));
        log_message(starter->log, KV_MESSAGE_WARNING, text);
    }
}

static void detach(struct starter *starter)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++) {
        (void)dup2(null, fd);
    }
    if (null > STDERR_FILENO) {
        close(null);
    }
    close(starter->fd);
    starter->fd = -1;
}

static void on_ready(void *arg)
{
    struct starter *starter = arg;
    static const char ready = 1;
    tell_manager(starter, starter->ready);
    if (starter->fd < 0) {
        return;
    }
    if (write(starter->fd, &ready, 1) != 1) {
        kill(getpid(), SIGTERM); /* whoever asked for it is gone */
    }
    detach(starter);
}

static void say_closing(struct kvfs *fs, const char *store)
{
    char holder[256];
    store_holder_describe(store, STORE_HOLDER_CLOSING, holder, sizeof holder);
    kv_ignore(kv_describe_holder(kvfs_store(fs), holder)); /* only tells who comes meanwhile */
}

/* What runs beside the serving. */
struct helpers {
    struct control_server
        *server; /* NULL: a reader writes nothing into the store, not even a socket */
    struct health_watch *watch;
    struct suspect_check *check; /* NULL: nothing is suspected */
};

/* Others read `holder` when they find the store in use; NULL: a reader. On failure nothing runs. */
static int start_helpers(const struct control_host *host, const char *holder,
                         const struct starter *starter, struct helpers *ret_helpers,
                         struct fault *fault)
{
    struct helpers helpers = {0};
    struct fault said;
    int r = holder != NULL ? kv_describe_holder(host->engine, holder) : 0;
    if (r == 0 && holder != NULL) {
        r = control_server_start(host, &helpers.server);
    }
    if (r < 0) {
        char directory[CONTROL_DIRECTORY_SIZE];
        control_directory_name(host->store, directory, sizeof directory);
        return fault_set(fault, r, "cannot make the control socket in %s: %s", directory,
                         kv_strerror(r));
    }
    r = health_watch_start(host, &helpers.watch);
    if (r < 0) {
        control_server_stop(helpers.server);
        return fault_set(fault, r, "cannot watch the health of %s: %s", host->store,
                         kv_strerror(r));
    }
    suspect_check_start(host, &helpers.check, &said);
    if (said.text[0] != '\0' && starter->fd >= 0) {
        complain("%s", said.text); /* to whoever waits, too */
    }
    *ret_helpers = helpers;
    return 0;
}

static void stop_helpers(struct helpers *helpers)
{
    suspect_check_stop(helpers->check);
    health_watch_stop(helpers->watch);
    control_server_stop(helpers->server);
}

/* What was done before the store is opened, as it takes rights that the daemon then gives up. */
struct prepared {
    struct kvfs_guard *guard; /* NULL: nothing is to be mounted */
    const char *no_uring;     /* why requests do not come over io_uring; NULL: they do */
    int idle_poll_fd;         /* -1: idle processors may halt */
    struct sandbox sandbox;
};

static bool wants_uring(const struct mount_plan *plan, const struct prepared *prepared)
{
    return plan->mountpoint != NULL && plan->options.uring != MOUNT_OFF &&
           prepared->no_uring == NULL;
}

static struct kvfs_mount_options mount_options(const struct mount_plan *plan,
                                               const struct prepared *prepared)
{
    return (struct kvfs_mount_options){
        .source = plan->store,
        .mountpoint = plan->mountpoint,
        .guard = prepared->guard,
        .kernel_options = plan->options.kernel,
        .threads = plan->options.threads,
        .read_only = plan->options.read_only,
        .allow_other = plan->options.allow_other,
        .writeback = plan->options.writeback,
        .uring = wants_uring(plan, prepared),
        .idle_poll_fd = prepared->idle_poll_fd,
        .debug = plan->debug,
        .far_store = store_is_url(plan->store),
    };
}

static int serve_mount(const struct mount_plan *plan, const struct prepared *prepared,
                       struct kvfs *fs, struct log *log, struct starter *starter,
                       struct fault *fault)
{
    struct kvfs_mount_options options = mount_options(plan, prepared);
    struct control_host host = {.fs = fs,
                                .engine = kvfs_store(fs),
                                .log = log,
                                .store = plan->store,
                                .mountpoint = plan->mountpoint,
                                .pid = getpid(),
                                .state = "mounted",
                                .sandbox = prepared->sandbox.text,
                                .no_uring = prepared->no_uring,
                                .idle_poll = prepared->idle_poll_fd >= 0};
    struct helpers helpers = {0};
    char rest[512];
    char holder[768];
    options.ready_fn = on_ready;
    options.ready_arg = starter;
    options.message_fn = log_message;
    options.message_arg = log;
    int r = kvfs_mount_create(fs, &options, &host.mount);
    if (r < 0) {
        return fault_set(fault, r,
                         "cannot mount on %s: the kernel or libfuse refused, see above. Mounting "
                         "takes root, or the program fusermount3 and access to /dev/fuse.",
                         plan->mountpoint);
    }
    snprintf(rest, sizeof rest, ", mounted on %s", plan->mountpoint);
    store_holder_describe(plan->store, rest, holder, sizeof holder);
    r = start_helpers(&host, plan->options.read_only ? NULL : holder, starter, &helpers, fault);
    if (r == 0) {
        r = kvfs_mount_run(host.mount);
        if (r < 0 && r != -ESHUTDOWN) {
            fault_set(fault, r, "the mount on %s failed: %s", plan->mountpoint, kv_strerror(r));
        }
        tell_manager(starter, "STOPPING=1\nSTATUS=Unmounted, closing the store.");
    }
    stop_helpers(&helpers);
    kvfs_mount_destroy(host.mount);
    if (!plan->options.read_only) {
        say_closing(fs, plan->store);
    }
    return r;
}

/* The signal that ends serving. */
static void on_store_lost(void *arg)
{
    (void)arg;
    kill(getpid(), SIGTERM);
}

/* Wait for one of the signals, which are blocked. */
static int await_end(const sigset_t *signals, const struct control_host *host)
{
    siginfo_t info;
    struct fault text; /* for its room */
    kvfs_on_store_lost(host->fs, on_store_lost, NULL);
    while (sigwaitinfo(signals, &info) < 0) {
    }
    kvfs_on_store_lost(host->fs, NULL, NULL);
    if (kvfs_store_lost(host->fs) != 0) {
        return -ESHUTDOWN;
    }
    fault_set(&text, 0, "signal %d from process %d: ending to serve %s", info.si_signo,
              (int)info.si_pid, host->store);
    log_message(host->log, KV_MESSAGE_INFO, text.text);
    return 0;
}

/* Without a mount: through the control socket, until a signal comes. */
static int serve_socket(const struct mount_plan *plan, const struct prepared *prepared,
                        struct kvfs *fs, struct log *log, struct starter *starter,
                        struct fault *fault)
{
    struct control_host host = {.fs = fs,
                                .engine = kvfs_store(fs),
                                .log = log,
                                .store = plan->store,
                                .pid = getpid(),
                                .sandbox = prepared->sandbox.text,
                                .state = "serving"};
    struct helpers helpers = {0};
    sigset_t signals;
    char holder[256];

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    store_holder_describe(plan->store, STORE_HOLDER_SERVING, holder, sizeof holder);
    int r = start_helpers(&host, holder, starter, &helpers, fault);
    if (r < 0) {
        return r;
    }
    on_ready(starter);
    r = await_end(&signals, &host);
    tell_manager(starter, "STOPPING=1\nSTATUS=Closing the store.");
    say_closing(fs, plan->store);
    stop_helpers(&helpers);
    return r;
}

/* `served` is what serving ended with. */
static int close_store(const struct mount_plan *plan, struct kvfs *fs, struct log *log, int served,
                       struct fault *fault)
{
    struct fault close_fault;
    int lost = kvfs_store_lost(fs);
    int r = kvfs_close(fs);
    if (served == -ESHUTDOWN && lost != 0) {
        return store_explain_lost(plan->store, lost, fault); /* nor could it be closed */
    }
    if (r < 0) {
        fault_set(&close_fault, r,
                  "cannot close %s: %s. What was written last may be lost after a power failure.",
                  plan->store, kv_strerror(r));
        log_message(log, KV_MESSAGE_ERROR, close_fault.text);
    }
    if (r < 0 && served == 0) {
        *fault = close_fault;
        return r;
    }
    return served;
}

static int prepare_uring(const struct mount_plan *plan, struct log *log, struct prepared *prepared,
                         struct fault *fault)
{
    if (plan->mountpoint == NULL || plan->options.uring == MOUNT_OFF) {
        return 0;
    }
    prepared->no_uring = kvfs_uring_obstacle(plan->options.uring == MOUNT_ON);
    if (prepared->no_uring != NULL && plan->options.uring == MOUNT_ON) {
        return fault_set(fault, -ENOTSUP, "cannot mount with uring=on: %s", prepared->no_uring);
    }
    if (prepared->no_uring != NULL) {
        log_message(log, KV_MESSAGE_INFO, prepared->no_uring);
    }
    return 0;
}

/* Where that is not to be had by itself, nothing is wrong. */
static int prepare_idle_poll(const struct mount_plan *plan, struct prepared *prepared,
                             struct fault *fault)
{
    bool always = plan->options.idle_poll == MOUNT_ON;
    prepared->idle_poll_fd = -1;
    if (plan->mountpoint == NULL || plan->options.idle_poll == MOUNT_OFF) {
        return 0;
    }
    prepared->idle_poll_fd = kvfs_idle_poll_open(always);
    if (prepared->idle_poll_fd < 0 && always) {
        return fault_set(fault, prepared->idle_poll_fd,
                         "cannot mount with idle_poll=on: /dev/cpu_dma_latency: %s. It takes root.",
                         kv_strerror(prepared->idle_poll_fd));
    }
    return 0;
}

/* A store's directory is made here, and its name durable, as long as the directory above it may be
 * opened. The storage syncs that with the first root record, but for who may not read it. Where
 * there is no such directory, or it cannot be made, opening the store says why. */
static int settle_directory(const struct mount_plan *plan, struct fault *fault)
{
    struct kv_storage *storage = NULL;
    int r = 0;
    if (plan->options.read_only || store_is_url(plan->store)) {
        return 0;
    }
    if (plan->create && kv_storage_posix_open(plan->store, true, &storage) == 0) {
        storage->ops->close(storage);
    }
    int store = open(plan->store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int above = store >= 0 ? openat(store, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (above >= 0 && fsync(above) != 0) {
        r = fault_set(fault, -errno, "cannot open %s: syncing the directory above it: %s",
                      plan->store, kv_strerror(-errno));
    }
    if (above >= 0) {
        close(above);
    }
    if (store >= 0) {
        close(store);
    }
    return r;
}

static void enter_sandbox(const struct mount_plan *plan, struct log *log, struct prepared *prepared)
{
    struct sandbox_plan rights = {
        .store = store_is_url(plan->store) ? NULL : plan->store,
        .uring = wants_uring(plan, prepared),
    };
    struct fault text; /* for its room */
    sandbox_enter(&rights, &prepared->sandbox);
    if (!prepared->sandbox.complete) {
        fault_set(&text, 0, "this process keeps rights that it does not need: %s",
                  prepared->sandbox.text);
        log_message(log, KV_MESSAGE_WARNING, text.text);
    }
}

/* All that takes more rights than serving does, and then no more of them. */
static int prepare(const struct mount_plan *plan, struct log *log, struct prepared *prepared,
                   struct fault *fault)
{
    int r = store_reach_set(plan->options.client, plan->options.timeout_s);
    if (r < 0) {
        return fault_set(fault, r, "cannot open %s: %s", plan->store, kv_strerror(r));
    }
    r = prepare_uring(plan, log, prepared, fault);
    r = r < 0 ? r : prepare_idle_poll(plan, prepared, fault);
    r = r < 0 ? r : settle_directory(plan, fault);
    if (r == 0 && plan->mountpoint != NULL) {
        struct kvfs_mount_options options = mount_options(plan, prepared);
        r = kvfs_mount_prepare(&options);
        if (r < 0) {
            fault_set(fault, r, "cannot mount on %s: %s", plan->mountpoint, kv_strerror(r));
        }
    }
    if (r == 0) {
        enter_sandbox(plan, log, prepared);
    }
    return r;
}

static int serve_with_log(const struct mount_plan *plan, struct prepared *prepared, struct log *log,
                          struct starter *starter, struct fault *fault)
{
    struct kvfs *fs = NULL;
    char holder[256];
    store_holder_describe(plan->store,
                          plan->mountpoint != NULL ? ", about to mount it" : ", about to serve it",
                          holder, sizeof holder);
    struct kvfs_options options = {
        .create = plan->create,
        .read_only = plan->options.read_only,
        .memory_bytes = plan->options.memory_bytes,
        .sync_interval_ms = plan->options.sync_interval_ms,
        .warm = plan->options.warm,
        .index = plan->options.index,
        .holder = holder,
    };
    int r = prepare(plan, log, prepared, fault);
    if (r < 0) {
        return r;
    }
    /* Here, where no process is forked any more: a cluster's library has threads of its own. */
    r = store_open(plan->store, &options, log, &fs, fault);
    if (r < 0) {
        return r;
    }
    r = plan->mountpoint != NULL ? serve_mount(plan, prepared, fs, log, starter, fault)
                                 : serve_socket(plan, prepared, fs, log, starter, fault);
    return close_store(plan, fs, log, r, fault);
}

static int serve(const struct mount_plan *plan, const char *log_target, struct starter *starter,
                 struct fault *fault)
{
    struct prepared prepared = {0};
    struct log log;
    int r = plan->mountpoint != NULL ? kvfs_guard_start(plan->mountpoint, &prepared.guard) : 0;
    if (r < 0) {
        return fault_set(fault, r, "cannot start a process that mounts: %s", kv_strerror(r));
    }
    r = log_init(&log, log_target, plan->debug);
    if (r < 0) {
        kvfs_guard_end(prepared.guard);
        return fault_set(fault, r, "cannot log to %s: %s", log_target, kv_strerror(r));
    }
    starter->log = &log;
    starter->ready =
        plan->mountpoint != NULL ? "READY=1\nSTATUS=Mounted." : "READY=1\nSTATUS=Serving.";
    umask(0); /* modes of files are the callers' business */
    heap_setup();
    r = serve_with_log(plan, &prepared, &log, starter, fault);
    kvfs_guard_end(prepared.guard);
    if (r < 0) {
        log_message(&log, KV_MESSAGE_ERROR, fault->text);
    }
    log_finish(&log);
    return r;
}

int daemon_serve(const struct mount_plan *plan, struct fault *fault)
{
    struct starter manager = {.fd = -1, .is_managed = true};
    return serve(plan, plan->options.log != NULL ? plan->options.log : "stderr", &manager, fault);
}

/* ---- starting in the background -------------------------------------------------------------- */

/* In the child: become a daemon, serve, and never return. */
__attribute__((noreturn)) static void run_child(const struct mount_plan *plan, int report_fd)
{
    struct fault fault;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    setsid();
    if (chdir("/") != 0) {
        _exit(EXIT_FAILED);
    }
    /* Nothing of the caller's stays open but its stderr, until it serves. */
    if (report_fd > 3) {
        close_range(3, (unsigned)report_fd - 1, 0);
    }
    close_range((unsigned)report_fd + 1, ~0U, 0);
    struct starter starter = {.fd = report_fd};
    const char *log_target = plan->options.log != NULL ? plan->options.log : "syslog";
    int r = serve(plan, log_target, &starter, &fault);
    if (starter.fd >= 0 && r < 0) {
        if (write(starter.fd, fault.text, strlen(fault.text)) < 0) {
            _exit(EXIT_FAILED);
        }
    }
    _exit(r < 0 ? (int)exit_code_of(r) : EXIT_DONE);
}

/* What the exit status of the child says beside its sentence. */
static int error_of(int status)
{
    static const int errors[] = {-EBUSY, -KV_EDAMAGED, -ENOSPC};
    for (size_t i = 0; WIFEXITED(status) && i < sizeof errors / sizeof errors[0]; i++) {
        if (WEXITSTATUS(status) == (int)exit_code_of(errors[i])) {
            return errors[i];
        }
    }
    return -EIO;
}

/* Read what the child says until it closes the pipe. Returns 0 if it serves. */
static int await_report(int fd, pid_t pid, struct fault *fault)
{
    char text[sizeof fault->text];
    size_t size = 0;
    int status = 0;
    while (size < sizeof text - 1) {
        ssize_t n = read(fd, text + size, sizeof text - 1 - size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        size += (size_t)n;
        if (text[0] == 1) {
            return 0;
        }
    }
    text[size] = '\0';
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (size > 0) {
        return fault_set(fault, error_of(status), "%s", text);
    }
    if (WIFSIGNALED(status)) {
        return fault_set(fault, -EIO, "the daemon was killed by signal %d before it served.",
                         WTERMSIG(status));
    }
    return fault_set(fault, -EIO, "the daemon ended before it served. Its log may say why.");
}

int daemon_start(const struct mount_plan *plan, pid_t *ret_pid, struct fault *fault)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return fault_set(fault, -errno, "cannot start a daemon: %s", kv_strerror(-errno));
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        int error = -errno;
        close(fds[0]);
        close(fds[1]);
        return fault_set(fault, error, "cannot start a daemon: %s", kv_strerror(error));
    }
    if (pid == 0) {
        close(fds[0]);
        run_child(plan, fds[1]);
    }
    close(fds[1]);
    int r = await_report(fds[0], pid, fault);
    close(fds[0]);
    if (r == 0) {
        *ret_pid = pid;
    }
    return r;
}
