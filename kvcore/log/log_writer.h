/* SPDX-License-Identifier: Apache-2.0 */
/* Appends records to one log.
 *
 * Concurrency: log_writer_add() by one thread at a time (the leader of a write group);
 * log_writer_sync() by one other at a time, beside it. Offsets are atomics that connect the two.
 * After any failure the writer is broken: add and sync return the first error, and the log must be
 * sealed at log_writer_end(), which names the last good record. */
#ifndef KVCORE_LOG_LOG_WRITER_H
#define KVCORE_LOG_LOG_WRITER_H

#include "kvcore/log/log_format.h"

struct log_writer;

/* Create the log `id` (its name is durable then) and write its head record. `previous` NULL: no
 * predecessor. `recycle` as in kv_storage_ops.log_create. */
KV_MUST_CHECK int log_writer_create(struct kv_storage *storage, struct kv_file_id id,
                                    uint64_t store_seed, const struct log_end *previous,
                                    uint64_t recycle, uint64_t preallocate_bytes,
                                    struct log_writer **ret_writer);
/* Closes the log without a sync. Accepts NULL. */
void log_writer_destroy(struct log_writer *writer);

/* Append one record whose payload is the concatenation of `parts`. With `defer` the bytes may stay
 * in the process until the next add without it, or log_writer_push(). Errors: those of log_append;
 * -EFBIG beyond LOG_SIZE_MAX. */
KV_MUST_CHECK int log_writer_add(struct log_writer *writer, enum log_record_type type,
                                 uint64_t sequence, const struct kv_slice *parts, size_t part_count,
                                 bool defer);
/* Hand deferred bytes to the storage. Same thread rules as add. */
KV_MUST_CHECK int log_writer_push(struct log_writer *writer);
/* Make every pushed record durable and move synced-up-to. */
KV_MUST_CHECK int log_writer_sync(struct log_writer *writer);
/* End of the last record that was added without error. Same thread rules as add. */
struct log_end log_writer_end(const struct log_writer *writer);
/* Bytes known durable. Any thread. */
uint64_t log_writer_synced_bytes(const struct log_writer *writer);

#endif
