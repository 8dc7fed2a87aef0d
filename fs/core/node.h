/* SPDX-License-Identifier: Apache-2.0 */
/* Finding an inode: in the cache, else through its rows. */
#ifndef FS_CORE_NODE_H
#define FS_CORE_NODE_H

#include "fs/core/icache.h"

struct kvfs;

/* Whether the inode is in memory, with its stripe held. Nothing there counts once the store is
 * lost: then the engine is asked, which says so. */
bool node_cached(struct kvfs *fs, uint64_t ino, struct node *ret_node);
/* The inode, with its stripe held. `hint` (may be NULL) is where it is believed to live.
 * Errors: -ENOENT no such inode; -EIO damage. */
KV_MUST_CHECK int node_load(struct kvfs *fs, uint64_t ino, const struct location *hint,
                            struct node *ret_node);
/* The same, -ENOTDIR unless it is a directory, -ENOENT if it was removed. */
KV_MUST_CHECK int node_load_dir(struct kvfs *fs, uint64_t ino, struct node *ret_node);
/* The inode as its rows say at `snapshot` (NULL: now), without cache and locks. The target of a
 * symbolic link is left out. */
KV_MUST_CHECK int node_read(struct kvfs *fs, const struct kv_snapshot *snapshot, uint64_t ino,
                            const struct location *hint, struct node *ret_node);
/* Attributes as a system call shows them. */
void node_entry(const struct node *node, struct kvfs_entry *ret_entry);

#endif
