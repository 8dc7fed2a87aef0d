/* SPDX-License-Identifier: Apache-2.0 */
/* Row locks, and who waits for whom.
 *
 * A lock is of one key, exclusive, and held by a *party* (a transaction) until the party gives up
 * all it holds. Locks lie in shards by the hash of their key; taking a free one touches one shard's
 * mutex and nothing else. Who has to wait joins the lock's queue, and whoever gives a lock up hands
 * it to the first of the queue: nobody overtakes, and no wake-up can be lost, since what wakes is
 * the fact (`granted`), not the signal.
 *
 * Deadlocks: locks are exclusive and a party waits for one at a time, so everybody who waits has
 * exactly one edge in the graph of who waits for whom: to the owner of the lock it waits for. A
 * circle closes only when somebody begins to wait (handing a lock over turns edges towards one who
 * waits for nobody). So whoever begins to wait follows the edges from itself: they end at somebody
 * who runs, or lead back to itself, and then what was passed is the circle. The youngest in it is
 * *doomed*: it waits no more from that moment, so the circle is broken before anybody else looks.
 * Edges are read and changed under the mutex of the graph only; so a circle that is seen is one,
 * and nobody is doomed outside of one. (Refused: searching after a time-out, which finds circles
 * late, and a search of limited depth over a changing graph, which may doom the innocent.)
 *
 * Concurrency. Mutex of a shard: its hash table, and whether a lock's queue is empty. Of the graph:
 * the owner of a lock with a queue, and all fields of a party that say what it waits for. A queue
 * changes under both. The shard's is taken first. `held` of a party is its own. */
#ifndef KVCORE_TXN_LOCKS_H
#define KVCORE_TXN_LOCKS_H

#include <stdatomic.h>

#include <kv/slice.h>

#include "kvcore/util/thread.h"

struct lock;
struct lock_shard;

struct lock_party {
    uint64_t age; /* constant; the largest is the youngest */
    struct lock *held;
    /* While it waits; mutex of the graph. */
    struct lock *waiting;    /* NULL: it does not, or no more */
    struct lock_party *next; /* in the queue */
    bool queued;             /* in a queue, perhaps doomed */
    bool granted, doomed;
    bool has_turn; /* it waited once: most never do */
    struct condvar turn;
};

struct lock_counters {
    _Atomic uint64_t held, waits, deadlocks, timeouts;
};

struct locks {
    struct lock_shard *shards;
    struct mutex graph_mu;
    struct lock_counters counters;
};

KV_MUST_CHECK int locks_init(struct locks *locks);
void locks_finish(struct locks *locks); /* no lock may be held */

void lock_party_init(struct lock_party *party, uint64_t age);
void lock_party_finish(struct lock_party *party); /* holds none */

/* Take the lock of the key, waiting for `timeout_ms` at most. What the party holds already it gets
 * at once. Errors: -EDEADLK it is the youngest in a circle; -ETIMEDOUT; -ENOMEM. */
KV_MUST_CHECK int locks_take(struct locks *locks, struct lock_party *party, uint32_t table_id,
                             struct kv_slice key, unsigned timeout_ms);
/* Give up everything the party holds. */
void locks_release(struct locks *locks, struct lock_party *party);

#endif
