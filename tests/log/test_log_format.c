/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/log/log_rig.h"

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

/* A log 7 of the store seed 0x1122334455667788 whose predecessor was log 6 of 4096 bytes with chain
 * 0x0102030405060708, salt 0x1020304050607080; then a batch "payload" of sequence 9, synced, and a
 * mark. */
static const uint8_t golden[] = {
    0x30, 0x53, 0x2a, 0x6a, 0xeb, 0xb3, 0x9e, 0x16, 0x41, 0x96, 0xe0, 0x92, 0x2a, 0x00, 0x00, 0x00,
    0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
    0x80, 0x70, 0x60, 0x50, 0x40, 0x30, 0x20, 0x10, 0x02, 0x08, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
    0x22, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xd4, 0x0e, 0x61, 0xef, 0x3c, 0x55, 0xe9, 0xe7,
    0xd3, 0xf6, 0xe3, 0x31, 0x07, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
    0x70, 0x61, 0x79, 0x6c, 0x6f, 0x61, 0x64, 0x00, 0x35, 0x78, 0x89, 0x9b, 0x09, 0x33, 0x7b, 0x9a,
    0x8d, 0xae, 0x2b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x11, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
};

START_TEST(a_log_has_these_bytes)
{
    struct kv_storage *storage = NULL;
    struct log_writer *writer = NULL;
    struct log_end previous = {6, 4096, 0x0102030405060708};
    struct log_writer_options options = {
        .store_seed = rig_seed, .salt = 0x1020304050607080, .previous = &previous};

    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(log_writer_create(storage, rig_id, &options, &writer));
    rig_add(writer, 9, "payload", false);
    ck_ok(log_writer_sync(writer));
    ck_ok(log_writer_add(writer, LOG_RECORD_MARK, 0, NULL, 0, false));
    log_writer_destroy(writer);
    struct kv_buf bytes = rig_bytes(storage);
    ck_assert_uint_eq(bytes.size, sizeof golden);
    ck_assert_mem_eq(bytes.data, golden, sizeof golden);
    kv_buf_finish(&bytes);
    kv_storage_mem_destroy(storage);
}
END_TEST

static const struct log_header example = {
    .payload_checksum = 0x1234567890abcdef,
    .payload_size = 1000,
    .number = 7,
    .sequence = 99,
    .synced_bytes = 4096,
    .type = LOG_RECORD_BATCH,
};

START_TEST(a_header_comes_back_as_it_was)
{
    uint8_t bytes[LOG_HEADER_SIZE];
    struct log_header back;
    log_header_encode(&example, 5, 8192, bytes);
    ck_ok(log_header_decode(bytes, 5, 8192, &back));
    ck_assert_uint_eq(back.payload_checksum, example.payload_checksum);
    ck_assert_uint_eq(back.payload_size, example.payload_size);
    ck_assert_uint_eq(back.number, example.number);
    ck_assert_uint_eq(back.sequence, example.sequence);
    ck_assert_uint_eq(back.synced_bytes, example.synced_bytes);
    ck_assert_int_eq(back.type, example.type);
}
END_TEST

START_TEST(a_header_elsewhere_of_another_file_or_with_any_bit_flipped_is_not_valid)
{
    uint8_t bytes[LOG_HEADER_SIZE];
    struct log_header back;
    log_header_encode(&example, 5, 8192, bytes);
    ck_fails(log_header_decode(bytes, 5, 8200, &back), KV_EDAMAGED);
    ck_fails(log_header_decode(bytes, 6, 8192, &back), KV_EDAMAGED);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_fails(log_header_decode(bytes, 5, 8192, &back), KV_EDAMAGED);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

START_TEST(a_head_is_32_bytes_and_then_fields_of_which_odd_ones_must_be_known)
{
    struct kv_buf bytes = {0};
    struct log_head head = {.previous = {.number = 3, .size = 128, .chain = 77},
                            .salt = 99,
                            .store_seed = 0x0807060504030201};
    struct log_head back;
    ck_ok(log_head_encode(&head, &bytes));
    ck_assert_uint_eq(bytes.size, 42);
    ck_assert_mem_eq(bytes.data + 32, "\2\10\1\2\3\4\5\6\7\10", 10);
    ck_ok(log_head_decode(kv_buf_slice(&bytes), &back));
    ck_assert(back.previous.number == 3 && back.previous.size == 128 && back.previous.chain == 77);
    ck_assert(back.salt == 99 && back.store_seed == head.store_seed);
    ck_ok(log_head_decode(kv_slice(bytes.data, 32), &back));
    ck_assert_uint_eq(back.store_seed, 0);
    for (size_t size = 0; size < 42; size++) {
        ck_assert(size == 32 || log_head_decode(kv_slice(bytes.data, size), &back) == -KV_EDAMAGED);
    }
    ck_ok(coding_append_field_varint(&bytes, 4, 5));
    ck_ok(log_head_decode(kv_buf_slice(&bytes), &back));
    ck_ok(coding_append_field_varint(&bytes, 3, 5));
    ck_fails(log_head_decode(kv_buf_slice(&bytes), &back), KV_EFORMAT);
    bytes.size = 32;
    ck_ok(coding_append_field_varint(&bytes, 2, 5)); /* too short for a seed */
    ck_fails(log_head_decode(kv_buf_slice(&bytes), &back), KV_EDAMAGED);
    bytes.size = 32;
    memset(bytes.data, 0, 8);
    ck_fails(log_head_decode(kv_buf_slice(&bytes), &back), KV_EDAMAGED);
    memset(bytes.data, 0, 24);
    ck_ok(log_head_decode(kv_buf_slice(&bytes), &back));
    ck_assert_uint_eq(back.previous.number, 0);
    kv_buf_finish(&bytes);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("log_format");
    suite_add(s, "golden", a_log_has_these_bytes);
    suite_add(s, "header", a_header_comes_back_as_it_was);
    suite_add(s, "header", a_header_elsewhere_of_another_file_or_with_any_bit_flipped_is_not_valid);
    suite_add(s, "end", a_head_is_32_bytes_and_then_fields_of_which_odd_ones_must_be_known);
    return s;
}
