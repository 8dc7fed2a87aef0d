/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "tools/bench/bench_engine.h"
#include "tools/bench/bench_plot.h"
#include "tools/text.h"
#include "tools/words.h"

static uint64_t take_number(const struct bench_number *number, const char *value,
                            struct argp_state *state)
{
    uint64_t read = 0;
    int r = number->is_size ? text_parse_size(value, &read)
                            : text_parse_number(value, number->max, &read);
    if (r < 0 || read < number->min || read > number->max) {
        argp_error(state, "%s wants a number from %" PRIu64 " to %" PRIu64 ", not '%s'",
                   number->name, number->min, number->max, value);
    }
    return read;
}

void bench_list_take(char *list, bench_word_fn *fn, void *arg, struct argp_state *state)
{
    char *rest = list;
    char *word;
    while ((word = strsep(&rest, ",")) != NULL) {
        if (*word != '\0') {
            fn(arg, word, state);
        }
    }
}

static void take_workload(void *arg, const char *name, struct argp_state *state)
{
    struct bench_command *command = arg;
    const char *names[BENCH_WORKLOADS_MAX];
    struct bench_word word;
    unsigned count = 0;
    if (command->workload_count == BENCH_WORKLOADS_MAX) {
        argp_error(state, "more than %d workloads", BENCH_WORKLOADS_MAX);
    }
    for (; count < BENCH_WORKLOADS_MAX && command->workload_at(count, &word); count++) {
        if (strcmp(word.name, name) == 0) {
            command->workloads[command->workload_count++] = count;
            return;
        }
        names[count] = word.name;
    }
    const char *nearest = words_nearest(name, names, count);
    if (nearest != NULL) {
        argp_error(state, "unknown workload '%s'. Did you mean '%s'?", name, nearest);
    } else {
        argp_error(state, "unknown workload '%s'. --help lists them.", name);
    }
}

static const char *take_plot(const char *value, struct argp_state *state)
{
    if (!bench_plot_fits(value)) {
        argp_error(state, "--plot wants a name that ends in .svg or .png, not '%s'", value);
    }
    return value;
}

void bench_command_init(struct bench_command *command)
{
    for (unsigned i = 0; i < command->number_count; i++) {
        command->number[i] = command->numbers[i].preset;
    }
}

error_t bench_command_parse(struct bench_command *command, int key, char *value,
                            struct argp_state *state)
{
    unsigned which = (unsigned)key - BENCH_OPTION_NUMBERS;
    if (key >= BENCH_OPTION_NUMBERS && which < command->number_count) {
        command->number[which] = take_number(&command->numbers[which], value, state);
        return 0;
    }
    switch (key) {
    case BENCH_OPTION_WORKLOAD:
        bench_list_take(value, take_workload, command, state);
        return 0;
    case BENCH_OPTION_JSON:
        command->json = true;
        return 0;
    case BENCH_OPTION_PLOT:
        command->plot = take_plot(value, state);
        return 0;
    case 'q':
        command->quiet = true;
        return 0;
    default:
        return words_collect(&command->words, key, state);
    }
}

void bench_command_complete(struct bench_command *command)
{
    struct bench_word word;
    if (command->workload_count > 0) {
        return;
    }
    while (command->workload_count < BENCH_WORKLOADS_MAX &&
           command->workload_at(command->workload_count, &word)) {
        command->workloads[command->workload_count] = command->workload_count;
        command->workload_count++;
    }
}

char *bench_help_workloads(int key, const char *text, bench_word_at_fn *at)
{
    struct kv_buf list = {0};
    struct bench_word word;
    if (key != ARGP_KEY_HELP_POST_DOC) {
        union {
            const char *given;
            char *returned;
        } same = {.given = text}; /* as argp wants text that stays as it is */
        return same.returned;
    }
    int r = bench_print(&list, "Workloads:\n");
    for (unsigned i = 0; r == 0 && at(i, &word); i++) {
        r = bench_print(&list, "  %-18s %s\n", word.name, word.summary);
    }
    if (r < 0 || kv_buf_append(&list, kv_slice("", 1)) < 0) {
        kv_buf_finish(&list);
    }
    return (char *)list.data;
}

void bench_progress(size_t done, size_t count, uint64_t began_ns)
{
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    double passed_s = (double)(clock_monotonic_ns() - began_ns) / 1e9;
    if (done == count) {
        fprintf(stderr, "\r\033[K");
    } else if (done == 0) {
        fprintf(stderr, "\r0 of %zu", count);
    } else {
        fprintf(stderr, "\r\033[K%zu of %zu, about %.0f s left", done, count,
                passed_s / (double)done * (double)(count - done));
    }
}
