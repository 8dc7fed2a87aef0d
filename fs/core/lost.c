/* SPDX-License-Identifier: Apache-2.0 */
/* What is known to be lost of files: a walk over the keys of all extents, whose values are not
 * read, beside the files that say that their holes are lost; these are found in front of it, in
 * entries and rows of inodes, which come in another order. Neighbours in one file are one range. */
#include <stdlib.h>

#include "fs/core/extent.h"
#include "fs/core/find_paths.h"
#include "fs/core/fs_internal.h"

/* A file that says up to where its holes are lost. */
struct lost_file {
    uint64_t ino, below;
};

struct lost_list {
    struct kvfs *fs;
    const struct kv_snapshot *snapshot;
    kvfs_lost_fn *fn;
    void *arg;
    struct find_paths paths;
    struct kvfs_lost_range range; /* not told yet; from == to: none */
    struct kv_buf path;
    uint64_t ino, at;        /* the file, and the end of its last extent */
    uint64_t below;          /* where its holes are lost */
    struct lost_file *files; /* ascending */
    size_t file_count, file_capacity, next_file;
};

/* ---- files whose holes are lost ---------------------------------------------------------------
 */

static int keep_file(struct lost_list *l, uint64_t ino, const struct inode *inode)
{
    if (inode->lost_below == 0) {
        return 0;
    }
    if (l->file_count == l->file_capacity) {
        size_t capacity = l->file_capacity * 2 + 64;
        struct lost_file *grown = realloc(l->files, capacity * sizeof *grown);
        if (grown == NULL) {
            return -ENOMEM;
        }
        l->files = grown;
        l->file_capacity = capacity;
    }
    l->files[l->file_count++] = (struct lost_file){ino, inode->lost_below};
    return 0;
}

static int take_inode(struct lost_list *l, struct kv_iter *iter)
{
    struct dir_entry entry = {0};
    struct kv_slice value;
    if (kv_iter_is_lost(iter)) {
        return 0;
    }
    int r = fs_result(kv_iter_value(iter, &value));
    if (r < 0) {
        return r == -EIO ? 0 : r;
    }
    bool is_one = rowkey_decode_ino(kv_iter_key(iter), ROW_INODE, &entry.ino)
                      ? inode_decode(value, &entry.inode) == 0
                      : dirent_decode(value, &entry) == 0 && entry.has_inode;
    return is_one ? keep_file(l, entry.ino, &entry.inode) : 0;
}

static int find_files(struct lost_list *l, enum row_kind kind)
{
    const struct rowkey lower = {.size = 1, .bytes = {(uint8_t)kind}};
    const struct rowkey upper = {.size = 1, .bytes = {(uint8_t)(kind + 1)}};
    struct kv_iter *iter = NULL;
    int r = fs_iter(l->fs->meta, l->snapshot, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        r = take_inode(l, iter);
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r;
}

static int by_ino(const void *a, const void *b)
{
    uint64_t x = ((const struct lost_file *)a)->ino;
    uint64_t y = ((const struct lost_file *)b)->ino;
    return (x > y) - (x < y);
}

/* An inode that several rows hold is told once. */
static void sort_files(struct lost_list *l)
{
    size_t last = 0;
    if (l->file_count == 0) {
        return;
    }
    qsort(l->files, l->file_count, sizeof *l->files, by_ino);
    for (size_t i = 1; i < l->file_count; i++) {
        struct lost_file *at = &l->files[last];
        const struct lost_file *next = &l->files[i];
        if (next->ino != at->ino) {
            l->files[++last] = *next;
        } else if (next->below > at->below) {
            at->below = next->below;
        }
    }
    l->file_count = last + 1;
}

static int find_all_files(struct lost_list *l)
{
    int r = find_files(l, ROW_DIRENT);
    r = r < 0 ? r : find_files(l, ROW_INODE);
    sort_files(l);
    return r;
}

/* ---- ranges -----------------------------------------------------------------------------------
 */

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

static int take_lost(struct lost_list *l, uint64_t from, uint64_t to)
{
    struct kvfs_lost_range *range = &l->range;
    if (range->from != range->to && range->ino == l->ino && range->to == from) {
        range->to = to;
        return 0;
    }
    int r = tell_range(l);
    *range = (struct kvfs_lost_range){.ino = l->ino, .from = from, .to = to};
    return r;
}

/* What no extent has between the last one and `to`. */
static int take_hole(struct lost_list *l, uint64_t to)
{
    to = to < l->below ? to : l->below;
    return l->at < to ? take_lost(l, l->at, to) : 0;
}

/* The rows of the file so far are passed, and those that come are of a later one. Files between
 * the two have no extents. `ino` UINT64_MAX: none comes. */
static int go_to_file(struct lost_list *l, uint64_t ino)
{
    int r = take_hole(l, UINT64_MAX);
    while (r == 0 && l->next_file < l->file_count && l->files[l->next_file].ino < ino) {
        l->ino = l->files[l->next_file].ino;
        l->below = l->files[l->next_file].below;
        l->at = 0;
        l->next_file++;
        r = take_hole(l, UINT64_MAX);
    }
    bool has_lost = l->next_file < l->file_count && l->files[l->next_file].ino == ino;
    l->below = has_lost ? l->files[l->next_file].below : 0;
    l->next_file += has_lost;
    l->ino = ino;
    l->at = 0;
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
    int r = ino != l->ino ? go_to_file(l, ino) : 0;
    if (r == 0) {
        r = extent_decode(l->fs, iter, ino, l->at, &extent);
    }
    if (r == 0) {
        r = take_hole(l, extent.start);
    }
    l->at = end;
    return r == 0 && extent.lost ? take_lost(l, extent.start, extent.end) : r;
}

static int list(struct lost_list *l)
{
    const struct rowkey lower = {.size = 1, .bytes = {ROW_EXTENT}};
    const struct rowkey upper = {.size = 1, .bytes = {ROW_EXTENT + 1}};
    struct kv_iter *iter = NULL;
    int r = find_all_files(l);
    r = r < 0 ? r : fs_iter(l->fs->data, l->snapshot, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        r = take_row(l, iter);
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    r = r != 0 ? r : go_to_file(l, UINT64_MAX);
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
    l.snapshot = snapshot;
    r = find_paths_init(&l.paths, fs, snapshot);
    if (r == 0) {
        r = list(&l);
        find_paths_finish(&l.paths);
    }
    kv_buf_finish(&l.path);
    free(l.files);
    kv_snapshot_release(snapshot);
    return r;
}
