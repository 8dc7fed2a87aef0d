/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 size of a key, the key, then a rows block. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/table/range_dels.h"

enum { ROWS_MAX = 512 }; /* of which each is sought: the rest costs time and shows nothing new */

static void check_seek(const struct rows_block *block, struct kv_slice key, uint64_t trailer)
{
    struct kv_buf found = {0};
    uint32_t at = rows_block_seek(block, key, trailer);

    assert(at <= block->count);
    if (at < block->count) {
        fuzz_need(rows_block_key(block, at, &found));
        assert(row_compare(kv_buf_slice(&found), rows_block_trailer(block, at), key, trailer) >= 0);
    }
    if (at > 0) {
        fuzz_need(rows_block_key(block, at - 1, &found));
        assert(row_compare(kv_buf_slice(&found), rows_block_trailer(block, at - 1), key, trailer) <
               0);
    }
    kv_buf_finish(&found);
}

static void check_row(const struct rows_block *block, uint32_t i, struct kv_buf *key)
{
    uint64_t trailer = rows_block_trailer(block, i);

    fuzz_need(rows_block_key(block, i, key));
    fuzz_touch(rows_block_value(block, i));
    assert(row_kind_is_known(row_kind(trailer)) || block->single_kind == ROW_RANGE_DELETE);
    assert(row_sequence(trailer) <= ROW_SEQUENCE_MAX);
    assert(rows_block_key_equals(block, i, kv_buf_slice(key)));
    assert(rows_block_seek(block, kv_buf_slice(key), trailer) == i);
    assert(i == 0 || rows_block_compare(block, i - 1, block, i) < 0);
    assert(rows_block_compare(block, i, block, i) == 0);
    check_seek(block, kv_buf_slice(key), UINT64_MAX);
    check_seek(block, kv_buf_slice(key), 0);
    check_seek(block, kv_slice(key->data, key->size / 2), trailer);
}

/* Fragments of range deletes: those that are taken are disjoint, in order, and found. */
static void check_ranges(const struct rows_block *block)
{
    struct range_dels *dels = NULL;
    int r = range_dels_from_block(block, &dels);

    fuzz_expect_verdict(r);
    for (size_t i = 0; r == 0 && i < dels->count; i++) {
        const struct range_fragment *f = &dels->fragments[i];
        struct range_window window;
        assert(kv_slice_compare(f->from, f->to) < 0 && f->count > 0);
        assert(i == 0 || kv_slice_compare(dels->fragments[i - 1].to, f->from) <= 0);
        range_dels_window(dels, f->from, UINT64_MAX, &window);
        assert(window.sequence == f->sequences[0] && kv_slice_equal(window.to, f->to));
        range_dels_window(dels, f->from, f->sequences[f->count - 1] - 1, &window);
        assert(window.sequence == 0);
    }
    range_dels_destroy(dels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    struct kv_slice key = coding_read_bytes(&c, coding_read_u8(&c));
    struct kv_slice rest = fuzz_rest(&c);
    uint8_t *bytes = fuzz_copy(rest);
    struct rows_block block;
    struct kv_buf row_key = {0};
    int r = rows_block_parse(kv_slice(bytes, rest.size), &block);

    fuzz_expect_verdict(r);
    if (r == 0) {
        for (uint32_t i = 0; i < block.count && i < ROWS_MAX; i++) {
            check_row(&block, i, &row_key);
        }
        check_ranges(&block);
        check_seek(&block, key, UINT64_MAX);
        check_seek(&block, key, 0);
    }
    kv_buf_finish(&row_key);
    free(bytes);
    return 0;
}
