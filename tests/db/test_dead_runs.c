/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of deleted keys: which keys they claim, and what a revived key leaves of them. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/db/dead_runs.h"
#include "kvcore/util/rng.h"

enum { T = 3, OTHER = 4, KEYS = 200, LOOKED_AT = 20 };

static struct dead_runs *set;

static void setup(void)
{
    ck_ok(dead_runs_create(&set));
}

static void teardown(void)
{
    dead_runs_destroy(set);
}

static struct dead_key key(const char *text)
{
    struct dead_key to = {0};
    ck_assert(dead_key_set(&to, kv_slice_str(text)));
    return to;
}

static void watch(uint32_t table_id, const char *start)
{
    struct dead_key from = key(start);
    dead_runs_watch(set, table_id, &from);
}

static void end(uint64_t since, const char *hi)
{
    struct dead_key to = key(hi);
    dead_runs_note(set, since, &to);
}

static void note(const char *lo, const char *hi, uint64_t since)
{
    watch(T, lo);
    end(since, hi);
}

static bool dead_at(const char *text, uint64_t sequence)
{
    struct dead_span span;
    return dead_runs_find(set, T, kv_slice_str(text), sequence, &span);
}

static bool dead(const char *text)
{
    return dead_at(text, UINT64_MAX);
}

static void revive(const char *text)
{
    dead_runs_revive(set, T, kv_slice_str(text));
}

/* The run of the key is [lo, hi). */
static void ck_run(const char *text, const char *lo, const char *hi)
{
    struct dead_span span = {0};
    ck_assert(dead_runs_find(set, T, kv_slice_str(text), UINT64_MAX, &span));
    ck_assert(kv_slice_equal(dead_key_slice(&span.lo), kv_slice_str(lo)));
    ck_assert(kv_slice_equal(dead_key_slice(&span.hi), kv_slice_str(hi)));
}

START_TEST(a_run_holds_its_first_key_and_not_its_end)
{
    ck_assert(!dead("b"));
    note("b", "d", 5);
    ck_assert(!dead("az"));
    ck_run("b", "b", "d");
    ck_run("czz", "b", "d");
    ck_assert(!dead("d"));
}
END_TEST

START_TEST(a_run_without_an_end_reaches_to_the_end_of_the_table)
{
    struct dead_span span;
    note("b", "", 5);
    ck_run("zzz", "b", "");
    ck_assert(!dead_runs_find(set, OTHER, kv_slice_str("zzz"), 9, &span));
}
END_TEST

START_TEST(a_run_is_not_for_readers_of_older_states)
{
    note("b", "d", 5);
    ck_assert(!dead_at("c", 4));
    ck_assert(dead_at("c", 5));
}
END_TEST

START_TEST(runs_that_touch_become_one_that_holds_from_the_later_on)
{
    note("b", "d", 5);
    note("d", "f", 9);
    ck_run("c", "b", "f");
    ck_assert(!dead_at("c", 8));
    note("h", "j", 11);
    note("l", "", 12);
    ck_run("i", "h", "j");
    note("e", "m", 7);
    ck_run("b", "b", "");
    ck_assert(!dead_at("b", 11));
    ck_assert(dead_at("b", 12));
}
END_TEST

START_TEST(a_revived_key_splits_its_run)
{
    struct dead_span behind = {0};
    note("b", "f", 5);
    revive("d");
    ck_run("c", "b", "d");
    ck_assert(!dead("d"));
    /* The next key there could be begins the rest. */
    ck_assert(dead_runs_find(set, T, kv_slice_str("e"), 5, &behind));
    ck_assert(kv_slice_equal(dead_key_slice(&behind.lo), kv_slice("d\0", 2)));
    ck_assert(kv_slice_equal(dead_key_slice(&behind.hi), kv_slice_str("f")));
}
END_TEST

START_TEST(keys_revived_at_the_bounds_leave_no_empty_run)
{
    struct dead_span span;
    note("b", "b!", 5);
    revive("b");
    ck_assert(!dead("b"));
    ck_assert(dead("b "));
    revive("a");
    revive("b!");
    ck_assert(dead("b "));
    watch(T, "x");
    dead_runs_note(set, 7, &(struct dead_key){.size = 2, .bytes = {'x', 0}});
    ck_assert(dead("x"));
    revive("x");
    ck_assert(!dead_runs_find(set, T, kv_slice("x\0", 2), 9, &span));
}
END_TEST

START_TEST(a_key_of_another_table_revives_nothing)
{
    note("b", "f", 5);
    dead_runs_revive(set, OTHER, kv_slice_str("d"));
    ck_run("d", "b", "f");
}
END_TEST

START_TEST(keys_revived_during_a_walk_end_its_run)
{
    watch(T, "b");
    revive("a");
    revive("f");
    revive("d");
    revive("e");
    dead_runs_revive(set, OTHER, kv_slice_str("c"));
    end(5, "h");
    ck_run("b", "b", "d");
    ck_assert(!dead("d") && !dead("e") && !dead("g"));
}
END_TEST

START_TEST(a_start_revived_during_its_walk_leaves_nothing_to_note)
{
    watch(T, "b");
    revive("b");
    end(5, "h");
    ck_assert(!dead("b") && !dead("c"));
    ck_assert_uint_eq(dead_runs_tables(set), 0);
}
END_TEST

START_TEST(a_walk_that_failed_notes_nothing)
{
    watch(T, "b");
    dead_runs_note(set, 5, NULL);
    ck_assert(!dead("b"));
    ck_assert_uint_eq(dead_runs_tables(set), 0);
}
END_TEST

START_TEST(tables_with_a_watch_or_a_run_concern_writers)
{
    ck_assert_uint_eq(dead_runs_announce(set, 7), 0);
    struct dead_key from = key("b");
    ck_assert_uint_eq(dead_runs_watch(set, T, &from), 7);
    ck_assert(dead_runs_concern(dead_runs_announce(set, 9), T));
    ck_assert(!dead_runs_concern(dead_runs_announce(set, 9), OTHER));
    end(9, "d");
    ck_assert(dead_runs_concern(dead_runs_announce(set, 10), T));
    revive("b");
    dead_runs_forget(set, T);
    ck_assert_uint_eq(dead_runs_announce(set, 11), 0);
}
END_TEST

START_TEST(a_dropped_table_has_no_runs_and_gets_none_from_a_walk_under_way)
{
    note("x", "y", 5);
    watch(T, "b");
    dead_runs_forget(set, T);
    end(5, "d");
    ck_assert(!dead("b") && !dead("x"));
    ck_assert_uint_eq(dead_runs_tables(set), 0);
}
END_TEST

/* Every tenth of many keys below "b" is noted as a run of its own. */
static void fill(unsigned from, unsigned to)
{
    char lo[16];
    char hi[16];
    for (unsigned i = from; i < to; i++) {
        snprintf(lo, sizeof lo, "b%04u0", i);
        snprintf(hi, sizeof hi, "b%04u9", i);
        note(lo, hi, 5);
    }
}

START_TEST(runs_are_few_and_those_in_use_stay)
{
    note("a", "aa", 5);
    ck_assert(dead("a"));
    fill(0, 3 * DEAD_RUN_MAX);
    ck_assert(dead("a"));
    ck_assert(!dead("b00003"));
    ck_assert(dead("b01913"));
    ck_assert_uint_eq(set->count, DEAD_RUN_MAX);
}
END_TEST

START_TEST(a_run_that_is_filled_again_key_by_key_is_forgotten)
{
    char text[16];
    note("b", "c", 5);
    for (unsigned i = 0; i < DEAD_SPLITS_MAX; i++) {
        snprintf(text, sizeof text, "b%04u", i);
        ck_assert(dead(text)); /* in use: it is split and stays */
        revive(text);
    }
    for (unsigned i = DEAD_SPLITS_MAX; i < 2 * DEAD_SPLITS_MAX + 2; i++) {
        snprintf(text, sizeof text, "b%04u", i);
        revive(text);
    }
    ck_assert(!dead("bz"));
}
END_TEST

START_TEST(runs_that_nobody_uses_are_forgotten)
{
    note("a", "b", 5);
    note("c", "d", 5);
    for (unsigned i = 0; i < DEAD_SWEEPS_MAX; i++) {
        ck_assert_uint_eq(dead_runs_sweep(set), 2);
        ck_assert(dead("c"));
    }
    ck_assert_uint_eq(dead_runs_sweep(set), 1);
    ck_assert(!dead("a"));
    ck_assert(dead("c"));
}
END_TEST

START_TEST(keys_that_are_too_long_bound_no_run)
{
    uint8_t bytes[DEAD_KEY_MAX + 1];
    struct dead_key longest;
    memset(bytes, 'k', sizeof bytes);
    ck_assert(!dead_key_set(&longest, kv_slice(bytes, sizeof bytes)));
    ck_assert(dead_key_set(&longest, kv_slice(bytes, DEAD_KEY_MAX)));
    note("b", "x", 5);
    dead_runs_revive(set, T, kv_slice(bytes, DEAD_KEY_MAX)); /* no room for what comes behind it */
    ck_assert(dead("c") && !dead("m"));
    dead_runs_revive(set, T, kv_slice("cc", 2));
    note("b", "x", 5);
    dead_runs_revive(set, T, kv_slice(bytes, sizeof bytes));
    ck_assert(!dead("c") && !dead("m"));
    watch(T, "b");
    dead_runs_revive(set, T, kv_slice(bytes, sizeof bytes));
    end(5, "x");
    ck_assert(!dead("c"));
}
END_TEST

/* ---- against a plain model: the number from which on a key is known to be dead ---- */

static uint64_t claims[KEYS];

static struct dead_key key_of(unsigned i)
{
    char text[16];
    snprintf(text, sizeof text, "%05u", i);
    return key(text);
}

static void note_some(struct rng *rng, uint64_t now)
{
    unsigned lo = (unsigned)rng_below(rng, KEYS);
    unsigned hi = lo + 1 + (unsigned)rng_below(rng, 30);
    unsigned revived = lo + (unsigned)rng_below(rng, 100);
    struct dead_key from = key_of(lo);
    struct dead_key to = key_of(hi);

    dead_runs_watch(set, T, &from);
    if (revived < KEYS) {
        struct dead_key k = key_of(revived);
        dead_runs_revive(set, T, dead_key_slice(&k));
        claims[revived] = UINT64_MAX;
        hi = revived < hi ? revived : hi;
    }
    dead_runs_note(set, now, &to);
    for (unsigned i = lo; i < hi && i < KEYS; i++) {
        claims[i] = claims[i] < now ? claims[i] : now;
    }
}

START_TEST(no_key_is_claimed_that_the_model_does_not_know_to_be_dead)
{
    struct rng rng = {test_seed()};
    uint64_t found = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        claims[i] = UINT64_MAX;
    }
    for (uint64_t now = 1; now < test_steps(3000); now++) {
        struct dead_key k = key_of((unsigned)rng_below(&rng, KEYS));
        if (rng_below(&rng, 4) == 0) {
            note_some(&rng, now);
        } else {
            dead_runs_revive(set, T, dead_key_slice(&k));
            claims[strtoul((const char *)k.bytes, NULL, 10)] = UINT64_MAX;
        }
        uint64_t at = now - rng_below(&rng, now);
        unsigned first = (unsigned)rng_below(&rng, KEYS - LOOKED_AT);
        for (unsigned i = first; i < first + LOOKED_AT; i++) {
            struct dead_span span;
            k = key_of(i);
            if (dead_runs_find(set, T, dead_key_slice(&k), at, &span)) {
                found++;
                ck_assert_msg(claims[i] <= at, "key %u at %" PRIu64 " (seed %" PRIu64 ")", i, at,
                              test_seed());
            }
        }
    }
    ck_assert_uint_gt(found, 0);
}
END_TEST

Suite *test_suite(void)
{
    const TTest *const tests[] = {
        a_run_holds_its_first_key_and_not_its_end,
        a_run_without_an_end_reaches_to_the_end_of_the_table,
        a_run_is_not_for_readers_of_older_states,
        runs_that_touch_become_one_that_holds_from_the_later_on,
        a_revived_key_splits_its_run,
        keys_revived_at_the_bounds_leave_no_empty_run,
        a_key_of_another_table_revives_nothing,
        keys_revived_during_a_walk_end_its_run,
        a_start_revived_during_its_walk_leaves_nothing_to_note,
        a_walk_that_failed_notes_nothing,
        tables_with_a_watch_or_a_run_concern_writers,
        a_dropped_table_has_no_runs_and_gets_none_from_a_walk_under_way,
        runs_are_few_and_those_in_use_stay,
        a_run_that_is_filled_again_key_by_key_is_forgotten,
        runs_that_nobody_uses_are_forgotten,
        keys_that_are_too_long_bound_no_run,
        no_key_is_claimed_that_the_model_does_not_know_to_be_dead,
    };
    Suite *s = suite_create("dead_runs");
    TCase *tc = tcase_create("dead_runs");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        tcase_add_test(tc, tests[i]);
    }
    suite_add_tcase(s, tc);
    return s;
}
