/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about extended attributes. */
#include <limits.h>
#include <stdlib.h>

#include "fs/fuse/session.h"

static const char acl_access_name[] = "system.posix_acl_access";

/* SELinux labels are never kept: refusing the name itself makes tools stop asking. */
static bool is_refused(const char *name)
{
    return strcmp(name, "security.selinux") == 0;
}

/* The caller gave room for `size` bytes; 0 asks how many there are. */
static void reply_sized(fuse_req_t req, int result, const struct kv_buf *bytes, size_t size)
{
    if (result == 0 && size == 0) {
        fuse_reply_xattr(req, bytes->size);
    } else if (result == 0 && bytes->size > size) {
        reply_result(req, -ERANGE);
    } else {
        reply_bytes(req, result, bytes);
    }
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct kvfs *fs = request_begin(req, REQUEST_GETXATTR);
    struct kv_buf value = {0};
    int r = is_refused(name) ? -EOPNOTSUPP : kvfs_getxattr(fs, ino, name, &value);
    reply_sized(req, r, &value, size);
    kv_buf_finish(&value);
}

static bool is_in_group(fuse_req_t req, gid_t group)
{
    bool found = fuse_req_ctx(req)->gid == group;
    gid_t *groups = malloc(NGROUPS_MAX * sizeof *groups);
    int count = groups != NULL ? fuse_req_getgroups(req, NGROUPS_MAX, groups) : 0;
    for (int i = 0; i < count && i < NGROUPS_MAX && !found; i++) {
        found = groups[i] == group;
    }
    free(groups);
    return found;
}

/* Setting an access ACL changes the mode, so the rule of chmod(2) for setgid holds. The kernel says
 * nothing of it in the form of the request that libfuse takes. */
static int setxattr_flags(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    struct kvfs_entry entry;
    if (strcmp(name, acl_access_name) != 0 || fuse_req_ctx(req)->uid == 0) {
        return 0;
    }
    if (kvfs_getattr(mount->fs, ino, &entry) < 0 || (entry.stat.st_mode & S_ISGID) == 0) {
        return 0;
    }
    return is_in_group(req, entry.stat.st_gid) ? 0 : KVFS_XATTR_KILL_SGID;
}

/* Where the kernel checks nothing, old ones (before 6.2) let whoever has a descriptor set an ACL.
 */
static bool may_change(fuse_req_t req)
{
    const struct kvfs_mount *mount = fuse_req_userdata(req);
    return !mount->unchecked || fuse_req_ctx(req)->uid == 0;
}

/* A kernel that knows nothing of ACLs keeps the mode that was before one was set. Attributes alone
 * are taken back: that takes no lock that it holds for this request. */
static void tell_mode(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    const struct kvfs_mount *mount = fuse_req_userdata(req);
    if (mount->unchecked && strcmp(name, acl_access_name) == 0) {
        reply_attr_changed(req, ino);
    }
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
    struct kvfs *fs = request_begin(req, REQUEST_SETXATTR);
    flags |= setxattr_flags(req, ino, name);
    int r =
        is_refused(name) ? -EOPNOTSUPP : kvfs_setxattr(fs, ino, name, kv_slice(value, size), flags);
    tell_mode(req, ino, name);
    reply_result(req, r);
}

/* Only who has CAP_SYS_ADMIN is to see them. Whether the caller has it is not told: root has. */
static void leave_trusted_out(struct kv_buf *names)
{
    size_t kept = 0;
    for (size_t at = 0; at < names->size;) {
        const char *name = (const char *)names->data + at;
        size_t size = strlen(name) + 1;
        at += size;
        if (strncmp(name, "trusted.", 8) != 0) {
            memmove(names->data + kept, name, size);
            kept += size;
        }
    }
    names->size = kept;
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct kvfs *fs = request_begin(req, REQUEST_LISTXATTR);
    struct kv_buf names = {0};
    int r = kvfs_listxattr(fs, ino, &names);
    if (fuse_req_ctx(req)->uid != 0) {
        leave_trusted_out(&names);
    }
    reply_sized(req, r, &names, size);
    kv_buf_finish(&names);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct kvfs *fs = request_begin(req, REQUEST_REMOVEXATTR);
    int r = may_change(req) ? kvfs_removexattr(fs, ino, name) : -EPERM;
    tell_mode(req, ino, name);
    reply_result(req, r);
}

void ops_xattr_install(struct fuse_lowlevel_ops *ops)
{
    ops->getxattr = op_getxattr;
    ops->setxattr = op_setxattr;
    ops->listxattr = op_listxattr;
    ops->removexattr = op_removexattr;
}
