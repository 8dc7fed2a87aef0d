/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a store, after the engine's part: whether they make a filesystem, and mending them.
 *
 * Mending goes in steps: a walk collects the rows that put right what it finds, they are written to
 * the closed store with an archive of their own, and the next walk sees what follows from that (a
 * directory that has an entry again counts one more). It ends with a walk that has nothing left to
 * do. Each step leaves a store that is better than before, and all are taken back as one. The last
 * one says that the rows are checked: until then a store that lost rows does not open. */
#ifndef TOOLS_FSCK_ROWS_H
#define TOOLS_FSCK_ROWS_H

#include <kv/admin.h>

#include "fs/kvfs.h"
#include "tools/fsck_report.h"

struct fsck_rows {
    const char *path;
    enum kv_admin_mode mode;
    struct fsck_report *report;
    struct kv_admin_result *result; /* of the engine's part; is added to */
    struct kvfs_lost_rows lost;     /* what fsck_rows_take() noted */
};

/* The engine's part tells of it; `arg` is the rows. It goes to the report, and keys of either
 * table may be among what it lost. Returns -ENOMEM, or what the report does. */
KV_MUST_CHECK int fsck_rows_take(void *arg, const struct kv_problem *problem);
/* A store that cannot be opened was told of already; one that holds no filesystem has no such rows.
 * Errors: those of kvfs_open(), kv_admin_amend(). */
KV_MUST_CHECK int fsck_rows_run(struct fsck_rows *rows);
void fsck_rows_finish(struct fsck_rows *rows);

#endif
