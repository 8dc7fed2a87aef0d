/* SPDX-License-Identifier: Apache-2.0 */
/* Compression of blocks: one byte on disk names the codec. */
#ifndef KVCORE_UTIL_CODEC_H
#define KVCORE_UTIL_CODEC_H

#include <kv/slice.h>

/* On disk, never renumber. */
enum codec {
    CODEC_NONE = 1,
    CODEC_SNAPPY = 2,
};

/* Compress `raw` into `out` (replaced) with `wanted` where that saves at least an eighth; otherwise
 * `out` is left empty. Returns the codec that was used, CODEC_NONE meaning "store `raw` itself".
 * Errors: -ENOMEM. */
KV_MUST_CHECK int codec_compress(enum codec wanted, struct kv_slice raw, struct kv_buf *out);

/* Whether `stored_size` bytes can stand for `raw_size`; false also for an unknown codec. Who reads
 * sizes from a disk asks before making room for so many bytes. */
bool codec_can_give(uint8_t codec, uint64_t stored_size, uint64_t raw_size);
/* Decompress exactly `raw_size` bytes to `raw`. `codec` and `stored` come from disk and may be
 * anything. Errors: -KV_EDAMAGED, -KV_EFORMAT for an unknown codec. */
KV_MUST_CHECK int codec_decompress(uint8_t codec, struct kv_slice stored, uint8_t *raw,
                                   size_t raw_size);

#endif
