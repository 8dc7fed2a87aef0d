/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_result.h"

#include <jansson.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>

double bench_result_ops_per_second(const struct bench_result *result)
{
    return result->elapsed_ns > 0 ? (double)result->ops * 1e9 / (double)result->elapsed_ns : 0;
}

double bench_result_mb_per_second(const struct bench_result *result)
{
    return result->elapsed_ns > 0 ? (double)result->user_bytes * 1e3 / (double)result->elapsed_ns
                                  : 0;
}

double bench_result_percentile_us(const struct bench_result *result, double fraction)
{
    return (double)histogram_percentile(&result->latency_ns, fraction) / 1e3;
}

double bench_result_written_per_byte(const struct bench_result *result)
{
    return result->written_bytes > 0 ? (double)result->storage_bytes / (double)result->written_bytes
                                     : 0;
}

double bench_result_processor_us(const struct bench_result *result)
{
    return result->ops > 0 ? (double)result->processor_ns / 1e3 / (double)result->ops : 0;
}

json_t *bench_result_json(const char *workload, const struct bench_result *result)
{
    return json_pack(
        "{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:f}", "workload", workload,
        "ops_per_second", bench_result_ops_per_second(result), "mb_per_second",
        bench_result_mb_per_second(result), "p50_us", bench_result_percentile_us(result, 0.5),
        "p99_us", bench_result_percentile_us(result, 0.99), "p999_us",
        bench_result_percentile_us(result, 0.999), "max_us", bench_result_percentile_us(result, 1),
        "bytes_written_per_user_byte", bench_result_written_per_byte(result), "space_bytes",
        (json_int_t)result->space_bytes, "peak_rss_bytes", (json_int_t)result->peak_bytes, "ops",
        (json_int_t)result->ops, "seconds", (double)result->elapsed_ns / 1e9);
}

void bench_column(struct libscols_table *table, const char *title, int is_figure)
{
    scols_table_new_column(table, title, 0, is_figure ? SCOLS_FL_RIGHT : 0);
}

void bench_cell(struct libscols_line *line, unsigned column, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    scols_line_set_data(line, column, text);
}

void bench_result_cells(struct libscols_line *line, unsigned first,
                        const struct bench_result *result)
{
    bench_cell(line, first, "%.0f", bench_result_ops_per_second(result));
    bench_cell(line, first + 1, "%.1f", bench_result_mb_per_second(result));
    bench_cell(line, first + 2, "%.2f", bench_result_percentile_us(result, 0.5));
    bench_cell(line, first + 3, "%.2f", bench_result_percentile_us(result, 0.99));
    bench_cell(line, first + 4, "%.1f", bench_result_percentile_us(result, 0.999));
    bench_cell(line, first + 5, "%.0f", bench_result_percentile_us(result, 1));
}
