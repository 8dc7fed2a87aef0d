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

/* Lost extents of one file. */
struct losing {
    struct check *c;
    const struct subject *s;
    bool all; /* holes; else those where the keys are that were lost */
    size_t count;
    uint64_t bytes; /* of all of them */
    uint64_t below; /* of holes with lost keys that the inode knows to be lost */
    bool too_many;
    uint64_t ends[MEND_LOST_EXTENTS_MAX];
};

/* Where in [from, to), a part of a hole, the first extent may have been that is lost; `to`:
 * nowhere. */
static uint64_t first_lost(const struct losing *l, uint64_t from, uint64_t to)
{
    struct rowkey first, last;
    if (l->all || from >= to) {
        return from;
    }
    rowkey_extent(&first, l->s->ino, from + 1);
    rowkey_extent(&last, l->s->ino, to);
    const struct lost_range *range =
        lost_keys_find(&l->c->mend->data, rowkey_slice(&first), rowkey_slice(&last));
    if (range == NULL) {
        return to;
    }
    if (kv_slice_compare(range->from, rowkey_slice(&first)) <= 0) {
        return from;
    }
    uint64_t start = chunk_start(end_from(range->from));
    return start > from ? start : from;
}

/* Of the hole [from, to). Below what the inode knows to be lost there are none. */
static void lose_hole(struct losing *l, uint64_t from, uint64_t to)
{
    uint64_t lost = l->s->inode.lost_below;
    uint64_t stop = to < lost ? to : lost;
    if (from < stop && first_lost(l, from, stop) < stop) {
        l->below += stop - from;
    }
    if (to <= lost) {
        return;
    }
    lost -= lost % FORMAT_CHUNK_BYTES; /* a lost extent begins with its chunk */
    from = first_lost(l, from > lost ? from : lost, to);
    while (from < to && !l->too_many) {
        uint64_t end = chunk_start(from + 1) + FORMAT_CHUNK_BYTES;
        end = end < to ? end : to;
        if (l->count == MEND_LOST_EXTENTS_MAX) {
            l->too_many = true;
        } else {
            l->ends[l->count++] = end;
            l->bytes += end - from;
            from = first_lost(l, end, to);
        }
    }
}

/* `at` is the end of the extent before it. One that is lost, or will be since it makes no sense,
 * does not say where it began: at its chunk, or behind what lies before it there. */
static uint64_t extent_start(const struct kv_iter *iter, uint64_t at, uint64_t end)
{
    uint64_t size = kv_iter_value_size(iter);
    uint64_t first = chunk_start(end) > at ? chunk_start(end) : at;
    return size > 0 && size <= end - first ? end - size : first;
}

/* Between extents, and behind the last one up to the end of the file. */
static void lose_between(struct losing *l, struct kv_iter *iter, uint64_t size)
{
    uint64_t at = 0, ino, end;
    for (kv_iter_seek_first(iter); kv_iter_valid(iter) && !l->too_many; kv_iter_next(iter)) {
        if (rowkey_decode_extent(kv_iter_key(iter), &ino, &end)) {
            uint64_t start = extent_start(iter, at, end);
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

/* What of its extents is not lost, and what its inode says of that. Of these the lengths are known:
 * a lost extent counts longer than it was, or shorter than what it stands for, by any number. */
static uint64_t kept(const struct subject *s)
{
    return s->extent_bytes - s->lost_bytes;
}

static uint64_t said_kept(const struct subject *s)
{
    return s->inode.allocated - s->inode.lost_bytes;
}

/* All extents are there that the inode counts, and those that are lost were so when it was written.
 * Where nobody knows what was lost, it is enough that the bytes add up. */
static bool lacks_nothing(const struct check *c, const struct subject *s)
{
    return s->known && s->extent_bytes == s->inode.allocated &&
           (s->lost_bytes == s->inode.lost_bytes || !c->mend->knows_lost);
}

/* What the inode says may be older than its extents, or is lost. */
static bool is_doubtful(const struct check *c, const struct subject *s)
{
    return !s->known || kept(s) > said_kept(s) ||
           lost_keys_may_have(&c->mend->meta, rowkey_slice(&s->home));
}

/* Nothing tells where in its holes an extent may have been that is lost. */
static bool may_lack_anywhere(const struct check *c, const struct subject *s)
{
    bool differs = s->known && s->extent_bytes != s->inode.allocated;
    return c->mend->data.anywhere || (differs && !c->mend->knows_lost) ||
           (c->mend->may_have_lost_below && is_doubtful(c, s));
}

/* What the inode counts and no extent has, nor a hole in which keys were lost. */
static bool lacks_more(const struct losing *l)
{
    const struct subject *s = l->s;
    uint64_t counted = s->known ? s->inode.allocated : 0;
    uint64_t lacking = counted > s->extent_bytes ? counted - s->extent_bytes : 0;
    return l->bytes + l->below < lacking && !l->too_many;
}

bool mend_holes_lose(struct check *c, const struct subject *s, struct inode *want)
{
    struct losing l = {.c = c, .s = s, .all = may_lack_anywhere(c, s)};
    uint64_t room = want->size - want->allocated;
    if (lacks_nothing(c, s)) {
        return true;
    }
    int r = find_lost(&l, want->size);
    if (r == 0 && !l.all && lacks_more(&l)) {
        l = (struct losing){.c = c, .s = s, .all = true};
        r = find_lost(&l, want->size);
    }
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
    l.bytes = l.bytes < room ? l.bytes : room;
    want->allocated += l.bytes;
    want->lost_bytes += l.bytes;
    return true;
}
