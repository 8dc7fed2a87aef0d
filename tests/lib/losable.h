/* SPDX-License-Identifier: Apache-2.0 */
/* A storage that is lost when a test says so. To what is above it, that is what it means that
 * somebody takes the store over: the storage says so once, in some thread, and the rest is up to
 * them. (What becomes of its calls then is tested where leases are, tests/storage/.)
 *
 * One at a time in a process. */
#ifndef TESTS_LIB_LOSABLE_H
#define TESTS_LIB_LOSABLE_H

#include <kv/storage.h>

struct losable {
    struct kv_storage *storage;
    const struct kv_storage_ops *before;
    struct kv_storage_ops ops;
    kv_lease_lost_fn *fn;
    void *arg;
};

static struct losable losable;

static inline void losable_watch(struct kv_storage *storage, kv_lease_lost_fn *fn, void *arg)
{
    (void)storage;
    losable.fn = fn;
    losable.arg = arg;
}

static inline void losable_wrap(struct kv_storage *storage)
{
    losable = (struct losable){.storage = storage, .before = storage->ops, .ops = *storage->ops};
    losable.ops.lease_watch = losable_watch;
    storage->ops = &losable.ops;
}

/* As it was before. */
static inline void losable_unwrap(void)
{
    losable.storage->ops = losable.before;
}

/* Somebody must watch. */
static inline void losable_lose(int error)
{
    losable.fn(losable.arg, error);
}

#endif
