/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/crash_options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvcore/util/clock.h"

enum { SLOW_ROUNDS = 50 };

struct crash_options crash_options_parse(int argc, char **argv)
{
    static const struct option longs[] = {{"slow", required_argument, NULL, 'n'},
                                          {"every", required_argument, NULL, 'e'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"only", required_argument, NULL, 'o'},
                                          {"round", required_argument, NULL, 'r'},
                                          {"point", required_argument, NULL, 'p'},
                                          {"damages", required_argument, NULL, 'd'},
                                          {NULL, 0, NULL, 0}};
    const char *seed = getenv("KV_SEED");
    struct crash_options options = {
        .seed = seed != NULL ? strtoull(seed, NULL, 0) : clock_monotonic_ns() % 1000000,
        .rounds = getenv("KV_SLOW") != NULL ? SLOW_ROUNDS : 1,
        .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
        .round = -1,
        .every = 1,
        .damages = 2,
    };
    uint64_t number;
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        number = optarg != NULL ? strtoull(optarg, NULL, 0) : 0;
        switch (option) {
        case 'n':
            options.rounds = (unsigned)number;
            break;
        case 'e':
            options.every = number > 0 ? number : 1;
            break;
        case 'j':
            options.jobs = number > 0 ? (unsigned)number : 1;
            break;
        case 's':
            options.seed = number;
            break;
        case 'o':
            options.only = optarg;
            break;
        case 'r':
            options.round = (int64_t)number;
            break;
        case 'p':
            options.point = number;
            break;
        case 'd':
            options.damages = (unsigned)number;
            break;
        default:
            exit(2);
        }
    }
    return options;
}

bool crash_options_want(const struct crash_options *options, const char *workload, unsigned round)
{
    return (options->only == NULL || strcmp(options->only, workload) == 0) &&
           (options->round < 0 || options->round == (int64_t)round);
}
