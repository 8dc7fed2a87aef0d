/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of directories: reading them, and the rows of making, moving and dropping a link. */
#ifndef FS_CORE_DIR_H
#define FS_CORE_DIR_H

#include "fs/core/txn.h"

struct dir_link {
    uint64_t ino;
    uint8_t type; /* DT_* */
};

/* A name in a directory: what an operation acts on. */
struct dir_name {
    uint64_t parent;
    struct kv_slice name;
};

static inline struct dir_name dir_name(uint64_t parent, struct kv_slice name)
{
    return (struct dir_name){.parent = parent, .name = name};
}

/* Errors: -ENOENT no such name (also if `parent` is no directory). */
KV_MUST_CHECK int dir_get(struct kvfs *fs, const struct kv_snapshot *snapshot, struct dir_name at,
                          struct dir_link *ret_link);
/* The same of now, where the names of `parent` stand still and no inode stripe is held: without
 * reading the row if the cached inode says that it lives there. */
KV_MUST_CHECK int dir_find(struct kvfs *fs, struct dir_name at, struct dir_link *ret_link);
/* 0, or -ENOTEMPTY. The directory's names must stand still. */
KV_MUST_CHECK int dir_check_empty(struct kvfs *fs, uint64_t ino);

/* The inode last seen under a name, 0 if unknown: a hint, true only if the inode says so too. */
uint64_t dir_hint(struct kvfs *fs, struct dir_name at);
void dir_set_hint(struct kvfs *fs, struct dir_name at, uint64_t ino);
/* With the stripe of `ino` held: whether it is cached and lives under this name. */
bool dir_hint_holds(struct kvfs *fs, struct dir_name at, uint64_t ino, struct node *ret_node);

void dir_delete_row(struct txn *txn, struct dir_name at);
/* Give a node without rows its first link: it will live in the entry. */
void dir_add_first(struct txn *txn, struct txn_node *node, struct dir_name to);
/* Give a node one more link; from then on it has an I row. Link count and times are the caller's.
 */
void dir_add_link(struct txn *txn, struct txn_node *node, struct dir_name to);
/* The node's link `from` becomes `to`. The row of `from` is the caller's to delete. */
void dir_move_link(struct txn *txn, struct txn_node *node, struct dir_name from,
                   struct dir_name to);
/* Delete the back-pointer of the link; a node that lived in the entry gets an I row. The row of the
 * entry is the caller's to delete or replace. */
void dir_drop_backptr(struct txn *txn, struct txn_node *node, struct dir_name at);
/* Whether as many more subdirectories may come (none may be too many). Errors: -EMLINK. */
KV_MUST_CHECK int dir_check_links(const struct txn_node *dir, int64_t more);
/* Entries and subdirectories came or went. */
void dir_touch(struct txn *txn, struct txn_node *dir, int entries, int subdirectories);

static inline bool location_is(const struct location *loc, struct dir_name at)
{
    return loc->parent == at.parent && kv_slice_equal(location_name(loc), at.name);
}

#endif
