/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest whose end is lost, of a store of which nobody knows how long it was. What it says is
 * the store at an earlier edit; as long as all tables of that, and the logs from there on, are
 * there, nothing is lost by it. If not, the tables that it does not know tell whether later edits
 * took them away. Then the tables alone tell what belongs, as where a manifest is lost as a whole.
 * Why that is sound is argued in docs/architecture.md, "A manifest that ends early". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/admin/rebuild.h"
#include "kvcore/db/batch.h"

/* A table of the state whose file is not there. */
struct missing {
    const struct file_meta *file;
    bool accounted; /* a later edit took it away */
};

/* Outputs of one job that the state does not know. */
struct unknown_job {
    const struct rebuild_table *first;       /* of its outputs */
    uint64_t job, released_log;              /* the second as in the tables' properties */
    uint32_t table_id;                       /* of the first */
    bool is_flush, is_complete;              /* all its outputs are there */
    bool is_chain;                           /* it merged what later edits had added */
    bool is_out;                             /* given up or replaced: it stands for no input */
    const struct kv_buf *smallest, *largest; /* user keys of its outputs that are there */
};

struct short_end {
    struct scan *scan;
    struct rebuild rebuild;
    struct rebuild_known known;
    uint64_t *numbers;       /* known.tables */
    struct missing *missing; /* ascending by number */
    size_t missing_count;
    bool logs_cut;            /* what was durable in them cannot be replayed */
    uint64_t cut_log;         /* at this one, or at the next */
    bool rows_unknown;        /* logs have rows of a keyspace that there is not */
    struct unknown_job *jobs; /* ascending by number */
    size_t job_count;
    uint64_t last_chain[KV_TABLE_COUNT_MAX]; /* by keyspace: the number of the last one; 0: none */
    bool ends_early;
    char why_not[64]; /* the state cannot be rebuilt; empty: it can, as far as is known */
};

/* ---- what the state lacks ---- */

static int compare_missing(const void *a, const void *b)
{
    uint64_t na = ((const struct missing *)a)->file->number;
    uint64_t nb = ((const struct missing *)b)->file->number;
    return (na > nb) - (na < nb);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t na = *(const uint64_t *)a, nb = *(const uint64_t *)b;
    return (na > nb) - (na < nb);
}

static void note_files(struct short_end *end, const struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct file_meta *file = list->files[i];
        end->numbers[end->known.count++] = file->number;
        if (scan_find(end->scan, KV_FILE_TABLE, file->number) == NULL) {
            end->missing[end->missing_count++].file = file;
        }
    }
}

static int note_state(struct short_end *end)
{
    const struct admin_state *state = &end->scan->state;
    size_t count = 0;

    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        count += version_count_files(state->version, id);
    }
    end->numbers = calloc(count + 1, sizeof *end->numbers);
    end->missing = calloc(count + 1, sizeof *end->missing);
    if (end->numbers == NULL || end->missing == NULL) {
        return -ENOMEM;
    }
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(state->version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            note_files(end, &files->levels[level]);
        }
    }
    qsort(end->numbers, end->known.count, sizeof end->numbers[0], compare_numbers);
    qsort(end->missing, end->missing_count, sizeof end->missing[0], compare_missing);
    end->known.tables = end->numbers;
    end->known.next_table = state->next_table;
    end->known.first_log =
        state->first_log > state->released_log ? state->first_log : state->released_log;
    return 0;
}

/* What the pass over logs will say of them. */
static int try_logs(struct short_end *end)
{
    struct scan *scan = end->scan;
    struct kv_admin_options options = *scan->options;
    struct scan trial = *scan;
    int r;

    options.mode = KV_ADMIN_REPORT;
    options.problem_fn = NULL;
    trial.options = &options;
    r = scan_logs(&trial);
    end->logs_cut = r == 0 && trial.logs_cut;
    end->cut_log = trial.log_end_count > 0 ? trial.log_ends[trial.log_end_count - 1].number
                                           : end->known.first_log;
    free(trial.log_ends);
    for (size_t i = 0; i < scan->file_count; i++) {
        if (scan->files[i].id.kind != KV_FILE_MANIFEST) {
            scan->files[i].wanted = false; /* by this state, if that is the one */
        }
    }
    return r == -ENOMEM || r == -ECANCELED ? r : 0; /* others are met once more, and told */
}

/* The lowest id that a keyspace could get, so that the next one has got it; 0: none. */
static uint32_t free_id(const struct admin_state *state)
{
    uint32_t id = 1;
    while (id <= KV_TABLE_COUNT_MAX && (state->has_table[id - 1] || state->is_dropped[id - 1])) {
        id++;
    }
    return id <= KV_TABLE_COUNT_MAX ? id : 0;
}

/* The edit that adds a keyspace is durable before any row of it. */
static bool has_rows_of(const struct scan *scan, const struct log_record *record, uint32_t id)
{
    struct coding_cursor cursor = coding_cursor(record->payload);
    struct batch_row row;
    bool has = false;

    if (record->type != LOG_RECORD_BATCH || record->sequence <= scan->state.last_sequence) {
        return false;
    }
    while (!has && batch_next(&cursor, &row) == 1) {
        has = row.table_id == id;
    }
    return has;
}

static int look_at_log(struct short_end *end, uint64_t number, uint32_t id)
{
    struct scan *scan = end->scan;
    struct log_reader *reader = NULL;
    struct log_record record;
    int r = rebuild_open_log(scan, number, &reader);

    r = r == 1 ? 0 : r;
    while (r == 0 && reader != NULL && log_reader_next(reader, &record) == 1) {
        end->rows_unknown = end->rows_unknown || has_rows_of(scan, &record, id);
        r = scan_spend(scan, record.payload.size);
    }
    log_reader_close(reader);
    return r;
}

static int look_at_logs(struct short_end *end)
{
    const struct scan *scan = end->scan;
    uint32_t id = free_id(&scan->state);
    int r = 0;

    for (size_t i = 0; id != 0 && i < scan->file_count && r == 0 && !end->rows_unknown; i++) {
        const struct scan_file *file = &scan->files[i];
        if (file->id.kind == KV_FILE_LOG && file->id.number >= end->known.first_log &&
            file->is_ours) {
            r = look_at_log(end, file->id.number, id);
        }
    }
    return r;
}

/* ---- jobs that the state does not know ---- */

static int compare_jobs(const void *a, const void *b)
{
    const struct rebuild_table *ta = *(const struct rebuild_table *const *)a;
    const struct rebuild_table *tb = *(const struct rebuild_table *const *)b;
    if (ta->job != tb->job) {
        return ta->job < tb->job ? -1 : 1;
    }
    return (ta->file->number > tb->file->number) - (ta->file->number < tb->file->number);
}

static bool is_before(const struct kv_buf *a, const struct kv_buf *b)
{
    return kv_slice_compare(kv_buf_slice(a), kv_buf_slice(b)) < 0;
}

static void add_output(struct unknown_job *job, const struct rebuild_table *table, uint32_t there)
{
    const struct file_meta *file = table->file;
    job->smallest = is_before(&file->smallest, job->smallest) ? &file->smallest : job->smallest;
    job->largest = is_before(job->largest, &file->largest) ? &file->largest : job->largest;
    job->is_complete = table->output_count == there;
    job->is_out |= table->gone || table->left_out;
}

static int group_jobs(struct short_end *end)
{
    size_t count = end->rebuild.count, left = 0;
    uint32_t there = 0;
    const struct rebuild_table **tables = calloc(count + 1, sizeof(struct rebuild_table *));

    end->jobs = calloc(count + 1, sizeof *end->jobs);
    if (tables == NULL || end->jobs == NULL) {
        free(tables);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct rebuild_table *table = &end->rebuild.tables[i];
        bool says_what_it_is = table->name[0] != '\0';
        if (says_what_it_is && !table->known && !table->by_repair) {
            tables[left++] = table;
        }
    }
    qsort(tables, left, sizeof(struct rebuild_table *), compare_jobs);
    for (size_t i = 0; i < left; i++) {
        const struct rebuild_table *table = tables[i];
        if (i == 0 || table->job != tables[i - 1]->job) {
            there = 0;
            end->jobs[end->job_count++] = (struct unknown_job){.first = table,
                                                               .job = table->job,
                                                               .released_log = table->released_log,
                                                               .table_id = table->file->table_id,
                                                               .is_flush = table->inputs.size == 0,
                                                               .smallest = &table->file->smallest,
                                                               .largest = &table->file->largest};
        }
        add_output(&end->jobs[end->job_count - 1], table, ++there);
    }
    free(tables);
    return 0;
}

static struct missing *find_missing(struct short_end *end, uint64_t number)
{
    for (size_t low = 0, high = end->missing_count; low < high;) {
        size_t middle = (low + high) / 2;
        uint64_t other = end->missing[middle].file->number;
        if (other == number) {
            return &end->missing[middle];
        }
        low = other < number ? middle + 1 : low;
        high = other < number ? high : middle;
    }
    return NULL;
}

/* What a merge merges is in the state when it begins. If it began later than the last edit there is
 * and merged what the state does not have, an edit behind that added it. */
static void find_chains(struct short_end *end)
{
    for (size_t i = 0; i < end->job_count; i++) {
        struct unknown_job *job = &end->jobs[i];
        struct coding_cursor cursor = coding_cursor(kv_buf_slice(&job->first->inputs));
        bool later =
            job->job >= end->known.next_table && end->scan->state.has_table[job->table_id - 1];
        while (later && !job->is_chain && coding_ok(&cursor) && coding_left(&cursor) > 0) {
            job->is_chain = !rebuild_knows(&end->known, coding_read_varint(&cursor));
        }
        if (job->is_chain) {
            end->last_chain[job->table_id - 1] = job->job;
            end->ends_early = true;
        }
    }
}

/* ---- what later edits took away ---- */

/* Tables are removed only once the edit that replaces them is durable. */
static void account_for_named(struct short_end *end, const struct kv_buf *numbers, bool accounts)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(numbers));
    while (coding_ok(&cursor) && coding_left(&cursor) > 0) {
        struct missing *missing = find_missing(end, coding_read_varint(&cursor));
        if (missing != NULL) {
            missing->accounted |= accounts;
            end->ends_early = true;
        }
    }
}

/* A range of keys that something lies in. */
struct span {
    uint32_t table_id;
    const struct kv_buf *smallest, *largest;
    struct missing *missing; /* NULL: of a chain */
};

static int compare_spans(const void *a, const void *b)
{
    const struct span *sa = a, *sb = b;
    if (sa->table_id != sb->table_id) {
        return sa->table_id < sb->table_id ? -1 : 1;
    }
    return kv_slice_compare(kv_buf_slice(sa->smallest), kv_buf_slice(sb->smallest));
}

static size_t list_spans(struct short_end *end, struct span *spans)
{
    size_t count = 0;
    for (size_t i = 0; i < end->missing_count; i++) {
        struct missing *missing = &end->missing[i];
        const struct file_meta *file = missing->file;
        if (!missing->accounted) {
            spans[count++] =
                (struct span){file->table_id, &file->smallest, &file->largest, missing};
        }
    }
    for (size_t i = 0; i < end->job_count; i++) {
        const struct unknown_job *job = &end->jobs[i];
        if (job->is_chain) {
            spans[count++] = (struct span){job->table_id, job->smallest, job->largest, NULL};
        }
    }
    qsort(spans, count, sizeof *spans, compare_spans);
    return count;
}

/* What overlaps is merged together, sooner or later: what is missing, and hangs together with what
 * a chain merged, went into that. */
static int account_for_merged_on(struct short_end *end)
{
    struct span *spans = calloc(end->missing_count + end->job_count + 1, sizeof *spans);
    size_t count, next;

    if (spans == NULL) {
        return -ENOMEM;
    }
    count = list_spans(end, spans);
    for (size_t first = 0; first < count; first = next) {
        const struct kv_buf *largest = spans[first].largest;
        bool chain = spans[first].missing == NULL;
        for (next = first + 1; next < count && spans[next].table_id == spans[first].table_id &&
                               !is_before(largest, spans[next].smallest);
             next++) {
            largest = is_before(largest, spans[next].largest) ? spans[next].largest : largest;
            chain |= spans[next].missing == NULL;
        }
        for (size_t i = first; i < next && chain; i++) {
            if (spans[i].missing != NULL) {
                spans[i].missing->accounted = true;
            }
        }
    }
    free(spans);
    return 0;
}

static int account_for_tables(struct short_end *end)
{
    int r;

    for (size_t i = 0; i < end->job_count && end->missing_count > 0; i++) {
        const struct unknown_job *job = &end->jobs[i];
        /* Of one that is not complete the other outputs were merged on, or are lost. */
        bool accounts = job->is_complete || end->last_chain[job->table_id - 1] > job->job;
        if (!job->is_out) {
            account_for_named(end, &job->first->inputs, accounts);
        }
        account_for_named(end, &job->first->no_more, true);
    }
    r = account_for_merged_on(end);
    for (size_t i = 0; i < end->missing_count && end->why_not[0] == '\0'; i++) {
        if (!end->missing[i].accounted) {
            snprintf(end->why_not, sizeof end->why_not, "table %08" PRIu64 " is lost",
                     end->missing[i].file->number);
        }
    }
    return r;
}

/* Each flush releases one log. One that is not there must have gone into a merge that began later,
 * or rows would be missing in the middle. A flush that is not complete tells nothing. */
static void account_for_logs(struct short_end *end)
{
    uint64_t next = end->known.first_log;

    for (size_t i = 0; i < end->job_count; i++) {
        const struct unknown_job *job = &end->jobs[i];
        next = !job->is_flush && job->released_log > next ? job->released_log : next;
    }
    for (size_t i = 0; i < end->job_count; i++) { /* in the order in which they were begun */
        const struct unknown_job *job = &end->jobs[i];
        if (!job->is_flush || !job->is_complete || job->released_log <= next) {
            continue;
        }
        if (job->released_log > next + 1 && end->why_not[0] == '\0') {
            snprintf(end->why_not, sizeof end->why_not, "what log %08" PRIu64 " held is lost",
                     next);
        }
        next = job->released_log;
    }
    end->ends_early |= end->logs_cut && next > end->cut_log;
}

/* ---- what is done about it ---- */

static int take_state(struct short_end *end)
{
    struct scan *scan = end->scan;
    int r = rebuild_judge(&end->rebuild);
    r = r == 0 && !end->rebuild.undecidable ? rebuild_make_state(&end->rebuild) : r;
    if (r == 0 && !scan->rebuilt) {
        snprintf(end->why_not, sizeof end->why_not, "other tables do not tell the rest");
    }
    return r;
}

/* A damaged table would be found only when it is too late to go another way. */
static int try_state(struct short_end *end)
{
    struct kv_admin_options options = *end->scan->options;
    struct scan trial = {.storage = end->scan->storage, .options = &options, .trial = true};
    int r;

    options.mode = KV_ADMIN_REPORT;
    options.deep = false;
    options.problem_fn = NULL;
    r = scan_run(&trial);
    if (r == 0 && !rebuild_is_sound(&trial)) {
        snprintf(end->why_not, sizeof end->why_not, "%s",
                 trial.rebuilt ? "another table is damaged" : "other tables do not tell the rest");
    }
    scan_finish(&trial);
    return r;
}

static void tell(const struct short_end *end)
{
    struct scan *scan = end->scan;
    struct scan_place at = {.code = KV_PROBLEM_MANIFEST_SHORT,
                            .id = {KV_FILE_MANIFEST, scan->root.manifest},
                            .offset = MESSAGE_NO_OFFSET};
    if (scan->rebuilt) {
        scan_tell(scan, &at,
                  "manifest %08" PRIu64
                  " ends early: later changes are missing in it, and tables tell what belongs",
                  scan->root.manifest);
    } else {
        scan_tell(scan, &at,
                  "manifest %08" PRIu64 " ends early, and %s: the store goes back to where the "
                  "manifest ends, later changes go to the archive",
                  scan->root.manifest, end->why_not);
    }
}

static int decide(struct short_end *end)
{
    struct scan *scan = end->scan;
    int r = 0;

    if (end->rebuild.undecidable && end->why_not[0] == '\0') {
        snprintf(end->why_not, sizeof end->why_not, "a table does not say what it is");
    }
    if (end->why_not[0] == '\0' && !scan->trial) {
        r = try_state(end);
    }
    if (r == 0 && end->why_not[0] == '\0') {
        r = take_state(end);
    }
    if (r == 0) {
        scan->cut_back = !scan->rebuilt;
        tell(end);
    }
    return r;
}

static int look(struct short_end *end)
{
    int r = note_state(end);

    r = r < 0 ? r : try_logs(end);
    if (r < 0 || (end->missing_count == 0 && !end->logs_cut)) {
        return r;
    }
    r = look_at_logs(end);
    if (r < 0) {
        return r;
    }
    rebuild_begin(&end->rebuild, end->scan);
    end->rebuild.known = &end->known;
    r = rebuild_read(&end->rebuild);
    r = r < 0 ? r : group_jobs(end);
    if (r < 0) {
        return r;
    }
    end->ends_early = end->rows_unknown;
    find_chains(end);
    r = account_for_tables(end);
    account_for_logs(end);
    return r == 0 && end->ends_early ? decide(end) : r;
}

/* A repair that cut logs has closed ones below the first, and nothing was written since. */
static bool was_written_to(const struct admin_state *state)
{
    bool written = true;
    for (size_t i = 0; i < state->closed_log_count; i++) {
        uint64_t number = state->closed_logs[i].number;
        written &= number < state->released_log || number >= state->first_log;
    }
    return written;
}

int scan_short(struct scan *scan)
{
    struct short_end *end;
    int r;

    if (scan->root.clean || !was_written_to(&scan->state)) {
        return 0; /* it is known where the manifest ends */
    }
    end = calloc(1, sizeof *end);
    if (end == NULL) {
        return -ENOMEM;
    }
    end->scan = scan;
    r = look(end);
    rebuild_finish(&end->rebuild);
    free(end->numbers);
    free(end->missing);
    free(end->jobs);
    free(end);
    return r;
}
