/* SPDX-License-Identifier: Apache-2.0 */
/* What the iterator users see is made of, for those who take more from it than its value: the parts
 * of values (part.c). */
#ifndef KVCORE_DB_DB_ITER_H
#define KVCORE_DB_DB_ITER_H

#include "kvcore/db/store.h"
#include "kvcore/table/iter.h"

struct kv_iter {
    struct kv_table *table;
    struct view *view;
    struct iter *inner;
    uint64_t sequence;
    struct kv_slice lower, upper; /* empty: none */
    bool forward;
    bool valid;
    int error;
    uint8_t kind;               /* of the row that is shown: not a delete */
    struct kv_slice key, value; /* as stored */
    struct kv_buf saved_key, saved_value;
    struct kv_buf loaded; /* the bytes of a large value, if `is_loaded` */
    bool is_loaded;
};

#endif
