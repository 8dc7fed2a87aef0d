/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/blob/blob_lib.h"

#include "kvcore/util/coding.h"

static uint64_t file_seed(void)
{
    return checksum_file_seed(TEST_SEED, KV_FILE_BLOB, TEST_BLOB);
}

static void add(struct blob_directory *directory, const char *key, uint32_t offset, uint32_t size)
{
    struct blob_entry entry = {.table_id = 2,
                               .key = kv_slice_str(key),
                               .offset = offset,
                               .stored_size = size,
                               .length = 3 * size,
                               .codec = CODEC_SNAPPY};
    ck_ok(blob_directory_add(directory, &entry));
}

static void encode(const struct blob_directory *directory, uint64_t offset, uint64_t data_bytes,
                   struct kv_buf *to)
{
    struct blob_end end = {.number = TEST_BLOB, .offset = offset, .data_bytes = data_bytes};
    ck_ok(blob_directory_encode(directory, TEST_SEED, &end, to));
}

START_TEST(the_bytes_of_directory_and_footer_never_change)
{
    static const uint8_t golden[] = {
        0x4b, 0x42, 0x6c, 0x64, 0xb8, 0x7b, 0x75, 0x99, 0x23, 0,    0,    0,    0x23, 0,    0,
        0,    0x86, 0xbd, 0x6a, 0xaa, 0x65, 0xb9, 0x1b, 0x75, 1,    0,    0,    0,    0,    0,
        0,    0,    8,    2,    0,    0,    0,    0x6e, 0x61, 0x6d, 0x65, 0x80, 0x20, 0xac, 2,
        0x84, 7,    2,    9,    2,    0,    0,    0,    0x6f, 0x74, 0x68, 0x65, 0x72, 0xac, 0x22,
        0xf0, 0xa2, 4,    0xd0, 0xe8, 0x0c, 2,    0x6b, 0x76, 0x2d, 0x62, 0x6c, 0x6f, 0x62, 0x31,
        7,    0,    0,    0,    0,    0,    0,    0,    0x9c, 0x22, 1,    0,    0,    0,    0,
        0,    0x43, 0,    0,    0,    0,    0,    0,    0,    0x9c, 0x12, 1,    0,    0,    0,
        0,    0,    2,    0,    0,    0,    1,    0,    0,    0,    0,    0,    0,    0,    0,
        0,    0,    0,    0xad, 0x67, 0xb5, 0xe4, 0x7e, 0x5f, 3,    0x15,
    };
    struct blob_directory directory = {0};
    struct kv_buf bytes = {0};

    add(&directory, "name", 4096, 300);
    add(&directory, "other", 4396, 70000);
    encode(&directory, 74396, 70300, &bytes);
    ck_assert_uint_eq(bytes.size, sizeof golden);
    ck_assert_mem_eq(bytes.data, golden, sizeof golden);
    kv_buf_finish(&bytes);
    blob_directory_finish(&directory);
}
END_TEST

START_TEST(a_directory_of_many_blocks_reads_back)
{
    enum { COUNT = 20000, OFFSET = 1 << 20 };
    struct blob_directory directory = {0};
    struct kv_buf bytes = {0}, raw = {0};
    struct blob_footer footer;
    uint64_t at = 0;
    uint32_t seen = 0;
    char key[32];

    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(key, sizeof key, "key %u", i);
        add(&directory, key, i * 8, 8);
    }
    encode(&directory, OFFSET, COUNT * 8, &bytes);
    ck_ok(blob_footer_decode(bytes.data + bytes.size - BLOB_FOOTER_SIZE, file_seed(),
                             OFFSET + bytes.size - BLOB_FOOTER_SIZE, &footer));
    ck_assert_uint_eq(footer.number, TEST_BLOB);
    ck_assert_uint_eq(footer.value_count, COUNT);
    ck_assert_uint_eq(footer.data_bytes, COUNT * 8);
    ck_assert_uint_eq(footer.directory_offset, OFFSET);
    ck_assert_uint_gt(footer.directory_size, 2 * BLOB_DIRECTORY_HEAD_SIZE);
    while (at < footer.directory_size) {
        struct kv_slice rest = kv_slice(bytes.data + at, (size_t)(footer.directory_size - at));
        struct blob_entry entry;
        size_t size = 0;
        ck_ok(blob_directory_decode_block(rest, file_seed(), OFFSET + at, &raw, &size));
        struct coding_cursor cursor = coding_cursor(kv_buf_slice(&raw));
        while (blob_directory_next(&cursor, &entry) == 1) {
            snprintf(key, sizeof key, "key %u", seen);
            ck_assert(kv_slice_equal(entry.key, kv_slice_str(key)));
            ck_assert_uint_eq(entry.offset, seen * 8);
            ck_assert_uint_eq(entry.table_id, 2);
            seen++;
        }
        ck_assert(coding_done(&cursor));
        at += size;
    }
    ck_assert_uint_eq(seen, COUNT);
    kv_buf_finish(&raw);
    kv_buf_finish(&bytes);
    blob_directory_finish(&directory);
}
END_TEST

START_TEST(an_empty_directory_is_a_footer_alone)
{
    struct blob_directory directory = {0};
    struct kv_buf bytes = {0};
    struct blob_footer footer;

    encode(&directory, 0, 0, &bytes);
    ck_assert_uint_eq(bytes.size, BLOB_FOOTER_SIZE);
    ck_ok(blob_footer_decode(bytes.data, file_seed(), 0, &footer));
    ck_assert_uint_eq(footer.directory_size, 0);
    kv_buf_finish(&bytes);
}
END_TEST

START_TEST(any_changed_bit_of_directory_and_footer_is_noticed)
{
    struct blob_directory directory = {0};
    struct kv_buf bytes = {0}, raw = {0};
    struct blob_footer footer;
    size_t size = 0;

    add(&directory, "name", 0, 300);
    encode(&directory, 304, 300, &bytes);
    size_t end = bytes.size - BLOB_FOOTER_SIZE;
    ck_fails(blob_footer_decode(bytes.data + end, file_seed() + 1, 304 + end, &footer),
             KV_EDAMAGED);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (bit / 8 < end) {
            ck_fails(blob_directory_decode_block(kv_slice(bytes.data, end), file_seed(), 304, &raw,
                                                 &size),
                     KV_EDAMAGED);
        } else {
            ck_fails(blob_footer_decode(bytes.data + end, file_seed(), 304 + end, &footer),
                     KV_EDAMAGED);
        }
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < end; cut++) {
        ck_fails(
            blob_directory_decode_block(kv_slice(bytes.data, cut), file_seed(), 304, &raw, &size),
            KV_EDAMAGED);
    }
    kv_buf_finish(&raw);
    kv_buf_finish(&bytes);
    blob_directory_finish(&directory);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("blob directory");
    suite_add(s, "golden", the_bytes_of_directory_and_footer_never_change);
    suite_add(s, "read", a_directory_of_many_blocks_reads_back);
    suite_add(s, "read", an_empty_directory_is_a_footer_alone);
    suite_add(s, "damage", any_changed_bit_of_directory_and_footer_is_noticed);
    return s;
}
