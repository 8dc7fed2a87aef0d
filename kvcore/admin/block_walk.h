/* SPDX-License-Identifier: Apache-2.0 */
/* A walk through a table from block header to block header, which needs neither footer nor index:
 * every block has a header that says where it belongs, so everything that can still be read is
 * found, and what lies between. A part that the device cannot read is a gap like any other.
 *
 * Nothing is believed before its checksum was verified. Memory: one block as it is stored and one
 * unpacked, whatever the file holds. */
#ifndef KVCORE_ADMIN_BLOCK_WALK_H
#define KVCORE_ADMIN_BLOCK_WALK_H

#include "kvcore/table/block_cache.h"
#include "kvcore/table/table_format.h"

struct walked_block {
    uint64_t offset, size; /* in the file, header and all */
    int type;              /* enum block_type; 0: a gap, no header was found in it */
    struct block_header header;
    /* What it holds, checksum verified and unpacked; who sets this to NULL keeps it. NULL: it is
     * damaged, or a gap. */
    struct cached_block *content;
};

struct block_walk {
    struct kv_storage *storage;
    struct kv_object *object;
    uint64_t file_seed;
    uint64_t end; /* of the blocks: the footer, or the end of the file */
    /* Of bytes that were read; may be NULL. What is not 0 ends the walk and is its result. */
    int (*read_fn)(void *arg, uint64_t bytes);
    int (*block_fn)(void *arg, struct walked_block *block); /* likewise */
    void *arg;
};

/* From the beginning of the file to `end`. Errors: -ENOMEM; what a function said. */
KV_MUST_CHECK int block_walk(const struct block_walk *walk);
/* One block that begins at `offset` and ends at `end` at the latest. Errors: -KV_EDAMAGED, -ENOMEM.
 */
KV_MUST_CHECK int block_walk_read(const struct block_walk *walk, uint64_t offset, uint64_t end,
                                  struct block_header *ret_header,
                                  struct cached_block **ret_content);
/* Bytes that cannot be read, or are not there, are damaged ones. Errors: as above. */
KV_MUST_CHECK int block_walk_bytes(const struct block_walk *walk, uint64_t offset, void *to,
                                   size_t size);

static inline struct kv_slice block_bytes(const struct cached_block *block)
{
    return kv_slice(block->bytes, block->size);
}

#endif
