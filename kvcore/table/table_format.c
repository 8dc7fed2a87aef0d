/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/table_format.h"

#include "kvcore/util/checksum.h"
#include "kvcore/util/codec.h"
#include "kvcore/util/coding.h"

enum {
    BLOCK_CHECKED_FROM = 8, /* magic and checksum itself are left out */
    FOOTER_CHECKED_SIZE = 56,
};

static uint32_t header_checksum(const uint8_t header[BLOCK_HEADER_SIZE], uint64_t file_seed,
                                uint64_t offset)
{
    return (uint32_t)checksum_at(
        file_seed, offset,
        kv_slice(header + BLOCK_CHECKED_FROM, BLOCK_HEADER_SIZE - BLOCK_CHECKED_FROM));
}

void block_header_encode(const struct block_header *header, uint64_t file_seed, uint64_t offset,
                         uint8_t to[BLOCK_HEADER_SIZE])
{
    memset(to, 0, BLOCK_HEADER_SIZE);
    coding_put_u32(to, BLOCK_MAGIC);
    coding_put_u32(to + 8, header->stored_size);
    coding_put_u32(to + 12, header->raw_size);
    coding_put_u64(to + 16, header->payload_checksum);
    coding_put_u64(to + 24, header->sequence_min);
    coding_put_u64(to + 32, header->sequence_max);
    to[40] = (uint8_t)header->type;
    to[41] = header->codec;
    coding_put_u32(to + 44, header->row_count);
    coding_put_u32(to + 4, header_checksum(to, file_seed, offset));
}

static bool header_is_sound(const struct block_header *header)
{
    bool has_rows = header->type != BLOCK_FILTER && header->type != BLOCK_PROPERTIES;

    return header->type >= BLOCK_DATA && header->type <= BLOCK_PROPERTIES &&
           codec_can_give(header->codec, header->stored_size, header->raw_size) &&
           header->raw_size <= BLOCK_RAW_SIZE_MAX && header->stored_size <= header->raw_size &&
           header->sequence_min <= header->sequence_max &&
           header->sequence_max <= ROW_SEQUENCE_MAX && has_rows == (header->row_count > 0);
}

int block_header_decode(const uint8_t from[BLOCK_HEADER_SIZE], uint64_t file_seed, uint64_t offset,
                        struct block_header *ret_header)
{
    struct coding_cursor c = coding_cursor(kv_slice(from, BLOCK_HEADER_SIZE));
    struct block_header header = {0};
    uint32_t magic = coding_read_u32(&c);
    uint32_t checksum = coding_read_u32(&c);

    header.stored_size = coding_read_u32(&c);
    header.raw_size = coding_read_u32(&c);
    header.payload_checksum = coding_read_u64(&c);
    header.sequence_min = coding_read_u64(&c);
    header.sequence_max = coding_read_u64(&c);
    header.type = (enum block_type)coding_read_u8(&c);
    header.codec = coding_read_u8(&c);
    coding_read_zeros(&c, 2);
    header.row_count = coding_read_u32(&c);
    if (!coding_done(&c) || magic != BLOCK_MAGIC ||
        checksum != header_checksum(from, file_seed, offset) || !header_is_sound(&header)) {
        return -KV_EDAMAGED;
    }
    *ret_header = header;
    return 0;
}

void table_footer_encode(const struct table_footer *footer, uint64_t file_seed, uint64_t offset,
                         uint8_t to[TABLE_FOOTER_SIZE])
{
    memset(to, 0, TABLE_FOOTER_SIZE);
    coding_put_u64(to, TABLE_MAGIC);
    coding_put_u64(to + 8, footer->number);
    coding_put_u64(to + 16, footer->properties.offset);
    coding_put_u32(to + 24, footer->properties.size);
    coding_put_u32(to + 28, TABLE_FORMAT_VERSION);
    coding_put_u64(to + 32, footer->index.offset);
    coding_put_u32(to + 40, footer->index.size);
    coding_put_u64(to + FOOTER_CHECKED_SIZE,
                   checksum_at(file_seed, offset, kv_slice(to, FOOTER_CHECKED_SIZE)));
}

int table_footer_decode(const uint8_t from[TABLE_FOOTER_SIZE], uint64_t file_seed, uint64_t offset,
                        struct table_footer *ret_footer)
{
    struct coding_cursor c = coding_cursor(kv_slice(from, TABLE_FOOTER_SIZE));
    struct table_footer footer = {0};
    uint64_t magic = coding_read_u64(&c);
    uint32_t version;

    footer.number = coding_read_u64(&c);
    footer.properties.offset = coding_read_u64(&c);
    footer.properties.size = coding_read_u32(&c);
    version = coding_read_u32(&c);
    footer.index.offset = coding_read_u64(&c);
    footer.index.size = coding_read_u32(&c);
    if (magic != TABLE_MAGIC ||
        coding_get_u64(from + FOOTER_CHECKED_SIZE) !=
            checksum_at(file_seed, offset, kv_slice(from, FOOTER_CHECKED_SIZE))) {
        return -KV_EDAMAGED;
    }
    /* Only a sound footer can say that it is of another version. */
    if (version != TABLE_FORMAT_VERSION) {
        return -KV_EFORMAT;
    }
    coding_read_zeros(&c, 12);
    if (!coding_ok(&c)) {
        return -KV_EDAMAGED;
    }
    *ret_footer = footer;
    return 0;
}
