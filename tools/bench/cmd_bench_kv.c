/* SPDX-License-Identifier: Apache-2.0 */
/* bench kv: reads the command line, runs, reports. */

#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_commands.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/bench_report.h"
#include "tools/bench/bench_workload.h"
#include "tools/cmd.h"

/* Options that are a number, in the order of `numbers` below. */
enum number_key {
    NUMBER_ROWS = 0,
    NUMBER_READS,
    NUMBER_THREADS,
    NUMBER_KEY_SIZE,
    NUMBER_VALUE_SIZE,
    NUMBER_MEMTABLE,
    NUMBER_MEMTABLES,
    NUMBER_CACHE,
    NUMBER_BITS,
    NUMBER_BLOCK,
    NUMBER_JOBS,
    NUMBER_SEEK_NEXTS,
    NUMBER_BATCH,
    NUMBER_WRITE_RATE,
    NUMBER_SEED,
    NUMBER_ROUNDS,
    NUMBER_COUNT,
};

enum option_key {
    OPTION_ENGINES = 256,
    OPTION_SYNC,
    OPTION_DURABILITY,
    OPTION_DISTRIBUTION,
    OPTION_COMPRESSIBLE,
    OPTION_NO_COMPRESSION,
    OPTION_EXISTING,
};

static const struct bench_number numbers[NUMBER_COUNT] = {
    [NUMBER_ROWS] = {"--num", 1000000, 1, 1ULL << 40, false},
    [NUMBER_READS] = {"--reads", 0, 0, 1ULL << 40, false},
    [NUMBER_THREADS] = {"--threads", 1, 1, 256, false},
    [NUMBER_KEY_SIZE] = {"--key-size", 16, BENCH_KEY_SIZE_MIN, BENCH_KEY_SIZE_MAX, true},
    [NUMBER_VALUE_SIZE] = {"--value-size", 100, 0, 16 << 20, true},
    [NUMBER_MEMTABLE] = {"--memtable", 64 << 20, 64 << 10, 1ULL << 40, true},
    [NUMBER_MEMTABLES] = {"--memtables", 4, 2, 64, false},
    [NUMBER_CACHE] = {"--cache", 256 << 20, 64 << 10, 1ULL << 40, true},
    [NUMBER_BITS] = {"--bits", 10, 1, 64, false},
    [NUMBER_BLOCK] = {"--block", 0, 0, 1 << 20, true},
    [NUMBER_JOBS] = {"--jobs", 2, 1, 64, false},
    [NUMBER_SEEK_NEXTS] = {"--seek-nexts", 0, 0, 1ULL << 32, false},
    [NUMBER_BATCH] = {"--batch", 1000, 1, 1 << 20, false},
    [NUMBER_WRITE_RATE] = {"--write-rate", 20000, 0, 1000000000, false},
    [NUMBER_SEED] = {"--seed", 1, 0, UINT64_MAX, false},
    [NUMBER_ROUNDS] = {"--rounds", 1, 1, BENCH_ROUNDS_MAX, false},
};

static const struct argp_option options[] = {
    BENCH_WORKLOAD_OPTION,
    {"num", BENCH_OPTION_NUMBERS + NUMBER_ROWS, "N", 0, "rows (1000000)", 0},
    {"reads", BENCH_OPTION_NUMBERS + NUMBER_READS, "N", 0,
     "reads of all threads together (as --num)", 0},
    {"threads", BENCH_OPTION_NUMBERS + NUMBER_THREADS, "N", 0, "threads that share the work (1)",
     0},
    {"key-size", BENCH_OPTION_NUMBERS + NUMBER_KEY_SIZE, "B", 0, "(16)", 0},
    {"value-size", BENCH_OPTION_NUMBERS + NUMBER_VALUE_SIZE, "B", 0, "(100)", 0},
    {"compressible", OPTION_COMPRESSIBLE, "R", 0,
     "values compress to this part of their size; 1: not at all (0.5)", 0},
    {"memtable", BENCH_OPTION_NUMBERS + NUMBER_MEMTABLE, "S", 0, "size of one memtable (64M)", 0},
    {"memtables", BENCH_OPTION_NUMBERS + NUMBER_MEMTABLES, "N", 0,
     "so many before writers are stopped (4)", 0},
    {"cache", BENCH_OPTION_NUMBERS + NUMBER_CACHE, "S", 0, "size of the block cache (256M)", 0},
    {"bits", BENCH_OPTION_NUMBERS + NUMBER_BITS, "N", 0, "bits of the filter per key (10)", 0},
    {"block", BENCH_OPTION_NUMBERS + NUMBER_BLOCK, "B", 0,
     "size of a block (each engine's default)", 0},
    {"no-compression", OPTION_NO_COMPRESSION, NULL, 0, "instead of snappy", 0},
    {"jobs", BENCH_OPTION_NUMBERS + NUMBER_JOBS, "N", 0, "background jobs at a time (2)", 0},
    {"seek-nexts", BENCH_OPTION_NUMBERS + NUMBER_SEEK_NEXTS, "N", 0,
     "rows that seekrandom reads behind the first (0)", 0},
    {"batch", BENCH_OPTION_NUMBERS + NUMBER_BATCH, "N", 0, "rows in a batch of fillbatch (1000)",
     0},
    {"write-rate", BENCH_OPTION_NUMBERS + NUMBER_WRITE_RATE, "N", 0,
     "rows a second that readwhilewriting's writer aims at; 0: as fast as it can (20000)", 0},
    {"durability", OPTION_DURABILITY, "none|write|sync", 0,
     "how durable a write is when it returns (write)", 0},
    {"sync", OPTION_SYNC, NULL, 0, "--durability sync", 0},
    {"distribution", OPTION_DISTRIBUTION, "uniform|zipfian|latest", 0,
     "which rows are read and overwritten (uniform)", 0},
    {"seed", BENCH_OPTION_NUMBERS + NUMBER_SEED, "N", 0, "of everything random (1)", 0},
    {"engines", OPTION_ENGINES, "A,B,...", 0,
     "engines to compare, the first with each other one (all that were built in)", 0},
    {"rounds", BENCH_OPTION_NUMBERS + NUMBER_ROUNDS, "N", 0,
     "run everything so often and report medians (1)", 0},
    {"existing", OPTION_EXISTING, NULL, 0, "begin with the stores that an earlier run left", 0},
    BENCH_REPORT_OPTIONS,
    {0},
};

struct settings {
    struct bench_command command;
    struct bench_config config;
    uint64_t number[NUMBER_COUNT];
};

/* ---- reading the options --------------------------------------------------------------------- */

static bool workload_word(unsigned index, struct bench_word *ret_word)
{
    const struct bench_workload *workload = bench_workload_at(index);
    if (workload != NULL) {
        *ret_word = (struct bench_word){workload->name, workload->summary};
    }
    return workload != NULL;
}

static void add_engine(void *arg, const char *name, struct argp_state *state)
{
    struct bench_config *config = arg;
    unsigned count = 0;
    const struct bench_engine_ops *const *engines = bench_engines(&count);
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(engines[i]->name, name) == 0 && config->engine_count < BENCH_ENGINES_MAX) {
            config->engines[config->engine_count++] = engines[i];
            return;
        }
    }
    argp_error(state,
               "no engine '%s' was built in. 'kvfs' always is; rocksdb, leveldb and lmdb are with "
               "'meson setup -Dbench_peers=true'.",
               name);
}

static void take_durability(struct settings *s, const char *value, struct argp_state *state)
{
    for (enum bench_durability d = BENCH_DURABLE_NONE; d <= BENCH_DURABLE_SYNC; d++) {
        if (strcmp(value, bench_durability_name(d)) == 0) {
            s->config.durability = d;
            return;
        }
    }
    argp_error(state, "--durability is none, write or sync, not '%s'", value);
}

static void take_distribution(struct settings *s, const char *value, struct argp_state *state)
{
    for (enum bench_distribution d = BENCH_UNIFORM; d <= BENCH_LATEST; d++) {
        if (strcmp(value, bench_distribution_name(d)) == 0) {
            s->config.distribution = d;
            return;
        }
    }
    argp_error(state, "--distribution is uniform, zipfian or latest, not '%s'", value);
}

static void take_ratio(struct settings *s, const char *value, struct argp_state *state)
{
    char *end = NULL;
    double ratio = strtod(value, &end);
    if (*end != '\0' || !(ratio > 0 && ratio <= 1)) {
        argp_error(state, "--compressible wants a number above 0 and up to 1, not '%s'", value);
    }
    s->config.compressible = ratio;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct settings *s = state->input;
    switch (key) {
    case OPTION_ENGINES:
        bench_list_take(value, add_engine, &s->config, state);
        return 0;
    case OPTION_SYNC:
        s->config.durability = BENCH_DURABLE_SYNC;
        return 0;
    case OPTION_DURABILITY:
        take_durability(s, value, state);
        return 0;
    case OPTION_DISTRIBUTION:
        take_distribution(s, value, state);
        return 0;
    case OPTION_COMPRESSIBLE:
        take_ratio(s, value, state);
        return 0;
    case OPTION_NO_COMPRESSION:
        s->config.no_compression = true;
        return 0;
    case OPTION_EXISTING:
        s->config.existing = true;
        return 0;
    default:
        return bench_command_parse(&s->command, key, value, state);
    }
}

static void settings_init(struct settings *s)
{
    *s = (struct settings){
        .command = {.numbers = numbers, .number_count = NUMBER_COUNT, .workload_at = workload_word},
        .config = {
            .durability = BENCH_DURABLE_WRITE, .distribution = BENCH_UNIFORM, .compressible = 0.5}};
    s->command.number = s->number;
    bench_command_init(&s->command);
}

static void settings_complete(struct settings *s)
{
    struct bench_config *c = &s->config;
    bench_command_complete(&s->command);
    const uint64_t *number = s->number;
    c->rows = number[NUMBER_ROWS];
    c->reads = number[NUMBER_READS];
    c->threads = (unsigned)number[NUMBER_THREADS];
    c->key_size = number[NUMBER_KEY_SIZE];
    c->value_size = number[NUMBER_VALUE_SIZE];
    c->memtable_bytes = number[NUMBER_MEMTABLE];
    c->memtables_max = (unsigned)number[NUMBER_MEMTABLES];
    c->cache_bytes = number[NUMBER_CACHE];
    c->filter_bits = (unsigned)number[NUMBER_BITS];
    c->block_bytes = number[NUMBER_BLOCK];
    c->background_jobs = (unsigned)number[NUMBER_JOBS];
    c->seek_nexts = (unsigned)number[NUMBER_SEEK_NEXTS];
    c->batch_rows = (unsigned)number[NUMBER_BATCH];
    c->write_rate = number[NUMBER_WRITE_RATE];
    c->seed = number[NUMBER_SEED];
    c->rounds = (unsigned)number[NUMBER_ROUNDS];
    for (unsigned i = 0; i < s->command.workload_count; i++) {
        c->workloads[i] = bench_workload_at(s->command.workloads[i]);
    }
    c->workload_count = s->command.workload_count;
    c->json = s->command.json;
    c->quiet = s->command.quiet;
    c->plot = s->command.plot;
    if (c->engine_count == 0) {
        const struct bench_engine_ops *const *engines = bench_engines(&c->engine_count);
        memcpy(c->engines, engines, c->engine_count * sizeof c->engines[0]);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static int report(const struct bench_results *results)
{
    const struct bench_config *config = results->config;
    int r = config->json ? bench_report_json(results) : bench_report_text(results);
    if (r < 0) {
        complain("cannot show the results: %s", kv_strerror(r));
        return EXIT_FAILED;
    }
    return config->plot != NULL ? bench_report_plot(results, config->plot) : EXIT_DONE;
}

static int run(const struct bench_config *config)
{
    struct bench_results results = {0};
    int r = bench_run_all(config, &results);
    if (r == -ENOTEMPTY) {
        complain("cannot use %s for benchmarks: it holds other files. Name an empty or a new "
                 "directory.",
                 config->dir);
        return EXIT_FAILED;
    }
    if (r < 0) {
        complain("cannot run benchmarks in %s: %s", config->dir, kv_strerror(r));
        return exit_code_of(r) == EXIT_NO_SPACE ? EXIT_NO_SPACE : EXIT_FAILED;
    }
    int code = report(&results);
    bench_results_finish(&results);
    return finish_output(code);
}

/* The workloads below the options of --help. */
static char *list_workloads(int key, const char *text, void *input)
{
    return bench_help_workloads(key, text, workload_word);
}

int cmd_bench_kv(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "kv DIR",
        "Examples:\n  kvfs bench kv /srv/tmp/bench\n  kvfs bench kv --workload "
        "fillrandom,readrandom --num 2000000 --threads 4 DIR\n  kvfs bench kv --engines "
        "kvfs,rocksdb --rounds 3 --plot speed.svg DIR\n\nMeasure the engine. DIR is made, or must "
        "be empty or from an earlier run; the stores in it are made anew and stay there. A "
        "workload that begins with an empty store leaves its rows for those behind it; one that "
        "needs rows and finds no store gets one filled in random order.\v",
        NULL,
        list_workloads,
        NULL};
    struct settings s;
    settings_init(&s);
    cmd_parse(&argp, argc, argv, EXIT_USAGE, 0, &s);
    settings_complete(&s);
    if (s.command.words.count != 2 || strcmp(s.command.words.at[0], "kv") != 0) {
        complain("usage: kvfs bench %s. See 'kvfs bench --help'.", argp.args_doc);
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
