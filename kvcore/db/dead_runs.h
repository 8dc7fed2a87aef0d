/* SPDX-License-Identifier: Apache-2.0 */
/* Stretches of a table in which no key is there, so that iterators pass them with one seek.
 *
 * A hundred thousand deletes leave as many tombstones, and rows under them, until a flush and a
 * merge have removed both; an iterator that comes upon them would step over each. A *run* [lo, hi)
 * of a table says: no key k with lo <= k < hi is visible at any sequence number s >= since that is
 * visible now. Runs are in memory only, few, and lost at will: whoever finds none steps.
 *
 * Invariants:
 * 1. A run is noted from a *watch*, which works like a run that claims nothing yet: see below. So
 *    from the moment a run speaks of until it is forgotten no row escapes it.
 * 2. Before a row that is no delete becomes visible, its key is *revived*: the run it lies in is
 *    split into [lo, k) and what comes behind k. Claims only shrink by that.
 * 3. A reader uses a run with since <= its own sequence number, which was visible before it looked.
 *    It must see all rows up to that number and nothing that a later row removed: see `exact` in
 *    db_iter.h.
 *
 * Noting: dead_runs_watch() first makes the watch known and then reads which sequence number was
 * announced last, A. dead_runs_announce(), by the leader of writers, first announces its last
 * number and then looks for runs and watches. All four are sequentially consistent, so that a
 * leader which announces more than A sees the watch. The prober waits until A is visible, and walks
 * at a number s >= A from the watch's start to the first key that is there. Rows up to A the walk
 * meets; of later ones the watch keeps the smallest key that was put at or behind its start, and
 * the run ends there at the latest. (Announcing comes after the last thing that may fail in a
 * write, so that A becomes visible soon.)
 *
 * Refused: range deletes written to the store where a run is met. They make log, tables and
 * conflicts with transactions for what only reads need. Refused: runs noted by iterators as they
 * step. They have no watch, and an old one speaks of a state that is no more.
 *
 * Keys longer than DEAD_KEY_MAX bound no run: nothing is allocated after creation, so nothing
 * fails.
 *
 * Concurrency: one mutex, held for some comparisons of keys; `tables` says without it that a table
 * has neither run nor watch. One watch at a time. */
#ifndef KVCORE_DB_DEAD_RUNS_H
#define KVCORE_DB_DEAD_RUNS_H

#include <stdatomic.h>

#include <kv/slice.h>

#include "kvcore/util/thread.h"

enum {
    DEAD_KEY_MAX = 320, /* a name of 255 bytes below its directory is shorter */
    DEAD_RUN_MAX = 64,
    DEAD_SPLITS_MAX = 256, /* a run is forgotten that was split so often and not used in between */
    DEAD_SWEEPS_MAX = 6,   /* or was not used from one dead_runs_sweep() to this one in a row */
};

/* A key that owns its bytes. */
struct dead_key {
    uint16_t size;
    uint8_t bytes[DEAD_KEY_MAX];
};

/* [lo, hi); an empty `hi`: to the end of the table. */
struct dead_span {
    struct dead_key lo, hi;
};

struct dead_run {
    uint32_t table_id;
    uint64_t since;
    struct dead_span span;
    uint64_t touched; /* when it was used, or else made; counts what happened in the set */
    bool used;
    unsigned splits; /* since it was used */
    unsigned sweeps; /* likewise */
};

struct dead_watch {
    bool is;
    uint32_t table_id;
    struct dead_span span; /* `hi`: the smallest key revived behind `lo` */
    bool spoilt;           /* a key that cannot be kept was revived, or the table is gone */
};

struct dead_runs {
    _Atomic uint64_t tables;    /* bit id - 1 of those that have runs or the watch */
    _Atomic uint64_t announced; /* by the leader of writers: the last number of its rows */
    struct mutex mu;
    struct dead_run runs[DEAD_RUN_MAX] GUARDED_BY(&mu);
    uint8_t order[DEAD_RUN_MAX] GUARDED_BY(&mu); /* of `runs` by table and lo; the free ones last */
    unsigned count GUARDED_BY(&mu);
    uint64_t tick GUARDED_BY(&mu);
    struct dead_watch watch GUARDED_BY(&mu);
};

static inline struct kv_slice dead_key_slice(const struct dead_key *key)
{
    return kv_slice(key->bytes, key->size);
}

/* False if the key is too long to be kept; then `to` is as it was. */
static inline bool dead_key_set(struct dead_key *to, struct kv_slice key)
{
    if (key.size > DEAD_KEY_MAX) {
        return false;
    }
    to->size = (uint16_t)key.size;
    if (key.size > 0) {
        memcpy(to->bytes, key.data, key.size);
    }
    return true;
}

/* Errors: -ENOMEM. */
KV_MUST_CHECK int dead_runs_create(struct dead_runs **ret_set);
void dead_runs_destroy(struct dead_runs *set); /* accepts NULL */

/* ---- readers ---- */

/* May there be runs in this table? Also asked by who knows only its bit. */
static inline bool dead_runs_concern(uint64_t tables, uint32_t table_id)
{
    return (tables >> (table_id - 1) & 1) != 0;
}

static inline uint64_t dead_runs_tables(const struct dead_runs *set)
{
    return atomic_load_explicit(&set->tables, memory_order_relaxed);
}

/* The run that `key` lies in and that holds at `sequence`. */
bool dead_runs_find(struct dead_runs *set, uint32_t table_id, struct kv_slice key,
                    uint64_t sequence, struct dead_span *ret_span);

/* ---- the leader of writers ---- */

/* Rows up to `sequence` will become visible. Returns the tables of which keys must be revived
 * before that. */
static inline uint64_t dead_runs_announce(struct dead_runs *set, uint64_t sequence)
{
    atomic_store_explicit(&set->announced, sequence, memory_order_seq_cst);
    return atomic_load_explicit(&set->tables, memory_order_seq_cst);
}

/* A row of this key is to become visible that is no delete. */
void dead_runs_revive(struct dead_runs *set, uint32_t table_id, struct kv_slice key);

/* ---- the prober, one thread at a time ---- */

/* From now on keys that are revived at or behind `start` are noticed. Returns the number that must
 * be visible before the walk begins. */
uint64_t dead_runs_watch(struct dead_runs *set, uint32_t table_id, const struct dead_key *start);
/* The watch ends: of [start, *end) no key is visible at `since` (end NULL: nothing is known). The
 * run is noted as far as no key in it was revived meanwhile, joined with those it touches. */
void dead_runs_note(struct dead_runs *set, uint64_t since, const struct dead_key *end);
/* Forget runs that nobody uses. Called now and then; returns how many are left. */
unsigned dead_runs_sweep(struct dead_runs *set);

/* ---- anybody ---- */

/* The table is dropped. */
void dead_runs_forget(struct dead_runs *set, uint32_t table_id);

#endif
