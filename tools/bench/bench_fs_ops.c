/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_fs_ops.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/util/clock.h"

enum { LOOK_FOR_SIGNALS = 16 }; /* once in so many operations */

int bench_fs_finish_op(struct bench_fs_thread *t, uint64_t done)
{
    uint64_t now = clock_monotonic_ns();
    histogram_record(&t->latency_ns, now - t->clock_ns);
    t->done += done;
    t->clock_ns = now;
    return t->latency_ns.count % LOOK_FOR_SIGNALS == 0 && bench_fs_interrupted() ? -EINTR : 0;
}

const struct bench_fs_config *bench_fs_config_of(const struct bench_fs_thread *t)
{
    return t->run->files->config;
}

int bench_fs_open(struct bench_fs_thread *t, int flags)
{
    t->verb = (flags & O_CREAT) != 0 ? "create" : "open";
    int fd = openat(t->run->files->fd, t->name, flags | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fd;
}

int bench_fs_close(struct bench_fs_thread *t, int fd, int r)
{
    if (close(fd) < 0 && r == 0) {
        t->verb = "close";
        r = -errno;
    }
    return r;
}

int bench_fs_write(struct bench_fs_thread *t, int fd, size_t size)
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

int bench_fs_read(struct bench_fs_thread *t, int fd, size_t size)
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

int bench_fs_sync(struct bench_fs_thread *t, int fd)
{
    t->verb = "sync";
    return fsync(fd) < 0 ? -errno : 0;
}

/* ---- small files ----------------------------------------------------------------------------- */

int bench_fs_create_one(struct bench_fs_thread *t)
{
    int fd = bench_fs_open(t, O_WRONLY | O_CREAT | O_EXCL);
    return fd < 0 ? fd
                  : bench_fs_close(t, fd, bench_fs_write(t, fd, bench_fs_config_of(t)->file_size));
}

int bench_fs_stat_one(struct bench_fs_thread *t)
{
    struct stat info;
    t->verb = "stat";
    if (fstatat(t->run->files->fd, t->name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    return (size_t)info.st_size == bench_fs_config_of(t)->file_size ? 0 : -EIO;
}

int bench_fs_read_one(struct bench_fs_thread *t)
{
    int fd = bench_fs_open(t, O_RDONLY);
    return fd < 0 ? fd
                  : bench_fs_close(t, fd, bench_fs_read(t, fd, bench_fs_config_of(t)->file_size));
}

int bench_fs_overwrite_one(struct bench_fs_thread *t)
{
    int fd = bench_fs_open(t, O_WRONLY);
    return fd < 0 ? fd
                  : bench_fs_close(t, fd, bench_fs_write(t, fd, bench_fs_config_of(t)->file_size));
}

char bench_fs_other_letter(char letter)
{
    return letter == 'f' ? 'g' : 'f';
}

int bench_fs_rename_one(struct bench_fs_thread *t)
{
    char to[BENCH_FS_NAME_SIZE];
    int fd = t->run->files->fd;
    t->verb = "rename";
    memcpy(to, t->name, sizeof to);
    char *letter = strrchr(to, '/') + 1;
    *letter = bench_fs_other_letter(*letter);
    if (renameat(fd, t->name, fd, to) < 0) {
        return -errno;
    }
    memcpy(t->name, to, sizeof to);
    return 0;
}

int bench_fs_unlink_one(struct bench_fs_thread *t)
{
    t->verb = "unlink";
    return unlinkat(t->run->files->fd, t->name, 0) < 0 ? -errno : 0;
}
