/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/value.h"

#include "kvcore/blob/blob_set.h"

int value_failed(struct kv_store *store, int error)
{
    /* Damage was counted where it was found. */
    if (error != -KV_EDAMAGED && error != -ENOMEM) {
        count_add(&store->counters.read_errors, 1);
    }
    return error;
}

int value_pointer(const struct kv_table *table, struct kv_slice stored,
                  struct blob_pointer *ret_pointer)
{
    struct kv_store *store = table->store;
    int r = blob_pointer_decode(stored, ret_pointer);
    if (r < 0) {
        /* The block or record that it stands in is sound, so somebody wrote it so. */
        r = message_damage(
            &store->sink,
            "%s: a row of table %s has a pointer to a large value that makes no sense; "
            "write or delete its key to clear it",
            store->storage->ops->name(store->storage), table->name);
        return value_failed(store, r);
    }
    return 0;
}

int value_read(struct kv_store *store, const struct blob_pointer *pointer, struct kv_buf *to)
{
    int r;

    to->size = 0;
    r = kv_buf_reserve(to, pointer->length);
    r = r < 0 ? r : blob_set_read(store->blobs, pointer, 0, pointer->length, to->data);
    if (r < 0) {
        return value_failed(store, r);
    }
    to->size = pointer->length;
    return 0;
}
