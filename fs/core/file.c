/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "fs/core/contents.h"
#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"

int file_check_regular(const struct inode *inode)
{
    if (S_ISREG(inode->mode)) {
        return 0;
    }
    return S_ISDIR(inode->mode) ? -EISDIR : -EINVAL;
}

void file_kill_priv(struct txn_node *node)
{
    struct inode *inode = &node->node.inode;
    uint32_t mode = inode->mode & ~(uint32_t)S_ISUID;
    if ((mode & S_IXGRP) != 0) {
        mode &= ~(uint32_t)S_ISGID;
    }
    if (mode != inode->mode && !S_ISDIR(mode)) {
        inode->mode = mode;
        node->dirty = node->resummarize = true;
    }
}

void file_touch(struct txn *txn, struct txn_node *node)
{
    node->node.inode.mtime = node->node.inode.ctime = txn->now;
    node->dirty = true;
}

int file_set_size(struct txn *txn, struct txn_node *node, uint64_t size)
{
    int r = file_check_regular(&node->node.inode);
    if (r == 0) {
        r = contents_cut(txn, node, size);
    }
    if (r == 0) {
        node->node.inode.size = size;
        file_touch(txn, node);
    }
    return r;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

int file_read_all(struct kvfs *fs, const struct kv_snapshot *snapshot, const struct node *node,
                  struct kv_buf *to)
{
    struct extent_view view;
    to->size = 0;
    if (node->inode.size == 0) {
        return 0;
    }
    if (node->inode.size > FILE_READ_ALL_MAX) {
        return -EFBIG;
    }
    size_t size = (size_t)node->inode.size;
    int r = kv_buf_reserve(to, size);
    if (r == 0) {
        r = extent_view_open(&view, fs, snapshot, node, 0);
    }
    if (r == 0) {
        r = extent_view_read(&view, 0, to->data, size);
        extent_view_close(&view);
    }
    to->size = r == 0 ? size : 0;
    return r;
}

/* What can be read of the range now. `ret_size` 0: nothing, and no view is open. */
static int open_range(struct kvfs *fs, uint64_t ino, uint64_t offset, size_t size,
                      struct extent_view *view, size_t *ret_size)
{
    struct node node;
    *ret_size = 0;
    int r = node_load(fs, ino, NULL, &node);
    if (r == 0) {
        r = file_check_regular(&node.inode);
    }
    if (r < 0 || offset >= node.inode.size || size == 0) {
        return r;
    }
    uint64_t left = node.inode.size - offset;
    r = extent_view_open(view, fs, NULL, &node, offset);
    if (r == 0) {
        *ret_size = left < size ? (size_t)left : size;
    }
    return r;
}

int kvfs_read(struct kvfs *fs, uint64_t ino, uint64_t offset, size_t size, struct kv_buf *to)
{
    struct extent_view view;
    to->size = 0;
    /* A concurrent write is seen whole or not at all: the view stands for one moment. */
    stripe_lock(&fs->stripes, ino);
    int r = open_range(fs, ino, offset, size, &view, &size);
    stripe_unlock(&fs->stripes, ino);
    if (r < 0 || size == 0) {
        return r;
    }
    r = kv_buf_reserve(to, size);
    if (r == 0) {
        r = extent_view_read(&view, offset, to->data, size);
    }
    extent_view_close(&view);
    to->size = r == 0 ? size : 0;
    return r;
}

int kvfs_seek(struct kvfs *fs, uint64_t ino, uint64_t offset, int whence, uint64_t *ret_offset)
{
    struct node node;
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        return -EINVAL;
    }
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    if (r == 0) {
        r = file_check_regular(&node.inode);
    }
    if (r == 0 && offset >= node.inode.size) {
        r = -ENXIO;
    }
    if (r == 0 && node.inode.allocated == node.inode.size) {
        *ret_offset = whence == SEEK_DATA ? offset : node.inode.size; /* it has no hole */
    } else if (r == 0) {
        r = extent_seek(fs, &node, offset, whence == SEEK_DATA, ret_offset);
    }
    stripe_unlock(&fs->stripes, ino);
    return r;
}

int kvfs_part_at(struct kvfs *fs, uint64_t ino, uint64_t offset, enum kvfs_part *ret_part,
                 uint64_t *ret_end)
{
    struct node node;
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    if (r == 0) {
        r = file_check_regular(&node.inode);
    }
    if (r == 0 && offset >= node.inode.size) {
        r = -ENXIO;
    }
    if (r == 0 && node.inode.nlink == 0 && node.inode.allocated == node.inode.size) {
        *ret_part = KVFS_PART_DATA; /* its rows may be gone already (unlinked.h) */
        *ret_end = node.inode.size;
    } else if (r == 0) {
        r = extent_part(fs, &node, offset, ret_part, ret_end);
    }
    stripe_unlock(&fs->stripes, ino);
    return r;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* Begin an operation on the contents of one file. */
static int begin(struct kvfs *fs, uint64_t ino, struct txn **ret_txn, struct txn_node **ret_node)
{
    struct txn *txn = NULL;
    int r = txn_begin(fs, &txn);
    if (r < 0) {
        return r;
    }
    txn_lock_inodes(txn, &ino, 1);
    r = txn_load(txn, ino, NULL, ret_node);
    if (r == 0) {
        r = file_check_regular(&(*ret_node)->node.inode);
    }
    if (r < 0) {
        txn_end(txn);
        return r;
    }
    *ret_txn = txn;
    return 0;
}

/* What kvfs_write() is asked for. */
struct write {
    uint64_t ino, offset;
    struct kv_slice data;
    bool append, kill_priv;
};

static int write_once(struct kvfs *fs, const struct write *write)
{
    struct txn *txn = NULL;
    struct txn_node *node;
    size_t size = write->data.size;
    int r = begin(fs, write->ino, &txn, &node);
    if (r < 0) {
        return r;
    }
    struct inode *inode = &node->node.inode;
    uint64_t offset = write->append ? inode->size : write->offset;
    if (offset > KVFS_FILE_SIZE_MAX || size > KVFS_FILE_SIZE_MAX - offset) {
        r = -EFBIG;
    }
    if (r == 0) {
        /* The kernel's write-back cache writes whole pages, also before what was appended. */
        r = flags_check_write(inode, fs->keeps_sizes ? UINT64_MAX : offset);
    }
    if (r == 0 && size > 0) {
        r = contents_write(txn, node, offset, write->data);
        if (r == 0) {
            inode->size = inode->size > offset + size ? inode->size : offset + (uint64_t)size;
            node->dirty = true;
            if (!fs->keeps_sizes) { /* else the kernel sets the times of the write(2) */
                file_touch(txn, node);
            }
            if (write->kill_priv) {
                file_kill_priv(node);
            }
            r = txn_commit(txn);
        }
    }
    txn_end(txn);
    return r;
}

int kvfs_write(struct kvfs *fs, uint64_t ino, uint64_t offset, struct kv_slice data, bool append,
               bool kill_priv)
{
    struct write write = {
        .ino = ino, .offset = offset, .data = data, .append = append, .kill_priv = kill_priv};
    int r;
    if (data.size > KVFS_WRITE_SIZE_MAX) {
        return -EINVAL;
    }
    do {
        r = write_once(fs, &write);
    } while (r == -ESTALE);
    return r;
}

static int fallocate_once(struct kvfs *fs, uint64_t ino, int mode, uint64_t offset, uint64_t size)
{
    struct txn *txn = NULL;
    struct txn_node *node;
    int r = begin(fs, ino, &txn, &node);
    if (r < 0) {
        return r;
    }
    struct inode *inode = &node->node.inode;
    bool punches = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
    r = punches ? flags_check_change(inode) : flags_check_write(inode, UINT64_MAX);
    if (r == 0 && punches) {
        txn_frees_space(txn);
        r = contents_punch(txn, node, offset, offset + size);
    }
    if (r == 0) {
        if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && offset + size > inode->size) {
            inode->size = offset + size;
        }
        file_touch(txn, node);
        r = txn_commit(txn);
    }
    txn_end(txn);
    return r;
}

int kvfs_fallocate(struct kvfs *fs, uint64_t ino, int mode, uint64_t offset, uint64_t size)
{
    bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    int kind = mode & ~FALLOC_FL_KEEP_SIZE;
    int r;
    if (kind != 0 && kind != FALLOC_FL_ZERO_RANGE && !(kind == FALLOC_FL_PUNCH_HOLE && keep_size)) {
        return -EOPNOTSUPP;
    }
    if (size == 0) {
        return -EINVAL;
    }
    if (offset > KVFS_FILE_SIZE_MAX || size > KVFS_FILE_SIZE_MAX - offset) {
        return -EFBIG;
    }
    do {
        r = fallocate_once(fs, ino, mode, offset, size);
    } while (r == -ESTALE);
    return r;
}

int kvfs_fsync(struct kvfs *fs, uint64_t ino)
{
    (void)ino; /* one log: what is durable is a prefix of all operations */
    return kvfs_sync(fs);
}
