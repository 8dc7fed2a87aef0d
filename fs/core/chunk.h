/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of one chunk of a file: which rows go, which are cut, which come.
 *
 * What stays of an extent that is cut is put as a part of its value, so that the engine shares the
 * stored bytes: a small write to a large file reads and rewrites nothing. Two things keep the
 * number of extents low:
 *
 *   new bytes take small neighbours along   short appends form extents whose sizes fall from left
 *                                           to right, each byte copied a few times, not with every
 *                                           append; an append that fills the chunk makes one of all
 *   more than CHUNK_PIECES_MAX extents      become one; holes between them become zeros
 *
 * Bytes that cannot be read any more are left where they are, and cut as lost extents. A hole below
 * `lost_below` of the inode is never filled by joining. So what is written in pieces between lost
 * bytes stays as many extents: one for each second byte at most, half as many as a chunk has bytes,
 * and each write to such a chunk looks at all of them (some 0.2 ms with 8,192). Emptying or
 * overwriting the chunk joins them. */
#ifndef FS_CORE_CHUNK_H
#define FS_CORE_CHUNK_H

#include "fs/core/extent.h"

enum {
    CHUNK_PIECES_MAX = 32,   /* a chunk of a log whose records cross pages has 24 */
    CHUNK_JOIN_TINY = 512,   /* neighbours are joined up to this, whatever their sizes */
    CHUNK_JOIN_SMALL = 4096, /* and up to this if the old is at most twice as long as the new */
    CHUNK_JOIN_FULL = 16384, /* an append that fills the chunk joins what is shorter */
};

struct chunk;

/* The operation's chunk, made at its first use. */
KV_MUST_CHECK int chunk_of(struct txn *txn, struct chunk **ret_chunk);
void chunk_destroy(struct chunk *chunk); /* accepts NULL */

/* Learn the rows of the chunk that starts at `base`. `iter` walks over extents of the file from
 * `base` or further to the front on, and must stay until the changes are made; NULL: the chunk has
 * no rows. */
KV_MUST_CHECK int chunk_load(struct chunk *chunk, struct txn_node *node, struct kv_iter *iter,
                             uint64_t base);
/* Each collects the rows of one change and keeps `allocated`; after it the chunk must be loaded
 * anew. Positions are relative to the chunk. */
/* Bytes from `start` on become `data`. `appends`: there is nothing behind them. */
KV_MUST_CHECK int chunk_write(struct chunk *chunk, uint32_t start, struct kv_slice data,
                              bool appends);
/* [start, end) becomes a hole. */
KV_MUST_CHECK int chunk_clear(struct chunk *chunk, uint32_t start, uint32_t end);

#endif
