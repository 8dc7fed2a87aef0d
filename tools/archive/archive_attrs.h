/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes of an entry put on an inode: owner, mode, times, extended attributes, ACLs, flags.
 * What files that come later would disturb is put off to the end: all attributes of directories,
 * and the flags that forbid changes. */
#ifndef KVFS_TOOLS_ARCHIVE_ARCHIVE_ATTRS_H
#define KVFS_TOOLS_ARCHIVE_ARCHIVE_ATTRS_H

#include "fs/kvfs.h"

struct archive_entry; /* of libarchive */

struct archive_attrs_later; /* an inode that is to be seen to in the end */

struct archive_attrs {
    struct kvfs *fs;
    struct archive_attrs_later *later; /* owned, in the order of the archive */
    size_t count, capacity;
    struct kv_buf value;
};
void archive_attrs_finish(struct archive_attrs *attrs);

/* Put the attributes of `entry` on `ino`, which is of its type. `inherited`: it may have ACLs of
 * its directory, which go. Errors, with what it was about in `ret_what`: those of kvfs_setattr()
 * and kvfs_setxattr(); -ENOENT an ACL names a user or group that this machine does not know. */
KV_MUST_CHECK int archive_attrs_put(struct archive_attrs *attrs, struct archive_entry *entry,
                                    uint64_t ino, bool inherited, const char **ret_what);
/* Do what was put off. Goes on after an error, and returns the first. */
KV_MUST_CHECK int archive_attrs_put_rest(struct archive_attrs *attrs);

#endif
