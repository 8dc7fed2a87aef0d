/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of the index: short strings that part one data block from the next. */
#ifndef KVCORE_TABLE_TABLE_INDEX_H
#define KVCORE_TABLE_TABLE_INDEX_H

#include "kvcore/table/row.h"

/* Trailer of a shortened key: it sorts behind every row of that key. */
#define INDEX_TRAILER_LAST ((uint64_t)ROW_PUT)

/* Put into `to` (replaced) a key that is >= `last` and < `next`, as short as can be had cheaply.
 * Returns 1 if it was shortened, or if `last` itself serves with any trailer; 0 if the keys are
 * the same and the trailer must tell them apart: `to` then holds `last`. Errors: -ENOMEM. */
KV_MUST_CHECK int index_separator(struct kv_slice last, struct kv_slice next, struct kv_buf *to);

#endif
