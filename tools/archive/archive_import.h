/* SPDX-License-Identifier: Apache-2.0 */
/* A tar archive, compressed or not, into a filesystem. */
#ifndef KVFS_TOOLS_ARCHIVE_ARCHIVE_IMPORT_H
#define KVFS_TOOLS_ARCHIVE_ARCHIVE_IMPORT_H

#include "fs/kvfs.h"

/* Read the archive from the descriptor `fd`, with a bar on a terminal. A file that is there under
 * the name of one of the same type is replaced in one step when the new one is complete;
 * directories take what comes into them. An entry that cannot be taken is told on stderr and passed
 * over, and what stood under its name stays. Nothing is synced. Returns an exit code. */
int archive_import(struct kvfs *fs, const char *store, int fd);

#endif
