/* SPDX-License-Identifier: Apache-2.0 */
/* LevelDB through its C interface. What is not set here is as the library has it. */
#include "tools/bench/bench_engine.h"

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>

struct bench_store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read, *scan; /* scan: a whole one, which leaves the cache alone */
    leveldb_writeoptions_t *write, *write_sync;
};

struct bench_session {
    struct bench_store *owner;
    leveldb_writebatch_t *batch;
};

static leveldb_iterator_t *own(struct bench_iter *iter)
{
    return (leveldb_iterator_t *)iter;
}

/* Turn the library's message into a result. */
static int result_of(char *error)
{
    if (error == NULL) {
        return 0;
    }
    fprintf(stderr, "kvfs: leveldb: %s\n", error);
    leveldb_free(error);
    return -EIO;
}

static leveldb_options_t *make_options(const struct bench_config *config,
                                       const struct bench_store *store)
{
    leveldb_options_t *options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_cache(options, store->cache);
    leveldb_options_set_filter_policy(options, store->filter);
    leveldb_options_set_write_buffer_size(options, config->memtable_bytes);
    leveldb_options_set_compression(options, config->no_compression ? leveldb_no_compression
                                                                    : leveldb_snappy_compression);
    if (config->block_bytes > 0) {
        leveldb_options_set_block_size(options, config->block_bytes);
    }
    return options;
}

static int engine_close(struct bench_store *store)
{
    if (store->db != NULL) {
        leveldb_close(store->db);
    }
    leveldb_writeoptions_destroy(store->write);
    leveldb_writeoptions_destroy(store->write_sync);
    leveldb_readoptions_destroy(store->read);
    leveldb_readoptions_destroy(store->scan);
    leveldb_options_destroy(store->options);
    leveldb_filterpolicy_destroy(store->filter);
    leveldb_cache_destroy(store->cache);
    free(store);
    return 0;
}

static int engine_open(const char *dir, const struct bench_config *config, enum bench_txn txn,
                       struct bench_store **ret_store)
{
    (void)txn; /* none are driven here */
    struct bench_store *store = calloc(1, sizeof *store);
    char *error = NULL;
    if (store == NULL) {
        return -ENOMEM;
    }
    store->cache = leveldb_cache_create_lru(config->cache_bytes);
    store->filter = leveldb_filterpolicy_create_bloom((int)config->filter_bits);
    store->options = make_options(config, store);
    store->read = leveldb_readoptions_create();
    store->scan = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(store->read, 1);
    leveldb_readoptions_set_verify_checksums(store->scan, 1);
    leveldb_readoptions_set_fill_cache(store->scan, 0);
    store->write = leveldb_writeoptions_create();
    store->write_sync = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(store->write_sync, 1);
    store->db = leveldb_open(store->options, dir, &error);
    if (error != NULL) {
        kv_ignore(engine_close(store)); /* closes nothing that could fail */
        return result_of(error);
    }
    *ret_store = store;
    return 0;
}

static int engine_describe(const struct bench_config *config, struct kv_buf *to)
{
    return bench_print(
        to,
        "version %d.%d, C interface, write buffer %zu MiB (it has two), block cache %zu MiB, bloom "
        "filter %u bits, block %zu bytes%s, compression %s, one background thread, durability none "
        "is write, reads copied (it cannot pin), checksums verified; all else as the library has "
        "it",
        leveldb_major_version(), leveldb_minor_version(), config->memtable_bytes >> 20,
        config->cache_bytes >> 20, config->filter_bits,
        config->block_bytes > 0 ? config->block_bytes : 4096,
        config->block_bytes > 0 ? "" : " (its default)",
        config->no_compression ? "none" : "snappy");
}

/* Its log cannot be left out: what may stay in the process goes to the operating system too. */
static const leveldb_writeoptions_t *durable(const struct bench_store *store,
                                             enum bench_durability durability)
{
    return durability == BENCH_DURABLE_SYNC ? store->write_sync : store->write;
}

static int session_open(struct bench_store *store, struct bench_session **ret_session)
{
    struct bench_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return -ENOMEM;
    }
    session->owner = store;
    session->batch = leveldb_writebatch_create();
    *ret_session = session;
    return 0;
}

static void session_close(struct bench_session *session)
{
    if (session != NULL) {
        leveldb_writebatch_destroy(session->batch);
        free(session);
    }
}

static int session_put(struct bench_session *session, const struct bench_row *rows, unsigned count,
                       enum bench_durability durability)
{
    struct bench_store *store = session->owner;
    char *error = NULL;
    if (count == 1) {
        leveldb_put(store->db, durable(store, durability), (const char *)rows[0].key.data,
                    rows[0].key.size, (const char *)rows[0].value.data, rows[0].value.size, &error);
        return result_of(error);
    }
    leveldb_writebatch_clear(session->batch);
    for (unsigned i = 0; i < count; i++) {
        leveldb_writebatch_put(session->batch, (const char *)rows[i].key.data, rows[i].key.size,
                               (const char *)rows[i].value.data, rows[i].value.size);
    }
    leveldb_write(store->db, durable(store, durability), session->batch, &error);
    return result_of(error);
}

static int session_remove(struct bench_session *session, struct kv_slice key,
                          enum bench_durability durability)
{
    char *error = NULL;
    leveldb_delete(session->owner->db, durable(session->owner, durability), (const char *)key.data,
                   key.size, &error);
    return result_of(error);
}

static int session_get(struct bench_session *session, struct kv_slice key, size_t *ret_size)
{
    char *error = NULL;
    size_t size = 0;
    char *value = leveldb_get(session->owner->db, session->owner->read, (const char *)key.data,
                              key.size, &size, &error);
    if (value == NULL) {
        int r = result_of(error);
        return r < 0 ? r : -ENOENT;
    }
    bench_touch(kv_slice(value, size));
    leveldb_free(value);
    *ret_size = size;
    return 0;
}

static int iter_open(struct bench_session *session, bool whole, struct bench_iter **ret_iter)
{
    struct bench_store *store = session->owner;
    *ret_iter =
        (struct bench_iter *)leveldb_create_iterator(store->db, whole ? store->scan : store->read);
    return 0;
}

static void iter_close(struct bench_iter *iter)
{
    leveldb_iter_destroy(own(iter));
}

static int here(leveldb_iterator_t *iter, struct bench_row *ret_row)
{
    char *error = NULL;
    size_t size = 0;
    if (!leveldb_iter_valid(iter)) {
        leveldb_iter_get_error(iter, &error);
        int r = result_of(error);
        return r < 0 ? r : -ENOENT;
    }
    const char *bytes = leveldb_iter_key(iter, &size);
    ret_row->key = kv_slice(bytes, size);
    bytes = leveldb_iter_value(iter, &size);
    ret_row->value = kv_slice(bytes, size);
    return 0;
}

static int iter_move(struct bench_iter *iter, enum bench_move move, struct kv_slice key,
                     struct bench_row *ret_row)
{
    switch (move) {
    case BENCH_SEEK:
        leveldb_iter_seek(own(iter), (const char *)key.data, key.size);
        break;
    case BENCH_FIRST:
        leveldb_iter_seek_to_first(own(iter));
        break;
    case BENCH_LAST:
        leveldb_iter_seek_to_last(own(iter));
        break;
    case BENCH_NEXT:
        leveldb_iter_next(own(iter));
        break;
    case BENCH_PREV:
        leveldb_iter_prev(own(iter));
        break;
    }
    return here(own(iter), ret_row);
}

static int engine_compact(struct bench_store *store)
{
    leveldb_compact_range(store->db, NULL, 0, NULL, 0);
    return 0;
}

const struct bench_engine_ops bench_engine_leveldb = {
    .name = "leveldb",
    .open = engine_open,
    .close = engine_close,
    .describe = engine_describe,
    .session_open = session_open,
    .session_close = session_close,
    .put = session_put,
    .remove = session_remove,
    .get = session_get,
    .iter_open = iter_open,
    .iter_close = iter_close,
    .move = iter_move,
    .compact = engine_compact,
};
