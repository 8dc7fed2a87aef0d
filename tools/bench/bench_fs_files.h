/* SPDX-License-Identifier: Apache-2.0 */
/* The directory in which a benchmark of a file system works, and the names in it:
 *
 *   DIR/kvfs-bench-XXXXXX/t0/d00000/f00000000     files of thread 0
 *                        /t0/stream, /t0/appended
 *
 * A renamed file begins with g. Nothing outside of it is touched. */
#ifndef KVFS_TOOLS_BENCH_FS_FILES_H
#define KVFS_TOOLS_BENCH_FS_FILES_H

#include <limits.h>

#include <kv/error.h>

#include "tools/bench/bench_fs.h"

enum { BENCH_FS_NAME_SIZE = 64 };

struct bench_fs_files {
    const struct bench_fs_config *config;
    char path[PATH_MAX]; /* of the directory of its own */
    int fd;              /* of it */
    int drop_fd;         /* of the kernel's switch that drops caches; -1: not used */
    uint64_t used_before;
};

/* Make the directory. On failure nothing is left, and it was said why. Returns an exit code. */
int bench_fs_files_begin(const struct bench_fs_config *config, struct bench_fs_files *ret_files);
/* Remove it and all in it. As above. */
int bench_fs_files_end(struct bench_fs_files *files);

/* Files that belong to the thread: its indices are 0 to so many. */
uint64_t bench_fs_share(const struct bench_fs_config *config, unsigned thread);
/* The name of the thread's file `index`, below `fd`. */
void bench_fs_name(const struct bench_fs_config *config, unsigned thread, uint64_t index,
                   char letter, char to[BENCH_FS_NAME_SIZE]);
/* Name and number of files of the thread's directory `index`. Errors: -ENOENT there are not so
 * many. */
KV_MUST_CHECK int bench_fs_directory(const struct bench_fs_config *config, unsigned thread,
                                     uint64_t index, char to[BENCH_FS_NAME_SIZE],
                                     uint64_t *ret_files);
/* Whether a signal that ends the benchmark came: they are blocked and wait, since what was made is
 * to be removed first. */
bool bench_fs_interrupted(void);
/* Make the directories of all threads; those that are there are fine. Errors: -EINTR as above. */
KV_MUST_CHECK int bench_fs_make_directories(const struct bench_fs_files *files);
/* Write out what is dirty and drop pages, names and attributes from the kernel's caches, if the
 * benchmark is a cold one. */
KV_MUST_CHECK int bench_fs_drop_caches(const struct bench_fs_files *files);
/* Bytes in use beyond those before the benchmark began, as the file system counts. */
uint64_t bench_fs_space(const struct bench_fs_files *files);

#endif
