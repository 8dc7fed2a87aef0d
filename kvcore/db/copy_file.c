/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/copy_file.h"

#include <stdlib.h>

enum { PART_BYTES = 4 << 20 };

/* Either of the two kinds of file that a storage makes. */
struct target {
    struct kv_storage *to;
    struct kv_log *log; /* of a blob */
    struct kv_object_writer *writer;
};

static int target_begin(struct target *target, struct kv_storage *to, struct kv_file_id id,
                        uint64_t size)
{
    *target = (struct target){.to = to};
    return id.kind == KV_FILE_BLOB ? to->ops->log_create(to, id, 0, size, &target->log)
                                   : to->ops->object_begin(to, id, size, &target->writer);
}

static int target_write(struct target *target, void *bytes, size_t size)
{
    const struct iovec part = {.iov_base = bytes, .iov_len = size};
    return target->log != NULL ? target->to->ops->log_append(target->log, &part, 1)
                               : target->to->ops->object_write(target->writer, &part, 1);
}

/* `r` is what became of it so far. */
static int target_end(struct target *target, int r)
{
    const struct kv_storage_ops *ops = target->to->ops;
    if (target->log != NULL) {
        r = r < 0 ? r : ops->log_sync(target->log);
        ops->log_close(target->log);
    } else if (r < 0) {
        ops->object_abort(target->writer);
    } else {
        r = ops->object_finish(target->writer);
    }
    return r;
}

static int tell(struct copy_progress *progress, size_t bytes)
{
    progress->bytes += bytes;
    return progress->fn != NULL &&
                   progress->fn(progress->arg, progress->bytes, progress->bytes_all) != 0
               ? -ECANCELED
               : 0;
}

static int copy_bytes(struct kv_storage *from, struct kv_object *object, struct target *target,
                      struct copy_progress *progress)
{
    uint64_t size = from->ops->object_size(object);
    uint8_t *buffer = malloc(PART_BYTES);
    int r = buffer == NULL ? -ENOMEM : 0;

    for (uint64_t at = 0; at < size && r == 0;) {
        size_t wanted = size - at < PART_BYTES ? (size_t)(size - at) : PART_BYTES;
        size_t got = 0;
        r = from->ops->object_read(object, at, buffer, wanted, &got);
        r = r == 0 && got < wanted ? -KV_EDAMAGED : r;
        r = r < 0 ? r : target_write(target, buffer, got);
        r = r < 0 ? r : tell(progress, got);
        at += got;
    }
    free(buffer);
    return r;
}

int copy_file(struct kv_storage *from, struct kv_file_id id, struct kv_storage *to,
              struct copy_progress *progress)
{
    struct kv_object *object = NULL;
    struct target target;
    int r = from->ops->object_open(from, id, &object);
    if (r < 0) {
        return r;
    }
    r = target_begin(&target, to, id, from->ops->object_size(object));
    if (r == 0) {
        r = target_end(&target, copy_bytes(from, object, &target, progress));
    }
    from->ops->object_close(object);
    return r;
}

int copy_file_size(struct kv_storage *from, struct kv_file_id id, uint64_t *ret_size)
{
    struct kv_object *object = NULL;
    int r = from->ops->object_open(from, id, &object);
    if (r == 0) {
        *ret_size = from->ops->object_size(object);
        from->ops->object_close(object);
    }
    return r;
}
