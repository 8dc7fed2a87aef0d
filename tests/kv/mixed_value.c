/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kv/mixed_value.h"

#include <inttypes.h>
#include <stdio.h>

#include "kvcore/util/rng.h"

void mixed_key_make(uint64_t part, uint64_t index, struct mixed_key *to)
{
    int size = snprintf(to->text, sizeof to->text, "p%02" PRIu64 "/%08" PRIu64, part, index);
    to->slice = kv_slice(to->text, (size_t)size);
}

bool mixed_key_parse(struct kv_slice key, struct mixed_id *ret_id)
{
    char text[MIXED_KEY_SIZE];
    struct mixed_id id = {0};
    struct mixed_key again;
    if (key.size >= sizeof text) {
        return false;
    }
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    if (sscanf(text, "p%2" SCNu64 "/%8" SCNu64, &id.part, &id.index) != 2) {
        return false;
    }
    *ret_id = id;
    mixed_key_make(id.part, id.index, &again);
    return kv_slice_equal(key, again.slice);
}

static uint64_t hash_id(const struct mixed_id *id)
{
    return hash_u64(id->part << 56 ^ id->index << 32 ^ id->version);
}

/* Most values are small; some go to blobs when they are flushed, and some as they are written. */
static size_t size_of(const struct mixed_id *id)
{
    struct rng rng = {hash_id(id)};
    uint64_t kind = rng_below(&rng, 100);
    if (kind < 80) {
        return sizeof *id + rng_below(&rng, 400);
    }
    if (kind < 92) {
        return 400 + rng_below(&rng, 3600);
    }
    return kind < 98 ? 4096 + rng_below(&rng, 12 << 10) : (16 << 10) + rng_below(&rng, 80 << 10);
}

int mixed_value_make(const struct mixed_id *id, struct kv_buf *value)
{
    struct rng rng = {~hash_id(id)};
    size_t size = size_of(id);
    int r;

    value->size = 0;
    r = kv_buf_reserve(value, size);
    if (r < 0) {
        return r;
    }
    memcpy(value->data, id, sizeof *id);
    for (size_t at = sizeof *id; at < size; at += 8) {
        /* Every third word can be compressed. */
        uint64_t word = at % 3 == 0 ? id->version : rng_next(&rng);
        memcpy(value->data + at, &word, size - at < 8 ? size - at : 8);
    }
    value->size = size;
    return 0;
}

uint64_t mixed_value_version(const struct mixed_id *id, struct kv_slice value,
                             struct kv_buf *scratch)
{
    struct mixed_id named;
    if (value.size < sizeof named) {
        return 0;
    }
    memcpy(&named, value.data, sizeof named);
    if (named.part != id->part || named.index != id->index ||
        mixed_value_make(&named, scratch) < 0 || !kv_slice_equal(value, kv_buf_slice(scratch))) {
        return 0;
    }
    return named.version;
}
