/* SPDX-License-Identifier: Apache-2.0 */
/* kvcore itself, through its public interface only. */
#include "tools/bench/bench_engine.h"

#include <stdio.h>
#include <stdlib.h>

#include <kv/txn.h>

struct bench_store {
    struct kv_store *store;
    struct kv_table *table;
    struct kv_txn_manager *txns;
};

struct bench_session {
    struct bench_store *owner;
    struct kv_batch *batch;
    struct kv_buf value; /* that a transaction read */
};

/* Handed out as the opaque iterator, which is the engine's own. */
static struct kv_iter *own(struct bench_iter *iter)
{
    return (struct kv_iter *)iter;
}

static void say(void *arg, enum kv_message_level level, const char *text)
{
    (void)arg;
    if (level <= KV_MESSAGE_WARNING) {
        fprintf(stderr, "kvfs: %s\n", text);
    }
}

static int engine_close(struct bench_store *store)
{
    int r = kv_txn_manager_close(store->txns); /* every session has ended */
    int closed = kv_close(store->store);
    free(store);
    return closed < 0 ? closed : r;
}

static int engine_open(const char *dir, const struct bench_config *config, enum bench_txn txn,
                       struct bench_store **ret_store)
{
    (void)txn; /* any store has them */
    const struct kv_options options = {
        .create = true,
        .memtable_bytes = config->memtable_bytes,
        .memtables_max = config->memtables_max,
        .cache_bytes = config->cache_bytes,
        .compaction_threads = config->background_jobs > 1 ? config->background_jobs - 1 : 1,
        .message_fn = say,
    };
    const struct kv_table_options table_options = {
        .filter_bits_per_key = config->filter_bits,
        .block_bytes = config->block_bytes,
        .no_compression = config->no_compression,
    };
    struct kv_storage *storage = NULL;
    struct bench_store *store = calloc(1, sizeof *store);
    int r = store != NULL ? kv_storage_posix_open(dir, true, &storage) : -ENOMEM;
    if (r < 0) {
        free(store);
        return r;
    }
    r = kv_open(storage, &options, &store->store);
    if (r < 0) {
        storage->ops->close(storage);
        free(store);
        return r;
    }
    r = kv_table_open(store->store, "bench", &table_options, &store->table);
    r = r < 0 ? r : kv_txn_manager_open(store->store, &store->txns);
    if (r < 0) {
        kv_ignore(engine_close(store)); /* the failure to open it is what is told */
        return r;
    }
    *ret_store = store;
    return 0;
}

static int engine_describe(const struct bench_config *config, struct kv_buf *to)
{
    return bench_print(
        to,
        "version %s, memtable %zu MiB, memtables %u, block cache %zu MiB, filter %u bits, block "
        "%zu bytes%s, compression %s, flush threads 1, compaction threads %u",
        KVFS_VERSION, config->memtable_bytes >> 20, config->memtables_max,
        config->cache_bytes >> 20, config->filter_bits,
        config->block_bytes > 0 ? config->block_bytes : 8192,
        config->block_bytes > 0 ? "" : " (its default)", config->no_compression ? "none" : "snappy",
        config->background_jobs > 1 ? config->background_jobs - 1 : 1);
}

static int session_open(struct bench_store *store, struct bench_session **ret_session)
{
    struct bench_session *session = calloc(1, sizeof *session);
    int r = session != NULL ? kv_batch_create(&session->batch) : -ENOMEM;
    if (r < 0) {
        free(session);
        return r;
    }
    session->owner = store;
    *ret_session = session;
    return 0;
}

static void session_close(struct bench_session *session)
{
    if (session != NULL) {
        kv_batch_destroy(session->batch);
        kv_buf_finish(&session->value);
        free(session);
    }
}

static enum kv_durability durability_of(enum bench_durability durability)
{
    switch (durability) {
    case BENCH_DURABLE_NONE:
        return KV_DURABLE_NONE;
    case BENCH_DURABLE_SYNC:
        return KV_DURABLE_SYNC;
    case BENCH_DURABLE_WRITE:
        break;
    }
    return KV_DURABLE_WRITE;
}

static int session_put(struct bench_session *session, const struct bench_row *rows, unsigned count,
                       enum bench_durability durability)
{
    struct kv_table *table = session->owner->table;
    int r = 0;
    if (count == 1) {
        return kv_put(table, rows[0].key, rows[0].value, durability_of(durability));
    }
    kv_batch_clear(session->batch);
    for (unsigned i = 0; r == 0 && i < count; i++) {
        r = kv_batch_put(session->batch, table, rows[i].key, rows[i].value);
    }
    return r < 0 ? r : kv_write(session->owner->store, session->batch, durability_of(durability));
}

/* An optimistic one says what state it starts from, so that its commit has something to check. */
static int put_once(struct bench_session *session, const struct bench_row *row, enum bench_txn kind,
                    enum kv_durability durability)
{
    const struct kv_txn_options options = {
        .mode = kind == BENCH_TXN_OPTIMISTIC ? KV_TXN_OPTIMISTIC : KV_TXN_PESSIMISTIC,
        .read_now = kind == BENCH_TXN_OPTIMISTIC};
    struct kv_table *table = session->owner->table;
    struct kv_txn *txn = NULL;
    int r = kv_txn_begin(session->owner->txns, &options, &txn);

    if (r < 0) {
        return r;
    }
    if (kind == BENCH_TXN_UPDATE) {
        r = kv_txn_get_for_update(txn, table, row->key, &session->value);
        r = r == -ENOENT ? 0 : r;
    }
    r = r < 0 ? r : kv_txn_put(txn, table, row->key, row->value);
    if (r < 0) {
        kv_txn_rollback(txn);
        return r;
    }
    return kv_txn_commit(txn, durability);
}

static int session_put_in_txn(struct bench_session *session, const struct bench_row *row,
                              enum bench_txn kind, enum bench_durability durability)
{
    int r;
    do {
        r = put_once(session, row, kind, durability_of(durability));
    } while (r == -EAGAIN || r == -EDEADLK);
    return r;
}

static int session_remove(struct bench_session *session, struct kv_slice key,
                          enum bench_durability durability)
{
    return kv_delete(session->owner->table, key, durability_of(durability));
}

static int session_get(struct bench_session *session, struct kv_slice key, size_t *ret_size)
{
    struct kv_pinned pinned;
    int r = kv_get(session->owner->table, NULL, key, &pinned);
    if (r == 0) {
        bench_touch(pinned.value);
        *ret_size = pinned.value.size;
        kv_pinned_release(&pinned);
    }
    return r;
}

static int iter_open(struct bench_session *session, bool whole, struct bench_iter **ret_iter)
{
    const struct kv_iter_options options = {.keep_cache = whole};
    struct kv_iter *iter = NULL;
    int r = kv_iter_create(session->owner->table, &options, &iter);
    if (r == 0) {
        *ret_iter = (struct bench_iter *)iter;
    }
    return r;
}

static void iter_close(struct bench_iter *iter)
{
    kv_iter_destroy(own(iter));
}

static int here(struct kv_iter *iter, struct bench_row *ret_row)
{
    if (!kv_iter_valid(iter)) {
        int r = kv_iter_error(iter);
        return r < 0 ? r : -ENOENT;
    }
    struct kv_slice value;
    int r = kv_iter_value(iter, &value);
    if (r == 0) {
        *ret_row = (struct bench_row){.key = kv_iter_key(iter), .value = value};
    }
    return r;
}

static int iter_move(struct bench_iter *iter, enum bench_move move, struct kv_slice key,
                     struct bench_row *ret_row)
{
    switch (move) {
    case BENCH_SEEK:
        kv_iter_seek(own(iter), key);
        break;
    case BENCH_FIRST:
        kv_iter_seek_first(own(iter));
        break;
    case BENCH_LAST:
        kv_iter_seek_last(own(iter));
        break;
    case BENCH_NEXT:
        kv_iter_next(own(iter));
        break;
    case BENCH_PREV:
        kv_iter_prev(own(iter));
        break;
    }
    return here(own(iter), ret_row);
}

static int engine_compact(struct bench_store *store)
{
    return kv_compact(store->store);
}

const struct bench_engine_ops bench_engine_kvfs = {
    .name = "kvfs",
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
