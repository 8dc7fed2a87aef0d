/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of values that an iterator shows: put under other keys, and read many at a time. */
#include <assert.h>
#include <stdlib.h>

#include "kvcore/db/db_iter.h"

struct kv_gather {
    struct kv_store *store;
};

/* The bytes [skip, skip + size) of the value. */
static int part_of(struct kv_iter *from, size_t skip, size_t size, struct kv_slice *ret_part)
{
    struct kv_slice value;
    int r = kv_iter_value(from, &value);
    if (r < 0) {
        return r;
    }
    if (skip > value.size || size > value.size - skip) {
        return -EINVAL;
    }
    *ret_part = kv_slice(kv_slice_behind(value, skip).data, size);
    return 0;
}

int kv_batch_put_part(struct kv_batch *batch, struct kv_table *table, struct kv_slice key,
                      struct kv_iter *from, size_t skip, size_t size)
{
    struct kv_slice part;
    int r;

    if (from->table->store != table->store) {
        return -EINVAL;
    }
    r = part_of(from, skip, size, &part);
    return r < 0 ? r : kv_batch_put(batch, table, key, part);
}

int kv_gather_create(struct kv_store *store, struct kv_gather **ret_gather)
{
    struct kv_gather *gather = calloc(1, sizeof *gather);
    if (gather == NULL) {
        return -ENOMEM;
    }
    gather->store = store;
    *ret_gather = gather;
    return 0;
}

void kv_gather_destroy(struct kv_gather *gather)
{
    free(gather);
}

void kv_gather_clear(struct kv_gather *gather)
{
    (void)gather;
}

int kv_gather_add(struct kv_gather *gather, struct kv_iter *from, size_t skip, size_t size,
                  void *to)
{
    struct kv_slice part;
    int r;

    assert(from->table->store == gather->store);
    r = part_of(from, skip, size, &part);
    if (r == 0 && part.size > 0) {
        memcpy(to, part.data, part.size);
    }
    return r;
}

int kv_gather_run(struct kv_gather *gather)
{
    (void)gather;
    return 0;
}
