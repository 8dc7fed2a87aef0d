/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "tools/text.h"
#include "tools/words.h"

static void shows(const char *bytes, size_t size, enum text_format format, const char *expected)
{
    struct kv_buf text = {0};
    ck_ok(text_append(&text, kv_slice(bytes, size), format));
    ck_assert_uint_eq(text.size, strlen(expected));
    ck_assert_mem_eq(text.data != NULL ? (const char *)text.data : "", expected, text.size);
    kv_buf_finish(&text);
}

START_TEST(text_is_shown_as_it_is)
{
    shows("users/42", 8, TEXT_AUTO, "users/42");
    shows("Gr\xc3\xbc\xc3\x9f", 6, TEXT_AUTO, "Gr\xc3\xbc\xc3\x9f");
    shows("\xf0\x9f\x8c\x8d", 4, TEXT_AUTO, "\xf0\x9f\x8c\x8d");
    shows("", 0, TEXT_AUTO, "");
}
END_TEST

START_TEST(control_characters_and_backslashes_are_escaped)
{
    shows("a\tb\nc\\d", 7, TEXT_AUTO, "a\\tb\\nc\\\\d");
    shows("\0\x1b[31m\x7f", 7, TEXT_AUTO, "\\000\\033[31m\\177");
    shows("\xc2\x9b", 2, TEXT_AUTO, "\\302\\233");
}
END_TEST

START_TEST(bytes_that_are_no_utf8_are_escaped_or_replaced)
{
    shows("a\xff", 2, TEXT_AUTO, "a\\377");
    shows("a\xff", 2, TEXT_UTF8, "a\xef\xbf\xbd");
    shows("\xc0\xaf", 2, TEXT_AUTO, "\\300\\257");                   /* overlong */
    shows("\xed\xa0\x80", 3, TEXT_AUTO, "\\355\\240\\200");          /* surrogate */
    shows("\xf4\x90\x80\x80", 4, TEXT_AUTO, "\\364\\220\\200\\200"); /* above U+10FFFF */
    shows("\xe2\x82", 2, TEXT_AUTO, "\\342\\202");                   /* cut off */
    ck_assert(text_is_utf8(kv_slice_str("\xe2\x82\xac")));
    ck_assert(!text_is_utf8(kv_slice_str("\xe2\x82")));
}
END_TEST

START_TEST(escapes_are_read_as_c_reads_them)
{
    static const struct {
        const char *text, *bytes;
        size_t size;
    } good[] = {
        {"plain", "plain", 5},      {"", "", 0},         {"a\\tb\\\\c", "a\tb\\c", 5},
        {"\\0", "\0", 1},           {"\\1018", "A8", 2}, {"\\x41\\x4g", "A\x04g", 3},
        {"\\377\\\"", "\xff\"", 2}, {"\\x414", "A4", 2},
    };
    static const char *const bad[] = {"\\", "a\\q", "\\400", "\\x", "\\xg", "\\8"};
    struct kv_buf to = {0};
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        to.size = 0;
        ck_ok(text_unescape(kv_slice_str(good[i].text), &to));
        ck_assert(kv_slice_equal(kv_buf_slice(&to), kv_slice(good[i].bytes, good[i].size)));
    }
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_fails(text_unescape(kv_slice_str(bad[i]), &to), EINVAL);
    }
    kv_buf_finish(&to);
}
END_TEST

START_TEST(every_byte_comes_back_from_its_escape)
{
    struct kv_buf text = {0};
    struct kv_buf back = {0};
    uint8_t all[256];
    for (unsigned i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)i;
    }
    ck_ok(text_append(&text, kv_slice(all, sizeof all), TEXT_AUTO));
    ck_ok(text_unescape(kv_buf_slice(&text), &back));
    ck_assert(kv_slice_equal(kv_buf_slice(&back), kv_slice(all, sizeof all)));
    kv_buf_finish(&text);
    kv_buf_finish(&back);
}
END_TEST

START_TEST(hex_length_and_none_show_what_they_say)
{
    shows("\0k\xff", 3, TEXT_HEX, "006bff");
    shows("\0k\xff", 3, TEXT_LENGTH, "3");
    shows("\0k\xff", 3, TEXT_NONE, "");
    enum text_format format;
    ck_ok(text_format_parse("len", &format));
    ck_assert_int_eq(format, TEXT_LENGTH);
    ck_fails(text_format_parse("Hex", &format), EINVAL);
}
END_TEST

START_TEST(sizes_are_read_with_and_without_units)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"17", 17},
                {"4k", 4096},
                {"512M", 512ULL << 20},
                {"512MiB", 512ULL << 20},
                {"2gb", 2ULL << 30},
                {"16777215T", 16777215ULL << 40}};
    static const char *const bad[] = {"", "M", "1Q", "1 M", "-1", "1MM", "1.5G", "0x10"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_ok(text_parse_size(good[i].text, &bytes));
        ck_assert_uint_eq(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_fails(text_parse_size(bad[i], &bytes), EINVAL);
    }
    ck_fails(text_parse_size("16777216T", &bytes), ERANGE);
    ck_fails(text_parse_size("99999999999999999999999999", &bytes), ERANGE);
}
END_TEST

START_TEST(numbers_are_digits_up_to_a_limit)
{
    uint64_t number = 0;
    ck_ok(text_parse_number("18446744073709551615", UINT64_MAX, &number));
    ck_assert(number == UINT64_MAX);
    ck_fails(text_parse_number("18446744073709551616", UINT64_MAX, &number), ERANGE);
    ck_fails(text_parse_number("11", 10, &number), ERANGE);
    ck_fails(text_parse_number("", 10, &number), EINVAL);
    ck_fails(text_parse_number("+1", 10, &number), EINVAL);
}
END_TEST

START_TEST(uuids_survive_a_round_trip_and_bad_ones_are_refused)
{
    const char *text = "0123abcd-4567-89ef-0011-fedcba987654";
    uint8_t id[16];
    char again[37];
    ck_ok(text_parse_uuid(text, id));
    ck_assert_uint_eq(id[0], 0x01);
    ck_assert_uint_eq(id[15], 0x54);
    text_uuid(id, again);
    ck_assert_str_eq(again, text);
    ck_fails(text_parse_uuid("0123abcd-4567-89ef-0011-fedcba98765", id), EINVAL);
    ck_fails(text_parse_uuid("0123abcd-4567-89ef-0011-fedcba98765g", id), EINVAL);
    ck_fails(text_parse_uuid("0123abcd4567-89ef-0011--fedcba987654", id), EINVAL);
}
END_TEST

START_TEST(a_mistyped_word_proposes_the_nearest_one)
{
    static const char *const words[] = {"mkfs", "mount", "umount", "get", "put", "del", "status"};
    size_t count = sizeof words / sizeof words[0];
    ck_assert_str_eq(words_nearest("muont", words, count), "mount");
    ck_assert_str_eq(words_nearest("unmount", words, count), "umount");
    ck_assert_str_eq(words_nearest("stauts", words, count), "status");
    ck_assert_str_eq(words_nearest("gte", words, count), "get");
    ck_assert_ptr_null(words_nearest("frobnicate", words, count));
    ck_assert_ptr_null(words_nearest("", words, count));
    ck_assert_ptr_null(words_nearest("0123456789012345678901234567890123", words, count));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("text");
    suite_add(suite, "escapes", escapes_are_read_as_c_reads_them);
    suite_add(suite, "escapes", every_byte_comes_back_from_its_escape);
    suite_add(suite, "text_is_shown_as_it_is", text_is_shown_as_it_is);
    suite_add(suite, "control_characters_and_backslashes_are_escaped",
              control_characters_and_backslashes_are_escaped);
    suite_add(suite, "bytes_that_are_no_utf8_are_escaped_or_replaced",
              bytes_that_are_no_utf8_are_escaped_or_replaced);
    suite_add(suite, "hex_length_and_none_show_what_they_say",
              hex_length_and_none_show_what_they_say);
    suite_add(suite, "sizes_are_read_with_and_without_units",
              sizes_are_read_with_and_without_units);
    suite_add(suite, "numbers_are_digits_up_to_a_limit", numbers_are_digits_up_to_a_limit);
    suite_add(suite, "uuids_survive_a_round_trip_and_bad_ones_are_refused",
              uuids_survive_a_round_trip_and_bad_ones_are_refused);
    suite_add(suite, "a_mistyped_word_proposes_the_nearest_one",
              a_mistyped_word_proposes_the_nearest_one);
    return suite;
}
