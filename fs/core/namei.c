/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/namei.h"

#include <dirent.h>
#include <fcntl.h>

#include "fs/core/acl.h"
#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"
#include "fs/core/handle.h"
#include "fs/core/orphan.h"

/* ---- looking up -------------------------------------------------------------------------------
 */

/* The reference is taken while the stripe is held, see lookup_table.h. */
static int give_entry(struct kvfs *fs, const struct node *node, struct kvfs_entry *ret_entry)
{
    int r = lookup_table_add(&fs->lookups, node->ino);
    if (r == 0) {
        node_entry(node, ret_entry);
    }
    return r;
}

/* The cached inode that the hint names, if it says itself that it lives under this name.
 * Returns 1 if that does not help. */
static int lookup_hinted(struct kvfs *fs, struct dir_name at, struct kvfs_entry *ret_entry)
{
    struct node node;
    int r = 1;
    uint64_t ino = dir_hint(fs, at);
    if (ino == 0) {
        return r;
    }
    stripe_lock(&fs->stripes, ino);
    if (dir_hint_holds(fs, at, ino, &node)) {
        r = give_entry(fs, &node, ret_entry);
    }
    stripe_unlock(&fs->stripes, ino);
    return r;
}

int namei_confirm(struct kvfs *fs, struct dir_name at, uint64_t ino, struct node *ret_node)
{
    struct dir_link link;
    struct location hint;
    location_set(&hint, at.parent, at.name);
    int loaded = node_load(fs, ino, &hint, ret_node);
    if (loaded == 0 && location_is(&ret_node->loc, at)) {
        return 0;
    }
    if (loaded < 0 && loaded != -ENOENT) {
        return loaded;
    }
    int r = dir_get(fs, NULL, at, &link);
    if (r == -ENOENT || (r == 0 && link.ino != ino)) {
        return 1;
    }
    if (r == 0 && loaded == -ENOENT) {
        struct rowkey key;
        rowkey_dirent(&key, at.parent, at.name);
        return fs_row_damaged(fs, rowkey_slice(&key), "its inode is missing");
    }
    return r;
}

/* A name that is not there: because its directory is none? */
static int missing_name(struct kvfs *fs, uint64_t parent)
{
    struct node node;
    stripe_lock(&fs->stripes, parent);
    int r = node_load_dir(fs, parent, &node);
    stripe_unlock(&fs->stripes, parent);
    return r < 0 ? r : -ENOENT;
}

int namei_lookup(struct kvfs *fs, struct dir_name at, struct kvfs_entry *ret_entry)
{
    struct dir_link link;
    struct node node;
    int r = lookup_hinted(fs, at, ret_entry);
    while (r == 1) {
        r = dir_get(fs, NULL, at, &link);
        if (r == -ENOENT) {
            return missing_name(fs, at.parent);
        }
        if (r < 0) {
            return r;
        }
        /* The name may change hands before its inode's stripe is taken, not behind. */
        stripe_lock(&fs->stripes, link.ino);
        r = namei_confirm(fs, at, link.ino, &node);
        if (r == 0) {
            r = give_entry(fs, &node, ret_entry);
            dir_set_hint(fs, at, link.ino);
        }
        stripe_unlock(&fs->stripes, link.ino);
    }
    return r;
}

/* `.` and `..`, which a mount asks for when it is exported: `.` of a number that a handle names,
 * which may be that of any file. */
static int lookup_dots(struct kvfs *fs, uint64_t ino, bool parent, struct kvfs_entry *ret_entry)
{
    struct node node;
    stripe_lock(&fs->stripes, ino);
    int r = parent ? node_load_dir(fs, ino, &node) : node_load(fs, ino, NULL, &node);
    if (r == 0 && !parent) {
        r = node.inode.nlink == 0 ? -ENOENT : give_entry(fs, &node, ret_entry);
    }
    stripe_unlock(&fs->stripes, ino);
    if (r < 0 || !parent) {
        return r;
    }
    return lookup_dots(fs, node.loc.parent != 0 ? node.loc.parent : ino, false, ret_entry);
}

int kvfs_lookup(struct kvfs *fs, uint64_t parent, const char *name, struct kvfs_entry *ret_entry)
{
    struct kv_slice bytes;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return lookup_dots(fs, parent, name[1] == '.', ret_entry);
    }
    int r = fs_name(name, &bytes);
    return r < 0 ? r : namei_lookup(fs, dir_name(parent, bytes), ret_entry);
}

void kvfs_forget(struct kvfs *fs, uint64_t ino, uint64_t count)
{
    if (lookup_table_sub(&fs->lookups, ino, count) && !fs->read_only) {
        /* What fails was reported, and is done again at the next opening. */
        kv_ignore(orphan_finish(fs, ino));
    }
}

void kvfs_forget_later(struct kvfs *fs, uint64_t ino, uint64_t count)
{
    if (lookup_table_sub(&fs->lookups, ino, count) && !fs->read_only) {
        orphan_finish_later(fs, ino);
    }
}

/* ---- making -----------------------------------------------------------------------------------
 */

void namei_new_inode(const struct new_node *new_node, const struct inode *dir, struct timespec now,
                     struct inode *ret_inode)
{
    mode_t mode = new_node->mode;
    if (!S_ISLNK(mode)) {
        mode &= ~(new_node->who->umask & 07777);
    }
    bool inherits = (dir->mode & S_ISGID) != 0;
    if (inherits && S_ISDIR(mode)) {
        mode |= S_ISGID;
    }
    *ret_inode = (struct inode){
        .mode = mode,
        .nlink = S_ISDIR(mode) ? 2 : 1,
        .uid = new_node->who->uid,
        .gid = inherits ? dir->gid : new_node->who->gid,
        .size = new_node->target.size,
        .allocated = new_node->target.size,
        .target = new_node->target,
        .flags = flags_inherited(dir, mode),
        .rdev = S_ISCHR(mode) || S_ISBLK(mode) ? new_node->rdev : 0,
        .mtime = now,
        .ctime = now,
        .atime = now,
        .btime = now,
    };
}

int namei_inherit_acl(struct txn *txn, const struct node *dir, mode_t mode, struct node *node)
{
    struct kv_buf acl = {0};
    if (!acl_may_exist(&dir->inode, ACL_DEFAULT)) {
        return 0;
    }
    int r = acl_read_default(txn->fs, dir, &acl);
    if (r == 0) {
        r = acl_inherit(txn, kv_buf_slice(&acl), mode, node);
    }
    kv_buf_finish(&acl);
    return r;
}

static int make_locked(struct txn *txn, const struct new_node *new_node, struct dir_name at,
                       uint64_t ino, struct txn_node **ret_node)
{
    struct kvfs *fs = txn->fs;
    struct dir_link link;
    struct txn_node *dir;
    uint64_t inos[] = {at.parent, ino};
    txn_lock_dirs(txn, &at.parent, 1);
    int r = dir_get(fs, NULL, at, &link);
    if (r != -ENOENT) {
        return r == 0 ? -EEXIST : r;
    }
    txn_lock_inodes(txn, inos, 2);
    r = txn_load_dir(txn, at.parent, &dir);
    if (r < 0) {
        return r;
    }
    if (flags_check_add(&dir->node.inode) < 0) {
        return -EPERM;
    }
    bool is_dir = S_ISDIR(new_node->mode);
    r = dir_check_links(dir, is_dir ? 1 : 0);
    if (r < 0) {
        return r;
    }
    struct txn_node *node = txn_add(txn, ino);
    namei_new_inode(new_node, &dir->node.inode, txn->now, &node->node.inode);
    r = namei_inherit_acl(txn, &dir->node, new_node->mode, &node->node);
    if (r < 0) {
        return r;
    }
    dir_add_first(txn, node, at);
    dir_touch(txn, dir, 1, is_dir ? 1 : 0);
    *ret_node = node;
    return 0;
}

/* Make a name and its inode, with `references` to it (the look-up, and a handle or not). */
static int make(struct kvfs *fs, const struct new_node *new_node, struct dir_name at,
                unsigned references, struct kvfs_entry *ret_entry)
{
    struct txn *txn = NULL;
    struct txn_node *node;
    unsigned taken = 0;
    uint64_t ino = 0;
    int r = txn_begin(fs, &txn);
    if (r == 0) {
        r = ino_alloc(fs, 1, &ino);
    }
    if (r == 0) {
        r = make_locked(txn, new_node, at, ino, &node);
    }
    while (r == 0 && taken < references) {
        r = lookup_table_add(&fs->lookups, ino);
        taken += r == 0;
    }
    if (r == 0) {
        r = txn_commit(txn);
    }
    if (r == 0) {
        node_entry(&node->node, ret_entry);
        dir_set_hint(fs, at, ino);
    } else {
        lookup_table_sub(&fs->lookups, ino, taken);
    }
    txn_end(txn);
    return r;
}

static int make_named(struct kvfs *fs, const struct new_node *new_node, uint64_t parent,
                      const char *name, struct kvfs_entry *ret_entry)
{
    struct kv_slice bytes;
    int r = fs_name(name, &bytes);
    return r < 0 ? r : make(fs, new_node, dir_name(parent, bytes), 1, ret_entry);
}

int kvfs_mknod(struct kvfs *fs, uint64_t parent, const char *name, const struct kvfs_new *what,
               struct kvfs_entry *ret_entry)
{
    struct new_node new_node = {
        .who = &what->who, .mode = what->mode & (S_IFMT | 07777), .rdev = what->rdev};
    switch (what->mode & S_IFMT) {
    case 0:
        new_node.mode |= S_IFREG;
        break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    return make_named(fs, &new_node, parent, name, ret_entry);
}

int kvfs_mkdir(struct kvfs *fs, const struct kvfs_who *who, uint64_t parent, const char *name,
               mode_t mode, struct kvfs_entry *ret_entry)
{
    struct new_node new_node = {.who = who, .mode = S_IFDIR | (mode & 07777)};
    return make_named(fs, &new_node, parent, name, ret_entry);
}

int kvfs_symlink(struct kvfs *fs, const struct kvfs_who *who, uint64_t parent, const char *name,
                 const char *target, struct kvfs_entry *ret_entry)
{
    struct new_node new_node = {.who = who, .mode = S_IFLNK | 0777, .target = kv_slice_str(target)};
    if (new_node.target.size == 0) {
        return -ENOENT;
    }
    if (new_node.target.size > KVFS_SYMLINK_SIZE_MAX) {
        return -ENAMETOOLONG;
    }
    return make_named(fs, &new_node, parent, name, ret_entry);
}

static int open_existing(struct kvfs *fs, struct dir_name at, int flags,
                         struct kvfs_entry *ret_entry, struct kvfs_file **ret_file)
{
    struct kvfs_file *file = NULL;
    int r = namei_lookup(fs, at, ret_entry);
    if (r < 0) {
        return r;
    }
    r = kvfs_file_open(fs, ret_entry->ino, flags, &file);
    if (r == 0 && (flags & O_TRUNC) != 0) {
        r = kvfs_getattr(fs, ret_entry->ino, ret_entry);
    }
    if (r < 0 || ret_file == NULL) {
        kvfs_file_close(file);
    } else {
        *ret_file = file;
    }
    if (r < 0) {
        kvfs_forget(fs, ret_entry->ino, 1);
    }
    return r;
}

int kvfs_create(struct kvfs *fs, uint64_t parent, const char *name, const struct kvfs_new *what,
                struct kvfs_entry *ret_entry, struct kvfs_file **ret_file)
{
    struct new_node new_node = {.who = &what->who, .mode = S_IFREG | (what->mode & 07777)};
    struct kvfs_file *file = NULL;
    struct kv_slice bytes;
    int r = fs_name(name, &bytes);
    if (r == 0 && ret_file != NULL) {
        r = handle_create(fs, &file);
    }
    if (r < 0) {
        return r;
    }
    do {
        r = make(fs, &new_node, dir_name(parent, bytes), file != NULL ? 2 : 1, ret_entry);
        if (r == 0 && file != NULL) {
            handle_attach(file, ret_entry->ino);
            *ret_file = file;
        }
        if (r == 0) {
            return 0;
        }
        if (r == -EEXIST && (what->flags & O_EXCL) == 0) {
            r = open_existing(fs, dir_name(parent, bytes), what->flags, ret_entry, ret_file);
        } else if (r == -ENOENT) {
            break; /* of the directory, not of the name */
        }
    } while (r == -ENOENT); /* it was removed in between */
    kvfs_file_close(file);
    return r;
}

/* ---- links ------------------------------------------------------------------------------------
 */

static int link_locked(struct txn *txn, uint64_t ino, struct dir_name at,
                       struct kvfs_entry *ret_entry)
{
    struct kvfs *fs = txn->fs;
    struct txn_node *dir;
    struct txn_node *node;
    struct dir_link link;
    uint64_t inos[] = {at.parent, ino};
    txn_lock_dirs(txn, &at.parent, 1);
    int exists = dir_get(fs, NULL, at, &link);
    if (exists < 0 && exists != -ENOENT) {
        return exists;
    }
    txn_lock_inodes(txn, inos, 2);
    int r = txn_load_dir(txn, at.parent, &dir);
    if (r == 0) {
        r = exists == 0 ? -EEXIST : txn_load(txn, ino, NULL, &node);
    }
    if (r < 0) {
        return r;
    }
    struct inode *inode = &node->node.inode;
    if (S_ISDIR(inode->mode) || flags_check_add(&dir->node.inode) < 0 ||
        flags_check_change(inode) < 0) {
        return -EPERM;
    }
    bool first = inode->nlink == 0;
    if (first && !lookup_table_is_linkable(&fs->lookups, ino)) {
        return -ENOENT;
    }
    if (inode->nlink >= FORMAT_LINK_COUNT_MAX) {
        return -EMLINK;
    }
    inode->nlink++;
    inode->ctime = txn->now;
    if (first) {
        orphan_revive(txn, node);
        dir_add_first(txn, node, at);
    } else {
        dir_add_link(txn, node, at);
    }
    dir_touch(txn, dir, 1, 0);
    r = lookup_table_add(&fs->lookups, ino);
    if (r < 0) {
        return r;
    }
    r = txn_commit(txn);
    if (r < 0) {
        /* It had references before, or else a name: it cannot be the last of an orphan. */
        lookup_table_sub(&fs->lookups, ino, 1);
        return r;
    }
    if (first) {
        lookup_table_unmark(&fs->lookups, ino);
    }
    node_entry(&node->node, ret_entry);
    return 0;
}

int kvfs_link(struct kvfs *fs, uint64_t ino, uint64_t parent, const char *name,
              struct kvfs_entry *ret_entry)
{
    struct txn *txn = NULL;
    struct kv_slice bytes;
    int r = fs_name(name, &bytes);
    if (r == 0) {
        r = txn_begin(fs, &txn);
    }
    if (r == 0) {
        r = link_locked(txn, ino, dir_name(parent, bytes), ret_entry);
    }
    txn_end(txn);
    return r;
}

int namei_drop_link(struct txn *txn, struct txn_node *node, struct dir_name at,
                    uint64_t *ret_orphan)
{
    struct inode *inode = &node->node.inode;
    bool had_row = node->node.loc.parent == 0;
    dir_drop_backptr(txn, node, at);
    inode->nlink = S_ISDIR(inode->mode) ? 0 : inode->nlink - 1;
    inode->ctime = txn->now;
    node->dirty = true;
    *ret_orphan = 0;
    if (inode->nlink > 0) {
        return 0;
    }
    int r = orphan_make(txn, node, had_row);
    if (r == 0 && (!node->gone || node->kept != NULL)) {
        *ret_orphan = node->node.ino;
    }
    return r;
}

static int unlink_locked(struct txn *txn, struct dir_name at, uint64_t *ret_orphan)
{
    struct dir_link link;
    struct txn_node *dir;
    struct txn_node *node;
    txn_lock_dirs(txn, &at.parent, 1);
    int r = dir_find(txn->fs, at, &link);
    if (r == -ENOENT) {
        txn_lock_inodes(txn, &at.parent, 1);
        r = txn_load_dir(txn, at.parent, &dir);
        return r < 0 ? r : -ENOENT;
    }
    if (r < 0 || link.type == DT_DIR) {
        return r < 0 ? r : -EISDIR;
    }
    uint64_t inos[] = {at.parent, link.ino};
    txn_lock_inodes(txn, inos, 2);
    r = txn_load_dir(txn, at.parent, &dir);
    if (r == 0) {
        struct location hint;
        location_set(&hint, at.parent, at.name);
        r = txn_load(txn, link.ino, &hint, &node);
    }
    if (r == 0) {
        r = flags_check_drop(&dir->node.inode, &node->node.inode);
    }
    if (r < 0) {
        return r;
    }
    if (node->node.inode.nlink == 0 ||
        (node->node.loc.parent != 0 && !location_is(&node->node.loc, at))) {
        struct rowkey key;
        rowkey_dirent(&key, at.parent, at.name);
        return fs_row_damaged(txn->fs, rowkey_slice(&key), "its inode lives under another name");
    }
    dir_delete_row(txn, at);
    dir_touch(txn, dir, -1, 0);
    r = namei_drop_link(txn, node, at, ret_orphan);
    return r < 0 ? r : txn_commit(txn);
}

int namei_unlink(struct kvfs *fs, struct dir_name at)
{
    struct txn *txn = NULL;
    uint64_t orphan = 0;
    int r = txn_begin(fs, &txn);
    if (r == 0) {
        txn_frees_space(txn);
        r = unlink_locked(txn, at, &orphan);
    }
    txn_end(txn);
    if (r == 0) {
        orphan_settle(fs, orphan);
    }
    return r;
}

int kvfs_unlink(struct kvfs *fs, uint64_t parent, const char *name)
{
    struct kv_slice bytes;
    int r = fs_name(name, &bytes);
    return r < 0 ? r : namei_unlink(fs, dir_name(parent, bytes));
}
