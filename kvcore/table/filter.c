/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/filter.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum {
    FILTER_HEADER_SIZE = 16,
    FILTER_LINE_SIZE = 64,
    FILTER_LINE_BITS = 512,
    FILTER_PROBES_MAX = 12,
    FILTER_CAPACITY_MIN = 256,
    FILTER_SEED_KEY = 0,
    FILTER_SEED_PREFIX = 1,
};

#define FILTER_STEP UINT32_C(0x9e3779b9)

uint64_t filter_hash_key(struct kv_slice key)
{
    return hash_bytes(key, FILTER_SEED_KEY);
}

uint64_t filter_hash_prefix(struct kv_slice prefix)
{
    return hash_bytes(prefix, FILTER_SEED_PREFIX);
}

int filter_builder_add(struct filter_builder *builder, uint64_t hash)
{
    if (builder->count == builder->capacity) {
        size_t capacity = builder->capacity > 0 ? builder->capacity * 2 : FILTER_CAPACITY_MIN;
        uint64_t *hashes = realloc(builder->hashes, capacity * sizeof *hashes);
        if (hashes == NULL) {
            return -ENOMEM;
        }
        builder->hashes = hashes;
        builder->capacity = capacity;
    }
    builder->hashes[builder->count++] = hash;
    return 0;
}

void filter_builder_clear(struct filter_builder *builder)
{
    free(builder->hashes);
    *builder = (struct filter_builder){0};
}

/* ln 2 probes per bit make the fewest false positives. */
static unsigned probes_for(unsigned bits_per_key)
{
    unsigned probes = (bits_per_key * 69 + 50) / 100;
    if (probes < 1) {
        return 1;
    }
    return probes < FILTER_PROBES_MAX ? probes : FILTER_PROBES_MAX;
}

static uint8_t *line_of(uint8_t *lines, uint32_t line_count, uint64_t hash)
{
    return lines + (((hash >> 32) * line_count) >> 32) * FILTER_LINE_SIZE;
}

static void set_bits(uint8_t *line, uint64_t hash, unsigned probes)
{
    uint32_t g = (uint32_t)hash;
    for (unsigned i = 0; i < probes; i++) {
        line[g >> 26] |= (uint8_t)(1U << (g >> 23 & 7));
        g *= FILTER_STEP;
    }
}

int filter_builder_finish(struct filter_builder *builder, unsigned bits_per_key, struct kv_buf *to)
{
    enum { AHEAD = 8 }; /* lines asked for ahead of their use: a large filter misses every cache */
    unsigned probes = probes_for(bits_per_key);
    uint64_t lines =
        (builder->count * (uint64_t)bits_per_key + FILTER_LINE_BITS - 1) / FILTER_LINE_BITS;
    uint8_t *first;
    int r;

    lines = lines > 0 ? lines : 1;
    if (lines > UINT32_MAX / FILTER_LINE_SIZE) {
        return -EFBIG;
    }
    to->size = 0;
    r = kv_buf_reserve(to, FILTER_HEADER_SIZE + lines * FILTER_LINE_SIZE);
    if (r < 0) {
        return r;
    }
    to->size = FILTER_HEADER_SIZE + lines * FILTER_LINE_SIZE;
    memset(to->data, 0, to->size);
    coding_put_u32(to->data, (uint32_t)lines);
    to->data[4] = (uint8_t)probes;
    first = to->data + FILTER_HEADER_SIZE;
    for (size_t i = 0; i < builder->count; i++) {
        if (i + AHEAD < builder->count) {
            __builtin_prefetch(line_of(first, (uint32_t)lines, builder->hashes[i + AHEAD]), 1);
        }
        set_bits(line_of(first, (uint32_t)lines, builder->hashes[i]), builder->hashes[i], probes);
    }
    builder->count = 0;
    return 0;
}

int filter_parse(struct kv_slice bytes, struct filter *ret_filter)
{
    struct coding_cursor c = coding_cursor(bytes);
    uint32_t lines = coding_read_u32(&c);
    uint8_t probes = coding_read_u8(&c);

    coding_read_zeros(&c, 11);
    if (!coding_ok(&c) || lines == 0 || probes == 0 || probes > FILTER_PROBES_MAX ||
        coding_left(&c) != (uint64_t)lines * FILTER_LINE_SIZE) {
        return -KV_EDAMAGED;
    }
    *ret_filter = (struct filter){.lines = c.at, .line_count = lines, .probes = probes};
    return 0;
}

bool filter_may_match(const struct filter *filter, uint64_t hash)
{
    uint32_t g = (uint32_t)hash;
    const uint8_t *line;

    if (filter->lines == NULL) {
        return true;
    }
    line = filter->lines + (((hash >> 32) * filter->line_count) >> 32) * FILTER_LINE_SIZE;
    for (unsigned i = 0; i < filter->probes; i++) {
        if ((line[g >> 26] >> (g >> 23 & 7) & 1) == 0) {
            return false;
        }
        g *= FILTER_STEP;
    }
    return true;
}
