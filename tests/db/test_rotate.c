/* SPDX-License-Identifier: Apache-2.0 */
/* Beginning a new generation while flushes are late, fail, or are asked for by the one who would
 * make them. */
#include "tests/lib/check_main.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/rotate.h"
#include "kvcore/db/sync.h"
#include "kvcore/db/worker.h"
#include "kvcore/db/write.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/sim/sim_fs.h"

static const uint64_t ns_per_ms = 1000000;

static struct kv_store *store;
static struct kv_table *table;

static void sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static void open_on(struct kv_storage *storage, bool background, size_t memtable_bytes)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = memtable_bytes,
                                 .memtables_max = 2,
                                 .no_background = !background};
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
}

static struct kv_slice key_of(int i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05d", i));
}

static void put(int i, enum kv_durability durability)
{
    char key[16];
    ck_ok(kv_put(table, key_of(i, key), kv_slice_str("value"), durability));
}

static int get(int i)
{
    struct kv_pinned pinned = {0};
    char key[16];
    int r = kv_get(table, NULL, key_of(i, key), &pinned);
    kv_pinned_release(&pinned);
    return r;
}

static unsigned waiting(void)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    return (unsigned)stats.memtables_waiting;
}

/* ---- writers that fill a memtable each, and the flush thread behind them ---- */

enum { WRITERS = 6, FILL_ROWS = 30 };

static atomic_bool writers_stay;

static int stay(struct kv_store *of, void *arg)
{
    (void)of;
    (void)arg;
    while (atomic_load(&writers_stay)) {
        sleep_ms(5);
    }
    return 0;
}

static void *keep_queue(void *arg)
{
    ck_ok(write_exclusive(arg, stay, NULL));
    return NULL;
}

static atomic_uint written;

static void *write_much(void *arg)
{
    static const uint8_t value[4096] = {1};
    struct kv_batch *batch = NULL;
    char key[16];
    int number = (int)(intptr_t)arg;

    ck_ok(kv_batch_create(&batch));
    for (int i = 0; i < FILL_ROWS; i++) {
        ck_ok(kv_batch_put(batch, table, key_of(number * FILL_ROWS + i, key),
                           kv_slice(value, sizeof value)));
    }
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    atomic_fetch_add(&written, 1);
    return NULL;
}

/* Wait until so many stand in the queue of writers, the one at work included. */
static void wait_for_queue(uint64_t length)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    for (unsigned ms = 0; stats.writers_waiting < length; ms += 5) {
        ck_assert_msg(ms < test_patience_ms(), "%" PRIu64 " stand in the queue, not %" PRIu64,
                      stats.writers_waiting, length);
        sleep_ms(5);
        kv_stats(store, &stats);
    }
}

START_TEST(writers_go_on_when_the_flush_thread_stands_in_the_queue_behind_them)
{
    struct kv_storage *storage = NULL;
    struct thread keeper;
    struct thread writers[WRITERS];
    ck_ok(kv_storage_mem_create(&storage));
    open_on(storage, true, (size_t)64 << 10);
    put(0, KV_DURABLE_NONE);
    atomic_store(&writers_stay, true);
    ck_ok(thread_start(&keeper, "keeper", keep_queue, store));
    wait_for_queue(1);
    for (int i = 0; i < WRITERS; i++) {
        ck_ok(thread_start(&writers[i], "writer", write_much, (void *)(intptr_t)i));
    }
    wait_for_queue(1 + WRITERS);
    /* The active generation is old: the flush thread wants to begin a new one. */
    atomic_store(&store->rotated_ns, clock_monotonic_ns() - 400000 * ns_per_ms);
    workers_wake(store);
    wait_for_queue(1 + WRITERS + 1);
    atomic_store(&writers_stay, false);
    for (unsigned ms = 0; atomic_load(&written) < WRITERS; ms += 10) {
        ck_assert_msg(ms < test_patience_ms(),
                      "writers wait for the flush, and the flush for them");
        sleep_ms(10);
    }
    for (int i = 0; i < WRITERS; i++) {
        thread_join(&writers[i]);
    }
    thread_join(&keeper);
    for (int i = 0; i < WRITERS * FILL_ROWS; i++) {
        ck_ok(get(i));
    }
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

/* ---- calls that fail ---- */

/* The `n`th from now on. */
static void fail_call(struct sim_fs *sim, uint64_t n)
{
    struct sim_fault fault = {.at = sim_calls_made(sim) + n, .failure = SIM_FAIL_EIO};
    sim_fail(sim, &fault);
}

static unsigned tables_begun;

/* There is no room for what a table is to hold. */
static void fill_up(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct sim_fault fault = {.at = event->number + 1, .failure = SIM_FAIL_ENOSPC};
    (void)arg;
    if (event->call == SIM_FSTAT && event->kind == SIM_TABLE_TMP) {
        tables_begun++;
        sim_fail(sim, &fault);
    }
}

static struct sim_fs *open_on_sim(size_t memtable_bytes)
{
    struct kv_storage *storage = NULL;
    struct sim_fs *sim = NULL;
    ck_ok(sim_create(&sim));
    ck_ok(sim_storage_open(sim, true, &storage));
    open_on(storage, false, memtable_bytes);
    return sim;
}

START_TEST(a_failed_sync_is_mended_however_many_memtables_wait)
{
    enum { MANY = IMMUTABLE_MAX - 1 };
    struct sim_fs *sim = open_on_sim((size_t)64 << 10);
    struct kv_health health;
    for (int i = 0; i < MANY; i++) {
        put(i, KV_DURABLE_WRITE);
        ck_ok(write_rotate(store));
    }
    ck_assert_uint_eq(waiting(), MANY);
    put(MANY, KV_DURABLE_WRITE);
    fail_call(sim, 2); /* behind the sync of the newest log's name */
    ck_fails(kv_sync(store), EIO);
    put(MANY + 1, KV_DURABLE_WRITE);
    ck_ok(kv_sync(store));
    kv_health(store, &health);
    ck_assert_int_eq(health.state, KV_HEALTH_OK);
    for (int i = 0; i <= MANY + 1; i++) {
        ck_ok(get(i));
    }
    ck_ok(kv_close(store));
    sim_destroy(sim);
}
END_TEST

/* ---- large values, however fast they are written ---- */

/* A device of which so many bytes are free. */
static uint64_t device_free;

static int space_of_device(struct kv_storage *storage, struct kv_space *ret_space)
{
    (void)storage;
    *ret_space = (struct kv_space){.total_bytes = (uint64_t)1 << 40, .free_bytes = device_free};
    return 0;
}

static int reserve_nothing(struct kv_storage *storage, uint64_t bytes)
{
    (void)storage;
    (void)bytes;
    return 0;
}

/* How many blobs there are after so many times the size of one was written. */
static uint64_t blobs_after(unsigned blobs)
{
    enum { BLOB_BYTES = 1 << 20, VALUE_SIZE = 32 << 10 };
    static uint8_t value[VALUE_SIZE];
    struct kv_options options = {.create = true, .blob_file_bytes = BLOB_BYTES};
    struct kv_storage *storage = NULL;
    struct kv_stats stats;
    struct rng rng = {3};
    char key[16];

    ck_ok(kv_storage_mem_create(&storage));
    const struct kv_storage_ops *ops_of_memory = storage->ops;
    struct kv_storage_ops ops = *ops_of_memory;
    ops.space = space_of_device;
    ops.reserve = reserve_nothing;
    storage->ops = &ops;
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
    for (unsigned i = 0; i < blobs * (BLOB_BYTES / VALUE_SIZE); i++) {
        for (size_t n = 0; n < sizeof value; n++) {
            value[n] = (uint8_t)rng_next(&rng); /* not to be compressed */
        }
        ck_ok(kv_put(table, key_of((int)i, key), kv_slice(value, sizeof value), KV_DURABLE_WRITE));
    }
    ck_ok(kv_flush(store));
    kv_stats(store, &stats);
    ck_ok(kv_close(store));
    storage->ops = ops_of_memory;
    kv_storage_mem_destroy(storage);
    return stats.blobs;
}

START_TEST(large_values_beyond_the_size_of_two_blobs_begin_another)
{
    device_free = (uint64_t)1 << 40;
    ck_assert_uint_ge(blobs_after(12), 5);
}
END_TEST

START_TEST(large_values_beyond_the_size_of_a_blob_begin_another_where_space_is_scarce)
{
    device_free = (uint64_t)1 << 30;
    ck_assert_uint_ge(blobs_after(12), 11);
}
END_TEST

/* A range delete of very many rows goes to a new generation. The old log does not take the rows
 * that were held back, and there is no room to bring them to tables. */
START_TEST(what_follows_rows_that_a_log_lost_is_not_written_before_they_are_in_tables)
{
    enum { ROWS = 20000, LAST = 30000, FOLLOWS };
    struct sim_fs *sim = open_on_sim((size_t)16 << 20);
    struct sim_fs *after = NULL;
    struct kv_storage *storage = NULL;
    struct kv_batch *batch = NULL;
    char from[16];
    char to[16];
    put(0, KV_DURABLE_WRITE);
    ck_ok(kv_flush(store));
    for (int i = 0; i < ROWS; i++) {
        put(i, KV_DURABLE_NONE);
    }
    put(LAST, KV_DURABLE_NONE);
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_delete_range(batch, table, key_of(0, from), key_of(ROWS, to)));
    ck_ok(kv_batch_put(batch, table, key_of(FOLLOWS, to), kv_slice_str("follows")));
    sim_watch(sim, fill_up, NULL);
    fail_call(sim, 1);
    ck_fails(kv_write(store, batch, KV_DURABLE_WRITE), ENOSPC);
    ck_assert_uint_ge(tables_begun, 1);
    kv_batch_destroy(batch);
    sim_watch(sim, NULL, NULL);
    sim_fail(sim, NULL);

    ck_ok(sim_kill(sim, &after));
    ck_ok(kv_close(store));
    ck_ok(sim_storage_open(after, true, &storage));
    open_on(storage, false, (size_t)16 << 20);
    ck_fails(get(FOLLOWS), ENOENT);
    ck_ok(kv_close(store));
    sim_destroy(after);
    sim_destroy(sim);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("rotate");
    suite_add(s, "queue", writers_go_on_when_the_flush_thread_stands_in_the_queue_behind_them);
    suite_add(s, "rescue", a_failed_sync_is_mended_however_many_memtables_wait);
    suite_add(s, "blobs", large_values_beyond_the_size_of_two_blobs_begin_another);
    suite_add(s, "blobs",
              large_values_beyond_the_size_of_a_blob_begin_another_where_space_is_scarce);
    suite_add(s, "lost",
              what_follows_rows_that_a_log_lost_is_not_written_before_they_are_in_tables);
    return s;
}
