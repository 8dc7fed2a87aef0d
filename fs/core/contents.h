/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the contents of files, collected into the operation's batch. They keep `allocated`;
 * sizes and times are the caller's. */
#ifndef FS_CORE_CONTENTS_H
#define FS_CORE_CONTENTS_H

#include "fs/core/chunk.h"

enum { CONTENTS_ROWS_MAX = 100000 }; /* one batch deletes about so many rows at most */

/* Write `data` at `offset`. */
KV_MUST_CHECK int contents_write(struct txn *txn, struct txn_node *node, uint64_t offset,
                                 struct kv_slice data);
/* Make [start, end) a hole, up to CONTENTS_ROWS_MAX rows. `ret_done`: everything below this offset
 * is done, `end` if all is. */
KV_MUST_CHECK int contents_punch(struct txn *txn, struct txn_node *node, uint64_t start,
                                 uint64_t end, uint64_t *ret_done);
/* Remove everything from `size` on, from the end of the file backwards, up to CONTENTS_ROWS_MAX
 * rows. `ret_done`: nothing from this offset on is left, `size` if all is done. */
KV_MUST_CHECK int contents_cut(struct txn *txn, struct txn_node *node, uint64_t size,
                               uint64_t *ret_done);
/* What is to show the same: whole chunks of `to`, and as much of `from`, below its size. The two
 * ranges do not overlap. */
struct contents_sharing {
    struct txn_node *from, *to;
    uint64_t from_offset, offset, size;
};
/* Share the stored bytes, so much as one batch can; `ret_size`: whole chunks, at least one. -EIO:
 * bytes that would be shared are lost. */
KV_MUST_CHECK int contents_share(struct txn *txn, const struct contents_sharing *sharing,
                                 uint64_t *ret_size);

#endif
