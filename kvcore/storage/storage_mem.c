/* SPDX-License-Identifier: Apache-2.0 */
/* The storage seam in memory, for tests and for stores that need not last.
 *
 * Concurrency: the storage's mutex guards its list of files, the lease and the root; each file has
 * a mutex for its bytes. The two are never held together, so that a file may belong to several
 * storages (object_link). A file is freed with its last reference: one per storage that lists it
 * and one per open handle. */
#include <kv/storage.h>

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/thread.h"

enum { ROOT_SIZE_MAX = 4000 };

/* What it says is free: enough for any test. */
#define MEM_TOTAL_BYTES ((uint64_t)1 << 40)

struct mem_file {
    _Atomic unsigned refs;
    _Atomic unsigned links; /* storages that list it */
    struct mutex mu;
    struct kv_buf bytes; /* guarded by mu */
};

struct mem_entry {
    struct kv_file_id id;
    struct mem_file *file;
    bool finished; /* an object that is being written is not visible */
};

struct mem_storage {
    struct kv_storage base;
    struct mutex mu; /* guards all that follows */
    struct mem_entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    enum kv_lease_mode lease; /* 0: none */
    struct kv_buf holder;
    struct kv_buf root;
    uint64_t root_version; /* 0: never written */
};

struct kv_log {
    struct mem_file *file;
    bool writable;
    _Atomic uint64_t size; /* what can be read; behind it may be bytes of a recycled log */
};

struct kv_object_writer {
    struct mem_storage *storage;
    struct kv_file_id id;
    struct mem_file *file;
    int error;
};

struct kv_object {
    struct mem_file *file;
    uint64_t size;
};

static struct mem_storage *mem_storage(struct kv_storage *storage)
{
    return (struct mem_storage *)storage;
}

/* ---- files ------------------------------------------------------------------------------------
 */

static struct mem_file *file_create(void)
{
    struct mem_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return NULL;
    }
    atomic_init(&file->refs, 1);
    atomic_init(&file->links, 0);
    mutex_init(&file->mu, LOCK_RANK_STORAGE, "file in memory");
    return file;
}

static struct mem_file *file_ref(struct mem_file *file)
{
    atomic_fetch_add(&file->refs, 1);
    return file;
}

static void file_unref(struct mem_file *file)
{
    if (file == NULL || atomic_fetch_sub(&file->refs, 1) > 1) {
        return;
    }
    kv_buf_finish(&file->bytes);
    mutex_finish(&file->mu);
    free(file);
}

static uint64_t file_size(struct mem_file *file)
{
    mutex_lock(&file->mu);
    uint64_t size = file->bytes.size;
    mutex_unlock(&file->mu);
    return size;
}

/* Write over what is there and beyond; `offset` is at most the present size. */
static int file_write(struct mem_file *file, uint64_t offset, struct kv_slice bytes)
{
    int r = 0;

    mutex_lock(&file->mu);
    assert(offset <= file->bytes.size);
    size_t old = file->bytes.size - (size_t)offset; /* bytes that are overwritten, at most */
    if (bytes.size > old) {
        r = kv_buf_reserve(&file->bytes, bytes.size - old);
    }
    if (r == 0 && bytes.size > 0) {
        memcpy(file->bytes.data + offset, bytes.data, bytes.size);
        file->bytes.size += bytes.size > old ? bytes.size - old : 0;
    }
    mutex_unlock(&file->mu);
    return r;
}

static int file_write_parts(struct mem_file *file, uint64_t offset, const struct iovec *parts,
                            int part_count)
{
    for (int i = 0; i < part_count; i++) {
        int r = file_write(file, offset, kv_slice(parts[i].iov_base, parts[i].iov_len));
        if (r < 0) {
            return r;
        }
        offset += parts[i].iov_len;
    }
    return 0;
}

/* Read of the first `end` bytes. */
static size_t file_read(struct mem_file *file, uint64_t end, uint64_t offset, void *to, size_t size)
{
    mutex_lock(&file->mu);
    if (end > file->bytes.size) {
        end = file->bytes.size;
    }
    if (offset >= end) {
        size = 0;
    } else if (size > end - offset) {
        size = (size_t)(end - offset);
    }
    if (size > 0) {
        memcpy(to, file->bytes.data + offset, size);
    }
    mutex_unlock(&file->mu);
    return size;
}

/* ---- the list of files ------------------------------------------------------------------------
 */

static struct mem_entry *find(struct mem_storage *storage, struct kv_file_id id)
    REQUIRES(&storage->mu)
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
    if (find(storage, id) != NULL) {
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
        (struct mem_entry){.id = id, .file = file_ref(file), .finished = finished};
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

/* A finished file, with a reference; NULL if there is none. */
static struct mem_file *get_file(struct mem_storage *storage, struct kv_file_id id)
{
    mutex_lock(&storage->mu);
    const struct mem_entry *entry = find(storage, id);
    struct mem_file *file = entry != NULL && entry->finished ? file_ref(entry->file) : NULL;
    mutex_unlock(&storage->mu);
    return file;
}

static int insert_writable(struct mem_storage *storage, struct kv_file_id id, struct mem_file *file,
                           bool finished)
{
    mutex_lock(&storage->mu);
    int r = storage->lease == KV_LEASE_SHARED ? -EROFS : insert(storage, id, file, finished);
    mutex_unlock(&storage->mu);
    return r;
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

/* ---- logs -------------------------------------------------------------------------------------
 */

static int log_new(struct mem_file *file, bool writable, uint64_t size, struct kv_log **ret_log)
{
    struct kv_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return -ENOMEM;
    }
    log->file = file_ref(file);
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
    struct mem_entry *entry = find(storage, old);
    if (storage->lease == KV_LEASE_SHARED) {
        r = -EROFS;
    } else if (find(storage, id) != NULL) {
        r = -EEXIST;
    } else if (entry != NULL) {
        entry->id = id;
        *ret_file = file_ref(entry->file);
        r = 0;
    }
    mutex_unlock(&storage->mu);
    return r;
}

static int new_log_file(struct mem_storage *storage, struct kv_file_id id,
                        struct mem_file **ret_file)
{
    struct mem_file *file = file_create();
    if (file == NULL) {
        return -ENOMEM;
    }
    int r = insert_writable(storage, id, file, true);
    if (r < 0) {
        file_unref(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

static int mem_remove(struct kv_storage *base, struct kv_file_id id);

static int mem_log_create(struct kv_storage *base, struct kv_file_id id, uint64_t recycle,
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
    file_unref(file);
    if (r < 0) {
        kv_ignore(mem_remove(base, id)); /* it was just made */
    }
    return r;
}

static int mem_log_open(struct kv_storage *base, struct kv_file_id id, struct kv_log **ret_log)
{
    struct mem_file *file = get_file(mem_storage(base), id);
    if (file == NULL) {
        return -ENOENT;
    }
    int r = log_new(file, false, file_size(file), ret_log);
    file_unref(file);
    return r;
}

static int mem_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    uint64_t offset = atomic_load(&log->size);
    uint64_t size = 0;

    assert(log->writable);
    int r = file_write_parts(log->file, offset, parts, part_count);
    if (r < 0) {
        return r;
    }
    for (int i = 0; i < part_count; i++) {
        size += parts[i].iov_len;
    }
    atomic_store(&log->size, offset + size);
    return 0;
}

static int mem_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size,
                        size_t *ret_size)
{
    *ret_size = file_read(log->file, atomic_load(&log->size), offset, to, size);
    return 0;
}

static int mem_log_sync(struct kv_log *log)
{
    (void)log;
    return 0;
}

static uint64_t mem_log_size(const struct kv_log *log)
{
    return atomic_load(&log->size);
}

static void mem_log_close(struct kv_log *log)
{
    file_unref(log->file);
    free(log);
}

/* ---- objects ----------------------------------------------------------------------------------
 */

static int mem_object_begin(struct kv_storage *base, struct kv_file_id id, uint64_t size_hint_bytes,
                            struct kv_object_writer **ret_writer)
{
    struct mem_storage *storage = mem_storage(base);
    struct kv_object_writer *writer = calloc(1, sizeof *writer);
    struct mem_file *file = file_create();
    int r = -ENOMEM;

    if (writer == NULL || file == NULL) {
        goto out;
    }
    r = insert_writable(storage, id, file, false);
    if (r < 0) {
        goto out;
    }
    *writer = (struct kv_object_writer){.storage = storage, .id = id, .file = file};
    *ret_writer = writer;
    return 0;
out:
    file_unref(file);
    free(writer);
    return r;
}

static int mem_object_write(struct kv_object_writer *writer, const struct iovec *parts,
                            int part_count)
{
    if (writer->error < 0) {
        return -EIO;
    }
    writer->error = file_write_parts(writer->file, file_size(writer->file), parts, part_count);
    return writer->error;
}

static void mem_object_abort(struct kv_object_writer *take_writer)
{
    struct kv_object_writer *writer = take_writer;
    if (writer == NULL) {
        return;
    }
    kv_ignore(mem_remove(&writer->storage->base, writer->id)); /* there is one, begin made it */
    file_unref(writer->file);
    free(writer);
}

static int mem_object_finish(struct kv_object_writer *take_writer)
{
    struct kv_object_writer *writer = take_writer;
    if (writer->error < 0) {
        mem_object_abort(writer);
        return -EIO;
    }
    mutex_lock(&writer->storage->mu);
    struct mem_entry *entry = find(writer->storage, writer->id);
    assert(entry != NULL && entry->file == writer->file);
    entry->finished = true;
    mutex_unlock(&writer->storage->mu);
    file_unref(writer->file);
    free(writer);
    return 0;
}

static int mem_object_open(struct kv_storage *base, struct kv_file_id id,
                           struct kv_object **ret_object)
{
    struct kv_object *object = NULL;
    struct mem_file *file = get_file(mem_storage(base), id);
    if (file == NULL) {
        return -ENOENT;
    }
    object = malloc(sizeof *object);
    if (object == NULL) {
        file_unref(file);
        return -ENOMEM;
    }
    *object = (struct kv_object){.file = file, .size = file_size(file)};
    *ret_object = object;
    return 0;
}

static int mem_object_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                           size_t *ret_size)
{
    *ret_size = file_read(object->file, object->size, offset, to, size);
    return 0;
}

static uint64_t mem_object_size(const struct kv_object *object)
{
    return object->size;
}

static void mem_object_hint(struct kv_object *object, uint64_t offset, uint64_t size,
                            enum kv_hint hint)
{
}

static int mem_object_descriptor(struct kv_object *object)
{
    return -EOPNOTSUPP;
}

static void mem_object_close(struct kv_object *object)
{
    file_unref(object->file);
    free(object);
}

/* Whether this call may change the store. */
static int check_writable(struct mem_storage *storage)
{
    mutex_lock(&storage->mu);
    int r = storage->lease == KV_LEASE_SHARED ? -EROFS : 0;
    mutex_unlock(&storage->mu);
    return r;
}

static void file_zero(struct mem_file *file, uint64_t offset, uint64_t size)
{
    mutex_lock(&file->mu);
    if (offset < file->bytes.size) {
        uint64_t left = file->bytes.size - offset;
        memset(file->bytes.data + offset, 0, (size_t)(size < left ? size : left));
    }
    mutex_unlock(&file->mu);
}

static int mem_object_discard(struct kv_storage *base, struct kv_file_id id, uint64_t offset,
                              uint64_t size)
{
    int r = check_writable(mem_storage(base));
    if (r < 0) {
        return r;
    }
    struct mem_file *file = get_file(mem_storage(base), id);
    if (file == NULL) {
        return -ENOENT;
    }
    if (atomic_load(&file->links) > 1) {
        r = -EMLINK;
    } else {
        file_zero(file, offset, size);
    }
    file_unref(file);
    return r;
}

static int mem_object_link(struct kv_storage *base, struct kv_file_id id, struct kv_storage *to)
{
    if (to->ops != base->ops) {
        return -EXDEV;
    }
    struct mem_file *file = get_file(mem_storage(base), id);
    if (file == NULL) {
        return -ENOENT;
    }
    int r = insert_writable(mem_storage(to), id, file, true);
    file_unref(file);
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
    struct mem_entry *entry = find(storage, id);
    if (storage->lease == KV_LEASE_SHARED) {
        r = -EROFS;
    } else if (entry == NULL) {
        r = -ENOENT;
    } else {
        file = extract(storage, entry);
    }
    mutex_unlock(&storage->mu);
    file_unref(file);
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
            file_ref(entries[count++].file);
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
        fn(arg, entries[i].id, file_size(entries[i].file));
        file_unref(entries[i].file);
    }
    free(entries);
    return r;
}

static void add_used(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    uint64_t *used = (uint64_t *)arg;
    *used += size_bytes;
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
    .log_append = mem_log_append,
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
    .remove = mem_remove,
    .list = mem_list,
    .space = mem_space,
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
        file_unref(storage->entries[i].file);
    }
    free(storage->entries);
    kv_buf_finish(&storage->holder);
    kv_buf_finish(&storage->root);
    mutex_finish(&storage->mu);
    free(storage);
}
