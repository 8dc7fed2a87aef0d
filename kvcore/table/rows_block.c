/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/rows_block.h"

/* Key heads are compared as numbers: four bytes, big-endian, zeros where the key ends. Two keys of
 * different heads are in the order of their heads; equal heads decide nothing. */
static uint32_t head_of(struct kv_slice suffix)
{
    uint32_t head = 0;
    if (suffix.size >= sizeof head) {
        memcpy(&head, suffix.data, sizeof head);
        return be32toh(head);
    }
    for (size_t i = 0; i < suffix.size; i++) {
        head |= (uint32_t)suffix.data[i] << (24 - 8 * i);
    }
    return head;
}

static uint32_t head_at(const struct rows_block *block, uint32_t index)
{
    return coding_get_u32(block->heads + (size_t)index * 4);
}

/* ---- parsing ---- */

/* The fixed fields and the prefix. Returns the offset of the first column, 0 if damaged. */
static size_t parse_start(struct kv_slice bytes, struct rows_block *block)
{
    struct coding_cursor c = coding_cursor(bytes);
    uint8_t flags;
    size_t prefix_size;

    block->bytes = bytes.data;
    block->size = bytes.size;
    block->count = coding_read_u32(&c);
    flags = coding_read_u8(&c);
    block->wide = flags != 0;
    block->seq_width = coding_read_u8(&c);
    block->single_kind = coding_read_u8(&c);
    coding_read_zeros(&c, 1);
    prefix_size = coding_read_u16(&c);
    coding_read_zeros(&c, 6);
    block->seq_base = coding_read_u64(&c);
    block->prefix = coding_read_bytes(&c, prefix_size);
    coding_read_zeros(&c, -prefix_size & 3);
    if (!coding_ok(&c) || block->count == 0 || flags > 1 || block->seq_width > 7 ||
        block->seq_base > ROW_SEQUENCE_MAX) {
        return 0;
    }
    return (size_t)(c.at - bytes.data);
}

/* Place the columns behind `offset`. The row count is below 2^32 and a row takes at most 20 bytes,
 * so that nothing overflows in 64 bits. */
static bool place_columns(struct rows_block *block, size_t offset)
{
    uint64_t n = block->count;
    uint64_t end_size = rows_block_end_size(block);
    uint64_t row_size = 4 + 2 * end_size + block->seq_width + (block->single_kind == 0);

    if (n * row_size > block->size - offset) {
        return false;
    }
    block->heads = block->bytes + offset;
    block->key_ends = block->heads + n * 4;
    block->value_ends = block->key_ends + n * end_size;
    block->seqs = block->value_ends + n * end_size;
    block->kinds = block->seqs + n * block->seq_width;
    block->suffixes = block->kinds + (block->single_kind == 0 ? n : 0);
    return true;
}

/* Row ends never fall, and the areas they describe fill the block exactly. */
static bool place_areas(struct rows_block *block)
{
    uint64_t left = (uint64_t)(block->bytes + block->size - block->suffixes);
    uint32_t key_end = 0, value_end = 0;
    bool falls = false;

    for (uint32_t i = 0; i < block->count; i++) {
        uint32_t k = rows_block_end(block, block->key_ends, i);
        uint32_t v = rows_block_end(block, block->value_ends, i);
        falls |= k < key_end || v < value_end;
        key_end = k;
        value_end = v;
    }
    if (falls || (uint64_t)key_end + value_end != left) {
        return false;
    }
    block->values = block->suffixes + key_end;
    return true;
}

static int check_kinds(const struct rows_block *block)
{
    if (block->single_kind != 0) {
        return row_kind_is_known(block->single_kind) || block->single_kind == ROW_RANGE_DELETE
                   ? 0
                   : -KV_EFORMAT;
    }
    for (uint32_t i = 0; i < block->count; i++) {
        if (block->kinds[i] == 0) {
            return -KV_EDAMAGED;
        }
        if (!row_kind_is_known(block->kinds[i])) {
            return -KV_EFORMAT;
        }
    }
    return 0;
}

/* Heads are what the suffixes say, rows strictly ascend, sequence numbers are in range. */
static bool rows_are_sound(const struct rows_block *block)
{
    struct kv_slice last = {0};
    uint64_t last_trailer = 0;
    uint32_t last_head = 0;

    for (uint32_t i = 0; i < block->count; i++) {
        struct kv_slice suffix = rows_block_suffix(block, i);
        uint64_t trailer = rows_block_trailer(block, i);
        uint32_t head = head_at(block, i);
        /* The sum is taken before the shift of the trailer could hide its upper bits. */
        uint64_t top = ROW_SEQUENCE_MAX - block->seq_base;
        uint64_t delta = (row_sequence(trailer) - block->seq_base) & ROW_SEQUENCE_MAX;
        if (head != head_of(suffix) || delta > top) {
            return false;
        }
        if (i > 0 && head <= last_head &&
            (head < last_head || row_compare(last, last_trailer, suffix, trailer) >= 0)) {
            return false;
        }
        last = suffix;
        last_trailer = trailer;
        last_head = head;
    }
    return true;
}

int rows_block_parse(struct kv_slice bytes, struct rows_block *ret_block)
{
    struct rows_block block = {0};
    size_t offset = parse_start(bytes, &block);
    int r;

    if (offset == 0 || !place_columns(&block, offset)) {
        return -KV_EDAMAGED;
    }
    r = check_kinds(&block);
    if (r < 0) {
        return r;
    }
    if (!place_areas(&block) || !rows_are_sound(&block)) {
        return -KV_EDAMAGED;
    }
    *ret_block = block;
    return 0;
}

/* ---- searching ---- */

/* First row whose head is >= `head`. The loop has a fixed number of steps for a row count and no
 * branch that depends on the data: the compiler makes the choice a conditional move. */
static uint32_t lower_head(const struct rows_block *block, uint32_t head)
{
    const uint8_t *base = block->heads;
    uint32_t n = block->count;

    while (n > 1) {
        uint32_t half = n / 2;
        base += coding_get_u32(base + (size_t)(half - 1) * 4) < head ? (size_t)half * 4 : 0;
        n -= half;
    }
    return (uint32_t)((size_t)(base - block->heads) / 4) + (coding_get_u32(base) < head);
}

static int compare_row(const struct rows_block *block, uint32_t index, struct kv_slice suffix,
                       uint64_t trailer)
{
    int r = kv_slice_compare(rows_block_suffix(block, index), suffix);
    if (r != 0) {
        return r;
    }
    uint64_t at = rows_block_trailer(block, index);
    return (at < trailer) - (at > trailer);
}

uint32_t rows_block_seek_between(const struct rows_block *block, uint32_t from, uint32_t to,
                                 struct kv_slice suffix, uint64_t trailer)
{
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (compare_row(block, middle, suffix, trailer) < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

uint32_t rows_block_seek(const struct rows_block *block, struct kv_slice key, uint64_t trailer)
{
    size_t shared = key.size < block->prefix.size ? key.size : block->prefix.size;
    int r = shared > 0 ? memcmp(key.data, block->prefix.data, shared) : 0;

    if (r != 0) {
        return r < 0 ? 0 : block->count;
    }
    if (key.size < block->prefix.size) {
        return 0;
    }
    struct kv_slice suffix = kv_slice_behind(key, shared);
    uint32_t head = head_of(suffix);
    uint32_t from = lower_head(block, head);
    if (from == block->count || head_at(block, from) != head) {
        return from;
    }
    /* Mostly one row has the head; the end of a longer run is found by another search. */
    uint32_t to = from + 1;
    if (to < block->count && head_at(block, to) == head) {
        to = head == UINT32_MAX ? block->count : lower_head(block, head + 1);
    }
    return rows_block_seek_between(block, from, to, suffix, trailer);
}

bool rows_block_key_equals(const struct rows_block *block, uint32_t index, struct kv_slice key)
{
    struct kv_slice suffix = rows_block_suffix(block, index);
    size_t shared = block->prefix.size;
    return key.size == shared + suffix.size && kv_slice_starts_with(key, block->prefix) &&
           (suffix.size == 0 || memcmp(key.data + shared, suffix.data, suffix.size) == 0);
}

int rows_block_key(const struct rows_block *block, uint32_t index, struct kv_buf *to)
{
    int r;

    to->size = 0;
    r = kv_buf_reserve(to, block->prefix.size + rows_block_suffix(block, index).size);
    if (r < 0) {
        return r;
    }
    r = kv_buf_append(to, block->prefix);
    return r < 0 ? r : kv_buf_append(to, rows_block_suffix(block, index));
}

/* Compare a1 a2 with b1 b2 without putting the halves together. */
static int compare_halves(struct kv_slice a1, struct kv_slice a2, struct kv_slice b1,
                          struct kv_slice b2)
{
    size_t first = a1.size < b1.size ? a1.size : b1.size;
    int r = first > 0 ? memcmp(a1.data, b1.data, first) : 0;
    if (r != 0) {
        return r;
    }
    if (a1.size > first) {
        /* b1 is used up: the rest of a1 stands against b2. */
        struct kv_slice rest = kv_slice(a1.data + first, a1.size - first);
        size_t n = rest.size < b2.size ? rest.size : b2.size;
        r = kv_slice_compare(rest, kv_slice(b2.data, n));
        return r != 0 ? r : kv_slice_compare(a2, kv_slice(b2.data + n, b2.size - n));
    }
    if (b1.size > first) {
        return -compare_halves(b1, b2, a1, a2);
    }
    return kv_slice_compare(a2, b2);
}

int rows_block_compare(const struct rows_block *a, uint32_t i, const struct rows_block *b,
                       uint32_t j)
{
    int r = compare_halves(a->prefix, rows_block_suffix(a, i), b->prefix, rows_block_suffix(b, j));
    if (r != 0) {
        return r;
    }
    uint64_t a_trailer = rows_block_trailer(a, i);
    uint64_t b_trailer = rows_block_trailer(b, j);
    return (a_trailer < b_trailer) - (a_trailer > b_trailer);
}
