/* SPDX-License-Identifier: Apache-2.0 */
/* What lies where in the files of a sound store, as kv_inspect() tells it, and so which paths may
 * be the worse for bytes that changed: those one of whose rows, or of their directories' entries,
 * or of whose bytes lay there. Of a block of a table all keys count from the last one of the block
 * before to the first one of the next: nobody can say that the block held none of them. Of a log
 * all rows count from there on: what it says of them is said in order or not at all. */
#ifndef TESTS_DAMAGE_DAMAGE_MAP_H
#define TESTS_DAMAGE_DAMAGE_MAP_H

#include "tests/damage/damage_dir.h"
#include "tests/damage/damage_tree.h"
#include "tests/damage/image.h"

struct damage_piece {
    unsigned file;             /* of the image */
    uint64_t from, to;         /* a change of these bytes may lose the keys below */
    bool is_log, is_data;      /* the rows are of the table data, else of meta */
    bool behind;               /* `first` itself is not among them */
    struct kv_buf first, last; /* empty: none that matters */
};

/* Rows on which a path rests. */
struct damage_key {
    unsigned path;
    bool is_data;
    struct kv_buf first, last;
};

struct damage_map {
    struct damage_piece *pieces;
    size_t count;
    struct damage_key *keys;
    size_t key_count;
};

/* `image` lies in the directory, sound, and holds `tree`. */
void damage_map_make(struct damage_map *map, const struct damage_dir *dir,
                     const struct image *image, const struct tree *tree);
void damage_map_finish(struct damage_map *map);

struct damage_touched {
    bool log; /* any byte of a log */
    /* The manifest and a table, of a store that was not closed, or whose logs or root record are
     * damaged: the manifest may end where it did at an earlier moment, and the table be what told
     * how it went on. */
    bool earlier;
    bool unnamed;              /* a table is gone, and the manifest is damaged that named it */
    bool in_log[TREE_PATHS];   /* may be what it was before */
    bool in_table[TREE_PATHS]; /* may have lost something */
};
/* What became of the image. */
void damage_map_compare(const struct damage_map *map, const struct image *sound,
                        const struct image *damaged, struct damage_touched *ret_touched);

#endif
