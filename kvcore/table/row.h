/* SPDX-License-Identifier: Apache-2.0 */
/* One row as the engine keeps it: user key, trailer (sequence number and kind), value.
 * Order: user key ascending as bytes, then trailer descending, so that newer versions come first.
 */
#ifndef KVCORE_TABLE_ROW_H
#define KVCORE_TABLE_ROW_H

#include <kv/slice.h>

/* On disk, never renumber. A kind that is not listed is an incompatible format. */
enum row_kind {
    ROW_PUT = 1,
    ROW_DELETE = 2,
    ROW_RANGE_DELETE = 3, /* key = start (inclusive), value = end (exclusive) */
    ROW_BLOB = 4,         /* value = pointer into a blob, see docs/format.md */
    ROW_DAMAGED = 5, /* reads give an error until overwritten or deleted; value = end of range */
    ROW_MERGE = 6,   /* reserved */
    ROW_PREPARE = 7, /* reserved for transactions, with the next two */
    ROW_COMMIT = 8,
    ROW_ROLLBACK = 9,
};

#define ROW_SEQUENCE_MAX (((uint64_t)1 << 56) - 1)

static inline uint64_t row_trailer(uint64_t sequence, enum row_kind kind)
{
    return sequence << 8 | (uint64_t)kind;
}

static inline uint64_t row_sequence(uint64_t trailer)
{
    return trailer >> 8;
}

static inline uint8_t row_kind(uint64_t trailer)
{
    return (uint8_t)trailer;
}

/* The trailer to seek for the newest row visible at `sequence`: sorts before all of them. */
static inline uint64_t row_seek_trailer(uint64_t sequence)
{
    return sequence << 8 | 0xff;
}

struct row {
    struct kv_slice key;
    uint64_t trailer;
    struct kv_slice value;
};

static inline int row_compare(struct kv_slice a_key, uint64_t a_trailer, struct kv_slice b_key,
                              uint64_t b_trailer)
{
    int r = kv_slice_compare(a_key, b_key);
    if (r != 0) {
        return r;
    }
    return (a_trailer < b_trailer) - (a_trailer > b_trailer);
}

/* Kinds this version can read from data blocks. (Range deletes have a block of their own.) */
static inline bool row_kind_is_known(uint8_t kind)
{
    return kind == ROW_PUT || kind == ROW_DELETE || kind == ROW_BLOB || kind == ROW_DAMAGED;
}

#endif
