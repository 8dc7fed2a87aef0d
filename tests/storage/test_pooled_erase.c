/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a pool is erased, with everything there is of it, also when that is cut short; and
 * what its storage tells of the lease. */
#include "tests/storage/takeover_rig.h"

static void count_object(void *arg, const char *name)
{
    unsigned *count = (unsigned *)arg;
    *count += strcmp(name, "lease") != 0; /* it holds nothing, and stays */
}

static unsigned count_objects(struct fake_cluster *cluster)
{
    unsigned count = 0;
    fake_cluster_objects(cluster, count_object, &count);
    return count;
}

/* A store with files of every state; its writer is dead. */
static void make_store(struct fake_cluster *cluster)
{
    struct rig_model model;
    kv_ignore(rig_run_script(rig_connect(cluster, NULL, NULL), &model));
    ck_assert_uint_gt(count_objects(cluster), 3);
}

static void expect_no_store(struct fake_cluster *cluster)
{
    struct kv_storage *storage = NULL;
    struct kv_buf root = {0};
    uint64_t version;

    ck_assert_uint_eq(count_objects(cluster), 0);
    storage = rig_connect(cluster, NULL, NULL);
    ck_fails(storage->ops->root_read(storage, &root, &version), ENOENT);
    storage->ops->close(storage);
    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    ck_ok(storage->ops->root_swap(storage, 0, kv_slice_str("another store")));
    storage->ops->close(storage);
}

START_TEST(nothing_is_left_of_an_erased_store_and_another_may_be_made)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *storage = NULL;

    make_store(cluster);
    storage = rig_connect(cluster, NULL, NULL);
    ck_fails(storage->ops->erase(storage), EROFS);
    storage->ops->close(storage);
    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    ck_ok(storage->ops->erase(storage));
    storage->ops->close(storage);
    expect_no_store(cluster);
    fake_cluster_destroy(cluster);
}
END_TEST

struct death {
    unsigned at, calls;
};

static enum fake_fate die(void *arg, unsigned index)
{
    struct death *death = (struct death *)arg;
    death->calls = index + 1;
    return index == death->at ? FAKE_UNSENT : FAKE_DONE;
}

/* Returns whether the store is erased. */
static bool erase(struct fake_cluster *cluster, struct death *death)
{
    struct kv_storage *storage = NULL;
    if (rig_acquire(cluster, die, death, &storage) < 0) {
        return false;
    }
    int r = storage->ops->erase(storage);
    storage->ops->close(storage);
    return r == 0;
}

START_TEST(who_erases_may_die_at_any_call_and_it_can_be_begun_again)
{
    struct death death = {0};
    struct death none = {.at = UINT32_MAX};
    bool is_whole = false;

    while (!is_whole) {
        struct fake_cluster *cluster = fake_cluster_create();
        make_store(cluster);
        is_whole = erase(cluster, &death);
        fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
        ck_assert(erase(cluster, &none));
        expect_no_store(cluster);
        fake_cluster_destroy(cluster);
        death.at++;
    }
    ck_assert_uint_gt(death.at, 20);
}
END_TEST

START_TEST(the_lease_is_told_by_who_holds_it_and_its_epoch_by_everybody)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *other = rig_connect(cluster, NULL, NULL);
    struct kv_storage *storage = NULL;
    struct kv_lease_state first;
    struct kv_lease_state state;

    ck_fails(other->ops->lease_state(other, &state), ENOENT);
    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    ck_ok(storage->ops->lease_state(storage, &first));
    ck_assert_uint_eq(first.duration_ms, RIG_LEASE_MS);
    ck_assert_uint_gt(first.left_ms, 0);
    ck_assert_uint_le(first.left_ms, RIG_LEASE_MS);
    ck_ok(other->ops->lease_state(other, &state));
    ck_assert_uint_eq(state.epoch, first.epoch);
    ck_assert_uint_eq(state.left_ms, 0);
    storage->ops->close(storage);
    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    ck_ok(storage->ops->lease_state(storage, &state));
    ck_assert_uint_eq(state.epoch, first.epoch + 1);
    storage->ops->close(storage);
    other->ops->close(other);
    fake_cluster_destroy(cluster);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_erase");
    suite_add(s, "erase", nothing_is_left_of_an_erased_store_and_another_may_be_made);
    suite_add(s, "erase", who_erases_may_die_at_any_call_and_it_can_be_begun_again);
    suite_add(s, "lease", the_lease_is_told_by_who_holds_it_and_its_epoch_by_everybody);
    return s;
}
