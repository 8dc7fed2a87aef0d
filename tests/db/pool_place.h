/* SPDX-License-Identifier: Apache-2.0 */
/* A place for the stores of a test, one at a time, in a pool: with KV_ON_RADOS, in the suite
 * `rados`, on a cluster, else in memory. */
#ifndef TESTS_DB_POOL_PLACE_H
#define TESTS_DB_POOL_PLACE_H

#include "kvcore/storage/pooled_store.h"
#include "tests/lib/check_main.h"

#ifdef KV_ON_RADOS
#include "tests/rados/cluster_pool.h"
enum { PLACE_SLOWNESS = 5 }; /* so many times fewer steps */
#else
#include "tests/storage/fake_pool.h"
enum { PLACE_SLOWNESS = 1 };
#endif

static struct pool_rig place;

static inline void place_make(void)
{
    pool_rig_make(&place);
}

/* All that was opened there is closed. */
static inline void place_remove(void)
{
    pool_rig_finish(&place);
}

static inline struct kv_storage *place_open(bool create)
{
    struct pooled_options options = {
        .create = create, .lease_ms = POOLED_LEASE_DEFAULT_MS, .piece_bytes = 256 << 10};
    struct kv_storage *storage = NULL;
    ck_ok(pooled_storage_open(pool_rig_connect(&place), "rados://a/store", &options, &storage));
    return storage;
}

#endif
