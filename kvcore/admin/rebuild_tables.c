/* SPDX-License-Identifier: Apache-2.0 */
/* Which tables belong to a store that lost its manifest. Every step only ever follows from what is
 * durable before something else may happen: outputs before the edit that installs them, the edit
 * before inputs and logs are removed. */
#include "kvcore/admin/rebuild.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/admin/salvage.h"
#include "kvcore/db/output.h"
#include "kvcore/table/table.h"

/* ---- reading ---- */

static int undecidable(struct rebuild *rebuild, uint64_t number, const char *why)
{
    struct scan_place at = {.code = KV_PROBLEM_FILE_UNREADABLE,
                            .id = {KV_FILE_TABLE, number},
                            .offset = MESSAGE_NO_OFFSET};
    if (rebuild->known == NULL) {
        scan_tell(rebuild->scan, &at,
                  "table %08" PRIu64 " %s: the manifest cannot be rebuilt without knowing", number,
                  why);
    }
    rebuild->undecidable = true;
    return 0;
}

static int take_properties(struct rebuild *rebuild, const struct table_properties *p, uint64_t size)
{
    struct rebuild_table *table = &rebuild->tables[rebuild->count];
    int r = file_from_properties(p, size, &table->file);

    if (r < 0) {
        return r;
    }
    rebuild->count++; /* what it holds is freed with the others from now on */
    table->file->level = 0;
    table->known = rebuild->known != NULL && rebuild_knows(rebuild->known, p->number);
    table->job = p->job;
    table->output_index = p->output_index;
    table->output_count = p->output_count;
    table->flushed_sequence = p->flushed_sequence;
    table->released_log = p->released_log;
    table->by_repair = p->by_repair != 0;
    table->prefix_size = p->prefix_size;
    if (p->table_name.size > KV_TABLE_NAME_SIZE_MAX || p->table_name.size == 0 ||
        memchr(p->table_name.data, '\0', p->table_name.size) != NULL || p->table_id == 0 ||
        p->table_id > KV_TABLE_COUNT_MAX) {
        return undecidable(rebuild, p->number, "does not say whose rows it holds");
    }
    memcpy(table->name, p->table_name.data, p->table_name.size);
    int copied = kv_buf_assign(&table->inputs, kv_buf_slice(&p->inputs));
    return copied < 0 ? copied : kv_buf_assign(&table->no_more, kv_buf_slice(&p->replaced));
}

/* One that cannot be opened may still have sound properties. */
static int salvage_properties(struct rebuild *rebuild, const struct scan_file *file)
{
    struct scan *scan = rebuild->scan;
    struct salvage *salvage = NULL;
    int r = salvage_open(scan->storage, scan->seed, file->id.number, scan_read_fn, scan, &salvage);

    if (r == -ELOOP || r == -KV_EDAMAGED || (r == 0 && !salvage->has_properties)) {
        r = undecidable(rebuild, file->id.number, "has lost what it says of itself");
    } else if (r == 0) {
        r = take_properties(rebuild, &salvage->properties, file->size);
    }
    salvage_close(salvage);
    return r;
}

static int read_table(struct rebuild *rebuild, const struct scan_file *file)
{
    struct scan *scan = rebuild->scan;
    struct table *table = NULL;
    int r = file->is_ours
                ? table_open(scan->storage, scan->seed, file->id.number, NULL, &scan->sink, &table)
                : -KV_EDAMAGED;

    if (r == 0) {
        r = take_properties(rebuild, table_properties(table), file->size);
    } else if (r == -KV_EDAMAGED || r == -EIO || r == -ELOOP) {
        r = file->is_ours ? salvage_properties(rebuild, file)
                          : undecidable(rebuild, file->id.number, "cannot be read");
    }
    table_close(table);
    return r;
}

static int read_tables(struct rebuild *rebuild)
{
    struct scan *scan = rebuild->scan;
    int r = 0;

    rebuild->tables = calloc(scan->file_count + 1, sizeof *rebuild->tables);
    if (rebuild->tables == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < scan->file_count && r == 0; i++) {
        if (scan->files[i].id.kind == KV_FILE_TABLE &&
            (!rebuild->undecidable || rebuild->known != NULL)) {
            r = read_table(rebuild, &scan->files[i]);
            r = r < 0 ? r : scan_spend(scan, 0);
        }
    }
    return r;
}

void rebuild_finish(struct rebuild *rebuild)
{
    for (size_t i = 0; i < rebuild->count; i++) {
        file_meta_unref(rebuild->tables[i].file);
        kv_buf_finish(&rebuild->tables[i].inputs);
        kv_buf_finish(&rebuild->tables[i].no_more);
    }
    free(rebuild->tables);
}

/* ---- jobs ---- */

static struct rebuild_table *find(struct rebuild *rebuild, uint64_t number)
{
    for (size_t low = 0, high = rebuild->count; low < high;) {
        size_t middle = (low + high) / 2;
        uint64_t other = rebuild->tables[middle].file->number;
        if (other == number) {
            return &rebuild->tables[middle];
        }
        low = other < number ? middle + 1 : low;
        high = other < number ? high : middle;
    }
    return NULL;
}

static void install(struct rebuild *rebuild, uint64_t job)
{
    for (size_t i = 0; i < rebuild->count; i++) {
        rebuild->tables[i].installed |= rebuild->tables[i].job == job;
    }
}

/* Only what is installed is ever merged, and replaced. */
static void install_all(struct rebuild *rebuild, const struct kv_buf *numbers)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(numbers));
    while (coding_ok(&cursor) && coding_left(&cursor) > 0) {
        struct rebuild_table *table = find(rebuild, coding_read_varint(&cursor));
        if (table != NULL && !table->installed) {
            install(rebuild, table->job);
        }
    }
}

/* How many of the inputs may be part of the store, and how many are not any more. */
struct inputs {
    size_t there, gone;
};

static int count_inputs(struct rebuild *rebuild, const struct rebuild_table *table,
                        struct inputs *ret_inputs)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(&table->inputs));
    struct inputs inputs = {0};

    while (coding_ok(&cursor) && coding_left(&cursor) > 0) {
        struct rebuild_table *input = find(rebuild, coding_read_varint(&cursor));
        if (!coding_ok(&cursor)) {
            return undecidable(rebuild, table->file->number, "does not say what it was merged of");
        }
        *(input != NULL && !input->gone ? &inputs.there : &inputs.gone) += 1;
    }
    *ret_inputs = inputs;
    return 0;
}

/* The last output of a job knows how many there are; the others are numbered. */
struct outputs {
    uint32_t there, all; /* all: 0, not known */
    bool blobs_whole;
    bool gone; /* of one or more it is said that they are no part any more */
};

static int look_at_outputs(struct rebuild *rebuild, uint64_t job, struct outputs *ret_outputs)
{
    struct outputs outputs = {.blobs_whole = true};
    int r = 0;

    for (size_t i = 0; i < rebuild->count && r == 0; i++) {
        struct rebuild_table *table = &rebuild->tables[i];
        if (table->job != job) {
            continue;
        }
        table->judged = true;
        outputs.there++;
        outputs.gone |= table->gone;
        outputs.all = table->output_count != 0 ? table->output_count : outputs.all;
        for (size_t n = 0; n < table->file->blobs.count && outputs.blobs_whole && r == 0; n++) {
            r = rebuild_blob_is_whole(rebuild->scan, table->file->blobs.items[n].number,
                                      &outputs.blobs_whole);
        }
    }
    *ret_outputs = outputs;
    return r;
}

/* Rows of a flush that was not installed are all still in logs, the last of which is this one. */
static bool rows_are_in_log(const struct rebuild *rebuild, const struct rebuild_table *table)
{
    return table->released_log > 1 &&
           scan_find(rebuild->scan, KV_FILE_LOG, table->released_log - 1) != NULL;
}

static int judge_job(struct rebuild *rebuild, const struct rebuild_table *table)
{
    struct inputs inputs = {0};
    struct outputs outputs = {0};
    bool is_flush = table->inputs.size == 0;
    bool finished;
    int r = count_inputs(rebuild, table, &inputs);

    if (r < 0 || rebuild->undecidable || table->installed || table->judged || table->left_out) {
        return r;
    }
    r = look_at_outputs(rebuild, table->job, &outputs);
    if (r < 0) {
        return r;
    }
    finished = outputs.all != 0 && outputs.there == outputs.all;
    /* Given up, or replaced. If it was installed, what it was made of is gone as well, and of a
     * flush later tables tell. */
    if (outputs.gone && (inputs.there > 0 || is_flush)) {
        return 0;
    }
    /* What a repair made of damaged tables holds less than they do. It counts from the moment the
     * repair was finished on, and only then they go. */
    if (table->by_repair && inputs.there > 0 && inputs.gone == 0) {
        return 0;
    }
    if (is_flush) {
        if ((finished && outputs.blobs_whole) || !rows_are_in_log(rebuild, table)) {
            install(rebuild, table->job);
        }
    } else if (inputs.there == 0 || (finished && (outputs.blobs_whole || inputs.gone > 0))) {
        install(rebuild, table->job);
    } else if (inputs.gone > 0) {
        return undecidable(rebuild, table->file->number,
                           "is one of several that some, but not all, are there of");
    }
    return 0;
}

/* ---- flushes ---- */

/* Up to which row everything was in tables: what a merge says of the time it began is so whatever
 * came of it; what a flush says only if it was installed. */
static uint64_t proven_sequence(const struct rebuild *rebuild)
{
    uint64_t sequence = 0;
    for (size_t i = 0; i < rebuild->count; i++) {
        const struct rebuild_table *table = &rebuild->tables[i];
        if ((table->installed || table->inputs.size > 0) && table->flushed_sequence > sequence) {
            sequence = table->flushed_sequence;
        }
    }
    return sequence;
}

/* Flushes are installed in the order of their rows. */
static void install_older_flushes(struct rebuild *rebuild)
{
    uint64_t sequence = proven_sequence(rebuild);
    for (size_t i = 0; i < rebuild->count; i++) {
        struct rebuild_table *table = &rebuild->tables[i];
        table->installed |= table->inputs.size == 0 && table->flushed_sequence <= sequence;
    }
}

/* ---- what is replaced ---- */

static void replace_all(struct rebuild *rebuild, const struct kv_buf *numbers)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(numbers));
    while (coding_ok(&cursor) && coding_left(&cursor) > 0) {
        struct rebuild_table *input = find(rebuild, coding_read_varint(&cursor));
        if (input != NULL) {
            input->replaced = true;
        }
    }
}

bool rebuild_is_lost_name(const char *name)
{
    return strncmp(name, KV_LOST_KEYSPACE, strlen(KV_LOST_KEYSPACE)) == 0;
}

/* Two keyspaces of one name, or two names of one id: the older one was dropped. Unless it got its
 * name again that a rebuilt manifest did not know. */
static bool same_place(const struct rebuild_table *a, const struct rebuild_table *b)
{
    bool same_id = a->file->table_id == b->file->table_id;
    bool same_name = strcmp(a->name, b->name) == 0;
    bool named_again = same_id && (rebuild_is_lost_name(a->name) || rebuild_is_lost_name(b->name));
    return same_id != same_name && !named_again;
}

static void drop_older(struct rebuild *rebuild)
{
    for (size_t i = 0; i < rebuild->count; i++) {
        struct rebuild_table *table = &rebuild->tables[i];
        table->replaced |= rebuild->was_dropped[table->file->table_id - 1];
        for (size_t n = 0; n < rebuild->count && !table->replaced; n++) {
            table->replaced = same_place(table, &rebuild->tables[n]) &&
                              rebuild->tables[n].file->sequence_max > table->file->sequence_max;
        }
    }
}

static void note_gone(struct rebuild *rebuild, const struct kv_buf *numbers)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(numbers));
    while (coding_ok(&cursor) && coding_left(&cursor) > 0) {
        struct rebuild_table *table = find(rebuild, coding_read_varint(&cursor));
        if (table != NULL) {
            table->gone = true;
        }
    }
}

/* ---- what is known of the state ---- */

bool rebuild_knows(const struct rebuild_known *known, uint64_t number)
{
    size_t low = 0, high = known->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (known->tables[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < known->count && known->tables[low] == number;
}

static bool knows_all(const struct rebuild_known *known, const struct kv_buf *numbers)
{
    struct coding_cursor cursor = coding_cursor(kv_buf_slice(numbers));
    bool all = true;
    while (all && coding_ok(&cursor) && coding_left(&cursor) > 0) {
        all = rebuild_knows(known, coding_read_varint(&cursor));
    }
    return all;
}

/* It began before the end of the manifest, and is neither part of the state then, nor did it run
 * still: it would have all its inputs, or the rows would be in logs. A repair that was finished
 * began a manifest. */
static bool is_left_out(const struct rebuild_known *known, const struct rebuild_table *table)
{
    if (table->known) {
        return false;
    }
    return table->by_repair || (table->inputs.size == 0 ? table->released_log <= known->first_log
                                                        : table->job < known->next_table &&
                                                              !knows_all(known, &table->inputs));
}

static void go_by_known(struct rebuild *rebuild)
{
    for (size_t i = 0; i < rebuild->count && rebuild->known != NULL; i++) {
        struct rebuild_table *table = &rebuild->tables[i];
        table->replaced = table->left_out;
        if (table->known) {
            install(rebuild, table->job);
        }
    }
}

/* ---- the whole ---- */

int rebuild_read(struct rebuild *rebuild)
{
    int r = read_tables(rebuild);

    for (size_t i = 0; i < rebuild->count && r == 0; i++) {
        struct rebuild_table *table = &rebuild->tables[i];
        table->left_out = rebuild->known != NULL && is_left_out(rebuild->known, table);
        note_gone(rebuild, &table->no_more);
    }
    return r;
}

int rebuild_judge(struct rebuild *rebuild)
{
    int r = 0;

    go_by_known(rebuild);
    for (size_t i = 0; i < rebuild->count; i++) {
        install_all(rebuild, &rebuild->tables[i].inputs);
    }
    for (size_t i = 0; i < rebuild->count && r == 0 && !rebuild->undecidable; i++) {
        r = judge_job(rebuild, &rebuild->tables[i]);
    }
    if (r < 0 || rebuild->undecidable) {
        return r;
    }
    install_older_flushes(rebuild);
    for (size_t i = 0; i < rebuild->count; i++) {
        if (rebuild->tables[i].installed) {
            replace_all(rebuild, &rebuild->tables[i].inputs);
        }
        rebuild->tables[i].replaced |= rebuild->tables[i].gone; /* whatever came of the job */
    }
    drop_older(rebuild);
    return 0;
}
