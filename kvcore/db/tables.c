/* SPDX-License-Identifier: Apache-2.0 */
/* Tables (keyspaces): found by name, made as the only writer, so that no rotation comes between
 * their line in the manifest and their memtable. */
#include <stdlib.h>

#include "kvcore/db/manifest.h"
#include "kvcore/db/write.h"

enum { FILTER_BITS_DEFAULT = 10 };

static const size_t block_default = (size_t)8 << 10;

static struct kv_table *find_table(struct kv_store *store, const char *name)
{
    struct kv_table *found = NULL;
    mutex_lock(&store->mu);
    for (int i = 0; i < KV_TABLE_COUNT_MAX && found == NULL; i++) {
        if (store->tables[i] != NULL && strcmp(store->tables[i]->name, name) == 0) {
            found = store->tables[i];
        }
    }
    mutex_unlock(&store->mu);
    return found;
}

static uint32_t free_table_id(struct kv_store *store)
{
    uint32_t id = 1;
    mutex_lock(&store->mu);
    while (id <= KV_TABLE_COUNT_MAX && store->tables[id - 1] != NULL) {
        id++;
    }
    mutex_unlock(&store->mu);
    return id;
}

struct table_request {
    const char *name;
    struct kv_table_options options;
    struct kv_table *table; /* answer */
};

/* As the only writer: no rotation comes between the manifest and the memtable. */
static int make_table(struct kv_store *store, void *arg)
{
    struct table_request *request = arg;
    struct edit edit = {0};
    struct edit_table entry = {.options = request->options};
    struct kv_table *table = NULL;
    int r;

    request->table = find_table(store, request->name); /* another thread was faster */
    entry.id = free_table_id(store);
    if (request->table != NULL) {
        return 0;
    }
    if (entry.id > KV_TABLE_COUNT_MAX) {
        return -ENOSPC;
    }
    strncpy(entry.name, request->name, sizeof entry.name - 1);
    table = calloc(1, sizeof *table);
    r = table != NULL ? edit_add_table(&edit, &entry) : -ENOMEM;
    r = r < 0 ? r : generation_add_table(store->active, entry.id);
    r = r < 0 ? r : manifest_commit(store, &edit, NULL);
    if (r < 0) {
        goto out;
    }
    *table = (struct kv_table){.store = store, .id = entry.id, .options = entry.options};
    memcpy(table->name, entry.name, sizeof table->name);
    mutex_lock(&store->mu);
    store->tables[entry.id - 1] = table;
    mutex_unlock(&store->mu);
    request->table = table;
    table = NULL;
out:
    free(table);
    edit_finish(&edit);
    return r;
}

int kv_table_open(struct kv_store *store, const char *name, const struct kv_table_options *options,
                  struct kv_table **ret_table)
{
    struct table_request request = {.name = name};
    size_t size = strlen(name);
    struct kv_table *table;
    int r;

    if (size == 0 || size > KV_TABLE_NAME_SIZE_MAX) {
        return -EINVAL;
    }
    table = find_table(store, name);
    if (table != NULL) {
        *ret_table = table;
        return 0;
    }
    if (store->options.read_only) {
        return -ENOENT;
    }
    if (options != NULL) {
        request.options = *options;
    }
    if (request.options.filter_bits_per_key == 0) {
        request.options.filter_bits_per_key = FILTER_BITS_DEFAULT;
    }
    if (request.options.block_bytes == 0) {
        request.options.block_bytes = block_default;
    }
    r = write_exclusive(store, make_table, &request);
    if (r == 0) {
        *ret_table = request.table;
    }
    return r;
}
