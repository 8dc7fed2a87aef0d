/* SPDX-License-Identifier: Apache-2.0 */
/* Damage to the objects of a store in a pool: it is told of the file it is in, and all else, so
 * also what repairs it, goes on. */
#include "tests/storage/takeover_rig.h"

static const struct kv_file_id good_id = {KV_FILE_LOG, 1};
static const struct kv_file_id bad_id = {KV_FILE_LOG, 2};

/* Two logs of 5000 bytes in two pieces each, open when their writer dies. */
struct scene {
    struct fake_cluster *cluster;
    struct pool *vandal;
    uint64_t epoch;
};

static void make_log(struct kv_storage *storage, struct kv_file_id id, struct kv_log **ret_log)
{
    static uint8_t bytes[5000];
    struct iovec part = {bytes, sizeof bytes};

    ck_ok(storage->ops->log_create(storage, id, 0, 0, ret_log));
    ck_ok(storage->ops->log_append(*ret_log, &part, 1));
    ck_ok(storage->ops->log_sync(*ret_log));
}

static void make_scene(struct scene *scene)
{
    struct kv_storage *storage = NULL;
    struct kv_log *logs[2] = {NULL, NULL};

    *scene = (struct scene){.cluster = fake_cluster_create()};
    scene->vandal = fake_cluster_connect(scene->cluster, NULL, NULL);
    ck_ok(rig_acquire(scene->cluster, NULL, NULL, &storage));
    scene->epoch = pooled_storage(storage)->epoch;
    ck_ok(storage->ops->root_swap(storage, 0, kv_slice_str("root")));
    make_log(storage, good_id, &logs[0]);
    make_log(storage, bad_id, &logs[1]);
    ck_ok(scene->vandal->ops->shut_out(
        scene->vandal, pooled_storage(storage)->pool->ops->address(pooled_storage(storage)->pool)));
    storage->ops->log_close(logs[0]);
    storage->ops->log_close(logs[1]);
    storage->ops->close(storage);
    fake_cluster_pass(scene->cluster, RIG_LEASE_MS + 1);
}

struct seen {
    bool good, bad;
};

static void note_file(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    struct seen *seen = (struct seen *)arg;

    if (id.number == good_id.number) {
        ck_assert_uint_eq(size_bytes, 5000);
        seen->good = true;
    } else {
        ck_assert_uint_eq(id.number, bad_id.number);
        ck_assert_uint_eq(size_bytes, 0);
        seen->bad = true;
    }
}

/* Take the store over: everything but the damaged log is there, and it can be removed. */
static void expect_damage(struct scene *scene, bool bad_is_there)
{
    struct kv_storage *storage = NULL;
    struct kv_log *log = NULL;
    struct seen seen = {0};

    ck_ok(rig_acquire(scene->cluster, NULL, NULL, &storage));
    ck_ok(storage->ops->list(storage, note_file, &seen));
    ck_assert(seen.good && seen.bad == bad_is_there);
    ck_ok(storage->ops->log_open(storage, good_id, &log));
    ck_assert_uint_eq(storage->ops->log_size(log), 5000);
    storage->ops->log_close(log);
    if (bad_is_there) {
        ck_fails(storage->ops->log_open(storage, bad_id, &log), KV_EDAMAGED);
        ck_fails(storage->ops->log_resume(storage, bad_id, &log), KV_EDAMAGED);
        ck_ok(storage->ops->remove(storage, bad_id));
    }
    ck_fails(storage->ops->log_open(storage, bad_id, &log), ENOENT);
    make_log(storage, bad_id, &log);
    storage->ops->log_close(log);
    rig_go_on(storage);
    storage->ops->close(storage);
    scene->vandal->ops->close(scene->vandal);
    fake_cluster_destroy(scene->cluster);
}

static void set_key(struct scene *scene, const char *name, const char *bytes)
{
    struct pool_value key = {name, kv_slice_str(bytes)};
    ck_ok(scene->vandal->ops->change(scene->vandal, POOLED_ROOT,
                                     &(struct pool_change){.keys = &key, .key_count = 1}));
}

START_TEST(an_entry_that_cannot_be_read_is_damage_of_its_file_alone)
{
    struct scene scene;
    make_scene(&scene);
    set_key(&scene, "00000002.log", "\x02 is not how it goes on");
    expect_damage(&scene, true);
}
END_TEST

START_TEST(a_key_that_is_no_name_of_a_file_is_passed_over)
{
    struct scene scene;
    make_scene(&scene);
    ck_ok(scene.vandal->ops->change(scene.vandal, POOLED_ROOT,
                                    &(struct pool_change){.key_removed = "00000002.log"}));
    set_key(&scene, "a note of the administrator", "please keep");
    expect_damage(&scene, false);
}
END_TEST

START_TEST(a_piece_that_is_longer_than_pieces_are_is_damage_of_its_file_alone)
{
    static uint8_t byte;
    struct iovec part = {&byte, 1};
    char name[POOLED_NAME_SIZE];
    struct scene scene;

    make_scene(&scene);
    pooled_piece_name(bad_id, scene.epoch, 1, name);
    ck_ok(scene.vandal->ops->change(
        scene.vandal, name,
        &(struct pool_change){.parts = &part, .part_count = 1, .offset = RIG_PIECE_BYTES}));
    expect_damage(&scene, true);
}
END_TEST

/* Else a log that was synced would silently end before its end. */
START_TEST(a_piece_that_is_lost_is_damage_and_not_the_end_of_its_file)
{
    char name[POOLED_NAME_SIZE];
    struct scene scene;

    make_scene(&scene);
    pooled_piece_name(bad_id, scene.epoch, (uint64_t)_i, name);
    ck_ok(scene.vandal->ops->change(scene.vandal, name, &(struct pool_change){.remove = true}));
    expect_damage(&scene, true);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_damage");
    TCase *lost = tcase_create("lost");
    suite_add(s, "entry", an_entry_that_cannot_be_read_is_damage_of_its_file_alone);
    suite_add(s, "entry", a_key_that_is_no_name_of_a_file_is_passed_over);
    suite_add(s, "piece", a_piece_that_is_longer_than_pieces_are_is_damage_of_its_file_alone);
    tcase_add_loop_test(lost, a_piece_that_is_lost_is_damage_and_not_the_end_of_its_file, 1, 2);
    suite_add_tcase(s, lost);
    return s;
}
