/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that make, move and remove names. */
#include "fs/fuse/session.h"

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct kvfs *fs = request_begin(req, REQUEST_MKNOD);
    struct kvfs_who who = request_who(req);
    struct kvfs_entry entry;
    int r = kvfs_mknod(fs, parent, name, &(struct kvfs_new){.who = who, .mode = mode, .rdev = rdev},
                       &entry);
    reply_entry(req, r, &entry);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct kvfs *fs = request_begin(req, REQUEST_MKDIR);
    struct kvfs_who who = request_who(req);
    struct kvfs_entry entry;
    int r = kvfs_mkdir(fs, &who, parent, name, mode, &entry);
    reply_entry(req, r, &entry);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct kvfs *fs = request_begin(req, REQUEST_SYMLINK);
    struct kvfs_who who = request_who(req);
    struct kvfs_entry entry;
    int r = kvfs_symlink(fs, &who, parent, name, target, &entry);
    reply_entry(req, r, &entry);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct kvfs *fs = request_begin(req, REQUEST_LINK);
    struct kvfs_entry entry;
    int r = kvfs_link(fs, ino, parent, name, &entry);
    reply_entry(req, r, &entry);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_result(req, kvfs_unlink(request_begin(req, REQUEST_UNLINK), parent, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_result(req, kvfs_rmdir(request_begin(req, REQUEST_RMDIR), parent, name));
}

static void op_rename(fuse_req_t req, fuse_ino_t old_parent, const char *old_name,
                      fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
    struct kvfs *fs = request_begin(req, REQUEST_RENAME);
    reply_result(req, kvfs_rename(fs, old_parent, old_name, new_parent, new_name, flags));
}

void ops_name_install(struct fuse_lowlevel_ops *ops)
{
    ops->mknod = op_mknod;
    ops->mkdir = op_mkdir;
    ops->symlink = op_symlink;
    ops->link = op_link;
    ops->unlink = op_unlink;
    ops->rmdir = op_rmdir;
    ops->rename = op_rename;
}
