/* SPDX-License-Identifier: Apache-2.0 */
/* Keys are paths: walking one. */
#ifndef FS_CORE_KEYSPACE_H
#define FS_CORE_KEYSPACE_H

#include "fs/core/dir.h"

struct key_walk {
    struct dir_name at;   /* the last component, or the first that is missing; name in the key */
    struct kv_slice rest; /* behind `at` and its slash; not empty only if it is missing */
    bool missing;
    struct dir_link link; /* what stands there, unless it is missing */
};

/* Follow a key that kvfs_key_check() accepted. Errors: -ENOTDIR. */
KV_MUST_CHECK int key_walk(struct kvfs *fs, struct kv_slice key, struct key_walk *ret_walk);

#endif
