/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fs/fuse/mount.h"
#include "kvcore/util/clock.h"
#include "tools/mount_table.h"
#include "tools/store_open.h"
#include "tools/store_url.h"
#include "tools/text.h"

enum {
    TIMEOUT_S_MAX = 1000000,
    BUSY_PAUSE_MS = 50,
    BUSY_TRIES = 20,
    SILENT_S = 5, /* then say what may be the reason */
};

struct settings {
    struct words words;
    uint64_t timeout_s; /* 0: as long as it takes */
    bool lazy;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case 't':
        /* umount(8) passes `-t fuse.kvfs` to its helper: no number, no time-out. */
        if (text_parse_number(value, TIMEOUT_S_MAX, &s->timeout_s) < 0 &&
            strstr(value, "kvfs") == NULL) {
            argp_error(state, "--timeout wants seconds, not '%s'", value);
        }
        return 0;
    case 'l':
        s->lazy = true;
        return 0;
    case 'n':
    case 'f':
    case 'v':
    case 'r':
    case 'N':
        return 0; /* umount(8)'s, nothing of ours */
    default:
        return words_collect(&s->words, key, state);
    }
}

/* A descriptor that tells when the daemon of `store` has ended; -1 if there is none to wait for. */
static int watch_daemon(const char *store)
{
    struct control_client *client = NULL;
    if (control_client_open(store, &client) < 0) {
        return -1;
    }
    int fd = (int)syscall(SYS_pidfd_open, control_client_pid(client), 0);
    control_client_close(client);
    return fd;
}

/* Whether the process ends before `seconds` have passed. */
static bool ends_within(int pidfd, uint64_t seconds)
{
    uint64_t deadline = clock_monotonic_ns() + seconds * 1000000000ULL;
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    for (;;) {
        uint64_t now = clock_monotonic_ns();
        if (now >= deadline) {
            return false;
        }
        if (poll(&ended, 1, (int)((deadline - now) / 1000000 % 1000000) + 1) > 0) {
            return true;
        }
    }
}

/* The daemon ends after it has synced and released the store. Whoever waits for long is told
 * `waiting`. */
static int await_end(int pidfd, const char *waiting, uint64_t timeout_s)
{
    uint64_t limit_s = timeout_s > 0 ? timeout_s : TIMEOUT_S_MAX;
    uint64_t silent_s = limit_s < SILENT_S ? limit_s : SILENT_S;
    if (ends_within(pidfd, silent_s)) {
        return 0;
    }
    if (silent_s < limit_s) {
        complain("%s", waiting);
    }
    return ends_within(pidfd, limit_s - silent_s) ? 0 : -ETIMEDOUT;
}

/* Programs that look at every mount for a moment (df, an indexer) are nobody's reason to fail: ask
 * for a second. */
static int unmount_patiently(const char *mountpoint, bool lazy)
{
    struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * 1000000};
    int r = kvfs_unmount(mountpoint, lazy);
    for (int i = 0; i < BUSY_TRIES && r == -EBUSY; i++) {
        nanosleep(&pause, NULL);
        r = kvfs_unmount(mountpoint, lazy);
    }
    return r;
}

/* The kernel does not tell the daemon to end before the last copy of the mount is gone, and whoever
 * makes a mount namespace copies all. */
static int await_unmounted(int pidfd, const struct mount_row *row, uint64_t timeout_s)
{
    struct fault waiting;
    fault_set(&waiting, 0,
              "%s is unmounted; waiting for its daemon. It writes %s, or a container has a copy "
              "of the mount: 'grep -l %s /proc/*/mountinfo' shows its processes.",
              row->target, row->source, row->source);
    return await_end(pidfd, waiting.text, timeout_s);
}

static int unmount(const struct mount_row *row, const struct settings *s)
{
    int pidfd = watch_daemon(row->source);
    int code = EXIT_DONE;
    int r = unmount_patiently(row->target, s->lazy);
    if (r == -EBUSY) {
        complain("cannot unmount %s: a process uses it; 'fuser -vm %s' shows which.", row->target,
                 row->target);
        code = EXIT_BUSY;
    } else if (r < 0) {
        complain("cannot unmount %s: %s", row->target, kv_strerror(r));
        code = EXIT_FAILED;
    } else if (pidfd >= 0 && !s->lazy && await_unmounted(pidfd, row, s->timeout_s) < 0) {
        complain("%s is unmounted, but its daemon is still writing %s after %u s. Ask again with "
                 "'kvfs status %s'.",
                 row->target, row->source, (unsigned)s->timeout_s, row->source);
        code = EXIT_FAILED;
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
    return code;
}

/* ---- a store that is served without a mount ------------------------------------------------- */

static int take_state(void *arg, const struct control_reply *reply)
{
    bool *serving = arg;
    if (reply->type == CONTROL_DATA) {
        json_t *json = json_loadb((const char *)reply->bytes.data, reply->bytes.size, 0, NULL);
        const char *state = json_string_value(json_object_get(json, "state"));
        *serving = state != NULL && strcmp(state, "serving") == 0;
        json_decref(json);
    }
    return 0;
}

/* A descriptor of the process that serves `store` without a mount; -1 if there is none. It answers
 * after the descriptor was opened, so that no other process can have come by its number. */
static int find_server(const char *store)
{
    struct control_request status = {.op = CONTROL_STATUS};
    struct control_client *client = NULL;
    bool serving = false;
    if (control_client_open(store, &client) < 0) {
        return -1;
    }
    int fd = (int)syscall(SYS_pidfd_open, control_client_pid(client), 0);
    if (control_client_call(client, &status, take_state, &serving) < 0) {
        serving = false;
    }
    control_client_close(client);
    if (fd >= 0 && !serving) {
        close(fd);
        return -1;
    }
    return fd;
}

static int end_server(const char *store, const struct settings *s)
{
    struct fault waiting;
    int pidfd = find_server(store);
    int code = EXIT_DONE;
    if (pidfd < 0) {
        complain("cannot unmount %s: it is not the mount point of a kvfs store, nor a store that "
                 "'kvfs serve' serves.",
                 store);
        return EXIT_FAILED;
    }
    fault_set(&waiting, 0, "%s is served no more; waiting for its daemon, which writes it.", store);
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0) != 0) {
        complain("cannot end the daemon that serves %s: %s", store, kv_strerror(-errno));
        code = EXIT_FAILED;
    } else if (!s->lazy && await_end(pidfd, waiting.text, s->timeout_s) < 0) {
        complain("%s is served no more, but its daemon is still writing it after %u s. Ask again "
                 "with 'kvfs status %s'.",
                 store, (unsigned)s->timeout_s, store);
        code = EXIT_FAILED;
    }
    close(pidfd);
    return code;
}

int cmd_umount(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"timeout", 't', "S", 0, "wait at most S seconds for the daemon", 0},
        {"lazy", 'l', NULL, 0, "detach now, close when nobody uses it any more", 0},
        {NULL, 'n', NULL, OPTION_HIDDEN, NULL, 0},
        {NULL, 'f', NULL, OPTION_HIDDEN, NULL, 0},
        {NULL, 'v', NULL, OPTION_HIDDEN, NULL, 0},
        {NULL, 'r', NULL, OPTION_HIDDEN, NULL, 0},
        {NULL, 'N', "NS", OPTION_HIDDEN, NULL, 0},
        {0}};
    static const struct argp argp = {
        options,
        parse,
        "MOUNTPOINT|STORE",
        "Examples:\n  kvfs umount /mnt/a\n  kvfs umount --timeout 30 /mnt/a\n\nUnmount, or end the "
        "daemon that 'kvfs serve STORE' started, and return when it has written everything and "
        "released the store.",
        NULL,
        NULL,
        NULL};
    struct settings s = {0};
    struct mount_row row = {0};
    struct fault fault; /* what cannot be resolved is told as what is no store */
    char *path = NULL;
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    if (s.words.count != 1) {
        complain("usage: kvfs umount MOUNTPOINT|STORE. See 'kvfs umount --help'.");
        return EXIT_USAGE;
    }
    int r = store_resolve(s.words.at[0], &path, &fault);
    if (r == 0) {
        r = mount_table_find_target(path, &row);
    }
    int code = r < 0 ? end_server(path != NULL ? path : s.words.at[0], &s) : unmount(&row, &s);
    mount_row_finish(&row);
    free(path);
    return code;
}
