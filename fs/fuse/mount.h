/* SPDX-License-Identifier: Apache-2.0 */
/* A filesystem (fs/kvfs.h) mounted through the kernel: the thin adapter between libfuse's low-level
 * interface and the core.
 *
 * The mount is the only writer of its store, so the kernel may keep names, attributes and pages for
 * a day. What changes without passing through the kernel (keys put and deleted through the control
 * socket) is taken back explicitly, by a thread that serves no requests: the kernel may hold the
 * lock of a directory while it waits for one of our workers, and telling it about that directory
 * needs the same lock.
 *
 * Order of use: create, run (returns when the mount ended), destroy. Only then close the
 * filesystem. */
#ifndef KVFS_FUSE_MOUNT_H
#define KVFS_FUSE_MOUNT_H

#include <kv/message.h>

#include "fs/kvfs.h"

struct kvfs_mount;

/* A process beside the daemon that mounts and unmounts for it, so that the daemon can give up every
 * right that takes. It is forked before the daemon has threads, holds nothing but its end of a pair
 * of sockets, and can do nothing but mount a kvfs on the one mount point, once and with the options
 * that it was told first, sync that mount and unmount it: what was there before and what is mounted
 * on it is not touched. It ends with the daemon, and leaves the mount if that crashed: programs
 * would go on in the directory below. Signals do not end it, but SIGKILL, of which the log tells;
 * one that was stopped is given up after some seconds. */
struct kvfs_guard;

/* In a process with one thread. `mountpoint`: absolute. Errors: -ENOMEM, -EAGAIN, -EMFILE. */
KV_MUST_CHECK int kvfs_guard_start(const char *mountpoint, struct kvfs_guard **ret_guard);
/* Waits until it is gone. Accepts NULL. */
void kvfs_guard_end(struct kvfs_guard *guard);

/* Called once, from a thread of the mount, when kernel and daemon have agreed and the daemon has no
 * more to do with the mount point: the mount works, and umount(2) does not find it in use. */
typedef void kvfs_mount_ready_fn(void *arg);

struct kvfs_mount_options {
    const char *source;         /* shown in the mount table: the store */
    const char *mountpoint;     /* absolute */
    struct kvfs_guard *guard;   /* of that mount point, borrowed; NULL: this process does it all */
    const char *kernel_options; /* such as "noatime,nosuid", handed to mount(2); may be NULL */
    unsigned threads;           /* most workers at a time; 0: twice the processors, 2 to 8 */
    bool read_only;
    /* Other users than the one who mounts get in, under the usual permissions. Where root mounts
     * for itself alone nobody checks any: root passes them all, and checking costs the kernel a
     * request for the attributes of a directory after each change in it. */
    bool allow_other;
    bool writeback;   /* the kernel's write-back cache: weakens durability, see docs */
    bool uring;       /* ask for FUSE over io_uring; only if kvfs_uring_obstacle() finds none */
    int idle_poll_fd; /* of kvfs_idle_poll_open(), taken over; -1: idle processors may halt */
    bool debug;       /* libfuse prints every request on stderr */
    bool far_store;   /* each reading of the store takes a round trip: more of them at a time */
    kvfs_mount_ready_fn *ready_fn; /* may be NULL */
    void *ready_arg;
    kv_message_fn *message_fn;
    void *message_arg;
};

/* Tell the guard what to mount with, of which create() then needs the same: while whoever says so
 * is still to be trusted. The functions of `options` are not looked at. Errors: -ENOMEM, -E2BIG;
 * -EPIPE the guard is gone. */
KV_MUST_CHECK int kvfs_mount_prepare(const struct kvfs_mount_options *options);
/* Mount `fs`. Requests wait until kvfs_mount_run(). Errors: -EIO when libfuse or the kernel refuse
 * (libfuse says why on stderr), -ENOMEM, -EAGAIN. */
KV_MUST_CHECK int kvfs_mount_create(struct kvfs *fs, const struct kvfs_mount_options *options,
                                    struct kvfs_mount **ret_mount);
/* Serve until unmounted, or until SIGTERM, SIGINT or SIGHUP, which unmount cleanly: at once if
 * nobody uses the mount, else after its dirty pages were written, leaving its users with errors.
 * Those signals are blocked in the calling thread from then on, so that another one does not cut
 * the ending short. Errors: -EIO; -ESHUTDOWN the store was lost (kvfs_on_store_lost()): what the
 * kernel kept of it was dropped, so that nobody reads it as if it were current, and it is unmounted
 * from whoever uses it. */
KV_MUST_CHECK int kvfs_mount_run(struct kvfs_mount *mount);
void kvfs_mount_destroy(struct kvfs_mount *mount); /* accepts NULL; unmounts */

/* Tell the kernel that the name `name` of the directory `ino` changed, or with NULL the inode's
 * data and attributes. Changes made by key are told without asking; this is for others. May wait
 * for room in the queue: never call it from a request or with a lock held. */
void kvfs_mount_tell(struct kvfs_mount *mount, uint64_t ino, const char *name);
/* Wait until the kernel was told of every change made before the call. */
void kvfs_mount_flush_changes(struct kvfs_mount *mount);

/* Requests served so far, one kind per call: `kind` counts from 0; NULL behind the last. The name
 * is a constant. */
const char *kvfs_mount_request_count(const struct kvfs_mount *mount, unsigned kind,
                                     uint64_t *ret_count);

/* How requests come to the daemon: each read from /dev/fuse, or through rings that the kernel and
 * the daemon share (FUSE over io_uring), which saves most of the waking up and copying. Rings need
 * Linux 6.14 with the parameter enable_uring of its module fuse, and libfuse 3.18.
 *
 * What is in the way of rings, as a sentence; NULL if nothing is. `set`: turn the parameter on
 * first, which takes root. */
const char *kvfs_uring_obstacle(bool set);
/* "io_uring" or "dev_fuse", whichever is in use. Forgets, interrupts and what the daemon tells by
 * itself go through /dev/fuse on either. */
const char *kvfs_mount_transport(const struct kvfs_mount *mount);

/* While requests come in quick succession idle processors poll, where waking one that was halted
 * takes long: in virtual machines, or anywhere with `always`. As root, and before the right to open
 * files is given up. Returns a descriptor. Errors: -ENOTSUP the idle driver of the kernel is
 * another than haltpoll; those of open(2). */
KV_MUST_CHECK int kvfs_idle_poll_open(bool always);

/* Unmount as umount(8) would, also without being root. `lazy` detaches a mount in use. Errors:
 * -EBUSY in use, -EINVAL not a mount point, -EPERM, -EIO the helper failed. */
KV_MUST_CHECK int kvfs_unmount(const char *mountpoint, bool lazy);

#endif
