/* SPDX-License-Identifier: Apache-2.0 */
/* From the file to a block that may be used without further checks. */
#include "kvcore/table/table_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/codec.h"

enum {
    READ_STACK_BYTES = 16 * 1024, /* blocks up to this size are read without an allocation */
    READ_AHEAD_MIN = 16 * 1024,
    READ_AHEAD_MAX = 256 * 1024,
};

int table_damaged(const struct table *table, uint64_t offset, const char *fault)
{
    struct message_place place = {KV_FILE_TABLE, table->number, offset};
    return message_damage_at(table->sink, place,
                             "table %08" PRIu64 ": block at %" PRIu64
                             ": %s; its rows cannot be read. "
                             "Run 'kvfs fsck' on the store",
                             table->number, offset, fault);
}

int table_read_bytes(const struct table *table, uint64_t offset, void *to, size_t size)
{
    size_t got = 0;
    int r = table->storage->ops->object_read(table->object, offset, to, size, &got);
    if (r < 0) {
        message(table->sink, KV_MESSAGE_ERROR,
                "table %08" PRIu64 ": cannot read %zu bytes at %" PRIu64 ": %s", table->number,
                size, offset, kv_strerror(r));
        return r;
    }
    return got == size ? 0 : table_damaged(table, offset, "the file ends before it does");
}

int table_check_frame(const struct table *table, struct block_handle handle, enum block_type type,
                      const uint8_t *framed, struct block_header *ret_header)
{
    struct block_header header;
    struct kv_slice stored;

    if (handle.size < BLOCK_HEADER_SIZE ||
        block_header_decode(framed, table->file_seed, handle.offset, &header) < 0) {
        return table_damaged(table, handle.offset, "the header is damaged");
    }
    stored = kv_slice(framed + BLOCK_HEADER_SIZE, handle.size - BLOCK_HEADER_SIZE);
    if (header.type != type || header.stored_size != stored.size) {
        return table_damaged(table, handle.offset, "the header is that of another block");
    }
    if (checksum_at(table->file_seed, handle.offset + BLOCK_HEADER_SIZE, stored) !=
        header.payload_checksum) {
        return table_damaged(table, handle.offset, "the checksum does not match");
    }
    *ret_header = header;
    return 0;
}

int table_unpack(const struct table *table, struct block_handle handle,
                 const struct block_header *header, const uint8_t *framed, uint8_t *raw)
{
    struct kv_slice stored = kv_slice(framed + BLOCK_HEADER_SIZE, header->stored_size);
    if (codec_decompress(header->codec, stored, raw, header->raw_size) < 0) {
        return table_damaged(table, handle.offset, "it cannot be decompressed");
    }
    return 0;
}

/* Are the rows those that the index sends here? Lookups and the order of iteration rely on it. */
static bool rows_match_index(const struct table *table, uint32_t index,
                             const struct rows_block *rows)
{
    return rows_block_compare(rows, rows->count - 1, &table->index.rows, index) <= 0 &&
           (index == 0 || rows_block_compare(rows, 0, &table->index.rows, index - 1) > 0);
}

/* Turn the bytes of the file into a block. */
static int block_from_frame(const struct table *table, uint32_t index, const uint8_t *framed,
                            struct cached_block **ret_block)
{
    struct block_handle handle = table->index.handles[index];
    struct cached_block *block = NULL;
    struct block_header header = {0};
    int r = table_check_frame(table, handle, BLOCK_DATA, framed, &header);

    if (r < 0) {
        return r;
    }
    r = cached_block_create(header.raw_size, &block);
    if (r < 0) {
        return r;
    }
    r = table_unpack(table, handle, &header, framed, block->bytes);
    if (r < 0) {
        goto out;
    }
    r = rows_block_parse(kv_slice(block->bytes, block->size), &block->rows);
    if (r == -KV_EFORMAT) {
        message(table->sink, KV_MESSAGE_ERROR,
                "table %08" PRIu64 ": block at %" PRIu64 ": a kind of row that this version does "
                "not know. Use a newer version",
                table->number, handle.offset);
        goto out;
    }
    if (r < 0 || block->rows.count != header.row_count ||
        block->rows.single_kind == ROW_RANGE_DELETE ||
        !rows_match_index(table, index, &block->rows)) {
        r = table_damaged(table, handle.offset, "the rows are not in order");
    }
out:
    if (r < 0) {
        cached_block_unref(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

/* Make the window begin at the block and reach as far ahead as there are data blocks. */
static int fill_window(const struct table *table, uint32_t index, struct table_window *window)
{
    struct block_handle handle = table->index.handles[index];
    struct block_handle last = table->index.handles[table->index.rows.count - 1];
    uint64_t left = last.offset + last.size - handle.offset;
    size_t ahead = window->ahead_bytes > READ_AHEAD_MIN ? window->ahead_bytes : READ_AHEAD_MIN;
    size_t size = handle.size > ahead ? handle.size : ahead;
    int r;

    window->ahead_bytes = ahead < READ_AHEAD_MAX ? ahead * 2 : READ_AHEAD_MAX;
    size = size < left ? size : (size_t)left;
    window->bytes.size = 0;
    r = kv_buf_reserve(&window->bytes, size);
    if (r < 0) {
        return r;
    }
    r = table_read_bytes(table, handle.offset, window->bytes.data, size);
    if (r < 0) {
        return r;
    }
    window->bytes.size = size;
    window->offset = handle.offset;
    return 0;
}

static int read_through_window(const struct table *table, uint32_t index,
                               struct table_window *window, struct cached_block **ret_block)
{
    struct block_handle handle = table->index.handles[index];
    uint64_t end = window->offset + window->bytes.size;

    if (handle.offset < window->offset || handle.offset + handle.size > end) {
        int r = fill_window(table, index, window);
        if (r < 0) {
            return r;
        }
    }
    return block_from_frame(table, index, window->bytes.data + (handle.offset - window->offset),
                            ret_block);
}

int table_read_block(const struct table *table, uint32_t index, struct table_window *window,
                     struct cached_block **ret_block)
{
    struct block_handle handle = table->index.handles[index];
    uint8_t small[READ_STACK_BYTES];
    uint8_t *large = NULL;
    int r;

    if (window != NULL) {
        return read_through_window(table, index, window, ret_block);
    }
    if (handle.size > sizeof small) {
        large = malloc(handle.size);
        if (large == NULL) {
            return -ENOMEM;
        }
    }
    r = table_read_bytes(table, handle.offset, large != NULL ? large : small, handle.size);
    if (r == 0) {
        r = block_from_frame(table, index, large != NULL ? large : small, ret_block);
    }
    free(large);
    return r;
}

int table_load_block(const struct table *table, uint32_t index, bool keep_cache,
                     struct table_window *window, struct cached_block **ret_block)
{
    uint64_t offset = table->index.handles[index].offset;
    struct cached_block *block = NULL;
    int r;

    if (table->cache != NULL) {
        block = keep_cache ? block_cache_peek(table->cache, table->number, offset)
                           : block_cache_lookup(table->cache, table->number, offset);
        if (block != NULL) {
            *ret_block = block;
            return 0;
        }
    }
    r = table_read_block(table, index, window, &block);
    if (r < 0) {
        return r;
    }
    if (table->cache != NULL && !keep_cache) {
        block_cache_insert(table->cache, table->number, offset, block);
    }
    *ret_block = block;
    return 0;
}
