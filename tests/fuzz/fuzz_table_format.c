/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 what follows (0 properties, 1 footer, 2 block header, with 16 added: make the checksum
 * fit), then its bytes. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/table/table_format.h"
#include "kvcore/util/checksum.h"

enum { FIX = 16, OFFSET = 4096 };

static void take_properties(struct kv_slice bytes)
{
    struct table_properties first, second;
    struct kv_buf encoded = {0}, again = {0};
    int r = table_properties_decode(bytes, &first);

    fuzz_expect_verdict(r);
    if (r < 0) {
        return;
    }
    fuzz_need(table_properties_encode(&first, &encoded));
    assert(table_properties_decode(kv_buf_slice(&encoded), &second) == 0);
    fuzz_need(table_properties_encode(&second, &again));
    assert(kv_slice_equal(kv_buf_slice(&encoded), kv_buf_slice(&again)));
    table_properties_finish(&first);
    table_properties_finish(&second);
    kv_buf_finish(&encoded);
    kv_buf_finish(&again);
}

static void take_footer(struct kv_slice bytes, bool fix)
{
    uint8_t image[TABLE_FOOTER_SIZE] = {0}, back[TABLE_FOOTER_SIZE];
    struct table_footer footer;
    int r;

    memcpy(image, bytes.data, bytes.size < sizeof image ? bytes.size : sizeof image);
    if (fix) {
        coding_put_u64(image + 56, checksum_at(FUZZ_STORE_SEED, OFFSET, kv_slice(image, 56)));
    }
    r = table_footer_decode(image, FUZZ_STORE_SEED, OFFSET, &footer);
    fuzz_expect_verdict(r);
    if (r == 0) {
        table_footer_encode(&footer, FUZZ_STORE_SEED, OFFSET, back);
        assert(memcmp(image, back, sizeof image) == 0);
    }
}

static void take_header(struct kv_slice bytes, bool fix)
{
    uint8_t image[BLOCK_HEADER_SIZE] = {0}, back[BLOCK_HEADER_SIZE];
    struct block_header header;
    int r;

    memcpy(image, bytes.data, bytes.size < sizeof image ? bytes.size : sizeof image);
    if (fix) {
        struct kv_slice covered = kv_slice(image + 8, sizeof image - 8);
        coding_put_u32(image + 4, (uint32_t)checksum_at(FUZZ_STORE_SEED, OFFSET, covered));
    }
    r = block_header_decode(image, FUZZ_STORE_SEED, OFFSET, &header);
    fuzz_expect_verdict(r);
    if (r == 0) {
        block_header_encode(&header, FUZZ_STORE_SEED, OFFSET, back);
        assert(memcmp(image, back, sizeof image) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    uint8_t what = coding_read_u8(&c);
    struct kv_slice rest = fuzz_rest(&c);

    if (rest.size == 0) {
        return 0;
    }
    switch (what & ~FIX) {
    case 0:
        take_properties(rest);
        break;
    case 1:
        take_footer(rest, what & FIX);
        break;
    case 2:
        take_header(rest, what & FIX);
        break;
    default:
        break;
    }
    return 0;
}
