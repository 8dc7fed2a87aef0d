/* SPDX-License-Identifier: Apache-2.0 */
/* The root record of storage_posix after syncs that failed, on a file system where the next sync
 * succeeds and the bytes are lost all the same. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"
#include "tests/sim/sim_fs.h"

enum { MOMENTS_MAX = 64 };

struct world {
    struct sim_fs *sim;
    struct kv_storage *storage;
    struct sim_fs *moments[MOMENTS_MAX]; /* of what was watched */
    size_t moment_count;
};

static void open_storage(struct world *w)
{
    ck_ok(sim_storage_open(w->sim, true, &w->storage));
    ck_ok(w->storage->ops->lease_acquire(w->storage, KV_LEASE_EXCLUSIVE, "the test"));
}

static int swap(struct world *w, uint64_t expected)
{
    char text[600]; /* a record of two sectors */
    int size = snprintf(text, sizeof text, "%0599d", (int)expected + 1);
    return w->storage->ops->root_swap(w->storage, expected, kv_slice(text, (size_t)size));
}

static uint64_t read_version(struct world *w)
{
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    ck_ok(w->storage->ops->root_read(w->storage, &bytes, &version));
    ck_ok(kv_buf_append(&bytes, kv_slice("", 1))); /* the end of the text */
    ck_assert_uint_eq(strtoull((const char *)bytes.data, NULL, 10), version);
    kv_buf_finish(&bytes);
    return version;
}

/* Let the sync behind a write of the root fail. */
static void fail_next_sync(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    (void)arg;
    if (event->call == SIM_PWRITEV && event->kind == SIM_ROOT) {
        struct sim_fault fault = {.at = event->number + 1, .failure = SIM_FAIL_EIO};
        sim_fail(sim, &fault);
    }
}

/* A root of version 3, and a swap to 4 whose sync fails. */
static void fail_a_swap(struct world *w)
{
    struct sim_event event;
    *w = (struct world){0};
    ck_ok(sim_create(&w->sim));
    open_storage(w);
    for (uint64_t version = 0; version < 3; version++) {
        ck_ok(swap(w, version));
    }
    sim_watch(w->sim, fail_next_sync, NULL);
    ck_fails(swap(w, 3), EIO);
    ck_assert(sim_fault_hit(w->sim, &event));
    ck_assert_int_eq(event.call, SIM_FDATASYNC);
    sim_watch(w->sim, NULL, NULL);
    sim_fail(w->sim, NULL);
}

static void finish(struct world *w)
{
    w->storage->ops->close(w->storage);
    sim_destroy(w->sim);
    for (size_t i = 0; i < w->moment_count; i++) {
        sim_destroy(w->moments[i]);
    }
}

static void keep_moment(void *arg, struct sim_fs *sim, const struct sim_event *event)
{
    struct world *w = arg;
    if (event->changes && w->moment_count < MOMENTS_MAX) {
        ck_ok(sim_kill(sim, &w->moments[w->moment_count++]));
    }
}

/* Lose the power at each moment that was kept: the record is `lowest` or newer. */
static void crash_at_moments(struct world *w, uint64_t lowest)
{
    struct rng rng = {test_seed()};
    for (size_t i = 0; i < w->moment_count * 50; i++) {
        struct world after = {0};
        uint64_t damage;
        ck_ok(sim_crash(w->moments[i % w->moment_count], rng_next(&rng),
                        (enum sim_mode)(1 + rng_below(&rng, SIM_MODE_COUNT - 1)), &after.sim,
                        &damage));
        open_storage(&after);
        ck_assert_uint_ge(read_version(&after), lowest);
        finish(&after);
    }
}

START_TEST(power_loss_in_the_opening_after_a_root_that_could_not_be_synced_leaves_the_last_good_one)
{
    struct world w;
    fail_a_swap(&w);
    w.storage->ops->close(w.storage);
    open_storage(&w);
    ck_assert_uint_eq(read_version(&w), 4); /* in memory only */
    sim_watch(w.sim, keep_moment, &w);
    ck_ok(swap(&w, 4));
    sim_watch(w.sim, NULL, NULL);
    ck_assert_uint_gt(w.moment_count, 0);
    crash_at_moments(&w, 3);
    finish(&w);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("sim_root");
    suite_add(
        s, "root",
        power_loss_in_the_opening_after_a_root_that_could_not_be_synced_leaves_the_last_good_one);
    return s;
}
