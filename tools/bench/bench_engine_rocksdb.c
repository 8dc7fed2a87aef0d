/* SPDX-License-Identifier: Apache-2.0 */
/* RocksDB through its C interface. What is not set here is as the library has it. */
#include "tools/bench/bench_engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/bench_rocksdb_txn.h"

struct bench_store {
    rocksdb_t *db;
    struct rocksdb_txns *txns; /* open for transactions: then not `db` */
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read, *scan; /* scan: a whole one, which leaves the cache alone */
    rocksdb_writeoptions_t *write[BENCH_DURABLE_SYNC + 1];
};

struct bench_session {
    struct bench_store *owner;
    rocksdb_writebatch_t *batch;
    rocksdb_transaction_t *txn; /* NULL: none yet */
};

static rocksdb_iterator_t *own(struct bench_iter *iter)
{
    return (rocksdb_iterator_t *)iter;
}

/* Turn the library's message into a result. */
static int result_of(char *error)
{
    if (error == NULL) {
        return 0;
    }
    fprintf(stderr, "kvfs: rocksdb: %s\n", error);
    rocksdb_free(error);
    return -EIO;
}

static rocksdb_options_t *make_options(const struct bench_config *config, rocksdb_cache_t *cache)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(config->filter_bits));
    if (config->block_bytes > 0) {
        rocksdb_block_based_options_set_block_size(table, config->block_bytes);
    }
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, config->memtable_bytes);
    rocksdb_options_set_max_write_buffer_number(options, (int)config->memtables_max);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_max_background_jobs(options, (int)config->background_jobs);
    rocksdb_options_set_compression(options, config->no_compression ? rocksdb_no_compression
                                                                    : rocksdb_snappy_compression);
    rocksdb_block_based_options_destroy(table);
    return options;
}

static int engine_close(struct bench_store *store)
{
    for (unsigned i = 0; i <= BENCH_DURABLE_SYNC; i++) {
        if (store->write[i] != NULL) {
            rocksdb_writeoptions_destroy(store->write[i]);
        }
    }
    if (store->db != NULL) {
        rocksdb_close(store->db);
    }
    rocksdb_txns_close(store->txns);
    rocksdb_readoptions_destroy(store->read);
    rocksdb_readoptions_destroy(store->scan);
    rocksdb_options_destroy(store->options);
    rocksdb_cache_destroy(store->cache);
    free(store);
    return 0;
}

static int engine_open(const char *dir, const struct bench_config *config, enum bench_txn txn,
                       struct bench_store **ret_store)
{
    struct bench_store *store = calloc(1, sizeof *store);
    char *error = NULL;
    int r = 0;
    if (store == NULL) {
        return -ENOMEM;
    }
    store->cache = rocksdb_cache_create_lru(config->cache_bytes);
    store->options = make_options(config, store->cache);
    store->read = rocksdb_readoptions_create();
    store->scan = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(store->scan, 0);
    for (enum bench_durability d = BENCH_DURABLE_NONE; d <= BENCH_DURABLE_SYNC; d++) {
        store->write[d] = rocksdb_writeoptions_create();
        rocksdb_writeoptions_set_sync(store->write[d], d == BENCH_DURABLE_SYNC);
        rocksdb_writeoptions_disable_WAL(store->write[d], d == BENCH_DURABLE_NONE);
    }
    if (txn != BENCH_TXN_NONE) {
        r = rocksdb_txns_open(dir, store->options, txn, &store->txns, &error);
    } else {
        store->db = rocksdb_open(store->options, dir, &error);
    }
    r = r < 0 ? r : result_of(error);
    if (r < 0) {
        kv_ignore(engine_close(store)); /* closes nothing that could fail */
        return r;
    }
    *ret_store = store;
    return 0;
}

static int engine_describe(const struct bench_config *config, struct kv_buf *to)
{
    return bench_print(
        to,
        "version %s, C interface, write buffer %zu MiB, write buffers %u, LRU block cache %zu MiB, "
        "full bloom "
        "filter %u bits, block %zu bytes%s, compression %s, dynamic level sizes, background jobs "
        "%u, write-ahead log on, reads pinned, checksums verified; transactions: TransactionDB, or "
        "OptimisticTransactionDB with a snapshot at the beginning, objects used again; all else as "
        "the library has it",
        BENCH_ROCKSDB_VERSION, config->memtable_bytes >> 20, config->memtables_max,
        config->cache_bytes >> 20, config->filter_bits,
        config->block_bytes > 0 ? config->block_bytes : 4096,
        config->block_bytes > 0 ? "" : " (its default)", config->no_compression ? "none" : "snappy",
        config->background_jobs);
}

static int session_open(struct bench_store *store, struct bench_session **ret_session)
{
    struct bench_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return -ENOMEM;
    }
    session->owner = store;
    session->batch = rocksdb_writebatch_create();
    *ret_session = session;
    return 0;
}

static void session_close(struct bench_session *session)
{
    if (session != NULL) {
        if (session->txn != NULL) {
            rocksdb_transaction_destroy(session->txn);
        }
        rocksdb_writebatch_destroy(session->batch);
        free(session);
    }
}

static int session_put(struct bench_session *session, const struct bench_row *rows, unsigned count,
                       enum bench_durability durability)
{
    struct bench_store *store = session->owner;
    char *error = NULL;
    if (count == 1) {
        rocksdb_put(store->db, store->write[durability], (const char *)rows[0].key.data,
                    rows[0].key.size, (const char *)rows[0].value.data, rows[0].value.size, &error);
        return result_of(error);
    }
    rocksdb_writebatch_clear(session->batch);
    for (unsigned i = 0; i < count; i++) {
        rocksdb_writebatch_put(session->batch, (const char *)rows[i].key.data, rows[i].key.size,
                               (const char *)rows[i].value.data, rows[i].value.size);
    }
    rocksdb_write(store->db, store->write[durability], session->batch, &error);
    return result_of(error);
}

static int session_put_in_txn(struct bench_session *session, const struct bench_row *row,
                              enum bench_txn txn, enum bench_durability durability)
{
    char *error = NULL;
    (void)txn; /* as it was opened */
    rocksdb_txns_put(session->owner->txns, &session->txn, session->owner->write[durability], row,
                     &error);
    return result_of(error);
}

static int session_remove(struct bench_session *session, struct kv_slice key,
                          enum bench_durability durability)
{
    char *error = NULL;
    rocksdb_delete(session->owner->db, session->owner->write[durability], (const char *)key.data,
                   key.size, &error);
    return result_of(error);
}

static int session_get(struct bench_session *session, struct kv_slice key, size_t *ret_size)
{
    char *error = NULL;
    size_t size = 0;
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned(session->owner->db, session->owner->read,
                                                         (const char *)key.data, key.size, &error);
    if (pinned == NULL) {
        int r = result_of(error);
        return r < 0 ? r : -ENOENT;
    }
    const char *value = rocksdb_pinnableslice_value(pinned, &size);
    bench_touch(kv_slice(value, size));
    rocksdb_pinnableslice_destroy(pinned);
    *ret_size = size;
    return 0;
}

static int iter_open(struct bench_session *session, bool whole, struct bench_iter **ret_iter)
{
    struct bench_store *store = session->owner;
    *ret_iter =
        (struct bench_iter *)rocksdb_create_iterator(store->db, whole ? store->scan : store->read);
    return 0;
}

static void iter_close(struct bench_iter *iter)
{
    rocksdb_iter_destroy(own(iter));
}

static int here(rocksdb_iterator_t *iter, struct bench_row *ret_row)
{
    char *error = NULL;
    size_t size = 0;
    if (!rocksdb_iter_valid(iter)) {
        rocksdb_iter_get_error(iter, &error);
        int r = result_of(error);
        return r < 0 ? r : -ENOENT;
    }
    const char *bytes = rocksdb_iter_key(iter, &size);
    ret_row->key = kv_slice(bytes, size);
    bytes = rocksdb_iter_value(iter, &size);
    ret_row->value = kv_slice(bytes, size);
    return 0;
}

static int iter_move(struct bench_iter *iter, enum bench_move move, struct kv_slice key,
                     struct bench_row *ret_row)
{
    switch (move) {
    case BENCH_SEEK:
        rocksdb_iter_seek(own(iter), (const char *)key.data, key.size);
        break;
    case BENCH_FIRST:
        rocksdb_iter_seek_to_first(own(iter));
        break;
    case BENCH_LAST:
        rocksdb_iter_seek_to_last(own(iter));
        break;
    case BENCH_NEXT:
        rocksdb_iter_next(own(iter));
        break;
    case BENCH_PREV:
        rocksdb_iter_prev(own(iter));
        break;
    }
    return here(own(iter), ret_row);
}

static int engine_compact(struct bench_store *store)
{
    rocksdb_compact_range(store->db, NULL, 0, NULL, 0);
    return 0;
}

const struct bench_engine_ops bench_engine_rocksdb = {
    .name = "rocksdb",
    .open = engine_open,
    .close = engine_close,
    .describe = engine_describe,
    .session_open = session_open,
    .session_close = session_close,
    .put = session_put,
    .put_in_txn = session_put_in_txn,
    .remove = session_remove,
    .get = session_get,
    .iter_open = iter_open,
    .iter_close = iter_close,
    .move = iter_move,
    .compact = engine_compact,
};
