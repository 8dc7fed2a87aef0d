/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/idle_poll.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/fuse/mount.h"
#include "kvcore/util/clock.h"

enum {
    NS_PER_MS = 1000 * 1000,
    BATCH_MS = 16, /* a batch within that, 4,000 requests a second, begins it */
    LOOK_MS = 20,  /* how often the thread looks whether it still pays */
    FEWEST = 40,   /* requests from one such look to the next, 2,000 a second */
};
/* What the kernel takes for no demand: PM_QOS_CPU_LATENCY_DEFAULT_VALUE. */
static const int32_t any_latency_us = 2000 * 1000 * 1000;

static bool has_guest_driver(void)
{
    char name[32] = "";
    int fd = open("/sys/devices/system/cpu/cpuidle/current_driver", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, name, sizeof name - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return size > 0 && strncmp(name, "haltpoll", strlen("haltpoll")) == 0;
}

int kvfs_idle_poll_open(bool always)
{
    if (!always && !has_guest_driver()) {
        return -ENOTSUP;
    }
    int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static void demand(struct idle_poll *p, bool polling) REQUIRES(p->mu)
{
    int32_t latency_us = polling ? 0 : any_latency_us;
    if (write(p->fd, &latency_us, sizeof latency_us) == (ssize_t)sizeof latency_us) {
        atomic_store_explicit(&p->asked, polling, memory_order_relaxed);
    }
}

static void *idle_poll_main(void *arg)
{
    struct idle_poll *p = arg;
    mutex_lock(&p->mu);
    while (!p->stopping) {
        if (!atomic_load_explicit(&p->asked, memory_order_relaxed)) {
            condvar_wait(&p->changed, &p->mu);
            continue;
        }
        uint32_t before = atomic_load_explicit(&p->requests, memory_order_relaxed);
        uint64_t until_ns = clock_monotonic_ns() + LOOK_MS * NS_PER_MS;
        while (!p->stopping && condvar_wait_until(&p->changed, &p->mu, until_ns)) {
        }
        if (atomic_load_explicit(&p->requests, memory_order_relaxed) - before < FEWEST) {
            demand(p, false);
        }
    }
    mutex_unlock(&p->mu);
    return NULL;
}

void idle_poll_look(struct idle_poll *p)
{
    uint64_t now_ns = clock_monotonic_ns();
    mutex_lock(&p->mu);
    if (now_ns - p->looked_ns < (uint64_t)BATCH_MS * NS_PER_MS &&
        !atomic_load_explicit(&p->asked, memory_order_relaxed)) {
        demand(p, true);
        condvar_signal(&p->changed);
    }
    p->looked_ns = now_ns;
    mutex_unlock(&p->mu);
}

void idle_poll_init(struct idle_poll *p, int fd)
{
    *p = (struct idle_poll){.fd = fd};
    mutex_init(&p->mu, LOCK_RANK_LEAF, "idle poll");
    condvar_init(&p->changed);
}

int idle_poll_start(struct idle_poll *p)
{
    int r = p->fd >= 0 ? thread_start(&p->thread, "kvfs-idle", idle_poll_main, p) : 0;
    p->started = p->fd >= 0 && r == 0;
    return r;
}

void idle_poll_finish(struct idle_poll *p)
{
    if (p->started) {
        mutex_lock(&p->mu);
        p->stopping = true;
        condvar_signal(&p->changed);
        mutex_unlock(&p->mu);
        thread_join(&p->thread);
    }
    if (p->fd >= 0) {
        close(p->fd); /* which takes the demand back */
    }
    condvar_finish(&p->changed);
    mutex_finish(&p->mu);
}
