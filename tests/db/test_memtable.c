/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/db/memtable.h"
#include "kvcore/table/filter.h"
#include "kvcore/util/rng.h"

struct fixture {
    struct arena arena;
    struct row_filter filter;
    struct memtable *memtable;
};

static bool get(const struct fixture *f, struct kv_slice key, uint64_t sequence,
                uint64_t *ret_trailer, struct kv_slice *ret_value)
{
    return memtable_get(f->memtable, key, filter_hash_key(key), sequence, ret_trailer, ret_value);
}

static void fixture_init(struct fixture *f)
{
    arena_init(&f->arena, 64 << 10);
    ck_ok(row_filter_init(&f->filter, &f->arena, 128 << 10));
    ck_ok(memtable_create(&f->arena, &f->filter, &f->memtable));
}

static void fixture_finish(struct fixture *f)
{
    memtable_destroy(f->memtable);
    arena_finish(&f->arena);
}

static void insert(struct fixture *f, const char *key, uint64_t sequence, enum row_kind kind,
                   const char *value)
{
    struct row row = {.key = kv_slice_str(key),
                      .trailer = row_trailer(sequence, kind),
                      .value = kv_slice_str(value)};
    size_t size =
        memtable_row_bytes(row.key.size, row.value.size) + memtable_link_bytes(sequence, 1);
    uint8_t *memory = arena_alloc(&f->arena, size);
    uint8_t *end = memory + size;
    memtable_insert(f->memtable, &row, &memory);
    ck_assert_ptr_eq(memory, end); /* uses exactly what it asked for */
}

START_TEST(get_returns_the_newest_version_visible_at_the_sequence_number)
{
    struct fixture f;
    uint64_t trailer = 0;
    struct kv_slice value;
    fixture_init(&f);
    insert(&f, "key", 5, ROW_PUT, "five");
    insert(&f, "key", 9, ROW_DELETE, "");
    insert(&f, "key", 7, ROW_PUT, "seven");
    ck_assert(!get(&f, kv_slice_str("key"), 4, &trailer, &value));
    ck_assert(get(&f, kv_slice_str("key"), 6, &trailer, &value));
    ck_assert(kv_slice_equal(value, kv_slice_str("five")));
    ck_assert(get(&f, kv_slice_str("key"), 8, &trailer, &value));
    ck_assert(kv_slice_equal(value, kv_slice_str("seven")));
    ck_assert(get(&f, kv_slice_str("key"), 100, &trailer, &value));
    ck_assert_int_eq(row_kind(trailer), ROW_DELETE);
    ck_assert(!get(&f, kv_slice_str("ke"), 100, &trailer, &value));
    ck_assert(!get(&f, kv_slice_str("key0"), 100, &trailer, &value));
    fixture_finish(&f);
}
END_TEST

START_TEST(keys_that_differ_only_behind_the_eighth_byte_or_in_trailing_zeros_stay_apart)
{
    struct fixture f;
    struct iter *it = NULL;
    static const char keys[][12] = {"a",          "a\0",       "a\0\0",    "abcdefgh",
                                    "abcdefgh\0", "abcdefgha", "abcdefghb"};
    static const size_t sizes[] = {1, 2, 3, 8, 9, 9, 9};
    fixture_init(&f);
    for (size_t i = 7; i-- > 0;) {
        struct row row = {.key = kv_slice(keys[i], sizes[i]),
                          .trailer = row_trailer(1 + i, ROW_PUT)};
        uint8_t *memory =
            arena_alloc(&f.arena, memtable_row_bytes(sizes[i], 0) + memtable_link_bytes(1 + i, 1));
        memtable_insert(f.memtable, &row, &memory);
    }
    ck_ok(memtable_iter_create(f.memtable, &it));
    iter_seek_first(it);
    for (size_t i = 0; i < 7; i++, iter_next(it)) {
        ck_assert(it->valid);
        ck_assert(kv_slice_equal(it->row->key, kv_slice(keys[i], sizes[i])));
    }
    ck_assert(!it->valid);
    iter_seek_last(it);
    for (size_t i = 7; i-- > 0; iter_prev(it)) {
        ck_assert(it->valid);
        ck_assert(kv_slice_equal(it->row->key, kv_slice(keys[i], sizes[i])));
    }
    ck_assert(!it->valid);
    iter_destroy(it);
    fixture_finish(&f);
}
END_TEST

enum { WRITERS = 4, ROWS = 20000 };

struct writer_arg {
    struct fixture *f;
    uint64_t first_sequence;
    _Atomic uint64_t *last; /* counts the rows that came last */
    _Atomic bool *stop;
    struct mutex *mu; /* who holds it may insert */
};

static void *write_rows(void *arg)
{
    struct writer_arg *w = arg;
    for (uint64_t i = 0; i < ROWS; i++) {
        uint64_t sequence = w->first_sequence + i * WRITERS;
        /* Every other row comes behind all that are there, where the other threads put theirs. */
        uint64_t number = i % 2 == 0 ? 2 * WRITERS * ROWS + atomic_fetch_add(w->last, 1)
                                     : hash_u64(sequence) % (WRITERS * ROWS / 2);
        char key[32];
        /* Half of the keys differ in their first eight bytes, the others behind them only. */
        snprintf(key, sizeof key, number % 2 == 0 ? "%05" PRIx64 : "%016" PRIx64, number);
        mutex_lock(w->mu);
        insert(w->f, key, sequence, ROW_PUT, key);
        mutex_unlock(w->mu);
    }
    return NULL;
}

static void *read_rows(void *arg)
{
    struct writer_arg *w = arg;
    struct iter *it = NULL;
    ck_ok(memtable_iter_create(w->f->memtable, &it));
    while (!atomic_load(w->stop)) {
        struct kv_buf last = {0};
        uint64_t last_trailer = 0;
        uint64_t trailer = 0;
        uint64_t count = 0;
        struct kv_slice value;
        for (iter_seek_first(it); it->valid; iter_next(it)) {
            ck_assert(last.size == 0 || row_compare(kv_buf_slice(&last), last_trailer, it->row->key,
                                                    it->row->trailer) < 0);
            ck_assert(kv_slice_equal(it->row->key, it->row->value));
            if (count++ % 8 == 0) { /* a row that was seen once is found at any later moment */
                ck_assert(
                    get(w->f, it->row->key, row_sequence(it->row->trailer), &trailer, &value));
                ck_assert_uint_eq(trailer, it->row->trailer);
            }
            ck_ok(kv_buf_assign(&last, it->row->key));
            last_trailer = it->row->trailer;
        }
        kv_buf_finish(&last);
    }
    iter_destroy(it);
    return NULL;
}

START_TEST(inserts_of_any_thread_lose_nothing_and_readers_beside_them_see_order)
{
    struct fixture f;
    struct thread threads[WRITERS + 1];
    struct writer_arg args[WRITERS + 1];
    _Atomic bool stop = false;
    _Atomic uint64_t last = 0;
    struct mutex mu;
    uint64_t count = 0;
    struct iter *it = NULL;

    mutex_init(&mu, LOCK_RANK_DB_WRITE, "inserts");
    fixture_init(&f);
    for (uint64_t i = 0; i <= WRITERS; i++) {
        args[i] = (struct writer_arg){
            .f = &f, .first_sequence = 1 + i, .last = &last, .stop = &stop, .mu = &mu};
        ck_ok(thread_start(&threads[i], "t", i < WRITERS ? write_rows : read_rows, &args[i]));
    }
    for (int i = 0; i < WRITERS; i++) {
        thread_join(&threads[i]);
    }
    atomic_store(&stop, true);
    thread_join(&threads[WRITERS]);
    ck_ok(memtable_iter_create(f.memtable, &it));
    for (iter_seek_first(it); it->valid; iter_next(it)) {
        count++;
    }
    ck_assert_uint_eq(count, (uint64_t)WRITERS * ROWS);
    ck_assert_uint_eq(memtable_row_count(f.memtable), count);
    iter_destroy(it);
    fixture_finish(&f);
    mutex_finish(&mu);
}
END_TEST

/* The rows of runs: their keys share the first bytes and rise, fall, jump or stay the same, and
 * the runs are mixed. */
enum { RUNS = 40, RUN_ROWS = 2000 };

static unsigned run_number(uint64_t run, unsigned row)
{
    switch (run % 4) {
    case 0:
        return row;
    case 1:
        return RUN_ROWS - row;
    case 2:
        return (unsigned)(hash_u64(run << 32 | row) % RUN_ROWS);
    default:
        return row / 100;
    }
}

START_TEST(rows_that_come_in_runs_stand_in_order_and_are_found)
{
    struct fixture f;
    struct rng rng = {7};
    unsigned rows[RUNS] = {0};
    struct kv_buf last = {0};
    struct iter *it = NULL;
    uint64_t last_trailer = 0;
    uint64_t count = 0;
    char key[40];

    fixture_init(&f);
    for (uint64_t sequence = 1; sequence <= (uint64_t)RUNS * RUN_ROWS; sequence++) {
        uint64_t run = rng_below(&rng, RUNS);
        snprintf(key, sizeof key, "run%02" PRIu64 "in/name%06u", run, run_number(run, rows[run]++));
        insert(&f, key, sequence, ROW_PUT, key);
    }
    ck_ok(memtable_iter_create(f.memtable, &it));
    for (iter_seek_first(it); it->valid; iter_next(it), count++) {
        bool is_newest = last.size == 0 || !kv_slice_equal(kv_buf_slice(&last), it->row->key);
        uint64_t trailer = 0;
        struct kv_slice value;
        ck_assert(last.size == 0 || row_compare(kv_buf_slice(&last), last_trailer, it->row->key,
                                                it->row->trailer) < 0);
        ck_assert(kv_slice_equal(it->row->key, it->row->value));
        ck_assert(get(&f, it->row->key, ROW_SEQUENCE_MAX, &trailer, &value));
        ck_assert_int_eq(trailer == it->row->trailer, is_newest);
        ck_assert(get(&f, it->row->key, row_sequence(it->row->trailer), &trailer, &value));
        ck_assert_uint_eq(trailer, it->row->trailer);
        ck_ok(kv_buf_assign(&last, it->row->key));
        last_trailer = it->row->trailer;
    }
    ck_assert_uint_eq(count, (uint64_t)RUNS * RUN_ROWS);
    kv_buf_finish(&last);
    iter_destroy(it);
    fixture_finish(&f);
}
END_TEST

/* How many rows of a run are searched for from the start, when they come in the order of
 * run_number(). */
static uint64_t searches_of_run(uint64_t run)
{
    struct fixture f;
    uint64_t searches;
    char key[40];
    fixture_init(&f);
    for (unsigned row = 0; row < RUN_ROWS; row++) {
        snprintf(key, sizeof key, "directory/name%06u", run_number(run, row));
        insert(&f, key, 1 + row, ROW_PUT, "");
    }
    searches = memtable_searches(f.memtable);
    fixture_finish(&f);
    return searches;
}

START_TEST(what_is_near_the_last_row_of_its_run_is_not_searched_for_and_what_is_far_away_is)
{
    enum { RISING, FALLING, AT_RANDOM, MOSTLY_THE_SAME };
    ck_assert_uint_lt(searches_of_run(RISING), RUN_ROWS / 100);
    ck_assert_uint_lt(searches_of_run(FALLING), RUN_ROWS / 10);
    ck_assert_uint_lt(searches_of_run(MOSTLY_THE_SAME), RUN_ROWS / 10);
    ck_assert_uint_gt(searches_of_run(AT_RANDOM), RUN_ROWS / 2);
}
END_TEST

START_TEST(a_filter_finds_what_was_added_and_little_else)
{
    enum { KEYS = 10000 };
    struct arena arena;
    struct row_filter filter;
    unsigned wrong = 0;

    arena_init(&arena, 4096);
    ck_ok(row_filter_init(&filter, &arena, KEYS * 16 / 8)); /* 16 bits a key */
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t key = i;
        row_filter_add(&filter, filter_hash_key(kv_slice(&key, sizeof key)));
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t key = i;
        ck_assert(row_filter_may_contain(&filter, filter_hash_key(kv_slice(&key, sizeof key))));
        key = i + KEYS;
        wrong += row_filter_may_contain(&filter, filter_hash_key(kv_slice(&key, sizeof key)));
    }
    ck_assert_uint_lt(wrong, KEYS / 50);
    arena_finish(&arena);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("memtable");
    suite_add(s, "get", get_returns_the_newest_version_visible_at_the_sequence_number);
    suite_add(s, "order",
              keys_that_differ_only_behind_the_eighth_byte_or_in_trailing_zeros_stay_apart);
    suite_add(s, "threads", inserts_of_any_thread_lose_nothing_and_readers_beside_them_see_order);
    suite_add(s, "runs", rows_that_come_in_runs_stand_in_order_and_are_found);
    suite_add(s, "near",
              what_is_near_the_last_row_of_its_run_is_not_searched_for_and_what_is_far_away_is);
    suite_add(s, "filter", a_filter_finds_what_was_added_and_little_else);
    return s;
}
