/* SPDX-License-Identifier: Apache-2.0 */
/* Input: the payload of a batch record. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/db/batch.h"

static void append_row(struct kv_buf *to, const struct batch_row *row)
{
    fuzz_need(coding_append_u8(to, (uint8_t)row->kind));
    fuzz_need(coding_append_varint(to, row->table_id));
    fuzz_need(coding_append_string(to, row->key));
    if (row->kind != ROW_DELETE) {
        fuzz_need(coding_append_string(to, row->value));
    }
}

/* Step through the payload and write its rows anew to `to`. */
static int walk(struct kv_slice payload, struct kv_buf *to)
{
    struct coding_cursor c = coding_cursor(payload);
    struct batch_row row;
    int r;

    while ((r = batch_next(&c, &row)) == 1) {
        assert(row_kind_is_known((uint8_t)row.kind) || row.kind == ROW_RANGE_DELETE);
        assert(row.kind != ROW_RANGE_DELETE || kv_slice_compare(row.key, row.value) < 0);
        assert(row.key.size > 0 && row.key.size <= KV_KEY_SIZE_MAX);
        fuzz_touch(row.key);
        fuzz_touch(row.value);
        append_row(to, &row);
    }
    fuzz_expect_verdict(r);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_buf first = {0}, second = {0};

    kv_ignore(walk(kv_slice(data, size), &first)); /* the rows before a bad one count too */
    assert(walk(kv_buf_slice(&first), &second) == 0);
    assert(kv_slice_equal(kv_buf_slice(&first), kv_buf_slice(&second)));
    kv_buf_finish(&first);
    kv_buf_finish(&second);
    return 0;
}
