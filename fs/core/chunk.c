/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/chunk.h"

#include <assert.h>
#include <stdlib.h>

#include "fs/core/fs_internal.h"

enum { CHUNK_BYTES = FORMAT_CHUNK_BYTES };

/* Bytes [start, end) of a chunk. */
struct span {
    uint32_t start, end;
};

/* An extent on disk. */
struct piece {
    uint32_t start, end;
    bool lost;
};

struct chunk {
    struct txn *txn;
    struct txn_node *node;
    struct kv_iter *iter;
    bool moved; /* the iterator left the first row behind the chunk */
    uint64_t base;
    size_t count, capacity;
    struct piece *pieces;       /* ascending, disjoint */
    uint8_t bytes[CHUNK_BYTES]; /* of what is joined */
};

int chunk_of(struct txn *txn, struct chunk **ret_chunk)
{
    if (txn->chunk == NULL) {
        txn->chunk = calloc(1, sizeof *txn->chunk);
        if (txn->chunk == NULL) {
            return -ENOMEM;
        }
        txn->chunk->txn = txn;
    }
    txn->chunk->moved = true; /* another iterator may be where the last one was */
    *ret_chunk = txn->chunk;
    return 0;
}

void chunk_destroy(struct chunk *chunk)
{
    if (chunk != NULL) {
        free(chunk->pieces);
        free(chunk);
    }
}

/* ---- loading ----------------------------------------------------------------------------------
 */

static int add_piece(struct chunk *chunk, const struct extent *extent)
{
    if (chunk->count == chunk->capacity) {
        size_t capacity = chunk->capacity == 0 ? 32 : 2 * chunk->capacity;
        struct piece *pieces = realloc(chunk->pieces, capacity * sizeof *pieces);
        if (pieces == NULL) {
            return -ENOMEM;
        }
        chunk->pieces = pieces;
        chunk->capacity = capacity;
    }
    chunk->pieces[chunk->count++] = (struct piece){
        .start = (uint32_t)(extent->start - chunk->base),
        .end = (uint32_t)(extent->end - chunk->base),
        .lost = extent->lost,
    };
    return extent->lost ? txn_recount(chunk->txn, chunk->node) : 0;
}

static int load_rows(struct chunk *chunk)
{
    struct extent extent = {.end = chunk->base};
    for (; kv_iter_valid(chunk->iter); kv_iter_next(chunk->iter)) {
        int r =
            extent_decode(chunk->txn->fs, chunk->iter, chunk->node->node.ino, extent.end, &extent);
        if (r < 0) {
            return r;
        }
        if (extent.start >= chunk->base + CHUNK_BYTES) {
            return 0;
        }
        r = add_piece(chunk, &extent);
        if (r < 0) {
            return r;
        }
    }
    return fs_iter_result(chunk->iter);
}

int chunk_load(struct chunk *chunk, struct txn_node *node, struct kv_iter *iter, uint64_t base)
{
    struct rowkey key;
    bool follows = iter == chunk->iter && node == chunk->node && !chunk->moved &&
                   base == chunk->base + CHUNK_BYTES;
    chunk->node = node;
    chunk->iter = iter;
    chunk->base = base;
    chunk->count = 0;
    chunk->moved = true;
    if (iter == NULL) {
        return 0;
    }
    if (!follows) {
        rowkey_extent(&key, node->node.ino, base + 1);
        kv_iter_seek(iter, rowkey_slice(&key));
    }
    int r = load_rows(chunk);
    chunk->moved = r < 0;
    return r;
}

/* Stand on the row of a piece. */
static int go_to(struct chunk *chunk, const struct piece *piece)
{
    struct rowkey key;
    rowkey_extent(&key, chunk->node->node.ino, chunk->base + piece->end);
    chunk->moved = true;
    kv_iter_seek(chunk->iter, rowkey_slice(&key));
    int r = fs_iter_result(chunk->iter);
    if (r == 0 && (!kv_iter_valid(chunk->iter) ||
                   !kv_slice_equal(kv_iter_key(chunk->iter), rowkey_slice(&key)))) {
        r = fs_row_damaged(chunk->txn->fs, rowkey_slice(&key), "it is there and not there");
    }
    return r;
}

/* ---- joining ----------------------------------------------------------------------------------
 */

/* Copy the part [from, to) of a piece to where it belongs in the chunk's bytes. Returns 1, or 0 if
 * it cannot be read. */
static int read_piece(struct chunk *chunk, const struct piece *piece, uint32_t from, uint32_t to)
{
    struct kv_slice value;
    if (piece->lost) {
        return 0;
    }
    int r = go_to(chunk, piece);
    if (r == 0) {
        r = kv_iter_value(chunk->iter, &value);
        if (r == -KV_EDAMAGED || r == -EIO) {
            return 0; /* it was reported; nobody asked for these bytes */
        }
    }
    if (r < 0) {
        return r;
    }
    memcpy(chunk->bytes + from, value.data + (from - piece->start), to - from);
    return 1;
}

/* Number of pieces that begin before `at`. */
static size_t count_before(const struct chunk *chunk, uint32_t at)
{
    size_t i = 0;
    while (i < chunk->count && chunk->pieces[i].start < at) {
        i++;
    }
    return i;
}

/* Index of the first piece that ends behind `at`. */
static size_t first_behind(const struct chunk *chunk, uint32_t at)
{
    size_t i = 0;
    while (i < chunk->count && chunk->pieces[i].end <= at) {
        i++;
    }
    return i;
}

/* Each makes the span reach over the next piece on that side, with zeros for a hole between.
 * Returns 1, or 0 if the piece cannot be read. */
static int take_left(struct chunk *chunk, struct span *span, const struct piece *piece)
{
    uint32_t end = piece->end < span->start ? piece->end : span->start;
    int r = read_piece(chunk, piece, piece->start, end);
    if (r == 1) {
        memset(chunk->bytes + end, 0, span->start - end);
        span->start = piece->start;
    }
    return r;
}

static int take_right(struct chunk *chunk, struct span *span, const struct piece *piece)
{
    uint32_t start = piece->start > span->end ? piece->start : span->end;
    int r = read_piece(chunk, piece, start, piece->end);
    if (r == 1) {
        memset(chunk->bytes + span->end, 0, start - span->end);
        span->end = piece->end;
    }
    return r;
}

enum joining {
    JOIN_SMALL = 1, /* what is short beside the new bytes */
    JOIN_FULL,      /* an append filled the chunk */
    JOIN_ALL,
};

static bool is_wanted(enum joining joining, uint32_t old, uint32_t fresh)
{
    switch (joining) {
    case JOIN_SMALL:
        return old + fresh <= CHUNK_JOIN_TINY ||
               (old + fresh <= CHUNK_JOIN_SMALL && old <= 2 * fresh);
    case JOIN_FULL:
        return old < CHUNK_JOIN_FULL;
    case JOIN_ALL:
    default:
        return true;
    }
}

/* Whether what no piece has from `at` on may be lost: zeros in its place would hide that. */
static bool is_lost_hole(const struct chunk *chunk, uint32_t at)
{
    return chunk->base + at < chunk->node->node.inode.lost_below;
}

static int join_left(struct chunk *chunk, enum joining joining, struct span *span)
{
    int r = 1;
    while (r == 1) {
        size_t before = count_before(chunk, span->start);
        const struct piece *piece = before > 0 ? &chunk->pieces[before - 1] : NULL;
        bool hole = piece != NULL && piece->end < span->start;
        if (piece == NULL || (hole && (joining != JOIN_ALL || is_lost_hole(chunk, piece->end))) ||
            !is_wanted(joining, span->start - piece->start, span->end - span->start)) {
            return 0;
        }
        r = take_left(chunk, span, piece);
    }
    return r;
}

static int join_right(struct chunk *chunk, enum joining joining, struct span *span)
{
    int r = 1;
    while (r == 1) {
        size_t i = first_behind(chunk, span->end);
        const struct piece *piece = i < chunk->count ? &chunk->pieces[i] : NULL;
        bool hole = piece != NULL && piece->start > span->end;
        if (piece == NULL || (hole && (joining != JOIN_ALL || is_lost_hole(chunk, span->end))) ||
            !is_wanted(joining, piece->end - span->end, span->end - span->start)) {
            return 0;
        }
        r = take_right(chunk, span, piece);
    }
    return r;
}

static int join(struct chunk *chunk, enum joining joining, struct span *span)
{
    int r = join_left(chunk, joining, span);
    return r < 0 ? r : join_right(chunk, joining, span);
}

/* Extents that the chunk has once `span` is one. */
static size_t count_with(const struct chunk *chunk, const struct span *span)
{
    return count_before(chunk, span->start) + 1 + chunk->count - first_behind(chunk, span->end);
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static void put_lost(struct chunk *chunk, uint32_t end)
{
    struct rowkey key;
    rowkey_extent(&key, chunk->node->node.ino, chunk->base + end);
    txn_put_lost(chunk->txn, chunk->txn->fs->data, &key);
}

static void delete_row(struct chunk *chunk, uint32_t end)
{
    struct rowkey key;
    rowkey_extent(&key, chunk->node->node.ino, chunk->base + end);
    txn_delete(chunk->txn, chunk->txn->fs->data, &key);
}

/* What stays of a piece: its bytes [from, to). */
static int put_rest(struct chunk *chunk, const struct piece *piece, uint32_t from, uint32_t to)
{
    struct rowkey key;
    if (piece->lost) {
        put_lost(chunk, to);
        return 0;
    }
    int r = go_to(chunk, piece);
    if (r < 0) {
        return r;
    }
    rowkey_extent(&key, chunk->node->node.ino, chunk->base + to);
    r = txn_put_part(chunk->txn, chunk->txn->fs->data, &key, chunk->iter, from - piece->start,
                     to - from);
    if (r == -KV_EDAMAGED) {
        put_lost(chunk, to);
        chunk->node->node.inode.lost_bytes += to - from;
        r = 0;
    }
    return r;
}

/* Make room for [start, end): delete and cut what overlaps it. The row that ends at `keep` is going
 * to be overwritten (0: none). */
static int cut_pieces(struct chunk *chunk, const struct span *span, uint32_t keep)
{
    uint64_t old = 0, lost = 0;
    int r = 0;
    for (size_t i = first_behind(chunk, span->start); i < chunk->count && r == 0; i++) {
        const struct piece *piece = &chunk->pieces[i];
        if (piece->start >= span->end) {
            break;
        }
        uint32_t from = piece->start > span->start ? piece->start : span->start;
        uint32_t to = piece->end < span->end ? piece->end : span->end;
        old += to - from;
        lost += piece->lost ? to - from : 0;
        if (piece->end > span->end) {
            r = put_rest(chunk, piece, span->end, piece->end);
        } else if (piece->end != keep) {
            delete_row(chunk, piece->end);
        }
        if (piece->start < span->start && r == 0) {
            r = put_rest(chunk, piece, piece->start, span->start);
        }
    }
    chunk->node->node.inode.allocated -= old;
    chunk->node->node.inode.lost_bytes -= lost;
    return r != 0 ? r : chunk->txn->error;
}

static int put_span(struct chunk *chunk, const struct span *span, const uint8_t *bytes)
{
    struct rowkey key;
    int r = cut_pieces(chunk, span, span->end);
    if (r == 0) {
        rowkey_extent(&key, chunk->node->node.ino, chunk->base + span->end);
        txn_put(chunk->txn, chunk->txn->fs->data, &key, kv_slice(bytes, span->end - span->start));
        chunk->node->node.inode.allocated += span->end - span->start;
    }
    return r != 0 ? r : chunk->txn->error;
}

int chunk_write(struct chunk *chunk, uint32_t start, struct kv_slice data, bool appends)
{
    struct span fresh = {.start = start, .end = start + (uint32_t)data.size};
    struct span span = fresh;
    assert(data.size > 0 && fresh.end <= CHUNK_BYTES);
    int r = join(chunk, JOIN_SMALL, &span);
    if (r == 0 && appends && span.end == CHUNK_BYTES) {
        r = join(chunk, JOIN_FULL, &span);
    }
    if (r == 0 && count_with(chunk, &span) > CHUNK_PIECES_MAX) {
        r = join(chunk, JOIN_ALL, &span);
    }
    if (r < 0) {
        return fs_result(r);
    }
    if (span.start == fresh.start && span.end == fresh.end) {
        return put_span(chunk, &span, data.data);
    }
    memcpy(chunk->bytes + fresh.start, data.data, data.size);
    return put_span(chunk, &span, chunk->bytes + span.start);
}

int chunk_clear(struct chunk *chunk, uint32_t start, uint32_t end)
{
    static const uint8_t zeros[CHUNK_BYTES];
    struct span span = {.start = start, .end = end};
    size_t next = first_behind(chunk, end);
    if (next < chunk->count && chunk->pieces[next].lost && chunk->pieces[next].start <= end) {
        /* A lost extent would reach over a hole before it. */
        return put_span(chunk, &span, zeros);
    }
    return cut_pieces(chunk, &span, 0);
}
