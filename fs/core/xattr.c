/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/xattr.h"

#include <sys/xattr.h>

#include "fs/core/acl.h"
#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int check_name(const char *name, struct kv_slice *ret_name)
{
    static const char *const spaces[] = {"user.", "trusted.", "security."};
    struct kv_slice bytes = kv_slice_str(name);
    if (bytes.size == 0 || bytes.size > KVFS_XATTR_NAME_SIZE_MAX) {
        return -ERANGE;
    }
    /* There is no SELinux policy here; the answer keeps tools from asking for every file. */
    if (strcmp(name, "security.selinux") == 0) {
        return -EOPNOTSUPP;
    }
    if (acl_kind(bytes) != ACL_NONE) {
        *ret_name = bytes;
        return 0;
    }
    for (unsigned i = 0; i < sizeof spaces / sizeof spaces[0]; i++) {
        if (has_prefix(name, spaces[i])) {
            *ret_name = bytes;
            return bytes.size > strlen(spaces[i]) ? 0 : -EINVAL;
        }
    }
    return -EOPNOTSUPP;
}

static bool may_have_any(const struct node *node)
{
    return (node->inode.hints & INODE_HINT_XATTRS) != 0;
}

static bool may_have(const struct node *node, struct kv_slice name)
{
    enum acl_kind kind = acl_kind(name);
    return may_have_any(node) && (kind == ACL_NONE || acl_may_exist(&node->inode, kind));
}

/* The value in a row: behind a zero byte. */
static int decode_value(struct kvfs *fs, const struct rowkey *key, struct kv_slice row,
                        struct kv_slice *ret_value)
{
    if (row.size < 1 || row.data[0] != 0 || row.size - 1 > KVFS_XATTR_VALUE_SIZE_MAX) {
        return fs_row_damaged(fs, rowkey_slice(key), "not an extended attribute");
    }
    *ret_value = kv_slice(row.data + 1, row.size - 1);
    return 0;
}

int xattr_read(struct kvfs *fs, uint64_t ino, struct kv_slice name, struct kv_buf *value)
{
    struct kv_pinned pinned;
    struct rowkey key;
    struct kv_slice bytes;
    rowkey_xattr(&key, ino, name);
    int r = fs_get(fs->meta, NULL, &key, &pinned);
    if (r < 0) {
        return r == -ENOENT ? -ENODATA : r;
    }
    r = decode_value(fs, &key, pinned.value, &bytes);
    if (r == 0) {
        r = kv_buf_assign(value, bytes);
    }
    kv_pinned_release(&pinned);
    return r;
}

int xattr_put(struct txn *txn, uint64_t ino, struct kv_slice name, struct kv_slice value)
{
    struct kv_buf row = {0};
    struct rowkey key;
    rowkey_xattr(&key, ino, name);
    int r = kv_buf_append(&row, kv_slice("", 1));
    if (r == 0) {
        r = kv_buf_append(&row, value);
    }
    if (r == 0 && attr_index_has(&txn->fs->index, name)) {
        r = attr_index_change(txn, ino, &value);
    }
    if (r == 0) {
        txn_put(txn, txn->fs->meta, &key, kv_buf_slice(&row));
    }
    kv_buf_finish(&row);
    return r;
}

int xattr_delete(struct txn *txn, uint64_t ino, struct kv_slice name)
{
    struct rowkey key;
    int r = attr_index_has(&txn->fs->index, name) ? attr_index_change(txn, ino, NULL) : 0;
    if (r == 0) {
        rowkey_xattr(&key, ino, name);
        txn_delete(txn, txn->fs->meta, &key);
    }
    return r;
}

int kvfs_getxattr(struct kvfs *fs, uint64_t ino, const char *name, struct kv_buf *value)
{
    struct node node;
    struct kv_slice bytes;
    int r = check_name(name, &bytes);
    if (r < 0) {
        return r;
    }
    stripe_lock(&fs->stripes, ino);
    r = node_load(fs, ino, NULL, &node);
    if (r == 0) {
        r = may_have(&node, bytes) ? xattr_read(fs, ino, bytes, value) : -ENODATA;
    }
    stripe_unlock(&fs->stripes, ino);
    return r;
}

static int append_names(struct kvfs *fs, uint64_t ino, struct kv_buf *names)
{
    struct kv_iter *iter = NULL;
    struct rowkey lower;
    struct rowkey upper;
    struct kv_slice name;
    uint64_t key_ino;
    rowkey_xattr(&lower, ino, kv_slice(NULL, 0));
    rowkey_kind_end(&upper, ROW_XATTR, ino);
    int r = fs_iter(fs->meta, NULL, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); r == 0 && kv_iter_valid(iter); kv_iter_next(iter)) {
        if (!rowkey_decode_xattr(kv_iter_key(iter), &key_ino, &name)) {
            r = fs_row_damaged(fs, kv_iter_key(iter), "not the key of an extended attribute");
            break;
        }
        r = kv_buf_append(names, name);
        if (r == 0) {
            r = kv_buf_append(names, kv_slice("", 1));
        }
    }
    r = r != 0 ? r : fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r;
}

int kvfs_listxattr(struct kvfs *fs, uint64_t ino, struct kv_buf *names)
{
    struct node node;
    names->size = 0;
    stripe_lock(&fs->stripes, ino);
    int r = node_load(fs, ino, NULL, &node);
    if (r == 0 && may_have_any(&node)) {
        r = append_names(fs, ino, names);
    }
    stripe_unlock(&fs->stripes, ino);
    return r;
}

/* 0 it is there, -ENODATA it is not. A row that cannot be read is there: replacing or removing it
 * is how to get rid of it. */
static int check_exists(struct kvfs *fs, const struct node *node, struct kv_slice name)
{
    struct kv_pinned pinned;
    struct rowkey key;
    if (!may_have_any(node)) {
        return -ENODATA;
    }
    rowkey_xattr(&key, node->ino, name);
    int r = fs_get(fs->meta, NULL, &key, &pinned);
    if (r == 0) {
        kv_pinned_release(&pinned);
    }
    return r == -ENOENT ? -ENODATA : r == -EIO ? 0 : r;
}

/* Load the inode to change its attributes. */
static int begin(struct kvfs *fs, uint64_t ino, struct txn **ret_txn, struct txn_node **ret_node)
{
    int r = txn_begin(fs, ret_txn);
    if (r < 0) {
        return r;
    }
    txn_lock_inodes(*ret_txn, &ino, 1);
    r = txn_load(*ret_txn, ino, NULL, ret_node);
    return r < 0 ? r : flags_check_change(&(*ret_node)->node.inode);
}

/* An ACL that is taken away where there is none changes nothing. */
static int commit(struct txn *txn, struct txn_node *node)
{
    if (!node->dirty) {
        return 0;
    }
    node->node.inode.ctime = txn->now;
    return txn_commit(txn);
}

/* An ACL is there or not as the caller wants it: the kernel's interface for them knows no flags. An
 * empty value takes it away. */
static int set_acl(struct txn *txn, struct txn_node *node, struct kv_slice name,
                   struct kv_slice value, int flags)
{
    enum acl_kind kind = acl_kind(name);
    int r = acl_set(txn, node, kind, value);
    bool kills = kind == ACL_ACCESS && (flags & KVFS_XATTR_KILL_SGID) != 0;
    if (r == 0 && kills && (node->node.inode.mode & S_ISGID) != 0) {
        node->node.inode.mode &= ~(uint32_t)S_ISGID;
        node->dirty = node->resummarize = true;
    }
    return r;
}

static int set_plain(struct txn *txn, struct txn_node *node, struct kv_slice name,
                     struct kv_slice value, int flags)
{
    int r = check_exists(txn->fs, &node->node, name);
    if (r == 0 && (flags & XATTR_CREATE) != 0) {
        r = -EEXIST;
    } else if (r == -ENODATA && (flags & XATTR_REPLACE) == 0) {
        r = 0;
    }
    if (r == 0) {
        node->node.inode.hints |= INODE_HINT_XATTRS;
        node->dirty = true;
        r = xattr_put(txn, node->node.ino, name, value);
    }
    return r;
}

int kvfs_setxattr(struct kvfs *fs, uint64_t ino, const char *name, struct kv_slice value, int flags)
{
    struct txn *txn = NULL;
    struct txn_node *node;
    struct kv_slice bytes;
    int r = check_name(name, &bytes);
    if (r < 0) {
        return r;
    }
    if (value.size > KVFS_XATTR_VALUE_SIZE_MAX) {
        return -E2BIG;
    }
    if ((flags & ~(XATTR_CREATE | XATTR_REPLACE | KVFS_XATTR_KILL_SGID)) != 0) {
        return -EINVAL;
    }
    r = begin(fs, ino, &txn, &node);
    if (r == 0) {
        r = acl_kind(bytes) != ACL_NONE ? set_acl(txn, node, bytes, value, flags)
                                        : set_plain(txn, node, bytes, value, flags);
    }
    if (r == 0) {
        r = commit(txn, node);
    }
    txn_end(txn);
    return r;
}

int kvfs_removexattr(struct kvfs *fs, uint64_t ino, const char *name)
{
    struct txn *txn = NULL;
    struct txn_node *node;
    struct kv_slice bytes;
    int r = check_name(name, &bytes);
    if (r < 0) {
        return r;
    }
    r = begin(fs, ino, &txn, &node);
    if (r == 0 && acl_kind(bytes) != ACL_NONE) {
        r = set_acl(txn, node, bytes, kv_slice(NULL, 0), 0);
    } else if (r == 0) {
        r = check_exists(fs, &node->node, bytes);
        if (r == 0) {
            node->dirty = true;
            r = xattr_delete(txn, ino, bytes);
        }
    }
    if (r == 0) {
        r = commit(txn, node);
    }
    txn_end(txn);
    return r;
}
