/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/blob/blob_lib.h"

#include "kvcore/util/coding.h"

/* A value of 5000 bytes: two units. */
static void make_raw(uint8_t pointer[44])
{
    blob_pointer_put_head(pointer, CODEC_NONE, 0, 5000);
    blob_pointer_put_unit(pointer, CODEC_NONE, 0, 4096, UINT64_C(0x0123456789abcdef));
    blob_pointer_put_unit(pointer, CODEC_NONE, 1, 904, UINT64_C(0xfedcba9876543210));
    blob_pointer_place(pointer, 44, TEST_SEED, 0x0102030405, 0x11223);
}

/* A value of 100,000 bytes: two units, the second not compressed. */
static void make_snappy(uint8_t pointer[52])
{
    blob_pointer_put_head(pointer, CODEC_SNAPPY, 0, 100000);
    blob_pointer_put_unit(pointer, CODEC_SNAPPY, 0, 0x2345, UINT64_C(0x0123456789abcdef));
    blob_pointer_put_unit(pointer, CODEC_SNAPPY, 1, 34464, UINT64_C(0xfedcba9876543210));
    blob_pointer_place(pointer, 52, TEST_SEED, TEST_BLOB, 0x1001);
}

START_TEST(the_bytes_of_a_pointer_never_change)
{
    static const uint8_t golden_raw[44] = {
        5,    4,    3,    2,    1,    0,    0,    0,    0x23, 0x12, 1,    0,    0,    0,    0,
        0,    0x88, 0x13, 0,    0,    0x88, 0x13, 0,    0,    1,    0,    0,    0,    0xc2, 0x2e,
        0xd2, 0x39, 0x47, 0x31, 0x8c, 0x5e, 0x53, 0xb5, 0x88, 0xf1, 0x23, 0x39, 0xfa, 0x60};
    static const uint8_t golden_snappy[52] = {
        7,    0,    0,    0,    0,    0, 0,    0,    1,    0x10, 0,    0,    0,
        0,    0,    0,    0xa0, 0x86, 1, 0,    0xa0, 0x86, 1,    0,    2,    0,
        0,    0,    0x45, 0x23, 0,    0, 0x97, 0x84, 0x9b, 0x7f, 0x4a, 0x86, 0xec,
        0xb2, 0xa0, 0x86, 0,    0,    5, 0x26, 0x0a, 0xa6, 0x1f, 0xff, 0xb3, 0xa6};
    uint8_t raw[44], snappy[52];

    make_raw(raw);
    ck_assert_mem_eq(raw, golden_raw, sizeof raw);
    make_snappy(snappy);
    ck_assert_mem_eq(snappy, golden_snappy, sizeof snappy);
}
END_TEST

START_TEST(the_checksum_of_a_unit_never_changes)
{
    struct kv_buf value = make_value(BLOB_UNIT_RAW, 3, false);
    uint64_t file_seed = checksum_file_seed(TEST_SEED, KV_FILE_BLOB, TEST_BLOB);
    uint64_t hash = blob_hash(TEST_SEED, kv_buf_slice(&value));

    ck_assert_uint_eq(hash, UINT64_C(0xcfbbdbb9f5fe5c58));
    ck_assert_uint_eq(blob_checksum(hash, file_seed, 4096), UINT64_C(0x550a1dd2d0fae3c5));
    ck_assert_uint_ne(blob_checksum(hash, file_seed, 8192), blob_checksum(hash, file_seed, 4096));
    kv_buf_finish(&value);
}
END_TEST

START_TEST(a_pointer_says_where_its_units_lie)
{
    uint8_t bytes[52];
    struct blob_unit_position position = {0};
    struct blob_unit unit;

    make_snappy(bytes);
    struct blob_pointer pointer = decode_pointer(kv_slice(bytes, sizeof bytes));
    ck_assert_uint_eq(pointer.number, TEST_BLOB);
    ck_assert_uint_eq(pointer.length, 100000);
    ck_assert_uint_eq(pointer.raw_size, 100000);
    ck_assert_uint_eq(pointer.skip, 0);
    ck_assert_uint_eq(pointer.unit_count, 2);
    ck_assert_uint_eq(pointer.stored_size, 0x2345 + 34464);
    ck_assert(blob_pointer_next_unit(&pointer, &position, &unit));
    ck_assert_uint_eq(unit.offset, 0x1001);
    ck_assert_uint_eq(unit.stored_size, 0x2345);
    ck_assert_uint_eq(unit.raw_size, 65536);
    ck_assert(blob_pointer_next_unit(&pointer, &position, &unit));
    ck_assert_uint_eq(unit.offset, 0x1001 + 0x2345);
    ck_assert_uint_eq(unit.stored_size, 34464);
    ck_assert_uint_eq(unit.raw_size, 34464);
    ck_assert(!blob_pointer_next_unit(&pointer, &position, &unit));
}
END_TEST

START_TEST(a_part_holds_the_units_it_touches_and_no_more)
{
    uint8_t bytes[44];
    struct kv_buf part = {0}, rest = {0};

    make_raw(bytes);
    struct blob_pointer pointer = decode_pointer(kv_slice(bytes, sizeof bytes));
    ck_ok(blob_pointer_part(&pointer, 4000, 500, &part));
    struct blob_pointer cut = decode_pointer(kv_buf_slice(&part));
    ck_assert_uint_eq(cut.skip, 4000);
    ck_assert_uint_eq(cut.length, 500);
    ck_assert_uint_eq(cut.unit_count, 2);
    ck_assert_uint_eq(cut.raw_size, 5000);
    ck_ok(blob_pointer_part(&cut, 96, 404, &rest)); /* a part of a part */
    cut = decode_pointer(kv_buf_slice(&rest));
    ck_assert_uint_eq(cut.skip, 0);
    ck_assert_uint_eq(cut.length, 404);
    ck_assert_uint_eq(cut.unit_count, 1);
    ck_assert_uint_eq(cut.raw_size, 904);
    ck_assert_uint_eq(cut.offset, pointer.offset + 4096);
    rest.size = 0;
    ck_ok(blob_pointer_part(&pointer, 0, 4096, &rest));
    cut = decode_pointer(kv_buf_slice(&rest));
    ck_assert_uint_eq(cut.raw_size, 4096);
    ck_assert_uint_eq(cut.stored_size, 4096);
    rest.size = 0;
    ck_ok(blob_pointer_part(&pointer, 0, 5000, &rest));
    ck_assert_uint_eq(rest.size, sizeof bytes);
    ck_assert_mem_eq(rest.data, bytes, sizeof bytes);
    kv_buf_finish(&part);
    kv_buf_finish(&rest);
}
END_TEST

/* `bytes` with the u32 at `at` replaced is refused. */
static void expect_refused(const uint8_t *bytes, size_t size, size_t at, uint32_t value)
{
    uint8_t copy[64];
    struct blob_pointer pointer;

    memcpy(copy, bytes, size);
    coding_put_u32(copy + at, value);
    ck_fails(blob_pointer_decode(kv_slice(copy, size), &pointer), KV_EDAMAGED);
}

START_TEST(what_is_not_a_pointer_is_refused)
{
    uint8_t raw[44], snappy[52];
    struct blob_pointer pointer;

    make_raw(raw);
    make_snappy(snappy);
    for (size_t size = 0; size < sizeof raw; size++) {
        ck_fails(blob_pointer_decode(kv_slice(raw, size), &pointer), KV_EDAMAGED);
    }
    expect_refused(raw, sizeof raw, 8, BLOB_DATA_SIZE_MAX - 4999); /* ends beyond any blob */
    expect_refused(raw, sizeof raw, 8, UINT32_MAX);
    expect_refused(raw, sizeof raw, 12, 1);    /* more than there is */
    expect_refused(raw, sizeof raw, 12, 4096); /* a whole unit that is not needed */
    expect_refused(raw, sizeof raw, 16, 0);
    expect_refused(raw, sizeof raw, 16, 5001);
    expect_refused(raw, sizeof raw, 16, 4096); /* the second unit is not touched */
    expect_refused(raw, sizeof raw, 16, UINT32_MAX);
    expect_refused(raw, sizeof raw, 20, 4999);
    expect_refused(raw, sizeof raw, 20, 8193);
    expect_refused(raw, sizeof raw, 20, UINT32_MAX);
    expect_refused(raw, sizeof raw, 24, 0);
    expect_refused(raw, sizeof raw, 24, 0x101); /* reserved bytes */
    expect_refused(raw, sizeof raw, 24, CODEC_SNAPPY);
    expect_refused(snappy, sizeof snappy, 28, 0); /* stored size of a unit */
    expect_refused(snappy, sizeof snappy, 28, 65537);
    expect_refused(snappy, sizeof snappy, 40, 34465);
    expect_refused(snappy, sizeof snappy, 16, (64 << 20) + 1);
    raw[24] = 3;
    ck_fails(blob_pointer_decode(kv_slice(raw, sizeof raw), &pointer), KV_EFORMAT);
    raw[24] = CODEC_NONE;
    memset(raw, 0, 8); /* not placed */
    ck_fails(blob_pointer_decode(kv_slice(raw, sizeof raw), &pointer), KV_EDAMAGED);
}
END_TEST

static uint32_t offset_of(const struct kv_buf *pointers, size_t begin, size_t end)
{
    return decode_pointer(kv_slice(pointers->data + begin, end - begin)).offset;
}

START_TEST(values_of_whole_pages_are_aligned_and_others_are_packed)
{
    static const size_t sizes[4] = {5000, 8192, 300, 4096};
    const struct blob_place place = {
        .number = TEST_BLOB, .aligned_offset = 40960, .packed_offset = 53248};
    struct blob_pack pack = {0};
    struct kv_buf pointers = {0};
    size_t ends[5] = {0};

    for (size_t i = 0; i < 4; i++) {
        struct kv_buf value = make_value(sizes[i], i + 1, false);
        ck_ok(blob_pack_add(&pack, TEST_SEED, CODEC_SNAPPY, kv_buf_slice(&value), &pointers));
        ends[i + 1] = pointers.size;
        kv_buf_finish(&value);
    }
    ck_assert_uint_eq(blob_pack_size(&pack), 5000 + 8192 + 300 + 4096);
    ck_assert_uint_eq(pack.aligned.size, 12288);
    for (size_t i = 0; i < 4; i++) {
        ck_assert(
            blob_pointer_is_unplaced(kv_slice(pointers.data + ends[i], ends[i + 1] - ends[i])));
        blob_pack_place(pointers.data + ends[i], ends[i + 1] - ends[i], TEST_SEED, &place);
    }
    ck_assert_uint_eq(offset_of(&pointers, ends[0], ends[1]), 53248);
    ck_assert_uint_eq(offset_of(&pointers, ends[1], ends[2]), 40960);
    ck_assert_uint_eq(offset_of(&pointers, ends[2], ends[3]), 53248 + 5000);
    ck_assert_uint_eq(offset_of(&pointers, ends[3], ends[4]), 40960 + 8192);
    kv_buf_finish(&pointers);
    blob_pack_finish(&pack);
}
END_TEST

START_TEST(a_value_is_compressed_where_that_saves_an_eighth)
{
    struct blob_pack pack = {0};
    struct kv_buf pointer = {0};
    struct kv_buf text = make_value(200000, 'a', true);
    struct kv_buf noise = make_value(200000, 9, false);

    ck_ok(blob_pack_add(&pack, TEST_SEED, CODEC_SNAPPY, kv_buf_slice(&noise), &pointer));
    ck_assert_uint_eq(pointer.size, BLOB_POINTER_HEAD_SIZE + 49 * 8);
    ck_assert_uint_eq(blob_pack_size(&pack), 200000);
    pointer.size = 0;
    blob_pack_clear(&pack, 0);
    ck_ok(blob_pack_add(&pack, TEST_SEED, CODEC_SNAPPY, kv_buf_slice(&text), &pointer));
    ck_assert_uint_eq(pointer.size, BLOB_POINTER_HEAD_SIZE + 4 * 12);
    ck_assert_uint_lt(blob_pack_size(&pack), 20000);
    pointer.size = 0;
    blob_pack_clear(&pack, 0);
    ck_ok(blob_pack_add(&pack, TEST_SEED, CODEC_NONE, kv_buf_slice(&text), &pointer));
    ck_assert_uint_eq(blob_pack_size(&pack), 200000);
    kv_buf_finish(&pointer);
    kv_buf_finish(&text);
    kv_buf_finish(&noise);
    blob_pack_finish(&pack);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("blob pointer");
    suite_add(s, "golden", the_bytes_of_a_pointer_never_change);
    suite_add(s, "golden", the_checksum_of_a_unit_never_changes);
    suite_add(s, "decode", a_pointer_says_where_its_units_lie);
    suite_add(s, "decode", what_is_not_a_pointer_is_refused);
    suite_add(s, "parts", a_part_holds_the_units_it_touches_and_no_more);
    suite_add(s, "pack", values_of_whole_pages_are_aligned_and_others_are_packed);
    suite_add(s, "pack", a_value_is_compressed_where_that_saves_an_eighth);
    return s;
}
