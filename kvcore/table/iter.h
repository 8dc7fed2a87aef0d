/* SPDX-License-Identifier: Apache-2.0 */
/* The iterator over rows that memtables, tables, levels and merges share.
 *
 * The struct itself points to the current row, so that a merge compares rows without a call; an
 * iterator over others points to theirs, so that a row is copied nowhere on its way up. The
 * operations keep `valid`, `error` and `row` up to date: after each, either valid is true and the
 * row and its slices stay good until the next operation; or valid is false, and error is 0 at the
 * end or a negative errno. After an error only a seek may follow. next and prev require valid. The
 * key to seek must not lie in `row`. */
#ifndef KVCORE_TABLE_ITER_H
#define KVCORE_TABLE_ITER_H

#include "kvcore/table/row.h"

struct iter;

struct iter_ops {
    void (*seek)(struct iter *it, struct kv_slice key, uint64_t trailer); /* first row >= */
    void (*seek_first)(struct iter *it);
    void (*seek_last)(struct iter *it);
    void (*next)(struct iter *it);
    void (*prev)(struct iter *it);
    void (*destroy)(struct iter *it);
};

struct iter {
    const struct iter_ops *ops;
    bool valid;
    int error;
    const struct row *row; /* of whoever holds it: good until the next operation */
};

static inline void iter_seek(struct iter *it, struct kv_slice key, uint64_t trailer)
{
    it->ops->seek(it, key, trailer);
}

static inline void iter_seek_first(struct iter *it)
{
    it->ops->seek_first(it);
}

static inline void iter_seek_last(struct iter *it)
{
    it->ops->seek_last(it);
}

static inline void iter_next(struct iter *it)
{
    it->ops->next(it);
}

static inline void iter_prev(struct iter *it)
{
    it->ops->prev(it);
}

static inline void iter_destroy(struct iter *it)
{
    if (it != NULL) {
        it->ops->destroy(it);
    }
}

#endif
