/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_fs.h"

#include "tests/lib/check_main.h"

static const struct kv_file_id log_id = {KV_FILE_LOG, 1};

struct sim_rig {
    struct sim_fs *sim;
    struct kv_storage *storage;
};

static void rig_open(struct sim_rig *rig)
{
    ck_ok(sim_storage_open(rig->sim, true, &rig->storage));
    ck_ok(rig->storage->ops->lease_acquire(rig->storage, KV_LEASE_EXCLUSIVE, "the test"));
}

/* A store directory that is durable in its parent, as the first root makes it. */
static void rig_make(struct sim_rig *rig)
{
    ck_ok(sim_create(&rig->sim));
    rig_open(rig);
    ck_ok(rig->storage->ops->root_swap(rig->storage, 0, kv_slice_str("root")));
}

static void rig_finish(struct sim_rig *rig)
{
    rig->storage->ops->close(rig->storage);
    sim_destroy(rig->sim);
}

static void append(struct kv_log *log, const struct sim_rig *rig, size_t size, char byte)
{
    char bytes[4096];
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    memset(bytes, byte, sizeof bytes);
    ck_ok(rig->storage->ops->log_append(log, &part, 1));
}

/* A log whose name is durable. */
static struct kv_log *make_log(const struct sim_rig *rig)
{
    struct kv_log *log = NULL;
    ck_ok(rig->storage->ops->log_create(rig->storage, log_id, 0, 0, &log));
    ck_ok(rig->storage->ops->log_sync(log));
    return log;
}

/* How many bytes of the log are `byte` in `rig`; -ENOENT if there is no log. */
static int count_bytes(struct sim_rig *rig, char byte)
{
    char bytes[16384];
    struct kv_log *log = NULL;
    size_t size = 0;
    int count = 0;
    int r = rig->storage->ops->log_open(rig->storage, log_id, &log);
    if (r < 0) {
        return r;
    }
    ck_ok(rig->storage->ops->log_read(log, 0, bytes, sizeof bytes, &size));
    rig->storage->ops->log_close(log);
    for (size_t i = 0; i < size; i++) {
        count += bytes[i] == byte;
    }
    return count;
}

static int after_crash(const struct sim_rig *rig, uint64_t seed, enum sim_mode mode, char byte)
{
    struct sim_rig after = {0};
    uint64_t damage = 0;
    int r;
    ck_ok(sim_crash(rig->sim, seed, mode, &after.sim, &damage));
    rig_open(&after);
    r = count_bytes(&after, byte);
    rig_finish(&after);
    return r;
}

START_TEST(unsynced_bytes_are_gone_after_power_loss_and_synced_ones_stay)
{
    struct sim_rig rig = {0};
    rig_make(&rig);
    struct kv_log *log = make_log(&rig);
    append(log, &rig, 1000, 'a');
    ck_assert_int_eq(after_crash(&rig, 1, SIM_DROP_ALL, 'a'), 0);
    ck_assert_int_eq(after_crash(&rig, 1, SIM_KEEP_ALL, 'a'), 1000);
    ck_ok(rig.storage->ops->log_sync(log));
    append(log, &rig, 500, 'a');
    ck_assert_int_eq(after_crash(&rig, 1, SIM_DROP_ALL, 'a'), 1000);
    ck_assert_int_eq(after_crash(&rig, 1, SIM_KEEP_ALL, 'a'), 1500);
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_write_tears_at_sectors_in_any_order)
{
    struct sim_rig rig = {0};
    bool later_without_earlier = false;
    bool partly = false;
    rig_make(&rig);
    struct kv_log *log = make_log(&rig);
    append(log, &rig, 4096, 'a');
    append(log, &rig, 4096, 'b');
    for (uint64_t seed = 0; seed < 60; seed++) {
        int a = after_crash(&rig, seed, SIM_RANDOM, 'a');
        int b = after_crash(&rig, seed, SIM_RANDOM, 'b');
        ck_assert_int_eq(a % 512, 0);
        later_without_earlier = later_without_earlier || (a == 0 && b == 4096);
        partly = partly || (a > 0 && a < 4096);
    }
    ck_assert(later_without_earlier && partly);
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(names_need_a_sync_of_the_directory)
{
    struct sim_rig rig = {0};
    rig_make(&rig);
    struct kv_log *log = NULL;
    ck_ok(rig.storage->ops->log_create(rig.storage, log_id, 0, 0, &log));
    ck_assert_int_eq(after_crash(&rig, 1, SIM_DROP_ALL, 'a'), -ENOENT);
    ck_assert_int_eq(after_crash(&rig, 1, SIM_KEEP_ALL, 'a'), 0);
    ck_ok(rig.storage->ops->log_sync(log));
    rig.storage->ops->log_close(log);
    ck_assert_int_eq(after_crash(&rig, 1, SIM_DROP_ALL, 'a'), 0);
    ck_ok(rig.storage->ops->remove(rig.storage, log_id));
    ck_assert_int_eq(after_crash(&rig, 1, SIM_DROP_ALL, 'a'), 0); /* the removal was lost */
    ck_assert_int_eq(after_crash(&rig, 1, SIM_KEEP_ALL, 'a'), -ENOENT);
    rig_finish(&rig);
}
END_TEST

START_TEST(death_of_the_process_loses_nothing_and_makes_nothing_durable)
{
    struct sim_rig rig = {0};
    struct sim_rig after = {0};
    rig_make(&rig);
    struct kv_log *log = make_log(&rig);
    append(log, &rig, 1000, 'a');
    ck_ok(sim_kill(rig.sim, &after.sim));
    rig_open(&after);
    ck_assert_int_eq(count_bytes(&after, 'a'), 1000);
    ck_assert_int_eq(after_crash(&after, 1, SIM_DROP_ALL, 'a'), 0);
    rig_finish(&after);
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(after_a_failed_sync_the_next_one_succeeds_and_the_bytes_are_not_durable)
{
    struct sim_rig rig = {0};
    struct kv_log *again = NULL;
    rig_make(&rig);
    struct kv_log *log = make_log(&rig);
    append(log, &rig, 1000, 'a');
    struct sim_fault fault = {.at = sim_calls_made(rig.sim) + 1, .failure = SIM_FAIL_EIO};
    sim_fail(rig.sim, &fault);
    ck_fails(rig.storage->ops->log_sync(log), EIO);
    ck_ok(rig.storage->ops->log_open(rig.storage, log_id, &again));
    ck_ok(rig.storage->ops->log_sync(again));
    ck_assert_int_eq(count_bytes(&rig, 'a'), 1000);
    ck_assert_int_eq(after_crash(&rig, 1, SIM_KEEP_ALL, 'a'), 0);
    rig.storage->ops->log_close(again);
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(nothing_works_once_the_world_has_stopped)
{
    struct sim_rig rig = {0};
    rig_make(&rig);
    struct kv_log *log = make_log(&rig);
    sim_stop_at(rig.sim, sim_calls_made(rig.sim) + 1);
    char byte = 'a';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    ck_fails(rig.storage->ops->log_append(log, &part, 1), EIO);
    ck_fails(rig.storage->ops->log_sync(log), EIO);
    ck_assert_int_eq(after_crash(&rig, 1, SIM_KEEP_ALL, 'a'), 1);
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("sim_fs");
    suite_add(suite, "unsynced bytes",
              unsynced_bytes_are_gone_after_power_loss_and_synced_ones_stay);
    suite_add(suite, "torn writes", a_write_tears_at_sectors_in_any_order);
    suite_add(suite, "names", names_need_a_sync_of_the_directory);
    suite_add(suite, "kill", death_of_the_process_loses_nothing_and_makes_nothing_durable);
    suite_add(suite, "failed sync",
              after_a_failed_sync_the_next_one_succeeds_and_the_bytes_are_not_durable);
    suite_add(suite, "stop", nothing_works_once_the_world_has_stopped);
    return suite;
}
