/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions of RocksDB. It has two kinds of databases for them, and a directory is opened as one
 * or the other: TransactionDB, whose transactions lock rows, and OptimisticTransactionDB. What is
 * not set here is as the library has it. */
#ifndef KVFS_TOOLS_BENCH_ROCKSDB_TXN_H
#define KVFS_TOOLS_BENCH_ROCKSDB_TXN_H

#include <rocksdb/c.h>

#include "tools/bench/bench_engine.h"

struct rocksdb_txns;

/* Open the directory for transactions of the kind. `error`: as the library's. Errors: -ENOMEM. */
KV_MUST_CHECK int rocksdb_txns_open(const char *dir, const rocksdb_options_t *options,
                                    enum bench_txn kind, struct rocksdb_txns **ret_txns,
                                    char **error);
void rocksdb_txns_close(struct rocksdb_txns *txns); /* accepts NULL */

/* Put a row by a transaction, begun anew while others are in its way. `*session` is what a thread
 * keeps from one to the next, as the library advises: NULL at first, destroyed by the thread with
 * rocksdb_transaction_destroy(). */
void rocksdb_txns_put(const struct rocksdb_txns *txns, rocksdb_transaction_t **session,
                      const rocksdb_writeoptions_t *write, const struct bench_row *row,
                      char **error);

#endif
