/* SPDX-License-Identifier: Apache-2.0 */
/* A batch is kept in the form it has in the log (docs/format.md, "Rows of a batch"), so that commit
 * copies nothing: the payload is handed to the log as it is and walked once into the memtables. */
#ifndef KVCORE_DB_BATCH_H
#define KVCORE_DB_BATCH_H

#include <kv/kv.h>

#include "kvcore/blob/blob_pack.h"
#include "kvcore/table/row.h"
#include "kvcore/util/coding.h"

/* A row of the payload whose value is in the batch's pack; offsets count in the payload. */
struct batch_large {
    uint32_t table_id;
    size_t key_at, key_size;
    size_t pointer_at, pointer_size;
    size_t unplaced_at; /* in `unplaced`: the pointer as it was before it got a place */
};

struct kv_batch {
    struct kv_buf payload;
    uint32_t count;
    uint32_t range_count;  /* rows that delete ranges */
    uint32_t delete_count; /* rows that delete a key */
    size_t memtable_bytes; /* what its rows take there but for their links */
    uint64_t tables;       /* bit id - 1 of those it has rows of */
    bool use_reserve;      /* see kv_batch_use_reserve() */
    struct view *view;     /* the oldest that parts were taken from; NULL: none were */
    /* Values that go to a blob when the batch is written, see large.h. */
    struct blob_pack pack;
    struct kv_buf unplaced;
    struct batch_large *larges;
    size_t large_count, large_capacity;
    size_t large_bytes; /* of these values before they are compressed */
};

/* One row of a payload; key and value point into it. */
struct batch_row {
    enum row_kind kind;
    uint32_t table_id;
    struct kv_slice key;
    struct kv_slice
        value; /* damaged, range delete: end of the range; blob: the pointer, unchecked */
};

/* Release what the batch holds, but not the batch. */
void batch_finish(struct kv_batch *batch);
/* What counts against KV_BATCH_SIZE_MAX: rows and large values together. */
static inline size_t batch_bytes(const struct kv_batch *batch)
{
    return batch->payload.size + batch->large_bytes;
}

/* A row of kind ROW_BLOB. Errors: as kv_batch_put(). */
struct kv_table;
KV_MUST_CHECK int batch_put_pointer(struct kv_batch *batch, struct kv_table *table,
                                    struct kv_slice key, struct kv_slice pointer);

/* Step through a payload: returns 1 and a row, 0 at the end, -KV_EDAMAGED, or -KV_EFORMAT for a
 * kind this version does not know. Start with a cursor over the payload. */
KV_MUST_CHECK int batch_next(struct coding_cursor *cursor, struct batch_row *ret_row);

#endif
