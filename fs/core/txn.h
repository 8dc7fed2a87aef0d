/* SPDX-License-Identifier: Apache-2.0 */
/* One operation: the locks it holds, the inodes it changes, and the one batch it becomes.
 *
 *   txn_begin -> txn_lock_dirs -> read entries -> txn_lock_inodes -> txn_load, change nodes,
 *   txn_put, txn_delete -> txn_commit -> txn_end
 *
 * Nodes marked dirty are written where their location says by txn_commit(), which afterwards brings
 * the inode cache up to date. Rows come behind those the operation put itself. A failure to collect
 * a row is kept and returned by txn_commit(); nothing is written then. Used by one thread. */
#ifndef FS_CORE_TXN_H
#define FS_CORE_TXN_H

#include "fs/core/stripes.h"

struct kvfs;
struct unlinked;

enum {
    TXN_NODE_MAX = 4,
    TXN_DELETE_MAX = 32, /* so many rows are deleted one by one, more by their range */
};

struct txn_node {
    struct node node;
    bool dirty;            /* write the inode at commit */
    bool resummarize;      /* mode or owner changed: back-pointers too */
    bool gone;             /* its rows were deleted: write nothing, forget it */
    bool recounted;        /* see txn_recount() */
    uint64_t stored;       /* bytes allocated, as the last commit left it */
    uint64_t stored_lost;  /* and those of them that are lost */
    struct unlinked *kept; /* what outlives its rows once these are gone, or NULL (unlinked.h) */
};

struct chunk; /* chunk.h */

struct txn {
    struct kvfs *fs;
    struct kv_batch *batch;
    struct chunk *chunk; /* made when needed */
    struct txn *next;    /* in the pool */
    struct timespec now; /* of the operation */
    int error;           /* first failure to collect a row */
    unsigned rows;       /* collected */
    bool rename_held;
    bool frees_space; /* may use the engine's reserve */
    bool may_lag;     /* see txn_may_lag() */
    struct stripe_set dirs;
    struct stripe_set inodes;
    unsigned node_count;
    struct txn_node nodes[TXN_NODE_MAX];
    struct txn_node *more; /* the ones behind them, see txn_reserve_nodes() */
    size_t more_max;
    uint8_t value[DIRENT_SIZE_MAX];
};

struct txn_pool {
    struct mutex mu;
    struct txn *free_list;
    unsigned free_count;
};

void txn_pool_init(struct txn_pool *pool);
void txn_pool_finish(struct txn_pool *pool);

/* Errors: -EROFS, -ENOMEM. */
KV_MUST_CHECK int txn_begin(struct kvfs *fs, struct txn **ret_txn);
/* Give up the locks and whatever was not committed. Accepts NULL. */
void txn_end(struct txn *txn);
/* The same, but start over with the same object. */
void txn_restart(struct txn *txn);

void txn_lock_rename(struct txn *txn);
void txn_lock_dirs(struct txn *txn, const uint64_t *inos, unsigned count);
void txn_lock_inodes(struct txn *txn, const uint64_t *inos, unsigned count);

/* Room for so many nodes in this operation, for one that needs more than TXN_NODE_MAX. Call it
 * before the first node. Errors: -ENOMEM. */
KV_MUST_CHECK int txn_reserve_nodes(struct txn *txn, size_t count);
/* The node to change, loaded at its first use. Its stripe must be held. */
KV_MUST_CHECK int txn_load(struct txn *txn, uint64_t ino, const struct location *hint,
                           struct txn_node **ret_node);
/* The same of a number that was not loaded before in this operation, without looking for it. */
KV_MUST_CHECK int txn_load_first(struct txn *txn, uint64_t ino, const struct location *hint,
                                 struct txn_node **ret_node);
/* -ENOTDIR; -ENOENT if the directory was removed. */
KV_MUST_CHECK int txn_load_dir(struct txn *txn, uint64_t ino, struct txn_node **ret_node);
/* A node that has no rows yet, all zero but its number. */
struct txn_node *txn_add(struct txn *txn, uint64_t ino);

/* The operation frees space in the end: it is carried out on a full device too. */
void txn_frees_space(struct txn *txn);
/* Nobody minds if the process dies before the operation is handed to the operating system. */
void txn_may_lag(struct txn *txn);
void txn_put(struct txn *txn, struct kv_table *table, const struct rowkey *key,
             struct kv_slice value);
void txn_delete(struct txn *txn, struct kv_table *table, const struct rowkey *key);
/* The same of a row whose key is no row key. */
void txn_put_bytes(struct txn *txn, struct kv_table *table, struct kv_slice key,
                   struct kv_slice value);
void txn_delete_bytes(struct txn *txn, struct kv_table *table, struct kv_slice key);
/* Everything in [from, to), earlier rows of the batch included. */
void txn_delete_range(struct txn *txn, struct kv_table *table, const struct rowkey *from,
                      const struct rowkey *to);
/* A row that is lost. */
void txn_put_lost(struct txn *txn, struct kv_table *table, const struct rowkey *key);
/* A part of the value that `from` stands on. -KV_EDAMAGED: it cannot be read; the operation goes
 * on. Other errors are kept as those of txn_put(). */
KV_MUST_CHECK int txn_put_part(struct txn *txn, struct kv_table *table, const struct rowkey *key,
                               struct kv_iter *from, size_t skip, size_t size);
/* The file has a lost extent, whose length is no longer known: make its bytes allocated what its
 * extents add up to, once in an operation. */
KV_MUST_CHECK int txn_recount(struct txn *txn, struct txn_node *node);
/* The back-pointer of an inode that lives in its entry. */
void txn_put_backptr(struct txn *txn, const struct node *node);
/* The inode, at its location. */
void txn_put_inode(struct txn *txn, const struct node *node);

/* Write the batch. The nodes stay, clean, so that the operation can go on with a further batch.
 * -ESTALE: a part's bytes moved since they were looked up; start over (txn_restart()). */
KV_MUST_CHECK int txn_commit(struct txn *txn);

#endif
