/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/loss.h"

#include "fs/core/fs_internal.h"

void loss_init(struct loss *loss)
{
    *loss = (struct loss){.error = 0};
    mutex_init(&loss->mu, LOCK_RANK_LEAF, "loss of the store");
}

void loss_finish(struct loss *loss)
{
    mutex_finish(&loss->mu);
}

/* With the mutex held, if there is something to tell and somebody to tell it to. */
static void tell(struct loss *loss)
{
    kvfs_store_lost_fn *fn = loss->fn;
    if (fn != NULL && loss_is(loss)) {
        loss->fn = NULL;
        fn(loss->arg);
    }
}

void loss_hear(void *arg, const struct kv_event *event)
{
    struct loss *loss = arg;
    if (event->kind != KV_EVENT_STORE_LOST) {
        return;
    }
    mutex_lock(&loss->mu);
    atomic_store_explicit(&loss->error, event->error, memory_order_relaxed);
    tell(loss);
    mutex_unlock(&loss->mu);
}

void kvfs_on_store_lost(struct kvfs *fs, kvfs_store_lost_fn *fn, void *arg)
{
    struct loss *loss = &fs->loss;
    mutex_lock(&loss->mu);
    loss->fn = fn;
    loss->arg = arg;
    tell(loss);
    mutex_unlock(&loss->mu);
}

int kvfs_store_lost(const struct kvfs *fs)
{
    return atomic_load_explicit(&fs->loss.error, memory_order_relaxed);
}

void kvfs_known_inodes(struct kvfs *fs, kvfs_known_fn *fn, void *arg)
{
    uint64_t inos[LOOKUP_GROUP_INODES];
    uint32_t place = UINT32_MAX;
    unsigned count;
    fn(arg, KVFS_ROOT_INO); /* known without a look-up */
    while ((count = lookup_table_next(&fs->lookups, &place, inos)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            fn(arg, inos[i]);
        }
    }
}
