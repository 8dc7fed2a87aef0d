/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest: the changes in it, and the state that they come to. */
#include <inttypes.h>

#include "kvcore/admin/inspect.h"
#include "kvcore/log/log_reader.h"

struct looking {
    struct inspect *in;
    struct admin_state state;
    uint64_t edits;
    uint64_t snapshot_bytes; /* of the record at its head */
};

/* ---- changes ---- */

static void begin(struct looking *l, const char *type)
{
    inspect_begin(l->in, KV_INSPECT_ROW, type);
    inspect_number(l->in, "edit", l->edits);
}

static int tell_file(struct looking *l, const struct file_meta *file)
{
    struct inspect *in = l->in;

    begin(l, "table_added");
    inspect_number(in, "number", file->number);
    inspect_number(in, "keyspace_id", file->table_id);
    inspect_number(in, "level", file->level);
    inspect_number(in, "bytes", file->size);
    inspect_number(in, "row_count", file->row_count);
    inspect_number(in, "tombstone_count", file->tombstone_count);
    inspect_number(in, "range_delete_count", file->range_delete_count);
    inspect_number(in, "blob_bytes", blob_uses_sum(&file->blobs));
    inspect_number(in, "sequence_min", file->sequence_min);
    inspect_number(in, "sequence_max", file->sequence_max);
    inspect_bytes(in, "smallest_key", KV_INSPECT_KEY, kv_buf_slice(&file->smallest));
    inspect_bytes(in, "largest_key", KV_INSPECT_KEY, kv_buf_slice(&file->largest));
    return inspect_end(in);
}

static int tell_files(struct looking *l, const struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < edit->removed_count && r == 0; i++) {
        begin(l, "table_removed");
        inspect_number(l->in, "number", edit->removed[i].number);
        inspect_number(l->in, "keyspace_id", edit->removed[i].table_id);
        inspect_number(l->in, "level", edit->removed[i].level);
        r = inspect_end(l->in);
    }
    for (size_t i = 0; i < edit->added_count && r == 0; i++) {
        r = tell_file(l, edit->added[i]);
    }
    return r;
}

static int tell_blobs(struct looking *l, const struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < edit->blob_count && r == 0; i++) {
        begin(l, "blob");
        inspect_number(l->in, "number", edit->blobs[i].number);
        inspect_number(l->in, "bytes", edit->blobs[i].file_size);
        inspect_number(l->in, "data_bytes", edit->blobs[i].data_bytes);
        inspect_number(l->in, "punched_bytes", edit->blobs[i].punched_bytes);
        r = inspect_end(l->in);
    }
    for (size_t i = 0; i < edit->removed_blob_count && r == 0; i++) {
        begin(l, "blob_removed");
        inspect_number(l->in, "number", edit->removed_blobs[i]);
        r = inspect_end(l->in);
    }
    return r;
}

static int tell_keyspaces(struct looking *l, const struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < edit->table_count && r == 0; i++) {
        begin(l, "keyspace");
        inspect_number(l->in, "keyspace_id", edit->tables[i].id);
        inspect_text(l->in, "keyspace", edit->tables[i].name);
        r = inspect_end(l->in);
    }
    for (size_t i = 0; i < edit->dropped_count && r == 0; i++) {
        begin(l, "keyspace_dropped");
        inspect_number(l->in, "keyspace_id", edit->dropped[i].id);
        inspect_number(l->in, "sequence", edit->dropped[i].sequence);
        r = inspect_end(l->in);
    }
    return r;
}

static int tell_snapshots(struct looking *l, const struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < edit->snapshot_count && r == 0; i++) {
        begin(l, "snapshot");
        inspect_text(l->in, "name", edit->snapshots[i].name);
        inspect_number(l->in, "sequence", edit->snapshots[i].sequence);
        r = inspect_end(l->in);
    }
    for (size_t i = 0; i < edit->dropped_snapshot_count && r == 0; i++) {
        begin(l, "snapshot_dropped");
        inspect_text(l->in, "name", edit->dropped_snapshots[i].name);
        r = inspect_end(l->in);
    }
    return r;
}

static int tell_logs(struct looking *l, const struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < edit->closed_log_count && r == 0; i++) {
        begin(l, "log_closed");
        inspect_number(l->in, "number", edit->closed_logs[i].number);
        inspect_number(l->in, "bytes", edit->closed_logs[i].size);
        r = inspect_end(l->in);
    }
    if (r == 0 && (edit->first_log | edit->released_log | edit->last_sequence) != 0) {
        begin(l, "logs");
        inspect_number(l->in, "first_log", edit->first_log);
        inspect_number(l->in, "released_log", edit->released_log);
        inspect_number(l->in, "last_sequence", edit->last_sequence);
        r = inspect_end(l->in);
    }
    return r;
}

static int tell_edit(struct looking *l, const struct edit *edit)
{
    int r = 0;
    if (l->in->options->rows) {
        r = tell_keyspaces(l, edit);
        r = r < 0 ? r : tell_files(l, edit);
        r = r < 0 ? r : tell_blobs(l, edit);
        r = r < 0 ? r : tell_snapshots(l, edit);
        r = r < 0 ? r : tell_logs(l, edit);
    }
    return r;
}

/* ---- records ---- */

static int tell_record(struct looking *l, const struct log_record *record)
{
    struct inspect *in = l->in;
    if (!in->options->parts) {
        return 0;
    }
    inspect_begin(in, KV_INSPECT_PART, "record");
    inspect_number(in, "offset", record->offset);
    inspect_text(in, "holds", record->type == LOG_RECORD_SNAPSHOT ? "snapshot" : "edit");
    inspect_number(in, "bytes", record->payload.size);
    inspect_number(in, "edit", record->sequence);
    return inspect_end(in);
}

/* What comes behind an edit that does not fit has no meaning. */
static int tell_senseless(struct looking *l, const struct log_record *record, int error)
{
    int r;
    l->in->newer |= error == -KV_EFORMAT;
    r = inspect_damage(l->in, record->offset, "the record at offset %" PRIu64 " is intact, but %s",
                       record->offset,
                       error == -KV_EFORMAT ? "says something that this version does not know"
                                            : "does not fit what the ones before it say");
    return r < 0 ? r : 1;
}

static int take_record(void *arg, const struct log_record *record)
{
    struct looking *l = arg;
    struct edit edit = {0};
    int r = tell_record(l, record);

    if (r < 0) {
        return r;
    }
    l->edits++;
    l->snapshot_bytes = l->edits == 1 ? record->payload.size : l->snapshot_bytes;
    r = record->sequence == l->edits &&
                record->type == (l->edits == 1 ? LOG_RECORD_SNAPSHOT : LOG_RECORD_EDIT)
            ? edit_decode(record->payload, &edit)
            : -KV_EDAMAGED;
    if (r == 0) {
        r = tell_edit(l, &edit);
        r = r < 0 ? r : admin_state_apply(&l->state, &edit);
        edit_finish(&edit);
    }
    return r == -KV_EDAMAGED || r == -KV_EFORMAT ? tell_senseless(l, record, r) : r;
}

/* ---- the state ---- */

static int tell_level(struct looking *l, uint32_t table_id, int level)
{
    const struct table_files *files = version_table(l->state.version, table_id);
    const struct file_list *list = files != NULL ? &files->levels[level] : NULL;

    if (list == NULL || list->count == 0) {
        return 0;
    }
    inspect_begin(l->in, KV_INSPECT_SUMMARY, "level");
    inspect_number(l->in, "keyspace_id", table_id);
    inspect_text(l->in, "keyspace", admin_state_table_name(&l->state, table_id));
    inspect_number(l->in, "level", (uint64_t)level);
    inspect_number(l->in, "tables", list->count);
    inspect_number(l->in, "bytes", list->bytes);
    inspect_number(l->in, "row_count", list->row_count);
    inspect_number(l->in, "tombstone_count", list->tombstone_count);
    inspect_number(l->in, "blob_bytes", list->blob_bytes);
    return inspect_end(l->in);
}

static int tell_keyspace(struct looking *l, uint32_t table_id)
{
    const char *name = admin_state_table_name(&l->state, table_id);
    int r;

    if (name == NULL) {
        return 0;
    }
    inspect_begin(l->in, KV_INSPECT_SUMMARY, "keyspace");
    inspect_number(l->in, "keyspace_id", table_id);
    inspect_text(l->in, "keyspace", name);
    inspect_number(l->in, "tables", version_count_files(l->state.version, table_id));
    r = inspect_end(l->in);
    for (int level = 0; level < KV_LEVEL_COUNT && r == 0; level++) {
        r = tell_level(l, table_id, level);
    }
    return r;
}

static int tell_kept(struct looking *l)
{
    int r = 0;
    for (size_t i = 0; i < l->state.snapshot_count && r == 0; i++) {
        const struct edit_snapshot *snapshot = &l->state.snapshots[i];
        inspect_begin(l->in, KV_INSPECT_SUMMARY, "snapshot");
        inspect_text(l->in, "name", snapshot->name);
        inspect_number(l->in, "sequence", snapshot->sequence);
        inspect_number(l->in, "time_s", snapshot->time_s);
        r = inspect_end(l->in);
    }
    return r;
}

static int tell_state(struct looking *l, const struct inspect_log_end *end)
{
    const struct admin_state *state = &l->state;
    struct inspect *in = l->in;
    int r;

    inspect_begin(in, KV_INSPECT_FILE, "manifest");
    inspect_log_facts(in, end);
    inspect_number(in, "edit_count", l->edits);
    inspect_number(in, "snapshot_bytes", l->snapshot_bytes);
    inspect_number(in, "next_table", state->next_table);
    inspect_number(in, "next_blob", state->next_blob);
    inspect_number(in, "last_sequence", state->last_sequence);
    inspect_number(in, "first_log", state->first_log);
    inspect_number(in, "released_log", state->released_log);
    inspect_number(in, "closed_logs", state->closed_log_count);
    inspect_number(in, "blobs", state->version->blobs != NULL ? state->version->blobs->count : 0);
    r = inspect_end(in);
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        r = tell_keyspace(l, id);
    }
    return r < 0 ? r : tell_kept(l);
}

int inspect_manifest(struct inspect *in)
{
    struct looking l = {.in = in};
    struct inspect_log_end end;
    int r = admin_state_init(&l.state);

    r = r < 0 ? r : inspect_records(in, take_record, &l, &end);
    if (r == 0 && l.edits == 0 && in->damages == 0) {
        r = inspect_damage(in, 0, "it has no %s", end.offset == 0 ? "head" : "snapshot");
    }
    r = r < 0 ? r : tell_state(&l, &end);
    admin_state_finish(&l.state);
    return r;
}
