/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of a Ceph cluster, through librados: one connection and one namespace. */
#ifndef KVCORE_STORAGE_POOL_RADOS_H
#define KVCORE_STORAGE_POOL_RADOS_H

#include "kvcore/storage/pool.h"
#include "kvcore/storage/rados_url.h"

struct pool_rados_options {
    const char *client; /* its name without the type */
    unsigned timeout_s; /* 0: see kv_storage_open() */
};

/* Connect as the configuration says that Ceph's own tools would use: CEPH_CONF or
 * /etc/ceph/ceph.conf, and CEPH_ARGS. Waits half a minute for a monitor, unless that says
 * otherwise. Calls wait for as long as the cluster takes, unless it sets rados_osd_op_timeout. A
 * time-out of the options counts before both. `options` NULL: admin, and none. Errors: as
 * kv_storage_open() has them. */
KV_MUST_CHECK int pool_rados_connect(const struct rados_url *url,
                                     const struct pool_rados_options *options,
                                     struct pool **ret_pool);

/* What the module has, by which a process that meets a URL loads librados, and no other does. */
struct pool_rados_module {
    const char *version; /* of kvfs: the loader's own */
    int (*connect)(const struct rados_url *url, const struct pool_rados_options *options,
                   struct pool **ret_pool);
};
#define POOL_RADOS_MODULE_FILE   "kvfs-rados.so"
#define POOL_RADOS_MODULE_SYMBOL "pool_rados_module"
extern KV_PUBLIC const struct pool_rados_module pool_rados_module;

#endif
