/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/index/index.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/txn/txn.h"
#include <kv/index_entry.h>

/* ---- declaring ---- */

int kv_indexed_open(struct kv_txn_manager *manager, struct kv_table *table, const char *table_name,
                    struct kv_indexed **ret_indexed)
{
    struct kv_indexed *indexed = calloc(1, sizeof *indexed);
    if (indexed == NULL) {
        return -ENOMEM;
    }
    indexed->manager = manager;
    indexed->store = manager->store;
    indexed->table = table;
    snprintf(indexed->table_name, sizeof indexed->table_name, "%s", table_name);
    *ret_indexed = indexed;
    return 0;
}

void kv_indexed_close(struct kv_indexed *indexed)
{
    if (indexed == NULL) {
        return;
    }
    while (indexed->first != NULL) {
        struct kv_index *index = indexed->first;
        indexed->first = index->next;
        free(index);
    }
    free(indexed);
}

int index_read_state(struct kv_txn *txn, const struct kv_index *index, struct kv_buf *bytes,
                     struct kv_index_state *ret_state)
{
    int r = kv_txn_get_for_update(txn, index->table, kv_index_state_key(), bytes);
    r = r < 0 ? r : kv_index_state_get(kv_buf_slice(bytes), ret_state);
    return r == -EBADMSG ? -KV_EDAMAGED : r;
}

int index_write_state(struct kv_txn *txn, const struct kv_index *index, bool built,
                      struct kv_slice done)
{
    const struct kv_index_state state = {
        .version = index->options.version, .built = built, .done = done};
    struct kv_buf bytes = {0};
    int r = kv_index_state_put(&bytes, &state);
    r = r < 0 ? r : kv_txn_put(txn, index->table, kv_index_state_key(), kv_buf_slice(&bytes));
    kv_buf_finish(&bytes);
    return r;
}

/* Without entries, and to be built. */
static int clear(struct kv_txn *txn, const struct kv_index *index)
{
    int r = kv_txn_delete_range(txn, index->table, kv_index_entries_from(), kv_index_entries_to());
    return r < 0 ? r : index_write_state(txn, index, false, (struct kv_slice){0});
}

int kv_index_reset(struct kv_index *index)
{
    struct kv_txn *txn = NULL;
    int r = kv_txn_begin(index->owner->manager, NULL, &txn);

    if (r < 0) {
        return r;
    }
    r = clear(txn, index);
    if (r < 0) {
        kv_txn_rollback(txn);
        return r;
    }
    atomic_store(&index->built, false);
    return kv_txn_commit(txn, KV_DURABLE_WRITE);
}

/* An index that was never there, or of which the function has changed, begins anew. */
static int take_up(struct kv_index *index)
{
    struct kv_txn *txn = NULL;
    struct kv_buf bytes = {0};
    struct kv_index_state state = {0};
    int r = kv_txn_begin(index->owner->manager, NULL, &txn);

    if (r < 0) {
        return r;
    }
    r = index_read_state(txn, index, &bytes, &state);
    if (r == -ENOENT || (r == 0 && state.version != index->options.version)) {
        state.built = false;
        r = clear(txn, index);
    }
    atomic_store(&index->built, state.built);
    kv_buf_finish(&bytes);
    if (r < 0) {
        kv_txn_rollback(txn);
        return r;
    }
    return kv_txn_commit(txn, KV_DURABLE_WRITE);
}

int kv_indexed_add(struct kv_indexed *indexed, const struct kv_index_options *options,
                   struct kv_index **ret_index)
{
    size_t name_size = strlen(options->name);
    struct kv_index *index;
    int size;
    int r;

    if (name_size == 0 || name_size > KV_INDEX_NAME_SIZE_MAX) {
        return -EINVAL;
    }
    index = calloc(1, sizeof *index);
    if (index == NULL) {
        return -ENOMEM;
    }
    index->owner = indexed;
    index->options = *options;
    index->options.name = NULL;
    size = snprintf(index->table_name, sizeof index->table_name, "index:%s:%s", indexed->table_name,
                    options->name);
    r = (size_t)size < sizeof index->table_name ? 0 : -EINVAL;
    r = r < 0 ? r : kv_table_open(indexed->store, index->table_name, NULL, &index->table);
    r = r < 0 ? r : take_up(index);
    if (r < 0) {
        free(index);
        return r;
    }
    index->next = indexed->first;
    indexed->first = index;
    *ret_index = index;
    return 0;
}

int kv_index_drop(struct kv_index *index)
{
    return kv_table_drop(index->owner->store, index->table_name);
}

/* ---- writing ---- */

/* Delete what only the old row has, and put what only the new one has. */
static int change_entries(struct kv_txn *txn, const struct kv_index *index,
                          const struct kv_index_keys *before, const struct kv_index_keys *after)
{
    int r = 0;
    for (size_t i = 0; i < before->count && r == 0; i++) {
        struct kv_slice entry = kv_buf_slice(&before->items[i]);
        r = keys_hold(after, entry) ? 0 : kv_txn_delete(txn, index->table, entry);
    }
    for (size_t i = 0; i < after->count && r == 0; i++) {
        struct kv_slice entry = kv_buf_slice(&after->items[i]);
        r = entry.size > KV_KEY_SIZE_MAX ? -E2BIG
            : keys_hold(before, entry)   ? 0
                                       : kv_txn_put(txn, index->table, entry, (struct kv_slice){0});
    }
    return r;
}

/* A row that is not there (NULL) has no entries. */
static int update(struct kv_txn *txn, const struct kv_index *index, struct kv_slice key,
                  const struct kv_slice *before, const struct kv_slice *after)
{
    struct kv_index_keys old = {0};
    struct kv_index_keys new = {0};
    int r = before != NULL ? keys_collect(index, key, *before, &old) : 0;

    r = r != 0 || after == NULL ? r : keys_collect(index, key, *after, &new);
    r = r != 0 ? r : change_entries(txn, index, &old, &new);
    keys_finish(&old);
    keys_finish(&new);
    return r;
}

static int update_all(struct kv_txn *txn, struct kv_indexed *indexed, struct kv_slice key,
                      const struct kv_slice *after)
{
    struct kv_buf old = {0};
    struct kv_slice before;
    int r = kv_txn_get_for_update(txn, indexed->table, key, &old);
    bool was_there = r == 0;

    r = r == -ENOENT ? 0 : r;
    before = kv_buf_slice(&old);
    for (const struct kv_index *index = indexed->first; index != NULL && r == 0;
         index = index->next) {
        r = update(txn, index, key, was_there ? &before : NULL, after);
    }
    kv_buf_finish(&old);
    return r;
}

int kv_indexed_put(struct kv_txn *txn, struct kv_indexed *indexed, struct kv_slice key,
                   struct kv_slice value)
{
    int r = update_all(txn, indexed, key, &value);
    return r != 0 ? r : kv_txn_put(txn, indexed->table, key, value);
}

int kv_indexed_delete(struct kv_txn *txn, struct kv_indexed *indexed, struct kv_slice key)
{
    int r = update_all(txn, indexed, key, NULL);
    return r != 0 ? r : kv_txn_delete(txn, indexed->table, key);
}
