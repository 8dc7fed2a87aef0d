/* SPDX-License-Identifier: Apache-2.0 */
/* bench fs: reads the command line, runs, reports. */
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_commands.h"
#include "tools/bench/bench_fs_report.h"
#include "tools/bench/bench_fs_run.h"
#include "tools/bench/bench_fs_work.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/bench_process.h"
#include "tools/cmd.h"

/* Options that are a number, in the order of `numbers` below. */
enum number_key {
    NUMBER_FILES = 0,
    NUMBER_SIZE,
    NUMBER_THREADS,
    NUMBER_PER_DIRECTORY,
    NUMBER_STREAM,
    NUMBER_SYNCS,
    NUMBER_DAEMON,
    NUMBER_COUNT,
};

enum option_key {
    OPTION_NUMBERS = 256, /* and NUMBER_COUNT more */
    OPTION_WORKLOAD = OPTION_NUMBERS + NUMBER_COUNT,
    OPTION_SHARED,
    OPTION_COLD,
    OPTION_JSON,
    OPTION_PLOT,
};

static const struct bench_number numbers[NUMBER_COUNT] = {
    [NUMBER_FILES] = {"--num", 20000, 1, 1ULL << 40, false},
    [NUMBER_SIZE] = {"--size", 1024, 0, 1 << 30, true},
    [NUMBER_THREADS] = {"--threads", 1, 1, 256, false},
    [NUMBER_PER_DIRECTORY] = {"--per-directory", 1000, 1, 1ULL << 40, false},
    [NUMBER_STREAM] = {"--stream", 1 << 30, 1 << 10, 1ULL << 50, true},
    [NUMBER_SYNCS] = {"--syncs", 2000, 1, 1ULL << 40, false},
    [NUMBER_DAEMON] = {"--daemon", 0, 1, 1 << 30, false},
};

static const struct argp_option options[] = {
    {"workload", OPTION_WORKLOAD, "A,B,...", 0, "what to run, in this order (all of them)", 0},
    {"num", OPTION_NUMBERS + NUMBER_FILES, "N", 0, "files of all threads together (20000)", 0},
    {"size", OPTION_NUMBERS + NUMBER_SIZE, "B", 0, "of a file (1K)", 0},
    {"threads", OPTION_NUMBERS + NUMBER_THREADS, "N", 0,
     "threads that share the work, each in a directory of its own (1)", 0},
    {"shared", OPTION_SHARED, NULL, 0, "all threads in the same directories", 0},
    {"per-directory", OPTION_NUMBERS + NUMBER_PER_DIRECTORY, "N", 0, "files (1000)", 0},
    {"stream", OPTION_NUMBERS + NUMBER_STREAM, "B", 0, "of all threads together (1G)", 0},
    {"syncs", OPTION_NUMBERS + NUMBER_SYNCS, "N", 0, "of fsync4k (2000)", 0},
    {"cold", OPTION_COLD, NULL, 0,
     "drop the kernel's pages, names and attributes before each workload; takes root", 0},
    {"daemon", OPTION_NUMBERS + NUMBER_DAEMON, "PID", 0,
     "the process that serves the file system: report its memory, and what it writes", 0},
    {"quiet", 'q', NULL, 0, "show no progress", 0},
    {"json", OPTION_JSON, NULL, 0, "as one JSON object", 0},
    {"plot", OPTION_PLOT, "FILE", 0, "draw operations per second, FILE.svg or FILE.png", 0},
    {0},
};

struct settings {
    struct words words;
    struct bench_fs_config config;
    uint64_t number[NUMBER_COUNT];
};

/* ---- reading the options --------------------------------------------------------------------- */

static bool workload_word(unsigned index, struct bench_word *ret_word)
{
    const struct bench_fs_workload *workload = bench_fs_workload_at(index);
    if (workload != NULL) {
        *ret_word = (struct bench_word){workload->name, workload->summary};
    }
    return workload != NULL;
}

static void add_workload(void *arg, const char *name, struct argp_state *state)
{
    struct bench_fs_config *config = arg;
    unsigned index = bench_workload_take(name, workload_word, config->workload_count,
                                         BENCH_FS_WORKLOADS_MAX, state);
    config->workloads[config->workload_count++] = bench_fs_workload_at(index);
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    if (key >= OPTION_NUMBERS && key < OPTION_NUMBERS + NUMBER_COUNT) {
        unsigned which = (unsigned)(key - OPTION_NUMBERS);
        s->number[which] = bench_number_take(&numbers[which], value, state);
        return 0;
    }
    switch (key) {
    case OPTION_WORKLOAD:
        bench_list_take(value, add_workload, &s->config, state);
        return 0;
    case OPTION_SHARED:
        s->config.shared = true;
        return 0;
    case OPTION_COLD:
        s->config.cold = true;
        return 0;
    case OPTION_JSON:
        s->config.json = true;
        return 0;
    case OPTION_PLOT:
        s->config.plot = bench_plot_take(value, state);
        return 0;
    case 'q':
        s->config.quiet = true;
        return 0;
    default:
        return words_collect(&s->words, key, state);
    }
}

static void settings_complete(struct settings *s)
{
    struct bench_fs_config *c = &s->config;
    c->files = s->number[NUMBER_FILES];
    c->file_size = s->number[NUMBER_SIZE];
    c->threads = (unsigned)s->number[NUMBER_THREADS];
    c->per_directory = s->number[NUMBER_PER_DIRECTORY];
    c->stream_bytes = s->number[NUMBER_STREAM];
    c->syncs = s->number[NUMBER_SYNCS];
    c->daemon = (unsigned)s->number[NUMBER_DAEMON];
    for (unsigned i = 0; c->workload_count == 0 && bench_fs_workload_at(i) != NULL; i++) {
        c->workloads[i] = bench_fs_workload_at(i);
        c->workload_count = bench_fs_workload_at(i + 1) == NULL ? i + 1 : 0;
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static int report(const struct bench_fs_config *config, const struct bench_result *results)
{
    int r = config->json ? bench_fs_report_json(config, results)
                         : bench_fs_report_text(config, results);
    if (r < 0) {
        complain("cannot show the results: %s", kv_strerror(r));
        return EXIT_FAILED;
    }
    return finish_output(config->plot != NULL ? bench_fs_report_plot(config, results) : EXIT_DONE);
}

static int run(const struct bench_fs_config *config)
{
    if (config->daemon != 0 && bench_process_peak_bytes(config->daemon) == 0) {
        complain("--daemon: there is no process %u, or it is not yours", config->daemon);
        return EXIT_FAILED;
    }
    struct bench_result *results = calloc(config->workload_count, sizeof *results);
    if (results == NULL) {
        complain("out of memory");
        return EXIT_FAILED;
    }
    bool measured = false;
    int code = bench_fs_run(config, results, &measured);
    int reported = measured ? report(config, results) : EXIT_DONE;
    code = code == EXIT_DONE ? reported : code;
    free(results);
    return code;
}

/* The workloads below the options of --help. */
static char *list_workloads(int key, const char *text, void *input)
{
    return bench_help_workloads(key, text, workload_word);
}

int cmd_bench_fs(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "fs DIR",
        "Examples:\n  kvfs bench fs /mnt/a\n  kvfs bench fs --workload create,read,unlink --num "
        "100000 --threads 4 DIR\n  kvfs bench fs --cold --json DIR\n\nMeasure the file system that "
        "the directory lies on, whichever it is, through system calls. All happens in a new "
        "directory below DIR, which is removed at the end. A workload that needs files and finds "
        "none has them made first, unmeasured.\v",
        NULL,
        list_workloads,
        NULL};
    struct settings s = {.words = {.count = 0}};
    for (unsigned i = 0; i < NUMBER_COUNT; i++) {
        s.number[i] = numbers[i].preset;
    }
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    settings_complete(&s);
    if (s.words.count != 2 || strcmp(s.words.at[0], "fs") != 0) {
        complain("usage: kvfs bench %s. See 'kvfs bench fs --help'.", argp.args_doc);
        return EXIT_USAGE;
    }
    s.config.dir = s.words.at[1];
    return run(&s.config);
}
