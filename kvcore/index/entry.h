/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of an index's table. docs/format.md, "Indexes".
 *
 *   01  index key, each byte 00 followed by ff  00 01  row key      an entry; no value
 *   00                                                              the state of the index
 *
 * Escaped so, entries sort by index key first, whatever bytes it has, and then by row key. */
#ifndef KVCORE_INDEX_ENTRY_H
#define KVCORE_INDEX_ENTRY_H

#include <kv/slice.h>

/* Append what sorts behind all entries of smaller index keys and before all others. Errors:
 * -ENOMEM.
 */
KV_MUST_CHECK int entry_put_bound(struct kv_buf *to, struct kv_slice index_key);
/* Append the key of an entry. Errors: -ENOMEM. */
KV_MUST_CHECK int entry_put(struct kv_buf *to, struct kv_slice index_key, struct kv_slice row_key);
/* Take an entry apart: `index_key` is replaced, `ret_row_key` lies in `entry`. Errors: -EBADMSG it
 * is none; -ENOMEM. */
KV_MUST_CHECK int entry_get(struct kv_slice entry, struct kv_buf *index_key,
                            struct kv_slice *ret_row_key);

/* The key of the state. */
struct kv_slice entry_state_key(void);
/* Bounds of all entries: [from, to). */
struct kv_slice entry_from(void);
struct kv_slice entry_to(void);

/* How far an index is. */
struct index_state {
    uint64_t version;
    bool built;
    struct kv_slice done; /* rows up to this key are indexed; empty: none */
};
/* Append: version (8 bytes, little-endian), 1 if built else 0, `done`. Errors: -ENOMEM. */
KV_MUST_CHECK int index_state_put(struct kv_buf *to, const struct index_state *state);
/* `done` lies in `from`. Errors: -EBADMSG. */
KV_MUST_CHECK int index_state_get(struct kv_slice from, struct index_state *ret_state);

#endif
