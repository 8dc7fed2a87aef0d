/* SPDX-License-Identifier: Apache-2.0 */
/* A filesystem on the simulated file system, random operations on it, and beside it a tree that
 * does the same and the text of that tree after each operation.
 *
 * A script is a text of steps, each a letter and perhaps a count: "c5 w20 s r". What a step is done
 * to is drawn at random from what is there; a step that nothing can be done with is passed over.
 *   c create   d mkdir    l symlink      h link         u unlink or rmdir
 *   n create without a name, open         N give such a file its name
 *   m rename   M rename over something   x exchange     o open, to be unlinked later   q close
 *   w write    W write much              a append       p punch or zero a range
 *   b write pages of a file              y copy a range to a file
 *   t shrink   e extend   T shrink and extend at once behind it
 *   v set or remove an xattr             g change the mode
 *   k put by key          K delete by key    B put one key and delete another
 *   s fsync    f flush    C compact      r close and open again
 *   i the same, and keep an index of an attribute from then on, or drop it */
#ifndef TESTS_CRASH_FS_RIG_H
#define TESTS_CRASH_FS_RIG_H

#include "tests/crash/rig.h"
#include "tests/crash/tree.h"

struct fs_rig {
    struct sim_fs *sim;
    struct kvfs *fs;
    struct tree tree;
    char **texts;             /* of the tree before each operation, and behind the last */
    struct rig_bounds bounds; /* in operations */
    struct rng rng;
    uint32_t next_number; /* of contents */
    const char *index;    /* the option of the next opening; NULL: none is given */
    char message[256];    /* the first error that was told of */
};

void fs_rig_init(struct fs_rig *rig, struct sim_fs *take_sim, uint64_t seed);
/* The filesystem must be closed. */
void fs_rig_finish(struct fs_rig *rig);
KV_MUST_CHECK int fs_rig_open(struct fs_rig *rig, bool create);
/* Close; after success everything is durable. */
KV_MUST_CHECK int fs_rig_close(struct fs_rig *rig);
/* Let go of it as a process does that dies: the simulated file system stays as it is. */
void fs_rig_abandon(struct fs_rig *rig);
/* Do one step once. Ends the test if anything fails. */
void fs_rig_step(struct fs_rig *rig, char step);

#endif
