/* SPDX-License-Identifier: Apache-2.0 */
/* Iterators pass what was deleted key by key, and miss nothing that is there. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/dead_probe.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

enum {
    DELETED = 100000,
    FEW = 3000,   /* keys an iterator may step over in place of so many, */
    MANY = 20000, /* or of these */
    SMALL = 500,
    LARGE_VALUE = 8192,
};

struct world {
    struct kv_storage *storage;
    struct kv_store *store;
    struct kv_table *table;
};

static struct kv_slice key_of(uint64_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "k%08" PRIu64, i));
}

static void open_store(struct world *w, bool background)
{
    struct kv_options options = {
        .create = true, .no_background = !background, .blob_commit_bytes = 4096};
    ck_ok(kv_open(w->storage, &options, &w->store));
    ck_ok(kv_table_open(w->store, "t", NULL, &w->table));
    w->store->dead_probe->enabled = true;
}

static void world_init(struct world *w, bool background)
{
    *w = (struct world){0};
    ck_ok(kv_storage_mem_create(&w->storage));
    open_store(w, background);
}

static void world_finish(struct world *w)
{
    ck_ok(kv_close(w->store));
    kv_storage_mem_destroy(w->storage);
}

/* Probes everywhere, for any key that is gone. */
static void make_eager(struct world *w)
{
    struct dead_probe *probe = w->store->dead_probe;
    probe->pass_after = 1;
    probe->ask_after = 1;
    probe->streak = 8;
    probe->walk = 64;
    probe->note_min = 1;
}

static void probe_all(struct world *w)
{
    while (dead_probe_step(w->store)) {
    }
}

static void put(struct world *w, uint64_t i)
{
    char key[16];
    ck_ok(kv_put(w->table, key_of(i, key), kv_slice_str("value"), KV_DURABLE_WRITE));
}

static void delete (struct world *w, uint64_t i)
{
    char key[16];
    ck_ok(kv_delete(w->table, key_of(i, key), KV_DURABLE_WRITE));
}

static void put_all(struct world *w, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        put(w, i);
    }
}

static void delete_all(struct world *w, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        delete (w, i);
        if (w->store->options.no_background) {
            probe_all(w);
        }
    }
}

static uint64_t stepped(struct world *w)
{
    struct kv_stats stats;
    kv_stats(w->store, &stats);
    return stats.deleted_stepped;
}

static uint64_t passed(struct world *w)
{
    struct kv_stats stats;
    kv_stats(w->store, &stats);
    return stats.deleted_passed;
}

/* The number of the first key from `from` on, or of the last up to it; UINT64_MAX: there is none.
 */
static uint64_t seek(struct world *w, const struct kv_snapshot *snapshot, uint64_t from,
                     bool forward)
{
    const struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;
    uint64_t found = UINT64_MAX;
    char key[16];

    ck_ok(kv_iter_create(w->table, &options, &it));
    if (forward) {
        kv_iter_seek(it, key_of(from, key));
    } else {
        kv_iter_seek_for_prev(it, key_of(from, key));
    }
    ck_ok(kv_iter_error(it));
    if (kv_iter_valid(it)) {
        struct kv_slice k = kv_iter_key(it);
        char text[16] = {0};
        memcpy(text, k.data + 1, k.size - 1);
        found = strtoul(text, NULL, 10);
    }
    kv_iter_destroy(it);
    return found;
}

static uint64_t first_key(struct world *w)
{
    return seek(w, NULL, 0, true);
}

START_TEST(a_seek_after_a_hundred_thousand_deletes_steps_over_few)
{
    struct world w;
    world_init(&w, false);
    put_all(&w, DELETED + 2);
    delete_all(&w, DELETED);
    ck_assert_uint_eq(first_key(&w), DELETED);
    ck_assert_uint_lt(stepped(&w), FEW);
    ck_assert_uint_eq(seek(&w, NULL, DELETED - 1, false), UINT64_MAX);
    ck_assert_uint_lt(stepped(&w), 2 * FEW);
    probe_all(&w);
    put(&w, DELETED / 2);
    uint64_t before = stepped(&w);
    ck_assert_uint_eq(first_key(&w), DELETED / 2);
    ck_assert_uint_eq(seek(&w, NULL, DELETED / 2 + 1, true), DELETED);
    ck_assert_uint_eq(seek(&w, NULL, DELETED - 1, false), DELETED / 2);
    ck_assert_uint_eq(seek(&w, NULL, DELETED / 2 - 1, false), UINT64_MAX);
    ck_assert_uint_lt(stepped(&w) - before, FEW);
    world_finish(&w);
}
END_TEST

START_TEST(deletes_from_the_last_key_to_the_first_are_passed_too)
{
    struct world w;
    world_init(&w, false);
    put_all(&w, MANY + 1);
    for (uint64_t i = MANY; i-- > 0;) {
        delete (&w, i);
        probe_all(&w);
    }
    ck_assert_uint_eq(first_key(&w), MANY);
    ck_assert_uint_lt(stepped(&w), FEW);
    world_finish(&w);
}
END_TEST

START_TEST(an_iterator_that_stepped_far_finds_a_run_the_next_time)
{
    struct world w;
    world_init(&w, false);
    w.store->dead_probe->streak = UINT32_MAX;
    put_all(&w, MANY + 1);
    delete_all(&w, MANY);
    ck_assert_uint_eq(first_key(&w), MANY);
    ck_assert_uint_ge(stepped(&w), MANY);
    probe_all(&w);
    uint64_t before = stepped(&w);
    ck_assert_uint_eq(first_key(&w), MANY);
    ck_assert_uint_lt(stepped(&w) - before, 100);
    ck_assert_uint_gt(passed(&w), 0);
    world_finish(&w);
}
END_TEST

START_TEST(an_iterator_that_stepped_far_backward_finds_a_run_the_next_time)
{
    struct world w;
    world_init(&w, false);
    w.store->dead_probe->streak = UINT32_MAX;
    put_all(&w, MANY);
    for (uint64_t i = 1; i < MANY; i++) {
        delete (&w, i);
    }
    ck_assert_uint_eq(seek(&w, NULL, MANY, false), 0);
    probe_all(&w);
    uint64_t before = stepped(&w);
    ck_assert_uint_eq(seek(&w, NULL, MANY, false), 0);
    ck_assert_uint_lt(stepped(&w) - before, 200);
    world_finish(&w);
}
END_TEST

START_TEST(the_thread_of_the_store_finds_runs)
{
    struct world w;
    uint64_t until = clock_monotonic_ns() + test_patience_ms() * 1000000;
    uint64_t last = UINT64_MAX;
    world_init(&w, true);
    put_all(&w, MANY + 1);
    delete_all(&w, MANY);
    while (last >= FEW && clock_monotonic_ns() < until) {
        uint64_t before = stepped(&w);
        ck_assert_uint_eq(first_key(&w), MANY);
        last = stepped(&w) - before;
    }
    ck_assert_uint_lt(last, FEW);
    world_finish(&w);
}
END_TEST

/* SMALL + 1 keys, of which all but the last are deleted, and known to be. */
static void small_run(struct world *w)
{
    world_init(w, false);
    make_eager(w);
    put_all(w, SMALL + 1);
    delete_all(w, SMALL);
    ck_assert_uint_eq(first_key(w), SMALL);
    probe_all(w);
    ck_assert_uint_eq(first_key(w), SMALL);
    ck_assert_uint_gt(passed(w), 0);
}

START_TEST(a_snapshot_from_before_the_deletes_shows_every_key)
{
    struct world w;
    struct kv_snapshot *snapshot = NULL;
    world_init(&w, false);
    make_eager(&w);
    put_all(&w, SMALL + 1);
    delete_all(&w, 10);
    ck_ok(kv_snapshot_create(w.store, &snapshot));
    delete_all(&w, SMALL);
    ck_assert_uint_eq(first_key(&w), SMALL);
    for (uint64_t i = 0; i < SMALL; i++) {
        ck_assert_uint_eq(seek(&w, snapshot, i, true), i < 10 ? 10 : i);
        ck_assert_uint_eq(seek(&w, snapshot, i, false), i < 10 ? UINT64_MAX : i);
    }
    kv_snapshot_release(snapshot);
    world_finish(&w);
}
END_TEST

START_TEST(a_key_put_into_a_run_is_found)
{
    struct world w;
    small_run(&w);
    put(&w, 77);
    ck_assert_uint_eq(first_key(&w), 77);
    ck_assert_uint_eq(seek(&w, NULL, 78, true), SMALL);
    ck_assert_uint_eq(seek(&w, NULL, SMALL - 1, false), 77);
    ck_assert_uint_eq(seek(&w, NULL, 76, false), UINT64_MAX);
    world_finish(&w);
}
END_TEST

START_TEST(a_large_value_put_into_a_run_is_found)
{
    static uint8_t bytes[LARGE_VALUE];
    struct world w;
    char key[16];
    small_run(&w);
    ck_ok(kv_put(w.table, key_of(77, key), kv_slice(bytes, sizeof bytes), KV_DURABLE_WRITE));
    ck_assert_uint_eq(first_key(&w), 77);
    world_finish(&w);
}
END_TEST

START_TEST(a_damaged_row_put_into_a_run_is_found)
{
    struct world w;
    struct kv_batch *batch = NULL;
    char key[16];
    small_run(&w);
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put_lost(batch, w.table, key_of(77, key)));
    ck_ok(kv_write(w.store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    ck_assert_uint_eq(first_key(&w), 77);
    world_finish(&w);
}
END_TEST

START_TEST(a_batch_that_deletes_and_puts_a_key_of_a_run_shows_it)
{
    struct world w;
    struct kv_batch *batch = NULL;
    char key[16];
    small_run(&w);
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_delete_range(batch, w.table, key_of(0, key), kv_slice_str("k00000400")));
    ck_ok(kv_batch_put(batch, w.table, key_of(77, key), kv_slice_str("v")));
    ck_ok(kv_batch_delete(batch, w.table, key_of(76, key)));
    ck_ok(kv_write(w.store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    ck_assert_uint_eq(first_key(&w), 77);
    world_finish(&w);
}
END_TEST

START_TEST(bounds_end_a_search_inside_a_run)
{
    struct world w;
    struct kv_iter *it = NULL;
    char low[16];
    char high[16];
    small_run(&w);
    const struct kv_iter_options options = {.lower = key_of(100, low), .upper = key_of(200, high)};
    ck_ok(kv_iter_create(w.table, &options, &it));
    uint64_t before = stepped(&w);
    kv_iter_seek_first(it);
    ck_assert(!kv_iter_valid(it) && kv_iter_error(it) == 0);
    kv_iter_seek_last(it);
    ck_assert(!kv_iter_valid(it) && kv_iter_error(it) == 0);
    kv_iter_destroy(it);
    ck_assert_uint_lt(stepped(&w) - before, 10);
    put(&w, 150);
    ck_ok(kv_iter_create(w.table, &options, &it));
    kv_iter_seek_first(it);
    ck_assert(kv_iter_valid(it));
    kv_iter_seek_last(it);
    ck_assert(kv_iter_valid(it));
    kv_iter_next(it);
    ck_assert(!kv_iter_valid(it) && kv_iter_error(it) == 0);
    kv_iter_destroy(it);
    world_finish(&w);
}
END_TEST

START_TEST(runs_are_gone_after_reopening_and_keys_are_as_they_were)
{
    struct world w;
    small_run(&w);
    ck_ok(kv_close(w.store));
    open_store(&w, false);
    ck_assert_uint_eq(dead_runs_tables(w.store->dead_runs), 0);
    put(&w, 77);
    ck_assert_uint_eq(first_key(&w), 77);
    world_finish(&w);
}
END_TEST

START_TEST(a_dropped_table_leaves_no_run)
{
    struct world w;
    char key[16];
    small_run(&w);
    ck_assert(dead_probe_ask(w.store, w.table->id, key_of(0, key)));
    ck_ok(kv_table_drop(w.store, "t"));
    ck_assert_uint_eq(dead_runs_tables(w.store->dead_runs), 0);
    probe_all(&w);
    ck_assert_uint_eq(dead_runs_tables(w.store->dead_runs), 0);
    world_finish(&w);
}
END_TEST

START_TEST(a_store_for_reading_asks_for_no_probes)
{
    struct world w;
    struct kv_options options = {.read_only = true};
    small_run(&w);
    ck_ok(kv_close(w.store));
    ck_ok(kv_open(w.storage, &options, &w.store));
    ck_ok(kv_table_open(w.store, "t", NULL, &w.table));
    ck_assert(!w.store->dead_probe->enabled);
    ck_assert_uint_eq(first_key(&w), SMALL);
    world_finish(&w);
}
END_TEST

/* ---- writers beside a probe ---- */

static void *take_step(void *arg)
{
    struct world *w = arg;
    ck_assert(dead_probe_step(w->store));
    return NULL;
}

static void pause_ms(unsigned ms)
{
    const struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
}

static bool is_watched(struct world *w)
{
    bool is;
    mutex_lock(&w->store->dead_runs->mu);
    is = w->store->dead_runs->watch.is;
    mutex_unlock(&w->store->dead_runs->mu);
    return is;
}

START_TEST(a_walk_waits_for_rows_that_were_announced_before_its_watch)
{
    struct world w;
    struct thread thread;
    char key[16];

    world_init(&w, false);
    make_eager(&w);
    w.store->dead_probe->streak = UINT32_MAX;
    put_all(&w, 50);
    delete_all(&w, 40);
    /* A leader has announced a row, seen no watch, and put nothing into the memtable yet. */
    dead_runs_announce(w.store->dead_runs, visible_sequence(w.store) + 1);
    ck_assert(dead_probe_ask(w.store, w.table->id, key_of(0, key)));
    ck_ok(thread_start(&thread, "probe", take_step, &w));
    pause_ms(100);
    uint64_t concerned = atomic_exchange(&w.store->dead_runs->tables, 0);
    put(&w, 20);
    thread_join(&thread);
    atomic_fetch_or(&w.store->dead_runs->tables, concerned); /* a run counts, should there be one */
    ck_assert_uint_eq(first_key(&w), 20);
    ck_assert(!is_watched(&w));
    world_finish(&w);
}
END_TEST

enum { KEYS = 2000, READERS = 3, GROUP = 40 };

/* Keys that one thread changes and others read. A key's state is even while nobody changes it. */
enum { CHANGING = 1, PRESENT = 2, CHANGE = 4 };

struct revival {
    struct world w;
    _Atomic uint64_t state[KEYS];
    _Atomic bool stop;
};

struct scanner {
    struct revival *revival;
    uint64_t seed;
    uint64_t scans;
    uint64_t before[KEYS];
    bool seen[KEYS];
};

static void scan(struct scanner *s, struct rng *rng)
{
    struct revival *r = s->revival;
    bool forward = rng_below(rng, 2) == 0;
    struct kv_iter *it = NULL;

    memset(s->seen, 0, sizeof s->seen);
    for (size_t i = 0; i < KEYS; i++) {
        s->before[i] = atomic_load(&r->state[i]);
    }
    ck_ok(kv_iter_create(r->w.table, NULL, &it));
    if (forward) {
        kv_iter_seek_first(it);
    } else {
        kv_iter_seek_last(it);
    }
    while (kv_iter_valid(it)) {
        struct kv_slice key = kv_iter_key(it);
        char text[16] = {0};
        memcpy(text, key.data + 1, key.size - 1);
        s->seen[strtoul(text, NULL, 10)] = true;
        if (forward) {
            kv_iter_next(it);
        } else {
            kv_iter_prev(it);
        }
    }
    ck_ok(kv_iter_error(it));
    kv_iter_destroy(it);
    for (size_t i = 0; i < KEYS; i++) {
        uint64_t state = s->before[i];
        if ((state & CHANGING) == 0 && state == atomic_load(&r->state[i])) {
            ck_assert_msg(s->seen[i] == ((state & PRESENT) != 0), "key %zu, %s (seed %" PRIu64 ")",
                          i, s->seen[i] ? "deleted, is seen" : "put, is missed", test_seed());
        }
    }
    s->scans++;
}

static void *scan_on(void *arg)
{
    struct scanner *s = arg;
    struct rng rng = {s->seed};
    while (!atomic_load(&s->revival->stop)) {
        scan(s, &rng);
    }
    return NULL;
}

/* Put or delete some keys in one batch: neighbours, or any. */
static void change(struct revival *r, struct rng *rng, struct kv_batch *batch, bool present,
                   bool neighbours)
{
    size_t count = 1 + rng_below(rng, GROUP);
    size_t keys[GROUP];
    size_t first = rng_below(rng, KEYS);
    char key[16];

    kv_batch_clear(batch);
    for (size_t i = 0; i < count; i++) {
        keys[i] = neighbours ? (first + i) % KEYS : rng_below(rng, KEYS);
        atomic_fetch_or(&r->state[keys[i]], CHANGING);
        ck_ok(present ? kv_batch_put(batch, r->w.table, key_of(keys[i], key), kv_slice_str("v"))
                      : kv_batch_delete(batch, r->w.table, key_of(keys[i], key)));
    }
    ck_ok(kv_write(r->w.store, batch, KV_DURABLE_NONE));
    for (size_t i = 0; i < count; i++) {
        uint64_t state = atomic_load(&r->state[keys[i]]) & ~(uint64_t)(CHANGING | PRESENT);
        atomic_store(&r->state[keys[i]], (state + CHANGE) | (present ? PRESENT : 0));
    }
}

START_TEST(keys_that_come_back_are_seen_by_every_iterator_made_afterwards)
{
    struct revival *r = calloc(1, sizeof *r);
    struct scanner *scanners = calloc(READERS, sizeof *scanners);
    struct thread threads[READERS];
    struct kv_batch *batch = NULL;
    struct rng rng = {test_seed()};
    uint64_t steps = test_steps(20000);

    world_init(&r->w, true);
    make_eager(&r->w);
    ck_ok(kv_batch_create(&batch));
    for (size_t i = 0; i < READERS; i++) {
        scanners[i] = (struct scanner){.revival = r, .seed = test_seed() + i};
        ck_ok(thread_start(&threads[i], "scan", scan_on, &scanners[i]));
    }
    for (uint64_t i = 0; i < steps; i++) {
        bool present = rng_below(&rng, 4) == 0;
        change(r, &rng, batch, present, !present || rng_below(&rng, 4) == 0);
        if (rng_below(&rng, 2000) == 0) {
            ck_ok(kv_flush(r->w.store));
        }
    }
    atomic_store(&r->stop, true);
    for (size_t i = 0; i < READERS; i++) {
        thread_join(&threads[i]);
        ck_assert_uint_gt(scanners[i].scans, 0);
    }
    ck_assert_uint_gt(passed(&r->w), 0);
    kv_batch_destroy(batch);
    world_finish(&r->w);
    free(scanners);
    free(r);
}
END_TEST

Suite *test_suite(void)
{
    const TTest *const counts[] = {
        a_seek_after_a_hundred_thousand_deletes_steps_over_few,
        deletes_from_the_last_key_to_the_first_are_passed_too,
        an_iterator_that_stepped_far_finds_a_run_the_next_time,
        an_iterator_that_stepped_far_backward_finds_a_run_the_next_time,
        the_thread_of_the_store_finds_runs,
    };
    const TTest *const rows[] = {
        a_snapshot_from_before_the_deletes_shows_every_key,
        a_key_put_into_a_run_is_found,
        a_large_value_put_into_a_run_is_found,
        a_damaged_row_put_into_a_run_is_found,
        a_batch_that_deletes_and_puts_a_key_of_a_run_shows_it,
        bounds_end_a_search_inside_a_run,
        runs_are_gone_after_reopening_and_keys_are_as_they_were,
        a_dropped_table_leaves_no_run,
        a_store_for_reading_asks_for_no_probes,
    };
    const TTest *const threads[] = {
        a_walk_waits_for_rows_that_were_announced_before_its_watch,
        keys_that_come_back_are_seen_by_every_iterator_made_afterwards,
    };
    Suite *s = suite_create("dead_probe");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        suite_add(s, "counts", counts[i]);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        suite_add(s, "rows", rows[i]);
    }
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        suite_add(s, "threads", threads[i]);
    }
    return s;
}
