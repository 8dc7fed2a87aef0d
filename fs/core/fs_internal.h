/* SPDX-License-Identifier: Apache-2.0 */
/* The filesystem object and what its modules share.
 *
 * Locks, in the order they are taken (lock_rank.h):
 *   rename_mu      held by a rename that gives a directory another parent: the tree above any
 *                  directory stands still meanwhile
 *   dir stripe     guards which names a directory has
 *   inode stripe   guards attributes, location and data of an inode; held while its rows are
 *                  committed, never while waiting for a sync
 *   lookups, listings, inos  leaves
 * A name operation reads the entries under the directory stripes, so learns the inodes, then takes
 * their stripes and those of the directories. */
#ifndef FS_CORE_FS_INTERNAL_H
#define FS_CORE_FS_INTERNAL_H

#include "fs/core/attr_index.h"
#include "fs/core/ino.h"
#include "fs/core/listings.h"
#include "fs/core/lookup_table.h"
#include "fs/core/loss.h"
#include "fs/core/node.h"
#include "fs/core/orphan.h"
#include "fs/core/stripes.h"
#include "fs/core/txn.h"
#include "fs/kvfs.h"
#include "kvcore/util/message.h"

struct kvfs {
    /* constant after open */
    struct kv_store *store;
    struct kv_table *meta;
    struct kv_table *data;
    bool read_only;
    struct message_sink sink;
    kvfs_walk_fn *walk_fn; /* see kvfs_options */
    void *walk_arg;
    _Atomic uint64_t *name_hints; /* inode number last found under a hash of parent and name */
    uint32_t name_hint_count;     /* power of two */
    /* constant once requests are served */
    kvfs_changed_fn *changed_fn;
    void *changed_arg;
    bool keeps_sizes;
    /* with locks of their own */
    struct mutex rename_mu;
    struct stripes stripes;
    struct lookup_table lookups;
    struct listings listings;
    struct ino_source inos;
    struct txn_pool txns;
    struct orphan_group orphans;
    _Atomic size_t unlinked_bytes; /* see unlinked.h */
    size_t unlinked_max;           /* constant */
    struct attr_index index;
    struct loss loss;
};

/* The one place that turns the engine's results into what system calls return. */
int fs_result(int r);
/* kv_get() of a row of the filesystem. -ENOENT: no such row. */
KV_MUST_CHECK int fs_get(struct kv_table *table, const struct kv_snapshot *snapshot,
                         const struct rowkey *key, struct kv_pinned *ret_value);
/* Report a row that makes no sense; returns -EIO. */
int fs_row_damaged(struct kvfs *fs, struct kv_slice key, const char *why);
/* Rows [lower, upper) of a table; both keys must outlive the iterator. */
KV_MUST_CHECK int fs_iter(struct kv_table *table, const struct kv_snapshot *snapshot,
                          const struct rowkey *lower, const struct rowkey *upper,
                          struct kv_iter **ret_iter);
/* What ended an iteration: 0 the end, else the error. */
int fs_iter_result(const struct kv_iter *iter);
/* The name as bytes: -ENAMETOOLONG, -ENOENT for an empty one, -EINVAL if a directory cannot hold
 * it. */
KV_MUST_CHECK int fs_name(const char *name, struct kv_slice *ret_name);

#endif
