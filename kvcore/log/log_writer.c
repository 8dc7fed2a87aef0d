/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/log/log_writer.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"

enum {
    /* A payload of one part and at least this size goes to the storage from where it is. */
    DIRECT_SIZE_MIN = 16 * 1024,
    /* Deferred bytes beyond this are pushed. */
    DEFERRED_SIZE_MAX = 256 * 1024,
    /* After a push a larger buffer is given back. */
    KEPT_CAPACITY_MAX = 1024 * 1024,
};

struct log_writer {
    struct kv_storage *storage; /* constant after creation, as are the next four */
    struct kv_log *log;
    struct kv_file_id id;
    uint64_t file_seed;
    uint64_t payload_seed; /* salted once the head is written */
    /* Of the adding thread. */
    struct kv_buf buffer;  /* whole records, not pushed yet */
    struct log_end end;    /* behind the last record, deferred ones included */
    struct log_end pushed; /* behind the last record that the storage has */
    /* Between the adding and the syncing thread. `pushed_bytes` is stored (release) after the
     * append returned and loaded (acquire) before a sync, which therefore covers it. */
    _Atomic uint64_t pushed_bytes;
    _Atomic uint64_t synced_bytes;
    _Atomic int add_error;  /* first failed append, 0: none. What was pushed can still be synced */
    _Atomic int sync_error; /* first failed sync, 0: none. Ends adding too. No -ENOSPC: see below */
};

/* Why nothing can be added any more, or 0. */
static int broken(const struct log_writer *writer)
{
    int r = atomic_load(&writer->add_error);
    return r < 0 ? r : atomic_load(&writer->sync_error);
}

static size_t total_size(const struct kv_slice *parts, size_t part_count)
{
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        size += parts[i].size;
    }
    return size;
}

/* Hand the buffer and, behind it, the bytes of `parts` to the storage. `end` is where they end. */
static int push_with(struct log_writer *writer, const struct iovec *parts, int part_count,
                     struct log_end end)
{
    struct iovec all[3] = {{.iov_base = writer->buffer.data, .iov_len = writer->buffer.size}};
    int r;

    assert(part_count <= 2);
    for (int i = 0; i < part_count; i++) {
        all[1 + i] = parts[i];
    }
    r = writer->storage->ops->log_append(writer->log, all, 1 + part_count);
    if (r < 0) {
        atomic_store(&writer->add_error, r);
        return r;
    }
    writer->pushed = end;
    atomic_store_explicit(&writer->pushed_bytes, end.size, memory_order_release);
    writer->buffer.size = 0;
    if (writer->buffer.capacity > KEPT_CAPACITY_MAX) {
        kv_buf_finish(&writer->buffer);
    }
    return 0;
}

/* Encode the header of a record at the writer's end with this payload. */
static void make_header(const struct log_writer *writer, enum log_record_type type,
                        uint64_t sequence, struct kv_slice payload, uint8_t to[LOG_HEADER_SIZE])
{
    uint64_t offset = writer->end.size;
    struct log_header header = {
        .payload_checksum = checksum_at(writer->payload_seed, offset + LOG_HEADER_SIZE, payload),
        .payload_size = (uint32_t)payload.size,
        .number = writer->id.number,
        .sequence = sequence,
        .synced_bytes = log_writer_synced_bytes(writer),
        .type = type,
    };
    log_header_encode(&header, writer->file_seed, offset, to);
}

/* Room for one more record of `size` payload bytes was reserved in the buffer: put it there. */
static void put_record(struct log_writer *writer, enum log_record_type type, uint64_t sequence,
                       const struct kv_slice *parts, size_t part_count)
{
    size_t size = total_size(parts, part_count);
    uint8_t *header = writer->buffer.data + writer->buffer.size;
    uint8_t *payload = header + LOG_HEADER_SIZE;
    uint8_t *to = payload;

    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].size > 0) {
            memcpy(to, parts[i].data, parts[i].size);
            to += parts[i].size;
        }
    }
    memset(to, 0, (size_t)log_record_size(size) - LOG_HEADER_SIZE - size);
    make_header(writer, type, sequence, kv_slice(payload, size), header);
    writer->buffer.size += (size_t)log_record_size(size);
    writer->end.chain = log_chain_add(writer->end.chain, header);
    writer->end.size += log_record_size(size);
}

/* Append a large payload without copying it: the header goes behind the deferred records. */
static int add_direct(struct log_writer *writer, enum log_record_type type, uint64_t sequence,
                      struct kv_slice payload)
{
    static const uint8_t zeros[LOG_ALIGNMENT] = {0};
    uint8_t *header = writer->buffer.data + writer->buffer.size;
    uint64_t size = log_record_size(payload.size);
    struct iovec rest[2] = {
        {.iov_base = (void *)(uintptr_t)payload.data, .iov_len = payload.size},
        {.iov_base = (void *)(uintptr_t)zeros,
         .iov_len = (size_t)size - LOG_HEADER_SIZE - payload.size},
    };

    make_header(writer, type, sequence, payload, header);
    writer->buffer.size += LOG_HEADER_SIZE;
    writer->end.chain = log_chain_add(writer->end.chain, header);
    writer->end.size += size;
    return push_with(writer, rest, 2, writer->end);
}

int log_writer_add(struct log_writer *writer, enum log_record_type type, uint64_t sequence,
                   const struct kv_slice *parts, size_t part_count, bool defer)
{
    size_t size = total_size(parts, part_count);
    bool direct = part_count == 1 && size >= DIRECT_SIZE_MIN;
    int r = broken(writer);

    if (r < 0) {
        return r;
    }
    if (size > LOG_PAYLOAD_SIZE_MAX || log_record_size(size) > LOG_SIZE_MAX - writer->end.size) {
        return -EFBIG;
    }
    r = kv_buf_reserve(&writer->buffer, direct ? LOG_HEADER_SIZE : (size_t)log_record_size(size));
    if (r < 0) {
        return r;
    }
    if (direct) {
        return add_direct(writer, type, sequence, parts[0]);
    }
    put_record(writer, type, sequence, parts, part_count);
    if (defer && writer->buffer.size <= DEFERRED_SIZE_MAX) {
        return 0;
    }
    return push_with(writer, NULL, 0, writer->end);
}

int log_writer_push(struct log_writer *writer)
{
    int r = broken(writer);
    if (r < 0 || writer->buffer.size == 0) {
        return r;
    }
    return push_with(writer, NULL, 0, writer->end);
}

uint64_t log_writer_pushed_bytes(const struct log_writer *writer)
{
    return atomic_load_explicit(&writer->pushed_bytes, memory_order_acquire);
}

int log_writer_sync(struct log_writer *writer)
{
    return log_writer_sync_to(writer, log_writer_pushed_bytes(writer));
}

int log_writer_sync_to(struct log_writer *writer, uint64_t pushed)
{
    int r = atomic_load(&writer->sync_error);

    if (r < 0 || pushed <= log_writer_synced_bytes(writer)) {
        return r;
    }
    r = writer->storage->ops->log_sync(writer->log);
    if (r < 0) {
        /* The storage may have kept all that it has no room for now; if not the next one tells. */
        if (r != -ENOSPC || !writer->storage->ops->log_sync_keeps) {
            atomic_store(&writer->sync_error, r);
        }
        return r;
    }
    atomic_store_explicit(&writer->synced_bytes, pushed, memory_order_release);
    return 0;
}

struct log_end log_writer_end(const struct log_writer *writer)
{
    return broken(writer) < 0 ? writer->pushed : writer->end;
}

uint64_t log_writer_synced_bytes(const struct log_writer *writer)
{
    return atomic_load_explicit(&writer->synced_bytes, memory_order_acquire);
}

/* The head record; what follows it has a seed of its own. */
static int add_head(struct log_writer *writer, const struct log_writer_options *options)
{
    struct log_head head = {.salt = options->salt, .store_seed = options->store_seed};
    struct kv_buf payload = {0};
    struct kv_slice part;
    int r;

    if (options->previous != NULL) {
        head.previous = *options->previous;
    }
    r = log_head_encode(&head, &payload);
    part = kv_buf_slice(&payload);
    if (r == 0) {
        r = log_writer_add(writer, LOG_RECORD_HEAD, 0, &part, 1, false);
    }
    writer->payload_seed = log_salted_seed(writer->file_seed, options->salt);
    kv_buf_finish(&payload);
    return r;
}

int log_writer_create(struct kv_storage *storage, struct kv_file_id id,
                      const struct log_writer_options *options, struct log_writer **ret_writer)
{
    struct log_writer *writer = calloc(1, sizeof *writer);
    int r;

    if (writer == NULL) {
        return -ENOMEM;
    }
    writer->storage = storage;
    writer->id = id;
    writer->file_seed = checksum_file_seed(options->store_seed, id.kind, id.number);
    writer->payload_seed = writer->file_seed;
    writer->end.number = id.number;
    writer->pushed.number = id.number;
    r = storage->ops->log_create(storage, id, options->recycle, options->preallocate_bytes,
                                 &writer->log);
    if (r < 0) {
        goto fail;
    }
    r = add_head(writer, options);
    if (r < 0) {
        /* Should it stay: a log without a head has no records. */
        kv_ignore(storage->ops->remove(storage, id));
        goto fail;
    }
    *ret_writer = writer;
    return 0;
fail:
    log_writer_destroy(writer);
    return r;
}

void log_writer_destroy(struct log_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    if (writer->log != NULL) {
        writer->storage->ops->log_close(writer->log);
    }
    kv_buf_finish(&writer->buffer);
    free(writer);
}
