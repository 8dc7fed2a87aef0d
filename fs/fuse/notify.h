/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount does beside its requests: it tells the kernel what changed behind its back, through
 * a bounded queue, and does once what needs the mount to answer.
 *
 * The thread serves no requests. Taking back a name needs the kernel's lock of the directory, which
 * the kernel holds while it waits for a worker; a worker that waited for this thread would close
 * the circle. So only callers outside of requests may add to the queue or wait for it.
 *
 * Every field behind `mu` in the struct is guarded by it. */
#ifndef KVFS_FUSE_NOTIFY_H
#define KVFS_FUSE_NOTIFY_H

#include "fs/kvfs.h"
#include "kvcore/util/thread.h"

struct fuse_session;

enum { NOTIFY_QUEUE_SIZE = 256 };

/* What waits for the mount to answer; called by the thread. */
typedef void notify_fn(void *arg);

struct notify_change {
    uint64_t ino;
    char name[KVFS_NAME_SIZE_MAX + 1]; /* empty: the inode itself */
};

struct notify {
    struct fuse_session *session;
    struct thread thread;
    bool started; /* thread-private to whoever creates and destroys the mount */
    struct mutex mu;
    struct condvar changed;        /* any field below changed */
    struct notify_change *changes; /* ring */
    uint64_t added, told;          /* counts; told <= added */
    bool stopping;                 /* drop what is left and what comes */
    notify_fn *mounted;            /* to be called, then NULL */
    void *arg;
};

/* Start the thread. Errors: -ENOMEM, -EAGAIN. */
KV_MUST_CHECK int notify_init(struct notify *n, struct fuse_session *session);
/* End the thread; later additions are dropped and waits return at once. Must be called while
 * workers still serve, else the thread may wait for ever in the kernel. May be called twice. */
void notify_stop(struct notify *n);
void notify_finish(struct notify *n); /* accepts an all-zero one; stops first */
/* Enter a change; waits while the queue is full. */
void notify_add(struct notify *n, uint64_t ino, const char *name);
/* Wait until everything added before was told. */
void notify_flush(struct notify *n);
/* The mount begins to answer: have the thread call `fn`, which may use the mount as any program. */
void notify_mounted(struct notify *n, notify_fn *fn, void *arg);

#endif
