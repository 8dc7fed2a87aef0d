/* SPDX-License-Identifier: Apache-2.0 */
/* Secondary indexes: rows of a table found by what a function says of them, in its order.
 *
 * A table with indexes is written through a `struct kv_indexed`, which knows them: each put and
 * delete there changes the row and its entries in all indexes in one transaction, so that they
 * never differ, whatever commits, conflicts or crashes. An entry is a row of a table of the index's
 * own, "index:TABLE:NAME" (docs/format.md, "Indexes").
 *
 * Promises hold for rows written through a kv_indexed with this index added. Rows written past it
 * (kv_put(), kv_txn_put()) are not indexed: kv_index_verify() finds that, kv_index_build() mends it
 * after kv_index_reset(). */
#ifndef KV_INDEX_H
#define KV_INDEX_H

#include <kv/txn.h>

struct kv_indexed;
struct kv_index;
struct kv_index_iter;
struct kv_index_keys;

enum { KV_INDEX_NAME_SIZE_MAX = 24 };

/* What a row is to be found by: any number of keys, by kv_index_keys_add(). It must depend on the
 * row alone, and be the same at every call. Not 0: an error, which the caller's call returns. It is
 * called from any thread that writes or builds. */
typedef int kv_index_fn(void *arg, struct kv_slice key, struct kv_slice value,
                        struct kv_index_keys *to);
/* Copied; the same key twice counts once. May be empty. Errors: -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_index_keys_add(struct kv_index_keys *to, struct kv_slice key);

/* The table `table` of the manager's store, as yet without indexes. Used by any thread, once all
 * indexes were added. To be closed before the manager. Errors: -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_indexed_open(struct kv_txn_manager *manager, struct kv_table *table,
                                            const char *table_name,
                                            struct kv_indexed **ret_indexed);
KV_PUBLIC void kv_indexed_close(struct kv_indexed *indexed); /* with its indexes; accepts NULL */

struct kv_index_options {
    const char *name;
    kv_index_fn *fn;
    void *arg;
    uint64_t version; /* of what `fn` does: raise it when that changes */
};
/* Declare an index, which lives as long as `indexed`; before the first write. A new one, or one of
 * another version, has to be built before it is read; writes keep it from now on. Errors: -EINVAL
 * name empty or too long, with the table's too long for a table; those of kv_table_open() and of a
 * commit. */
KV_PUBLIC KV_MUST_CHECK int kv_indexed_add(struct kv_indexed *indexed,
                                           const struct kv_index_options *options,
                                           struct kv_index **ret_index);

/* kv_txn_put() and kv_txn_delete() with all indexes. The old row is got for update. Errors: also
 * what the functions return; -E2BIG also: an index key and the row's key are too large together.
 * After an error the transaction must be rolled back, or to a savepoint before the call. */
KV_PUBLIC KV_MUST_CHECK int kv_indexed_put(struct kv_txn *txn, struct kv_indexed *indexed,
                                           struct kv_slice key, struct kv_slice value);
KV_PUBLIC KV_MUST_CHECK int kv_indexed_delete(struct kv_txn *txn, struct kv_indexed *indexed,
                                              struct kv_slice key);

/* ---- building ---------------------------------------------------------------------------------
 */

/* After every few hundred rows: how many are done, and the last. What is not 0 ends the call. */
typedef int kv_index_progress_fn(void *arg, uint64_t rows, struct kv_slice key);
/* Index the rows that are there, beside readers and writers; goes on where an earlier call was cut
 * short, by a crash too. Nothing happens to one that is built. `progress` may be NULL. One call for
 * an index at a time. Errors: what `fn` or `progress` returned; those of reading and committing. */
KV_PUBLIC KV_MUST_CHECK int kv_index_build(struct kv_index *index, kv_index_progress_fn *progress,
                                           void *arg);
/* Forget all entries; the index has to be built anew. Nobody may write meanwhile. */
KV_PUBLIC KV_MUST_CHECK int kv_index_reset(struct kv_index *index);
/* Drop the index's table with all entries, durable when 0 is returned; nothing may be written
 * through the kv_indexed any more but after it was opened again without this index. */
KV_PUBLIC KV_MUST_CHECK int kv_index_drop(struct kv_index *index);

struct kv_index_verdict {
    uint64_t rows, entries;
    uint64_t missing; /* entries that rows should have */
    uint64_t surplus; /* entries that no row has */
};
/* Compare rows and entries at one state. Errors: -KV_EDAMAGED they differ (`ret_verdict` is written
 * all the same); -EINPROGRESS it is not built. */
KV_PUBLIC KV_MUST_CHECK int kv_index_verify(struct kv_index *index,
                                            struct kv_index_verdict *ret_verdict);

/* ---- reading ----------------------------------------------------------------------------------
 */

/* Entries in the order of index keys, then of the rows' keys, as the transaction sees them; those
 * with index keys in [lower, upper), an empty bound being none. To be destroyed before the
 * transaction ends. Errors: -EINPROGRESS the index is not built; those of kv_txn_iter_create(). */
KV_PUBLIC KV_MUST_CHECK int kv_index_iter_create(struct kv_txn *txn, struct kv_index *index,
                                                 struct kv_slice lower, struct kv_slice upper,
                                                 struct kv_index_iter **ret_iter);
KV_PUBLIC void kv_index_iter_destroy(struct kv_index_iter *iter); /* accepts NULL */
/* To the next entry, at first to the first: 1, or 0 at the end. The slices are valid until the next
 * call. Errors: -KV_EDAMAGED an entry is none; those of kv_txn_iter_error(). */
KV_PUBLIC KV_MUST_CHECK int kv_index_iter_next(struct kv_index_iter *iter,
                                               struct kv_slice *ret_index_key,
                                               struct kv_slice *ret_row_key);

#endif
