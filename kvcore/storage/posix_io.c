/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/posix_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { PARTS_PER_CALL = 64 };

static int check_file(struct posix_storage *storage, int fd)
{
    struct stat st;
    int r = storage->calls->fstat(storage->calls_arg, fd, &st);
    if (r < 0) {
        return r;
    }
    if (!S_ISREG(st.st_mode)) {
        return -KV_EDAMAGED;
    }
    if (st.st_uid != storage->owner && st.st_uid != geteuid() && st.st_uid != 0) {
        return -KV_EDAMAGED;
    }
    return 0;
}

int posix_open_file(struct posix_storage *storage, const char *name, int flags)
{
    int fd;
    int r;

    /* O_NONBLOCK has no effect on a regular file, but a FIFO of that name cannot hang us. */
    flags |= O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    do {
        fd = storage->calls->openat(storage->calls_arg, storage->dir, name, flags, 0600);
    } while (fd == -EINTR);
    if (fd < 0) {
        return fd;
    }
    r = check_file(storage, fd);
    if (r < 0) {
        posix_close_file(storage, fd);
        return r;
    }
    return fd;
}

void posix_close_file(struct posix_storage *storage, int fd)
{
    if (fd >= 0) {
        /* Whatever mattered was synced, and that is where an error was reported. */
        kv_ignore(storage->calls->close(storage->calls_arg, fd));
    }
}

int posix_read(struct posix_storage *storage, int fd, uint64_t offset, void *to, size_t size,
               size_t *ret_size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = storage->calls->pread(storage->calls_arg, fd, (uint8_t *)to + done, size - done,
                                          offset + done);
        if (n == -EINTR) {
            continue;
        }
        if (n < 0) {
            return (int)n;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    *ret_size = done;
    return 0;
}

/* Copy the parts from (*part, *skip) on, as many as one call takes. */
static int gather(const struct iovec *parts, int part_count, int part, size_t skip,
                  struct iovec to[PARTS_PER_CALL])
{
    int n = 0;
    for (; part < part_count && n < PARTS_PER_CALL; part++) {
        size_t size = parts[part].iov_len - skip;
        if (size > 0) {
            to[n].iov_base = (uint8_t *)parts[part].iov_base + skip;
            to[n].iov_len = size;
            n++;
        }
        skip = 0;
    }
    return n;
}

/* Move (*part, *skip) forward by `size` bytes. */
static void advance(const struct iovec *parts, size_t size, int *part, size_t *skip)
{
    while (size > 0) {
        size_t left = parts[*part].iov_len - *skip;
        if (size < left) {
            *skip += size;
            return;
        }
        size -= left;
        *skip = 0;
        *part += 1;
    }
}

int posix_write(struct posix_storage *storage, int fd, const struct iovec *parts, int part_count,
                uint64_t offset)
{
    struct iovec now[PARTS_PER_CALL];
    int part = 0;
    size_t skip = 0;

    for (;;) {
        int n = gather(parts, part_count, part, skip, now);
        if (n == 0) {
            return 0;
        }
        ssize_t written = storage->calls->pwritev(storage->calls_arg, fd, now, n, offset);
        if (written == -EINTR) {
            continue;
        }
        if (written <= 0) {
            /* Zero bytes of a non-empty write: nothing says why, and trying on could last. */
            return written < 0 ? (int)written : -EIO;
        }
        offset += (uint64_t)written;
        advance(parts, (size_t)written, &part, &skip);
    }
}

int posix_fallocate_range(struct posix_storage *storage, int fd, int mode, uint64_t offset,
                          uint64_t size)
{
    int r;
    do {
        r = storage->calls->fallocate(storage->calls_arg, fd, mode, offset, size);
    } while (r == -EINTR);
    return r;
}

int posix_sync_dir(struct posix_storage *storage)
{
    uint64_t made = atomic_load(&storage->names_made); /* counted after they were made */
    uint64_t durable = atomic_load(&storage->names_durable);
    int r = storage->calls->fsync(storage->calls_arg, storage->dir);

    if (r < 0) {
        return r;
    }
    while (durable < made &&
           !atomic_compare_exchange_weak(&storage->names_durable, &durable, made)) {
    }
    return 0;
}

int posix_settle_names(struct posix_storage *storage, uint64_t count)
{
    return count <= atomic_load(&storage->names_durable) ? 0 : posix_sync_dir(storage);
}

int posix_rename_new(struct posix_storage *storage, int dir, const char *from, const char *to)
{
    int r = storage->calls->rename(storage->calls_arg, dir, from, to, RENAME_NOREPLACE);
    if (r != -EINVAL && r != -ENOSYS) {
        return r;
    }
    /* A file system without RENAME_NOREPLACE. Nobody else makes names here: we hold the lease. */
    r = posix_name_exists(storage, dir, to);
    if (r != 0) {
        return r < 0 ? r : -EEXIST;
    }
    return storage->calls->rename(storage->calls_arg, dir, from, to, 0);
}

void posix_discard_file(struct posix_storage *storage, const char *name)
{
    kv_ignore(storage->calls->unlinkat(storage->calls_arg, storage->dir, name));
}

int posix_name_exists(struct posix_storage *storage, int dir, const char *name)
{
    struct stat st;
    int r = storage->calls->lstatat(storage->calls_arg, dir, name, &st);
    if (r == -ENOENT) {
        return 0;
    }
    return r < 0 ? r : 1;
}

int posix_check_writable(const struct posix_storage *storage)
{
    int lease = atomic_load(&storage->lease);
    return lease == KV_LEASE_SHARED || lease == KV_LEASE_FOLLOW ? -EROFS : 0;
}
