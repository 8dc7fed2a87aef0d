/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/session.h"
#include "fs/fuse/statx.h"

enum { BLOCK_SIZE = 128 * 1024 }; /* what programs are advised to read and write at a time */

static void fill_stat(const struct kvfs_entry *entry, struct stat *to)
{
    *to = entry->stat;
    to->st_ino = entry->ino;
    to->st_blksize = BLOCK_SIZE;
}

void entry_to_param(const struct kvfs_entry *entry, struct fuse_entry_param *ret_param)
{
    *ret_param = (struct fuse_entry_param){
        .ino = entry->ino,
        .generation = 1, /* inode numbers are never used twice */
        .attr_timeout = SESSION_CACHE_S,
        .entry_timeout = SESSION_CACHE_S,
    };
    fill_stat(entry, &ret_param->attr);
}

/* Programs know a device that fails; the loss of the store is that to them. */
void reply_result(fuse_req_t req, int result)
{
    fuse_reply_err(req, result == -ESHUTDOWN ? EIO : result < 0 ? -result : 0);
}

void reply_entry(fuse_req_t req, int result, const struct kvfs_entry *entry)
{
    struct fuse_entry_param param;
    if (result < 0) {
        reply_result(req, result);
        return;
    }
    struct kvfs_mount *mount = fuse_req_userdata(req);
    entry_to_param(entry, &param);
    if (fuse_reply_entry(req, &param) != 0) {
        /* The kernel never saw it and will not give the reference back. */
        kvfs_forget(mount->fs, entry->ino, 1);
    }
}

void reply_attr(fuse_req_t req, int result, const struct kvfs_entry *entry)
{
    struct stat st;
    if (result < 0) {
        reply_result(req, result);
        return;
    }
    fill_stat(entry, &st);
    fuse_reply_attr(req, &st, SESSION_CACHE_S);
}

void reply_statx(fuse_req_t req, int result, const struct kvfs_entry *entry)
{
    struct stat st;
    struct statx_reply out;
    if (result < 0) {
        reply_result(req, result);
        return;
    }
    fill_stat(entry, &st);
    statx_fill(&st, entry->btime, (uint64_t)SESSION_CACHE_S, &out);
    fuse_reply_buf(req, (const char *)&out, sizeof out);
}

void reply_bytes(fuse_req_t req, int result, const struct kv_buf *bytes)
{
    if (result < 0) {
        reply_result(req, result);
    } else {
        fuse_reply_buf(req, (const char *)bytes->data, bytes->size);
    }
}

void reply_attr_changed(fuse_req_t req, uint64_t ino)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    (void)fuse_lowlevel_notify_inval_inode(mount->session, ino, -1, 0);
}

static void sync_and_reply(const struct deferred *call)
{
    struct kvfs_mount *mount = fuse_req_userdata(call->req);
    int r = kvfs_fsync(mount->fs, call->ino);
    if (r == 0 && mount->writeback) {
        /* That cache knows its own size and times, but not how many blocks were taken. */
        reply_attr_changed(call->req, call->ino);
    }
    if (r == 0 && call->size > 0) {
        fuse_reply_write(call->req, call->size);
    } else {
        reply_result(call->req, r);
    }
}

void reply_synced(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    defer_call(&mount->defer,
               &(struct deferred){.fn = sync_and_reply, .req = req, .ino = ino, .size = size});
}
