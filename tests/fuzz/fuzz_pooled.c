/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 what (0 entry of a file, 1 holder, 2 count, 3 URL, 4 lines of followers), then its
 * bytes. What is accepted is encoded again and must be the same. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/storage/pooled_entry.h"
#include "kvcore/storage/pooled_lines.h"
#include "kvcore/storage/rados_url.h"

static void try_entry(struct kv_slice bytes)
{
    struct pooled_entry entry;
    struct pooled_entry back;
    struct kv_buf again = {0};
    int r = pooled_entry_decode(bytes, &entry);

    fuzz_expect_verdict(r);
    if (r == 0) {
        fuzz_need(pooled_entry_encode(&entry, &again));
        fuzz_need(pooled_entry_decode(kv_buf_slice(&again), &back));
        assert(back.state == entry.state && back.epoch == entry.epoch && back.size == entry.size &&
               back.piece_bytes == entry.piece_bytes && back.pieces == entry.pieces);
    }
    kv_buf_finish(&again);
}

static void try_holder(struct kv_slice bytes)
{
    struct pooled_holder holder;
    struct pooled_holder back;
    struct kv_buf again = {0};
    int r = pooled_holder_decode(bytes, &holder);

    fuzz_expect_verdict(r);
    if (r == 0) {
        fuzz_touch(holder.address);
        fuzz_touch(holder.line);
        fuzz_need(pooled_holder_encode(holder, &again));
        fuzz_need(pooled_holder_decode(kv_buf_slice(&again), &back));
        assert(kv_slice_equal(back.address, holder.address) && back.line.size == holder.line.size);
    }
    kv_buf_finish(&again);
}

static void try_count(struct kv_slice bytes)
{
    uint64_t value = 0;
    int r = pooled_count_decode(bytes, &value);

    fuzz_expect_verdict(r);
    if (r == 0) {
        struct pooled_count again = pooled_count_encode(value);
        assert(kv_slice_equal(pooled_count_slice(&again), bytes));
    }
}

static void try_lines(struct kv_slice bytes)
{
    uint8_t again[POOLED_LINES_SIZE_MAX];
    struct pooled_lines lines;
    int r = pooled_lines_decode(bytes, &lines);

    fuzz_expect_verdict(r);
    if (r == 0 && bytes.size > 0) {
        assert(kv_slice_equal(kv_slice(again, pooled_lines_encode(&lines, again)), bytes));
    }
}

static void try_url(struct kv_slice bytes)
{
    struct rados_url url;
    char *text = malloc(bytes.size + 1);

    assert(text != NULL);
    if (bytes.size > 0) {
        memcpy(text, bytes.data, bytes.size);
    }
    text[bytes.size] = '\0';
    int r = rados_url_parse(text, &url);
    assert(r == 0 || r == -EINVAL);
    if (r == 0) {
        /* There is one spelling: it is the text. */
        assert(strlen(text) == strlen("rados://") + strlen(url.pool) + 1 + strlen(url.name));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const tries[])(struct kv_slice) = {try_entry, try_holder, try_count, try_url,
                                                     try_lines};

    if (size > 0 && data[0] < sizeof tries / sizeof tries[0]) {
        tries[data[0]](kv_slice(data + 1, size - 1));
    }
    return 0;
}
