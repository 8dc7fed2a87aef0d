/* SPDX-License-Identifier: Apache-2.0 */
/* File data: logical ranges and the extents that hold them.
 *
 * A file is divided into chunks of 32 KiB; no extent crosses a chunk. A row is keyed by the end of
 * its extent, so one forward seek to position + 1 finds what covers a position or comes next. A
 * missing range is a hole.
 *
 * A change cuts what it overlaps: the pieces to its left and right are stored anew. A chunk that
 * would come out with more than EXTENT_PIECES_MAX extents is stored as one; short appends grow the
 * extent before them. So a chunk costs a reader few rows and a small write at most 32 KiB. */
#ifndef FS_CORE_EXTENT_H
#define FS_CORE_EXTENT_H

#include "fs/core/txn.h"

enum {
    EXTENT_PIECES_MAX = 8,
    EXTENT_MERGE_BYTES = 4096, /* an append merges with its predecessor up to this length */
    EXTENT_ROWS_MAX = 100000,  /* rows one batch deletes or cuts */
};

/* Collect the rows of writing `data` at `offset`; keeps `allocated`, not the size nor times. */
KV_MUST_CHECK int extent_write(struct txn *txn, struct txn_node *node, uint64_t offset,
                               struct kv_slice data);
/* Collect the rows that make [start, end) a hole, up to EXTENT_ROWS_MAX. `ret_done`: everything
 * below this offset is done, `end` if all is. */
KV_MUST_CHECK int extent_punch(struct txn *txn, struct txn_node *node, uint64_t start, uint64_t end,
                               uint64_t *ret_done);
/* Collect the rows that remove everything from `size` on, from the end of the file backwards, up to
 * EXTENT_ROWS_MAX. `ret_done`: nothing from this offset on is left, `size` if all is done. */
KV_MUST_CHECK int extent_cut(struct txn *txn, struct txn_node *node, uint64_t size,
                             uint64_t *ret_done);
/* Copy [offset, offset + size) of the file, which lies below its size, to `to`; holes are zeros. */
KV_MUST_CHECK int extent_read(struct kvfs *fs, const struct kv_snapshot *snapshot,
                              const struct node *node, uint64_t offset, struct kv_buf *to,
                              size_t size);
/* First byte of data, or of a hole, at or behind `offset`, which is below the size. The end of the
 * file counts as a hole; -ENXIO no data. */
KV_MUST_CHECK int extent_seek(struct kvfs *fs, const struct node *node, uint64_t offset, bool data,
                              uint64_t *ret_offset);

#endif
