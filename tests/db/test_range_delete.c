/* SPDX-License-Identifier: Apache-2.0 */
/* Range deletes through the whole engine: what is seen, and what it costs. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/compact.h"

enum { VALUE_SIZE = 1000 };

struct world {
    struct kv_storage *storage;
    struct kv_options options;
    struct kv_store *store;
    struct kv_table *table;
};

static void open_store(struct world *w)
{
    ck_ok(kv_open(w->storage, &w->options, &w->store));
    ck_ok(kv_table_open(w->store, "rows", NULL, &w->table));
}

static void begin(struct world *w, bool background)
{
    *w = (struct world){.options = {.create = true,
                                    .memtable_bytes = 4 << 20,
                                    .cache_bytes = 1 << 20,
                                    .file_bytes = 256 << 10,
                                    .level_base_bytes = 512 << 10,
                                    .no_background = !background}};
    ck_ok(kv_storage_mem_create(&w->storage));
    open_store(w);
}

static void end(struct world *w)
{
    ck_ok(kv_close(w->store));
    kv_storage_mem_destroy(w->storage);
}

static struct kv_slice key_of(unsigned i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%06u", i));
}

/* Rows that do not compress, so that bytes on disk are bytes of rows. */
static void put(struct world *w, unsigned from, unsigned to)
{
    static uint8_t value[VALUE_SIZE];
    char key[16];
    for (unsigned i = from; i < to; i++) {
        for (size_t n = 0; n < sizeof value; n++) {
            value[n] = (uint8_t)(((i + 1) * 2654435761U + n * 40503U + n * n * (i | 1)) >> 13);
        }
        ck_ok(kv_put(w->table, key_of(i, key), kv_slice(value, sizeof value), KV_DURABLE_NONE));
    }
}

static void drop(struct world *w, unsigned from, unsigned to)
{
    char a[16];
    char b[16];
    ck_ok(kv_delete_range(w->table, key_of(from, a), key_of(to, b), KV_DURABLE_WRITE));
}

static bool has(struct world *w, const struct kv_snapshot *snapshot, unsigned i)
{
    struct kv_pinned value = {0};
    char key[16];
    int r = kv_get(w->table, snapshot, key_of(i, key), &value);
    kv_pinned_release(&value);
    ck_assert(r == 0 || r == -ENOENT);
    return r == 0;
}

static unsigned count(struct world *w, const struct kv_snapshot *snapshot, bool forward)
{
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;
    unsigned n = 0;
    ck_ok(kv_iter_create(w->table, &options, &it));
    for (forward ? kv_iter_seek_first(it) : kv_iter_seek_last(it); kv_iter_valid(it);
         forward ? kv_iter_next(it) : kv_iter_prev(it)) {
        n++;
    }
    ck_ok(kv_iter_error(it));
    kv_iter_destroy(it);
    return n;
}

static void check_count(struct world *w, const struct kv_snapshot *snapshot, unsigned expected)
{
    ck_assert_uint_eq(count(w, snapshot, true), expected);
    ck_assert_uint_eq(count(w, snapshot, false), expected);
}

static struct kv_stats stats_of(struct world *w)
{
    struct kv_stats stats;
    kv_stats(w->store, &stats);
    return stats;
}

static uint64_t table_bytes(struct world *w)
{
    struct kv_stats stats = stats_of(w);
    uint64_t bytes = 0;
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        bytes += stats.levels[level].bytes;
    }
    return bytes;
}

static uint64_t range_deletes(struct world *w)
{
    struct kv_stats stats = stats_of(w);
    uint64_t n = 0;
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        n += stats.levels[level].range_deletes;
    }
    return n;
}

static void merge_all_that_is_due(struct world *w)
{
    int r;
    do {
        r = compact_one(w->store);
        ck_ok(r);
    } while (r == 1);
}

START_TEST(rows_of_a_batch_count_in_their_order)
{
    struct world w;
    struct kv_batch *batch = NULL;
    char a[16];
    char b[16];
    begin(&w, false);
    put(&w, 0, 10);
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put(batch, w.table, key_of(3, a), kv_slice_str("goes")));
    ck_ok(kv_batch_delete_range(batch, w.table, key_of(2, a), key_of(8, b)));
    ck_ok(kv_batch_put(batch, w.table, key_of(5, a), kv_slice_str("stays")));
    ck_ok(kv_write(w.store, batch, KV_DURABLE_WRITE));
    for (int round = 0; round < 3; round++) {
        ck_assert(has(&w, NULL, 1) && has(&w, NULL, 5) && has(&w, NULL, 8));
        ck_assert(!has(&w, NULL, 2) && !has(&w, NULL, 3) && !has(&w, NULL, 7));
        check_count(&w, NULL, 5);
        ck_ok(round == 0 ? kv_flush(w.store) : kv_compact(w.store));
    }
    kv_batch_destroy(batch);
    end(&w);
}
END_TEST

START_TEST(snapshots_and_iterators_keep_what_was_there)
{
    struct world w;
    struct kv_snapshot *snapshot = NULL;
    struct kv_iter *it = NULL;
    unsigned n = 0;
    begin(&w, false);
    put(&w, 0, 100);
    ck_ok(kv_snapshot_create(w.store, &snapshot));
    ck_ok(kv_iter_create(w.table, NULL, &it));
    drop(&w, 10, 90);
    put(&w, 40, 42);
    for (int round = 0; round < 3; round++) {
        check_count(&w, NULL, 22);
        check_count(&w, snapshot, 100);
        ck_assert(!has(&w, NULL, 50) && has(&w, snapshot, 50) && has(&w, NULL, 40));
        ck_ok(round == 0 ? kv_flush(w.store) : kv_compact(w.store));
    }
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        n++;
    }
    ck_assert_uint_eq(n, 100);
    kv_iter_destroy(it);
    kv_snapshot_release(snapshot);
    end(&w);
}
END_TEST

START_TEST(a_range_delete_alone_survives_flush_and_reopening)
{
    struct world w;
    begin(&w, false);
    put(&w, 0, 50);
    ck_ok(kv_flush(w.store));
    drop(&w, 0, 50);
    check_count(&w, NULL, 0);
    ck_ok(kv_close(w.store)); /* writes a table that holds nothing else */
    open_store(&w);
    check_count(&w, NULL, 0);
    ck_assert(!has(&w, NULL, 49));
    ck_assert_uint_eq(range_deletes(&w), 1);
    ck_ok(kv_compact(w.store));
    ck_assert_uint_eq(range_deletes(&w), 0);
    ck_assert_uint_eq(table_bytes(&w), 0);
    check_count(&w, NULL, 0);
    end(&w);
}
END_TEST

START_TEST(tables_that_are_covered_go_without_being_read)
{
    struct world w;
    uint64_t before;
    begin(&w, false);
    put(&w, 0, 4000);
    ck_ok(kv_compact(w.store));
    before = table_bytes(&w);
    drop(&w, 200, 3800);
    ck_ok(kv_flush(w.store));
    struct kv_stats old = stats_of(&w);
    merge_all_that_is_due(&w);
    struct kv_stats now = stats_of(&w);
    ck_assert_uint_gt(now.files_dropped, 10);
    ck_assert_uint_gt(now.bytes_dropped, before * 8 / 10);
    ck_assert_uint_lt(now.compaction_bytes_read - old.compaction_bytes_read, before / 3);
    ck_assert_uint_lt(table_bytes(&w), before / 5);
    ck_assert_uint_eq(range_deletes(&w), 0);
    check_count(&w, NULL, 400);
    end(&w);
}
END_TEST

START_TEST(space_that_a_snapshot_holds_comes_back_when_it_goes)
{
    struct world w;
    struct kv_snapshot *snapshot = NULL;
    uint64_t before;
    begin(&w, false);
    put(&w, 0, 4000);
    ck_ok(kv_compact(w.store));
    before = table_bytes(&w);
    ck_ok(kv_snapshot_create(w.store, &snapshot));
    drop(&w, 200, 3800);
    ck_ok(kv_compact(w.store));
    ck_assert_uint_ge(table_bytes(&w), before);
    check_count(&w, snapshot, 4000);
    check_count(&w, NULL, 400);
    merge_all_that_is_due(&w);
    ck_assert_uint_ge(table_bytes(&w), before);
    kv_snapshot_release(snapshot);
    put(&w, 0, 1); /* the newest number was that of the deletes */
    merge_all_that_is_due(&w);
    ck_assert_uint_lt(table_bytes(&w), before / 5);
    ck_assert_uint_eq(range_deletes(&w), 0);
    check_count(&w, NULL, 400);
    end(&w);
}
END_TEST

START_TEST(space_comes_back_without_further_writes)
{
    struct world w;
    struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    uint64_t before;
    begin(&w, true);
    put(&w, 0, 8000);
    ck_ok(kv_flush(w.store));
    before = table_bytes(&w);
    drop(&w, 400, 7600);
    for (uint64_t n = 0; 50 * n < test_patience_ms() && table_bytes(&w) > before / 5; n++) {
        nanosleep(&pause, NULL);
    }
    ck_assert_uint_le(table_bytes(&w), before / 5);
    check_count(&w, NULL, 800);
    end(&w);
}
END_TEST

START_TEST(a_scan_passes_a_deleted_range_without_reading_it)
{
    struct world w;
    begin(&w, false);
    put(&w, 0, 4000);
    ck_ok(kv_compact(w.store));
    ck_ok(kv_close(w.store));
    open_store(&w);
    drop(&w, 5, 3995);
    for (int round = 0; round < 2; round++) {
        struct kv_stats old = stats_of(&w);
        check_count(&w, NULL, 10);
        struct kv_stats now = stats_of(&w);
        /* Of about 500 blocks: those around the two ends, for both directions. */
        ck_assert_uint_lt(now.cache_hits + now.cache_misses - old.cache_hits - old.cache_misses,
                          40);
        ck_ok(kv_flush(w.store));
    }
    end(&w);
}
END_TEST

START_TEST(a_delete_of_thousands_of_rows_in_memory_goes_to_the_next_memtable)
{
    struct world w;
    char key[16];
    begin(&w, false);
    for (unsigned i = 0; i < 20000; i++) {
        ck_ok(kv_put(w.table, key_of(i, key), kv_slice_str("v"), KV_DURABLE_NONE));
    }
    drop(&w, 5, 105);
    ck_assert_uint_eq(stats_of(&w).memtables_waiting, 0);
    drop(&w, 5, 19995);
    ck_assert_uint_eq(stats_of(&w).memtables_waiting, 1);
    check_count(&w, NULL, 10);
    put(&w, 50, 52);
    check_count(&w, NULL, 12);
    ck_ok(kv_flush(w.store));
    check_count(&w, NULL, 12);
    end(&w);
}
END_TEST

START_TEST(many_ranges_side_by_side_and_across_each_other_leave_what_they_should)
{
    struct world w;
    begin(&w, false);
    put(&w, 0, 2000);
    ck_ok(kv_flush(w.store));
    for (unsigned i = 0; i < 2000; i += 10) {
        drop(&w, i, i + 5);
        drop(&w, i + 3, i + 8);
    }
    for (int round = 0; round < 3; round++) {
        check_count(&w, NULL, 400);
        ck_assert(has(&w, NULL, 1008) && has(&w, NULL, 1009) && !has(&w, NULL, 1007));
        ck_ok(round == 0 ? kv_flush(w.store) : kv_compact(w.store));
    }
    end(&w);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("range_delete");
    suite_add(s, "seen", rows_of_a_batch_count_in_their_order);
    suite_add(s, "seen", snapshots_and_iterators_keep_what_was_there);
    suite_add(s, "seen", a_range_delete_alone_survives_flush_and_reopening);
    suite_add(s, "seen", many_ranges_side_by_side_and_across_each_other_leave_what_they_should);
    suite_add(s, "cost", a_delete_of_thousands_of_rows_in_memory_goes_to_the_next_memtable);
    suite_add(s, "cost", tables_that_are_covered_go_without_being_read);
    suite_add(s, "cost", space_that_a_snapshot_holds_comes_back_when_it_goes);
    suite_add(s, "cost", space_comes_back_without_further_writes);
    suite_add(s, "cost", a_scan_passes_a_deleted_range_without_reading_it);
    return s;
}
