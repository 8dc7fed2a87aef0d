/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/store_open.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "tools/control_io.h"
#include "tools/mount_table.h"
#include "tools/store_url.h"

enum {
    NS_PER_MS = 1000 * 1000,
    PAUSE_MS = 50,
    URL_PAUSE_MS = 500,          /* each try is a connection */
    CLOSING_WAIT_MS = 60 * 1000, /* what is in memory is written */
    DETACHED_WAIT_MS = 5 * 1000,
    READER_WAIT_MS = 2 * 1000, /* a command that reads is done sooner */
};
static const char mounted_on[] = ", mounted on ";

/* ---- judging a directory --------------------------------------------------------------------- */

/* `00000001.log` and the like; also the unfinished `00000001.table.tmp`. */
static bool is_numbered(const char *name)
{
    static const char *const ends[] = {".log", ".manifest", ".table", ".blob", ".table.tmp"};
    size_t digits = strspn(name, "0123456789");
    for (size_t i = 0; digits >= 8 && i < sizeof ends / sizeof ends[0]; i++) {
        if (strcmp(name + digits, ends[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_of_store(const char *name)
{
    return is_numbered(name) || strcmp(name, "ROOT") == 0 || strcmp(name, "LOCK") == 0 ||
           strcmp(name, CONTROL_SOCKET_NAME) == 0 || strcmp(name, "lost+found.d") == 0 ||
           strcmp(name, "lost+found") == 0;
}

enum store_directory store_directory_judge(const char *path)
{
    bool has_root = false;
    bool has_store = false;
    bool has_foreign = false;
    struct dirent *entry;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return errno == ENOENT ? STORE_MISSING : STORE_NO_DIRECTORY;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        has_root = has_root || strcmp(entry->d_name, "ROOT") == 0;
        has_store = has_store || is_numbered(entry->d_name) || strcmp(entry->d_name, "LOCK") == 0;
        has_foreign = has_foreign || !is_of_store(entry->d_name);
    }
    closedir(dir);
    if (has_root) {
        return STORE_COMPLETE;
    }
    return has_foreign ? STORE_FOREIGN : has_store ? STORE_HALF_MADE : STORE_EMPTY;
}

static int erase_numbered(int dir_fd)
{
    struct dirent *entry;
    int r = 0;
    int fd = dup(dir_fd);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        r = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        if (is_numbered(entry->d_name) && unlinkat(dir_fd, entry->d_name, 0) != 0) {
            r = -errno;
        }
    }
    closedir(dir);
    return r;
}

int store_directory_erase(const char *path)
{
    struct kv_storage *storage = NULL;
    int dir_fd = -1;
    int r = kv_storage_posix_open(path, false, &storage);
    if (r < 0) {
        return r;
    }
    r = storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "kvfs mkfs --force");
    if (r < 0) {
        goto out;
    }
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || (unlinkat(dir_fd, "ROOT", 0) != 0 && errno != ENOENT) || fsync(dir_fd) != 0) {
        r = -errno;
        goto out;
    }
    r = erase_numbered(dir_fd);
    if (r == 0 && fsync(dir_fd) != 0) {
        r = -errno;
    }
out:
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    storage->ops->close(storage);
    return r;
}

int store_url_erase(const char *url)
{
    struct kv_storage *storage = NULL;
    char holder[256];
    /* What was begun and never finished is taken over as well. */
    int r = store_storage_open(url, true, &storage);
    if (r < 0) {
        return r;
    }
    store_holder_describe(url, ", which erases it", holder, sizeof holder);
    r = storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, holder);
    r = r < 0 ? r : storage->ops->erase(storage);
    storage->ops->close(storage);
    return r;
}

int store_url_exists(const char *url)
{
    struct kv_storage *storage = NULL;
    struct kv_buf root = {0};
    uint64_t version = 0;
    int r = store_storage_open(url, false, &storage);
    if (r < 0) {
        return r;
    }
    r = storage->ops->root_read(storage, &root, &version);
    kv_buf_finish(&root);
    storage->ops->close(storage);
    return r == 0 || r == -KV_EDAMAGED ? 1 : r == -ENOENT ? 0 : r;
}

void store_holder(const char *path, char *to, size_t size)
{
    struct kv_storage *storage = NULL;
    struct kv_buf line = {0};
    to[0] = '\0';
    if (store_storage_open(path, false, &storage) < 0) {
        return;
    }
    if (storage->ops->lease_holder(storage, &line) == 0) {
        snprintf(to, size, "%.*s", (int)line.size, line.size > 0 ? (const char *)line.data : "");
        to[strcspn(to, "\n")] = '\0';
    }
    kv_buf_finish(&line);
    storage->ops->close(storage);
}

/* ---- saying why ------------------------------------------------------------------------------ */

static int explain_missing(const char *path, struct fault *fault)
{
    switch (store_directory_judge(path)) {
    case STORE_MISSING:
        return fault_set(fault, -ENOENT,
                         "cannot open %s: no such directory. Make a store with 'kvfs mkfs %s'.",
                         path, path);
    case STORE_NO_DIRECTORY:
        return fault_set(
            fault, -ENOTDIR,
            "cannot open %s: not a directory that can be read. A store is a directory.", path);
    case STORE_EMPTY:
        return fault_set(fault, -ENOENT,
                         "cannot open %s: the directory is empty. Make a store in it with 'kvfs "
                         "mkfs %s'.",
                         path, path);
    case STORE_HALF_MADE:
        return fault_set(fault, -KV_EDAMAGED,
                         "cannot open %s: not a store, or half-made: it has no ROOT. If it never "
                         "held data, make it anew with 'kvfs mkfs --force %s'.",
                         path, path);
    case STORE_FOREIGN:
    case STORE_COMPLETE:
        break;
    }
    return fault_set(fault, -EINVAL,
                     "cannot open %s: it is not a kvfs store and holds other files. Name the "
                     "store's directory, or make one in an empty directory.",
                     path);
}

static int explain_busy_url(const char *url, const char *holder, struct fault *fault)
{
    if (holder[0] == '\0') {
        return fault_set(fault, -EBUSY,
                         "cannot open %s: others read it, a read-only mount or a command, on some "
                         "machine. Unmount it there, or wait until they are done.",
                         url);
    }
    return fault_set(fault, -EBUSY,
                     "cannot open %s: locked by %s. End that there; if the machine is gone, try "
                     "again after %d s.",
                     url, holder, STORE_LEASE_WAIT_S);
}

int store_explain_busy(const char *path, struct fault *fault)
{
    char holder[512];
    store_holder(path, holder, sizeof holder);
    const char *mounted = strstr(holder, mounted_on);
    if (store_is_url(path)) {
        return explain_busy_url(path, holder, fault);
    }
    if (mounted != NULL) {
        return fault_set(fault, -EBUSY,
                         "cannot open %s: locked by %s. Unmount it, or use 'kvfs stats %s'.", path,
                         holder, mounted + strlen(mounted_on));
    }
    if (strstr(holder, STORE_HOLDER_SERVING) != NULL) {
        return fault_set(fault, -EBUSY,
                         "cannot open %s: locked by %s. End that with 'kvfs umount %s', or use "
                         "'kvfs get', 'kvfs put' and others that ask it.",
                         path, holder, path);
    }
    if (holder[0] != '\0') {
        return fault_set(fault, -EBUSY, "cannot open %s: locked by %s. Wait until it is done.",
                         path, holder);
    }
    return fault_set(fault, -EBUSY,
                     "cannot open %s: another process reads it, a read-only mount or a command. "
                     "Unmount it, or wait until it is done.",
                     path);
}

/* Where nobody else has taken it, the holder that is found may be this process. */
static bool is_another(const char *path, const char *holder)
{
    char own[256];
    store_holder_describe(path, "", own, sizeof own);
    size_t size = strlen(own);
    bool is_own = strncmp(holder, own, size) == 0 && (holder[size] == ',' || holder[size] == '\0');
    return holder[0] != '\0' && !is_own;
}

int store_explain_lost(const char *path, int error, struct fault *fault)
{
    char holder[512];
    store_holder(path, holder, sizeof holder);
    if (is_another(path, holder)) {
        return fault_set(fault, -ESHUTDOWN,
                         "%s was lost to %s. What was synced is there. Use it there, or end that "
                         "and open it here again.",
                         path, holder);
    }
    return fault_set(fault, -ESHUTDOWN, "%s was lost: %s. What was synced is there. Open it again.",
                     path,
                     error == -ESHUTDOWN ? "another one took it over, or shut this one out"
                                         : kv_strerror(error));
}

/* Two cases share -KV_EFORMAT, and what the library said tells which. */
static int explain(const char *path, int error, struct log *log, struct fault *fault)
{
    char detail[512];
    log_last_error(log, detail, sizeof detail);
    const char *colon = detail[0] != '\0' ? ": " : "";
    if (store_is_url(path) && store_url_explain(path, error, fault)) {
        return error;
    }
    switch (-error) {
    case ENOENT:
    case ENOTDIR:
    case ENOTEMPTY:
        return explain_missing(path, fault);
    case EBUSY:
        return store_explain_busy(path, fault);
    case KV_EFORMAT:
        return fault_set(fault, error,
                         "cannot open %s: it was made by a newer version of kvfs, or is no "
                         "filesystem%s%s. This is version %s; use the version that made it.",
                         path, colon, detail, KVFS_VERSION);
    case KV_EDAMAGED:
        return fault_set(fault, error,
                         "cannot open %s: it is damaged%s%s. Keep a copy of the directory before "
                         "anything is repaired.",
                         path, colon, detail);
    case EACCES:
    case EPERM:
        return fault_set(fault, error,
                         "cannot open %s: permission denied. It belongs to another user; run kvfs "
                         "as that user or as root.",
                         path);
    case ENOSPC:
        return fault_set(fault, error,
                         "cannot open %s: no space left on its file system. Make room and try "
                         "again.",
                         path);
    default:
        return fault_set(fault, error, "cannot open %s: %s%s%s", path, kv_strerror(error), colon,
                         detail);
    }
}

/* ---- waiting for who is letting go -------------------------------------------------------------
 */

/* How long to try again for a store that is in use. umount(8) returns when the mount is detached,
 * and whoever mounts again at once meets the daemon that is still writing: it says that it is
 * closing, or is about to say so, being mounted no more. Those who only read say nothing: `kvfs
 * status` is done in a moment, a read-only mount is not. A store that several machines reach stays
 * locked for a while when its holder has died. */
static unsigned patience_ms(const char *path)
{
    struct mount_row row = {0};
    char holder[512];
    store_holder(path, holder, sizeof holder);
    if (strstr(holder, STORE_HOLDER_CLOSING) != NULL) {
        return CLOSING_WAIT_MS;
    }
    if (store_is_url(path) && !store_holder_runs_here(holder)) {
        return STORE_LEASE_WAIT_S * 1000;
    }
    const char *mounted = strstr(holder, mounted_on);
    if (mounted == NULL) {
        return holder[0] == '\0' ? READER_WAIT_MS : 0;
    }
    bool is_mounted = mount_table_find_target(mounted + strlen(mounted_on), &row) != -ENOENT;
    mount_row_finish(&row);
    return is_mounted ? 0 : DETACHED_WAIT_MS; /* or mounted where this process cannot see it */
}

int store_open_plain(const char *path, const struct kvfs_options *options, struct kvfs **ret_fs)
{
    struct kv_storage *storage = NULL;
    int r = store_storage_open(path, options->create && !options->read_only, &storage);
    return r < 0 ? r : kvfs_open_storage(storage, options, ret_fs);
}

int store_open(const char *path, const struct kvfs_options *options, struct log *log,
               struct kvfs **ret_fs, struct fault *fault)
{
    struct kvfs_options with_log = *options;
    const struct timespec pause = {.tv_nsec =
                                       (store_is_url(path) ? URL_PAUSE_MS : PAUSE_MS) * NS_PER_MS};
    uint64_t begun_ns = clock_monotonic_ns();
    char holder[256];
    with_log.message_fn = log_message;
    with_log.message_arg = log;
    if (with_log.holder == NULL) {
        store_holder_describe(path, "", holder, sizeof holder);
        with_log.holder = holder;
    }
    int r = store_open_plain(path, &with_log, ret_fs);
    if (r == -EBUSY && store_is_url(path) && patience_ms(path) >= STORE_LEASE_WAIT_S * 1000) {
        complain("%s is in use, or was by a machine that is gone; waiting at most %d s.", path,
                 STORE_LEASE_WAIT_S);
    }
    while (r == -EBUSY &&
           clock_monotonic_ns() - begun_ns < (uint64_t)patience_ms(path) * NS_PER_MS) {
        nanosleep(&pause, NULL);
        r = store_open_plain(path, &with_log, ret_fs);
    }
    return r < 0 ? explain(path, r, log, fault) : 0;
}

int store_open_engine(const char *path, struct log *log, struct kv_store **ret_engine,
                      struct fault *fault)
{
    struct kv_options options = {.read_only = true, .message_fn = log_message, .message_arg = log};
    struct kv_storage *storage = NULL;
    int r = store_storage_open(path, false, &storage);
    if (r == 0) {
        r = kv_open(storage, &options, ret_engine);
        if (r < 0) {
            storage->ops->close(storage);
        }
    }
    return r < 0 ? explain(path, r, log, fault) : 0;
}
