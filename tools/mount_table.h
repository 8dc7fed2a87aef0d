/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says is mounted. */
#ifndef KVFS_TOOLS_MOUNT_TABLE_H
#define KVFS_TOOLS_MOUNT_TABLE_H

#include <kv/error.h>
#include <stdbool.h>

struct mount_row {
    char *source; /* both owned; release with mount_row_finish() */
    char *target;
};

/* The topmost mount on exactly `target` (absolute, without links), if it is one of kvfs. -ENOENT:
 * something else, or nothing, is mounted there. */
KV_MUST_CHECK int mount_table_find_target(const char *target, struct mount_row *ret_row);
/* A kvfs mount of the store `source`. -ENOENT. */
KV_MUST_CHECK int mount_table_find_source(const char *source, struct mount_row *ret_row);
void mount_row_finish(struct mount_row *row); /* accepts an all-zero one */

/* `path` made absolute, without links, also if its last component is missing or is a mount point
 * whose daemon died. The result is owned by the caller. Errors: of realpath(3). */
KV_MUST_CHECK int path_resolve(const char *path, char **ret_path);
/* `path` is `directory` or lies below it; both resolved. */
bool path_is_within(const char *path, const char *directory);

#endif
