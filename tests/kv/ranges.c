/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of deletes on a store in a directory: how dear reads are beside many of them, and how
 * soon space comes back. Nothing is judged here; the numbers are for people.
 *
 *   kv_ranges DIR [MIB]      DIR must not exist; MIB (2048) is the size of the store that is
 * dropped
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <kv/kv.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

enum { ROWS = 1000000, RANGES = 10000, DELETES = 100000, READS = 200000 };

static void need(int r, const char *what)
{
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", what, kv_strerror(r));
        exit(1);
    }
}

static struct kv_slice key_of(uint64_t i, char to[24])
{
    return kv_slice(to, (size_t)snprintf(to, 24, "key%012" PRIu64, i));
}

static struct kv_store *open_store(const char *dir, const char *name)
{
    char path[4096];
    struct kv_options options = {.create = true, .cache_bytes = (size_t)256 << 20};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    need(kv_storage_posix_open(path, true, &storage), path);
    need(kv_open(storage, &options, &store), "open");
    return store;
}

static double since_ms(uint64_t began_ns)
{
    return (double)(clock_monotonic_ns() - began_ns) / 1e6;
}

static void put_rows(struct kv_table *table, uint64_t count, size_t value_size)
{
    struct rng rng = {7};
    uint8_t *value = malloc(value_size);
    char key[24];
    for (uint64_t i = 0; i < count; i++) {
        for (size_t n = 0; n + 8 <= value_size; n += 8) {
            uint64_t v = rng_next(&rng);
            memcpy(value + n, &v, 8);
        }
        need(kv_put(table, key_of(i, key), kv_slice(value, value_size), KV_DURABLE_NONE), "put");
    }
    free(value);
}

static double read_us(struct kv_table *table, uint64_t rows)
{
    struct rng rng = {9};
    struct kv_pinned value;
    char key[24];
    double best = 1e9;
    for (int round = 0; round < 3; round++) {
        uint64_t began = clock_monotonic_ns();
        for (int i = 0; i < READS; i++) {
            value = (struct kv_pinned){0};
            if (kv_get(table, NULL, key_of(rng_below(&rng, rows), key), &value) == 0) {
                kv_pinned_release(&value);
            }
        }
        double us = since_ms(began) * 1000 / READS;
        best = us < best ? us : best;
    }
    return best;
}

static double iterator_us(struct kv_table *table, uint64_t rows)
{
    struct rng rng = {11};
    char key[24];
    uint64_t began = clock_monotonic_ns();
    for (int i = 0; i < READS / 10; i++) {
        struct kv_iter *it = NULL;
        need(kv_iter_create(table, NULL, &it), "iterator");
        kv_iter_seek(it, key_of(rng_below(&rng, rows), key));
        for (int n = 0; n < 10 && kv_iter_valid(it); n++) {
            kv_iter_next(it);
        }
        kv_iter_destroy(it);
    }
    return since_ms(began) * 1000 / (READS / 10);
}

static double seek_ms(struct kv_table *table, uint64_t i, bool forward)
{
    struct kv_iter *it = NULL;
    char key[24];
    uint64_t began = clock_monotonic_ns();
    double ms;
    need(kv_iter_create(table, NULL, &it), "iterator");
    if (forward) {
        kv_iter_seek(it, key_of(i, key));
    } else {
        kv_iter_seek_for_prev(it, key_of(i, key));
    }
    ms = since_ms(began);
    kv_iter_destroy(it);
    return ms;
}

static void print_reads(struct kv_table *table, const char *when)
{
    printf("%-44s get %6.2f us, new iterator + seek + 10 %6.2f us\n", when, read_us(table, ROWS),
           iterator_us(table, ROWS));
    fflush(stdout);
}

static void many_ranges(const char *dir)
{
    struct kv_store *store = open_store(dir, "ranges");
    struct kv_table *table = NULL;
    uint64_t began;
    need(kv_table_open(store, "rows", NULL, &table), "table");
    put_rows(table, ROWS, 100);
    need(kv_compact(store), "compact");
    print_reads(table, "no range deletes");
    began = clock_monotonic_ns();
    for (uint64_t i = 0; i < RANGES; i++) {
        char a[24];
        char b[24];
        uint64_t at = i * (ROWS / RANGES);
        need(kv_delete_range(table, key_of(at, a), key_of(at + 20, b), KV_DURABLE_WRITE), "delete");
    }
    printf("%d range deletes: %.2f us each\n", RANGES, since_ms(began) * 1000 / RANGES);
    print_reads(table, "beside them in the memtable");
    need(kv_flush(store), "flush");
    print_reads(table, "flushed, perhaps merged");
    need(kv_close(store), "close");
}

static void print_seeks(struct kv_table *table, const char *when)
{
    printf("%-44s forward %7.3f ms, again %7.3f ms, backward %7.3f ms\n", when,
           seek_ms(table, 1000, true), seek_ms(table, 1000, true),
           seek_ms(table, 1000 + DELETES, false));
    fflush(stdout);
}

static void seek_over_deletes(const char *dir, bool ranges)
{
    struct kv_store *store = open_store(dir, ranges ? "dropped" : "deleted");
    struct kv_table *table = NULL;
    char key[24];
    char end[24];
    need(kv_table_open(store, "rows", NULL, &table), "table");
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        put_rows(table, ROWS / 4, 100);
        if (!in_memory) {
            need(kv_compact(store), "compact");
        }
        if (ranges) {
            need(kv_delete_range(table, key_of(1000, key), key_of(1000 + DELETES, end), 0),
                 "delete");
        }
        for (uint64_t i = 0; i < DELETES && !ranges; i++) {
            need(kv_delete(table, key_of(1000 + i, key), KV_DURABLE_NONE), "delete");
        }
        printf("%s %d rows, %s:\n", ranges ? "one range delete over" : "deletes of", DELETES,
               in_memory ? "rows in the memtable too" : "rows in tables");
        print_seeks(table, "  at once");
        need(kv_flush(store), "flush");
        print_seeks(table, "  flushed");
        nanosleep(&(struct timespec){.tv_sec = 3}, NULL);
        print_seeks(table, "  3 s later");
    }
    need(kv_close(store), "close");
}

static uint64_t table_bytes(struct kv_store *store)
{
    struct kv_stats stats;
    uint64_t bytes = 0;
    kv_stats(store, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        bytes += stats.levels[level].bytes;
    }
    return bytes;
}

static void drop_most(const char *dir, uint64_t bytes, bool ranges)
{
    struct kv_store *store = open_store(dir, ranges ? "drop" : "drop-rows");
    struct kv_table *table = NULL;
    struct kv_stats stats;
    uint64_t rows = bytes / 1000;
    uint64_t began;
    uint64_t before;
    char a[24];
    char b[24];
    need(kv_table_open(store, "rows", NULL, &table), "table");
    began = clock_monotonic_ns();
    put_rows(table, rows, 1000);
    need(kv_flush(store), "flush");
    nanosleep(&(struct timespec){.tv_sec = 5}, NULL);
    before = table_bytes(store);
    printf("%" PRIu64 " MiB in tables, written in %.0f s\n", before >> 20, since_ms(began) / 1000);
    began = clock_monotonic_ns();
    if (ranges) {
        need(kv_delete_range(table, key_of(rows / 20, a), key_of(rows - rows / 20, b), 0),
             "delete");
    }
    for (uint64_t i = rows / 20; i < rows - rows / 20 && !ranges; i++) {
        need(kv_delete(table, key_of(i, a), KV_DURABLE_NONE), "delete");
    }
    printf("90 %% deleted %s in %.3f s\n", ranges ? "as one range" : "row by row",
           since_ms(began) / 1000);
    began = clock_monotonic_ns();
    while (table_bytes(store) > before / 100 * 13 && since_ms(began) < 120000) {
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    }
    kv_stats(store, &stats);
    printf("%.1f s after that: %" PRIu64 " MiB in tables; %" PRIu64 " files (%" PRIu64
           " MiB) went unread, all merges since opening read %" PRIu64 " MiB\n",
           since_ms(began) / 1000, table_bytes(store) >> 20, stats.files_dropped,
           stats.bytes_dropped >> 20, stats.compaction_bytes_read >> 20);
    need(kv_close(store), "close");
}

int main(int argc, char **argv)
{
    uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 10) : 2048;
    if (argc < 2 || mkdir(argv[1], 0700) < 0) {
        fprintf(stderr, "usage: kv_ranges DIR [MIB]; DIR must not exist\n");
        return 2;
    }
    many_ranges(argv[1]);
    seek_over_deletes(argv[1], false);
    seek_over_deletes(argv[1], true);
    drop_most(argv[1], mib << 20, true);
    drop_most(argv[1], mib << 20, false);
    return 0;
}
