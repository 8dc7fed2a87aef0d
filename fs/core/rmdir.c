/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>

#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"
#include "fs/core/namei.h"
#include "fs/core/orphan.h"

static int rmdir_build(struct txn *txn, struct dir_name at, uint64_t ino, uint64_t *ret_orphan)
{
    struct txn_node *dir;
    struct txn_node *node;
    struct location hint;
    uint64_t inos[] = {at.parent, ino};
    txn_lock_inodes(txn, inos, 2);
    int r = txn_load_dir(txn, at.parent, &dir);
    if (r == 0) {
        location_set(&hint, at.parent, at.name);
        r = txn_load(txn, ino, &hint, &node);
    }
    if (r == 0) {
        r = flags_check_drop(&dir->node.inode, &node->node.inode);
    }
    if (r < 0) {
        return r;
    }
    if (!location_is(&node->node.loc, at)) {
        struct rowkey key;
        rowkey_dirent(&key, at.parent, at.name);
        return fs_row_damaged(txn->fs, rowkey_slice(&key), "its inode lives under another name");
    }
    r = dir_check_empty(txn->fs, ino);
    if (r < 0) {
        return r;
    }
    dir_delete_row(txn, at);
    dir_touch(txn, dir, -1, -1);
    r = namei_drop_link(txn, node, at, ret_orphan);
    return r < 0 ? r : txn_commit(txn);
}

/* Returns 1 if the name changed hands before its stripe was held: start over. */
static int rmdir_locked(struct txn *txn, struct dir_name at, uint64_t *ret_orphan)
{
    struct dir_link seen;
    struct dir_link link;
    struct txn_node *dir;
    int r = dir_get(txn->fs, NULL, at, &seen);
    if (r == -ENOENT) {
        txn_lock_inodes(txn, &at.parent, 1);
        r = txn_load_dir(txn, at.parent, &dir);
        return r < 0 ? r : -ENOENT;
    }
    if (r < 0 || seen.type != DT_DIR) {
        return r < 0 ? r : -ENOTDIR;
    }
    /* The stripe of the directory that goes keeps new names out of it. */
    uint64_t dirs[] = {at.parent, seen.ino};
    txn_lock_dirs(txn, dirs, 2);
    r = dir_get(txn->fs, NULL, at, &link);
    if (r == -ENOENT || (r == 0 && link.ino != seen.ino)) {
        return 1;
    }
    return r < 0 ? r : rmdir_build(txn, at, link.ino, ret_orphan);
}

int kvfs_rmdir(struct kvfs *fs, uint64_t parent, const char *name)
{
    struct txn *txn = NULL;
    struct kv_slice bytes;
    uint64_t orphan = 0;
    if (strcmp(name, ".") == 0) {
        return -EINVAL;
    }
    if (strcmp(name, "..") == 0) {
        return -ENOTEMPTY;
    }
    int r = fs_name(name, &bytes);
    if (r == 0) {
        r = txn_begin(fs, &txn);
    }
    if (r < 0) {
        return r;
    }
    txn_frees_space(txn);
    do {
        txn_restart(txn);
        r = rmdir_locked(txn, dir_name(parent, bytes), &orphan);
    } while (r == 1);
    txn_end(txn);
    if (r == 0) {
        orphan_settle(fs, orphan);
    }
    return r;
}
