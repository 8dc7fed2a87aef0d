/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of a real cluster for tests that otherwise use the one in memory
 * (tests/storage/fake_pool.h): a namespace of its own for each. The cluster is the one of
 * CEPH_CONF, with a pool `kvfs`, see tests/rados/cluster; nothing is cleaned up there, for it goes
 * as a whole. */
#ifndef TESTS_RADOS_CLUSTER_POOL_H
#define TESTS_RADOS_CLUSTER_POOL_H

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "kvcore/storage/pool_rados.h"
#include "kvcore/util/clock.h"
#include "tests/lib/check_main.h"

struct pool_rig {
    struct rados_url url;
};

static inline void pool_rig_make(struct pool_rig *rig)
{
    static _Atomic unsigned count;
    char text[128];
    snprintf(text, sizeof text, "rados://kvfs/test-%d-%u-%llx", (int)getpid(),
             atomic_fetch_add(&count, 1), (unsigned long long)clock_monotonic_ns());
    ck_ok(rados_url_parse(text, &rig->url));
}

static inline struct pool *pool_rig_connect(struct pool_rig *rig)
{
    struct pool *pool = NULL;
    ck_ok(pool_rados_connect(&rig->url, NULL, &pool));
    return pool;
}

static inline void pool_rig_finish(struct pool_rig *rig)
{
}

#endif
