/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions: several reads and writes that happen as if nobody else was there, or not at all.
 *
 * What is promised
 *  - A transaction reads one state of the store, that of its first read, and its own writes above
 * it. Its writes are seen by nobody else before it commits, and then all at once: a commit is one
 * batch, whatever tables it has rows of, and as durable as asked.
 *  - KV_TXN_SNAPSHOT: if somebody else committed a change since that first read of a key that the
 * transaction writes, deletes (alone or in a range) or got for update, it cannot commit: -EAGAIN.
 * What remains possible is write skew: two transactions each read what the other one writes.
 *  - KV_TXN_SERIALIZABLE: the same for every key and range that it read, present or not. All such
 * transactions that write happen as if one after the other, in the order they commit; one that
 * writes nothing happens at its first read, and its commit never fails.
 *  - "Somebody else" is everybody: other transactions of whatever kind, kv_write(), kv_put().
 *
 * Optimistic transactions take no locks: conflicts are found at commit. Pessimistic ones lock each
 * key that they write, delete or get for update, until they end, and so wait for each other rather
 * than fail late. Locks are kept among the transactions of one manager; they save work, while what
 * is promised above is checked at commit in any case. Ranges are not locked.
 *
 * Deadlocks are found when the last of the circle begins to wait. The youngest transaction in the
 * circle gives way with -EDEADLK. There is a time limit on waiting besides: -ETIMEDOUT.
 *
 * How to use it: do everything of a transaction in a loop that begins anew at -EAGAIN and -EDEADLK.
 * These two end it: its locks are given up at once, every later call but kv_txn_rollback() returns
 * the same, kv_txn_commit() too. After any other error the call had no effect and the transaction
 * goes on as it was.
 *
 * As the rest of the library: any thread may call anything, one transaction and its iterators are
 * used by one thread at a time. A process that was made by fork() must not touch the store, nor its
 * transactions: they stay with the process that opened it. */
#ifndef KV_TXN_H
#define KV_TXN_H

#include <kv/kv.h>

struct kv_txn_manager;
struct kv_txn;
struct kv_txn_iter;

/* ---- manager ----------------------------------------------------------------------------------
 */

/* What transactions of a store share: row locks, and who waits for whom. One for each store is
 * enough; locks of two know nothing of each other. Must be closed before the store.
 * Errors: -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_manager_open(struct kv_store *store,
                                                struct kv_txn_manager **ret_manager);
/* Accepts NULL. Errors: -EBUSY there are transactions that have not ended; nothing happened. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_manager_close(struct kv_txn_manager *manager);

/* Since the manager was opened. */
struct kv_txn_stats {
    uint64_t open;        /* now */
    uint64_t committed;   /* those that only read, too */
    uint64_t rolled_back; /* by kv_txn_rollback(), or a commit that failed */
    uint64_t conflicts;   /* -EAGAIN */
    uint64_t deadlocks;   /* circles that were found; each cost one transaction */
    uint64_t timeouts;
    uint64_t waits; /* for a lock */
    uint64_t locks; /* held now */
};
KV_PUBLIC void kv_txn_manager_stats(struct kv_txn_manager *manager, struct kv_txn_stats *ret_stats);

/* ---- one transaction --------------------------------------------------------------------------
 */

enum kv_txn_mode { KV_TXN_OPTIMISTIC = 0, KV_TXN_PESSIMISTIC };
enum kv_txn_isolation { KV_TXN_SNAPSHOT = 0, KV_TXN_SERIALIZABLE };

enum { KV_TXN_BYTES_DEFAULT = 32 * 1024 * 1024, KV_TXN_BYTES_MAX = KV_BATCH_SIZE_MAX / 16 * 15 };

struct kv_txn_options {
    enum kv_txn_mode mode;
    enum kv_txn_isolation isolation;
    bool read_now;            /* the state to read is that of the beginning */
    unsigned lock_timeout_ms; /* 0: a second */
    size_t bytes_max;         /* of memory for what it wrote, locked and (serializable) read; 0:
                                 KV_TXN_BYTES_DEFAULT. A commit takes as much again meanwhile */
};

/* Begin. `options` NULL: defaults. The state to read is pinned by the first read, which keeps old
 * versions of rows in the store until the transaction ends: end it soon. (A pessimistic one whose
 * first read is a kv_txn_get_for_update() pins it with the lock in hand, so that a counter can be
 * raised by many at once and none fails.) Errors: -EINVAL bytes_max beyond KV_TXN_BYTES_MAX;
 * -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_begin(struct kv_txn_manager *manager,
                                         const struct kv_txn_options *options,
                                         struct kv_txn **ret_txn);

/* Make everything written happen, or nothing; the transaction is gone whatever is returned. Its
 * iterators must be gone before. Errors: -EAGAIN somebody else changed something in between, begin
 * anew; those of kv_write(), nothing happened then, but: with KV_DURABLE_SYNC an error of the sync
 * comes when all others can see the writes already, and leaves open whether they will survive. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_commit(struct kv_txn *take_txn, enum kv_durability durability);
/* Nothing of it happened. Accepts NULL. Its iterators must be gone before. */
KV_PUBLIC void kv_txn_rollback(struct kv_txn *take_txn);

/* ---- reading ----------------------------------------------------------------------------------
 */

/* The value of `key`, replacing the contents of `value` by a copy. Errors: -ENOENT no such key (its
 * only meaning here); -E2BIG a serializable one, and more was read than bytes_max has room for;
 * -EIDRM; those of kv_get(). */
KV_PUBLIC KV_MUST_CHECK int kv_txn_get(struct kv_txn *txn, struct kv_table *table,
                                       struct kv_slice key, struct kv_buf *value);
/* The same, and nobody else may change the key before this one commits: a pessimistic transaction
 * waits for its lock, an optimistic one will not commit if somebody did. Also of a key that is not
 * there (-ENOENT), which then nobody else may put. Errors: also -EAGAIN it was changed since the
 * first read; -EDEADLK; -ETIMEDOUT the lock did not become free in time; -EINVAL as
 * kv_batch_put(); -E2BIG. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_get_for_update(struct kv_txn *txn, struct kv_table *table,
                                                  struct kv_slice key, struct kv_buf *value);

struct kv_txn_iter_options {
    struct kv_slice lower; /* inclusive; empty: none. Both are copied */
    struct kv_slice upper; /* exclusive; empty: none */
    bool keep_cache;       /* as in kv_iter_options */
};
/* Rows in byte order of their keys as the transaction sees them: its own writes, those made since
 * the iterator was made too, above the state it reads. To be destroyed before the transaction ends.
 * A serializable transaction has read the keys that the iterator passed by, and the gaps between
 * them. Errors: -EIDRM, -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_iter_create(struct kv_txn *txn, struct kv_table *table,
                                               const struct kv_txn_iter_options *options,
                                               struct kv_txn_iter **ret_iter);
KV_PUBLIC void kv_txn_iter_destroy(struct kv_txn_iter *iter); /* accepts NULL */
/* As kv_iter_seek() and its companions. kv_txn_iter_error(): also -E2BIG. */
KV_PUBLIC void kv_txn_iter_seek(struct kv_txn_iter *iter, struct kv_slice key);
KV_PUBLIC void kv_txn_iter_seek_for_prev(struct kv_txn_iter *iter, struct kv_slice key);
KV_PUBLIC void kv_txn_iter_seek_first(struct kv_txn_iter *iter);
KV_PUBLIC void kv_txn_iter_seek_last(struct kv_txn_iter *iter);
KV_PUBLIC void kv_txn_iter_next(struct kv_txn_iter *iter); /* requires a row */
KV_PUBLIC void kv_txn_iter_prev(struct kv_txn_iter *iter); /* requires a row */
KV_PUBLIC bool kv_txn_iter_valid(const struct kv_txn_iter *iter);
KV_PUBLIC int kv_txn_iter_error(const struct kv_txn_iter *iter);
/* Valid until the iterator moves or goes. */
KV_PUBLIC struct kv_slice kv_txn_iter_key(const struct kv_txn_iter *iter);
/* Valid until the iterator moves or goes, or the transaction writes. Errors: as kv_iter_value();
 * -ENOENT the transaction has deleted the key since the iterator came to it. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_iter_value(struct kv_txn_iter *iter, struct kv_slice *ret_value);

/* ---- writing ----------------------------------------------------------------------------------
 */

/* Errors: -EINVAL key empty or too large, or a table of another store; -E2BIG the value is too
 * large, or there is no room within bytes_max; -EIDRM; of a pessimistic one -EAGAIN, -EDEADLK,
 * -ETIMEDOUT as kv_txn_get_for_update(). */
KV_PUBLIC KV_MUST_CHECK int kv_txn_put(struct kv_txn *txn, struct kv_table *table,
                                       struct kv_slice key, struct kv_slice value);
KV_PUBLIC KV_MUST_CHECK int kv_txn_delete(struct kv_txn *txn, struct kv_table *table,
                                          struct kv_slice key);
/* Delete every key in [from, to) that is there when the transaction commits, its own earlier puts
 * included. Takes no locks. Once there was a first read, it does not commit if somebody else
 * changed anything in the range since. Errors: -EINVAL besides: the range is empty. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_delete_range(struct kv_txn *txn, struct kv_table *table,
                                                struct kv_slice from, struct kv_slice to);

/* ---- savepoints -------------------------------------------------------------------------------
 */

/* Remember what was written so far; savepoints nest. Errors: -E2BIG, -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_savepoint(struct kv_txn *txn);
/* Undo what was written since the newest savepoint, and forget that one. What was read and locked
 * since stays so. Errors: -ENOENT there is none; -ENOMEM, which ends the transaction as -EAGAIN
 * does. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_rollback_to_savepoint(struct kv_txn *txn);
/* Forget the newest savepoint, but keep what was written. Errors: -ENOENT there is none. */
KV_PUBLIC KV_MUST_CHECK int kv_txn_release_savepoint(struct kv_txn *txn);

#endif
