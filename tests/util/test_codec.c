/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/util/codec.h"
#include "kvcore/util/rng.h"

START_TEST(text_is_compressed_and_comes_back)
{
    uint8_t raw[4096];
    uint8_t back[4096];
    struct kv_buf out = {0};
    for (size_t i = 0; i < sizeof raw; i++) {
        raw[i] = (uint8_t)("abcdefgh"[i % 8]);
    }
    ck_assert_int_eq(codec_compress(CODEC_SNAPPY, kv_slice(raw, sizeof raw), &out), CODEC_SNAPPY);
    ck_assert_uint_lt(out.size, sizeof raw / 2);
    ck_ok(codec_decompress(CODEC_SNAPPY, kv_buf_slice(&out), back, sizeof back));
    ck_assert_mem_eq(raw, back, sizeof raw);
    /* A length that is not the true one is damage, not a short read. */
    ck_fails(codec_decompress(CODEC_SNAPPY, kv_buf_slice(&out), back, sizeof back - 1),
             KV_EDAMAGED);
    ck_fails(codec_decompress(77, kv_buf_slice(&out), back, sizeof back), KV_EFORMAT);
    kv_buf_finish(&out);
}
END_TEST

START_TEST(what_snappy_makes_of_anything_can_be_what_it_is)
{
    static uint8_t raw[1 << 20];
    struct kv_buf out = {0};
    for (size_t period = 1; period <= 64; period *= 2) {
        for (size_t i = 0; i < sizeof raw; i++) {
            raw[i] = (uint8_t)(i % period);
        }
        for (size_t size = 1; size <= sizeof raw; size += 1 + size / 3) {
            if (codec_compress(CODEC_SNAPPY, kv_slice(raw, size), &out) == CODEC_SNAPPY) {
                ck_assert(codec_can_give(CODEC_SNAPPY, out.size, size));
            }
        }
    }
    ck_assert_uint_gt(out.size, 0);
    ck_assert(!codec_can_give(CODEC_SNAPPY, out.size, (uint64_t)100 * out.size));
    ck_assert(codec_can_give(CODEC_NONE, 5, 5));
    ck_assert(!codec_can_give(CODEC_NONE, 5, 6));
    ck_assert(!codec_can_give(3, 5, 5));
    kv_buf_finish(&out);
}
END_TEST

START_TEST(random_bytes_are_kept_raw)
{
    struct rng rng = {test_seed()};
    uint8_t raw[4096];
    struct kv_buf out = {0};
    for (size_t i = 0; i < sizeof raw; i++) {
        raw[i] = (uint8_t)rng_next(&rng);
    }
    ck_assert_int_eq(codec_compress(CODEC_SNAPPY, kv_slice(raw, sizeof raw), &out), CODEC_NONE);
    ck_assert_uint_eq(out.size, 0);
    kv_buf_finish(&out);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("codec");
    suite_add(s, "snappy", text_is_compressed_and_comes_back);
    suite_add(s, "sizes", what_snappy_makes_of_anything_can_be_what_it_is);
    suite_add(s, "snappy", random_bytes_are_kept_raw);
    return s;
}
