/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of fs/fuse: the mount's state, and the steps every handler takes. A handler
 * decodes, calls the core and replies; nothing else. */
#ifndef KVFS_FUSE_SESSION_H
#define KVFS_FUSE_SESSION_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/fuse/buffers.h"
#include "fs/fuse/defer.h"
#include "fs/fuse/idle_poll.h"
#include "fs/fuse/mount.h"
#include "fs/fuse/notify.h"
#include "fs/fuse/watch.h"
#include "fs/fuse/wire.h"
#include "kvcore/util/message.h"
#include "kvcore/util/probe.h"

enum request_kind {
    REQUEST_LOOKUP,
    REQUEST_FORGET,
    REQUEST_GETATTR,
    REQUEST_SETATTR,
    REQUEST_READLINK,
    REQUEST_MKNOD,
    REQUEST_MKDIR,
    REQUEST_SYMLINK,
    REQUEST_LINK,
    REQUEST_UNLINK,
    REQUEST_RMDIR,
    REQUEST_RENAME,
    REQUEST_CREATE,
    REQUEST_OPEN,
    REQUEST_RELEASE,
    REQUEST_READ,
    REQUEST_WRITE,
    REQUEST_FLUSH,
    REQUEST_FSYNC,
    REQUEST_FALLOCATE,
    REQUEST_COPY_FILE_RANGE,
    REQUEST_LSEEK,
    REQUEST_OPENDIR,
    REQUEST_RELEASEDIR,
    REQUEST_READDIR,
    REQUEST_READDIRPLUS,
    REQUEST_FSYNCDIR,
    REQUEST_GETXATTR,
    REQUEST_SETXATTR,
    REQUEST_LISTXATTR,
    REQUEST_REMOVEXATTR,
    REQUEST_STATFS,
    REQUEST_IOCTL,
    REQUEST_TMPFILE,
    REQUEST_STATX,
    REQUEST_ACCESS,
    REQUEST_KIND_COUNT,
};

struct kvfs_mount {
    struct kvfs *fs;
    struct fuse_session *session;
    struct notify notify;
    struct buffers buffers;
    struct watch watch;
    struct wire wire;
    struct message_sink sink;
    char *mountpoint;
    struct kvfs_guard *guard; /* borrowed; NULL: none */
    unsigned threads;
    bool writeback;
    bool far_store;
    bool unchecked;          /* the kernel checks no permissions: only root gets in */
    bool uring;              /* rings were asked for */
    _Atomic bool uring_seen; /* a request came through one */
    struct defer defer;
    struct idle_poll idle_poll;
    bool noatime, nodiratime; /* reading leaves no trace: anywhere, in directories */
    kvfs_mount_ready_fn *ready_fn;
    void *ready_arg;
    int stop_fd;          /* eventfd that ends the thread waiting for signals */
    int lost_fd;          /* eventfd: the store was lost */
    int main_thread;      /* kernel id of the thread in kvfs_mount_run() */
    _Atomic bool served;  /* INIT came */
    _Atomic bool ended;   /* the loop returned */
    uint64_t writes_done; /* WRITE requests answered; atomic, begun ones are among the requests */
    uint64_t requests[REQUEST_KIND_COUNT]; /* counters, touched by relaxed atomics only */
};

/* How long the kernel may trust what it was told: a day, as nobody else changes the store. */
#define SESSION_CACHE_S 86400.0

/* Count the request and find what it is for. */
static inline struct kvfs *request_begin(fuse_req_t req, enum request_kind kind)
{
    struct kvfs_mount *mount = fuse_req_userdata(req);
    __atomic_add_fetch(&mount->requests[kind], 1, __ATOMIC_RELAXED);
    idle_poll_request(&mount->idle_poll);
    KV_PROBE(1, request, (unsigned)kind);
#if FUSE_VERSION >= 318
    if (mount->uring && !atomic_load_explicit(&mount->uring_seen, memory_order_relaxed) &&
        fuse_req_is_uring(req)) {
        atomic_store(&mount->uring_seen, true);
    }
#endif
    return mount->fs;
}

/* Who asks. The kernel leaves the umask to us, as a directory's default ACL takes its place. */
static inline struct kvfs_who request_who(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    return (struct kvfs_who){.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask};
}

/* ---- reply.c ---------------------------------------------------------------------------------
 * Each answers the request whatever `result` is: a negative errno, else the rest. */
void reply_result(fuse_req_t req, int result);
void reply_entry(fuse_req_t req, int result, const struct kvfs_entry *entry);
void reply_attr(fuse_req_t req, int result, const struct kvfs_entry *entry);
/* As reply_attr(), to a GETATTR of WIRE_STATX_HANDLE. */
void reply_statx(fuse_req_t req, int result, const struct kvfs_entry *entry);
void reply_bytes(fuse_req_t req, int result, const struct kv_buf *bytes);
/* Tell the kernel before the answer that attributes it knows are stale, where the answer carries no
 * new ones. For a request about an open file: no page and no name is taken back, so the kernel
 * needs no lock that the caller holds. */
void reply_attr_changed(fuse_req_t req, uint64_t ino);
/* Sync the file or directory, then answer: that `size` bytes were written, or with 0 just so. */
void reply_synced(fuse_req_t req, fuse_ino_t ino, size_t size);
void entry_to_param(const struct kvfs_entry *entry, struct fuse_entry_param *ret_param);

/* ---- the handlers, entered into the operation table by each file ------------------------------
 */
void ops_inode_install(struct fuse_lowlevel_ops *ops);
void ops_name_install(struct fuse_lowlevel_ops *ops);
void ops_dir_install(struct fuse_lowlevel_ops *ops);
void ops_file_install(struct fuse_lowlevel_ops *ops);
void ops_xattr_install(struct fuse_lowlevel_ops *ops);
void ops_ioctl_install(struct fuse_lowlevel_ops *ops);

#endif
