/* SPDX-License-Identifier: Apache-2.0 */
/* Where the contract of kv/storage.h is tried on a store in a pool: here a pool in memory, in the
 * suite `rados` one of a cluster (tests/rados/cluster_pool.h). */
#ifndef TESTS_STORAGE_FAKE_POOL_H
#define TESTS_STORAGE_FAKE_POOL_H

#include "tests/storage/fake_cluster.h"

struct pool_rig {
    struct fake_cluster *cluster;
};

/* A pool in which the store is not made yet. */
static inline void pool_rig_make(struct pool_rig *rig)
{
    rig->cluster = fake_cluster_create();
}

static inline struct pool *pool_rig_connect(struct pool_rig *rig)
{
    return fake_cluster_connect(rig->cluster, NULL, NULL);
}

static inline void pool_rig_finish(struct pool_rig *rig)
{
    fake_cluster_destroy(rig->cluster);
}

#endif
