/* SPDX-License-Identifier: Apache-2.0 */
/* Objects in memory: a file that is listed as unfinished until it is finished. */
#include "kvcore/storage/mem_store.h"

#include <assert.h>
#include <stdlib.h>

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

int mem_object_begin(struct kv_storage *base, struct kv_file_id id, uint64_t size_hint_bytes,
                     struct kv_object_writer **ret_writer)
{
    struct mem_storage *storage = mem_storage(base);
    struct kv_object_writer *writer = calloc(1, sizeof *writer);
    struct mem_file *file = mem_file_create();
    int r = -ENOMEM;

    if (writer == NULL || file == NULL) {
        goto out;
    }
    r = mem_store_insert(storage, id, file, false);
    if (r < 0) {
        goto out;
    }
    *writer = (struct kv_object_writer){.storage = storage, .id = id, .file = file};
    *ret_writer = writer;
    return 0;
out:
    mem_file_unref(file);
    free(writer);
    return r;
}

int mem_object_write(struct kv_object_writer *writer, const struct iovec *parts, int part_count)
{
    if (writer->error < 0) {
        return -EIO;
    }
    writer->error =
        mem_file_write_parts(writer->file, mem_file_size(writer->file), parts, part_count);
    return writer->error;
}

void mem_object_abort(struct kv_object_writer *take_writer)
{
    struct kv_object_writer *writer = take_writer;
    if (writer == NULL) {
        return;
    }
    mem_store_forget(writer->storage, writer->id);
    mem_file_unref(writer->file);
    free(writer);
}

int mem_object_finish(struct kv_object_writer *take_writer)
{
    struct kv_object_writer *writer = take_writer;
    if (writer->error < 0) {
        mem_object_abort(writer);
        return -EIO;
    }
    mutex_lock(&writer->storage->mu);
    struct mem_entry *entry = mem_store_find(writer->storage, writer->id);
    assert(entry != NULL && entry->file == writer->file);
    entry->finished = true;
    mutex_unlock(&writer->storage->mu);
    mem_file_unref(writer->file);
    free(writer);
    return 0;
}

int mem_object_open(struct kv_storage *base, struct kv_file_id id, struct kv_object **ret_object)
{
    struct kv_object *object = NULL;
    struct mem_file *file = mem_store_get(mem_storage(base), id);
    if (file == NULL) {
        return -ENOENT;
    }
    object = malloc(sizeof *object);
    if (object == NULL) {
        mem_file_unref(file);
        return -ENOMEM;
    }
    *object = (struct kv_object){.file = file, .size = mem_file_size(file)};
    *ret_object = object;
    return 0;
}

int mem_object_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                    size_t *ret_size)
{
    *ret_size = mem_file_read(object->file, object->size, offset, to, size);
    return 0;
}

uint64_t mem_object_size(const struct kv_object *object)
{
    return object->size;
}

void mem_object_hint(struct kv_object *object, uint64_t offset, uint64_t size, enum kv_hint hint)
{
}

int mem_object_descriptor(struct kv_object *object)
{
    return -EOPNOTSUPP;
}

void mem_object_close(struct kv_object *object)
{
    mem_file_unref(object->file);
    free(object);
}

int mem_object_discard(struct kv_storage *base, struct kv_file_id id, uint64_t offset,
                       uint64_t size)
{
    int r = mem_store_check_writable(mem_storage(base));
    if (r < 0) {
        return r;
    }
    struct mem_file *file = mem_store_get(mem_storage(base), id);
    if (file == NULL) {
        return -ENOENT;
    }
    if (atomic_load(&file->links) > 1) {
        r = -EMLINK;
    } else {
        mem_file_zero(file, offset, size);
    }
    mem_file_unref(file);
    return r;
}

int mem_object_link(struct kv_storage *base, struct kv_file_id id, struct kv_storage *to)
{
    if (to->ops != base->ops) {
        return -EXDEV;
    }
    struct mem_file *file = mem_store_get(mem_storage(base), id);
    if (file == NULL) {
        return -ENOENT;
    }
    int r = mem_store_insert(mem_storage(to), id, file, true);
    mem_file_unref(file);
    return r;
}
