/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/node.h"

#include "fs/core/fs_internal.h"
#include "fs/core/unlinked.h"

/* An inode read from a row, with the row that its target points into. */
struct found {
    struct node node;
    struct kv_pinned pinned;
};

/* -ENOENT: no such entry, or it holds another inode or none. */
static int read_at_entry(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino,
                         const struct location *loc, struct found *found)
{
    struct dir_entry entry;
    struct rowkey key;
    rowkey_dirent(&key, loc->parent, location_name(loc));
    int r = fs_get(fs->meta, snapshot, &key, &found->pinned);
    if (r < 0) {
        return r;
    }
    r = dirent_decode(found->pinned.value, &entry);
    if (r < 0) {
        r = fs_row_damaged(fs, rowkey_slice(&key), "not a directory entry");
    } else if (!entry.has_inode || entry.ino != ino) {
        r = -ENOENT;
    } else {
        found->node.ino = ino;
        found->node.inode = entry.inode;
        found->node.loc = *loc;
        return 0;
    }
    kv_pinned_release(&found->pinned);
    return r;
}

static int read_through_backptr(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino,
                                struct found *found)
{
    struct location loc;
    struct summary summary;
    struct kv_slice name;
    uint64_t parent;
    struct rowkey key;
    struct kv_pinned pinned;
    rowkey_backptr(&key, ino);
    int r = fs_get(fs->meta, snapshot, &key, &pinned);
    if (r < 0) {
        return r;
    }
    r = backptr_decode(pinned.value, &parent, &name, &summary);
    if (r == 0) {
        location_set(&loc, parent, name);
    }
    kv_pinned_release(&pinned);
    if (r < 0) {
        return fs_row_damaged(fs, rowkey_slice(&key), "not a back-pointer");
    }
    r = read_at_entry(fs, snapshot, ino, &loc, found);
    if (r == -ENOENT) {
        return fs_row_damaged(fs, rowkey_slice(&key), "the entry it names does not hold the inode");
    }
    return r;
}

static int read_own_row(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino,
                        struct found *found)
{
    struct rowkey key;
    rowkey_inode(&key, ino);
    int r = fs_get(fs->meta, snapshot, &key, &found->pinned);
    if (r < 0) {
        return r;
    }
    found->node.ino = ino;
    location_set(&found->node.loc, 0, kv_slice(NULL, 0));
    if (inode_decode(found->pinned.value, &found->node.inode) < 0) {
        kv_pinned_release(&found->pinned);
        return fs_row_damaged(fs, rowkey_slice(&key), "not an inode");
    }
    return 0;
}

static int find(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino,
                const struct location *hint, struct found *found)
{
    int r = -ENOENT;
    if (hint != NULL && hint->parent != 0) {
        r = read_at_entry(fs, snapshot, ino, hint, found);
    }
    if (r == -ENOENT && ino != KVFS_ROOT_INO) {
        r = read_through_backptr(fs, snapshot, ino, found);
    }
    if (r == -ENOENT) {
        r = read_own_row(fs, snapshot, ino, found);
    }
    return r;
}

static int load_rows(struct kvfs *fs, uint64_t ino, const struct location *hint,
                     struct icache *cache)
{
    struct found found = {0};
    int r = find(fs, NULL, ino, hint, &found);
    if (r == 0) {
        r = icache_put(cache, &found.node);
        kv_pinned_release(&found.pinned);
    }
    return r;
}

bool node_cached(struct kvfs *fs, uint64_t ino, struct node *ret_node)
{
    struct inode_stripe *stripe = &fs->stripes.inodes[stripe_of(ino)];
    mutex_assert_held(&stripe->mu);
    return !loss_is(&fs->loss) && icache_get(&stripe->cache, ino, ret_node);
}

int node_load(struct kvfs *fs, uint64_t ino, const struct location *hint, struct node *ret_node)
{
    struct inode_stripe *stripe = &fs->stripes.inodes[stripe_of(ino)];
    if (node_cached(fs, ino, ret_node)) {
        return 0;
    }
    if (!rowkey_ino_is_valid(ino)) {
        return -ENOENT;
    }
    int r = load_rows(fs, ino, hint, &stripe->cache);
    if (r == -ENOENT) {
        return unlinked_load(fs, ino, ret_node);
    }
    if (r == 0) {
        icache_get(&stripe->cache, ino, ret_node);
    }
    return r;
}

int node_load_dir(struct kvfs *fs, uint64_t ino, struct node *ret_node)
{
    int r = node_load(fs, ino, NULL, ret_node);
    if (r < 0) {
        return r;
    }
    if (!S_ISDIR(ret_node->inode.mode)) {
        return -ENOTDIR;
    }
    return ret_node->inode.nlink == 0 ? -ENOENT : 0;
}

int node_read(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino,
              const struct location *hint, struct node *ret_node)
{
    struct found found = {0};
    int r = find(fs, snapshot, ino, hint, &found);
    if (r < 0) {
        return r;
    }
    *ret_node = found.node;
    ret_node->inode.target = kv_slice(NULL, 0);
    kv_pinned_release(&found.pinned);
    return 0;
}

void node_entry(const struct node *node, struct kvfs_entry *ret_entry)
{
    const struct inode *inode = &node->inode;
    uint64_t allocated = S_ISREG(inode->mode) ? inode->allocated : 0;
    /* What may be lost is no hole: programs take a file of no blocks for zeros, unread. */
    allocated = allocated > inode->lost_below ? allocated : inode->lost_below;
    *ret_entry = (struct kvfs_entry){
        .ino = node->ino,
        .stat =
            {
                .st_ino = node->ino,
                .st_mode = inode->mode,
                .st_nlink = inode->nlink,
                .st_uid = inode->uid,
                .st_gid = inode->gid,
                .st_rdev = inode->rdev,
                .st_size = (off_t)inode->size,
                .st_blksize = 4096,
                .st_blocks = (blkcnt_t)((allocated + FORMAT_BLOCK_BYTES - 1) / FORMAT_BLOCK_BYTES),
                .st_atim = inode->atime,
                .st_mtim = inode->mtime,
                .st_ctim = inode->ctime,
            },
        .btime = inode->btime,
    };
}
