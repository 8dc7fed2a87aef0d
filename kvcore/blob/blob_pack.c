/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/blob/blob_pack.h"

#include <assert.h>

/* In the offset of an unplaced pointer: it counts within the packed values. Offsets in a blob are
 * smaller. */
#define OFFSET_IS_PACKED 0x80000000u

void blob_pack_finish(struct blob_pack *pack)
{
    kv_buf_finish(&pack->aligned);
    kv_buf_finish(&pack->packed);
    kv_buf_finish(&pack->scratch);
}

static void clear_buf(struct kv_buf *buf, size_t keep_bytes)
{
    buf->size = 0;
    if (buf->capacity > keep_bytes) {
        kv_buf_finish(buf);
    }
}

void blob_pack_clear(struct blob_pack *pack, size_t keep_bytes)
{
    clear_buf(&pack->aligned, keep_bytes);
    clear_buf(&pack->packed, keep_bytes);
    clear_buf(&pack->scratch, keep_bytes);
}

size_t blob_pack_size(const struct blob_pack *pack)
{
    return pack->aligned.size + pack->packed.size;
}

static struct kv_slice unit_of(struct kv_slice value, uint32_t unit_size, size_t index)
{
    size_t begin = index * unit_size;
    size_t left = value.size - begin;
    return kv_slice(value.data + begin, left < unit_size ? left : unit_size);
}

/* Compress one unit to the end of `to`, or copy it where that makes it no smaller. */
static int add_unit(struct blob_pack *pack, struct kv_slice raw, struct kv_buf *to,
                    struct kv_slice *ret_stored)
{
    struct kv_slice stored = raw;
    int r = codec_compress(CODEC_SNAPPY, raw, &pack->scratch);

    if (r < 0) {
        return r;
    }
    if (r == CODEC_SNAPPY) {
        stored = kv_buf_slice(&pack->scratch);
    }
    r = kv_buf_append(to, stored);
    if (r == 0) {
        *ret_stored = kv_slice(to->data + to->size - stored.size, stored.size);
    }
    return r;
}

/* The units of `value`, compressed, to the end of `to`, and their entries into the pointer. */
static int add_compressed(struct blob_pack *pack, uint64_t store_seed, struct kv_slice value,
                          struct kv_buf *to, uint8_t *pointer)
{
    size_t count = (value.size + BLOB_UNIT_SNAPPY - 1) / BLOB_UNIT_SNAPPY;

    for (size_t i = 0; i < count; i++) {
        struct kv_slice stored;
        int r = add_unit(pack, unit_of(value, BLOB_UNIT_SNAPPY, i), to, &stored);
        if (r < 0) {
            return r;
        }
        blob_pointer_put_unit(pointer, CODEC_SNAPPY, (uint32_t)i, (uint32_t)stored.size,
                              blob_hash(store_seed, stored));
    }
    return 0;
}

/* Returns 1 if compressing paid, 0 if the pack is as before. */
static int try_compressed(struct blob_pack *pack, uint64_t store_seed, struct kv_slice value,
                          struct kv_buf *pointer)
{
    size_t count = (value.size + BLOB_UNIT_SNAPPY - 1) / BLOB_UNIT_SNAPPY;
    size_t size = blob_pointer_size(CODEC_SNAPPY, (uint32_t)count);
    size_t before = pack->packed.size;
    size_t stored;
    int r = kv_buf_reserve(pointer, size);

    r = r < 0
            ? r
            : add_compressed(pack, store_seed, value, &pack->packed, pointer->data + pointer->size);
    stored = pack->packed.size - before;
    if (r < 0 || stored > value.size - value.size / 8) {
        pack->packed.size = before;
        return r;
    }
    if (stored % BLOB_ALIGNMENT == 0) {
        r = kv_buf_append(&pack->aligned, kv_slice(pack->packed.data + before, stored));
        pack->packed.size = before;
        before = pack->aligned.size - stored;
    } else {
        before |= OFFSET_IS_PACKED;
    }
    if (r < 0) {
        return r;
    }
    blob_pointer_put_head(pointer->data + pointer->size, CODEC_SNAPPY, (uint32_t)before,
                          (uint32_t)value.size);
    pointer->size += size;
    return 1;
}

static int add_raw(struct blob_pack *pack, uint64_t store_seed, struct kv_slice value,
                   struct kv_buf *pointer)
{
    bool aligned = value.size % BLOB_ALIGNMENT == 0;
    struct kv_buf *to = aligned ? &pack->aligned : &pack->packed;
    uint32_t offset = (uint32_t)to->size | (aligned ? 0 : OFFSET_IS_PACKED);
    size_t count = (value.size + BLOB_UNIT_RAW - 1) / BLOB_UNIT_RAW;
    size_t size = blob_pointer_size(CODEC_NONE, (uint32_t)count);
    int r = kv_buf_reserve(pointer, size);

    r = r < 0 ? r : kv_buf_append(to, value);
    if (r < 0) {
        return r;
    }
    blob_pointer_put_head(pointer->data + pointer->size, CODEC_NONE, offset, (uint32_t)value.size);
    for (size_t i = 0; i < count; i++) {
        struct kv_slice unit = unit_of(value, BLOB_UNIT_RAW, i);
        blob_pointer_put_unit(pointer->data + pointer->size, CODEC_NONE, (uint32_t)i,
                              (uint32_t)unit.size, blob_hash(store_seed, unit));
    }
    pointer->size += size;
    return 0;
}

int blob_pack_add(struct blob_pack *pack, uint64_t store_seed, enum codec wanted,
                  struct kv_slice value, struct kv_buf *pointer)
{
    int r = 0;

    assert(value.size > 0 && value.size <= BLOB_VALUE_SIZE_MAX);
    if (wanted == CODEC_SNAPPY) {
        r = try_compressed(pack, store_seed, value, pointer);
    }
    return r == 0 ? add_raw(pack, store_seed, value, pointer) : r < 0 ? r : 0;
}

void blob_pack_place(uint8_t *pointer, size_t size, uint64_t store_seed,
                     const struct blob_place *place)
{
    uint32_t offset = blob_pointer_unplaced_offset(pointer);
    uint32_t base = (offset & OFFSET_IS_PACKED) != 0 ? place->packed_offset : place->aligned_offset;
    blob_pointer_place(pointer, size, store_seed, place->number,
                       base + (offset & ~OFFSET_IS_PACKED));
}
