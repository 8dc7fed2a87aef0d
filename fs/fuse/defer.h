/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for the disk, taken off the thread that got them.
 *
 * On /dev/fuse any worker takes the next request, and libfuse adds workers while all are busy. On
 * rings one thread serves all requests that come from one processor, one after the other: a sync
 * in it would hold up everybody's reads there. So the few kinds that wait by their nature are
 * answered by threads of ours. */
#ifndef KVFS_FUSE_DEFER_H
#define KVFS_FUSE_DEFER_H

#include "kvcore/util/thread.h"

enum { DEFER_THREADS = 4 };

struct deferred {
    void (*fn)(const struct deferred *call); /* answers the request */
    void *req;                               /* fuse_req_t */
    uint64_t ino, offset, size;
    uint64_t ino_out, offset_out;
    int mode;
    bool sync;
    struct deferred *next;
};

struct defer {
    struct thread threads[DEFER_THREADS];
    unsigned started;
    struct mutex mu;
    struct condvar changed;
    struct deferred *first, **last; /* queue; no longer than requests are in flight */
    bool stopping;                  /* end when the queue is empty */
};

/* Until defer_start() calls are carried out in place. */
void defer_init(struct defer *d);
/* Errors: -EAGAIN. */
KV_MUST_CHECK int defer_start(struct defer *d);
/* Carry out a copy of the call later, or this one now. */
void defer_call(struct defer *d, const struct deferred *call);
/* Carry out what is left. The session must still be there. */
void defer_finish(struct defer *d);

#endif
