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
    NUMBER_SECONDS,
    NUMBER_DAEMON,
    NUMBER_COUNT,
};

enum option_key {
    OPTION_SHARED = 256,
    OPTION_COLD,
};

static const struct bench_number numbers[NUMBER_COUNT] = {
    [NUMBER_FILES] = {"--num", 20000, 1, 1ULL << 40, false},
    [NUMBER_SIZE] = {"--size", 1024, 0, 1 << 30, true},
    [NUMBER_THREADS] = {"--threads", 1, 1, 256, false},
    [NUMBER_PER_DIRECTORY] = {"--per-directory", 1000, 1, 1ULL << 40, false},
    [NUMBER_STREAM] = {"--stream", 1 << 30, 1 << 10, 1ULL << 50, true},
    [NUMBER_SYNCS] = {"--syncs", 2000, 1, 1ULL << 40, false},
    [NUMBER_SECONDS] = {"--seconds", 10, 1, 1 << 30, false},
    [NUMBER_DAEMON] = {"--daemon", 0, 1, 1 << 30, false},
};

static const struct argp_option options[] = {
    BENCH_WORKLOAD_OPTION,
    {"num", BENCH_OPTION_NUMBERS + NUMBER_FILES, "N", 0, "files of all threads together (20000)",
     0},
    {"size", BENCH_OPTION_NUMBERS + NUMBER_SIZE, "B", 0, "of a file (1K)", 0},
    {"threads", BENCH_OPTION_NUMBERS + NUMBER_THREADS, "N", 0,
     "threads that share the work, each in a directory of its own (1)", 0},
    {"shared", OPTION_SHARED, NULL, 0, "all threads in the same directories", 0},
    {"per-directory", BENCH_OPTION_NUMBERS + NUMBER_PER_DIRECTORY, "N", 0, "files (1000)", 0},
    {"stream", BENCH_OPTION_NUMBERS + NUMBER_STREAM, "B", 0, "of all threads together (1G)", 0},
    {"syncs", BENCH_OPTION_NUMBERS + NUMBER_SYNCS, "N", 0, "of fsync4k (2000)", 0},
    {"seconds", BENCH_OPTION_NUMBERS + NUMBER_SECONDS, "N", 0, "of mixed (10)", 0},
    {"cold", OPTION_COLD, NULL, 0,
     "drop the kernel's pages, names and attributes before each workload; takes root", 0},
    {"daemon", BENCH_OPTION_NUMBERS + NUMBER_DAEMON, "PID", 0,
     "the process that serves the file system: report its memory, and what it writes", 0},
    BENCH_REPORT_OPTIONS,
    {0},
};

struct settings {
    struct bench_command command;
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

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case OPTION_SHARED:
        s->config.shared = true;
        return 0;
    case OPTION_COLD:
        s->config.cold = true;
        return 0;
    default:
        return bench_command_parse(&s->command, key, value, state);
    }
}

static void settings_complete(struct settings *s)
{
    struct bench_fs_config *c = &s->config;
    bench_command_complete(&s->command);
    c->files = s->number[NUMBER_FILES];
    c->file_size = s->number[NUMBER_SIZE];
    c->threads = (unsigned)s->number[NUMBER_THREADS];
    c->per_directory = s->number[NUMBER_PER_DIRECTORY];
    c->stream_bytes = s->number[NUMBER_STREAM];
    c->syncs = s->number[NUMBER_SYNCS];
    c->seconds = s->number[NUMBER_SECONDS];
    c->daemon = (unsigned)s->number[NUMBER_DAEMON];
    for (unsigned i = 0; i < s->command.workload_count; i++) {
        c->workloads[i] = bench_fs_workload_at(s->command.workloads[i]);
    }
    c->workload_count = s->command.workload_count;
    c->json = s->command.json;
    c->quiet = s->command.quiet;
    c->plot = s->command.plot;
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
    struct settings s = {
        .command = {.numbers = numbers, .number_count = NUMBER_COUNT, .workload_at = workload_word},
        .config = {.json = false}};
    s.command.number = s.number;
    bench_command_init(&s.command);
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    settings_complete(&s);
    if (s.command.words.count != 2 || strcmp(s.command.words.at[0], "fs") != 0) {
        complain("usage: kvfs bench %s. See 'kvfs bench fs --help'.", argp.args_doc);
        return EXIT_USAGE;
    }
    s.config.dir = s.command.words.at[1];
    if (kv_storage_is_url(s.config.dir) != 0) {
        complain("bench works on stores in directories, not on %s. 'kvfs bench fs' measures a "
                 "mount.",
                 s.config.dir);
        return EXIT_FAILED;
    }
    return run(&s.config);
}
