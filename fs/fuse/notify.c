/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fuse/notify.h"

#include <stdlib.h>

#include "fs/fuse/session.h"

/* Failures are no news: -ENOENT says that the kernel had nothing cached, others that the mount
 * is going away. */
static void tell(const struct notify *n, const struct notify_change *change)
{
    if (change->name[0] != '\0') {
        (void)fuse_lowlevel_notify_inval_entry(n->session, change->ino, change->name,
                                               strlen(change->name));
    }
    /* A name that was never looked up takes no listing back with it, so the directory's own
     * attributes and cached listing go as well. Length 0 reaches to the end. */
    (void)fuse_lowlevel_notify_inval_inode(n->session, change->ino, 0, 0);
}

static void *notify_main(void *arg)
{
    struct notify *n = arg;
    mutex_lock(&n->mu);
    while (!n->stopping) {
        if (n->mounted != NULL) {
            notify_fn *fn = n->mounted;
            n->mounted = NULL;
            mutex_unlock(&n->mu);
            fn(n->arg);
            mutex_lock(&n->mu);
        } else if (n->told < n->added) {
            struct notify_change change = n->changes[n->told % NOTIFY_QUEUE_SIZE];
            mutex_unlock(&n->mu);
            tell(n, &change);
            mutex_lock(&n->mu);
            n->told++;
            condvar_broadcast(&n->changed);
        } else {
            condvar_wait(&n->changed, &n->mu);
        }
    }
    mutex_unlock(&n->mu);
    return NULL;
}

int notify_init(struct notify *n, struct fuse_session *session)
{
    struct notify_change *changes = calloc(NOTIFY_QUEUE_SIZE, sizeof *changes);
    if (changes == NULL) {
        return -ENOMEM;
    }
    *n = (struct notify){.session = session, .changes = changes};
    mutex_init(&n->mu, LOCK_RANK_LEAF, "notify");
    condvar_init(&n->changed);
    int r = thread_start(&n->thread, "kvfs-notify", notify_main, n);
    n->started = r == 0;
    if (r < 0) {
        notify_finish(n);
    }
    return r;
}

void notify_stop(struct notify *n)
{
    mutex_lock(&n->mu);
    n->stopping = true;
    condvar_broadcast(&n->changed);
    mutex_unlock(&n->mu);
    if (n->started) {
        thread_join(&n->thread);
        n->started = false;
    }
}

void notify_finish(struct notify *n)
{
    if (n->session == NULL) {
        return;
    }
    notify_stop(n);
    condvar_finish(&n->changed);
    mutex_finish(&n->mu);
    free(n->changes);
    n->session = NULL;
}

void notify_add(struct notify *n, uint64_t ino, const char *name)
{
    mutex_lock(&n->mu);
    while (!n->stopping && n->added - n->told == NOTIFY_QUEUE_SIZE) {
        condvar_wait(&n->changed, &n->mu);
    }
    if (!n->stopping) {
        struct notify_change *change = &n->changes[n->added++ % NOTIFY_QUEUE_SIZE];
        change->ino = ino;
        size_t size = name != NULL ? strnlen(name, KVFS_NAME_SIZE_MAX) : 0;
        memcpy(change->name, name != NULL ? name : "", size);
        change->name[size] = '\0';
        condvar_broadcast(&n->changed);
    }
    mutex_unlock(&n->mu);
}

void notify_flush(struct notify *n)
{
    mutex_lock(&n->mu);
    uint64_t until = n->added;
    while (!n->stopping && n->told < until) {
        condvar_wait(&n->changed, &n->mu);
    }
    mutex_unlock(&n->mu);
}

void notify_mounted(struct notify *n, notify_fn *fn, void *arg)
{
    mutex_lock(&n->mu);
    n->mounted = fn;
    n->arg = arg;
    condvar_broadcast(&n->changed);
    mutex_unlock(&n->mu);
}
