/* SPDX-License-Identifier: Apache-2.0 */
/* What gathers for write-ahead logs (test_pooled_send.c) of a store in a pool that is full. */
#include "tests/storage/send_rig.h"

/* So many bytes of the first log are acknowledged. */
static uint64_t sent_of_one(struct scene *scene)
{
    struct pooled_sender *sender = &pooled_storage(scene->storage)->sender;
    uint64_t sent = 0;

    mutex_lock(&sender->mu);
    for (const struct pooled_tail *tail = sender->tails; tail != NULL; tail = tail->next) {
        sent = tail->file->id.number == scene_one_id.number ? tail->sent : sent;
    }
    mutex_unlock(&sender->mu);
    return sent;
}

static void add_size(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    uint64_t *sum = (uint64_t *)arg;
    *sum += size_bytes;
}

START_TEST(a_log_that_was_refused_room_takes_no_more_and_a_sync_that_finds_room_is_right)
{
    struct scene scene;

    scene_begin_full(&scene);
    ck_fails(scene_append(&scene, scene.one, "c"), ENOSPC);
    scene_expect_there(&scene, scene_one_id, "a");
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(scene.one));
    scene_expect_there(&scene, scene_one_id, "ab");
    ck_fails(scene_append(&scene, scene.one, "c"), EIO);
    ck_ok(scene.ops->log_sync(scene.one));
    scene_end_logs(&scene);
    scene_expect_entry(&scene, scene_one_id, POOLED_FINISHED, 2);
    scene_end(&scene);
}
END_TEST

START_TEST(a_sync_that_finds_no_room_says_so_and_a_later_one_may_find_some)
{
    struct scene scene;

    scene_begin_full(&scene);
    ck_fails(scene.ops->log_sync(scene.one), ENOSPC);
    ck_fails(scene.ops->log_sync(scene.one), ENOSPC);
    scene_expect_there(&scene, scene_one_id, "a");
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(scene.one));
    scene_expect_there(&scene, scene_one_id, "ab");
    ck_ok(scene_append(&scene, scene.one, "c"));
    scene_end_logs(&scene);
    scene_expect_entry(&scene, scene_one_id, POOLED_FINISHED, 3);
    scene_end(&scene);
}
END_TEST

START_TEST(what_found_no_room_is_tried_again_though_nobody_asks)
{
    struct scene scene;

    scene_begin_full(&scene);
    scene_room_at(&scene, scene_calls(&scene) + 2);
    for (unsigned ms = 0; sent_of_one(&scene) < 2; ms += 10) {
        ck_assert_msg(ms < test_patience_ms(), "it is not tried");
        scene_sleep_ms(10);
    }
    scene_expect_there(&scene, scene_one_id, "ab");
    scene_end(&scene);
}
END_TEST

static int append_two(struct scene *scene)
{
    return scene_append(scene, scene->two, "b");
}

static int sync_one(struct scene *scene)
{
    return scene->ops->log_sync(scene->one);
}

/* One that has begun before may have been refused before there was room. */
START_TEST(who_asks_again_is_told_of_a_try_that_began_after_the_call)
{
    struct scene scene;
    struct waiter first;
    struct waiter second;

    scene_begin_full(&scene);
    scene_set_closed(&scene, true);
    waiter_begin(&first, &scene, _i == 0 ? sync_one : append_two);
    scene_await_held(&scene);
    scene_room_at(&scene, scene_calls(&scene) + 1);
    waiter_begin(&second, &scene, _i == 0 ? append_two : sync_one);
    ck_ok(waiter_end(&second));
    thread_join(&first.thread);
    scene_end(&scene);
}
END_TEST

START_TEST(what_comes_behind_a_refused_group_finds_room_with_it_or_is_refused_too)
{
    struct scene scene;

    scene_begin_full(&scene);
    ck_fails(scene_append(&scene, _i == 0 ? scene.two : scene.one, "b"), ENOSPC);
    scene_expect_there(&scene, scene_two_id, "a");
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    if (_i == 1) {
        ck_ok(scene_append(&scene, scene.two, "b"));
    }
    ck_ok(scene.ops->log_sync(scene.two));
    scene_expect_there(&scene, scene_two_id, _i == 1 ? "ab" : "a");
    ck_ok(scene.ops->log_sync(scene.one));
    scene_expect_there(&scene, scene_one_id, "ab");
    scene_end(&scene);
}
END_TEST

/* "bc" was refused, which does not fit, and "b" of the other log, which does, waits behind it. */
static void begin_behind(struct scene *scene)
{
    scene_begin(scene);
    fake_cluster_limit(scene->cluster, fake_cluster_used(scene->cluster) + 1);
    scene_set_closed(scene, true);
    ck_ok(scene_append(scene, scene->one, "bc"));
    scene_await_held(scene);
    ck_ok(scene_append(scene, scene->two, "b"));
    scene_let_go(scene);
    scene_await_refused(scene);
}

START_TEST(what_had_gathered_behind_a_refused_group_goes_with_it_or_not_at_all)
{
    struct scene scene;

    begin_behind(&scene);
    ck_fails(scene.ops->log_sync(scene.two), ENOSPC);
    scene_expect_there(&scene, scene_two_id, "a");
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(scene.two));
    scene_expect_there(&scene, scene_one_id, "abc");
    scene_expect_there(&scene, scene_two_id, "ab");
    ck_ok(scene.ops->log_sync(scene.one));
    scene_end(&scene);
}
END_TEST

/* Its rows are in tables then. */
START_TEST(a_refused_log_that_is_removed_or_closed_takes_no_other_with_it)
{
    struct scene scene;

    begin_behind(&scene);
    if (_i == 0) {
        ck_ok(scene.ops->remove(scene.storage, scene_one_id));
        ck_ok(scene.ops->log_sync(scene.one));
    } else {
        scene.ops->log_close(scene.one);
        scene.one = NULL;
        scene_expect_entry(&scene, scene_one_id, POOLED_OPEN, 0);
    }
    ck_ok(scene.ops->log_sync(scene.two));
    scene_expect_there(&scene, scene_one_id, "a");
    scene_expect_there(&scene, scene_two_id, "ab");
    scene_end_logs(&scene);
    scene_expect_entry(&scene, scene_two_id, POOLED_FINISHED, 2);
    scene_end(&scene);
}
END_TEST

static int remove_one(struct scene *scene)
{
    return scene->ops->remove(scene->storage, scene_one_id);
}

static int close_two(struct scene *scene)
{
    scene->ops->log_close(scene->two);
    scene->two = NULL;
    return 0;
}

/* The group, which is being tried again, is nobody's in the end. */
START_TEST(a_log_is_removed_while_what_it_was_refused_is_tried_again)
{
    struct scene scene;
    struct waiter waiter;

    begin_behind(&scene);
    scene_set_closed(&scene, true);
    waiter_begin(&waiter, &scene, _i == 0 ? sync_one : close_two);
    scene_await_held(&scene);
    ck_ok(remove_one(&scene));
    ck_ok(_i == 0 ? 0 : waiter_end(&waiter));
    scene_let_go(&scene);
    thread_join(&waiter.thread);
    if (_i == 0) {
        ck_ok(waiter.result);
        ck_ok(scene.ops->log_sync(scene.two));
    }
    scene_expect_there(&scene, scene_one_id, "a");
    scene_expect_there(&scene, scene_two_id, "ab");
    scene_end(&scene);
}
END_TEST

START_TEST(who_only_looks_at_a_refused_log_or_closes_another_gives_nothing_up)
{
    struct scene scene;
    struct kv_log *log = NULL;
    uint64_t sum = 0;

    scene_begin_full(&scene);
    ck_ok(scene.ops->list(scene.storage, add_size, &sum));
    ck_assert_uint_eq(sum, 2);
    ck_ok(scene.ops->log_open(scene.storage, scene_one_id, &log));
    ck_assert_uint_eq(scene.ops->log_size(log), 1);
    scene.ops->log_close(log);
    scene_expect_reads(&scene, scene.one, "a");
    scene.ops->log_close(scene.two); /* nothing of it waits */
    scene.two = NULL;
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(scene.one));
    scene_expect_there(&scene, scene_one_id, "ab");
    scene_end(&scene);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_full");
    TCase *loops = tcase_create("loops");
    tcase_add_loop_test(loops, who_asks_again_is_told_of_a_try_that_began_after_the_call, 0, 2);
    tcase_add_loop_test(
        loops, what_comes_behind_a_refused_group_finds_room_with_it_or_is_refused_too, 0, 2);
    tcase_add_loop_test(loops, a_refused_log_that_is_removed_or_closed_takes_no_other_with_it, 0,
                        2);
    tcase_add_loop_test(loops, a_log_is_removed_while_what_it_was_refused_is_tried_again, 0, 2);
    suite_add_tcase(s, loops);
    suite_add(s, "full",
              a_log_that_was_refused_room_takes_no_more_and_a_sync_that_finds_room_is_right);
    suite_add(s, "full", a_sync_that_finds_no_room_says_so_and_a_later_one_may_find_some);
    suite_add(s, "full", what_found_no_room_is_tried_again_though_nobody_asks);
    suite_add(s, "full", what_had_gathered_behind_a_refused_group_goes_with_it_or_not_at_all);
    suite_add(s, "full", who_only_looks_at_a_refused_log_or_closes_another_gives_nothing_up);
    return s;
}
