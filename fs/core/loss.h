/* SPDX-License-Identifier: Apache-2.0 */
/* The store may be lost to another holder while it is open. Which storages lose stores and how is
 * the engine's to know; here it is an event of it, which does two things: what this layer has
 * decoded in memory is no answer any more (node_cached()), and whoever asked is told.
 *
 * Rows need no such care: the engine fails every call on them. */
#ifndef FS_CORE_LOSS_H
#define FS_CORE_LOSS_H

#include <stdatomic.h>

#include "fs/kvfs.h"
#include "kvcore/util/thread.h"

struct loss {
    _Atomic int error; /* 0: the store is ours. Set once; relaxed, as nothing is read through it */
    struct mutex mu;
    kvfs_store_lost_fn *fn; /* guarded by mu, which is held while it runs; NULL: told, or nobody */
    void *arg;              /* guarded by mu */
};

void loss_init(struct loss *loss);
void loss_finish(struct loss *loss);
/* A kv_event_fn; `arg` is the loss. */
void loss_hear(void *arg, const struct kv_event *event);

static inline bool loss_is(const struct loss *loss)
{
    return atomic_load_explicit(&loss->error, memory_order_relaxed) != 0;
}

#endif
