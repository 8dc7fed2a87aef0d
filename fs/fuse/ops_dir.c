/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about open directories. */
#include <stdlib.h>

#include "fs/fuse/session.h"

static struct kvfs_dir *dir_of(const struct fuse_file_info *fi)
{
    return (struct kvfs_dir *)(uintptr_t)fi->fh;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct kvfs *fs = request_begin(req, REQUEST_OPENDIR);
    struct kvfs_dir *dir = NULL;
    int r = kvfs_dir_open(fs, ino, &dir);
    if (r < 0) {
        reply_result(req, r);
        return;
    }
    fi->fh = (uintptr_t)dir;
    if (fuse_reply_open(req, fi) != 0) {
        kvfs_dir_close(dir);
    }
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    request_begin(req, REQUEST_RELEASEDIR);
    kvfs_dir_close(dir_of(fi));
    reply_result(req, 0);
}

/* A listing on its way into the kernel's buffer. */
struct listing {
    fuse_req_t req;
    char *bytes;
    size_t size, used;
};

static bool add_plain(void *arg, const char *name, const struct kvfs_entry *entry,
                      uint64_t next_offset)
{
    struct listing *to = arg;
    struct stat st = {.st_ino = entry->ino, .st_mode = entry->stat.st_mode};
    size_t left = to->size - to->used;
    size_t need =
        fuse_add_direntry(to->req, to->bytes + to->used, left, name, &st, (off_t)next_offset);
    to->used += need <= left ? need : 0;
    return need <= left;
}

static bool add_plus(void *arg, const char *name, const struct kvfs_entry *entry,
                     uint64_t next_offset)
{
    struct listing *to = arg;
    struct fuse_entry_param param;
    entry_to_param(entry, &param);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        param.ino = 0; /* no reference goes with these two */
    }
    size_t left = to->size - to->used;
    size_t need = fuse_add_direntry_plus(to->req, to->bytes + to->used, left, name, &param,
                                         (off_t)next_offset);
    to->used += need <= left ? need : 0;
    return need <= left;
}

/* The references of a reply that does not arrive are not given back one by one: replies fail only
 * when the connection is gone, and every reference with it. */
static void list(fuse_req_t req, struct fuse_file_info *fi, size_t size, off_t offset, bool plus)
{
    struct listing to = {.req = req, .bytes = malloc(size), .size = size};
    if (to.bytes == NULL) {
        reply_result(req, -ENOMEM);
        return;
    }
    int r = kvfs_dir_read(dir_of(fi), (uint64_t)offset, plus, plus ? add_plus : add_plain, &to);
    if (r < 0 && to.used == 0) {
        reply_result(req, r);
    } else {
        /* What precedes a damaged part is given; asking on from there gives the error. */
        fuse_reply_buf(req, to.bytes, to.used);
    }
    free(to.bytes);
}

/* A listing counts where it begins. */
static void note_read(fuse_req_t req, fuse_ino_t ino, off_t offset)
{
    const struct kvfs_mount *mount = fuse_req_userdata(req);
    if (offset == 0 && !mount->nodiratime) {
        kvfs_note_read(mount->fs, ino);
    }
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    request_begin(req, REQUEST_READDIR);
    note_read(req, ino, offset);
    list(req, fi, size, offset, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    request_begin(req, REQUEST_READDIRPLUS);
    note_read(req, ino, offset);
    list(req, fi, size, offset, true);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    request_begin(req, REQUEST_FSYNCDIR);
    reply_synced(req, ino, 0);
}

void ops_dir_install(struct fuse_lowlevel_ops *ops)
{
    ops->opendir = op_opendir;
    ops->releasedir = op_releasedir;
    ops->readdir = op_readdir;
    ops->readdirplus = op_readdirplus;
    ops->fsyncdir = op_fsyncdir;
}
