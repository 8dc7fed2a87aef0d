/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_fs_work.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/util/clock.h"

enum { LOOK_FOR_SIGNALS = 16 }; /* once in so many operations */

/* ---- operations ------------------------------------------------------------------------------ */

/* Errors: -EINTR, the work is to end. */
static int finish_op(struct bench_fs_thread *t, uint64_t done)
{
    uint64_t now = clock_monotonic_ns();
    histogram_record(&t->latency_ns, now - t->clock_ns);
    t->done += done;
    t->clock_ns = now;
    return t->latency_ns.count % LOOK_FOR_SIGNALS == 0 && bench_fs_interrupted() ? -EINTR : 0;
}

static const struct bench_fs_config *config_of(const struct bench_fs_thread *t)
{
    return t->run->files->config;
}

static int open_named(struct bench_fs_thread *t, int flags)
{
    t->verb = (flags & O_CREAT) != 0 ? "create" : "open";
    int fd = openat(t->run->files->fd, t->name, flags | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fd;
}

/* close(2) may be what tells that a write failed. */
static int close_after(struct bench_fs_thread *t, int fd, int r)
{
    if (close(fd) < 0 && r == 0) {
        t->verb = "close";
        r = -errno;
    }
    return r;
}

static int write_all(struct bench_fs_thread *t, int fd, size_t size)
{
    t->verb = "write";
    for (size_t at = 0; at < size;) {
        ssize_t n = write(fd, t->run->data + at, size - at);
        if (n < 0) {
            return -errno;
        }
        at += (size_t)n;
    }
    t->written_bytes += size;
    return 0;
}

/* Errors: -EIO it holds less. */
static int read_all(struct bench_fs_thread *t, int fd, size_t size)
{
    t->verb = "read";
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, t->buffer + at, size - at);
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        at += (size_t)n;
    }
    t->read_bytes += size;
    return memcmp(t->buffer, t->run->data, size) == 0 ? 0 : -EIO;
}

/* ---- small files ----------------------------------------------------------------------------- */

typedef int file_fn(struct bench_fs_thread *t);

/* `fn` for each file of the thread. */
static int each_file(struct bench_fs_thread *t, file_fn *fn)
{
    const struct bench_fs_config *config = config_of(t);
    uint64_t count = bench_fs_share(config, t->index);
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        bench_fs_name(config, t->index, i, t->run->letter, t->name);
        r = fn(t);
        r = r == 0 ? finish_op(t, 1) : r;
    }
    return r;
}

static int create_one(struct bench_fs_thread *t)
{
    int fd = open_named(t, O_WRONLY | O_CREAT | O_EXCL);
    return fd < 0 ? fd : close_after(t, fd, write_all(t, fd, config_of(t)->file_size));
}

static int stat_one(struct bench_fs_thread *t)
{
    struct stat info;
    t->verb = "stat";
    if (fstatat(t->run->files->fd, t->name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    return (size_t)info.st_size == config_of(t)->file_size ? 0 : -EIO;
}

static int read_one(struct bench_fs_thread *t)
{
    int fd = open_named(t, O_RDONLY);
    return fd < 0 ? fd : close_after(t, fd, read_all(t, fd, config_of(t)->file_size));
}

static int overwrite_one(struct bench_fs_thread *t)
{
    int fd = open_named(t, O_WRONLY);
    return fd < 0 ? fd : close_after(t, fd, write_all(t, fd, config_of(t)->file_size));
}

char bench_fs_other_letter(char letter)
{
    return letter == 'f' ? 'g' : 'f';
}

static int rename_one(struct bench_fs_thread *t)
{
    char to[BENCH_FS_NAME_SIZE];
    int fd = t->run->files->fd;
    t->verb = "rename";
    memcpy(to, t->name, sizeof to);
    *(strrchr(to, '/') + 1) = bench_fs_other_letter(t->run->letter);
    return renameat(fd, t->name, fd, to) < 0 ? -errno : 0;
}

static int unlink_one(struct bench_fs_thread *t)
{
    t->verb = "unlink";
    return unlinkat(t->run->files->fd, t->name, 0) < 0 ? -errno : 0;
}

static int run_create(struct bench_fs_thread *t)
{
    return each_file(t, create_one);
}

static int run_stat(struct bench_fs_thread *t)
{
    return each_file(t, stat_one);
}

static int run_read(struct bench_fs_thread *t)
{
    return each_file(t, read_one);
}

static int run_overwrite(struct bench_fs_thread *t)
{
    return each_file(t, overwrite_one);
}

static int run_rename(struct bench_fs_thread *t)
{
    return each_file(t, rename_one);
}

static int run_unlink(struct bench_fs_thread *t)
{
    return each_file(t, unlink_one);
}

/* Read the names in `list` and ask for the attributes of each. Errors: -EIO they are not as many as
 * were made. */
static int list_one(struct bench_fs_thread *t, DIR *list, uint64_t expected)
{
    const struct dirent *entry;
    struct stat info;
    uint64_t seen = 0;
    errno = 0;
    while ((entry = readdir(list)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (fstatat(dirfd(list), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
            return -errno;
        }
        seen++;
    }
    if (errno != 0 || seen != expected) {
        return errno != 0 ? -errno : -EIO;
    }
    return finish_op(t, seen);
}

static int run_list(struct bench_fs_thread *t)
{
    uint64_t expected = 0;
    int r = 0;
    t->verb = "list";
    for (uint64_t d = 0; r == 0; d++) {
        if (bench_fs_directory(config_of(t), t->index, d, t->name, &expected) < 0) {
            break;
        }
        int fd = openat(t->run->files->fd, t->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
        if (list == NULL) {
            r = -errno;
            if (fd >= 0) {
                close(fd);
            }
            return r;
        }
        r = list_one(t, list, expected);
        closedir(list);
    }
    return r;
}

/* ---- large files ----------------------------------------------------------------------------- */

static uint64_t stream_share(const struct bench_fs_thread *t)
{
    const struct bench_fs_config *config = config_of(t);
    return config->stream_bytes / config->threads;
}

static int sync_file(struct bench_fs_thread *t, int fd)
{
    t->verb = "sync";
    return fsync(fd) < 0 ? -errno : 0;
}

/* `fn` reads or writes one step. */
static int stream(struct bench_fs_thread *t, int fd,
                  int (*fn)(struct bench_fs_thread *t, int fd, size_t size))
{
    int r = 0;
    for (uint64_t left = stream_share(t); r == 0 && left > 0;) {
        size_t size = left < BENCH_FS_STREAM_STEP ? left : BENCH_FS_STREAM_STEP;
        r = fn(t, fd, size);
        r = r == 0 ? finish_op(t, 1) : r;
        left -= size;
    }
    return r;
}

static int run_seqwrite(struct bench_fs_thread *t)
{
    snprintf(t->name, sizeof t->name, "t%u/stream", t->index);
    int fd = open_named(t, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return fd;
    }
    int r = stream(t, fd, write_all);
    r = r == 0 ? sync_file(t, fd) : r;
    return close_after(t, fd, r);
}

static int run_seqread(struct bench_fs_thread *t)
{
    snprintf(t->name, sizeof t->name, "t%u/stream", t->index);
    int fd = open_named(t, O_RDONLY);
    return fd < 0 ? fd : close_after(t, fd, stream(t, fd, read_all));
}

static int run_fsync4k(struct bench_fs_thread *t)
{
    const struct bench_fs_config *config = config_of(t);
    snprintf(t->name, sizeof t->name, "t%u/appended", t->index);
    int fd = open_named(t, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
    if (fd < 0) {
        return fd;
    }
    uint64_t count = config->syncs / config->threads + (t->index < config->syncs % config->threads);
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        r = write_all(t, fd, BENCH_FS_APPEND_SIZE);
        r = r == 0 ? sync_file(t, fd) : r;
        r = r == 0 ? finish_op(t, 1) : r;
    }
    return close_after(t, fd, r);
}

/* ---- the list -------------------------------------------------------------------------------- */

static const struct bench_fs_workload workloads[] = {
    {"create", "make each file and write it", run_create, BENCH_FS_NO_FILES, false, false},
    {"stat", "ask for the attributes of each", run_stat, BENCH_FS_FILES, false, false},
    {"list", "read the directories, with the attributes of each name", run_list, BENCH_FS_FILES,
     false, false},
    {"read", "open, read and close each", run_read, BENCH_FS_FILES, false, false},
    {"overwrite", "open, overwrite and close each", run_overwrite, BENCH_FS_FILES, false, false},
    {"rename", "give each another name in its directory", run_rename, BENCH_FS_FILES, false, true},
    {"unlink", "remove each", run_unlink, BENCH_FS_FILES, true, false},
    {"seqwrite", "write a stream, 1 MiB a step, and sync it at the end", run_seqwrite, BENCH_FS_ANY,
     false, false},
    {"seqread", "read it", run_seqread, BENCH_FS_STREAM, false, false},
    {"fsync4k", "append 4 KiB and sync, again and again", run_fsync4k, BENCH_FS_ANY, false, false},
};

const struct bench_fs_workload *bench_fs_workload_at(unsigned index)
{
    return index < sizeof workloads / sizeof workloads[0] ? &workloads[index] : NULL;
}

const struct bench_fs_workload *bench_fs_workload_find(const char *name)
{
    const struct bench_fs_workload *w;
    for (unsigned i = 0; (w = bench_fs_workload_at(i)) != NULL; i++) {
        if (strcmp(w->name, name) == 0) {
            return w;
        }
    }
    return NULL;
}
