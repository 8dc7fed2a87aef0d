/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_report.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/bench/bench_plot.h"
#include "tools/bench/bench_workload.h"

enum { FORMAT_VERSION = 1 };

static const char page_cache_note[] =
    "each measurement is a new process that opens the store and waits until it is idle: block "
    "caches start empty, the system's page cache is left as it is";

/* ---- medians --------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;
    return (*x > *y) - (*x < *y);
}

static double median_of(double *numbers, unsigned count)
{
    qsort(numbers, count, sizeof *numbers, compare_doubles);
    return numbers[(count - 1) / 2];
}

const struct bench_result *bench_report_median(const struct bench_results *results,
                                               unsigned workload, unsigned engine)
{
    double speeds[BENCH_ROUNDS_MAX];
    unsigned rounds = results->config->rounds;
    assert(rounds > 0 && rounds <= BENCH_ROUNDS_MAX);
    for (unsigned i = 0; i < rounds; i++) {
        speeds[i] = bench_result_ops_per_second(bench_result_of(results, i, workload, engine));
    }
    double median = median_of(speeds, rounds);
    for (unsigned i = 0; i < rounds; i++) {
        const struct bench_result *result = bench_result_of(results, i, workload, engine);
        if (bench_result_ops_per_second(result) >= median &&
            bench_result_ops_per_second(result) <= median) {
            return result;
        }
    }
    return bench_result_of(results, 0, workload, engine);
}

double bench_report_ratio(const struct bench_results *results, unsigned workload, unsigned engine)
{
    double ratios[BENCH_ROUNDS_MAX];
    unsigned rounds = results->config->rounds;
    assert(rounds > 0 && rounds <= BENCH_ROUNDS_MAX);
    for (unsigned i = 0; i < rounds; i++) {
        double first = bench_result_ops_per_second(bench_result_of(results, i, workload, 0));
        double other = bench_result_ops_per_second(bench_result_of(results, i, workload, engine));
        ratios[i] = other > 0 ? first / other : 0;
    }
    return median_of(ratios, rounds);
}

/* ---- text ------------------------------------------------------------------------------------ */

enum column {
    COLUMN_WORKLOAD,
    COLUMN_ENGINE,
    COLUMN_OPS, /* and the others of BENCH_RESULT_TITLES */
    COLUMN_PROCESSOR = COLUMN_OPS + BENCH_RESULT_COLUMNS,
    COLUMN_FOUND,
    COLUMN_WRITTEN,
    COLUMN_SPACE,
    COLUMN_PEAK,
    COLUMN_RATIO,
};

/* Every operation looks for one row. */
static bool reads_only(const struct bench_workload *workload)
{
    return workload->count == BENCH_COUNT_READS && workload->mix == 0;
}

static void fill_line(struct libscols_line *line, const struct bench_results *results,
                      unsigned workload, unsigned engine)
{
    const struct bench_config *config = results->config;
    const struct bench_result *r = bench_report_median(results, workload, engine);
    bench_cell(line, COLUMN_WORKLOAD, "%s", config->workloads[workload]->name);
    bench_cell(line, COLUMN_ENGINE, "%s", config->engines[engine]->name);
    if (r->error < 0) {
        bench_cell(line, COLUMN_OPS, "-");
        return;
    }
    bench_result_cells(line, COLUMN_OPS, r);
    bench_cell(line, COLUMN_PROCESSOR, "%.2f", bench_result_processor_us(r));
    if (reads_only(config->workloads[workload]) && r->ops > 0) {
        bench_cell(line, COLUMN_FOUND, "%.0f%%", 100 * (double)r->found / (double)r->ops);
    }
    if (r->written_bytes > 0) {
        bench_cell(line, COLUMN_WRITTEN, "%.2f", bench_result_written_per_byte(r));
    }
    bench_cell(line, COLUMN_SPACE, "%.1f", (double)r->space_bytes / 1e6);
    bench_cell(line, COLUMN_PEAK, "%.1f", (double)r->peak_bytes / 1e6);
    if (engine > 0) {
        bench_cell(line, COLUMN_RATIO, "%.2f", bench_report_ratio(results, workload, engine));
    }
}

static int print_table(const struct bench_results *results)
{
    static const char *const titles[] = {"WORKLOAD", "ENGINE",  BENCH_RESULT_TITLES,
                                         "CPU us",   "FOUND",   "WRITTEN",
                                         "SPACE MB", "PEAK MB", "RATIO"};
    const struct bench_config *config = results->config;
    struct libscols_table *table = scols_new_table();
    if (table == NULL) {
        return -ENOMEM;
    }
    /* Without another engine there is nothing to compare with. */
    unsigned columns = config->engine_count > 1 ? COLUMN_RATIO + 1 : COLUMN_RATIO;
    for (unsigned i = 0; i < columns; i++) {
        bench_column(table, titles[i], i > COLUMN_ENGINE);
    }
    for (unsigned w = 0; w < config->workload_count; w++) {
        for (unsigned e = 0; e < config->engine_count; e++) {
            struct libscols_line *line = scols_table_new_line(table, NULL);
            if (line == NULL) {
                scols_unref_table(table);
                return -ENOMEM;
            }
            fill_line(line, results, w, e);
        }
    }
    scols_print_table(table);
    scols_unref_table(table);
    return 0;
}

static int print_settings(const struct bench_config *config)
{
    int r = 0;
    printf("rows %" PRIu64 ", reads %" PRIu64 ", keys %zu bytes, values %zu bytes (compress to "
           "%.0f %%), threads %u, durability %s, distribution %s, seek nexts %u, batch %u, write "
           "rate %" PRIu64 ", seed %" PRIu64 ", rounds %u, processors %ld\n",
           config->rows, config->reads > 0 ? config->reads : config->rows, config->key_size,
           config->value_size, config->compressible * 100, config->threads,
           bench_durability_name(config->durability), bench_distribution_name(config->distribution),
           config->seek_nexts, config->batch_rows, config->write_rate, config->seed, config->rounds,
           sysconf(_SC_NPROCESSORS_ONLN));
    printf("%s\n", page_cache_note);
    for (unsigned e = 0; r == 0 && e < config->engine_count; e++) {
        struct kv_buf text = {0};
        r = config->engines[e]->describe(config, &text);
        printf("%s: %.*s\n", config->engines[e]->name, (int)text.size, (const char *)text.data);
        kv_buf_finish(&text);
    }
    return r;
}

int bench_report_text(const struct bench_results *results)
{
    const struct bench_config *config = results->config;
    int r = print_settings(config);
    if (r < 0) {
        return r;
    }
    putchar('\n');
    r = print_table(results);
    if (r == 0) {
        puts("\nCPU: processor time of the process for an operation. FOUND: reads whose row was "
             "there. WRITTEN: bytes sent to storage per byte of keys and values written. PEAK: "
             "largest resident size.");
        if (config->engine_count > 1) {
            puts("RATIO: operations per second of the first engine over those of this one.");
        }
    }
    return r;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *rounds_json(const struct bench_results *results, unsigned workload, unsigned engine)
{
    json_t *rounds = json_array();
    for (unsigned i = 0; i < results->config->rounds; i++) {
        const struct bench_result *r = bench_result_of(results, i, workload, engine);
        json_array_append_new(rounds, json_real(bench_result_ops_per_second(r)));
    }
    return rounds;
}

static json_t *result_json(const struct bench_results *results, unsigned workload, unsigned engine)
{
    const struct bench_config *config = results->config;
    const struct bench_result *r = bench_report_median(results, workload, engine);
    json_t *json = bench_result_json(config->workloads[workload]->name, r);
    json_t *more =
        json_pack("{s:s, s:I, s:I, s:f, s:o}", "engine", config->engines[engine]->name, "found",
                  (json_int_t)r->found, "companion_ops", (json_int_t)r->companion_ops,
                  "processor_us", bench_result_processor_us(r), "ops_per_second_rounds",
                  rounds_json(results, workload, engine));
    json_object_update(json, more);
    json_decref(more);
    if (engine > 0) {
        json_object_set_new(json, "ratio",
                            json_real(bench_report_ratio(results, workload, engine)));
    }
    return json;
}

static json_t *settings_json(const struct bench_config *c)
{
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:I, s:f, s:I, s:s, s:s}", "rows", (json_int_t)c->rows, "reads",
        (json_int_t)(c->reads > 0 ? c->reads : c->rows), "key_size", (json_int_t)c->key_size,
        "value_size", (json_int_t)c->value_size, "compressible", c->compressible, "threads",
        (json_int_t)c->threads, "durability", bench_durability_name(c->durability), "distribution",
        bench_distribution_name(c->distribution));
    json_t *more = json_pack("{s:I, s:I, s:I, s:I, s:I, s:s}", "seek_nexts",
                             (json_int_t)c->seek_nexts, "batch", (json_int_t)c->batch_rows,
                             "write_rate", (json_int_t)c->write_rate, "seed", (json_int_t)c->seed,
                             "rounds", (json_int_t)c->rounds, "page_cache", page_cache_note);
    json_object_update(json, more);
    json_decref(more);
    return json;
}

static int engines_json(const struct bench_config *config, json_t *to)
{
    int r = 0;
    for (unsigned e = 0; r == 0 && e < config->engine_count; e++) {
        struct kv_buf text = {0};
        r = config->engines[e]->describe(config, &text);
        json_object_set_new(to, config->engines[e]->name,
                            json_stringn((const char *)text.data, text.size));
        kv_buf_finish(&text);
    }
    return r;
}

int bench_report_json(const struct bench_results *results)
{
    const struct bench_config *config = results->config;
    json_t *list = json_array();
    json_t *engines = json_object();
    for (unsigned w = 0; w < config->workload_count; w++) {
        for (unsigned e = 0; e < config->engine_count; e++) {
            if (bench_result_of(results, 0, w, e)->error == 0) {
                json_array_append_new(list, result_json(results, w, e));
            }
        }
    }
    int r = engines_json(config, engines);
    json_t *json = json_pack("{s:i, s:s, s:s, s:o, s:o, s:o}", "format_version", FORMAT_VERSION,
                             "target", "kv", "version", KVFS_VERSION, "settings",
                             settings_json(config), "engines", engines, "results", list);
    if (r == 0) {
        r = json != NULL && json_dumpf(json, stdout, JSON_COMPACT) == 0 ? 0 : -ENOMEM;
        putchar('\n');
    }
    json_decref(json);
    return r;
}

/* ---- plot ------------------------------------------------------------------------------------ */

static const char *workload_name(const void *arg, unsigned workload)
{
    const struct bench_results *results = arg;
    return results->config->workloads[workload]->name;
}

static const char *engine_name(const void *arg, unsigned engine)
{
    const struct bench_results *results = arg;
    return results->config->engines[engine]->name;
}

static double speed(const void *arg, unsigned workload, unsigned engine)
{
    const struct bench_result *r = bench_report_median(arg, workload, engine);
    return r->error == 0 ? bench_result_ops_per_second(r) : -1;
}

int bench_report_plot(const struct bench_results *results, const char *file)
{
    return bench_plot_or_complain(&(struct bench_chart){.rows = results->config->workload_count,
                                                        .columns = results->config->engine_count,
                                                        .row_name = workload_name,
                                                        .column_name = engine_name,
                                                        .at = speed,
                                                        .arg = results},
                                  file);
}
