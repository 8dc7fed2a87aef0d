/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/space.h"

#include <stdatomic.h>

#include "kvcore/util/clock.h"

#include "kvcore/db/health.h"
#include "kvcore/db/worker.h"

enum {
    MEMTABLE_SHARE = 32, /* of the device, at most, per memtable */
    FILE_SHARE = 128, /* per sorted table: a merge of one with some ten below needs as much again */
    BLOB_SHARE = 16,  /* per blob */
    RESERVE_SHARE = 6, /* for the reserve: a merge of one small table has room in it */
    RESERVE_MEMTABLES = 5,
    RESERVE_NEEDED_TIMES = 16, /* set aside once less than so many reserves are free, */
    RESERVE_SPARED_TIMES = 24, /* given back once more than so many are */
    RESERVE_OWN_TIMES = 4, /* where nobody tells: set aside once the store takes so many reserves */
    WAIT_FIRST_MS = 100,
    WAIT_MAX_MS = 1000,
};

static const uint64_t memtable_floor = (uint64_t)1 << 20;
static const uint64_t file_floor = (uint64_t)1 << 20;
static const uint64_t blob_floor = (uint64_t)4 << 20;

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The storage cannot tell how much is free. Then the store takes a little more than it needs once
 * it is so large that this makes no difference, rather than refuse deletes when it is full. */
static bool is_large(struct kv_store *store)
{
    struct kv_stats stats;
    uint64_t bytes;

    kv_stats(store, &stats);
    bytes = stats.blob_bytes;
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        bytes += stats.levels[level].bytes;
    }
    return bytes / RESERVE_OWN_TIMES >= store->reserve_bytes;
}

/* Is so little free that the reserve is to be set aside? */
static bool is_scarce(const struct kv_store *store, const struct kv_space *space)
{
    return space->free_bytes / RESERVE_NEEDED_TIMES < store->reserve_bytes;
}

int space_fit_options(struct kv_store *store)
{
    struct kv_options *options = &store->options;
    struct kv_space space;
    uint64_t base_memtables = larger(options->level_base_bytes / options->memtable_bytes, 1);
    int r;

    r = store->storage->ops->space(store->storage, &space);
    if (r == -ENOSYS || r == -EOPNOTSUPP) {
        store->space_untold = true;
        store->reserve_bytes = options->memtable_bytes;
    }
    if (r == -ENOSYS || r == -EOPNOTSUPP || (r == 0 && space.total_bytes == 0)) {
        return 0; /* a device that does not tell its size is taken for large */
    }
    if (r < 0) {
        return r;
    }
    options->memtable_bytes = (size_t)smaller(
        options->memtable_bytes, larger(space.total_bytes / MEMTABLE_SHARE, memtable_floor));
    options->level_base_bytes =
        smaller(options->level_base_bytes, base_memtables * options->memtable_bytes);
    options->file_bytes =
        smaller(options->file_bytes, larger(space.total_bytes / FILE_SHARE, file_floor));
    options->blob_file_bytes = (size_t)smaller(options->blob_file_bytes,
                                               larger(space.total_bytes / BLOB_SHARE, blob_floor));
    store->reserve_bytes = smaller(space.total_bytes / RESERVE_SHARE,
                                   RESERVE_MEMTABLES * (uint64_t)options->memtable_bytes);
    atomic_store(&store->reserved, is_scarce(store, &space));
    return 0;
}

static void set_full(struct kv_store *store)
{
    atomic_store(&store->full_ns, clock_monotonic_ns());
    if (atomic_exchange(&store->full, true)) {
        return;
    }
    atomic_store(&store->reserved, false);
    /* Should that fail, deletes fail too until somebody else makes room. */
    kv_ignore(store->storage->ops->reserve(store->storage, 0));
    health_set(store, KV_HEALTH_DEGRADED, -ENOSPC,
               "the device is full: only deletes are accepted until there is room");
    workers_wake(store);
}

/* Set the reserve aside, or give it back. */
static void reserve(struct kv_store *store, uint64_t bytes)
{
    int r = store->storage->ops->reserve(store->storage, bytes);
    if (r == 0) {
        atomic_store(&store->reserved, bytes > 0);
    } else if (r == -ENOSPC) {
        set_full(store);
    } else {
        message(&store->sink, KV_MESSAGE_WARNING,
                "%s: space for deletes on a full device can be neither set aside nor given back "
                "(%s); it is tried again later",
                store->storage->ops->name(store->storage), kv_strerror(r));
    }
}

void space_begin(struct kv_store *store)
{
    bool wanted = store->space_untold ? is_large(store) : atomic_load(&store->reserved);
    reserve(store, wanted ? store->reserve_bytes : 0);
}

void space_watch(struct kv_store *store)
{
    struct kv_space space;
    bool reserved = atomic_load(&store->reserved);

    if (atomic_load(&store->full) || store->reserve_bytes == 0) {
        return;
    }
    if (store->space_untold && !reserved && is_large(store)) {
        reserve(store, store->reserve_bytes);
    }
    if (store->space_untold || store->storage->ops->space(store->storage, &space) < 0) {
        return;
    }
    if (!reserved && is_scarce(store, &space)) {
        reserve(store, store->reserve_bytes);
    } else if (reserved && space.free_bytes / RESERVE_SPARED_TIMES > store->reserve_bytes) {
        reserve(store, 0);
    }
}

int space_failed(struct kv_store *store, int error)
{
    if (space_is_full(error)) {
        set_full(store);
    }
    return error;
}

int space_wait(struct kv_store *store, int (*step)(struct kv_store *), unsigned patience_ms)
{
    unsigned pause_ms = WAIT_FIRST_MS;
    int r = step(store);

    for (unsigned ms = 0; space_is_full(r) && ms < patience_ms; ms += pause_ms) {
        struct timespec pause = {.tv_sec = pause_ms / 1000,
                                 .tv_nsec = (long)(pause_ms % 1000) * 1000000};
        nanosleep(&pause, NULL);
        pause_ms = pause_ms * 2 < WAIT_MAX_MS ? pause_ms * 2 : WAIT_MAX_MS;
        r = step(store);
    }
    return r;
}

/* Is there room for the reserve and half as much? Where nobody tells, only trying shows. */
static bool has_room_again(struct kv_store *store)
{
    uint64_t wanted = store->reserve_bytes + store->reserve_bytes / 2;
    struct kv_space space;

    if (store->space_untold) {
        return store->storage->ops->reserve(store->storage, wanted) == 0;
    }
    return store->storage->ops->space(store->storage, &space) == 0 && space.free_bytes >= wanted;
}

void space_check(struct kv_store *store)
{
    if (!atomic_load(&store->full) || !has_room_again(store) ||
        store->storage->ops->reserve(store->storage, store->reserve_bytes) < 0) {
        return;
    }
    atomic_store(&store->reserved, true);
    atomic_store(&store->full, false);
    health_clear(store);
    workers_wake(store);
}
