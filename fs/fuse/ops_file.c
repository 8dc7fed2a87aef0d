/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about open files and their data. */
#include <fcntl.h>

#include "fs/fuse/session.h"

/* The kernel holds a look-up of every file that is open, and gives it back when the last
 * descriptor is closed: that keeps an unlinked file, so no handle of ours has to. */
static void fill_open(struct fuse_file_info *fi)
{
    fi->keep_cache =
        1;           /* pages stay right: all changes pass through the kernel or are told to it */
    fi->noflush = 1; /* a write is in the log before it is answered */
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    bool unnamed = strcmp(name, WIRE_NO_NAME) == 0; /* TMPFILE, see wire.h */
    struct kvfs *fs = request_begin(req, unnamed ? REQUEST_TMPFILE : REQUEST_CREATE);
    struct kvfs_who who = request_who(req);
    struct kvfs_new new = {.who = who, .mode = mode, .flags = fi->flags};
    struct kvfs_entry entry;
    struct kvfs_file *file = NULL;
    struct fuse_entry_param param;
    int r = unnamed ? kvfs_create_unnamed(fs, parent, &new, &entry, &file)
                    : kvfs_create(fs, parent, name, &new, &entry, NULL);
    if (r < 0) {
        /* In a directory that is removed ext4 forbids it. */
        reply_result(req, unnamed && r == -ENOENT ? -EPERM : r);
        return;
    }
    kvfs_file_close(file);
    fill_open(fi);
    entry_to_param(&entry, &param);
    if (fuse_reply_create(req, &param, fi) != 0) {
        kvfs_forget(fs, entry.ino, 1);
    }
}

#if FUSE_VERSION >= 318
static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
    op_create(req, parent, WIRE_NO_NAME, mode, fi);
}
#endif

/* Nothing is to be done: permissions are checked by the kernel, what chattr(1) forbids at the
 * change itself. Told so once, the kernel asks no longer, neither at open(2) nor at close(2), and
 * keeps pages over both. With its write-back cache a change is refused too late to be heard of. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct kvfs_mount *mount = fuse_req_userdata(req);
    struct kvfs *fs = request_begin(req, REQUEST_OPEN);
    struct kvfs_file *file = NULL;
    int r = mount->writeback ? kvfs_file_open(fs, ino, fi->flags & ~O_TRUNC, &file) : -ENOSYS;
    if (r < 0) {
        reply_result(req, r);
        return;
    }
    kvfs_file_close(file);
    fill_open(fi);
    fuse_reply_open(req, fi);
}

/* With the write-back cache, or of a file that was made before the first one was opened. */
static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    request_begin(req, REQUEST_RELEASE);
    reply_result(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    struct kvfs *fs = request_begin(req, REQUEST_READ);
    struct kv_buf bytes = buffers_take(&mount->buffers);
    int r = kvfs_read(fs, ino, (uint64_t)offset, size, &bytes);
    if (r == 0 && !mount->noatime && (fi->flags & O_NOATIME) == 0) {
        kvfs_note_read(fs, ino);
    }
    reply_bytes(req, r, &bytes);
    buffers_give(&mount->buffers, &bytes);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    struct kvfs *fs = request_begin(req, REQUEST_WRITE);
    /* The kernel has turned O_APPEND into an offset and clears setuid bits itself. */
    int r = kvfs_write(fs, ino, (uint64_t)offset, kv_slice(data, size), false, false);
    if (r < 0) {
        reply_result(req, r);
    } else if ((fi->flags & O_DSYNC) != 0) {
        reply_synced(req, ino, size);
    } else {
        fuse_reply_write(req, size);
    }
    __atomic_add_fetch(&mount->writes_done, 1, __ATOMIC_RELEASE);
}

/* Nothing is left to do at close(2); told so once, the kernel no longer asks. */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    request_begin(req, REQUEST_FLUSH);
    reply_result(req, -ENOSYS);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    request_begin(req, REQUEST_FSYNC);
    reply_synced(req, ino, 0);
}

static void allocate(const struct deferred *call)
{
    struct kvfs_mount *mount = fuse_req_userdata(call->req);
    reply_result(call->req,
                 kvfs_fallocate(mount->fs, call->ino, call->mode, call->offset, call->size));
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    request_begin(req, REQUEST_FALLOCATE);
    defer_call(&mount->defer, &(struct deferred){.fn = allocate,
                                                 .req = req,
                                                 .ino = ino,
                                                 .mode = mode,
                                                 .offset = (uint64_t)offset,
                                                 .size = (uint64_t)length});
}

static void copy_range(const struct deferred *call)
{
    struct kvfs_mount *mount = fuse_req_userdata(call->req);
    struct kvfs_copy copy = {.ino_in = call->ino,
                             .offset_in = call->offset,
                             .ino_out = call->ino_out,
                             .offset_out = call->offset_out,
                             .size = call->size};
    uint64_t copied = 0;
    int r = kvfs_copy_range(mount->fs, &copy, &copied);
    if (r == 0 && copied > 0 && call->sync) {
        r = kvfs_fsync(mount->fs, call->ino_out);
    }
    if (r < 0) {
        reply_result(call->req, r);
    } else {
        fuse_reply_write(call->req, (size_t)copied);
    }
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t offset_in,
                               struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t offset_out,
                               struct fuse_file_info *fi_out, size_t size, int flags)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    request_begin(req, REQUEST_COPY_FILE_RANGE);
    if (flags != 0) {
        reply_result(req, -EINVAL);
        return;
    }
    defer_call(&mount->defer, &(struct deferred){.fn = copy_range,
                                                 .req = req,
                                                 .ino = ino_in,
                                                 .offset = (uint64_t)offset_in,
                                                 .ino_out = ino_out,
                                                 .offset_out = (uint64_t)offset_out,
                                                 .size = size,
                                                 .sync = (fi_out->flags & O_DSYNC) != 0});
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
    const struct kvfs_mount *mount = fuse_req_userdata(req);
    struct kvfs *fs = request_begin(req, REQUEST_LSEEK);
    uint64_t found = 0;
    if (mount->writeback) {
        /* The kernel may hold data that we do not have, and does not write it out before it asks:
         * it would be taken for a hole. Told so once, it calls everything data. */
        reply_result(req, -ENOSYS);
        return;
    }
    int r = kvfs_seek(fs, ino, (uint64_t)offset, whence, &found);
    if (r < 0) {
        reply_result(req, r);
    } else {
        fuse_reply_lseek(req, (off_t)found);
    }
}

void ops_file_install(struct fuse_lowlevel_ops *ops)
{
    ops->create = op_create;
#if FUSE_VERSION >= 318
    ops->tmpfile = op_tmpfile;
#endif
    ops->open = op_open;
    ops->release = op_release;
    ops->read = op_read;
    ops->write = op_write;
    ops->flush = op_flush;
    ops->fsync = op_fsync;
    ops->fallocate = op_fallocate;
    ops->copy_file_range = op_copy_file_range;
    ops->lseek = op_lseek;
}
