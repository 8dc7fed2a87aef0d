/* SPDX-License-Identifier: Apache-2.0 */
/* A check of a store that is not in use, first the engine's part, then the rows; for the commands
 * fsck and recover. */
#ifndef KVFS_TOOLS_FSCK_RUN_H
#define KVFS_TOOLS_FSCK_RUN_H

#include "tools/cmd.h"
#include "tools/fsck_report.h"

/* e2fsck's. */
enum fsck_exit {
    FSCK_CLEAN = 0,
    FSCK_REPAIRED = 1,
    FSCK_LEFT = 4,
    FSCK_FAILED = 8,
    FSCK_USAGE = 16,
    FSCK_ENDED = 32, /* by a signal */
};
/* It came to no result: the reason was said. */
static inline bool fsck_exit_is_failure(int code)
{
    return code == FSCK_FAILED || code == FSCK_ENDED;
}

struct fsck_run {
    enum kv_admin_mode mode;
    bool verbose, json, deep;
    bool damage;     /* also list what is known to be lost of files */
    int progress_fd; /* -1: none */
};

/* Take one of the options -v, -C, -j and --deep; false: it is another. */
enum { FSCK_OPTION_DEEP = 256 };
bool fsck_run_parse(struct fsck_run *s, int key, const char *value, struct argp_state *state);

struct fsck_report fsck_run_report(const char *path, const struct fsck_run *s);
/* Check the store `path` and add what was found to `result`. Returns an exit code. */
int fsck_run_reported(const char *path, const struct fsck_run *s, struct fsck_report *report,
                      struct kv_admin_result *result);
/* The same with a report of its own. */
int fsck_run(const char *path, const struct fsck_run *s);
/* Say why the store could not be checked. Returns FSCK_FAILED or FSCK_ENDED. */
int fsck_complain(const char *path, int error);

#endif
