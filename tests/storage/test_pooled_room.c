/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a pool that is full, or is filling up. */
#include "tests/storage/takeover_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#include <kv/kv.h>

#include "kvcore/util/rng.h"

static const struct kv_file_id log_id = {KV_FILE_LOG, 1};
static const struct kv_file_id manifest_id = {KV_FILE_MANIFEST, 1}; /* its appends wait */

static int append(struct kv_storage *storage, struct kv_log *log, size_t size)
{
    static uint8_t bytes[RIG_PIECE_BYTES];
    struct iovec part = {bytes, size};

    ck_assert_uint_le(size, sizeof bytes);
    return storage->ops->log_append(log, &part, 1);
}

/* A store with a root record and a log of so many bytes, which is open. */
static struct kv_storage *make_store_with(struct fake_cluster *cluster, struct kv_file_id id,
                                          size_t size, struct kv_log **ret_log)
{
    struct kv_storage *storage = NULL;

    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    ck_ok(storage->ops->root_swap(storage, 0, kv_slice_str("root")));
    ck_ok(storage->ops->log_create(storage, id, 0, 0, ret_log));
    ck_ok(append(storage, *ret_log, size));
    ck_ok(storage->ops->log_sync(*ret_log));
    return storage;
}

static struct kv_storage *make_store(struct fake_cluster *cluster, size_t size,
                                     struct kv_log **ret_log)
{
    return make_store_with(cluster, log_id, size, ret_log);
}

static void expect_finished(struct kv_storage *storage, struct kv_file_id id, uint64_t size)
{
    struct pooled_entry entry = {0};

    ck_ok(pooled_dir_get(pooled_storage(storage), id, &entry));
    ck_assert_int_eq(entry.state, POOLED_FINISHED);
    ck_assert_uint_eq(entry.size, size);
}

START_TEST(a_log_whose_append_is_refused_syncs_what_it_has_and_is_finished_with_that)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_log *log = NULL;
    struct kv_storage *storage = make_store_with(cluster, manifest_id, 100, &log);

    fake_cluster_limit(cluster, fake_cluster_used(cluster));
    ck_fails(append(storage, log, 1), ENOSPC);
    ck_ok(storage->ops->log_sync(log));
    fake_cluster_limit(cluster, SIZE_MAX);
    ck_fails(append(storage, log, 1), EIO);
    ck_ok(storage->ops->log_sync(log));
    ck_assert_uint_eq(storage->ops->log_size(log), 100);
    storage->ops->log_close(log);
    expect_finished(storage, manifest_id, 100);
    rig_go_on(storage);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(a_log_that_is_overtaken_does_not_say_that_it_syncs)
{
    const struct kv_file_id kinds[] = {manifest_id, log_id, {KV_FILE_BLOB, 1}};
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *other = NULL;
    struct kv_log *log = NULL;
    struct kv_storage *storage = make_store_with(cluster, kinds[_i], 100, &log);

    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(cluster, NULL, NULL, &other));
    int r = append(storage, log, 1);
    r = r < 0 ? r : storage->ops->log_sync(log);
    ck_assert_int_eq(r, -ESHUTDOWN);
    ck_fails(append(storage, log, 1), EIO);
    ck_fails(storage->ops->log_sync(log), EIO);
    storage->ops->log_close(log);
    storage->ops->close(storage);
    other->ops->close(other);
    fake_cluster_destroy(cluster);
}
END_TEST

struct rewriting {
    struct fake_cluster *cluster;
    struct kv_storage *storage;
    struct kv_log *log;
    bool armed;
    int result;
};

/* While the log is appended to, it is rewritten where a piece is lost. */
static enum fake_fate rewrite_first(void *arg, unsigned index)
{
    struct rewriting *rewriting = (struct rewriting *)arg;

    if (rewriting->armed) {
        rewriting->armed = false;
        rewriting->result =
            rewriting->storage->ops->log_rewrite(rewriting->log, 0, kv_slice_str("b"));
    }
    return FAKE_DONE;
}

START_TEST(a_log_that_is_broken_while_an_append_is_refused_stays_broken)
{
    struct rewriting rewriting = {.cluster = fake_cluster_create()};
    struct pool *vandal = fake_cluster_connect(rewriting.cluster, NULL, NULL);
    char name[POOLED_NAME_SIZE];

    ck_ok(rig_acquire(rewriting.cluster, rewrite_first, &rewriting, &rewriting.storage));
    const struct kv_storage_ops *ops = rewriting.storage->ops;
    ck_ok(ops->root_swap(rewriting.storage, 0, kv_slice_str("root")));
    ck_ok(ops->log_create(rewriting.storage, manifest_id, 0, 0, &rewriting.log));
    ck_ok(append(rewriting.storage, rewriting.log, RIG_PIECE_BYTES));
    pooled_piece_name(manifest_id, pooled_storage(rewriting.storage)->epoch, 0, name);
    ck_ok(vandal->ops->change(vandal, name, &(struct pool_change){.remove = true}));
    fake_cluster_limit(rewriting.cluster, fake_cluster_used(rewriting.cluster));
    rewriting.armed = true;
    ck_fails(append(rewriting.storage, rewriting.log, 1), ENOSPC);
    ck_assert_int_eq(rewriting.result, -KV_EDAMAGED);
    ck_fails(ops->log_sync(rewriting.log), EIO);
    ops->log_close(rewriting.log);
    ops->close(rewriting.storage);
    vandal->ops->close(vandal);
    fake_cluster_destroy(rewriting.cluster);
}
END_TEST

START_TEST(files_are_removed_from_a_full_pool)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_log *log = NULL;
    struct kv_storage *storage = make_store(cluster, 4000, &log);
    size_t used = fake_cluster_used(cluster);

    storage->ops->log_close(log);
    fake_cluster_limit(cluster, used);
    ck_fails(storage->ops->log_create(storage, log_id, 0, 0, &log), EEXIST);
    ck_ok(storage->ops->remove(storage, log_id));
    ck_assert_uint_eq(fake_cluster_used(cluster), used - 4000);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
}
END_TEST

/* ---- the reserve ------------------------------------------------------------------------------
 */

enum { RESERVE_BYTES = 3 * RIG_PIECE_BYTES + 10 };

static void count_file(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    unsigned *count = (unsigned *)arg;
    *count += 1;
}

static unsigned count_files(struct kv_storage *storage)
{
    unsigned count = 0;
    ck_ok(storage->ops->list(storage, count_file, &count));
    return count;
}

START_TEST(a_reserve_takes_room_across_openings_until_it_is_given_back_and_is_no_file_to_others)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_log *log = NULL;
    struct kv_storage *storage = make_store(cluster, 100, &log);
    size_t used = fake_cluster_used(cluster);

    ck_ok(storage->ops->reserve(storage, RESERVE_BYTES));
    ck_assert_uint_eq(fake_cluster_used(cluster), used + RESERVE_BYTES);
    ck_assert_uint_eq(count_files(storage), 1);
    storage->ops->log_close(log);
    storage->ops->close(storage);
    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    ck_assert_uint_eq(count_files(storage), 1);
    ck_assert_uint_eq(fake_cluster_used(cluster), used + RESERVE_BYTES);
    ck_ok(storage->ops->reserve(storage, RESERVE_BYTES));
    ck_assert_uint_eq(fake_cluster_used(cluster), used + RESERVE_BYTES);
    ck_ok(storage->ops->reserve(storage, 10));
    ck_assert_uint_eq(fake_cluster_used(cluster), used + 10);
    ck_ok(storage->ops->reserve(storage, 0));
    ck_ok(storage->ops->reserve(storage, 0));
    ck_assert_uint_eq(fake_cluster_used(cluster), used);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(a_reserve_is_given_back_by_a_full_pool_and_makes_room)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_log *log = NULL;
    struct kv_storage *storage = make_store(cluster, 100, &log);

    ck_ok(storage->ops->reserve(storage, RESERVE_BYTES));
    storage->ops->log_close(log);
    ck_ok(storage->ops->log_resume(storage, log_id, &log));
    fake_cluster_limit(cluster, fake_cluster_used(cluster));
    ck_ok(storage->ops->reserve(storage, 0));
    ck_ok(append(storage, log, 4000));
    ck_ok(storage->ops->log_sync(log));
    storage->ops->log_close(log);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(what_there_is_no_room_for_is_not_kept_in_part_and_not_tried_all_the_time)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_log *log = NULL;
    struct kv_storage *storage = make_store(cluster, 100, &log);
    size_t used = fake_cluster_used(cluster);

    fake_cluster_limit(cluster, used + RESERVE_BYTES / 2);
    ck_fails(storage->ops->reserve(storage, RESERVE_BYTES), ENOSPC);
    ck_assert_uint_eq(fake_cluster_used(cluster), used);
    fake_cluster_limit(cluster, SIZE_MAX);
    ck_fails(storage->ops->reserve(storage, RESERVE_BYTES), ENOSPC);
    fake_cluster_pass(cluster, 10 * 1000);
    ck_ok(storage->ops->reserve(storage, RESERVE_BYTES));
    storage->ops->log_close(log);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
}
END_TEST

static enum fake_fate die_at(void *arg, unsigned index)
{
    const unsigned *at = (const unsigned *)arg;
    return index == *at ? FAKE_UNSENT : FAKE_DONE;
}

/* Returns whether there was such a call. */
static bool try_dying(unsigned at)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *storage = NULL;
    bool died = rig_acquire(cluster, die_at, &at, &storage) < 0;

    if (!died) {
        died = storage->ops->reserve(storage, RESERVE_BYTES) < 0 ||
               storage->ops->reserve(storage, 0) < 0;
        storage->ops->close(storage);
    }
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    ck_assert_uint_eq(count_files(storage), 0);
    ck_ok(storage->ops->reserve(storage, 0));
    ck_assert_uint_eq(fake_cluster_used(cluster), 0);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
    return died;
}

START_TEST(whoever_dies_while_it_makes_or_gives_back_a_reserve_leaves_none_that_is_lost)
{
    unsigned at = 0;

    while (try_dying(at)) {
        at++;
    }
    ck_assert_uint_gt(at, 20);
}
END_TEST

/* ---- the engine -------------------------------------------------------------------------------
 */

enum { MEMTABLE_BYTES = 64 * 1024, VALUE_BYTES = 1000, ROWS = 1000 };

struct world {
    struct fake_cluster *cluster;
    struct kv_store *store;
    struct kv_table *table;
    struct rng rng;
    bool alone;             /* no threads of the engine */
    _Atomic int room_after; /* so many more writes of gathered records; not so many: never */
    _Atomic bool held;      /* these wait */
};

static void sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
}

/* There is room at some write of what has gathered. */
static enum fake_fate make_room(void *arg, unsigned index)
{
    struct world *w = (struct world *)arg;
    char name[16] = "";

    if (prctl(PR_GET_NAME, name) != 0 || strcmp(name, "kv-send") != 0) {
        return FAKE_DONE;
    }
    while (atomic_load(&w->held)) {
        sleep_ms(1);
    }
    if (atomic_fetch_sub(&w->room_after, 1) == 1) {
        fake_cluster_limit(w->cluster, SIZE_MAX);
    }
    return FAKE_DONE;
}

static void open_again(struct world *w)
{
    struct pooled_options pooled = {
        .create = true, .lease_ms = RIG_LEASE_MS, .piece_bytes = 64 * 1024};
    struct kv_options options = {
        .create = true, .memtable_bytes = MEMTABLE_BYTES, .no_background = w->alone};
    struct kv_storage *storage = NULL;

    ck_ok(pooled_storage_open(fake_cluster_connect(w->cluster, make_room, w), "rados://fake/store",
                              &pooled, &storage));
    ck_ok(kv_open(storage, &options, &w->store));
    ck_ok(kv_table_open(w->store, "t", NULL, &w->table));
}

static void world_open_as(struct world *w, bool alone)
{
    *w = (struct world){.cluster = fake_cluster_create(), .rng = {test_seed()}, .alone = alone};
    open_again(w);
}

static void world_open(struct world *w)
{
    world_open_as(w, false);
}

static void world_close(struct world *w)
{
    ck_ok(kv_close(w->store));
    fake_cluster_destroy(w->cluster);
}

static struct kv_slice key_of(unsigned row, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%08u", row));
}

static int put(struct world *w, unsigned row)
{
    uint8_t value[VALUE_BYTES];
    char key[16];

    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)rng_next(&w->rng); /* not to be compressed */
    }
    return kv_put(w->table, key_of(row, key), kv_slice(value, sizeof value), KV_DURABLE_WRITE);
}

static void find_reserve(void *arg, const char *name)
{
    bool *found = (bool *)arg;
    *found = *found || strncmp(name, "RESERVE.", 8) == 0;
}

static bool has_reserve(struct world *w)
{
    bool found = false;
    fake_cluster_objects(w->cluster, find_reserve, &found);
    return found;
}

static void wait_for_reserve(struct world *w, bool wanted)
{
    for (unsigned ms = 0; has_reserve(w) != wanted; ms += 20) {
        ck_assert_msg(ms < test_patience_ms(), "%s reserve", wanted ? "no" : "still a");
        sleep_ms(20);
    }
}

/* For the reserve, which is not tried all the time. The lease is renewed by another clock. */
static void pass_a_second(struct world *w)
{
    struct kv_storage *storage = kv_storage_of(w->store);
    struct kv_lease_state lease = {0};

    ck_ok(storage->ops->lease_state(storage, &lease));
    if (lease.left_ms > RIG_LEASE_MS / 4) {
        fake_cluster_pass(w->cluster, 1000);
    }
}

START_TEST(on_a_full_pool_rows_are_deleted_and_writing_goes_on_once_there_is_room)
{
    struct world w;
    char key[16];
    unsigned row = 0;

    world_open(&w);
    for (; row < ROWS; row++) {
        ck_ok(put(&w, row));
    }
    ck_ok(kv_flush(w.store));
    wait_for_reserve(&w, true);
    fake_cluster_limit(w.cluster, fake_cluster_used(w.cluster) + 10 * VALUE_BYTES);
    int r = 0;
    for (; r == 0; row++) {
        r = put(&w, row);
    }
    ck_assert_int_eq(r, -ENOSPC);
    wait_for_reserve(&w, false);
    for (unsigned i = 0; i < 20; i++) {
        ck_ok(kv_delete(w.table, key_of(i, key), KV_DURABLE_SYNC));
    }
    fake_cluster_limit(w.cluster, SIZE_MAX);
    for (unsigned ms = 0; put(&w, row) == -ENOSPC; ms += 100) {
        ck_assert_msg(ms < test_patience_ms(), "it stays full");
        pass_a_second(&w);
        sleep_ms(100);
    }
    ck_ok(put(&w, row));
    world_close(&w);
}
END_TEST

static void expect_rows(struct world *w, unsigned count)
{
    for (unsigned row = 0; row < count; row++) {
        struct kv_pinned value = {0};
        char key[16];
        ck_ok(kv_get(w->table, NULL, key_of(row, key), &value));
        kv_pinned_release(&value);
    }
}

/* The log lacks rows that were written, since what had gathered was refused; memory has them. */
START_TEST(rows_whose_log_finds_no_room_are_kept_until_there_is_some)
{
    struct world w;
    unsigned row = 0;

    world_open(&w);
    for (; row < ROWS / 4; row++) {
        ck_ok(put(&w, row));
    }
    ck_ok(kv_sync(w.store));
    fake_cluster_limit(w.cluster, fake_cluster_used(w.cluster));
    while (put(&w, row) == 0) {
        row++;
    }
    kv_ignore(kv_sync(w.store)); /* fails, unless a reserve was kept already */
    expect_rows(&w, row);
    fake_cluster_limit(w.cluster, SIZE_MAX);
    for (unsigned ms = 0; kv_sync(w.store) < 0; ms += 100) {
        ck_assert_msg(ms < test_patience_ms(), "it is never synced");
        pass_a_second(&w);
        sleep_ms(100);
    }
    expect_rows(&w, row);
    ck_ok(kv_close(w.store));
    open_again(&w);
    expect_rows(&w, row);
    world_close(&w);
}
END_TEST

/* A store that is so large that it keeps a reserve. */
static unsigned fill(struct world *w)
{
    unsigned row = 0;

    for (; row < ROWS; row++) {
        ck_ok(put(w, row));
    }
    ck_ok(kv_close(w->store));
    open_again(w);
    wait_for_reserve(w, true);
    return row;
}

/* Puts until one is refused, some at most; returns the first row that was not put. */
static unsigned put_some(struct world *w, unsigned row, unsigned count)
{
    for (unsigned i = 0; i < count && put(w, row) == 0; i++) {
        row++;
    }
    return row;
}

enum { PUTS_FEW = 12 }; /* gather in what part of the reserve may */

START_TEST(rows_that_were_put_are_there_after_the_store_was_closed_on_a_full_pool)
{
    struct world w;

    world_open_as(&w, (_i & 1) != 0);
    unsigned row = fill(&w);
    ck_ok(kv_sync(w.store));
    fake_cluster_limit(w.cluster, fake_cluster_used(w.cluster) + 5 * VALUE_BYTES);
    atomic_store(&w.held, (_i & 2) != 0);
    row = put_some(&w, row, (_i & 2) != 0 ? PUTS_FEW : ROWS);
    ck_assert_uint_ge(row, ROWS + ((_i & 2) != 0 ? PUTS_FEW : 1));
    atomic_store(&w.held, false);
    kv_ignore(kv_close(w.store)); /* the rows may be in logs alone */
    fake_cluster_limit(w.cluster, SIZE_MAX);
    open_again(&w);
    expect_rows(&w, row);
    world_close(&w);
}
END_TEST

/* The store is small and keeps no reserve. */
static unsigned fill_up(struct world *w)
{
    unsigned row = put_some(w, 0, ROWS / 20);

    ck_ok(kv_sync(w->store));
    fake_cluster_limit(w->cluster, fake_cluster_used(w->cluster));
    return put_some(w, row, ROWS);
}

START_TEST(who_closes_a_store_waits_for_room_that_shows_late)
{
    struct world w;

    world_open_as(&w, _i == 1);
    unsigned row = fill_up(&w);
    atomic_store(&w.room_after, 6);
    kv_ignore(kv_close(w.store));
    fake_cluster_limit(w.cluster, SIZE_MAX); /* had the rows found room before */
    open_again(&w);
    expect_rows(&w, row);
    world_close(&w);
}
END_TEST

START_TEST(a_sync_on_a_full_pool_finds_room_in_what_is_kept_for_deletes)
{
    struct world w;
    char key[16];

    world_open_as(&w, true);
    unsigned row = fill(&w);
    fake_cluster_limit(w.cluster, fake_cluster_used(w.cluster));
    row = put_some(&w, row, 1);
    ck_assert_uint_eq(row, ROWS + 1);
    ck_ok(kv_sync(w.store));
    ck_assert(!has_reserve(&w));
    ck_ok(kv_delete(w.table, key_of(0, key), KV_DURABLE_SYNC));
    fake_cluster_limit(w.cluster, SIZE_MAX);
    world_close(&w);
}
END_TEST

START_TEST(a_sync_waits_for_room_that_shows_late)
{
    struct world w;

    world_open_as(&w, true);
    unsigned row = fill_up(&w);
    atomic_store(&w.room_after, 4);
    ck_ok(kv_sync(w.store));
    expect_rows(&w, row);
    world_close(&w);
}
END_TEST

START_TEST(a_flush_that_finds_no_room_gives_back_what_is_kept_for_deletes)
{
    struct world w;

    world_open_as(&w, true);
    unsigned row = fill(&w);
    row = put_some(&w, row, 10);
    ck_ok(kv_sync(w.store));
    /* Enough for another log, but not for the table. */
    fake_cluster_limit(w.cluster, fake_cluster_used(w.cluster) + 2 * VALUE_BYTES);
    ck_assert(has_reserve(&w));
    ck_fails(kv_flush(w.store), ENOSPC);
    ck_assert(!has_reserve(&w));
    ck_ok(kv_flush(w.store));
    fake_cluster_limit(w.cluster, SIZE_MAX);
    expect_rows(&w, row);
    world_close(&w);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_room");
    suite_add(s, "log", a_log_whose_append_is_refused_syncs_what_it_has_and_is_finished_with_that);
    TCase *overtaken = tcase_create("overtaken");
    tcase_add_loop_test(overtaken, a_log_that_is_overtaken_does_not_say_that_it_syncs, 0, 3);
    suite_add_tcase(s, overtaken);
    suite_add(s, "reserve",
              a_reserve_takes_room_across_openings_until_it_is_given_back_and_is_no_file_to_others);
    suite_add(s, "reserve", a_reserve_is_given_back_by_a_full_pool_and_makes_room);
    suite_add(s, "reserve",
              what_there_is_no_room_for_is_not_kept_in_part_and_not_tried_all_the_time);
    suite_add(s, "reserve",
              whoever_dies_while_it_makes_or_gives_back_a_reserve_leaves_none_that_is_lost);
    suite_add(s, "engine", on_a_full_pool_rows_are_deleted_and_writing_goes_on_once_there_is_room);
    suite_add(s, "engine", rows_whose_log_finds_no_room_are_kept_until_there_is_some);
    TCase *closed = tcase_create("closed");
    tcase_add_loop_test(
        closed, rows_that_were_put_are_there_after_the_store_was_closed_on_a_full_pool, 0, 4);
    tcase_add_loop_test(closed, who_closes_a_store_waits_for_room_that_shows_late, 0, 2);
    suite_add_tcase(s, closed);
    suite_add(s, "engine", a_sync_on_a_full_pool_finds_room_in_what_is_kept_for_deletes);
    suite_add(s, "engine", a_sync_waits_for_room_that_shows_late);
    suite_add(s, "engine", a_flush_that_finds_no_room_gives_back_what_is_kept_for_deletes);
    suite_add(s, "log", a_log_that_is_broken_while_an_append_is_refused_stays_broken);
    suite_add(s, "full", files_are_removed_from_a_full_pool);
    return s;
}
