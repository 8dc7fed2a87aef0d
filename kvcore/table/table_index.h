/* SPDX-License-Identifier: Apache-2.0 */
/* The index of an open table: which data block holds a key, and where it lies.
 *
 * It stays in memory, so it is searched in a shape of its own: the first 8 bytes of each key behind
 * the shared prefix as a number, in groups of 16, and the last number of each group once more in an
 * array that fits the nearest cache. Mostly that decides; the keys themselves are then never
 * touched. */
#ifndef KVCORE_TABLE_TABLE_INDEX_H
#define KVCORE_TABLE_TABLE_INDEX_H

#include "kvcore/table/rows_block.h"
#include "kvcore/table/table_format.h"

/* Trailer of a shortened key: it sorts behind every row of that key. */
#define INDEX_TRAILER_LAST ((uint64_t)ROW_PUT)

/* Put into `to` (replaced) a key that is >= `last` and < `next`, as short as can be had cheaply.
 * Returns 1 if it was shortened, or if `last` itself serves with any trailer; 0 if the keys are
 * the same and the trailer must tell them apart: `to` then holds `last`. Errors: -ENOMEM. */
KV_MUST_CHECK int index_separator(struct kv_slice last, struct kv_slice next, struct kv_buf *to);

struct table_index {
    struct rows_block rows;
    struct block_handle *handles; /* of the data blocks, one per row */
    uint64_t *heads;              /* one per row, filled up with UINT64_MAX to whole groups */
    uint64_t *group_last;         /* last head of each group */
    uint32_t group_count;
};

/* Parse the content of an index block, which must outlive the index. The data blocks it names
 * ascend, do not overlap and end at or before `data_end`. Errors: -KV_EDAMAGED, -KV_EFORMAT,
 * -ENOMEM. */
KV_MUST_CHECK int table_index_open(struct kv_slice raw, uint64_t data_end,
                                   struct table_index *ret_index);
void table_index_close(struct table_index *index); /* an all-zero one is fine */
size_t table_index_bytes(const struct table_index *index);

/* The first block that may hold a row >= (key, trailer); rows.count if none. */
uint32_t table_index_seek(const struct table_index *index, struct kv_slice key, uint64_t trailer);

/* Does the block lie in the file before `end`? */
static inline bool block_handle_fits(struct block_handle handle, uint64_t end)
{
    return handle.size >= BLOCK_HEADER_SIZE && handle.size <= end &&
           handle.offset <= end - handle.size;
}

#endif
