/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of files that is as dumb as possible. The crash tests of the filesystem keep one beside
 * it, read one back from what a crash left, and compare their texts.
 *
 * Everything here ends the test (ck_abort) when it meets what must not be. */
#ifndef TESTS_CRASH_TREE_H
#define TESTS_CRASH_TREE_H

#include "fs/kvfs.h"

enum {
    TREE_NODES = 48,
    TREE_NAMES = 7, /* names that a directory may hold */
    TREE_XATTRS = 2,
    TREE_FILE_MAX = 160 * 1024,
    TREE_XATTR_MAX = 600,
    TREE_TARGET_MAX = 300,
};

struct tree_node {
    uint64_t ino; /* 0: not in use */
    mode_t mode;
    unsigned nlink;
    int parent;              /* of a directory */
    int entries[TREE_NAMES]; /* nodes, -1: none */
    uint8_t *bytes;
    size_t size;
    uint32_t target;             /* of a symbolic link; see tree_target() */
    uint32_t xattr[TREE_XATTRS]; /* 0: none; see tree_xattr() */
    struct kvfs_file *file;      /* keeps the node when its last name goes */
    bool unnamed;                /* never had a name */
};

/* Node 0 is the root. */
struct tree {
    struct tree_node nodes[TREE_NODES];
};

const char *tree_name(int name);
const char *tree_xattr_name(int xattr);
/* What the numbers stand for. */
size_t tree_xattr(uint32_t number, uint8_t to[TREE_XATTR_MAX]);
void tree_target(uint32_t number, char to[TREE_TARGET_MAX]);

void tree_init(struct tree *tree, mode_t root_mode);
void tree_finish(struct tree *tree);
/* -1 if there is no room. */
int tree_add(struct tree *tree, uint64_t ino, mode_t mode);
/* Forget the node if neither a name nor an open file refers to it. */
void tree_settle(struct tree *tree, int node);
void tree_put(struct tree *tree, int dir, int name, int node); /* a new link */
void tree_take(struct tree *tree, int dir, int name);          /* a link goes, the node stays */
void tree_drop(struct tree *tree, int dir, int name);          /* and the node with the last */
void tree_resize(struct tree_node *node, size_t size);
bool tree_is_empty(const struct tree_node *dir);
/* Whether `dir` is `node` or below it. */
bool tree_is_below(const struct tree *tree, int dir, int node);

/* The tree in a filesystem. */
void tree_read(struct kvfs *fs, struct tree *ret_tree);
/* One line for every name, in order: path, which inode, type and mode, links, size, a hash of the
 * contents and of the attributes. Two trees that look the same have the same text. Freed by the
 * caller. */
char *tree_text(const struct tree *tree);

#endif
