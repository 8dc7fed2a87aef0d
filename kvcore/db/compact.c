/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/compact.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/db/job.h"
#include "kvcore/db/manifest.h"
#include "kvcore/db/merge_iter.h"
#include "kvcore/db/obsolete.h"
#include "kvcore/db/output.h"
#include "kvcore/db/picker.h"
#include "kvcore/db/reclaim.h"
#include "kvcore/db/snapshot.h"
#include "kvcore/db/view.h"
#include "kvcore/db/worker.h"

/* One merge being run. */
struct merge {
    struct compaction compaction;
    struct view *view; /* holds the version the files were picked from */
    const struct table_files *files;
    struct output_job job;
    struct file_list lower;             /* the files of inputs[1] that are read; owned array */
    size_t below_index[KV_LEVEL_COUNT]; /* how far is_deepest() has looked; keys only grow */
    uint64_t bytes_read;
    uint64_t rows_read;
    uint64_t bytes_dropped, files_dropped; /* of inputs that need not be read */
};

/* Nothing of the key lies below the outputs. */
static bool is_deepest(void *arg, struct kv_slice key)
{
    struct merge *m = arg;
    for (int level = m->compaction.output_level + 1; level < KV_LEVEL_COUNT; level++) {
        const struct file_list *list = &m->files->levels[level];
        size_t *i = &m->below_index[level];
        while (*i < list->count && file_compare_end(list->files[*i], key) < 0) {
            (*i)++;
        }
        if (*i < list->count &&
            kv_slice_compare(kv_buf_slice(&list->files[*i]->smallest), key) <= 0) {
            return false;
        }
    }
    return true;
}

/* Nothing of the range lies below the outputs. */
static bool is_range_deepest(void *arg, struct kv_slice from, struct kv_slice to)
{
    const struct merge *m = arg;
    for (int level = m->compaction.output_level + 1; level < KV_LEVEL_COUNT; level++) {
        if (file_list_overlaps_range(&m->files->levels[level], from, to)) {
            return false;
        }
    }
    return true;
}

/* The range deletes of all inputs. Fragments end where deeper tables begin, so that a table may be
 * cut there. */
static int merge_ranges(struct kv_store *store, struct merge *m)
{
    const struct compaction *c = &m->compaction;
    const struct file_list *below = m->job.grandparents;
    struct range_builder ranges = {0};
    int r = 0;

    for (size_t i = 0; i < c->input_counts[0] + c->input_counts[1] && r == 0; i++) {
        struct file_meta *file =
            i < c->input_counts[0] ? c->inputs[0][i] : c->inputs[1][i - c->input_counts[0]];
        struct table *table = NULL;
        if (file->range_delete_count > 0) {
            r = file_table(store, file, &table);
            r = r < 0 ? r : range_builder_add_all(&ranges, table_range_dels(table));
        }
    }
    for (size_t i = 0; below != NULL && ranges.count > 0 && i < below->count && r == 0; i++) {
        r = range_builder_cut(&ranges, kv_buf_slice(&below->files[i]->smallest));
    }
    r = r < 0 ? r : output_ranges(&m->job, &ranges);
    range_builder_finish(&ranges);
    return r;
}

/* What range deletes hide as a whole goes without being read. */
static bool needs_reading(struct merge *m, const struct file_meta *file)
{
    bool hidden = range_output_hides_file(&m->job.ranges, file);
    *(hidden ? &m->bytes_dropped : &m->bytes_read) += file->size;
    m->files_dropped += hidden;
    m->rows_read += hidden ? 0 : file->row_count;
    return !hidden;
}

static int add_file(struct kv_store *store, struct iter_list *list, struct file_meta *file)
{
    struct table *table = NULL;
    struct iter *it = NULL;
    int r = file_table(store, file, &table);
    r = r < 0 ? r : table_iter_create(table, true, &it);
    return r < 0 ? r : iter_list_add(list, it);
}

/* One iterator over all inputs. inputs[1] are disjoint and in order: walked one behind the other.
 */
static int merge_inputs(struct kv_store *store, struct merge *m, struct iter **ret_iter)
{
    const struct compaction *c = &m->compaction;
    struct iter_list list = {0};
    int r = 0;

    for (size_t i = 0; i < c->input_counts[0] && r == 0; i++) {
        r = needs_reading(m, c->inputs[0][i]) ? add_file(store, &list, c->inputs[0][i]) : 0;
    }
    m->lower.files = calloc(c->input_counts[1] + 1, sizeof(struct file_meta *));
    if (m->lower.files == NULL) {
        r = -ENOMEM;
    }
    for (size_t i = 0; i < c->input_counts[1] && r == 0; i++) {
        if (needs_reading(m, c->inputs[1][i])) {
            m->lower.files[m->lower.count++] = c->inputs[1][i];
        }
    }
    if (m->lower.count > 0 && r == 0) {
        struct iter *it = NULL;
        r = level_iter_create(store, &m->lower, (struct file_slice){0, m->lower.count}, true, &it);
        r = r < 0 ? r : iter_list_add(&list, it);
    }
    r = r < 0 ? r : iter_list_merge(&list, ret_iter);
    iter_list_finish(&list);
    return r;
}

static int record_inputs(struct merge *m, struct edit *edit)
{
    int r = 0;
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < m->compaction.input_counts[which] && r == 0; i++) {
            struct file_meta *file = m->compaction.inputs[which][i];
            r = edit_remove_file(edit, file);
            r = r < 0 ? r : coding_append_varint(&m->job.inputs, file->number);
        }
    }
    return r;
}

/* Tables that a merge has replaced may be there as long as somebody reads them, and so may outputs
 * of jobs that were given up. Should the manifest be lost, the outputs of the merge that replaced
 * the ones, or merged the inputs of the others again, tell that they are no part of the store; but
 * those may be the inputs of this merge. None of them is ever part of the store again. */
static int record_replaced(struct kv_store *store, struct merge *m)
{
    int r = manifest_settle(store);
    mutex_lock(&store->mu);
    for (size_t i = 0; i < store->obsolete_count && r == 0; i++) {
        if (store->obsolete[i]->table_id == m->compaction.table_id) {
            r = coding_append_varint(&m->job.replaced, store->obsolete[i]->number);
        }
    }
    for (size_t i = 0; i < store->kept_count && r == 0; i++) {
        if (store->kept[i].id.kind == KV_FILE_TABLE) {
            r = coding_append_varint(&m->job.replaced, store->kept[i].id.number);
        }
    }
    for (size_t i = 0; i < store->left_count && r == 0; i++) {
        r = coding_append_varint(&m->job.replaced, store->left_tables[i]);
    }
    mutex_unlock(&store->mu);
    return r;
}

static struct kv_job job_of(const struct compaction *c)
{
    struct kv_job info = {.kind = KV_JOB_MERGE,
                          .level_from = c->level,
                          .level_to = c->output_level,
                          .files = c->input_counts[0] + c->input_counts[1]};
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < c->input_counts[which]; i++) {
            info.bytes += c->inputs[which][i]->size;
        }
    }
    return info;
}

static int run_merge(struct kv_store *store, struct merge *m)
{
    struct kv_job info = job_of(&m->compaction);
    struct job *job = job_begin(store, &info);
    struct edit edit = {0};
    struct iter *it = NULL;
    int output_level = m->compaction.output_level;
    int r;

    m->job = (struct output_job){.table_id = m->compaction.table_id,
                                 .level = (uint32_t)output_level,
                                 .progress = job,
                                 .version = m->view->version,
                                 .is_deepest = is_deepest,
                                 .is_range_deepest = is_range_deepest,
                                 .is_deepest_arg = m};
    if (output_level < LEVEL_DEEPEST) {
        m->job.grandparents = &m->files->levels[output_level + 1];
    }
    mutex_lock(&store->manifest_mu);
    m->job.flushed_sequence = store->flushed_sequence;
    m->job.released_log = store->released_log;
    mutex_unlock(&store->manifest_mu);
    r = output_job_init(store, &m->job);
    r = r < 0 ? r : record_inputs(m, &edit);
    r = r < 0 ? r : record_replaced(store, m);
    r = r < 0 ? r : merge_ranges(store, m);
    r = r < 0 ? r : merge_inputs(store, m, &it);
    if (r == 0) {
        job_set_rows(job, m->rows_read);
        iter_seek_first(it);
        r = output_rows(store, &m->job, it);
    }
    r = r < 0 ? r : output_job_finish(store, &m->job, &edit);
    if (r < 0) {
        output_job_remove(store, &m->job);
    } else {
        r = manifest_commit(store, &edit, NULL);
    }
    if (r == 0) {
        count_add(&store->counters.compactions, 1);
        count_add(&store->counters.compaction_read, m->bytes_read);
        count_add(&store->counters.files_dropped, m->files_dropped);
        count_add(&store->counters.bytes_dropped, m->bytes_dropped);
        count_add(&store->counters.compaction_written, m->job.bytes_written);
    }
    job_end(store, job, r, &edit);
    iter_destroy(it);
    free(m->lower.files);
    output_job_destroy(&m->job);
    edit_finish(&edit);
    return r;
}

/* Only the level of the file changes: no bytes are written. */
static int move_file(struct kv_store *store, const struct compaction *c)
{
    struct edit edit = {0};
    struct file_meta *from = c->inputs[0][0];
    struct file_meta *to = NULL;
    int r = file_meta_copy(from, &to);

    if (r < 0) {
        return r;
    }
    to->level = (uint32_t)c->output_level;
    r = edit_remove_file(&edit, from);
    r = r < 0 ? r : edit_add_file(&edit, to);
    from->moved_to = to; /* before the edit is in force, and others may merge the moved one */
    r = r < 0 ? r : manifest_commit(store, &edit, NULL);
    if (r == 0) {
        count_add(&store->counters.trivial_moves, 1);
    } else {
        from->moved_to = NULL;
        file_meta_unref(to);
    }
    edit_finish(&edit);
    return r;
}

/* Merges of level 0 are put off, and the level they go to is allowed to grow, as long as there is
 * room for merges that large: much more than the reserve holds. */
enum { BASE_PART_SCARCE = 4 };

/* The most urgent merge of all tables, marked busy. 1, 0 or an error. */
static int pick(struct kv_store *store, struct merge *m) REQUIRES(&store->mu)
{
    bool full = atomic_load(&store->full);
    bool scarce = full || atomic_load(&store->reserved);
    uint64_t base_bytes = store->options.level_base_bytes;
    struct picker_options options = {
        .level_base_bytes = scarce ? base_bytes / BASE_PART_SCARCE : base_bytes,
        .l0_files = L0_COMPACT_FILES,
        .l0_files_max = scarce ? L0_COMPACT_FILES : L0_COMPACT_FILES_MAX,
        .file_bytes = store->options.file_bytes,
        .idle = atomic_load(&store->idle),
        .squeeze = full,
        .oldest_snapshot = snapshot_oldest(store),
        .blob_slack_bytes = store->options.blob_file_bytes / 16,
        .flagged = reclaim_flagged(store)};
    double best_score = 0;

    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct kv_table *table = store->tables[id - 1];
        const struct table_files *files =
            table != NULL && !table->dropping ? version_table(store->view->version, id) : NULL;
        struct compaction c = {0};
        double score = 0;
        int r = files != NULL ? compaction_pick(files, id, &options, &c, &score) : 0;
        if (r < 0) {
            return r;
        }
        if (r == 1 && score > best_score) {
            compaction_finish(&m->compaction);
            m->compaction = c;
            m->files = files;
            best_score = score;
        } else {
            compaction_finish(&c);
        }
    }
    return best_score > 0;
}

/* Run what was picked; `m->view` is pinned and the inputs are busy. */
static int run(struct kv_store *store, struct merge *m)
{
    int r = m->compaction.trivial_move ? move_file(store, &m->compaction) : run_merge(store, m);

    mutex_lock(&store->mu);
    compaction_set_busy(&m->compaction, false);
    store->compactions_running--;
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
    compaction_finish(&m->compaction);
    view_release(m->view);
    obsolete_purge(store); /* the inputs, now that this view is gone */
    workers_wake(store);
    return r;
}

/* Pin the view the merge was picked from. */
static void begin(struct kv_store *store, struct merge *m) REQUIRES(&store->mu)
{
    view_ref(store->view);
    m->view = store->view;
    compaction_set_busy(&m->compaction, true);
    store->compactions_running++;
}

int compact_one(struct kv_store *store)
{
    struct merge m = {0};
    int r = 0;

    mutex_lock(&store->mu);
    if (!store->manual_compaction) {
        r = pick(store, &m);
        if (r == 1) {
            begin(store, &m);
        }
    }
    mutex_unlock(&store->mu);
    if (r <= 0) {
        compaction_finish(&m.compaction);
        return r;
    }
    r = run(store, &m);
    return r < 0 ? r : 1;
}

static int compact_range(struct kv_store *store, uint32_t table_id, struct kv_slice from,
                         struct kv_slice to)
{
    struct merge m = {0};
    int r = 0;

    mutex_lock(&store->mu);
    while (store->manual_compaction || store->compactions_running > 0) {
        condvar_wait(&store->progress, &store->mu);
    }
    store->manual_compaction = true;
    m.files = version_table(store->view->version, table_id);
    if (m.files != NULL && !store->tables[table_id - 1]->dropping) {
        r = compaction_pick_range(m.files, table_id, from, to, &m.compaction);
    }
    if (r == 1) {
        begin(store, &m);
    }
    mutex_unlock(&store->mu);
    if (r == 1) {
        r = run(store, &m);
    }
    mutex_lock(&store->mu);
    store->manual_compaction = false;
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
    workers_wake(store);
    return r;
}

int compact_table(struct kv_store *store, uint32_t table_id)
{
    return compact_range(store, table_id, kv_slice_str(""), kv_slice_str(""));
}

int kv_compact_range(struct kv_table *table, struct kv_slice from, struct kv_slice to)
{
    int r = table_check(table);
    r = r < 0 ? r : kv_flush(table->store);
    r = r < 0 ? r : compact_range(table->store, table->id, from, to);
    return r < 0 ? r : reclaim_now(table->store);
}

int kv_compact(struct kv_store *store)
{
    int r = kv_flush(store);
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        r = compact_table(store, id);
    }
    return r < 0 ? r : reclaim_now(store);
}
