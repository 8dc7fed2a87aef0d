/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/index/index.h"

#include <stdlib.h>

#include <kv/index_entry.h>

int kv_index_keys_add(struct kv_index_keys *to, struct kv_slice key)
{
    struct kv_buf entry = {0};
    int r = kv_index_entry_put(&entry, key, to->row_key);

    if (r == 0 && to->count == to->capacity) {
        size_t capacity = to->capacity * 2 + 4;
        struct kv_buf *items = reallocarray(to->items, capacity, sizeof *items);
        if (items != NULL) {
            to->items = items;
            to->capacity = capacity;
        }
        r = items != NULL ? 0 : -ENOMEM;
    }
    if (r < 0) {
        kv_buf_finish(&entry);
        return r;
    }
    to->items[to->count++] = entry;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return kv_slice_compare(kv_buf_slice(a), kv_buf_slice(b));
}

static void remove_doubles(struct kv_index_keys *keys)
{
    size_t kept = 0;
    for (size_t i = 0; i < keys->count; i++) {
        if (kept > 0 && compare(&keys->items[kept - 1], &keys->items[i]) == 0) {
            kv_buf_finish(&keys->items[i]);
        } else {
            keys->items[kept++] = keys->items[i];
        }
    }
    keys->count = kept;
}

int keys_collect(const struct kv_index *index, struct kv_slice key, struct kv_slice value,
                 struct kv_index_keys *keys)
{
    int r;
    keys->row_key = key;
    r = index->options.fn(index->options.arg, key, value, keys);
    if (r == 0 && keys->count > 1) {
        qsort(keys->items, keys->count, sizeof *keys->items, compare);
        remove_doubles(keys);
    }
    return r;
}

bool keys_hold(const struct kv_index_keys *keys, struct kv_slice entry)
{
    size_t low = 0;
    size_t high = keys->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int r = kv_slice_compare(kv_buf_slice(&keys->items[middle]), entry);
        if (r == 0) {
            return true;
        }
        low = r < 0 ? middle + 1 : low;
        high = r < 0 ? high : middle;
    }
    return false;
}

void keys_finish(struct kv_index_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        kv_buf_finish(&keys->items[i]);
    }
    free(keys->items);
    *keys = (struct kv_index_keys){0};
}
