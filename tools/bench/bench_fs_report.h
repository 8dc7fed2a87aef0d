/* SPDX-License-Identifier: Apache-2.0 */
/* What the workloads on a file system gave, as text, as JSON and as a plot. */
#ifndef KVFS_TOOLS_BENCH_FS_REPORT_H
#define KVFS_TOOLS_BENCH_FS_REPORT_H

#include <kv/error.h>

#include "tools/bench/bench_fs.h"
#include "tools/bench/bench_result.h"

/* Print on stdout; `results` has one for each workload. Errors: -ENOMEM. */
KV_MUST_CHECK int bench_fs_report_text(const struct bench_fs_config *config,
                                       const struct bench_result *results);
KV_MUST_CHECK int bench_fs_report_json(const struct bench_fs_config *config,
                                       const struct bench_result *results);
/* Draw operations per second to `config->plot`, or complain. Returns an exit code. */
int bench_fs_report_plot(const struct bench_fs_config *config, const struct bench_result *results);

#endif
