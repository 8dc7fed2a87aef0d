/* SPDX-License-Identifier: Apache-2.0 */
/* rename(2): plain, NOREPLACE and EXCHANGE.
 *
 * Which locks are needed depends on what the names stand for: a directory that gets another parent
 * needs rename_mu (so that the check for cycles holds), a directory that is replaced needs its
 * stripe. The usual rename needs neither, so that is tried first; where the names turn out to stand
 * for more, everything starts over with the locks for what was seen. */
#include <dirent.h>
#include <stdio.h>

#include "fs/core/flags.h"
#include "fs/core/fs_internal.h"
#include "fs/core/namei.h"
#include "fs/core/orphan.h"

struct renaming {
    struct dir_name from, to;
    unsigned flags;
    struct dir_link src, dst; /* dst.ino 0: no such name */
    struct txn_node *from_dir, *to_dir, *src_node, *dst_node;
    uint64_t orphan;
};

static int look(struct kvfs *fs, struct renaming *op)
{
    int r = dir_find(fs, op->from, &op->src);
    if (r < 0) {
        return r;
    }
    r = dir_find(fs, op->to, &op->dst);
    if (r == -ENOENT) {
        op->dst = (struct dir_link){0};
        return 0;
    }
    return r;
}

static bool replaces_directory(const struct renaming *op)
{
    return op->dst.ino != 0 && op->dst.type == DT_DIR;
}

static bool changes_parent_of_directory(const struct renaming *op)
{
    if (op->from.parent == op->to.parent) {
        return false;
    }
    bool exchange = (op->flags & RENAME_EXCHANGE) != 0;
    return op->src.type == DT_DIR || (exchange && op->dst.ino != 0 && op->dst.type == DT_DIR);
}

/* -EINVAL if `ino` is `dir` or above it. With rename_mu held, so the way up stands still. */
static int check_not_above(struct kvfs *fs, uint64_t ino, uint64_t dir)
{
    struct node node;
    while (dir != 0) {
        if (dir == ino) {
            return -EINVAL;
        }
        stripe_lock(&fs->stripes, dir);
        int r = node_load(fs, dir, NULL, &node);
        stripe_unlock(&fs->stripes, dir);
        if (r < 0) {
            return r;
        }
        dir = node.loc.parent; /* 0 above the root, and above a directory that was removed */
    }
    return 0;
}

static int check_cycles(struct kvfs *fs, const struct renaming *op)
{
    int r = 0;
    if (op->src.type == DT_DIR) {
        r = check_not_above(fs, op->src.ino, op->to.parent);
    }
    if (r == 0 && (op->flags & RENAME_EXCHANGE) != 0 && op->dst.type == DT_DIR) {
        r = check_not_above(fs, op->dst.ino, op->from.parent);
    }
    return r;
}

/* The rules of rename(2) for what the names stand for. Returns 1 if there is nothing to do. */
static int check_kinds(struct kvfs *fs, const struct renaming *op)
{
    bool exchange = (op->flags & RENAME_EXCHANGE) != 0;
    if (op->dst.ino == 0) {
        return exchange ? -ENOENT : 0;
    }
    if ((op->flags & RENAME_NOREPLACE) != 0) {
        return -EEXIST;
    }
    if (op->src.ino == op->dst.ino) {
        return 1;
    }
    if (exchange) {
        return 0;
    }
    if (op->src.type == DT_DIR && op->dst.type != DT_DIR) {
        return -ENOTDIR;
    }
    if (op->src.type != DT_DIR && op->dst.type == DT_DIR) {
        return -EISDIR;
    }
    return op->dst.type == DT_DIR ? dir_check_empty(fs, op->dst.ino) : 0;
}

/* Both names go, or come, against what chattr(1) set. */
static int check_flags(const struct renaming *op)
{
    int r = flags_check_drop(&op->from_dir->node.inode, &op->src_node->node.inode);
    if (r == 0 && op->dst_node != NULL) {
        r = flags_check_drop(&op->to_dir->node.inode, &op->dst_node->node.inode);
    }
    return r < 0 ? r : flags_check_add(&op->to_dir->node.inode);
}

static int load_child(struct txn *txn, struct dir_name at, uint64_t ino, struct txn_node **ret_node)
{
    struct location hint;
    location_set(&hint, at.parent, at.name);
    int r = txn_load(txn, ino, &hint, ret_node);
    if (r < 0) {
        return r;
    }
    const struct location *loc = &(*ret_node)->node.loc;
    if (loc->parent != 0 && !location_is(loc, at)) {
        struct rowkey key;
        rowkey_dirent(&key, at.parent, at.name);
        return fs_row_damaged(txn->fs, rowkey_slice(&key), "its inode lives under another name");
    }
    return 0;
}

static int load_nodes(struct txn *txn, struct renaming *op)
{
    uint64_t inos[] = {op->from.parent, op->to.parent, op->src.ino, op->dst.ino};
    txn_lock_inodes(txn, inos, 4);
    int r = txn_load_dir(txn, op->from.parent, &op->from_dir);
    if (r == 0) {
        r = txn_load_dir(txn, op->to.parent, &op->to_dir);
    }
    if (r == 0 && op->src.ino != 0) {
        r = load_child(txn, op->from, op->src.ino, &op->src_node);
    }
    if (r == 0 && op->dst.ino != 0 && op->dst.ino != op->src.ino) {
        r = load_child(txn, op->to, op->dst.ino, &op->dst_node);
    }
    return r;
}

static int is_directory(const struct txn_node *node)
{
    return S_ISDIR(node->node.inode.mode) ? 1 : 0;
}

/* Where directories move to another parent. */
static int check_links(const struct renaming *op)
{
    if (op->from_dir == op->to_dir) {
        return 0;
    }
    bool exchange = (op->flags & RENAME_EXCHANGE) != 0;
    int more = is_directory(op->src_node) - (op->dst_node != NULL ? is_directory(op->dst_node) : 0);
    int r = dir_check_links(op->to_dir, more);
    return r < 0 || !exchange ? r : dir_check_links(op->from_dir, -more);
}

static int build_exchange(struct txn *txn, struct renaming *op)
{
    int delta = is_directory(op->dst_node) - is_directory(op->src_node);
    /* The rows of both names are replaced, whichever of the two is written last. */
    dir_move_link(txn, op->src_node, op->from, op->to);
    dir_move_link(txn, op->dst_node, op->to, op->from);
    op->dst_node->node.inode.ctime = txn->now;
    op->dst_node->dirty = true;
    bool same_dir = op->from_dir == op->to_dir;
    dir_touch(txn, op->from_dir, 0, same_dir ? 0 : delta);
    dir_touch(txn, op->to_dir, 0, same_dir ? 0 : -delta);
    return 0;
}

static int build_plain(struct txn *txn, struct renaming *op)
{
    int moved_dir = is_directory(op->src_node);
    int r = 0;
    if (op->dst_node != NULL) {
        dir_touch(txn, op->to_dir, -1, -is_directory(op->dst_node));
        r = namei_drop_link(txn, op->dst_node, op->to, &op->orphan);
    }
    dir_delete_row(txn, op->from);
    dir_move_link(txn, op->src_node, op->from, op->to);
    dir_touch(txn, op->from_dir, -1, -moved_dir);
    dir_touch(txn, op->to_dir, 1, moved_dir);
    return r;
}

static void set_hints(struct kvfs *fs, const struct renaming *op)
{
    dir_set_hint(fs, op->to, op->src.ino);
    if ((op->flags & RENAME_EXCHANGE) != 0) {
        dir_set_hint(fs, op->from, op->dst.ino);
    }
}

static int build(struct txn *txn, struct renaming *op)
{
    int r = load_nodes(txn, op);
    if (r == 0) {
        r = check_kinds(txn->fs, op);
    }
    if (r == 0) {
        r = check_flags(op);
    }
    if (r == 0) {
        r = check_links(op);
    }
    if (r != 0) {
        return r == 1 ? 0 : r;
    }
    op->src_node->node.inode.ctime = txn->now;
    op->src_node->dirty = true;
    if ((op->flags & RENAME_EXCHANGE) != 0) {
        r = build_exchange(txn, op);
    } else {
        r = build_plain(txn, op);
    }
    r = r < 0 ? r : txn_commit(txn);
    if (r == 0) {
        set_hints(txn->fs, op);
    }
    if (r == 0 && op->dst.ino == 0 && op->from.parent == op->to.parent) {
        listings_renamed(&txn->fs->listings, op->to.parent, op->from.name, op->to.name);
    }
    return r;
}

/* A name that is missing: say whether because a directory is none. */
static int missing_source(struct txn *txn, struct renaming *op)
{
    op->src = (struct dir_link){0};
    op->dst = (struct dir_link){0};
    int r = load_nodes(txn, op);
    return r < 0 ? r : -ENOENT;
}

/* With the locks for what the names were last `seen` to stand for. Returns 1 if they stand for
 * something that needs others: start over with what is seen now. */
static int rename_once(struct txn *txn, struct renaming *op, struct renaming *seen)
{
    struct kvfs *fs = txn->fs;
    int acyclic = 0;
    if (changes_parent_of_directory(seen)) {
        txn_lock_rename(txn);
        acyclic = check_cycles(fs, seen);
    }
    uint64_t dirs[] = {op->from.parent, op->to.parent,
                       replaces_directory(seen) ? seen->dst.ino : 0};
    txn_lock_dirs(txn, dirs, 3);
    int r = look(fs, op);
    if (r < 0) {
        return r == -ENOENT ? missing_source(txn, op) : r;
    }
    if (changes_parent_of_directory(op) || replaces_directory(op)) {
        if (op->src.ino != seen->src.ino || op->dst.ino != seen->dst.ino) {
            *seen = *op;
            return 1;
        }
        r = acyclic;
    }
    return r < 0 ? r : build(txn, op);
}

int kvfs_rename(struct kvfs *fs, uint64_t old_parent, const char *old_name, uint64_t new_parent,
                const char *new_name, unsigned flags)
{
    struct txn *txn = NULL;
    struct kv_slice from;
    struct kv_slice to;
    uint64_t orphan = 0;
    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0 ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
        return -EINVAL;
    }
    int r = fs_name(old_name, &from);
    if (r == 0) {
        r = fs_name(new_name, &to);
    }
    if (r == 0) {
        r = txn_begin(fs, &txn);
    }
    if (r < 0) {
        return r;
    }
    const struct renaming wanted = {
        .from = dir_name(old_parent, from), .to = dir_name(new_parent, to), .flags = flags};
    struct renaming seen = wanted;
    do {
        struct renaming op = wanted;
        txn_restart(txn);
        r = rename_once(txn, &op, &seen);
        orphan = op.orphan;
    } while (r == 1);
    txn_end(txn);
    if (r == 0) {
        orphan_settle(fs, orphan);
    }
    return r;
}
