/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/wire.h"

#include <linux/fuse.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/fuse/session.h"

/* Newer than some headers of the kernel. */
enum {
    WIRE_TMPFILE = 51,
    WIRE_STATX = 52,
    WIRE_STATX_BASIC = 0x7ff,
    WIRE_STATX_BTIME = 0x800,
};

_Static_assert(sizeof(struct wire_statx) == 288, "as the kernel has it");

/* A GETATTR is no longer than a STATX. */
static void statx_to_getattr(struct fuse_in_header *head, size_t size)
{
    struct fuse_getattr_in *in = (struct fuse_getattr_in *)(head + 1);
    if (size < sizeof *head + sizeof *in) {
        return; /* the library refuses what it does not know */
    }
    head->opcode = FUSE_GETATTR;
    *in = (struct fuse_getattr_in){.getattr_flags = FUSE_GETATTR_FH, .fh = WIRE_STATX_HANDLE};
}

static void note_init(struct wire *wire, const struct fuse_in_header *head, size_t size)
{
    const struct fuse_init_in *in = (const struct fuse_init_in *)(head + 1);
    if (size >= sizeof *head + FUSE_COMPAT_22_INIT_OUT_SIZE && in->major == FUSE_KERNEL_VERSION &&
        in->minor >= 23) {
        wire->offered = in->flags;
        atomic_store(&wire->init, head->unique);
    }
}

static ssize_t wire_read(int fd, void *buffer, size_t buffer_size, void *userdata)
{
    struct kvfs_mount *mount = userdata;
    struct fuse_in_header *head = buffer;
    ssize_t size = read(fd, buffer, buffer_size);
    if (size < (ssize_t)sizeof *head) {
        return size;
    }
    switch (head->opcode) {
    case WIRE_TMPFILE:
        head->opcode = FUSE_CREATE;
        break;
    case WIRE_STATX:
        statx_to_getattr(head, (size_t)size);
        break;
    case FUSE_INIT:
        note_init(&mount->wire, head, (size_t)size);
        break;
    default:
        break;
    }
    return size;
}

/* Looking up and listing in one directory side by side: up to 3.16 the library says that it wants
 * this and does not pass it on. */
static void complete_init(const struct wire *wire, const struct iovec *iov, int count)
{
    if (count >= 2 && iov[1].iov_len >= FUSE_COMPAT_22_INIT_OUT_SIZE) {
        struct fuse_init_out *out = iov[1].iov_base;
        out->flags |= wire->offered & FUSE_PARALLEL_DIROPS;
    }
}

static ssize_t wire_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct kvfs_mount *mount = userdata;
    const struct fuse_out_header *head = iov[0].iov_base;
    uint64_t init = atomic_load_explicit(&mount->wire.init, memory_order_relaxed);
    if (init != 0 && head->unique == init) {
        atomic_store(&mount->wire.init, 0);
        if (head->error == 0) {
            complete_init(&mount->wire, iov, count);
        }
    }
    return writev(fd, iov, count);
}

int wire_install(struct fuse_session *session)
{
    static const struct fuse_custom_io io = {.read = wire_read, .writev = wire_writev};
    return fuse_session_custom_io(session, &io, fuse_session_fd(session)) != 0 ? -ENOMEM : 0;
}

static struct wire_time wire_time(struct timespec time)
{
    return (struct wire_time){.seconds = time.tv_sec, .nanoseconds = (uint32_t)time.tv_nsec};
}

void wire_statx_fill(const struct stat *st, struct timespec btime, uint64_t cache_s,
                     struct wire_statx *ret_statx)
{
    *ret_statx = (struct wire_statx){
        .valid_s = cache_s,
        .mask = WIRE_STATX_BASIC | WIRE_STATX_BTIME,
        .block_size = (uint32_t)st->st_blksize,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mode = (uint16_t)st->st_mode,
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .blocks = (uint64_t)st->st_blocks,
        .atime = wire_time(st->st_atim),
        .btime = wire_time(btime),
        .ctime = wire_time(st->st_ctim),
        .mtime = wire_time(st->st_mtim),
        .rdev_major = major(st->st_rdev),
        .rdev_minor = minor(st->st_rdev),
    };
}
