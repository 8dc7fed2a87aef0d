/* SPDX-License-Identifier: Apache-2.0 */
/* Listing directories. Offsets: 1 behind `.`, 2 behind `..`, 3 + n behind the n-th name that this
 * handle gave out.
 *
 * Names come in byte order from a fresh iterator per call. Where the handle was before, it gives
 * out the names it gave then, less those that are gone; names that appeared in that part meanwhile
 * are left to the next listing from the start, as readdir(3) allows; so are names further on that
 * were made by renaming one it gave (listings.h). So an offset always stands
 * behind the same name. Far behind the first DIR_OFFSETS_EXACT names and far before the latest ones
 * only some are remembered: going back there counts names from the last remembered one if the
 * directory did not change since the listing began; otherwise it continues with the remembered one,
 * which repeats names but skips none. */
#include <dirent.h>
#include <stdlib.h>

#include "fs/core/dir_offsets.h"
#include "fs/core/fs_internal.h"
#include "fs/core/namei.h"

enum {
    OFFSET_DOT = 1,
    OFFSET_DOTDOT = 2,
};

struct kvfs_dir {
    struct kvfs *fs;
    uint64_t ino;
    struct mutex mu; /* guards the rest */
    struct dir_offsets offsets;
    struct timespec began; /* the directory's change time when the listing began */
    struct listing listing;
};

/* One call of kvfs_dir_read(). */
struct reading {
    struct kvfs_dir *dir;
    bool plus, changed;
    kvfs_dir_fn *fn;
    void *arg;
    uint64_t next;        /* index of the next name */
    bool exact;           /* what was given as `next` is known, if anything was */
    uint64_t skip;        /* names to count but not to give */
    struct kv_slice from; /* begin with this name */
    bool after;           /* or right behind it */
    struct stripe_versions versions;
};

int kvfs_dir_open(struct kvfs *fs, uint64_t ino, struct kvfs_dir **ret_dir)
{
    struct node node;
    struct kvfs_dir *dir = calloc(1, sizeof *dir);
    if (dir == NULL) {
        return -ENOMEM;
    }
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    if (r == 0 && !S_ISDIR(node.inode.mode)) {
        r = -ENOTDIR;
    }
    if (r == 0) {
        r = lookup_table_add(&fs->lookups, ino);
    }
    stripe_unlock(&fs->stripes, ino);
    if (r < 0) {
        free(dir);
        return r;
    }
    dir->fs = fs;
    dir->ino = ino;
    mutex_init(&dir->mu, LOCK_RANK_FS_HANDLE, "open directory");
    *ret_dir = dir;
    return 0;
}

void kvfs_dir_close(struct kvfs_dir *dir)
{
    if (dir == NULL) {
        return;
    }
    listing_stop(&dir->fs->listings, &dir->listing);
    kvfs_forget(dir->fs, dir->ino, 1);
    dir_offsets_finish(&dir->offsets);
    mutex_finish(&dir->mu);
    free(dir);
}

static int load(struct kvfs *fs, uint64_t ino, struct node *ret_node)
{
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, ret_node);
    stripe_unlock(&fs->stripes, ino);
    return r;
}

/* `.` and `..`. Returns 1 if the caller has no more room. */
static int give_dots(struct reading *reading, const struct node *self, uint64_t offset)
{
    struct kvfs_entry entry;
    struct node parent = *self;
    int r = 0;
    if (offset < OFFSET_DOT) {
        node_entry(self, &entry);
        if (!reading->fn(reading->arg, ".", &entry, OFFSET_DOT)) {
            return 1;
        }
    }
    if (offset < OFFSET_DOTDOT) {
        if (self->loc.parent != 0) {
            r = load(reading->dir->fs, self->loc.parent, &parent);
        }
        if (r < 0) {
            return r;
        }
        node_entry(&parent, &entry);
        return reading->fn(reading->arg, "..", &entry, OFFSET_DOTDOT) ? 0 : 1;
    }
    return 0;
}

/* ---- one name ---------------------------------------------------------------------------------
 */

/* With the stripe held: the inode as it is now. Returns 1 if the name is gone. */
static int current_node(struct reading *reading, struct dir_name at, const struct dir_entry *entry,
                        struct node *ret_node)
{
    struct kvfs *fs = reading->dir->fs;
    if (!stripe_is_unchanged(&fs->stripes, &reading->versions, entry->ino)) {
        return namei_confirm(fs, at, entry->ino, ret_node);
    }
    if (node_cached(fs, entry->ino, ret_node)) {
        return 0;
    }
    if (!entry->has_inode) {
        return node_load(fs, entry->ino, NULL, ret_node);
    }
    ret_node->ino = entry->ino;
    ret_node->inode = entry->inode;
    location_set(&ret_node->loc, at.parent, at.name);
    return icache_put(&fs->stripes.inodes[stripe_of(entry->ino)].cache, ret_node);
}

/* All attributes, and a reference. Returns 1 if the name is gone. */
static int full_entry(struct reading *reading, struct dir_name at, const struct dir_entry *entry,
                      struct kvfs_entry *ret_entry)
{
    struct kvfs *fs = reading->dir->fs;
    struct node node;
    stripe_lock(&fs->stripes, entry->ino);
    int r = current_node(reading, at, entry, &node);
    if (r == 0) {
        r = lookup_table_add(&fs->lookups, entry->ino);
    }
    if (r == 0) {
        node_entry(&node, ret_entry);
    }
    stripe_unlock(&fs->stripes, entry->ino);
    return r;
}

/* Which index the name has. Returns false if it is not part of this listing. */
static bool place(struct reading *reading, struct kv_slice name)
{
    struct dir_offsets *offsets = &reading->dir->offsets;
    uint64_t index;
    while (reading->exact && reading->next < offsets->count) {
        struct kv_slice given = dir_offsets_find(offsets, reading->next, &index);
        int order = kv_slice_compare(given, name);
        if (index != reading->next) {
            reading->exact = false;
        } else if (order >= 0) {
            return order == 0;
        } else {
            reading->next++; /* that one was removed */
        }
    }
    if (!reading->exact && reading->changed && reading->next < offsets->count) {
        dir_offsets_find(offsets, reading->next, &index);
        if (index == reading->next) {
            dir_offsets_truncate(offsets, index);
        }
    }
    return !reading->changed ||
           !listing_leaves_out(&reading->dir->fs->listings, &reading->dir->listing, name);
}

/* Returns 1 if the caller has no more room. */
static int give_name(struct reading *reading, struct kv_slice name, const struct dir_entry *entry)
{
    struct kvfs_dir *dir = reading->dir;
    struct kvfs_entry out = {0};
    char text[KVFS_NAME_SIZE_MAX + 1];
    if (reading->plus) {
        int r = full_entry(reading, dir_name(dir->ino, name), entry, &out);
        if (r != 0) {
            return r == 1 ? 0 : r;
        }
    } else {
        out.ino = out.stat.st_ino = entry->ino;
        out.stat.st_mode = DTTOIF(entry->type);
    }
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    bool taken = reading->fn(reading->arg, text, &out, reading->next + 1 + OFFSET_DOTDOT);
    if (!taken) {
        if (reading->plus) {
            kvfs_forget(dir->fs, entry->ino, 1);
        }
        return 1;
    }
    int r = reading->next == dir->offsets.count ? dir_offsets_add(&dir->offsets, name) : 0;
    reading->next++;
    return r;
}

static int read_name(struct reading *reading, struct kv_iter *iter)
{
    struct kvfs *fs = reading->dir->fs;
    struct dir_entry entry;
    struct kv_slice name;
    struct kv_slice value;
    uint64_t parent;
    if (!rowkey_decode_dirent(kv_iter_key(iter), &parent, &name)) {
        return fs_row_damaged(fs, kv_iter_key(iter), "not the key of a directory entry");
    }
    if (reading->after && kv_slice_equal(name, reading->from)) {
        return 0;
    }
    if (reading->skip > 0) {
        reading->skip--;
        return 0;
    }
    int r = kv_iter_value(iter, &value);
    if (r < 0) {
        return fs_result(r);
    }
    if (dirent_decode(value, &entry) < 0) {
        return fs_row_damaged(fs, kv_iter_key(iter), "not a directory entry");
    }
    return place(reading, name) ? give_name(reading, name, &entry) : 0;
}

/* ---- a call -----------------------------------------------------------------------------------
 */

/* Find the name to continue from, which is copied to `from`. */
static void find_place(struct reading *reading, uint8_t from[KVFS_NAME_SIZE_MAX])
{
    struct dir_offsets *offsets = &reading->dir->offsets;
    uint64_t wanted = reading->next;
    uint64_t index;
    if (wanted == 0 || offsets->count == 0) {
        reading->next = 0;
        reading->exact = true;
        return;
    }
    uint64_t before = wanted <= offsets->count ? wanted - 1 : offsets->count - 1;
    struct kv_slice name = dir_offsets_find(offsets, before, &index);
    memcpy(from, name.data, name.size);
    reading->from = kv_slice(from, name.size);
    reading->after = true;
    reading->next = index + 1;
    reading->exact = index + 1 == wanted;
    if (reading->exact) {
        return;
    }
    if (!reading->changed && wanted <= offsets->count) {
        reading->skip = wanted - (index + 1);
        reading->next = wanted;
    } else if (index + 1 < offsets->count) {
        /* What was counted from it on is no longer certain: count anew. */
        dir_offsets_truncate(offsets, index);
        reading->after = false;
        reading->next = index;
    }
}

static int read_names(struct reading *reading)
{
    struct kvfs_dir *dir = reading->dir;
    struct kv_iter *iter = NULL;
    struct rowkey lower;
    struct rowkey upper;
    uint8_t from[KVFS_NAME_SIZE_MAX];
    find_place(reading, from);
    rowkey_dirent(&lower, dir->ino, reading->from);
    rowkey_kind_end(&upper, ROW_DIRENT, dir->ino);
    if (reading->plus) {
        stripes_sample(&dir->fs->stripes, &reading->versions);
    }
    int r = fs_iter(dir->fs->meta, NULL, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        r = read_name(reading, iter);
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r;
}

static void note_reached(struct kvfs_dir *dir)
{
    uint64_t index;
    if (dir->offsets.count > 0) {
        listing_reach(&dir->fs->listings, &dir->listing,
                      dir_offsets_find(&dir->offsets, dir->offsets.count - 1, &index));
    }
}

static int read_locked(struct reading *reading, uint64_t offset)
{
    struct kvfs_dir *dir = reading->dir;
    struct node self;
    int r = load(dir->fs, dir->ino, &self);
    if (r < 0) {
        return r;
    }
    if (offset == 0) {
        dir_offsets_truncate(&dir->offsets, 0);
        listing_start(&dir->fs->listings, &dir->listing, dir->ino);
    }
    if (dir->offsets.count == 0) {
        dir->began = self.inode.ctime;
    }
    reading->changed = dir->began.tv_sec != self.inode.ctime.tv_sec ||
                       dir->began.tv_nsec != self.inode.ctime.tv_nsec;
    r = give_dots(reading, &self, offset);
    if (r == 0) {
        reading->next = offset > OFFSET_DOTDOT ? offset - OFFSET_DOTDOT : 0;
        r = read_names(reading);
        note_reached(dir);
    }
    return r == 1 ? 0 : r;
}

int kvfs_dir_read(struct kvfs_dir *dir, uint64_t offset, bool plus, kvfs_dir_fn *fn, void *arg)
{
    struct reading reading = {.dir = dir, .plus = plus, .fn = fn, .arg = arg};
    mutex_lock(&dir->mu);
    int r = read_locked(&reading, offset);
    mutex_unlock(&dir->mu);
    return r;
}
