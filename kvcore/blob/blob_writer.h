/* SPDX-License-Identifier: Apache-2.0 */
/* Writes one blob: values are appended, can be read at once, are made durable by syncs, and in the
 * end the blob is sealed with a directory and a footer. The same for a blob that grows beside a log
 * and for one that a flush or a compaction fills.
 *
 * Invariants
 *  1. Bytes once appended are never moved or overwritten.
 *  2. After a failed append nothing can be added, but what was appended before can be read, synced
 *     and sealed (without a directory). After a failed sync it can only be read; but one that found
 *     no room, of a storage that keeps what it has none for, did not fail.
 *
 * Concurrency: append, put and note by one thread at a time (the leader of a write group, or the
 * job). Sync and seal from any thread, also beside it; seal only when nothing is added any more.
 * Readers use blob_writer_file(). */
#ifndef KVCORE_BLOB_BLOB_WRITER_H
#define KVCORE_BLOB_BLOB_WRITER_H

#include "kvcore/blob/blob_directory.h"
#include "kvcore/blob/blob_file.h"
#include "kvcore/blob/blob_pack.h"

struct blob_writer;

/* What the manifest says of a blob. */
struct blob_meta {
    uint64_t number;
    uint64_t file_size;
    uint64_t data_bytes; /* stored bytes of its values, without gaps and directory */
};

/* Create blob `number`, whose name is durable with its first sync. Errors: those of
 * kv_storage_ops.log_create. */
KV_MUST_CHECK int blob_writer_create(const struct blob_store *store, uint64_t number,
                                     struct blob_writer **ret_writer);
/* Of one that nothing points to before it is sealed: see kv_storage_ops.log_stand_alone. */
void blob_writer_stand_alone(struct blob_writer *writer);
/* Closes it without a sync or a seal; the file stays. Accepts NULL. */
void blob_writer_destroy(struct blob_writer *writer);

uint64_t blob_writer_number(const struct blob_writer *writer);
/* Bytes appended or put so far. Any thread. */
uint64_t blob_writer_size(const struct blob_writer *writer);
/* The blob for reading, with a reference of the caller's: what was appended can be read, what was
 * put only after the next append or sync. */
struct blob_file *blob_writer_file(const struct blob_writer *writer);

/* Append the stored bytes of a pack; its pointers can then be placed. Handed to the operating
 * system when 0 is returned. An empty pack is allowed. Errors: -EFBIG beyond BLOB_DATA_SIZE_MAX
 * (which breaks nothing), those of log_append. */
KV_MUST_CHECK int blob_writer_append(struct blob_writer *writer, const struct blob_pack *pack,
                                     struct blob_place *ret_place);
/* Note for the directory that a placed pointer was born under this key. Errors: -ENOMEM. */
KV_MUST_CHECK int blob_writer_note(struct blob_writer *writer, uint32_t table_id,
                                   struct kv_slice key, struct kv_slice pointer);
/* Add one value and note it; bytes may be held back until enough have come together. Appends the
 * pointer to `pointer`. Errors: as blob_writer_append(), -ENOMEM. */
KV_MUST_CHECK int blob_writer_put(struct blob_writer *writer, uint32_t table_id,
                                  struct kv_slice key, enum codec wanted, struct kv_slice value,
                                  struct kv_buf *pointer);

/* Have what was appended written to the device early; see kv_storage_ops.log_write_out. Any thread.
 * What blob_writer_put() adds is written out without being asked. */
void blob_writer_write_out(struct blob_writer *writer);
/* Everything appended before the call is durable when 0 is returned. Costs nothing if there is
 * nothing new. After a failure every later sync fails with -EIO. */
KV_MUST_CHECK int blob_writer_sync(struct blob_writer *writer);
/* A sync of this blob has failed: nobody knows which of its bytes would survive power loss. Any
 * thread. */
bool blob_writer_is_suspect(const struct blob_writer *writer);
/* Write directory and footer, if there is room for them, and make all durable. Doing it again costs
 * nothing; after -ENOMEM it may be tried again. */
KV_MUST_CHECK int blob_writer_seal(struct blob_writer *writer, struct blob_meta *ret_meta);

#endif
