/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of an index's table, and its state; docs/format.md, "Indexes". For who keeps an index in
 * batches of its own, in place of kv/index.h: each batch changes rows and their entries together,
 * and whoever writes a row knows what it said before.
 *
 *   01  index key, each byte 00 followed by ff  00 01  row key      an entry; no value
 *   00                                                              the state of the index
 *
 * Escaped so, entries sort by index key first, whatever bytes it has, and then by row key. */
#ifndef KV_INDEX_ENTRY_H
#define KV_INDEX_ENTRY_H

#include <kv/error.h>
#include <kv/slice.h>

/* Append what sorts behind all entries of smaller index keys and before all others. Errors:
 * -ENOMEM.
 */
KV_PUBLIC KV_MUST_CHECK int kv_index_entry_put_bound(struct kv_buf *to, struct kv_slice index_key);
/* Append the key of an entry. Errors: -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_index_entry_put(struct kv_buf *to, struct kv_slice index_key,
                                               struct kv_slice row_key);
/* Take an entry apart: `index_key` is replaced, `ret_row_key` lies in `entry`. Errors: -EBADMSG it
 * is none; -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_index_entry_get(struct kv_slice entry, struct kv_buf *index_key,
                                               struct kv_slice *ret_row_key);

/* The key of the state. */
KV_PUBLIC struct kv_slice kv_index_state_key(void);
/* Bounds of all entries: [from, to). */
KV_PUBLIC struct kv_slice kv_index_entries_from(void);
KV_PUBLIC struct kv_slice kv_index_entries_to(void);

/* How far an index is. */
struct kv_index_state {
    uint64_t version;
    bool built;
    struct kv_slice done; /* rows up to this key are indexed; empty: none */
};
/* Append: version (8 bytes, little-endian), 1 if built else 0, `done`. Errors: -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_index_state_put(struct kv_buf *to,
                                               const struct kv_index_state *state);
/* `done` lies in `from`. Errors: -EBADMSG. */
KV_PUBLIC KV_MUST_CHECK int kv_index_state_get(struct kv_slice from,
                                               struct kv_index_state *ret_state);

#endif
