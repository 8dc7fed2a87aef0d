/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_fs_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <libsmartcols.h>
#include <stdio.h>

#include "tools/bench/bench_fs_work.h"
#include "tools/bench/bench_plot.h"

enum { FORMAT_VERSION = 1, COLUMN_SPACE = 1 + BENCH_RESULT_COLUMNS };

static const char *caches(const struct bench_fs_config *config)
{
    return config->cold ? "cold: the kernel's are dropped before each workload"
                        : "warm: the kernel's are left as they are";
}

/* Of a sixth of the time that was asked for; the last steps may end a little later. */
static double part_ops_per_second(const struct bench_fs_config *config,
                                  const struct bench_result *result, unsigned part)
{
    return (double)result->part_ops[part] * BENCH_PARTS / (double)config->seconds;
}

/* Whether it slowed down, or grew. */
static void print_parts(const struct bench_fs_config *config, const char *name,
                        const struct bench_result *result)
{
    printf("\n%s, by sixths of its time:\n ops/s ", name);
    for (unsigned part = 0; part < BENCH_PARTS; part++) {
        printf(" %9.0f", part_ops_per_second(config, result, part));
    }
    printf("%s", config->daemon != 0 ? "\n rss MB" : "");
    for (unsigned part = 0; config->daemon != 0 && part < BENCH_PARTS; part++) {
        printf(" %9.1f", (double)result->part_resident_bytes[part] / 1e6);
    }
    putchar('\n');
}

int bench_fs_report_text(const struct bench_fs_config *config, const struct bench_result *results)
{
    static const char *const titles[] = {"WORKLOAD", BENCH_RESULT_TITLES, "SPACE MB"};
    struct libscols_table *table = scols_new_table();
    if (table == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        bench_column(table, titles[i], i > 0);
    }
    for (unsigned w = 0; w < config->workload_count; w++) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        if (line == NULL) {
            scols_unref_table(table);
            return -ENOMEM;
        }
        bench_cell(line, 0, "%s", config->workloads[w]->name);
        bench_result_cells(line, 1, &results[w]);
        bench_cell(line, COLUMN_SPACE, "%.1f", (double)results[w].space_bytes / 1e6);
    }
    printf("%s: %" PRIu64 " files of %zu bytes, %" PRIu64 " a directory, stream of %" PRIu64
           " bytes, %" PRIu64 " syncs, %u thread%s%s\ncaches %s\n\n",
           config->dir, config->files, config->file_size, config->per_directory,
           config->stream_bytes, config->syncs, config->threads, config->threads > 1 ? "s" : "",
           config->shared ? " in the same directories" : "", caches(config));
    scols_print_table(table);
    scols_unref_table(table);
    puts("\nAn operation of a stream is 1 MiB, and a latency of list a directory's.");
    for (unsigned w = 0; w < config->workload_count; w++) {
        if (config->workloads[w]->has_parts) {
            print_parts(config, config->workloads[w]->name, &results[w]);
        }
    }
    return 0;
}

static json_t *parts_json(const struct bench_fs_config *config, const struct bench_result *result)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < BENCH_PARTS; i++) {
        json_t *part = json_pack("{s:f}", "ops_per_second", part_ops_per_second(config, result, i));
        if (config->daemon != 0) {
            json_object_set_new(part, "rss_bytes",
                                json_integer((json_int_t)result->part_resident_bytes[i]));
        }
        json_array_append_new(list, part);
    }
    return list;
}

static json_t *settings_json(const struct bench_fs_config *config)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:s}", "directory",
                     config->dir, "files", (json_int_t)config->files, "file_size",
                     (json_int_t)config->file_size, "files_per_directory",
                     (json_int_t)config->per_directory, "stream_bytes",
                     (json_int_t)config->stream_bytes, "syncs", (json_int_t)config->syncs,
                     "seconds", (json_int_t)config->seconds, "threads", (json_int_t)config->threads,
                     "shared", config->shared, "cold", config->cold, "caches", caches(config));
}

int bench_fs_report_json(const struct bench_fs_config *config, const struct bench_result *results)
{
    json_t *list = json_array();
    for (unsigned w = 0; w < config->workload_count; w++) {
        json_t *result = bench_result_json(config->workloads[w]->name, &results[w]);
        if (config->workloads[w]->has_parts) {
            json_object_set_new(result, "parts", parts_json(config, &results[w]));
        }
        json_array_append_new(list, result);
    }
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:o, s:o}", "format_version", FORMAT_VERSION, "target", "fs",
                  "version", KVFS_VERSION, "settings", settings_json(config), "results", list);
    int r = json != NULL && json_dumpf(json, stdout, JSON_COMPACT) == 0 ? 0 : -ENOMEM;
    putchar('\n');
    json_decref(json);
    return r;
}

struct plotted {
    const struct bench_fs_config *config;
    const struct bench_result *results;
};

static const char *workload_name(const void *arg, unsigned workload)
{
    const struct plotted *plotted = arg;
    return plotted->config->workloads[workload]->name;
}

static const char *column_name(const void *arg, unsigned column)
{
    const struct plotted *plotted = arg;
    return column == 0 && plotted->config->cold ? "cold" : "warm";
}

static double speed(const void *arg, unsigned workload, unsigned column)
{
    const struct plotted *plotted = arg;
    return column == 0 ? bench_result_ops_per_second(&plotted->results[workload]) : -1;
}

int bench_fs_report_plot(const struct bench_fs_config *config, const struct bench_result *results)
{
    struct plotted plotted = {.config = config, .results = results};
    return bench_plot_or_complain(&(struct bench_chart){.rows = config->workload_count,
                                                        .columns = 1,
                                                        .row_name = workload_name,
                                                        .column_name = column_name,
                                                        .at = speed,
                                                        .arg = &plotted},
                                  config->plot);
}
