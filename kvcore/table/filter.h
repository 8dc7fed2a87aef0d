/* SPDX-License-Identifier: Apache-2.0 */
/* Bloom filter in lines of 64 bytes: one cache line per probe of a key (the layout RocksDB's
 * FastLocalBloom uses). Holds whole keys and, for tables with a prefix size, prefixes. No false
 * negatives: an entry that was added is always found. */
#ifndef KVCORE_TABLE_FILTER_H
#define KVCORE_TABLE_FILTER_H

#include <kv/slice.h>

/* On disk, never renumber. */
enum filter_format {
    FILTER_BLOCKED_BLOOM = 1,
};

/* Hash of an entry; hash once, probe many filters. */
uint64_t filter_hash_key(struct kv_slice key);
uint64_t filter_hash_prefix(struct kv_slice prefix);

struct filter_builder {
    uint64_t *hashes;
    size_t count, capacity;
};

KV_MUST_CHECK int filter_builder_add(struct filter_builder *builder, uint64_t hash);
/* Encode all hashes added (0 is fine) and reset. */
KV_MUST_CHECK int filter_builder_finish(struct filter_builder *builder, unsigned bits_per_key,
                                        struct kv_buf *to);
void filter_builder_clear(struct filter_builder *builder); /* frees */

/* A parsed filter: points into bytes that must outlive it. */
struct filter {
    const uint8_t *lines; /* NULL: everything may match */
    uint32_t line_count;
    uint8_t probes;
};

KV_MUST_CHECK int filter_parse(struct kv_slice bytes, struct filter *ret_filter);
bool filter_may_match(const struct filter *filter, uint64_t hash);
static inline void filter_prefetch(const struct filter *filter, uint64_t hash)
{
    if (filter->lines != NULL) {
        __builtin_prefetch(filter->lines + (((hash >> 32) * filter->line_count) >> 32) * 64);
    }
}

#endif
