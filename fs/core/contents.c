/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/contents.h"

#include <assert.h>

#include "fs/core/fs_internal.h"

enum { CHUNK_BYTES = FORMAT_CHUNK_BYTES };

static uint64_t chunk_base(uint64_t offset)
{
    return offset - offset % CHUNK_BYTES;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static int write_chunks(struct txn *txn, struct txn_node *node, uint64_t offset,
                        struct kv_slice data, struct kv_iter *iter)
{
    struct chunk *chunk;
    bool appends = offset >= node->node.inode.size;
    int r = chunk_of(txn, &chunk);
    while (r == 0 && data.size > 0) {
        uint32_t start = (uint32_t)(offset % CHUNK_BYTES);
        size_t size = (size_t)min_u64(CHUNK_BYTES - start, data.size);
        r = chunk_load(chunk, node, iter, offset - start);
        if (r == 0) {
            r = chunk_write(chunk, start, kv_slice(data.data, size), appends);
        }
        offset += size;
        data = kv_slice_behind(data, size);
    }
    return r;
}

int contents_write(struct txn *txn, struct txn_node *node, uint64_t offset, struct kv_slice data)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    uint64_t base = chunk_base(offset);
    /* Nothing is stored behind the end of the file: appends of whole chunks read nothing. */
    if (base < node->node.inode.size && node->node.inode.allocated > 0) {
        int r = extent_iter(txn->fs, NULL, node->node.ino, base, bounds, &iter);
        if (r < 0) {
            return r;
        }
    }
    int r = write_chunks(txn, node, offset, data, iter);
    kv_iter_destroy(iter);
    return r;
}

/* ---- removing ---------------------------------------------------------------------------------
 */

/* Clear [start, end), which lies in one chunk. */
static int clear_part(struct txn *txn, struct txn_node *node, struct kv_iter *iter, uint64_t start,
                      uint64_t end)
{
    struct chunk *chunk;
    uint64_t base = chunk_base(start);
    int r = chunk_of(txn, &chunk);
    if (r == 0) {
        r = chunk_load(chunk, node, iter, base);
    }
    return r < 0 ? r : chunk_clear(chunk, (uint32_t)(start - base), (uint32_t)(end - base));
}

static void delete_extent(struct txn *txn, struct txn_node *node, const struct extent *extent)
{
    struct rowkey key;
    rowkey_extent(&key, node->node.ino, extent->end);
    txn_delete(txn, txn->fs->data, &key);
    node->node.inode.allocated -= extent->end - extent->start;
}

/* Clear the chunks of [start, end), until the batch is full. */
static int clear_chunks(struct txn *txn, struct txn_node *node, struct kv_iter *iter,
                        uint64_t start, uint64_t end, uint64_t *ret_done)
{
    struct rowkey key;
    struct extent extent = {.end = start};
    uint64_t done = end;
    int r = 0;
    rowkey_extent(&key, node->node.ino, start + 1);
    for (kv_iter_seek(iter, rowkey_slice(&key)); kv_iter_valid(iter); kv_iter_next(iter)) {
        r = extent_decode(txn->fs, iter, node->node.ino, extent.end, &extent);
        if (r < 0 || extent.start >= end) {
            break;
        }
        if (txn->rows >= CONTENTS_ROWS_MAX && chunk_base(extent.start) > start) {
            done = chunk_base(extent.start);
            break;
        }
        r = extent.lost ? txn_recount(txn, node) : 0;
        if (r < 0) {
            break;
        }
        delete_extent(txn, node, &extent);
    }
    r = r != 0 ? r : fs_iter_result(iter);
    if (r == 0) {
        *ret_done = done;
    }
    return r != 0 ? r : txn->error;
}

/* `start` < `end`. The whole chunks between two parts of chunks, each of the three perhaps empty.
 */
static int punch_range(struct txn *txn, struct txn_node *node, struct kv_iter *iter, uint64_t start,
                       uint64_t end, uint64_t *ret_done)
{
    uint64_t front_end = min_u64(chunk_base(start + CHUNK_BYTES - 1), end);
    uint64_t back = chunk_base(end);
    uint64_t done = end;
    int r = 0;
    if (start < front_end) {
        r = clear_part(txn, node, iter, start, front_end);
    }
    if (r == 0 && front_end < back) {
        r = clear_chunks(txn, node, iter, front_end, back, &done);
        if (r < 0 || done < back) {
            *ret_done = done;
            return r;
        }
    }
    if (r == 0 && back < end && back >= front_end) {
        r = clear_part(txn, node, iter, back, end);
    }
    *ret_done = end;
    return r;
}

int contents_punch(struct txn *txn, struct txn_node *node, uint64_t start, uint64_t end,
                   uint64_t *ret_done)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    int r = extent_iter(txn->fs, NULL, node->node.ino, chunk_base(start), bounds, &iter);
    if (r == 0) {
        r = punch_range(txn, node, iter, start, end, ret_done);
    }
    kv_iter_destroy(iter);
    return r;
}

/* Delete the rows from `from` on, a multiple of the chunk, backwards. Extents that are lost have no
 * length of their own to be taken off: the rest is counted. */
static int cut_chunks(struct txn *txn, struct txn_node *node, struct kv_iter *iter, uint64_t from,
                      uint64_t *ret_done)
{
    struct inode *inode = &node->node.inode;
    struct extent extent;
    uint64_t done = from;
    bool lost = false;
    int r = 0;
    for (kv_iter_seek_last(iter); r == 0 && kv_iter_valid(iter); kv_iter_prev(iter)) {
        r = extent_decode(txn->fs, iter, node->node.ino, 0, &extent);
        if (r < 0 || extent.end <= from) {
            break;
        }
        if (txn->rows >= CONTENTS_ROWS_MAX) {
            done = extent.end;
            break;
        }
        lost = lost || extent.lost;
        delete_extent(txn, node, &extent);
    }
    r = r != 0 ? r : fs_iter_result(iter);
    if (r == 0 && lost) {
        r = extent_count(txn->fs, node->node.ino, done, &inode->allocated);
        node->recounted = true;
    }
    *ret_done = done;
    return r != 0 ? r : txn->error;
}

int contents_cut(struct txn *txn, struct txn_node *node, uint64_t size, uint64_t *ret_done)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    uint64_t from = chunk_base(size + CHUNK_BYTES - 1);
    uint64_t done = from;
    int r = extent_iter(txn->fs, NULL, node->node.ino, chunk_base(size), bounds, &iter);
    if (r < 0) {
        return r;
    }
    r = cut_chunks(txn, node, iter, from, &done);
    if (r == 0 && done == from) {
        done = size;
        if (size < from) {
            r = clear_part(txn, node, iter, size, from);
        }
    }
    kv_iter_destroy(iter);
    if (r == 0) {
        *ret_done = done;
    }
    return r;
}

/* ---- sharing ----------------------------------------------------------------------------------
 */

/* Put the extent the iterator stands on into the chunks it falls into. */
static int share_extent(struct txn *txn, const struct contents_sharing *sharing,
                        const struct extent *extent, struct kv_iter *iter)
{
    struct rowkey key;
    uint64_t start = extent->start > sharing->from_offset ? extent->start : sharing->from_offset;
    uint64_t stop = min_u64(extent->end, sharing->from_offset + sharing->size);
    int r = 0;
    while (start < stop && r == 0) {
        uint64_t at = sharing->offset + (start - sharing->from_offset);
        uint64_t size = min_u64(stop - start, CHUNK_BYTES - at % CHUNK_BYTES);
        rowkey_extent(&key, sharing->to->node.ino, at + size);
        r = txn_put_part(txn, txn->fs->data, &key, iter, (size_t)(start - extent->start),
                         (size_t)size);
        sharing->to->node.inode.allocated += size;
        start += size;
    }
    return fs_result(r);
}

static int share_rows(struct txn *txn, const struct contents_sharing *sharing, struct kv_iter *iter)
{
    struct extent extent = {0};
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        int r = extent_decode(txn->fs, iter, sharing->from->node.ino, extent.end, &extent);
        if (r < 0) {
            return r;
        }
        if (extent.start >= sharing->from_offset + sharing->size) {
            return 0;
        }
        if (extent.lost) {
            return fs_row_damaged(txn->fs, kv_iter_key(iter), "the extent's bytes are lost");
        }
        r = share_extent(txn, sharing, &extent, iter);
        if (r < 0) {
            return r;
        }
    }
    return fs_iter_result(iter);
}

int contents_share(struct txn *txn, const struct contents_sharing *sharing, uint64_t *ret_size)
{
    struct contents_sharing whole = *sharing;
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    uint64_t done = whole.offset + whole.size;
    int r = 0;
    assert(whole.offset % CHUNK_BYTES == 0 && whole.size % CHUNK_BYTES == 0);
    if (whole.to->node.inode.allocated > 0 && whole.offset < whole.to->node.inode.size) {
        r = contents_punch(txn, whole.to, whole.offset, done, &done);
        whole.size = done - whole.offset;
    }
    if (r == 0) {
        r = extent_iter(txn->fs, NULL, whole.from->node.ino, whole.from_offset, bounds, &iter);
    }
    if (r == 0) {
        r = share_rows(txn, &whole, iter);
    }
    kv_iter_destroy(iter);
    if (r == 0) {
        *ret_size = whole.size;
    }
    return r;
}
