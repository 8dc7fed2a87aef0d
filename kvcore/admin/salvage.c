/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/salvage.h"

#include <stdlib.h>

#include "kvcore/util/checksum.h"
#include "kvcore/util/codec.h"
#include "kvcore/util/coding.h"

enum { SEARCH_BYTES = 64 * 1024, UNREADABLE_STEP = 4096 };

struct walk {
    struct salvage *salvage;
    int (*read_fn)(void *arg, uint64_t bytes);
    void *arg;
    uint64_t end; /* of the blocks: the footer, or the end of the file */
    uint8_t *piece;
};

static int add_part(struct salvage *s, const struct salvage_part *part)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity > 0 ? 2 * s->capacity : 64;
        struct salvage_part *larger = realloc(s->parts, capacity * sizeof *larger);
        if (larger == NULL) {
            return -ENOMEM;
        }
        s->parts = larger;
        s->capacity = capacity;
    }
    s->parts[s->count++] = *part;
    return 0;
}

/* Bytes that cannot be read, or are not there, are damaged ones. */
static int read_at(const struct salvage *s, uint64_t offset, void *to, size_t size)
{
    size_t got = 0;
    int r = s->storage->ops->object_read(s->object, offset, to, size, &got);
    return r == -ENOMEM ? r : r < 0 || got != size ? -KV_EDAMAGED : 0;
}

/* ---- one block ---- */

static int read_header(const struct salvage *s, uint64_t offset, uint64_t end,
                       struct block_header *ret_header)
{
    uint8_t bytes[BLOCK_HEADER_SIZE];
    int r = end - offset >= sizeof bytes ? read_at(s, offset, bytes, sizeof bytes) : -KV_EDAMAGED;

    r = r < 0 ? r : block_header_decode(bytes, s->file_seed, offset, ret_header);
    if (r == 0 && ret_header->stored_size > end - offset - BLOCK_HEADER_SIZE) {
        r = -KV_EDAMAGED;
    }
    return r;
}

/* What the block holds, verified and unpacked. */
static int read_content(const struct salvage *s, uint64_t offset, const struct block_header *header,
                        struct cached_block **ret_block)
{
    struct cached_block *block = NULL;
    uint8_t *stored = malloc((size_t)header->stored_size + 1);
    struct kv_slice bytes = kv_slice(stored, header->stored_size);
    uint64_t at = offset + BLOCK_HEADER_SIZE;
    int r = stored != NULL ? read_at(s, at, stored, header->stored_size) : -ENOMEM;

    if (r == 0 && checksum_at(s->file_seed, at, bytes) != header->payload_checksum) {
        r = -KV_EDAMAGED;
    }
    r = r < 0 ? r : cached_block_create(header->raw_size, &block);
    if (r == 0 && codec_decompress(header->codec, bytes, block->bytes, header->raw_size) < 0) {
        r = -KV_EDAMAGED;
    }
    free(stored);
    if (r < 0) {
        cached_block_unref(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

static struct kv_slice content(const struct cached_block *block)
{
    return kv_slice(block->bytes, block->size);
}

static int take_index(struct salvage *s, struct cached_block *block)
{
    int r = s->has_index ? 0 : table_index_open(content(block), s->file_bytes, &s->index);
    if (r == 0 && !s->has_index) {
        s->has_index = true;
        s->index_block = block;
        return 1; /* kept */
    }
    return r;
}

static int take_filter(struct salvage *s, struct cached_block *block)
{
    int r = s->has_filter ? 0 : filter_parse(content(block), &s->filter);
    if (r == 0 && !s->has_filter) {
        s->has_filter = true;
        s->filter_block = block;
        return 1; /* kept */
    }
    return r;
}

static int take_ranges(struct salvage *s, const struct cached_block *block)
{
    struct rows_block rows;
    int r = rows_block_parse(content(block), &rows);
    r = r < 0 || s->has_ranges ? r : range_dels_from_block(&rows, &s->range_dels);
    s->has_ranges |= r == 0;
    return r;
}

static int take_properties(struct salvage *s, const struct cached_block *block)
{
    int r = s->has_properties ? 0 : table_properties_decode(content(block), &s->properties);
    s->has_properties |= r == 0;
    return r;
}

/* Whether its content makes sense. The small blocks at the end are kept. */
static int judge(struct salvage *s, const struct block_header *header, struct cached_block *block)
{
    int r = 0;

    switch (header->type) {
    case BLOCK_DATA:
        r = rows_block_parse(content(block), &block->rows);
        return r == 0 && block->rows.count != header->row_count ? -KV_EDAMAGED : r;
    case BLOCK_INDEX:
        return take_index(s, block);
    case BLOCK_RANGE_DELETES:
        return take_ranges(s, block);
    case BLOCK_PROPERTIES:
        return take_properties(s, block);
    case BLOCK_FILTER:
        return take_filter(s, block);
    }
    return r;
}

static int check_block(struct walk *walk, uint64_t offset, const struct block_header *header)
{
    struct salvage *s = walk->salvage;
    struct salvage_part part = {.offset = offset,
                                .size = (uint64_t)header->stored_size + BLOCK_HEADER_SIZE,
                                .type = (int)header->type};
    struct cached_block *block = NULL;
    int r = read_content(s, offset, header, &block);
    bool kept = false;

    if (r == 0) {
        r = judge(s, header, block);
        kept = r == 1;
    }
    if (!kept) {
        cached_block_unref(block);
    }
    if (r < 0 && r != -KV_EDAMAGED && r != -KV_EFORMAT) {
        return r;
    }
    s->newer |= r == -KV_EFORMAT;
    part.sound = r >= 0;
    r = add_part(s, &part);
    return r == 0 && walk->read_fn != NULL ? walk->read_fn(walk->arg, part.size) : r;
}

/* ---- the walk ---- */

/* The next sound header behind `from`, or the end. */
static int search(struct walk *walk, uint64_t from, uint64_t *ret_offset)
{
    const struct salvage *s = walk->salvage;
    uint64_t offset = from;

    while (offset + BLOCK_HEADER_SIZE <= walk->end) {
        uint64_t left = walk->end - offset;
        size_t size = left < SEARCH_BYTES ? (size_t)left : SEARCH_BYTES;
        size_t got = 0;
        int r = s->storage->ops->object_read(s->object, offset, walk->piece, size, &got);
        if (r < 0 || got < BLOCK_HEADER_SIZE) {
            offset = (offset / UNREADABLE_STEP + 1) * UNREADABLE_STEP;
            continue;
        }
        for (size_t i = 0; i + BLOCK_HEADER_SIZE <= got; i++) {
            struct block_header header;
            if (coding_get_u32(walk->piece + i) == BLOCK_MAGIC &&
                block_header_decode(walk->piece + i, s->file_seed, offset + i, &header) == 0) {
                *ret_offset = offset + i;
                return 0;
            }
        }
        offset += got - BLOCK_HEADER_SIZE + 1;
        r = walk->read_fn != NULL ? walk->read_fn(walk->arg, got) : 0;
        if (r != 0) {
            return r;
        }
    }
    *ret_offset = walk->end;
    return 0;
}

static int walk_parts(struct walk *walk)
{
    uint64_t offset = 0;
    int r = 0;

    while (r == 0 && offset < walk->end) {
        struct block_header header = {0};
        struct salvage_part gap = {.offset = offset};
        r = read_header(walk->salvage, offset, walk->end, &header);
        if (r == 0) {
            r = check_block(walk, offset, &header);
            offset += (uint64_t)header.stored_size + BLOCK_HEADER_SIZE;
        } else if (r == -KV_EDAMAGED) {
            r = search(walk, offset + 1, &offset);
            gap.size = offset - gap.offset;
            r = r < 0 ? r : add_part(walk->salvage, &gap);
        }
    }
    return r;
}

static void read_footer(struct walk *walk)
{
    struct salvage *s = walk->salvage;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer footer;
    uint64_t at;
    int r = -KV_EDAMAGED;

    walk->end = s->file_bytes;
    if (s->file_bytes >= TABLE_FOOTER_SIZE) {
        at = s->file_bytes - TABLE_FOOTER_SIZE;
        r = read_at(s, at, bytes, sizeof bytes);
        r = r < 0 ? r : table_footer_decode(bytes, s->file_seed, at, &footer);
        s->newer |= r == -KV_EFORMAT;
        s->has_footer = r == 0;
        walk->end = r == 0 ? at : walk->end;
    }
}

int salvage_open(struct kv_storage *storage, uint64_t store_seed, uint64_t number,
                 int (*read_fn)(void *arg, uint64_t bytes), void *arg, struct salvage **ret_salvage)
{
    struct walk walk = {.read_fn = read_fn, .arg = arg, .salvage = calloc(1, sizeof *walk.salvage)};
    struct kv_file_id id = {.kind = KV_FILE_TABLE, .number = number};
    struct salvage *s = walk.salvage;
    int r = s != NULL ? 0 : -ENOMEM;

    if (r < 0) {
        return r;
    }
    s->storage = storage;
    s->number = number;
    s->file_seed = checksum_file_seed(store_seed, KV_FILE_TABLE, number);
    walk.piece = malloc(SEARCH_BYTES);
    r = walk.piece != NULL ? storage->ops->object_open(storage, id, &s->object) : -ENOMEM;
    if (r == 0) {
        s->file_bytes = storage->ops->object_size(s->object);
        read_footer(&walk);
        r = walk_parts(&walk);
    }
    free(walk.piece);
    if (r < 0) {
        salvage_close(s);
        return r;
    }
    *ret_salvage = s;
    return 0;
}

void salvage_close(struct salvage *salvage)
{
    if (salvage == NULL) {
        return;
    }
    if (salvage->object != NULL) {
        salvage->storage->ops->object_close(salvage->object);
    }
    if (salvage->has_properties) {
        table_properties_finish(&salvage->properties);
    }
    table_index_close(&salvage->index);
    cached_block_unref(salvage->index_block);
    cached_block_unref(salvage->filter_block);
    range_dels_destroy(salvage->range_dels);
    free(salvage->parts);
    free(salvage);
}

int salvage_rows(const struct salvage *salvage, const struct salvage_part *part,
                 struct cached_block **ret_block)
{
    struct block_header header = {0};
    struct cached_block *block = NULL;
    int r = read_header(salvage, part->offset, part->offset + part->size, &header);

    r = r < 0 ? r : read_content(salvage, part->offset, &header, &block);
    r = r < 0 ? r : rows_block_parse(content(block), &block->rows);
    if (r < 0) {
        cached_block_unref(block);
        return r;
    }
    *ret_block = block;
    return 0;
}

const struct salvage_part *salvage_find(const struct salvage *salvage, uint64_t offset)
{
    size_t low = 0, high = salvage->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (salvage->parts[middle].offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < salvage->count && salvage->parts[low].offset == offset ? &salvage->parts[low]
                                                                        : NULL;
}
