/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/checksum.h"

#include <stdlib.h>

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

/* ---- in pieces ---- */

struct checksum_stream {
    XXH3_state_t *state;
};

int checksum_stream_create(struct checksum_stream **ret_stream)
{
    struct checksum_stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL) {
        return -ENOMEM;
    }
    stream->state = XXH3_createState();
    if (stream->state == NULL) {
        free(stream);
        return -ENOMEM;
    }
    *ret_stream = stream;
    return 0;
}

void checksum_stream_destroy(struct checksum_stream *stream)
{
    if (stream != NULL) {
        XXH3_freeState(stream->state);
        free(stream);
    }
}

void checksum_stream_begin(struct checksum_stream *stream, uint64_t file_seed, uint64_t offset)
{
    (void)XXH3_64bits_reset_withSeed(stream->state, hash_u64(file_seed + offset)); /* not NULL */
}

void checksum_stream_add(struct checksum_stream *stream, struct kv_slice bytes)
{
    (void)XXH3_64bits_update(stream->state, bytes.data, bytes.size);
}

uint64_t checksum_stream_end(const struct checksum_stream *stream)
{
    return XXH3_64bits_digest(stream->state);
}
