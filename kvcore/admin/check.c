/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/repair.h"
#include "kvcore/admin/scan.h"
#include "kvcore/db/batch.h"

/* A report needs no more than that nobody writes. Where LOCK is missing nobody can. */
static int take_lease(struct kv_storage *storage, const struct kv_admin_options *options)
{
    const char *holder = options->holder != NULL ? options->holder : "a check of the store";
    int r;

    if (options->mode != KV_ADMIN_REPORT) {
        return storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, holder);
    }
    r = storage->ops->lease_acquire(storage, KV_LEASE_SHARED, holder);
    return r == -ENOLCK || r == -ENOENT ? 0 : r;
}

static bool is_a_store(const struct scan *scan)
{
    return scan->has_raw_root || scan->file_count > 0;
}

int kv_admin_check(struct kv_storage *storage, const struct kv_admin_options *options,
                   struct kv_admin_result *ret_result)
{
    struct scan scan = {.storage = storage, .options = options};
    bool wanted = options->mode != KV_ADMIN_REPORT;
    int r = take_lease(storage, options);

    r = r < 0 ? r : scan_run(&scan);
    if (r == 0 && !is_a_store(&scan)) {
        r = -ENOENT;
    }
    if (r == 0 && wanted && (options->mode == KV_ADMIN_REPAIR || scan.unsafe == 0)) {
        r = repair_run(&scan);
    }
    *ret_result = scan.result;
    scan_finish(&scan);
    return r;
}

/* Of tables that there are, and nothing that lies in a blob: there is none to put it to. */
static bool can_be_written(const struct scan *scan, const struct kv_batch *rows)
{
    bool can = rows->count > 0 && rows->large_count == 0 && rows->view == NULL;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        can &= (rows->tables >> (id - 1) & 1) == 0 || scan->state.has_table[id - 1];
    }
    return can;
}

/* What has to be known of a store to go on writing it, which must have no problem. */
static int begin_amending(struct scan *scan)
{
    int r = take_lease(scan->storage, scan->options);

    r = r < 0 ? r : scan_run_to_logs(scan);
    return r == 0 && (!scan->has_state || scan->result.problems > 0) ? -KV_EDAMAGED : r;
}

int kv_admin_amend(struct kv_storage *storage, const struct kv_admin_options *options,
                   const struct kv_batch *rows, struct kv_admin_result *ret_result)
{
    struct kv_admin_options with = {.mode = KV_ADMIN_REPAIR, .holder = options->holder};
    struct scan scan = {.storage = storage, .options = &with};
    int r = begin_amending(&scan);

    if (r == 0 && !can_be_written(&scan, rows)) {
        r = -EINVAL;
    }
    r = r < 0 ? r : repair_amend(&scan, rows);
    *ret_result = scan.result;
    scan_finish(&scan);
    return r;
}

/* ---- a keyspace that was lost ---- */

/* Its id, 0: there is none. */
static uint32_t find_keyspace(const struct admin_state *state, const char *name)
{
    uint32_t found = 0;
    for (uint32_t id = 1; id <= KV_TABLE_COUNT_MAX; id++) {
        bool is = state->has_table[id - 1] && strcmp(state->tables[id - 1].name, name) == 0;
        found = is ? id : found;
    }
    return found;
}

/* No row in the logs has it: those that one has are keyspaces, or were dropped. */
static uint32_t free_id(const struct admin_state *state)
{
    uint32_t id = 1;
    while (id <= KV_TABLE_COUNT_MAX && (state->has_table[id - 1] || state->is_dropped[id - 1])) {
        id++;
    }
    return id;
}

static int add_keyspace(struct admin_state *state, const struct kv_admin_keyspace *keyspace)
{
    struct edit_table table;
    int r = edit_table_init(&table, keyspace->name, keyspace->options);

    if (r < 0) {
        return r;
    }
    if (find_keyspace(state, keyspace->name) != 0) {
        return -EEXIST;
    }
    table.id =
        keyspace->found_as[0] != '\0' ? find_keyspace(state, keyspace->found_as) : free_id(state);
    if (table.id == 0 || table.id > KV_TABLE_COUNT_MAX) {
        return table.id == 0 ? -ENOENT : -ENOSPC;
    }
    state->has_table[table.id - 1] = true;
    state->tables[table.id - 1] = table;
    return 0;
}

int kv_admin_add_keyspace(struct kv_storage *storage, const struct kv_admin_options *options,
                          const struct kv_admin_keyspace *keyspace,
                          struct kv_admin_result *ret_result)
{
    struct kv_admin_options with = {.mode = KV_ADMIN_REPAIR, .holder = options->holder};
    struct scan scan = {.storage = storage, .options = &with};
    int r = begin_amending(&scan);

    r = r < 0 ? r : add_keyspace(&scan.state, keyspace);
    r = r < 0 ? r : repair_keyspaces(&scan);
    *ret_result = scan.result;
    scan_finish(&scan);
    return r;
}

int kv_admin_rows_checked(struct kv_storage *storage, const struct kv_admin_options *options,
                          struct kv_admin_result *ret_result)
{
    struct kv_admin_options with = {.mode = KV_ADMIN_REPAIR, .holder = options->holder};
    struct scan scan = {.storage = storage, .options = &with};
    int r = begin_amending(&scan);

    if (r == 0 && scan.root.rows_unchecked) {
        r = repair_rows_checked(&scan);
    }
    *ret_result = scan.result;
    scan_finish(&scan);
    return r;
}
