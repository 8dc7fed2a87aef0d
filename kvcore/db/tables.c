/* SPDX-License-Identifier: Apache-2.0 */
/* Tables (keyspaces): found by name, made as the only writer, so that no rotation comes between
 * their line in the manifest and their memtable.
 *
 * A table is dropped by one edit, with all its files. Its rows stay where they are in memtables and
 * logs, and count for nothing: flushes leave them out, and a replay passes over those up to the
 * sequence number of the drop. So no rows of another table may come under the same id before the
 * logs are gone, that is before the next opening. */
#include <stdlib.h>

#include "kvcore/db/dead_runs.h"
#include "kvcore/db/manifest.h"
#include "kvcore/db/view.h"
#include "kvcore/db/worker.h"
#include "kvcore/db/write.h"

static struct kv_table *find_table(struct kv_store *store, const char *name) REQUIRES(&store->mu)
{
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        if (store->tables[i] != NULL && strcmp(store->tables[i]->name, name) == 0) {
            return store->tables[i];
        }
    }
    return NULL;
}

/* The table, NULL if there is none. Waits for the end where it is being dropped. */
static struct kv_table *find_settled(struct kv_store *store, const char *name) REQUIRES(&store->mu)
{
    struct kv_table *table = find_table(store, name);
    while (table != NULL && table->dropping) {
        condvar_wait(&store->progress, &store->mu);
        table = find_table(store, name);
    }
    return table;
}

static uint32_t free_table_id(struct kv_store *store)
{
    uint32_t id = 1;
    mutex_lock(&store->manifest_mu);
    mutex_lock(&store->mu);
    while (id <= KV_TABLE_COUNT_MAX &&
           (store->tables[id - 1] != NULL || store->dropped[id - 1].is)) {
        id++;
    }
    mutex_unlock(&store->mu);
    mutex_unlock(&store->manifest_mu);
    return id;
}

struct table_request {
    struct edit_table entry; /* its id is to be found */
    struct kv_table *table;  /* answer */
};

/* Take back the table that was to be added, if it was not: it is the caller's again. */
static struct kv_table *take_new_table(struct kv_store *store)
{
    struct kv_table *table;
    mutex_lock(&store->mu);
    table = store->new_table;
    store->new_table = NULL;
    mutex_unlock(&store->mu);
    return table;
}

/* As the only writer: no rotation comes between the manifest and the memtable. */
static int make_table(struct kv_store *store, void *arg)
{
    struct table_request *request = arg;
    struct edit edit = {0};
    struct edit_table entry = request->entry;
    struct kv_table *table = NULL;
    int r;

    mutex_lock(&store->mu);
    request->table = find_table(store, entry.name);
    mutex_unlock(&store->mu);
    if (request->table != NULL) {
        return -EAGAIN; /* another thread was faster */
    }
    entry.id = free_table_id(store);
    if (entry.id > KV_TABLE_COUNT_MAX) {
        return -ENOSPC;
    }
    table = calloc(1, sizeof *table);
    r = table != NULL ? edit_add_table(&edit, &entry) : -ENOMEM;
    if (r == 0) {
        mutex_lock(&store->mu); /* others may be listing the memtables */
        r = generation_add_table(store->active, entry.id);
        mutex_unlock(&store->mu);
    }
    if (r < 0) {
        goto out;
    }
    *table = (struct kv_table){.store = store, .id = entry.id, .options = entry.options};
    memcpy(table->name, entry.name, sizeof table->name);
    request->table = table;
    mutex_lock(&store->mu);
    store->new_table = table;
    mutex_unlock(&store->mu);
    r = manifest_commit(store, &edit, NULL);
    table = take_new_table(store);
out:
    free(table);
    edit_finish(&edit);
    return r;
}

int kv_table_open(struct kv_store *store, const char *name, const struct kv_table_options *options,
                  struct kv_table **ret_table)
{
    struct table_request request = {.table = NULL};
    struct kv_table *table;
    int r = edit_table_init(&request.entry, name, options);

    if (r < 0) {
        return r;
    }
    mutex_lock(&store->mu);
    table = find_settled(store, name);
    mutex_unlock(&store->mu);
    if (table != NULL) {
        *ret_table = table; /* if it is dropped this moment, that came after the opening */
        return 0;
    }
    if (store->options.read_only) {
        return -ENOENT;
    }
    r = write_exclusive(store, make_table, &request);
    if (r == -EAGAIN) {
        return kv_table_open(store, name, options, ret_table);
    }
    if (r == 0) {
        *ret_table = request.table;
    }
    return r;
}

/* ---- dropping ---- */

static bool level_is_busy(const struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->files[i]->busy) {
            return true;
        }
    }
    return false;
}

/* Is a merge of the table running? */
static bool is_merged(struct kv_store *store, uint32_t id) REQUIRES(&store->mu)
{
    const struct table_files *files = version_table(store->view->version, id);
    bool busy = false;
    for (int level = 0; files != NULL && level < KV_LEVEL_COUNT; level++) {
        busy = busy || level_is_busy(&files->levels[level]);
    }
    return busy;
}

/* From now on nothing is merged in the table; wait until nothing is. Writers that wait for a merge
 * of it must not, since the drop waits for them. */
static int begin_drop(struct kv_store *store, const char *name, struct kv_table **ret_table)
{
    struct kv_table *table;

    mutex_lock(&store->mu);
    table = find_settled(store, name);
    if (table != NULL) {
        table->dropping = true;
        view_count_l0_files(store);
        condvar_broadcast(&store->progress);
        while (is_merged(store, table->id)) {
            condvar_wait(&store->progress, &store->mu);
        }
    }
    mutex_unlock(&store->mu);
    if (table == NULL) {
        return -ENOENT;
    }
    *ret_table = table;
    return 0;
}

static void end_drop(struct kv_store *store, struct kv_table *table)
{
    mutex_lock(&store->mu);
    table->dropping = false;
    view_count_l0_files(store);
    condvar_broadcast(&store->progress);
    mutex_unlock(&store->mu);
    workers_wake(store); /* there may be blobs to give back */
}

/* As the only writer, and with no flush under way: nothing adds files to the table any more. */
static int drop_table(struct kv_store *store, void *arg)
{
    struct kv_table *table = arg;
    struct edit edit = {0};
    int r = edit_drop_table(&edit, table->id, store->last_sequence);

    if (r == 0) {
        /* Whatever comes of it: if it fails nobody knows which state lasts. */
        atomic_store(&table->gone, -EIDRM);
        store->dropped_mask |= (uint64_t)1 << (table->id - 1);
        dead_runs_forget(store->dead_runs, table->id);
        mutex_lock(&store->flush_mu);
        r = manifest_commit(store, &edit, NULL);
        mutex_unlock(&store->flush_mu);
    }
    edit_finish(&edit);
    return r;
}

int kv_table_drop(struct kv_store *store, const char *name)
{
    struct kv_table *table = NULL;
    int r = store->options.read_only ? -EROFS : begin_drop(store, name, &table);

    if (r < 0) {
        return r;
    }
    /* What was written before, perhaps to other tables, must not be lost behind the drop. */
    r = kv_sync(store);
    r = r < 0 ? r : write_exclusive(store, drop_table, table);
    end_drop(store, table);
    return r;
}

/* ---- listing ---- */

int kv_table_list(struct kv_store *store, kv_table_list_fn *fn, void *arg)
{
    struct edit_table *tables = calloc(KV_TABLE_COUNT_MAX, sizeof *tables);
    size_t count = 0;
    int r = 0;

    if (tables == NULL) {
        return -ENOMEM;
    }
    mutex_lock(&store->mu);
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        const struct kv_table *table = store->tables[i];
        if (table != NULL && table_check(table) == 0) {
            memcpy(tables[count].name, table->name, sizeof tables[count].name);
            tables[count++].options = table->options;
        }
    }
    mutex_unlock(&store->mu);
    for (size_t i = 0; i < count && r == 0; i++) {
        r = fn(arg, tables[i].name, &tables[i].options);
    }
    free(tables);
    return r;
}
