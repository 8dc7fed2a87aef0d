/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/defer.h"

#include <stdlib.h>

static void *defer_main(void *arg)
{
    struct defer *d = arg;
    mutex_lock(&d->mu);
    while (d->first != NULL || !d->stopping) {
        struct deferred *call = d->first;
        if (call == NULL) {
            condvar_wait(&d->changed, &d->mu);
            continue;
        }
        d->first = call->next;
        d->last = d->first == NULL ? &d->first : d->last;
        mutex_unlock(&d->mu);
        call->fn(call);
        free(call);
        mutex_lock(&d->mu);
    }
    mutex_unlock(&d->mu);
    return NULL;
}

void defer_init(struct defer *d)
{
    *d = (struct defer){.last = &d->first};
    mutex_init(&d->mu, LOCK_RANK_LEAF, "defer");
    condvar_init(&d->changed);
}

int defer_start(struct defer *d)
{
    int r = 0;
    while (r == 0 && d->started < DEFER_THREADS) {
        r = thread_start(&d->threads[d->started], "kvfs-defer", defer_main, d);
        d->started += r == 0;
    }
    return r;
}

void defer_call(struct defer *d, const struct deferred *call)
{
    struct deferred *copy = d->started > 0 ? malloc(sizeof *copy) : NULL;
    if (copy == NULL) {
        call->fn(call);
        return;
    }
    *copy = *call;
    copy->next = NULL;
    mutex_lock(&d->mu);
    *d->last = copy;
    d->last = &copy->next;
    condvar_signal(&d->changed);
    mutex_unlock(&d->mu);
}

void defer_finish(struct defer *d)
{
    mutex_lock(&d->mu);
    d->stopping = true;
    condvar_broadcast(&d->changed);
    mutex_unlock(&d->mu);
    while (d->started > 0) {
        thread_join(&d->threads[--d->started]);
    }
    condvar_finish(&d->changed);
    mutex_finish(&d->mu);
}
