/* SPDX-License-Identifier: Apache-2.0 */
/* Appends to write-ahead logs of a store in a pool, which gather and are sent in groups. A write of
 * the sender's is held back until the test lets it go: what happens meanwhile is what these tests
 * are about. */
#include "tests/storage/takeover_rig.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

static const struct kv_file_id one_id = {KV_FILE_LOG, 1};
static const struct kv_file_id two_id = {KV_FILE_LOG, 2};

enum { PIECE_BYTES = 4 << 20, STALL_MS = 30 };

struct scene {
    struct fake_cluster *cluster;
    struct kv_storage *storage;
    const struct kv_storage_ops *ops;
    struct kv_log *one, *two; /* open; one byte, "a", is in each */
    struct mutex mu;
    struct condvar changed;
    unsigned calls;      /* of the sender */
    bool closed;         /* they wait, */
    unsigned held;       /* so many now, */
    enum fake_fate fate; /* and then this becomes of them */
};

static bool is_sender(void)
{
    char name[16] = "";
    return prctl(PR_GET_NAME, name) == 0 && strcmp(name, "kv-send") == 0;
}

/* Asked before each call of the client. */
static enum fake_fate hold(void *arg, unsigned index)
{
    struct scene *scene = (struct scene *)arg;
    enum fake_fate fate = FAKE_DONE;

    if (!is_sender()) {
        return fate;
    }
    mutex_lock(&scene->mu);
    scene->calls++;
    scene->held++;
    condvar_broadcast(&scene->changed);
    while (scene->closed) {
        condvar_wait(&scene->changed, &scene->mu);
    }
    scene->held--;
    fate = scene->fate;
    mutex_unlock(&scene->mu);
    return fate;
}

static void set_closed(struct scene *scene, bool closed)
{
    mutex_lock(&scene->mu);
    scene->closed = closed;
    condvar_broadcast(&scene->changed);
    mutex_unlock(&scene->mu);
}

static void await_held(struct scene *scene)
{
    mutex_lock(&scene->mu);
    while (scene->held == 0) {
        condvar_wait(&scene->changed, &scene->mu);
    }
    mutex_unlock(&scene->mu);
}

static unsigned count_calls(struct scene *scene)
{
    mutex_lock(&scene->mu);
    unsigned calls = scene->calls;
    mutex_unlock(&scene->mu);
    return calls;
}

static int append(struct scene *scene, struct kv_log *log, const char *text)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)text, 1},
                             {(void *)(uintptr_t)(text + 1), strlen(text) - 1}};
    return scene->ops->log_append(log, parts, 2);
}

static struct kv_log *make_log(struct scene *scene, struct kv_file_id id)
{
    struct kv_log *log = NULL;
    ck_ok(scene->ops->log_create(scene->storage, id, 0, 0, &log));
    ck_ok(append(scene, log, "a"));
    ck_ok(scene->ops->log_sync(log));
    return log;
}

static struct kv_storage *open_storage(struct scene *scene, fake_plan_fn *plan)
{
    struct pooled_options options = {
        .create = true, .lease_ms = RIG_LEASE_MS, .piece_bytes = PIECE_BYTES};
    struct kv_storage *storage = NULL;
    ck_ok(pooled_storage_open(fake_cluster_connect(scene->cluster, plan, scene),
                              "rados://fake/store", &options, &storage));
    ck_ok(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "a writer"));
    return storage;
}

static void begin(struct scene *scene)
{
    *scene = (struct scene){.cluster = fake_cluster_create()};
    mutex_init(&scene->mu, LOCK_RANK_LEAF, "scene");
    condvar_init(&scene->changed);
    scene->storage = open_storage(scene, hold);
    scene->ops = scene->storage->ops;
    ck_ok(scene->ops->root_swap(scene->storage, 0, kv_slice_str("root")));
    scene->one = make_log(scene, one_id);
    scene->two = make_log(scene, two_id);
}

static void end_logs(struct scene *scene)
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

static void end(struct scene *scene)
{
    end_logs(scene);
    scene->ops->close(scene->storage);
    fake_cluster_destroy(scene->cluster);
    condvar_finish(&scene->changed);
    mutex_finish(&scene->mu);
}

/* "b" is on its way to the first log, and held there. */
static void send_b(struct scene *scene)
{
    set_closed(scene, true);
    ck_ok(append(scene, scene->one, "b"));
    await_held(scene);
}

static void let_go(struct scene *scene)
{
    set_closed(scene, false);
}

/* What the cluster has of a log. */
static void expect_there(struct scene *scene, struct kv_file_id id, const char *text)
{
    char name[POOLED_NAME_SIZE];
    char bytes[64] = "";

    pooled_piece_name(id, pooled_storage(scene->storage)->epoch, 0, name);
    size_t size = fake_cluster_bytes(scene->cluster, name, bytes, sizeof bytes);
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
}

static void expect_entry(struct scene *scene, struct kv_file_id id, int state, uint64_t size)
{
    struct pooled_entry entry = {0};
    ck_ok(pooled_dir_get(pooled_storage(scene->storage), id, &entry));
    ck_assert_int_eq(entry.state, state);
    ck_assert_uint_eq(entry.size, size);
}

static void expect_reads(struct scene *scene, struct kv_log *log, const char *text)
{
    char bytes[64] = "";
    size_t size = 0;
    ck_ok(scene->ops->log_read(log, 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
}

static void sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&pause, NULL);
}

/* ---- calls that wait --------------------------------------------------------------------------
 */

/* A call in a thread of its own. */
struct waiter {
    struct scene *scene;
    int (*call)(struct scene *scene);
    struct thread thread;
    int result;
    _Atomic bool returned;
};

static void *waiter_main(void *arg)
{
    struct waiter *waiter = (struct waiter *)arg;
    waiter->result = waiter->call(waiter->scene);
    atomic_store(&waiter->returned, true);
    return NULL;
}

static void wait_begin(struct waiter *waiter, struct scene *scene, int (*call)(struct scene *))
{
    *waiter = (struct waiter){.scene = scene, .call = call};
    ck_ok(thread_start(&waiter->thread, "waiter", waiter_main, waiter));
}

/* It waits until the pool lets go. */
static int wait_end(struct waiter *waiter)
{
    sleep_ms(STALL_MS);
    ck_assert(!atomic_load(&waiter->returned));
    let_go(waiter->scene);
    thread_join(&waiter->thread);
    return waiter->result;
}

static int sync_one(struct scene *scene)
{
    return scene->ops->log_sync(scene->one);
}

START_TEST(a_sync_waits_until_all_that_was_appended_before_is_there)
{
    struct scene scene;
    struct waiter waiter;

    begin(&scene);
    send_b(&scene);
    if (_i == 1) {
        ck_ok(append(&scene, scene.one, "cd"));
    }
    wait_begin(&waiter, &scene, sync_one);
    ck_ok(wait_end(&waiter));
    expect_there(&scene, one_id, _i == 1 ? "abcd" : "ab");
    end(&scene);
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
    expect_reads(scene, scene->one, "abcd");
    return 0;
}

static int open_one(struct scene *scene)
{
    struct kv_log *log = NULL;
    ck_ok(scene->ops->log_open(scene->storage, one_id, &log));
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

    begin(&scene);
    send_b(&scene);
    ck_ok(append(&scene, scene.one, "cd"));
    ck_assert_uint_eq(scene.ops->log_size(scene.one), 4);
    wait_begin(&waiter, &scene, calls[_i]);
    ck_ok(wait_end(&waiter));
    expect_there(&scene, one_id, "abcd");
    if (scene.one == NULL) {
        expect_entry(&scene, one_id, POOLED_FINISHED, 4);
    }
    end(&scene);
}
END_TEST

/* ---- groups -----------------------------------------------------------------------------------
 */

START_TEST(what_gathers_while_a_group_is_on_its_way_goes_as_one)
{
    struct scene scene;

    begin(&scene);
    send_b(&scene);
    unsigned before = count_calls(&scene);
    for (unsigned i = 0; i < 20; i++) {
        ck_ok(append(&scene, scene.one, "cd"));
    }
    let_go(&scene);
    ck_ok(scene.ops->log_sync(scene.one));
    ck_assert_uint_eq(count_calls(&scene) - before, 1);
    expect_there(&scene, one_id, "abcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd");
    end(&scene);
}
END_TEST

START_TEST(a_later_log_has_nothing_that_an_earlier_one_lacks)
{
    struct scene scene;

    begin(&scene);
    send_b(&scene);
    ck_ok(append(&scene, scene.two, "b"));
    ck_ok(append(&scene, scene.two, "c"));
    sleep_ms(STALL_MS);
    expect_there(&scene, one_id, "a");
    expect_there(&scene, two_id, "a");
    let_go(&scene);
    ck_ok(scene.ops->log_sync(scene.two));
    expect_there(&scene, one_id, "ab");
    expect_there(&scene, two_id, "abc");
    end(&scene);
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

    begin(&scene);
    send_b(&scene);
    for (size_t size = 0; size < POOLED_GATHER_MAX; size += POOLED_GATHER_MAX / 8) {
        ck_ok(append_some(&scene, POOLED_GATHER_MAX / 8));
    }
    wait_begin(&waiter, &scene, append_one_more);
    ck_ok(wait_end(&waiter));
    ck_assert_uint_le(pooled_sender_memory(&pooled_storage(scene.storage)->sender, &runs),
                      (size_t)3 * POOLED_GATHER_MAX);
    ck_ok(scene.ops->log_sync(scene.one));
    ck_assert_uint_eq(scene.ops->log_size(scene.one), POOLED_GATHER_MAX + 3);
    end(&scene);
}
END_TEST

/* So what the store has said yes to finds room when the pool is full and the reserve is given back.
 */
START_TEST(where_room_is_kept_for_deletes_only_a_part_of_that_gathers)
{
    struct scene scene;
    struct waiter waiter;

    begin(&scene);
    ck_ok(scene.ops->reserve(scene.storage, 4 * 4096));
    ck_ok(scene.ops->reserve(scene.storage, 0)); /* for the pool is full */
    send_b(&scene);
    ck_ok(append_some(&scene, 4096));
    wait_begin(&waiter, &scene, append_one_more);
    ck_ok(wait_end(&waiter));
    end(&scene);
}
END_TEST

START_TEST(what_is_larger_than_gathers_is_written_behind_all_that_did)
{
    struct scene scene;
    struct waiter waiter;
    char bytes[4] = "";
    size_t size = 0;

    begin(&scene);
    send_b(&scene);
    ck_ok(append(&scene, scene.one, "cd"));
    wait_begin(&waiter, &scene, append_much);
    ck_ok(wait_end(&waiter));
    ck_ok(append(&scene, scene.one, "ef"));
    ck_ok(scene.ops->log_sync(scene.one));
    ck_ok(scene.ops->log_read(scene.one, POOLED_GATHER_MAX + 5, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, 2);
    ck_assert_mem_eq(bytes, "ef", 2);
    end(&scene);
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

    begin(&scene);
    for (unsigned round = 0; round < 2; round++) {
        send_b(&scene);
        ck_ok(append(&scene, scene.one, "cd"));
        ck_assert_uint_eq(count_senders(), 1);
        let_go(&scene);
        struct pooled_sender *sender = &pooled_storage(scene.storage)->sender;
        for (unsigned ms = 0; pooled_sender_memory(sender, &runs) > 0 || runs; ms += 20) {
            ck_assert_msg(ms < test_patience_ms(), "they are still there");
            sleep_ms(20);
        }
        for (unsigned ms = 0; count_senders() > 0; ms += 20) {
            ck_assert_msg(ms < test_patience_ms(), "a thread is still there");
            sleep_ms(20);
        }
    }
    expect_there(&scene, one_id, "abcdbcd");
    end(&scene);
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

    begin(scene);
    vandal = fake_cluster_connect(scene->cluster, NULL, NULL);
    fake_cluster_forbid_shut_out(scene->cluster);
    send_b(scene);
    ck_ok(append(scene, scene->one, "cd"));
    ck_ok(append(scene, scene->two, "b"));
    pooled_piece_name(one_id, pooled_storage(scene->storage)->epoch, 0, name);
    if (cause == ANSWER_LOST) {
        mutex_lock(&scene->mu);
        scene->fate = FAKE_UNHEARD;
        mutex_unlock(&scene->mu);
    } else if (cause == OVERTAKEN) {
        fake_cluster_pass(scene->cluster, RIG_LEASE_MS + 1);
        other = open_storage(scene, NULL);
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
        expect_there(scene, one_id, cause == ANSWER_LOST ? "ab" : "a");
    }
    expect_there(scene, two_id, "a");
    end_logs(scene);
    if (cause == PIECE_LOST) {
        expect_entry(scene, one_id, POOLED_OPEN, 0);
        expect_entry(scene, two_id, POOLED_OPEN, 0);
    }
    if (other != NULL) {
        other->ops->close(other);
    }
    end(scene);
}

START_TEST(every_sync_fails_once_a_group_has_and_nothing_is_there_of_what_came_behind)
{
    struct scene scene;
    struct kv_storage *other = begin_to_fail(&scene, (enum cause)_i);

    let_go(&scene);
    ck_assert_int_eq(scene.ops->log_sync(scene.one), error_of((enum cause)_i));
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_fails(append(&scene, scene.one, "e"), EIO);
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_assert_int_eq(scene.ops->log_sync(scene.two), error_of((enum cause)_i));
    ck_fails(append(&scene, scene.two, "e"), EIO);
    ck_fails(scene.ops->log_sync(scene.two), EIO);
    end_failed(&scene, (enum cause)_i, other);
}
END_TEST

START_TEST(the_next_append_tells_what_a_group_failed_with)
{
    struct scene scene;
    struct kv_storage *other = begin_to_fail(&scene, (enum cause)_i);

    let_go(&scene);
    pooled_sender_await(&pooled_storage(scene.storage)->sender);
    ck_assert_int_eq(append(&scene, scene.one, "e"), error_of((enum cause)_i));
    ck_fails(append(&scene, scene.one, "e"), EIO);
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_assert_int_eq(append(&scene, scene.two, "e"), error_of((enum cause)_i));
    ck_fails(scene.ops->log_sync(scene.two), EIO);
    end_failed(&scene, (enum cause)_i, other);
}
END_TEST

START_TEST(a_sync_that_waits_is_told_what_the_group_fails_with)
{
    struct scene scene;
    struct waiter waiter;
    struct kv_storage *other = begin_to_fail(&scene, (enum cause)_i);

    wait_begin(&waiter, &scene, sync_one);
    ck_assert_int_eq(wait_end(&waiter), error_of((enum cause)_i));
    end_failed(&scene, (enum cause)_i, other);
}
END_TEST

START_TEST(nothing_gathers_any_more_once_the_lease_is_lost)
{
    struct scene scene;

    begin(&scene);
    unsigned before = count_calls(&scene);
    pooled_lose(pooled_storage(scene.storage), -ETIMEDOUT);
    ck_fails(append(&scene, scene.one, "b"), ESHUTDOWN);
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_assert_uint_eq(count_calls(&scene), before);
    end(&scene);
}
END_TEST

/* ---- a full pool ------------------------------------------------------------------------------
 */

static void await_refused(struct scene *scene)
{
    struct pooled_sender *sender = &pooled_storage(scene->storage)->sender;
    bool refused = false;

    for (unsigned ms = 0; !refused; ms++) {
        ck_assert_msg(ms < test_patience_ms(), "it is not refused");
        sleep_ms(1);
        mutex_lock(&sender->mu);
        refused = sender->refused != NULL;
        mutex_unlock(&sender->mu);
    }
}

/* "b" was refused. */
static void begin_full(struct scene *scene)
{
    begin(scene);
    fake_cluster_limit(scene->cluster, fake_cluster_used(scene->cluster));
    ck_ok(append(scene, scene->one, "b"));
    await_refused(scene);
}

START_TEST(a_log_that_was_refused_room_takes_no_more_and_a_sync_that_finds_room_is_right)
{
    struct scene scene;

    begin_full(&scene);
    unsigned before = count_calls(&scene);
    ck_fails(append(&scene, scene.one, "c"), ENOSPC);
    sleep_ms(STALL_MS);
    ck_assert_uint_eq(count_calls(&scene), before); /* nobody waits */
    expect_there(&scene, one_id, "a");
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(scene.one));
    expect_there(&scene, one_id, "ab");
    ck_fails(append(&scene, scene.one, "c"), EIO);
    ck_ok(scene.ops->log_sync(scene.one));
    end_logs(&scene);
    expect_entry(&scene, one_id, POOLED_FINISHED, 2);
    end(&scene);
}
END_TEST

START_TEST(a_sync_that_finds_no_room_is_never_taken_back)
{
    struct scene scene;

    begin_full(&scene);
    ck_fails(scene.ops->log_sync(scene.one), ENOSPC);
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_fails(scene.ops->log_sync(scene.one), EIO);
    ck_fails(append(&scene, scene.one, "c"), EIO);
    ck_ok(append(&scene, scene.two, "b")); /* which was not behind it */
    ck_ok(scene.ops->log_sync(scene.two));
    expect_there(&scene, one_id, "a");
    end_logs(&scene);
    expect_entry(&scene, one_id, POOLED_OPEN, 0);
    expect_entry(&scene, two_id, POOLED_FINISHED, 2);
    end(&scene);
}
END_TEST

START_TEST(what_comes_behind_a_refused_group_finds_room_with_it_or_is_refused_too)
{
    struct scene scene;

    begin_full(&scene);
    ck_fails(append(&scene, _i == 0 ? scene.two : scene.one, "b"), ENOSPC);
    expect_there(&scene, two_id, "a");
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    if (_i == 1) {
        ck_ok(append(&scene, scene.two, "b"));
    }
    ck_ok(scene.ops->log_sync(scene.two));
    expect_there(&scene, two_id, _i == 1 ? "ab" : "a");
    ck_ok(scene.ops->log_sync(scene.one));
    expect_there(&scene, one_id, "ab");
    end(&scene);
}
END_TEST

START_TEST(what_had_gathered_behind_a_refused_group_goes_with_it_or_not_at_all)
{
    struct scene scene;

    begin(&scene);
    fake_cluster_limit(scene.cluster, fake_cluster_used(scene.cluster));
    send_b(&scene);
    ck_ok(append(&scene, scene.two, "b"));
    let_go(&scene);
    await_refused(&scene);
    expect_there(&scene, two_id, "a");
    if (_i == 0) {
        fake_cluster_limit(scene.cluster, SIZE_MAX);
    }
    int r = scene.ops->log_sync(scene.two);
    ck_assert_int_eq(r, _i == 0 ? 0 : -ENOSPC);
    ck_assert_int_eq(scene.ops->log_sync(scene.one), r);
    expect_there(&scene, one_id, _i == 0 ? "ab" : "a");
    expect_there(&scene, two_id, _i == 0 ? "ab" : "a");
    end(&scene);
}
END_TEST

START_TEST(who_only_looks_at_a_refused_log_or_closes_another_gives_nothing_up)
{
    struct scene scene;
    struct kv_log *log = NULL;
    uint64_t sum = 0;

    begin_full(&scene);
    ck_ok(scene.ops->list(scene.storage, add_size, &sum));
    ck_assert_uint_eq(sum, 2);
    ck_ok(scene.ops->log_open(scene.storage, one_id, &log));
    ck_assert_uint_eq(scene.ops->log_size(log), 1);
    scene.ops->log_close(log);
    expect_reads(&scene, scene.one, "a");
    scene.ops->log_close(scene.two); /* nothing of it waits */
    scene.two = NULL;
    fake_cluster_limit(scene.cluster, SIZE_MAX);
    ck_ok(scene.ops->log_sync(scene.one));
    expect_there(&scene, one_id, "ab");
    end(&scene);
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
    tcase_add_loop_test(
        loops, what_comes_behind_a_refused_group_finds_room_with_it_or_is_refused_too, 0, 2);
    tcase_add_loop_test(loops, what_had_gathered_behind_a_refused_group_goes_with_it_or_not_at_all,
                        0, 2);
    suite_add_tcase(s, loops);
    suite_add(s, "groups", what_gathers_while_a_group_is_on_its_way_goes_as_one);
    suite_add(s, "groups", a_later_log_has_nothing_that_an_earlier_one_lacks);
    suite_add(s, "bounds", who_finds_no_room_to_gather_waits);
    suite_add(s, "bounds", where_room_is_kept_for_deletes_only_a_part_of_that_gathers);
    suite_add(s, "bounds", what_is_larger_than_gathers_is_written_behind_all_that_did);
    suite_add(s, "bounds", thread_and_buffers_are_given_back_when_nothing_is_appended);
    suite_add(s, "fails", nothing_gathers_any_more_once_the_lease_is_lost);
    suite_add(s, "full",
              a_log_that_was_refused_room_takes_no_more_and_a_sync_that_finds_room_is_right);
    suite_add(s, "full", a_sync_that_finds_no_room_is_never_taken_back);
    suite_add(s, "full", who_only_looks_at_a_refused_log_or_closes_another_gives_nothing_up);
    return s;
}
