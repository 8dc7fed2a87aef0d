/* SPDX-License-Identifier: Apache-2.0 */
/* What the command lines of the benchmarks share. */
#ifndef KVFS_TOOLS_BENCH_OPTIONS_H
#define KVFS_TOOLS_BENCH_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An option that is a number. */
struct bench_number {
    const char *name;
    uint64_t preset, min, max;
    bool is_size; /* K, M, G behind it */
};

/* Read `value`; ends the program with a complaint when it does not fit. */
uint64_t bench_number_take(const struct bench_number *number, const char *value,
                           struct argp_state *state);

typedef void bench_word_fn(void *arg, const char *word, struct argp_state *state);
/* Call `fn` for each word between commas; `list` is cut into them. */
void bench_list_take(char *list, bench_word_fn *fn, void *arg, struct argp_state *state);

/* A workload as the command line knows it. False: there are not so many. */
struct bench_word {
    const char *name, *summary;
};
typedef bool bench_word_at_fn(unsigned index, struct bench_word *ret_word);

/* The index of the workload called `name`; ends the program with a complaint when there is none, or
 * when `taken` are as many as there may be. */
unsigned bench_workload_take(const char *name, bench_word_at_fn *at, unsigned taken, unsigned max,
                             struct argp_state *state);
/* For argp's help_filter: text as it is, and behind the last the list of the workloads. */
char *bench_help_workloads(int key, const char *text, bench_word_at_fn *at);

/* A name of a plot as bench_plot() draws it, or the end of the program. */
const char *bench_plot_take(const char *value, struct argp_state *state);

/* "\r3 of 9, about 4 s left" on stderr if that is a terminal, nothing when `done` is `count`. */
void bench_progress(size_t done, size_t count, uint64_t began_ns);

#endif
