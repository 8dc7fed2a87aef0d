/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/checksum.h"

#include <xxhash.h>

uint64_t checksum_store_seed(const uint8_t seed_id[16])
{
    return XXH3_64bits(seed_id, 16);
}

uint64_t checksum_file_seed(uint64_t store_seed, uint32_t kind, uint64_t number)
{
    return hash_u64(hash_u64(store_seed + kind) + number);
}

uint64_t checksum_at(uint64_t file_seed, uint64_t offset, struct kv_slice bytes)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.size, hash_u64(file_seed + offset));
}

uint64_t hash_bytes(struct kv_slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}
