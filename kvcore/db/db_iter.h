/* SPDX-License-Identifier: Apache-2.0 */
/* What the iterator users see is made of, for those who take more from it than its value: the parts
 * of values (part.c). */
#ifndef KVCORE_DB_DB_ITER_H
#define KVCORE_DB_DB_ITER_H

#include "kvcore/db/dead_runs.h"
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
    /* Runs of deleted keys; see dead_runs.h. */
    bool exact;               /* shows the state at `sequence`, not an older one: may use runs */
    unsigned hidden;          /* deleted keys stepped over since a key was shown or a run passed */
    uint64_t stepped, passed; /* before that, and runs, since the iterator was made */
    unsigned walk;            /* not 0: give up behind so many deleted keys */
    bool gave_up;
    struct dead_key probe_from; /* from where to ask for a probe */
    bool probe_is_set;
};

/* Go to the first key at or behind `start` that is there, or give up behind `most` deleted ones.
 * `ret_end`: the first key that may be there, empty if there is none; good until the iterator
 * moves. For a fresh iterator without bounds. Errors: as kv_iter_error(). */
KV_MUST_CHECK int db_iter_walk(struct kv_iter *it, struct kv_slice start, unsigned most,
                               bool *ret_gave_up, struct kv_slice *ret_end);

#endif
