/* SPDX-License-Identifier: Apache-2.0 */
/* A block of sorted rows laid out in columns, so that a search touches an array of 4-byte key heads
 * and decodes nothing. Byte layout in docs/format.md, "Rows block". Data blocks, the index and
 * range deletes use the same layout.
 *
 * Keys that share much are told apart by what follows the prefix all of them have; the usual
 * alternative, each key as its difference from the one before, would be smaller but has to be
 * decoded from a restart point on, in one direction only. */
#ifndef KVCORE_TABLE_ROWS_BLOCK_H
#define KVCORE_TABLE_ROWS_BLOCK_H

#include "kvcore/table/row.h"
#include "kvcore/util/coding.h"

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

/* Check everything a later access relies on: O(rows). Rows in wrong order are found too. All rows
 * may be range deletes (single_kind), where the caller expects them.
 * Errors: -KV_EDAMAGED; -KV_EFORMAT unknown row kind. */
KV_MUST_CHECK int rows_block_parse(struct kv_slice bytes, struct rows_block *ret_block);
/* Index of the first row >= (key, trailer); block->count if none. */
uint32_t rows_block_seek(const struct rows_block *block, struct kv_slice key, uint64_t trailer);
/* The same among the rows [from, to), which alone can be it; `suffix` is the key behind the block's
 * prefix. Returns `to` if none is. */
uint32_t rows_block_seek_between(const struct rows_block *block, uint32_t from, uint32_t to,
                                 struct kv_slice suffix, uint64_t trailer);
/* Does row `index` have this user key? */
bool rows_block_key_equals(const struct rows_block *block, uint32_t index, struct kv_slice key);
/* Copy the whole key of row `index` to `to` (replaced). Errors: -ENOMEM. */
KV_MUST_CHECK int rows_block_key(const struct rows_block *block, uint32_t index, struct kv_buf *to);

/* Order of row `i` of block `a` and row `j` of block `b`: <0, 0 or >0. */
int rows_block_compare(const struct rows_block *a, uint32_t i, const struct rows_block *b,
                       uint32_t j);

/* Size of the columns' row ends. */
static inline size_t rows_block_end_size(const struct rows_block *block)
{
    return block->wide ? sizeof(uint32_t) : sizeof(uint16_t);
}

/* Where row `index` ends in its area; `ends` is one of the two columns of row ends. */
static inline uint32_t rows_block_end(const struct rows_block *block, const uint8_t *ends,
                                      uint32_t index)
{
    return block->wide ? coding_get_u32(ends + (size_t)index * 4)
                       : coding_get_u16(ends + (size_t)index * 2);
}

static inline struct kv_slice rows_block_area_row(const struct rows_block *block,
                                                  const uint8_t *ends, const uint8_t *area,
                                                  uint32_t index)
{
    uint32_t start = index > 0 ? rows_block_end(block, ends, index - 1) : 0;
    return kv_slice(area + start, rows_block_end(block, ends, index) - start);
}

/* Key of row `index` behind the common prefix. */
static inline struct kv_slice rows_block_suffix(const struct rows_block *block, uint32_t index)
{
    return rows_block_area_row(block, block->key_ends, block->suffixes, index);
}

static inline struct kv_slice rows_block_value(const struct rows_block *block, uint32_t index)
{
    return rows_block_area_row(block, block->value_ends, block->values, index);
}

/* The sequence column has `w` bytes per row. Reading the 8 bytes that end where the row's number
 * ends stays inside the block, whose header alone has 24, and needs no case per width. */
static inline uint64_t rows_block_trailer(const struct rows_block *block, uint32_t index)
{
    unsigned w = block->seq_width;
    const uint8_t *end = block->seqs + (size_t)w * (index + (size_t)1);
    uint64_t delta = coding_get_u64(end - 8) >> 1 >> (63 - 8 * w);
    uint8_t kind = block->single_kind != 0 ? block->single_kind : block->kinds[index];
    return (block->seq_base + delta) << 8 | kind;
}

#endif
