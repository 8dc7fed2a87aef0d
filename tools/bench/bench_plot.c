/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_report.h"
#include "tools/bench/bench_workload.h"

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

bool bench_report_plot_fits(const char *file)
{
    return terminal_of(file) != NULL;
}

/* One line per workload, one column per engine. */
static void write_data(FILE *to, const struct bench_results *results)
{
    const struct bench_config *config = results->config;
    fprintf(to, "$data << END\nworkload");
    for (unsigned e = 0; e < config->engine_count; e++) {
        fprintf(to, " %s", config->engines[e]->name);
    }
    for (unsigned w = 0; w < config->workload_count; w++) {
        fprintf(to, "\n%s", config->workloads[w]->name);
        for (unsigned e = 0; e < config->engine_count; e++) {
            const struct bench_result *r = bench_report_median(results, w, e);
            fprintf(to, r->error == 0 ? " %.0f" : " -", bench_result_ops_per_second(r));
        }
    }
    fprintf(to, "\nEND\n");
}

int bench_report_plot(const struct bench_results *results, const char *file)
{
    unsigned engines = results->config->engine_count;
    if (system("command -v gnuplot >/dev/null") != 0) {
        return -ENOENT;
    }
    FILE *gnuplot = popen("gnuplot", "we");
    if (gnuplot == NULL) {
        return -errno;
    }
    write_data(gnuplot, results);
    fprintf(gnuplot,
            "set terminal %s\nset output '%s'\nset style data histogram\nset style fill solid 0.8\n"
            "set logscale y\nset ylabel 'operations per second'\nset grid y\nset key top left\n"
            "set xtics rotate by -35\nset datafile missing '-'\n"
            "plot for [i=2:%u] $data using i:xtic(1) title columnheader(i)\n",
            terminal_of(file), file, engines + 1);
    return pclose(gnuplot) == 0 ? 0 : -EIO;
}
