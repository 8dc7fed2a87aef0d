/* SPDX-License-Identifier: Apache-2.0 */
/* Loads that wear a store down: it recovers by itself, and keeps its bounds. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"
#include "tests/db/model.h"
#include "tests/lib/temp_dir.h"

static struct kv_table *open_on(struct kv_storage *storage, const struct kv_options *options,
                                struct kv_store **ret_store)
{
    struct kv_table *table = NULL;
    ck_ok(kv_open(storage, options, ret_store));
    ck_ok(kv_table_open(*ret_store, "t", NULL, &table));
    return table;
}

static void put(struct kv_table *table, int i, size_t size, enum kv_durability durability)
{
    static uint8_t value[4096];
    struct rng rng = {(uint64_t)i};
    char key[16];
    for (size_t n = 0; n < size; n += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(value + n, &word, 8);
    }
    ck_ok(kv_put(table, kv_slice(key, (size_t)snprintf(key, sizeof key, "key%07d", i)),
                 kv_slice(value, size), durability));
}

static void sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static uint64_t bytes_in_tables(struct kv_store *store)
{
    struct kv_stats stats;
    uint64_t bytes = 0;
    kv_stats(store, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        bytes += stats.levels[level].bytes;
    }
    return bytes;
}

static uint64_t files_of_level_0(struct kv_store *store)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    return stats.levels[0].files;
}

START_TEST(writers_that_were_stopped_by_too_many_tables_go_on_by_themselves)
{
    struct kv_options options = {
        .create = true, .memtable_bytes = (size_t)64 << 10, .no_background = true};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    ck_ok(kv_storage_mem_create(&storage));
    struct kv_table *table = open_on(storage, &options, &store);
    for (int i = 0; i < 40; i++) {
        put(table, i % 7, 100, KV_DURABLE_NONE);
        ck_ok(kv_flush(store));
    }
    ck_assert_uint_ge(files_of_level_0(store), 40); /* beyond what stops writers */
    ck_ok(kv_close(store));
    options.no_background = false;
    table = open_on(storage, &options, &store);
    for (int i = 0; i < 2000; i++) {
        put(table, i, 200, KV_DURABLE_WRITE);
    }
    /* Now without any write that could set something off. */
    for (unsigned ms = 0; files_of_level_0(store) > 4; ms += 10) {
        ck_assert_uint_lt(ms, test_patience_ms());
        sleep_ms(10);
    }
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(the_space_of_deleted_rows_comes_back_without_further_writes)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)64 << 10,
                                 .file_bytes = (uint64_t)128 << 10,
                                 .level_base_bytes = (uint64_t)256 << 10};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    enum { ROWS = 12000 };
    ck_ok(kv_storage_mem_create(&storage));
    struct kv_table *table = open_on(storage, &options, &store);
    for (int i = 0; i < ROWS; i++) {
        put(table, i, 480, KV_DURABLE_NONE);
    }
    ck_ok(kv_compact(store));
    uint64_t full = bytes_in_tables(store);
    ck_assert_uint_gt(full, (uint64_t)ROWS * 400);
    for (int i = 0; i < ROWS; i++) {
        char key[16];
        ck_ok(kv_delete(table, kv_slice(key, (size_t)snprintf(key, sizeof key, "key%07d", i)),
                        KV_DURABLE_NONE));
    }
    /* The deletes that are still in the memtable wait longer. */
    for (unsigned ms = 0; bytes_in_tables(store) > full / 8; ms += 10) {
        ck_assert_uint_lt(ms, test_patience_ms());
        sleep_ms(10);
    }
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

/* The shortest of some tries, so that a busy machine does not count. */
static uint64_t shortest_get_and_scan_ns(struct kv_table *table)
{
    uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < 30; i++) {
        struct kv_pinned pinned = {0};
        struct kv_iter *it = NULL;
        uint64_t began = clock_monotonic_ns();
        ck_ok(kv_get(table, NULL, kv_slice_str("key0000001"), &pinned));
        kv_pinned_release(&pinned);
        ck_ok(kv_iter_create(table, NULL, &it));
        int rows = 0;
        for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
            rows++;
        }
        kv_iter_destroy(it);
        uint64_t took = clock_monotonic_ns() - began;
        ck_assert_int_eq(rows, 3);
        shortest = took < shortest ? took : shortest;
    }
    return shortest;
}

START_TEST(a_key_overwritten_without_end_is_read_as_quickly_as_ever)
{
    struct kv_options options = {.create = true, .memtable_bytes = (size_t)64 << 20};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    uint64_t steps = test_steps(200000);
    ck_ok(kv_storage_mem_create(&storage));
    struct kv_table *table = open_on(storage, &options, &store);
    for (int i = 0; i < 3; i++) {
        put(table, i, 8, KV_DURABLE_NONE);
    }
    uint64_t at_first = shortest_get_and_scan_ns(table);
    for (uint64_t i = 0; i < steps; i++) {
        put(table, 1, 8, KV_DURABLE_NONE);
    }
    /* Stepping through the versions takes hundreds of times as long. */
    ck_assert_uint_lt(shortest_get_and_scan_ns(table), 30 * at_first);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(a_key_overwritten_without_end_takes_no_more_memory_and_space)
{
    enum { MEMTABLE = 128 << 10 };
    struct kv_options options = {.create = true, .memtable_bytes = MEMTABLE, .memtables_max = 3};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    uint64_t steps = test_steps(100000);
    ck_ok(kv_storage_mem_create(&storage));
    struct kv_table *table = open_on(storage, &options, &store);
    for (uint64_t i = 0; i < steps; i++) {
        put(table, 1, 104, KV_DURABLE_NONE);
        if (i % 500 == 0) {
            struct kv_stats stats;
            kv_stats(store, &stats);
            ck_assert_uint_lt(stats.memtable_bytes, (uint64_t)4 * (MEMTABLE + 65536));
            ck_assert_uint_lt(bytes_in_tables(store), MEMTABLE);
        }
    }
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}
END_TEST

/* ---- the largest batch ---- */

enum { LARGE = 60 << 20, LARGE_MEMORY_MB = 700 };

static int open_dir(const char *dir, struct kv_store **ret_store, struct kv_table **ret_table)
{
    struct kv_options options = {.create = true, .memtable_bytes = 1 << 20};
    struct kv_storage *storage = NULL;
    int r = kv_storage_posix_open(dir, true, &storage);
    r = r < 0 ? r : kv_open(storage, &options, ret_store);
    return r < 0 ? r : kv_table_open(*ret_store, "t", NULL, ret_table);
}

static int write_large_batch(const char *dir)
{
    uint8_t *value = malloc(LARGE);
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_batch *batch = NULL;
    int r = value != NULL ? open_dir(dir, &store, &table) : -ENOMEM;
    r = r < 0 ? r : kv_batch_create(&batch);
    for (int i = 0; i < 2 && r == 0; i++) {
        memset(value, 'a' + i, LARGE);
        r = kv_batch_put(batch, table, kv_slice(i == 0 ? "a" : "b", 1), kv_slice(value, LARGE));
    }
    /* One more does not fit, and changes nothing. */
    if (r == 0 && kv_batch_put(batch, table, kv_slice("c", 1), kv_slice(value, LARGE)) != -E2BIG) {
        return -EINVAL;
    }
    return r < 0 ? r : kv_write(store, batch, KV_DURABLE_SYNC);
}

static int read_large_batch(const char *dir)
{
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct kv_pinned value = {0};
    struct rusage usage;
    int r = open_dir(dir, &store, &table);
    for (int i = 0; i < 2 && r == 0; i++) {
        r = kv_get(table, NULL, kv_slice(i == 0 ? "a" : "b", 1), &value);
        if (r == 0 && (value.value.size != LARGE || value.value.data[LARGE - 1] != 'a' + i)) {
            r = -KV_EDAMAGED;
        }
        kv_pinned_release(&value);
    }
    if (r == 0 && kv_get(table, NULL, kv_slice("c", 1), &value) != -ENOENT) {
        r = -EINVAL;
    }
    getrusage(RUSAGE_SELF, &usage);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (r == 0 && usage.ru_maxrss > LARGE_MEMORY_MB * 1024L) {
        printf("# %ld KiB\n", usage.ru_maxrss);
        r = -ENOMEM;
    }
#endif
    return r;
}

/* In a process that dies without closing the store. */
static void in_child(int (*fn)(const char *), const char *dir)
{
    int status = 0;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        int r = fn(dir);
        if (r < 0) {
            printf("# %s\n", kv_strerror(r));
            fflush(stdout);
        }
        _exit(r < 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

START_TEST(the_largest_batch_is_replayed_in_bounded_memory_and_a_larger_one_refused)
{
    struct temp_dir dir;
    temp_dir_make(&dir);
    in_child(write_large_batch, dir.path);
    in_child(read_large_batch, dir.path);
    in_child(read_large_batch, dir.path); /* and again, out of tables */
    temp_dir_remove(&dir);
}
END_TEST

/* ---- other options ---- */

static struct kv_options draw_options(struct rng *rng)
{
    return (struct kv_options){
        .create = true,
        .memtable_bytes = (size_t)(64 << rng_below(rng, 4)) << 10,
        .cache_bytes = (size_t)(64 << rng_below(rng, 6)) << 10,
        .memtables_max = 2 + (unsigned)rng_below(rng, 6),
        .compaction_threads = 1 + (unsigned)rng_below(rng, 3),
        .file_bytes = (uint64_t)(16 << rng_below(rng, 5)) << 10,
        .level_base_bytes = (uint64_t)(32 << rng_below(rng, 6)) << 10,
        .sync_interval_ms = (unsigned)rng_below(rng, 3),
        .no_background = rng_below(rng, 3) == 0,
    };
}

static struct kv_table_options draw_table_options(struct rng *rng)
{
    return (struct kv_table_options){
        .prefix_size = (unsigned)rng_below(rng, 6),
        .filter_bits_per_key = (unsigned)rng_below(rng, 20),
        .block_bytes = (size_t)512 << rng_below(rng, 6),
        .no_compression = rng_below(rng, 2) == 0,
    };
}

static void change_some(struct model *model, struct kv_table *const tables[MODEL_TABLES],
                        struct rng *rng)
{
    static uint8_t bytes[MODEL_VALUE_MAX];
    for (int i = 0; i < 500; i++) {
        size_t t = rng_below(rng, MODEL_TABLES);
        size_t key = rng_below(rng, MODEL_KEYS);
        uint32_t number = rng_below(rng, 3) == 0 ? 0 : model->next_value++;
        struct kv_slice name = kv_buf_slice(&model->keys[key]);
        ck_ok(number == 0 ? kv_delete(tables[t], name, KV_DURABLE_NONE)
                          : kv_put(tables[t], name, model_value(number, bytes), KV_DURABLE_NONE));
        model->value[t][key] = number;
    }
}

/* A store that is opened again and again. A table keeps the options it was made with. */
static void open_with_other_options(struct rng *rng)
{
    static const char *const names[MODEL_TABLES] = {"first", "second"};
    struct model *model = malloc(sizeof *model);
    struct kv_storage *storage = NULL;
    ck_assert_ptr_nonnull(model);
    model_init(model, rng_next(rng));
    ck_ok(kv_storage_mem_create(&storage));
    for (uint64_t round = 0; round < test_steps(4000) / 1000; round++) { /* each makes many */
        struct kv_options options = draw_options(rng);
        struct kv_table *tables[MODEL_TABLES];
        struct kv_store *store = NULL;
        struct model_state state;
        ck_ok(kv_open(storage, &options, &store));
        for (int t = 0; t < MODEL_TABLES; t++) {
            struct kv_table_options table_options = draw_table_options(rng);
            ck_ok(kv_table_open(store, names[t], &table_options, &tables[t]));
        }
        model_state_of(model, &state);
        model_check(model, &state, tables, NULL, test_seed());
        change_some(model, tables, rng);
        model_state_of(model, &state);
        model_check(model, &state, tables, NULL, test_seed());
        if (rng_below(rng, 3) == 0) {
            ck_ok(kv_compact(store));
            model_check(model, &state, tables, NULL, test_seed());
        }
        ck_ok(kv_close(store));
    }
    kv_storage_mem_destroy(storage);
    model_finish(model);
    free(model);
}

START_TEST(a_store_opened_with_other_options_shows_the_same_rows)
{
    struct rng rng = {test_seed()};
    for (int i = 0; i < 5; i++) {
        open_with_other_options(&rng);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("endurance");
    suite_add(s, "stall", writers_that_were_stopped_by_too_many_tables_go_on_by_themselves);
    suite_add(s, "space", the_space_of_deleted_rows_comes_back_without_further_writes);
    suite_add(s, "hot key", a_key_overwritten_without_end_is_read_as_quickly_as_ever);
    suite_add(s, "hot key", a_key_overwritten_without_end_takes_no_more_memory_and_space);
    suite_add(s, "batch", the_largest_batch_is_replayed_in_bounded_memory_and_a_larger_one_refused);
    suite_add(s, "options", a_store_opened_with_other_options_shows_the_same_rows);
    return s;
}
