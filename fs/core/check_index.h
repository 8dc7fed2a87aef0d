/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing the index of an attribute with the rows: part of kvfs_check(). */
#ifndef FS_CORE_CHECK_INDEX_H
#define FS_CORE_CHECK_INDEX_H

#include "fs/core/fs_internal.h"

/* Tell `fn` of attributes without an entry and of entries without their attribute, as of the
 * snapshot; of an index that is not built, nothing. Errors: -EIO, -ENOMEM. */
KV_MUST_CHECK int check_index(struct kvfs *fs, const struct kv_snapshot *snapshot,
                              kvfs_fault_fn *fn, void *arg);

#endif
