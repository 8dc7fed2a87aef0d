/* SPDX-License-Identifier: Apache-2.0 */
/* The range deletes of a table as the manifest repeats them, so that one damage does not take both.
 * What hid older rows is known then even if nothing of the table is left. Byte layout in
 * docs/format.md, "Manifest".
 *
 * Few are repeated exactly. Many become a bounded number of ranges that together cover them all:
 * outside of these nothing was deleted, inside some older rows may have been. */
#ifndef KVCORE_TABLE_RANGE_LIST_H
#define KVCORE_TABLE_RANGE_LIST_H

#include "kvcore/table/range_dels.h"

/* Bytes of a list that is written: the manifest has one for each table with range deletes. */
enum { RANGE_LIST_BYTES_MAX = 4096 };

struct range_list {
    struct range_dels *dels; /* owned; of ranges that cover, the newest number in each */
    bool is_exact;
    bool rows_shown; /* no row of the table itself is hidden by one of its range deletes */
};

/* `to` (replaced) stays empty where not even one range fits. Errors: -ENOMEM. */
KV_MUST_CHECK int range_list_encode(const struct range_dels *dels, bool rows_shown,
                                    struct kv_buf *to);
/* `ret_list` must be finished on success. Errors: -KV_EDAMAGED; -KV_EFORMAT it is of a later
 * version, and to be ignored; -ENOMEM. */
KV_MUST_CHECK int range_list_decode(struct kv_slice from, struct range_list *ret_list);
void range_list_finish(struct range_list *list);

#endif
