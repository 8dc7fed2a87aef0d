/* SPDX-License-Identifier: Apache-2.0 */
/* An open blob for reading, sealed or still growing. Every unit that is touched is verified before
 * its bytes are handed out; nothing is cached here.
 *
 * Concurrency: constant after opening but for the reference count; any thread reads. */
#ifndef KVCORE_BLOB_BLOB_FILE_H
#define KVCORE_BLOB_BLOB_FILE_H

#include <kv/storage.h>

#include "kvcore/blob/blob_pointer.h"
#include "kvcore/util/message.h"

struct blob_file;

/* What messages and checksums need to know of the store. */
struct blob_store {
    struct kv_storage *storage;
    uint64_t seed;
    const struct message_sink *sink;
};

/* Open blob `number`, with one reference. Also one that is not sealed, up to its present end.
 * Errors: -ENOENT. */
KV_MUST_CHECK int blob_file_open(const struct blob_store *store, uint64_t number,
                                 struct blob_file **ret_file);
/* For blob_writer: reads of a log, which the file closes with its last reference. On failure the
 * log stays the caller's. */
KV_MUST_CHECK int blob_file_of_log(const struct blob_store *store, uint64_t number,
                                   struct kv_log *take_log, struct blob_file **ret_file);
struct blob_file *blob_file_ref(struct blob_file *file);
void blob_file_unref(struct blob_file *file); /* accepts NULL */
uint64_t blob_file_number(const struct blob_file *file);
/* Bytes that can be read at present. */
uint64_t blob_file_size(const struct blob_file *file);

/* One read of a part of a value. */
struct blob_request {
    struct blob_pointer pointer;
    size_t skip, size; /* of the value, within it */
    uint8_t *to;       /* `size` bytes */
    int result;        /* set by the read: 0 or the error of this request */
};

/* Serve requests, all to this blob and sorted by the offsets of their pointers: neighbours come by
 * one read of the storage. Returns the first error, after trying all of them; what the failed ones
 * left at `to` is undefined. Errors: -KV_EDAMAGED (told to the sink), -ENOMEM, -EIO. */
KV_MUST_CHECK int blob_file_read(struct blob_file *file, struct blob_request *requests,
                                 size_t count);
/* Read the stored bytes of all units of a pointer to `stored` (replaced) and verify them. Silent:
 * for those who expect damage. Errors: -KV_EDAMAGED, -ENOMEM, -EIO. */
KV_MUST_CHECK int blob_file_read_stored(struct blob_file *file, const struct blob_pointer *pointer,
                                        struct kv_buf *stored);

#endif
