/* SPDX-License-Identifier: Apache-2.0 */
/* Logs in memory: a file, and how much of it was appended. */
#include "kvcore/storage/mem_store.h"

#include <assert.h>
#include <stdlib.h>

struct kv_log {
    struct mem_file *file;
    bool writable;
    bool broken;           /* of the appending thread: an append failed */
    _Atomic uint64_t size; /* what can be read; behind it may be bytes of a recycled log */
};

static int log_new(struct mem_file *file, bool writable, uint64_t size, struct kv_log **ret_log)
{
    struct kv_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return -ENOMEM;
    }
    log->file = mem_file_ref(file);
    log->writable = writable;
    atomic_init(&log->size, size);
    *ret_log = log;
    return 0;
}

/* Rename the old log if there is one. `ret_file` comes with a reference. */
static int recycle_log(struct mem_storage *storage, struct kv_file_id old, struct kv_file_id id,
                       struct mem_file **ret_file)
{
    int r = -ENOENT;

    mutex_lock(&storage->mu);
    struct mem_entry *entry = mem_store_find(storage, old);
    if (storage->lease == KV_LEASE_SHARED) {
        r = -EROFS;
    } else if (mem_store_find(storage, id) != NULL) {
        r = -EEXIST;
    } else if (entry != NULL) {
        entry->id = id;
        *ret_file = mem_file_ref(entry->file);
        r = 0;
    }
    mutex_unlock(&storage->mu);
    return r;
}

static int new_log_file(struct mem_storage *storage, struct kv_file_id id,
                        struct mem_file **ret_file)
{
    struct mem_file *file = mem_file_create();
    if (file == NULL) {
        return -ENOMEM;
    }
    int r = mem_store_insert(storage, id, file, true);
    if (r < 0) {
        mem_file_unref(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

int mem_log_create(struct kv_storage *base, struct kv_file_id id, uint64_t recycle,
                   uint64_t preallocate_bytes, struct kv_log **ret_log)
{
    struct mem_storage *storage = mem_storage(base);
    struct mem_file *file = NULL;
    int r = -ENOENT;

    if (recycle != 0) {
        r = recycle_log(storage, (struct kv_file_id){id.kind, recycle}, id, &file);
    }
    if (r == -ENOENT) {
        r = new_log_file(storage, id, &file);
    }
    if (r < 0) {
        return r;
    }
    r = log_new(file, true, 0, ret_log);
    mem_file_unref(file);
    if (r < 0) {
        mem_store_forget(storage, id); /* it was just made */
    }
    return r;
}

static int open_log(struct kv_storage *base, struct kv_file_id id, bool writable,
                    struct kv_log **ret_log)
{
    struct mem_file *file = mem_store_get(mem_storage(base), id);
    if (file == NULL) {
        return -ENOENT;
    }
    int r = log_new(file, writable, mem_file_size(file), ret_log);
    mem_file_unref(file);
    return r;
}

int mem_log_open(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log)
{
    return open_log(base, id, false, ret_log);
}

int mem_log_resume(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log)
{
    int r = mem_store_check_writable(mem_storage(base));
    return r < 0 ? r : open_log(base, id, true, ret_log);
}

int mem_log_rewrite(struct kv_log *log, uint64_t offset, struct kv_slice bytes)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};

    assert(log->writable && offset + bytes.size <= mem_log_size(log));
    return mem_file_write_parts(log->file, offset, &part, 1);
}

int mem_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    uint64_t offset = atomic_load(&log->size);
    uint64_t size = 0;

    assert(log->writable);
    if (log->broken) {
        return -EIO;
    }
    int r = mem_file_write_parts(log->file, offset, parts, part_count);
    if (r < 0) {
        log->broken = true;
        return r;
    }
    for (int i = 0; i < part_count; i++) {
        size += parts[i].iov_len;
    }
    atomic_store(&log->size, offset + size);
    return 0;
}

void mem_log_write_out(struct kv_log *log)
{
    (void)log; /* there is no device */
}

int mem_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_size)
{
    *ret_size = mem_file_read(log->file, atomic_load(&log->size), offset, to, size);
    return 0;
}

int mem_log_sync(struct kv_log *log)
{
    return 0;
}

uint64_t mem_log_size(const struct kv_log *log)
{
    return atomic_load(&log->size);
}

void mem_log_close(struct kv_log *log)
{
    mem_file_unref(log->file);
    free(log);
}
