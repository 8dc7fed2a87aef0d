/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the contents of files, collected into the operation's batch. They keep `allocated`;
 * sizes and times are the caller's. */
#ifndef FS_CORE_CONTENTS_H
#define FS_CORE_CONTENTS_H

#include "fs/core/chunk.h"

/* Write `data` at `offset`. */
KV_MUST_CHECK int contents_write(struct txn *txn, struct txn_node *node, uint64_t offset,
                                 struct kv_slice data);
/* Make [start, end), which is not empty, a hole. -EOPNOTSUPP: what may be lost lies behind it, and
 * one number cannot tell the two apart; where the hole reaches up to that number it ends there. */
KV_MUST_CHECK int contents_punch(struct txn *txn, struct txn_node *node, uint64_t start,
                                 uint64_t end);
/* Remove everything from `size` on. */
KV_MUST_CHECK int contents_cut(struct txn *txn, struct txn_node *node, uint64_t size);
/* What is to show the same: whole chunks of `to`, and as much of `from`, below its size. The two
 * ranges do not overlap, and begin behind what may be lost of their file (`lost_below`). */
struct contents_sharing {
    struct txn_node *from, *to;
    uint64_t from_offset, offset, size;
};
/* Share the stored bytes. -EIO: bytes that would be shared are lost. */
KV_MUST_CHECK int contents_share(struct txn *txn, const struct contents_sharing *sharing);

#endif
