/* SPDX-License-Identifier: Apache-2.0 */
/* Running the workloads in a directory, one after the other, and collecting what came out.
 *
 * A workload that needs files which are not there, because it was named alone or because they were
 * unlinked before, has them made first; that is not measured. */
#ifndef KVFS_TOOLS_BENCH_FS_RUN_H
#define KVFS_TOOLS_BENCH_FS_RUN_H

#include "tools/bench/bench_fs.h"
#include "tools/bench/bench_result.h"

/* Fill `results`, one for each workload of `config`. All that was made in the directory is removed
 * again, also on failure and on SIGINT, SIGTERM and SIGHUP. Complains about what fails.
 * `ret_measured`: the results are complete, though removing may have failed. Returns an exit code.
 */
int bench_fs_run(const struct bench_fs_config *config, struct bench_result *results,
                 bool *ret_measured);

#endif
