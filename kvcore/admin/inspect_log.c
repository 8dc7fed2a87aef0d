/* SPDX-License-Identifier: Apache-2.0 */
/* A write-ahead log: its records as recovery reads them, and why they end where they do. */
#include <inttypes.h>

#include "kvcore/admin/inspect.h"
#include "kvcore/db/batch.h"
#include "kvcore/log/log_reader.h"

/* ---- records, also of manifests ---- */

/* Where the file has to end, if somebody knows: the manifest of a closed log, the root record of a
 * store that was closed cleanly. */
static const struct log_end *expected_end(const struct inspect *in)
{
    const struct scan *known = &in->known;
    const struct root *root = &known->root;
    bool is_log = in->id.kind == KV_FILE_LOG;
    const struct log_end *last = is_log ? &root->last_log : &root->last_manifest;

    if (known->has_root && root->clean && last->number == in->id.number) {
        return last;
    }
    return is_log && known->has_state ? admin_state_closed_log(&known->state, in->id.number) : NULL;
}

/* A log that is needed no more is given to another use, under another name. */
static int check_still_there(struct inspect *in)
{
    struct kv_log *log = NULL;
    int r = in->storage->ops->log_open(in->storage, in->id, &log);

    if (r == -ENOENT) {
        return -ESTALE;
    }
    if (r == 0) {
        in->storage->ops->log_close(log);
    }
    return 0;
}

static int tell_damaged(struct inspect *in, int error)
{
    int r = check_still_there(in);
    if (r < 0) {
        return r;
    }
    return error == -KV_EDAMAGED
               ? inspect_damage(in, in->said_offset, "%s", in->said)
               : inspect_damage(in, MESSAGE_NO_OFFSET, "it cannot be read: %s", kv_strerror(error));
}

static int read_records(struct inspect *in, struct log_reader *reader, inspect_record_fn *record_fn,
                        void *arg, bool *ret_closed)
{
    struct log_record record;
    uint64_t before = 0;
    int r = 0;

    while (r == 0 && (r = log_reader_next(reader, &record)) == 1) {
        uint64_t end = log_reader_end(reader).size;
        *ret_closed = record.type == LOG_RECORD_CLOSE;
        r = record_fn(arg, &record);
        r = r != 0 ? r : inspect_spend(in, end - before);
        before = end;
        if (r == 1) {
            return 0; /* told by record_fn */
        }
    }
    return r;
}

int inspect_records(struct inspect *in, inspect_record_fn *record_fn, void *arg,
                    struct inspect_log_end *ret_end)
{
    struct inspect_log_end end = {.reason = "damaged"};
    struct log_reader *reader = NULL;
    struct kv_log *log = NULL;
    bool closed = false;
    int r = in->storage->ops->log_open(in->storage, in->id, &log);

    if (r < 0) {
        return r;
    }
    in->bytes_all = in->storage->ops->log_size(log);
    in->storage->ops->log_close(log);
    r = log_reader_open(in->storage, in->id, in->seed, expected_end(in), &in->sink, &reader);
    r = r < 0 ? r : read_records(in, reader, record_fn, arg, &closed);
    if (reader != NULL) {
        end.offset = log_reader_end(reader).size;
        end.synced_bytes = log_reader_synced_bytes(reader);
        end.previous = log_reader_previous(reader);
    }
    if (r == 0 && in->damages == 0) {
        end.reason = !log_reader_has_head(reader)  ? "headless"
                     : closed                      ? "closed"
                     : log_reader_was_torn(reader) ? "unfinished"
                                                   : "complete";
    }
    log_reader_close(reader);
    if (r == -KV_EDAMAGED || r == -EIO) {
        r = tell_damaged(in, r);
    }
    *ret_end = end;
    return r;
}

void inspect_log_facts(struct inspect *in, const struct inspect_log_end *end)
{
    inspect_number(in, "file_bytes", in->bytes_all);
    inspect_number(in, "number", in->id.number);
    inspect_number(in, "end_offset", end->offset);
    inspect_text(in, "end", end->reason);
    inspect_number(in, "synced_bytes", end->synced_bytes);
    if (end->previous.number != 0) {
        inspect_number(in, "previous", end->previous.number);
        inspect_number(in, "previous_end", end->previous.size);
    }
}

/* ---- a log ---- */

struct looking {
    struct inspect *in;
    uint64_t records, batches, rows;
    uint64_t sequence_min, sequence_max;
};

static const char *type_name(enum log_record_type type)
{
    switch (type) {
    case LOG_RECORD_HEAD:
        return "head";
    case LOG_RECORD_BATCH:
        return "batch";
    case LOG_RECORD_MARK:
        return "mark";
    case LOG_RECORD_CLOSE:
        return "close";
    case LOG_RECORD_SNAPSHOT:
        return "snapshot";
    case LOG_RECORD_EDIT:
        return "edit";
    }
    return "unknown";
}

static int tell_record(struct inspect *in, const struct log_record *record)
{
    if (!in->options->parts) {
        return 0;
    }
    inspect_begin(in, KV_INSPECT_PART, "record");
    inspect_number(in, "offset", record->offset);
    inspect_text(in, "holds", type_name(record->type));
    inspect_number(in, "bytes", record->payload.size);
    inspect_number(in, "sequence", record->sequence);
    return inspect_end(in);
}

static int tell_row(struct inspect *in, const struct batch_row *row, uint64_t sequence,
                    uint64_t offset)
{
    struct inspect_row shown = {
        .kind = (uint8_t)row->kind, .sequence = sequence, .key = row->key, .value = row->value};

    if (!in->options->rows) {
        return 0;
    }
    inspect_begin(in, KV_INSPECT_ROW, inspect_kind(shown.kind));
    inspect_number(in, "record", offset);
    inspect_keyspace(in, row->table_id);
    inspect_row(in, &shown);
    return inspect_end(in);
}

/* The record is intact, but what it holds are no rows. */
static int tell_senseless(struct looking *l, const struct log_record *record, int error)
{
    l->in->newer |= error == -KV_EFORMAT;
    return inspect_damage(l->in, record->offset,
                          "the record at offset %" PRIu64 " is intact, but %s", record->offset,
                          error == -KV_EFORMAT ? "has rows that this version does not know"
                                               : "what it holds are no rows");
}

static int look_at_rows(struct looking *l, const struct log_record *record)
{
    struct coding_cursor cursor = coding_cursor(record->payload);
    uint64_t sequence = record->sequence;
    struct batch_row row;
    int r = 0;

    while (r == 0 && (r = batch_next(&cursor, &row)) == 1) {
        r = tell_row(l->in, &row, sequence, record->offset);
        l->sequence_min = sequence < l->sequence_min ? sequence : l->sequence_min;
        l->sequence_max = sequence > l->sequence_max ? sequence : l->sequence_max;
        sequence++;
        l->rows++;
    }
    return r == -KV_EDAMAGED || r == -KV_EFORMAT ? tell_senseless(l, record, r) : r;
}

static int take_record(void *arg, const struct log_record *record)
{
    struct looking *l = arg;
    int r = tell_record(l->in, record);

    l->records++;
    if (r == 0 && record->type == LOG_RECORD_BATCH) {
        l->batches++;
        r = look_at_rows(l, record);
    }
    return r;
}

int inspect_log(struct inspect *in)
{
    struct looking l = {.in = in, .sequence_min = UINT64_MAX};
    struct inspect_log_end end;
    int r = inspect_records(in, take_record, &l, &end);

    if (r < 0) {
        return r;
    }
    inspect_begin(in, KV_INSPECT_FILE, "log");
    inspect_log_facts(in, &end);
    inspect_number(in, "record_count", l.records);
    inspect_number(in, "batch_count", l.batches);
    inspect_number(in, "row_count", l.rows);
    if (l.rows > 0) {
        inspect_number(in, "sequence_min", l.sequence_min);
        inspect_number(in, "sequence_max", l.sequence_max);
    }
    return inspect_end(in);
}
