/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a filter block. Beside being parsed it serves as keys for a filter made anew. */
#include "tests/fuzz/fuzz.h"

#include "kvcore/table/filter.h"

enum { KEY_SIZE = 8 };

static uint64_t hash_at(struct kv_slice bytes, size_t at)
{
    size_t left = bytes.size - at;
    return filter_hash_key(kv_slice(bytes.data + at, left < KEY_SIZE ? left : KEY_SIZE));
}

static void probe(struct kv_slice bytes)
{
    static const uint64_t edges[] = {0, UINT32_MAX, UINT64_MAX, UINT64_C(0xffffffff00000000)};
    struct filter filter;
    int r = filter_parse(bytes, &filter);

    fuzz_expect_verdict(r);
    if (r < 0) {
        return;
    }
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        kv_ignore(filter_may_match(&filter, edges[i]));
    }
    for (size_t at = 0; at < bytes.size; at += KEY_SIZE) {
        kv_ignore(filter_may_match(&filter, hash_at(bytes, at)));
    }
}

/* What was added is found. */
static void build(struct kv_slice bytes)
{
    struct filter_builder builder = {0};
    struct kv_buf made = {0};
    struct filter filter;

    for (size_t at = 0; at < bytes.size; at += KEY_SIZE) {
        fuzz_need(filter_builder_add(&builder, hash_at(bytes, at)));
    }
    fuzz_need(filter_builder_finish(&builder, 1 + (unsigned)(bytes.size % 20), &made));
    assert(filter_parse(kv_buf_slice(&made), &filter) == 0);
    for (size_t at = 0; at < bytes.size; at += KEY_SIZE) {
        assert(filter_may_match(&filter, hash_at(bytes, at)));
    }
    filter_builder_clear(&builder);
    kv_buf_finish(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    probe(kv_slice(data, size));
    build(kv_slice(data, size));
    return 0;
}
