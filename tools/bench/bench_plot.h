/* SPDX-License-Identifier: Apache-2.0 */
/* Operations per second as bars, drawn with gnuplot. */
#ifndef KVFS_TOOLS_BENCH_PLOT_H
#define KVFS_TOOLS_BENCH_PLOT_H

#include <stdbool.h>

#include <kv/error.h>

/* A group of bars for each row, in it a bar for each column. */
struct bench_chart {
    unsigned rows, columns;
    const char *(*row_name)(const void *arg, unsigned row);
    const char *(*column_name)(const void *arg, unsigned column);
    /* Below 0: there is none. */
    double (*at)(const void *arg, unsigned row, unsigned column);
    const void *arg;
};

/* Draw to `file`, whose name ends in .svg or .png. Errors: -ENOENT there is no gnuplot; -EIO it
 * failed, and has said why on stderr. */
KV_MUST_CHECK int bench_plot(const struct bench_chart *chart, const char *file);
/* Whether bench_plot() knows the kind of file. */
bool bench_plot_fits(const char *file);
/* As bench_plot(), with a complaint. Returns an exit code. */
int bench_plot_or_complain(const struct bench_chart *chart, const char *file);

#endif
