/* SPDX-License-Identifier: Apache-2.0 */
/* The directory: keys of the root object. Nothing of it is kept in memory, so there is one truth.
 */
#include "kvcore/storage/pooled_store.h"

#include <assert.h>
#include <stdlib.h>

int pooled_dir_get(struct pooled_storage *storage, struct kv_file_id id,
                   struct pooled_entry *ret_entry)
{
    char name[POOLED_FILE_NAME_SIZE];
    struct kv_buf bytes = {0};

    pooled_file_name(id, name);
    int r = storage->pool->ops->key(storage->pool, POOLED_ROOT, name, &bytes);
    if (r == -ENOENT) {
        r = pooled_root_missing(storage);
    }
    /* Also that there is no such name is an answer that must not be out of date. */
    int lease = pooled_check_lease(storage);
    if (lease == 0 && r == -ENODATA) {
        r = -ENOENT;
    }
    r = lease < 0 ? lease : r;
    r = r < 0 ? r : pooled_entry_decode(kv_buf_slice(&bytes), ret_entry);
    kv_buf_finish(&bytes);
    return r;
}

int pooled_dir_put(struct pooled_storage *storage, const struct pooled_dir_item *items,
                   size_t count)
{
    char names[POOLED_DIR_PUT_MAX][POOLED_FILE_NAME_SIZE];
    struct kv_buf bytes[POOLED_DIR_PUT_MAX] = {0};
    struct pool_value keys[POOLED_DIR_PUT_MAX];
    int r = 0;

    assert(count <= POOLED_DIR_PUT_MAX);
    for (size_t i = 0; i < count && r == 0; i++) {
        pooled_file_name(items[i].id, names[i]);
        r = pooled_entry_encode(&items[i].entry, &bytes[i]);
        keys[i] = (struct pool_value){names[i], kv_buf_slice(&bytes[i])};
    }
    if (r == 0) {
        r = pooled_change(storage, POOLED_ROOT,
                          &(struct pool_change){.keys = keys, .key_count = count});
    }
    for (size_t i = 0; i < count; i++) {
        kv_buf_finish(&bytes[i]);
    }
    return r;
}

int pooled_dir_forget(struct pooled_storage *storage, struct kv_file_id id)
{
    char name[POOLED_FILE_NAME_SIZE];

    pooled_file_name(id, name);
    return pooled_change(storage, POOLED_ROOT, &(struct pool_change){.key_removed = name});
}

struct listing {
    struct pooled_dir_item *items;
    size_t count;
    size_t capacity;
};

static int add_item(void *arg, const char *name, struct kv_slice value)
{
    struct listing *listing = (struct listing *)arg;
    struct pooled_dir_item item = {0};

    if (!pooled_file_name_parse(name, &item.id)) {
        return 0; /* whoever put it there, it is none of ours */
    }
    int r = pooled_entry_decode(value, &item.entry);
    item.damaged = r == -KV_EDAMAGED;
    if (r < 0 && !item.damaged) {
        return r;
    }
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity * 2 + 64;
        struct pooled_dir_item *items = reallocarray(listing->items, capacity, sizeof *items);
        if (items == NULL) {
            return -ENOMEM;
        }
        listing->items = items;
        listing->capacity = capacity;
    }
    listing->items[listing->count++] = item;
    return 0;
}

int pooled_dir_list(struct pooled_storage *storage, struct pooled_dir_item **ret_items,
                    size_t *ret_count)
{
    struct listing listing = {0};
    int r = storage->pool->ops->keys(storage->pool, POOLED_ROOT, add_item, &listing);

    if (r < 0) {
        free(listing.items);
        return r;
    }
    *ret_items = listing.items;
    *ret_count = listing.count;
    return 0;
}
