/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <string.h>

#include "tools/redact.h"

static void becomes(const char *text, const char *wanted)
{
    struct kv_buf to = {0};
    ck_assert_int_eq(redact_rows(&to, kv_slice_str(text)), 0);
    ck_assert_uint_eq(to.size, strlen(wanted));
    ck_assert(to.size == 0 || memcmp(to.data, wanted, to.size) == 0);
    kv_buf_finish(&to);
}

START_TEST(what_names_no_row_stays)
{
    becomes("", "");
    becomes("\n", "\n");
    becomes("/srv/a: works again\nsignal 15: ending", "/srv/a: works again\nsignal 15: ending");
    becomes("arrow 'x': y", "arrow '(left out)': y"); /* too much rather than too little */
}
END_TEST

START_TEST(rows_are_left_out_of_every_line)
{
    becomes("damaged row 'd 1 secret': bad\nfine\ndamaged row 'd 2 other': worse\n",
            "damaged row '(left out)': bad\nfine\ndamaged row '(left out)': worse\n");
}
END_TEST

START_TEST(a_key_with_quotes_and_colons_goes_as_a_whole)
{
    becomes("row 'it's': here': it is no entry", "row '(left out)': it is no entry");
    becomes("row 'a': b' row 'c': d", "row '(left out)': d");
}
END_TEST

START_TEST(a_message_that_was_cut_short_loses_its_end)
{
    becomes("1: damaged row 'secre", "1: damaged row '(left out)");
    becomes("1: damaged row '", "1: damaged row '(left out)");
    becomes("1: row 'secret'\n2: x", "1: row '(left out)\n2: x");
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("redact");
    suite_add(suite, "what_names_no_row_stays", what_names_no_row_stays);
    suite_add(suite, "rows_are_left_out_of_every_line", rows_are_left_out_of_every_line);
    suite_add(suite, "a_key_with_quotes_and_colons_goes_as_a_whole",
              a_key_with_quotes_and_colons_goes_as_a_whole);
    suite_add(suite, "a_message_that_was_cut_short_loses_its_end",
              a_message_that_was_cut_short_loses_its_end);
    return suite;
}
