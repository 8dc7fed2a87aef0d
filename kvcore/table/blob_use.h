/* SPDX-License-Identifier: Apache-2.0 */
/* Which blobs the rows of a table refer to, and how many stored bytes of each. The manifest and the
 * table's properties keep the same list; the sums over all tables tell what of a blob is garbage.
 * Bytes that several rows share count once for each. */
#ifndef KVCORE_TABLE_BLOB_USE_H
#define KVCORE_TABLE_BLOB_USE_H

#include "kvcore/util/coding.h"

struct blob_use {
    uint64_t number; /* of the blob, not 0 */
    uint64_t bytes;  /* not 0 */
};

/* Ascending by number. All zero is an empty list; release with blob_uses_finish(). */
struct blob_uses {
    struct blob_use *items;
    size_t count;
};

void blob_uses_finish(struct blob_uses *uses);
/* `bytes` more of blob `number`. Errors: -ENOMEM. */
KV_MUST_CHECK int blob_uses_add(struct blob_uses *uses, uint64_t number, uint64_t bytes);
/* Index of the first entry whose number is >= `number`; count if there is none. */
size_t blob_uses_find(const struct blob_uses *uses, uint64_t number);
bool blob_uses_have(const struct blob_uses *uses, uint64_t number);
uint64_t blob_uses_sum(const struct blob_uses *uses);
/* `to` must be empty. Errors: -ENOMEM. */
KV_MUST_CHECK int blob_uses_copy(const struct blob_uses *from, struct blob_uses *to);

/* Append the list: per entry varint number, varint bytes. Errors: -ENOMEM. */
KV_MUST_CHECK int blob_uses_encode(const struct blob_uses *uses, struct kv_buf *to);
/* The whole of `from` is the list. `ret_uses` must be finished on success. Errors: -KV_EDAMAGED,
 * -ENOMEM. */
KV_MUST_CHECK int blob_uses_decode(struct kv_slice from, struct blob_uses *ret_uses);

#endif
