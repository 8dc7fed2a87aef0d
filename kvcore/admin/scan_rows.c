/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/scan_rows.h"

#include <inttypes.h>

#include "kvcore/blob/blob_file.h"
#include "kvcore/db/batch.h"

struct judging {
    struct scan *scan;
    uint64_t number;
    const struct log_record *record;
    bool is_durable;
};

static int bad(const struct judging *j, int code, const char *what)
{
    struct scan_place at = {
        .code = code, .id = {KV_FILE_LOG, j->number}, .offset = j->record->offset};
    scan_tell(j->scan, &at, "log %08" PRIu64 ": the record at offset %" PRIu64 " is intact, but %s",
              j->number, j->record->offset, what);
    return ROWS_BAD;
}

/* Large values that a flush put away are the manifest's. The others have to be there, and what is
 * not proven durable is read. */
static int judge_pointer(const struct judging *j, struct kv_slice value)
{
    struct scan *scan = j->scan;
    struct blob_store blobs = {.storage = scan->storage, .seed = scan->seed, .sink = &scan->sink};
    struct blob_pointer pointer;
    struct blob_file *blob = NULL;
    struct kv_buf stored = {0};
    struct scan_file *file;
    int r;

    if (blob_pointer_decode(value, &pointer) < 0) {
        return bad(j, KV_PROBLEM_LOG_SENSELESS, "has a pointer to a large value without a sense");
    }
    file = scan_find(scan, KV_FILE_BLOB, pointer.number);
    if (file != NULL) {
        file->wanted = true;
    }
    if (version_find_blob(scan->state.version, pointer.number) != NULL && file != NULL &&
        file->size >= pointer.offset + pointer.stored_size) {
        return ROWS_GOOD; /* named, so synced */
    }
    if (file == NULL || file->size < pointer.offset + pointer.stored_size) {
        return j->is_durable ? bad(j, KV_PROBLEM_BLOB_MISSING, "a large value of it is missing")
                             : ROWS_UNPROVEN;
    }
    if (j->is_durable) {
        return ROWS_GOOD;
    }
    r = blob_file_open(&blobs, pointer.number, &blob);
    r = r < 0 ? r : blob_file_read_stored(blob, &pointer, &stored);
    blob_file_unref(blob);
    kv_buf_finish(&stored);
    return r == -KV_EDAMAGED ? ROWS_UNPROVEN : r;
}

static int judge_row(const struct judging *j, const struct batch_row *row, uint64_t sequence)
{
    const struct admin_state *state = &j->scan->state;
    uint32_t id = row->table_id;

    if (id == 0 || id > KV_TABLE_COUNT_MAX) {
        return bad(j, KV_PROBLEM_LOG_SENSELESS, "it has a row of a table that cannot be");
    }
    if (state->is_dropped[id - 1] && sequence <= state->dropped[id - 1]) {
        return ROWS_GOOD;
    }
    if (!state->has_table[id - 1]) {
        return bad(j, KV_PROBLEM_LOG_UNKNOWN_TABLE, "it has a row of a table that there is not");
    }
    return row->kind == ROW_BLOB ? judge_pointer(j, row->value) : ROWS_GOOD;
}

int scan_rows(struct scan *scan, uint64_t number, const struct log_record *record, bool is_durable,
              uint64_t *sequence)
{
    struct judging j = {scan, number, record, is_durable};
    struct coding_cursor cursor = coding_cursor(record->payload);
    uint64_t next = record->sequence;
    struct batch_row row;
    int r = 0;

    if (record->type != LOG_RECORD_BATCH || next <= scan->state.last_sequence) {
        return ROWS_GOOD; /* in tables already */
    }
    if (next <= *sequence || next > ROW_SEQUENCE_MAX) {
        return bad(&j, KV_PROBLEM_LOG_ORDER, "its rows are not numbered behind those before it");
    }
    while ((r = batch_next(&cursor, &row)) == 1) {
        r = next <= ROW_SEQUENCE_MAX ? judge_row(&j, &row, next++) : -KV_EDAMAGED;
        if (r != ROWS_GOOD) {
            break;
        }
    }
    if (r == -KV_EDAMAGED) {
        return bad(&j, KV_PROBLEM_LOG_SENSELESS, "what it holds are no rows");
    }
    if (r == -KV_EFORMAT) {
        kv_ignore(bad(&j, KV_PROBLEM_LOG_NEWER, "it has rows that this version does not know"));
    }
    if (r == ROWS_GOOD) {
        *sequence = next - 1;
    }
    return r;
}
