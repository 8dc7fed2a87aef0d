/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of storage_mem share.
 *
 * Concurrency: the storage's mutex guards its list of files, the lease and the root; each file has
 * a mutex for its bytes. The two are never held together, so that a file may belong to several
 * storages (object_link). A file is freed with its last reference: one per storage that lists it
 * and one per open handle. */
#ifndef KVCORE_STORAGE_MEM_STORE_H
#define KVCORE_STORAGE_MEM_STORE_H

#include <stdatomic.h>

#include <kv/storage.h>

#include "kvcore/util/thread.h"

struct mem_file {
    _Atomic unsigned refs;
    _Atomic unsigned links; /* storages that list it */
    struct mutex mu;
    struct kv_buf bytes GUARDED_BY(mu);
};

/* An empty file with one reference; NULL when out of memory. */
struct mem_file *mem_file_create(void);
struct mem_file *mem_file_ref(struct mem_file *file);
void mem_file_unref(struct mem_file *file); /* accepts NULL */
uint64_t mem_file_size(struct mem_file *file);
/* Write over what is there and beyond; `offset` is at most the present size. Errors: -ENOMEM. */
KV_MUST_CHECK int mem_file_write_parts(struct mem_file *file, uint64_t offset,
                                       const struct iovec *parts, int part_count);
/* Read of the first `end` bytes. Returns how many were read. */
size_t mem_file_read(struct mem_file *file, uint64_t end, uint64_t offset, void *to, size_t size);
void mem_file_zero(struct mem_file *file, uint64_t offset, uint64_t size);

struct mem_entry {
    struct kv_file_id id;
    struct mem_file *file;
    bool finished; /* an object that is being written is not visible */
};

struct mem_storage {
    struct kv_storage base;
    struct mutex mu;
    struct mem_entry *entries GUARDED_BY(mu);
    size_t entry_count GUARDED_BY(mu);
    size_t entry_capacity GUARDED_BY(mu);
    enum kv_lease_mode lease GUARDED_BY(mu); /* 0: none */
    struct kv_buf holder GUARDED_BY(mu);
    struct kv_buf root GUARDED_BY(mu);
    uint64_t root_version GUARDED_BY(mu); /* 0: never written */
};

static inline struct mem_storage *mem_storage(struct kv_storage *storage)
{
    return (struct mem_storage *)storage;
}

/* The entry of `id`, finished or not; NULL if there is none. */
struct mem_entry *mem_store_find(struct mem_storage *storage, struct kv_file_id id)
    REQUIRES(&storage->mu);
/* A finished file, with a reference; NULL if there is none. */
struct mem_file *mem_store_get(struct mem_storage *storage, struct kv_file_id id);
/* List `file` under `id` and take a reference. Errors: -EROFS, -EEXIST, -ENOMEM. */
KV_MUST_CHECK int mem_store_insert(struct mem_storage *storage, struct kv_file_id id,
                                   struct mem_file *file, bool finished);
/* Take `id`, which must be there, off the list. */
void mem_store_forget(struct mem_storage *storage, struct kv_file_id id);
/* 0, or -EROFS under a shared lease. */
KV_MUST_CHECK int mem_store_check_writable(struct mem_storage *storage);

/* The operations, each described in kv/storage.h. */
int mem_log_create(struct kv_storage *base, struct kv_file_id id, uint64_t recycle,
                   uint64_t preallocate_bytes, struct kv_log **ret_log);
int mem_log_open(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log);
int mem_log_resume(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log);
int mem_log_rewrite(struct kv_log *log, uint64_t offset, struct kv_slice bytes);
int mem_log_append(struct kv_log *log, const struct iovec *parts, int part_count);
void mem_log_write_out(struct kv_log *log);
int mem_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_size);
int mem_log_sync(struct kv_log *log);
uint64_t mem_log_size(const struct kv_log *log);
void mem_log_close(struct kv_log *log);
int mem_object_begin(struct kv_storage *base, struct kv_file_id id, uint64_t size_hint_bytes,
                     struct kv_object_writer **ret_writer);
int mem_object_write(struct kv_object_writer *writer, const struct iovec *parts, int part_count);
void mem_object_abort(struct kv_object_writer *take_writer);
int mem_object_finish(struct kv_object_writer *take_writer);
int mem_object_open(struct kv_storage *base, struct kv_file_id id, struct kv_object **ret_object);
int mem_object_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                    size_t *ret_size);
uint64_t mem_object_size(const struct kv_object *object);
void mem_object_hint(struct kv_object *object, uint64_t offset, uint64_t size, enum kv_hint hint);
int mem_object_descriptor(struct kv_object *object);
void mem_object_close(struct kv_object *object);
int mem_object_discard(struct kv_storage *base, struct kv_file_id id, uint64_t offset,
                       uint64_t size);
int mem_object_link(struct kv_storage *base, struct kv_file_id id, struct kv_storage *to);

#endif
