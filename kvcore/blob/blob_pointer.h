/* SPDX-License-Identifier: Apache-2.0 */
/* Pointers into blobs: the value of a row of kind ROW_BLOB. Byte layout in docs/format.md, "Blobs".
 *
 * A large value is stored as units: without a codec 4096 bytes each, with snappy 65,536 bytes each
 * before compression; the last one is shorter. A pointer carries the checksum of each unit, so that
 * a part of a value is a pointer to the units it touches, and a few bytes can be read and verified
 * without the rest:
 *
 *     units    [........|........|........|....]      raw_size bytes together
 *     value        |---- length ----------|           begins `skip` bytes into the first unit
 *
 * Pointers have a fixed width, because they are made before the place of the bytes is known: first
 * unplaced (number 0, the offset counts within a blob_pack, the checksums are those of the bytes
 * alone), then placed by blob_pointer_place(). The expensive hash is so computed by the writing
 * thread, and placing is a few additions.
 *
 * Decoding takes any bytes and accepts only what encoding makes. */
#ifndef KVCORE_BLOB_BLOB_POINTER_H
#define KVCORE_BLOB_BLOB_POINTER_H

#include <kv/slice.h>

#include "kvcore/util/codec.h"

enum {
    BLOB_UNIT_RAW = 4096,          /* raw bytes of a full unit, CODEC_NONE */
    BLOB_UNIT_SNAPPY = 64 * 1024,  /* raw bytes of a full unit, CODEC_SNAPPY */
    BLOB_ALIGNMENT = 4096,         /* of values whose stored size is a multiple of it */
    BLOB_POINTER_HEAD_SIZE = 28,   /* before the units */
    BLOB_POINTER_NUMBER_SIZE = 8,  /* a row that is only counted needs no more of the pointer */
    BLOB_DATA_SIZE_MAX = 1 << 30,  /* of a blob, before its directory */
    BLOB_VALUE_SIZE_MAX = 1 << 26, /* of one value, 64 MiB */
};

struct blob_pointer {
    uint64_t number;      /* of the blob */
    uint32_t offset;      /* of the first unit in it */
    uint32_t skip;        /* bytes of the first unit before the value */
    uint32_t length;      /* of the value, at least 1 */
    uint32_t raw_size;    /* of the units together, at least skip + length */
    uint32_t stored_size; /* of the units together: they lie at [offset, offset + stored_size) */
    uint32_t unit_count;
    enum codec codec;
    const uint8_t *units; /* encoded; in the bytes the pointer was decoded from */
};

/* `ret_pointer` points into `bytes`. Errors: -KV_EDAMAGED; -KV_EFORMAT a codec this version does
 * not know. */
KV_MUST_CHECK int blob_pointer_decode(struct kv_slice bytes, struct blob_pointer *ret_pointer);

/* Raw bytes of a full unit. */
static inline uint32_t blob_unit_size(enum codec codec)
{
    return codec == CODEC_NONE ? BLOB_UNIT_RAW : BLOB_UNIT_SNAPPY;
}

struct blob_unit {
    uint32_t index;
    uint32_t offset; /* in the blob */
    uint32_t stored_size;
    uint32_t raw_size; /* equal to stored_size: not compressed */
    uint64_t checksum;
};

/* Step through the units: begin with an all-zero `next`, which is moved behind the unit that is
 * returned. False at the end. */
struct blob_unit_position {
    uint32_t index;
    uint32_t stored; /* bytes of the units before */
};
bool blob_pointer_next_unit(const struct blob_pointer *pointer, struct blob_unit_position *next,
                            struct blob_unit *ret_unit);

/* Append to `to` a pointer to the bytes [skip, skip + size) of the value, which are some and within
 * it. It holds exactly the units they touch. Errors: -ENOMEM. */
KV_MUST_CHECK int blob_pointer_part(const struct blob_pointer *pointer, size_t skip, size_t size,
                                    struct kv_buf *to);

/* The checksum of stored bytes alone, and that of the same bytes at their place. */
uint64_t blob_hash(uint64_t store_seed, struct kv_slice stored);
uint64_t blob_checksum(uint64_t hash, uint64_t file_seed, uint64_t offset);
/* Whether `stored` are the bytes of `unit`; `file_seed` is that of the pointer's blob. */
bool blob_unit_is_sound(const struct blob_unit *unit, uint64_t store_seed, uint64_t file_seed,
                        struct kv_slice stored);

/* ---- for blob_pack: pointers that are not placed yet ---- */

/* Encoded size of a pointer to `unit_count` units. */
size_t blob_pointer_size(enum codec codec, uint32_t unit_count);
/* Everything but the units of an unplaced pointer to a whole value. */
void blob_pointer_put_head(uint8_t *to, enum codec codec, uint32_t offset, uint32_t length);
/* Unit `index` of a pointer to a whole value. */
void blob_pointer_put_unit(uint8_t *pointer, enum codec codec, uint32_t index, uint32_t stored_size,
                           uint64_t hash);
uint32_t blob_pointer_unplaced_offset(const uint8_t *pointer);
/* Whether the bytes are an unplaced pointer, by its number. */
bool blob_pointer_is_unplaced(struct kv_slice bytes);
/* Turn an unplaced pointer into one whose first unit lies at `offset` of blob `number`. */
void blob_pointer_place(uint8_t *pointer, size_t size, uint64_t store_seed, uint64_t number,
                        uint32_t offset);

#endif
