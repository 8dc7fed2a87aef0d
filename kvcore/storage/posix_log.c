/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: files that are appended at a tracked offset, preallocated or recycled, so that a sync has
 * no size and no new blocks to record. */
#include "kvcore/storage/posix_store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

struct kv_log {
    struct posix_storage *storage;
    int fd;
    bool writable;
    /* What can be read. Moved by the appending thread after its bytes are written; a reader or a
     * sync on another thread sees those bytes. */
    _Atomic uint64_t size;
    _Atomic bool append_broken;
    _Atomic bool sync_broken;
};

static int log_new(struct posix_storage *storage, int fd, bool writable, uint64_t size,
                   struct kv_log **ret_log)
{
    struct kv_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return -ENOMEM;
    }
    log->storage = storage;
    log->fd = fd;
    log->writable = writable;
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
    r = posix_rename_new(storage, old_name, name);
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
    int r = posix_check_writable(storage);

    if (r < 0) {
        return r;
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
    r = posix_sync_dir(storage);
    if (r == 0) {
        r = log_new(storage, fd, true, 0, ret_log);
    }
    if (r < 0) {
        posix_close_file(storage, fd);
        posix_discard_file(storage, name);
    }
    return r;
}

int posix_log_open(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log)
{
    struct posix_storage *storage = posix_storage(base);
    char name[POSIX_NAME_SIZE];
    struct stat st;

    posix_name_format(id, name);
    int fd = posix_open_file(storage, name, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    int r = storage->calls->fstat(storage->calls_arg, fd, &st);
    if (r == 0) {
        r = log_new(storage, fd, false, (uint64_t)st.st_size, ret_log);
    }
    if (r < 0) {
        posix_close_file(storage, fd);
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

int posix_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    uint64_t offset = atomic_load_explicit(&log->size, memory_order_relaxed);
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
    atomic_store_explicit(&log->size, offset + parts_size(parts, part_count), memory_order_release);
    return 0;
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
    int r = log->storage->calls->fdatasync(log->storage->calls_arg, log->fd);
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
    free(log);
}
