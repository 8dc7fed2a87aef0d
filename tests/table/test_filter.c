/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/table/filter.h"
#include "kvcore/util/rng.h"

/* Golden: one line, 7 probes, the bits of two hashes worked out by hand from docs/format.md. */
START_TEST(the_bytes_of_a_filter_never_change)
{
    struct filter_builder builder = {0};
    struct kv_buf bytes = {0};
    uint8_t golden[80] = {1, 0, 0, 0, 7};
    const uint64_t hashes[] = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9800000001)};

    for (size_t i = 0; i < 2; i++) {
        uint32_t g = (uint32_t)hashes[i];
        for (int probe = 0; probe < 7; probe++) {
            uint32_t bit = g >> 23;
            golden[16 + bit / 8] |= (uint8_t)(1 << bit % 8);
            g *= 0x9e3779b9U;
        }
        ck_ok(filter_builder_add(&builder, hashes[i]));
    }
    ck_ok(filter_builder_finish(&builder, 10, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden);
    ck_assert_mem_eq(bytes.data, golden, sizeof golden);
    ck_assert_uint_eq(bytes.data[16 + (0x89abcdef >> 23) / 8] >> (0x89abcdef >> 23) % 8 & 1, 1);
    ck_assert_uint_eq(bytes.data[16], 1 /* bit 0: g = 1 */);
    kv_buf_finish(&bytes);
    filter_builder_clear(&builder);
}
END_TEST

START_TEST(the_hashes_of_keys_and_prefixes_never_change)
{
    ck_assert_uint_eq(filter_hash_key(kv_slice_str("kvfs")), UINT64_C(0xafe524a0a44e9f1a));
    ck_assert_uint_eq(filter_hash_prefix(kv_slice_str("kvfs")), UINT64_C(0x1bb15e278e582728));
}
END_TEST

static struct kv_slice number_key(uint64_t number, uint8_t to[8])
{
    memcpy(to, &number, 8);
    return kv_slice(to, 8);
}

/* Share of absent keys that a filter with `count` keys lets through, in parts of 100,000. */
static uint64_t false_positives(uint64_t count, unsigned bits, uint64_t salt)
{
    struct filter_builder builder = {0};
    struct kv_buf bytes = {0};
    struct filter filter;
    uint8_t key[8];
    uint64_t wrong = 0;

    for (uint64_t i = 0; i < count; i++) {
        ck_ok(filter_builder_add(&builder, filter_hash_key(number_key(salt + i, key))));
    }
    ck_ok(filter_builder_finish(&builder, bits, &bytes));
    ck_ok(filter_parse(kv_buf_slice(&bytes), &filter));
    for (uint64_t i = 0; i < count; i++) {
        ck_assert(filter_may_match(&filter, filter_hash_key(number_key(salt + i, key))));
    }
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t hash = filter_hash_key(number_key(salt + count + i, key));
        wrong += filter_may_match(&filter, hash);
    }
    kv_buf_finish(&bytes);
    filter_builder_clear(&builder);
    return wrong;
}

START_TEST(no_key_is_denied_and_few_absent_ones_pass)
{
    uint64_t salt = hash_u64(test_seed());
    ck_assert_uint_lt(false_positives(50000, 10, salt), 1500);
    ck_assert_uint_lt(false_positives(50000, 16, salt), 300);
    ck_assert_uint_lt(false_positives(50000, 5, salt), 13000);
    ck_assert_uint_lt(false_positives(50000, 1, salt), 80000);
    false_positives(1, 1, salt);
    false_positives(1, 10, salt);
    false_positives(1000, 100, salt);
}
END_TEST

START_TEST(a_filter_without_entries_denies_everything)
{
    ck_assert_uint_eq(false_positives(0, 10, 1), 0);
}
END_TEST

START_TEST(no_filter_denies_nothing)
{
    const struct filter none = {0};
    ck_assert(filter_may_match(&none, 42));
    filter_prefetch(&none, 42);
}
END_TEST

START_TEST(a_builder_can_be_used_again)
{
    struct filter_builder builder = {0};
    struct kv_buf first = {0}, second = {0};

    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 1000; i++) {
            ck_ok(filter_builder_add(&builder, hash_u64(i)));
        }
        ck_ok(filter_builder_finish(&builder, 10, round == 0 ? &first : &second));
    }
    ck_assert(kv_slice_equal(kv_buf_slice(&first), kv_buf_slice(&second)));
    kv_buf_finish(&first);
    kv_buf_finish(&second);
    filter_builder_clear(&builder);
}
END_TEST

START_TEST(what_is_not_a_filter_is_refused)
{
    static uint8_t bytes[16 + 128] = {2, 0, 0, 0, 7};
    struct filter filter;

    ck_ok(filter_parse(kv_slice(bytes, sizeof bytes), &filter));
    for (size_t size = 0; size < sizeof bytes; size++) {
        ck_fails(filter_parse(kv_slice(bytes, size), &filter), KV_EDAMAGED);
    }
    bytes[4] = 0;
    ck_fails(filter_parse(kv_slice(bytes, sizeof bytes), &filter), KV_EDAMAGED);
    bytes[4] = 13;
    ck_fails(filter_parse(kv_slice(bytes, sizeof bytes), &filter), KV_EDAMAGED);
    bytes[4] = 7;
    bytes[9] = 1;
    ck_fails(filter_parse(kv_slice(bytes, sizeof bytes), &filter), KV_EDAMAGED);
    bytes[9] = 0;
    bytes[0] = 0;
    ck_fails(filter_parse(kv_slice(bytes, 16), &filter), KV_EDAMAGED);
    bytes[3] = 0x10; /* 2^28 lines: more than 32 bits of bytes */
    ck_fails(filter_parse(kv_slice(bytes, sizeof bytes), &filter), KV_EDAMAGED);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("filter");
    suite_add(s, "golden", the_bytes_of_a_filter_never_change);
    suite_add(s, "golden", the_hashes_of_keys_and_prefixes_never_change);
    suite_add(s, "rates", no_key_is_denied_and_few_absent_ones_pass);
    suite_add(s, "rates", a_filter_without_entries_denies_everything);
    suite_add(s, "rates", no_filter_denies_nothing);
    suite_add(s, "builder", a_builder_can_be_used_again);
    suite_add(s, "damage", what_is_not_a_filter_is_refused);
    return s;
}
