/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/posix_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static int result(int r)
{
    return r < 0 ? -errno : r;
}

static int real_openat(void *arg, int dir, const char *name, int flags, mode_t mode)
{
    return result(openat(dir, name, flags, mode));
}

static int real_close(void *arg, int fd)
{
    return result(close(fd));
}

static int real_mkdirat(void *arg, int dir, const char *name, mode_t mode)
{
    return result(mkdirat(dir, name, mode));
}

static int real_fchmod(void *arg, int fd, mode_t mode)
{
    return result(fchmod(fd, mode));
}

static ssize_t real_pread(void *arg, int fd, void *to, size_t size, uint64_t offset)
{
    ssize_t n = pread(fd, to, size, (off_t)offset);
    return n < 0 ? -errno : n;
}

static ssize_t real_pwritev(void *arg, int fd, const struct iovec *parts, int part_count,
                            uint64_t offset)
{
    ssize_t n = pwritev(fd, parts, part_count, (off_t)offset);
    return n < 0 ? -errno : n;
}

static int real_fdatasync(void *arg, int fd)
{
    return result(fdatasync(fd));
}

static int real_fsync(void *arg, int fd)
{
    return result(fsync(fd));
}

static int real_fallocate(void *arg, int fd, int mode, uint64_t offset, uint64_t size)
{
    return result(fallocate(fd, mode, (off_t)offset, (off_t)size));
}

static int real_sync_range(void *arg, int fd, uint64_t offset, uint64_t size, bool wait)
{
    unsigned flags = SYNC_FILE_RANGE_WRITE;
    if (wait) {
        flags |= SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER;
    }
    return result(sync_file_range(fd, (off_t)offset, (off_t)size, flags));
}

static int real_fadvise(void *arg, int fd, uint64_t offset, uint64_t size, int advice)
{
    return -posix_fadvise(fd, (off_t)offset, (off_t)size, advice);
}

static int real_rename(void *arg, int dir, const char *from, const char *to, unsigned flags)
{
    return result(renameat2(dir, from, dir, to, flags));
}

static int real_linkat(void *arg, int from_dir, const char *from, int to_dir, const char *to)
{
    return result(linkat(from_dir, from, to_dir, to, 0));
}

static int real_unlinkat(void *arg, int dir, const char *name)
{
    return result(unlinkat(dir, name, 0));
}

static int real_rmdirat(void *arg, int dir, const char *name)
{
    return result(unlinkat(dir, name, AT_REMOVEDIR));
}

static int real_fstat(void *arg, int fd, struct stat *ret_stat)
{
    return result(fstat(fd, ret_stat));
}

static int real_lstatat(void *arg, int dir, const char *name, struct stat *ret_stat)
{
    return result(fstatat(dir, name, ret_stat, AT_SYMLINK_NOFOLLOW));
}

static int real_fstatvfs(void *arg, int fd, struct statvfs *ret_stat)
{
    return result(fstatvfs(fd, ret_stat));
}

static int real_flock(void *arg, int fd, int operation)
{
    return result(flock(fd, operation));
}

static int real_lock_range(void *arg, int fd, int command, struct flock *lock)
{
    return result(fcntl(fd, command, lock));
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int list_stream(DIR *stream, posix_name_fn *fn, void *fn_arg)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            return -errno;
        }
        int r = is_dot(entry->d_name) ? 0 : fn(fn_arg, entry->d_name);
        if (r < 0) {
            return r;
        }
    }
}

static int real_list(void *arg, int dir, posix_name_fn *fn, void *fn_arg)
{
    /* A descriptor of its own: the position in a directory belongs to the open file. */
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int r = -errno;
        close(fd);
        return r;
    }
    int r = list_stream(stream, fn, fn_arg);
    closedir(stream);
    return r;
}

const struct posix_calls posix_calls_real = {
    .openat = real_openat,
    .close = real_close,
    .mkdirat = real_mkdirat,
    .fchmod = real_fchmod,
    .pread = real_pread,
    .pwritev = real_pwritev,
    .fdatasync = real_fdatasync,
    .fsync = real_fsync,
    .fallocate = real_fallocate,
    .sync_range = real_sync_range,
    .fadvise = real_fadvise,
    .rename = real_rename,
    .linkat = real_linkat,
    .unlinkat = real_unlinkat,
    .rmdirat = real_rmdirat,
    .fstat = real_fstat,
    .lstatat = real_lstatat,
    .fstatvfs = real_fstatvfs,
    .flock = real_flock,
    .lock_range = real_lock_range,
    .list = real_list,
};
