/* SPDX-License-Identifier: Apache-2.0 */
/* Readers take and leave views while views are replaced. */
#include "tests/lib/check_main.h"

#include <stdio.h>

#include "kvcore/db/store.h"
#include "kvcore/db/view.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"

enum {
    READERS = 4,
    KEYS = 64,
    BATCHES_SEEN = 10,
};

struct world {
    struct kv_storage *storage;
    struct kv_store *store;
    struct kv_table *table;
    _Atomic uint64_t written; /* every key has a value of at least this */
    _Atomic bool stop;
};

struct reader {
    struct world *world;
    uint64_t seed;
    uint64_t reads;
};

static struct kv_slice key_of(uint64_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05" PRIu64, i));
}

static void open_store(struct world *w, size_t memtable_bytes)
{
    struct kv_options options = {.create = true, .memtable_bytes = memtable_bytes};
    *w = (struct world){0};
    ck_ok(kv_storage_mem_create(&w->storage));
    ck_ok(kv_open(w->storage, &options, &w->store));
    ck_ok(kv_table_open(w->store, "t", NULL, &w->table));
}

static void put(struct world *w, uint64_t i, uint64_t number)
{
    char key[16];
    ck_ok(kv_put(w->table, key_of(i, key), kv_slice(&number, sizeof number), KV_DURABLE_WRITE));
}

/* The views that live, the present one among them. */
static size_t count_views(struct kv_store *store)
{
    size_t count = 0;
    mutex_lock(&store->mu);
    for (struct view *view = store->views.next; view != &store->views; view = view->next) {
        count++;
    }
    mutex_unlock(&store->mu);
    return count;
}

static uint64_t number_in(struct kv_slice value)
{
    uint64_t number = 0;
    ck_assert_uint_eq(value.size, sizeof number);
    memcpy(&number, value.data, sizeof number);
    return number;
}

static void get_one(struct world *w, struct rng *rng)
{
    char key[16];
    struct kv_pinned value = {0};
    uint64_t least = atomic_load(&w->written);
    ck_ok(kv_get(w->table, NULL, key_of(rng_below(rng, KEYS), key), &value));
    ck_assert_uint_ge(number_in(value.value), least);
    kv_pinned_release(&value);
}

static void scan_all(struct world *w)
{
    struct kv_iter *it = NULL;
    uint64_t least = atomic_load(&w->written);
    size_t rows = 0;
    ck_ok(kv_iter_create(w->table, NULL, &it));
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        struct kv_slice value;
        ck_ok(kv_iter_value(it, &value));
        ck_assert_uint_ge(number_in(value), least);
        rows++;
    }
    ck_assert_uint_eq(rows, KEYS);
    kv_iter_destroy(it);
}

static void *read_rows(void *arg)
{
    struct reader *reader = arg;
    struct rng rng = {reader->seed};
    while (!atomic_load(&reader->world->stop)) {
        if (rng_below(&rng, 16) == 0) {
            scan_all(reader->world);
        } else {
            get_one(reader->world, &rng);
        }
        reader->reads++;
    }
    return NULL;
}

START_TEST(readers_see_every_write_that_returned_and_leave_no_replaced_view_behind)
{
    struct world w;
    struct reader readers[READERS];
    struct thread threads[READERS];
    uint64_t rounds = test_steps(60);

    open_store(&w, (size_t)64 << 10);
    for (uint64_t i = 0; i < KEYS; i++) {
        put(&w, i, 0);
    }
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.world = &w, .seed = test_seed() + i};
        ck_ok(thread_start(&threads[i], "reader", read_rows, &readers[i]));
    }
    for (uint64_t round = 1; round <= rounds; round++) {
        for (uint64_t i = 0; i < KEYS; i++) {
            put(&w, i, round);
        }
        atomic_store(&w.written, round);
        ck_ok(kv_flush(w.store)); /* replaces the view twice, by a rotation and by its table */
    }
    atomic_store(&w.stop, true);
    for (size_t i = 0; i < READERS; i++) {
        thread_join(&threads[i]);
    }
    ck_ok(kv_compact(w.store));
    ck_assert_uint_eq(count_views(w.store), 1);
    ck_ok(kv_close(w.store));
    kv_storage_mem_destroy(w.storage);
}
END_TEST

START_TEST(a_view_that_is_left_is_found_again_and_goes_when_it_is_replaced)
{
    struct world w;
    struct view *first;
    struct view *second;
    uint64_t stamp;

    open_store(&w, (size_t)64 << 10);
    put(&w, 1, 1);
    first = view_acquire(w.store);
    second = view_acquire(w.store); /* the place is empty */
    ck_assert_ptr_eq(first, second);
    stamp = first->stamp;
    view_release(first);
    view_release(second); /* and now full */
    first = view_acquire(w.store);
    ck_assert_uint_eq(first->stamp, stamp);
    view_release(first);
    ck_ok(kv_flush(w.store)); /* nobody reads: the place gives the view up all the same */
    ck_assert(views_before_are_gone(w.store, stamp + 1));
    first = view_acquire(w.store);
    ck_assert_uint_gt(first->stamp, stamp);
    ck_ok(kv_flush(w.store));
    view_release(first);
    ck_assert_uint_eq(count_views(w.store), 1);
    ck_ok(kv_close(w.store));
    kv_storage_mem_destroy(w.storage);
}
END_TEST

/* ---- batches ---- */

/* What one who reads beside the writer of batches saw. */
struct watcher {
    struct world *world;
    uint64_t rows; /* of a batch */
    _Atomic uint64_t looks;
    _Atomic uint64_t torn; /* how often a snapshot had a part of a batch */
};

static uint64_t number_at(struct world *w, const struct kv_snapshot *snapshot, uint64_t i)
{
    struct kv_pinned value = {0};
    uint64_t number;
    char key[16];
    ck_ok(kv_get(w->table, snapshot, key_of(i, key), &value));
    number = number_in(value.value);
    kv_pinned_release(&value);
    return number;
}

static void *watch_batches(void *arg)
{
    struct watcher *watcher = arg;
    struct world *w = watcher->world;
    while (!atomic_load(&w->stop)) {
        struct kv_snapshot *snapshot = NULL;
        ck_ok(kv_snapshot_create(w->store, &snapshot));
        if (number_at(w, snapshot, 0) != number_at(w, snapshot, watcher->rows - 1)) {
            atomic_fetch_add(&watcher->torn, 1);
        }
        kv_snapshot_release(snapshot);
        atomic_fetch_add(&watcher->looks, 1);
    }
    return NULL;
}

/* Gives all rows this number. Returns how many looks there were from before the write to after it.
 */
static uint64_t write_batch(struct watcher *watcher, struct kv_batch *batch, uint64_t number)
{
    struct world *w = watcher->world;
    uint64_t before;
    char key[16];

    kv_batch_clear(batch);
    for (uint64_t i = 0; i < watcher->rows; i++) {
        ck_ok(kv_batch_put(batch, w->table, key_of(i, key), kv_slice(&number, sizeof number)));
    }
    before = atomic_load(&watcher->looks);
    ck_ok(kv_write(w->store, batch, KV_DURABLE_NONE));
    return atomic_load(&watcher->looks) - before;
}

/* A batch counts if there was a look while it was written: how many that takes is up to whoever
 * shares the processors. */
START_TEST(no_snapshot_has_a_part_of_a_batch_that_is_being_written)
{
    struct world w;
    /* To insert so many takes several turns of a processor. */
    struct watcher watcher = {.world = &w, .rows = test_steps(20000)};
    struct kv_batch *batch = NULL;
    struct thread thread;
    uint64_t number = 0;

    open_store(&w, (size_t)64 << 20);
    ck_ok(kv_batch_create(&batch));
    write_batch(&watcher, batch, number);
    ck_ok(thread_start(&thread, "watcher", watch_batches, &watcher));
    for (int seen = 0; seen < BATCHES_SEEN && atomic_load(&watcher.torn) == 0; seen++) {
        uint64_t until_ns = clock_monotonic_ns() + test_patience_ms() * 1000000;
        while (write_batch(&watcher, batch, ++number) < 2) { /* one may have begun earlier */
            ck_assert_msg(clock_monotonic_ns() < until_ns, "nobody looked");
        }
    }
    atomic_store(&w.stop, true);
    thread_join(&thread);
    ck_assert_uint_eq(atomic_load(&watcher.torn), 0);
    kv_batch_destroy(batch);
    ck_ok(kv_close(w.store));
    kv_storage_mem_destroy(w.storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("view");
    suite_add(s, "places", a_view_that_is_left_is_found_again_and_goes_when_it_is_replaced);
    suite_add(s, "threads",
              readers_see_every_write_that_returned_and_leave_no_replaced_view_behind);
    suite_add(s, "batches", no_snapshot_has_a_part_of_a_batch_that_is_being_written);
    return s;
}
