/* SPDX-License-Identifier: Apache-2.0 */
/* Finding files by the indexed attribute: entries in the order of the values, from there to paths.
 *
 * Entries of one value, a group, stand in the order of inode numbers. Those of a group are turned
 * into paths and sorted as far as memory goes (find_hits.h), with passes over the group until all
 * were given. Values too long for an entry share the group of their beginning; which of them a file
 * has says the row. Everything is read at one snapshot, and no lock is held. */
#include <kv/index_entry.h>

#include "fs/core/find_hits.h"
#include "fs/core/find_paths.h"
#include "fs/core/fs_internal.h"

struct find {
    struct kvfs *fs;
    const struct kvfs_find_options *options;
    kvfs_find_fn *fn;
    void *arg;
    struct kv_snapshot *snapshot;
    struct kv_buf lower, upper; /* of the entries asked for */
    struct kv_iter *entries;
    struct find_paths paths;
    struct find_hits hits;
    struct kv_buf group; /* the value of the entries of the group */
    struct kv_buf value; /* of the file that is looked at */
    uint64_t given;
    bool failed; /* some file could not be told */
    bool stopped;
};

/* ---- one group --------------------------------------------------------------------------------
 */

static bool is_long(const struct find *f)
{
    return f->group.size >= ATTR_INDEX_VALUE_SIZE_MAX;
}

static bool is_asked_for(const struct find *f)
{
    struct kv_slice value = kv_buf_slice(&f->value);
    return f->options->by_prefix ? kv_slice_starts_with(value, f->options->value)
                                 : kv_slice_equal(value, f->options->value);
}

/* The whole value of a file whose entry has the beginning. */
static int read_value(struct find *f, uint64_t ino)
{
    struct kv_pinned pinned;
    struct rowkey key;
    rowkey_xattr(&key, ino, attr_index_name(&f->fs->index));
    int r = fs_get(f->fs->meta, f->snapshot, &key, &pinned);
    if (r < 0) {
        return r == -ENOENT ? fs_row_damaged(f->fs, rowkey_slice(&key), "it is missing") : r;
    }
    if (pinned.value.size > 0) {
        r = kv_buf_assign(&f->value, kv_slice_behind(pinned.value, 1));
    } else {
        r = fs_row_damaged(f->fs, rowkey_slice(&key), "not an extended attribute");
    }
    kv_pinned_release(&pinned);
    return r;
}

static int take_path(void *arg, struct kv_slice path)
{
    struct find *f = arg;
    return find_hits_add(&f->hits, kv_buf_slice(&f->value), path);
}

static int take_entry(struct find *f, uint64_t ino)
{
    int r = is_long(f) ? read_value(f, ino) : 0;
    if (r == 0 && (!is_long(f) || is_asked_for(f))) {
        r = find_paths_each(&f->paths, ino, take_path, f);
    }
    if (r == -EIO) {
        f->failed = true; /* the others are not worse for it */
        r = 0;
    }
    return r;
}

/* All entries of the group, which begin with `prefix`. */
static int gather(struct find *f, struct kv_slice prefix)
{
    struct kv_buf value = {0};
    uint64_t ino;
    int r = 0;
    for (kv_iter_seek(f->entries, prefix); r == 0 && kv_iter_valid(f->entries) &&
                                           kv_slice_starts_with(kv_iter_key(f->entries), prefix);
         kv_iter_next(f->entries)) {
        r = attr_index_entry_get(kv_iter_key(f->entries), &value, &ino);
        if (r == -EBADMSG) {
            f->failed = true; /* fsck tells */
            r = 0;
            continue;
        }
        r = r < 0 ? r : take_entry(f, ino);
    }
    kv_buf_finish(&value);
    return r != 0 || kv_iter_valid(f->entries) ? r : fs_result(kv_iter_error(f->entries));
}

static void give(struct find *f)
{
    find_hits_sort(&f->hits);
    for (size_t i = 0; i < f->hits.count && !f->stopped; i++) {
        const struct find_hit *hit = f->hits.hits[i];
        f->given++;
        f->stopped = !f->fn(f->arg, find_hit_value(hit), find_hit_path(hit)) ||
                     (f->options->limit != 0 && f->given == f->options->limit);
    }
}

static int find_group(struct find *f, struct kv_slice prefix)
{
    int r = kv_buf_assign(&f->value, kv_buf_slice(&f->group));
    f->hits.bytes_max = FIND_HITS_BYTES_MAX;
    do {
        r = r < 0 ? r : gather(f, prefix);
        if (r == 0) {
            give(f);
        }
    } while (r == 0 && find_hits_next_pass(&f->hits) && !f->stopped);
    find_hits_finish(&f->hits);
    return r;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

/* The first key behind all that begin with `bytes`, which are not all ff. */
static void to_successor(struct kv_buf *bytes)
{
    while (bytes->data[bytes->size - 1] == UINT8_MAX) {
        bytes->size--;
    }
    bytes->data[bytes->size - 1]++;
}

static int set_bounds(struct find *f)
{
    struct kv_slice key = attr_index_key(f->options->value);
    int r = f->options->by_prefix ? kv_index_entry_put_bound(&f->lower, key)
                                  : kv_index_entry_put(&f->lower, key, kv_slice(NULL, 0));
    r = r < 0 ? r : kv_buf_assign(&f->upper, kv_buf_slice(&f->lower));
    if (r == 0) {
        to_successor(&f->upper);
    }
    return r;
}

/* The group of the entry where the iterator stands; the iterator goes behind it. */
static int find_next_group(struct find *f)
{
    struct kv_buf prefix = {0};
    uint64_t ino;
    int r = attr_index_entry_get(kv_iter_key(f->entries), &f->group, &ino);
    if (r == -EBADMSG) {
        f->failed = true;
        kv_iter_next(f->entries);
        return 0;
    }
    r = r < 0 ? r : kv_index_entry_put(&prefix, kv_buf_slice(&f->group), kv_slice(NULL, 0));
    r = r < 0 ? r : find_group(f, kv_buf_slice(&prefix));
    if (r == 0) {
        to_successor(&prefix);
        kv_iter_seek(f->entries, kv_buf_slice(&prefix));
    }
    kv_buf_finish(&prefix);
    return r;
}

static int open_entries(struct find *f)
{
    struct kv_iter_options options = {.snapshot = f->snapshot};
    int r = set_bounds(f);
    options.lower = kv_buf_slice(&f->lower);
    options.upper = kv_buf_slice(&f->upper);
    return r < 0 ? r : fs_result(kv_iter_create(f->fs->index.table, &options, &f->entries));
}

static int find_all(struct find *f)
{
    int r = open_entries(f);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(f->entries); r == 0 && kv_iter_valid(f->entries) && !f->stopped;) {
        r = find_next_group(f);
    }
    if (r == 0 && !kv_iter_valid(f->entries)) {
        r = fs_result(kv_iter_error(f->entries));
    }
    return r == 0 && f->failed ? -KV_EDAMAGED : r;
}

/* With the snapshot. */
static int find_in(struct find *f)
{
    int r = find_paths_init(&f->paths, f->fs, f->snapshot);
    if (r < 0) {
        return r;
    }
    r = find_all(f);
    find_paths_finish(&f->paths);
    kv_iter_destroy(f->entries);
    kv_buf_finish(&f->lower);
    kv_buf_finish(&f->upper);
    kv_buf_finish(&f->group);
    kv_buf_finish(&f->value);
    return r;
}

int kvfs_find(struct kvfs *fs, const struct kvfs_find_options *options, kvfs_find_fn *fn, void *arg)
{
    struct find f = {.fs = fs, .options = options, .fn = fn, .arg = arg};
    if (!kv_slice_equal(kv_slice_str(options->attribute), attr_index_name(&fs->index)) ||
        fs->index.name_size == 0) {
        return -EOPNOTSUPP;
    }
    if (!atomic_load(&fs->index.built)) {
        return -EINPROGRESS;
    }
    int r = kv_snapshot_create(fs->store, &f.snapshot);
    if (r < 0) {
        return fs_result(r);
    }
    r = find_in(&f);
    kv_snapshot_release(f.snapshot);
    return r;
}
