/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: a file that is open, and its end. An append returns when it is on every replica, so a sync
 * has nothing left to do. It names the offset it writes to: sent twice, it does no harm. One that
 * is refused leaves what was appended before as durable as it was; where the outcome is unknown the
 * lease is gone, and nobody is told any more that something is durable. */
#include "kvcore/storage/pooled_store.h"

#include <assert.h>
#include <stdlib.h>

struct kv_log {
    struct pooled_file *file;
    bool writable;
    _Atomic bool append_broken;
    _Atomic bool sync_broken; /* nothing is appended either */
    /* Moved by the appending thread after its bytes are written; who reads it sees them. */
    _Atomic uint64_t size;
};

static int log_new(struct pooled_file *file, bool writable, uint64_t size, struct kv_log **ret_log)
{
    struct kv_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return -ENOMEM;
    }
    log->file = file;
    log->writable = writable;
    atomic_init(&log->size, size);
    *ret_log = log;
    return 0;
}

int pooled_log_create(struct kv_storage *base, struct kv_file_id id, uint64_t recycle,
                      uint64_t preallocate_bytes, struct kv_log **ret_log)
{
    struct pooled_dir_item item = {.id = id, .entry = {.state = POOLED_OPEN}};
    struct pooled_file *file = NULL;
    int r = pooled_file_create(pooled_storage(base), item, recycle, &file);
    if (r < 0) {
        return r;
    }
    r = log_new(file, true, 0, ret_log);
    if (r < 0) {
        pooled_file_unref(file);
    }
    return r;
}

/* The file as it is now, and its size. */
static int open_file(struct kv_storage *base, struct kv_file_id id, struct pooled_file **ret_file,
                     uint64_t *ret_size)
{
    struct pooled_file *file = NULL;
    int r = pooled_file_open(pooled_storage(base), id, &file);
    if (r < 0) {
        return r;
    }
    r = pooled_file_size(file, ret_size);
    if (r < 0) {
        pooled_file_unref(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

int pooled_log_open(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log)
{
    struct pooled_file *file = NULL;
    uint64_t size = 0;
    int r = open_file(base, id, &file, &size);
    if (r < 0) {
        return r;
    }
    r = log_new(file, false, size, ret_log);
    if (r < 0) {
        pooled_file_unref(file);
    }
    return r;
}

int pooled_log_resume(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log)
{
    struct pooled_file *file = NULL;
    struct kv_log *log = NULL;
    uint64_t size = 0;
    int r = open_file(base, id, &file, &size);
    if (r < 0) {
        return r;
    }
    r = log_new(file, true, size, &log);
    r = r < 0 ? r : pooled_file_resume(file);
    if (r < 0) {
        free(log);
        pooled_file_unref(file);
        return r;
    }
    *ret_log = log;
    return 0;
}

int pooled_log_rewrite(struct kv_log *log, uint64_t offset, struct kv_slice bytes)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    assert(log->writable);
    assert(bytes.size <= pooled_log_size(log) && offset <= pooled_log_size(log) - bytes.size);
    if (atomic_load(&log->sync_broken)) {
        return -EIO;
    }
    int r = pooled_file_write(log->file, offset, &part, 1);
    if (r < 0) {
        atomic_store(&log->sync_broken, true);
    }
    return r;
}

int pooled_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    uint64_t end = atomic_load_explicit(&log->size, memory_order_relaxed);
    assert(log->writable);
    if (atomic_load(&log->append_broken) || atomic_load(&log->sync_broken)) {
        return -EIO;
    }
    int r = pooled_file_write(log->file, end, parts, part_count);
    if (r < 0) {
        atomic_store(&log->append_broken, true);
        atomic_store(&log->sync_broken, r == -POOLED_EFENCED || r == -KV_EDAMAGED);
        return r;
    }
    for (int i = 0; i < part_count; i++) {
        end += parts[i].iov_len;
    }
    /* Release: pairs with the acquire in pooled_log_size(). */
    atomic_store_explicit(&log->size, end, memory_order_release);
    return 0;
}

void pooled_log_write_out(struct kv_log *log)
{
}

int pooled_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_size)
{
    return pooled_file_read(log->file, pooled_log_size(log), offset, to, size, ret_size);
}

int pooled_log_sync(struct kv_log *log)
{
    return atomic_load(&log->sync_broken) ? -EIO : 0;
}

uint64_t pooled_log_size(const struct kv_log *log)
{
    return atomic_load_explicit(&log->size, memory_order_acquire);
}

/* It is finished, so that nobody has to fence it. */
void pooled_log_close(struct kv_log *log)
{
    if (log->writable && !atomic_load(&log->sync_broken)) {
        kv_ignore(pooled_file_finish(log->file, pooled_log_size(log))); /* who takes over does it */
    }
    pooled_file_unref(log->file);
    free(log);
}
