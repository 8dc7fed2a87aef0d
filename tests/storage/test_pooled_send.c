/* SPDX-License-Identifier: Apache-2.0 */
/* Appends to write-ahead logs of a store in a pool, which gather and are sent in groups. (In a full
 * pool: test_pooled_full.c) */
#include "tests/storage/send_rig.h"

#include <dirent.h>
#include <stdio.h>

static int sync_one(struct scene *scene)
{
    return scene->ops->log_sync(scene->one);
}

START_TEST(a_sync_waits_until_all_that_was_appended_before_is_there)
{
    struct scene scene;
    struct waiter waiter;

    scene_begin(&scene);
    scene_send_b(&scene);
    if (_i == 1) {
        ck_ok(scene_append(&scene, scene.one, "cd"));
    }
    waiter_begin(&waiter, &scene, sync_one);
    ck_ok(waiter_end(&waiter));
    scene_expect_there(&scene, scene_one_id, _i == 1 ? "abcd" : "ab");
    scene_end(&scene);
}
END_TEST

static int close_one(struct scene *scene)
{
    scene->ops->log_close(scene->one);
    scene->one = NULL;
    return 0;
}

static int read_one(struct scene *scene)
{
    scene_expect_reads(scene, scene->one, "abcd");
    return 0;
}

static int open_one(struct scene *scene)
{
    struct kv_log *log = NULL;
    ck_ok(scene->ops->log_open(scene->storage, scene_one_id, &log));
    ck_assert_uint_eq(scene->ops->log_size(log), 4);
    scene->ops->log_close(log);
    return 0;
}

static void add_size(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    uint64_t *sum = (uint64_t *)arg;
    *sum += size_bytes;
}

static int list_all(struct scene *scene)
{
    uint64_t sum = 0;
    ck_ok(scene->ops->list(scene->storage, add_size, &sum));
    ck_assert_uint_eq(sum, 5);
    return 0;
}

START_TEST(who_looks_at_a_log_or_closes_it_waits_for_what_was_appended)
{
    static int (*const calls[])(struct scene *) = {close_one, read_one, open_one, list_all};
    struct scene scene;
    struct waiter waiter;

    scene_begin(&scene);
    scene_send_b(&scene);
    ck_ok(scene_append(&scene, scene.one, "cd"));
    ck_assert_uint_eq(scene.ops->log_size(scene.one), 4);
    waiter_begin(&waiter, &scene, calls[_i]);
    ck_ok(waiter_end(&waiter));
    scene_expect_there(&scene, scene_one_id, "abcd");
    if (scene.one == NULL) {
        scene_expect_entry(&scene, scene_one_id, POOLED_FINISHED, 4);
    }
    scene_end(&scene);
}
END_TEST

/* ---- groups -----------------------------------------------------------------------------------
 */

START_TEST(what_gathers_while_a_group_is_on_its_way_goes_as_one)
{
    struct scene scene;

    scene_begin(&scene);
    scene_send_b(&scene);
    unsigned before = scene_calls(&scene);
    for (unsigned i = 0; i < 20; i++) {
        ck_ok(scene_append(&scene, scene.one, "cd"));
    }
    scene_let_go(&scene);
    ck_ok(scene.ops->log_sync(scene.one));
    ck_assert_uint_eq(scene_calls(&scene) - before, 1);
    scene_expect_there(&scene, scene_one_id, "abcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd");
    scene_end(&scene);
}
END_TEST

START_TEST(a_later_log_has_nothing_that_an_earlier_one_lacks)
{
    struct scene scene;

    scene_begin(&scene);
    scene_send_b(&scene);
    ck_ok(scene_append(&scene, scene.two, "b"));
    ck_ok(scene_append(&scene, scene.two, "c"));
    scene_sleep_ms(SCENE_STALL_MS);
    scene_expect_there(&scene, scene_one_id, "a");
    scene_expect_there(&scene, scene_two_id, "a");
    scene_let_go(&scene);
    ck_ok(scene.ops->log_sync(scene.two));
    scene_expect_there(&scene, scene_one_id, "ab");
    scene_expect_there(&scene, scene_two_id, "abc");
    scene_end(&scene);
}
END_TEST

/* ---- bounds -----------------------------------------------------------------------------------
 */

static int append_some(struct scene *scene, size_t size)
{
    static uint8_t bytes[2 * POOLED_GATHER_MAX];
    struct iovec part = {bytes, size};

    ck_assert_uint_le(size, sizeof bytes);
    return scene->ops->log_append(scene->one, &part, 1);
}

static int append_one_more(struct scene *scene)
{
    return append_some(scene, 1);
}

static int append_much(struct scene *scene)
{
    return append_some(scene, POOLED_GATHER_MAX + 1);
}

START_TEST(who_finds_no_room_to_gather_waits)
{
    struct scene scene;
    struct waiter waiter;
    bool runs = false;

    scene_begin(&scene);
    scene_send_b(&scene);
    for (size_t size = 0; size < POOLED_GATHER_MAX; size += POOLED_GATHER_MAX / 8) {
        ck_ok(append_some(&scene, POOLED_GATHER_MAX / 8));
    }
    waiter_begin(&waiter, &scene, append_one_more);
    ck_ok(waiter_end(&waiter));
    ck_assert_uint_le(pooled_sender_memory(&pooled_storage(scene.storage)->sender, &runs),
                      (size_t)3 * POOLED_GATHER_MAX);
    ck_ok(scene.ops->log_sync(scene.one));
    ck_assert_uint_eq(scene.ops->log_size(scene.one), POOLED_GATHER_MAX + 3);
    scene_end(&scene);
}
END_TEST

/* So what the store has said yes to finds room when the pool is full and the reserve is given back.
 */
START_TEST(where_room_is_kept_for_deletes_only_a_part_of_that_gathers)
{
    struct scene scene;
    struct waiter waiter;

    scene_begin(&scene);
    ck_ok(scene.ops->reserve(scene.storage, 4 * 4096));
    ck_ok(scene.ops->reserve(scene.storage, 0)); /* for the pool is full */
    scene_send_b(&scene);
    ck_ok(append_some(&scene, 4096));
    waiter_begin(&waiter, &scene, append_one_more);
    ck_ok(waiter_end(&waiter));
    scene_end(&scene);
}
END_TEST

START_TEST(what_is_larger_than_gathers_is_written_behind_all_that_did)
{
    struct scene scene;
    struct waiter waiter;
    char bytes[4] = "";
    size_t size = 0;

    scene_begin(&scene);
    scene_send_b(&scene);
    ck_ok(scene_append(&scene, scene.one, "cd"));
    waiter_begin(&waiter, &scene, append_much);
    ck_ok(waiter_end(&waiter));
    ck_ok(scene_append(&scene, scene.one, "ef"));
    ck_ok(scene.ops->log_sync(scene.one));
    ck_ok(scene.ops->log_read(scene.one, POOLED_GATHER_MAX + 5, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, 2);
    ck_assert_mem_eq(bytes, "ef", 2);
    scene_end(&scene);
}
END_TEST

static unsigned count_senders(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned count = 0;
    const struct dirent *entry;

    ck_assert_ptr_nonnull(tasks);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300];
        char name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *comm = fopen(path, "re");
        if (comm != NULL && fgets(name, sizeof name, comm) != NULL) {
            count += strcmp(name, "kv-send\n") == 0;
        }
        if (comm != NULL) {
            fclose(comm);
        }
    }
    closedir(tasks);
    return count;
}

START_TEST(thread_and_buffers_are_given_back_when_nothing_is_appended)
{
    struct scene scene;
    bool runs = false;

    scene_begin(&scene);
    for (unsigned round = 0; round < 2; round++) {
        scene_send_b(&scene);
        ck_ok(scene_append(&scene, scene.one, "cd"));
        ck_assert_uint_eq(count_senders(), 1);
        scene_let_go(&scene);
        struct pooled_sender *sender = &pooled_storage(scene.storage)->sender;
        for (unsigned ms = 0; pooled_sender_memory(sender, &runs) > 0 || runs; ms += 20) {
            ck_assert_msg(ms < test_patience_ms(), "they are still there");
            scene_sleep_ms(20);
        }
        for (unsigned ms = 0; count_senders() > 0; ms += 20) {
            ck_assert_msg(ms < test_patience_ms(), "a thread is still there");
            scene_sleep_ms(20);
        }
    }
    scene_expect_there(&scene, scene_one_id, "abcdbcd");
    scene_end(&scene);
}
END_TEST

/* ---- what fails -------------------------------------------------------------------------------
 */

/* Why the group that is on its way fails. */
enum cause { ANSWER_LOST, OVERTAKEN, PIECE_LOST, CAUSES };

/* "b" is on its way to the first log, and will fail; "cd" gathers behind it, and "b" for the other
 * log. Returns who took over, if somebody did. */
static struct kv_storage *begin_to_fail(struct scene *scene, enum cause cause)
{
    struct kv_storage *other = NULL;
    struct pool *vandal;
    char name[POOLED_NAME_SIZE];

    scene_begin(scene);
    vandal = fake_cluster_connect(scene->cluster, NULL, NULL);
    fake_cluster_forbid_shut_out(scene->cluster);
    scene_send_b(scene);
    ck_ok(scene_append(scene, scene->one, "cd"));
    ck_ok(scene_append(scene, scene->two, "b"));
    pooled_piece_name(scene_one_id, pooled_storage(scene->storage)->epoch, 0, name);
    if (cause == ANSWER_LOST) {
        mutex_lock(&scene->mu);
        scene->fate = FAKE_UNHEARD;
        mutex_unlock(&scene->mu);
    } else if (cause == OVERTAKEN) {
        fake_cluster_pass(scene->cluster, RIG_LEASE_MS + 1);
        other = scene_storage(scene, NULL);
    } else {
        ck_ok(vandal->ops->change(vandal, name, &(struct pool_change){.remove = true}));
    }
    vandal->ops->close(vandal);
    return other;
}

/* What the first call is told. */
static int error_of(enum cause cause)
{
    return cause == PIECE_LOST ? -KV_EDAMAGED : -ESHUTDOWN;
}

static void end_failed(struct scene *scene, enum cause cause, struct kv_storage *other)
{
    if (cause != PIECE_LOST) {
        scene_expect_there(scene, scene_one_id, cause == ANSWER_LOST ? "ab" : "a");
    }
    scene_expect_there(scene, scene_two_id, "a");
    scene_end_logs(scene);
    if (cause == PIECE_LOST) {
        scene_expect_entry(scene, scene_one_id, POOLED_OPEN, 0);
        scene_expect_entry(scene, scene_two_id, POOLED_OPEN, 0);
    }
    if (other != NULL) {
        other->ops->close(other);
    }
    scene_end(scene);
}

START_TEST(every_sync_fails_once_a_group_has_and_nothing_is_there_of_what_came_behind)
{
    struct scene scene;
    struct kv_storage *other = begin_to_fail(&scene, (enum cause)_i);

    scene_let_go(&scene);
    ck_assert_int_eq(scene.ops->log_sync(scene.one), error_of((enum cause)_i));
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_fails(scene_append(&scene, scene.one, "e"), EIO);
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_assert_int_eq(scene.ops->log_sync(scene.two), error_of((enum cause)_i));
    ck_fails(scene_append(&scene, scene.two, "e"), EIO);
    ck_fails(scene.ops->log_sync(scene.two), EIO);
    end_failed(&scene, (enum cause)_i, other);
}
END_TEST

START_TEST(the_next_append_tells_what_a_group_failed_with)
{
    struct scene scene;
    struct kv_storage *other = begin_to_fail(&scene, (enum cause)_i);

    scene_let_go(&scene);
    pooled_sender_await(&pooled_storage(scene.storage)->sender);
    ck_assert_int_eq(scene_append(&scene, scene.one, "e"), error_of((enum cause)_i));
    ck_fails(scene_append(&scene, scene.one, "e"), EIO);
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_assert_int_eq(scene_append(&scene, scene.two, "e"), error_of((enum cause)_i));
    ck_fails(scene.ops->log_sync(scene.two), EIO);
    end_failed(&scene, (enum cause)_i, other);
}
END_TEST

START_TEST(a_sync_that_waits_is_told_what_the_group_fails_with)
{
    struct scene scene;
    struct waiter waiter;
    struct kv_storage *other = begin_to_fail(&scene, (enum cause)_i);

    waiter_begin(&waiter, &scene, sync_one);
    ck_assert_int_eq(waiter_end(&waiter), error_of((enum cause)_i));
    end_failed(&scene, (enum cause)_i, other);
}
END_TEST

START_TEST(nothing_gathers_any_more_once_the_lease_is_lost)
{
    struct scene scene;

    scene_begin(&scene);
    unsigned before = scene_calls(&scene);
    pooled_lose(pooled_storage(scene.storage), -ETIMEDOUT);
    ck_fails(scene_append(&scene, scene.one, "b"), ESHUTDOWN);
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_assert_uint_eq(scene_calls(&scene), before);
    scene_end(&scene);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_send");
    TCase *loops = tcase_create("loops");
    tcase_add_loop_test(loops, a_sync_waits_until_all_that_was_appended_before_is_there, 0, 2);
    tcase_add_loop_test(loops, who_looks_at_a_log_or_closes_it_waits_for_what_was_appended, 0, 4);
    tcase_add_loop_test(loops,
                        every_sync_fails_once_a_group_has_and_nothing_is_there_of_what_came_behind,
                        0, CAUSES);
    tcase_add_loop_test(loops, the_next_append_tells_what_a_group_failed_with, 0, CAUSES);
    tcase_add_loop_test(loops, a_sync_that_waits_is_told_what_the_group_fails_with, 0, CAUSES);
    suite_add_tcase(s, loops);
    suite_add(s, "groups", what_gathers_while_a_group_is_on_its_way_goes_as_one);
    suite_add(s, "groups", a_later_log_has_nothing_that_an_earlier_one_lacks);
    suite_add(s, "bounds", who_finds_no_room_to_gather_waits);
    suite_add(s, "bounds", where_room_is_kept_for_deletes_only_a_part_of_that_gathers);
    suite_add(s, "bounds", what_is_larger_than_gathers_is_written_behind_all_that_did);
    suite_add(s, "bounds", thread_and_buffers_are_given_back_when_nothing_is_appended);
    suite_add(s, "fails", nothing_gathers_any_more_once_the_lease_is_lost);
    return s;
}
