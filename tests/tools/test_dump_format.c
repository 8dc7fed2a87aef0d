/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/dump_format.h"

#include <stdlib.h>

#include "tests/lib/check_main.h"

#define HEADER(format) "VERSION=3\nformat=" format "\ntype=btree\ndb_pagesize=4096\nHEADER=END\n"

static FILE *open_text(const char *text)
{
    FILE *file = tmpfile();
    ck_assert(file != NULL && fwrite(text, 1, strlen(text), file) == strlen(text));
    rewind(file);
    return file;
}

/* All keys and values of `text`, each in brackets; returns what ended it. */
static int read_all(const char *text, struct dump_reader *reader, struct kv_buf *all)
{
    struct kv_buf key = {0};
    struct kv_buf value = {0};
    *reader = (struct dump_reader){.from = open_text(text)};
    int r = dump_read(reader, &key, &value);
    while (r > 0) {
        ck_assert_int_eq(kv_buf_append(all, kv_slice_str("[")), 0);
        ck_assert_int_eq(kv_buf_append(all, kv_buf_slice(&key)), 0);
        ck_assert_int_eq(kv_buf_append(all, kv_slice_str("][")), 0);
        ck_assert_int_eq(kv_buf_append(all, kv_buf_slice(&value)), 0);
        ck_assert_int_eq(kv_buf_append(all, kv_slice_str("]")), 0);
        r = dump_read(reader, &key, &value);
    }
    fclose(reader->from);
    kv_buf_finish(&key);
    kv_buf_finish(&value);
    return r;
}

static void reads(const char *text, const char *wanted, size_t size)
{
    struct dump_reader reader;
    struct kv_buf all = {0};
    int r = read_all(text, &reader, &all);
    ck_assert_msg(r == 0, "line %lu: %s", (unsigned long)reader.line, reader.fault);
    ck_assert(kv_slice_equal(kv_buf_slice(&all), kv_slice(wanted, size)));
    kv_buf_finish(&all);
}

static void refuses(const char *text, uint64_t line, const char *word)
{
    struct dump_reader reader;
    struct kv_buf all = {0};
    ck_assert_int_eq(read_all(text, &reader, &all), -EINVAL);
    ck_assert_uint_eq(reader.line, line);
    ck_assert_msg(strstr(reader.fault, word) != NULL, "%s", reader.fault);
    kv_buf_finish(&all);
}

START_TEST(lines_are_those_of_db_dump)
{
    static const char bytes[] = "a\\ ~\x7f\n\0\xff";
    struct kv_buf line = {0};
    ck_assert_int_eq(dump_append_line(&line, kv_slice(bytes, 8), DUMP_PRINT), 0);
    ck_assert_int_eq(dump_append_line(&line, kv_slice(bytes, 8), DUMP_BYTEVALUE), 0);
    ck_assert_int_eq(dump_append_line(&line, kv_slice(bytes, 0), DUMP_PRINT), 0);
    static const char wanted[] = " a\\\\ ~\\7f\\0a\\00\\ff\n 615c207e7f0a00ff\n \n";
    ck_assert(kv_slice_equal(kv_buf_slice(&line), kv_slice_str(wanted)));
    kv_buf_finish(&line);
}
END_TEST

START_TEST(both_formats_are_read)
{
    static const char wanted[] = "[k][a\\b\0\xff][empty][]";
    reads(HEADER("print") " k\n a\\\\b\\00\\fF\n empty\n \nDATA=END\n", wanted, sizeof wanted - 1);
    reads(HEADER("bytevalue") " 6b\n 615c6200Ff\n 656d707479\n \nDATA=END\n", wanted,
          sizeof wanted - 1);
}
END_TEST

START_TEST(dumps_may_follow_each_other)
{
    reads(HEADER("print") " a\n 1\nDATA=END\n" HEADER("bytevalue") " 62\n 32\nDATA=END\n",
          "[a][1][b][2]", 12);
    reads(HEADER("print") "DATA=END\n", "", 0);
}
END_TEST

START_TEST(what_is_longer_than_a_part_is_read_whole)
{
    char text[2000] = HEADER("print") " ";
    char wanted[2000] = "[";
    for (int i = 0; i < 700; i++) {
        strncat(text, "x", 2);
        strncat(wanted, "x", 2);
    }
    strncat(text, "\n v\nDATA=END\n", 20);
    strncat(wanted, "][v]", 5);
    reads(text, wanted, strlen(wanted));
}
END_TEST

START_TEST(what_is_cut_short_is_refused)
{
    static const char whole[] = HEADER("print") " key\n value\nDATA=END\n";
    for (size_t size = 0; size < strlen(whole) - 1; size++) {
        char part[sizeof whole] = "";
        struct dump_reader reader;
        struct kv_buf all = {0};
        memcpy(part, whole, size);
        ck_assert_msg(read_all(part, &reader, &all) == -EINVAL, "%zu bytes", size);
        kv_buf_finish(&all);
    }
}
END_TEST

START_TEST(what_is_wrong_is_named_with_its_line)
{
    refuses("", 1, "empty");
    refuses("VERSION=2\nformat=print\nHEADER=END\nDATA=END\n", 1, "VERSION=3");
    refuses("VERSION=3\nformat=odd\nHEADER=END\nDATA=END\n", 2, "neither");
    refuses("VERSION=3\nHEADER=END\nDATA=END\n", 2, "no format");
    refuses("VERSION=3\nnonsense\nHEADER=END\n", 2, "no header");
    refuses("VERSION=3\nformat=print\ntype=recno\nkeys=0\nHEADER=END\n", 3, "numbers");
    refuses(HEADER("print") " a\\zz\n b\nDATA=END\n", 6, "digits");
    refuses(HEADER("print") " a\n b\\\nDATA=END\n", 7, "digits");
    refuses(HEADER("bytevalue") " 616\n 62\nDATA=END\n", 6, "digits");
    refuses(HEADER("print") " a\nb\nDATA=END\n", 7, "no space");
    refuses(HEADER("print") " a\nDATA=END\n", 7, "no value");
    refuses(HEADER("print") " a\n b\n", 8, "cut short");
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("dump_format");
    suite_add(suite, "lines_are_those_of_db_dump", lines_are_those_of_db_dump);
    suite_add(suite, "both_formats_are_read", both_formats_are_read);
    suite_add(suite, "dumps_may_follow_each_other", dumps_may_follow_each_other);
    suite_add(suite, "what_is_longer_than_a_part_is_read_whole",
              what_is_longer_than_a_part_is_read_whole);
    suite_add(suite, "what_is_cut_short_is_refused", what_is_cut_short_is_refused);
    suite_add(suite, "what_is_wrong_is_named_with_its_line", what_is_wrong_is_named_with_its_line);
    return suite;
}
