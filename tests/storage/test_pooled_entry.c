/* SPDX-License-Identifier: Apache-2.0 */
/* Names and values of a store in a pool, byte by byte: docs/format.md, "The store on RADOS". */
#include "tests/lib/check_main.h"

#include "kvcore/storage/pooled_entry.h"

START_TEST(pieces_have_these_names)
{
    char name[POOLED_NAME_SIZE];

    pooled_piece_name((struct kv_file_id){KV_FILE_TABLE, 42}, 31, 0, name);
    ck_assert_str_eq(name, "00000042.table.1f.0");
    pooled_piece_name((struct kv_file_id){KV_FILE_LOG, 1}, 1, 12, name);
    ck_assert_str_eq(name, "00000001.log.1.12");
    pooled_piece_name((struct kv_file_id){KV_FILE_MANIFEST, UINT64_MAX}, UINT64_MAX, UINT64_MAX,
                      name);
    ck_assert_str_eq(name, "18446744073709551615.manifest.ffffffffffffffff.18446744073709551615");
    pooled_piece_name((struct kv_file_id)POOLED_RESERVE_ID, 31, 0, name);
    ck_assert_str_eq(name, "RESERVE.1f.0");
}
END_TEST

START_TEST(names_of_files_are_those_in_a_directory_and_no_others)
{
    static const char *const foreign[] = {"", "ROOT", "LOCK", "RESERVE.tmp", "reserve", "1.log"};
    struct kv_file_id id = {KV_FILE_BLOB, 7};

    ck_assert(pooled_file_name_parse("00000042.table", &id));
    ck_assert(id.kind == KV_FILE_TABLE && id.number == 42);
    ck_assert(!pooled_is_reserve(id));
    ck_assert(pooled_file_name_parse("RESERVE", &id));
    ck_assert(pooled_is_reserve(id));
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        ck_assert(!pooled_file_name_parse(foreign[i], &id));
    }
}
END_TEST

START_TEST(counts_are_texts_that_sort_as_numbers)
{
    struct pooled_count count = pooled_count_encode(0x1234abcd);
    struct pooled_count larger = pooled_count_encode(UINT64_MAX);
    uint64_t value = 0;

    ck_assert_mem_eq(count.text, "000000001234abcd", 16);
    ck_assert_mem_eq(larger.text, "ffffffffffffffff", 16);
    ck_assert_int_lt(kv_slice_compare(pooled_count_slice(&count), pooled_count_slice(&larger)), 0);
    ck_ok(pooled_count_decode(pooled_count_slice(&larger), &value));
    ck_assert_uint_eq(value, UINT64_MAX);
    ck_fails(pooled_count_decode(kv_slice_str("1234"), &value), KV_EDAMAGED);
    ck_fails(pooled_count_decode(kv_slice_str("000000001234ABCD"), &value), KV_EDAMAGED);
    ck_fails(pooled_count_decode(kv_slice("00000000\0\0\0\0\0\0\0\0", 16), &value), KV_EDAMAGED);
    ck_fails(pooled_count_decode(kv_slice_str(""), &value), KV_EDAMAGED);
}
END_TEST

static const struct pooled_entry finished = {.state = POOLED_FINISHED,
                                             .epoch = 300,
                                             .piece_bytes = POOLED_PIECE_DEFAULT,
                                             .pieces = 2,
                                             .size = 40000000};
static const uint8_t finished_bytes[] = {0x03, 0xac, 0x02, 0x80, 0x80, 0x80,
                                         0x10, 0x02, 0x80, 0xb4, 0x89, 0x13};

START_TEST(an_entry_has_these_bytes)
{
    struct kv_buf bytes = {0};
    struct pooled_entry back = {0};

    ck_ok(pooled_entry_encode(&finished, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof finished_bytes);
    ck_assert_mem_eq(bytes.data, finished_bytes, sizeof finished_bytes);
    ck_ok(pooled_entry_decode(kv_buf_slice(&bytes), &back));
    ck_assert_int_eq(back.state, finished.state);
    ck_assert_uint_eq(back.epoch, finished.epoch);
    ck_assert_uint_eq(back.piece_bytes, finished.piece_bytes);
    ck_assert_uint_eq(back.pieces, finished.pieces);
    ck_assert_uint_eq(back.size, finished.size);
    kv_buf_finish(&bytes);
}
END_TEST

START_TEST(an_entry_of_an_epoch_drawn_at_random_has_these_bytes)
{
    static const uint8_t golden[] = {0x02, 0xef, 0x9b, 0xaf, 0xcd, 0xf8, 0xac,
                                     0xd1, 0x91, 0x01, 0x80, 0x20, 0x01, 0x00};
    struct pooled_entry entry = {
        .state = POOLED_OPEN, .epoch = 0x0123456789abcdef, .piece_bytes = 4096, .pieces = 1};
    struct pooled_entry back = {0};
    struct kv_buf bytes = {0};

    ck_ok(pooled_entry_encode(&entry, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden);
    ck_assert_mem_eq(bytes.data, golden, sizeof golden);
    ck_ok(pooled_entry_decode(kv_buf_slice(&bytes), &back));
    ck_assert_uint_eq(back.epoch, entry.epoch);
    kv_buf_finish(&bytes);
}
END_TEST

/* Decode the golden entry with one byte changed. */
static int decode_with(size_t at, uint8_t byte)
{
    uint8_t bytes[sizeof finished_bytes];
    struct pooled_entry entry;

    memcpy(bytes, finished_bytes, sizeof bytes);
    bytes[at] = byte;
    return pooled_entry_decode(kv_slice(bytes, sizeof bytes), &entry);
}

START_TEST(an_entry_that_cannot_be_is_damage_and_a_newer_one_is_refused)
{
    uint8_t longer[sizeof finished_bytes + 3];
    struct pooled_entry entry;

    for (size_t size = 0; size < sizeof finished_bytes; size++) {
        ck_fails(pooled_entry_decode(kv_slice(finished_bytes, size), &entry), KV_EDAMAGED);
    }
    ck_fails(decode_with(0, 0), KV_EDAMAGED);
    ck_fails(decode_with(0, 5), KV_EFORMAT);
    ck_fails(decode_with(0, POOLED_OPEN), KV_EDAMAGED); /* an open one has no size */
    ck_fails(decode_with(3, 0x81), KV_EDAMAGED);        /* pieces of an odd size */
    ck_fails(decode_with(6, 0x7f), KV_EDAMAGED);        /* too large */
    ck_fails(decode_with(7, 1), KV_EDAMAGED);           /* size beyond the pieces */
    ck_fails(decode_with(7, 0), KV_EDAMAGED);
    memcpy(longer, finished_bytes, sizeof finished_bytes);
    memcpy(longer + sizeof finished_bytes, "\x02\x01z", 3); /* fields of a later version */
    ck_ok(pooled_entry_decode(kv_slice(longer, sizeof longer), &entry));
    longer[sizeof finished_bytes] = 1;
    ck_fails(pooled_entry_decode(kv_slice(longer, sizeof longer), &entry), KV_EFORMAT);
    ck_fails(pooled_entry_decode(kv_slice(longer, sizeof longer - 1), &entry), KV_EDAMAGED);
}
END_TEST

START_TEST(a_holder_has_these_bytes_and_one_line)
{
    static const char golden[] = "\x0d"
                                 "127.0.0.1:0/7"
                                 "\x06"
                                 "a b: c";
    struct pooled_holder holder = {kv_slice_str("127.0.0.1:0/7"), kv_slice_str("a\nb: c")};
    struct kv_buf bytes = {0};

    ck_ok(pooled_holder_encode(holder, &bytes));
    ck_assert_uint_eq(bytes.size, sizeof golden - 1);
    ck_assert_mem_eq(bytes.data, golden, sizeof golden - 1);
    ck_ok(pooled_holder_decode(kv_buf_slice(&bytes), &holder));
    ck_assert(kv_slice_equal(holder.address, kv_slice_str("127.0.0.1:0/7")));
    ck_assert(kv_slice_equal(holder.line, kv_slice_str("a b: c")));
    for (size_t size = 0; size < bytes.size; size++) {
        ck_fails(pooled_holder_decode(kv_slice(bytes.data, size), &holder), KV_EDAMAGED);
    }
    kv_buf_finish(&bytes);
}
END_TEST

START_TEST(a_holder_too_long_is_cut_off)
{
    static char text[1000];
    struct kv_buf bytes = {0};
    struct pooled_holder holder;

    memset(text, 'x', sizeof text - 1);
    holder = (struct pooled_holder){kv_slice_str("here"), kv_slice_str(text)};
    ck_ok(pooled_holder_encode(holder, &bytes));
    ck_ok(pooled_holder_decode(kv_buf_slice(&bytes), &holder));
    ck_assert_uint_eq(holder.line.size, POOLED_LINE_MAX);
    kv_buf_finish(&bytes);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_entry");
    suite_add(s, "name", pieces_have_these_names);
    suite_add(s, "name", names_of_files_are_those_in_a_directory_and_no_others);
    suite_add(s, "count", counts_are_texts_that_sort_as_numbers);
    suite_add(s, "entry", an_entry_has_these_bytes);
    suite_add(s, "entry", an_entry_of_an_epoch_drawn_at_random_has_these_bytes);
    suite_add(s, "entry", an_entry_that_cannot_be_is_damage_and_a_newer_one_is_refused);
    suite_add(s, "holder", a_holder_has_these_bytes_and_one_line);
    suite_add(s, "holder", a_holder_too_long_is_cut_off);
    return s;
}
