/* SPDX-License-Identifier: Apache-2.0 */
/* The workloads of a file system: what each thread of a measurement does. */
#ifndef KVFS_TOOLS_BENCH_FS_WORK_H
#define KVFS_TOOLS_BENCH_FS_WORK_H

#include <kv/error.h>

#include "kvcore/util/histogram.h"
#include "tools/bench/bench_fs_files.h"
#include "tools/bench/bench_result.h"

enum bench_fs_before {
    BENCH_FS_NO_FILES = 1, /* the small files are not there */
    BENCH_FS_FILES,        /* they are */
    BENCH_FS_ANY,
    BENCH_FS_STREAM, /* the stream is there */
};

/* One measurement. Constant while threads run. */
struct bench_fs_run {
    const struct bench_fs_files *files;
    const uint8_t *data; /* of BENCH_FS_STREAM_STEP and of a file's size at least */
    char letter;         /* with which the names of the files begin */
};

enum { BENCH_FS_STREAM_STEP = 1 << 20, BENCH_FS_APPEND_SIZE = 4096 };

/* One thread's work and what came out of it. Private to the thread until it has ended. */
struct bench_fs_thread {
    const struct bench_fs_run *run;
    unsigned index;
    uint8_t *buffer;   /* as large as the run's data, for reading */
    uint64_t clock_ns; /* when the last operation ended */
    uint64_t done, read_bytes, written_bytes;
    /* By the sixths of the time that a workload takes which ends by the clock. */
    uint64_t part_done[BENCH_PARTS];
    uint64_t part_resident_bytes[BENCH_PARTS]; /* of who serves, at the end; of thread 0 alone */
    struct histogram latency_ns;
    const char *verb;              /* what it last tried, */
    char name[BENCH_FS_NAME_SIZE]; /* with this file */
};

struct bench_fs_workload {
    const char *name;
    const char *summary;
    int (*run)(struct bench_fs_thread *thread);
    enum bench_fs_before before;
    bool leaves_no_files; /* or, of the stream, what it needs */
    bool renames;
    bool has_parts; /* ends by the clock */
};

/* The workload with this name, NULL if there is none. */
const struct bench_fs_workload *bench_fs_workload_find(const char *name);
/* All of them in the order in which they run when none is named; ends with NULL at `index`. */
const struct bench_fs_workload *bench_fs_workload_at(unsigned index);

/* The letter that names get when they are renamed. */
char bench_fs_other_letter(char letter);

#endif
