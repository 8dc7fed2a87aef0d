/* SPDX-License-Identifier: Apache-2.0 */
/* What a batch of keys comes to: the part of the tree that its keys touch, as it is stored and as
 * it is once the changes were made one after the other. Made in memory without a change of the
 * store; batch_write.h turns the difference into rows.
 *
 * Invariants
 *  1. Every name on the way of a key is here once, found by its directory and its bytes.
 *  2. A directory stays what it is: the batch makes directories and removes none. A file that the
 *     store has may lose names and get contents, but no name: a put where a name was deleted makes
 *     another file, as it would by itself.
 *  3. dirs and files stand in the order they were met in, so a directory before what is below it.
 *
 * The tree equals the store only while the names of all directories of `dirs` that the store has
 * stand still. Used by one thread. */
#ifndef FS_CORE_BATCH_TREE_H
#define FS_CORE_BATCH_TREE_H

#include "fs/core/dir.h"
#include "fs/kvfs.h"

enum batch_kind {
    BATCH_PUT = 1,
    BATCH_DELETE,
    BATCH_IF_ABSENT,
    BATCH_IF_EQUAL,
};

struct batch_item {
    enum batch_kind kind;
    bool may_miss, missed;
    struct kv_slice key, value;
};

struct kvfs_batch {
    struct batch_item *items;
    size_t count, capacity;
    size_t components; /* of all keys: no more inodes are made */
    bool only_deletes;
    long failed_at;
};

struct batch_name;

struct batch_dir {
    struct batch_dir *next;
    uint64_t ino;
    bool fresh;                  /* made by the batch; `ino` is 0 until it gets one */
    bool changed;                /* names came or went */
    size_t item;                 /* the last one that changed it */
    struct batch_name *at;       /* NULL: the root */
    int entries, subdirectories; /* that came, less those that went */
    struct txn_node *node;       /* of batch_write.c */
    struct kv_buf acl;           /* likewise: what things made in it inherit */
};

struct batch_file {
    struct batch_file *next, *hash_next;
    uint64_t ino;
    uint8_t type; /* DT_* */
    bool fresh;   /* made by the batch; 0 until it gets one */
    bool written; /* `value` is its contents */
    bool changed; /* written, or lost a name */
    size_t item;  /* the last one that changed it */
    struct kv_slice value;
    struct batch_name *at; /* a name: of a fresh file the one it has, NULL if that was deleted */
    struct txn_node *node; /* of batch_write.c */
    uint64_t orphan;       /* likewise: see namei_drop_link() */
};

struct batch_name {
    struct batch_name *next, *hash_next;
    struct batch_dir *parent;
    struct kv_slice name;
    struct batch_dir *dir; /* what stands there: one of the two, or nothing */
    struct batch_file *file;
    struct batch_file *dropped; /* the store's file that stood there until the batch */
    bool changed;               /* what stands there, or its contents */
};

struct batch_tree {
    struct kvfs *fs;
    struct batch_name *names, **last_name;
    struct batch_dir *dirs, **last_dir;
    struct batch_file *files, **last_file;
    size_t name_count, dir_count, file_count, fresh_count;
    size_t bucket_count; /* power of two */
    struct batch_name **name_buckets;
    struct batch_file **file_buckets;
    struct batch_file *
        *compared; /* for each item: the file of an if-equal, NULL if there is none */
};

/* Errors: -ENOMEM. */
KV_MUST_CHECK int batch_tree_init(struct batch_tree *tree, struct kvfs *fs,
                                  const struct kvfs_batch *batch);
/* Accepts what is all zero. */
void batch_tree_finish(struct batch_tree *tree);
/* Look at what the conditions are about, as it is stored. Errors: -ECANCELED, with
 * batch->failed_at, an if-absent does not hold; those of reading; -E2BIG. */
KV_MUST_CHECK int batch_tree_check(struct batch_tree *tree, struct kvfs_batch *batch);
/* Make the changes in the tree. Errors: those of kvfs_key_put() and kvfs_key_delete() that come of
 * names, with batch->failed_at; those of reading; -E2BIG. */
KV_MUST_CHECK int batch_tree_apply(struct batch_tree *tree, struct kvfs_batch *batch);

#endif
