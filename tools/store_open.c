/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/store_open.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/control_io.h"
#include "tools/mount_table.h"

enum {
    TRY_PAUSE_NS = 50 * 1000 * 1000,
    CLOSING_TRIES = 1200, /* a minute: what is in memory is written */
    DETACHED_TRIES = 100,
    READER_TRIES = 40, /* two seconds: a command that reads is done sooner */
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

void store_holder(const char *path, char *to, size_t size)
{
    struct kv_storage *storage = NULL;
    struct kv_buf line = {0};
    to[0] = '\0';
    if (kv_storage_posix_open(path, false, &storage) < 0) {
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

int store_explain_busy(const char *path, struct fault *fault)
{
    char holder[512];
    store_holder(path, holder, sizeof holder);
    const char *mounted = strstr(holder, mounted_on);
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

/* Two cases share -KV_EFORMAT, and what the library said tells which. */
static int explain(const char *path, int error, struct log *log, struct fault *fault)
{
    char detail[512];
    log_last_error(log, detail, sizeof detail);
    const char *colon = detail[0] != '\0' ? ": " : "";
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

/* How often to try again for a store that is in use. umount(8) returns when the mount is detached,
 * and whoever mounts again at once meets the daemon that is still writing: it says that it is
 * closing, or is about to say so, being mounted no more. Those who only read say nothing: `kvfs
 * status` is done in a moment, a read-only mount is not. */
static int tries_for(const char *path)
{
    struct mount_row row = {0};
    char holder[512];
    store_holder(path, holder, sizeof holder);
    if (strstr(holder, STORE_HOLDER_CLOSING) != NULL) {
        return CLOSING_TRIES;
    }
    const char *mounted = strstr(holder, mounted_on);
    if (mounted == NULL) {
        return holder[0] == '\0' ? READER_TRIES : 0;
    }
    bool is_mounted = mount_table_find_target(mounted + strlen(mounted_on), &row) != -ENOENT;
    mount_row_finish(&row);
    return is_mounted ? 0 : DETACHED_TRIES; /* or mounted where this process cannot see it */
}

int store_open(const char *path, const struct kvfs_options *options, struct log *log,
               struct kvfs **ret_fs, struct fault *fault)
{
    struct kvfs_options with_log = *options;
    with_log.message_fn = log_message;
    with_log.message_arg = log;
    int r = kvfs_open(path, &with_log, ret_fs);
    for (int i = 0; r == -EBUSY && i < tries_for(path); i++) {
        const struct timespec pause = {.tv_nsec = TRY_PAUSE_NS};
        nanosleep(&pause, NULL);
        r = kvfs_open(path, &with_log, ret_fs);
    }
    return r < 0 ? explain(path, r, log, fault) : 0;
}

int store_open_engine(const char *path, struct log *log, struct kv_store **ret_engine,
                      struct fault *fault)
{
    struct kv_options options = {.read_only = true, .message_fn = log_message, .message_arg = log};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(path, false, &storage);
    if (r == 0) {
        r = kv_open(storage, &options, ret_engine);
        if (r < 0) {
            storage->ops->close(storage);
        }
    }
    return r < 0 ? explain(path, r, log, fault) : 0;
}
