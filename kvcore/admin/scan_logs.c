/* SPDX-License-Identifier: Apache-2.0 */
/* The logs that count: what opening would replay, and where it would stop. Case by case the same as
 * kvcore/db/recover_logs.c, but for what is done about damage: here the replay ends before it, and
 * goes on nowhere. A hole in the middle would leave a state that never was.
 *
 *   look     each segment's framing by itself
 *   replay   rows in order, as far as they follow each other */
#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/admin/scan_rows.h"

struct segment {
    uint64_t number;
    bool exists;
    bool closed; /* the manifest, or a clean root, says where it ends */
    bool damaged;
    bool has_head;
    bool has_records;
    bool torn;
    struct log_end previous; /* where its head says its predecessor ended */
    struct log_end end;      /* behind its last good record */
    uint64_t synced_bytes;
};

struct logs {
    struct scan *scan;
    struct segment *segments;
    size_t count;
    uint64_t sequence; /* of the last row so far */
    uint64_t records;  /* with rows that are in no table */
};

static struct scan_place place(int code, uint64_t number, uint64_t offset)
{
    return (struct scan_place){.code = code, .id = {KV_FILE_LOG, number}, .offset = offset};
}

/* A problem that ends the replay. */
static int cut(struct logs *logs, int code, const struct segment *segment, const char *what)
{
    struct scan_place at = place(code, segment->number, segment->end.size);
    scan_tell(logs->scan, &at, "log %08" PRIu64 " %s", segment->number, what);
    logs->scan->logs_cut = true;
    return 0;
}

static bool is_damage(int error)
{
    return error == -KV_EDAMAGED || error == -EIO || error == -ELOOP;
}

/* ---- looking ---- */

static int open_log(struct logs *logs, uint64_t number, struct log_reader **ret_reader)
{
    struct scan *scan = logs->scan;
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = number};
    return log_reader_open(scan->storage, id, scan->seed,
                           admin_state_closed_log(&scan->state, number), &scan->sink, ret_reader);
}

static int look(struct logs *logs, struct segment *segment)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    struct scan_file *file = scan_find(logs->scan, KV_FILE_LOG, segment->number);
    int r = file != NULL ? open_log(logs, segment->number, &reader) : -ENOENT;

    if (file != NULL) {
        file->wanted = true;
    }
    if (r == -ENOENT || is_damage(r)) { /* without a reader: not even its head can be read */
        segment->exists = r != -ENOENT;
        segment->damaged = is_damage(r);
        return 0;
    }
    segment->exists = true;
    while (r == 0 && log_reader_has_head(reader) && (r = log_reader_next(reader, &record)) == 1) {
        segment->has_records = true;
        r = scan_spend(logs->scan, record.payload.size);
    }
    if (reader != NULL) {
        segment->has_head = log_reader_has_head(reader);
        segment->previous = log_reader_previous(reader);
        segment->end = log_reader_end(reader);
        segment->torn = log_reader_was_torn(reader);
        segment->synced_bytes = log_reader_synced_bytes(reader);
    }
    log_reader_close(reader);
    segment->damaged = is_damage(r);
    return segment->damaged ? 0 : r;
}

static int look_at_all(struct logs *logs)
{
    const struct admin_state *state = &logs->scan->state;
    uint64_t first =
        state->first_log > state->released_log ? state->first_log : state->released_log;
    uint64_t highest = logs->scan->highest[KV_FILE_LOG];
    size_t room = state->closed_log_count + (highest >= first ? highest - first : 0) + 1;
    int r = 0;

    /* Numbers come from names of files: a wild one must not become memory. */
    if (room > logs->scan->file_count + state->closed_log_count + 1) {
        room = logs->scan->file_count + state->closed_log_count + 1;
    }
    logs->segments = calloc(room, sizeof *logs->segments);
    if (logs->segments == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < state->closed_log_count; i++) {
        uint64_t number = state->closed_logs[i].number;
        if (number >= state->released_log && number < state->first_log) {
            logs->segments[logs->count++].number = number;
        }
    }
    for (uint64_t n = first; logs->count < room && (n == first || n <= highest); n++) {
        logs->segments[logs->count++].number = n;
    }
    for (size_t i = 0; i < logs->count && r == 0; i++) {
        struct segment *segment = &logs->segments[i];
        segment->closed = admin_state_closed_log(state, segment->number) != NULL;
        r = look(logs, segment);
    }
    return r;
}

/* ---- replaying ---- */

static bool proven_later(const struct logs *logs, size_t i)
{
    for (i++; i < logs->count; i++) {
        if (logs->segments[i].has_head && logs->segments[i].synced_bytes > 0) {
            return true;
        }
    }
    return false;
}

static bool is_of_cut_opening(const struct logs *logs, size_t i)
{
    const struct segment *segment = &logs->segments[i];
    return i > 0 && segment->number >= logs->scan->state.first_log && segment->has_head &&
           segment->previous.number == 0;
}

static int keep(struct logs *logs, const struct log_end *end)
{
    struct scan *scan = logs->scan;
    struct log_end *larger =
        realloc(scan->log_ends, (scan->log_end_count + 1) * sizeof *scan->log_ends);
    if (larger == NULL) {
        return -ENOMEM;
    }
    scan->log_ends = larger;
    larger[scan->log_end_count++] = *end;
    return 0;
}

/* Rows of one segment up to `limit`. Sets where they end; 1 if that is before a record that does
 * not count. */
static int replay_rows(struct logs *logs, const struct segment *segment, uint64_t limit,
                       uint64_t durable, struct log_end *ret_end)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    int verdict = ROWS_GOOD;
    int r = open_log(logs, segment->number, &reader);

    while (r == 0) {
        *ret_end = log_reader_end(reader);
        if (ret_end->size >= segment->end.size || ret_end->size >= limit) {
            break;
        }
        r = log_reader_next(reader, &record);
        if (r != 1) {
            break;
        }
        verdict = scan_rows(logs->scan, segment->number, &record,
                            log_reader_end(reader).size <= durable, &logs->sequence);
        logs->records +=
            record.type == LOG_RECORD_BATCH && record.sequence > logs->scan->state.last_sequence;
        if (verdict != ROWS_GOOD) {
            break;
        }
        r = 0;
    }
    log_reader_close(reader);
    logs->scan->logs_cut |= verdict == ROWS_BAD;
    if (verdict < 0) {
        return verdict;
    }
    return r < 0 ? r : verdict != ROWS_GOOD;
}

static int replay_head(struct logs *logs, size_t i)
{
    const struct segment *segment = &logs->segments[i];
    if (!segment->exists) {
        return cut(logs, KV_PROBLEM_LOG_MISSING, segment, "is missing");
    }
    if (segment->damaged || proven_later(logs, i) || segment->closed) {
        return cut(logs, KV_PROBLEM_LOG_HEAD, segment,
                   "has lost its head, without which none of its records can be verified");
    }
    return 0; /* its creation was cut short: it has no records */
}

/* Records of an opening that the root does not know of. */
static int replay_cut_opening(struct logs *logs, size_t i)
{
    for (; i < logs->count; i++) {
        if (logs->segments[i].has_records) {
            return cut(logs, KV_PROBLEM_ROOT_OLD, &logs->segments[i],
                       "holds records, but the root record is older than it");
        }
    }
    return 0;
}

/* What stands between the end of segment `i` and the next one. Sets whether to go on. */
static int judge_end(struct logs *logs, size_t i, const struct log_end *end, bool *ret_go_on)
{
    const struct segment *segment = &logs->segments[i];
    const struct segment *next = i + 1 < logs->count ? segment + 1 : NULL;
    bool bounded = next != NULL && next->has_head && next->number == segment->number + 1 &&
                   !is_of_cut_opening(logs, i + 1);
    bool reached = bounded && end->size >= next->previous.size;

    *ret_go_on = false;
    if (segment->damaged && !reached) {
        return cut(logs, KV_PROBLEM_LOG_DAMAGED, segment,
                   "is damaged: durable records behind its last good one cannot be read");
    }
    if (segment->torn && !reached) {
        struct scan_place at = place(KV_PROBLEM_LOG_TORN, segment->number, end->size);
        scan_tell(logs->scan, &at, "log %08" PRIu64 " ends with a record that was not finished",
                  segment->number);
    }
    if (next != NULL && is_of_cut_opening(logs, i + 1)) {
        return replay_cut_opening(logs, i + 1);
    }
    if (bounded && next->previous.number != segment->number) {
        return cut(logs, KV_PROBLEM_LOG_SUCCESSOR, next, "does not follow its predecessor");
    }
    if (bounded && !reached) {
        return proven_later(logs, i)
                   ? cut(logs, KV_PROBLEM_LOG_SHORT, segment, "has lost records that were durable")
                   : 0;
    }
    if (bounded && (end->size != next->previous.size || end->chain != next->previous.chain)) {
        return cut(logs, KV_PROBLEM_LOG_SUCCESSOR, segment, "is not the one its successor follows");
    }
    *ret_go_on = next != NULL;
    return 0;
}

static int replay_one(struct logs *logs, size_t i, bool *ret_go_on)
{
    const struct segment *segment = &logs->segments[i];
    const struct segment *next = i + 1 < logs->count ? segment + 1 : NULL;
    bool bounded = next != NULL && next->has_head && next->previous.number == segment->number;
    uint64_t limit = bounded ? next->previous.size : UINT64_MAX;
    bool all_durable = segment->closed || proven_later(logs, i);
    struct log_end end = {0};
    int stopped;
    int r;

    *ret_go_on = false;
    if (!segment->exists || !segment->has_head) {
        return replay_head(logs, i);
    }
    stopped =
        replay_rows(logs, segment, limit, all_durable ? UINT64_MAX : segment->synced_bytes, &end);
    r = stopped < 0 ? stopped : keep(logs, &end);
    return r < 0 || stopped == 1 ? r : judge_end(logs, i, &end, ret_go_on);
}

static void check_snapshots(struct scan *scan)
{
    for (size_t i = 0; i < scan->state.snapshot_count; i++) {
        const struct edit_snapshot *snapshot = &scan->state.snapshots[i];
        struct scan_place at = {.code = KV_PROBLEM_SNAPSHOT_AHEAD,
                                .id = {KV_FILE_MANIFEST, scan->root.manifest},
                                .offset = MESSAGE_NO_OFFSET};
        if (snapshot->sequence > scan->last_sequence) {
            scan_tell(scan, &at,
                      "the snapshot '%s' sees rows up to number %" PRIu64
                      ", and the last one there is has number %" PRIu64,
                      snapshot->name, snapshot->sequence, scan->last_sequence);
        }
    }
}

/* Where a clean root says that the newest log ends is as good as the manifest's word. */
static int note_clean_end(struct scan *scan)
{
    struct edit edit = {0};
    int r;
    if (!scan->root.clean || admin_state_closed_log(&scan->state, scan->root.last_log.number)) {
        return 0;
    }
    r = edit_add_closed_log(&edit, &scan->root.last_log);
    r = r < 0 ? r : admin_state_apply(&scan->state, &edit);
    edit_finish(&edit);
    return r;
}

int scan_logs(struct scan *scan)
{
    struct logs logs = {.scan = scan, .sequence = scan->state.last_sequence};
    bool go_on = true;
    int r = note_clean_end(scan);

    r = r < 0 ? r : look_at_all(&logs);
    for (size_t i = 0; i < logs.count && go_on && r == 0; i++) {
        r = replay_one(&logs, i, &go_on);
    }
    scan->last_sequence = logs.sequence;
    if (r == 0 && logs.records > 0) {
        struct scan_place at = {.code = KV_PROBLEM_LOG_REPLAY, .offset = MESSAGE_NO_OFFSET};
        scan_tell(scan, &at, "%" PRIu64 " records of the logs are to be replayed", logs.records);
    }
    if (r == 0) {
        check_snapshots(scan);
    }
    free(logs.segments);
    return r;
}
