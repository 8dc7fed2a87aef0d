/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/clock.h"

enum { SLOW_FACTOR = 20 }; /* what --slow of tests/run multiplies random tests by */

static uint64_t seed;

uint64_t test_seed(void)
{
    return seed;
}

uint64_t test_steps(uint64_t normal)
{
    const char *steps = getenv("KV_STEPS");
    if (steps != NULL) {
        return strtoull(steps, NULL, 0);
    }
    return getenv("KV_SLOW") != NULL ? normal * SLOW_FACTOR : normal;
}

void suite_add(Suite *suite, const char *name, const TTest *test)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, test);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    const char *text = getenv("KV_SEED");
    seed = text != NULL ? strtoull(text, NULL, 0) : clock_monotonic_ns();
    SRunner *runner = srunner_create(test_suite());
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    if (failed > 0) {
        printf("# replay with KV_SEED=%" PRIu64 "\n", seed);
    }
    srunner_free(runner);
    return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
