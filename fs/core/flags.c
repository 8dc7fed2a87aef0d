/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/flags.h"

#include <fcntl.h>
#include <linux/fs.h>

#include "fs/core/fs_internal.h"

enum {
    SETTABLE = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL,
    INHERITED = FS_NODUMP_FL | FS_NOATIME_FL,
};

bool flags_append_only(const struct inode *inode)
{
    return (inode->flags & FS_APPEND_FL) != 0;
}

bool flags_immutable(const struct inode *inode)
{
    return (inode->flags & FS_IMMUTABLE_FL) != 0;
}

bool flags_no_atime(const struct inode *inode)
{
    return (inode->flags & FS_NOATIME_FL) != 0;
}

int flags_check_open(const struct inode *inode, int open_flags)
{
    bool writes = (open_flags & O_ACCMODE) != O_RDONLY || (open_flags & O_TRUNC) != 0;
    bool appends = (open_flags & (O_APPEND | O_TRUNC)) == O_APPEND;
    if (!writes) {
        return 0;
    }
    return flags_immutable(inode) || (flags_append_only(inode) && !appends) ? -EPERM : 0;
}

int flags_check_write(const struct inode *inode, uint64_t offset)
{
    bool below = offset < inode->size;
    return flags_immutable(inode) || (flags_append_only(inode) && below) ? -EPERM : 0;
}

int flags_check_change(const struct inode *inode)
{
    return flags_immutable(inode) || flags_append_only(inode) ? -EPERM : 0;
}

int flags_check_add(const struct inode *dir)
{
    return flags_immutable(dir) ? -EPERM : 0;
}

int flags_check_drop(const struct inode *dir, const struct inode *child)
{
    int r = flags_check_change(dir);
    return r < 0 ? r : flags_check_change(child);
}

uint64_t flags_inherited(const struct inode *dir, uint32_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) ? dir->flags & INHERITED : 0;
}

int kvfs_getflags(struct kvfs *fs, uint64_t ino, unsigned *ret_flags)
{
    struct node node;
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    stripe_unlock(&fs->stripes, ino);
    if (r == 0) {
        *ret_flags = (unsigned)node.inode.flags;
    }
    return r;
}

static int check_flags(const struct inode *inode, unsigned flags)
{
    unsigned changed = flags ^ (unsigned)inode->flags;
    bool has_flags = S_ISREG(inode->mode) || S_ISDIR(inode->mode);
    if ((changed & ~(unsigned)SETTABLE) != 0 || !has_flags) {
        return -EOPNOTSUPP;
    }
    /* What stays immutable keeps its other flags as well. */
    bool stays = (flags & FS_IMMUTABLE_FL) != 0 && flags_immutable(inode);
    return stays && changed != 0 ? -EPERM : 0;
}

int kvfs_setflags(struct kvfs *fs, uint64_t ino, unsigned flags)
{
    struct txn *txn = NULL;
    struct txn_node *node;
    int r = txn_begin(fs, &txn);
    if (r < 0) {
        return r;
    }
    txn_lock_inodes(txn, &ino, 1);
    r = txn_load(txn, ino, NULL, &node);
    if (r == 0) {
        r = check_flags(&node->node.inode, flags);
    }
    if (r == 0) {
        node->node.inode.flags = flags;
        node->node.inode.ctime = txn->now;
        node->dirty = true;
        r = txn_commit(txn);
    }
    txn_end(txn);
    return r;
}
