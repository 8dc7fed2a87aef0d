/* SPDX-License-Identifier: Apache-2.0 */
/* The rows that make the store what a batch's tree says. */
#ifndef FS_CORE_BATCH_WRITE_H
#define FS_CORE_BATCH_WRITE_H

#include "fs/core/batch_tree.h"

struct batch_writing {
    struct txn *txn;
    struct batch_tree *tree;
    struct kvfs_batch *batch;
    const struct kvfs_who *who;
};

/* Take the stripes of every inode that is compared or changes, the fresh ones included, which have
 * their numbers. Errors: -ENOMEM. */
KV_MUST_CHECK int batch_lock_inodes(const struct batch_writing *w);
/* With them held: -ECANCELED an if-equal does not hold; those of reading. */
KV_MUST_CHECK int batch_compare(const struct batch_writing *w);
/* Collect the rows and commit. Errors: -EPERM flags of chattr(1), -EMLINK, those of reading and
 * writing. */
KV_MUST_CHECK int batch_write(const struct batch_writing *w);

#endif
