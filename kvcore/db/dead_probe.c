/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/dead_probe.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/db_iter.h"
#include "kvcore/db/obsolete.h"
#include "kvcore/util/clock.h"

enum {
    PASS_AFTER = 32,
    ASK_AFTER = 1000,
    STREAK = 1024,
    WALK = 16384,
    NOTE_MIN = 64,
    WAIT_NS = 20000,
    WAITS_MAX = 50000, /* a second in all: somebody has stopped this process */
};

static const uint64_t sweep_ns = 10000000000; /* between looks for runs that nobody uses */

int dead_probe_create(struct kv_store *store)
{
    struct dead_probe *probe = calloc(1, sizeof *probe);
    int r = probe != NULL ? dead_runs_create(&store->dead_runs) : -ENOMEM;

    if (r < 0) {
        free(probe);
        return r;
    }
    probe->enabled = !store->options.no_background && !store->options.read_only;
    probe->pass_after = PASS_AFTER;
    probe->ask_after = ASK_AFTER;
    probe->streak = STREAK;
    probe->walk = WALK;
    probe->note_min = NOTE_MIN;
    mutex_init(&probe->mu, LOCK_RANK_LEAF, "probes of deleted keys");
    condvar_init(&probe->asked);
    store->dead_probe = probe;
    return 0;
}

void dead_probe_destroy(struct kv_store *store)
{
    struct dead_probe *probe = store->dead_probe;
    if (probe != NULL) {
        condvar_finish(&probe->asked);
        mutex_finish(&probe->mu);
        free(probe);
    }
    dead_runs_destroy(store->dead_runs);
}

/* ---- asking ---- */

static bool is_asked(const struct dead_probe *probe, uint32_t table_id, struct kv_slice start)
{
    for (unsigned i = 0; i < probe->count; i++) {
        const struct dead_ask *ask = &probe->asks[(probe->first + i) % DEAD_ASKS_MAX];
        if (ask->table_id == table_id && kv_slice_equal(dead_key_slice(&ask->start), start)) {
            return true;
        }
    }
    return false;
}

bool dead_probe_ask(struct kv_store *store, uint32_t table_id, struct kv_slice start)
{
    struct dead_probe *probe = store->dead_probe;
    bool has_room;

    if (!probe->enabled) {
        return false;
    }
    mutex_lock(&probe->mu);
    has_room = probe->count < DEAD_ASKS_MAX;
    if (has_room && !is_asked(probe, table_id, start)) {
        struct dead_ask *ask = &probe->asks[(probe->first + probe->count) % DEAD_ASKS_MAX];
        ask->table_id = table_id;
        if (dead_key_set(&ask->start, start) && probe->count++ == 0) {
            condvar_signal(&probe->asked);
        }
    }
    mutex_unlock(&probe->mu);
    return has_room;
}

void dead_probe_count_delete(struct kv_store *store, uint32_t table_id, struct kv_slice key)
{
    struct dead_probe *probe = store->dead_probe;
    struct dead_streak *streak = &probe->streaks[table_id - 1];

    if (!probe->enabled) {
        return;
    }
    if (streak->count == 0 || kv_slice_compare(key, dead_key_slice(&streak->smallest)) < 0) {
        if (!dead_key_set(&streak->smallest, key)) {
            return;
        }
    }
    if (++streak->count >= probe->streak) {
        bool asked = dead_probe_ask(store, table_id, dead_key_slice(&streak->smallest));
        streak->count = asked ? 0 : (streak->count + 1) / 2; /* or again when there may be room */
    }
}

static bool take_ask(struct dead_probe *probe, struct dead_ask *ret_ask)
{
    bool is;
    mutex_lock(&probe->mu);
    is = probe->count > 0;
    if (is) {
        *ret_ask = probe->asks[probe->first];
        probe->first = (probe->first + 1) % DEAD_ASKS_MAX;
        probe->count--;
    }
    mutex_unlock(&probe->mu);
    return is;
}

/* ---- walking ---- */

/* Rows up to `sequence` have been announced, and become visible as soon as their writer has put
 * them into memtables. */
static bool wait_until_visible(const struct kv_store *store, uint64_t sequence)
{
    const struct timespec pause = {.tv_nsec = WAIT_NS};
    for (unsigned i = 0; visible_sequence(store) < sequence; i++) {
        if (i == WAITS_MAX || atomic_load(&store->stopping)) {
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

/* What a walk found. */
struct walk {
    uint64_t sequence;   /* the state it saw */
    struct dead_key end; /* no key before this one; empty: none at all */
    bool gave_up;        /* the walk may go on there */
};

/* Whether it found anything worth a note. */
static bool walk(struct kv_table *table, const struct dead_key *start, struct walk *ret_walk)
{
    const struct kv_iter_options options = {.keep_cache = true};
    struct kv_slice end = {0};
    struct kv_iter *it = NULL;
    bool found = false;

    if (kv_iter_create(table, &options, &it) < 0) {
        return false;
    }
    if (it->exact && db_iter_walk(it, dead_key_slice(start), table->store->dead_probe->walk,
                                  &ret_walk->gave_up, &end) == 0) {
        ret_walk->sequence = it->sequence;
        found = (it->stepped >= table->store->dead_probe->note_min || it->passed > 0) &&
                dead_key_set(&ret_walk->end, end);
        it->stepped = 0; /* not the work of a reader */
        it->passed = 0;
    }
    kv_iter_destroy(it);
    obsolete_purge(table->store); /* what was merged or dropped while the iterator held it */
    return found;
}

static struct kv_table *table_of(struct kv_store *store, uint32_t id)
{
    struct kv_table *table;
    mutex_lock(&store->mu);
    table = store->tables[id - 1];
    mutex_unlock(&store->mu);
    return table;
}

bool dead_probe_step(struct kv_store *store)
{
    struct dead_ask ask;
    struct walk result = {0};
    struct kv_table *table;
    uint64_t announced;
    bool found;

    if (!take_ask(store->dead_probe, &ask)) {
        return false;
    }
    table = table_of(store, ask.table_id);
    if (table == NULL) {
        return true;
    }
    count_add(&store->counters.deleted_probes, 1);
    announced = dead_runs_watch(store->dead_runs, ask.table_id, &ask.start);
    found = wait_until_visible(store, announced) && walk(table, &ask.start, &result);
    dead_runs_note(store->dead_runs, result.sequence, found ? &result.end : NULL);
    if (found && result.gave_up) {
        dead_probe_ask(store, ask.table_id, dead_key_slice(&result.end));
    }
    return true;
}

/* ---- the thread ---- */

static bool wait_for_ask(struct kv_store *store, uint64_t sweep_at_ns)
{
    struct dead_probe *probe = store->dead_probe;
    bool in_time = true;

    mutex_lock(&probe->mu);
    while (in_time && !atomic_load(&store->stopping) && probe->count == 0) {
        if (dead_runs_tables(store->dead_runs) == 0) {
            condvar_wait(&probe->asked, &probe->mu);
        } else {
            in_time = condvar_wait_until(&probe->asked, &probe->mu, sweep_at_ns);
        }
    }
    mutex_unlock(&probe->mu);
    return !atomic_load(&store->stopping);
}

void *dead_probe_main(void *arg)
{
    struct kv_store *store = arg;
    uint64_t sweep_at_ns = clock_monotonic_ns() + sweep_ns;

    while (wait_for_ask(store, sweep_at_ns)) {
        dead_probe_step(store);
        if (clock_monotonic_ns() >= sweep_at_ns) {
            dead_runs_sweep(store->dead_runs);
            sweep_at_ns = clock_monotonic_ns() + sweep_ns;
        }
    }
    return NULL;
}

void dead_probe_wake(struct kv_store *store)
{
    struct dead_probe *probe = store->dead_probe;
    if (probe != NULL) {
        mutex_lock(&probe->mu);
        condvar_signal(&probe->asked);
        mutex_unlock(&probe->mu);
    }
}
