/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/root_slot.h"

#include <assert.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum {
    SLOT_HEADER_SIZE = 32,
    SLOT_CHECKSUM_OFFSET = 24, /* behind what it covers of the header */
};

static const char slot_magic[8] = {'k', 'v', 'f', 's', 'r', 'o', 'o', 't'};

static uint64_t slot_checksum(const uint8_t *header, struct kv_slice content)
{
    uint8_t bytes[SLOT_CHECKSUM_OFFSET + ROOT_CONTENT_MAX];
    assert(content.size <= ROOT_CONTENT_MAX);
    memcpy(bytes, header, SLOT_CHECKSUM_OFFSET);
    if (content.size > 0) {
        memcpy(bytes + SLOT_CHECKSUM_OFFSET, content.data, content.size);
    }
    return hash_bytes(kv_slice(bytes, SLOT_CHECKSUM_OFFSET + content.size), 0);
}

void root_slot_encode(uint64_t version, struct kv_slice content, uint8_t to[ROOT_SLOT_SIZE])
{
    memset(to, 0, ROOT_SLOT_SIZE);
    memcpy(to, slot_magic, sizeof slot_magic);
    coding_put_u64(to + 8, version);
    coding_put_u32(to + 16, (uint32_t)content.size);
    coding_put_u64(to + SLOT_CHECKSUM_OFFSET, slot_checksum(to, content));
    if (content.size > 0) {
        memcpy(to + SLOT_HEADER_SIZE, content.data, content.size);
    }
}

int root_slot_decode(const uint8_t from[ROOT_SLOT_SIZE], unsigned slot, uint64_t *ret_version,
                     struct kv_slice *ret_content)
{
    struct coding_cursor c = coding_cursor(kv_slice(from, ROOT_SLOT_SIZE));
    struct kv_slice magic = coding_read_bytes(&c, sizeof slot_magic);
    uint64_t version = coding_read_u64(&c);
    uint32_t size = coding_read_u32(&c);
    uint32_t zero = coding_read_u32(&c);
    uint64_t checksum = coding_read_u64(&c);
    struct kv_slice content;

    if (!kv_slice_equal(magic, kv_slice(slot_magic, sizeof slot_magic)) || version == 0 ||
        version % ROOT_SLOT_COUNT != slot || size > ROOT_CONTENT_MAX || zero != 0) {
        return -KV_EDAMAGED;
    }
    content = coding_read_bytes(&c, size);
    if (!coding_ok(&c) || checksum != slot_checksum(from, content)) {
        return -KV_EDAMAGED;
    }
    *ret_version = version;
    *ret_content = content;
    return 0;
}
