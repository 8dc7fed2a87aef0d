/* SPDX-License-Identifier: Apache-2.0 */
/* The results as text, as JSON and as a plot. Of several rounds each (workload, engine) shows the
 * one whose operations per second are the median (the lower of two); a ratio is the median of the
 * rounds' own ratios, since the two numbers of a round were taken one after the other. */
#ifndef KVFS_TOOLS_BENCH_REPORT_H
#define KVFS_TOOLS_BENCH_REPORT_H

#include "tools/bench/bench_run.h"

/* The median round of a workload on an engine. */
const struct bench_result *bench_report_median(const struct bench_results *results,
                                               unsigned workload, unsigned engine);
/* Operations per second of engine 0 over those of `engine`; 0 if either has none. */
double bench_report_ratio(const struct bench_results *results, unsigned workload, unsigned engine);

/* Print on stdout. Errors: -ENOMEM. */
KV_MUST_CHECK int bench_report_text(const struct bench_results *results);
KV_MUST_CHECK int bench_report_json(const struct bench_results *results);

/* Draw operations per second to `file`, or complain. Returns an exit code. */
int bench_report_plot(const struct bench_results *results, const char *file);

#endif
