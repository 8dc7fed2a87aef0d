/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets of one open directory: which name stands at which place of the listing.
 *
 * Names are counted in the order they are given out. The first DIR_OFFSETS_EXACT are remembered,
 * beyond them every DIR_OFFSETS_STEP-th and the last one given: so reading on is exact in a
 * directory of any size, and memory is bounded. */
#ifndef FS_CORE_DIR_OFFSETS_H
#define FS_CORE_DIR_OFFSETS_H

#include "fs/kvfs.h"

enum {
    DIR_OFFSETS_EXACT = 65536,
    DIR_OFFSETS_STEP = 64,
};

/* All zero is an empty table. */
struct dir_offsets {
    uint64_t count; /* names given out */
    struct kv_buf bytes;
    uint32_t *starts; /* of the remembered names in bytes: u8 size, then the name */
    uint32_t start_count, start_capacity;
    uint8_t last_size; /* the newest name */
    uint8_t last[KVFS_NAME_SIZE_MAX];
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
