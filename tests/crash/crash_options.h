/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the crash tests: which moments of which workloads to try, and how. */
#ifndef TESTS_CRASH_CRASH_OPTIONS_H
#define TESTS_CRASH_CRASH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct crash_options {
    uint64_t seed;
    unsigned rounds;
    unsigned jobs;
    const char *only;
    int64_t round;  /* -1: all */
    uint64_t point; /* 0: all */
    uint64_t every;
    unsigned damages; /* random ones at each moment */
};

/* Ends the program at a word it does not know. KV_SEED and KV_SLOW of the environment count too. */
struct crash_options crash_options_parse(int argc, char **argv);
/* Is this round of the workload to be run? */
bool crash_options_want(const struct crash_options *options, const char *workload, unsigned round);

#endif
