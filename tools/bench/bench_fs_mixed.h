/* SPDX-License-Identifier: Apache-2.0 */
/* Everything at once, for as long as wanted: whether a file system is as fast after an hour as at
 * first, and its process as small. Each step takes one of the small files by chance, and reads,
 * asks for, overwrites, replaces or renames it, in fixed shares; one in 1024 writes a file of a MiB
 * again and syncs it. The files are as many at the end as at the beginning, with the same names. */
#ifndef KVFS_TOOLS_BENCH_FS_MIXED_H
#define KVFS_TOOLS_BENCH_FS_MIXED_H

#include "tools/bench/bench_fs_work.h"

/* For the seconds of the configuration; counts by sixths of them, too. */
int bench_fs_run_mixed(struct bench_fs_thread *t);

#endif
