/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/wire.h"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/fuse/session.h"

/* Newer than some headers of the kernel. */
enum {
    WIRE_TMPFILE = 51,
    WIRE_STATX = 52,
};

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
    ssize_t size = watch_read(&mount->watch, fd, buffer, buffer_size);
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
