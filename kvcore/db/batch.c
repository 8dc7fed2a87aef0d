/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/batch.h"

#include <stdlib.h>

#include "kvcore/db/large.h"
#include "kvcore/db/memtable.h"
#include "kvcore/db/store.h"
#include "kvcore/db/view.h"

/* A batch that grew large once does not keep its memory for ever. */
enum { BATCH_KEEP_BYTES = 1 << 20 };

_Static_assert(KV_TABLE_COUNT_MAX <= 64, "a bit for each table");

int kv_batch_create(struct kv_batch **ret_batch)
{
    struct kv_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        return -ENOMEM;
    }
    *ret_batch = batch;
    return 0;
}

void kv_batch_destroy(struct kv_batch *batch)
{
    if (batch != NULL) {
        batch_finish(batch);
        free(batch);
    }
}

void batch_finish(struct kv_batch *batch)
{
    view_release(batch->view);
    kv_buf_finish(&batch->payload);
    kv_buf_finish(&batch->unplaced);
    blob_pack_finish(&batch->pack);
    free(batch->larges);
}

void kv_batch_clear(struct kv_batch *batch)
{
    if (batch->payload.capacity > BATCH_KEEP_BYTES) {
        kv_buf_finish(&batch->payload);
    }
    batch->payload.size = 0;
    blob_pack_clear(&batch->pack, BATCH_KEEP_BYTES);
    batch->unplaced.size = 0;
    batch->large_count = 0;
    batch->large_bytes = 0;
    batch->count = 0;
    batch->range_count = 0;
    batch->delete_count = 0;
    batch->memtable_bytes = 0;
    batch->tables = 0;
    batch->use_reserve = false;
    view_release(batch->view);
    batch->view = NULL;
}

void kv_batch_use_reserve(struct kv_batch *batch)
{
    batch->use_reserve = true;
}

bool kv_batch_is_empty(const struct kv_batch *batch)
{
    return batch->count == 0;
}

static int append_row(struct kv_batch *batch, enum row_kind kind, const struct kv_table *table,
                      struct kv_slice key, const struct kv_slice *value)
{
    size_t value_size = value != NULL ? value->size : 0;
    uint8_t *at;
    int r;

    if (key.size == 0 || key.size > KV_KEY_SIZE_MAX) {
        return -EINVAL;
    }
    if (value_size > KV_VALUE_SIZE_MAX ||
        batch_bytes(batch) + key.size + value_size > KV_BATCH_SIZE_MAX) {
        return -E2BIG;
    }
    r = kv_buf_reserve(&batch->payload, 1 + 3 * (size_t)CODING_VARINT_MAX + key.size + value_size);
    if (r < 0) {
        return r;
    }
    at = batch->payload.data + batch->payload.size;
    *at++ = (uint8_t)kind;
    at += coding_put_varint(at, table->id);
    at += coding_put_varint(at, key.size);
    memcpy(at, key.data, key.size);
    at += key.size;
    if (value != NULL) {
        at += coding_put_varint(at, value->size);
        if (value->size > 0) {
            memcpy(at, value->data, value->size);
        }
        at += value->size;
    }
    batch->payload.size = (size_t)(at - batch->payload.data);
    batch->count++;
    batch->range_count += kind == ROW_RANGE_DELETE;
    batch->delete_count += kind == ROW_DELETE;
    batch->memtable_bytes +=
        kind == ROW_RANGE_DELETE ? 0 : memtable_row_bytes(key.size, value_size);
    batch->tables |= (uint64_t)1 << (table->id - 1);
    return 0;
}

int kv_batch_put(struct kv_batch *batch, struct kv_table *table, struct kv_slice key,
                 struct kv_slice value)
{
    return large_is(table->store, value.size) ? large_put(batch, table, key, value)
                                              : append_row(batch, ROW_PUT, table, key, &value);
}

int kv_batch_put_lost(struct kv_batch *batch, struct kv_table *table, struct kv_slice key)
{
    return append_row(batch, ROW_DAMAGED, table, key, &(struct kv_slice){0});
}

int batch_put_pointer(struct kv_batch *batch, struct kv_table *table, struct kv_slice key,
                      struct kv_slice pointer)
{
    return append_row(batch, ROW_BLOB, table, key, &pointer);
}

int kv_batch_delete(struct kv_batch *batch, struct kv_table *table, struct kv_slice key)
{
    return append_row(batch, ROW_DELETE, table, key, NULL);
}

int kv_batch_delete_range(struct kv_batch *batch, struct kv_table *table, struct kv_slice from,
                          struct kv_slice to)
{
    if (to.size > KV_KEY_SIZE_MAX || kv_slice_compare(from, to) >= 0) {
        return -EINVAL;
    }
    return append_row(batch, ROW_RANGE_DELETE, table, from, &to);
}

static bool row_is_sound(const struct batch_row *row)
{
    if (row->key.size == 0 || row->key.size > KV_KEY_SIZE_MAX) {
        return false;
    }
    if (row->kind == ROW_RANGE_DELETE) {
        return row->value.size <= KV_KEY_SIZE_MAX && kv_slice_compare(row->key, row->value) < 0;
    }
    return row->value.size <= KV_VALUE_SIZE_MAX;
}

int batch_next(struct coding_cursor *cursor, struct batch_row *ret_row)
{
    struct batch_row row = {0};
    uint8_t kind;

    if (coding_done(cursor)) {
        return 0;
    }
    kind = coding_read_u8(cursor);
    row.table_id = (uint32_t)coding_read_varint_max(cursor, UINT32_MAX);
    row.key = coding_read_string(cursor);
    switch (kind) {
    case ROW_PUT:
    case ROW_RANGE_DELETE:
    case ROW_BLOB:
    case ROW_DAMAGED:
        row.value = coding_read_string(cursor);
        break;
    case ROW_DELETE:
        break;
    default:
        return coding_ok(cursor) ? -KV_EFORMAT : -KV_EDAMAGED;
    }
    row.kind = (enum row_kind)kind;
    if (!coding_ok(cursor) || !row_is_sound(&row)) {
        return -KV_EDAMAGED;
    }
    if (kind == ROW_DAMAGED && row.value.size > 0) {
        return -KV_EFORMAT; /* a damaged range: reserved */
    }
    *ret_row = row;
    return 1;
}
