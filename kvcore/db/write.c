/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/write.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

#include "kvcore/db/batch.h"
#include "kvcore/db/dead_probe.h"
#include "kvcore/db/large.h"
#include "kvcore/db/latency.h"
#include "kvcore/db/reclaim.h"
#include "kvcore/db/rotate.h"
#include "kvcore/db/space.h"
#include "kvcore/db/sync.h"
#include "kvcore/db/worker.h"

enum {
    GROUP_BYTES_MAX = 1 << 20,
    GROUP_SMALL_BYTES = 128 << 10, /* a small leader does not wait for more than this */
    GROUP_COUNT_MAX = 128,
    DELETES_WAIT = 4096,          /* so many rows in memory that delete a key are worth a flush, */
    DELETES_WAIT_BYTES = 4 << 20, /* or so many that hide so much in blobs */
    SLOW_STEP_US = 100, /* delay per write group and table of level 0 beyond L0_SLOW_FILES */
};

struct writer {
    struct kv_batch *batch; /* NULL: only wants to be the leader */
    enum kv_durability durability;
    write_check_fn *check; /* NULL: none. Who has one is always the first of a group */
    void *check_arg;
    bool done;
    int result;
    bool waits; /* there was somebody in front of it: only then it has a `turn` */
    struct condvar turn;
    struct writer *next;
};

/* ---- the queue ---- */

/* Join the queue. Returns true as the leader, false when another leader did the work. */
static bool queue_join(struct kv_store *store, struct writer *w)
{
    bool leader;

    mutex_lock(&store->write_mu);
    if (store->writers_tail != NULL) {
        store->writers_tail->next = w;
    } else {
        store->writers_head = w;
    }
    store->writers_tail = w;
    if (store->writers_head != w) {
        w->waits = true;
        condvar_init(&w->turn);
    }
    while (!w->done && store->writers_head != w) {
        condvar_wait(&w->turn, &store->write_mu);
    }
    leader = !w->done;
    mutex_unlock(&store->write_mu);
    if (w->waits) {
        condvar_finish(&w->turn); /* nobody signals the head, nor one that is done */
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

/* Where the log takes no more, rotating brings the rows that were held back to tables. */
static int push(struct kv_store *store, void *arg)
{
    uint64_t *ret_sequence = arg;
    int r = rotate_settle(store);
    if (r < 0) {
        return r;
    }
    *ret_sequence = store->last_sequence;
    return rotate_push(store) < 0 ? rotate(store, IMMUTABLE_MAX) : 0;
}

int write_push(struct kv_store *store, uint64_t *ret_sequence)
{
    return write_exclusive(store, push, ret_sequence);
}

/* Slow writers down before they would have to stop: a little more with each table of level 0. */
static void slow_down(struct kv_store *store)
{
    unsigned files = store_l0_files(store);
    if (files > L0_SLOW_FILES && !store->options.no_background) {
        struct timespec pause = {.tv_nsec = (long)(files - L0_SLOW_FILES) * SLOW_STEP_US * 1000};
        uint64_t began = clock_monotonic_ns();
        nanosleep(&pause, NULL);
        count_add(&store->counters.slowdowns, 1);
        count_add(&store->counters.slowdown_ns, clock_monotonic_ns() - began);
    }
}

/* ---- a group of writers ---- */

struct group {
    size_t count;
    size_t bytes;       /* of the payloads and of the values that go to blobs */
    size_t large_bytes; /* of these */
    uint64_t rows;
    bool with_ranges; /* there are range deletes */
    uint64_t deletes; /* of single keys; set by group_prepare() */
    bool defer;       /* nobody asked for more than KV_DURABLE_NONE */
    struct writer *last;
    /* Only the first `count` of them: to clear them all would cost more than to write a row. */
    struct kv_batch *batches[GROUP_COUNT_MAX];
    struct kv_slice payloads[GROUP_COUNT_MAX];
};

/* Whether the batch needs a blob that the active generation cannot give. */
static bool wants_new_blob(const struct kv_store *store, const struct kv_batch *batch)
{
    return batch->large_count > 0 && store->active->blob_failed;
}

/* Whether a table that the batch has rows of was dropped since. */
static bool is_for_dropped(const struct kv_store *store, const struct kv_batch *batch)
{
    return (batch->tables & store->dropped_mask) != 0;
}

static bool may_join(const struct kv_store *store, const struct group *group,
                     const struct writer *w, size_t limit)
{
    return w->batch != NULL && w->check == NULL && group->bytes + batch_bytes(w->batch) <= limit &&
           !wants_new_blob(store, w->batch) && !is_for_dropped(store, w->batch);
}

static void group_collect(struct kv_store *store, struct writer *leader, struct group *group)
{
    size_t size = batch_bytes(leader->batch);
    size_t limit = size <= GROUP_SMALL_BYTES ? size + GROUP_SMALL_BYTES : GROUP_BYTES_MAX;

    memset(group, 0, offsetof(struct group, batches));
    group->defer = true;
    group->last = leader;
    mutex_lock(&store->write_mu);
    for (struct writer *w = leader; w != NULL && group->count < GROUP_COUNT_MAX; w = w->next) {
        if (w != leader && !may_join(store, group, w, limit)) {
            break;
        }
        group->payloads[group->count] = kv_buf_slice(&w->batch->payload);
        group->batches[group->count++] = w->batch;
        group->bytes += batch_bytes(w->batch);
        group->large_bytes += w->batch->large_bytes;
        group->rows += w->batch->count;
        group->with_ranges = group->with_ranges || w->batch->range_count > 0;
        group->defer = group->defer && w->durability == KV_DURABLE_NONE;
        group->last = w;
    }
    mutex_unlock(&store->write_mu);
}

/* Plan the range deletes of the group and find what its rows take in the memtables. Our own batches
 * are sound: no errors but memory. */
static int group_prepare(struct group *group, struct generation *generation, uint64_t sequence,
                         uint8_t **ret_memory)
{
    size_t bytes = 0;
    int r = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct coding_cursor cursor = coding_cursor(group->payloads[i]);
        struct batch_row row;
        for (; r == 0 && batch_next(&cursor, &row) > 0; sequence++) {
            if (row.kind == ROW_RANGE_DELETE) {
                struct range_delete range = {row.key, row.value, sequence};
                r = generation_plan_range_delete(generation, row.table_id, &range);
            } else {
                group->deletes += row.kind == ROW_DELETE;
                bytes += memtable_row_bytes(row.key.size, row.value.size,
                                            row_trailer(sequence, row.kind));
            }
        }
    }
    if (r == 0) {
        *ret_memory = arena_alloc(&generation->arena, bytes);
        r = *ret_memory != NULL ? 0 : -ENOMEM;
    }
    return r;
}

/* What is known of runs of deleted keys follows a row that is to become visible. */
static void tell_runs(struct kv_store *store, const struct batch_row *row, uint64_t concerned)
{
    if (row->kind == ROW_DELETE) {
        dead_probe_count_delete(store, row->table_id, row->key);
    } else if (row->kind != ROW_RANGE_DELETE && dead_runs_concern(concerned, row->table_id)) {
        dead_runs_revive(store->dead_runs, row->table_id, row->key);
    }
}

/* Behind the last thing that can fail: the numbers of the rows are announced. */
static void group_insert(struct kv_store *store, const struct group *group, uint64_t sequence,
                         uint8_t *memory)
{
    struct generation *generation = store->active;
    uint64_t concerned = dead_runs_announce(store->dead_runs, sequence + group->rows - 1);

    for (size_t i = 0; i < group->count; i++) {
        struct coding_cursor cursor = coding_cursor(group->payloads[i]);
        struct batch_row row;
        for (; batch_next(&cursor, &row) > 0; sequence++) {
            struct row stored = {
                .key = row.key, .trailer = row_trailer(sequence, row.kind), .value = row.value};
            tell_runs(store, &row, concerned);
            if (row.kind != ROW_RANGE_DELETE) {
                memtable_insert(generation->memtables[row.table_id - 1], &stored, &memory);
            }
        }
    }
    if (group->with_ranges) {
        generation_publish_plans(generation);
    }
}

static bool deletes_hide_much(const struct kv_store *store, uint64_t deletes)
{
    uint64_t each = atomic_load_explicit(&store->large_per_row, memory_order_relaxed);
    return deletes >= DELETES_WAIT || deletes * each >= DELETES_WAIT_BYTES;
}

/* Deletes that hide much are not left in memory when nothing follows: see worker.c. */
static void note_deletes(struct kv_store *store, const struct group *group)
{
    struct generation *active = store->active;
    active->delete_count += group->deletes;
    if ((group->with_ranges || deletes_hide_much(store, active->delete_count)) &&
        !atomic_load_explicit(&store->deletes_wait, memory_order_relaxed)) {
        atomic_store(&store->deletes_wait, true);
        workers_wake(store);
    }
}

/* Does a range delete of the group hide very many rows of the active generation? */
static bool group_hides_much(const struct group *group, const struct generation *active)
{
    for (size_t i = 0; i < group->count; i++) {
        struct coding_cursor cursor = coding_cursor(group->payloads[i]);
        struct batch_row row;
        while (batch_next(&cursor, &row) > 0) {
            if (row.kind == ROW_RANGE_DELETE &&
                memtable_range_is_long(active->memtables[row.table_id - 1], row.key, row.value)) {
                return true;
            }
        }
    }
    return false;
}

/* Within one memtable iterators step through rows that a range delete hides; those of older ones
 * they pass at once. So the delete goes to the next generation. It may also stay in this one: where
 * there is no room for a new log. (Not behind rows that the old log lost.) */
static int rotate_before_ranges(struct kv_store *store, const struct group *group)
{
    int r = 0;
    if (group->with_ranges && group_hides_much(group, store->active)) {
        r = rotate(store, store->options.memtables_max);
    }
    return r == -ENOSPC && !store->rows_lost ? 0 : r;
}

/* Log the group, insert it, make it visible. */
static int group_commit(struct kv_store *store, struct group *group)
{
    struct generation *active = store->active;
    uint64_t first = store->last_sequence + 1;
    uint8_t *memory = NULL;
    int r;

    if (group->rows > ROW_SEQUENCE_MAX - store->last_sequence) {
        return -EOVERFLOW;
    }
    r = group_prepare(group, active, first, &memory);
    if (r < 0) {
        generation_drop_plans(active);
        return r;
    }
    for (size_t i = 0; i < group->count; i++) {
        reclaim_note_batch(store, group->batches[i]);
    }
    r = large_place(store, group->batches, group->count);
    if (r < 0) {
        generation_drop_plans(active);
        count_add(&store->counters.write_errors, r != -ENOMEM);
        return space_failed(store, r);
    }
    r = log_writer_add(active->log, LOG_RECORD_BATCH, first, group->payloads, group->count,
                       group->defer);
    if (r < 0) {
        generation_drop_plans(active);
        /* What the log holds behind its last good record is unknown: go on in a new one. */
        atomic_store(&store->log_failed, true);
        count_add(&store->counters.write_errors, 1);
        return space_failed(store, r);
    }
    store->deferred = group->defer;
    group_insert(store, group, first, memory);
    store->last_sequence += group->rows;
    /* Release: pairs with visible_sequence(); the rows are linked before they are visible. */
    atomic_store_explicit(&store->visible_sequence, store->last_sequence, memory_order_release);
    note_deletes(store, group);
    count_add(&store->counters.batches, group->count);
    count_add(&store->counters.rows_written, group->rows);
    count_add(&store->counters.bytes_written_user, group->bytes);
    if (group->large_bytes > 0) {
        count_add(&store->counters.blob_commit_bytes, group->large_bytes);
    }
    count_add(&store->counters.log_bytes, log_record_size(group->bytes - group->large_bytes));
    return 0;
}

/* Whether the active generation holds less than `factor` times what it should. */
static bool has_room(const struct kv_store *store, unsigned factor)
{
    const struct generation *active = store->active;
    return generation_bytes(active) / factor < store->options.memtable_bytes &&
           !large_is_enough(store, active, factor);
}

/* Rotate where needed, so that the active generation has room for the batch. */
static int make_room(struct kv_store *store, const struct kv_batch *batch)
{
    bool failed = atomic_load(&store->log_failed) || wants_new_blob(store, batch);
    int r = rotate_settle(store);

    if (r < 0 || (!failed && has_room(store, 1))) {
        return r;
    }
    r = rotate(store, store->options.memtables_max);
    /* Without room for a new log the active generation may still grow a while. */
    return r == -ENOSPC && !failed && !store->rows_lost && has_room(store, 2) ? 0 : r;
}

static int lead(struct kv_store *store, struct writer *w)
{
    struct group group;
    int r;

    if (is_for_dropped(store, w->batch)) {
        queue_leave(store, w, w, 0);
        return -EIDRM;
    }
    slow_down(store);
    r = make_room(store, w->batch);
    if (r == 0 && w->check != NULL) {
        r = w->check(store, w->check_arg);
        if (r != 0) {
            queue_leave(store, w, w, 0); /* the others have not failed */
            return r;
        }
    }
    group_collect(store, w, &group);
    r = r < 0 ? r : rotate_before_ranges(store, &group);
    if (r == 0) {
        r = group_commit(store, &group);
    }
    queue_leave(store, w, group.last, r);
    return r;
}

int write_checked(struct kv_store *store, struct kv_batch *batch, enum kv_durability durability,
                  write_check_fn *check, void *arg)
{
    struct writer w = {.batch = batch, .durability = durability, .check = check, .check_arg = arg};
    struct reader_place *place = reader_place(store);
    uint64_t began;
    int r;

    workers_stand_in(store); /* which may find that the store can only be read from now on */
    r = -atomic_load_explicit(&store->read_only_error, memory_order_relaxed);
    if (r < 0) {
        return r;
    }
    if (batch->count == 0) {
        return durability == KV_DURABLE_SYNC ? kv_sync(store) : 0;
    }
    if (atomic_load_explicit(&store->full, memory_order_relaxed) && !batch->use_reserve) {
        return -ENOSPC;
    }
    began = latency_begin(&place->writes, LATENCY_WRITE_ONE_IN);
    count_add(&place->writes, 1);
    r = queue_join(store, &w) ? lead(store, &w) : w.result;
    if (r == 0 && batch->large_count > 0) {
        large_write_out(store);
    }
    if (r == 0 && durability == KV_DURABLE_SYNC) {
        r = sync_to(store, visible_sequence(store));
    }
    latency_end(store, place, KV_LATENCY_WRITE, began);
    return r;
}

int kv_write(struct kv_store *store, struct kv_batch *batch, enum kv_durability durability)
{
    return write_checked(store, batch, durability, NULL, NULL);
}

uint64_t writers_waiting(struct kv_store *store)
{
    uint64_t count = 0;
    mutex_lock(&store->write_mu);
    for (const struct writer *w = store->writers_head; w != NULL; w = w->next) {
        count++;
    }
    mutex_unlock(&store->write_mu);
    return count;
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
    batch_finish(&batch);
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

int kv_delete_range(struct kv_table *table, struct kv_slice from, struct kv_slice to,
                    enum kv_durability durability)
{
    struct kv_batch batch = {.use_reserve = true};
    int r = kv_batch_delete_range(&batch, table, from, to);
    r = r < 0 ? r : kv_write(table->store, &batch, durability);
    kv_buf_finish(&batch.payload);
    return r;
}
