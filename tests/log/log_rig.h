/* SPDX-License-Identifier: Apache-2.0 */
/* Logs in memory for the tests of this folder: made by the writer, taken out as bytes, damaged, and
 * put into a new storage for the reader. */
#ifndef TESTS_LOG_LOG_RIG_H
#define TESTS_LOG_LOG_RIG_H

#include "tests/lib/check_main.h"

#include "kvcore/log/log_reader.h"
#include "kvcore/log/log_writer.h"

enum { RIG_RECORDS_MAX = 64, RIG_HEAD_SIZE = 42 /* of the payload of a head */ };

static const uint64_t rig_seed = 0x1122334455667788;
static const struct kv_file_id rig_id = {KV_FILE_LOG, 7};

/* What the reader found. */
struct rig_read {
    int result; /* of open or of the last next: 0 the end was reached, or an error */
    bool has_head;
    bool torn;
    struct log_end end;
    struct log_end previous;
    uint64_t synced_bytes;
    size_t count;
    struct kv_buf payloads[RIG_RECORDS_MAX];
    uint64_t sequences[RIG_RECORDS_MAX];
    enum log_record_type types[RIG_RECORDS_MAX];
};

static inline void rig_read_finish(struct rig_read *read)
{
    for (size_t i = 0; i < read->count; i++) {
        kv_buf_finish(&read->payloads[i]);
    }
    *read = (struct rig_read){0};
}

static inline void rig_read_records(struct rig_read *read, struct log_reader *reader)
{
    struct log_record record;
    int r;
    while ((r = log_reader_next(reader, &record)) == 1) {
        ck_assert_uint_lt(read->count, RIG_RECORDS_MAX);
        ck_ok(kv_buf_assign(&read->payloads[read->count], record.payload));
        read->sequences[read->count] = record.sequence;
        read->types[read->count] = record.type;
        read->count++;
    }
    read->result = r;
    /* The end, or the error, is told again. */
    ck_assert_int_eq(log_reader_next(reader, &record), r);
}

/* Read the whole log `rig_id`. Release with rig_read_finish(). */
static inline void rig_read(struct kv_storage *storage, const struct log_end *expected,
                            struct rig_read *read)
{
    struct log_reader *reader = NULL;
    *read = (struct rig_read){0};
    read->result = log_reader_open(storage, rig_id, rig_seed, expected, NULL, &reader);
    if (read->result < 0) {
        return;
    }
    rig_read_records(read, reader);
    read->has_head = log_reader_has_head(reader);
    read->previous = log_reader_previous(reader);
    read->end = log_reader_end(reader);
    read->torn = log_reader_was_torn(reader);
    read->synced_bytes = log_reader_synced_bytes(reader);
    log_reader_close(reader);
}

/* A storage that holds the log `rig_id` with these bytes. Release with kv_storage_mem_destroy(). */
static inline struct kv_storage *rig_storage_of(struct kv_slice bytes)
{
    struct kv_storage *storage = NULL;
    struct kv_log *log = NULL;
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(storage->ops->log_create(storage, rig_id, 0, 0, &log));
    ck_ok(storage->ops->log_append(log, &part, 1));
    storage->ops->log_close(log);
    return storage;
}

/* rig_read() of a log with these bytes. */
static inline void rig_read_bytes(struct kv_slice bytes, const struct log_end *expected,
                                  struct rig_read *read)
{
    struct kv_storage *storage = rig_storage_of(bytes);
    rig_read(storage, expected, read);
    kv_storage_mem_destroy(storage);
}

/* All bytes of the log `rig_id`. Release with kv_buf_finish(). */
static inline struct kv_buf rig_bytes(struct kv_storage *storage)
{
    struct kv_buf bytes = {0};
    struct kv_log *log = NULL;
    ck_ok(storage->ops->log_open(storage, rig_id, &log));
    ck_ok(kv_buf_reserve(&bytes, (size_t)storage->ops->log_size(log)));
    ck_ok(storage->ops->log_read(log, 0, bytes.data, (size_t)storage->ops->log_size(log),
                                 &bytes.size));
    storage->ops->log_close(log);
    return bytes;
}

static inline struct log_writer *rig_writer(struct kv_storage *storage, uint64_t recycle)
{
    struct log_writer *writer = NULL;
    struct log_writer_options options = {.store_seed = rig_seed, .recycle = recycle};
    ck_ok(log_writer_create(storage, rig_id, &options, &writer));
    return writer;
}

static inline void rig_add(struct log_writer *writer, uint64_t sequence, const char *text,
                           bool defer)
{
    struct kv_slice part = kv_slice_str(text);
    ck_ok(log_writer_add(writer, LOG_RECORD_BATCH, sequence, &part, 1, defer));
}

#define ck_payload(read, i, text)                                                                  \
    ck_assert_msg(kv_slice_equal(kv_buf_slice(&(read)->payloads[i]), kv_slice_str(text)),          \
                  "record %d is not '%s'", (int)(i), text)

#endif
