/* SPDX-License-Identifier: Apache-2.0 */
/* A larger load than a unit test: `load DIR ROWS` writes random rows through the engine into a new
 * store in DIR, with a small memtable and cache, reads all of them back in several ways and watches
 * memory. Prints TAP. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <kv/kv.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

enum { MEMTABLE = 16 << 20, CACHE = 32 << 20, MEMTABLES = 2, SLACK = 64 << 20 };

static int tests;
static int failures;

static void point(bool good, const char *name)
{
    tests++;
    failures += !good;
    printf("%sok %d - %s\n", good ? "" : "not ", tests, name);
    fflush(stdout);
}

static void check(int r, const char *what)
{
    if (r < 0) {
        printf("Bail out! %s: %s\n", what, kv_strerror(r));
        exit(1);
    }
}

/* Row `i`: a 16-byte random key that is its own number under a hash, and a value of 20 to 180
 * bytes, half of them compressible. */
static struct kv_slice key_of(uint64_t i, char to[17])
{
    snprintf(to, 17, "%016" PRIx64, hash_u64(i + 1));
    return kv_slice(to, 16);
}

static struct kv_slice value_of(uint64_t i, uint8_t to[256])
{
    struct rng rng = {i};
    size_t size = 20 + rng_below(&rng, 160);
    for (size_t n = 0; n < size; n++) {
        to[n] = n < size / 2 ? (uint8_t)rng_next(&rng) : (uint8_t)('a' + i % 16);
    }
    return kv_slice(to, size);
}

static size_t peak_bytes(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    size_t kib = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "VmHWM: %zu kB", &kib) == 1) {
            break;
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return kib * 1024;
}

static struct kv_store *open_store(const char *dir, struct kv_table **ret_table)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = MEMTABLE,
                                 .memtables_max = MEMTABLES,
                                 .cache_bytes = CACHE};
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    check(kv_storage_posix_open(dir, true, &storage), "storage");
    check(kv_open(storage, &options, &store), "open");
    check(kv_table_open(store, "rows", NULL, ret_table), "table");
    return store;
}

static void write_rows(struct kv_table *table, uint64_t rows)
{
    uint64_t began = clock_monotonic_ns();
    for (uint64_t i = 0; i < rows; i++) {
        char key[17];
        uint8_t value[256];
        check(kv_put(table, key_of(i, key), value_of(i, value), KV_DURABLE_WRITE), "put");
    }
    printf("# %" PRIu64 " rows written, %.2f us each\n", rows,
           (double)(clock_monotonic_ns() - began) / 1e3 / (double)rows);
}

static void read_rows(struct kv_table *table, uint64_t rows)
{
    uint64_t wrong = 0;
    uint64_t began = clock_monotonic_ns();
    for (uint64_t i = 0; i < rows; i++) {
        char key[17];
        uint8_t value[256];
        struct kv_pinned pinned = {0};
        int r = kv_get(table, NULL, key_of(i, key), &pinned);
        wrong += r < 0 || !kv_slice_equal(pinned.value, value_of(i, value));
        kv_pinned_release(&pinned);
    }
    printf("# %" PRIu64 " rows read, %.2f us each, %" PRIu64 " wrong\n", rows,
           (double)(clock_monotonic_ns() - began) / 1e3 / (double)rows, wrong);
    point(wrong == 0, "every value read back equals the generator's");
}

static void scan_rows(struct kv_table *table, uint64_t rows)
{
    struct kv_iter_options options = {.keep_cache = true};
    struct kv_iter *it = NULL;
    uint64_t seen = 0;
    uint64_t sum = 0;
    uint64_t expected = 0;
    bool sorted = true;
    char last[16] = {0};
    uint64_t began = clock_monotonic_ns();

    check(kv_iter_create(table, &options, &it), "iterator");
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        struct kv_slice key = kv_iter_key(it);
        sorted = sorted && key.size == 16 && memcmp(last, key.data, 16) < 0;
        memcpy(last, key.data, 16);
        sum += hash_bytes(key, 0);
        seen++;
    }
    check(kv_iter_error(it), "scan");
    kv_iter_destroy(it);
    for (uint64_t i = 0; i < rows; i++) {
        char key[17];
        expected += hash_bytes(key_of(i, key), 0);
    }
    printf("# %" PRIu64 " rows scanned, %.3f us each\n", seen,
           (double)(clock_monotonic_ns() - began) / 1e3 / (double)rows);
    point(sorted && seen == rows && sum == expected, "the scan is sorted and complete");
}

static void show_levels(struct kv_store *store)
{
    struct kv_stats stats;
    int used = 0;
    kv_stats(store, &stats);
    for (int level = 0; level < KV_LEVEL_COUNT; level++) {
        if (stats.levels[level].files > 0) {
            used++;
            printf("# level %d: %" PRIu64 " files, %.1f MiB, %" PRIu64 " rows\n", level,
                   stats.levels[level].files, (double)stats.levels[level].bytes / (1 << 20),
                   stats.levels[level].rows);
        }
    }
    printf("# flushed %.1f MiB, merged %.1f MiB, moved %" PRIu64 ", stalls %" PRIu64 " (%.1f s)\n",
           (double)stats.flush_bytes / (1 << 20),
           (double)stats.compaction_bytes_written / (1 << 20), stats.trivial_moves, stats.stalls,
           (double)stats.stall_ns / 1e9);
    printf("# levels in use: %d\n", used);
}

/* The shortest of some tries, so that a busy disk does not count. */
static struct kv_store *reopen_store(const char *dir, struct kv_table **ret_table)
{
    struct kv_store *store = NULL;
    uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < 5 && shortest >= 1000000000ULL; i++) {
        check(kv_close(store), "close");
        uint64_t began = clock_monotonic_ns();
        store = open_store(dir, ret_table);
        uint64_t took = clock_monotonic_ns() - began;
        shortest = took < shortest ? took : shortest;
    }
    printf("# reopened in %.3f s\n", (double)shortest / 1e9);
    point(shortest < 1000000000ULL, "reopening takes under a second");
    return store;
}

int main(int argc, char **argv)
{
    struct kv_table *table = NULL;
    struct kv_store *store;
    uint64_t rows;
    size_t limit = (size_t)MEMTABLES * MEMTABLE + CACHE + SLACK;

    if (argc != 3) {
        fprintf(stderr, "usage: load DIR ROWS\n");
        return 2;
    }
    rows = strtoull(argv[2], NULL, 10);
    store = open_store(argv[1], &table);
    write_rows(table, rows);
    read_rows(table, rows);
    scan_rows(table, rows);
    show_levels(store);
    printf("# peak memory %.1f MiB, limit %.1f MiB\n", (double)peak_bytes() / (1 << 20),
           (double)limit / (1 << 20));
    point(peak_bytes() <= limit, "memory stays within the budget and 64 MiB");
    check(kv_close(store), "close");
    store = reopen_store(argv[1], &table);
    read_rows(table, rows < 100000 ? rows : 100000);
    check(kv_close(store), "close");
    printf("1..%d\n", tests);
    return failures > 0;
}
