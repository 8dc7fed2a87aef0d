/* SPDX-License-Identifier: Apache-2.0 */
/* A small tree of files whose rows are changed behind the filesystem's back, for tests of the walk
 * over all rows and of mending. */
#ifndef TESTS_FS_FS_TREE_H
#define TESTS_FS_FS_TREE_H

#include "tests/fs/fs_fixture.h"

enum { FS_TREE_TEXT_SIZE = 8192 };

/* A tree with one of each: directories in each other, a file that lives in its entry, one with two
 * links, contents, an attribute. */
struct fs_tree {
    struct fs_fixture f;
    uint64_t dir, inner, file, linked; /* dir, dir/inner, dir/inner/file; dir/one and two */
    struct kvfs_check_counts counts;
    char faults[FS_TREE_TEXT_SIZE]; /* of the last walk, "CODE SENTENCE" a line */
};

void fs_tree_make(struct fs_tree *t);
/* The rows are wrong: no check as fixture_close() makes it. */
void fs_tree_drop(struct fs_tree *t);
/* A function of kvfs_check(); `arg` is the tree. */
void fs_tree_tell(void *arg, int code, const char *text);
void fs_tree_walk(struct fs_tree *t);
/* Walk and write what mends it until nothing is left to write. Returns how often that took. */
unsigned fs_tree_mend(struct fs_tree *t);
/* Once, without knowing what was lost. */
void fs_tree_mend_once(struct fs_tree *t);
/* Until the end, where it is known. */
unsigned fs_tree_mend_lost(struct fs_tree *t, const struct kvfs_lost_rows *lost);

/* Changes one row; `value` NULL deletes it. */
void fs_tree_change(struct fs_tree *t, const char *table, const struct rowkey *key,
                    const struct kv_slice *value);
/* The value of a row of the table meta, which must be there; to be finished. */
struct kv_buf fs_tree_get(struct fs_tree *t, const struct rowkey *key);
/* The row is known to be lost, as rows are that a repair of the engine could not keep. */
void fs_tree_lose(struct fs_tree *t, const char *table, const struct rowkey *key);
/* The inode in an entry, or of an I row, is changed by `fn` and written again. */
typedef void fs_tree_inode_fn(struct inode *inode);
void fs_tree_change_entry(struct fs_tree *t, uint64_t parent, const char *name,
                          fs_tree_inode_fn *fn);
void fs_tree_change_inode(struct fs_tree *t, uint64_t ino, fs_tree_inode_fn *fn);

/* ---- damage that several tests make ---- */

void fs_tree_lose_entry(struct fs_tree *t);       /* of the file */
void fs_tree_drop_extent(struct fs_tree *t);      /* its first one */
void fs_tree_unname_directory(struct fs_tree *t); /* entry and back-pointer of `dir` are gone */
void fs_tree_lose_index_name(struct fs_tree *t);

#endif
