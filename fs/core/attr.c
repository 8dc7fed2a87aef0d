/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fs/core/acl.h"
#include "fs/core/file.h"
#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"

enum { SET_OWNER = KVFS_SET_UID | KVFS_SET_GID };

int kvfs_getattr(struct kvfs *fs, uint64_t ino, struct kvfs_entry *ret_entry)
{
    struct node node;
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    stripe_unlock(&fs->stripes, ino);
    if (r == 0) {
        node_entry(&node, ret_entry);
    }
    return r;
}

int kvfs_readlink(struct kvfs *fs, uint64_t ino, struct kv_buf *target)
{
    struct node node;
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    if (r == 0 && !S_ISLNK(node.inode.mode)) {
        r = -EINVAL;
    }
    if (r == 0) {
        r = kv_buf_assign(target, node.inode.target);
    }
    stripe_unlock(&fs->stripes, ino);
    return r;
}

/* To a file that may only grow, both times together may be set to now; a change time is only ever
 * set by the kernel, which tells when it wrote. */
static int check_flags(const struct inode *inode, unsigned mask)
{
    const unsigned now = KVFS_SET_ATIME_NOW | KVFS_SET_MTIME_NOW;
    const unsigned others = SET_OWNER | KVFS_SET_MODE | KVFS_SET_SIZE | KVFS_SET_ATIME;
    bool written = (mask & KVFS_SET_CTIME) != 0 && (mask & others) == 0;
    bool access_alone = (mask & now) == KVFS_SET_ATIME_NOW && (mask & KVFS_SET_MTIME) == 0;
    bool harmless = mask == 0 || mask == now || (written && !access_alone);
    if (flags_immutable(inode)) {
        return -EPERM;
    }
    return harmless ? 0 : flags_check_change(inode);
}

static int check(const struct stat *attr, unsigned mask, const struct inode *inode)
{
    int r = check_flags(inode, mask);
    if (r < 0) {
        return r;
    }
    if ((mask & KVFS_SET_SIZE) != 0) {
        if (!S_ISREG(inode->mode)) {
            return S_ISDIR(inode->mode) ? -EISDIR : -EINVAL;
        }
        if (attr->st_size < 0) {
            return -EINVAL;
        }
        if ((uint64_t)attr->st_size > KVFS_FILE_SIZE_MAX) {
            return -EFBIG;
        }
    }
    const struct timespec *times[] = {&attr->st_atim, &attr->st_mtim, &attr->st_ctim};
    const unsigned bits[] = {KVFS_SET_ATIME, KVFS_SET_MTIME, KVFS_SET_CTIME};
    for (unsigned i = 0; i < 3; i++) {
        if ((mask & bits[i]) != 0 && (times[i]->tv_nsec < 0 || times[i]->tv_nsec >= 1000000000)) {
            return -EINVAL;
        }
    }
    return 0;
}

static void set_times(struct inode *inode, const struct stat *attr, unsigned mask,
                      struct timespec now)
{
    if ((mask & (KVFS_SET_ATIME | KVFS_SET_ATIME_NOW)) != 0) {
        inode->atime = (mask & KVFS_SET_ATIME_NOW) != 0 ? now : attr->st_atim;
    }
    if ((mask & (KVFS_SET_MTIME | KVFS_SET_MTIME_NOW)) != 0) {
        inode->mtime = (mask & KVFS_SET_MTIME_NOW) != 0 ? now : attr->st_mtim;
    }
    inode->ctime = (mask & KVFS_SET_CTIME) != 0 ? attr->st_ctim : now;
}

static void set_owner_and_mode(struct txn_node *node, const struct stat *attr, unsigned mask)
{
    struct inode *inode = &node->node.inode;
    if ((mask & KVFS_SET_UID) != 0) {
        inode->uid = attr->st_uid;
    }
    if ((mask & KVFS_SET_GID) != 0) {
        inode->gid = attr->st_gid;
    }
    if ((mask & KVFS_KILL_PRIV) != 0) {
        file_kill_priv(node);
    }
    if ((mask & KVFS_SET_MODE) != 0) {
        inode->mode = (inode->mode & S_IFMT) | (attr->st_mode & 07777);
    }
    if ((mask & (SET_OWNER | KVFS_SET_MODE)) != 0) {
        node->resummarize = true;
    }
}

static int set_once(struct kvfs *fs, uint64_t ino, const struct stat *attr, unsigned mask,
                    struct kvfs_entry *ret_entry)
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
        r = check(attr, mask, &node->node.inode);
    }
    if (r == 0 && (mask & KVFS_SET_SIZE) != 0) {
        if ((uint64_t)attr->st_size < node->node.inode.size) {
            txn_frees_space(txn);
        }
        r = file_set_size(txn, node, (uint64_t)attr->st_size);
    }
    if (r == 0) {
        set_owner_and_mode(node, attr, mask);
        set_times(&node->node.inode, attr, mask, txn->now);
        node->dirty = true;
        r = (mask & KVFS_SET_MODE) != 0 ? acl_follow_mode(txn, node) : 0;
    }
    if (r == 0) {
        r = txn_commit(txn);
    }
    if (r == 0) {
        node_entry(&node->node, ret_entry);
    }
    txn_end(txn);
    return r;
}

int kvfs_setattr(struct kvfs *fs, uint64_t ino, const struct stat *attr, unsigned mask,
                 struct kvfs_entry *ret_entry)
{
    int r;
    do {
        r = set_once(fs, ino, attr, mask, ret_entry);
    } while (r == -ESTALE);
    return r;
}

/* ---- access times -----------------------------------------------------------------------------
 */

static bool is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* relatime of mount(8): the time says whether the file was read since it changed, and roughly when
 * it was last of use. */
static bool access_time_is_old(const struct inode *inode, struct timespec now)
{
    enum { DAY_S = 24 * 60 * 60 };
    bool read_since_change =
        is_before(inode->mtime, inode->atime) && is_before(inode->ctime, inode->atime);
    if (flags_no_atime(inode) || !is_before(inode->atime, now)) {
        return false;
    }
    return !read_since_change || now.tv_sec - inode->atime.tv_sec >= DAY_S;
}

static int set_access_time(struct kvfs *fs, uint64_t ino)
{
    struct txn *txn = NULL;
    struct txn_node *node;
    int r = txn_begin(fs, &txn);
    if (r < 0) {
        return r;
    }
    txn_may_lag(txn);
    txn_lock_inodes(txn, &ino, 1);
    r = txn_load(txn, ino, NULL, &node);
    if (r == 0) {
        node->node.inode.atime = txn->now;
        node->dirty = true;
        r = txn_commit(txn);
    }
    txn_end(txn);
    return r;
}

void kvfs_note_read(struct kvfs *fs, uint64_t ino)
{
    struct timespec now;
    struct node node;
    if (fs->read_only) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    stripe_unlock(&fs->stripes, ino);
    if (r == 0 && access_time_is_old(&node.inode, now)) {
        /* What could not be stored is tried again at the next reading. */
        kv_ignore(set_access_time(fs, ino));
    }
}
