/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of an open table, for the table_*.c files only. Everything is constant after open; what
 * changes lives in the cache and in iterators. */
#ifndef KVCORE_TABLE_TABLE_IMPL_H
#define KVCORE_TABLE_TABLE_IMPL_H

#include "kvcore/table/table.h"
#include "kvcore/table/table_index.h"

/* The content of a block that stays in memory as long as the table is open. */
struct resident_block {
    uint8_t *memory; /* owned */
    size_t memory_bytes;
    struct kv_slice raw;
};

struct table {
    struct kv_storage *storage;
    struct kv_object *object;
    struct block_cache *cache; /* may be NULL */
    const struct message_sink *sink;
    uint64_t number;
    uint64_t file_seed;
    uint64_t file_bytes;
    struct table_footer footer;
    struct table_properties properties;
    struct resident_block index_block;
    struct table_index index;
    struct resident_block filter_block;
    struct filter filter;
    struct range_dels *range_dels;  /* NULL: it has none */
    struct resident_bytes resident; /* charged to the cache, if there is one, once it is open */
};

/* Bytes of the file read ahead by somebody who goes through it in order. All zero is empty. */
struct table_window {
    struct kv_buf bytes;
    uint64_t offset;
    size_t ahead_bytes; /* to read at the next fill; doubles up to a limit */
};

/* Report that the block at `offset` is damaged. Always -KV_EDAMAGED. */
int table_damaged(const struct table *table, uint64_t offset, const char *fault);

/* Read [offset, offset + size) of the file; what lies beyond its end is damage. */
KV_MUST_CHECK int table_read_bytes(const struct table *table, uint64_t offset, void *to,
                                   size_t size);

/* Check the frame of a block, whose bytes with header are `framed`, and the checksum of what it
 * holds. Damage is reported. */
KV_MUST_CHECK int table_check_frame(const struct table *table, struct block_handle handle,
                                    enum block_type type, const uint8_t *framed,
                                    struct block_header *ret_header);

/* Content of a checked frame to `raw` (header->raw_size bytes). Damage is reported. */
KV_MUST_CHECK int table_unpack(const struct table *table, struct block_handle handle,
                               const struct block_header *header, const uint8_t *framed,
                               uint8_t *raw);

/* Read and check data block `index`; the cache is left alone. `window` may be NULL; if not, the
 * block is taken from it, and it is filled ahead if the block is not there. */
KV_MUST_CHECK int table_read_block(const struct table *table, uint32_t index,
                                   struct table_window *window, struct cached_block **ret_block);

/* Data block `index` from the cache, or read. `keep_cache` as for iterators. */
KV_MUST_CHECK int table_load_block(const struct table *table, uint32_t index, bool keep_cache,
                                   struct table_window *window, struct cached_block **ret_block);

#endif
