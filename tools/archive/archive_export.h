/* SPDX-License-Identifier: Apache-2.0 */
/* A whole filesystem as a tar archive: pax format, the same bytes for the same tree. */
#ifndef KVFS_TOOLS_ARCHIVE_ARCHIVE_EXPORT_H
#define KVFS_TOOLS_ARCHIVE_ARCHIVE_EXPORT_H

#include "fs/kvfs.h"

/* Write the tree to the descriptor `fd`, with a bar on a terminal. What cannot be read is told on
 * stderr as it is met: a file's unreadable parts are zeros in the archive, a directory's entries
 * are left out. Returns an exit code. */
int archive_export(struct kvfs *fs, const char *store, int fd);

#endif
