/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are made without a name (open(2) with O_TMPFILE): orphans from the start, with an I
 * row and an O row, so that a crash leaves nothing of them. link(2) may give such a file its first
 * name, unless it was made with O_EXCL; see kvfs_link(). */
#include <fcntl.h>

#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"
#include "fs/core/handle.h"
#include "fs/core/namei.h"
#include "fs/core/orphan.h"

static int make_locked(struct txn *txn, const struct new_node *new_node, uint64_t parent,
                       uint64_t ino, struct txn_node **ret_node)
{
    struct txn_node *dir;
    uint64_t inos[] = {parent, ino};
    txn_lock_inodes(txn, inos, 2);
    int r = txn_load_dir(txn, parent, &dir);
    if (r < 0) {
        return r;
    }
    if (flags_check_add(&dir->node.inode) < 0) {
        return -EPERM;
    }
    struct txn_node *node = txn_add(txn, ino);
    namei_new_inode(new_node, &dir->node.inode, txn->now, &node->node.inode);
    node->node.inode.nlink = 0;
    r = namei_inherit_acl(txn, &dir->node, new_node->mode, &node->node);
    if (r < 0) {
        return r;
    }
    orphan_put(txn, node);
    *ret_node = node;
    return 0;
}

/* With two references: the look-up and the handle. */
static int make(struct kvfs *fs, const struct new_node *new_node, uint64_t parent, bool linkable,
                struct kvfs_entry *ret_entry)
{
    enum { REFERENCES = 2 };
    struct txn *txn = NULL;
    struct txn_node *node;
    unsigned taken = 0;
    uint64_t ino = 0;
    int r = txn_begin(fs, &txn);
    if (r == 0) {
        r = ino_alloc(fs, 1, &ino);
    }
    if (r == 0) {
        r = make_locked(txn, new_node, parent, ino, &node);
    }
    while (r == 0 && taken < REFERENCES) {
        r = lookup_table_add(&fs->lookups, ino);
        taken += r == 0;
    }
    if (r == 0) {
        r = txn_commit(txn);
    }
    if (r == 0) {
        lookup_table_mark_unnamed(&fs->lookups, ino, linkable);
        node_entry(&node->node, ret_entry);
    } else {
        lookup_table_sub(&fs->lookups, ino, taken);
    }
    txn_end(txn);
    return r;
}

int kvfs_create_unnamed(struct kvfs *fs, uint64_t parent, const struct kvfs_new *what,
                        struct kvfs_entry *ret_entry, struct kvfs_file **ret_file)
{
    struct new_node new_node = {.who = &what->who, .mode = S_IFREG | (what->mode & 07777)};
    struct kvfs_file *file = NULL;
    int r = handle_create(fs, &file);
    if (r == 0) {
        r = make(fs, &new_node, parent, (what->flags & O_EXCL) == 0, ret_entry);
    }
    if (r < 0) {
        kvfs_file_close(file);
        return r;
    }
    handle_attach(file, ret_entry->ino);
    *ret_file = file;
    return 0;
}
