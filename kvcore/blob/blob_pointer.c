/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/blob/blob_pointer.h"

#include <assert.h>

#include <kv/storage.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

/* Where the parts of the head lie. */
enum {
    AT_NUMBER = 0,
    AT_OFFSET = 8,
    AT_SKIP = 12,
    AT_LENGTH = 16,
    AT_RAW_SIZE = 20,
    AT_CODEC = 24, /* and three zeros */
};

enum { ENTRY_RAW_SIZE = 8, ENTRY_SNAPPY_SIZE = 12 };

static uint32_t entry_size(enum codec codec)
{
    return codec == CODEC_NONE ? ENTRY_RAW_SIZE : ENTRY_SNAPPY_SIZE;
}

static uint32_t count_units(enum codec codec, uint64_t raw_size)
{
    uint32_t size = blob_unit_size(codec);
    return (uint32_t)((raw_size + size - 1) / size);
}

size_t blob_pointer_size(enum codec codec, uint32_t unit_count)
{
    return BLOB_POINTER_HEAD_SIZE + (size_t)unit_count * entry_size(codec);
}

/* ---- reading ---- */

/* The raw size of a unit: all are full but the last. */
static uint32_t unit_raw_size(const struct blob_pointer *pointer, uint32_t index)
{
    uint32_t full = blob_unit_size(pointer->codec);
    return index + 1 < pointer->unit_count ? full : pointer->raw_size - index * full;
}

/* Fill in what follows from the units, and judge it. */
static int take_units(struct kv_slice units, struct blob_pointer *pointer)
{
    uint64_t stored = pointer->codec == CODEC_NONE ? pointer->raw_size : 0;

    if (units.size != (size_t)pointer->unit_count * entry_size(pointer->codec)) {
        return -KV_EDAMAGED;
    }
    for (uint32_t i = 0; pointer->codec != CODEC_NONE && i < pointer->unit_count; i++) {
        uint32_t size = coding_get_u32(units.data + (size_t)i * ENTRY_SNAPPY_SIZE);
        if (size == 0 || size > unit_raw_size(pointer, i)) {
            return -KV_EDAMAGED;
        }
        stored += size;
    }
    if (pointer->offset + stored > BLOB_DATA_SIZE_MAX) {
        return -KV_EDAMAGED;
    }
    pointer->stored_size = (uint32_t)stored;
    pointer->units = units.data;
    return 0;
}

int blob_pointer_decode(struct kv_slice bytes, struct blob_pointer *ret_pointer)
{
    struct coding_cursor c = coding_cursor(bytes);
    struct blob_pointer pointer = {0};
    uint64_t end;
    uint8_t codec;
    int r;

    pointer.number = coding_read_u64(&c);
    pointer.offset = coding_read_u32(&c);
    pointer.skip = coding_read_u32(&c);
    pointer.length = coding_read_u32(&c);
    pointer.raw_size = coding_read_u32(&c);
    codec = coding_read_u8(&c);
    coding_read_zeros(&c, 3);
    if (!coding_ok(&c) || pointer.number == 0 || codec == 0) {
        return -KV_EDAMAGED;
    }
    if (codec != CODEC_NONE && codec != CODEC_SNAPPY) {
        return -KV_EFORMAT;
    }
    pointer.codec = (enum codec)codec;
    end = (uint64_t)pointer.skip + pointer.length;
    pointer.unit_count = count_units(pointer.codec, pointer.raw_size);
    if (pointer.length == 0 || pointer.length > BLOB_VALUE_SIZE_MAX ||
        pointer.skip >= blob_unit_size(pointer.codec) || pointer.raw_size < end ||
        pointer.unit_count != count_units(pointer.codec, end)) {
        return -KV_EDAMAGED;
    }
    r = take_units(kv_slice(c.at, coding_left(&c)), &pointer);
    if (r == 0) {
        *ret_pointer = pointer;
    }
    return r;
}

bool blob_pointer_next_unit(const struct blob_pointer *pointer, struct blob_unit_position *next,
                            struct blob_unit *ret_unit)
{
    uint32_t index = next->index;
    const uint8_t *entry = pointer->units + (size_t)index * entry_size(pointer->codec);
    struct blob_unit unit = {.index = index, .offset = pointer->offset + next->stored};

    if (index == pointer->unit_count) {
        return false;
    }
    unit.raw_size = unit_raw_size(pointer, index);
    unit.stored_size = pointer->codec == CODEC_NONE ? unit.raw_size : coding_get_u32(entry);
    unit.checksum = coding_get_u64(pointer->codec == CODEC_NONE ? entry : entry + 4);
    next->index = index + 1;
    next->stored += unit.stored_size;
    *ret_unit = unit;
    return true;
}

/* ---- parts ---- */

int blob_pointer_part(const struct blob_pointer *pointer, size_t skip, size_t size,
                      struct kv_buf *to)
{
    uint32_t full = blob_unit_size(pointer->codec);
    uint64_t begin = pointer->skip + (uint64_t)skip; /* counted from the first unit */
    uint32_t first = (uint32_t)(begin / full);
    uint32_t last = (uint32_t)((begin + size - 1) / full);
    uint32_t raw_end = last * full + unit_raw_size(pointer, last);
    struct blob_unit_position position = {0};
    struct blob_unit unit = {0};
    size_t entry = entry_size(pointer->codec);
    uint8_t head[BLOB_POINTER_HEAD_SIZE] = {0};
    int r;

    assert(size > 0 && skip + size <= pointer->length);
    while (position.index <= first && blob_pointer_next_unit(pointer, &position, &unit)) {
    }
    coding_put_u64(head + AT_NUMBER, pointer->number);
    coding_put_u32(head + AT_OFFSET, unit.offset);
    coding_put_u32(head + AT_SKIP, (uint32_t)(begin - (uint64_t)first * full));
    coding_put_u32(head + AT_LENGTH, (uint32_t)size);
    coding_put_u32(head + AT_RAW_SIZE, raw_end - first * full);
    head[AT_CODEC] = (uint8_t)pointer->codec;
    r = kv_buf_reserve(to, blob_pointer_size(pointer->codec, last - first + 1));
    r = r < 0 ? r : kv_buf_append(to, kv_slice(head, sizeof head));
    return r < 0 ? r
                 : kv_buf_append(
                       to, kv_slice(pointer->units + first * entry, (last - first + 1) * entry));
}

/* ---- checksums ---- */

uint64_t blob_hash(uint64_t store_seed, struct kv_slice stored)
{
    return hash_bytes(stored, store_seed);
}

uint64_t blob_checksum(uint64_t hash, uint64_t file_seed, uint64_t offset)
{
    return hash_u64(hash + hash_u64(file_seed + offset));
}

bool blob_unit_is_sound(const struct blob_unit *unit, uint64_t store_seed, uint64_t file_seed,
                        struct kv_slice stored)
{
    return stored.size == unit->stored_size &&
           blob_checksum(blob_hash(store_seed, stored), file_seed, unit->offset) == unit->checksum;
}

/* ---- making ---- */

void blob_pointer_put_head(uint8_t *to, enum codec codec, uint32_t offset, uint32_t length)
{
    memset(to, 0, BLOB_POINTER_HEAD_SIZE);
    coding_put_u32(to + AT_OFFSET, offset);
    coding_put_u32(to + AT_LENGTH, length);
    coding_put_u32(to + AT_RAW_SIZE, length);
    to[AT_CODEC] = (uint8_t)codec;
}

void blob_pointer_put_unit(uint8_t *pointer, enum codec codec, uint32_t index, uint32_t stored_size,
                           uint64_t hash)
{
    uint8_t *entry = pointer + BLOB_POINTER_HEAD_SIZE + (size_t)index * entry_size(codec);
    if (codec != CODEC_NONE) {
        coding_put_u32(entry, stored_size);
        entry += 4;
    }
    coding_put_u64(entry, hash);
}

uint32_t blob_pointer_unplaced_offset(const uint8_t *pointer)
{
    return coding_get_u32(pointer + AT_OFFSET);
}

bool blob_pointer_is_unplaced(struct kv_slice bytes)
{
    return bytes.size >= BLOB_POINTER_HEAD_SIZE && coding_get_u64(bytes.data + AT_NUMBER) == 0;
}

void blob_pointer_place(uint8_t *pointer, size_t size, uint64_t store_seed, uint64_t number,
                        uint32_t offset)
{
    uint64_t file_seed = checksum_file_seed(store_seed, KV_FILE_BLOB, number);
    struct blob_pointer placed;
    struct blob_unit_position position = {0};
    struct blob_unit unit;
    int r;

    coding_put_u64(pointer + AT_NUMBER, number);
    coding_put_u32(pointer + AT_OFFSET, offset);
    r = blob_pointer_decode(kv_slice(pointer, size), &placed);
    assert(r == 0); /* it is ours */
    while (blob_pointer_next_unit(&placed, &position, &unit)) {
        blob_pointer_put_unit(pointer, placed.codec, unit.index, unit.stored_size,
                              blob_checksum(unit.checksum, file_seed, unit.offset));
    }
}
