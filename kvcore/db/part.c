/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of values that an iterator shows: put under other keys, and read many at a time. */
#include <assert.h>
#include <stdlib.h>

#include "kvcore/blob/blob_set.h"
#include "kvcore/db/batch.h"
#include "kvcore/db/db_iter.h"
#include "kvcore/db/value.h"
#include "kvcore/db/view.h"

/* A part as small as this is copied: a pointer would take as much, and keep whole pages alive. */
enum { COPY_MAX = 512 };

static bool is_inside(size_t value_size, size_t skip, size_t size)
{
    return skip <= value_size && size <= value_size - skip;
}

/* The bytes [skip, skip + size) of the value. */
static int part_of(struct kv_iter *from, size_t skip, size_t size, struct kv_slice *ret_part)
{
    struct kv_slice value;
    int r = kv_iter_value(from, &value);
    if (r < 0) {
        return r;
    }
    if (!is_inside(value.size, skip, size)) {
        return -EINVAL;
    }
    *ret_part = kv_slice(kv_slice_behind(value, skip).data, size);
    return 0;
}

/* Keep the older of the two states: as long as it lives, nothing of the other goes either. */
static void pin(struct view **pinned, struct view *view)
{
    if (*pinned == NULL || view->stamp < (*pinned)->stamp) {
        view_ref(view);
        view_release(*pinned);
        *pinned = view;
    }
}

/* ---- putting ---- */

static int share(struct kv_batch *batch, struct kv_table *table, struct kv_slice key,
                 const struct kv_iter *from, size_t skip, size_t size)
{
    struct blob_pointer pointer;
    struct kv_buf part = {0};
    int r = value_pointer(from->table, from->value, &pointer);

    if (r == 0 && !is_inside(pointer.length, skip, size)) {
        r = -EINVAL;
    }
    r = r < 0 ? r : blob_pointer_part(&pointer, skip, size, &part);
    r = r < 0 ? r : batch_put_pointer(batch, table, key, kv_buf_slice(&part));
    if (r == 0) {
        pin(&batch->view, from->view);
    }
    kv_buf_finish(&part);
    return r;
}

int kv_batch_put_part(struct kv_batch *batch, struct kv_table *table, struct kv_slice key,
                      struct kv_iter *from, size_t skip, size_t size)
{
    struct kv_slice part;
    int r;

    if (from->table->store != table->store) {
        return -EINVAL;
    }
    if (from->kind == ROW_BLOB && size > COPY_MAX) {
        return share(batch, table, key, from, skip, size);
    }
    r = part_of(from, skip, size, &part);
    return r < 0 ? r : kv_batch_put(batch, table, key, part);
}

/* ---- reading many ---- */

/* One part that lies in a blob. */
struct item {
    size_t pointer_at, pointer_size; /* in `pointers`: to just these bytes */
    size_t size;
    uint8_t *to;
};

struct kv_gather {
    struct kv_store *store;
    struct view *view;      /* the oldest that parts were taken from */
    struct kv_buf pointers; /* encoded, one behind the other */
    struct item *items;
    size_t count, capacity;
    struct blob_request *requests; /* room for `capacity` */
};

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
    if (gather == NULL) {
        return;
    }
    view_release(gather->view);
    kv_buf_finish(&gather->pointers);
    free(gather->items);
    free(gather->requests);
    free(gather);
}

void kv_gather_clear(struct kv_gather *gather)
{
    view_release(gather->view);
    gather->view = NULL;
    gather->pointers.size = 0;
    gather->count = 0;
}

static int grow(struct kv_gather *gather)
{
    size_t capacity = gather->capacity * 2 + 16;
    struct item *items;
    struct blob_request *requests;

    if (gather->count < gather->capacity) {
        return 0;
    }
    items = realloc(gather->items, capacity * sizeof *items);
    gather->items = items != NULL ? items : gather->items;
    requests = realloc(gather->requests, capacity * sizeof *requests);
    gather->requests = requests != NULL ? requests : gather->requests;
    if (items == NULL || requests == NULL) {
        return -ENOMEM;
    }
    gather->capacity = capacity;
    return 0;
}

static int add_large(struct kv_gather *gather, const struct kv_iter *from, size_t skip, size_t size,
                     uint8_t *to)
{
    struct blob_pointer pointer;
    size_t at = gather->pointers.size;
    int r = value_pointer(from->table, from->value, &pointer);

    if (r == 0 && !is_inside(pointer.length, skip, size)) {
        r = -EINVAL;
    }
    if (r < 0 || size == 0) {
        return r;
    }
    r = grow(gather);
    r = r < 0 ? r : blob_pointer_part(&pointer, skip, size, &gather->pointers);
    if (r < 0) {
        return r;
    }
    gather->items[gather->count++] = (struct item){
        .pointer_at = at, .pointer_size = gather->pointers.size - at, .size = size, .to = to};
    pin(&gather->view, from->view);
    return 0;
}

int kv_gather_add(struct kv_gather *gather, struct kv_iter *from, size_t skip, size_t size,
                  void *to)
{
    struct kv_slice part;
    int r;

    assert(from->table->store == gather->store);
    if (from->kind == ROW_BLOB && !from->is_loaded) {
        return add_large(gather, from, skip, size, to);
    }
    r = part_of(from, skip, size, &part);
    if (r == 0 && part.size > 0) {
        memcpy(to, part.data, part.size);
    }
    return r;
}

int kv_gather_run(struct kv_gather *gather)
{
    struct kv_store *store = gather->store;
    int r = 0;

    for (size_t i = 0; i < gather->count && r == 0; i++) {
        const struct item *item = &gather->items[i];
        struct blob_request *request = &gather->requests[i];
        *request = (struct blob_request){.size = item->size, .to = item->to};
        r = blob_pointer_decode(
            kv_slice(gather->pointers.data + item->pointer_at, item->pointer_size),
            &request->pointer);
        assert(r == 0); /* it was made from a sound one */
    }
    if (r == 0 && gather->count > 0) {
        r = blob_set_read_many(store->blobs, gather->requests, gather->count);
    }
    kv_gather_clear(gather);
    return r < 0 ? value_failed(store, r) : 0;
}
