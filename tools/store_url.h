/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that are named by a URL, as far as commands must know of them: what stands for them on
 * this machine, who holds them on which machine, and what an error of a cluster means. Everything
 * else asks the storage and does not know what kind it has. */
#ifndef KVFS_TOOLS_STORE_URL_H
#define KVFS_TOOLS_STORE_URL_H

#include <stdbool.h>

#include <kv/storage.h>

#include "tools/report.h"

/* The name of a store as it stands in messages and in the table of mounts: a URL as it is, a path
 * absolute and without links (path_resolve()). Owned by the caller. Errors: -EINVAL a URL of a
 * wrong form; of path_resolve(). `fault` says so after "cannot open". */
KV_MUST_CHECK int store_resolve(const char *argument, char **ret_store, struct fault *fault);
static inline bool store_is_url(const char *store)
{
    return kv_storage_is_url(store) != 0;
}

/* The storage of a resolved store, in the way that KVFS_TIMEOUT and CEPH_ARGS say. */
KV_MUST_CHECK int store_storage_open(const char *store, bool create,
                                     struct kv_storage **ret_storage);
/* For all stores that this process opens from now on, and its children: who asks a cluster, NULL:
 * as before, and how long it waits for it, 0: as before. Errors: -ENOMEM. */
KV_MUST_CHECK int store_reach_set(const char *client, unsigned timeout_s);

/* How long a store of a machine that is gone stays closed to others, and some time more. */
enum { STORE_LEASE_WAIT_S = 30 };

/* "process 812" and `rest`, for others to read; with the name of this machine where they may be on
 * another. */
void store_holder_describe(const char *store, const char *rest, char *to, size_t size);
/* Whether the process of such a line runs on this machine. */
bool store_holder_runs_here(const char *holder);

/* Say why a URL could not be opened. Returns false if the reason is none of URLs alone. */
bool store_url_explain(const char *url, int error, struct fault *fault);
/* Say that a command does not work on a URL, and what does. Returns -EOPNOTSUPP. */
int store_url_refuse(const char *command, const char *url, const char *instead,
                     struct fault *fault);

#endif
