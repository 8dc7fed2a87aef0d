/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_plot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/report.h"

/* gnuplot's terminal for the kind of file, NULL if it is none of those known. */
static const char *terminal_of(const char *file)
{
    const char *end = strrchr(file, '.');
    if (end == NULL || strchr(file, '\'') != NULL) {
        return NULL;
    }
    if (strcmp(end, ".svg") == 0) {
        return "svg size 1200,600 dynamic background rgb 'white'";
    }
    return strcmp(end, ".png") == 0 ? "png size 1200,600" : NULL;
}

bool bench_plot_fits(const char *file)
{
    return terminal_of(file) != NULL;
}

static void write_data(FILE *to, const struct bench_chart *chart)
{
    fprintf(to, "$data << END\nworkload");
    for (unsigned c = 0; c < chart->columns; c++) {
        fprintf(to, " %s", chart->column_name(chart->arg, c));
    }
    for (unsigned r = 0; r < chart->rows; r++) {
        fprintf(to, "\n%s", chart->row_name(chart->arg, r));
        for (unsigned c = 0; c < chart->columns; c++) {
            double value = chart->at(chart->arg, r, c);
            fprintf(to, value >= 0 ? " %.0f" : " -", value);
        }
    }
    fprintf(to, "\nEND\n");
}

int bench_plot(const struct bench_chart *chart, const char *file)
{
    if (system("command -v gnuplot >/dev/null") != 0) {
        return -ENOENT;
    }
    FILE *gnuplot = popen("gnuplot", "we");
    if (gnuplot == NULL) {
        return -errno;
    }
    write_data(gnuplot, chart);
    fprintf(gnuplot,
            "set terminal %s\nset output '%s'\nset style data histogram\nset style fill solid 0.8\n"
            "set logscale y\nset ylabel 'operations per second'\nset grid y\nset key top left\n"
            "set xtics rotate by -35\nset datafile missing '-'\n"
            "plot for [i=2:%u] $data using i:xtic(1) title columnheader(i)\n",
            terminal_of(file), file, chart->columns + 1);
    return pclose(gnuplot) == 0 ? 0 : -EIO;
}

int bench_plot_or_complain(const struct bench_chart *chart, const char *file)
{
    int r = bench_plot(chart, file);
    if (r == -ENOENT) {
        complain("cannot draw %s: gnuplot is not installed. The figures above are complete.", file);
    } else if (r < 0) {
        complain("cannot draw %s: gnuplot failed", file);
    }
    return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
