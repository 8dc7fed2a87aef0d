/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an inode: its last link is gone. In use, it keeps its I row and gets an O row until
 * the last reference is given back; so does an inode made without a link. Otherwise, or if it is
 * small enough to be kept in memory meanwhile (unlinked.h), it goes with the operation. Many rows
 * are deleted by their range, so that neither takes longer for a larger file. A crash in between
 * leaves an orphan that the next opening finishes.
 *
 * A mount forgets the many small files of an `rm -r` one by one. Those wait until ORPHAN_GROUP came
 * together, so that they take one batch, and the unlinks beside them seldom meet another writer. */
#ifndef FS_CORE_ORPHAN_H
#define FS_CORE_ORPHAN_H

#include "fs/core/txn.h"

enum { ORPHAN_GROUP = 16 };

struct orphan_group {
    struct mutex mu;
    unsigned count; /* guarded by mu, as are the numbers */
    uint64_t inos[ORPHAN_GROUP];
};

void orphan_group_init(struct orphan_group *group);
void orphan_group_finish(struct orphan_group *group);

/* The node's last link was dropped (dir_drop_backptr). Collects what is to happen to its rows.
 * `had_row`: it had an I row before. */
KV_MUST_CHECK int orphan_make(struct txn *txn, struct txn_node *node, bool had_row);
/* The row that says that an inode is an orphan. */
void orphan_put_row(struct txn *txn, uint64_t ino);
/* The operation changes a node whose last link it dropped: no longer kept as it was, it is an
 * orphan with rows, if anybody uses it. */
void orphan_put_again(struct txn *txn, struct txn_node *node);
/* A node that is made without a link: it is an orphan from now on. */
void orphan_put(struct txn *txn, struct txn_node *node);
/* The node gets a link again: it is no orphan any more, and has no I row until it gets one. */
void orphan_revive(struct txn *txn, const struct txn_node *node);
/* After the commit and txn_end(): finish the inode if nobody uses it. `ino` 0: nothing. */
void orphan_settle(struct kvfs *fs, uint64_t ino);
/* Remove all rows of an orphan that nobody uses. */
KV_MUST_CHECK int orphan_finish(struct kvfs *fs, uint64_t ino);
/* The same, but a small one may wait for others, at most until the filesystem is closed or, after a
 * crash, opened again. What fails is reported. */
void orphan_finish_later(struct kvfs *fs, uint64_t ino);
/* All orphans of the store, when nothing is in use. What cannot be finished is reported and stays.
 * Errors: those of listing them. */
KV_MUST_CHECK int orphan_finish_all(struct kvfs *fs);

#endif
