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

/* The first component of `rest`, which moves behind it and its slash. */
struct kv_slice key_next_component(struct kv_slice *rest);
/* Tell whoever asked with kvfs_on_change(), after the commit and without locks. An empty name: the
 * inode. */
void key_tell(struct kvfs *fs, uint64_t ino, struct kv_slice name);

#endif
