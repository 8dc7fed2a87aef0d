/* SPDX-License-Identifier: Apache-2.0 */
/* Row locks under contention: every circle is broken, by its youngest, and nobody else is. */
#include "tests/lib/check_main.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <kv/txn.h>

#include "kvcore/txn/locks.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

enum { PARTIES_MAX = 8, KEYS = 10 };

static struct locks locks;

static void begin(void)
{
    ck_ok(locks_init(&locks));
}

static void end(void)
{
    ck_assert_uint_eq(atomic_load(&locks.counters.held), 0);
    locks_finish(&locks);
}

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%u", i));
}

static int take(struct lock_party *party, unsigned key, unsigned timeout_ms)
{
    char text[16];
    return locks_take(&locks, party, 1, key_of(key, text), timeout_ms);
}

/* One transaction in a thread: it waits for one key, then gives up all it holds. */
struct actor {
    struct thread thread;
    struct lock_party party;
    unsigned key;
    unsigned timeout_ms;
    int result;
    uint64_t ended_ns;
};

static void *act(void *arg)
{
    struct actor *actor = arg;
    actor->result = take(&actor->party, actor->key, actor->timeout_ms);
    actor->ended_ns = clock_monotonic_ns();
    locks_release(&locks, &actor->party);
    return NULL;
}

static void start(struct actor *actor, unsigned key)
{
    actor->key = key;
    actor->timeout_ms = actor->timeout_ms != 0 ? actor->timeout_ms : (unsigned)test_patience_ms();
    ck_ok(thread_start(&actor->thread, "actor", act, actor));
}

static void await_waits(uint64_t count)
{
    uint64_t deadline_ns = clock_monotonic_ns() + test_patience_ms() * 1000000;
    while (atomic_load(&locks.counters.waits) < count) {
        ck_assert_msg(clock_monotonic_ns() < deadline_ns, "nobody waits");
        sched_yield();
    }
}

static void finish(struct actor *actor)
{
    thread_join(&actor->thread);
    lock_party_finish(&actor->party);
}

/* ---- circles ---- */

static void shuffle(struct rng *rng, unsigned *items, unsigned count)
{
    for (unsigned i = count; i > 1; i--) {
        unsigned other = (unsigned)rng_below(rng, i);
        unsigned kept = items[i - 1];
        items[i - 1] = items[other];
        items[other] = kept;
    }
}

/* `count` parties of random ages in a circle: each holds its key and wants the next one's. Returns
 * how long it took to break, from before the last began to wait. */
static uint64_t circle(struct rng *rng, unsigned count)
{
    struct actor actors[PARTIES_MAX] = {0};
    unsigned ages[PARTIES_MAX];
    unsigned order[PARTIES_MAX];
    unsigned victims = 0;
    uint64_t began_ns;
    uint64_t took_ns = 0;

    for (unsigned i = 0; i < count; i++) {
        ages[i] = order[i] = i;
    }
    shuffle(rng, ages, count);
    shuffle(rng, order, count);
    for (unsigned i = 0; i < count; i++) {
        lock_party_init(&actors[i].party, ages[i]);
        ck_ok(take(&actors[i].party, i, 1));
    }
    began_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < count; i++) {
        start(&actors[order[i]], (order[i] + 1) % count);
        began_ns = i + 1 < count ? clock_monotonic_ns() : began_ns;
    }
    for (unsigned i = 0; i < count; i++) {
        finish(&actors[i]);
        if (actors[i].result == -EDEADLK) {
            victims++;
            ck_assert_uint_eq(ages[i], count - 1);
            took_ns = actors[i].ended_ns - began_ns;
        } else {
            ck_ok(actors[i].result);
        }
    }
    ck_assert_uint_eq(victims, 1);
    return took_ns;
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

START_TEST(every_circle_is_broken_by_its_youngest_alone)
{
    struct rng rng = {test_seed()};
    size_t rounds = (size_t)test_steps(500);
    uint64_t *times = calloc(rounds, sizeof *times);

    ck_assert_ptr_nonnull(times);
    for (size_t i = 0; i < rounds; i++) {
        times[i] = circle(&rng, 2 + (unsigned)rng_below(&rng, PARTIES_MAX - 1));
    }
    ck_assert_uint_eq(atomic_load(&locks.counters.deadlocks), rounds);
    qsort(times, rounds, sizeof *times, compare_times);
    printf("# %zu circles, broken within %.2f ms (99 of 100), %.2f ms (all)\n", rounds,
           (double)times[rounds * 99 / 100] / 1e6, (double)times[rounds - 1] / 1e6);
    free(times);
}
END_TEST

START_TEST(who_waits_for_a_circle_from_outside_is_not_its_victim)
{
    struct actor actors[3] = {0};
    for (unsigned i = 0; i < 3; i++) {
        lock_party_init(&actors[i].party, i); /* the one outside is the youngest */
    }
    ck_ok(take(&actors[0].party, 0, 1));
    ck_ok(take(&actors[1].party, 1, 1));
    start(&actors[2], 0);
    await_waits(1);
    start(&actors[0], 1);
    await_waits(2);
    start(&actors[1], 0);
    for (unsigned i = 0; i < 3; i++) {
        finish(&actors[i]);
    }
    ck_ok(actors[0].result);
    ck_fails(actors[1].result, EDEADLK);
    ck_ok(actors[2].result);
}
END_TEST

/* ---- queues ---- */

START_TEST(a_lock_goes_to_the_first_who_still_wants_it)
{
    struct lock_party holder;
    struct actor actors[3] = {0};

    lock_party_init(&holder, 0);
    ck_ok(take(&holder, 0, 1));
    for (unsigned i = 0; i < 3; i++) {
        lock_party_init(&actors[i].party, i + 1);
        actors[i].timeout_ms = i == 0 ? 1 : 0;
        start(&actors[i], 0);
        await_waits(i + 1);
    }
    thread_join(&actors[0].thread);
    locks_release(&locks, &holder);
    lock_party_finish(&holder);
    lock_party_finish(&actors[0].party);
    finish(&actors[1]);
    finish(&actors[2]);
    ck_fails(actors[0].result, ETIMEDOUT);
    ck_ok(actors[1].result);
    ck_ok(actors[2].result);
    ck_assert_uint_le(actors[1].ended_ns, actors[2].ended_ns);
}
END_TEST

START_TEST(a_lock_that_is_held_already_is_got_at_once)
{
    struct lock_party party;
    lock_party_init(&party, 0);
    ck_ok(take(&party, 0, 1));
    ck_ok(take(&party, 0, 1));
    ck_assert_uint_eq(atomic_load(&locks.counters.held), 1);
    locks_release(&locks, &party);
    lock_party_finish(&party);
}
END_TEST

START_TEST(a_hundred_thousand_locks_are_held_and_given_up)
{
    struct lock_party party;
    lock_party_init(&party, 0);
    for (unsigned i = 0; i < 100000; i++) {
        ck_ok(take(&party, i, 1));
    }
    ck_assert_uint_eq(atomic_load(&locks.counters.held), 100000);
    locks_release(&locks, &party);
    lock_party_finish(&party);
}
END_TEST

/* ---- crowds ---- */

struct crowd {
    bool ascending; /* nobody can wait in a circle */
    uint64_t seed;
    uint64_t rounds;
    _Atomic uint64_t age;
    _Atomic uint64_t victims;
    _Atomic int error;
    _Atomic unsigned inside[KEYS]; /* holders of each lock */
};

struct member {
    struct crowd *crowd;
    struct thread thread;
    unsigned number;
};

/* Three different keys. */
static void draw_keys(struct rng *rng, bool ascending, unsigned keys[3])
{
    unsigned all[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        all[i] = i;
    }
    shuffle(rng, all, KEYS);
    memcpy(keys, all, 3 * sizeof *keys);
    for (int pass = 0; ascending && pass < 2; pass++) {
        for (int i = 0; i < 2; i++) {
            if (keys[i] > keys[i + 1]) {
                unsigned kept = keys[i];
                keys[i] = keys[i + 1];
                keys[i + 1] = kept;
            }
        }
    }
}

static void one_round(struct crowd *crowd, struct rng *rng)
{
    struct lock_party party;
    unsigned keys[3];
    int taken = 0;
    int r = 0;

    draw_keys(rng, crowd->ascending, keys);
    lock_party_init(&party, atomic_fetch_add(&crowd->age, 1));
    while (taken < 3 && r == 0) {
        r = take(&party, keys[taken], (unsigned)test_patience_ms());
        if (r == 0 && atomic_fetch_add(&crowd->inside[keys[taken++]], 1) != 0) {
            r = -EEXIST; /* somebody else holds it, too */
        }
        sched_yield(); /* so that others come upon it */
    }
    for (int i = 0; i < taken; i++) {
        atomic_fetch_sub(&crowd->inside[keys[i]], 1);
    }
    locks_release(&locks, &party);
    lock_party_finish(&party);
    if (r == -EDEADLK) {
        atomic_fetch_add(&crowd->victims, 1);
    } else if (r < 0) {
        atomic_store(&crowd->error, r);
    }
}

static void *mingle(void *arg)
{
    struct member *member = arg;
    struct rng rng = {hash_u64(member->crowd->seed + member->number)};
    for (uint64_t i = 0; i < member->crowd->rounds; i++) {
        one_round(member->crowd, &rng);
    }
    return NULL;
}

static void run_crowd(struct crowd *crowd)
{
    struct member members[PARTIES_MAX];
    for (unsigned i = 0; i < PARTIES_MAX; i++) {
        members[i] = (struct member){.crowd = crowd, .number = i};
        ck_ok(thread_start(&members[i].thread, "member", mingle, &members[i]));
    }
    for (unsigned i = 0; i < PARTIES_MAX; i++) {
        thread_join(&members[i].thread);
    }
    ck_ok(atomic_load(&crowd->error));
}

START_TEST(without_a_circle_there_is_no_victim_however_long_the_queues)
{
    struct crowd crowd = {.ascending = true, .seed = test_seed(), .rounds = test_steps(2000)};
    run_crowd(&crowd);
    ck_assert_uint_eq(atomic_load(&crowd.victims), 0);
    ck_assert_uint_eq(atomic_load(&locks.counters.deadlocks), 0);
}
END_TEST

START_TEST(in_a_crowd_that_locks_at_random_each_circle_costs_one_and_nobody_is_stuck)
{
    struct crowd crowd = {.seed = test_seed(), .rounds = test_steps(2000)};
    run_crowd(&crowd);
    ck_assert_uint_eq(atomic_load(&crowd.victims), atomic_load(&locks.counters.deadlocks));
    ck_assert_uint_eq(atomic_load(&locks.counters.timeouts), 0);
    printf("# %" PRIu64 " waits, %" PRIu64 " circles\n", atomic_load(&locks.counters.waits),
           atomic_load(&crowd.victims));
}
END_TEST

Suite *test_suite(void)
{
    const TTest *const tests[] = {
        every_circle_is_broken_by_its_youngest_alone,
        who_waits_for_a_circle_from_outside_is_not_its_victim,
        a_lock_goes_to_the_first_who_still_wants_it,
        a_lock_that_is_held_already_is_got_at_once,
        a_hundred_thousand_locks_are_held_and_given_up,
        without_a_circle_there_is_no_victim_however_long_the_queues,
        in_a_crowd_that_locks_at_random_each_circle_costs_one_and_nobody_is_stuck,
    };
    Suite *suite = suite_create("locks");
    TCase *tc = tcase_create("locks");
    tcase_add_checked_fixture(tc, begin, end);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        tcase_add_test(tc, tests[i]);
    }
    suite_add_tcase(suite, tc);
    return suite;
}
