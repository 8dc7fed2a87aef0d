/* SPDX-License-Identifier: Apache-2.0 */
/* What is known to be lost of files: a walk over the keys of all extents, whose values are not
 * read. Neighbours in one file are one range. */
#include "fs/core/extent.h"
#include "fs/core/find_paths.h"
#include "fs/core/fs_internal.h"

struct lost_list {
    struct kvfs *fs;
    kvfs_lost_fn *fn;
    void *arg;
    struct find_paths paths;
    struct kvfs_lost_range range; /* not told yet; from == to: none */
    struct kv_buf path;
    uint64_t ino, at; /* the file, and the end of its last extent */
};

static int keep_path(void *arg, struct kv_slice path)
{
    struct lost_list *l = arg;
    int r = kv_buf_assign(&l->path, path);
    return r < 0 ? r : 1; /* one is enough */
}

/* A file whose names cannot be told is told without. */
static int tell_range(struct lost_list *l)
{
    if (l->range.from == l->range.to) {
        return 0;
    }
    l->path.size = 0;
    int r = find_paths_each(&l->paths, l->range.ino, keep_path, l);
    if (r == 0 || r == 1 || r == -EIO) {
        l->range.path = kv_buf_slice(&l->path);
        r = l->fn(l->arg, &l->range);
    }
    l->range.from = l->range.to;
    return r;
}

static int take_lost(struct lost_list *l, const struct extent *extent)
{
    struct kvfs_lost_range *range = &l->range;
    if (range->from != range->to && range->ino == l->ino && range->to == extent->start) {
        range->to = extent->end;
        return 0;
    }
    int r = tell_range(l);
    *range = (struct kvfs_lost_range){.ino = l->ino, .from = extent->start, .to = extent->end};
    return r;
}

/* A key that makes no sense is passed over; a check tells of it. */
static int take_row(struct lost_list *l, struct kv_iter *iter)
{
    struct extent extent;
    uint64_t ino, end;
    if (!rowkey_decode_extent(kv_iter_key(iter), &ino, &end)) {
        return 0;
    }
    l->at = ino == l->ino ? l->at : 0;
    l->ino = ino;
    int r = extent_decode(l->fs, iter, ino, l->at, &extent);
    l->at = end;
    return r == 0 && extent.lost ? take_lost(l, &extent) : r;
}

static int list(struct lost_list *l, const struct kv_snapshot *snapshot)
{
    const struct rowkey lower = {.size = 1, .bytes = {ROW_EXTENT}};
    const struct rowkey upper = {.size = 1, .bytes = {ROW_EXTENT + 1}};
    struct kv_iter *iter = NULL;
    int r = fs_iter(l->fs->data, snapshot, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        r = take_row(l, iter);
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r != 0 ? r : tell_range(l);
}

int kvfs_lost_ranges(struct kvfs *fs, kvfs_lost_fn *fn, void *arg)
{
    struct lost_list l = {.fs = fs, .fn = fn, .arg = arg};
    struct kv_snapshot *snapshot = NULL;
    int r = fs_result(kv_snapshot_create(fs->store, &snapshot));
    if (r < 0) {
        return r;
    }
    r = find_paths_init(&l.paths, fs, snapshot);
    if (r == 0) {
        r = list(&l, snapshot);
        find_paths_finish(&l.paths);
    }
    kv_buf_finish(&l.path);
    kv_snapshot_release(snapshot);
    return r;
}
