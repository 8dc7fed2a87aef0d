/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX access control lists, as the bytes that getxattr(2) and setxattr(2) pass and rows keep:
 *
 *   u32 version 2, then for each entry: u16 tag, u16 permissions (rwx as 4 2 1), u32 id
 *
 * Little-endian. The entries stand in this order: owner, named users, group, named groups, mask,
 * others; the mask must be there if anybody is named. The permission bits of the inode's mode are
 * those of owner, mask (group, where there is no mask) and others: whoever changes one of the two
 * changes the other. The rules of acl(5). */
#ifndef FS_CORE_ACL_H
#define FS_CORE_ACL_H

#include <sys/types.h>

#include <kv/slice.h>

#include "fs/core/txn.h"

/* ---- bytes -----------------------------------------------------------------------------------
 */

/* 0; -EINVAL; -EOPNOTSUPP another version. All functions below take only what passed this. */
KV_MUST_CHECK int acl_check(struct kv_slice acl);
/* It says no more than permission bits do. */
bool acl_is_minimal(struct kv_slice acl);
/* The nine permission bits that go with it. */
mode_t acl_mode(struct kv_slice acl);
/* chmod(2): make it say what the nine permission bits say. */
void acl_set_mode(struct kv_buf *acl, mode_t mode);
/* A default ACL becomes the access ACL of something made with `mode`. Returns the permission bits
 * it gets. */
mode_t acl_restrict(struct kv_buf *acl, mode_t mode);

/* ---- rows ------------------------------------------------------------------------------------
 */

enum acl_kind {
    ACL_NONE, /* another attribute */
    ACL_ACCESS,
    ACL_DEFAULT,
};

/* Which of the two the attribute is. */
enum acl_kind acl_kind(struct kv_slice name);
/* INODE_HINT_* of an inode that has one; 0 for ACL_NONE. */
uint64_t acl_hint(enum acl_kind kind);
/* Whether the inode may have it: no row need be read if not. */
bool acl_may_exist(const struct inode *inode, enum acl_kind kind);
/* Give the inode an ACL, or with an empty one take it away; an access ACL sets the permission bits.
 * The node is not dirty afterwards if that is how it was.
 * Errors: -EINVAL, -EOPNOTSUPP symbolic link, -EACCES a default ACL of what is no directory. */
KV_MUST_CHECK int acl_set(struct txn *txn, struct txn_node *node, enum acl_kind kind,
                          struct kv_slice acl);
/* The mode was changed: the access ACL follows. Errors: -EIO, -ENOMEM. */
KV_MUST_CHECK int acl_follow_mode(struct txn *txn, struct txn_node *node);
/* What things made in the directory inherit, with its stripe held: empty if nothing. Errors: -EIO,
 * -ENOMEM. */
KV_MUST_CHECK int acl_read_default(struct kvfs *fs, const struct node *dir, struct kv_buf *ret_acl);
/* The new node, made with the permission bits of `mode` less nothing, inherits `acl`; an empty one
 * changes nothing, a symbolic link inherits none. */
KV_MUST_CHECK int acl_inherit(struct txn *txn, struct kv_slice acl, mode_t mode, struct node *node);

#endif
