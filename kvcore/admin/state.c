/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/state.h"

#include <stdlib.h>

int admin_state_init(struct admin_state *state)
{
    *state = (struct admin_state){0};
    return version_create_empty(&state->version);
}

void admin_state_finish(struct admin_state *state)
{
    version_unref(state->version);
    free(state->closed_logs);
    free(state->snapshots);
    *state = (struct admin_state){0};
}

const char *admin_state_table_name(const struct admin_state *state, uint32_t table_id)
{
    return table_id >= 1 && table_id <= KV_TABLE_COUNT_MAX && state->has_table[table_id - 1]
               ? state->tables[table_id - 1].name
               : NULL;
}

const struct log_end *admin_state_closed_log(const struct admin_state *state, uint64_t number)
{
    for (size_t i = 0; i < state->closed_log_count; i++) {
        if (state->closed_logs[i].number == number) {
            return &state->closed_logs[i];
        }
    }
    return NULL;
}

/* ---- one edit more ---- */

static int apply_tables(struct admin_state *state, const struct edit *edit)
{
    for (size_t i = 0; i < edit->table_count; i++) {
        uint32_t at = edit->tables[i].id - 1;
        if (state->has_table[at] || state->is_dropped[at]) {
            return -KV_EDAMAGED;
        }
        state->has_table[at] = true;
        state->tables[at] = edit->tables[i];
    }
    for (size_t i = 0; i < edit->dropped_count; i++) {
        uint32_t at = edit->dropped[i].id - 1;
        state->has_table[at] = false;
        state->is_dropped[at] = true;
        state->dropped[at] = edit->dropped[i].sequence;
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        if (admin_state_table_name(state, edit->added[i]->table_id) == NULL) {
            return -KV_EDAMAGED;
        }
    }
    return 0;
}

static int apply_closed_logs(struct admin_state *state, const struct edit *edit)
{
    size_t count = state->closed_log_count + edit->closed_log_count;
    struct log_end *larger;

    if (edit->closed_log_count == 0) {
        return 0;
    }
    larger = realloc(state->closed_logs, count * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    memcpy(larger + state->closed_log_count, edit->closed_logs,
           edit->closed_log_count * sizeof *larger);
    state->closed_logs = larger;
    state->closed_log_count = count;
    return 0;
}

static size_t find_snapshot(const struct admin_state *state, const char *name)
{
    size_t i = 0;
    while (i < state->snapshot_count && strcmp(state->snapshots[i].name, name) != 0) {
        i++;
    }
    return i;
}

static int add_snapshot(struct admin_state *state, const struct edit_snapshot *snapshot)
{
    struct edit_snapshot *larger;
    if (find_snapshot(state, snapshot->name) < state->snapshot_count) {
        return -KV_EDAMAGED;
    }
    larger = realloc(state->snapshots, (state->snapshot_count + 1) * sizeof *larger);
    if (larger == NULL) {
        return -ENOMEM;
    }
    state->snapshots = larger;
    larger[state->snapshot_count++] = *snapshot;
    return 0;
}

static int apply_snapshots(struct admin_state *state, const struct edit *edit)
{
    int r = 0;
    for (size_t i = 0; i < edit->snapshot_count && r == 0; i++) {
        r = add_snapshot(state, &edit->snapshots[i]);
    }
    for (size_t i = 0; i < edit->dropped_snapshot_count && r == 0; i++) {
        size_t at = find_snapshot(state, edit->dropped_snapshots[i].name);
        if (at == state->snapshot_count) {
            return -KV_EDAMAGED;
        }
        memmove(&state->snapshots[at], &state->snapshots[at + 1],
                (state->snapshot_count - at - 1) * sizeof state->snapshots[0]);
        state->snapshot_count--;
    }
    return r;
}

static void apply_numbers(struct admin_state *state, const struct edit *edit)
{
    state->next_table = edit->next_table > state->next_table ? edit->next_table : state->next_table;
    state->next_blob = edit->next_blob > state->next_blob ? edit->next_blob : state->next_blob;
    if (edit->last_sequence > state->last_sequence) {
        state->last_sequence = edit->last_sequence;
    }
    state->first_log = edit->first_log != 0 ? edit->first_log : state->first_log;
    state->released_log = edit->released_log != 0 ? edit->released_log : state->released_log;
}

int admin_state_apply(struct admin_state *state, const struct edit *edit)
{
    struct version *version = NULL;
    int r = apply_tables(state, edit);

    r = r < 0 ? r : apply_closed_logs(state, edit);
    r = r < 0 ? r : apply_snapshots(state, edit);
    r = r < 0 ? r : version_apply(state->version, edit, &version);
    if (r < 0) {
        return r;
    }
    version_unref(state->version);
    state->version = version;
    apply_numbers(state, edit);
    return 0;
}

/* ---- as one edit ---- */

static int edit_files(const struct version *version, struct edit *edit)
{
    int r = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        const struct table_files *files = version_table(version, id);
        for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
            for (size_t i = 0; i < files->levels[level].count && r == 0; i++) {
                r = edit_add_file(edit, files->levels[level].files[i]);
            }
        }
    }
    for (size_t i = 0; version->blobs != NULL && i < version->blobs->count && r == 0; i++) {
        r = edit_add_blob(edit, &version->blobs->items[i].info);
    }
    return r;
}

int admin_state_edit(const struct admin_state *state, struct edit *ret_edit)
{
    struct edit *edit = ret_edit;
    int r = 0;

    *edit = (struct edit){.next_table = state->next_table,
                          .next_blob = state->next_blob,
                          .last_sequence = state->last_sequence,
                          .first_log = state->first_log,
                          .released_log = state->released_log};
    for (size_t i = 0; i < state->closed_log_count && r == 0; i++) {
        r = edit_add_closed_log(edit, &state->closed_logs[i]);
    }
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX && r == 0; id++) {
        r = state->is_dropped[id - 1] ? edit_drop_table(edit, id, state->dropped[id - 1]) : 0;
        r = r == 0 && state->has_table[id - 1] ? edit_add_table(edit, &state->tables[id - 1]) : r;
    }
    for (size_t i = 0; i < state->snapshot_count && r == 0; i++) {
        r = edit_add_snapshot(edit, &state->snapshots[i]);
    }
    return r < 0 ? r : edit_files(state->version, edit);
}
