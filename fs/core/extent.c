/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/extent.h"

#include "fs/core/fs_internal.h"
#include "fs/core/unlinked.h"

enum { CHUNK_BYTES = FORMAT_CHUNK_BYTES };

/* ---- rows -------------------------------------------------------------------------------------
 */

int extent_iter(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino, uint64_t offset,
                struct rowkey bounds[2], struct kv_iter **ret_iter)
{
    rowkey_extent(&bounds[0], ino, offset + 1);
    rowkey_kind_end(&bounds[1], ROW_EXTENT, ino);
    return fs_iter(fs->data, snapshot, &bounds[0], &bounds[1], ret_iter);
}

/* Why the row cannot be an extent that ends at `end`; NULL if it can. */
static const char *find_fault(uint64_t size, uint64_t floor, uint64_t end)
{
    if (size < 1 || size > end) {
        return "not an extent";
    }
    if ((end - size) / CHUNK_BYTES != (end - 1) / CHUNK_BYTES) {
        return "the extent crosses a chunk";
    }
    return end - size < floor ? "the extent overlaps another" : NULL;
}

int extent_decode(struct kvfs *fs, struct kv_iter *iter, uint64_t ino, uint64_t floor,
                  struct extent *ret_extent)
{
    struct kv_slice key = kv_iter_key(iter);
    struct extent extent = {.lost = kv_iter_is_lost(iter)};
    uint64_t key_ino;
    if (!rowkey_decode_extent(key, &key_ino, &extent.end) || key_ino != ino) {
        return fs_row_damaged(fs, key, "not the key of an extent");
    }
    if (!extent.lost) {
        uint64_t size = kv_iter_value_size(iter);
        const char *fault = find_fault(size, floor, extent.end);
        if (fault != NULL) {
            kv_ignore(fs_row_damaged(fs, key, fault));
            extent.lost = true;
        }
        extent.start = extent.end - size;
    }
    if (extent.lost) {
        uint64_t base = (extent.end - 1) / CHUNK_BYTES * CHUNK_BYTES;
        extent.start = base > floor ? base : floor;
    }
    *ret_extent = extent;
    return 0;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* The usual small file is one extent: one get. */
static int pin_whole(struct extent_view *view, const struct kv_snapshot *snapshot,
                     const struct inode *inode)
{
    struct rowkey key;
    if (inode->size > CHUNK_BYTES || inode->allocated != inode->size) {
        return 0;
    }
    rowkey_extent(&key, view->ino, inode->size);
    int r = fs_get(view->fs->data, snapshot, &key, &view->whole);
    if (r == 0 && view->whole.value.size != inode->size) {
        kv_pinned_release(&view->whole);
        view->whole = (struct kv_pinned){0};
    }
    /* What is damaged need not be what is asked for: the iterator tells. */
    return r == -ENOENT || r == -EIO ? 0 : r;
}

/* -ENOENT: its bytes are in rows. */
static int take_kept(struct extent_view *view)
{
    int r = unlinked_read(view->fs, view->ino, &view->kept);
    view->whole.value = kv_buf_slice(&view->kept);
    return r;
}

int extent_view_open(struct extent_view *view, struct kvfs *fs, const struct kv_snapshot *snapshot,
                     const struct node *node, uint64_t offset)
{
    *view = (struct extent_view){.fs = fs, .ino = node->ino, .lost_below = node->inode.lost_below};
    if (node->inode.allocated == 0 && node->inode.lost_below == 0) {
        return 0;
    }
    int r = snapshot == NULL && node->inode.nlink == 0 ? take_kept(view) : -ENOENT;
    if (r == -ENOENT) {
        r = pin_whole(view, snapshot, &node->inode);
    }
    if (r == 0 && view->whole.value.size == 0) {
        r = extent_iter(fs, snapshot, node->ino, offset, view->bounds, &view->iter);
    }
    return r;
}

void extent_view_close(struct extent_view *view)
{
    kv_iter_destroy(view->iter);
    kv_pinned_release(&view->whole);
    kv_buf_finish(&view->kept);
    *view = (struct extent_view){0};
}

/* No extent has bytes of [from, to), of which the first goes to `bytes`. */
static int read_hole(struct extent_view *view, uint64_t from, uint64_t to, uint8_t *bytes)
{
    struct rowkey key;
    if (from < to && from < view->lost_below) {
        rowkey_extent(&key, view->ino, to);
        return fs_row_damaged(view->fs, rowkey_slice(&key), "the bytes up to here are lost");
    }
    memset(bytes, 0, (size_t)(to - from));
    return 0;
}

/* Clear the holes and ask for the bytes of the extents between them. */
static int collect_rows(struct extent_view *view, struct kv_gather *gather, uint64_t offset,
                        uint8_t *to, size_t size)
{
    struct kv_iter *iter = view->iter;
    struct extent extent;
    uint64_t at = offset;
    uint64_t end = offset + size;
    for (kv_iter_seek_first(iter); at < end && kv_iter_valid(iter); kv_iter_next(iter)) {
        int r = extent_decode(view->fs, iter, view->ino, at > offset ? at : 0, &extent);
        if (r < 0) {
            return r;
        }
        if (extent.start >= end) {
            break;
        }
        if (extent.lost) {
            return fs_row_damaged(view->fs, kv_iter_key(iter), "the extent's bytes are lost");
        }
        if (extent.start > at) {
            r = read_hole(view, at, extent.start, to + (at - offset));
            if (r < 0) {
                return r;
            }
            at = extent.start;
        }
        uint64_t stop = extent.end < end ? extent.end : end;
        r = kv_gather_add(gather, iter, (size_t)(at - extent.start), (size_t)(stop - at),
                          to + (at - offset));
        if (r < 0) {
            return fs_result(r);
        }
        at = stop;
    }
    int r = at < end ? fs_iter_result(iter) : 0;
    return r < 0 ? r : read_hole(view, at, end, to + (at - offset));
}

int extent_view_read(struct extent_view *view, uint64_t offset, uint8_t *to, size_t size)
{
    struct kv_gather *gather = NULL;
    if (view->iter == NULL) {
        if (view->whole.value.size > 0) {
            memcpy(to, view->whole.value.data + offset, size);
        } else {
            memset(to, 0, size);
        }
        return 0;
    }
    int r = kv_gather_create(view->fs->store, &gather);
    if (r < 0) {
        return r;
    }
    r = collect_rows(view, gather, offset, to, size);
    if (r == 0) {
        r = fs_result(kv_gather_run(gather));
    }
    kv_gather_destroy(gather);
    return r;
}

/* ---- looking ----------------------------------------------------------------------------------
 */

int extent_seek(struct kvfs *fs, const struct node *node, uint64_t offset, bool data,
                uint64_t *ret_offset)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    struct extent extent;
    uint64_t at = offset;
    bool found = !data;
    if (offset < node->inode.lost_below) {
        if (data) {
            *ret_offset = offset;
            return 0;
        }
        at = offset = node->inode.lost_below;
    }
    int r = extent_iter(fs, NULL, node->ino, offset, bounds, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        r = extent_decode(fs, iter, node->ino, at > offset ? at : 0, &extent);
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

/* Bytes of one kind, up to `end`. */
struct run {
    enum kvfs_part part;
    bool any;
    uint64_t end;
};

/* Whether those up to `end` are of that kind, too; then they are taken along. */
static bool take_part(struct run *run, enum kvfs_part part, uint64_t end)
{
    bool same = !run->any || run->part == part;
    if (same) {
        *run = (struct run){.part = part, .any = true, .end = end};
    }
    return same;
}

/* The same of what no extent has in front of `to`. */
static bool take_hole(struct run *run, uint64_t lost_below, uint64_t to)
{
    uint64_t lost = to < lost_below ? to : lost_below;
    bool same = run->end >= lost || take_part(run, KVFS_PART_LOST, lost);
    return same && (run->end >= to || take_part(run, KVFS_PART_HOLE, to));
}

int extent_part(struct kvfs *fs, const struct node *node, uint64_t offset, enum kvfs_part *ret_part,
                uint64_t *ret_end)
{
    const struct inode *inode = &node->inode;
    struct run run = {.end = offset};
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    struct extent extent;
    bool same = true;
    int r = extent_iter(fs, NULL, node->ino, offset, bounds, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && same && kv_iter_valid(iter); kv_iter_next(iter)) {
        r = extent_decode(fs, iter, node->ino, run.any ? run.end : 0, &extent);
        same = r == 0 && take_hole(&run, inode->lost_below, extent.start) &&
               take_part(&run, extent.lost ? KVFS_PART_LOST : KVFS_PART_DATA, extent.end);
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    if (r == 0 && same) {
        same = take_hole(&run, inode->lost_below, inode->size);
    }
    *ret_part = run.part;
    *ret_end = run.end < inode->size ? run.end : inode->size;
    return r;
}

int extent_count(struct kvfs *fs, uint64_t ino, uint64_t *ret_bytes, uint64_t *ret_lost)
{
    struct kv_iter *iter = NULL;
    struct rowkey bounds[2];
    struct extent extent = {0};
    uint64_t bytes = 0, lost = 0;
    int r = extent_iter(fs, NULL, ino, 0, bounds, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        r = extent_decode(fs, iter, ino, extent.end, &extent);
        if (r < 0) {
            break;
        }
        bytes += extent.end - extent.start;
        lost += extent.lost ? extent.end - extent.start : 0;
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    if (r == 0) {
        *ret_bytes = bytes;
        *ret_lost = lost;
    }
    return r;
}
