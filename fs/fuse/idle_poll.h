/* SPDX-License-Identifier: Apache-2.0 */
/* Processors that poll while they are idle, for as long as requests come in quick succession.
 *
 * A request makes two threads wait for each other. In a virtual machine the processor of the one
 * that waits is halted, and waking it again takes the host, several times as long as the request
 * itself. The kernel's idle driver for guests, haltpoll, polls for a while before it halts; told
 * through /dev/cpu_dma_latency that nothing may take longer than 0 us (the kernel's
 * Documentation/power/pm_qos_interface.rst) it polls until told otherwise. That keeps processors
 * busy that have nothing to do, all of the machine, so it is asked for only while it pays.
 *
 * Knows nothing of libfuse. */
#ifndef KVFS_FUSE_IDLE_POLL_H
#define KVFS_FUSE_IDLE_POLL_H

#include <stdatomic.h>

#include "kvcore/util/thread.h"

enum { IDLE_POLL_BATCH = 64 }; /* requests from one look at the clock to the next */

struct idle_poll {
    int fd; /* of the device, owned; -1: not to be had */
    _Atomic uint32_t requests;
    _Atomic bool asked; /* the kernel was told to poll; changed with mu held */
    struct mutex mu;
    struct condvar changed;
    uint64_t looked_ns; /* when the last batch was full */
    bool stopping, started;
    struct thread thread;
};

/* `fd` is what kvfs_idle_poll_open() gave, and taken over; with -1, and until idle_poll_start(),
 * nothing is asked for. */
void idle_poll_init(struct idle_poll *p, int fd);
/* Start the thread that takes the demand back. Errors: -EAGAIN. */
KV_MUST_CHECK int idle_poll_start(struct idle_poll *p);
/* Takes the demand back. */
void idle_poll_finish(struct idle_poll *p);

/* A batch is full: see how long it took. */
void idle_poll_look(struct idle_poll *p);

/* A request came. Any thread. */
static inline void idle_poll_request(struct idle_poll *p)
{
    if (p->started &&
        atomic_fetch_add_explicit(&p->requests, 1, memory_order_relaxed) % IDLE_POLL_BATCH == 0 &&
        !atomic_load_explicit(&p->asked, memory_order_relaxed)) {
        idle_poll_look(p);
    }
}

#endif
