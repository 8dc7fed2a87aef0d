/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of storage_posix: everything it does to a file system goes through this table.
 *
 * Why a table: a test puts a simulated file system in its place, which forgets unsynced bytes and
 * names at a crash, tears writes and fails the n-th call. So a missing sync inside storage_posix is
 * found, not only one inside the engine.
 *
 * Every call returns 0 (or a descriptor, or a count of bytes) or a negative errno and is made once:
 * repeating after -EINTR and continuing after a short transfer is the caller's work. `arg` is what
 * was given at open. Descriptors are whatever openat handed out. */
#ifndef KVCORE_STORAGE_POSIX_CALLS_H
#define KVCORE_STORAGE_POSIX_CALLS_H

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <kv/storage.h>

/* One name of a directory, never "." or "..". A negative result ends the listing. */
typedef int posix_name_fn(void *fn_arg, const char *name);

struct posix_calls {
    int (*openat)(void *arg, int dir, const char *name, int flags, mode_t mode);
    int (*close)(void *arg, int fd);
    int (*mkdirat)(void *arg, int dir, const char *name, mode_t mode);
    int (*fchmod)(void *arg, int fd, mode_t mode);
    ssize_t (*pread)(void *arg, int fd, void *to, size_t size, uint64_t offset);
    ssize_t (*pwritev)(void *arg, int fd, const struct iovec *parts, int part_count,
                       uint64_t offset);
    int (*fdatasync)(void *arg, int fd);
    int (*fsync)(void *arg, int fd);
    int (*fallocate)(void *arg, int fd, int mode, uint64_t offset, uint64_t size);
    /* Start writing a range to the device; no promise. With `wait` also wait until the device has
     * it: an error of writing it out may then be reported here and by no later sync. */
    int (*sync_range)(void *arg, int fd, uint64_t offset, uint64_t size, bool wait);
    int (*fadvise)(void *arg, int fd, uint64_t offset, uint64_t size, int advice);
    /* Within one directory; `flags` as renameat2(2). */
    int (*rename)(void *arg, int dir, const char *from, const char *to, unsigned flags);
    int (*linkat)(void *arg, int from_dir, const char *from, int to_dir, const char *to);
    int (*unlinkat)(void *arg, int dir, const char *name);
    int (*rmdirat)(void *arg, int dir, const char *name);
    int (*fstat)(void *arg, int fd, struct stat *ret_stat);
    /* Of the name itself: a symbolic link is not followed. */
    int (*lstatat)(void *arg, int dir, const char *name, struct stat *ret_stat);
    int (*fstatvfs)(void *arg, int fd, struct statvfs *ret_stat);
    int (*flock)(void *arg, int fd, int operation);
    /* F_OFD_SETLK or F_OFD_GETLK: locks of parts of a file that belong to what openat made of it,
     * and go when that is closed. They have nothing to do with those of flock(2). */
    int (*lock_range)(void *arg, int fd, int command, struct flock *lock);
    int (*list)(void *arg, int dir, posix_name_fn *fn, void *fn_arg);
};

/* The calls of the operating system. */
extern const struct posix_calls posix_calls_real;

/* kv_storage_posix_open() on other calls, which must outlive the storage. */
KV_MUST_CHECK int storage_posix_open_with_calls(const char *path, bool create,
                                                const struct posix_calls *calls, void *calls_arg,
                                                struct kv_storage **ret_storage);
/* kv_storage_posix_begin() likewise. */
KV_MUST_CHECK int storage_posix_begin_with_calls(const char *path, const struct posix_calls *calls,
                                                 void *calls_arg, struct kv_storage **ret_storage);

#endif
