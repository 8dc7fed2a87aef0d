/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/blob/blob_directory.h"

#include <assert.h>

#include <kv/storage.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum {
    BLOCK_FULL = 64 * 1024, /* begin another block of entries */
    RAW_MAX = 64 << 20,     /* no more keys are kept then */
    HEAD_CHECKED_FROM = 8,
    FOOTER_CHECKED_SIZE = 56,
    KEY_SIZE_MAX = 16 * 1024, /* of the engine; more is damage */
};

void blob_directory_finish(struct blob_directory *directory)
{
    kv_buf_finish(&directory->raw);
    kv_buf_finish(&directory->ends);
    *directory = (struct blob_directory){0};
}

/* ---- entries ---- */

static int append_entry(struct kv_buf *raw, const struct blob_entry *entry)
{
    int r = coding_append_varint(raw, sizeof(uint32_t) + entry->key.size);
    r = r < 0 ? r : coding_append_u32(raw, entry->table_id);
    r = r < 0 ? r : kv_buf_append(raw, entry->key);
    r = r < 0 ? r : coding_append_varint(raw, entry->offset);
    r = r < 0 ? r : coding_append_varint(raw, entry->stored_size);
    r = r < 0 ? r : coding_append_varint(raw, entry->length);
    return r < 0 ? r : coding_append_u8(raw, (uint8_t)entry->codec);
}

int blob_directory_add(struct blob_directory *directory, const struct blob_entry *entry)
{
    struct kv_buf *raw = &directory->raw;
    size_t before = raw->size;
    int r = kv_buf_reserve(&directory->ends, sizeof(uint32_t));

    assert(entry->key.size <= KEY_SIZE_MAX);
    if (r == 0 && before < RAW_MAX) {
        r = append_entry(raw, entry);
    }
    if (r < 0) {
        raw->size = before;
        return r;
    }
    directory->count += before < RAW_MAX;
    if (raw->size - directory->block_begin >= BLOCK_FULL) {
        r = coding_append_u32(&directory->ends, (uint32_t)raw->size);
        assert(r == 0); /* there is room */
        directory->block_begin = (uint32_t)raw->size;
    }
    return 0;
}

int blob_directory_next(struct coding_cursor *cursor, struct blob_entry *ret_entry)
{
    struct blob_entry entry = {0};
    struct coding_cursor key;
    uint8_t codec;

    if (coding_done(cursor)) {
        return 0;
    }
    key = coding_cursor(coding_read_string(cursor));
    entry.table_id = coding_read_u32(&key);
    entry.key = kv_slice(key.at, coding_left(&key));
    entry.offset = (uint32_t)coding_read_varint_max(cursor, BLOB_DATA_SIZE_MAX);
    entry.stored_size = (uint32_t)coding_read_varint_max(cursor, BLOB_DATA_SIZE_MAX);
    entry.length = (uint32_t)coding_read_varint_max(cursor, BLOB_VALUE_SIZE_MAX);
    codec = coding_read_u8(cursor);
    if (!coding_ok(cursor) || !coding_ok(&key) || codec == 0 || entry.length == 0 ||
        entry.stored_size == 0 || entry.key.size > KEY_SIZE_MAX ||
        (uint64_t)entry.offset + entry.stored_size > BLOB_DATA_SIZE_MAX) {
        return -KV_EDAMAGED;
    }
    if (codec != CODEC_NONE && codec != CODEC_SNAPPY) {
        return -KV_EFORMAT;
    }
    entry.codec = (enum codec)codec;
    *ret_entry = entry;
    return 1;
}

/* ---- blocks ---- */

static uint32_t head_checksum(const uint8_t *head, uint64_t file_seed, uint64_t offset)
{
    return (uint32_t)checksum_at(
        file_seed, offset,
        kv_slice(head + HEAD_CHECKED_FROM, BLOB_DIRECTORY_HEAD_SIZE - HEAD_CHECKED_FROM));
}

/* Append one block of entries, which will stand at `offset` of the file. */
static int encode_block(struct kv_slice raw, uint64_t file_seed, uint64_t offset, struct kv_buf *to)
{
    uint8_t head[BLOB_DIRECTORY_HEAD_SIZE] = {0};
    struct kv_buf compressed = {0};
    struct kv_slice stored = raw;
    int codec = codec_compress(CODEC_SNAPPY, raw, &compressed);
    int r = codec < 0 ? codec : 0;

    if (codec == CODEC_SNAPPY) {
        stored = kv_buf_slice(&compressed);
    }
    if (r == 0) {
        coding_put_u32(head, BLOB_DIRECTORY_MAGIC);
        coding_put_u32(head + 8, (uint32_t)stored.size);
        coding_put_u32(head + 12, (uint32_t)raw.size);
        coding_put_u64(head + 16, checksum_at(file_seed, offset + sizeof head, stored));
        head[24] = (uint8_t)codec;
        coding_put_u32(head + 4, head_checksum(head, file_seed, offset));
        r = kv_buf_append(to, kv_slice(head, sizeof head));
    }
    r = r < 0 ? r : kv_buf_append(to, stored);
    kv_buf_finish(&compressed);
    return r;
}

static void put_footer(const struct blob_footer *footer, uint64_t file_seed, uint64_t offset,
                       uint8_t to[BLOB_FOOTER_SIZE])
{
    memset(to, 0, BLOB_FOOTER_SIZE);
    coding_put_u64(to, BLOB_MAGIC);
    coding_put_u64(to + 8, footer->number);
    coding_put_u64(to + 16, footer->directory_offset);
    coding_put_u64(to + 24, footer->directory_size);
    coding_put_u64(to + 32, footer->data_bytes);
    coding_put_u32(to + 40, footer->value_count);
    coding_put_u32(to + 44, BLOB_FORMAT_VERSION);
    coding_put_u64(to + FOOTER_CHECKED_SIZE,
                   checksum_at(file_seed, offset, kv_slice(to, FOOTER_CHECKED_SIZE)));
}

int blob_directory_encode(const struct blob_directory *directory, uint64_t store_seed,
                          const struct blob_end *end, struct kv_buf *to)
{
    uint64_t file_seed = checksum_file_seed(store_seed, KV_FILE_BLOB, end->number);
    struct coding_cursor ends = coding_cursor(kv_buf_slice(&directory->ends));
    struct blob_footer footer = {.number = end->number,
                                 .directory_offset = end->offset,
                                 .data_bytes = end->data_bytes,
                                 .value_count = directory->count};
    uint8_t bytes[BLOB_FOOTER_SIZE];
    size_t before = to->size;
    uint32_t begin = 0;
    int r = 0;

    while (r == 0 && begin < directory->raw.size) {
        uint32_t block_end =
            coding_left(&ends) > 0 ? coding_read_u32(&ends) : (uint32_t)directory->raw.size;
        r = encode_block(kv_slice(directory->raw.data + begin, block_end - begin), file_seed,
                         end->offset + (to->size - before), to);
        begin = block_end;
    }
    if (r < 0) {
        return r;
    }
    footer.directory_size = to->size - before;
    put_footer(&footer, file_seed, end->offset + footer.directory_size, bytes);
    return kv_buf_append(to, kv_slice(bytes, sizeof bytes));
}

/* ---- decoding ---- */

int blob_footer_decode(const uint8_t from[BLOB_FOOTER_SIZE], uint64_t file_seed, uint64_t offset,
                       struct blob_footer *ret_footer)
{
    struct coding_cursor c = coding_cursor(kv_slice(from, BLOB_FOOTER_SIZE));
    struct blob_footer footer = {0};
    uint64_t magic = coding_read_u64(&c);
    uint32_t version;

    footer.number = coding_read_u64(&c);
    footer.directory_offset = coding_read_u64(&c);
    footer.directory_size = coding_read_u64(&c);
    footer.data_bytes = coding_read_u64(&c);
    footer.value_count = coding_read_u32(&c);
    version = coding_read_u32(&c);
    coding_read_zeros(&c, 8);
    if (magic != BLOB_MAGIC || !coding_ok(&c) ||
        coding_read_u64(&c) !=
            checksum_at(file_seed, offset, kv_slice(from, FOOTER_CHECKED_SIZE))) {
        return -KV_EDAMAGED;
    }
    if (version != BLOB_FORMAT_VERSION) {
        return -KV_EFORMAT;
    }
    if (footer.directory_size > offset ||
        footer.directory_offset != offset - footer.directory_size ||
        footer.data_bytes > footer.directory_offset) {
        return -KV_EDAMAGED;
    }
    *ret_footer = footer;
    return 0;
}

int blob_directory_decode_block(struct kv_slice from, uint64_t file_seed, uint64_t offset,
                                struct kv_buf *raw, size_t *ret_size)
{
    struct coding_cursor c = coding_cursor(from);
    uint32_t magic = coding_read_u32(&c);
    uint32_t checksum = coding_read_u32(&c);
    uint32_t stored_size = coding_read_u32(&c);
    uint32_t raw_size = coding_read_u32(&c);
    uint64_t stored_checksum = coding_read_u64(&c);
    uint8_t codec = coding_read_u8(&c);
    struct kv_slice stored;
    int r;

    coding_read_zeros(&c, 7);
    if (!coding_ok(&c) || magic != BLOB_DIRECTORY_MAGIC ||
        checksum != head_checksum(from.data, file_seed, offset) || raw_size == 0 ||
        raw_size > BLOB_DIRECTORY_RAW_MAX) {
        return -KV_EDAMAGED;
    }
    stored = coding_read_bytes(&c, stored_size);
    if (!coding_ok(&c) ||
        stored_checksum != checksum_at(file_seed, offset + BLOB_DIRECTORY_HEAD_SIZE, stored)) {
        return -KV_EDAMAGED;
    }
    raw->size = 0;
    r = kv_buf_reserve(raw, raw_size);
    r = r < 0 ? r : codec_decompress(codec, stored, raw->data, raw_size);
    if (r == 0) {
        raw->size = raw_size;
        *ret_size = BLOB_DIRECTORY_HEAD_SIZE + (size_t)stored_size;
    }
    return r;
}
