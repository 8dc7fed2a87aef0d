/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits for the kernel's requests, and how.
 *
 * A worker that sleeps in read(2) is woken for each request. Waking an idle processor takes longer
 * than most requests do, in a virtual machine by far. So while requests come thick from one client
 * and nobody has to wait for another one's, a single worker waits for them *alone*: it looks for
 * the next one some microseconds long before it sleeps, as adaptive mutexes do and KVM's halt
 * polling. The others rest elsewhere, since the kernel would wake one of them for every request
 * that it gets, taken or not. Otherwise all wait in read(2) *together*, as libfuse has it.
 *
 * Nobody may wait for a worker that waits itself, or does not get to run: one of those who rest
 * looks every millisecond whether a request is there that nobody takes; then all come back. After
 * some milliseconds without a request they do so too, and nobody looks. If none rests all are busy,
 * and libfuse starts another worker as long as it may.
 *
 * One of these per mount; watch_read() is called by any number of threads, which may be cancelled
 * in it, when the mount ends. */
#ifndef KVFS_FUSE_WATCH_H
#define KVFS_FUSE_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kvcore/util/thread.h"

struct watch {
    _Atomic unsigned readers;  /* workers that wait at the device or are about to */
    _Atomic int calm;          /* grows while one client asks often and nobody waits */
    _Atomic uint32_t client;   /* the thread that asked last */
    _Atomic uint64_t taken_ns; /* when the last request was taken */
    _Atomic bool alone;
    _Atomic bool looked_after; /* one of those who rest looks every millisecond */
    bool may_be_alone;
    int together_fd; /* eventfd, readable unless `alone` */
    struct mutex mu; /* changes of `alone` and together_fd, which are made as one */
};

/* With one processor nobody looks while others could run. Errors: -EMFILE; watch_finish() is called
 * all the same. */
KV_MUST_CHECK int watch_init(struct watch *w, unsigned processors);
/* No worker is left. */
void watch_finish(struct watch *w);

/* As read(2) of the device, when it is this worker's turn. It has served what it got before. */
ssize_t watch_read(struct watch *w, int fd, void *buffer, size_t size);

#endif
