/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a pool with two write-ahead logs that are open. A write of the sender's
 * (pooled_send.c), or those that were begun (pooled_flight.c), are held back until the test lets
 * them go; what happens meanwhile is what the tests are about. */
#ifndef TESTS_STORAGE_SEND_RIG_H
#define TESTS_STORAGE_SEND_RIG_H

#include <stdatomic.h>

#include "tests/storage/takeover_rig.h"

enum { SCENE_PIECE_BYTES = 4 << 20, SCENE_STALL_MS = 30 };

static const struct kv_file_id scene_one_id = {KV_FILE_LOG, 1};
static const struct kv_file_id scene_two_id = {KV_FILE_LOG, 2};

struct scene {
    struct fake_cluster *cluster;
    struct kv_storage *storage;
    const struct kv_storage_ops *ops;
    struct kv_log *one, *two; /* open; one byte, "a", is in each */
    struct mutex mu;
    struct condvar changed;
    const char *thread;  /* whose calls are meant: the sender, or FAKE_WORKER */
    unsigned calls;      /* of it */
    bool closed;         /* they wait, */
    unsigned held;       /* so many now, */
    unsigned passes;     /* but so many more go through, */
    enum fake_fate fate; /* and then this becomes of them */
    unsigned room_at;    /* from this call on there is room; 0: as it is */
};

void scene_begin(struct scene *scene);
void scene_end_logs(struct scene *scene);
void scene_end(struct scene *scene);
/* One more that opens the store, and has the lease. */
struct kv_storage *scene_storage(struct scene *scene, fake_plan_fn *plan);

void scene_set_closed(struct scene *scene, bool closed);
void scene_await_held(struct scene *scene);
void scene_let_go(struct scene *scene);
/* So many, and what comes behind them is held. */
void scene_let_pass(struct scene *scene, unsigned count);
/* How many writes it began so far. */
unsigned scene_calls(struct scene *scene);
/* There is room from that one on. */
void scene_room_at(struct scene *scene, unsigned call);
void scene_sleep_ms(unsigned ms);

/* In two parts. */
KV_MUST_CHECK int scene_append(struct scene *scene, struct kv_log *log, const char *text);
/* "b" is on its way to the first log, and held there. */
void scene_send_b(struct scene *scene);
void scene_await_refused(struct scene *scene);
/* A scene in which "b" was refused. */
void scene_begin_full(struct scene *scene);

/* What the cluster has of a log. */
void scene_expect_there(struct scene *scene, struct kv_file_id id, const char *text);
void scene_expect_entry(struct scene *scene, struct kv_file_id id, int state, uint64_t size);
void scene_expect_reads(struct scene *scene, struct kv_log *log, const char *text);

/* A call in a thread of its own. */
struct waiter {
    struct scene *scene;
    int (*call)(struct scene *scene);
    struct thread thread;
    int result;
    _Atomic bool returned;
};

void waiter_begin(struct waiter *waiter, struct scene *scene, int (*call)(struct scene *));
/* It waits until the pool lets go. */
int waiter_end(struct waiter *waiter);

#endif
