/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/codec.h"

#include <snappy-c.h>

int codec_compress(enum codec wanted, struct kv_slice raw, struct kv_buf *out)
{
    size_t size = snappy_max_compressed_length(raw.size);
    int r;

    out->size = 0;
    if (wanted == CODEC_NONE || raw.size == 0) {
        return CODEC_NONE;
    }
    r = kv_buf_reserve(out, size);
    if (r < 0) {
        return r;
    }
    if (snappy_compress((const char *)raw.data, raw.size, (char *)out->data, &size) != SNAPPY_OK ||
        size > raw.size - raw.size / 8) {
        return CODEC_NONE;
    }
    out->size = size;
    return CODEC_SNAPPY;
}

bool codec_can_give(uint8_t codec, uint64_t stored_size, uint64_t raw_size)
{
    enum { GAIN_MAX = 22 }; /* the longest copy, of 64 bytes, takes 3 */
    return codec == CODEC_NONE ? raw_size == stored_size
                               : codec == CODEC_SNAPPY && raw_size / GAIN_MAX <= stored_size;
}

int codec_decompress(uint8_t codec, struct kv_slice stored, uint8_t *raw, size_t raw_size)
{
    size_t size = 0;

    switch (codec) {
    case CODEC_NONE:
        if (stored.size != raw_size) {
            return -KV_EDAMAGED;
        }
        memcpy(raw, stored.data, raw_size);
        return 0;
    case CODEC_SNAPPY:
        if (snappy_uncompressed_length((const char *)stored.data, stored.size, &size) !=
                SNAPPY_OK ||
            size != raw_size ||
            snappy_uncompress((const char *)stored.data, stored.size, (char *)raw, &size) !=
                SNAPPY_OK) {
            return -KV_EDAMAGED;
        }
        return 0;
    default:
        return -KV_EFORMAT;
    }
}
