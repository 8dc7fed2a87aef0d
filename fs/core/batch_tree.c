/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/batch_tree.h"

#include <dirent.h>
#include <stdlib.h>

#include "fs/core/fs_internal.h"
#include "fs/core/keyspace.h"
#include "kvcore/util/checksum.h"

enum { BUCKETS_MIN = 16, BUCKETS_MAX = KVFS_BATCH_NAMES_MAX };

/* ---- the three lists ------------------------------------------------------------------------- */

static int add_dir(struct batch_tree *tree, uint64_t ino, struct batch_name *at)
{
    struct batch_dir *dir = calloc(1, sizeof *dir);
    if (dir == NULL) {
        return -ENOMEM;
    }
    dir->ino = ino;
    dir->fresh = ino == 0;
    dir->at = at;
    *tree->last_dir = dir;
    tree->last_dir = &dir->next;
    tree->dir_count++;
    tree->fresh_count += dir->fresh;
    if (at != NULL) {
        at->dir = dir;
    }
    return 0;
}

static struct batch_file *add_file(struct batch_tree *tree, struct dir_link link,
                                   struct batch_name *at)
{
    struct batch_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return NULL;
    }
    file->ino = link.ino;
    file->type = link.type;
    file->fresh = link.ino == 0;
    file->at = at;
    *tree->last_file = file;
    tree->last_file = &file->next;
    tree->file_count++;
    tree->fresh_count += file->fresh;
    return file;
}

/* A file of the store, which another of its names may have brought here. */
static int meet_file(struct batch_tree *tree, struct dir_link link, struct batch_name *at)
{
    struct batch_file **bucket = &tree->file_buckets[hash_u64(link.ino) & (tree->bucket_count - 1)];
    struct batch_file *file = *bucket;
    while (file != NULL && file->ino != link.ino) {
        file = file->hash_next;
    }
    if (file == NULL) {
        file = add_file(tree, link, at);
        if (file == NULL) {
            return -ENOMEM;
        }
        file->hash_next = *bucket;
        *bucket = file;
    }
    at->file = file;
    return 0;
}

static struct batch_name **name_bucket(const struct batch_tree *tree, const struct batch_dir *dir,
                                       struct kv_slice name)
{
    uint64_t hash = hash_bytes(name, hash_u64((uint64_t)(uintptr_t)dir));
    return &tree->name_buckets[hash & (tree->bucket_count - 1)];
}

/* The name in the directory, read from the store at its first use. */
static int meet_name(struct batch_tree *tree, struct batch_dir *dir, struct kv_slice name,
                     struct batch_name **ret_name)
{
    struct batch_name **bucket = name_bucket(tree, dir, name);
    struct dir_link link = {0};
    for (struct batch_name *at = *bucket; at != NULL; at = at->hash_next) {
        if (at->parent == dir && kv_slice_equal(at->name, name)) {
            *ret_name = at;
            return 0;
        }
    }
    if (tree->name_count == KVFS_BATCH_NAMES_MAX) {
        return -E2BIG;
    }
    int r = dir->fresh ? -ENOENT : dir_get(tree->fs, NULL, dir_name(dir->ino, name), &link);
    if (r < 0 && r != -ENOENT) {
        return r;
    }
    struct batch_name *at = calloc(1, sizeof *at);
    if (at == NULL) {
        return -ENOMEM;
    }
    at->parent = dir;
    at->name = name;
    at->hash_next = *bucket;
    *bucket = at;
    *tree->last_name = at;
    tree->last_name = &at->next;
    tree->name_count++;
    if (r == 0) {
        r = link.type == DT_DIR ? add_dir(tree, link.ino, at) : meet_file(tree, link, at);
    } else {
        r = 0;
    }
    *ret_name = at;
    return r;
}

int batch_tree_init(struct batch_tree *tree, struct kvfs *fs, const struct kvfs_batch *batch)
{
    size_t buckets = BUCKETS_MIN;
    while (buckets < BUCKETS_MAX && buckets < batch->components) {
        buckets *= 2;
    }
    *tree = (struct batch_tree){.fs = fs, .bucket_count = buckets};
    tree->last_name = &tree->names;
    tree->last_dir = &tree->dirs;
    tree->last_file = &tree->files;
    tree->name_buckets = calloc(buckets, sizeof(struct batch_name *));
    tree->file_buckets = calloc(buckets, sizeof(struct batch_file *));
    tree->compared = calloc(batch->count + 1, sizeof(struct batch_file *));
    if (tree->name_buckets == NULL || tree->file_buckets == NULL || tree->compared == NULL) {
        batch_tree_finish(tree);
        return -ENOMEM;
    }
    int r = add_dir(tree, KVFS_ROOT_INO, NULL);
    if (r < 0) {
        batch_tree_finish(tree);
    }
    return r;
}

void batch_tree_finish(struct batch_tree *tree)
{
    while (tree->names != NULL) {
        struct batch_name *name = tree->names;
        tree->names = name->next;
        free(name);
    }
    while (tree->dirs != NULL) {
        struct batch_dir *dir = tree->dirs;
        tree->dirs = dir->next;
        kv_buf_finish(&dir->acl);
        free(dir);
    }
    while (tree->files != NULL) {
        struct batch_file *file = tree->files;
        tree->files = file->next;
        free(file);
    }
    free(tree->name_buckets);
    free(tree->file_buckets);
    free(tree->compared);
    *tree = (struct batch_tree){0};
}

/* ---- walking --------------------------------------------------------------------------------- */

static int make_dir(struct batch_tree *tree, struct batch_name *at, size_t item)
{
    int r = add_dir(tree, 0, at);
    if (r == 0) {
        at->changed = true;
        at->dir->changed = at->parent->changed = true;
        at->dir->item = at->parent->item = item;
        at->parent->entries++;
        at->parent->subdirectories++;
    }
    return r;
}

/* The last name of a key. -ENOENT a directory on the way is missing, unless this is a put, which
 * makes it; -ENOTDIR. */
static int walk(struct batch_tree *tree, const struct kvfs_batch *batch, size_t item,
                struct batch_name **ret_name)
{
    struct kv_slice rest = batch->items[item].key;
    struct batch_dir *dir = tree->dirs; /* the root */
    struct batch_name *at;
    for (;;) {
        int r = meet_name(tree, dir, key_next_component(&rest), &at);
        if (r < 0) {
            return r;
        }
        if (rest.size == 0) {
            *ret_name = at;
            return 0;
        }
        if (at->file != NULL) {
            return -ENOTDIR;
        }
        if (at->dir == NULL) {
            r = batch->items[item].kind == BATCH_PUT ? make_dir(tree, at, item) : -ENOENT;
        }
        if (r < 0) {
            return r;
        }
        dir = at->dir;
    }
}

/* ---- conditions ------------------------------------------------------------------------------ */

static bool is_missing(int r)
{
    return r == -ENOENT || r == -ENOTDIR;
}

static int check_item(struct batch_tree *tree, const struct kvfs_batch *batch, size_t item)
{
    struct batch_name *at;
    int r = walk(tree, batch, item, &at);
    if (r < 0 && !is_missing(r)) {
        return r;
    }
    if (batch->items[item].kind == BATCH_IF_ABSENT) {
        return r == 0 && (at->file != NULL || at->dir != NULL) ? -ECANCELED : 0;
    }
    if (r < 0 || at->file == NULL || at->file->type != DT_REG) {
        return -ECANCELED;
    }
    tree->compared[item] = at->file;
    return 0;
}

int batch_tree_check(struct batch_tree *tree, struct kvfs_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->items[i].kind != BATCH_IF_ABSENT && batch->items[i].kind != BATCH_IF_EQUAL) {
            continue;
        }
        int r = check_item(tree, batch, i);
        if (r < 0) {
            batch->failed_at = (long)i;
            return r;
        }
    }
    return 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static void note_change(struct batch_name *at, struct batch_file *file, size_t item)
{
    at->changed = true;
    file->changed = true;
    file->item = item;
}

static int put_over(struct batch_tree *tree, struct batch_name *at, size_t item,
                    struct kv_slice value)
{
    struct batch_file *file = at->file;
    bool is_stored = file != NULL ? !file->fresh : !at->dir->fresh;
    if (is_stored && tree->fs->keeps_sizes) {
        return -EBUSY;
    }
    if (file == NULL) {
        return -EISDIR;
    }
    if (file->type != DT_REG) {
        return -EINVAL;
    }
    file->written = true;
    file->value = value;
    note_change(at, file, item);
    return 0;
}

static int put(struct batch_tree *tree, const struct kvfs_batch *batch, size_t item)
{
    struct batch_name *at;
    struct kv_slice value = batch->items[item].value;
    int r = walk(tree, batch, item, &at);
    if (r < 0) {
        return r;
    }
    if (at->file != NULL || at->dir != NULL) {
        return put_over(tree, at, item, value);
    }
    at->file = add_file(tree, (struct dir_link){.type = DT_REG}, at);
    if (at->file == NULL) {
        return -ENOMEM;
    }
    at->file->value = value;
    note_change(at, at->file, item);
    at->parent->entries++;
    at->parent->changed = true;
    at->parent->item = item;
    return 0;
}

static int drop(struct batch_tree *tree, const struct kvfs_batch *batch, size_t item)
{
    struct batch_name *at;
    int r = walk(tree, batch, item, &at);
    if (r < 0) {
        return r;
    }
    if (at->file == NULL) {
        return at->dir != NULL ? -EISDIR : -ENOENT;
    }
    note_change(at, at->file, item);
    if (at->file->fresh) {
        at->file->at = NULL;
    } else {
        at->dropped = at->file;
    }
    at->file = NULL;
    at->parent->entries--;
    at->parent->changed = true;
    at->parent->item = item;
    return 0;
}

static int apply_item(struct batch_tree *tree, struct kvfs_batch *batch, size_t i)
{
    struct batch_item *item = &batch->items[i];
    item->missed = false;
    if (item->kind == BATCH_PUT) {
        return put(tree, batch, i);
    }
    if (item->kind != BATCH_DELETE) {
        return 0;
    }
    int r = drop(tree, batch, i);
    if (r == -ENOENT && item->may_miss) {
        item->missed = true;
        r = 0;
    }
    return r;
}

int batch_tree_apply(struct batch_tree *tree, struct kvfs_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        int r = apply_item(tree, batch, i);
        if (r < 0) {
            batch->failed_at = (long)i;
            return r;
        }
    }
    return 0;
}
