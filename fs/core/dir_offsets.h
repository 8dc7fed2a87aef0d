/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets of one open directory: which name stands at which place of the listing.
 *
 * Names are counted in the order they are given out. The first DIR_OFFSETS_EXACT are remembered,
 * and the latest ones, DIR_OFFSETS_RECENT at least; of those between every so-many-th, fewer the
 * more they become. So a listing that goes on where it was, or a few names before that as the
 * kernel does when it gave more than a program took, is exact in a directory of any size, and
 * memory is bounded: some 90,000 names. */
#ifndef FS_CORE_DIR_OFFSETS_H
#define FS_CORE_DIR_OFFSETS_H

#include "fs/kvfs.h"

enum {
    DIR_OFFSETS_EXACT = 65536,
    DIR_OFFSETS_RECENT = 4096, /* and up to twice as many */
    DIR_OFFSETS_SPARSE = 16384,
    DIR_OFFSETS_STEP = 64, /* from one of the sparse names to the next, at first */
};

/* All zero is an empty table. */
struct dir_offsets {
    uint64_t count; /* names given out */
    struct kv_buf bytes;
    uint32_t *starts; /* of the remembered names in bytes: u8 size, then the name */
    uint32_t start_count, start_capacity;
    uint64_t thinned;   /* names behind the first ones of which only some are remembered */
    unsigned doublings; /* of the step between them */
};

void dir_offsets_finish(struct dir_offsets *table);
/* Forget all names from `index` on; `index` itself must be one that is remembered, or `count`. */
void dir_offsets_truncate(struct dir_offsets *table, uint64_t index);
/* The next name. Errors: -ENOMEM. */
KV_MUST_CHECK int dir_offsets_add(struct dir_offsets *table, struct kv_slice name);
/* The remembered name at the greatest index that is not above `index`; `index` < count.
 * The name lasts until the next change of the table. */
struct kv_slice dir_offsets_find(const struct dir_offsets *table, uint64_t index,
                                 uint64_t *ret_index);

#endif
