/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/recover_logs.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/db/batch.h"
#include "kvcore/db/recover_blobs.h"
#include "kvcore/log/log_reader.h"

/* ---- what is there ---- */

static void note_file(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    struct recovery_files *files = arg;
    struct recovery_list *list = id.kind == KV_FILE_TABLE  ? &files->tables
                                 : id.kind == KV_FILE_BLOB ? &files->blobs
                                                           : NULL;
    struct recovery_file *larger;

    if (id.kind == KV_FILE_LOG && id.number > files->highest_log) {
        files->highest_log = id.number;
    }
    if (id.kind == KV_FILE_MANIFEST && id.number > files->highest_manifest) {
        files->highest_manifest = id.number;
    }
    if (list == NULL) {
        return;
    }
    larger = realloc(list->items, (list->count + 1) * sizeof *larger);
    if (larger == NULL) {
        files->error = -ENOMEM;
        return;
    }
    list->items = larger;
    larger[list->count++] = (struct recovery_file){id.number, size_bytes};
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t na = ((const struct recovery_file *)a)->number;
    uint64_t nb = ((const struct recovery_file *)b)->number;
    return (na > nb) - (na < nb);
}

static void sort_list(struct recovery_list *list)
{
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof list->items[0], compare_numbers);
    }
}

int recovery_list_files(struct kv_storage *storage, struct recovery_files *ret_files)
{
    struct recovery_files files = {0};
    int r = storage->ops->list(storage, note_file, &files);

    r = r < 0 ? r : files.error;
    if (r < 0) {
        recovery_files_finish(&files);
        return r;
    }
    sort_list(&files.tables);
    sort_list(&files.blobs);
    *ret_files = files;
    return 0;
}

void recovery_files_finish(struct recovery_files *files)
{
    free(files->tables.items);
    free(files->blobs.items);
    *files = (struct recovery_files){0};
}

uint64_t recovery_file_size(const struct recovery_list *list, uint64_t number)
{
    struct recovery_file key = {.number = number};
    const struct recovery_file *found =
        list->count > 0
            ? bsearch(&key, list->items, list->count, sizeof list->items[0], compare_numbers)
            : NULL;
    return found != NULL ? found->size : UINT64_MAX;
}

uint64_t recovery_highest(const struct recovery_list *list)
{
    return list->count > 0 ? list->items[list->count - 1].number : 0;
}

/* ---- looking at the segments ---- */

struct segment {
    uint64_t number;
    bool exists;
    bool has_head;
    bool has_records;        /* behind its head */
    struct log_end previous; /* where its head says its predecessor ended */
    struct log_end end;      /* where its last valid record ends */
    uint64_t synced_bytes;   /* of it so much is proven to have been synced, by itself */
};

struct segments {
    struct segment *items;
    size_t count;
};

static const struct log_end *closed_end(const struct kv_store *store,
                                        uint64_t number) NO_LOCK_ANALYSIS
{
    for (size_t i = 0; i < store->closed_log_count; i++) {
        if (store->closed_logs[i].number == number) {
            return &store->closed_logs[i];
        }
    }
    return NULL;
}

static int open_segment(struct kv_store *store, uint64_t number, struct log_reader **ret_reader)
{
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = number};
    return log_reader_open(store->storage, id, store->seed, closed_end(store, number), &store->sink,
                           ret_reader);
}

static int look_at(struct kv_store *store, struct segment *segment)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    int r = open_segment(store, segment->number, &reader);

    if (r == -ENOENT) {
        return 0;
    }
    while (r == 0 && log_reader_has_head(reader) && (r = log_reader_next(reader, &record)) == 1) {
        segment->has_records = true;
        r = 0;
    }
    if (r == 0) {
        segment->exists = true;
        segment->has_head = log_reader_has_head(reader);
        segment->previous = log_reader_previous(reader);
        segment->end = log_reader_end(reader);
        segment->synced_bytes = log_reader_synced_bytes(reader);
    }
    log_reader_close(reader);
    return r;
}

/* Segments that hold rows which are not in tables: from the first one that is not released. */
static int look_at_all(struct kv_store *store, uint64_t highest,
                       struct segments *ret_segments) NO_LOCK_ANALYSIS
{
    uint64_t first =
        store->first_log > store->released_log ? store->first_log : store->released_log;
    size_t count = highest >= first ? (size_t)(highest - first) + 1 : 1;
    int r = 0;

    ret_segments->items = calloc(count, sizeof *ret_segments->items);
    if (ret_segments->items == NULL) {
        return -ENOMEM;
    }
    ret_segments->count = count;
    for (size_t i = 0; i < count && r == 0; i++) {
        ret_segments->items[i].number = first + i;
        r = look_at(store, &ret_segments->items[i]);
    }
    return r;
}

/* ---- replaying ---- */

struct replay {
    struct kv_store *store;
    struct generation *generation;
    struct recovered_blobs *blobs;
    uint64_t sequence; /* of the last row replayed, or of the last one in tables */
};

/* What is known of a segment before it is replayed. */
struct extent {
    uint64_t number;
    const struct log_end *limit; /* NULL: all there is */
    uint64_t durable_bytes;      /* proven to have been synced */
};

static int replay_range_delete(struct generation *generation, const struct batch_row *row,
                               uint64_t sequence)
{
    struct range_delete range = {row->key, row->value, sequence};
    int r = generation_plan_range_delete(generation, row->table_id, &range);
    if (r == 0) {
        generation_publish_plans(generation);
    }
    return r;
}

/* 1 the row is to be replayed, 0 it is one of a table that was dropped. */
static int judge_table(const struct kv_store *store, uint32_t id,
                       uint64_t sequence) NO_LOCK_ANALYSIS
{
    if (id == 0 || id > KV_TABLE_COUNT_MAX) {
        return -KV_EDAMAGED;
    }
    if (store->dropped[id - 1].is && sequence <= store->dropped[id - 1].sequence) {
        return 0;
    }
    /* A table is durable before there is a handle to write with. */
    return store->tables[id - 1] != NULL ? 1 : -KV_EDAMAGED;
}

static int replay_row(struct replay *replay, const struct batch_row *row,
                      uint64_t sequence) NO_LOCK_ANALYSIS
{
    struct generation *generation = replay->generation;
    struct row stored = {
        .key = row->key, .trailer = row_trailer(sequence, row->kind), .value = row->value};
    uint8_t *memory;
    int r = judge_table(replay->store, row->table_id, sequence);

    if (r <= 0) {
        return r;
    }
    r = generation_add_table(generation, row->table_id);
    if (r < 0) {
        return r;
    }
    if (row->kind == ROW_RANGE_DELETE) {
        return replay_range_delete(generation, row, sequence);
    }
    memory = arena_alloc(&generation->arena, memtable_row_bytes(row->key.size, row->value.size) +
                                                 memtable_link_bytes(sequence, 1));
    if (memory == NULL) {
        return -ENOMEM;
    }
    memtable_insert(generation->memtables[row->table_id - 1], &stored, &memory);
    return 0;
}

/* Returns 1 if the log ends before the record: what it points at was lost with the power. */
static int replay_batch(struct replay *replay, const struct log_record *record,
                        bool is_durable) NO_LOCK_ANALYSIS
{
    struct coding_cursor cursor = coding_cursor(record->payload);
    uint64_t sequence = record->sequence;
    struct batch_row row;
    int r;

    if (sequence <= replay->store->flushed_sequence) {
        return 0; /* in tables already; batches are never split between the two */
    }
    if (sequence <= replay->sequence || sequence > ROW_SEQUENCE_MAX) {
        return -KV_EDAMAGED; /* also if no row is in it: later ones would be numbered from here */
    }
    r = recovered_blobs_check(replay->blobs, record->payload, is_durable);
    if (r != 0) {
        return r;
    }
    while ((r = batch_next(&cursor, &row)) == 1) {
        r = sequence <= ROW_SEQUENCE_MAX ? replay_row(replay, &row, sequence++) : -KV_EDAMAGED;
        if (r < 0) {
            return r;
        }
    }
    replay->sequence = sequence - 1;
    return r;
}

/* Replay a segment. Sets where it stopped; returns 1 if that was before its end, else 0. */
static int replay_segment(struct replay *replay, const struct extent *extent,
                          struct log_end *ret_end)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    struct log_end end = {0};
    int r = open_segment(replay->store, extent->number, &reader);

    while (r == 0) {
        end = log_reader_end(reader);
        if (extent->limit != NULL && end.size >= extent->limit->size) {
            break;
        }
        r = log_reader_next(reader, &record);
        if (r != 1) {
            end = r == 0 ? log_reader_end(reader) : end;
            break;
        }
        r = record.type != LOG_RECORD_BATCH
                ? 0
                : replay_batch(replay, &record,
                               log_reader_end(reader).size <= extent->durable_bytes);
    }
    if (r >= 0) {
        *ret_end = end;
    }
    log_reader_close(reader);
    return r;
}

static int damaged_log(const struct kv_store *store, uint64_t number, const char *what)
{
    return message_damage(&store->sink, "%s: log %08" PRIu64 " %s; run kvfs fsck",
                          store->storage->ops->name(store->storage), number, what);
}

static bool proven_later(const struct segments *segments, size_t i)
{
    for (i++; i < segments->count; i++) {
        if (segments->items[i].has_head && segments->items[i].synced_bytes > 0) {
            return true;
        }
    }
    return false;
}

/* A log without a predecessor, though there is one: an opening began it and was cut short before
 * the root named its manifest. So it holds nothing, or the root record is an old one. */
static bool is_of_cut_opening(const struct segments *segments, size_t i)
{
    const struct segment *segment = &segments->items[i];
    return i > 0 && segment->has_head && segment->previous.number == 0;
}

static int end_before_cut_opening(const struct replay *replay, const struct segments *segments,
                                  size_t i)
{
    for (; i < segments->count; i++) {
        if (segments->items[i].has_records) {
            return damaged_log(replay->store, segments->items[i].number,
                               "holds records, but the root record is older than it");
        }
    }
    return 0;
}

/* How much of segment `i` is proven to have been synced: all of it if the manifest or a clean root
 * knows its end, or if a later one was synced at all. */
static uint64_t durable_bytes(const struct kv_store *store, const struct segments *segments,
                              size_t i)
{
    const struct segment *segment = &segments->items[i];
    return closed_end(store, segment->number) != NULL || proven_later(segments, i)
               ? UINT64_MAX
               : segment->synced_bytes;
}

/* Replay segment `i`. Sets `*ret_go_on` if the next one continues it. */
static int replay_one(struct replay *replay, const struct segments *segments, size_t i,
                      bool *ret_go_on)
{
    const struct segment *segment = &segments->items[i];
    const struct segment *next = i + 1 < segments->count ? segment + 1 : NULL;
    bool cut = next != NULL && is_of_cut_opening(segments, i + 1);
    bool bounded = next != NULL && next->has_head && !cut;
    struct extent extent = {.number = segment->number,
                            .limit = bounded ? &next->previous : NULL,
                            .durable_bytes = durable_bytes(replay->store, segments, i)};
    struct log_end end;
    int stopped;

    *ret_go_on = false;
    if (!segment->exists) {
        return damaged_log(replay->store, segment->number, "is missing");
    }
    if (!segment->has_head) {
        return proven_later(segments, i)
                   ? damaged_log(replay->store, segment->number, "lost its head, which was durable")
                   : 0; /* its creation was cut short: it has no records */
    }
    if (bounded && next->previous.number != segment->number) {
        return damaged_log(replay->store, next->number, "does not follow its predecessor");
    }
    stopped = replay_segment(replay, &extent, &end);
    if (stopped < 0 || next == NULL) {
        return stopped < 0 ? stopped : 0;
    }
    if (cut) {
        return end_before_cut_opening(replay, segments, i + 1);
    }
    if (stopped == 1) {
        return 0; /* the bytes of large values were lost with the power */
    }
    if (bounded && end.size < next->previous.size) {
        return proven_later(segments, i)
                   ? damaged_log(replay->store, segment->number, "lost records that were durable")
                   : 0; /* power was lost before this tail was synced: what follows is dropped */
    }
    if (bounded && (end.size != next->previous.size || end.chain != next->previous.chain)) {
        return damaged_log(replay->store, segment->number, "is not the one its successor follows");
    }
    *ret_go_on = true; /* a successor without a head is judged in its turn */
    return 0;
}

int recover_logs(struct kv_store *store, uint64_t highest, struct generation *generation,
                 struct recovered_blobs *blobs) NO_LOCK_ANALYSIS
{
    struct replay replay = {.store = store,
                            .generation = generation,
                            .blobs = blobs,
                            .sequence = store->flushed_sequence};
    struct segments segments = {0};
    bool go_on = true;
    int r = look_at_all(store, highest, &segments);

    for (size_t i = 0; i < store->closed_log_count && r == 0; i++) {
        uint64_t number = store->closed_logs[i].number;
        struct extent extent = {.number = number, .durable_bytes = UINT64_MAX};
        struct log_end end;
        if (number >= store->released_log && number < store->first_log) {
            r = replay_segment(&replay, &extent, &end);
            r = r == -ENOENT ? damaged_log(store, number, "is missing") : r;
        }
    }
    for (size_t i = 0; i < segments.count && go_on && r == 0; i++) {
        r = replay_one(&replay, &segments, i, &go_on);
    }
    store->last_sequence = replay.sequence;
    free(segments.items);
    if (r == -KV_EDAMAGED) {
        message(&store->sink, KV_MESSAGE_ERROR,
                "%s: the log cannot be replayed: durable operations are damaged; run kvfs fsck",
                store->storage->ops->name(store->storage));
    }
    return r;
}
