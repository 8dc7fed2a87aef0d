/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the seam: files that are written through a buffer and then finished. */
#include "kvcore/storage/pooled_store.h"

#include <stdlib.h>

enum { BUFFER_BYTES = 4 << 20 };

struct kv_object_writer {
    struct pooled_file *file;
    uint8_t *buffer;
    size_t buffered;
    uint64_t written;
    int error;
};

struct kv_object {
    struct pooled_file *file;
    uint64_t size;
};

int pooled_object_begin(struct kv_storage *base, struct kv_file_id id, uint64_t size_hint_bytes,
                        struct kv_object_writer **ret_writer)
{
    struct kv_object_writer *writer = calloc(1, sizeof *writer);
    uint8_t *buffer = malloc(BUFFER_BYTES);
    struct pooled_dir_item item = {.id = id, .entry = {.state = POOLED_MAKING}};
    struct pooled_file *file = NULL;
    int r = writer == NULL || buffer == NULL ? -ENOMEM : 0;

    r = r < 0 ? r : pooled_file_create(pooled_storage(base), item, 0, &file);
    if (r < 0) {
        free(writer);
        free(buffer);
        return r;
    }
    writer->file = file;
    writer->buffer = buffer;
    *ret_writer = writer;
    return 0;
}

static int flush(struct kv_object_writer *writer)
{
    struct iovec part = {.iov_base = writer->buffer, .iov_len = writer->buffered};
    int r = pooled_file_write(writer->file, writer->written, &part, 1);
    if (r == 0) {
        writer->written += writer->buffered;
        writer->buffered = 0;
    }
    return r;
}

static int write_part(struct kv_object_writer *writer, const uint8_t *bytes, size_t size)
{
    int r = 0;

    while (size > 0 && r == 0) {
        size_t room = BUFFER_BYTES - writer->buffered;
        size_t some = size < room ? size : room;
        memcpy(writer->buffer + writer->buffered, bytes, some);
        writer->buffered += some;
        bytes += some;
        size -= some;
        r = writer->buffered == BUFFER_BYTES ? flush(writer) : 0;
    }
    return r;
}

int pooled_object_write(struct kv_object_writer *writer, const struct iovec *parts, int part_count)
{
    if (writer->error < 0) {
        return -EIO;
    }
    for (int i = 0; i < part_count && writer->error == 0; i++) {
        writer->error = write_part(writer, (const uint8_t *)parts[i].iov_base, parts[i].iov_len);
    }
    return writer->error;
}

void pooled_object_abort(struct kv_object_writer *take_writer)
{
    if (take_writer == NULL) {
        return;
    }
    pooled_file_abort(take_writer->file);
    free(take_writer->buffer);
    free(take_writer);
}

int pooled_object_finish(struct kv_object_writer *take_writer)
{
    struct kv_object_writer *writer = take_writer;
    int r = writer->error < 0 ? -EIO : flush(writer);

    r = r < 0 ? r : pooled_file_finish(writer->file, writer->written);
    if (r < 0) {
        pooled_object_abort(writer);
        return r;
    }
    pooled_file_unref(writer->file);
    free(writer->buffer);
    free(writer);
    return 0;
}

int pooled_object_open(struct kv_storage *base, struct kv_file_id id, struct kv_object **ret_object)
{
    struct kv_object *object = calloc(1, sizeof *object);
    if (object == NULL) {
        return -ENOMEM;
    }
    int r = pooled_file_open(pooled_storage(base), id, &object->file);
    if (r < 0) {
        free(object);
        return r;
    }
    r = pooled_file_size(object->file, &object->size);
    if (r < 0) {
        pooled_object_close(object);
        return r;
    }
    *ret_object = object;
    return 0;
}

int pooled_object_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                       size_t *ret_size)
{
    return pooled_file_read(object->file, object->size, offset, to, size, ret_size);
}

uint64_t pooled_object_size(const struct kv_object *object)
{
    return object->size;
}

void pooled_object_hint(struct kv_object *object, uint64_t offset, uint64_t size, enum kv_hint hint)
{
}

int pooled_object_descriptor(struct kv_object *object)
{
    return -EOPNOTSUPP;
}

void pooled_object_close(struct kv_object *object)
{
    pooled_file_unref(object->file);
    free(object);
}

int pooled_object_discard(struct kv_storage *base, struct kv_file_id id, uint64_t offset,
                          uint64_t size)
{
    struct pooled_storage *storage = pooled_storage(base);
    struct kv_object *object = NULL;

    if (atomic_load(&storage->lease) != KV_LEASE_EXCLUSIVE) {
        return -EROFS;
    }
    int r = pooled_object_open(base, id, &object);
    if (r < 0) {
        return r;
    }
    if (offset < object->size) {
        uint64_t room = object->size - offset;
        r = pooled_file_zero(object->file, offset, size < room ? size : room);
    }
    pooled_object_close(object);
    return r;
}

int pooled_object_link(struct kv_storage *base, struct kv_file_id id, struct kv_storage *to)
{
    return -EXDEV;
}
