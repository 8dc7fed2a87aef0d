/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/archive/archive_walk.h"

#include <stdlib.h>

/* Entries that are taken from a directory at a time: it may be huge, and the functions that are
 * called for them must not run inside kvfs_dir_read(). */
enum { PART_SIZE = 256 };

struct part_entry {
    size_t name_at; /* in `names` of the level */
    struct kvfs_entry entry;
};

/* A directory that the walk is in. */
struct level {
    struct level *above;
    struct kvfs *fs;
    uint64_t ino;
    struct kvfs_dir *dir;
    size_t path_size; /* of its own path */
    uint64_t offset;  /* where the next part begins */
    size_t count, next;
    struct kv_buf names; /* each ended by NUL */
    struct part_entry entries[PART_SIZE];
    int error; /* what ended the last part; seen when it is used up */
};

struct walk {
    struct kvfs *fs;
    archive_walk_fn *fn;
    archive_walk_failed_fn *failed_fn;
    void *arg;
    struct level *level; /* the innermost; owned, with those above it */
    struct kv_buf path;  /* with its NUL beyond `size` */
};

/* ---- one directory --------------------------------------------------------------------------- */

static bool take_entry(void *arg, const char *name, const struct kvfs_entry *entry,
                       uint64_t next_offset)
{
    struct level *level = arg;
    struct part_entry *at = &level->entries[level->count];
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        level->offset = next_offset;
        return true;
    }
    if (level->count == PART_SIZE) {
        return false;
    }
    *at = (struct part_entry){.name_at = level->names.size, .entry = *entry};
    level->error = kv_buf_append(&level->names, kv_slice(name, strlen(name) + 1));
    if (level->error < 0) {
        return false;
    }
    level->offset = next_offset;
    level->count++;
    kvfs_forget(level->fs, entry->ino, 1);
    return true;
}

/* Read on, unless the last part ended with an error. */
static void next_part(struct level *level)
{
    level->names.size = 0;
    level->count = level->next = 0;
    if (level->error == 0) {
        int r = kvfs_dir_read(level->dir, level->offset, true, take_entry, level);
        level->error = level->error < 0 ? level->error : r;
    }
}

static void leave(struct walk *walk)
{
    struct level *level = walk->level;
    walk->level = level->above;
    kvfs_dir_close(level->dir);
    kv_buf_finish(&level->names);
    free(level);
}

/* Only damage puts a directory into itself; the walk would go round in it. */
static bool is_inside(const struct walk *walk, uint64_t ino)
{
    const struct level *level = walk->level;
    while (level != NULL && level->ino != ino) {
        level = level->above;
    }
    return level != NULL;
}

static int enter(struct walk *walk, uint64_t ino)
{
    if (is_inside(walk, ino)) {
        return walk->failed_fn(walk->arg, (const char *)walk->path.data, -EIO);
    }
    struct level *level = calloc(1, sizeof *level);
    if (level == NULL) {
        return -ENOMEM;
    }
    level->fs = walk->fs;
    level->ino = ino;
    level->above = walk->level;
    level->path_size = walk->path.size;
    walk->level = level;
    level->error = kvfs_dir_open(walk->fs, ino, &level->dir);
    return 0;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static int set_path(struct walk *walk, size_t directory_size, const char *name)
{
    walk->path.size = directory_size;
    int r = kv_buf_append(&walk->path, kv_slice_str("/"));
    r = r < 0 ? r : kv_buf_append(&walk->path, kv_slice(name, strlen(name) + 1));
    walk->path.size -= r == 0;
    return r;
}

static int visit(struct walk *walk, const struct kvfs_entry *entry)
{
    int r = walk->fn(walk->arg, (const char *)walk->path.data, entry);
    return r == 0 && S_ISDIR(entry->stat.st_mode) ? enter(walk, entry->ino) : r;
}

/* One step: an entry of the innermost directory, or its end. */
static int step(struct walk *walk)
{
    struct level *level = walk->level;
    if (level->next == level->count) {
        next_part(level);
    }
    if (level->next < level->count) {
        const struct part_entry *at = &level->entries[level->next++];
        int r = set_path(walk, level->path_size, (const char *)level->names.data + at->name_at);
        return r < 0 ? r : visit(walk, &at->entry);
    }
    int error = level->error;
    walk->path.size = level->path_size;
    walk->path.data[walk->path.size] = '\0';
    leave(walk);
    if (error == -ENOMEM) {
        return error;
    }
    return error < 0 ? walk->failed_fn(walk->arg, (const char *)walk->path.data, error) : 0;
}

int archive_walk(struct kvfs *fs, archive_walk_fn *fn, archive_walk_failed_fn *failed_fn, void *arg)
{
    struct walk walk = {.fs = fs, .fn = fn, .failed_fn = failed_fn, .arg = arg};
    struct kvfs_entry root;
    int r = kvfs_getattr(fs, KVFS_ROOT_INO, &root);
    if (r == 0) {
        r = kv_buf_append(&walk.path, kv_slice(".", 2));
        walk.path.size -= r == 0;
    }
    r = r < 0 ? r : visit(&walk, &root);
    while (r == 0 && walk.level != NULL) {
        r = step(&walk);
    }
    while (walk.level != NULL) {
        leave(&walk);
    }
    kv_buf_finish(&walk.path);
    return r;
}
