/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the store that is damaged: paths, each with all that it was in turn. Small files and
 * large ones, deep ones, some with a hole, attributes, a second link; made, replaced and removed
 * before a merge, before a flush, and so that only the log knows. */
#ifndef TESTS_DAMAGE_DAMAGE_TREE_H
#define TESTS_DAMAGE_DAMAGE_TREE_H

#include "fs/kvfs.h"

enum {
    TREE_PATHS = 64,
    TREE_DIRS = 4, /* the root is the first */
    TREE_STATES = 3,
    TREE_PATH_SIZE = 160,
};

enum tree_part { TREE_MERGED, TREE_FLUSHED, TREE_LOGGED };

struct tree_state {
    enum tree_part part; /* with which it was written */
    bool there;
    uint32_t size;
    uint64_t seed; /* of the bytes */
};

struct tree_path {
    char name[TREE_PATH_SIZE];
    unsigned dir;
    uint64_t ino; /* of the last state that was there; 0: none yet */
    unsigned count;
    struct tree_state states[TREE_STATES]; /* before the first it was not there */
    bool sparse, tagged;
};

struct tree {
    uint64_t seed; /* of all contents: another tree has other bytes at the same paths */
    enum tree_part part;
    uint64_t dirs[TREE_DIRS];
    struct tree_path paths[TREE_PATHS];
};

extern const char *const tree_dirs[TREE_DIRS]; /* as a key begins that is in it; "" the root */
extern const char tree_tag[];                  /* the attribute that some have, which is indexed */

/* Write one part of the tree; each is written after the one before. Assert that it works. */
void tree_write(struct tree *tree, struct kvfs *fs, enum tree_part part);

enum tree_verdict {
    TREE_RIGHT,
    TREE_ERROR,  /* reading says that something is wrong */
    TREE_OLDER,  /* what it was before what only the log knew */
    TREE_AWAY,   /* is not there, as before what only the log knew */
    TREE_GONE,   /* is not there, but was then */
    TREE_SHORT,  /* the first of its bytes, at least one fewer */
    TREE_UNLIKE, /* the bytes are right, but mode or attribute are not */
    TREE_STALE,  /* what it was before what tables know */
    TREE_WRONG,  /* what it never was */
};
const char *tree_verdict_name(enum tree_verdict verdict);
enum tree_verdict tree_judge(const struct tree *tree, struct kvfs *fs, unsigned path);

#endif
