/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of name operations that several modules use. */
#ifndef FS_CORE_NAMEI_H
#define FS_CORE_NAMEI_H

#include "fs/core/dir.h"

/* What is to be made; target only for symbolic links. */
struct new_node {
    const struct kvfs_who *who;
    mode_t mode; /* with type, umask not yet applied */
    dev_t rdev;
    struct kv_slice target;
};

/* The inode of a new file in `dir`: owner, mode and times by the rules. */
void namei_new_inode(const struct new_node *new_node, const struct inode *dir, struct timespec now,
                     struct inode *ret_inode);
/* The rules of acl(5) in place of the umask, where the directory has a default ACL: for `node`,
 * which is made in it with `mode`. */
KV_MUST_CHECK int namei_inherit_acl(struct txn *txn, const struct node *dir, mode_t mode,
                                    struct node *node);
/* Drop a link whose D row the caller deletes or replaces, and end the inode if it was the last.
 * `ret_orphan` gets the number that orphan_settle() is to be given after txn_end(), or 0. */
KV_MUST_CHECK int namei_drop_link(struct txn *txn, struct txn_node *node, struct dir_name at,
                                  uint64_t *ret_orphan);
/* kvfs_unlink() of a name given as bytes. */
KV_MUST_CHECK int namei_unlink(struct kvfs *fs, struct dir_name at);
/* With the stripe of `ino` held: load it if the name still stands for it. Returns 1 if it does not.
 */
KV_MUST_CHECK int namei_confirm(struct kvfs *fs, struct dir_name at, uint64_t ino,
                                struct node *ret_node);
/* As kvfs_lookup() of an ordinary name. */
KV_MUST_CHECK int namei_lookup(struct kvfs *fs, struct dir_name at, struct kvfs_entry *ret_entry);

#endif
