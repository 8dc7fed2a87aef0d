/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and opens that fail below the engine: an error, never a row less. */
#include "tests/lib/check_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <kv/kv.h>

#include "kvcore/db/store.h"
#include "kvcore/util/clock.h"
#include "tests/sim/sim_fs.h"

enum { ROWS = 900, VALUE_SIZE = 220 };

static struct kv_slice key_of(int i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%05d", i));
}

/* Not to be compressed; `round` tells a newer value from an older one. */
static struct kv_slice value_of(int i, int round, uint8_t to[VALUE_SIZE])
{
    uint64_t state = (uint64_t)i * 1000003 + (uint64_t)round;
    for (size_t n = 0; n < VALUE_SIZE; n++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        to[n] = (uint8_t)(state >> 56);
    }
    return kv_slice(to, VALUE_SIZE);
}

static int open_on(struct kv_storage *storage, struct kv_store **ret_store,
                   struct kv_table **ret_table)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = (size_t)64 << 10,
                                 .cache_bytes = (size_t)64 << 10,
                                 .file_bytes = (uint64_t)16 << 10,
                                 .level_base_bytes = (uint64_t)64 << 10,
                                 .no_background = true};
    int r = kv_open(storage, &options, ret_store);
    return r < 0 ? r : kv_table_open(*ret_store, "t", NULL, ret_table);
}

/* All rows in a deep level of many files, and newer versions of some above. */
static void fill(struct kv_store *store, struct kv_table *table)
{
    uint8_t value[VALUE_SIZE];
    struct kv_stats stats;
    char key[16];
    size_t deep = 0;
    for (int i = 0; i < ROWS; i++) {
        ck_ok(kv_put(table, key_of(i, key), value_of(i, 0, value), KV_DURABLE_NONE));
    }
    ck_ok(kv_compact(store));
    for (int i = 0; i < ROWS; i += 7) {
        ck_ok(kv_put(table, key_of(i, key), value_of(i, 1, value), KV_DURABLE_NONE));
    }
    ck_ok(kv_flush(store));
    kv_stats(store, &stats);
    for (int level = 1; level < KV_LEVEL_COUNT; level++) {
        deep = stats.levels[level].files > deep ? stats.levels[level].files : deep;
    }
    ck_assert_uint_ge(deep, 8);
}

/* Rows from the first on until the end or an error; each is the right one. Returns how many. */
static int scan(struct kv_table *table, int *ret_error)
{
    struct kv_iter *it = NULL;
    uint8_t value[VALUE_SIZE];
    char key[16];
    int n = 0;
    *ret_error = kv_iter_create(table, NULL, &it);
    if (*ret_error < 0) {
        return 0;
    }
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it), n++) {
        struct kv_slice got;
        ck_ok(kv_iter_value(it, &got));
        ck_assert(kv_slice_equal(kv_iter_key(it), key_of(n, key)));
        ck_assert(kv_slice_equal(got, value_of(n, n % 7 == 0, value)));
    }
    *ret_error = kv_iter_error(it);
    kv_iter_destroy(it);
    return n;
}

static void expect_all(struct kv_table *table)
{
    int error;
    ck_assert_int_eq(scan(table, &error), ROWS);
    ck_ok(error);
}

/* ---- a read fails ---- */

struct sim_world {
    struct sim_fs *sim;
    struct kv_store *store;
    struct kv_table *table;
};

static void sim_world_open(struct sim_world *w)
{
    struct kv_storage *storage = NULL;
    ck_ok(sim_storage_open(w->sim, true, &storage));
    ck_ok(open_on(storage, &w->store, &w->table));
}

/* A copy of `from` in which the n-th call from now on fails. */
static void sim_world_copy(const struct sim_fs *from, uint64_t n, struct sim_world *ret)
{
    struct sim_fault fault = {.failure = SIM_FAIL_EIO};
    *ret = (struct sim_world){0};
    ck_ok(sim_kill(from, &ret->sim));
    sim_world_open(ret);
    fault.at = sim_calls_made(ret->sim) + n;
    sim_fail(ret->sim, &fault);
}

/* Whether the fault has struck, which is then over; and whether that must be an error. */
static bool is_over(struct sim_world *w, bool *ret_hit)
{
    struct sim_event event;
    *ret_hit = sim_fault_hit(w->sim, &event);
    sim_fail(w->sim, NULL);
    return *ret_hit && event.kind == SIM_TABLE && event.call != SIM_CLOSE &&
           event.call != SIM_UNLINK && event.call != SIM_FADVISE;
}

static void sim_world_finish(struct sim_world *w)
{
    ck_ok(kv_close(w->store));
    sim_destroy(w->sim);
}

static struct sim_fs *filled_sim(void)
{
    struct sim_world w = {0};
    ck_ok(sim_create(&w.sim));
    sim_world_open(&w);
    fill(w.store, w.table);
    ck_ok(kv_close(w.store));
    return w.sim;
}

START_TEST(a_scan_that_cannot_read_a_later_file_of_a_level_ends_with_an_error_not_with_fewer_rows)
{
    struct sim_fs *sim = filled_sim();
    unsigned failed = 0;
    bool hit = true;
    for (uint64_t n = 1; hit; n++) {
        struct sim_world w;
        int error;
        sim_world_copy(sim, n, &w);
        int rows = scan(w.table, &error);
        if (is_over(&w, &hit)) {
            ck_assert_int_eq(error, -EIO);
            ck_assert_int_lt(rows, ROWS);
            failed++;
        } else {
            ck_assert_int_eq(rows, ROWS);
        }
        expect_all(w.table);
        sim_world_finish(&w);
    }
    ck_assert_uint_gt(failed, 16);
    sim_destroy(sim);
}
END_TEST

START_TEST(a_merge_that_cannot_read_a_later_file_of_a_level_fails_and_drops_no_row)
{
    struct sim_fs *sim = filled_sim();
    unsigned failed = 0;
    bool hit = true;
    for (uint64_t n = 1; hit; n++) {
        struct sim_world w;
        sim_world_copy(sim, n, &w);
        int r = kv_compact(w.store);
        if (is_over(&w, &hit)) {
            ck_assert_int_eq(r, -EIO);
            failed++;
        }
        expect_all(w.table);
        ck_ok(kv_compact(w.store));
        expect_all(w.table);
        sim_world_finish(&w);
    }
    ck_assert_uint_gt(failed, 16);
    sim_destroy(sim);
}
END_TEST

/* ---- an edit fails ---- */

/* All fails once a blob is synced. */
static void fail_behind_a_blob(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct sim_fault fault = {.at = event->number + 1, .failure = SIM_FAIL_EIO, .forever = true};
    (void)arg;
    if (event->call == SIM_FDATASYNC && event->kind == SIM_BLOB) {
        sim_fail(sim, &fault);
    }
}

START_TEST(blobs_of_an_edit_that_failed_go_once_a_later_one_is_durable)
{
    struct kv_options options = {.create = true,
                                 .no_background = true,
                                 .blob_commit_bytes = SIZE_MAX,
                                 .blob_flush_bytes = 128};
    struct kv_storage *storage = NULL;
    struct sim_world w = {0};
    uint8_t value[VALUE_SIZE];
    struct kv_stats stats;
    char key[16];
    ck_ok(sim_create(&w.sim));
    ck_ok(sim_storage_open(w.sim, true, &storage));
    ck_ok(kv_open(storage, &options, &w.store));
    ck_ok(kv_table_open(w.store, "t", NULL, &w.table));
    for (int i = 0; i < ROWS; i++) {
        ck_ok(kv_put(w.table, key_of(i, key), value_of(i, i % 7 == 0, value), KV_DURABLE_WRITE));
    }
    sim_watch(w.sim, fail_behind_a_blob, NULL);
    ck_fails(kv_flush(w.store), EIO);
    sim_watch(w.sim, NULL, NULL);
    sim_fail(w.sim, NULL);
    ck_assert_uint_eq(sim_count_names(w.sim, SIM_BLOB), 1); /* nobody knows whether it counts */
    ck_ok(kv_flush(w.store));
    kv_stats(w.store, &stats);
    ck_assert_uint_eq(stats.blobs, 1);
    ck_assert_uint_eq(sim_count_names(w.sim, SIM_BLOB), 1);
    expect_all(w.table);
    sim_world_finish(&w);
}
END_TEST

/* ---- what failed is counted ---- */

static void sim_world_reopen(struct sim_world *w)
{
    ck_ok(kv_close(w->store));
    sim_world_open(w);
}

static void fail_all(struct sim_world *w, bool on)
{
    struct sim_fault fault = {
        .at = sim_calls_made(w->sim) + 1, .failure = SIM_FAIL_EIO, .forever = true};
    sim_fail(w->sim, on ? &fault : NULL);
}

START_TEST(what_failed_is_counted_in_the_root_record_over_all_openings)
{
    static const uint64_t wanted[ROOT_COUNTERS] = {0, 2, 1, 1};
    const struct kv_slice value = kv_slice_str("value");
    struct sim_world w = {0};
    struct kv_pinned pinned;
    struct kv_iter *it = NULL;
    char key[16];
    ck_ok(sim_create(&w.sim));
    sim_world_open(&w);
    ck_ok(kv_put(w.table, key_of(0, key), value, KV_DURABLE_WRITE));
    fail_all(&w, true);
    ck_fails(kv_put(w.table, key_of(1, key), value, KV_DURABLE_WRITE), EIO);
    fail_all(&w, false);
    sim_world_reopen(&w);
    ck_assert_uint_eq(w.store->root.counters[2], 1);
    ck_ok(kv_iter_create(w.table, NULL, &it));
    fail_all(&w, true);
    ck_fails(kv_get(w.table, NULL, key_of(0, key), &pinned), EIO);
    kv_iter_seek_first(it);
    ck_fails(kv_iter_error(it), EIO);
    kv_iter_destroy(it);
    fail_all(&w, false);
    sim_world_reopen(&w);
    ck_ok(kv_put(w.table, key_of(1, key), value, KV_DURABLE_WRITE));
    fail_all(&w, true);
    ck_fails(kv_sync(w.store), EIO);
    fail_all(&w, false);
    ck_ok(kv_put(w.table, key_of(2, key), value, KV_DURABLE_WRITE)); /* and the others anew */
    for (int opening = 0; opening < 2; opening++) {
        sim_world_reopen(&w);
        for (int i = 0; i < ROOT_COUNTERS; i++) {
            ck_assert_uint_eq(w.store->root.counters[i], wanted[i]);
        }
    }
    sim_world_finish(&w);
}
END_TEST

/* ---- damage that cannot be written down ---- */

/* Whether the root record cannot be written now; used by the store's threads, too. */
static void break_root(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct sim_fault fault = {.at = event->number + 1, .failure = SIM_FAIL_EIO};
    const _Atomic bool *broken = arg;
    if (event->kind == SIM_ROOT && atomic_load(broken)) {
        sim_fail(sim, &fault);
    }
}

static void open_with_breaking_root(struct sim_world *w, bool threads, _Atomic bool *broken)
{
    const struct kv_options options = {.create = true, .no_background = !threads};
    struct kv_storage *storage = NULL;
    ck_ok(sim_create(&w->sim));
    sim_watch(w->sim, break_root, broken);
    ck_ok(sim_storage_open(w->sim, true, &storage));
    ck_ok(kv_open(storage, &options, &w->store));
}

static void meet_damage(struct sim_world *w)
{
    struct message_place place = {.kind = KV_FILE_TABLE, .number = 12};
    ck_fails(message_damage_at(&w->store->sink, place, "damage of a test"), KV_EDAMAGED);
}

/* As the next process finds it. */
static bool is_suspicious(struct sim_fs *sim)
{
    struct sim_world w = {.sim = sim};
    struct kv_suspects suspects;
    sim_world_open(&w);
    kv_suspects(w.store, &suspects);
    sim_world_finish(&w);
    return suspects.check_needed;
}

static bool would_be_suspicious(const struct sim_fs *sim)
{
    struct sim_fs *killed = NULL;
    ck_ok(sim_kill(sim, &killed));
    return is_suspicious(killed);
}

static void sleep_ms(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

START_TEST(damage_that_could_not_be_written_down_is_written_down_later)
{
    _Atomic bool broken = false;
    struct sim_world w = {0};
    open_with_breaking_root(&w, false, &broken);
    meet_damage(&w);
    broken = true;
    for (int i = 0; i < 3; i++) { /* each comes when the pause after the one before is over */
        ck_ok(kv_sync(w.store));
        ck_assert(!would_be_suspicious(w.sim));
        sleep_ms(450);
    }
    broken = false;
    sim_fail(w.sim, NULL); /* the call behind the last one of the root record */
    ck_ok(kv_sync(w.store));
    ck_assert(would_be_suspicious(w.sim));
    ck_ok(kv_close(w.store));
    sim_destroy(w.sim);
}
END_TEST

static uint64_t count_failed_writes(struct sim_world *w)
{
    struct kv_stats stats;
    kv_stats(w->store, &stats);
    return stats.write_errors;
}

START_TEST(nobody_tries_again_before_the_pause_is_over)
{
    enum { FIRST_PAUSE_MS = 100, TIMES = 4 };
    _Atomic bool broken = false;
    struct sim_world w = {0};
    open_with_breaking_root(&w, false, &broken);
    meet_damage(&w);
    broken = true;
    for (uint64_t i = 0; i < TIMES; i++) {
        uint64_t pause_ns = (uint64_t)FIRST_PAUSE_MS * 1000000 << i;
        uint64_t began = clock_monotonic_ns(), failed;
        ck_ok(kv_sync(w.store));
        ck_assert_uint_eq(count_failed_writes(&w), i + 1);
        ck_ok(kv_sync(w.store));
        ck_ok(kv_sync(w.store));
        failed = count_failed_writes(&w);
        ck_assert(failed == i + 1 || clock_monotonic_ns() - began >= pause_ns);
        sleep_ms(FIRST_PAUSE_MS << i);
    }
    broken = false;
    sim_fail(w.sim, NULL);
    ck_ok(kv_close(w.store));
    sim_destroy(w.sim);
}
END_TEST

/* As if it had failed for a while; returns the pause after one more failure. */
static unsigned pause_behind(struct sim_world *w, unsigned pause_ms)
{
    mutex_lock(&w->store->suspect_mu);
    w->store->suspects.pause_ms = pause_ms;
    w->store->suspects.not_before_ns = 0;
    mutex_unlock(&w->store->suspect_mu);
    ck_ok(kv_sync(w->store));
    mutex_lock(&w->store->suspect_mu);
    pause_ms = w->store->suspects.pause_ms;
    mutex_unlock(&w->store->suspect_mu);
    return pause_ms;
}

/* It can be read, and what is written to it is never synced. */
static void break_root_syncs(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    if (event->call == SIM_PWRITEV) {
        break_root(arg, sim, event);
    }
}

START_TEST(attempts_that_leave_a_manifest_become_rare)
{
    _Atomic bool broken = false;
    struct sim_world w = {0};
    size_t manifests;
    open_with_breaking_root(&w, false, &broken);
    sim_watch(w.sim, break_root_syncs, &broken);
    meet_damage(&w);
    manifests = sim_count_names(w.sim, SIM_MANIFEST);
    broken = true;
    ck_assert_uint_eq(pause_behind(&w, 10000), 10000); /* nothing but the root record */
    ck_assert_uint_eq(sim_count_names(w.sim, SIM_MANIFEST), manifests);
    ck_assert_uint_eq(pause_behind(&w, 100), 200);
    ck_assert_uint_eq(pause_behind(&w, 10000), 20000);
    ck_assert_uint_eq(pause_behind(&w, 2000000), 3600000);
    ck_assert_uint_eq(pause_behind(&w, 3600000), 3600000);
    ck_assert_uint_eq(sim_count_names(w.sim, SIM_MANIFEST), manifests + 4);
    broken = false;
    sim_fail(w.sim, NULL);
    ck_ok(kv_close(w.store));
    sim_world_open(&w);
    ck_assert_uint_eq(sim_count_names(w.sim, SIM_MANIFEST), manifests);
    sim_world_finish(&w);
}
END_TEST

START_TEST(closing_within_the_pause_writes_it_down)
{
    _Atomic bool broken = false;
    struct sim_world w = {0};
    open_with_breaking_root(&w, false, &broken);
    meet_damage(&w);
    broken = true;
    ck_ok(kv_sync(w.store));
    ck_assert_uint_eq(count_failed_writes(&w), 1);
    broken = false;
    sim_fail(w.sim, NULL);
    ck_ok(kv_close(w.store));
    ck_assert(is_suspicious(w.sim));
}
END_TEST

static bool has_failed(struct sim_world *w)
{
    return count_failed_writes(w) > 0;
}

/* Whether the root record says what is suspected. */
static bool is_written(struct sim_world *w)
{
    mutex_lock(&w->store->manifest_mu);
    bool written = w->store->root.suspects.check_needed && !w->store->manifest_suspect;
    mutex_unlock(&w->store->manifest_mu);
    return written;
}

static void wait_for(struct sim_world *w, bool (*happens)(struct sim_world *w))
{
    uint64_t until = clock_monotonic_ns() + test_patience_ms() * 1000000;
    while (!happens(w) && clock_monotonic_ns() < until) {
        sleep_ms(10);
    }
    ck_assert(happens(w));
}

START_TEST(a_thread_writes_down_damage_that_it_could_not_write_down_before)
{
    _Atomic bool broken = false;
    struct sim_world w = {0};
    struct sim_fs *died = NULL;
    open_with_breaking_root(&w, true, &broken);
    broken = true;
    meet_damage(&w);
    wait_for(&w, has_failed);
    ck_assert(!is_written(&w));
    broken = false;
    wait_for(&w, is_written);
    ck_ok(sim_die(w.sim, &died));
    kv_ignore(kv_close(w.store)); /* it died */
    sim_destroy(w.sim);
    ck_assert(is_suspicious(died));
}
END_TEST

/* ---- no descriptors are left ---- */

static int highest_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    close(fd);
    return fd;
}

static void limit_descriptors(rlim_t soft)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = soft;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Each row is right, or its reading fails for want of descriptors. Returns how many failed. */
static int count_failed_gets(struct kv_table *table)
{
    uint8_t value[VALUE_SIZE];
    char key[16];
    int failed = 0;
    for (int i = 0; i < ROWS; i++) {
        struct kv_pinned pinned = {0};
        int r = kv_get(table, NULL, key_of(i, key), &pinned);
        if (r == -EMFILE) {
            failed++;
        } else {
            ck_ok(r);
            ck_assert(kv_slice_equal(pinned.value, value_of(i, i % 7 == 0, value)));
        }
        kv_pinned_release(&pinned);
    }
    return failed;
}

START_TEST(without_free_descriptors_reads_fail_and_no_row_counts_as_missing)
{
    char dir[] = "/tmp/kv-failures-XXXXXX";
    char command[64];
    struct kv_storage *storage = NULL;
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    struct rlimit before;
    int error;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_ok(kv_storage_posix_open(dir, true, &storage));
    ck_ok(open_on(storage, &store, &table));
    fill(store, table);
    ck_ok(kv_close(store));
    ck_ok(kv_storage_posix_open(dir, false, &storage));
    ck_ok(open_on(storage, &store, &table));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);

    limit_descriptors((rlim_t)highest_descriptor() + 4);
    ck_assert_int_lt(scan(table, &error), ROWS);
    ck_assert_int_eq(error, -EMFILE);
    ck_assert_int_gt(count_failed_gets(table), 0);
    ck_fails(kv_compact(store), EMFILE);
    limit_descriptors(before.rlim_cur);
    ck_assert_int_eq(count_failed_gets(table), 0);
    expect_all(table);
    ck_ok(kv_compact(store));
    expect_all(table);
    ck_ok(kv_close(store));
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(a_manifest_that_has_outgrown_its_snapshot_is_begun_anew)
{
    struct sim_world w = {0};
    char key[16];
    ck_ok(sim_create(&w.sim));
    sim_world_open(&w);
    for (int i = 0; i < 3; i++) {
        uint64_t before = w.store->root.manifest;
        ck_ok(kv_put(w.table, key_of(i, key), kv_slice_str("value"), KV_DURABLE_NONE));
        w.store->manifest_roll_bytes = 1;
        ck_ok(kv_flush(w.store));
        ck_assert_uint_eq(w.store->root.manifest, before + 1);
        ck_assert_uint_eq(sim_count_names(w.sim, SIM_MANIFEST), 1);
        ck_ok(kv_put(w.table, key_of(i, key), kv_slice_str("other"), KV_DURABLE_NONE));
        ck_ok(kv_flush(w.store));
        ck_assert_uint_eq(w.store->root.manifest, before + 1);
    }
    sim_world_finish(&w);
}
END_TEST

/* What a failed fsync covered is unknown, also where it says that there is no room: nobody asks
 * again whether it is there, and nothing waits for room. */
START_TEST(a_sync_without_room_is_final_on_a_directory)
{
    struct sim_world w = {0};
    char key[16];
    ck_ok(sim_create(&w.sim));
    sim_world_open(&w);
    ck_ok(kv_put(w.table, key_of(0, key), kv_slice_str("value"), KV_DURABLE_WRITE));
    ck_ok(kv_sync(w.store)); /* the log has its name */
    ck_ok(kv_put(w.table, key_of(1, key), kv_slice_str("value"), KV_DURABLE_WRITE));
    struct sim_fault fault = {.at = sim_calls_made(w.sim) + 1, .failure = SIM_FAIL_ENOSPC};
    struct sim_event event;
    sim_fail(w.sim, &fault);
    ck_assert_int_lt(kv_sync(w.store), 0);
    ck_assert(sim_fault_hit(w.sim, &event) && event.kind == SIM_LOG);
    ck_assert(!atomic_load(&w.store->full));
    sim_world_finish(&w);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("failures");
    suite_add(
        s, "read",
        a_scan_that_cannot_read_a_later_file_of_a_level_ends_with_an_error_not_with_fewer_rows);
    suite_add(s, "read", a_merge_that_cannot_read_a_later_file_of_a_level_fails_and_drops_no_row);
    suite_add(s, "descriptors", without_free_descriptors_reads_fail_and_no_row_counts_as_missing);
    TCase *damage = tcase_create("damage");
    tcase_set_timeout(damage, 0); /* wait_for() has one */
    tcase_add_test(damage, damage_that_could_not_be_written_down_is_written_down_later);
    tcase_add_test(damage, nobody_tries_again_before_the_pause_is_over);
    tcase_add_test(damage, attempts_that_leave_a_manifest_become_rare);
    tcase_add_test(damage, closing_within_the_pause_writes_it_down);
    tcase_add_test(damage, a_thread_writes_down_damage_that_it_could_not_write_down_before);
    suite_add_tcase(s, damage);
    suite_add(s, "counters", what_failed_is_counted_in_the_root_record_over_all_openings);
    suite_add(s, "sync", a_sync_without_room_is_final_on_a_directory);
    suite_add(s, "manifest", a_manifest_that_has_outgrown_its_snapshot_is_begun_anew);
    suite_add(s, "manifest", blobs_of_an_edit_that_failed_go_once_a_later_one_is_durable);
    return s;
}
