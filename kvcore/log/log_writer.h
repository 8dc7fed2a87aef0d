/* SPDX-License-Identifier: Apache-2.0 */
/* Appends records to one log.
 *
 * Invariants
 *  1. A record's synced-up-to is never beyond what a sync, begun after those bytes were handed to
 *     the storage, has covered.
 *  2. After a failed append or sync the writer is broken: add and push return the first error, and
 *     the log must be sealed at log_writer_end(), which names the last good record. After a failed
 *     append what was pushed before can still be synced; after a failed sync nothing can, unless it
 *     failed with -ENOSPC: then the storage decides (log_sync of kv/storage.h).
 *     (-ENOMEM and -EFBIG of add happen before anything is written and break nothing.)
 *
 * Concurrency: log_writer_add() and log_writer_push() by one thread at a time (the leader of a
 * write group); log_writer_sync() by one other at a time, beside it. What connects the two are
 * atomics: bytes pushed, bytes synced, the first error. */
#ifndef KVCORE_LOG_LOG_WRITER_H
#define KVCORE_LOG_LOG_WRITER_H

#include "kvcore/log/log_format.h"

struct log_writer;

struct log_writer_options {
    uint64_t store_seed;            /* checksum_store_seed() */
    uint64_t salt;                  /* random, see struct log_head */
    const struct log_end *previous; /* NULL: no predecessor */
    uint64_t recycle;               /* number of a log to reuse; 0: none */
    uint64_t preallocate_bytes;     /* hint of the final size; 0: unknown */
};

/* Create the log `id`, whose name is durable with its first sync, and write its head record.
 * Errors: those of kv_storage_ops.log_create; after a failure there is no log of that number. */
KV_MUST_CHECK int log_writer_create(struct kv_storage *storage, struct kv_file_id id,
                                    const struct log_writer_options *options,
                                    struct log_writer **ret_writer);
/* Closes the log without a sync; deferred bytes that were not pushed are lost. Accepts NULL. */
void log_writer_destroy(struct log_writer *writer);

/* Append one record whose payload is the concatenation of `parts`, at most LOG_PAYLOAD_SIZE_MAX
 * bytes. With `defer` the bytes may stay in the process until the next add without it, or
 * log_writer_push(). Errors: those of log_append; -EFBIG beyond LOG_SIZE_MAX; -ENOMEM. */
KV_MUST_CHECK int log_writer_add(struct log_writer *writer, enum log_record_type type,
                                 uint64_t sequence, const struct kv_slice *parts, size_t part_count,
                                 bool defer);
/* Hand deferred bytes to the storage. Same thread rules as add. */
KV_MUST_CHECK int log_writer_push(struct log_writer *writer);
/* Make every record pushed before the call durable and move synced-up-to. Costs nothing if there is
 * nothing new. */
KV_MUST_CHECK int log_writer_sync(struct log_writer *writer);
/* The same, but synced-up-to moves to `pushed` at most, a former log_writer_pushed_bytes(): records
 * behind it may be as durable, but what they stand for elsewhere may not be yet. */
KV_MUST_CHECK int log_writer_sync_to(struct log_writer *writer, uint64_t pushed);
/* Where the last record ends that was handed to the storage. Any thread. */
uint64_t log_writer_pushed_bytes(const struct log_writer *writer);
/* End of the last record that was added without error; of a broken writer, of the last one that
 * was pushed: deferred ones behind it are not in the log. Same thread rules as add. */
struct log_end log_writer_end(const struct log_writer *writer);
/* Bytes known durable. Any thread. */
uint64_t log_writer_synced_bytes(const struct log_writer *writer);

#endif
