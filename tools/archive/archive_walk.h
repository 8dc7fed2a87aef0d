/* SPDX-License-Identifier: Apache-2.0 */
/* Going through all of a filesystem that is not mounted: a directory before what is in it, names in
 * byte order, so that the same tree always comes in the same order. */
#ifndef KVFS_TOOLS_ARCHIVE_ARCHIVE_WALK_H
#define KVFS_TOOLS_ARCHIVE_ARCHIVE_WALK_H

#include "fs/kvfs.h"

/* `path` is `.` for the root and begins with `./` for all else. What is not 0 ends the walk. */
typedef int archive_walk_fn(void *arg, const char *path, const struct kvfs_entry *entry);
/* The directory `path` cannot be read on. What is not 0 ends the walk; else it goes on beside it.
 */
typedef int archive_walk_failed_fn(void *arg, const char *path, int error);

/* Returns what a function ended it with, or -ENOMEM, or an error of the root. */
KV_MUST_CHECK int archive_walk(struct kvfs *fs, archive_walk_fn *fn,
                               archive_walk_failed_fn *failed_fn, void *arg);

#endif
