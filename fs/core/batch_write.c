/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/batch_write.h"

#include <dirent.h>
#include <stdlib.h>

#include "fs/core/acl.h"
#include "fs/core/contents.h"
#include "fs/core/file.h"
#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"
#include "fs/core/namei.h"

/* ---- locks ----------------------------------------------------------------------------------- */

int batch_lock_inodes(const struct batch_writing *w)
{
    const struct batch_tree *tree = w->tree;
    size_t max = tree->dir_count + tree->file_count;
    uint64_t *inos = calloc(max, sizeof *inos);
    unsigned count = 0;
    if (inos == NULL) {
        return -ENOMEM;
    }
    for (const struct batch_dir *dir = tree->dirs; dir != NULL; dir = dir->next) {
        inos[count] = dir->ino;
        count += dir->changed;
    }
    for (const struct batch_file *file = tree->files; file != NULL; file = file->next) {
        inos[count++] = file->ino;
    }
    txn_lock_inodes(w->txn, inos, count);
    free(inos);
    return 0;
}

/* ---- conditions ------------------------------------------------------------------------------ */

static int compare_contents(const struct batch_writing *w, const struct batch_file *file,
                            struct kv_slice wanted)
{
    struct kvfs *fs = w->tree->fs;
    struct kv_buf found = {0};
    struct location hint;
    struct node node;
    location_set(&hint, file->at->parent->ino, file->at->name);
    int r = node_load(fs, file->ino, &hint, &node);
    if (r == 0 && node.inode.size != wanted.size) {
        r = -ECANCELED;
    }
    if (r == 0) {
        r = file_read_all(fs, NULL, &node, &found);
    }
    if (r == 0 && !kv_slice_equal(kv_buf_slice(&found), wanted)) {
        r = -ECANCELED;
    }
    kv_buf_finish(&found);
    return r;
}

int batch_compare(const struct batch_writing *w)
{
    for (size_t i = 0; i < w->batch->count; i++) {
        const struct batch_file *file = w->tree->compared[i];
        int r = file != NULL ? compare_contents(w, file, w->batch->items[i].value) : 0;
        if (r < 0) {
            w->batch->failed_at = (long)i;
            return r;
        }
    }
    return 0;
}

/* ---- what is there --------------------------------------------------------------------------- */

/* Under the locks the entry and its inode belong together. */
static int inode_is_missing(const struct batch_writing *w, struct dir_name at)
{
    struct rowkey key;
    rowkey_dirent(&key, at.parent, at.name);
    return fs_row_damaged(w->tree->fs, rowkey_slice(&key), "its inode is missing");
}

static int change_dir(const struct batch_writing *w, struct batch_dir *dir)
{
    struct location hint = {0};
    struct txn_node *node;
    if (dir->at != NULL) {
        location_set(&hint, dir->at->parent->ino, dir->at->name);
    }
    int r = txn_load_first(w->txn, dir->ino, &hint, &node);
    if (r == -ENOENT && dir->at != NULL) {
        return inode_is_missing(w, dir_name(dir->at->parent->ino, dir->at->name));
    }
    if (r == 0) {
        r = flags_check_add(&node->node.inode);
    }
    if (r == 0) {
        r = dir_check_links(node, dir->subdirectories);
    }
    if (r == 0) {
        r = acl_read_default(w->tree->fs, &node->node, &dir->acl);
    }
    if (r == 0) {
        dir_touch(w->txn, node, dir->entries, dir->subdirectories);
        dir->node = node;
    }
    return r;
}

static int change_dirs(const struct batch_writing *w)
{
    for (struct batch_dir *dir = w->tree->dirs; dir != NULL; dir = dir->next) {
        int r = dir->changed && !dir->fresh ? change_dir(w, dir) : 0;
        if (r < 0) {
            w->batch->failed_at = (long)dir->item;
            return r;
        }
    }
    return 0;
}

static int load_file(const struct batch_writing *w, struct batch_file *file)
{
    struct location hint;
    struct dir_name at = dir_name(file->at->parent->ino, file->at->name);
    location_set(&hint, at.parent, at.name);
    int r = txn_load_first(w->txn, file->ino, &hint, &file->node);
    if (r == -ENOENT || (r == 0 && file->node->node.inode.nlink == 0)) {
        return inode_is_missing(w, at);
    }
    return r < 0 ? r : flags_check_change(&file->node->node.inode);
}

static int load_files(const struct batch_writing *w)
{
    for (struct batch_file *file = w->tree->files; file != NULL; file = file->next) {
        int r = file->changed && !file->fresh ? load_file(w, file) : 0;
        if (r < 0) {
            w->batch->failed_at = (long)file->item;
            return r;
        }
    }
    return 0;
}

/* ---- names that go --------------------------------------------------------------------------- */

static int drop_name(const struct batch_writing *w, const struct batch_name *name)
{
    struct dir_name at = dir_name(name->parent->ino, name->name);
    struct txn_node *node = name->dropped->node;
    int r = flags_check_drop(&name->parent->node->node.inode, &node->node.inode);
    if (r < 0) {
        return r;
    }
    if (node->node.inode.nlink == 0 ||
        (node->node.loc.parent != 0 && !location_is(&node->node.loc, at))) {
        struct rowkey key;
        rowkey_dirent(&key, at.parent, at.name);
        return fs_row_damaged(w->tree->fs, rowkey_slice(&key),
                              "its inode lives under another name");
    }
    dir_delete_row(w->txn, at);
    return namei_drop_link(w->txn, node, at, &name->dropped->orphan);
}

static int drop_names(const struct batch_writing *w)
{
    for (struct batch_name *name = w->tree->names; name != NULL; name = name->next) {
        int r = name->dropped != NULL ? drop_name(w, name) : 0;
        if (r < 0) {
            w->batch->failed_at = (long)name->dropped->item;
            return r;
        }
    }
    return 0;
}

/* ---- what is made ---------------------------------------------------------------------------- */

static int make_node(const struct batch_writing *w, const struct batch_name *at, mode_t mode,
                     struct txn_node *node)
{
    struct new_node new_node = {.who = w->who, .mode = mode};
    namei_new_inode(&new_node, &at->parent->node->node.inode, w->txn->now, &node->node.inode);
    int r = acl_inherit(w->txn, kv_buf_slice(&at->parent->acl), mode, &node->node);
    if (r == 0) {
        dir_add_first(w->txn, node, dir_name(at->parent->ino, at->name));
    }
    return r;
}

static int make_dirs(const struct batch_writing *w)
{
    for (struct batch_dir *dir = w->tree->dirs; dir != NULL; dir = dir->next) {
        if (!dir->fresh) {
            continue;
        }
        dir->node = txn_add(w->txn, dir->ino);
        int r = make_node(w, dir->at, S_IFDIR | 0755, dir->node);
        if (r == 0) {
            r = kv_buf_assign(&dir->acl, kv_buf_slice(&dir->at->parent->acl));
        }
        if (r < 0) {
            return r;
        }
        dir_touch(w->txn, dir->node, dir->entries, dir->subdirectories);
    }
    return 0;
}

static int make_file(const struct batch_writing *w, struct batch_file *file)
{
    file->node = txn_add(w->txn, file->ino);
    int r = make_node(w, file->at, S_IFREG | 0644, file->node);
    if (r == 0) {
        r = contents_write(w->txn, file->node, 0, file->value);
        file->node->node.inode.size = file->value.size;
    }
    return r;
}

/* A file that is gone needs no contents; one that is still open somewhere gets them. */
static int replace_contents(const struct batch_writing *w, struct batch_file *file)
{
    struct txn_node *node = file->node;
    struct inode *inode = &node->node.inode;
    orphan_put_again(w->txn, node);
    if (node->gone) {
        return 0;
    }
    int r = contents_cut(w->txn, node, 0);
    if (r < 0) {
        return r;
    }
    inode->size = 0;
    inode->allocated = inode->lost_bytes = 0;
    r = contents_write(w->txn, node, 0, file->value);
    if (r == 0) {
        inode->size = file->value.size;
        file_touch(w->txn, node);
    }
    return r;
}

static int write_files(const struct batch_writing *w)
{
    for (struct batch_file *file = w->tree->files; file != NULL; file = file->next) {
        int r = 0;
        if (file->fresh && file->at != NULL) {
            r = make_file(w, file);
        } else if (!file->fresh && file->written) {
            r = replace_contents(w, file);
        }
        if (r < 0) {
            w->batch->failed_at = (long)file->item;
            return r;
        }
    }
    return 0;
}

/* Names go before they come: the row of one that is taken again is put behind its delete. */
int batch_write(const struct batch_writing *w)
{
    int r = txn_reserve_nodes(w->txn, w->tree->dir_count + w->tree->file_count);
    if (r == 0) {
        r = change_dirs(w);
    }
    if (r == 0) {
        r = load_files(w);
    }
    if (r == 0) {
        r = drop_names(w);
    }
    if (r == 0) {
        r = make_dirs(w);
    }
    if (r == 0) {
        r = write_files(w);
    }
    return r < 0 ? r : txn_commit(w->txn);
}
