/* SPDX-License-Identifier: Apache-2.0 */
/* Range deletes beside snapshots, in many small files, through flushes, merges and reopening:
 * against arrays that say what every snapshot must show. And very many of them. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/db/compact.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

enum { KEYS = 400, SNAPSHOTS = 4, VALUE_SIZE = 160 };

struct state {
    uint32_t value[KEYS]; /* 0: absent */
};

struct world {
    struct kv_storage *storage;
    struct kv_store *store;
    struct kv_table *table;
    struct rng rng;
    struct state now;
    struct state then[SNAPSHOTS];
    struct kv_snapshot *snapshots[SNAPSHOTS];
    uint32_t next_value;
};

static struct kv_slice key_of(size_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05zu", i));
}

static size_t key_number(struct kv_slice key)
{
    char text[16];
    ck_assert_uint_eq(key.size, 8);
    snprintf(text, sizeof text, "%.*s", (int)key.size, (const char *)key.data);
    size_t number = strtoul(text + 3, NULL, 10);
    ck_assert_uint_lt(number, KEYS);
    return number;
}

static struct kv_slice value_of(uint32_t number, uint8_t to[VALUE_SIZE])
{
    struct rng rng = {number};
    for (size_t n = 0; n < VALUE_SIZE; n += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(to + n, &word, 8);
    }
    return kv_slice(to, VALUE_SIZE);
}

static void open_store(struct world *w)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)64 << 10,
                                 .file_bytes = (uint64_t)8 << 10,
                                 .level_base_bytes = (uint64_t)16 << 10,
                                 .no_background = true};
    ck_ok(kv_open(w->storage, &options, &w->store));
    ck_ok(kv_table_open(w->store, "t", NULL, &w->table));
}

static void check_state(struct world *w, const struct state *state,
                        const struct kv_snapshot *snapshot, bool forward)
{
    struct kv_iter *it = NULL;
    uint8_t bytes[VALUE_SIZE];
    char key[16];
    size_t rows = 0;
    size_t expected = 0;
    ck_ok(kv_iter_create(w->table, &(struct kv_iter_options){.snapshot = snapshot}, &it));
    for (forward ? kv_iter_seek_first(it) : kv_iter_seek_last(it); kv_iter_valid(it);
         forward ? kv_iter_next(it) : kv_iter_prev(it)) {
        struct kv_slice value;
        size_t i = key_number(kv_iter_key(it));
        ck_ok(kv_iter_value(it, &value));
        ck_assert_msg(state->value[i] != 0, "key %zu came back (seed %" PRIu64 ")", i, test_seed());
        ck_assert(kv_slice_equal(value, value_of(state->value[i], bytes)));
        rows++;
    }
    ck_ok(kv_iter_error(it));
    kv_iter_destroy(it);
    for (size_t i = 0; i < KEYS; i++) {
        expected += state->value[i] != 0;
    }
    ck_assert_msg(rows == expected, "%zu rows instead of %zu (seed %" PRIu64 ")", rows, expected,
                  test_seed());
    for (int n = 0; n < 30; n++) {
        size_t i = rng_below(&w->rng, KEYS);
        struct kv_pinned pinned = {0};
        int r = kv_get(w->table, snapshot, key_of(i, key), &pinned);
        ck_assert_msg(r == (state->value[i] != 0 ? 0 : -ENOENT),
                      "get of key %zu: %d (seed %" PRIu64 ")", i, r, test_seed());
        kv_pinned_release(&pinned);
    }
}

static void release(struct world *w, size_t i)
{
    if (w->snapshots[i] != NULL) {
        check_state(w, &w->then[i], w->snapshots[i], true);
        check_state(w, &w->then[i], w->snapshots[i], false);
        kv_snapshot_release(w->snapshots[i]);
        w->snapshots[i] = NULL;
    }
}

static void toggle_snapshot(struct world *w)
{
    size_t i = rng_below(&w->rng, SNAPSHOTS);
    if (w->snapshots[i] != NULL) {
        release(w, i);
    } else {
        ck_ok(kv_snapshot_create(w->store, &w->snapshots[i]));
        w->then[i] = w->now;
    }
}

static void reopen(struct world *w)
{
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        release(w, i);
    }
    ck_ok(kv_close(w->store));
    open_store(w);
}

static void delete_range(struct world *w)
{
    size_t from = rng_below(&w->rng, KEYS);
    size_t count = 1 + rng_below(&w->rng, rng_below(&w->rng, 8) == 0 ? KEYS : 25);
    size_t to = from + count < KEYS ? from + count : KEYS;
    char lower[16];
    char upper[16];
    ck_ok(kv_delete_range(w->table, key_of(from, lower), key_of(to, upper), KV_DURABLE_NONE));
    for (size_t i = from; i < to; i++) {
        w->now.value[i] = 0;
    }
}

static void put_some(struct world *w)
{
    uint8_t bytes[VALUE_SIZE];
    char key[16];
    for (int n = 0; n < 12; n++) {
        size_t i = rng_below(&w->rng, KEYS);
        uint32_t number = rng_below(&w->rng, 6) == 0 ? 0 : ++w->next_value;
        w->now.value[i] = number;
        ck_ok(number == 0
                  ? kv_delete(w->table, key_of(i, key), KV_DURABLE_NONE)
                  : kv_put(w->table, key_of(i, key), value_of(number, bytes), KV_DURABLE_NONE));
    }
}

static void merge_some(struct world *w)
{
    for (uint64_t n = 1 + rng_below(&w->rng, 3); n > 0; n--) {
        int r = compact_one(w->store);
        ck_ok(r);
    }
}

static void step(struct world *w)
{
    uint64_t what = rng_below(&w->rng, 100);
    if (what < 45) {
        put_some(w);
    } else if (what < 65) {
        delete_range(w);
    } else if (what < 75) {
        toggle_snapshot(w);
    } else if (what < 87) {
        ck_ok(kv_flush(w->store));
    } else if (what < 96) {
        merge_some(w);
    } else if (what < 98) {
        ck_ok(kv_compact(w->store));
    } else if (what < 99) {
        reopen(w);
    } else {
        check_state(w, &w->now, NULL, rng_below(&w->rng, 2) == 0);
    }
}

START_TEST(deleted_ranges_do_not_come_back_whatever_snapshots_files_and_merges_there_are)
{
    struct world *w = calloc(1, sizeof *w);
    ck_assert_ptr_nonnull(w);
    w->rng = (struct rng){test_seed()};
    ck_ok(kv_storage_mem_create(&w->storage));
    open_store(w);
    for (uint64_t i = 0; i < test_steps(4000); i++) {
        step(w);
    }
    reopen(w);
    check_state(w, &w->now, NULL, true);
    ck_ok(kv_compact(w->store));
    check_state(w, &w->now, NULL, true);
    ck_ok(kv_close(w->store));
    kv_storage_mem_destroy(w->storage);
    free(w);
}
END_TEST

/* The shortest of some tries, so that a busy machine does not count. */
static uint64_t shortest_get_and_seek_ns(struct kv_table *table, const struct kv_snapshot *snapshot)
{
    struct kv_iter_options options = {.snapshot = snapshot};
    uint64_t shortest = UINT64_MAX;
    char key[16];
    for (int i = 0; i < 50; i++) {
        struct kv_pinned pinned = {0};
        struct kv_iter *it = NULL;
        uint64_t began = clock_monotonic_ns();
        ck_ok(kv_get(table, snapshot, key_of(50001, key), &pinned));
        kv_pinned_release(&pinned);
        ck_ok(kv_iter_create(table, &options, &it));
        kv_iter_seek(it, key_of(50000, key));
        ck_assert(kv_iter_valid(it));
        kv_iter_destroy(it);
        uint64_t took = clock_monotonic_ns() - began;
        shortest = took < shortest ? took : shortest;
    }
    return shortest;
}

START_TEST(ten_thousand_small_range_deletes_leave_reads_and_new_iterators_quick)
{
    struct kv_options options = {.create = true, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_snapshot *before = NULL;
    char lower[16];
    char upper[16];
    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
    for (size_t i = 1; i < 100000; i += 10) {
        ck_ok(kv_put(table, key_of(i, lower), kv_slice_str("value"), KV_DURABLE_NONE));
    }
    ck_ok(kv_snapshot_create(store, &before));
    /* Looking at each range delete takes fifty times as long. */
    uint64_t limit_ns = 12 * shortest_get_and_seek_ns(table, NULL);
    for (size_t i = 1; i < 100000; i += 10) {
        ck_ok(kv_delete_range(table, key_of(i + 1, lower), key_of(i + 3, upper), KV_DURABLE_NONE));
    }
    ck_assert_uint_lt(shortest_get_and_seek_ns(table, NULL), limit_ns);
    ck_assert_uint_lt(shortest_get_and_seek_ns(table, before), limit_ns);
    ck_ok(kv_flush(store));
    ck_assert_uint_lt(shortest_get_and_seek_ns(table, NULL), limit_ns);
    ck_assert_uint_lt(shortest_get_and_seek_ns(table, before), limit_ns);
    kv_snapshot_release(before);
    ck_ok(kv_compact(store));
    ck_assert_uint_lt(shortest_get_and_seek_ns(table, NULL), limit_ns);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("range_snapshots");
    suite_add(s, "model",
              deleted_ranges_do_not_come_back_whatever_snapshots_files_and_merges_there_are);
    suite_add(s, "many", ten_thousand_small_range_deletes_leave_reads_and_new_iterators_quick);
    return s;
}
