/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/flush.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/db/job.h"
#include "kvcore/db/large.h"
#include "kvcore/db/manifest.h"
#include "kvcore/db/output.h"
#include "kvcore/db/space.h"
#include "kvcore/db/view.h"
#include "kvcore/db/worker.h"
#include "kvcore/db/write.h"

/* The generation to flush, referenced, and the number of the log that follows it. */
static struct generation *oldest_waiting(struct kv_store *store, uint64_t *ret_next_log)
{
    struct generation *generation = NULL;
    mutex_lock(&store->mu);
    if (store->view->immutable_count > 0) {
        const struct view *view = store->view;
        generation = view->immutable[0];
        generation_ref(generation);
        *ret_next_log =
            view->immutable_count > 1 ? view->immutable[1]->log_number : view->active->log_number;
    }
    mutex_unlock(&store->mu);
    return generation;
}

/* Add up the inline values that are at least so large. */
static int add_large_values(const struct memtable *memtable, size_t from, uint64_t *bytes)
{
    struct iter *it = NULL;
    int r = memtable_iter_create(memtable, &it);

    if (r < 0) {
        return r;
    }
    for (iter_seek_first(it); it->valid; iter_next(it)) {
        bool large = row_kind(it->row->trailer) == ROW_PUT && it->row->value.size >= from;
        *bytes += large ? it->row->value.size : 0;
    }
    iter_destroy(it);
    return 0;
}

static int flush_memtable(struct kv_store *store, struct output_job *job,
                          const struct memtable *memtable)
{
    struct range_builder ranges = {0};
    struct iter *it = NULL;
    int r = range_map_collect(memtable_ranges(memtable), &ranges);

    r = r < 0 ? r : output_ranges(job, &ranges);
    range_builder_finish(&ranges);
    r = r < 0 ? r : memtable_iter_create(memtable, &it);
    if (r < 0) {
        return r;
    }
    iter_seek_first(it);
    r = output_rows(store, job, it);
    iter_destroy(it);
    return r;
}

static uint64_t generation_rows(const struct generation *generation)
{
    uint64_t rows = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct memtable *memtable = generation->memtables[id - 1];
        rows += memtable != NULL ? memtable_row_count(memtable) : 0;
    }
    return rows;
}

/* Rows are large enough on average that looking at each costs little. */
enum { ROW_BYTES_WORTH_A_LOOK = 1024 };

/* Whether the large values of the generation are worth a blob. */
static int should_separate(const struct kv_store *store, const struct generation *generation,
                           bool *ret_separate)
{
    uint64_t large = 0;
    int r = 0;

    if (generation_bytes(generation) / ROW_BYTES_WORTH_A_LOOK < generation_rows(generation)) {
        *ret_separate = false;
        return 0;
    }
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        const struct memtable *memtable = generation->memtables[id - 1];
        r = memtable != NULL ? add_large_values(memtable, store->options.blob_flush_bytes, &large)
                             : 0;
    }
    if (r == 0) {
        *ret_separate = large > output_blobs_min_bytes(store);
    }
    return r;
}

/* Rows of a dropped table stay in memory as long as their generation. Tables are dropped under the
 * same mutex as generations are flushed. */
static bool table_exists(struct kv_store *store, uint32_t id)
{
    bool exists;
    mutex_lock(&store->mu);
    exists = store->tables[id - 1] != NULL;
    mutex_unlock(&store->mu);
    return exists;
}

int flush_tables(struct kv_store *store, struct generation *generation,
                 const struct version *version, struct job *progress, struct edit *edit)
{
    struct output_job job = {.level = 0,
                             .progress = progress,
                             .is_flush = true,
                             .version = version,
                             .flushed_sequence = edit->last_sequence,
                             .released_log = edit->released_log};
    int r = should_separate(store, generation, &job.blobs.separate);

    r = r < 0 ? r : output_job_init(store, &job);

    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        const struct memtable *memtable = generation->memtables[id - 1];
        if (memtable != NULL && !memtable_is_empty(memtable) && table_exists(store, id)) {
            job.table_id = id;
            r = flush_memtable(store, &job, memtable);
        }
    }
    if (r == 0) {
        r = output_job_finish(store, &job, edit);
        count_add(&store->counters.flush_bytes, job.bytes_written);
    }
    if (r < 0) {
        output_job_remove(store, &job);
    }
    output_job_destroy(&job);
    return r;
}

/* Caller holds flush_mu. */
static int flush_generation(struct kv_store *store, struct generation *generation,
                            uint64_t next_log)
{
    struct edit edit = {.released_log = next_log, .last_sequence = generation->sequence_last};
    struct kv_job info = {
        .kind = KV_JOB_FLUSH, .level_from = -1, .bytes = generation_bytes(generation)};
    struct job *job = job_begin(store, &info);
    struct view *view = view_acquire(store);
    int r = large_seal(store, generation, &edit);

    job_set_rows(job, generation_rows(generation));
    r = r < 0 ? r : flush_tables(store, generation, view->version, job, &edit);
    view_release(view);
    if (r < 0) {
        goto out;
    }
    r = manifest_commit(store, &edit, generation);
    if (r < 0) {
        goto out;
    }
    count_add(&store->counters.flushes, 1);
out:
    job_end(store, job, r, &edit);
    edit_finish(&edit);
    return r;
}

int flush_one(struct kv_store *store)
{
    struct generation *generation;
    uint64_t next_log = 0;
    int r = 0;

    mutex_lock(&store->flush_mu);
    generation = oldest_waiting(store, &next_log);
    if (generation != NULL) {
        r = flush_generation(store, generation, next_log);
        generation_unref(generation);
        r = r < 0 ? r : 1;
    }
    mutex_unlock(&store->flush_mu);
    if (r == 1) {
        workers_wake(store);
    }
    return r;
}

/* Number of the newest log that waits to be flushed, 0: none. */
static uint64_t newest_waiting(struct kv_store *store)
{
    uint64_t number = 0;
    mutex_lock(&store->mu);
    if (store->view->immutable_count > 0) {
        number = store->view->immutable[store->view->immutable_count - 1]->log_number;
    }
    mutex_unlock(&store->mu);
    return number;
}

/* Does a generation wait whose log has this number or a lower one? */
static bool one_waits(struct kv_store *store, uint64_t number)
{
    bool waits;
    mutex_lock(&store->mu);
    waits = store->view->immutable_count > 0 && store->view->immutable[0]->log_number <= number;
    mutex_unlock(&store->mu);
    return waits;
}

int flush_all(struct kv_store *store)
{
    int r = write_rotate(store);
    uint64_t newest = newest_waiting(store);

    /* What is rotated out meanwhile is not asked for: writers could keep this up for ever. */
    while (r >= 0 && one_waits(store, newest)) {
        r = flush_one(store);
    }
    return r < 0 ? r : 0;
}

int kv_flush(struct kv_store *store)
{
    int r;

    workers_stand_in(store);
    r = -atomic_load(&store->read_only_error);
    return space_failed(store, r < 0 ? r : flush_all(store));
}
