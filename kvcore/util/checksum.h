/* SPDX-License-Identifier: Apache-2.0 */
/* Every checksum and hash of the project: XXH3-64 (libxxhash).
 *
 * A stored checksum is seeded with where its bytes belong: store, kind of file, file number and
 * offset. So a block that was written to another place, left over from an earlier life of the file,
 * or copied in from another store fails its check although its bytes are intact. See
 * docs/format.md, "Checksums". */
#ifndef KVCORE_UTIL_CHECKSUM_H
#define KVCORE_UTIL_CHECKSUM_H

#include <kv/slice.h>

/* Derive the seed of a store from the 16-byte checksum-seed id in its root record. */
uint64_t checksum_store_seed(const uint8_t seed_id[16]);

/* The seed of one file of the store; `kind` is an enum kv_file_kind. */
uint64_t checksum_file_seed(uint64_t store_seed, uint32_t kind, uint64_t number);

/* Checksum of bytes that begin at `offset` of the file that `file_seed` stands for. */
uint64_t checksum_at(uint64_t file_seed, uint64_t offset, struct kv_slice bytes);

/* The same of bytes that come in pieces. Any number of checksums by one, each begun anew. */
struct checksum_stream;
KV_MUST_CHECK int checksum_stream_create(struct checksum_stream **ret_stream);
void checksum_stream_destroy(struct checksum_stream *stream); /* accepts NULL */
void checksum_stream_begin(struct checksum_stream *stream, uint64_t file_seed, uint64_t offset);
void checksum_stream_add(struct checksum_stream *stream, struct kv_slice bytes);
uint64_t checksum_stream_end(const struct checksum_stream *stream);

/* Plain hash for filters, caches and hash tables; different seeds give independent hashes. */
uint64_t hash_bytes(struct kv_slice bytes, uint64_t seed);

/* Mixes the bits of one number (the finalizer of splitmix64; Steele, Lea, Flood 2014). */
static inline uint64_t hash_u64(uint64_t v)
{
    v ^= v >> 30;
    v *= 0xbf58476d1ce4e5b9ULL;
    v ^= v >> 27;
    v *= 0x94d049bb133111ebULL;
    return v ^ (v >> 31);
}

#endif
