/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of a Ceph cluster, through librados: one connection and one namespace. */
#ifndef KVCORE_STORAGE_POOL_RADOS_H
#define KVCORE_STORAGE_POOL_RADOS_H

#include "kvcore/storage/pool.h"
#include "kvcore/storage/rados_url.h"

/* Connect as the configuration says that Ceph's own tools would use: CEPH_CONF or
 * /etc/ceph/ceph.conf, and CEPH_ARGS. Waits half a minute for a monitor, unless that says
 * otherwise. Calls wait for as long as the cluster takes, unless it sets rados_osd_op_timeout.
 * librados has threads of its own: a process that is to fork does so before. Errors: -ENOENT no
 * such pool; -EACCES; -ETIMEDOUT no monitor answers; others of librados. */
KV_MUST_CHECK int pool_rados_connect(const struct rados_url *url, struct pool **ret_pool);

#endif
