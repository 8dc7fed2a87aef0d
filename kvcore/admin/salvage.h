/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a table, found without footer and index (block_walk.h). One walk reads the file once
 * and notes its parts; what they hold is read again when it is wanted. */
#ifndef KVCORE_ADMIN_SALVAGE_H
#define KVCORE_ADMIN_SALVAGE_H

#include "kvcore/table/block_cache.h"
#include "kvcore/table/filter.h"
#include "kvcore/table/range_dels.h"
#include "kvcore/table/table_format.h"
#include "kvcore/table/table_index.h"

struct salvage_part {
    uint64_t offset, size;
    int type;   /* enum block_type; 0: a gap, no header was found in it */
    bool sound; /* what the block holds was verified */
};

struct salvage {
    struct kv_storage *storage;
    uint64_t file_seed;
    uint64_t number;
    struct kv_object *object;
    uint64_t file_bytes;
    int (*read_fn)(void *arg, uint64_t bytes); /* of who opened it */
    void *read_arg;
    struct salvage_part *parts; /* in the file's order */
    size_t count, capacity;
    uint64_t rows; /* in the sound data blocks */
    bool has_footer;
    bool has_properties;
    struct table_properties properties;
    bool has_index; /* the index that some sound index block holds */
    struct cached_block *index_block;
    struct table_index index;
    bool has_filter; /* then a key that it denies was never in the table */
    struct cached_block *filter_block;
    struct filter filter;
    bool has_ranges; /* a sound block of range deletes */
    struct range_dels *range_dels;
    bool newer; /* it has something that this version does not know */
};

/* Walk through table `number`. `read_fn` is told of bytes that are read, and ends the walk with
 * what is not 0; may be NULL. Errors: -ENOENT; -ENOMEM; what `read_fn` said. */
KV_MUST_CHECK int salvage_open(struct kv_storage *storage, uint64_t store_seed, uint64_t number,
                               int (*read_fn)(void *arg, uint64_t bytes), void *arg,
                               struct salvage **ret_salvage);
void salvage_close(struct salvage *salvage); /* accepts NULL */
/* The rows of a sound data block. The block is to be unreferenced. Errors: -KV_EDAMAGED it changed
 * since; -EIO, -ENOMEM. */
KV_MUST_CHECK int salvage_rows(struct salvage *salvage, const struct salvage_part *part,
                               struct cached_block **ret_block);
/* The part that begins at `offset`, or NULL. */
const struct salvage_part *salvage_find(const struct salvage *salvage, uint64_t offset);

#endif
