/* SPDX-License-Identifier: Apache-2.0 */
/* A set of keys as spans [from, to) that neither overlap nor touch, in order: what a transaction
 * has deleted by range, or read with iterators. Adding a span joins it with those it meets.
 *
 * A sorted array: most transactions have a handful. Memory is counted with the transaction's
 * rows. */
#ifndef KVCORE_TXN_SPANS_H
#define KVCORE_TXN_SPANS_H

#include "kvcore/txn/rows.h"

struct span {
    struct kv_table *table;
    struct kv_buf from; /* empty: the first key */
    struct kv_buf to;   /* empty: behind the last key */
};

struct spans {
    struct rows *rows; /* whose memory it counts as */
    struct span *items;
    size_t count, capacity;
};

void spans_init(struct spans *spans, struct rows *rows);
void spans_finish(struct spans *spans);
void spans_clear(struct spans *spans);
/* Keys are copied. Errors: -E2BIG, -ENOMEM; the set is unchanged then. */
KV_MUST_CHECK int spans_add(struct spans *spans, struct kv_table *table, struct kv_slice from,
                            struct kv_slice to);
/* The span that holds the key, or NULL. Valid until the set changes. */
const struct span *spans_find(const struct spans *spans, const struct kv_table *table,
                              struct kv_slice key);

#endif
