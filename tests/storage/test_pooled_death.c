/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on a store in a pool whose writer dies, or loses an answer, at any call: what it has
 * gathered is lost, and only from the end. */
#include "tests/storage/takeover_rig.h"

#include <stdatomic.h>
#include <stdio.h>

#include <kv/kv.h>

#include "kvcore/util/rng.h"

enum { ROWS = 120, SYNC_EACH = 16, LARGE_EACH = 10 };

struct death {
    unsigned at;
    enum fake_fate fate;
    _Atomic bool reached;
};

static enum fake_fate die(void *arg, unsigned index)
{
    struct death *death = (struct death *)arg;
    if (index != death->at) {
        return FAKE_DONE;
    }
    atomic_store(&death->reached, true);
    return death->fate;
}

static int open_store(struct fake_cluster *cluster, fake_plan_fn *plan, void *arg,
                      struct kv_store **ret_store, struct kv_table **ret_table)
{
    struct pooled_options pooled = {
        .create = true, .lease_ms = RIG_LEASE_MS, .piece_bytes = 64 * 1024};
    struct kv_options options = {
        .create = true, .memtable_bytes = 64 * 1024, .no_background = true};
    struct kv_storage *storage = NULL;

    ck_ok(pooled_storage_open(fake_cluster_connect(cluster, plan, arg), "rados://fake/store",
                              &pooled, &storage));
    int r = kv_open(storage, &options, ret_store);
    if (r < 0) {
        storage->ops->close(storage);
        return r;
    }
    r = kv_table_open(*ret_store, "t", NULL, ret_table);
    if (r < 0) {
        kv_ignore(kv_close(*ret_store));
    }
    return r;
}

static struct kv_slice key_of(unsigned row, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%08u", row));
}

/* Rows one after the other, a sync now and then, until one fails. Some are large, so that they lie
 * in a blob. Returns how many are durable, as far as was told. */
static unsigned write_rows(struct kv_store *store, struct kv_table *table)
{
    static uint8_t value[20 * 1024];
    unsigned durable = 0;

    for (unsigned row = 0; row < ROWS; row++) {
        char key[16];
        size_t size = row % LARGE_EACH == 7 ? sizeof value : 700;
        memset(value, (int)row, sizeof value);
        if (kv_put(table, key_of(row, key), kv_slice(value, size), KV_DURABLE_WRITE) < 0) {
            return durable;
        }
        if (row % SYNC_EACH == 0) {
            if (kv_sync(store) < 0) {
                return durable;
            }
            durable = row + 1;
        }
    }
    return durable;
}

/* The rows that are there are the first ones, each whole. Returns how many. */
static unsigned count_rows(struct kv_table *table)
{
    unsigned count = 0;

    for (unsigned row = 0; row < ROWS; row++) {
        struct kv_pinned value = {0};
        char key[16];
        int r = kv_get(table, NULL, key_of(row, key), &value);
        if (r == -ENOENT) {
            continue;
        }
        ck_ok(r);
        ck_assert_uint_eq(count, row);
        count = row + 1;
        ck_assert_int_eq(value.value.data[0], (uint8_t)row);
        kv_pinned_release(&value);
    }
    return count;
}

/* Returns whether the writer got so far. */
static bool try_dying(unsigned at, enum fake_fate fate, struct rng *disorder)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct death death = {.at = at, .fate = fate};
    struct kv_store *store = NULL;
    struct kv_table *table = NULL;
    unsigned durable = 0;

    fake_cluster_disorder(cluster, disorder);
    if (open_store(cluster, die, &death, &store, &table) == 0) {
        durable = write_rows(store, table);
        kv_ignore(kv_close(store));
    }
    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(open_store(cluster, NULL, NULL, &store, &table));
    unsigned found = count_rows(table);
    ck_assert_uint_ge(found, durable);
    fake_cluster_land(cluster);
    ck_ok(kv_close(store));
    ck_ok(open_store(cluster, NULL, NULL, &store, &table));
    ck_assert_uint_eq(count_rows(table), found);
    ck_ok(kv_close(store));
    fake_cluster_destroy(cluster);
    return atomic_load(&death.reached);
}

START_TEST(who_takes_over_finds_the_first_rows_and_all_that_were_synced)
{
    static const enum fake_fate fates[] = {FAKE_UNSENT, FAKE_UNHEARD, FAKE_LATE};
    struct rng rng = {.state = test_seed()};
    unsigned at = 0;

    while (try_dying(at, fates[_i % 3], _i < 3 ? NULL : &rng)) {
        at++;
    }
    /* However appends were put into groups: each of these waits for one call at least. */
    ck_assert_uint_gt(at, ROWS / SYNC_EACH + ROWS / LARGE_EACH);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_death");
    TCase *engine = tcase_create("engine");
    tcase_add_loop_test(engine, who_takes_over_finds_the_first_rows_and_all_that_were_synced, 0, 6);
    suite_add_tcase(s, engine);
    return s;
}
