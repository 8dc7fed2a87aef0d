/* SPDX-License-Identifier: Apache-2.0 */
/* Which user of a Ceph cluster a process is. librados reads everything that CEPH_ARGS says but
 * this, which it wants to know first. */
#ifndef KVCORE_STORAGE_RADOS_CLIENT_H
#define KVCORE_STORAGE_RADOS_CLIENT_H

#include <kv/error.h>

enum { RADOS_CLIENT_MAX = 127 }; /* bytes of a name */

/* Among `arguments`, which are separated by blanks as in CEPH_ARGS, and may be NULL, the last of
 * `--id NAME`, `--user NAME`, `-n client.NAME` and `--name client.NAME`, each also with `=`;
 * "admin" if there is none. Errors: -EINVAL it is too long, empty, or not a client's. */
KV_MUST_CHECK int rados_client_find(const char *arguments, char ret_name[RADOS_CLIENT_MAX + 1]);

#endif
