/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/write.h"

#include <assert.h>
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
#include "kvcore/util/latch.h"

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
    int result;
    struct latch turn; /* set to a WRITER_*, unless it came first */
    struct writer *next;
};

/* What becomes of a writer that waits. */
enum {
    WRITER_LEADS = 1,
    WRITER_DONE, /* another leader did the work */
};

/* ---- the queue ---- */

/* Join the queue. Returns true as the leader, false when another leader did the work. */
static bool queue_join(struct kv_store *store, struct writer *w)
{
    bool first;

    mutex_lock(&store->write_mu);
    first = store->writers_head == NULL;
    if (first) {
        store->writers_head = w;
    } else {
        store->writers_tail->next = w;
    }
    store->writers_tail = w;
    mutex_unlock(&store->write_mu);
    return first || latch_wait(&w->turn) == WRITER_LEADS;
}

/* Whether the batch needs a blob that the active generation cannot give. */
static bool wants_new_blob(const struct kv_store *store, const struct kv_batch *batch)
{
    return batch->large_count > 0 && store->active->blob_failed;
}

/* Whether a leader may do the work of this writer beside its own. Not what only the writer's own
 * thread can do; and nothing that takes long or may have to wait for a new generation, which a
 * range delete may ask for. */
static bool may_stand_in(const struct kv_store *store, const struct writer *w)
{
    return w->batch != NULL && w->check == NULL && batch_bytes(w->batch) <= GROUP_BYTES_MAX &&
           w->batch->range_count == 0 && !wants_new_blob(store, w->batch);
}

/* The group up to and including `last` leaves the queue. `self` is the writer of this thread.
 * Returns the writer behind them, which this thread is to lead for, if it wants to go on and can;
 * else that writer is told to, and NULL returned. */
static struct writer *queue_leave(struct kv_store *store, const struct writer *self,
                                  struct writer *last, int result, bool goes_on)
{
    struct writer *member;
    struct writer *next;

    mutex_lock(&store->write_mu);
    member = store->writers_head;
    next = last->next;
    last->next = NULL;
    store->writers_head = next;
    if (next == NULL) {
        store->writers_tail = NULL;
    }
    mutex_unlock(&store->write_mu);
    if (next != NULL && !(goes_on && may_stand_in(store, next))) {
        latch_set(&next->turn, WRITER_LEADS);
        next = NULL;
    }
    while (member != NULL) {
        struct writer *behind = member->next;
        if (member != self) {
            member->result = result;
            latch_set(&member->turn, WRITER_DONE); /* from now on it may be gone */
        }
        member = behind;
    }
    return next;
}

int write_exclusive(struct kv_store *store, int (*fn)(struct kv_store *, void *), void *arg)
{
    struct writer w = {0};
    int r;

    if (!queue_join(store, &w)) {
        return w.result; /* does not happen: nobody takes a writer without a batch along */
    }
    r = fn(store, arg);
    queue_leave(store, &w, &w, 0, false);
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
    size_t memtable_bytes; /* what its rows take there, at first without their links */
    uint8_t *memory;       /* that much of it, set aside */
    bool with_ranges;      /* there are range deletes */
    uint64_t deletes;      /* of single keys */
    bool defer;            /* nobody asked for more than KV_DURABLE_NONE */
    struct writer *last;
    /* Only the first `count` of them: to clear them all would cost more than to write a row. */
    struct kv_batch *batches[GROUP_COUNT_MAX];
    struct kv_slice payloads[GROUP_COUNT_MAX];
};

/* Whether a table that the batch has rows of was dropped since. */
static bool is_for_dropped(const struct kv_store *store, const struct kv_batch *batch)
{
    return (batch->tables & store->dropped_mask) != 0;
}

static bool may_join(const struct kv_store *store, const struct group *group,
                     const struct writer *w, size_t limit)
{
    return may_stand_in(store, w) && group->bytes + batch_bytes(w->batch) <= limit &&
           !is_for_dropped(store, w->batch);
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
        group->memtable_bytes += w->batch->memtable_bytes;
        group->with_ranges = group->with_ranges || w->batch->range_count > 0;
        group->deletes += w->batch->delete_count;
        group->defer = group->defer && w->durability == KV_DURABLE_NONE;
        group->last = w;
    }
    mutex_unlock(&store->write_mu);
}

/* Our own batches are sound: no errors but memory. */
static int plan_ranges(const struct group *group, struct generation *generation, uint64_t sequence)
{
    int r = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct coding_cursor cursor = coding_cursor(group->payloads[i]);
        struct batch_row row;
        for (; r == 0 && batch_next(&cursor, &row) > 0; sequence++) {
            if (row.kind == ROW_RANGE_DELETE) {
                struct range_delete range = {row.key, row.value, sequence};
                r = generation_plan_range_delete(generation, row.table_id, &range);
            }
        }
    }
    return r;
}

/* Set aside the memory for all that the group brings to the memtables. */
static int group_prepare(struct group *group, struct generation *generation, uint64_t sequence)
{
    int r = group->with_ranges ? plan_ranges(group, generation, sequence) : 0;
    if (r < 0) {
        return r;
    }
    group->memtable_bytes += memtable_link_bytes(sequence, group->rows);
    group->memory = arena_alloc(&generation->arena, group->memtable_bytes);
    return group->memory != NULL ? 0 : -ENOMEM;
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
static void group_insert(struct kv_store *store, const struct group *group, uint64_t sequence)
{
    struct generation *generation = store->active;
    uint8_t *memory = group->memory;
    const uint8_t *end = memory + group->memtable_bytes;
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
    /* (For a range delete the links of a row are set aside, which are not used.) */
    assert(group->with_ranges ? memory <= end : memory == end);
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
    int r;

    if (group->rows > ROW_SEQUENCE_MAX - store->last_sequence) {
        return -EOVERFLOW;
    }
    r = group_prepare(group, active, first);
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
    group_insert(store, group, first);
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

/* Write a group that begins with `w`, the head of the queue. `*ret_last` is the last that it took
 * along. */
static int lead_group(struct kv_store *store, struct writer *w, struct writer **ret_last)
{
    struct group group;
    int r;

    *ret_last = w;
    if (is_for_dropped(store, w->batch)) {
        return -EIDRM;
    }
    slow_down(store);
    r = make_room(store, w->batch);
    if (r == 0 && w->check != NULL) {
        r = w->check(store, w->check_arg);
        if (r != 0) {
            return r; /* the others have not failed */
        }
    }
    group_collect(store, w, &group);
    *ret_last = group.last;
    r = r < 0 ? r : rotate_before_ranges(store, &group);
    return r < 0 ? r : group_commit(store, &group);
}

/* Whether the leader, whose own batch is done, may lead on. Its caller waits and may hold locks, so
 * it goes on only where nothing has to be waited for, and has nothing else to do. */
static bool may_go_on(const struct kv_store *store, const struct writer *self)
{
    bool done = self->durability != KV_DURABLE_SYNC && self->batch->large_count == 0;
    return done && !atomic_load(&store->log_failed) && !store->rows_lost && has_room(store, 1) &&
           store_l0_files(store) <= L0_SLOW_FILES;
}

/* A leader goes on for those who came meanwhile: they sleep already, and until the next of them is
 * awake nobody would write. */
static int lead(struct kv_store *store, struct writer *self)
{
    struct writer *w = self;
    struct writer *last;
    int result = 0;

    for (unsigned groups = 1; w != NULL; groups++) {
        int r = lead_group(store, w, &last);
        bool goes_on = groups < LEAD_GROUPS_MAX && may_go_on(store, self);
        result = w == self ? r : result;
        w = queue_leave(store, self, last, r, goes_on);
    }
    return result;
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
