/* SPDX-License-Identifier: Apache-2.0 */
/* Values made ready for a blob before their place in it is known: compressed, hashed, laid out.
 *
 * Raw pages can be given back to the device one by one only if they are whole blocks of the file,
 * so a value whose stored size is a multiple of 4096 starts at such a multiple; all others follow
 * each other without gaps. A pack keeps the two apart, so that it costs one gap at most:
 *
 *     blob  ... [gap to a multiple of 4096] [aligned values] [packed values]
 *
 * One thread at a time. */
#ifndef KVCORE_BLOB_BLOB_PACK_H
#define KVCORE_BLOB_BLOB_PACK_H

#include "kvcore/blob/blob_pointer.h"

/* All zero is an empty pack; release with blob_pack_finish(). */
struct blob_pack {
    struct kv_buf aligned; /* stored bytes, a multiple of BLOB_ALIGNMENT */
    struct kv_buf packed;  /* stored bytes of the other values */
    struct kv_buf scratch; /* of compression */
};

/* Where a pack was written. */
struct blob_place {
    uint64_t number;
    uint32_t aligned_offset;
    uint32_t packed_offset;
};

void blob_pack_finish(struct blob_pack *pack);
/* Empty it; memory beyond `keep_bytes` is given back. */
void blob_pack_clear(struct blob_pack *pack, size_t keep_bytes);
/* Stored bytes in the pack. */
size_t blob_pack_size(const struct blob_pack *pack);
/* Add a value of 1 to BLOB_VALUE_SIZE_MAX bytes, compressed with `wanted` where that saves an
 * eighth or more, and append an unplaced pointer to `pointer`. Errors: -ENOMEM, and then nothing
 * was added. */
KV_MUST_CHECK int blob_pack_add(struct blob_pack *pack, uint64_t store_seed, enum codec wanted,
                                struct kv_slice value, struct kv_buf *pointer);
/* Place a pointer that blob_pack_add() made for a pack that was written at `place`. */
void blob_pack_place(uint8_t *pointer, size_t size, uint64_t store_seed,
                     const struct blob_place *place);

#endif
