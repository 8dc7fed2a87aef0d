/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 codec, u16 raw size, then the stored bytes. They also go through compression and back.
 */
#include "tests/fuzz/fuzz.h"

#include "kvcore/util/codec.h"

static void expand(uint8_t codec, struct kv_slice stored, size_t raw_size)
{
    uint8_t *raw = malloc(raw_size > 0 ? raw_size : 1);
    assert(raw != NULL);
    int r = codec_decompress(codec, stored, raw, raw_size);
    fuzz_expect_verdict(r);
    if (r == 0) {
        fuzz_touch(kv_slice(raw, raw_size));
    }
    free(raw);
}

static void pack(struct kv_slice raw)
{
    struct kv_buf packed = {0};
    int codec = codec_compress(CODEC_SNAPPY, raw, &packed);

    fuzz_need(codec);
    if (codec == CODEC_SNAPPY) {
        uint8_t *back = malloc(raw.size);
        assert(back != NULL);
        assert(codec_decompress(CODEC_SNAPPY, kv_buf_slice(&packed), back, raw.size) == 0);
        assert(memcmp(back, raw.data, raw.size) == 0);
        free(back);
    }
    kv_buf_finish(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coding_cursor c = coding_cursor(kv_slice(data, size));
    uint8_t codec = coding_read_u8(&c);
    size_t raw_size = coding_read_u16(&c);
    struct kv_slice stored = fuzz_rest(&c);

    expand(codec, stored, raw_size);
    expand(codec, stored, stored.size);
    pack(stored);
    return 0;
}
