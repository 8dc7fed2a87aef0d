/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: files that are appended at a tracked offset, preallocated or recycled, so that a sync has
 * no size and no new blocks to record.
 *
 * Blobs take long streams, so what the device has not got yet is kept small: an fsync beside a
 * stream then has little to wait for, and the page cache is not filled with bytes that are not read
 * soon. Write-out begins a megabyte at a time, who asks for it waits for what is too far behind,
 * and pages that are written out are dropped. It has a descriptor of its own: the kernel tells an
 * error of writing back once through each, and a sync must not miss it because write-out was told
 * first. (RWF_DONTCACHE does the same from Linux 6.14 on, but for each append by itself, which
 * costs small ones dearly, and it reads back the last page of an odd one; O_DIRECT waits for each.)
 */
#include "kvcore/storage/posix_store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

enum {
    PAGE_SIZE_MAX = 64 * 1024,
    WRITE_OUT_BYTES = 1 << 20, /* begin to write out so much at a time */
    BEHIND_BYTES = 4 << 20,    /* wait for what is so far behind the end */
};

struct kv_log {
    struct posix_storage *storage;
    int fd;
    int write_out_fd; /* -1: not for a stream */
    bool writable;
    struct mutex write_out_mu;                /* one write-out at a time; held across it */
    uint64_t begun GUARDED_BY(&write_out_mu); /* up to here write-out has begun */
    uint64_t done GUARDED_BY(&write_out_mu);  /* and up to here the device has it */
    /* What can be read. Moved by the appending thread after its bytes are written; a reader or a
     * sync on another thread sees those bytes. */
    _Atomic uint64_t size;
    _Atomic bool append_broken;
    _Atomic bool sync_broken;
};

static int log_new(struct posix_storage *storage, int fd, bool writable, uint64_t size,
                   struct kv_log **ret_log)
{
    /* What stands here already is not ours to write out. */
    uint64_t begin = size & ~(uint64_t)(PAGE_SIZE_MAX - 1);

    struct kv_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return -ENOMEM;
    }
    log->storage = storage;
    log->fd = fd;
    log->write_out_fd = -1;
    log->writable = writable;
    mutex_init(&log->write_out_mu, LOCK_RANK_STORAGE, "log write-out");
    mutex_lock(&log->write_out_mu);
    log->begun = begin;
    log->done = begin;
    mutex_unlock(&log->write_out_mu);
    atomic_init(&log->size, size);
    *ret_log = log;
    return 0;
}

/* Give the file blocks and its final size now. */
static int preallocate(struct posix_storage *storage, int fd, uint64_t size)
{
    if (size == 0) {
        return 0;
    }
    int r = posix_fallocate_range(storage, fd, 0, 0, size);
    return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

static int create_new(struct posix_storage *storage, const char *name, uint64_t preallocate_bytes)
{
    int fd = posix_open_file(storage, name, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0) {
        return fd;
    }
    int r = preallocate(storage, fd, preallocate_bytes);
    if (r < 0) {
        posix_close_file(storage, fd);
        posix_discard_file(storage, name);
        return r;
    }
    return fd;
}

/* -ENOENT: there is nothing of that number to reuse. */
static int create_recycled(struct posix_storage *storage, const char *name, struct kv_file_id old)
{
    char old_name[POSIX_NAME_SIZE];
    int r;

    posix_name_format(old, old_name);
    int fd = posix_open_file(storage, old_name, O_RDWR);
    if (fd < 0) {
        return fd;
    }
    r = posix_rename_new(storage, storage->dir, old_name, name);
    if (r < 0) {
        posix_close_file(storage, fd);
        return r;
    }
    return fd;
}

int posix_log_create(struct kv_storage *base, struct kv_file_id id, uint64_t recycle,
                     uint64_t preallocate_bytes, struct kv_log **ret_log)
{
    struct posix_storage *storage = posix_storage(base);
    char name[POSIX_NAME_SIZE];
    int fd = -ENOENT;
    int write_out_fd = -1;
    int r = posix_check_writable(storage);

    if (r < 0) {
        return r;
    }
    /* At most one write-ahead log may vanish in a crash, the newest: a gap would be damage. */
    if (id.kind == KV_FILE_LOG) {
        r = posix_settle_names(storage, atomic_load(&storage->last_log_name));
        if (r < 0) {
            return r;
        }
    }
    posix_name_format(id, name);
    if (recycle != 0) {
        fd = create_recycled(storage, name, (struct kv_file_id){id.kind, recycle});
    }
    if (fd == -ENOENT) {
        fd = create_new(storage, name, preallocate_bytes);
    }
    if (fd < 0) {
        return fd;
    }
    if (id.kind == KV_FILE_BLOB) {
        r = write_out_fd = posix_open_file(storage, name, O_WRONLY);
    }
    if (r >= 0) {
        r = log_new(storage, fd, true, 0, ret_log);
    }
    if (r < 0) {
        posix_close_file(storage, fd);
        posix_close_file(storage, write_out_fd);
        posix_discard_file(storage, name);
        return r;
    }
    (*ret_log)->write_out_fd = write_out_fd;
    uint64_t count = atomic_fetch_add(&storage->names_made, 1) + 1;
    if (id.kind == KV_FILE_LOG) {
        atomic_store(&storage->last_log_name, count);
    }
    return 0;
}

static int open_log(struct posix_storage *storage, struct kv_file_id id, bool writable,
                    struct kv_log **ret_log)
{
    char name[POSIX_NAME_SIZE];
    struct stat st;

    posix_name_format(id, name);
    int fd = posix_open_file(storage, name, writable ? O_RDWR : O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    int r = storage->calls->fstat(storage->calls_arg, fd, &st);
    if (r == 0) {
        r = log_new(storage, fd, writable, (uint64_t)st.st_size, ret_log);
    }
    if (r < 0) {
        posix_close_file(storage, fd);
        return r;
    }
    return 0;
}

int posix_log_open(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log)
{
    return open_log(posix_storage(base), id, false, ret_log);
}

int posix_log_resume(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log)
{
    int r = posix_check_writable(posix_storage(base));
    return r < 0 ? r : open_log(posix_storage(base), id, true, ret_log);
}

int posix_log_rewrite(struct kv_log *log, uint64_t offset, struct kv_slice bytes)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};

    assert(log->writable && offset + bytes.size <= posix_log_size(log));
    int r = posix_write(log->storage, log->fd, &part, 1, offset);
    if (r < 0) {
        atomic_store(&log->sync_broken, true);
    }
    return r;
}

static uint64_t parts_size(const struct iovec *parts, int part_count)
{
    uint64_t size = 0;
    for (int i = 0; i < part_count; i++) {
        size += parts[i].iov_len;
    }
    return size;
}

static int sync_range(const struct kv_log *log, uint64_t begin, uint64_t end, bool wait)
{
    const struct posix_storage *storage = log->storage;
    int r =
        storage->calls->sync_range(storage->calls_arg, log->write_out_fd, begin, end - begin, wait);
    /* Where the call does not exist the syncs do all the work. */
    return r == -ENOSYS || r == -EOPNOTSUPP || r == -EINVAL ? 0 : r;
}

/* Begin to write out what was appended, up to the last whole page: the next append would have to
 * wait for a page that is on its way. Wait for what is far behind. */
static int write_out(struct kv_log *log, uint64_t end) REQUIRES(&log->write_out_mu)
{
    const struct posix_storage *storage = log->storage;
    uint64_t whole = end & ~(uint64_t)(PAGE_SIZE_MAX - 1);
    uint64_t behind;
    int r;

    if (whole - log->begun < WRITE_OUT_BYTES) {
        return 0;
    }
    r = sync_range(log, log->begun, whole, false);
    log->begun = whole;
    if (r < 0 || whole - log->done < BEHIND_BYTES + WRITE_OUT_BYTES) {
        return r;
    }
    behind = whole - BEHIND_BYTES;
    r = sync_range(log, log->done, behind, true);
    kv_ignore(storage->calls->fadvise(storage->calls_arg, log->write_out_fd, log->done,
                                      behind - log->done, POSIX_FADV_DONTNEED)); /* only a hint */
    log->done = behind;
    return r;
}

int posix_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    uint64_t offset = atomic_load_explicit(&log->size, memory_order_relaxed);
    uint64_t end = offset + parts_size(parts, part_count);
    int r;

    assert(log->writable);
    if (atomic_load(&log->append_broken) || atomic_load(&log->sync_broken)) {
        return -EIO;
    }
    r = posix_write(log->storage, log->fd, parts, part_count, offset);
    if (r < 0) {
        atomic_store(&log->append_broken, true);
        return r;
    }
    /* Release: pairs with the acquire in posix_log_read() and posix_log_size(). */
    atomic_store_explicit(&log->size, end, memory_order_release);
    return 0;
}

void posix_log_write_out(struct kv_log *log)
{
    assert(log->writable);
    if (log->write_out_fd < 0) {
        return;
    }
    mutex_lock(&log->write_out_mu);
    if (!atomic_load(&log->sync_broken) && write_out(log, posix_log_size(log)) < 0) {
        atomic_store(&log->sync_broken, true); /* nobody else will report it */
        atomic_store(&log->append_broken, true);
    }
    mutex_unlock(&log->write_out_mu);
}

int posix_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_size)
{
    uint64_t end = posix_log_size(log);
    if (offset >= end) {
        *ret_size = 0;
        return 0;
    }
    if (size > end - offset) {
        size = (size_t)(end - offset);
    }
    return posix_read(log->storage, log->fd, offset, to, size, ret_size);
}

int posix_log_sync(struct kv_log *log)
{
    if (atomic_load(&log->sync_broken)) {
        return -EIO;
    }
    /* First the names: what is appended may speak of files that were made before. */
    int r = posix_settle_names(log->storage, atomic_load(&log->storage->names_made));
    r = r < 0 ? r : log->storage->calls->fdatasync(log->storage->calls_arg, log->fd);
    if (r < 0) {
        atomic_store(&log->sync_broken, true);
    }
    return r;
}

uint64_t posix_log_size(const struct kv_log *log)
{
    return atomic_load_explicit(&log->size, memory_order_acquire);
}

void posix_log_close(struct kv_log *log)
{
    posix_close_file(log->storage, log->fd);
    posix_close_file(log->storage, log->write_out_fd);
    mutex_finish(&log->write_out_mu);
    free(log);
}
