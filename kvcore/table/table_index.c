/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/table_index.h"

#include <stdlib.h>

#include "kvcore/util/coding.h"

enum { INDEX_GROUP = 16 };

/* ---- keys between blocks ---- */

/* The first `size` bytes of `key`, with one added to the last of them. */
static int put_raised(struct kv_slice key, size_t size, struct kv_buf *to)
{
    int r = kv_buf_assign(to, kv_slice(key.data, size));
    if (r < 0) {
        return r;
    }
    to->data[size - 1]++;
    return 1;
}

/* last = shared a ..., next = shared b ..., a < b as bytes:
 *   next goes on behind b      shared b: above last, a proper prefix of next
 *   a + 1 < b                  shared a+1
 *   next ends with b = a + 1   something of last behind a, raised, is still below next
 *   none of them is shorter    last itself */
int index_separator(struct kv_slice last, struct kv_slice next, struct kv_buf *to)
{
    size_t max = last.size < next.size ? last.size : next.size;
    size_t shared = 0;
    int r;

    while (shared < max && last.data[shared] == next.data[shared]) {
        shared++;
    }
    if (shared < max && shared + 1 < last.size) {
        if (shared + 1 < next.size) {
            r = kv_buf_assign(to, kv_slice(next.data, shared + 1));
            return r < 0 ? r : 1;
        }
        if (last.data[shared] + 1 < next.data[shared]) {
            return put_raised(last, shared + 1, to);
        }
        for (size_t i = shared + 1; i + 1 < last.size; i++) {
            if (last.data[i] != 0xff) {
                return put_raised(last, i + 1, to);
            }
        }
    }
    r = kv_buf_assign(to, last);
    if (r < 0) {
        return r;
    }
    return shared == next.size && shared == last.size ? 0 : 1;
}

/* ---- opening ---- */

/* The first 8 bytes as a big-endian number, zeros where the key ends. */
static uint64_t head_of(struct kv_slice suffix)
{
    uint64_t head = 0;

    if (suffix.size >= sizeof head) {
        return coding_get_be64(suffix.data);
    }
    for (size_t i = 0; i < suffix.size; i++) {
        head |= (uint64_t)suffix.data[i] << (56 - 8 * i);
    }
    return head;
}

static bool decode_handles(struct table_index *index, uint64_t data_end)
{
    uint64_t from = 0;

    for (uint32_t i = 0; i < index->rows.count; i++) {
        struct coding_cursor c = coding_cursor(rows_block_value(&index->rows, i));
        struct block_handle handle = {.offset = coding_read_varint(&c)};
        handle.size = (uint32_t)coding_read_varint_max(&c, UINT32_MAX);
        if (!coding_done(&c) || handle.offset < from || !block_handle_fits(handle, data_end)) {
            return false;
        }
        from = handle.offset + handle.size;
        index->handles[i] = handle;
    }
    return true;
}

static void fill_heads(struct table_index *index)
{
    for (uint32_t i = 0; i < index->group_count * INDEX_GROUP; i++) {
        bool is_row = i < index->rows.count;
        index->heads[i] = is_row ? head_of(rows_block_suffix(&index->rows, i)) : UINT64_MAX;
        if (i % INDEX_GROUP == INDEX_GROUP - 1) {
            index->group_last[i / INDEX_GROUP] = index->heads[i];
        }
    }
}

int table_index_open(struct kv_slice raw, uint64_t data_end, struct table_index *ret_index)
{
    struct table_index index = {0};
    int r = rows_block_parse(raw, &index.rows);

    if (r < 0) {
        return r;
    }
    /* The block's bytes bound the count, so that nothing overflows. */
    index.group_count = (index.rows.count + INDEX_GROUP - 1) / INDEX_GROUP;
    index.handles = malloc(index.rows.count * sizeof *index.handles);
    index.heads = aligned_alloc(64, (size_t)index.group_count * INDEX_GROUP * sizeof *index.heads);
    index.group_last = malloc(index.group_count * sizeof *index.group_last);
    if (index.handles == NULL || index.heads == NULL || index.group_last == NULL) {
        r = -ENOMEM;
    } else if (!decode_handles(&index, data_end)) {
        r = -KV_EDAMAGED;
    }
    if (r < 0) {
        table_index_close(&index);
        return r;
    }
    fill_heads(&index);
    *ret_index = index;
    return 0;
}

void table_index_close(struct table_index *index)
{
    free(index->handles);
    free(index->heads);
    free(index->group_last);
    *index = (struct table_index){0};
}

size_t table_index_bytes(const struct table_index *index)
{
    return index->rows.count * sizeof *index->handles +
           index->group_count * (INDEX_GROUP + 1) * sizeof *index->heads;
}

/* ---- searching ---- */

/* How many of the `n` (at least one) ascending numbers are below `head`. */
static uint32_t count_below(const uint64_t *numbers, uint32_t n, uint64_t head)
{
    const uint64_t *base = numbers;

    while (n > 1) {
        uint32_t half = n / 2;
        base += base[half - 1] < head ? half : 0;
        n -= half;
    }
    return (uint32_t)(base - numbers) + (*base < head);
}

/* First row whose head is >= `head`, or the count of rows. */
static uint32_t lower_head(const struct table_index *index, uint64_t head)
{
    uint32_t group = count_below(index->group_last, index->group_count, head);
    uint32_t row;

    if (group == index->group_count) {
        return index->rows.count;
    }
    row = group * INDEX_GROUP + count_below(index->heads + group * INDEX_GROUP, INDEX_GROUP, head);
    return row < index->rows.count ? row : index->rows.count;
}

uint32_t table_index_seek(const struct table_index *index, struct kv_slice key, uint64_t trailer)
{
    if (index->rows.count == 0) {
        return 0;
    }
    struct kv_slice prefix = index->rows.prefix;
    size_t shared = key.size < prefix.size ? key.size : prefix.size;
    int r = shared > 0 ? memcmp(key.data, prefix.data, shared) : 0;

    if (r != 0) {
        return r < 0 ? 0 : index->rows.count;
    }
    if (key.size < prefix.size) {
        return 0;
    }
    struct kv_slice suffix = kv_slice_behind(key, shared);
    uint64_t head = head_of(suffix);
    uint32_t from = lower_head(index, head);
    if (from == index->rows.count || index->heads[from] != head) {
        return from;
    }
    uint32_t to = head == UINT64_MAX ? index->rows.count : lower_head(index, head + 1);
    return rows_block_seek_between(&index->rows, from, to, suffix, trailer);
}
