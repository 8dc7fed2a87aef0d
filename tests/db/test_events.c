/* SPDX-License-Identifier: Apache-2.0 */
/* What is told while a store works: events, running jobs, latencies. */
#include "tests/lib/check_main.h"

#include <stdio.h>

#include <kv/kv.h>

#include "kvcore/db/health.h"
#include "kvcore/db/job.h"
#include "kvcore/db/latency.h"
#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"

enum { EVENTS_MAX = 4096, ROWS = 2000 };

/* What was told, by several threads. */
struct heard {
    struct mutex mu;
    struct kv_event events[EVENTS_MAX] GUARDED_BY(&mu);
    size_t count GUARDED_BY(&mu);
    char text[256] GUARDED_BY(&mu); /* of the last event that had one */
};

static void hear(void *arg, const struct kv_event *event)
{
    struct heard *heard = arg;
    mutex_lock(&heard->mu);
    if (event->text != NULL) {
        snprintf(heard->text, sizeof heard->text, "%s", event->text);
    }
    if (heard->count < EVENTS_MAX) {
        heard->events[heard->count++] = *event;
    }
    mutex_unlock(&heard->mu);
}

static void heard_init(struct heard *heard)
{
    *heard = (struct heard){.count = 0};
    mutex_init(&heard->mu, LOCK_RANK_LEAF, "heard");
}

/* How many of the kind there were; the last of them to `ret_last` unless NULL. */
static size_t count_of(struct heard *heard, enum kv_event_kind kind, struct kv_event *ret_last)
{
    size_t count = 0;
    mutex_lock(&heard->mu);
    for (size_t i = 0; i < heard->count; i++) {
        if (heard->events[i].kind == kind) {
            count++;
            if (ret_last != NULL) {
                *ret_last = heard->events[i];
            }
        }
    }
    mutex_unlock(&heard->mu);
    return count;
}

static struct kv_slice key_of(uint64_t i, char to[24])
{
    return kv_slice(to, (size_t)snprintf(to, 24, "key%08" PRIu64, i));
}

static void put_rows(struct kv_table *table, uint64_t rows, size_t size)
{
    static uint8_t value[64 << 10];
    struct rng rng = {rows};
    char key[24];
    for (size_t n = 0; n + 8 <= size; n += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(value + n, &word, 8);
    }
    for (uint64_t i = 0; i < rows; i++) {
        ck_ok(kv_put(table, key_of(i, key), kv_slice(value, size), KV_DURABLE_NONE));
    }
}

/* A store without threads of its own, and one table. */
static struct kv_store *open_quiet(struct heard *heard, struct kv_storage **ret_storage,
                                   struct kv_table **ret_table)
{
    struct kv_options options = {
        .create = true, .no_background = true, .event_fn = hear, .event_arg = heard};
    struct kv_store *store = NULL;
    heard_init(heard);
    ck_ok(kv_storage_mem_create(ret_storage));
    ck_ok(kv_open(*ret_storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, ret_table));
    return store;
}

START_TEST(flushes_and_merges_tell_when_they_begin_and_what_they_wrote)
{
    struct heard heard;
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store = open_quiet(&heard, &storage, &table);
    struct kv_event event = {0};
    struct kv_stats stats;

    put_rows(table, ROWS, 64);
    ck_ok(kv_flush(store));
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_FLUSH_BEGUN, &event), 1);
    ck_assert_int_eq(event.level_from, -1);
    ck_assert_uint_gt(event.bytes_in, ROWS * 64);
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_FLUSH_ENDED, &event), 1);
    kv_stats(store, &stats);
    ck_assert_int_eq(event.error, 0);
    ck_assert_uint_eq(event.files_out, 1);
    ck_assert_uint_eq(event.bytes_out, stats.levels[0].bytes);
    ck_assert_uint_gt(event.duration_ns, 0);

    put_rows(table, ROWS, 64);
    ck_ok(kv_compact(store));
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_MERGE_BEGUN, NULL), 1);
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_MERGE_ENDED, &event), 1);
    kv_stats(store, &stats);
    ck_assert_uint_eq(event.files_in, 2);
    ck_assert_int_eq(event.level_to, KV_LEVEL_COUNT - 1);
    ck_assert_uint_eq(event.bytes_out, stats.levels[KV_LEVEL_COUNT - 1].bytes);
    ck_assert_uint_eq(stats.job_count, 0);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
    mutex_finish(&heard.mu);
}
END_TEST

START_TEST(writers_that_are_stopped_tell_when_that_begins_and_ends)
{
    struct heard heard;
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)64 << 10,
                                 .memtables_max = 2,
                                 .event_fn = hear,
                                 .event_arg = &heard};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_event event = {0};
    struct kv_stats stats;

    heard_init(&heard);
    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
    for (int round = 0; round < 200 && count_of(&heard, KV_EVENT_STALL_ENDED, NULL) == 0; round++) {
        put_rows(table, 500, 1000);
    }
    kv_stats(store, &stats);
    ck_assert_uint_ge(stats.stalls, 1);
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_STALL_BEGUN, NULL), stats.stalls);
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_STALL_ENDED, &event), stats.stalls);
    ck_assert_uint_gt(event.duration_ns, 0);
    ck_assert_uint_le(event.duration_ns, stats.stall_ns);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
    mutex_finish(&heard.mu);
}
END_TEST

START_TEST(damage_and_a_change_of_health_are_told_and_damage_is_counted_once)
{
    struct heard heard;
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store = open_quiet(&heard, &storage, &table);
    struct kv_batch *batch = NULL;
    struct kv_event event = {0};
    struct kv_pinned value = {0};
    struct kv_stats stats;

    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put_lost(batch, table, kv_slice_str("lost")));
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    ck_fails(kv_get(table, NULL, kv_slice_str("lost"), &value), KV_EDAMAGED);
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_DAMAGE_FOUND, &event), 1);
    ck_assert_int_eq(event.error, -KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(heard.text, "table t"));
    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.damage_seen, 1);
    ck_assert_uint_eq(stats.read_errors, 0);

    health_set(store, KV_HEALTH_DEGRADED, -EIO, "merging fails");
    health_set(store, KV_HEALTH_DEGRADED, -EIO, "merging fails");
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_HEALTH_CHANGED, &event), 1);
    ck_assert_int_eq(event.health, KV_HEALTH_DEGRADED);
    ck_assert_int_eq(event.error, -EIO);
    ck_assert_str_eq(heard.text, "merging fails");
    health_clear(store);
    ck_assert_uint_eq(count_of(&heard, KV_EVENT_HEALTH_CHANGED, &event), 2);
    ck_assert_int_eq(event.health, KV_HEALTH_OK);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
    mutex_finish(&heard.mu);
}
END_TEST

START_TEST(a_running_merge_says_how_far_it_is)
{
    struct heard heard;
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store = open_quiet(&heard, &storage, &table);
    struct kv_job info = {
        .kind = KV_JOB_MERGE, .level_from = 0, .level_to = 6, .files = 4, .bytes = 1000};
    struct job *job = job_begin(store, &info);
    struct edit edit = {0};
    struct kv_stats stats;

    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.job_count, 1);
    ck_assert_uint_eq(stats.merges_running, 1);
    ck_assert_uint_eq(stats.jobs[0].bytes_done, 0);
    job_set_rows(job, 50);
    job_advance(job, 20);
    kv_stats(store, &stats);
    ck_assert_int_eq(stats.jobs[0].level_to, 6);
    ck_assert_uint_eq(stats.jobs[0].files, 4);
    ck_assert_uint_eq(stats.jobs[0].bytes_done, 400);
    job_advance(job, 30);
    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.jobs[0].bytes_done, 1000);
    job_end(store, job, -EIO, &edit);
    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.job_count, 0);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
    mutex_finish(&heard.mu);
}
END_TEST

START_TEST(latencies_are_those_of_one_operation_in_so_many_and_of_all_that_is_rare)
{
    struct heard heard;
    struct kv_storage *storage = NULL;
    struct kv_table *table = NULL;
    struct kv_store *store = open_quiet(&heard, &storage, &table);
    struct kv_latency_stats latencies[KV_LATENCY_COUNT];
    struct kv_iter *it = NULL;
    struct kv_stats stats;
    char key[24];

    put_rows(table, (uint64_t)LATENCY_WRITE_ONE_IN * 5, 64);
    ck_ok(kv_sync(store));
    ck_ok(kv_compact(store));
    for (int i = 0; i < LATENCY_GET_ONE_IN * 3 + 1; i++) {
        struct kv_pinned value = {0};
        ck_ok(kv_get(table, NULL, key_of(1, key), &value));
        kv_pinned_release(&value);
    }
    ck_ok(kv_iter_create(table, NULL, &it));
    for (int i = 0; i < LATENCY_SEEK_ONE_IN; i++) {
        kv_iter_seek(it, key_of(3, key));
        kv_iter_seek_last(it);
    }
    kv_iter_destroy(it);
    kv_latencies(store, latencies);
    ck_assert_uint_eq(latencies[KV_LATENCY_WRITE].count, 5);
    ck_assert_uint_eq(latencies[KV_LATENCY_GET].count, 4);
    ck_assert_uint_eq(latencies[KV_LATENCY_SEEK].count, 2);
    ck_assert_uint_eq(latencies[KV_LATENCY_SYNC].count, 1);
    ck_assert_uint_eq(latencies[KV_LATENCY_FLUSH].count, 1);
    ck_assert_uint_eq(latencies[KV_LATENCY_MERGE].count,
                      count_of(&heard, KV_EVENT_MERGE_ENDED, NULL));
    for (int kind = 0; kind < KV_LATENCY_MERGE; kind++) {
        const struct kv_latency_stats *l = &latencies[kind];
        ck_assert_uint_gt(l->p50_ns, 0);
        ck_assert(l->p50_ns <= l->p90_ns && l->p90_ns <= l->p99_ns && l->p99_ns <= l->p999_ns);
        ck_assert(l->p999_ns <= l->max_ns && l->max_ns <= l->sum_ns);
    }
    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.seeks, 2 * LATENCY_SEEK_ONE_IN);
    ck_assert_uint_eq(stats.writes, 5 * LATENCY_WRITE_ONE_IN);
    ck_assert_uint_eq(stats.writers_waiting, 0);
    ck_assert(kv_stats_write_amplification(&stats) > 1);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
    mutex_finish(&heard.mu);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("events");
    TCase *c = tcase_create("events");
    tcase_add_test(c, flushes_and_merges_tell_when_they_begin_and_what_they_wrote);
    tcase_add_test(c, writers_that_are_stopped_tell_when_that_begins_and_ends);
    tcase_add_test(c, damage_and_a_change_of_health_are_told_and_damage_is_counted_once);
    tcase_add_test(c, a_running_merge_says_how_far_it_is);
    tcase_add_test(c, latencies_are_those_of_one_operation_in_so_many_and_of_all_that_is_rare);
    suite_add_tcase(s, c);
    return s;
}
