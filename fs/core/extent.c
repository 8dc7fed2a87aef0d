/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/extent.h"

#include <assert.h>
#include <stdlib.h>

#include "fs/core/fs_internal.h"

enum {
    CHUNK_BYTES = FORMAT_CHUNK_BYTES,
    CHUNK_LOAD_MAX = 16, /* a chunk stored in more pieces is joined while it is loaded */
};

/* Bytes [start, end) of a chunk. */
struct piece {
    uint32_t start, end;
    bool stored; /* the row is on disk as it should be */
};

/* A chunk as it is on disk, and as it is to be. */
struct chunk {
    uint64_t ino;
    uint64_t base; /* offset in the file */
    unsigned count;
    unsigned old_count;
    struct piece pieces[CHUNK_LOAD_MAX + 2]; /* ascending, disjoint */
    uint32_t old_ends[CHUNK_LOAD_MAX];       /* rows on disk */
    uint64_t old_bytes;                      /* in rows on disk */
    uint8_t lead;                            /* room for the kind before the first byte */
    uint8_t bytes[CHUNK_BYTES];
};

/* An extent row that an iterator stands on. */
struct extent {
    uint64_t start, end;
    struct kv_slice value; /* kind, then the bytes */
};

static int extent_decode(struct kvfs *fs, struct kv_iter *iter, uint64_t ino,
                         struct extent *ret_extent)
{
    struct kv_slice key = kv_iter_key(iter);
    struct kv_slice value;
    uint64_t key_ino;
    uint64_t end;
    int r = kv_iter_value(iter, &value);
    if (r < 0) {
        return fs_result(r);
    }
    if (!rowkey_decode_extent(key, &key_ino, &end) || key_ino != ino) {
        return fs_row_damaged(fs, key, "not the key of an extent");
    }
    if (value.size < 2 || value.data[0] != EXTENT_BYTES) {
        return fs_row_damaged(fs, key, "not an extent");
    }
    uint64_t length = value.size - 1;
    if (length > end || (end - length) / CHUNK_BYTES != (end - 1) / CHUNK_BYTES) {
        return fs_row_damaged(fs, key, "the extent crosses a chunk");
    }
    *ret_extent = (struct extent){.start = end - length, .end = end, .value = value};
    return 0;
}

/* An iterator over the extents of a file that end behind `offset`. */
static int open_iter(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino,
                     uint64_t offset, struct rowkey bounds[2], struct kv_iter **ret_iter)
{
    rowkey_extent(&bounds[0], ino, offset + 1);
    rowkey_kind_end(&bounds[1], ROW_EXTENT, ino);
    return fs_iter(fs->data, snapshot, &bounds[0], &bounds[1], ret_iter);
}

/* ---- a chunk in memory ------------------------------------------------------------------------
 */

static void chunk_start(struct chunk *chunk, uint64_t ino, uint64_t base)
{
    chunk->ino = ino;
    chunk->base = base;
    chunk->count = 0;
    chunk->old_count = 0;
    chunk->old_bytes = 0;
}

static uint64_t chunk_total(const struct chunk *chunk)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < chunk->count; i++) {
        total += chunk->pieces[i].end - chunk->pieces[i].start;
    }
    return total;
}

/* All pieces become one; holes between them become zeros. */
static void chunk_join(struct chunk *chunk)
{
    for (unsigned i = 1; i < chunk->count; i++) {
        uint32_t from = chunk->pieces[i - 1].end;
        memset(chunk->bytes + from, 0, chunk->pieces[i].start - from);
    }
    chunk->pieces[0].end = chunk->pieces[chunk->count - 1].end;
    chunk->pieces[0].stored = false;
    chunk->count = 1;
}

static void chunk_delete_old(struct txn *txn, struct chunk *chunk, uint32_t end)
{
    struct rowkey key;
    rowkey_extent(&key, chunk->ino, chunk->base + end);
    txn_delete(txn, txn->fs->data, &key);
}

static int chunk_add_row(struct txn *txn, struct chunk *chunk, const struct extent *extent)
{
    uint32_t start = (uint32_t)(extent->start - chunk->base);
    uint32_t end = (uint32_t)(extent->end - chunk->base);
    if (chunk->count > 0 && start < chunk->pieces[chunk->count - 1].end) {
        struct rowkey key;
        rowkey_extent(&key, chunk->ino, extent->end);
        return fs_row_damaged(txn->fs, rowkey_slice(&key), "the extent overlaps another");
    }
    if (chunk->count == CHUNK_LOAD_MAX || chunk->old_count == CHUNK_LOAD_MAX) {
        for (unsigned i = 0; i < chunk->old_count; i++) {
            chunk_delete_old(txn, chunk, chunk->old_ends[i]);
        }
        chunk->old_count = 0;
        chunk_join(chunk);
    }
    memcpy(chunk->bytes + start, extent->value.data + 1, end - start);
    chunk->pieces[chunk->count++] = (struct piece){.start = start, .end = end, .stored = true};
    chunk->old_ends[chunk->old_count++] = end;
    chunk->old_bytes += end - start;
    return 0;
}

/* Take the chunk's rows from the iterator, which walks the file from chunk to chunk. */
static int chunk_load(struct txn *txn, struct chunk *chunk, struct kv_iter *iter)
{
    struct extent extent;
    for (; kv_iter_valid(iter); kv_iter_next(iter)) {
        int r = extent_decode(txn->fs, iter, chunk->ino, &extent);
        if (r < 0) {
            return r;
        }
        if (extent.start >= chunk->base + CHUNK_BYTES) {
            return 0;
        }
        r = chunk_add_row(txn, chunk, &extent);
        if (r < 0) {
            return r;
        }
    }
    return fs_iter_result(iter);
}

/* Bytes [start, end) are new: cut the others, put a piece in their place. */
static void chunk_overlay(struct chunk *chunk, uint32_t start, uint32_t end)
{
    struct piece out[CHUNK_LOAD_MAX + 2];
    unsigned n = 0;
    unsigned i = 0;
    for (; i < chunk->count && chunk->pieces[i].start < start; i++) {
        out[n] = chunk->pieces[i];
        if (out[n].end > start) {
            out[n].end = start;
            out[n].stored = false;
        }
        n++;
    }
    if (n > 0 && out[n - 1].end == start && end - out[n - 1].start <= EXTENT_MERGE_BYTES) {
        out[n - 1].end = end;
        out[n - 1].stored = false;
    } else {
        out[n++] = (struct piece){.start = start, .end = end};
    }
    /* One piece may reach beyond on both sides: its right part is looked at again. */
    for (i = i > 0 ? i - 1 : 0; i < chunk->count; i++) {
        struct piece right = chunk->pieces[i];
        if (right.end > end) {
            right.stored = right.stored && right.start >= end;
            right.start = right.start > end ? right.start : end;
            out[n++] = right;
        }
    }
    memcpy(chunk->pieces, out, n * sizeof out[0]);
    chunk->count = n;
    if (n > EXTENT_PIECES_MAX) {
        chunk_join(chunk);
    }
}

static bool chunk_has_end(const struct chunk *chunk, uint32_t end)
{
    for (unsigned i = 0; i < chunk->count; i++) {
        if (chunk->pieces[i].end == end) {
            return true;
        }
    }
    return false;
}

static void chunk_put(struct txn *txn, struct chunk *chunk, const struct piece *piece)
{
    struct rowkey key;
    /* The row is the kind and the bytes: the kind takes the place of the byte before them while
     * the row is copied. */
    uint8_t *value = chunk->bytes + piece->start - 1;
    if (piece->start == 0) {
        value = &chunk->lead;
    }
    uint8_t saved = *value;
    *value = EXTENT_BYTES;
    rowkey_extent(&key, chunk->ino, chunk->base + piece->end);
    txn_put(txn, txn->fs->data, &key, kv_slice(value, 1 + piece->end - piece->start));
    *value = saved;
}

static void chunk_store(struct txn *txn, struct txn_node *node, struct chunk *chunk)
{
    for (unsigned i = 0; i < chunk->old_count; i++) {
        if (!chunk_has_end(chunk, chunk->old_ends[i])) {
            chunk_delete_old(txn, chunk, chunk->old_ends[i]);
        }
    }
    for (unsigned i = 0; i < chunk->count; i++) {
        if (!chunk->pieces[i].stored) {
            chunk_put(txn, chunk, &chunk->pieces[i]);
        }
    }
    node->node.inode.allocated += chunk_total(chunk) - chunk->old_bytes;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static int chunk_of(struct txn *txn, struct chunk **ret_chunk)
{
    static_assert(offsetof(struct chunk, bytes) == offsetof(struct chunk, lead) + 1,
                  "the kind stands right before the bytes");
    if (txn->chunk == NULL) {
        txn->chunk = malloc(sizeof *txn->chunk);
        if (txn->chunk == NULL) {
            return -ENOMEM;
        }
    }
    *ret_chunk = txn->chunk;
    return 0;
}

static int write_chunks(struct txn *txn, struct txn_node *node, uint64_t offset,
                        struct kv_slice data, struct kv_iter *iter)
{
    struct chunk *chunk;
    int r = chunk_of(txn, &chunk);
    while (r == 0 && data.size > 0) {
        uint32_t start = (uint32_t)(offset % CHUNK_BYTES);
        uint32_t end = CHUNK_BYTES - start < data.size ? CHUNK_BYTES : start + (uint32_t)data.size;
        chunk_start(chunk, node->node.ino, offset - start);
        if (iter != NULL) {
            r = chunk_load(txn, chunk, iter);
        }
        if (r == 0) {
            memcpy(chunk->bytes + start, data.data, end - start);
            chunk_overlay(chunk, start, end);
            chunk_store(txn, node, chunk);
            offset += end - start;
            data = kv_slice(data.data + (end - start), data.size - (end - start));
        }
    }
    return r != 0 ? r : txn->error;
}

int extent_write(struct txn *txn, struct txn_node *node, uint64_t offset, struct kv_slice data)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    uint64_t base = offset - offset % CHUNK_BYTES;
    /* Nothing is stored behind the end of the file: appends of whole chunks read nothing. */
    if (base < node->node.inode.size && node->node.inode.allocated > 0) {
        int r = open_iter(txn->fs, NULL, node->node.ino, base, bounds, &iter);
        if (r < 0) {
            return r;
        }
        kv_iter_seek_first(iter);
    }
    int r = write_chunks(txn, node, offset, data, iter);
    kv_iter_destroy(iter);
    return r;
}

/* ---- removing ---------------------------------------------------------------------------------
 */

/* Replace the row by what of it lies outside [start, end). */
static int cut_row(struct txn *txn, struct txn_node *node, const struct extent *extent,
                   uint64_t start, uint64_t end)
{
    struct rowkey key;
    struct chunk *chunk;
    uint64_t from = extent->start > start ? extent->start : start;
    uint64_t to = extent->end < end ? extent->end : end;
    rowkey_extent(&key, node->node.ino, extent->end);
    if (extent->end > end) {
        int r = chunk_of(txn, &chunk);
        if (r < 0) {
            return r;
        }
        size_t left = (size_t)(extent->end - end);
        chunk->lead = EXTENT_BYTES;
        memcpy(chunk->bytes, extent->value.data + extent->value.size - left, left);
        txn_put(txn, txn->fs->data, &key, kv_slice(&chunk->lead, 1 + left));
    } else {
        txn_delete(txn, txn->fs->data, &key);
    }
    if (extent->start < start) {
        rowkey_extent(&key, node->node.ino, start);
        txn_put(txn, txn->fs->data, &key,
                kv_slice(extent->value.data, 1 + (size_t)(start - extent->start)));
    }
    node->node.inode.allocated -= to - from;
    return txn->error;
}

int extent_punch(struct txn *txn, struct txn_node *node, uint64_t start, uint64_t end,
                 uint64_t *ret_done)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    struct extent extent;
    uint64_t done = end;
    int r = open_iter(txn->fs, NULL, node->node.ino, start, bounds, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        r = extent_decode(txn->fs, iter, node->node.ino, &extent);
        if (r < 0 || extent.start >= end) {
            break;
        }
        if (txn->rows >= EXTENT_ROWS_MAX) {
            done = extent.start;
            break;
        }
        r = cut_row(txn, node, &extent, start, end);
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    if (r == 0) {
        *ret_done = done;
    }
    return r;
}

int extent_cut(struct txn *txn, struct txn_node *node, uint64_t size, uint64_t *ret_done)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    struct extent extent;
    uint64_t done = size;
    int r = open_iter(txn->fs, NULL, node->node.ino, size, bounds, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_last(iter); r == 0 && kv_iter_valid(iter); kv_iter_prev(iter)) {
        r = extent_decode(txn->fs, iter, node->node.ino, &extent);
        if (r == 0 && txn->rows >= EXTENT_ROWS_MAX) {
            done = extent.end;
            break;
        }
        if (r == 0) {
            r = cut_row(txn, node, &extent, size, UINT64_MAX);
        }
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    if (r == 0) {
        *ret_done = done;
    }
    return r;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* A file of one extent, the usual small one, is one get. Returns 1 if it is not such a file. */
static int read_single(struct kvfs *fs, const struct kv_snapshot *snapshot, const struct node *node,
                       uint64_t offset, uint8_t *to, size_t size)
{
    struct kv_pinned pinned;
    struct rowkey key;
    if (node->inode.size > CHUNK_BYTES || node->inode.allocated != node->inode.size) {
        return 1;
    }
    rowkey_extent(&key, node->ino, node->inode.size);
    int r = fs_get(fs->data, snapshot, &key, &pinned);
    if (r < 0) {
        return r == -ENOENT ? 1 : r;
    }
    r = 1;
    if (pinned.value.size == node->inode.size + 1 && pinned.value.data[0] == EXTENT_BYTES) {
        memcpy(to, pinned.value.data + 1 + offset, size);
        r = 0;
    }
    kv_pinned_release(&pinned);
    return r;
}

static int read_rows(struct kvfs *fs, const struct node *node, uint64_t offset, uint8_t *to,
                     size_t size, struct kv_iter *iter)
{
    struct extent extent;
    uint64_t at = offset;
    uint64_t end = offset + size;
    for (kv_iter_seek_first(iter); at < end && kv_iter_valid(iter); kv_iter_next(iter)) {
        int r = extent_decode(fs, iter, node->ino, &extent);
        if (r < 0) {
            return r;
        }
        if (extent.start >= end) {
            break;
        }
        if (extent.start > at) {
            memset(to + (at - offset), 0, (size_t)(extent.start - at));
            at = extent.start;
        }
        uint64_t stop = extent.end < end ? extent.end : end;
        memcpy(to + (at - offset), extent.value.data + 1 + (at - extent.start),
               (size_t)(stop - at));
        at = stop;
    }
    int r = at < end ? fs_iter_result(iter) : 0;
    if (r == 0) {
        memset(to + (at - offset), 0, (size_t)(end - at));
    }
    return r;
}

int extent_read(struct kvfs *fs, const struct kv_snapshot *snapshot, const struct node *node,
                uint64_t offset, struct kv_buf *to, size_t size)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    to->size = 0;
    int r = kv_buf_reserve(to, size);
    if (r < 0) {
        return r;
    }
    if (node->inode.allocated == 0) {
        memset(to->data, 0, size);
        to->size = size;
        return 0;
    }
    r = read_single(fs, snapshot, node, offset, to->data, size);
    if (r == 1) {
        r = open_iter(fs, snapshot, node->ino, offset, bounds, &iter);
        if (r == 0) {
            r = read_rows(fs, node, offset, to->data, size, iter);
        }
        kv_iter_destroy(iter);
    }
    to->size = r == 0 ? size : 0;
    return r;
}

int extent_seek(struct kvfs *fs, const struct node *node, uint64_t offset, bool data,
                uint64_t *ret_offset)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    struct extent extent;
    uint64_t at = offset;
    bool found = !data;
    int r = open_iter(fs, NULL, node->ino, offset, bounds, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        r = extent_decode(fs, iter, node->ino, &extent);
        if (r < 0) {
            break;
        }
        if (data) {
            at = extent.start > offset ? extent.start : offset;
            found = true;
            break;
        }
        if (extent.start > at) {
            break;
        }
        at = extent.end;
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    if (r == 0 && !found) {
        return -ENXIO;
    }
    if (r == 0) {
        *ret_offset = at;
    }
    return r;
}
