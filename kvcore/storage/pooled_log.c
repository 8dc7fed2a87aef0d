/* SPDX-License-Identifier: Apache-2.0 */
/* Logs: a file that is open, and its end. Appends to a write-ahead log are gathered
 * (pooled_send.c), those to a blob are in flight (pooled_flight.c), and a sync waits for them. One
 * to the manifest returns when it is on every replica, so there a sync has nothing left to do.
 *
 * A write names its offset: sent twice, it does no harm. One that is refused while its caller waits
 * leaves what was appended before as durable as it was. Where a gathered one fails appends that
 * returned are lost, unless the pool was full, and where the outcome is unknown, or the log is a
 * blob, the lease is: then nobody is told any more that something is durable. */
#include "kvcore/storage/pooled_store.h"

#include <assert.h>
#include <stdlib.h>

struct kv_log {
    struct pooled_file *file;
    bool writable;
    bool gathers;
    struct pooled_tail tail; /* if it does */
    bool streams;
    struct pooled_stream stream; /* if it does */
    _Atomic bool append_broken;
    _Atomic bool sync_broken; /* nothing is appended either */
    /* Moved by the appending thread after its bytes are written or gathered; who reads it sees
     * them. */
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
    log->gathers = writable && file->id.kind == KV_FILE_LOG;
    log->streams = writable && file->id.kind == KV_FILE_BLOB;
    atomic_init(&log->size, size);
    if (log->gathers) {
        pooled_tail_begin(&log->tail, file, size);
    }
    if (log->streams) {
        pooled_stream_begin(&log->stream, file, size);
    }
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

void pooled_log_stand_alone(struct kv_log *log)
{
    if (log->streams) {
        pooled_stream_stand_alone(&log->stream);
    }
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

/* Whether all of it is there, which is waited for. */
static bool finish_end(struct kv_log *log)
{
    bool whole = !log->gathers || pooled_tail_finish(&log->tail);
    return (!log->streams || pooled_stream_finish(&log->stream)) && whole;
}

/* It was not written to. */
static void discard(struct kv_log *log)
{
    (void)finish_end(log);
    pooled_file_unref(log->file);
    free(log);
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
    if (r < 0) {
        pooled_file_unref(file);
        return r;
    }
    r = pooled_file_resume(file);
    if (r < 0) {
        discard(log);
        return r;
    }
    *ret_log = log;
    return 0;
}

/* Bytes that were appended are not there, or may not be. */
static void break_all(struct kv_log *log)
{
    atomic_store(&log->append_broken, true);
    atomic_store(&log->sync_broken, true);
}

/* What was appended is acknowledged. Where there is no room for it nothing is lost yet. */
static int wait_for_all(struct kv_log *log)
{
    int r = log->gathers   ? pooled_tail_sync(&log->tail)
            : log->streams ? pooled_stream_sync(&log->stream)
                           : 0;
    if (r < 0 && r != -ENOSPC) {
        break_all(log);
    }
    return r;
}

int pooled_log_rewrite(struct kv_log *log, uint64_t offset, struct kv_slice bytes)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    assert(log->writable);
    assert(bytes.size <= pooled_log_size(log) && offset <= pooled_log_size(log) - bytes.size);
    if (atomic_load(&log->sync_broken)) {
        return -EIO;
    }
    int r = wait_for_all(log);
    r = r < 0 ? r : pooled_file_write(log->file, offset, &part, 1);
    if (r < 0) {
        atomic_store(&log->sync_broken, true);
    }
    return r;
}

/* What was appended before is as durable as it was, unless the error is about that. */
static void break_appends(struct kv_log *log, int error)
{
    atomic_store(&log->append_broken, true);
    if (error == -POOLED_EFENCED || error == -KV_EDAMAGED) {
        atomic_store(&log->sync_broken, true);
    }
}

/* Returns when it is on every replica. */
static int write_through(struct kv_log *log, uint64_t end, const struct iovec *parts,
                         int part_count, size_t size)
{
    struct pooled_flights *flights = &log->file->storage->flights;
    int r = log->gathers ? pooled_flights_await(flights, pooled_flights_mark(flights)) : 0;

    r = r < 0 ? r : pooled_file_write(log->file, end, parts, part_count);
    if (r < 0) {
        break_appends(log, r);
    } else if (log->gathers) {
        pooled_tail_wrote(&log->tail, size);
    } else if (log->streams) {
        pooled_stream_wrote(&log->stream, size);
    }
    return r;
}

/* 1: nothing was taken. */
static int take_in(struct kv_log *log, const struct iovec *parts, int part_count, size_t size)
{
    if (!log->gathers && !log->streams) {
        return 1;
    }
    int r = log->gathers ? pooled_tail_append(&log->tail, parts, part_count, size)
                         : pooled_stream_append(&log->stream, parts, part_count);
    if (r == -ENOSPC || (r < 0 && log->streams)) {
        break_appends(log, r); /* a sync may still find room */
    } else if (r < 0) {
        break_all(log);
    }
    return r;
}

/* What was taken in may have gone wrong since. */
static int wait_before(struct kv_log *log)
{
    int r = wait_for_all(log);
    if (r < 0) {
        break_appends(log, r);
    }
    return r < 0 ? r : 1;
}

static int append(struct kv_log *log, const struct iovec *parts, int part_count, bool through)
{
    uint64_t end = atomic_load_explicit(&log->size, memory_order_relaxed);
    size_t size = 0;

    assert(log->writable);
    if (atomic_load(&log->append_broken) || atomic_load(&log->sync_broken)) {
        return -EIO;
    }
    for (int i = 0; i < part_count; i++) {
        size += parts[i].iov_len;
    }
    int r = through ? wait_before(log) : take_in(log, parts, part_count, size);
    if (r == 1) {
        r = write_through(log, end, parts, part_count, size);
    }
    if (r == 0) {
        /* Release: pairs with the acquire in pooled_log_size(). */
        atomic_store_explicit(&log->size, end + size, memory_order_release);
    }
    return r;
}

int pooled_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    return append(log, parts, part_count, false);
}

int pooled_log_append_through(struct kv_log *log, const struct iovec *parts, int part_count)
{
    return append(log, parts, part_count, true);
}

void pooled_log_write_out(struct kv_log *log)
{
}

/* What is in flight lies in memory, and what is not in the pool. */
static int read_stream(struct kv_log *log, uint64_t end, uint64_t offset, uint8_t *to, size_t size,
                       size_t *ret_size)
{
    size_t done = 0;
    size_t some = 1;
    int r = 0;

    size = size < end - offset ? size : (size_t)(end - offset);
    while (done < size && some > 0 && r == 0) {
        uint64_t at = offset + done;
        if (pooled_stream_read(&log->stream, at, to + done, size - done, &some)) {
            r = pooled_check_lease(log->file->storage);
        } else if (some > 0) {
            r = pooled_file_read(log->file, end, at, to + done, some, &some);
        }
        done += some;
    }
    if (r == 0) {
        *ret_size = done;
    }
    return r;
}

int pooled_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_size)
{
    uint64_t end = pooled_log_size(log);

    if (log->streams && offset < end) {
        return read_stream(log, end, offset, (uint8_t *)to, size, ret_size);
    }

    if (log->gathers && offset < end) {
        uint64_t wanted = size < end - offset ? offset + size : end;
        uint64_t sent = pooled_tail_await(&log->tail, wanted);
        end = sent < wanted ? sent : end;
    }
    return pooled_file_read(log->file, end, offset, to, size, ret_size);
}

int pooled_log_sync(struct kv_log *log)
{
    return atomic_load(&log->sync_broken) ? -EIO : wait_for_all(log);
}

uint64_t pooled_log_size(const struct kv_log *log)
{
    return atomic_load_explicit(&log->size, memory_order_acquire);
}

/* It is finished, so that nobody has to fence it. */
void pooled_log_close(struct kv_log *log)
{
    if (!finish_end(log)) {
        break_all(log);
    }
    if (log->writable && !atomic_load(&log->sync_broken)) {
        kv_ignore(pooled_file_finish(log->file, pooled_log_size(log))); /* who takes over does it */
    }
    pooled_file_unref(log->file);
    free(log);
}
