/* SPDX-License-Identifier: Apache-2.0 */
/* Appends to blobs of a store in a pool, of which several are on their way. (With writers that die
 * and in any order: test_pooled_disorder.c) */
#include "tests/storage/send_rig.h"

#include <stdlib.h>

enum { MIB = 1 << 20 };

static const struct kv_file_id blob_id = {KV_FILE_BLOB, 1};
static const struct kv_file_id other_id = {KV_FILE_BLOB, 2};

/* Of the one scene that there is at a time. */
static struct kv_log *blob;
static uint64_t blob_end;

static struct pooled_flights *flights_of(struct scene *scene)
{
    return &pooled_storage(scene->storage)->flights;
}

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 11 + offset / 4093 + 5);
}

static int append_blob(struct scene *scene, size_t size)
{
    uint8_t *bytes = malloc(size);
    struct iovec parts[2] = {{bytes, size / 3}, {bytes + size / 3, size - size / 3}};

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = byte_at(blob_end + i);
    }
    int r = scene->ops->log_append(blob, parts, 2);
    free(bytes);
    blob_end += r == 0 ? size : 0;
    return r;
}

static void expect_read(struct scene *scene, uint64_t from, uint64_t to)
{
    uint8_t *bytes = malloc(to - from);
    size_t size = 0;

    ck_assert_ptr_nonnull(bytes);
    ck_ok(scene->ops->log_read(blob, from, bytes, to - from, &size));
    ck_assert_uint_eq(size, to - from);
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte_at(from + i)) {
            ck_abort_msg("byte %zu", (size_t)from + i);
        }
    }
    free(bytes);
}

static size_t size_of_piece(struct scene *scene, struct kv_file_id id, uint64_t piece)
{
    char name[POOLED_NAME_SIZE];
    pooled_piece_name(id, pooled_storage(scene->storage)->epoch, piece, name);
    return fake_cluster_bytes(scene->cluster, name, NULL, 0);
}

static void begin(struct scene *scene)
{
    scene_begin(scene);
    mutex_lock(&scene->mu);
    scene->thread = FAKE_WORKER;
    scene->calls = 0;
    mutex_unlock(&scene->mu);
    pooled_flights_cut(flights_of(scene), MIB);
    blob_end = 0;
    ck_ok(scene->ops->log_create(scene->storage, blob_id, 0, 0, &blob));
}

static void close_blob(struct scene *scene)
{
    if (blob != NULL) {
        scene->ops->log_close(blob);
    }
    blob = NULL;
}

static void end(struct scene *scene)
{
    scene_let_go(scene);
    scene_end_logs(scene);
    close_blob(scene);
    scene_end(scene);
}

static unsigned flying(struct scene *scene)
{
    mutex_lock(&flights_of(scene)->mu);
    unsigned count = flights_of(scene)->flying;
    mutex_unlock(&flights_of(scene)->mu);
    return count;
}

static void await_flying(struct scene *scene, unsigned count)
{
    for (unsigned ms = 0; flying(scene) != count; ms++) {
        ck_assert_msg(ms < test_patience_ms(), "%u are on their way", flying(scene));
        scene_sleep_ms(1);
    }
    scene_sleep_ms(SCENE_STALL_MS);
    ck_assert_uint_eq(flying(scene), count);
}

/* A write of that size is on its way, and held. */
static void send(struct scene *scene, size_t size)
{
    scene_set_closed(scene, true);
    ck_ok(append_blob(scene, size));
    scene_await_held(scene);
}

/* ---- in flight --------------------------------------------------------------------------------
 */

START_TEST(many_writes_of_a_blob_are_on_their_way)
{
    struct scene scene;

    begin(&scene);
    send(&scene, MIB);
    for (unsigned i = 0; i < 6; i++) {
        ck_ok(append_blob(&scene, MIB / 2));
    }
    await_flying(&scene, 4);
    scene_let_go(&scene);
    ck_ok(scene.ops->log_sync(blob));
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 0), 4 * MIB);
    expect_read(&scene, 0, blob_end);
    close_blob(&scene);
    scene_expect_entry(&scene, blob_id, POOLED_FINISHED, 4 * MIB);
    end(&scene);
}
END_TEST

START_TEST(no_write_to_a_piece_is_begun_before_all_of_the_one_before_is_there)
{
    struct scene scene;

    begin(&scene);
    send(&scene, MIB);
    ck_ok(append_blob(&scene, 5 * MIB));
    await_flying(&scene, SCENE_PIECE_BYTES / MIB);
    scene_let_pass(&scene, SCENE_PIECE_BYTES / MIB - 1);
    await_flying(&scene, 1);
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 1), 0);
    scene_let_pass(&scene, 1);
    await_flying(&scene, 2);
    scene_let_go(&scene);
    ck_ok(scene.ops->log_sync(blob));
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 1), 2 * MIB);
    expect_read(&scene, 0, blob_end);
    end(&scene);
}
END_TEST

START_TEST(small_appends_go_together_while_others_are_on_their_way)
{
    struct scene scene;

    begin(&scene);
    send(&scene, 10);
    unsigned before = scene_calls(&scene);
    for (unsigned i = 0; i < 100; i++) {
        ck_ok(append_blob(&scene, 1000));
    }
    await_flying(&scene, 1);
    scene_let_go(&scene);
    ck_ok(scene.ops->log_sync(blob));
    ck_assert_uint_eq(scene_calls(&scene) - before, 1);
    expect_read(&scene, 0, blob_end);
    end(&scene);
}
END_TEST

START_TEST(what_is_on_its_way_is_read)
{
    struct scene scene;

    begin(&scene);
    ck_ok(append_blob(&scene, 300));
    ck_ok(scene.ops->log_sync(blob));
    send(&scene, MIB + 10);
    ck_ok(append_blob(&scene, 5));
    expect_read(&scene, 0, blob_end);
    expect_read(&scene, 299, 301);
    expect_read(&scene, MIB, blob_end);
    expect_read(&scene, MIB + 305, MIB + 312);
    expect_read(&scene, 10, 20);
    ck_assert_uint_eq(scene.ops->log_size(blob), blob_end);
    scene_let_pass(&scene, 1);
    scene_sleep_ms(SCENE_STALL_MS);
    expect_read(&scene, 0, blob_end);
    end(&scene);
}
END_TEST

/* ---- who waits --------------------------------------------------------------------------------
 */

static int sync_blob(struct scene *scene)
{
    return scene->ops->log_sync(blob);
}

static int close_it(struct scene *scene)
{
    close_blob(scene);
    return 0;
}

static int rewrite_blob(struct scene *scene)
{
    uint8_t bytes[4];
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] = byte_at(i + 1);
    }
    return scene->ops->log_rewrite(blob, 1, kv_slice(bytes, sizeof bytes));
}

static int open_it(struct scene *scene)
{
    struct kv_object *object = NULL;
    ck_ok(scene->ops->object_open(scene->storage, blob_id, &object));
    ck_assert_uint_eq(scene->ops->object_size(object), blob_end);
    scene->ops->object_close(object);
    return 0;
}

static int append_through(struct scene *scene)
{
    uint8_t byte = byte_at(blob_end);
    struct iovec part = {&byte, 1};
    int r = scene->ops->log_append_through(blob, &part, 1);
    blob_end += r == 0;
    return r;
}

START_TEST(who_syncs_closes_or_looks_waits_for_what_is_on_its_way)
{
    static int (*const calls[])(struct scene *) = {sync_blob, close_it, rewrite_blob, open_it,
                                                   append_through};
    struct scene scene;
    struct waiter waiter;

    begin(&scene);
    send(&scene, 1000);
    ck_ok(append_blob(&scene, 1000));
    waiter_begin(&waiter, &scene, calls[_i]);
    ck_ok(waiter_end(&waiter));
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 0), blob_end);
    if (blob == NULL) {
        scene_expect_entry(&scene, blob_id, POOLED_FINISHED, blob_end);
    }
    end(&scene);
}
END_TEST

/* A sync does not wait until what it is about goes by itself. */
START_TEST(a_sync_has_what_was_appended_before_go_at_once)
{
    struct scene scene;
    struct waiter waiter;

    begin(&scene);
    send(&scene, 1000);
    ck_ok(append_blob(&scene, 1000));
    await_flying(&scene, 1);
    waiter_begin(&waiter, &scene, sync_blob);
    await_flying(&scene, 2);
    ck_ok(append_blob(&scene, 1000)); /* what comes later gathers */
    await_flying(&scene, 2);
    ck_ok(waiter_end(&waiter));
    end(&scene);
}
END_TEST

static int append_one_more(struct scene *scene)
{
    return append_blob(scene, 1);
}

START_TEST(who_finds_no_room_in_memory_waits)
{
    struct scene scene;
    struct waiter waiter;
    bool runs = false;

    begin(&scene);
    if (_i == 1) { /* what is kept for deletes is to hold it */
        ck_ok(scene.ops->reserve(scene.storage, 4 * 4096));
        ck_ok(scene.ops->reserve(scene.storage, 0));
    }
    send(&scene, 1000);
    ck_ok(append_blob(&scene, (_i == 1 ? 4096 : POOLED_FLIGHT_MAX - MIB) - 1000));
    waiter_begin(&waiter, &scene, append_one_more);
    ck_ok(waiter_end(&waiter));
    ck_assert_uint_le(pooled_flights_memory(flights_of(&scene), &runs), POOLED_FLIGHT_MAX);
    ck_ok(scene.ops->log_sync(blob));
    expect_read(&scene, 0, blob_end);
    end(&scene);
}
END_TEST

static int append_much(struct scene *scene)
{
    return append_blob(scene, 2 * POOLED_FLIGHT_MAX);
}

START_TEST(what_is_larger_than_all_that_may_be_on_its_way_goes_bit_by_bit)
{
    struct scene scene;
    struct waiter waiter;

    begin(&scene);
    send(&scene, 1000);
    waiter_begin(&waiter, &scene, append_much);
    ck_ok(waiter_end(&waiter));
    expect_read(&scene, 0, blob_end);
    ck_ok(scene.ops->log_sync(blob));
    expect_read(&scene, 0, blob_end);
    end(&scene);
}
END_TEST

START_TEST(thread_and_buffers_are_given_back_when_nothing_is_appended)
{
    struct scene scene;
    bool runs = false;

    begin(&scene);
    for (unsigned round = 0; round < 2; round++) {
        ck_ok(append_blob(&scene, 3 * MIB));
        for (unsigned ms = 0; pooled_flights_memory(flights_of(&scene), &runs) > 0 || runs;
             ms += 20) {
            ck_assert_msg(ms < test_patience_ms(), "they are still there");
            scene_sleep_ms(20);
        }
    }
    ck_ok(scene.ops->log_sync(blob));
    expect_read(&scene, 0, blob_end);
    end(&scene);
}
END_TEST

/* ---- records behind values --------------------------------------------------------------------
 */

START_TEST(a_record_goes_once_all_that_blobs_had_before_it_is_there_and_no_later)
{
    struct scene scene;
    struct kv_log *other = NULL;

    begin(&scene);
    ck_ok(scene.ops->log_create(scene.storage, other_id, 0, 0, &other));
    send(&scene, MIB);
    ck_ok(scene_append(&scene, other, "xyz"));
    ck_ok(scene_append(&scene, scene.one, "b"));
    scene_sleep_ms(SCENE_STALL_MS);
    scene_expect_there(&scene, scene_one_id, "a");
    ck_ok(append_blob(&scene, MIB)); /* behind it */
    scene_let_pass(&scene, 1);
    scene_sleep_ms(SCENE_STALL_MS);
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 0), MIB);
    scene_expect_there(&scene, scene_one_id, "a");
    scene_let_pass(&scene, 1);
    ck_ok(scene.ops->log_sync(scene.one));
    scene_expect_there(&scene, other_id, "xyz");
    scene_expect_there(&scene, scene_one_id, "ab");
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 0), MIB);
    scene_let_go(&scene);
    scene.ops->log_close(other);
    end(&scene);
}
END_TEST

static bool is_there(struct scene *scene, struct kv_file_id id, size_t size)
{
    for (unsigned ms = 0; size_of_piece(scene, id, 0) != size; ms++) {
        if (ms >= test_patience_ms()) {
            return false;
        }
        scene_sleep_ms(1);
    }
    return true;
}

START_TEST(a_record_does_not_wait_for_a_blob_that_none_points_to)
{
    struct scene scene;

    begin(&scene);
    scene.ops->log_stand_alone(blob);
    send(&scene, MIB);
    ck_ok(scene_append(&scene, scene.one, "b"));
    ck_assert_msg(is_there(&scene, scene_one_id, 2), "it waits");
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 0), 0);
    scene_let_go(&scene);
    ck_ok(scene.ops->log_sync(blob));
    expect_read(&scene, 0, blob_end);
    end(&scene);
}
END_TEST

static int append_large_record(struct scene *scene)
{
    static uint8_t bytes[POOLED_GATHER_MAX + 1];
    struct iovec part = {bytes, sizeof bytes};
    return scene->ops->log_append(scene->one, &part, 1);
}

START_TEST(a_record_that_is_too_large_to_gather_waits_for_values_too)
{
    struct scene scene;
    struct waiter waiter;

    begin(&scene);
    send(&scene, 1000);
    waiter_begin(&waiter, &scene, append_large_record);
    ck_ok(waiter_end(&waiter));
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 0), 1000);
    end(&scene);
}
END_TEST

/* ---- what fails -------------------------------------------------------------------------------
 */

enum cause { ANSWER_LOST, OVERTAKEN, PIECE_LOST, CAUSES };

static struct kv_storage *make_fail(struct scene *scene, enum cause cause)
{
    struct kv_storage *taker = NULL;
    struct pool *vandal = fake_cluster_connect(scene->cluster, NULL, NULL);
    char name[POOLED_NAME_SIZE];

    fake_cluster_forbid_shut_out(scene->cluster);
    pooled_piece_name(blob_id, pooled_storage(scene->storage)->epoch, 0, name);
    if (cause == ANSWER_LOST) {
        mutex_lock(&scene->mu);
        scene->fate = FAKE_UNHEARD;
        mutex_unlock(&scene->mu);
    } else if (cause == OVERTAKEN) {
        fake_cluster_pass(scene->cluster, RIG_LEASE_MS + 1);
        taker = scene_storage(scene, NULL);
    } else {
        ck_ok(vandal->ops->change(vandal, name, &(struct pool_change){.remove = true}));
    }
    vandal->ops->close(vandal);
    return taker;
}

START_TEST(a_write_that_fails_ends_the_lease_and_nothing_goes_behind_it)
{
    struct scene scene;
    struct waiter waiter;

    begin(&scene);
    send(&scene, MIB);
    ck_ok(append_blob(&scene, 4 * MIB));
    ck_ok(scene_append(&scene, scene.one, "b"));
    await_flying(&scene, SCENE_PIECE_BYTES / MIB);
    struct kv_storage *taker = make_fail(&scene, (enum cause)_i);
    waiter_begin(&waiter, &scene, sync_blob);
    ck_assert_int_eq(waiter_end(&waiter), -ESHUTDOWN);
    ck_fails(scene.ops->log_sync(blob), EIO);
    ck_fails(append_blob(&scene, 1), EIO);
    ck_fails(scene.ops->log_sync(scene.one), ESHUTDOWN);
    ck_fails(scene_append(&scene, scene.two, "b"), ESHUTDOWN);
    scene_expect_there(&scene, scene_one_id, "a");
    if (_i != PIECE_LOST) {
        ck_assert_uint_eq(size_of_piece(&scene, blob_id, 1), 0);
    }
    close_blob(&scene);
    if (taker != NULL) {
        taker->ops->close(taker);
    }
    end(&scene);
}
END_TEST

/* ---- a full pool ------------------------------------------------------------------------------
 */

static bool is_refusing(struct scene *scene)
{
    mutex_lock(&flights_of(scene)->mu);
    bool refusing = flights_of(scene)->hold.refusing && flights_of(scene)->flying == 0;
    mutex_unlock(&flights_of(scene)->mu);
    return refusing;
}

/* The first of these writes finds no room, and nor do the others, unless `room_behind`. */
static void begin_full(struct scene *scene, size_t size, bool room_behind)
{
    begin(scene);
    ck_ok(append_blob(scene, 1000));
    ck_ok(scene->ops->log_sync(blob));
    fake_cluster_limit(scene->cluster, fake_cluster_used(scene->cluster));
    scene_set_closed(scene, true);
    scene_room_at(scene, room_behind ? scene_calls(scene) + 2 : 0);
    ck_ok(append_blob(scene, size));
    await_flying(scene, (unsigned)(size / MIB)); /* the rest gathers */
    scene_let_go(scene);
    for (unsigned ms = 0; !room_behind && !is_refusing(scene); ms++) {
        ck_assert_msg(ms < test_patience_ms(), "it is not refused");
        scene_sleep_ms(1);
    }
}

START_TEST(what_finds_no_room_is_kept_read_and_written_once_there_is_some)
{
    struct scene scene;

    begin_full(&scene, 3 * MIB, false);
    ck_fails(scene.ops->log_sync(blob), ENOSPC);
    ck_fails(scene.ops->log_sync(blob), ENOSPC);
    expect_read(&scene, 0, blob_end);
    ck_ok(_i == 0 ? 0 : append_blob(&scene, 1) == -ENOSPC ? 0 : -1);
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(blob));
    expect_read(&scene, 0, blob_end);
    if (_i == 0) {
        ck_ok(append_blob(&scene, 1));
    } else {
        ck_fails(append_blob(&scene, 1), EIO);
    }
    ck_ok(scene.ops->log_sync(blob));
    close_blob(&scene);
    scene_expect_entry(&scene, blob_id, POOLED_FINISHED, blob_end);
    end(&scene);
}
END_TEST

START_TEST(what_found_no_room_is_tried_again_though_nobody_asks)
{
    struct scene scene;

    begin_full(&scene, 3 * MIB, false);
    scene_room_at(&scene, scene_calls(&scene) + 2);
    for (unsigned ms = 0; size_of_piece(&scene, blob_id, 0) < blob_end; ms += 10) {
        ck_assert_msg(ms < test_patience_ms(), "it is not tried");
        scene_sleep_ms(10);
    }
    end(&scene);
}
END_TEST

START_TEST(a_gap_that_a_refused_write_leaves_is_filled_before_anything_else_goes)
{
    struct scene scene;

    begin_full(&scene, 3 * MIB, true);
    ck_ok(scene.ops->log_sync(blob));
    expect_read(&scene, 0, blob_end);
    ck_ok(scene_append(&scene, scene.one, "b"));
    ck_ok(scene.ops->log_sync(scene.one));
    end(&scene);
}
END_TEST

START_TEST(nothing_is_begun_behind_a_refused_write_until_it_found_room)
{
    struct scene scene;

    begin_full(&scene, 3 * MIB + 1000, false);
    unsigned before = scene_calls(&scene);
    scene_sleep_ms(SCENE_STALL_MS);
    ck_assert_uint_eq(before, 1 + 3);
    ck_assert_uint_eq(scene_calls(&scene), before);
    ck_fails(scene.ops->log_sync(blob), ENOSPC);
    ck_assert_uint_eq(scene_calls(&scene), before + 1);
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(blob));
    expect_read(&scene, 0, blob_end);
    end(&scene);
}
END_TEST

START_TEST(while_one_is_refused_no_record_and_no_other_blob_goes)
{
    struct scene scene;
    struct kv_log *other = NULL;

    begin_full(&scene, 3 * MIB, false);
    ck_ok(scene_append(&scene, scene.one, "b"));
    ck_fails(scene.ops->log_sync(scene.one), ENOSPC);
    scene_expect_there(&scene, scene_one_id, "a");
    ck_ok(scene.ops->log_create(scene.storage, other_id, 0, 0, &other));
    ck_fails(scene_append(&scene, other, "xyz"), ENOSPC);
    scene.ops->log_close(other);
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(scene.one));
    scene_expect_there(&scene, scene_one_id, "ab");
    ck_assert_uint_eq(size_of_piece(&scene, blob_id, 0), blob_end);
    end(&scene);
}
END_TEST

/* There is room for little. */
START_TEST(a_refused_blob_that_stands_alone_keeps_nobody_back)
{
    struct scene scene;
    struct kv_log *other = NULL;

    begin(&scene);
    scene.ops->log_stand_alone(blob);
    ck_ok(scene.ops->log_create(scene.storage, other_id, 0, 0, &other));
    ck_ok(append_blob(&scene, 1000));
    ck_ok(scene.ops->log_sync(blob));
    fake_cluster_limit(scene.cluster, fake_cluster_used(scene.cluster) + 100);
    ck_ok(append_blob(&scene, MIB));
    ck_fails(scene.ops->log_sync(blob), ENOSPC);
    ck_ok(scene_append(&scene, other, "xyz"));
    ck_ok(scene_append(&scene, scene.one, "b"));
    ck_ok(scene.ops->log_sync(scene.one));
    ck_ok(scene.ops->log_sync(other));
    scene_expect_there(&scene, other_id, "xyz");
    scene_expect_there(&scene, scene_one_id, "ab");
    ck_fails(append_blob(&scene, 1), ENOSPC);
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_assert_msg(is_there(&scene, blob_id, 1000 + MIB), "it is not tried again");
    ck_ok(scene.ops->log_sync(blob));
    expect_read(&scene, 0, blob_end);
    scene.ops->log_close(other);
    end(&scene);
}
END_TEST

static struct kv_log *third;

static int append_third(struct scene *scene)
{
    return scene_append(scene, third, "xyz");
}

/* One that is dropped meanwhile changes nothing. */
START_TEST(while_a_refused_one_is_tried_again_nothing_else_goes)
{
    static const struct kv_file_id third_id = {KV_FILE_BLOB, 3};
    struct scene scene;
    struct kv_log *other = NULL;
    struct waiter waiter;

    begin(&scene);
    ck_ok(scene.ops->log_create(scene.storage, other_id, 0, 0, &other));
    ck_ok(scene.ops->log_create(scene.storage, third_id, 0, 0, &third));
    ck_ok(append_third(&scene));
    ck_ok(scene.ops->log_sync(third));
    fake_cluster_limit(scene.cluster, fake_cluster_used(scene.cluster) + 2);
    send(&scene, MIB);
    ck_ok(scene_append(&scene, other, "xyz"));
    await_flying(&scene, 2);
    scene_let_go(&scene);
    ck_fails(scene.ops->log_sync(blob), ENOSPC);
    scene_set_closed(&scene, true);
    await_flying(&scene, 1); /* the first one, again */
    ck_ok(scene.ops->remove(scene.storage, other_id));
    waiter_begin(&waiter, &scene, append_third);
    ck_assert_int_eq(waiter_end(&waiter), -ENOSPC);
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(blob));
    scene.ops->log_close(other);
    scene.ops->log_close(third);
    end(&scene);
}
END_TEST

START_TEST(a_refused_blob_that_is_removed_or_closed_keeps_nobody_back)
{
    struct scene scene;

    begin_full(&scene, 3 * MIB, false);
    fake_cluster_limit(scene.cluster, fake_cluster_used(scene.cluster) + 1);
    ck_ok(scene_append(&scene, scene.one, "b"));
    if (_i == 0) {
        ck_ok(scene.ops->remove(scene.storage, blob_id));
        ck_ok(scene.ops->log_sync(blob));
    } else {
        close_blob(&scene);
        scene_expect_entry(&scene, blob_id, POOLED_OPEN, 0);
    }
    ck_ok(scene.ops->log_sync(scene.one));
    scene_expect_there(&scene, scene_one_id, "ab");
    end(&scene);
}
END_TEST

START_TEST(where_the_last_append_must_not_be_kept_its_refusal_leaves_the_others)
{
    struct scene scene;

    begin(&scene);
    ck_ok(append_blob(&scene, 1000));
    ck_ok(scene.ops->log_sync(blob));
    fake_cluster_limit(scene.cluster, fake_cluster_used(scene.cluster));
    ck_fails(append_through(&scene), ENOSPC);
    ck_ok(scene.ops->log_sync(blob));
    close_blob(&scene);
    scene_expect_entry(&scene, blob_id, POOLED_FINISHED, 1000);
    end(&scene);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_flight");
    TCase *loops = tcase_create("loops");
    tcase_add_loop_test(loops, who_syncs_closes_or_looks_waits_for_what_is_on_its_way, 0, 5);
    tcase_add_loop_test(loops, who_finds_no_room_in_memory_waits, 0, 2);
    tcase_add_loop_test(loops, a_write_that_fails_ends_the_lease_and_nothing_goes_behind_it, 0,
                        CAUSES);
    tcase_add_loop_test(loops, what_finds_no_room_is_kept_read_and_written_once_there_is_some, 0,
                        2);
    tcase_add_loop_test(loops, a_refused_blob_that_is_removed_or_closed_keeps_nobody_back, 0, 2);
    suite_add_tcase(s, loops);
    suite_add(s, "flight", many_writes_of_a_blob_are_on_their_way);
    suite_add(s, "flight", no_write_to_a_piece_is_begun_before_all_of_the_one_before_is_there);
    suite_add(s, "flight", small_appends_go_together_while_others_are_on_their_way);
    suite_add(s, "flight", what_is_on_its_way_is_read);
    suite_add(s, "wait", a_sync_has_what_was_appended_before_go_at_once);
    suite_add(s, "wait", what_is_larger_than_all_that_may_be_on_its_way_goes_bit_by_bit);
    suite_add(s, "wait", thread_and_buffers_are_given_back_when_nothing_is_appended);
    suite_add(s, "records", a_record_goes_once_all_that_blobs_had_before_it_is_there_and_no_later);
    suite_add(s, "records", a_record_does_not_wait_for_a_blob_that_none_points_to);
    suite_add(s, "records", a_record_that_is_too_large_to_gather_waits_for_values_too);
    suite_add(s, "full", what_found_no_room_is_tried_again_though_nobody_asks);
    suite_add(s, "full", a_gap_that_a_refused_write_leaves_is_filled_before_anything_else_goes);
    suite_add(s, "full", nothing_is_begun_behind_a_refused_write_until_it_found_room);
    suite_add(s, "full", while_one_is_refused_no_record_and_no_other_blob_goes);
    suite_add(s, "full", a_refused_blob_that_stands_alone_keeps_nobody_back);
    suite_add(s, "full", while_a_refused_one_is_tried_again_nothing_else_goes);
    suite_add(s, "full", where_the_last_append_must_not_be_kept_its_refusal_leaves_the_others);
    return s;
}
