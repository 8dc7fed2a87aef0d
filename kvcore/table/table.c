/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/table.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvcore/table/table_impl.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"

enum {
    TAIL_BYTES = 64 * 1024, /* read at once when a table is opened */
    RESIDENT_ALIGN = 64,
    RESIDENT_LEAD = 48, /* so that the lines of a filter, 16 bytes in, are aligned */
};

/* ---- opening ---- */

/* The end of the file, as much of it as was read so far. */
struct tail {
    uint8_t *bytes;
    uint64_t offset;
};

/* Read more of the file's end, so that it begins at `offset` at the latest. */
static int tail_reach(const struct table *t, struct tail *tail, uint64_t offset)
{
    uint64_t had = t->file_bytes - tail->offset;
    uint8_t *bytes;
    int r;

    if (offset >= tail->offset) {
        return 0;
    }
    bytes = malloc(t->file_bytes - offset);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    r = table_read_bytes(t, offset, bytes, tail->offset - offset);
    if (r < 0) {
        free(bytes);
        return r;
    }
    if (had > 0) {
        memcpy(bytes + (tail->offset - offset), tail->bytes, had);
    }
    free(tail->bytes);
    tail->bytes = bytes;
    tail->offset = offset;
    return 0;
}

/* A block of the file's end, checked and unpacked into memory of its own. */
static int load_resident(const struct table *t, struct tail *tail, struct block_handle handle,
                         enum block_type type, struct resident_block *ret_block)
{
    const uint8_t *framed;
    struct block_header header;
    uint8_t *memory;
    size_t size;
    int r = tail_reach(t, tail, handle.offset);

    if (r < 0) {
        return r;
    }
    framed = tail->bytes + (handle.offset - tail->offset);
    r = table_check_frame(t, handle, type, framed, &header);
    if (r < 0) {
        return r;
    }
    size = RESIDENT_LEAD + (size_t)header.raw_size;
    size = (size + RESIDENT_ALIGN - 1) & ~(size_t)(RESIDENT_ALIGN - 1);
    memory = aligned_alloc(RESIDENT_ALIGN, size);
    if (memory == NULL) {
        return -ENOMEM;
    }
    r = table_unpack(t, handle, &header, framed, memory + RESIDENT_LEAD);
    if (r < 0) {
        free(memory);
        return r;
    }
    ret_block->memory = memory;
    ret_block->memory_bytes = size;
    ret_block->raw = kv_slice(memory + RESIDENT_LEAD, header.raw_size);
    return 0;
}

static bool handle_is_empty_or_fits(struct block_handle handle, uint64_t end)
{
    return handle.size == 0 ? handle.offset <= end : block_handle_fits(handle, end);
}

static int open_footer(struct table *t, struct tail *tail)
{
    uint64_t at = t->file_bytes - TABLE_FOOTER_SIZE;
    uint64_t start = t->file_bytes > TAIL_BYTES ? t->file_bytes - TAIL_BYTES : 0;
    int r = tail_reach(t, tail, start);

    if (r < 0) {
        return r;
    }
    r = table_footer_decode(tail->bytes + (at - tail->offset), t->file_seed, at, &t->footer);
    if (r == -KV_EFORMAT) {
        message(t->sink, KV_MESSAGE_ERROR,
                "table %08" PRIu64 ": written in a newer format. Use a newer version", t->number);
        return r;
    }
    if (r < 0 || t->footer.number != t->number || !block_handle_fits(t->footer.properties, at) ||
        !handle_is_empty_or_fits(t->footer.index, t->footer.properties.offset)) {
        return table_damaged(t, at, "the footer is damaged");
    }
    return 0;
}

/* Filter, range deletes and index stand one behind the other, and there is an index if there are
 * rows. */
static bool parts_are_in_order(const struct table *t)
{
    const struct table_properties *p = &t->properties;
    uint64_t end = t->footer.index.offset;

    if (!handle_is_empty_or_fits(p->range_deletes, end) ||
        (p->row_count > 0) != (t->footer.index.size > 0)) {
        return false;
    }
    end = p->range_deletes.size > 0 ? p->range_deletes.offset : end;
    return p->filter.size == 0 || block_handle_fits(p->filter, end);
}

/* Where the data blocks end. */
static uint64_t data_end(const struct table *t)
{
    const struct table_properties *p = &t->properties;
    if (p->filter.size > 0) {
        return p->filter.offset;
    }
    return p->range_deletes.size > 0 ? p->range_deletes.offset : t->footer.index.offset;
}

static int open_properties(struct table *t, struct tail *tail)
{
    struct resident_block block = {0};
    struct table_properties *p = &t->properties;
    uint64_t at = t->footer.properties.offset;
    int r = load_resident(t, tail, t->footer.properties, BLOCK_PROPERTIES, &block);

    if (r < 0) {
        return r;
    }
    r = table_properties_decode(block.raw, p);
    free(block.memory);
    if (r == -ENOMEM) {
        return r;
    }
    if (r == -KV_EFORMAT) {
        message(t->sink, KV_MESSAGE_ERROR,
                "table %08" PRIu64 ": properties at %" PRIu64 " are of a newer format. Use a newer "
                "version",
                t->number, at);
        return -KV_EFORMAT;
    }
    if (r < 0 || p->number != t->number || !parts_are_in_order(t)) {
        return table_damaged(t, at, "the properties are damaged");
    }
    return 0;
}

static int open_index(struct table *t, struct tail *tail)
{
    struct block_handle at = t->footer.index;
    int r;

    if (at.size == 0) {
        return 0;
    }
    r = load_resident(t, tail, at, BLOCK_INDEX, &t->index_block);
    if (r < 0) {
        return r;
    }
    r = table_index_open(t->index_block.raw, data_end(t), &t->index);
    if (r == -KV_EDAMAGED || r == -KV_EFORMAT) {
        return table_damaged(t, at.offset, "the index is damaged");
    }
    return r;
}

static int open_filter(struct table *t, struct tail *tail)
{
    struct block_handle at = t->properties.filter;
    int r;

    if (at.size == 0) {
        return 0;
    }
    r = load_resident(t, tail, at, BLOCK_FILTER, &t->filter_block);
    if (r < 0) {
        return r;
    }
    r = filter_parse(t->filter_block.raw, &t->filter);
    return r < 0 ? table_damaged(t, at.offset, "the filter is damaged") : 0;
}

/* Kept as fragments; the block itself is not. */
static int open_range_dels(struct table *t, struct tail *tail)
{
    struct block_handle at = t->properties.range_deletes;
    struct resident_block block = {0};
    struct rows_block rows;
    int r;

    if (at.size == 0) {
        return 0;
    }
    r = load_resident(t, tail, at, BLOCK_RANGE_DELETES, &block);
    if (r < 0) {
        return r;
    }
    r = rows_block_parse(block.raw, &rows);
    r = r < 0 ? r : range_dels_from_block(&rows, &t->range_dels);
    free(block.memory);
    if (r == -ENOMEM) {
        return r;
    }
    if (r < 0 || t->range_dels->delete_count != t->properties.range_delete_count) {
        return table_damaged(t, at.offset, "the range deletes are damaged");
    }
    return 0;
}

static int open_parts(struct table *t)
{
    struct tail tail = {.offset = t->file_bytes};
    int r;

    if (t->file_bytes < TABLE_FOOTER_SIZE) {
        return table_damaged(t, 0, "the file is too short for a table");
    }
    r = open_footer(t, &tail);
    if (r == 0) {
        r = open_properties(t, &tail);
    }
    if (r == 0) {
        r = tail_reach(t, &tail, data_end(t)); /* all that is left in one read */
    }
    if (r == 0) {
        r = open_index(t, &tail);
    }
    if (r == 0) {
        r = open_filter(t, &tail);
    }
    if (r == 0) {
        r = open_range_dels(t, &tail);
    }
    free(tail.bytes);
    return r;
}

static struct resident_bytes measure(const struct table *t)
{
    const struct range_dels *dels = t->range_dels;
    return (struct resident_bytes){
        .of = {
            [RESIDENT_INDEX] = t->index_block.memory_bytes + table_index_bytes(&t->index),
            [RESIDENT_FILTER] = t->filter_block.memory_bytes,
            [RESIDENT_OTHER] = sizeof *t + (dels != NULL ? dels->memory_bytes : 0),
        }};
}

int table_open(struct kv_storage *storage, uint64_t store_seed, uint64_t number,
               struct block_cache *cache, const struct message_sink *sink, struct table **ret_table)
{
    struct table *t = calloc(1, sizeof *t);
    int r;

    if (t == NULL) {
        return -ENOMEM;
    }
    t->storage = storage;
    t->cache = cache;
    t->sink = sink;
    t->number = number;
    t->file_seed = checksum_file_seed(store_seed, KV_FILE_TABLE, number);
    r = storage->ops->object_open(storage, (struct kv_file_id){KV_FILE_TABLE, number}, &t->object);
    if (r == 0) {
        t->file_bytes = storage->ops->object_size(t->object);
        r = open_parts(t);
    }
    if (r < 0) {
        table_close(t);
        return r;
    }
    t->resident = measure(t);
    if (cache != NULL) {
        block_cache_charge(cache, &t->resident);
    }
    *ret_table = t;
    return 0;
}

void table_close(struct table *table)
{
    if (table == NULL) {
        return;
    }
    if (table->cache != NULL) {
        block_cache_uncharge(table->cache, &table->resident);
    }
    if (table->object != NULL) {
        table->storage->ops->object_close(table->object);
    }
    table_properties_finish(&table->properties);
    free(table->index_block.memory);
    free(table->filter_block.memory);
    table_index_close(&table->index);
    range_dels_destroy(table->range_dels);
    free(table);
}

/* ---- asking ---- */

const struct table_properties *table_properties(const struct table *table)
{
    return &table->properties;
}

const struct range_dels *table_range_dels(const struct table *table)
{
    return table->range_dels;
}

size_t table_resident_bytes(const struct table *table)
{
    return resident_sum(&table->resident);
}

uint64_t table_file_bytes(const struct table *table)
{
    return table->file_bytes;
}

uint64_t table_offset_of(const struct table *table, struct kv_slice key)
{
    uint32_t index = table_index_seek(&table->index, key, UINT64_MAX);
    return index < table->index.rows.count ? table->index.handles[index].offset : data_end(table);
}

bool table_may_contain(const struct table *table, uint64_t key_hash)
{
    return filter_may_match(&table->filter, key_hash);
}

bool table_may_contain_prefix(const struct table *table, uint64_t prefix_hash, size_t prefix_size)
{
    return prefix_size == 0 || table->properties.prefix_size != prefix_size ||
           filter_may_match(&table->filter, prefix_hash);
}

void table_prefetch_filter(const struct table *table, uint64_t key_hash)
{
    filter_prefetch(&table->filter, key_hash);
}

int table_get(struct table *table, struct kv_slice key, uint64_t sequence, uint64_t *ret_trailer,
              struct kv_slice *ret_value, struct cached_block **ret_block)
{
    uint64_t trailer = row_seek_trailer(sequence);
    uint32_t index = table_index_seek(&table->index, key, trailer);

    for (; index < table->index.rows.count; index++) {
        struct cached_block *block = NULL;
        int r = table_load_block(table, index, false, NULL, &block);
        if (r < 0) {
            return r;
        }
        uint32_t at = rows_block_seek(&block->rows, key, trailer);
        if (at < block->rows.count && rows_block_key_equals(&block->rows, at, key)) {
            *ret_trailer = rows_block_trailer(&block->rows, at);
            *ret_value = rows_block_value(&block->rows, at);
            *ret_block = block;
            return 1;
        }
        bool ends_here = at < block->rows.count;
        cached_block_unref(block);
        /* Only where the index names the key itself may the next block go on with it. */
        if (ends_here || !rows_block_key_equals(&table->index.rows, index, key)) {
            return 0;
        }
    }
    return 0;
}
