/* SPDX-License-Identifier: Apache-2.0 */
/* What the command lines of the benchmarks share. */
#ifndef KVFS_TOOLS_BENCH_OPTIONS_H
#define KVFS_TOOLS_BENCH_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/bench/bench_config.h"
#include "tools/cmd.h"

/* An option that is a number. */
struct bench_number {
    const char *name;
    uint64_t preset, min, max;
    bool is_size; /* K, M, G behind it */
};

typedef void bench_word_fn(void *arg, const char *word, struct argp_state *state);
/* Call `fn` for each word between commas; `list` is cut into them. */
void bench_list_take(char *list, bench_word_fn *fn, void *arg, struct argp_state *state);

/* A workload as the command line knows it. False: there are not so many. */
struct bench_word {
    const char *name, *summary;
};
typedef bool bench_word_at_fn(unsigned index, struct bench_word *ret_word);

/* Keys of the options that both have; a command's own come before them. */
enum {
    BENCH_OPTION_WORKLOAD = 1000,
    BENCH_OPTION_JSON,
    BENCH_OPTION_PLOT,
    BENCH_OPTION_NUMBERS, /* and as many more as there are numbers */
};
#define BENCH_WORKLOAD_OPTION                                                                      \
    {                                                                                              \
        "workload", BENCH_OPTION_WORKLOAD, "A,B,...", 0,                                           \
            "what to run, in this order (all of them)", 0                                          \
    }
#define BENCH_REPORT_OPTIONS                                                                       \
    {"quiet", 'q', NULL, 0, "show no progress", 0},                                                \
        {"json", BENCH_OPTION_JSON, NULL, 0, "as one JSON object", 0},                             \
    {                                                                                              \
        "plot", BENCH_OPTION_PLOT, "FILE", 0, "draw operations per second, FILE.svg or FILE.png",  \
            0                                                                                      \
    }

/* What the options that both have say. */
struct bench_command {
    const struct bench_number *numbers;
    unsigned number_count;
    uint64_t *number; /* as many: the presets, or what was given */
    bench_word_at_fn *workload_at;
    struct words words;
    unsigned workloads[BENCH_WORKLOADS_MAX]; /* indices */
    unsigned workload_count;
    bool json, quiet;
    const char *plot; /* NULL: none */
};

/* Set the numbers to their presets. The first four fields are set. */
void bench_command_init(struct bench_command *command);
/* For argp's parser: take an option that both have, or a word. Ends the program with a complaint
 * about a value that makes no sense. Errors: ARGP_ERR_UNKNOWN. */
error_t bench_command_parse(struct bench_command *command, int key, char *value,
                            struct argp_state *state);
/* All workloads, where none was named. */
void bench_command_complete(struct bench_command *command);

/* For argp's help_filter: text as it is, and behind the last the list of the workloads. */
char *bench_help_workloads(int key, const char *text, bench_word_at_fn *at);

/* "\r3 of 9, about 4 s left" on stderr if that is a terminal, nothing when `done` is `count`. */
void bench_progress(size_t done, size_t count, uint64_t began_ns);

#endif
