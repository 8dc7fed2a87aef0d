/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"
#include "kvcore/util/rng.h"

START_TEST(varints_of_every_width_come_back)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t v = ((uint64_t)1 << shift) + (uint64_t)delta;
            uint8_t bytes[CODING_VARINT_MAX];
            struct coding_cursor c = coding_cursor(kv_slice(bytes, coding_put_varint(bytes, v)));
            ck_assert_uint_eq(coding_read_varint(&c), v);
            ck_assert(coding_done(&c));
        }
    }
}
END_TEST

START_TEST(a_varint_beyond_64_bits_is_refused)
{
    uint8_t bytes[11];
    memset(bytes, 0xff, sizeof bytes);
    struct coding_cursor c = coding_cursor(kv_slice(bytes, sizeof bytes));
    ck_assert_uint_eq(coding_read_varint(&c), 0);
    ck_assert(!coding_ok(&c));
    bytes[9] = 2; /* the tenth byte may hold one bit only */
    c = coding_cursor(kv_slice(bytes, 10));
    coding_read_varint(&c);
    ck_assert(!coding_ok(&c));
}
END_TEST

START_TEST(a_cursor_stays_bad_and_yields_zeros_past_the_end)
{
    uint8_t bytes[3] = {1, 2, 3};
    struct coding_cursor c = coding_cursor(kv_slice(bytes, sizeof bytes));
    ck_assert_uint_eq(coding_read_u16(&c), 0x0201);
    ck_assert_uint_eq(coding_read_u32(&c), 0);
    ck_assert(!coding_ok(&c));
    ck_assert_uint_eq(coding_read_u8(&c), 0);
    ck_assert(!coding_done(&c));
}
END_TEST

START_TEST(a_string_longer_than_its_container_is_refused)
{
    uint8_t bytes[] = {5, 'a', 'b'};
    struct coding_cursor c = coding_cursor(kv_slice(bytes, sizeof bytes));
    ck_assert_uint_eq(coding_read_string(&c).size, 0);
    ck_assert(!coding_ok(&c));
}
END_TEST

START_TEST(fields_come_back_in_order_and_unknown_ones_are_seen)
{
    struct kv_buf buf = {0};
    uint64_t tag;
    struct kv_slice value;
    ck_ok(coding_append_field_varint(&buf, 3, 300));
    ck_ok(coding_append_field(&buf, 200, kv_slice_str("text")));
    struct coding_cursor c = coding_cursor(kv_buf_slice(&buf));
    ck_assert(coding_read_field(&c, &tag, &value));
    ck_assert_uint_eq(tag, 3);
    ck_assert_uint_eq(coding_field_varint(&c, value), 300);
    ck_assert(coding_read_field(&c, &tag, &value));
    ck_assert_uint_eq(tag, 200);
    ck_assert(kv_slice_equal(value, kv_slice_str("text")));
    ck_assert(!coding_read_field(&c, &tag, &value));
    ck_assert(coding_done(&c));
    kv_buf_finish(&buf);
}
END_TEST

START_TEST(reserved_bytes_that_are_not_zero_are_refused)
{
    uint8_t bytes[4] = {0, 0, 1, 0};
    struct coding_cursor c = coding_cursor(kv_slice(bytes, sizeof bytes));
    coding_read_zeros(&c, 2);
    ck_assert(coding_ok(&c));
    coding_read_zeros(&c, 2);
    ck_assert(!coding_ok(&c));
}
END_TEST

/* Golden: these numbers are on every disk. */
START_TEST(checksums_depend_on_store_file_and_offset_and_never_change)
{
    uint8_t id[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint64_t store = checksum_store_seed(id);
    uint64_t file = checksum_file_seed(store, 3, 7);
    struct kv_slice bytes = kv_slice_str("kvfs");
    ck_assert_uint_eq(checksum_at(file, 4096, bytes), UINT64_C(0x174b23364e5fbedd));
    ck_assert_uint_ne(checksum_at(file, 4096, bytes), checksum_at(file, 4097, bytes));
    ck_assert_uint_ne(checksum_at(file, 4096, bytes),
                      checksum_at(checksum_file_seed(store, 3, 8), 4096, bytes));
    ck_assert_uint_ne(checksum_at(file, 4096, bytes),
                      checksum_at(checksum_file_seed(store, 1, 7), 4096, bytes));
}
END_TEST

START_TEST(random_bytes_never_lead_a_cursor_astray)
{
    struct rng rng = {test_seed()};
    for (uint64_t step = 0; step < test_steps(20000); step++) {
        uint8_t bytes[64];
        size_t size = rng_below(&rng, sizeof bytes);
        uint64_t tag;
        struct kv_slice value;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)rng_next(&rng);
        }
        struct coding_cursor c = coding_cursor(kv_slice(bytes, size));
        while (coding_read_field(&c, &tag, &value)) {
            ck_assert(value.data >= bytes && value.data + value.size <= bytes + size);
        }
        ck_assert(c.at <= c.end);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("coding");
    suite_add(s, "varint", varints_of_every_width_come_back);
    suite_add(s, "varint", a_varint_beyond_64_bits_is_refused);
    suite_add(s, "cursor", a_cursor_stays_bad_and_yields_zeros_past_the_end);
    suite_add(s, "cursor", a_string_longer_than_its_container_is_refused);
    suite_add(s, "cursor", reserved_bytes_that_are_not_zero_are_refused);
    suite_add(s, "fields", fields_come_back_in_order_and_unknown_ones_are_seen);
    suite_add(s, "golden", checksums_depend_on_store_file_and_offset_and_never_change);
    suite_add(s, "random", random_bytes_never_lead_a_cursor_astray);
    return s;
}
