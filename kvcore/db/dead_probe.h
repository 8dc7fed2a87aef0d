/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the runs of dead_runs.h, in a thread of its own: it walks from a key that was asked for to
 * the first key that is there.
 *
 * Those who ask: iterators that had to step over very many deleted keys, and the leader of writers
 * for each so many deletes in a table, from the smallest of their keys. Deletes in order so grow
 * one run while they go on, each walk passing what is known with one seek; deletes here and there
 * cost a walk that soon meets a key.
 *
 * A thread of its own, because flushes and merges must not wait for a walk, and a walk not for
 * them: it is asked for where somebody is about to read. A walk gives up behind WALK keys, notes
 * what it has, and asks for the rest, so that no view is kept long.
 *
 * Best effort: what does not fit into the queue is not looked for. A store without workers has no
 * probes, but for tests that take the steps themselves.
 *
 * Concurrency: the queue has a mutex; streaks are the leader's. */
#ifndef KVCORE_DB_DEAD_PROBE_H
#define KVCORE_DB_DEAD_PROBE_H

#include "kvcore/db/dead_runs.h"
#include "kvcore/db/store.h"

enum { DEAD_ASKS_MAX = 16 };

/* From where to walk. */
struct dead_ask {
    uint32_t table_id;
    struct dead_key start;
};

/* Deletes in one table since a probe was last asked for. */
struct dead_streak {
    unsigned count;
    struct dead_key smallest;
};

struct dead_probe {
    /* Constant after open, but for tests. */
    bool enabled;
    unsigned pass_after; /* each so many deleted keys in a row an iterator looks for a run: 2^n */
    unsigned ask_after;  /* behind so many it asks for a probe */
    unsigned streak;     /* deletes behind which the leader asks */
    unsigned walk;       /* keys a probe steps over before it gives up; */
    unsigned note_min;   /* of fewer it makes no note: they are stepped over as quickly */

    struct mutex mu;
    struct condvar asked;
    struct dead_ask asks[DEAD_ASKS_MAX] GUARDED_BY(&mu);
    unsigned first GUARDED_BY(&mu);
    unsigned count GUARDED_BY(&mu);

    struct dead_streak streaks[KV_TABLE_COUNT_MAX]; /* by id - 1; the leader's */
};

/* Errors: -ENOMEM. */
KV_MUST_CHECK int dead_probe_create(struct kv_store *store);
void dead_probe_destroy(struct kv_store *store);

/* Ask for a walk from this key. Never waits for one. False: the queue is full. */
bool dead_probe_ask(struct kv_store *store, uint32_t table_id, struct kv_slice start);
/* As the leader: a row is written that deletes this key. */
void dead_probe_count_delete(struct kv_store *store, uint32_t table_id, struct kv_slice key);
/* Walk from the key asked for first. False: nobody has asked. One thread at a time. */
bool dead_probe_step(struct kv_store *store);
/* The thread, and how it is woken to see that the store is stopping (also where the opening failed
 * before there was one). */
void *dead_probe_main(void *store);
void dead_probe_wake(struct kv_store *store);

#endif
