/* SPDX-License-Identifier: Apache-2.0 */
/* File data as it is stored: rows that each hold one extent, and reading them.
 *
 * A file is divided into chunks of 32 KiB; no extent crosses a chunk. A row is keyed by the end of
 * its extent, so one forward seek to position + 1 finds what covers a position or comes next. The
 * value is the extent's bytes and nothing else: whole chunks are whole pages, which the engine
 * stores aligned and shares between rows without copying. A missing range is a hole.
 *
 * A row that is known to be lost has no length. It stands for everything between the extent before
 * it (or the start of its chunk) and its end; who makes the extent before it shorter stores zeros
 * in that place. A row whose value makes no sense is treated as lost too, so that it can be
 * overwritten and removed.
 *
 * A file of which more was lost than rows should say has a number in its inode in place of them:
 * below `lost_below` no range is a hole, and what no extent has is lost. */
#ifndef FS_CORE_EXTENT_H
#define FS_CORE_EXTENT_H

#include "fs/core/txn.h"

/* Bytes [start, end) of a file. */
struct extent {
    uint64_t start, end;
    bool lost;
};

/* An iterator over the extents of a file that end behind `offset`, not positioned. `bounds` must
 * outlive it. `snapshot` NULL: now. */
KV_MUST_CHECK int extent_iter(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino,
                              uint64_t offset, struct rowkey bounds[2], struct kv_iter **ret_iter);
/* The row `iter` stands on. `floor` is the end of the extent before it, or any offset below that if
 * it is not known: then the start of a lost extent is a guess that is not too high. -EIO: the key
 * makes no sense. */
KV_MUST_CHECK int extent_decode(struct kvfs *fs, struct kv_iter *iter, uint64_t ino, uint64_t floor,
                                struct extent *ret_extent);

/* A range of a file as it is at one moment, to be read at leisure. */
struct extent_view {
    struct kvfs *fs;
    uint64_t ino;
    uint64_t lost_below;     /* of the inode */
    struct kv_iter *iter;    /* NULL: see below */
    struct kv_pinned whole;  /* a file of one extent, or with no bytes one that is a hole */
    struct kv_buf kept;      /* the bytes of `whole` if they are in no row any more (unlinked.h) */
    struct rowkey bounds[2]; /* of the iterator */
};

/* Fix what the range from `offset` on holds; the inode's stripe is held, or `node` and `snapshot`
 * belong together. */
KV_MUST_CHECK int extent_view_open(struct extent_view *view, struct kvfs *fs,
                                   const struct kv_snapshot *snapshot, const struct node *node,
                                   uint64_t offset);
/* Copy [offset, offset + size), which lies below the size of the file, to `to`; holes are zeros.
 * -EIO: bytes of it are lost. */
KV_MUST_CHECK int extent_view_read(struct extent_view *view, uint64_t offset, uint8_t *to,
                                   size_t size);
/* Accepts an all-zero one. */
void extent_view_close(struct extent_view *view);

/* First byte of data, or of a hole, at or behind `offset`, which is below the size. The end of the
 * file counts as a hole, what may be lost as data; -ENXIO no data. */
KV_MUST_CHECK int extent_seek(struct kvfs *fs, const struct node *node, uint64_t offset, bool data,
                              uint64_t *ret_offset);
/* What the bytes from `offset` on are, which is below the size, and the end of all that are the
 * same. */
KV_MUST_CHECK int extent_part(struct kvfs *fs, const struct node *node, uint64_t offset,
                              enum kvfs_part *ret_part, uint64_t *ret_end);
/* Bytes that the stored extents have, and how many of them those that are lost. */
KV_MUST_CHECK int extent_count(struct kvfs *fs, uint64_t ino, uint64_t *ret_bytes,
                               uint64_t *ret_lost);

#endif
