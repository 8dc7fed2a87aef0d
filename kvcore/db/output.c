/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/output.h"
#include "kvcore/db/hidden.h"
#include "kvcore/db/job.h"
#include "kvcore/db/obsolete.h"
#include "kvcore/db/snapshot.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Cut a table when what it overlaps two levels down is this many times its aimed size: the merge
 * that will move it down stays bounded. */
enum { GRANDPARENT_OVERLAP_FACTOR = 10 };
enum { PROGRESS_ROWS = 256 }; /* so often it is told how far the job is */

int output_job_init(struct kv_store *store, struct output_job *job)
{
    job->store = store;
    job->number = 0;
    return snapshot_list(store, &job->snapshots, &job->snapshot_count);
}

/* No edit ever named it, so that no follower can know of it. */
static void remove_output(struct kv_store *store, uint64_t number)
{
    obsolete_remove_now(store, (struct kv_file_id){.kind = KV_FILE_TABLE, .number = number});
}

/* Finish the table that is whole, if there is one. */
static int finish_whole(struct output_job *job, bool last)
{
    struct table_properties properties = {0};
    struct unfinished *whole = &job->whole;
    struct file_meta **outputs;
    uint64_t size = 0;
    int r;

    if (whole->builder == NULL) {
        return 0;
    }
    outputs = realloc(job->outputs, (job->output_count + 1) * sizeof(struct file_meta *));
    if (outputs == NULL) {
        return -ENOMEM;
    }
    job->outputs = outputs;
    r = table_builder_finish(whole->builder, last ? (uint32_t)job->output_count + 1 : 0,
                             &properties, &size);
    if (r == 0) {
        r = file_from_properties(&properties, size, &job->outputs[job->output_count]);
        table_properties_finish(&properties);
    }
    if (r < 0) {
        remove_output(job->store, whole->number); /* it may have got its name before it failed */
    }
    if (r == 0) {
        job->outputs[job->output_count]->hidden_bytes = whole->hidden_bytes;
        job->output_count++;
        job->bytes_written += size;
    }
    table_builder_destroy(whole->builder);
    *whole = (struct unfinished){0};
    return r;
}

/* The table takes no more rows. Whether it is the last of the job is known only when another one is
 * begun: what follows may all be hidden. */
static void end_table(struct output_job *job)
{
    if (job->now.builder != NULL) {
        assert(job->whole.builder == NULL);
        job->whole = job->now;
        job->now = (struct unfinished){0};
        job->hidden_from.size = 0;
    }
}

static int builder_begin(struct kv_store *store, struct output_job *job)
{
    struct table_origin origin = {.table_id = job->table_id,
                                  .level = job->level,
                                  .flushed_sequence = job->flushed_sequence,
                                  .released_log = job->released_log,
                                  .inputs = kv_buf_slice(&job->inputs),
                                  .replaced = kv_buf_slice(&job->replaced),
                                  /* Rows that are hidden are kept for snapshots alone. */
                                  .rows_shown = job->snapshot_count == 0};
    struct table_builder_options options = {0};
    const struct kv_table *table;
    int r = finish_whole(job, false);

    if (r < 0) {
        return r;
    }
    origin.output_index = (uint32_t)job->output_count + 1;
    mutex_lock(&store->mu);
    table = store->tables[job->table_id - 1]; /* constant, lives as long as the store */
    job->table = table;
    job->now.number = store->next_table_number++;
    mutex_unlock(&store->mu);
    if (job->number == 0) {
        job->number = job->now.number; /* table numbers are unique for ever: so are jobs */
    }
    origin.job = job->number;
    origin.table_name = kv_slice_str(table->name);
    options.block_bytes = table->options.block_bytes;
    options.filter_bits_per_key = table->options.filter_bits_per_key;
    options.prefix_size = table->options.prefix_size;
    options.codec = table->options.no_compression ? CODEC_NONE : CODEC_SNAPPY;
    memcpy(origin.store_id, store->root.store_id, sizeof origin.store_id); /* constant after open */
    return table_builder_create(store->storage, store->seed, job->now.number, &origin, &options,
                                &job->now.builder);
}

int file_from_properties(const struct table_properties *properties, uint64_t size,
                         struct file_meta **ret_file)
{
    struct file_meta *file = NULL;
    int r = file_meta_create(&file);

    if (r < 0) {
        return r;
    }
    file->table_id = properties->table_id;
    file->level = properties->level;
    file->number = properties->number;
    file->size = size;
    file->smallest_trailer = properties->smallest_trailer;
    file->largest_trailer = properties->largest_trailer;
    file->sequence_min = properties->sequence_min;
    file->sequence_max = properties->sequence_max;
    file->row_count = properties->row_count;
    file->tombstone_count = properties->tombstone_count;
    file->range_delete_count = properties->range_delete_count;
    file->longest_delete_run = properties->longest_delete_run;
    r = kv_buf_append(&file->smallest, kv_buf_slice(&properties->smallest_key));
    r = r < 0 ? r : kv_buf_append(&file->largest, kv_buf_slice(&properties->largest_key));
    r = r < 0 ? r : kv_buf_append(&file->range_list, kv_buf_slice(&properties->range_list));
    r = r < 0 ? r : blob_uses_copy(&properties->blobs, &file->blobs);
    if (r < 0) {
        file_meta_unref(file);
        return r;
    }
    *ret_file = file;
    return 0;
}

static int add_range_delete(void *arg, const struct range_delete *range_delete)
{
    struct output_job *job = arg;
    int r = job->now.builder == NULL ? builder_begin(job->store, job) : 0;
    r = r < 0 ? r : table_builder_add_range_delete(job->now.builder, range_delete);
    /* Of a fragment the newest delete comes first, and the others hide the same. */
    if (r == 0 && !kv_slice_equal(range_delete->from, kv_buf_slice(&job->hidden_from))) {
        job->now.hidden_bytes += hidden_bytes(version_table(job->version, job->table_id),
                                              job->level, range_delete->from, range_delete->to);
        r = kv_buf_assign(&job->hidden_from, range_delete->from);
    }
    return r;
}

static bool is_range_deepest(void *arg, struct kv_slice from, struct kv_slice to)
{
    const struct output_job *job = arg;
    return job->is_range_deepest != NULL && job->is_range_deepest(job->is_deepest_arg, from, to);
}

static struct range_sink range_sink(struct output_job *job)
{
    return (struct range_sink){.add = add_range_delete, .is_deepest = is_range_deepest, .arg = job};
}

/* How many snapshots are older than the row: rows of one key in the same stripe look alike to all.
 */
static size_t stripe_of(const struct output_job *job, uint64_t sequence)
{
    size_t i = job->snapshot_count;
    while (i > 0 && job->snapshots[i - 1] >= sequence) {
        i--;
    }
    return i;
}

/* On a small device the merge that moves a table down has to find room in the reserve. */
static uint64_t overlap_limit(const struct kv_store *store)
{
    uint64_t limit = GRANDPARENT_OVERLAP_FACTOR * store->options.file_bytes;
    uint64_t room = store->reserve_bytes / 4;
    return room > 0 && room < limit ? room : limit;
}

/* The block of range deletes has to stay well below the limit of a block. */
static const size_t range_bytes_max = (size_t)BLOCK_RAW_SIZE_MAX / 8;

/* Must the table end before this key? */
static bool should_cut(const struct kv_store *store, struct output_job *job, struct kv_slice key)
{
    const struct file_list *below = job->grandparents;
    bool begun = job->now.builder != NULL || job->ranges.open_count > 0;
    uint64_t size = job->now.builder != NULL ? table_builder_size(job->now.builder) : 0;

    if (job->now.builder != NULL &&
        table_builder_range_bytes(job->now.builder) >= range_bytes_max) {
        return true;
    }
    if (job->is_flush) {
        return false;
    }
    while (below != NULL && job->grandparent_index < below->count &&
           file_compare_end(below->files[job->grandparent_index], key) < 0) {
        /* What lies before the table's first key does not count. */
        job->grandparent_bytes += begun ? below->files[job->grandparent_index]->size : 0;
        job->grandparent_index++;
    }
    return begun &&
           (size >= store->options.file_bytes || job->grandparent_bytes >= overlap_limit(store));
}

/* Can nobody see the row any more? Keeps track of the key and stripe of the row before. */
static int row_is_hidden(struct output_job *job, const struct row *row, bool *ret_hidden,
                         bool *ret_new_key)
{
    size_t stripe = stripe_of(job, row_sequence(row->trailer));
    bool new_key =
        job->last_key.size == 0 || !kv_slice_equal(row->key, kv_buf_slice(&job->last_key));

    *ret_new_key = new_key;
    *ret_hidden = (!new_key && stripe == job->last_stripe) ||
                  range_output_hides_row(&job->ranges, row->key, row_sequence(row->trailer));
    job->last_stripe = stripe;
    if (new_key) {
        int r = kv_buf_assign(&job->last_key, row->key);
        if (r < 0) {
            return r;
        }
    }
    if (row_kind(row->trailer) == ROW_DELETE && stripe == 0 && job->is_deepest != NULL &&
        job->is_deepest(job->is_deepest_arg, row->key)) {
        *ret_hidden = true;
    }
    return 0;
}

/* A table may be cut before the key. */
static int cut_before(struct kv_store *store, struct output_job *job, struct kv_slice key)
{
    struct range_sink sink = range_sink(job);
    int r;

    if (!should_cut(store, job, key)) {
        return 0;
    }
    r = range_output_give(&job->ranges, key, &sink);
    r = r < 0 ? r : range_output_close(&job->ranges, &sink);
    job->grandparent_bytes = 0;
    if (r == 0) {
        end_table(job);
    }
    return r;
}

/* Range deletes that end before or begin at the key (empty: all); a table may be cut where one
 * begins. */
static int output_range_deletes(struct kv_store *store, struct output_job *job, struct kv_slice key)
{
    struct range_sink sink = range_sink(job);
    struct kv_slice from;
    int r = 0;

    while (r == 0 && range_output_step(&job->ranges, key, &from)) {
        r = range_output_give(&job->ranges, from, &sink);
        r = r < 0 ? r : cut_before(store, job, from);
    }
    return r < 0 || key.size > 0 ? r : range_output_give(&job->ranges, key, &sink);
}

/* Add the row, after its value went to where it belongs. */
static int add_row(struct kv_store *store, struct output_job *job, const struct row *row)
{
    struct blob_pointer pointer;
    struct row stored;
    int r = output_blobs_row(store, &job->blobs, job->table, row, &stored);

    /* One that makes no sense refers to nothing; whoever reads the row is told. */
    if (r == 0 && row_kind(stored.trailer) == ROW_BLOB &&
        blob_pointer_decode(stored.value, &pointer) == 0) {
        r = table_builder_note_blob(job->now.builder, pointer.number, pointer.stored_size);
    }
    return r < 0 ? r : table_builder_add(job->now.builder, &stored);
}

static int output_row(struct kv_store *store, struct output_job *job, const struct row *row)
{
    bool hidden;
    bool new_key;
    int r = row_is_hidden(job, row, &hidden, &new_key);

    /* Also where this row is hidden: an older version of the key may not be, and a table is never
     * cut behind the first. */
    if (r == 0 && new_key) {
        r = output_range_deletes(store, job, row->key);
        r = r < 0 ? r : cut_before(store, job, row->key);
    }
    if (r < 0 || hidden) {
        return r;
    }
    if (job->now.builder == NULL) {
        r = builder_begin(store, job);
    }
    return r < 0 ? r : add_row(store, job, row);
}

int output_ranges(struct output_job *job, const struct range_builder *builder)
{
    range_output_finish(&job->ranges);
    return range_output_init(&job->ranges, builder, job->snapshots, job->snapshot_count);
}

int output_rows(struct kv_store *store, struct output_job *job, struct iter *it)
{
    struct range_sink sink = range_sink(job);
    unsigned rows = 0;
    int r = 0;

    job->last_key.size = 0;
    end_table(job); /* of another keyspace */
    for (; r == 0 && it->valid; iter_next(it)) {
        if (atomic_load_explicit(&store->stopping, memory_order_relaxed) && !job->is_flush) {
            return -ECANCELED; /* the store is closing: a merge can be done again */
        }
        r = output_row(store, job, it->row);
        if (++rows == PROGRESS_ROWS) {
            job_advance(job->progress, rows);
            rows = 0;
        }
    }
    job_advance(job->progress, rows);
    r = r < 0 ? r : it->error;
    r = r < 0 ? r : output_range_deletes(store, job, (struct kv_slice){0});
    return r < 0 ? r : range_output_close(&job->ranges, &sink);
}

int output_job_finish(struct kv_store *store, struct output_job *job, struct edit *edit)
{
    end_table(job);
    int r = finish_whole(job, true);
    r = r < 0 ? r : output_blobs_finish(store, &job->blobs, edit);
    job->bytes_written += job->blobs.bytes_written;
    for (size_t i = 0; i < job->output_count && r == 0; i++) {
        r = edit_add_file(edit, job->outputs[i]);
    }
    return r;
}

void output_job_remove(struct kv_store *store, struct output_job *job)
{
    output_blobs_remove(store, &job->blobs);
    for (size_t i = 0; i < job->output_count; i++) {
        remove_output(store, job->outputs[i]->number);
    }
}

void output_job_destroy(struct output_job *job)
{
    table_builder_destroy(job->now.builder);
    table_builder_destroy(job->whole.builder);
    for (size_t i = 0; i < job->output_count; i++) {
        file_meta_unref(job->outputs[i]);
    }
    free(job->outputs);
    free(job->snapshots);
    range_output_finish(&job->ranges);
    kv_buf_finish(&job->hidden_from);
    kv_buf_finish(&job->inputs);
    kv_buf_finish(&job->replaced);
    kv_buf_finish(&job->last_key);
    output_blobs_destroy(&job->blobs);
}
