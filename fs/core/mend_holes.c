/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/mend_holes.h"

#include "fs/core/mend.h"
#include "kvcore/util/coding.h"

static uint64_t chunk_start(uint64_t end)
{
    return (end - 1) / FORMAT_CHUNK_BYTES * FORMAT_CHUNK_BYTES;
}

/* Where an extent ends at the earliest whose key is not below this one, which lies between two keys
 * of extents of one file. */
static uint64_t end_from(struct kv_slice key)
{
    const size_t before = 1 + 8; /* kind and inode, which the two have, too */
    uint8_t end[8] = {0};
    size_t size = key.size - before;
    memcpy(end, key.data + before, size < sizeof end ? size : sizeof end);
    return coding_get_be64(end);
}

/* Where in [from, to) the first extent may have been whose key is in the range; `to`: nowhere. */
static uint64_t first_in_range(const struct kvfs_key_range *range, uint64_t ino, uint64_t from,
                               uint64_t to)
{
    struct kv_slice begin = kv_buf_slice(&range->from);
    struct rowkey first, last;
    uint64_t start;
    rowkey_extent(&first, ino, from + 1);
    rowkey_extent(&last, ino, to);
    if (kv_slice_compare(begin, rowkey_slice(&last)) > 0 ||
        (range->to.size > 0 &&
         kv_slice_compare(rowkey_slice(&first), kv_buf_slice(&range->to)) > 0)) {
        return to;
    }
    if (kv_slice_compare(begin, rowkey_slice(&first)) <= 0) {
        return from;
    }
    start = chunk_start(end_from(begin));
    return start > from ? start : from;
}

/* The same for all rows that were lost. Without knowing any, one that a file lacks may have been
 * anywhere. */
static uint64_t first_lost(const struct check *c, const struct subject *s, uint64_t from,
                           uint64_t to)
{
    const struct kvfs_lost_keys *lost = c->mend->lost;
    bool lacks = s->known && s->extent_bytes < s->inode.allocated;
    uint64_t at = to;
    bool unknown = lost == NULL || lost->count == 0;
    bool forgotten = !s->known && c->mend->may_have_lost_below; /* what it said of its holes */
    if ((lost != NULL && lost->anywhere) || (unknown && lacks) || forgotten) {
        return from;
    }
    for (size_t i = 0; !unknown && i < lost->count && from < to; i++) {
        uint64_t start = first_in_range(&lost->ranges[i], s->ino, from, to);
        at = start < at ? start : at;
    }
    return at;
}

/* Lost extents of one file. */
struct losing {
    struct check *c;
    const struct subject *s;
    size_t count;
    uint64_t bytes; /* of all of them */
    bool too_many;
    uint64_t ends[MEND_LOST_EXTENTS_MAX];
};

/* Of the hole [from, to). Below what the inode knows to be lost there are none. */
static void lose_hole(struct losing *l, uint64_t from, uint64_t to)
{
    uint64_t lost = l->s->inode.lost_below;
    if (to <= lost) {
        return;
    }
    lost -= lost % FORMAT_CHUNK_BYTES; /* a lost extent begins with its chunk */
    from = first_lost(l->c, l->s, from > lost ? from : lost, to);
    while (from < to && !l->too_many) {
        uint64_t end = chunk_start(from + 1) + FORMAT_CHUNK_BYTES;
        end = end < to ? end : to;
        if (l->count == MEND_LOST_EXTENTS_MAX) {
            l->too_many = true;
        } else {
            l->ends[l->count++] = end;
            l->bytes += end - from;
            from = first_lost(l->c, l->s, end, to);
        }
    }
}

/* A lost extent does not say where it began: at its chunk, or behind what lies before it there. */
static uint64_t extent_start(const struct kv_iter *iter, uint64_t end)
{
    uint64_t size = kv_iter_value_size(iter);
    return size > 0 && size <= end ? end - size : chunk_start(end);
}

/* Between extents, and behind the last one up to the end of the file. */
static void lose_between(struct losing *l, struct kv_iter *iter, uint64_t size)
{
    uint64_t at = 0, ino, end;
    for (kv_iter_seek_first(iter); kv_iter_valid(iter) && !l->too_many; kv_iter_next(iter)) {
        if (rowkey_decode_extent(kv_iter_key(iter), &ino, &end)) {
            uint64_t start = extent_start(iter, end);
            if (start > at) {
                lose_hole(l, at, start);
            }
            at = end;
        }
    }
    if (size > at) {
        lose_hole(l, at, size);
    }
}

static int find_lost(struct losing *l, uint64_t size)
{
    struct check *c = l->c;
    struct rowkey bounds[2];
    struct kv_iter *iter = NULL;
    rowkey_extent(&bounds[0], l->s->ino, 1);
    rowkey_kind_end(&bounds[1], ROW_EXTENT, l->s->ino);
    int r = fs_iter(c->fs->data, c->snapshot, &bounds[0], &bounds[1], &iter);
    if (r == 0) {
        lose_between(l, iter, size);
        r = fs_iter_result(iter);
        kv_iter_destroy(iter);
    }
    return r;
}

bool mend_holes_lose(struct check *c, const struct subject *s, struct inode *want)
{
    struct losing l = {.c = c, .s = s};
    uint64_t room = want->size - want->allocated;
    int r = find_lost(&l, want->size);
    if (r < 0) {
        c->mend->error = c->mend->error < 0 ? c->mend->error : r;
        return false;
    }
    if (l.too_many) {
        mend_note_lost_below(c);
        want->lost_below = want->size;
        return true;
    }
    if (!mend_has_room(c->mend, l.count)) {
        return false;
    }
    for (size_t i = 0; i < l.count; i++) {
        struct rowkey key;
        rowkey_extent(&key, s->ino, l.ends[i]);
        mend_lost_extent(c, rowkey_slice(&key));
    }
    want->allocated += l.bytes < room ? l.bytes : room;
    return true;
}
