/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a store without a manifest: the tables that belong, all in level 0 until repair has
 * written them anew, their blobs, the keyspaces, and the logs that count. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvcore/admin/rebuild.h"
#include "kvcore/db/batch.h"
#include "kvcore/log/log_reader.h"

/* ---- keyspaces ---- */

static bool is_known(const struct edit *edit, uint32_t id)
{
    bool known = false;
    for (size_t i = 0; i < edit->table_count; i++) {
        known |= edit->tables[i].id == id;
    }
    return known;
}

/* With the options that the unreadable manifest gave it, as far as that could be read. */
static int add_keyspace(const struct rebuild *rebuild, struct edit *edit, uint32_t id,
                        const char *name, unsigned prefix_size)
{
    struct edit_table table = {.id = id,
                               .options = {.prefix_size = prefix_size,
                                           .filter_bits_per_key = 10,
                                           .block_bytes = (size_t)8 << 10}};
    const struct edit_table *had = rebuild->had_table[id - 1] ? &rebuild->had[id - 1] : NULL;

    if (is_known(edit, id)) {
        return 0;
    }
    if (had != NULL &&
        (name == NULL || rebuild_is_lost_name(name) || strcmp(had->name, name) == 0)) {
        table = *had;
    } else if (name != NULL) {
        snprintf(table.name, sizeof table.name, "%s", name);
    } else {
        snprintf(table.name, sizeof table.name, KV_LOST_KEYSPACE "%u", (unsigned)id);
    }
    return edit_add_table(edit, &table);
}

/* The table that knows the name of the keyspace: one that was made after it got that again, if its
 * name was one that a rebuilt manifest gave. */
static const struct rebuild_table *who_names(const struct rebuild *rebuild,
                                             const struct rebuild_table *table)
{
    for (size_t i = 0; i < rebuild->count && rebuild_is_lost_name(table->name); i++) {
        const struct rebuild_table *other = &rebuild->tables[i];
        bool better = rebuild_belongs(other) && other->file->table_id == table->file->table_id;
        table = better && !rebuild_is_lost_name(other->name) ? other : table;
    }
    return table;
}

/* ---- tables and blobs ---- */

static int add_blobs(struct rebuild *rebuild, struct edit *edit, const struct blob_uses *uses)
{
    int r = 0;
    for (size_t i = 0; i < uses->count && r == 0; i++) {
        struct blob_info info;
        bool known = false;
        for (size_t n = 0; n < edit->blob_count; n++) {
            known |= edit->blobs[n].number == uses->items[i].number;
        }
        if (!known) {
            r = rebuild_blob_info(rebuild->scan, uses->items[i].number, &info);
            r = r < 0 ? r : edit_add_blob(edit, &info);
        }
    }
    return r;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int add_tables(struct rebuild *rebuild, struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < rebuild->count && r == 0; i++) {
        const struct rebuild_table *table = &rebuild->tables[i];
        if (table->installed || table->inputs.size > 0) {
            edit->last_sequence = larger(edit->last_sequence, table->flushed_sequence);
            edit->released_log = larger(edit->released_log, table->released_log);
        }
        if (rebuild_belongs(table)) {
            const struct rebuild_table *namer = who_names(rebuild, table);
            r = add_keyspace(rebuild, edit, table->file->table_id, namer->name, namer->prefix_size);
            r = r < 0 ? r : edit_add_file(edit, table->file);
            r = r < 0 ? r : add_blobs(rebuild, edit, &table->file->blobs);
        }
    }
    return r;
}

/* ---- logs ---- */

int rebuild_open_log(struct scan *scan, uint64_t number, struct log_reader **ret_reader)
{
    struct kv_file_id id = {.kind = KV_FILE_LOG, .number = number};
    int r = log_reader_open(scan->storage, id, scan->seed, NULL, &scan->sink, ret_reader);
    return r == -ENOMEM ? r : r == 0; /* what cannot be read is told by the pass over the logs */
}

/* Whether an opening began with this log: everything before it was in tables then, if that opening
 * came to its end. Only then it has records. */
static int begins_run(struct scan *scan, uint64_t number, bool *ret_begins, bool *ret_records)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    int r = rebuild_open_log(scan, number, &reader);

    *ret_begins = false;
    *ret_records = false;
    if (r == 1 && log_reader_has_head(reader)) {
        *ret_begins = log_reader_previous(reader).number == 0;
        *ret_records = *ret_begins && log_reader_next(reader, &record) == 1;
    }
    log_reader_close(reader);
    return r < 0 ? r : 0;
}

/* The first log whose rows are not known to be in tables. */
static int find_first_log(struct scan *scan, uint64_t released, uint64_t *ret_first)
{
    uint64_t first = 0;
    bool begins = false, records = false;
    int r = 0;

    for (size_t i = scan->file_count; i > 0 && r == 0; i--) {
        const struct scan_file *file = &scan->files[i - 1];
        if (file->id.kind != KV_FILE_LOG || file->id.number < released) {
            continue;
        }
        first = file->id.number;
        r = begins_run(scan, first, &begins, &records);
        if (begins && records) {
            break;
        }
    }
    /* A log that is missing behind the released ones is damage, unless an opening began later. */
    *ret_first = first != 0 && (begins || released == 0) ? first : larger(released, 1);
    return r;
}

/* Keyspaces of which only logs hold rows. Their names are gone with the manifest. */
static int name_rows(const struct rebuild *rebuild, struct edit *edit,
                     const struct log_record *record)
{
    struct coding_cursor cursor = coding_cursor(record->payload);
    struct batch_row row;
    int r = 0;

    if (record->type != LOG_RECORD_BATCH || record->sequence <= edit->last_sequence) {
        return 0;
    }
    while (r == 0 && batch_next(&cursor, &row) == 1) {
        uint32_t id = row.table_id;
        if (id >= 1 && id <= KV_TABLE_COUNT_MAX && !rebuild->was_dropped[id - 1]) {
            r = add_keyspace(rebuild, edit, id, NULL, 0);
        }
    }
    return r;
}

static int name_log(const struct rebuild *rebuild, struct edit *edit, uint64_t number)
{
    struct log_reader *reader = NULL;
    struct log_record record;
    int r = rebuild_open_log(rebuild->scan, number, &reader);

    r = r == 1 ? 0 : r;
    while (r == 0 && reader != NULL && log_reader_next(reader, &record) == 1) {
        r = name_rows(rebuild, edit, &record);
    }
    log_reader_close(reader);
    return r;
}

static int add_logs(struct rebuild *rebuild, struct edit *edit)
{
    struct scan *scan = rebuild->scan;
    int r = find_first_log(scan, edit->released_log, &edit->first_log);

    edit->released_log = edit->first_log;
    for (size_t i = 0; i < scan->file_count && r == 0; i++) {
        const struct kv_file_id *id = &scan->files[i].id;
        if (id->kind == KV_FILE_LOG && id->number >= edit->first_log) {
            r = name_log(rebuild, edit, id->number);
        }
    }
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        if (rebuild->was_dropped[id - 1] && !is_known(edit, id)) {
            r = edit_drop_table(edit, id, ROW_SEQUENCE_MAX);
        } else if (rebuild->had_table[id - 1]) {
            r = add_keyspace(rebuild, edit, id, NULL, 0);
        }
    }
    return r;
}

/* ---- the whole ---- */

/* With what the manifest said before it could not be read on, or ended. */
void rebuild_begin(struct rebuild *rebuild, struct scan *scan)
{
    const struct admin_state *state = &scan->state;
    *rebuild = (struct rebuild){.scan = scan};
    memcpy(rebuild->had_table, state->has_table, sizeof rebuild->had_table);
    memcpy(rebuild->was_dropped, state->is_dropped, sizeof rebuild->was_dropped);
    memcpy(rebuild->had, state->tables, sizeof rebuild->had);
}

/* What the manifest said of numbers and logs is still so. */
static int begin_known(const struct rebuild *rebuild, struct edit *edit)
{
    const struct admin_state *state = &rebuild->scan->state;
    int r = 0;

    edit->next_table = state->next_table;
    edit->next_blob = state->next_blob;
    edit->last_sequence = state->last_sequence;
    edit->released_log = rebuild->known->first_log;
    for (size_t i = 0; i < state->closed_log_count && r == 0; i++) {
        r = edit_add_closed_log(edit, &state->closed_logs[i]);
    }
    return r;
}

int rebuild_make_state(struct rebuild *rebuild)
{
    struct scan *scan = rebuild->scan;
    struct edit edit = {.next_table = 1, .next_blob = 1};
    struct admin_state state = {0};
    int r = rebuild->known != NULL ? begin_known(rebuild, &edit) : 0;

    r = r < 0 ? r : add_tables(rebuild, &edit);
    r = r < 0 ? r : add_logs(rebuild, &edit);
    r = r < 0 ? r : admin_state_init(&state);
    r = r < 0 ? r : admin_state_apply(&state, &edit);
    edit_finish(&edit);
    if (r < 0) {
        admin_state_finish(&state);
        return r == -KV_EDAMAGED ? 0 : r;
    }
    admin_state_finish(&scan->state);
    scan->state = state;
    scan->has_state = true;
    scan->rebuilt = true;
    return 0;
}

int scan_rebuild(struct scan *scan)
{
    struct rebuild *rebuild = calloc(1, sizeof *rebuild);
    int r = rebuild != NULL ? 0 : -ENOMEM;

    if (r == 0) {
        rebuild_begin(rebuild, scan);
        r = rebuild_read(rebuild);
        r = r == 0 && !rebuild->undecidable ? rebuild_judge(rebuild) : r;
        r = r == 0 && !rebuild->undecidable ? rebuild_make_state(rebuild) : r;
        rebuild_finish(rebuild);
    }
    free(rebuild);
    return r;
}

bool rebuild_can(const struct scan *scan)
{
    bool can = scan->rebuilt;
    for (size_t i = 0; i < scan->bad_table_count; i++) {
        can &= !scan->bad_tables[i].unsound || !scan->bad_tables[i].missing;
    }
    return can;
}

bool rebuild_is_sound(const struct scan *scan)
{
    bool sound = scan->rebuilt;
    for (size_t i = 0; i < scan->bad_table_count; i++) {
        sound &= !scan->bad_tables[i].unsound;
    }
    return sound;
}
