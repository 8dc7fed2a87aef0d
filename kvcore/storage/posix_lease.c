/* SPDX-License-Identifier: Apache-2.0 */
/* The lease is a flock(2) on the file LOCK. POSIX record locks will not do: closing any descriptor
 * of the file in this process would drop them. The kernel releases a flock when the process dies.
 *
 * LOCK also holds one line about the exclusive holder, padded to a fixed size so that a rewrite
 * leaves nothing of a longer line behind. It is for people: who holds the lease is decided by the
 * lock alone.
 *
 * Followers take no flock. Each has a record lock on one byte of LOCK, at the offset that is its
 * mark: of the kind that belongs to the open file and not to the process. Such locks exclude nobody
 * here, for all are for reading; but the kernel tells who asks what would be in the way of a write
 * lock, without making one. (Where flock is made of record locks, on NFS, a writer excludes them.)
 *
 * A process that forks shares its lease with the child: it lasts until both have closed it, so a
 * store may be opened before the daemon goes into the background. */
#include "kvcore/storage/posix_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

enum {
    HOLDER_LINE_SIZE = 256,
    REPLACED_TRIES = 4,
    BUSY_TRIES = 10,
    BUSY_PAUSE_NS = 2 * 1000 * 1000,
};

/* The lock counts only if LOCK is still the file that was locked: otherwise somebody who made a new
 * one could hold that. */
static int check_same_file(struct posix_storage *storage, int fd)
{
    struct stat mine;
    struct stat named;
    int r = storage->calls->fstat(storage->calls_arg, fd, &mine);
    if (r < 0) {
        return r;
    }
    r = storage->calls->lstatat(storage->calls_arg, storage->dir, POSIX_LOCK_NAME, &named);
    if (r == -ENOENT) {
        return -ESTALE;
    }
    if (r < 0) {
        return r;
    }
    return mine.st_dev == named.st_dev && mine.st_ino == named.st_ino ? 0 : -ESTALE;
}

static int open_lock(struct posix_storage *storage, enum kv_lease_mode mode)
{
    int fd =
        posix_open_file(storage, POSIX_LOCK_NAME, mode == KV_LEASE_EXCLUSIVE ? O_RDWR : O_RDONLY);
    if (fd != -ENOENT) {
        return fd;
    }
    int has_root = posix_name_exists(storage, storage->dir, POSIX_ROOT_NAME);
    if (has_root < 0) {
        return has_root;
    }
    if (mode != KV_LEASE_EXCLUSIVE) {
        return has_root ? -ENOLCK : -ENOENT;
    }
    if (!has_root && !storage->create) {
        return -ENOENT; /* some directory, not a store: leave no file in it */
    }
    return posix_open_file(storage, POSIX_LOCK_NAME, O_RDWR | O_CREAT);
}

static int set_range_lock(struct posix_storage *storage, int fd, short type, uint64_t mark)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)mark, .l_len = 1};
    int r = storage->calls->lock_range(storage->calls_arg, fd, F_OFD_SETLK, &range);
    return r == -EACCES || r == -EAGAIN ? -EBUSY : r == -EINVAL ? -ENOSYS : r;
}

/* Returns the locked descriptor. -ESTALE: LOCK was replaced meanwhile, try again. */
static int try_lock(struct posix_storage *storage, enum kv_lease_mode mode)
{
    int operation = (mode == KV_LEASE_EXCLUSIVE ? LOCK_EX : LOCK_SH) | LOCK_NB;
    int fd = open_lock(storage, mode);
    int r;

    if (fd < 0) {
        return fd;
    }
    if (mode == KV_LEASE_FOLLOW) {
        r = set_range_lock(storage, fd, F_RDLCK, 0);
    } else {
        r = storage->calls->flock(storage->calls_arg, fd, operation);
    }
    if (r == 0) {
        r = check_same_file(storage, fd);
    }
    if (r < 0) {
        posix_close_file(storage, fd);
        return r == -EWOULDBLOCK ? -EBUSY : r;
    }
    return fd;
}

static int lock(struct posix_storage *storage, enum kv_lease_mode mode)
{
    int replaced = 0;
    int busy = 0;

    for (;;) {
        int fd = try_lock(storage, mode);
        if (fd == -ESTALE && ++replaced < REPLACED_TRIES) {
            continue;
        }
        /* Somebody who asks for the holder has a shared lock for a moment: that is no reader. */
        if (fd == -EBUSY && mode == KV_LEASE_EXCLUSIVE && ++busy < BUSY_TRIES) {
            struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
            nanosleep(&pause, NULL);
            continue;
        }
        return fd == -ESTALE ? -EBUSY : fd;
    }
}

static int write_holder(struct posix_storage *storage, int fd, const char *holder)
{
    char line[HOLDER_LINE_SIZE];
    struct iovec part = {.iov_base = line, .iov_len = sizeof line};
    size_t size = strnlen(holder, sizeof line - 1);

    memset(line, ' ', sizeof line);
    for (size_t i = 0; i < size; i++) {
        line[i] = (uint8_t)holder[i] < ' ' ? ' ' : holder[i]; /* one line it must stay */
    }
    line[sizeof line - 1] = '\n';
    return posix_write(storage, fd, &part, 1, 0);
}

int posix_lease_acquire(struct kv_storage *base, enum kv_lease_mode mode, const char *holder)
{
    struct posix_storage *storage = posix_storage(base);
    int fd = -1;
    int r = 0;

    mutex_lock(&storage->mu);
    if (storage->lock_fd >= 0) {
        r = -EBUSY;
        goto out;
    }
    fd = lock(storage, mode);
    if (fd < 0) {
        r = fd;
        goto out;
    }
    if (mode == KV_LEASE_EXCLUSIVE) {
        r = write_holder(storage, fd, holder);
        if (r == -ENOSPC || r == -EDQUOT) {
            r = 0; /* a full disk must not keep anybody from opening the store to delete */
        }
        /* An earlier process may have died between changing a name and syncing the directory. What
         * is found here from now on must not vanish while later names stay. */
        r = r < 0 ? r : posix_sync_dir(storage);
        if (r == 0 && atomic_load(&storage->unpublished)) {
            r = posix_wipe(storage);
        }
        if (r < 0) {
            goto out;
        }
    }
    storage->lock_fd = fd;
    fd = -1;
    atomic_store(&storage->lease, (int)mode);
out:
    posix_close_file(storage, fd);
    mutex_unlock(&storage->mu);
    return r;
}

int posix_lease_describe(struct kv_storage *base, const char *holder)
{
    struct posix_storage *storage = posix_storage(base);
    int r = -EROFS;

    mutex_lock(&storage->mu);
    if (atomic_load(&storage->lease) == KV_LEASE_EXCLUSIVE) {
        r = write_holder(storage, storage->lock_fd, holder);
    }
    mutex_unlock(&storage->mu);
    return r;
}

static int read_holder(struct posix_storage *storage, int fd, struct kv_buf *ret_holder)
{
    char line[HOLDER_LINE_SIZE];
    size_t size = 0;
    int r = posix_read(storage, fd, 0, line, sizeof line, &size);
    if (r < 0) {
        return r;
    }
    while (size > 0 && (uint8_t)line[size - 1] <= ' ') {
        size--;
    }
    return kv_buf_assign(ret_holder, kv_slice(line, size));
}

int posix_lease_holder(struct kv_storage *base, struct kv_buf *ret_holder)
{
    struct posix_storage *storage = posix_storage(base);
    /* A descriptor of its own conflicts with the lock of any other, also of this process. */
    int fd = posix_open_file(storage, POSIX_LOCK_NAME, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    int r = storage->calls->flock(storage->calls_arg, fd, LOCK_SH | LOCK_NB);
    if (r == 0) {
        r = -ENOENT;
    } else if (r == -EWOULDBLOCK) {
        r = read_holder(storage, fd, ret_holder);
    }
    posix_close_file(storage, fd);
    return r;
}

/* ---- followers --------------------------------------------------------------------------------
 */

int posix_follow_move(struct kv_storage *base, uint64_t mark)
{
    struct posix_storage *storage = posix_storage(base);
    int r = -EROFS;

    mutex_lock(&storage->mu);
    if (atomic_load(&storage->lease) == KV_LEASE_FOLLOW) {
        r = check_same_file(storage, storage->lock_fd); /* else no writer sees the lock */
        r = r == 0 && mark != storage->mark
                ? set_range_lock(storage, storage->lock_fd, F_RDLCK, mark)
                : r;
    }
    if (r == 0 && mark != storage->mark) {
        /* Should it stay, more is kept for this follower than it needs. */
        kv_ignore(set_range_lock(storage, storage->lock_fd, F_UNLCK, storage->mark));
        storage->mark = mark;
    }
    mutex_unlock(&storage->mu);
    return r;
}

/* The kernel tells of one lock that is in the way, in no order: each time what is left to be asked
 * about ends before it. Who moves meanwhile is met before or behind, or both. */
int posix_followers_oldest(struct kv_storage *base, uint64_t *ret_mark)
{
    struct posix_storage *storage = posix_storage(base);
    uint64_t oldest = UINT64_MAX;
    int r = 0;

    mutex_lock(&storage->mu);
    while (r == 0 && oldest != 0) {
        struct flock range = {.l_type = F_WRLCK,
                              .l_whence = SEEK_SET,
                              .l_len = oldest == UINT64_MAX ? 0 : (off_t)oldest};
        r = storage->calls->lock_range(storage->calls_arg, storage->lock_fd, F_OFD_GETLK, &range);
        storage->has_range_locks |= r >= 0;
        if (r < 0 || range.l_type == F_UNLCK) {
            break;
        }
        oldest = (uint64_t)range.l_start;
    }
    /* A network file system says -ENOLCK where nobody keeps its locks, and also while who keeps
     * them does not answer: then somebody may have one. */
    bool none = r == -EINVAL || r == -EOPNOTSUPP || r == -ENOSYS ||
                (r == -ENOLCK && !storage->has_range_locks);
    mutex_unlock(&storage->mu);
    if (none) {
        r = 0; /* there are no such locks here, so nobody has one */
    }
    if (r == 0) {
        *ret_mark = oldest;
    }
    return r;
}
