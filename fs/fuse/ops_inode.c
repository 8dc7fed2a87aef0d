/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about one inode: attributes, references, links' targets, space. */
#include "fs/fuse/session.h"

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct kvfs *fs = request_begin(req, REQUEST_LOOKUP);
    struct kvfs_entry entry;
    int r = kvfs_lookup(fs, parent, name, &entry);
    if (r == -ENOENT) {
        /* An entry without an inode lets the kernel remember that there is none. */
        struct fuse_entry_param none = {.entry_timeout = SESSION_CACHE_S};
        fuse_reply_entry(req, &none);
        return;
    }
    reply_entry(req, r, &entry);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    kvfs_forget_later(request_begin(req, REQUEST_FORGET), ino, count);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct kvfs *fs = request_begin(req, REQUEST_FORGET);
    for (size_t i = 0; i < count; i++) {
        kvfs_forget_later(fs, forgets[i].ino, forgets[i].nlookup);
    }
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    bool statx = fi != NULL && fi->fh == WIRE_STATX_HANDLE;
    struct kvfs *fs = request_begin(req, statx ? REQUEST_STATX : REQUEST_GETATTR);
    struct kvfs_entry entry;
    int r = kvfs_getattr(fs, ino, &entry);
    if (statx) {
        reply_statx(req, r, &entry);
    } else {
        reply_attr(req, r, &entry);
    }
}

#if FUSE_VERSION >= 318
static void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi)
{
    struct kvfs_entry entry;
    int r = kvfs_getattr(request_begin(req, REQUEST_STATX), ino, &entry);
    reply_statx(req, r, &entry);
}
#endif

static unsigned setattr_mask(int to_set)
{
    static const struct {
        int fuse;
        unsigned kvfs;
    } bits[] = {
        {FUSE_SET_ATTR_MODE, KVFS_SET_MODE},
        {FUSE_SET_ATTR_UID, KVFS_SET_UID},
        {FUSE_SET_ATTR_GID, KVFS_SET_GID},
        {FUSE_SET_ATTR_SIZE, KVFS_SET_SIZE},
        {FUSE_SET_ATTR_ATIME, KVFS_SET_ATIME},
        {FUSE_SET_ATTR_MTIME, KVFS_SET_MTIME},
        {FUSE_SET_ATTR_ATIME_NOW, KVFS_SET_ATIME_NOW},
        {FUSE_SET_ATTR_MTIME_NOW, KVFS_SET_MTIME_NOW},
        {FUSE_SET_ATTR_CTIME, KVFS_SET_CTIME},
        {FUSE_SET_ATTR_KILL_SUID, KVFS_KILL_PRIV},
        {FUSE_SET_ATTR_KILL_SGID, KVFS_KILL_PRIV},
    };
    unsigned mask = 0;
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        mask |= (to_set & bits[i].fuse) != 0 ? bits[i].kvfs : 0;
    }
    /* With "now" the kernel also sets the plain bit, and a time of its own that means nothing. */
    mask &= (mask & KVFS_SET_ATIME_NOW) != 0 ? ~(unsigned)KVFS_SET_ATIME : ~0U;
    mask &= (mask & KVFS_SET_MTIME_NOW) != 0 ? ~(unsigned)KVFS_SET_MTIME : ~0U;
    return mask;
}

/* A kernel that checks no permissions keeps no sticky bit in its mode. What it says beside an owner
 * is that mode without the bits that a new owner is not to have, never one that was asked for. */
static unsigned without_guessed_mode(unsigned mask)
{
    bool guessed = (mask & KVFS_SET_MODE) != 0 && (mask & (KVFS_SET_UID | KVFS_SET_GID)) != 0;
    return guessed ? (mask & ~(unsigned)KVFS_SET_MODE) | KVFS_KILL_PRIV : mask;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct kvfs *fs = request_begin(req, REQUEST_SETATTR);
    const struct kvfs_mount *mount = fuse_req_userdata(req);
    struct kvfs_entry entry;
    unsigned mask = setattr_mask(to_set);
    mask = mount->unchecked ? without_guessed_mode(mask) : mask;
    int r = kvfs_setattr(fs, ino, attr, mask, &entry);
    reply_attr(req, r, &entry);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct kvfs *fs = request_begin(req, REQUEST_READLINK);
    struct kv_buf target = {0};
    int r = kvfs_readlink(fs, ino, &target);
    if (r == 0) {
        r = kv_buf_append(&target, kv_slice("", 1));
    }
    if (r < 0) {
        reply_result(req, r);
    } else {
        fuse_reply_readlink(req, (const char *)target.data);
    }
    kv_buf_finish(&target);
}

/* Only asked where the kernel checks no permissions, and then of root: it may read and write
 * everything, and run what anybody may run. */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    struct kvfs_entry entry;
    int r = kvfs_getattr(request_begin(req, REQUEST_ACCESS), ino, &entry);
    if (r == 0 && (mask & X_OK) != 0 && !S_ISDIR(entry.stat.st_mode) &&
        (entry.stat.st_mode & 0111) == 0) {
        r = -EACCES;
    }
    reply_result(req, r);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct kvfs *fs = request_begin(req, REQUEST_STATFS);
    struct statvfs st;
    int r = kvfs_statfs(fs, &st);
    if (r < 0) {
        reply_result(req, r);
    } else {
        fuse_reply_statfs(req, &st);
    }
}

void ops_inode_install(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = op_lookup;
    ops->forget = op_forget;
    ops->forget_multi = op_forget_multi;
    ops->getattr = op_getattr;
#if FUSE_VERSION >= 318
    ops->statx = op_statx;
#endif
    ops->setattr = op_setattr;
    ops->readlink = op_readlink;
    ops->statfs = op_statfs;
    ops->access = op_access;
}
