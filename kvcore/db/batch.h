/* SPDX-License-Identifier: Apache-2.0 */
/* A batch is kept in the form it has in the log (docs/format.md, "Rows of a batch"), so that commit
 * copies nothing: the payload is handed to the log as it is and walked once into the memtables. */
#ifndef KVCORE_DB_BATCH_H
#define KVCORE_DB_BATCH_H

#include <kv/kv.h>

#include "kvcore/table/row.h"
#include "kvcore/util/coding.h"

struct kv_batch {
    struct kv_buf payload;
    uint32_t count;
    bool use_reserve; /* see kv_batch_use_reserve() */
};

/* One row of a payload; key and value point into it. */
struct batch_row {
    enum row_kind kind;
    uint32_t table_id;
    struct kv_slice key;
    struct kv_slice value; /* damaged, range delete: end of the range */
};

/* Step through a payload: returns 1 and a row, 0 at the end, -KV_EDAMAGED, or -KV_EFORMAT for a
 * kind this version does not know. Start with a cursor over the payload. */
KV_MUST_CHECK int batch_next(struct coding_cursor *cursor, struct batch_row *ret_row);

#endif
