/* SPDX-License-Identifier: Apache-2.0 */
/* The storage seam in memory. The parts are in mem_*.c; here are the list of files, the lease and
 * the root. */
#include "kvcore/storage/mem_store.h"

#include <assert.h>
#include <stdlib.h>

enum { ROOT_SIZE_MAX = 4000 };

/* What it says is free: enough for any test. */
#define MEM_TOTAL_BYTES ((uint64_t)1 << 40)

/* ---- the list of files ------------------------------------------------------------------------
 */

struct mem_entry *mem_store_find(struct mem_storage *storage, struct kv_file_id id)
{
    for (size_t i = 0; i < storage->entry_count; i++) {
        struct mem_entry *entry = &storage->entries[i];
        if (entry->id.kind == id.kind && entry->id.number == id.number) {
            return entry;
        }
    }
    return NULL;
}

/* List `file` under `id` and take a reference. Errors: -EEXIST, -ENOMEM. */
static int insert(struct mem_storage *storage, struct kv_file_id id, struct mem_file *file,
                  bool finished) REQUIRES(&storage->mu)
{
    if (mem_store_find(storage, id) != NULL) {
        return -EEXIST;
    }
    if (storage->entry_count == storage->entry_capacity) {
        size_t capacity = storage->entry_capacity * 2 + 16;
        struct mem_entry *entries =
            reallocarray(storage->entries, capacity, sizeof *storage->entries);
        if (entries == NULL) {
            return -ENOMEM;
        }
        storage->entries = entries;
        storage->entry_capacity = capacity;
    }
    storage->entries[storage->entry_count++] =
        (struct mem_entry){.id = id, .file = mem_file_ref(file), .finished = finished};
    atomic_fetch_add(&file->links, 1);
    return 0;
}

/* Take an entry off the list; its reference passes to the caller. */
static struct mem_file *extract(struct mem_storage *storage, struct mem_entry *entry)
    REQUIRES(&storage->mu)
{
    struct mem_file *file = entry->file;
    *entry = storage->entries[--storage->entry_count];
    atomic_fetch_sub(&file->links, 1);
    return file;
}

struct mem_file *mem_store_get(struct mem_storage *storage, struct kv_file_id id)
{
    mutex_lock(&storage->mu);
    const struct mem_entry *entry = mem_store_find(storage, id);
    struct mem_file *file = entry != NULL && entry->finished ? mem_file_ref(entry->file) : NULL;
    mutex_unlock(&storage->mu);
    return file;
}

int mem_store_insert(struct mem_storage *storage, struct kv_file_id id, struct mem_file *file,
                     bool finished)
{
    mutex_lock(&storage->mu);
    int r = storage->lease == KV_LEASE_SHARED ? -EROFS : insert(storage, id, file, finished);
    mutex_unlock(&storage->mu);
    return r;
}

int mem_store_check_writable(struct mem_storage *storage)
{
    mutex_lock(&storage->mu);
    int r = storage->lease == KV_LEASE_SHARED ? -EROFS : 0;
    mutex_unlock(&storage->mu);
    return r;
}

void mem_store_forget(struct mem_storage *storage, struct kv_file_id id)
{
    mutex_lock(&storage->mu);
    struct mem_entry *entry = mem_store_find(storage, id);
    assert(entry != NULL);
    struct mem_file *file = extract(storage, entry);
    mutex_unlock(&storage->mu);
    mem_file_unref(file);
}

/* ---- storage, lease, root ---------------------------------------------------------------------
 */

static void mem_close(struct kv_storage *base)
{
    struct mem_storage *storage = mem_storage(base);
    mutex_lock(&storage->mu);
    storage->lease = (enum kv_lease_mode)0;
    mutex_unlock(&storage->mu);
}

static const char *mem_name(const struct kv_storage *base)
{
    return "memory";
}

static int mem_lease_acquire(struct kv_storage *base, enum kv_lease_mode mode, const char *holder)
{
    struct mem_storage *storage = mem_storage(base);
    int r = 0;

    if (mode == KV_LEASE_FOLLOW) {
        return -ENOSYS; /* nobody else reaches it */
    }
    mutex_lock(&storage->mu);
    if (storage->lease != 0) {
        r = -EBUSY;
    } else if (mode == KV_LEASE_EXCLUSIVE) {
        r = kv_buf_assign(&storage->holder, kv_slice_str(holder));
    }
    if (r == 0) {
        storage->lease = mode;
    }
    mutex_unlock(&storage->mu);
    return r;
}

static int mem_lease_describe(struct kv_storage *base, const char *holder)
{
    struct mem_storage *storage = mem_storage(base);
    int r = -EROFS;

    mutex_lock(&storage->mu);
    if (storage->lease == KV_LEASE_EXCLUSIVE) {
        r = kv_buf_assign(&storage->holder, kv_slice_str(holder));
    }
    mutex_unlock(&storage->mu);
    return r;
}

static int mem_lease_holder(struct kv_storage *base, struct kv_buf *ret_holder)
{
    struct mem_storage *storage = mem_storage(base);
    int r = -ENOENT;

    mutex_lock(&storage->mu);
    if (storage->lease == KV_LEASE_EXCLUSIVE) {
        r = kv_buf_assign(ret_holder, kv_buf_slice(&storage->holder));
    }
    mutex_unlock(&storage->mu);
    return r;
}

static int mem_root_read(struct kv_storage *base, struct kv_buf *ret_bytes, uint64_t *ret_version)
{
    struct mem_storage *storage = mem_storage(base);
    int r = -ENOENT;

    mutex_lock(&storage->mu);
    if (storage->root_version > 0) {
        r = kv_buf_assign(ret_bytes, kv_buf_slice(&storage->root));
    }
    if (r == 0) {
        *ret_version = storage->root_version;
    }
    mutex_unlock(&storage->mu);
    return r;
}

static int swap_root(struct mem_storage *storage, uint64_t expected_version, struct kv_slice bytes)
    REQUIRES(&storage->mu)
{
    if (storage->lease == KV_LEASE_SHARED) {
        return -EROFS;
    }
    if (storage->root_version != expected_version) {
        return -ESTALE;
    }
    int r = kv_buf_assign(&storage->root, bytes);
    if (r == 0) {
        storage->root_version++;
    }
    return r;
}

static int mem_root_swap(struct kv_storage *base, uint64_t expected_version, struct kv_slice bytes)
{
    struct mem_storage *storage = mem_storage(base);
    if (bytes.size > ROOT_SIZE_MAX) {
        return -EINVAL;
    }
    mutex_lock(&storage->mu);
    int r = swap_root(storage, expected_version, bytes);
    mutex_unlock(&storage->mu);
    return r;
}

/* ---- all files --------------------------------------------------------------------------------
 */

static int mem_remove(struct kv_storage *base, struct kv_file_id id)
{
    struct mem_storage *storage = mem_storage(base);
    struct mem_file *file = NULL;
    int r = 0;

    mutex_lock(&storage->mu);
    struct mem_entry *entry = mem_store_find(storage, id);
    if (storage->lease == KV_LEASE_SHARED) {
        r = -EROFS;
    } else if (entry == NULL || !entry->finished) {
        r = -ENOENT;
    } else {
        file = extract(storage, entry);
    }
    mutex_unlock(&storage->mu);
    mem_file_unref(file);
    return r;
}

/* A copy of the list of finished files, each with a reference: callers may come back to the
 * storage, and the mutex of a file may not be taken under that of the storage. */
static int copy_entries(struct mem_storage *storage, struct mem_entry **ret_entries,
                        size_t *ret_count)
{
    int r = 0;
    size_t count = 0;

    mutex_lock(&storage->mu);
    struct mem_entry *entries = calloc(storage->entry_count + 1, sizeof *entries);
    if (entries == NULL) {
        r = -ENOMEM;
        goto out;
    }
    for (size_t i = 0; i < storage->entry_count; i++) {
        if (storage->entries[i].finished) {
            entries[count] = storage->entries[i];
            mem_file_ref(entries[count++].file);
        }
    }
    *ret_entries = entries;
    *ret_count = count;
out:
    mutex_unlock(&storage->mu);
    return r;
}

static int mem_list(struct kv_storage *base, kv_list_fn *fn, void *arg)
{
    struct mem_entry *entries = NULL;
    size_t count = 0;
    int r = copy_entries(mem_storage(base), &entries, &count);

    for (size_t i = 0; i < count; i++) {
        fn(arg, entries[i].id, mem_file_size(entries[i].file));
        mem_file_unref(entries[i].file);
    }
    free(entries);
    return r;
}

static void add_used(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    uint64_t *used = (uint64_t *)arg;
    *used += size_bytes;
}

/* Memory is not set aside: there is no device that could be full. */
static int mem_reserve(struct kv_storage *base, uint64_t bytes)
{
    (void)base;
    (void)bytes;
    return 0;
}

/* It has no name that others could see it by. */
static int mem_publish(struct kv_storage *base)
{
    (void)base;
    return 0;
}

static int mem_space(struct kv_storage *base, struct kv_space *ret_space)
{
    uint64_t used = 0;
    int r = mem_list(base, add_used, &used);
    if (r == 0) {
        *ret_space = (struct kv_space){
            .total_bytes = MEM_TOTAL_BYTES,
            .free_bytes = used < MEM_TOTAL_BYTES ? MEM_TOTAL_BYTES - used : 0,
            .used_bytes = used,
        };
    }
    return r;
}

static const struct kv_storage_ops mem_ops = {
    .close = mem_close,
    .name = mem_name,
    .lease_acquire = mem_lease_acquire,
    .lease_describe = mem_lease_describe,
    .lease_holder = mem_lease_holder,
    .root_read = mem_root_read,
    .root_swap = mem_root_swap,
    .log_create = mem_log_create,
    .log_open = mem_log_open,
    .log_resume = mem_log_resume,
    .log_rewrite = mem_log_rewrite,
    .log_append = mem_log_append,
    .log_write_out = mem_log_write_out,
    .log_read = mem_log_read,
    .log_sync = mem_log_sync,
    .log_size = mem_log_size,
    .log_close = mem_log_close,
    .object_begin = mem_object_begin,
    .object_write = mem_object_write,
    .object_finish = mem_object_finish,
    .object_abort = mem_object_abort,
    .object_open = mem_object_open,
    .object_read = mem_object_read,
    .object_size = mem_object_size,
    .object_hint = mem_object_hint,
    .object_descriptor = mem_object_descriptor,
    .object_close = mem_object_close,
    .object_discard = mem_object_discard,
    .object_link = mem_object_link,
    .publish = mem_publish,
    .remove = mem_remove,
    .list = mem_list,
    .space = mem_space,
    .reserve = mem_reserve,
};

int kv_storage_mem_create(struct kv_storage **ret_storage)
{
    struct mem_storage *storage = calloc(1, sizeof *storage);
    if (storage == NULL) {
        return -ENOMEM;
    }
    storage->base.ops = &mem_ops;
    mutex_init(&storage->mu, LOCK_RANK_STORAGE, "storage in memory");
    *ret_storage = &storage->base;
    return 0;
}

void kv_storage_mem_destroy(struct kv_storage *base)
{
    struct mem_storage *storage = mem_storage(base);
    if (storage == NULL) {
        return;
    }
    assert(storage->base.ops == &mem_ops);
    for (size_t i = 0; i < storage->entry_count; i++) {
        atomic_fetch_sub(&storage->entries[i].file->links, 1);
        mem_file_unref(storage->entries[i].file);
    }
    free(storage->entries);
    kv_buf_finish(&storage->holder);
    kv_buf_finish(&storage->root);
    mutex_finish(&storage->mu);
    free(storage);
}
