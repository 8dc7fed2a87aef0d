/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/storage/send_rig.h"

#include <sys/prctl.h>
#include <time.h>

static bool is_called(const char *wanted)
{
    char name[16] = "";
    return prctl(PR_GET_NAME, name) == 0 && strcmp(name, wanted) == 0;
}

/* Asked before each call of the client. */
static enum fake_fate hold(void *arg, unsigned index)
{
    struct scene *scene = (struct scene *)arg;
    enum fake_fate fate = FAKE_DONE;

    mutex_lock(&scene->mu);
    if (!is_called(scene->thread)) {
        mutex_unlock(&scene->mu);
        return fate;
    }
    scene->calls++;
    bool room = scene->calls == scene->room_at;
    scene->held++;
    condvar_broadcast(&scene->changed);
    while (scene->closed && scene->passes == 0) {
        condvar_wait(&scene->changed, &scene->mu);
    }
    scene->passes -= scene->closed;
    scene->held--;
    fate = scene->fate;
    mutex_unlock(&scene->mu);
    if (room) {
        fake_cluster_limit(scene->cluster, SIZE_MAX);
    }
    return fate;
}

void scene_set_closed(struct scene *scene, bool closed)
{
    mutex_lock(&scene->mu);
    scene->closed = closed;
    condvar_broadcast(&scene->changed);
    mutex_unlock(&scene->mu);
}

void scene_await_held(struct scene *scene)
{
    mutex_lock(&scene->mu);
    while (scene->held == 0) {
        condvar_wait(&scene->changed, &scene->mu);
    }
    mutex_unlock(&scene->mu);
}

unsigned scene_calls(struct scene *scene)
{
    mutex_lock(&scene->mu);
    unsigned calls = scene->calls;
    mutex_unlock(&scene->mu);
    return calls;
}

void scene_room_at(struct scene *scene, unsigned call)
{
    mutex_lock(&scene->mu);
    scene->room_at = call;
    mutex_unlock(&scene->mu);
}

int scene_append(struct scene *scene, struct kv_log *log, const char *text)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)text, 1},
                             {(void *)(uintptr_t)(text + 1), strlen(text) - 1}};
    return scene->ops->log_append(log, parts, 2);
}

static struct kv_log *make_log(struct scene *scene, struct kv_file_id id)
{
    struct kv_log *log = NULL;
    ck_ok(scene->ops->log_create(scene->storage, id, 0, 0, &log));
    ck_ok(scene_append(scene, log, "a"));
    ck_ok(scene->ops->log_sync(log));
    return log;
}

struct kv_storage *scene_storage(struct scene *scene, fake_plan_fn *plan)
{
    struct pooled_options options = {
        .create = true, .lease_ms = RIG_LEASE_MS, .piece_bytes = SCENE_PIECE_BYTES};
    struct kv_storage *storage = NULL;
    ck_ok(pooled_storage_open(fake_cluster_connect(scene->cluster, plan, scene),
                              "rados://fake/store", &options, &storage));
    ck_ok(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "a writer"));
    return storage;
}

void scene_begin(struct scene *scene)
{
    *scene = (struct scene){.cluster = fake_cluster_create(), .thread = "kv-send"};
    mutex_init(&scene->mu, LOCK_RANK_LEAF, "scene");
    condvar_init(&scene->changed);
    scene->storage = scene_storage(scene, hold);
    scene->ops = scene->storage->ops;
    ck_ok(scene->ops->root_swap(scene->storage, 0, kv_slice_str("root")));
    scene->one = make_log(scene, scene_one_id);
    scene->two = make_log(scene, scene_two_id);
}

void scene_end_logs(struct scene *scene)
{
    if (scene->one != NULL) {
        scene->ops->log_close(scene->one);
    }
    if (scene->two != NULL) {
        scene->ops->log_close(scene->two);
    }
    scene->one = NULL;
    scene->two = NULL;
}

void scene_end(struct scene *scene)
{
    scene_end_logs(scene);
    scene->ops->close(scene->storage);
    fake_cluster_destroy(scene->cluster);
    condvar_finish(&scene->changed);
    mutex_finish(&scene->mu);
}

void scene_send_b(struct scene *scene)
{
    scene_set_closed(scene, true);
    ck_ok(scene_append(scene, scene->one, "b"));
    scene_await_held(scene);
}

void scene_let_go(struct scene *scene)
{
    scene_set_closed(scene, false);
}

void scene_let_pass(struct scene *scene, unsigned count)
{
    mutex_lock(&scene->mu);
    scene->passes += count;
    condvar_broadcast(&scene->changed);
    mutex_unlock(&scene->mu);
}

void scene_expect_there(struct scene *scene, struct kv_file_id id, const char *text)
{
    char name[POOLED_NAME_SIZE];
    char bytes[64] = "";

    pooled_piece_name(id, pooled_storage(scene->storage)->epoch, 0, name);
    size_t size = fake_cluster_bytes(scene->cluster, name, bytes, sizeof bytes);
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
}

void scene_expect_entry(struct scene *scene, struct kv_file_id id, int state, uint64_t size)
{
    struct pooled_entry entry = {0};
    ck_ok(pooled_dir_get(pooled_storage(scene->storage), id, &entry));
    ck_assert_int_eq(entry.state, state);
    ck_assert_uint_eq(entry.size, size);
}

void scene_expect_reads(struct scene *scene, struct kv_log *log, const char *text)
{
    char bytes[64] = "";
    size_t size = 0;
    ck_ok(scene->ops->log_read(log, 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
}

void scene_sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
}

static void *waiter_main(void *arg)
{
    struct waiter *waiter = (struct waiter *)arg;
    waiter->result = waiter->call(waiter->scene);
    atomic_store(&waiter->returned, true);
    return NULL;
}

void waiter_begin(struct waiter *waiter, struct scene *scene, int (*call)(struct scene *))
{
    *waiter = (struct waiter){.scene = scene, .call = call};
    ck_ok(thread_start(&waiter->thread, "waiter", waiter_main, waiter));
}

int waiter_end(struct waiter *waiter)
{
    scene_sleep_ms(SCENE_STALL_MS);
    ck_assert(!atomic_load(&waiter->returned));
    scene_let_go(waiter->scene);
    thread_join(&waiter->thread);
    return waiter->result;
}

void scene_await_refused(struct scene *scene)
{
    struct pooled_sender *sender = &pooled_storage(scene->storage)->sender;
    bool refused = false;

    for (unsigned ms = 0; !refused; ms++) {
        ck_assert_msg(ms < test_patience_ms(), "it is not refused");
        scene_sleep_ms(1);
        mutex_lock(&sender->mu);
        refused = sender->refused != NULL;
        mutex_unlock(&sender->mu);
    }
}

void scene_begin_full(struct scene *scene)
{
    scene_begin(scene);
    fake_cluster_limit(scene->cluster, fake_cluster_used(scene->cluster));
    ck_ok(scene_append(scene, scene->one, "b"));
    scene_await_refused(scene);
}
