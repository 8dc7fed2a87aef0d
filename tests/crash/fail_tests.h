/* SPDX-License-Identifier: Apache-2.0 */
/* The tests of a program that lets calls fail, one after the other: a test for each script, in a
 * process of its own, and what is printed of it. */
#ifndef TESTS_CRASH_FAIL_TESTS_H
#define TESTS_CRASH_FAIL_TESTS_H

#include "tests/crash/crash_options.h"
#include "tests/crash/fail_rig.h"

struct fail_test {
    const struct crash_options *options;
    struct fail_script script;
    unsigned round; /* of a random one */
    bool random;
    struct fail_result *result; /* in shared memory */
};

struct fail_tests {
    const char *program; /* for a replay */
    const char *points;  /* what fails, in the plural */
    bool (*run)(struct fail_test *test);
    const struct crash_options *options;
    struct fail_test *items; /* set by fail_tests_run(), owned; freed by fail_tests_finish() */
    size_t count;
};

/* Run those that the options want, and report each. Returns how many failed. Ends the program where
 * there is no memory. */
size_t fail_tests_run(struct fail_tests *tests);
void fail_tests_finish(struct fail_tests *tests);

/* Is case `number` wanted? It is then the present one; say what it is in result->what. */
KV_MUST_CHECK bool fail_test_begin(struct fail_test *test, uint64_t number);

#endif
