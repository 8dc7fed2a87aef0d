/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a pool that is full, or is filling up. */
#include "tests/storage/takeover_rig.h"

static const struct kv_file_id log_id = {KV_FILE_LOG, 1};

static int append(struct kv_storage *storage, struct kv_log *log, size_t size)
{
    static uint8_t bytes[RIG_PIECE_BYTES];
    struct iovec part = {bytes, size};

    ck_assert_uint_le(size, sizeof bytes);
    return storage->ops->log_append(log, &part, 1);
}

/* A store with a root record and a log of so many bytes, which is open. */
static struct kv_storage *make_store(struct fake_cluster *cluster, size_t size,
                                     struct kv_log **ret_log)
{
    struct kv_storage *storage = NULL;

    ck_ok(rig_acquire(cluster, NULL, NULL, &storage));
    ck_ok(storage->ops->root_swap(storage, 0, kv_slice_str("root")));
    ck_ok(storage->ops->log_create(storage, log_id, 0, 0, ret_log));
    ck_ok(append(storage, *ret_log, size));
    return storage;
}

static void expect_finished(struct kv_storage *storage, uint64_t size)
{
    struct pooled_entry entry = {0};

    ck_ok(pooled_dir_get(pooled_storage(storage), log_id, &entry));
    ck_assert_int_eq(entry.state, POOLED_FINISHED);
    ck_assert_uint_eq(entry.size, size);
}

START_TEST(a_log_whose_append_is_refused_syncs_what_it_has_and_is_finished_with_that)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_log *log = NULL;
    struct kv_storage *storage = make_store(cluster, 100, &log);

    fake_cluster_limit(cluster, fake_cluster_used(cluster));
    ck_fails(append(storage, log, 1), ENOSPC);
    ck_ok(storage->ops->log_sync(log));
    fake_cluster_limit(cluster, SIZE_MAX);
    ck_fails(append(storage, log, 1), EIO);
    ck_ok(storage->ops->log_sync(log));
    ck_assert_uint_eq(storage->ops->log_size(log), 100);
    storage->ops->log_close(log);
    expect_finished(storage, 100);
    rig_go_on(storage);
    storage->ops->close(storage);
    fake_cluster_destroy(cluster);
}
END_TEST

START_TEST(a_log_that_is_overtaken_does_not_say_that_it_syncs)
{
    struct fake_cluster *cluster = fake_cluster_create();
    struct kv_storage *other = NULL;
    struct kv_log *log = NULL;
    struct kv_storage *storage = make_store(cluster, 100, &log);

    fake_cluster_pass(cluster, RIG_LEASE_MS + 1);
    ck_ok(rig_acquire(cluster, NULL, NULL, &other));
    ck_fails(append(storage, log, 1), ESHUTDOWN);
    ck_fails(storage->ops->log_sync(log), EIO);
    storage->ops->log_close(log);
    storage->ops->close(storage);
    other->ops->close(other);
    fake_cluster_destroy(cluster);
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

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_room");
    suite_add(s, "log", a_log_whose_append_is_refused_syncs_what_it_has_and_is_finished_with_that);
    suite_add(s, "log", a_log_that_is_overtaken_does_not_say_that_it_syncs);
    suite_add(s, "full", files_are_removed_from_a_full_pool);
    return s;
}
