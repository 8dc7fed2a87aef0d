/* SPDX-License-Identifier: Apache-2.0 */
/* Where an entry of an archive belongs in a filesystem: its path taken apart and judged, the
 * directory found or made. Nothing outside can be meant: a path is never followed through a
 * symbolic link, and neither `..` nor an absolute path is accepted. */
#ifndef KVFS_TOOLS_ARCHIVE_ARCHIVE_PLACE_H
#define KVFS_TOOLS_ARCHIVE_ARCHIVE_PLACE_H

#include "fs/kvfs.h"

/* The directory that was found last, as archives name many files of one in a row. */
struct archive_place_cache {
    struct kv_buf path;
    uint64_t ino; /* 0: none yet */
    bool gives_acl;
};
void archive_place_cache_finish(struct archive_place_cache *cache);

struct archive_place {
    uint64_t parent;
    const char *name; /* empty: the root itself. In the buffer given */
    bool gives_acl;   /* the directory has a default ACL, which new files in it inherit */
};

/* Turn the path of an entry into its components with single slashes between; empty for the root.
 * Errors: -EINVAL absolute, or with `..`, or empty: the reason in `ret_why`; -ENOMEM. */
KV_MUST_CHECK int archive_place_clean(const char *path, struct kv_buf *clean, const char **ret_why);

/* Find the place of `clean`, which has a NUL beyond its size and is split in place. Directories
 * that are missing are made, mode 0755 and owned by `who`. Errors: -ENOTDIR, with the component at
 * fault left in `clean`; those of kvfs_lookup() and kvfs_mkdir(). */
KV_MUST_CHECK int archive_place_find(struct kvfs *fs, const struct kvfs_who *who,
                                     struct archive_place_cache *cache, struct kv_buf *clean,
                                     struct archive_place *ret_place);

#endif
