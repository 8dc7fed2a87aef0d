/* SPDX-License-Identifier: Apache-2.0 */
/* From inode numbers to paths, through the back-pointers as a snapshot has them, without locks. The
 * paths of directories are kept in a small table, the newer in the place of the older. Used by one
 * thread. */
#ifndef FS_CORE_FIND_PATHS_H
#define FS_CORE_FIND_PATHS_H

#include "fs/core/fs_internal.h"

enum {
    FIND_DIRS = 4096,             /* directories kept */
    FIND_DIR_PATH_SIZE_MAX = 512, /* longer paths are not kept */
    FIND_PATH_SIZE_MAX = 1 << 16, /* longer ones, and circles, count as damage */
};

struct find_dir {
    uint64_t ino; /* 0: none */
    struct kv_buf path;
};

struct find_paths {
    struct kvfs *fs;
    const struct kv_snapshot *snapshot;
    struct rowkey lower, upper;
    struct kv_iter *links; /* over all back-pointers */
    struct find_dir *dirs;
    struct kv_buf path;
    uint8_t *above; /* room for the path of a directory, filled from its end */
};

/* On failure there is nothing to finish. Errors: -ENOMEM, those of fs_iter(). */
KV_MUST_CHECK int find_paths_init(struct find_paths *paths, struct kvfs *fs,
                                  const struct kv_snapshot *snapshot);
void find_paths_finish(struct find_paths *paths);

/* `path` lives during the call. Not 0 ends the list. */
typedef int find_path_fn(void *arg, struct kv_slice path);
/* Each path of the inode, in no order; `.` of the root. None of an unlinked one. Errors: -EIO some
 * of its names cannot be told, those that can were; -ENOMEM; what `fn` returned. */
KV_MUST_CHECK int find_paths_each(struct find_paths *paths, uint64_t ino, find_path_fn *fn,
                                  void *arg);

#endif
