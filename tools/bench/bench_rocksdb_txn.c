/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench_rocksdb_txn.h"

#include <stdlib.h>

struct rocksdb_txns {
    enum bench_txn kind;
    rocksdb_optimistictransactiondb_t *optimistic; /* one of the two */
    rocksdb_transactiondb_t *pessimistic;
    rocksdb_optimistictransaction_options_t *optimistic_options;
    rocksdb_transactiondb_options_t *db_options;
    rocksdb_transaction_options_t *pessimistic_options;
    rocksdb_readoptions_t *read;
};

int rocksdb_txns_open(const char *dir, const rocksdb_options_t *options, enum bench_txn kind,
                      struct rocksdb_txns **ret_txns, char **error)
{
    struct rocksdb_txns *txns = calloc(1, sizeof *txns);

    if (txns == NULL) {
        return -ENOMEM;
    }
    txns->kind = kind;
    txns->read = rocksdb_readoptions_create();
    txns->db_options = rocksdb_transactiondb_options_create();
    txns->pessimistic_options = rocksdb_transaction_options_create();
    /* As kvfs does it: checked against what came since its beginning, not since its put. */
    txns->optimistic_options = rocksdb_optimistictransaction_options_create();
    rocksdb_optimistictransaction_options_set_set_snapshot(txns->optimistic_options, 1);
    if (kind == BENCH_TXN_OPTIMISTIC) {
        txns->optimistic = rocksdb_optimistictransactiondb_open(options, dir, error);
    } else {
        txns->pessimistic = rocksdb_transactiondb_open(options, txns->db_options, dir, error);
    }
    *ret_txns = txns;
    return 0;
}

void rocksdb_txns_close(struct rocksdb_txns *txns)
{
    if (txns == NULL) {
        return;
    }
    if (txns->optimistic != NULL) {
        rocksdb_optimistictransactiondb_close(txns->optimistic);
    }
    if (txns->pessimistic != NULL) {
        rocksdb_transactiondb_close(txns->pessimistic);
    }
    rocksdb_optimistictransaction_options_destroy(txns->optimistic_options);
    rocksdb_transaction_options_destroy(txns->pessimistic_options);
    rocksdb_transactiondb_options_destroy(txns->db_options);
    rocksdb_readoptions_destroy(txns->read);
    free(txns);
}

static rocksdb_transaction_t *begin(const struct rocksdb_txns *txns, rocksdb_transaction_t *old,
                                    const rocksdb_writeoptions_t *write)
{
    return txns->kind == BENCH_TXN_OPTIMISTIC
               ? rocksdb_optimistictransaction_begin(txns->optimistic, write,
                                                     txns->optimistic_options, old)
               : rocksdb_transaction_begin(txns->pessimistic, write, txns->pessimistic_options,
                                           old);
}

/* Lock the row and read it, if it is there. */
static void get_for_update(const struct rocksdb_txns *txns, rocksdb_transaction_t *txn,
                           struct kv_slice key, char **error)
{
    rocksdb_pinnableslice_t *pinned = rocksdb_transaction_get_pinned_for_update(
        txn, txns->read, (const char *)key.data, key.size, 1, error);
    if (pinned != NULL) {
        size_t size = 0;
        const char *value = rocksdb_pinnableslice_value(pinned, &size);
        bench_touch(kv_slice(value, size));
        rocksdb_pinnableslice_destroy(pinned);
    }
}

/* Do others stand in its way? (The C interface has texts only.) */
static bool is_conflict(const char *error)
{
    static const char *const texts[] = {"Resource busy", "Operation timed out",
                                        "Operation failed. Try again"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strncmp(error, texts[i], strlen(texts[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void put_once(const struct rocksdb_txns *txns, rocksdb_transaction_t *txn,
                     const struct bench_row *row, char **error)
{
    char *ignored = NULL;

    if (txns->kind == BENCH_TXN_UPDATE) {
        get_for_update(txns, txn, row->key, error);
    }
    if (*error == NULL) {
        rocksdb_transaction_put(txn, (const char *)row->key.data, row->key.size,
                                (const char *)row->value.data, row->value.size, error);
    }
    if (*error == NULL) {
        rocksdb_transaction_commit(txn, error);
    }
    if (*error != NULL) {
        rocksdb_transaction_rollback(txn, &ignored); /* the failure before it is what is told */
        rocksdb_free(ignored);
    }
}

void rocksdb_txns_put(const struct rocksdb_txns *txns, rocksdb_transaction_t **session,
                      const rocksdb_writeoptions_t *write, const struct bench_row *row,
                      char **error)
{
    for (;;) {
        *session = begin(txns, *session, write);
        put_once(txns, *session, row, error);
        if (*error == NULL || !is_conflict(*error)) {
            return;
        }
        rocksdb_free(*error);
        *error = NULL;
    }
}
