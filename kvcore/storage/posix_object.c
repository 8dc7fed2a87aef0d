/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: written under NUMBER.KIND.tmp, synced, renamed to their name, directory synced. What is
 * under the final name is therefore always whole. */
#include "kvcore/storage/posix_store.h"

#include <fcntl.h>
#include <stdlib.h>

enum {
    WRITE_BUFFER_SIZE = 256 * 1024,
    /* Hand this much at a time to the device while writing, so that the sync at the end is short.
     */
    WRITE_BACK_SIZE = 1024 * 1024,
};

struct kv_object_writer {
    struct posix_storage *storage;
    struct kv_file_id id;
    int fd;
    int error; /* first failure */
    uint64_t written_bytes;
    uint64_t write_back_bytes; /* up to here the device was asked to start */
    size_t buffered;
    uint8_t buffer[WRITE_BUFFER_SIZE];
};

struct kv_object {
    struct posix_storage *storage;
    int fd;
    uint64_t size;
};

int posix_object_begin(struct kv_storage *base, struct kv_file_id id, uint64_t size_hint_bytes,
                       struct kv_object_writer **ret_writer)
{
    struct posix_storage *storage = posix_storage(base);
    struct kv_object_writer *writer = NULL;
    char name[POSIX_NAME_SIZE];
    int r = posix_check_writable(storage);

    if (r < 0) {
        return r;
    }
    posix_name_format(id, name);
    r = posix_name_exists(storage, storage->dir, name);
    if (r != 0) {
        return r < 0 ? r : -EEXIST;
    }
    writer = malloc(sizeof *writer);
    if (writer == NULL) {
        return -ENOMEM;
    }
    posix_name_format_tmp(id, name);
    int fd = posix_open_file(storage, name, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0) {
        free(writer);
        return fd;
    }
    writer->storage = storage;
    writer->id = id;
    writer->fd = fd;
    writer->error = 0;
    writer->written_bytes = 0;
    writer->write_back_bytes = 0;
    writer->buffered = 0;
    *ret_writer = writer;
    return 0;
}

static int start_write_back(struct kv_object_writer *writer)
{
    struct posix_storage *storage = writer->storage;
    uint64_t size = writer->written_bytes - writer->write_back_bytes;
    int r;

    if (size < WRITE_BACK_SIZE) {
        return 0;
    }
    r = storage->calls->sync_range(storage->calls_arg, writer->fd, writer->write_back_bytes, size,
                                   false);
    writer->write_back_bytes = writer->written_bytes;
    /* Where the call does not exist the sync at the end does all the work. */
    return r == -ENOSYS || r == -EOPNOTSUPP || r == -EINVAL ? 0 : r;
}

static int write_out(struct kv_object_writer *writer, const void *bytes, size_t size)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    int r = posix_write(writer->storage, writer->fd, &part, 1, writer->written_bytes);
    if (r < 0) {
        return r;
    }
    writer->written_bytes += size;
    return start_write_back(writer);
}

static int flush_buffer(struct kv_object_writer *writer)
{
    size_t size = writer->buffered;
    writer->buffered = 0;
    return size > 0 ? write_out(writer, writer->buffer, size) : 0;
}

static int write_part(struct kv_object_writer *writer, struct kv_slice part)
{
    while (part.size > 0) {
        if (writer->buffered == 0 && part.size >= WRITE_BUFFER_SIZE) {
            return write_out(writer, part.data, part.size);
        }
        size_t room = WRITE_BUFFER_SIZE - writer->buffered;
        size_t n = part.size < room ? part.size : room;
        memcpy(writer->buffer + writer->buffered, part.data, n);
        writer->buffered += n;
        part = kv_slice(part.data + n, part.size - n);
        int r = writer->buffered == WRITE_BUFFER_SIZE ? flush_buffer(writer) : 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int posix_object_write(struct kv_object_writer *writer, const struct iovec *parts, int part_count)
{
    if (writer->error < 0) {
        return -EIO;
    }
    for (int i = 0; i < part_count; i++) {
        int r = write_part(writer, kv_slice(parts[i].iov_base, parts[i].iov_len));
        if (r < 0) {
            writer->error = r;
            return r;
        }
    }
    return 0;
}

/* Everything up to the durable name. */
static int publish(struct kv_object_writer *writer, const char *tmp_name)
{
    struct posix_storage *storage = writer->storage;
    char name[POSIX_NAME_SIZE];
    int r;

    if (writer->error < 0) {
        return -EIO;
    }
    r = flush_buffer(writer);
    if (r < 0) {
        return r;
    }
    r = storage->calls->fdatasync(storage->calls_arg, writer->fd);
    if (r < 0) {
        return r;
    }
    posix_name_format(writer->id, name);
    r = posix_rename_new(storage, storage->dir, tmp_name, name);
    if (r < 0) {
        return r;
    }
    r = posix_sync_dir(storage);
    if (r < 0) {
        posix_discard_file(storage, name);
    }
    return r;
}

int posix_object_finish(struct kv_object_writer *take_writer)
{
    struct kv_object_writer *writer = take_writer;
    char tmp_name[POSIX_NAME_SIZE];
    int r;

    posix_name_format_tmp(writer->id, tmp_name);
    r = publish(writer, tmp_name);
    if (r < 0) {
        posix_object_abort(writer);
        return r;
    }
    posix_close_file(writer->storage, writer->fd);
    free(writer);
    return 0;
}

void posix_object_abort(struct kv_object_writer *take_writer)
{
    struct kv_object_writer *writer = take_writer;
    char tmp_name[POSIX_NAME_SIZE];

    if (writer == NULL) {
        return;
    }
    posix_name_format_tmp(writer->id, tmp_name);
    posix_close_file(writer->storage, writer->fd);
    posix_discard_file(writer->storage, tmp_name);
    free(writer);
}

int posix_object_open(struct kv_storage *base, struct kv_file_id id, struct kv_object **ret_object)
{
    struct posix_storage *storage = posix_storage(base);
    struct kv_object *object = NULL;
    char name[POSIX_NAME_SIZE];
    struct stat st;
    int fd = -1;
    int r;

    posix_name_format(id, name);
    fd = posix_open_file(storage, name, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    r = storage->calls->fstat(storage->calls_arg, fd, &st);
    if (r < 0) {
        goto out;
    }
    object = malloc(sizeof *object);
    if (object == NULL) {
        r = -ENOMEM;
        goto out;
    }
    *object = (struct kv_object){.storage = storage, .fd = fd, .size = (uint64_t)st.st_size};
    fd = -1;
    *ret_object = object;
out:
    posix_close_file(storage, fd);
    return r;
}

int posix_object_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                      size_t *ret_size)
{
    if (offset >= object->size) {
        *ret_size = 0; /* also keeps absurd offsets from the kernel, which would refuse them */
        return 0;
    }
    if (size > object->size - offset) {
        size = (size_t)(object->size - offset);
    }
    return posix_read(object->storage, object->fd, offset, to, size, ret_size);
}

uint64_t posix_object_size(const struct kv_object *object)
{
    return object->size;
}

void posix_object_hint(struct kv_object *object, uint64_t offset, uint64_t size, enum kv_hint hint)
{
    int advice = hint == KV_HINT_WILL_NEED ? POSIX_FADV_WILLNEED : POSIX_FADV_DONTNEED;
    kv_ignore(object->storage->calls->fadvise(object->storage->calls_arg, object->fd, offset, size,
                                              advice)); /* only a hint */
}

int posix_object_descriptor(struct kv_object *object)
{
    return object->fd;
}

void posix_object_close(struct kv_object *object)
{
    posix_close_file(object->storage, object->fd);
    free(object);
}

int posix_object_discard(struct kv_storage *base, struct kv_file_id id, uint64_t offset,
                         uint64_t size)
{
    struct posix_storage *storage = posix_storage(base);
    char name[POSIX_NAME_SIZE];
    struct stat st;
    int r = posix_check_writable(storage);

    if (r < 0) {
        return r;
    }
    posix_name_format(id, name);
    int fd = posix_open_file(storage, name, O_RDWR);
    if (fd < 0) {
        return fd;
    }
    r = storage->calls->fstat(storage->calls_arg, fd, &st);
    if (r == 0 && st.st_nlink > 1) {
        r = -EMLINK;
    }
    if (r == 0 && size > 0) {
        r = posix_fallocate_range(storage, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                                  size);
    }
    posix_close_file(storage, fd);
    return r;
}

int posix_object_link(struct kv_storage *base, struct kv_file_id id, struct kv_storage *to)
{
    struct posix_storage *from_storage = posix_storage(base);
    struct posix_storage *to_storage = posix_storage(to);
    char name[POSIX_NAME_SIZE];
    int r;

    if (to->ops != base->ops || to_storage->calls != from_storage->calls) {
        return -EXDEV;
    }
    r = posix_check_writable(to_storage);
    if (r < 0) {
        return r;
    }
    posix_name_format(id, name);
    r = from_storage->calls->linkat(from_storage->calls_arg, from_storage->dir, name,
                                    to_storage->dir, name);
    /* What link(2) answers on a file system that has no links, or no more for this file. */
    return r == -EPERM || r == -EMLINK ? -EOPNOTSUPP : r;
}
