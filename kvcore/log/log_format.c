/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/log/log_format.h"

#include <assert.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum {
    CHECKSUM_OFFSET = 8, /* of the header's own checksum, which covers what is around it */
    CHECKSUM_SIZE = 4,
    LOG_HEAD_SIZE = 32, /* without fields */
    HEAD_STORE_SEED = 2,
};

static uint32_t header_checksum(const uint8_t header[LOG_HEADER_SIZE], uint64_t file_seed,
                                uint64_t offset)
{
    uint8_t covered[LOG_HEADER_SIZE - CHECKSUM_SIZE];
    memcpy(covered, header, CHECKSUM_OFFSET);
    memcpy(covered + CHECKSUM_OFFSET, header + CHECKSUM_OFFSET + CHECKSUM_SIZE,
           sizeof covered - CHECKSUM_OFFSET);
    return (uint32_t)checksum_at(file_seed, offset, kv_slice(covered, sizeof covered));
}

static bool is_valid(const struct log_header *header, uint64_t offset)
{
    return header->payload_size <= LOG_PAYLOAD_SIZE_MAX && header->type >= LOG_RECORD_HEAD &&
           header->type <= LOG_RECORD_EDIT && header->synced_bytes <= offset;
}

void log_header_encode(const struct log_header *header, uint64_t file_seed, uint64_t offset,
                       uint8_t to[LOG_HEADER_SIZE])
{
    assert(is_valid(header, offset));
    assert(header->synced_bytes % LOG_ALIGNMENT == 0);
    memset(to, 0, LOG_HEADER_SIZE);
    coding_put_u64(to, header->payload_checksum);
    coding_put_u32(to + 12, header->payload_size);
    coding_put_u64(to + 16, header->number);
    coding_put_u64(to + 24, header->sequence);
    coding_put_u32(to + 32, (uint32_t)(header->synced_bytes / LOG_ALIGNMENT));
    to[36] = (uint8_t)header->type;
    coding_put_u32(to + CHECKSUM_OFFSET, header_checksum(to, file_seed, offset));
}

int log_header_decode(const uint8_t from[LOG_HEADER_SIZE], uint64_t file_seed, uint64_t offset,
                      struct log_header *ret_header)
{
    struct coding_cursor c = coding_cursor(kv_slice(from, LOG_HEADER_SIZE));
    struct log_header header = {0};
    uint32_t checksum;

    header.payload_checksum = coding_read_u64(&c);
    checksum = coding_read_u32(&c);
    header.payload_size = coding_read_u32(&c);
    header.number = coding_read_u64(&c);
    header.sequence = coding_read_u64(&c);
    header.synced_bytes = (uint64_t)coding_read_u32(&c) * LOG_ALIGNMENT;
    header.type = (enum log_record_type)coding_read_u8(&c);
    coding_read_zeros(&c, 3);
    if (!coding_done(&c) || !is_valid(&header, offset) ||
        checksum != header_checksum(from, file_seed, offset)) {
        return -KV_EDAMAGED;
    }
    *ret_header = header;
    return 0;
}

uint64_t log_chain_add(uint64_t chain, const uint8_t header[LOG_HEADER_SIZE])
{
    return hash_bytes(kv_slice(header, LOG_HEADER_SIZE), chain);
}

uint64_t log_salted_seed(uint64_t file_seed, uint64_t salt)
{
    return hash_u64(file_seed + salt);
}

static bool end_is_valid(const struct log_end *end)
{
    return end->number > 0 || (end->size == 0 && end->chain == 0);
}

int log_head_encode(const struct log_head *head, struct kv_buf *to)
{
    uint8_t bytes[LOG_HEAD_SIZE], seed[sizeof(uint64_t)];
    int r;

    assert(end_is_valid(&head->previous));
    coding_put_u64(bytes, head->previous.number);
    coding_put_u64(bytes + 8, head->previous.size);
    coding_put_u64(bytes + 16, head->previous.chain);
    coding_put_u64(bytes + 24, head->salt);
    coding_put_u64(seed, head->store_seed);
    r = kv_buf_append(to, kv_slice(bytes, sizeof bytes));
    return r < 0 ? r : coding_append_field(to, HEAD_STORE_SEED, kv_slice(seed, sizeof seed));
}

int log_head_decode(struct kv_slice from, struct log_head *ret_head)
{
    struct coding_cursor c = coding_cursor(from);
    struct log_head head = {0};
    struct kv_slice value;
    uint64_t tag;

    head.previous.number = coding_read_u64(&c);
    head.previous.size = coding_read_u64(&c);
    head.previous.chain = coding_read_u64(&c);
    head.salt = coding_read_u64(&c);
    while (coding_read_field(&c, &tag, &value)) {
        if (tag == HEAD_STORE_SEED) {
            if (value.size != sizeof head.store_seed) {
                return -KV_EDAMAGED;
            }
            head.store_seed = coding_get_u64(value.data);
        } else if (tag % 2 == 1) {
            return -KV_EFORMAT;
        }
    }
    if (!coding_done(&c) || !end_is_valid(&head.previous)) {
        return -KV_EDAMAGED;
    }
    *ret_head = head;
    return 0;
}
