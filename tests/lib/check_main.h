/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test program shares: main(), the seed, and checks that print errno by name.
 * A test program defines test_suite() and nothing else that is global. */
#ifndef TESTS_LIB_CHECK_MAIN_H
#define TESTS_LIB_CHECK_MAIN_H

#include <check.h>
#include <stdint.h>

#include <kv/error.h>

Suite *test_suite(void);

/* Seed of this run's random tests: KV_SEED if set, else from the clock. Printed with every failure.
 */
uint64_t test_seed(void);
/* Number of steps a random test should make: KV_STEPS if set, else `normal`, and many times that if
 * KV_SLOW is set (tests/run --slow), but at most KV_STEPS_MAX. */
uint64_t test_steps(uint64_t normal);
/* How long to wait for what must happen by itself before that counts as a failure: KV_PATIENCE_S in
 * seconds if set, else a minute, which a busy machine does not exceed. tests/mutants sets less,
 * where many wait in vain. */
uint64_t test_patience_ms(void);
/* Add one test case holding one test; for suites without fixtures. */
void suite_add(Suite *suite, const char *name, const TTest *test);

/* `expr` must be 0 (or positive). */
#define ck_ok(expr)                                                                                \
    do {                                                                                           \
        int ck_ok_r = (expr);                                                                      \
        ck_assert_msg(ck_ok_r >= 0, "%s: %s (seed %" PRIu64 ")", #expr, kv_strerror(ck_ok_r),      \
                      test_seed());                                                                \
    } while (0)

/* `expr` must be the negative errno `-code`. */
#define ck_fails(expr, code)                                                                       \
    do {                                                                                           \
        int ck_fails_r = (expr);                                                                   \
        ck_assert_msg(ck_fails_r == -(code), "%s: got %d (%s), expected -%s (seed %" PRIu64 ")",   \
                      #expr, ck_fails_r, ck_fails_r < 0 ? kv_strerror(ck_fails_r) : "success",     \
                      #code, test_seed());                                                         \
    } while (0)

#include <inttypes.h>

#endif
