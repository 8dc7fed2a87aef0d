/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <string.h>

#include "tools/health.h"

static void note(void *arg, const char *kind, const char *text)
{
    char *kinds = arg;
    ck_assert(strlen(kinds) + strlen(kind) + 2 < 256 && *text != '\0');
    strncat(kinds, kind, 32);
    strncat(kinds, " ", 2);
}

static void is(struct health_facts facts, const char *wanted)
{
    char kinds[256] = "";
    unsigned count = health_judge(&facts, note, kinds);
    unsigned spaces = 0;
    for (const char *at = kinds; *at != '\0'; at++) {
        spaces += *at == ' ';
    }
    ck_assert_str_eq(kinds, wanted);
    ck_assert_uint_eq(count, spaces);
}

START_TEST(a_store_of_which_nothing_is_known_is_well)
{
    is((struct health_facts){0}, "");
}
END_TEST

START_TEST(every_error_is_a_reason)
{
    is((struct health_facts){.engine_reason = "a flush failed"}, "engine ");
    is((struct health_facts){.damage_seen = 1, .write_errors = 1, .read_errors = 1},
       "damage write_errors read_errors ");
    is((struct health_facts){.suspects = "00000012.table"}, "suspects ");
    is((struct health_facts){.suspects = "00000012.table", .damage_seen = 1}, "damage ");
}
END_TEST

START_TEST(a_device_is_nearly_full_below_a_twentieth)
{
    is((struct health_facts){.total_bytes = 1000, .free_bytes = 50}, "");
    is((struct health_facts){.total_bytes = 1000, .free_bytes = 49}, "space ");
    is((struct health_facts){.total_bytes = 1000}, "space ");
}
END_TEST

START_TEST(stalls_count_by_their_share_of_the_time)
{
    const uint64_t s = 1000000000;
    is((struct health_facts){.open_ns = 100 * s, .stall_ns = 10 * s}, "");
    is((struct health_facts){.open_ns = 100 * s, .stall_ns = 11 * s}, "stalls ");
    is((struct health_facts){.open_ns = s, .stall_ns = s}, "");
}
END_TEST

START_TEST(writing_much_for_little_counts_once_much_was_written)
{
    const uint64_t gib = (uint64_t)1 << 30;
    is((struct health_facts){.bytes_written_user = gib + 1, .write_amplification = 30.5},
       "write_amplification ");
    is((struct health_facts){.bytes_written_user = gib + 1, .write_amplification = 30}, "");
    is((struct health_facts){.bytes_written_user = gib, .write_amplification = 300}, "");
}
END_TEST

START_TEST(syncs_are_slow_above_a_second)
{
    is((struct health_facts){.syncs = 10, .sync_p99_ns = 1000000001}, "syncs ");
    is((struct health_facts){.syncs = 10, .sync_p99_ns = 1000000000}, "");
    is((struct health_facts){.syncs = 9, .sync_p99_ns = 9000000000}, "");
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("health");
    suite_add(suite, "a_store_of_which_nothing_is_known_is_well",
              a_store_of_which_nothing_is_known_is_well);
    suite_add(suite, "every_error_is_a_reason", every_error_is_a_reason);
    suite_add(suite, "a_device_is_nearly_full_below_a_twentieth",
              a_device_is_nearly_full_below_a_twentieth);
    suite_add(suite, "stalls_count_by_their_share_of_the_time",
              stalls_count_by_their_share_of_the_time);
    suite_add(suite, "writing_much_for_little_counts_once_much_was_written",
              writing_much_for_little_counts_once_much_was_written);
    suite_add(suite, "syncs_are_slow_above_a_second", syncs_are_slow_above_a_second);
    return suite;
}
