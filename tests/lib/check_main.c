/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/clock.h"

enum {
    SLOW_FACTOR = 20, /* what --slow of tests/run multiplies random tests by */
    PATIENCE_S = 60,
};

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
    const char *max = getenv("KV_STEPS_MAX");
    uint64_t wanted = getenv("KV_SLOW") != NULL ? normal * SLOW_FACTOR : normal;
    uint64_t most = max != NULL ? strtoull(max, NULL, 0) : wanted;
    return wanted < most ? wanted : most;
}

uint64_t test_patience_ms(void)
{
    const char *seconds = getenv("KV_PATIENCE_S");
    return 1000 * (seconds != NULL ? strtoull(seconds, NULL, 0) : PATIENCE_S);
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
