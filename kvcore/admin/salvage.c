/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/admin/salvage.h"

#include <stdlib.h>

#include "kvcore/admin/block_walk.h"
#include "kvcore/util/checksum.h"

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

/* ---- what the blocks hold ---- */

static int take_index(struct salvage *s, struct cached_block *block)
{
    int r = s->has_index ? 0 : table_index_open(block_bytes(block), s->file_bytes, &s->index);
    if (r == 0 && !s->has_index) {
        s->has_index = true;
        s->index_block = block;
        return 1; /* kept */
    }
    return r;
}

static int take_filter(struct salvage *s, struct cached_block *block)
{
    int r = s->has_filter ? 0 : filter_parse(block_bytes(block), &s->filter);
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
    int r = rows_block_parse(block_bytes(block), &rows);
    r = r < 0 || s->has_ranges ? r : range_dels_from_block(&rows, &s->range_dels);
    s->has_ranges |= r == 0;
    return r;
}

static int take_properties(struct salvage *s, const struct cached_block *block)
{
    int r = s->has_properties ? 0 : table_properties_decode(block_bytes(block), &s->properties);
    s->has_properties |= r == 0;
    return r;
}

/* Whether its content makes sense. The small blocks at the end are kept. */
static int judge(struct salvage *s, const struct block_header *header, struct cached_block *block)
{
    int r = 0;

    switch (header->type) {
    case BLOCK_DATA:
        r = rows_block_parse(block_bytes(block), &block->rows);
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

static int take_block(void *arg, struct walked_block *block)
{
    struct salvage *s = arg;
    struct salvage_part part = {.offset = block->offset, .size = block->size, .type = block->type};
    int r = block->content != NULL ? judge(s, &block->header, block->content) : -KV_EDAMAGED;

    if (r == 1) {
        block->content = NULL; /* kept */
    }
    if (r < 0 && r != -KV_EDAMAGED && r != -KV_EFORMAT) {
        return r;
    }
    s->newer |= r == -KV_EFORMAT;
    part.sound = r >= 0;
    s->rows += part.sound && part.type == BLOCK_DATA ? block->header.row_count : 0;
    return add_part(s, &part);
}

/* ---- the walk ---- */

/* The caller's function, for a walk whose argument is the salvage. */
static int read_some(void *arg, uint64_t bytes)
{
    const struct salvage *s = arg;
    return s->read_fn != NULL ? s->read_fn(s->read_arg, bytes) : 0;
}

static struct block_walk walk_of(struct salvage *s)
{
    return (struct block_walk){.storage = s->storage,
                               .object = s->object,
                               .file_seed = s->file_seed,
                               .end = s->file_bytes,
                               .read_fn = read_some,
                               .block_fn = take_block,
                               .arg = s};
}

static void read_footer(struct salvage *s, struct block_walk *walk)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer footer;
    uint64_t at;
    int r = -KV_EDAMAGED;

    if (s->file_bytes >= TABLE_FOOTER_SIZE) {
        at = s->file_bytes - TABLE_FOOTER_SIZE;
        r = block_walk_bytes(walk, at, bytes, sizeof bytes);
        r = r < 0 ? r : table_footer_decode(bytes, s->file_seed, at, &footer);
        s->newer |= r == -KV_EFORMAT;
        s->has_footer = r == 0;
        walk->end = r == 0 ? at : walk->end;
    }
}

static int walk_all(struct salvage *s)
{
    struct block_walk walk = walk_of(s);
    read_footer(s, &walk);
    return block_walk(&walk);
}

int salvage_open(struct kv_storage *storage, uint64_t store_seed, uint64_t number,
                 int (*read_fn)(void *arg, uint64_t bytes), void *arg, struct salvage **ret_salvage)
{
    struct kv_file_id id = {.kind = KV_FILE_TABLE, .number = number};
    struct salvage *s = calloc(1, sizeof *s);
    int r;

    if (s == NULL) {
        return -ENOMEM;
    }
    s->storage = storage;
    s->number = number;
    s->file_seed = checksum_file_seed(store_seed, KV_FILE_TABLE, number);
    s->read_fn = read_fn;
    s->read_arg = arg;
    r = storage->ops->object_open(storage, id, &s->object);
    if (r == 0) {
        s->file_bytes = storage->ops->object_size(s->object);
        r = walk_all(s);
    }
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

int salvage_rows(struct salvage *salvage, const struct salvage_part *part,
                 struct cached_block **ret_block)
{
    struct block_walk walk = walk_of(salvage);
    struct block_header header;
    struct cached_block *block = NULL;
    int r = block_walk_read(&walk, part->offset, part->offset + part->size, &header, &block);

    r = r < 0 ? r : rows_block_parse(block_bytes(block), &block->rows);
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
