/* SPDX-License-Identifier: Apache-2.0 */
/* How fsck tells what it found: a line for people, an object for programs, and a bar. */
#ifndef KVFS_TOOLS_FSCK_REPORT_H
#define KVFS_TOOLS_FSCK_REPORT_H

#include <kv/admin.h>

#include "fs/kvfs.h"

struct json_t; /* of jansson */

struct fsck_report {
    const char *store;
    bool json, verbose;
    bool damage;      /* list what is lost of files */
    bool bar;         /* on a terminal */
    int progress_fd;  /* "PASS DONE ALL" lines go there; -1: nowhere */
    const char *pass; /* that was told of last */
    uint64_t walked;  /* inode number that the walk over rows was at */
    struct json_t *problems, *lost;
    bool failed;       /* out of memory */
    uint64_t began_ns; /* monotonic */
    uint64_t told_ns;
};

void fsck_report_begin(struct fsck_report *report);
/* Both are functions of struct kv_admin_options; `arg` is the report. */
int fsck_report_problem(void *arg, const struct kv_problem *problem);
int fsck_report_progress(void *arg, const struct kv_admin_progress *progress);
/* A function of struct kvfs_options: the pass "rows". */
int fsck_report_walk(void *arg, uint64_t ino, uint64_t ino_end);
/* From now on the functions above end what calls them once SIGINT or SIGTERM came; a second signal
 * ends the program. Of the whole process. */
void fsck_report_heed_signals(void);
/* A problem of the rows, which `will_repair` says is going to be mended. */
void fsck_report_fault(struct fsck_report *report, int code, const char *text, bool will_repair);
/* A function of kvfs_lost_ranges(); `arg` is the report. */
int fsck_report_lost(void *arg, const struct kvfs_lost_range *range);
/* What became of it all. `code` is the exit code. */
void fsck_report_end(struct fsck_report *report, const struct kv_admin_result *result, int code);
void fsck_report_finish(struct fsck_report *report);

#endif
