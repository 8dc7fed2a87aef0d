/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_fs_work.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/bench/bench_fs_mixed.h"
#include "tools/bench/bench_fs_ops.h"

/* ---- small files ----------------------------------------------------------------------------- */

typedef int file_fn(struct bench_fs_thread *t);

/* `fn` for each file of the thread. */
static int each_file(struct bench_fs_thread *t, file_fn *fn)
{
    const struct bench_fs_config *config = bench_fs_config_of(t);
    uint64_t count = bench_fs_share(config, t->index);
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        bench_fs_name(config, t->index, i, t->run->letter, t->name);
        r = fn(t);
        r = r == 0 ? bench_fs_finish_op(t, 1) : r;
    }
    return r;
}

static int run_create(struct bench_fs_thread *t)
{
    return each_file(t, bench_fs_create_one);
}

static int run_stat(struct bench_fs_thread *t)
{
    return each_file(t, bench_fs_stat_one);
}

static int run_read(struct bench_fs_thread *t)
{
    return each_file(t, bench_fs_read_one);
}

static int run_overwrite(struct bench_fs_thread *t)
{
    return each_file(t, bench_fs_overwrite_one);
}

static int run_rename(struct bench_fs_thread *t)
{
    return each_file(t, bench_fs_rename_one);
}

static int run_unlink(struct bench_fs_thread *t)
{
    return each_file(t, bench_fs_unlink_one);
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
    return bench_fs_finish_op(t, seen);
}

static int run_list(struct bench_fs_thread *t)
{
    uint64_t expected = 0;
    int r = 0;
    t->verb = "list";
    for (uint64_t d = 0; r == 0; d++) {
        if (bench_fs_directory(bench_fs_config_of(t), t->index, d, t->name, &expected) < 0) {
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
    const struct bench_fs_config *config = bench_fs_config_of(t);
    return config->stream_bytes / config->threads;
}

/* `fn` reads or writes one step. */
static int stream(struct bench_fs_thread *t, int fd,
                  int (*fn)(struct bench_fs_thread *t, int fd, size_t size))
{
    int r = 0;
    for (uint64_t left = stream_share(t); r == 0 && left > 0;) {
        size_t size = left < BENCH_FS_STREAM_STEP ? left : BENCH_FS_STREAM_STEP;
        r = fn(t, fd, size);
        r = r == 0 ? bench_fs_finish_op(t, 1) : r;
        left -= size;
    }
    return r;
}

static int run_seqwrite(struct bench_fs_thread *t)
{
    snprintf(t->name, sizeof t->name, "t%u/stream", t->index);
    int fd = bench_fs_open(t, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return fd;
    }
    int r = stream(t, fd, bench_fs_write);
    r = r == 0 ? bench_fs_sync(t, fd) : r;
    return bench_fs_close(t, fd, r);
}

static int run_seqread(struct bench_fs_thread *t)
{
    snprintf(t->name, sizeof t->name, "t%u/stream", t->index);
    int fd = bench_fs_open(t, O_RDONLY);
    return fd < 0 ? fd : bench_fs_close(t, fd, stream(t, fd, bench_fs_read));
}

static int run_fsync4k(struct bench_fs_thread *t)
{
    const struct bench_fs_config *config = bench_fs_config_of(t);
    snprintf(t->name, sizeof t->name, "t%u/appended", t->index);
    int fd = bench_fs_open(t, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
    if (fd < 0) {
        return fd;
    }
    uint64_t count = config->syncs / config->threads + (t->index < config->syncs % config->threads);
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        r = bench_fs_write(t, fd, BENCH_FS_APPEND_SIZE);
        r = r == 0 ? bench_fs_sync(t, fd) : r;
        r = r == 0 ? bench_fs_finish_op(t, 1) : r;
    }
    return bench_fs_close(t, fd, r);
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
    {"mixed", "those but for list, on files taken by chance, for --seconds", bench_fs_run_mixed,
     BENCH_FS_FILES, .has_parts = true},
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
