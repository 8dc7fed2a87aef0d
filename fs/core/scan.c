/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in byte order of their whole paths, from a snapshot.
 *
 * Entries sort by name, but what lies in a directory `a` sorts where `a/` does: behind `a.b`, since
 * '.' < '/'. Names that sort between a directory and its slash begin with the directory's name and
 * a byte below '/'. So
 *  - forward, a directory that was passed waits until the next name is above its slash. The waiting
 *    ones are prefixes of each other, and the longest is due first;
 *  - backward, before a name is handled, the directories that are its prefixes and stand before a
 *    byte below '/' are looked up and entered, the shortest first. The next name mostly has the
 *    same ones, and is compared with the previous name to do none twice.
 * A range that begins or ends inside asks for the same prefixes of its bound. The cost is a few row
 * reads for each level of the path and each key. */
#include <dirent.h>
#include <stdlib.h>

#include "fs/core/dir.h"
#include "fs/core/file.h"
#include "fs/core/fs_internal.h"

enum { STOP = 1 }; /* not an error: the range, the limit or the caller's wish ended the scan */

struct scan {
    struct kvfs *fs;
    const struct kvfs_scan_options *options;
    struct kv_snapshot *snapshot;
    kvfs_scan_fn *fn;
    void *arg;
    struct kv_slice low;  /* inclusive */
    struct kv_slice high; /* exclusive; empty: none */
    struct kv_buf high_bytes;
    struct kv_buf key; /* of the directory being read, with its slash */
    struct kv_buf value;
    struct level *innermost;
    uint64_t given;
};

/* One directory being read. Waiting directories are prefixes of `waiting_name`. */
struct level {
    struct scan *scan;
    struct level *outer; /* NULL: the root's */
    uint64_t ino;
    struct kv_iter *iter;
    struct rowkey lower, upper;
    unsigned waiting;
    uint8_t waiting_sizes[KVFS_NAME_SIZE_MAX];
    uint64_t waiting_inos[KVFS_NAME_SIZE_MAX];
    uint8_t waiting_name[KVFS_NAME_SIZE_MAX];
    size_t last_size; /* backward: the name handled last */
    uint8_t last[KVFS_NAME_SIZE_MAX + 1];
};

static int scan_directory(struct scan *scan, uint64_t ino);

/* ---- keys of the range ------------------------------------------------------------------------
 */

/* The range as seen from the directory whose key is in scan->key: `ret_bound` is what of the bound
 * lies behind that key. Returns <0, 0, >0 as the bound lies below all keys of the directory, among
 * them, or above. */
static int relative(const struct scan *scan, struct kv_slice bound, struct kv_slice *ret_bound)
{
    struct kv_slice at = kv_buf_slice(&scan->key);
    if (kv_slice_starts_with(bound, at) && bound.size > at.size) {
        *ret_bound = kv_slice(bound.data + at.size, bound.size - at.size);
        return 0;
    }
    return kv_slice_compare(bound, at) <= 0 ? -1 : 1;
}

/* The first component of a relative bound. */
static struct kv_slice first_component(struct kv_slice bound, bool *ret_more)
{
    const uint8_t *slash = memchr(bound.data, '/', bound.size);
    *ret_more = slash != NULL;
    struct kv_slice name =
        kv_slice(bound.data, slash != NULL ? (size_t)(slash - bound.data) : bound.size);
    /* A longer one is no name, but cut to one that sorts just before it. */
    name.size = name.size > KVFS_NAME_SIZE_MAX ? KVFS_NAME_SIZE_MAX : name.size;
    return name;
}

/* `prefix_size` bytes of the name, at which it goes on with a byte below '/'. */
static bool waits_at(struct kv_slice name, size_t prefix_size)
{
    return prefix_size >= 1 && prefix_size < name.size && name.data[prefix_size] < '/';
}

/* Compare name + "/" with another name. */
static int compare_slashed(struct kv_slice name, struct kv_slice other)
{
    if (!kv_slice_starts_with(other, name)) {
        return kv_slice_compare(name, other);
    }
    return other.size > name.size && other.data[name.size] > '/' ? -1 : 1;
}

/* ---- giving -----------------------------------------------------------------------------------
 */

static int give_value(struct scan *scan, struct dir_name at, uint64_t ino)
{
    struct location loc;
    struct node node;
    location_set(&loc, at.parent, at.name);
    int r = node_read(scan->fs, scan->snapshot, ino, &loc, &node);
    return r < 0 ? r : file_read_all(scan->fs, scan->snapshot, &node, &scan->value);
}

/* A regular file. */
static int give(struct level *level, struct kv_slice name, uint64_t ino)
{
    struct scan *scan = level->scan;
    size_t size = scan->key.size;
    int r = 0;
    if (size + name.size > KVFS_KEY_SIZE_MAX) {
        return 0; /* no key leads there */
    }
    r = kv_buf_append(&scan->key, name);
    if (r < 0) {
        return r;
    }
    struct kv_slice key = kv_buf_slice(&scan->key);
    bool below = kv_slice_compare(key, scan->low) < 0;
    bool above = scan->high.size > 0 && kv_slice_compare(key, scan->high) >= 0;
    if (below || above) {
        r = below == scan->options->reverse ? STOP : 0;
    } else {
        scan->value.size = 0;
        if (!scan->options->keys_only) {
            r = give_value(scan, dir_name(level->ino, name), ino);
        }
        if (r == 0 && !scan->fn(scan->arg, key, kv_buf_slice(&scan->value))) {
            r = STOP;
        }
        if (r == 0 && ++scan->given == scan->options->limit) {
            r = STOP;
        }
    }
    scan->key.size = size;
    return r;
}

/* A subdirectory, if keys of the range may lie in it. */
static int enter(struct level *level, struct kv_slice name, uint64_t ino)
{
    struct scan *scan = level->scan;
    struct kv_slice unused;
    size_t size = scan->key.size;
    if (size + name.size + 2 > KVFS_KEY_SIZE_MAX) {
        return 0;
    }
    int r = kv_buf_append(&scan->key, name);
    if (r == 0) {
        r = kv_buf_append(&scan->key, kv_slice("/", 1));
    }
    if (r == 0) {
        bool below = relative(scan, scan->low, &unused) > 0;
        bool above = scan->high.size > 0 && relative(scan, scan->high, &unused) < 0;
        if (below || above) {
            r = below == scan->options->reverse ? STOP : 0;
        } else {
            r = scan_directory(scan, ino);
        }
    }
    scan->key.size = size;
    return r;
}

/* ---- a level ----------------------------------------------------------------------------------
 */

static int level_create(struct scan *scan, uint64_t ino, struct level **ret_level)
{
    struct level *level = calloc(1, sizeof *level);
    if (level == NULL) {
        return -ENOMEM;
    }
    level->scan = scan;
    level->ino = ino;
    rowkey_dirent(&level->lower, ino, kv_slice(NULL, 0));
    rowkey_kind_end(&level->upper, ROW_DIRENT, ino);
    int r = fs_iter(scan->fs->meta, scan->snapshot, &level->lower, &level->upper, &level->iter);
    if (r < 0) {
        free(level);
        return r;
    }
    *ret_level = level;
    return 0;
}

static void level_destroy(struct level *level)
{
    kv_iter_destroy(level->iter);
    free(level);
}

/* The row under the iterator. */
static int read_row(struct level *level, struct kv_slice *ret_name, struct dir_link *ret_link)
{
    struct kvfs *fs = level->scan->fs;
    struct kv_slice value;
    struct dir_entry entry;
    uint64_t parent;
    int r = kv_iter_value(level->iter, &value);
    if (r < 0) {
        return fs_result(r);
    }
    if (!rowkey_decode_dirent(kv_iter_key(level->iter), &parent, ret_name) ||
        dirent_decode(value, &entry) < 0) {
        return fs_row_damaged(fs, kv_iter_key(level->iter), "not a directory entry");
    }
    ret_link->ino = entry.ino;
    ret_link->type = entry.type;
    return 0;
}

/* 0, and `ret_ino` 0 if there is no directory of this name. */
static int find_directory(struct level *level, struct kv_slice name, uint64_t *ret_ino)
{
    struct dir_link link = {0};
    int r = dir_get(level->scan->fs, level->scan->snapshot, dir_name(level->ino, name), &link);
    if (r < 0 && r != -ENOENT) {
        return r;
    }
    *ret_ino = r == 0 && link.type == DT_DIR ? link.ino : 0;
    return 0;
}

/* ---- forward ----------------------------------------------------------------------------------
 */

static void wait(struct level *level, struct kv_slice name, uint64_t ino)
{
    memcpy(level->waiting_name, name.data, name.size);
    level->waiting_sizes[level->waiting] = (uint8_t)name.size;
    level->waiting_inos[level->waiting] = ino;
    level->waiting++;
}

/* Enter the waiting directories whose slash sorts before `next` (NULL: all). */
static int enter_waiting(struct level *level, const struct kv_slice *next)
{
    int r = 0;
    while (r == 0 && level->waiting > 0) {
        unsigned i = level->waiting - 1;
        struct kv_slice name = kv_slice(level->waiting_name, level->waiting_sizes[i]);
        if (next != NULL && compare_slashed(name, *next) > 0) {
            break;
        }
        level->waiting = i;
        r = enter(level, name, level->waiting_inos[i]);
    }
    return r;
}

/* Directories that stand before `low` by name but reach into the range by their slash. */
static int seek_forward(struct level *level)
{
    struct scan *scan = level->scan;
    struct kv_slice low;
    struct rowkey key;
    uint64_t ino;
    bool more;
    if (scan->low.size == 0 || relative(scan, scan->low, &low) != 0) {
        kv_iter_seek_first(level->iter);
        return 0;
    }
    struct kv_slice name = first_component(low, &more);
    for (size_t n = 1; n <= name.size; n++) {
        if (!waits_at(name, n) && !(more && n == name.size)) {
            continue;
        }
        int r = find_directory(level, kv_slice(name.data, n), &ino);
        if (r < 0) {
            return r;
        }
        if (ino != 0) {
            wait(level, kv_slice(name.data, n), ino);
        }
    }
    rowkey_dirent(&key, level->ino, name);
    if (more && key.size < sizeof key.bytes) {
        key.bytes[key.size++] = '/'; /* what lies between the name and its slash is below `low` */
    }
    kv_iter_seek(level->iter, rowkey_slice(&key));
    return 0;
}

static int scan_forward(struct level *level)
{
    struct kv_slice name;
    struct dir_link link = {0};
    int r = seek_forward(level);
    for (; r == 0 && kv_iter_valid(level->iter); kv_iter_next(level->iter)) {
        r = read_row(level, &name, &link);
        if (r == 0) {
            r = enter_waiting(level, &name);
        }
        if (r == 0 && link.type == DT_DIR) {
            wait(level, name, link.ino);
        } else if (r == 0 && link.type == DT_REG) {
            r = give(level, name, link.ino);
        }
    }
    r = r != 0 ? r : fs_iter_result(level->iter);
    return r != 0 ? r : enter_waiting(level, NULL);
}

/* ---- backward ---------------------------------------------------------------------------------
 */

static void set_last(struct level *level, struct kv_slice name)
{
    memcpy(level->last, name.data, name.size);
    level->last_size = name.size;
}

/* The directory `name[0, n)` was dealt with when the name before this one was. */
static bool is_done(const struct level *level, struct kv_slice name, size_t n)
{
    struct kv_slice last = kv_slice(level->last, level->last_size);
    return waits_at(last, n) && memcmp(last.data, name.data, n) == 0;
}

/* Directories that are prefixes of the name and sort, by their slash, behind it. */
static int enter_prefixes(struct level *level, struct kv_slice name)
{
    uint64_t ino;
    int r = 0;
    for (size_t n = 1; r == 0 && n < name.size; n++) {
        if (!waits_at(name, n) || is_done(level, name, n)) {
            continue;
        }
        r = find_directory(level, kv_slice(name.data, n), &ino);
        if (r == 0 && ino != 0) {
            r = enter(level, kv_slice(name.data, n), ino);
        }
    }
    return r;
}

/* Begin below `high`. What it rules out by name is marked as done. */
static int seek_backward(struct level *level)
{
    struct scan *scan = level->scan;
    struct kv_slice high;
    struct rowkey key;
    uint64_t ino = 0;
    bool more;
    if (scan->high.size == 0 || relative(scan, scan->high, &high) != 0) {
        kv_iter_seek_last(level->iter);
        return 0;
    }
    struct kv_slice name = first_component(high, &more);
    int r = 0;
    rowkey_dirent(&key, level->ino, name);
    set_last(level, name);
    if (more) {
        level->last[level->last_size++] = 1; /* the directory itself is dealt with right here */
        r = find_directory(level, name, &ino);
    }
    if (r == 0 && ino != 0) {
        r = enter(level, name, ino);
    }
    if (r != 0) {
        return r;
    }
    if (more && key.size < sizeof key.bytes) {
        key.bytes[key.size++] = '/';
    }
    kv_iter_seek_for_prev(level->iter, rowkey_slice(&key));
    return 0;
}

static int scan_backward(struct level *level)
{
    struct kv_slice name;
    struct dir_link link = {0};
    int r = seek_backward(level);
    for (; r == 0 && kv_iter_valid(level->iter); kv_iter_prev(level->iter)) {
        r = read_row(level, &name, &link);
        if (r == 0) {
            r = enter_prefixes(level, name);
        }
        if (r == 0 && link.type == DT_DIR && !is_done(level, name, name.size)) {
            r = enter(level, name, link.ino);
        } else if (r == 0 && link.type == DT_REG) {
            r = give(level, name, link.ino);
        }
        if (r == 0) {
            set_last(level, name);
        }
    }
    return r != 0 ? r : fs_iter_result(level->iter);
}

/* Rows may say that a directory lies in itself; only damage does, and the scan would go round in
 * it. */
static int check_no_cycle(const struct scan *scan, uint64_t ino)
{
    for (const struct level *level = scan->innermost; level != NULL; level = level->outer) {
        if (level->ino == ino) {
            return fs_row_damaged(scan->fs, rowkey_slice(&level->lower),
                                  "the directory lies in itself");
        }
    }
    return 0;
}

static int scan_directory(struct scan *scan, uint64_t ino)
{
    struct level *level = NULL;
    int r = check_no_cycle(scan, ino);
    r = r < 0 ? r : level_create(scan, ino, &level);
    if (r < 0) {
        return r;
    }
    level->outer = scan->innermost;
    scan->innermost = level;
    r = scan->options->reverse ? scan_backward(level) : scan_forward(level);
    scan->innermost = level->outer;
    level_destroy(level);
    return r;
}

/* ---- a scan -----------------------------------------------------------------------------------
 */

/* The first key behind all that start with the prefix; empty if there is none. */
static int prefix_end(struct kv_slice prefix, struct kv_buf *ret_end)
{
    while (prefix.size > 0 && prefix.data[prefix.size - 1] == 0xff) {
        prefix.size--;
    }
    int r = kv_buf_assign(ret_end, prefix);
    if (r == 0 && prefix.size > 0) {
        ret_end->data[prefix.size - 1]++;
    }
    return r;
}

static int set_range(struct scan *scan)
{
    const struct kvfs_scan_options *options = scan->options;
    scan->low = options->from;
    scan->high = options->to;
    if (options->prefix.size == 0) {
        return 0;
    }
    int r = prefix_end(options->prefix, &scan->high_bytes);
    if (r < 0) {
        return r;
    }
    struct kv_slice end = kv_buf_slice(&scan->high_bytes);
    if (kv_slice_compare(options->prefix, scan->low) > 0) {
        scan->low = options->prefix;
    }
    if (end.size > 0 && (scan->high.size == 0 || kv_slice_compare(end, scan->high) < 0)) {
        scan->high = end;
    }
    return 0;
}

int kvfs_scan(struct kvfs *fs, const struct kvfs_scan_options *options, kvfs_scan_fn *fn, void *arg)
{
    struct scan scan = {.fs = fs, .options = options, .fn = fn, .arg = arg};
    int r = set_range(&scan);
    if (r == 0 && (scan.high.size == 0 || kv_slice_compare(scan.low, scan.high) < 0)) {
        r = fs_result(kv_snapshot_create(fs->store, &scan.snapshot));
        if (r == 0) {
            r = scan_directory(&scan, KVFS_ROOT_INO);
        }
        kv_snapshot_release(scan.snapshot);
    }
    kv_buf_finish(&scan.high_bytes);
    kv_buf_finish(&scan.key);
    kv_buf_finish(&scan.value);
    return r == STOP ? 0 : r;
}
