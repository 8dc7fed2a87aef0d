/* SPDX-License-Identifier: Apache-2.0 */
/* ioctl(2): the flags of chattr(1) and lsattr(1), in both forms that programs know. */
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "fs/fuse/session.h"

static const struct {
    unsigned flag, xflag;
} forms[] = {
    {FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE},
    {FS_APPEND_FL, FS_XFLAG_APPEND},
    {FS_NODUMP_FL, FS_XFLAG_NODUMP},
    {FS_NOATIME_FL, FS_XFLAG_NOATIME},
};
enum { FORM_COUNT = sizeof forms / sizeof forms[0] };

/* The kernel has checked this since 5.13 by itself. */
static int check_caller(fuse_req_t req, fuse_ino_t ino, unsigned changed)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    uid_t uid = fuse_req_ctx(req)->uid;
    struct kvfs_entry entry;
    if (uid == 0) {
        return 0;
    }
    int r = kvfs_getattr(mount->fs, ino, &entry);
    if (r < 0) {
        return r;
    }
    bool privileged = (changed & (FS_IMMUTABLE_FL | FS_APPEND_FL)) != 0;
    return privileged || uid != entry.stat.st_uid ? -EPERM : 0;
}

static int set_flags(fuse_req_t req, fuse_ino_t ino, unsigned flags)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    unsigned old;
    int r = kvfs_getflags(mount->fs, ino, &old);
    if (r == 0) {
        r = check_caller(req, ino, flags ^ old);
    }
    if (r == 0) {
        r = kvfs_setflags(mount->fs, ino, flags);
    }
    if (r == 0) {
        reply_attr_changed(req, ino);
    }
    return r;
}

/* Of this form only the flags can be changed. */
static int set_xflags(fuse_req_t req, fuse_ino_t ino, const struct fsxattr *attr)
{
    unsigned flags = 0;
    unsigned left = attr->fsx_xflags;
    for (unsigned i = 0; i < FORM_COUNT; i++) {
        flags |= (left & forms[i].xflag) != 0 ? forms[i].flag : 0;
        left &= ~forms[i].xflag;
    }
    /* "Has attributes" is only ever told, not set. */
    if ((left & ~(unsigned)FS_XFLAG_HASATTR) != 0 || attr->fsx_projid != 0 ||
        attr->fsx_extsize != 0 || attr->fsx_cowextsize != 0) {
        return -EOPNOTSUPP;
    }
    return set_flags(req, ino, flags);
}

static struct fsxattr to_fsxattr(unsigned flags)
{
    struct fsxattr attr = {0};
    for (unsigned i = 0; i < FORM_COUNT; i++) {
        attr.fsx_xflags |= (flags & forms[i].flag) != 0 ? forms[i].xflag : 0;
    }
    return attr;
}

static void reply_output(fuse_req_t req, int result, const void *bytes, size_t size)
{
    if (result < 0) {
        reply_result(req, result);
    } else {
        fuse_reply_ioctl(req, 0, bytes, size);
    }
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg,
                     struct fuse_file_info *fi, unsigned how, const void *in, size_t in_size,
                     size_t out_size)
{
    struct kvfs *fs = request_begin(req, REQUEST_IOCTL);
    unsigned flags = 0;
    struct fsxattr attr;
    int r = -ENOTTY;
    if (command == FS_IOC_GETFLAGS && out_size >= sizeof flags) {
        r = kvfs_getflags(fs, ino, &flags);
        reply_output(req, r, &flags, sizeof flags);
    } else if (command == FS_IOC_FSGETXATTR && out_size >= sizeof attr) {
        r = kvfs_getflags(fs, ino, &flags);
        attr = to_fsxattr(flags);
        reply_output(req, r, &attr, sizeof attr);
    } else if (command == FS_IOC_SETFLAGS && in_size >= sizeof flags) {
        memcpy(&flags, in, sizeof flags);
        reply_output(req, set_flags(req, ino, flags), NULL, 0);
    } else if (command == FS_IOC_FSSETXATTR && in_size >= sizeof attr) {
        memcpy(&attr, in, sizeof attr);
        reply_output(req, set_xflags(req, ino, &attr), NULL, 0);
    } else {
        reply_result(req, r);
    }
}

void ops_ioctl_install(struct fuse_lowlevel_ops *ops)
{
    ops->ioctl = op_ioctl;
}
