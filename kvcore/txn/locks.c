/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/txn/locks.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/clock.h"

enum {
    SHARDS = 64, /* a power of two */
    BUCKETS_MIN = 16,
    SHARD_SHIFT = 58, /* the upper bits choose the shard, the lower ones the bucket */
};

struct lock {
    struct lock *next_in_bucket;
    struct lock *next_held;
    struct lock_party *owner;
    struct lock_party *first, *last; /* who waits */
    uint64_t hash;
    uint32_t table_id;
    uint32_t key_size;
    uint8_t key[];
};

struct lock_shard {
    struct mutex mu;
    struct lock **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
};

int locks_init(struct locks *locks)
{
    *locks = (struct locks){.shards = calloc(SHARDS, sizeof *locks->shards)};
    if (locks->shards == NULL) {
        return -ENOMEM;
    }
    mutex_init(&locks->graph_mu, LOCK_RANK_TXN_GRAPH, "lock graph");
    for (int i = 0; i < SHARDS; i++) {
        mutex_init(&locks->shards[i].mu, LOCK_RANK_TXN_SHARD, "lock shard");
    }
    return 0;
}

void locks_finish(struct locks *locks)
{
    for (int i = 0; i < SHARDS; i++) {
        assert(locks->shards[i].count == 0);
        mutex_finish(&locks->shards[i].mu);
        free(locks->shards[i].buckets);
    }
    mutex_finish(&locks->graph_mu);
    free(locks->shards);
}

void lock_party_init(struct lock_party *party, uint64_t age)
{
    *party = (struct lock_party){.age = age};
}

void lock_party_finish(struct lock_party *party)
{
    assert(party->held == NULL && !party->queued);
    if (party->has_turn) {
        condvar_finish(&party->turn);
    }
}

/* ---- a shard's table ---- */

static struct lock_shard *shard_of(struct locks *locks, uint64_t hash)
{
    return &locks->shards[hash >> SHARD_SHIFT];
}

static struct lock **bucket_of(const struct lock_shard *shard, uint64_t hash)
{
    return &shard->buckets[hash & (shard->bucket_count - 1)];
}

static struct lock *find(const struct lock_shard *shard, uint64_t hash, uint32_t table_id,
                         struct kv_slice key)
{
    struct lock *lock = shard->bucket_count > 0 ? *bucket_of(shard, hash) : NULL;
    while (lock != NULL && (lock->hash != hash || lock->table_id != table_id ||
                            !kv_slice_equal(kv_slice(lock->key, lock->key_size), key))) {
        lock = lock->next_in_bucket;
    }
    return lock;
}

/* Twice the buckets. With a table that is too small it works as well, but slower. */
static int grow(struct lock_shard *shard)
{
    size_t count = shard->bucket_count > 0 ? shard->bucket_count * 2 : BUCKETS_MIN;
    struct lock_shard larger = {.bucket_count = count, .buckets = calloc(count, sizeof(void *))};

    if (larger.buckets == NULL) {
        return shard->bucket_count > 0 ? 0 : -ENOMEM;
    }
    for (size_t i = 0; i < shard->bucket_count; i++) {
        while (shard->buckets[i] != NULL) {
            struct lock *lock = shard->buckets[i];
            struct lock **bucket = bucket_of(&larger, lock->hash);
            shard->buckets[i] = lock->next_in_bucket;
            lock->next_in_bucket = *bucket;
            *bucket = lock;
        }
    }
    free(shard->buckets);
    shard->buckets = larger.buckets;
    shard->bucket_count = count;
    return 0;
}

static int make(struct lock_shard *shard, struct lock_party *party, uint64_t hash,
                uint32_t table_id, struct kv_slice key)
{
    struct lock **bucket;
    struct lock *lock;

    if (shard->count >= shard->bucket_count) {
        int r = grow(shard);
        if (r < 0) {
            return r;
        }
    }
    lock = malloc(sizeof *lock + key.size);
    if (lock == NULL) {
        return -ENOMEM;
    }
    *lock = (struct lock){
        .owner = party, .hash = hash, .table_id = table_id, .key_size = (uint32_t)key.size};
    memcpy(lock->key, key.data, key.size);
    bucket = bucket_of(shard, hash);
    lock->next_in_bucket = *bucket;
    *bucket = lock;
    shard->count++;
    lock->next_held = party->held;
    party->held = lock;
    return 0;
}

static void remove_lock(struct lock_shard *shard, struct lock *lock)
{
    struct lock **at = bucket_of(shard, lock->hash);
    while (*at != lock) {
        at = &(*at)->next_in_bucket;
    }
    *at = lock->next_in_bucket;
    shard->count--;
    free(lock);
}

/* ---- the graph ---- */

/* The youngest in the circle that `party` closes, or NULL if its edges lead to somebody who runs.
 */
static struct lock_party *find_victim(struct locks *locks, struct lock_party *party)
    REQUIRES(&locks->graph_mu)
{
    struct lock_party *youngest = party;
    struct lock_party *at = party;

    mutex_assert_held(&locks->graph_mu);
    while (at->waiting != NULL) {
        at = at->waiting->owner;
        if (at == party) {
            return youngest;
        }
        if (at->age > youngest->age) {
            youngest = at;
        }
    }
    return NULL;
}

/* Begin to wait. Errors: -EDEADLK. */
static int enqueue(struct locks *locks, struct lock *lock, struct lock_party *party)
    REQUIRES(&locks->graph_mu)
{
    struct lock_party *victim;

    party->waiting = lock;
    party->granted = false;
    party->doomed = false;
    victim = find_victim(locks, party);
    if (victim != NULL) {
        atomic_fetch_add_explicit(&locks->counters.deadlocks, 1, memory_order_relaxed);
        victim->waiting = NULL;
    }
    if (victim == party) {
        return -EDEADLK;
    }
    if (victim != NULL) {
        victim->doomed = true;
        condvar_signal(&victim->turn);
    }
    if (!party->has_turn) {
        condvar_init(&party->turn);
        party->has_turn = true;
    }
    party->next = NULL;
    party->queued = true;
    if (lock->last != NULL) {
        lock->last->next = party;
    } else {
        lock->first = party;
    }
    lock->last = party;
    return 0;
}

static struct lock_party *queue_pop(struct lock *lock)
{
    struct lock_party *party = lock->first;
    lock->first = party->next;
    if (lock->first == NULL) {
        lock->last = NULL;
    }
    party->queued = false;
    return party;
}

/* Take the party out of the middle of the queue. */
static void queue_leave(struct lock *lock, struct lock_party *party)
{
    struct lock_party *before = NULL;
    for (struct lock_party *p = lock->first; p != party; p = p->next) {
        before = p;
    }
    if (before != NULL) {
        before->next = party->next;
    } else {
        lock->first = party->next;
    }
    if (lock->last == party) {
        lock->last = before;
    }
    party->queued = false;
}

/* Wait until the lock is handed over, the party doomed, or the time over. */
static void wait_for_turn(struct locks *locks, struct lock_party *party, uint64_t deadline_ns)
{
    mutex_lock(&locks->graph_mu);
    while (!party->granted && !party->doomed) {
        if (!condvar_wait_until(&party->turn, &locks->graph_mu, deadline_ns)) {
            break;
        }
    }
    mutex_unlock(&locks->graph_mu);
}

/* What came of it. The lock may be handed over, or the party doomed, until both mutexes are held
 * here; and as long as the party stands in the queue the lock exists. */
static int leave_queue(struct locks *locks, struct lock_shard *shard, struct lock *lock,
                       struct lock_party *party)
{
    int r = 0;

    mutex_lock(&shard->mu);
    mutex_lock(&locks->graph_mu);
    if (party->granted) {
        lock->next_held = party->held;
        party->held = lock;
    } else {
        r = party->doomed ? -EDEADLK : -ETIMEDOUT;
        if (party->queued) {
            queue_leave(lock, party);
        }
        party->waiting = NULL;
    }
    mutex_unlock(&locks->graph_mu);
    mutex_unlock(&shard->mu);
    return r;
}

static int wait_for(struct locks *locks, struct lock_shard *shard, struct lock *lock,
                    struct lock_party *party, unsigned timeout_ms)
{
    uint64_t deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    int r;

    atomic_fetch_add_explicit(&locks->counters.waits, 1, memory_order_relaxed);
    wait_for_turn(locks, party, deadline_ns);
    r = leave_queue(locks, shard, lock, party);
    if (r == -ETIMEDOUT) {
        atomic_fetch_add_explicit(&locks->counters.timeouts, 1, memory_order_relaxed);
    }
    return r;
}

int locks_take(struct locks *locks, struct lock_party *party, uint32_t table_id,
               struct kv_slice key, unsigned timeout_ms)
{
    uint64_t hash = hash_bytes(key, table_id);
    struct lock_shard *shard = shard_of(locks, hash);
    struct lock *lock;
    bool wait = false;
    int r = 0;

    mutex_lock(&shard->mu);
    lock = find(shard, hash, table_id, key);
    if (lock == NULL) {
        r = make(shard, party, hash, table_id, key);
        if (r == 0) {
            atomic_fetch_add_explicit(&locks->counters.held, 1, memory_order_relaxed);
        }
    } else if (lock->owner != party) {
        mutex_lock(&locks->graph_mu);
        r = enqueue(locks, lock, party);
        mutex_unlock(&locks->graph_mu);
        wait = r == 0;
    }
    mutex_unlock(&shard->mu);
    return wait ? wait_for(locks, shard, lock, party, timeout_ms) : r;
}

/* Hand the lock to the first who still wants it. False: nobody does. */
static bool hand_over(struct locks *locks, struct lock *lock)
{
    bool handed = false;

    mutex_lock(&locks->graph_mu);
    while (lock->first != NULL && !handed) {
        struct lock_party *party = queue_pop(lock);
        if (!party->doomed) {
            lock->owner = party;
            party->waiting = NULL;
            party->granted = true;
            handed = true;
            condvar_signal(&party->turn);
        }
    }
    mutex_unlock(&locks->graph_mu);
    return handed;
}

void locks_release(struct locks *locks, struct lock_party *party)
{
    uint64_t freed = 0;

    while (party->held != NULL) {
        struct lock *lock = party->held;
        struct lock_shard *shard = shard_of(locks, lock->hash);
        party->held = lock->next_held;
        mutex_lock(&shard->mu);
        if (lock->first == NULL || !hand_over(locks, lock)) {
            remove_lock(shard, lock);
            freed++;
        }
        mutex_unlock(&shard->mu);
    }
    atomic_fetch_sub_explicit(&locks->counters.held, freed, memory_order_relaxed);
}
