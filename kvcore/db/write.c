/* SPDX-License-Identifier: Apache-2.0 */
/* Writers queue up; the one at the head leads. It takes the batches of those behind it, up to a
 * size, writes them to the log as one record, puts the rows into the memtables, makes them visible
 * and wakes the others (group commit as in LevelDB). The leader works without a lock: being the
 * head is the lock.
 *
 * Memory for the rows is set aside before the log is written, so that nothing can fail between the
 * record in the log and the rows being visible. Syncing is not the leader's: see sync.c. */
#include "kvcore/db/store.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/batch.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/rng.h"

enum {
    GROUP_BYTES_MAX = 1 << 20,
    GROUP_SMALL_BYTES = 128 << 10, /* a small leader does not wait for more than this */
    GROUP_COUNT_MAX = 128,
    SLOW_STEP_US = 100, /* delay per write group and table of level 0 beyond L0_SLOW_FILES */
};

struct writer {
    struct kv_batch *batch; /* NULL: only wants to be the leader */
    enum kv_durability durability;
    bool done;
    int result;
    struct condvar turn;
    struct writer *next;
};

/* ---- the queue ---- */

/* Join the queue. Returns true as the leader, false when another leader did the work. */
static bool queue_join(struct kv_store *store, struct writer *w)
{
    bool leader;

    condvar_init(&w->turn);
    mutex_lock(&store->write_mu);
    if (store->writers_tail != NULL) {
        store->writers_tail->next = w;
    } else {
        store->writers_head = w;
    }
    store->writers_tail = w;
    while (!w->done && store->writers_head != w) {
        condvar_wait(&w->turn, &store->write_mu);
    }
    leader = !w->done;
    mutex_unlock(&store->write_mu);
    if (!leader) {
        condvar_finish(&w->turn);
    }
    return leader;
}

/* Leave the queue together with the group up to and including `last`. */
static void queue_leave(struct kv_store *store, struct writer *w, struct writer *last, int result)
{
    mutex_lock(&store->write_mu);
    for (;;) {
        struct writer *member = store->writers_head;
        bool at_last = member == last;
        store->writers_head = member->next;
        if (member != w) {
            member->result = result;
            member->done = true;
            condvar_signal(&member->turn);
        }
        if (at_last) {
            break;
        }
    }
    if (store->writers_head != NULL) {
        condvar_signal(&store->writers_head->turn);
    } else {
        store->writers_tail = NULL;
    }
    mutex_unlock(&store->write_mu);
    condvar_finish(&w->turn);
}

/* ---- rotation ---- */

static bool too_many_waiting(struct kv_store *store, unsigned limit) REQUIRES(&store->mu)
{
    return store->view->immutable_count + 1 >= limit;
}

static unsigned l0_files(const struct kv_store *store)
{
    return atomic_load_explicit(&store->l0_files, memory_order_relaxed);
}

/* Too many memtables wait for the flush, or too many tables of level 0 for merging. (Merging that
 * fails does not stop writers: they would wait for ever.) */
static bool must_wait(struct kv_store *store, unsigned limit) REQUIRES(&store->mu)
{
    return too_many_waiting(store, limit) ||
           (limit < IMMUTABLE_MAX && l0_files(store) >= L0_STOP_FILES &&
            store->health.state == KV_HEALTH_OK);
}

/* Why waiting would not help: reads go on, this write fails. 0: it would. */
static int hopeless(struct kv_store *store) REQUIRES(&store->mu)
{
    if (atomic_load(&store->read_only_error) != 0 || atomic_load(&store->stopping)) {
        return -EROFS;
    }
    return atomic_load(&store->full) ? -ENOSPC : store->health.error;
}

/* Wait until a generation may be added: a flush is under way that ends this, or the store is
 * failing. The flush thread itself rotates with the highest limit and so does not wait for itself.
 */
static int wait_for_room(struct kv_store *store, unsigned limit)
{
    uint64_t began = clock_monotonic_ns();
    bool waited = false;
    int r = 0;

    mutex_lock(&store->mu);
    while (must_wait(store, limit) && (r = hopeless(store)) == 0) {
        if (store->options.no_background) {
            bool flush = too_many_waiting(store, limit);
            mutex_unlock(&store->mu);
            r = flush ? flush_one(store) : 0;
            return r < 0 ? r : 0;
        }
        waited = true;
        condvar_broadcast(&store->work);
        condvar_wait(&store->progress, &store->mu);
    }
    mutex_unlock(&store->mu);
    if (waited) {
        count_add(&store->counters.stalls, 1);
        count_add(&store->counters.stall_ns, clock_monotonic_ns() - began);
    }
    return r;
}

/* The next log segment. What a crash left under its number is removed first, and a segment that
 * cannot be reused is done without. */
static int make_log(struct kv_store *store, const struct log_end *previous, uint64_t recycle,
                    struct log_writer **ret_log)
{
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = store->next_log};
    struct log_writer_options options = {
        .store_seed = store->seed, .salt = rng_entropy(), .previous = previous, .recycle = recycle};
    /* A log that is begun by hand, or to close the store, may stay small. */
    bool busy = generation_bytes(store->active) >= store->options.memtable_bytes;
    if (busy && recycle == 0) {
        options.preallocate_bytes = store->options.memtable_bytes;
    }
    int r = log_writer_create(store->storage, id, &options, ret_log);

    if (r == -EEXIST) {
        r = store->storage->ops->remove(store->storage, id);
        r = r < 0 ? r : log_writer_create(store->storage, id, &options, ret_log);
    }
    if (r == -ENOSPC && options.preallocate_bytes != 0) {
        options.preallocate_bytes = 0; /* it may still grow as far as there is room */
        r = log_writer_create(store->storage, id, &options, ret_log);
    }
    if (r == -ENOENT && recycle != 0) {
        options.recycle = 0;
        r = log_writer_create(store->storage, id, &options, ret_log);
    }
    return r;
}

static int make_generation(struct kv_store *store, const struct log_end *previous,
                           struct generation **ret_generation)
{
    struct generation *generation = NULL;
    uint64_t recycle;
    int r = generation_create(store->options.memtable_bytes, &generation);

    if (r < 0) {
        return r;
    }
    mutex_lock(&store->mu);
    recycle = store->recyclable_log;
    store->recyclable_log = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        if (store->tables[id - 1] != NULL) {
            r = generation_add_table(generation, id);
        }
    }
    mutex_unlock(&store->mu);
    if (r < 0) {
        goto out;
    }
    generation->log_number = store->next_log;
    r = make_log(store, previous, recycle, &generation->log);
    if (r < 0) {
        goto out;
    }
    store->next_log++;
    *ret_generation = generation;
    generation = NULL;
out:
    generation_unref(generation);
    return r;
}

/* Bytes still held back go to the storage. After a failure they stay noted as held back, and the
 * next write rotates. */
static int push_deferred(struct kv_store *store)
{
    int r = store->deferred ? log_writer_push(store->active->log) : 0;
    if (r < 0) {
        atomic_store(&store->log_failed, true);
    } else {
        store->deferred = false;
    }
    return r;
}

/* Make `generation` the active one, and the present one the newest that waits to be flushed. */
static void install_generation(struct kv_store *store, struct generation *generation,
                               struct view *take_view)
{
    struct generation *immutable[IMMUTABLE_MAX];
    struct view *old;
    unsigned count;

    store->active->sequence_last = store->last_sequence;
    mutex_lock(&store->mu);
    count = store->view->immutable_count;
    for (unsigned i = 0; i < count; i++) {
        immutable[i] = store->view->immutable[i];
    }
    immutable[count++] = store->active;
    old = view_install(store, take_view, generation, immutable, count, store->view->version);
    mutex_unlock(&store->mu);
    view_release(old);
    generation_unref(store->active);
    generation_ref(generation);
    store->active = generation;
    atomic_store(&store->rotated_ns, clock_monotonic_ns());
}

/* Rows that were held back never reached the log, and later rows must not outlive them: all that is
 * in memory goes to tables before anything new is logged. */
static int flush_lost_rows(struct kv_store *store)
{
    int r;
    do {
        r = flush_one(store);
    } while (r > 0);
    if (r < 0) {
        atomic_store(&store->read_only_error, EROFS);
        health_set(store, KV_HEALTH_READ_ONLY, r,
                   "rows that were not logged could not be written to tables; reopen the store");
    }
    return r;
}

/* As the leader: put a new generation in front, once fewer than `limit` memtables wait. The new
 * log's head says where the old one ends; after that the old one takes no more records, so nothing
 * may fail behind its creation. */
static int rotate(struct kv_store *store, unsigned limit)
{
    struct generation *generation = NULL;
    struct view *view = NULL;
    struct log_end end;
    bool lost;
    int r = wait_for_room(store, limit);

    r = r < 0 ? r : view_prepare(&view);
    if (r < 0) {
        return r;
    }
    lost = push_deferred(store) < 0;
    end = log_writer_end(store->active->log);
    r = make_generation(store, &end, &generation);
    if (r < 0) {
        free(view);
        return space_failed(store, r);
    }
    install_generation(store, generation, view);
    store->deferred = false;
    generation_unref(generation);
    atomic_store(&store->log_failed, false);
    workers_wake(store);
    return lost ? flush_lost_rows(store) : 0;
}

int write_exclusive(struct kv_store *store, int (*fn)(struct kv_store *, void *), void *arg)
{
    struct writer w = {0};
    int r;

    if (!queue_join(store, &w)) {
        return w.result; /* does not happen: nobody takes a writer without a batch along */
    }
    r = fn(store, arg);
    queue_leave(store, &w, &w, 0);
    return r;
}

static int rotate_if_needed(struct kv_store *store, void *arg)
{
    (void)arg;
    if (generation_is_empty(store->active) && !atomic_load(&store->log_failed)) {
        return 0;
    }
    return rotate(store, IMMUTABLE_MAX);
}

int write_rotate(struct kv_store *store)
{
    return write_exclusive(store, rotate_if_needed, NULL);
}

static int push(struct kv_store *store, void *arg)
{
    (void)arg;
    return push_deferred(store);
}

int write_push(struct kv_store *store)
{
    return write_exclusive(store, push, NULL);
}

/* Slow writers down before they would have to stop: a little more with each table of level 0. */
static void slow_down(const struct kv_store *store)
{
    unsigned files = l0_files(store);
    if (files > L0_SLOW_FILES && !store->options.no_background) {
        struct timespec pause = {.tv_nsec = (long)(files - L0_SLOW_FILES) * SLOW_STEP_US * 1000};
        nanosleep(&pause, NULL);
    }
}

/* ---- a group of writers ---- */

struct group {
    struct kv_slice payloads[GROUP_COUNT_MAX];
    size_t count;
    size_t bytes;
    uint64_t rows;
    bool defer; /* nobody asked for more than KV_DURABLE_NONE */
    struct writer *last;
};

static void group_collect(struct kv_store *store, struct writer *leader, struct group *group)
{
    size_t limit = leader->batch->payload.size <= GROUP_SMALL_BYTES
                       ? leader->batch->payload.size + GROUP_SMALL_BYTES
                       : GROUP_BYTES_MAX;

    *group = (struct group){.defer = true, .last = leader};
    mutex_lock(&store->write_mu);
    for (struct writer *w = leader; w != NULL && group->count < GROUP_COUNT_MAX; w = w->next) {
        if (w->batch == NULL || (w != leader && group->bytes + w->batch->payload.size > limit)) {
            break;
        }
        group->payloads[group->count++] = kv_buf_slice(&w->batch->payload);
        group->bytes += w->batch->payload.size;
        group->rows += w->batch->count;
        group->defer = group->defer && w->durability == KV_DURABLE_NONE;
        group->last = w;
    }
    mutex_unlock(&store->write_mu);
}

/* Bytes the rows of the group take in the memtables. Our own batches are sound: no errors. */
static size_t group_row_bytes(const struct group *group, uint64_t sequence)
{
    size_t bytes = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct coding_cursor cursor = coding_cursor(group->payloads[i]);
        struct batch_row row;
        while (batch_next(&cursor, &row) > 0) {
            bytes +=
                memtable_row_bytes(row.key.size, row.value.size, row_trailer(sequence++, row.kind));
        }
    }
    return bytes;
}

static void group_insert(const struct group *group, struct generation *generation,
                         uint64_t sequence, uint8_t *memory)
{
    for (size_t i = 0; i < group->count; i++) {
        struct coding_cursor cursor = coding_cursor(group->payloads[i]);
        struct batch_row row;
        while (batch_next(&cursor, &row) > 0) {
            struct row stored = {
                .key = row.key, .trailer = row_trailer(sequence++, row.kind), .value = row.value};
            memtable_insert(generation->memtables[row.table_id - 1], &stored, &memory);
        }
    }
}

/* Log the group, insert it, make it visible. */
static int group_commit(struct kv_store *store, const struct group *group)
{
    struct generation *active = store->active;
    uint64_t first = store->last_sequence + 1;
    uint8_t *memory;
    int r;

    if (group->rows > ROW_SEQUENCE_MAX - store->last_sequence) {
        return -EOVERFLOW;
    }
    memory = arena_alloc(&active->arena, group_row_bytes(group, first));
    if (memory == NULL) {
        return -ENOMEM;
    }
    r = log_writer_add(active->log, LOG_RECORD_BATCH, first, group->payloads, group->count,
                       group->defer);
    if (r < 0) {
        /* What the log holds behind its last good record is unknown: go on in a new one. */
        atomic_store(&store->log_failed, true);
        count_add(&store->counters.write_errors, 1);
        return space_failed(store, r);
    }
    store->deferred = group->defer;
    group_insert(group, active, first, memory);
    store->last_sequence += group->rows;
    /* Release: pairs with visible_sequence(); the rows are linked before they are visible. */
    atomic_store_explicit(&store->visible_sequence, store->last_sequence, memory_order_release);
    count_add(&store->counters.batches, group->count);
    count_add(&store->counters.rows_written, group->rows);
    count_add(&store->counters.bytes_written_user, group->bytes);
    count_add(&store->counters.log_bytes, log_record_size(group->bytes));
    return 0;
}

/* Rotate where needed, so that the active generation has room. */
static int make_room(struct kv_store *store)
{
    size_t bytes = generation_bytes(store->active);
    bool log_failed = atomic_load(&store->log_failed);
    int r;

    if (!log_failed && bytes < store->options.memtable_bytes) {
        return 0;
    }
    r = rotate(store, store->options.memtables_max);
    /* Without room for a new log the active generation may still grow a while. */
    if (r == -ENOSPC && !log_failed && bytes < 2 * store->options.memtable_bytes) {
        return 0;
    }
    return r;
}

static int lead(struct kv_store *store, struct writer *w)
{
    struct group group;
    int r;

    slow_down(store);
    r = make_room(store);
    group_collect(store, w, &group);
    if (r == 0) {
        r = group_commit(store, &group);
    }
    queue_leave(store, w, group.last, r);
    return r;
}

int kv_write(struct kv_store *store, struct kv_batch *batch, enum kv_durability durability)
{
    struct writer w = {.batch = batch, .durability = durability};
    int r = -atomic_load_explicit(&store->read_only_error, memory_order_relaxed);

    if (r < 0) {
        return r;
    }
    if (batch->count == 0) {
        return durability == KV_DURABLE_SYNC ? kv_sync(store) : 0;
    }
    if (atomic_load_explicit(&store->full, memory_order_relaxed) && !batch->use_reserve) {
        return -ENOSPC;
    }
    r = queue_join(store, &w) ? lead(store, &w) : w.result;
    if (r == 0 && durability == KV_DURABLE_SYNC) {
        r = sync_to(store, visible_sequence(store));
    }
    return r;
}

static int write_one(struct kv_table *table, struct kv_slice key, const struct kv_slice *value,
                     enum kv_durability durability)
{
    struct kv_batch batch = {0};
    int r = value != NULL ? kv_batch_put(&batch, table, key, *value)
                          : kv_batch_delete(&batch, table, key);
    batch.use_reserve = value == NULL;
    if (r == 0) {
        r = kv_write(table->store, &batch, durability);
    }
    kv_buf_finish(&batch.payload);
    return r;
}

int kv_put(struct kv_table *table, struct kv_slice key, struct kv_slice value,
           enum kv_durability durability)
{
    return write_one(table, key, &value, durability);
}

int kv_delete(struct kv_table *table, struct kv_slice key, enum kv_durability durability)
{
    return write_one(table, key, NULL, durability);
}
