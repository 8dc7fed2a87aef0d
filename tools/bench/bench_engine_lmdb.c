/* SPDX-License-Identifier: Apache-2.0 */
/* LMDB: a B+tree in a memory map, without compression, checksums, cache or background work. Shown
 * beside the others, for its reads. */
#include "tools/bench/bench_engine.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { READERS_MAX = 1024, MAP_FACTOR = 16, MAP_BYTES_MIN = 1 << 30 };

struct bench_store {
    MDB_env *env;
    MDB_dbi dbi;
};

/* Read transactions are kept and renewed, as its documents advise. An iterator has one of its own,
 * and there is one iterator at a time. */
struct bench_session {
    struct bench_store *owner;
    MDB_txn *get_txn, *scan_txn;
    MDB_cursor *cursor;
};

static struct bench_session *own(struct bench_iter *iter)
{
    return (struct bench_session *)iter;
}

/* Its own results are negative too, but no errnos. */
static int result_of(int result)
{
    if (result == MDB_SUCCESS) {
        return 0;
    }
    if (result == MDB_NOTFOUND) {
        return -ENOENT;
    }
    fprintf(stderr, "kvfs: lmdb: %s\n", mdb_strerror(result));
    return result > 0 ? -result : result == MDB_MAP_FULL ? -ENOSPC : -EIO;
}

/* Its interface has no const; it changes neither keys nor values that it is given. */
static MDB_val val(struct kv_slice bytes)
{
    union {
        const uint8_t *given;
        void *taken;
    } same = {.given = bytes.data};
    return (MDB_val){.mv_size = bytes.size, .mv_data = same.taken};
}

static int engine_close(struct bench_store *store)
{
    mdb_env_close(store->env);
    free(store);
    return 0;
}

static int open_env(MDB_env *env, const char *dir, const struct bench_config *config)
{
    size_t map = config->rows * (config->key_size + config->value_size + 64) * MAP_FACTOR;
    int e = mdb_env_set_mapsize(env, map > MAP_BYTES_MIN ? map : MAP_BYTES_MIN);
    e = e == 0 ? mdb_env_set_maxreaders(env, READERS_MAX) : e;
    return e == 0 ? mdb_env_open(env, dir, MDB_NOTLS | MDB_NORDAHEAD, 0600) : e;
}

static int open_dbi(struct bench_store *store)
{
    MDB_txn *txn = NULL;
    int e = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (e == 0) {
        e = mdb_dbi_open(txn, NULL, MDB_CREATE, &store->dbi);
        if (e == 0) {
            return mdb_txn_commit(txn);
        }
        mdb_txn_abort(txn);
    }
    return e;
}

static int engine_open(const char *dir, const struct bench_config *config, enum bench_txn txn,
                       struct bench_store **ret_store)
{
    (void)txn; /* none are driven here */
    struct bench_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return -ENOMEM;
    }
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        free(store);
        return -errno;
    }
    int e = mdb_env_create(&store->env);
    if (e != 0) {
        free(store);
        return result_of(e);
    }
    e = open_env(store->env, dir, config);
    e = e == 0 ? open_dbi(store) : e;
    if (e != 0) {
        kv_ignore(engine_close(store)); /* closes nothing that could fail */
        return result_of(e);
    }
    *ret_store = store;
    return 0;
}

static int engine_describe(const struct bench_config *config, struct kv_buf *to)
{
    (void)config;
    return bench_print(
        to,
        "version %d.%d.%d, one transaction per write, durability write and none are "
        "MDB_NOSYNC (a loss of power may then damage the whole store), read "
        "transactions renewed, MDB_NORDAHEAD; no compression, no checksums, no filter",
        MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void session_close(struct bench_session *session)
{
    if (session == NULL) {
        return;
    }
    if (session->cursor != NULL) {
        mdb_cursor_close(session->cursor);
    }
    if (session->scan_txn != NULL) {
        mdb_txn_abort(session->scan_txn);
    }
    if (session->get_txn != NULL) {
        mdb_txn_abort(session->get_txn);
    }
    free(session);
}

static int session_open(struct bench_store *store, struct bench_session **ret_session)
{
    struct bench_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return -ENOMEM;
    }
    session->owner = store;
    int e = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &session->get_txn);
    e = e == 0 ? mdb_txn_begin(store->env, NULL, MDB_RDONLY, &session->scan_txn) : e;
    e = e == 0 ? mdb_cursor_open(session->scan_txn, store->dbi, &session->cursor) : e;
    if (e != 0) {
        session_close(session);
        return result_of(e);
    }
    mdb_txn_reset(session->get_txn);
    mdb_txn_reset(session->scan_txn);
    *ret_session = session;
    return 0;
}

/* Whether a commit syncs is a flag of the environment. Writers exclude each other from begin to
 * commit, so each can set it as it wants. */
static int begin_write(struct bench_session *session, enum bench_durability durability,
                       MDB_txn **ret_txn)
{
    MDB_env *env = session->owner->env;
    MDB_txn *txn = NULL;
    int e = mdb_txn_begin(env, NULL, 0, &txn);
    if (e == 0) {
        e = mdb_env_set_flags(env, MDB_NOSYNC, durability != BENCH_DURABLE_SYNC);
    }
    if (e != 0) {
        mdb_txn_abort(txn);
        return e;
    }
    *ret_txn = txn;
    return 0;
}

static int end_write(MDB_txn *txn, int e)
{
    if (e == 0) {
        return result_of(mdb_txn_commit(txn));
    }
    mdb_txn_abort(txn);
    return result_of(e);
}

static int session_put(struct bench_session *session, const struct bench_row *rows, unsigned count,
                       enum bench_durability durability)
{
    MDB_txn *txn = NULL;
    int e = begin_write(session, durability, &txn);
    if (e != 0) {
        return result_of(e);
    }
    for (unsigned i = 0; e == 0 && i < count; i++) {
        MDB_val key = val(rows[i].key);
        MDB_val value = val(rows[i].value);
        e = mdb_put(txn, session->owner->dbi, &key, &value, 0);
    }
    return end_write(txn, e);
}

static int session_remove(struct bench_session *session, struct kv_slice key,
                          enum bench_durability durability)
{
    MDB_txn *txn = NULL;
    MDB_val at = val(key);
    int e = begin_write(session, durability, &txn);
    if (e != 0) {
        return result_of(e);
    }
    e = mdb_del(txn, session->owner->dbi, &at, NULL);
    return end_write(txn, e == MDB_NOTFOUND ? 0 : e);
}

static int session_get(struct bench_session *session, struct kv_slice key, size_t *ret_size)
{
    MDB_val at = val(key);
    MDB_val value;
    int e = mdb_txn_renew(session->get_txn);
    if (e != 0) {
        return result_of(e);
    }
    e = mdb_get(session->get_txn, session->owner->dbi, &at, &value);
    if (e == 0) {
        bench_touch(kv_slice(value.mv_data, value.mv_size));
        *ret_size = value.mv_size;
    }
    mdb_txn_reset(session->get_txn);
    return result_of(e);
}

/* ---- iterators: the session's own cursor ----------------------------------------------------- */

static int iter_open(struct bench_session *session, bool whole, struct bench_iter **ret_iter)
{
    (void)whole;
    int e = mdb_txn_renew(session->scan_txn);
    e = e == 0 ? mdb_cursor_renew(session->scan_txn, session->cursor) : e;
    if (e == 0) {
        *ret_iter = (struct bench_iter *)session;
    }
    return result_of(e);
}

static void iter_close(struct bench_iter *iter)
{
    mdb_txn_reset(own(iter)->scan_txn);
}

static int iter_move(struct bench_iter *iter, enum bench_move move, struct kv_slice key,
                     struct bench_row *ret_row)
{
    static const MDB_cursor_op ops[] = {[BENCH_SEEK] = MDB_SET_RANGE,
                                        [BENCH_FIRST] = MDB_FIRST,
                                        [BENCH_LAST] = MDB_LAST,
                                        [BENCH_NEXT] = MDB_NEXT,
                                        [BENCH_PREV] = MDB_PREV};
    MDB_val at = val(key);
    MDB_val value;
    int r = result_of(mdb_cursor_get(own(iter)->cursor, &at, &value, ops[move]));
    if (r == 0) {
        ret_row->key = kv_slice(at.mv_data, at.mv_size);
        ret_row->value = kv_slice(value.mv_data, value.mv_size);
    }
    return r;
}

const struct bench_engine_ops bench_engine_lmdb = {
    .name = "lmdb",
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
    .compact = NULL,
};
