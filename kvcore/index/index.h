/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of this folder share.
 *
 *   indexed  declaring indexes; writing rows with their entries      entry  keys of entries
 *   build    indexing the rows that are there                        keys   what one row maps to
 *   verify   rows against entries                                    index_iter
 *
 * Everything here goes through kv/txn.h alone: that entries and rows never differ follows from a
 * transaction's being whole, and from its getting the old row for update. So a builder that read a
 * row which somebody changes meanwhile does not commit, and neither does a writer whose entries the
 * builder has just made. */
#ifndef KVCORE_INDEX_INDEX_H
#define KVCORE_INDEX_INDEX_H

#include <stdatomic.h>

#include <kv/index.h>

struct kv_index {
    struct kv_indexed *owner;
    struct kv_index *next;
    struct kv_index_options options; /* the name is not kept */
    char table_name[KV_TABLE_NAME_SIZE_MAX + 1];
    struct kv_table *table; /* its own */
    _Atomic bool built;
};

struct kv_indexed {
    struct kv_txn_manager *manager;
    struct kv_store *store;
    struct kv_table *table;
    char table_name[KV_TABLE_NAME_SIZE_MAX + 1];
    struct kv_index *first;
};

/* Keys of the entries of one row, ascending, each once. All zero is empty. */
struct kv_index_keys {
    struct kv_slice row_key; /* borrowed */
    struct kv_buf *items;
    size_t count, capacity;
};

/* What the index's function says of the row. `keys` is empty, and finished by the caller also after
 * an error. Errors: what the function returned; -ENOMEM. */
KV_MUST_CHECK int keys_collect(const struct kv_index *index, struct kv_slice key,
                               struct kv_slice value, struct kv_index_keys *keys);
bool keys_hold(const struct kv_index_keys *keys, struct kv_slice entry);
void keys_finish(struct kv_index_keys *keys);

/* Read the state of the index. -ENOENT: it has none. `bytes` holds what `ret_state` points to. */
struct kv_index_state;
KV_MUST_CHECK int index_read_state(struct kv_txn *txn, const struct kv_index *index,
                                   struct kv_buf *bytes, struct kv_index_state *ret_state);
/* Write it: version and so on, with the index's own version. */
KV_MUST_CHECK int index_write_state(struct kv_txn *txn, const struct kv_index *index, bool built,
                                    struct kv_slice done);

#endif
