/* SPDX-License-Identifier: Apache-2.0 */
/* One row as the engine keeps it: user key, trailer (sequence number and kind), value.
 * Order: user key ascending as bytes, then trailer descending, so that newer versions come first.
 */
#ifndef KVCORE_TABLE_ROW_H
#define KVCORE_TABLE_ROW_H

#include <kv/slice.h>

#include "kvcore/util/coding.h"

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

/* The functions on keys below are those of kv_slice_*, for the steps of iterators: most keys are
 * short, and a few loads of eight bytes cost less than the call. */

/* The first 8 bytes as a number, zeros behind a shorter key. Two keys of different heads are in the
 * order of their heads; equal heads decide nothing. */
static inline uint64_t key_head(struct kv_slice key)
{
    uint8_t bytes[sizeof(uint64_t)] = {0};
    if (key.size >= sizeof bytes) {
        return coding_get_be64(key.data);
    }
    for (size_t i = 0; i < key.size; i++) {
        bytes[i] = key.data[i];
    }
    return coding_get_be64(bytes);
}

static inline bool key_equal(struct kv_slice a, struct kv_slice b)
{
    size_t n = a.size;
    if (n != b.size) {
        return false;
    }
    if (n < sizeof(uint64_t)) {
        return kv_slice_equal(a, b);
    }
    /* The first and the last eight bytes are all there is of up to 16, and rarely agree otherwise.
     */
    size_t last = n - sizeof(uint64_t);
    uint64_t differs = (coding_get_u64(a.data) ^ coding_get_u64(b.data)) |
                       (coding_get_u64(a.data + last) ^ coding_get_u64(b.data + last));
    return differs == 0 && (last <= sizeof(uint64_t) || memcmp(a.data, b.data, n) == 0);
}

/* kv_buf_assign() of a key. Errors: -ENOMEM. */
KV_MUST_CHECK static inline int key_assign(struct kv_buf *to, struct kv_slice key)
{
    size_t n = key.size;
    if (n < sizeof(uint64_t) || n > 2 * sizeof(uint64_t) || n > to->capacity) {
        return kv_buf_assign(to, key);
    }
    uint64_t first = coding_get_u64(key.data);
    uint64_t last = coding_get_u64(key.data + n - sizeof last);
    coding_put_u64(to->data, first);
    coding_put_u64(to->data + n - sizeof last, last);
    to->size = n;
    return 0;
}

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
