/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a store that is open: what is damaged is found and named wherever it is, what is sound
 * is not blamed whatever goes on beside it. On real files, whose bytes are changed behind the
 * store's back. */
#include "tests/lib/check_main.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kv/verify.h>

#include "kvcore/log/log_reader.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/coding.h"
#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/lib/temp_dir.h"

enum { KEYS = 900, LARGE_EVERY = 45, VALUE_MAX = 70 * 1000, FILES_MAX = 64 };

static struct temp_dir dir;
static char store_path[512];
static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *tables[2];
static _Atomic unsigned damage_events;

static void note_event(void *arg, const struct kv_event *event)
{
    damage_events += event->kind == KV_EVENT_DAMAGE_FOUND;
}

static void open_with(struct kv_options options)
{
    options.event_fn = note_event;
    damage_events = 0;
    ck_ok(kv_storage_posix_open(store_path, options.create, &storage));
    ck_ok(kv_open(storage, &options, &store));
    if (!options.read_only || options.create) {
        ck_ok(kv_table_open(store, "first", NULL, &tables[0]));
        ck_ok(kv_table_open(store, "second", NULL, &tables[1]));
    }
}

static struct kv_options small(void)
{
    return (struct kv_options){.create = true,
                               .memtable_bytes = (size_t)64 << 10,
                               .file_bytes = (size_t)24 << 10,
                               .blob_commit_bytes = 4500,
                               .blob_flush_bytes = 150,
                               .no_background = true};
}

static void setup(void)
{
    temp_dir_make(&dir);
    temp_dir_name(&dir, "store", store_path);
    open_with(small());
}

static void teardown(void)
{
    ck_ok(kv_close(store));
    store = NULL;
    temp_dir_remove(&dir);
}

/* ---- rows ---- */

static struct kv_slice key_of(size_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05zu", i));
}

/* No size is a multiple of a page, so that blobs have no gaps. */
static struct kv_slice value_of(size_t i, uint8_t to[VALUE_MAX])
{
    struct rng rng = {i + 1};
    size_t size = i % LARGE_EVERY == 3 ? VALUE_MAX - 1 : i % LARGE_EVERY == 7 ? 5001 : 101;
    if (i % LARGE_EVERY == 11) {
        size = 4001; /* to a blob where a merge meets many */
    }
    for (size_t n = 0; n < size; n++) {
        to[n] = i % LARGE_EVERY == 3 ? (uint8_t)(i + n / 900) : (uint8_t)rng_next(&rng);
    }
    return kv_slice(to, size);
}

static void put(size_t i)
{
    static uint8_t value[VALUE_MAX];
    char key[16];
    ck_ok(kv_put(tables[i % 2], key_of(i, key), value_of(i, value), KV_DURABLE_WRITE));
}

/* Tables on two levels with deletes and range deletes, blobs, and rows in the log. */
static void fill(void)
{
    char from[16], to[16];

    for (size_t i = 0; i < KEYS; i++) {
        put(i);
    }
    ck_ok(kv_compact(store));
    for (size_t i = KEYS; i < KEYS + 60; i++) {
        put(i);
    }
    ck_ok(kv_delete(tables[0], key_of(100, from), KV_DURABLE_WRITE));
    ck_ok(kv_delete_range(tables[1], key_of(201, from), key_of(207, to), KV_DURABLE_WRITE));
    ck_ok(kv_flush(store));
    for (size_t i = KEYS + 60; i < KEYS + 75; i++) {
        put(i);
    }
    ck_ok(kv_sync(store));
}

/* ---- running it ---- */

struct run {
    unsigned findings;
    int kind; /* of the first */
    uint64_t number, offset;
    int error;
    char from[64], to[64], table[32], text[512];
    struct kv_verify_progress progress; /* as told last */
    unsigned told;
    unsigned stop_after_findings, stop_after_told; /* 0: never */
};

static void copy_key(char to[64], struct kv_slice key)
{
    snprintf(to, 64, "%.*s", (int)key.size, key.size > 0 ? (const char *)key.data : "");
}

static int take_finding(void *arg, const struct kv_verify_finding *finding)
{
    struct run *run = arg;
    if (run->findings++ == 0) {
        run->kind = finding->kind;
        run->number = finding->number;
        run->offset = finding->offset;
        run->error = finding->error;
        copy_key(run->from, finding->from);
        copy_key(run->to, finding->to);
        snprintf(run->table, sizeof run->table, "%s", finding->table != NULL ? finding->table : "");
        snprintf(run->text, sizeof run->text, "%s", finding->text);
    }
    return run->findings == run->stop_after_findings;
}

static int take_progress(void *arg, const struct kv_verify_progress *progress)
{
    struct run *run = arg;
    run->progress = *progress;
    run->told++;
    return run->told == run->stop_after_told;
}

static int verify_at(struct run *run, uint64_t bytes_per_second)
{
    struct kv_verify_options options = {.bytes_per_second = bytes_per_second,
                                        .finding_fn = take_finding,
                                        .progress_fn = take_progress,
                                        .arg = run};
    return kv_verify(store, &options);
}

static int verify(struct run *run)
{
    *run = (struct run){0};
    return verify_at(run, 0);
}

static void check_sound(void)
{
    struct run run;
    int r = verify(&run);
    ck_assert_msg(r == 0 && run.findings == 0, "%s: %s", kv_strerror(r), run.text);
}

/* ---- changing bytes ---- */

static void file_path(const char *name, char to[1024])
{
    snprintf(to, 1024, "%s/%s", store_path, name);
}

static void flip(const char *name, uint64_t offset)
{
    char path[1024];
    uint8_t byte = 0;
    file_path(name, path);
    int fd = open(path, O_RDWR);
    ck_assert(fd >= 0);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= (uint8_t)(1 << offset % 8);
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

static uint8_t byte_at(const char *name, uint64_t offset)
{
    char path[1024];
    uint8_t byte = 0;
    file_path(name, path);
    int fd = open(path, O_RDONLY);
    ck_assert(fd >= 0);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
    return byte;
}

/* The files of one kind, by their names. Returns how many. */
static size_t list(const char *suffix, char names[FILES_MAX][64])
{
    DIR *stream = opendir(store_path);
    const struct dirent *entry;
    size_t count = 0;

    ck_assert(stream != NULL);
    while ((entry = readdir(stream)) != NULL) {
        const char *dot = strchr(entry->d_name, '.');
        if (dot != NULL && strcmp(dot, suffix) == 0) {
            ck_assert_uint_lt(count, FILES_MAX);
            ck_assert_uint_lt(strlen(entry->d_name), 64);
            memcpy(names[count++], entry->d_name, strlen(entry->d_name) + 1);
        }
    }
    closedir(stream);
    return count;
}

static uint64_t size_of(const char *name)
{
    char path[1024];
    struct stat st;
    file_path(name, path);
    ck_assert_int_eq(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

/* A flip is found, in this file; without it all is well again. */
static void check_flip(const char *name, int kind, uint64_t offset)
{
    struct run run;
    int r;

    flip(name, offset);
    r = verify(&run);
    ck_assert_msg(r == -KV_EDAMAGED, "%s, byte %lu: %s", name, (unsigned long)offset,
                  kv_strerror(r));
    ck_assert_int_eq(run.kind, kind);
    ck_assert_int_eq(run.error, -KV_EDAMAGED);
    ck_assert_uint_gt(strlen(run.text), 20);
    if (kind != KV_VERIFY_ROOT) {
        ck_assert_uint_eq(run.number, strtoull(name, NULL, 10));
        ck_assert_msg(run.offset <= offset, "%s, byte %lu: found at %lu (%s)", name,
                      (unsigned long)offset, (unsigned long)run.offset, run.text);
    }
    flip(name, offset);
}

/* About `flips` places of the first `end` bytes, some of them at random. */
static void check_flips(const char *name, int kind, uint64_t end, unsigned flips, bool zeros)
{
    struct rng rng = {test_seed()};
    for (unsigned i = 0; i < flips; i++) {
        uint64_t offset = i % 2 == 0 ? end * i / flips : rng_below(&rng, end);
        if (zeros || byte_at(name, offset) != 0) {
            check_flip(name, kind, offset);
        }
    }
}

/* ---- tests ---- */

START_TEST(a_sound_store_is_found_sound_and_all_of_it_is_looked_at)
{
    struct run run;
    struct kv_stats stats;

    fill();
    ck_ok(verify(&run));
    ck_assert_uint_eq(run.findings, 0);
    ck_assert_uint_eq(run.progress.files, run.progress.files_all);
    ck_assert_uint_eq(run.progress.bytes, run.progress.bytes_all);
    kv_stats(store, &stats);
    uint64_t rows = 0;
    for (int i = 0; i < KV_LEVEL_COUNT; i++) {
        rows += stats.levels[i].rows;
    }
    ck_assert_uint_eq(run.progress.rows, rows);
    ck_assert_uint_ge(run.progress.values, (uint64_t)(KEYS + 75) / LARGE_EVERY * 2);
    ck_assert_uint_eq(stats.damage_seen, 0);
}
END_TEST

START_TEST(every_flip_in_a_table_is_found)
{
    char names[FILES_MAX][64];
    fill();
    size_t count = list(".table", names);
    ck_assert_uint_ge(count, 4);
    for (size_t i = 0; i < count; i++) {
        check_flips(names[i], KV_FILE_TABLE, size_of(names[i]), 24, true);
        check_flip(names[i], KV_FILE_TABLE, size_of(names[i]) - 1);
    }
    check_sound();
}
END_TEST

/* Values of rows, also of rows in memory only, directory and footer. */
START_TEST(every_flip_in_a_blob_is_found)
{
    char names[FILES_MAX][64];
    fill();
    size_t count = list(".blob", names);
    ck_assert_uint_ge(count, 3);
    for (size_t i = 0; i < count; i++) {
        uint64_t size = size_of(names[i]);
        check_flips(names[i], KV_FILE_BLOB, size, 30, true);
        for (uint64_t back = 1; back <= 64; back += 3) {
            if (byte_at(names[i], size - 64) == 'k' && byte_at(names[i], size - 63) == 'v') {
                check_flip(names[i], KV_FILE_BLOB, size - back);
            }
        }
    }
    check_sound();
}
END_TEST

/* Where the records of a log end. Between them are zeros, which carry nothing. */
static uint64_t end_of_log(enum kv_file_kind kind, const char *name)
{
    struct kv_file_id id = {.kind = kind, .number = strtoull(name, NULL, 10)};
    struct log_reader *reader = NULL;
    struct log_record record;
    struct kv_buf bytes = {0};
    struct coding_cursor cursor;
    struct kv_slice value = {0};
    uint64_t version, tag = 0;

    ck_ok(storage->ops->root_read(storage, &bytes, &version));
    cursor = coding_cursor(kv_buf_slice(&bytes));
    while (tag != 5 && coding_read_field(&cursor, &tag, &value)) {
    }
    ck_assert_uint_eq(value.size, 16);
    ck_ok(log_reader_open(storage, id, checksum_store_seed(value.data), NULL, NULL, &reader));
    while (log_reader_next(reader, &record) == 1) {
    }
    uint64_t end = log_reader_end(reader).size;
    log_reader_close(reader);
    kv_buf_finish(&bytes);
    return end;
}

START_TEST(every_flip_in_the_manifest_and_in_what_is_durable_of_a_log_is_found)
{
    char names[FILES_MAX][64];
    fill();
    ck_assert_uint_eq(list(".manifest", names), 1);
    check_flips(names[0], KV_FILE_MANIFEST, end_of_log(KV_FILE_MANIFEST, names[0]), 80, false);
    const char *active = names[0]; /* another one may be kept for reuse */
    size_t count = list(".log", names);
    for (size_t i = 0; i < count; i++) {
        active = i == 0 || strcmp(names[i], active) > 0 ? names[i] : active;
    }
    check_flips(active, KV_FILE_LOG, end_of_log(KV_FILE_LOG, active), 120, false);
    check_sound();
}
END_TEST

START_TEST(every_flip_in_the_newest_root_record_is_found)
{
    fill();
    uint64_t versions[2];
    for (unsigned slot = 0; slot < 2; slot++) {
        versions[slot] = byte_at("ROOT", slot * 4096 + 8);
    }
    uint64_t newest = versions[1] > versions[0] ? 4096 : 0;
    uint64_t size = 32 + (uint64_t)byte_at("ROOT", newest + 16);
    for (uint64_t i = 0; i < size; i += 3) {
        check_flip("ROOT", KV_VERIFY_ROOT, newest + i);
    }
    check_sound();
}
END_TEST

START_TEST(missing_and_short_files_are_found)
{
    char names[FILES_MAX][64];
    char path[1024], away[1024];
    struct run run;

    fill();
    ck_assert_uint_ge(list(".table", names), 1);
    file_path(names[0], path);
    temp_dir_name(&dir, "away", away);
    ck_assert_int_eq(rename(path, away), 0);
    ck_fails(verify(&run), KV_EDAMAGED);
    ck_assert_int_eq(run.kind, KV_FILE_TABLE);
    ck_assert_uint_eq(run.number, strtoull(names[0], NULL, 10));
    ck_assert(strstr(run.text, "missing") != NULL);
    ck_assert_int_eq(rename(away, path), 0);
    ck_assert_uint_ge(list(".blob", names), 1);
    file_path(names[0], path);
    ck_assert_int_eq(truncate(path, 100), 0);
    ck_fails(verify(&run), KV_EDAMAGED);
    ck_assert_int_eq(run.kind, KV_FILE_BLOB);
}
END_TEST

/* In the order of the file, so that the first damaged block is known. */
START_TEST(the_keys_that_a_damaged_block_held_are_named)
{
    struct kv_verify_options options = {0};
    char names[FILES_MAX][64];
    char key[16], low[16] = "", high[16] = "";
    struct kv_buf value = {0};
    struct run run;
    int own;

    fill();
    size_t count = list(".table", names);
    for (size_t i = 0; i < count && low[0] == 0; i++) {
        flip(names[i], size_of(names[i]) / 3);
        ck_fails(verify(&run), KV_EDAMAGED);
        ck_ok(kv_close(store));
        open_with(small()); /* nothing is in the cache */
        own = strcmp(run.table, "second") == 0;
        for (size_t n = 0; n < KEYS + 75; n++) {
            struct kv_slice k = key_of(n, key);
            if ((int)(n % 2) == own && kv_get_copy(tables[own], NULL, k, &value) == -KV_EDAMAGED) {
                memcpy(low[0] == 0 ? low : high, key, sizeof low);
            }
        }
        ck_assert_msg(strcmp(run.from, low) <= 0 && strcmp(high, run.to) <= 0,
                      "named %s to %s, lost %s to %s", run.from, run.to, low, high);
        flip(names[i], size_of(names[i]) / 3);
    }
    ck_assert_uint_gt(strlen(high), 0);
    ck_ok(kv_verify(store, &options));
    kv_buf_finish(&value);
}
END_TEST

START_TEST(the_key_of_a_damaged_large_value_is_named)
{
    struct kv_buf value = {0};
    char names[FILES_MAX][64];
    struct run run;

    put(3);
    ck_ok(kv_flush(store));
    ck_assert_uint_eq(list(".blob", names), 1);
    flip(names[0], 777);
    ck_fails(verify(&run), KV_EDAMAGED);
    ck_assert_uint_eq(run.findings, 1);
    ck_assert_str_eq(run.from, "key00003");
    ck_assert_str_eq(run.to, "key00003");
    ck_assert_str_eq(run.table, "second");
    kv_buf_finish(&value);
}
END_TEST

START_TEST(findings_are_counted_and_told_as_damage_is_that_reads_meet)
{
    char names[FILES_MAX][64];
    struct kv_stats stats;
    struct run run;

    fill();
    ck_assert_uint_ge(list(".table", names), 2);
    flip(names[0], 100);
    flip(names[1], 100);
    ck_fails(verify(&run), KV_EDAMAGED);
    ck_assert_uint_eq(run.findings, 2);
    kv_stats(store, &stats);
    ck_assert_uint_eq(stats.damage_seen, 2);
    ck_assert_uint_eq(damage_events, 2);
    flip(names[0], 100);
    flip(names[1], 100);
}
END_TEST

START_TEST(it_ends_as_soon_as_a_function_of_the_callers_says_so)
{
    char names[FILES_MAX][64];
    struct run run = {.stop_after_told = 2};

    fill();
    ck_fails(verify_at(&run, 0), ECANCELED);
    ck_assert_uint_eq(run.told, 2);
    run = (struct run){.stop_after_told = 8};
    ck_fails(verify_at(&run, 1000), ECANCELED); /* while it waits: it would take minutes */
    ck_assert_uint_eq(run.told, 8);
    ck_assert_uint_ge(list(".table", names), 2);
    flip(names[0], 100);
    flip(names[1], 100);
    run = (struct run){.stop_after_findings = 1};
    ck_fails(verify_at(&run, 0), ECANCELED);
    ck_assert_uint_eq(run.findings, 1);
    flip(names[0], 100);
    flip(names[1], 100);
    check_sound();
}
END_TEST

START_TEST(it_reads_no_faster_than_it_may)
{
    struct run run = {0};
    fill();
    ck_ok(verify_at(&run, 0));
    uint64_t bytes = run.progress.bytes;
    ck_assert_uint_eq(run.progress.throttled_ns, 0);
    run = (struct run){0};
    uint64_t began = clock_monotonic_ns();
    ck_ok(verify_at(&run, bytes * 4)); /* a quarter of a second, at the least */
    uint64_t took = clock_monotonic_ns() - began;
    ck_assert_uint_ge(took, (uint64_t)240 * 1000 * 1000);
    ck_assert_uint_gt(run.progress.throttled_ns, 0);
}
END_TEST

START_TEST(the_cache_is_left_alone)
{
    struct kv_stats before, after;
    struct kv_buf value = {0};
    char key[16];

    fill();
    ck_ok(kv_get_copy(tables[0], NULL, key_of(50, key), &value));
    kv_stats(store, &before);
    check_sound();
    kv_stats(store, &after);
    ck_assert_uint_gt(before.cache_bytes, 0);
    ck_assert_uint_eq(before.cache_bytes, after.cache_bytes);
    ck_assert_uint_eq(before.cache_hits, after.cache_hits);
    ck_assert_uint_eq(before.cache_misses, after.cache_misses);
    ck_assert_uint_eq(before.resident_bytes, after.resident_bytes);
    kv_buf_finish(&value);
}
END_TEST

START_TEST(a_store_open_for_reading_only_is_checked_too)
{
    struct kv_options options = {.read_only = true};
    char names[FILES_MAX][64];
    struct run run;

    fill();
    ck_ok(kv_close(store));
    open_with(options);
    check_sound();
    ck_assert_uint_ge(list(".table", names), 1);
    check_flip(names[0], KV_FILE_TABLE, 99);
    ck_assert_uint_eq(list(".manifest", names), 1);
    check_flip(names[0], KV_FILE_MANIFEST, 60);
    ck_ok(verify(&run));
    ck_assert_uint_eq(run.progress.files, run.progress.files_all);
}
END_TEST

/* ---- beside a writer ---- */

struct writer {
    struct thread thread;
    _Atomic bool stop;
    _Atomic uint64_t written;
};

static void churn(struct writer *writer, struct rng *rng)
{
    static uint8_t value[VALUE_MAX];
    char from[16], to[16];
    size_t i = rng_below(rng, KEYS);

    if (rng_below(rng, 200) == 0) {
        ck_ok(
            kv_delete_range(tables[i % 2], key_of(i, from), key_of(i + 20, to), KV_DURABLE_WRITE));
    } else if (rng_below(rng, 8) == 0) {
        ck_ok(kv_delete(tables[i % 2], key_of(i, from), KV_DURABLE_WRITE));
    } else {
        ck_ok(kv_put(tables[i % 2], key_of(i, from), value_of(i, value),
                     rng_below(rng, 50) == 0 ? KV_DURABLE_SYNC : KV_DURABLE_WRITE));
    }
    if (rng_below(rng, 700) == 0) {
        struct kv_table *table = NULL;
        ck_ok(kv_table_open(store, "third", NULL, &table));
        ck_ok(kv_put(table, key_of(1, from), value_of(3, value), KV_DURABLE_WRITE));
        ck_ok(kv_flush(store));
        ck_ok(kv_table_drop(store, "third"));
    }
    writer->written++;
}

static void *write_on(void *arg)
{
    struct writer *writer = arg;
    struct rng rng = {test_seed()};
    while (!writer->stop) {
        churn(writer, &rng);
    }
    return NULL;
}

/* Flushes, merges, drops, dead bytes given back, and logs whose files become others. */
START_TEST(a_sound_store_is_found_sound_beside_a_busy_writer)
{
    struct kv_options options = small();
    struct writer writer = {.stop = false};
    struct run run;

    ck_ok(kv_close(store));
    options.no_background = false;
    options.blob_file_bytes = (uint64_t)128 << 10;
    open_with(options);
    fill();
    ck_ok(thread_start(&writer.thread, "writer", write_on, &writer));
    /* On a busy machine it may begin after all of the rounds. */
    while (writer.written == 0) {
        sched_yield();
    }
    for (uint64_t i = 0; i < test_steps(25); i++) {
        int r = verify(&run);
        ck_assert_msg(r == 0, "round %lu: %s: %s", (unsigned long)i, kv_strerror(r), run.text);
        ck_assert_uint_eq(run.findings, 0);
    }
    writer.stop = true;
    thread_join(&writer.thread);
}
END_TEST

/* What it holds on to is let go of, and what went meanwhile goes then. */
static int write_on_beside(void *arg, const struct kv_verify_progress *progress)
{
    struct run *run = arg;
    char names[FILES_MAX][64];

    run->progress = *progress;
    if (run->told++ == 3) {
        for (size_t i = 0; i < KEYS; i += 2) {
            put(i);
        }
        ck_ok(kv_table_drop(store, "second"));
        ck_ok(kv_compact(store));
        ck_assert_uint_gt(list(".table", names), 4);
    }
    return 0;
}

START_TEST(what_is_merged_and_dropped_meanwhile_stays_until_it_was_checked_and_goes_then)
{
    struct run run = {0};
    struct kv_verify_options options = {.finding_fn = take_finding, .arg = &run};
    char names[FILES_MAX][64];
    struct kv_stats stats;

    fill();
    options.progress_fn = write_on_beside;
    int r = kv_verify(store, &options);
    ck_assert_msg(r == 0, "%s: %s", kv_strerror(r), run.text);
    ck_assert_uint_gt(run.told, 4);
    kv_stats(store, &stats);
    uint64_t files = 0;
    for (int i = 0; i < KV_LEVEL_COUNT; i++) {
        files += stats.levels[i].files;
    }
    ck_assert_uint_eq(list(".table", names), files);
    check_sound();
}
END_TEST

/* In the middle of the log its rows go to tables, and what is written next to its file. */
static int reuse_the_log(void *arg, const struct kv_verify_progress *progress)
{
    struct run *run = arg;
    enum { ROOT_AND_MANIFEST = 2, SECOND_TIME = 2 };

    if (progress->files == ROOT_AND_MANIFEST && ++run->told == SECOND_TIME) {
        ck_ok(kv_flush(store));
        for (unsigned round = 0; round < 4; round++) {
            for (size_t i = 0; i < KEYS; i += LARGE_EVERY) {
                put(i + 1);
            }
            ck_ok(kv_flush(store));
        }
        for (size_t i = 0; i < KEYS; i += 2) {
            put(i - i % LARGE_EVERY);
        }
    }
    return 0;
}

START_TEST(a_log_whose_file_becomes_another_is_not_blamed)
{
    struct run run = {0};
    struct kv_verify_options options = {.bytes_per_second = 60000,
                                        .finding_fn = take_finding,
                                        .progress_fn = reuse_the_log,
                                        .arg = &run};
    static uint8_t value[VALUE_MAX];
    struct kv_batch *batch = NULL;
    char key[16];

    /* A record that takes most of a second to read, since all of it is waited for first. */
    ck_ok(kv_batch_create(&batch));
    for (size_t i = 0; i < 300; i++) {
        ck_ok(kv_batch_put(batch, tables[0], key_of(i, key), value_of(i * LARGE_EVERY, value)));
    }
    ck_ok(kv_write(store, batch, KV_DURABLE_SYNC));
    kv_batch_destroy(batch);
    int r = kv_verify(store, &options);
    ck_assert_msg(r == 0, "%s: %s", kv_strerror(r), run.text);
    ck_assert_uint_ge(run.told, 3);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("verify");
    TCase *tests = tcase_create("verify");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, a_sound_store_is_found_sound_and_all_of_it_is_looked_at);
    tcase_add_test(tests, every_flip_in_a_table_is_found);
    tcase_add_test(tests, every_flip_in_a_blob_is_found);
    tcase_add_test(tests, every_flip_in_the_manifest_and_in_what_is_durable_of_a_log_is_found);
    tcase_add_test(tests, every_flip_in_the_newest_root_record_is_found);
    tcase_add_test(tests, missing_and_short_files_are_found);
    tcase_add_test(tests, the_keys_that_a_damaged_block_held_are_named);
    tcase_add_test(tests, the_key_of_a_damaged_large_value_is_named);
    tcase_add_test(tests, findings_are_counted_and_told_as_damage_is_that_reads_meet);
    tcase_add_test(tests, it_ends_as_soon_as_a_function_of_the_callers_says_so);
    tcase_add_test(tests, it_reads_no_faster_than_it_may);
    tcase_add_test(tests, the_cache_is_left_alone);
    tcase_add_test(tests, a_store_open_for_reading_only_is_checked_too);
    tcase_add_test(tests, a_sound_store_is_found_sound_beside_a_busy_writer);
    tcase_add_test(tests, a_log_whose_file_becomes_another_is_not_blamed);
    tcase_add_test(tests,
                   what_is_merged_and_dropped_meanwhile_stays_until_it_was_checked_and_goes_then);
    suite_add_tcase(suite, tests);
    return suite;
}
