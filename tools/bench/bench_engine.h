/* SPDX-License-Identifier: Apache-2.0 */
/* An engine under test, as a table of functions. One adapter each: bench_engine_NAME.c.
 *
 * Errors are negative errnos; where an engine only has a text, the adapter prints it to stderr and
 * returns -EIO. A session is one thread's; a store is shared by them. */
#ifndef KVFS_TOOLS_BENCH_ENGINE_H
#define KVFS_TOOLS_BENCH_ENGINE_H

#include <kv/slice.h>

#include "tools/bench/bench_config.h"

/* An adapter defines what these are for itself. */
struct bench_store;
struct bench_session;
struct bench_iter;

/* A row of the engine's memory, valid until the iterator moves or goes. */
struct bench_row {
    struct kv_slice key, value;
};

enum bench_move {
    BENCH_SEEK = 1, /* first key >= the one given */
    BENCH_FIRST,
    BENCH_LAST,
    BENCH_NEXT,
    BENCH_PREV,
};

/* How a row is put by a transaction of its own, which is begun anew until it is committed. */
enum bench_txn {
    BENCH_TXN_NONE = 0,
    BENCH_TXN_OPTIMISTIC,  /* put, and at the commit checked against others */
    BENCH_TXN_PESSIMISTIC, /* locked and put */
    BENCH_TXN_UPDATE,      /* locked, read and put */
};

struct bench_engine_ops {
    const char *name;
    /* Open the store in the directory `dir`, making both if missing. `txn`: the kind of
     * transactions that it will be asked for, and then nothing else; 0: none. */
    int (*open)(const char *dir, const struct bench_config *config, enum bench_txn txn,
                struct bench_store **ret_store);
    int (*close)(struct bench_store *store);
    /* Append the options in use that matter, as "name value, name value". */
    int (*describe)(const struct bench_config *config, struct kv_buf *to);

    int (*session_open)(struct bench_store *store, struct bench_session **ret_session);
    void (*session_close)(struct bench_session *session);
    /* Write `count` rows at once, all or nothing. */
    int (*put)(struct bench_session *session, const struct bench_row *rows, unsigned count,
               enum bench_durability durability);
    /* NULL: it has no transactions, or none are driven here. */
    int (*put_in_txn)(struct bench_session *session, const struct bench_row *row,
                      enum bench_txn txn, enum bench_durability durability);
    int (*remove)(struct bench_session *session, struct kv_slice key,
                  enum bench_durability durability);
    /* Errors: -ENOENT. The adapter reads the first byte of the value, so that it is there. */
    int (*get)(struct bench_session *session, struct kv_slice key, size_t *ret_size);

    /* Not positioned. `whole`: it will run through the whole store. */
    int (*iter_open)(struct bench_session *session, bool whole, struct bench_iter **ret_iter);
    void (*iter_close)(struct bench_iter *iter);
    /* Move and read the row there; `key` counts for BENCH_SEEK only. Errors: -ENOENT no row there.
     */
    int (*move)(struct bench_iter *iter, enum bench_move move, struct kv_slice key,
                struct bench_row *ret_row);

    /* Merge everything as far as the engine can. NULL: it has nothing of the kind. */
    int (*compact)(struct bench_store *store);
};

extern const struct bench_engine_ops bench_engine_kvfs;
#ifdef BENCH_PEERS
extern const struct bench_engine_ops bench_engine_rocksdb;
extern const struct bench_engine_ops bench_engine_leveldb;
extern const struct bench_engine_ops bench_engine_lmdb;
#endif

/* Read one byte of what an engine handed out, so that handing out an address is not enough. */
static inline void bench_touch(struct kv_slice bytes)
{
    if (bytes.size > 0) {
        kv_ignore(*(const volatile uint8_t *)bytes.data);
    }
}

/* All that were built in, kvfs first. */
const struct bench_engine_ops *const *bench_engines(unsigned *ret_count);

/* Append formatted text; for describe(). Errors: -ENOMEM. */
__attribute__((format(printf, 2, 3))) KV_MUST_CHECK int bench_print(struct kv_buf *to,
                                                                    const char *format, ...);

#endif
