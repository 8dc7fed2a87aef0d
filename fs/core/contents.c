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

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A file that has all of its bytes, of `size`, lacks none that are lost. Only who changed its
 * extents may say so: what is counted of rows that are damaged can be any number. */
static void forget_lost(struct inode *inode, uint64_t size)
{
    if (inode->allocated == size) {
        inode->lost_below = 0;
    }
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
    struct inode *inode = &node->node.inode;
    uint64_t before = inode->allocated;
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    uint64_t base = chunk_base(offset);
    /* Nothing is stored behind the end of the file: appends of whole chunks read nothing. */
    if (base < inode->size && inode->allocated > 0) {
        int r = extent_iter(txn->fs, NULL, node->node.ino, base, bounds, &iter);
        if (r < 0) {
            return r;
        }
    }
    int r = write_chunks(txn, node, offset, data, iter);
    kv_iter_destroy(iter);
    if (r == 0 && inode->allocated > before) {
        forget_lost(inode, max_u64(inode->size, offset + data.size));
    }
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

static void delete_chunks(struct txn *txn, const struct txn_node *node, uint64_t start,
                          uint64_t end)
{
    struct rowkey from;
    struct rowkey to;
    rowkey_extent(&from, node->node.ino, start + 1);
    rowkey_extent(&to, node->node.ino, end + 1);
    txn_delete_range(txn, txn->fs->data, &from, &to);
}

/* Clear the chunks of [start, end), looking at each row: few ones are deleted one by one. */
static int clear_rows(struct txn *txn, struct txn_node *node, struct kv_iter *iter, uint64_t start,
                      uint64_t end)
{
    struct rowkey key;
    struct extent extent = {.end = start};
    uint64_t rows = 0;
    int r = 0;
    rowkey_extent(&key, node->node.ino, start + 1);
    for (kv_iter_seek(iter, rowkey_slice(&key)); kv_iter_valid(iter); kv_iter_next(iter)) {
        r = extent_decode(txn->fs, iter, node->node.ino, extent.end, &extent);
        if (r < 0 || extent.start >= end) {
            break;
        }
        r = extent.lost ? txn_recount(txn, node) : 0;
        if (r < 0) {
            break;
        }
        node->node.inode.allocated -= extent.end - extent.start;
        node->node.inode.lost_bytes -= extent.lost ? extent.end - extent.start : 0;
        if (++rows <= TXN_DELETE_MAX) {
            rowkey_extent(&key, node->node.ino, extent.end);
            txn_delete(txn, txn->fs->data, &key);
        }
    }
    r = r != 0 ? r : fs_iter_result(iter);
    if (r == 0 && rows > TXN_DELETE_MAX) {
        delete_chunks(txn, node, start, end);
    }
    return r != 0 ? r : txn->error;
}

/* Clear the chunks of [start, end). */
static int clear_chunks(struct txn *txn, struct txn_node *node, struct kv_iter *iter,
                        uint64_t start, uint64_t end)
{
    struct inode *inode = &node->node.inode;
    uint64_t stop = min_u64(end, inode->size);
    if (inode->allocated != inode->size || inode->lost_bytes > 0 ||
        stop < start + TXN_DELETE_MAX * CHUNK_BYTES) {
        return clear_rows(txn, node, iter, start, end);
    }
    /* The file has no hole, so what goes is known without a look at every row. */
    inode->allocated -= stop - start;
    delete_chunks(txn, node, start, end);
    return txn->error;
}

/* `start` < `end`. The whole chunks between two parts of chunks, each of the three perhaps empty.
 * The chunks come first: they need to know whether the file has holes. */
static int punch_range(struct txn *txn, struct txn_node *node, struct kv_iter *iter, uint64_t start,
                       uint64_t end)
{
    uint64_t front_end = min_u64(chunk_base(start + CHUNK_BYTES - 1), end);
    uint64_t back = chunk_base(end);
    int r = 0;
    if (front_end < back) {
        r = clear_chunks(txn, node, iter, front_end, back);
    }
    if (r == 0 && start < front_end) {
        r = clear_part(txn, node, iter, start, front_end);
    }
    if (r == 0 && back < end && back >= front_end) {
        r = clear_part(txn, node, iter, back, end);
    }
    return r;
}

int contents_punch(struct txn *txn, struct txn_node *node, uint64_t start, uint64_t end)
{
    struct inode *inode = &node->node.inode;
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    if (end < inode->lost_below) {
        return -EOPNOTSUPP;
    }
    inode->lost_below = min_u64(inode->lost_below, start);
    if (inode->allocated == 0) {
        return 0;
    }
    int r = extent_iter(txn->fs, NULL, node->node.ino, chunk_base(start), bounds, &iter);
    if (r == 0) {
        r = punch_range(txn, node, iter, start, end);
    }
    kv_iter_destroy(iter);
    return r;
}

int contents_cut(struct txn *txn, struct txn_node *node, uint64_t size)
{
    struct inode *inode = &node->node.inode;
    bool all = size == 0;
    int r = all ? -EIO : 0;
    inode->lost_below = min_u64(inode->lost_below, size);
    if (size >= inode->size || inode->allocated == 0) {
        return 0;
    }
    if (!all || inode->size <= TXN_DELETE_MAX * CHUNK_BYTES) {
        r = contents_punch(txn, node, size, KVFS_FILE_SIZE_MAX);
    }
    if (r == -EIO && all) {
        /* There are many extents, or what cannot be read: what was there does not matter. */
        inode->allocated = inode->lost_bytes = 0;
        delete_chunks(txn, node, 0, KVFS_FILE_SIZE_MAX);
        r = txn->error;
    }
    if (r == 0) {
        forget_lost(inode, size);
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

int contents_share(struct txn *txn, const struct contents_sharing *sharing)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    int r = 0;
    assert(sharing->offset % CHUNK_BYTES == 0 && sharing->size % CHUNK_BYTES == 0);
    assert(sharing->from->node.inode.lost_below <= sharing->from_offset);
    assert(sharing->to->node.inode.lost_below <= sharing->offset);
    if (sharing->to->node.inode.allocated > 0 && sharing->offset < sharing->to->node.inode.size) {
        r = contents_punch(txn, sharing->to, sharing->offset, sharing->offset + sharing->size);
    }
    if (r == 0) {
        r = extent_iter(txn->fs, NULL, sharing->from->node.ino, sharing->from_offset, bounds,
                        &iter);
    }
    if (r == 0) {
        r = share_rows(txn, sharing, iter);
    }
    if (r == 0) {
        struct inode *inode = &sharing->to->node.inode;
        forget_lost(inode, max_u64(inode->size, sharing->offset + sharing->size));
    }
    kv_iter_destroy(iter);
    return r;
}
