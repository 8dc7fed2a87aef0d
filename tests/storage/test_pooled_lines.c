/* SPDX-License-Identifier: Apache-2.0 */
/* Who follows a store in a pool, byte by byte: docs/format.md, "The store on RADOS". */
#include "kvcore/storage/pooled_lines.h"

#include "kvcore/storage/pool.h"
#include "tests/lib/check_main.h"

static const struct pooled_lines two = {
    .count = 2,
    .lines = {{.id = 0x1122334455667788, .mark = (uint64_t)7 << 32 | 300, .beat = 2},
              {.id = 1, .mark = 0, .beat = 0x01020304}}};
static const uint8_t two_bytes[] = {0x01, /* layout */
                                    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x2c, 0x01,
                                    0x00, 0x00,                                     /* id, mark */
                                    0x07, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, /* mark, beat */
                                    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x03, 0x02, 0x01};

START_TEST(lines_have_these_bytes)
{
    uint8_t bytes[POOLED_LINES_SIZE_MAX];
    struct pooled_lines back = {0};

    ck_assert_uint_eq(pooled_lines_encode(&two, bytes), sizeof two_bytes);
    ck_assert_mem_eq(bytes, two_bytes, sizeof two_bytes);
    ck_ok(pooled_lines_decode(kv_slice(two_bytes, sizeof two_bytes), &back));
    ck_assert_uint_eq(back.count, 2);
    ck_assert_uint_eq(back.lines[0].id, two.lines[0].id);
    ck_assert_uint_eq(back.lines[0].mark, two.lines[0].mark);
    ck_assert_uint_eq(back.lines[0].beat, 2);
    ck_assert_ptr_eq(pooled_lines_find(&back, 1), &back.lines[1]);
    ck_assert_uint_eq(back.lines[1].beat, 0x01020304);
    ck_assert_ptr_null(pooled_lines_find(&back, 2));
}
END_TEST

START_TEST(fifty_lines_fit_an_attribute_and_one_more_is_damage)
{
    uint8_t bytes[POOLED_LINES_SIZE_MAX + POOLED_LINE_SIZE] = {0};
    struct pooled_lines lines = {.count = POOLED_LINES_MAX};
    struct pooled_lines back = {0};

    ck_assert_uint_eq(POOLED_LINES_MAX, 50);
    ck_assert_uint_le(POOLED_LINES_SIZE_MAX, POOL_VALUE_MAX);
    for (size_t i = 0; i < POOLED_LINES_MAX; i++) {
        lines.lines[i] = (struct pooled_line){.id = i + 1, .mark = INT64_MAX, .beat = UINT32_MAX};
    }
    ck_assert_uint_eq(pooled_lines_encode(&lines, bytes), POOLED_LINES_SIZE_MAX);
    ck_ok(pooled_lines_decode(kv_slice(bytes, POOLED_LINES_SIZE_MAX), &back));
    ck_assert_mem_eq(&back, &lines, sizeof back);
    bytes[POOLED_LINES_SIZE_MAX] = 99;
    ck_fails(pooled_lines_decode(kv_slice(bytes, sizeof bytes), &back), KV_EDAMAGED);
}
END_TEST

START_TEST(no_bytes_are_no_lines_and_others_are_told)
{
    struct pooled_lines back = {.count = 7};
    uint8_t bytes[sizeof two_bytes];

    ck_ok(pooled_lines_decode(kv_slice(NULL, 0), &back));
    ck_assert_uint_eq(back.count, 0);
    ck_ok(pooled_lines_decode(kv_slice("\1", 1), &back));
    ck_assert_uint_eq(back.count, 0);
    ck_fails(pooled_lines_decode(kv_slice("\0", 1), &back), KV_EDAMAGED);
    ck_fails(pooled_lines_decode(kv_slice_str("\2 later"), &back), KV_EFORMAT);
    for (size_t size = 2; size < sizeof two_bytes; size++) {
        if (size != 1 + POOLED_LINE_SIZE) {
            ck_fails(pooled_lines_decode(kv_slice(two_bytes, size), &back), KV_EDAMAGED);
        }
    }
    memcpy(bytes, two_bytes, sizeof bytes);
    bytes[16] = 0x80; /* a mark of 2^63 */
    ck_fails(pooled_lines_decode(kv_slice(bytes, sizeof bytes), &back), KV_EDAMAGED);
    memcpy(bytes, two_bytes, sizeof bytes);
    bytes[21] = 0; /* no id */
    ck_fails(pooled_lines_decode(kv_slice(bytes, sizeof bytes), &back), KV_EDAMAGED);
    memcpy(bytes + 21, two_bytes + 1, 8); /* an id twice */
    ck_fails(pooled_lines_decode(kv_slice(bytes, sizeof bytes), &back), KV_EDAMAGED);
    ck_assert_uint_eq(back.count, 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_lines");
    suite_add(s, "bytes", lines_have_these_bytes);
    suite_add(s, "bytes", fifty_lines_fit_an_attribute_and_one_more_is_damage);
    suite_add(s, "bytes", no_bytes_are_no_lines_and_others_are_told);
    return s;
}
