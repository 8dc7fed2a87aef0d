/* SPDX-License-Identifier: Apache-2.0 */
/* A block of sorted rows laid out in columns, so that a search touches an array of 4-byte key heads
 * and decodes nothing. Byte layout in docs/format.md, "Rows block"; the slotted layout is discussed
 * there. Data blocks, the index and range deletes use the same layout. */
#ifndef KVCORE_TABLE_ROWS_BLOCK_H
#define KVCORE_TABLE_ROWS_BLOCK_H

#include "kvcore/table/iter.h"

/* ---- building ---- */

struct rows_builder;

KV_MUST_CHECK int rows_builder_create(struct rows_builder **ret_builder);
void rows_builder_destroy(struct rows_builder *builder);
/* Rows come in order; key and value are copied. Errors: -ENOMEM. */
KV_MUST_CHECK int rows_builder_add(struct rows_builder *builder, const struct row *row);
/* About the size that finish would give. */
size_t rows_builder_size(const struct rows_builder *builder);
size_t rows_builder_count(const struct rows_builder *builder);
/* The last row added; valid until the next add or reset. */
struct row rows_builder_last(const struct rows_builder *builder);
/* Encode all rows (at least one) to `to` (replaced) and empty the builder. */
KV_MUST_CHECK int rows_builder_finish(struct rows_builder *builder, struct kv_buf *to);

/* ---- reading ---- */

/* A parsed block: pointers into its bytes, which must outlive it and be aligned to 8. */
struct rows_block {
    const uint8_t *bytes;
    size_t size;
    uint32_t count;
    bool wide;           /* row ends are u32, else u16 */
    uint8_t seq_width;   /* bytes per row in the sequence column */
    uint8_t single_kind; /* kind of all rows, or 0: there is a column */
    uint64_t seq_base;
    struct kv_slice prefix; /* what all keys begin with */
    const uint8_t *heads, *key_ends, *value_ends, *seqs, *kinds, *suffixes, *values;
};

/* Check everything a later access relies on: O(rows). Rows in wrong order are found too.
 * Errors: -KV_EDAMAGED; -KV_EFORMAT unknown row kind. */
KV_MUST_CHECK int rows_block_parse(struct kv_slice bytes, struct rows_block *ret_block);
/* Index of the first row >= (key, trailer); block->count if none. */
uint32_t rows_block_seek(const struct rows_block *block, struct kv_slice key, uint64_t trailer);
uint64_t rows_block_trailer(const struct rows_block *block, uint32_t index);
/* Key of row `index` behind the common prefix. */
struct kv_slice rows_block_suffix(const struct rows_block *block, uint32_t index);
struct kv_slice rows_block_value(const struct rows_block *block, uint32_t index);
/* Does row `index` have this user key? */
bool rows_block_key_equals(const struct rows_block *block, uint32_t index, struct kv_slice key);
/* Copy the whole key of row `index` to `to` (replaced). Errors: -ENOMEM. */
KV_MUST_CHECK int rows_block_key(const struct rows_block *block, uint32_t index, struct kv_buf *to);

#endif
