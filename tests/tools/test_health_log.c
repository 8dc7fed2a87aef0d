/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <string.h>

#include "tools/health_log.h"

static const struct health_facts well;
static const struct health_facts full = {.total_bytes = 1000, .free_bytes = 20};
static const struct health_facts full_and_damaged = {
    .total_bytes = 1000, .free_bytes = 20, .damage_seen = 1};
static const struct health_facts damaged = {.damage_seen = 1};

static void note(void *arg, bool is_well, const char *text)
{
    char *said = arg;
    ck_assert(strstr(text, is_well ? "ok" : "degraded") != NULL);
    snprintf(said, 1024, "%s", text);
}

/* What a look says; empty if nothing. */
static void says(struct health_log *log, const struct health_facts *facts, const char *wanted)
{
    char said[1024] = "";
    health_log_look(log, facts, note, said);
    ck_assert_str_eq(said, wanted);
}

static void looks_well(struct health_log *log, int times)
{
    for (int i = 0; i < times; i++) {
        says(log, &well, "");
    }
}

START_TEST(a_store_that_is_well_says_nothing)
{
    struct health_log log = {0};
    looks_well(&log, 10);
}
END_TEST

START_TEST(a_change_is_told_once_in_each_direction)
{
    struct health_log log = {0};
    for (int i = 0; i < 3; i++) {
        says(&log, &full, "health: degraded: 2.0 % of the device are free, less than 5");
        says(&log, &full, "");
        says(&log, &full, "");
        looks_well(&log, HEALTH_LOG_LOOKS - 1);
        says(&log, &well, "health: ok again");
        looks_well(&log, 10);
    }
}
END_TEST

START_TEST(a_reason_that_comes_on_top_is_told_with_all)
{
    struct health_log log = {0};
    says(&log, &damaged, "health: degraded: damage was met 1 times since the store was opened");
    says(&log, &full_and_damaged,
         "health: degraded: damage was met 1 times since the store was opened; 2.0 % of the device "
         "are free, less than 5");
    says(&log, &full_and_damaged, "");
    says(&log, &damaged, "");
    says(&log, &full_and_damaged, ""); /* it came and went with the same trouble */
}
END_TEST

START_TEST(what_comes_and_goes_with_every_look_is_told_once)
{
    struct health_log log = {0};
    says(&log, &full, "health: degraded: 2.0 % of the device are free, less than 5");
    for (int i = 0; i < 20; i++) {
        looks_well(&log, HEALTH_LOG_LOOKS - 1);
        says(&log, &full, "");
    }
}
END_TEST

START_TEST(all_reasons_at_once_fit)
{
    const uint64_t s = 1000000000;
    char said[1024] = "";
    char long_reason[600];
    memset(long_reason, 'x', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = '\0';
    struct health_facts all = {.engine_reason = "a flush failed",
                               .read_errors = 1,
                               .write_errors = 1,
                               .damage_seen = 1,
                               .total_bytes = 1000,
                               .free_bytes = 1,
                               .open_ns = 100 * s,
                               .stall_ns = 50 * s,
                               .bytes_written_user = (uint64_t)2 << 30,
                               .write_amplification = 100,
                               .syncs = 10,
                               .sync_p99_ns = 2 * s};
    struct health_log log = {0};
    health_log_look(&log, &all, note, said);
    ck_assert(strstr(said, "a flush failed; ") != NULL &&
              strstr(said, "sync in a hundred") != NULL);
    says(&log, &all, "");
    all.engine_reason = long_reason;
    log = (struct health_log){0};
    health_log_look(&log, &all, note, said);
    ck_assert_uint_lt(strlen(said), sizeof said);
    says(&log, &all, "");
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("health_log");
    suite_add(suite, "a_store_that_is_well_says_nothing", a_store_that_is_well_says_nothing);
    suite_add(suite, "a_change_is_told_once_in_each_direction",
              a_change_is_told_once_in_each_direction);
    suite_add(suite, "a_reason_that_comes_on_top_is_told_with_all",
              a_reason_that_comes_on_top_is_told_with_all);
    suite_add(suite, "what_comes_and_goes_with_every_look_is_told_once",
              what_comes_and_goes_with_every_look_is_told_once);
    suite_add(suite, "all_reasons_at_once_fit", all_reasons_at_once_fit);
    return suite;
}
