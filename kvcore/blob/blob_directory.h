/* SPDX-License-Identifier: Apache-2.0 */
/* What a sealed blob says of itself behind its values: a directory, which names for each value the
 * engine key it was born under, and a footer. Layout in docs/format.md, "Blobs".
 *
 * The directory is a hint for repair. It is never read to find a value, since rows may have been
 * moved, cut and shared since. */
#ifndef KVCORE_BLOB_BLOB_DIRECTORY_H
#define KVCORE_BLOB_BLOB_DIRECTORY_H

#include "kvcore/blob/blob_pointer.h"

enum {
    BLOB_FOOTER_SIZE = 64,
    BLOB_DIRECTORY_HEAD_SIZE = 32, /* of one block of it */
    BLOB_DIRECTORY_RAW_MAX = 1 << 20,
    BLOB_FORMAT_VERSION = 1,
};

#define BLOB_DIRECTORY_MAGIC 0x646c424bU           /* "KBld" */
#define BLOB_MAGIC           0x31626f6c622d766bULL /* "kv-blob1" */

/* One value of the blob. */
struct blob_entry {
    uint32_t table_id;
    struct kv_slice key; /* that it was born under */
    uint32_t offset, stored_size, length;
    enum codec codec;
};

struct blob_footer {
    uint64_t number;
    uint64_t directory_offset;
    uint64_t directory_size;
    uint64_t data_bytes;  /* stored bytes of the values, without gaps and directory */
    uint32_t value_count; /* in the directory */
};

/* ---- collecting and encoding ---- */

/* All zero is empty; release with blob_directory_finish(). */
struct blob_directory {
    struct kv_buf raw;  /* encoded entries */
    struct kv_buf ends; /* u32 each: where a block of entries ends in `raw` */
    uint32_t block_begin;
    uint32_t count;
};

void blob_directory_finish(struct blob_directory *directory);
/* Where the keys take very much room they are left out: they are a hint. Errors: -ENOMEM. */
KV_MUST_CHECK int blob_directory_add(struct blob_directory *directory,
                                     const struct blob_entry *entry);
/* Append to `to` directory and footer as they stand at `offset` of blob `number`, whose values take
 * `data_bytes`. */
struct blob_end {
    uint64_t number;
    uint64_t offset;
    uint64_t data_bytes;
};
KV_MUST_CHECK int blob_directory_encode(const struct blob_directory *directory, uint64_t store_seed,
                                        const struct blob_end *end, struct kv_buf *to);

/* ---- decoding ---- */

/* `from` is the last BLOB_FOOTER_SIZE bytes of a blob, at `offset`. Errors: -KV_EDAMAGED: a blob
 * that was not sealed has none. -KV_EFORMAT. */
KV_MUST_CHECK int blob_footer_decode(const uint8_t from[BLOB_FOOTER_SIZE], uint64_t file_seed,
                                     uint64_t offset, struct blob_footer *ret_footer);
/* The block of the directory that stands at the beginning of `from`, at `offset` of the file: its
 * entries decompressed to `raw` (replaced), and its size in the file. Errors: -KV_EDAMAGED,
 * -KV_EFORMAT, -ENOMEM. */
KV_MUST_CHECK int blob_directory_decode_block(struct kv_slice from, uint64_t file_seed,
                                              uint64_t offset, struct kv_buf *raw,
                                              size_t *ret_size);
/* Step through the entries of a block: 1 and an entry, which points into the block, 0 at the end,
 * -KV_EDAMAGED or -KV_EFORMAT. Begin with a cursor over it. */
struct coding_cursor;
KV_MUST_CHECK int blob_directory_next(struct coding_cursor *cursor, struct blob_entry *ret_entry);

#endif
