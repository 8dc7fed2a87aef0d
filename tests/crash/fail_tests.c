/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/fail_tests.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/tasks.h"

bool fail_test_begin(struct fail_test *test, uint64_t number)
{
    const struct crash_options *options = test->options;

    if (number % options->every != 0 || (options->point != 0 && options->point != number)) {
        return false;
    }
    test->result->current = number;
    test->result->cases++;
    return true;
}

static bool run_test(void *arg, size_t i)
{
    const struct fail_tests *tests = arg;
    return tests->run(&tests->items[i]);
}

static void report(void *arg, size_t i, unsigned number, int status)
{
    const struct fail_tests *tests = arg;
    const struct fail_test *test = &tests->items[i];
    const struct fail_result *result = test->result;

    printf("%sok %u - %s: %" PRIu64 " cases at %" PRIu64 " %s, %" PRIu64 " failures, %" PRIu64
           " openings; %" PRIu64 " engine calls went well all the same\n",
           status == 0 ? "" : "not ", number, test->script.name, result->cases, result->calls,
           tests->points, result->strikes, result->openings, result->mended);
    if (status != 0) {
        printf("# status %d during %s\n# steps: %s\n# replay: %s --seed %" PRIu64
               " --only '%s' --point %" PRIu64,
               status, result->what, test->script.steps, tests->program, test->options->seed,
               test->script.name, result->current);
        if (test->random) {
            printf(" --round %u", test->round);
        }
        printf("\n");
    }
    fflush(stdout);
}

/* The fixed scripts, then the random ones, whose rounds count from 1. */
static void choose(struct fail_tests *tests, size_t most, struct fail_result *results)
{
    const struct crash_options *options = tests->options;

    for (size_t i = 0; i < most; i++) {
        struct fail_test *test = &tests->items[tests->count];
        *test = (struct fail_test){.options = options, .result = &results[tests->count]};
        fail_script_make(options->seed, i, &test->script);
        test->random = i >= FAIL_SCRIPTS;
        test->round = test->random ? (unsigned)(i - FAIL_SCRIPTS) + 1 : 0;
        tests->count += crash_options_want(options, test->script.name,
                                           test->random ? test->round : (unsigned)options->round);
    }
}

static void print_sum(const struct fail_tests *tests)
{
    uint64_t cases = 0, calls = 0, strikes = 0;

    for (size_t i = 0; i < tests->count; i++) {
        cases += tests->items[i].result->cases;
        calls += tests->items[i].result->calls;
        strikes += tests->items[i].result->strikes;
    }
    printf("# tried: %zu scripts, %" PRIu64 " cases at %" PRIu64 " %s, %" PRIu64 " failures\n",
           tests->count, cases, calls, tests->points, strikes);
}

size_t fail_tests_run(struct fail_tests *tests)
{
    const struct crash_options *options = tests->options;
    unsigned rounds = options->round >= 0 ? (unsigned)options->round + 1 : options->rounds;
    size_t most = FAIL_SCRIPTS + rounds - 1;
    struct tasks tasks = {.run = run_test, .report = report, .jobs = options->jobs, .arg = tests};

    tests->items = calloc(most, sizeof *tests->items);
    if (tests->items == NULL) {
        printf("Bail out! no memory\n");
        exit(1);
    }
    printf("# seed %" PRIu64 "\n", options->seed);
    choose(tests, most, tasks_share(most * sizeof(struct fail_result)));
    tasks.count = tests->count;
    size_t failed = tasks_run(&tasks);
    print_sum(tests);
    return failed;
}

void fail_tests_finish(struct fail_tests *tests)
{
    free(tests->items);
}
