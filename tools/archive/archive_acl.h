/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX ACLs between the form of the kernel, which the filesystem keeps as attributes, and an
 * archive's entry, where GNU tar and bsdtar look for them as text. */
#ifndef KVFS_TOOLS_ARCHIVE_ARCHIVE_ACL_H
#define KVFS_TOOLS_ARCHIVE_ARCHIVE_ACL_H

#include <kv/slice.h>

struct archive_entry; /* of libarchive */

/* `type` is ARCHIVE_ENTRY_ACL_TYPE_ACCESS or ..._DEFAULT. */

/* Add the ACL `bytes` to `entry`, users and groups by number. Errors: -EINVAL no ACL; -ENOMEM. */
KV_MUST_CHECK int archive_acl_to_entry(struct kv_slice bytes, int type,
                                       struct archive_entry *entry);
/* Replace `bytes` by the ACL of `entry`; empty if it has none beyond the permission bits. Users and
 * groups that stand there without a number are looked up by name. Errors: -ENOENT this machine does
 * not know one; -EINVAL it is none of POSIX; -ENOMEM. */
KV_MUST_CHECK int archive_acl_from_entry(struct archive_entry *entry, int type,
                                         struct kv_buf *bytes);

#endif
