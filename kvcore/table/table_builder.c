/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/table/table_builder.h"

#include <assert.h>
#include <stdlib.h>

#include "kvcore/table/filter.h"
#include "kvcore/table/range_list.h"
#include "kvcore/table/rows_block.h"
#include "kvcore/table/table_index.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/clock.h"
#include "kvcore/util/coding.h"

enum {
    WRITE_BYTES = 256 * 1024, /* blocks are handed to the storage in pieces of about this size */
    ROW_BYTES_MAX = BLOCK_RAW_SIZE_MAX / 2, /* what is left is more than a block's other rows */
    BLOCK_BYTES_MAX = BLOCK_RAW_SIZE_MAX / 4,
};

struct table_builder {
    struct kv_storage *storage;
    struct kv_object_writer *writer; /* NULL once finished */
    struct table_builder_options options;
    struct kv_slice inputs, replaced;
    uint64_t file_seed;
    uint64_t offset; /* of the next block, counting what waits in `pending` */
    int error;       /* sticky */

    struct rows_builder *data;
    uint64_t block_sequence_min, block_sequence_max; /* of the block being filled */
    uint64_t delete_run;                             /* deletes up to the last row, side by side */
    struct rows_builder *ranges;
    uint64_t range_sequence_min, range_sequence_max;
    struct kv_buf range_start; /* of the first range delete */
    bool rows_shown;
    uint64_t range_start_trailer;
    struct rows_builder *index;
    uint64_t index_sequence_min, index_sequence_max;
    struct filter_builder filter;
    uint64_t last_key_hash, last_prefix_hash; /* the newest entries of the filter */

    /* The data block that was closed last: its place in the index is known with the next key. */
    struct block_handle closed;
    struct kv_buf last_key;
    uint64_t last_trailer;

    struct kv_buf raw, compressed, separator;
    struct kv_buf pending; /* bytes not yet given to the writer */
    struct table_properties properties;
};

static int create_parts(struct table_builder *b)
{
    int r = rows_builder_create(&b->data);
    r = r < 0 ? r : rows_builder_create(&b->ranges);
    return r < 0 ? r : rows_builder_create(&b->index);
}

int table_builder_create(struct kv_storage *storage, uint64_t store_seed, uint64_t number,
                         const struct table_origin *origin,
                         const struct table_builder_options *options,
                         struct table_builder **ret_builder)
{
    struct kv_file_id id = {KV_FILE_TABLE, number};
    struct table_builder *b = calloc(1, sizeof *b);
    int r;

    if (b == NULL) {
        return -ENOMEM;
    }
    b->storage = storage;
    b->options = *options;
    b->options.block_bytes =
        options->block_bytes < BLOCK_BYTES_MAX ? options->block_bytes : BLOCK_BYTES_MAX;
    b->inputs = origin->inputs;
    b->replaced = origin->replaced;
    b->file_seed = checksum_file_seed(store_seed, KV_FILE_TABLE, number);
    memcpy(b->properties.store_id, origin->store_id, sizeof origin->store_id);
    b->properties.number = number;
    b->properties.table_id = origin->table_id;
    b->properties.level = origin->level;
    b->properties.job = origin->job;
    b->properties.output_index = origin->output_index;
    b->properties.flushed_sequence = origin->flushed_sequence;
    b->properties.released_log = origin->released_log;
    b->properties.by_repair = origin->by_repair;
    b->rows_shown = origin->rows_shown;
    r = kv_buf_assign(&b->properties.table_name, origin->table_name);
    r = r < 0 ? r : create_parts(b);
    if (r == 0) {
        r = storage->ops->object_begin(storage, id, options->size_hint_bytes, &b->writer);
    }
    if (r < 0) {
        table_builder_destroy(b);
        return r;
    }
    *ret_builder = b;
    return 0;
}

void table_builder_destroy(struct table_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    builder->storage->ops->object_abort(builder->writer);
    rows_builder_destroy(builder->data);
    rows_builder_destroy(builder->index);
    rows_builder_destroy(builder->ranges);
    kv_buf_finish(&builder->range_start);
    filter_builder_clear(&builder->filter);
    kv_buf_finish(&builder->last_key);
    kv_buf_finish(&builder->raw);
    kv_buf_finish(&builder->compressed);
    kv_buf_finish(&builder->separator);
    kv_buf_finish(&builder->pending);
    table_properties_finish(&builder->properties);
    free(builder);
}

/* ---- bytes to the file ---- */

/* Hand over what waits and, behind it, `parts` more slices. */
static int write_out(struct table_builder *b, const struct kv_slice *parts, int part_count)
{
    struct iovec vec[3];
    int n = 0;
    int r;

    assert(part_count <= 2);
    if (b->pending.size > 0) {
        vec[n++] = (struct iovec){b->pending.data, b->pending.size};
    }
    for (int i = 0; i < part_count; i++) {
        /* The storage only reads, but iovec knows no const. */
        vec[n++] = (struct iovec){(void *)(uintptr_t)parts[i].data, parts[i].size};
    }
    if (n == 0) {
        return 0;
    }
    r = b->storage->ops->object_write(b->writer, vec, n);
    if (r == 0) {
        b->pending.size = 0;
    }
    return r;
}

/* Small pieces gather; a large one goes out behind what waits, without being copied. */
static int write_framed(struct table_builder *b, struct kv_slice header, struct kv_slice stored)
{
    const struct kv_slice parts[2] = {header, stored};
    int r;

    if (b->pending.size + header.size + stored.size > WRITE_BYTES) {
        return write_out(b, parts, 2);
    }
    r = kv_buf_append(&b->pending, header);
    return r < 0 ? r : kv_buf_append(&b->pending, stored);
}

/* Frame `raw` and write it. The caller fills type, row count and sequence range of `header`. */
static int write_block(struct table_builder *b, struct block_header *header, struct kv_slice raw,
                       enum codec codec, struct block_handle *ret_handle)
{
    uint8_t frame[BLOCK_HEADER_SIZE];
    struct kv_slice stored = raw;
    int used, r;

    if (raw.size > BLOCK_RAW_SIZE_MAX) {
        return -EFBIG;
    }
    used = codec_compress(codec, raw, &b->compressed);
    if (used < 0) {
        return used;
    }
    if (used != CODEC_NONE) {
        stored = kv_buf_slice(&b->compressed);
    }
    header->codec = (uint8_t)used;
    header->raw_size = (uint32_t)raw.size;
    header->stored_size = (uint32_t)stored.size;
    header->payload_checksum = checksum_at(b->file_seed, b->offset + sizeof frame, stored);
    block_header_encode(header, b->file_seed, b->offset, frame);
    r = write_framed(b, kv_slice(frame, sizeof frame), stored);
    if (r < 0) {
        return r;
    }
    ret_handle->offset = b->offset;
    ret_handle->size = (uint32_t)(sizeof frame + stored.size);
    b->offset += ret_handle->size;
    return 0;
}

/* ---- index ---- */

/* The index row of the block closed last: `key` and `trailer` part it from what follows. */
static int add_index_row(struct table_builder *b, struct kv_slice key, uint64_t trailer)
{
    uint8_t value[2 * CODING_VARINT_MAX];
    uint64_t sequence = row_sequence(trailer);
    size_t size = coding_put_varint(value, b->closed.offset);
    int r;

    size += coding_put_varint(value + size, b->closed.size);
    struct row row = {.key = key, .trailer = trailer, .value = kv_slice(value, size)};
    r = rows_builder_add(b->index, &row);
    if (r < 0) {
        return r;
    }
    bool first = rows_builder_count(b->index) == 1;
    b->index_sequence_min =
        first || sequence < b->index_sequence_min ? sequence : b->index_sequence_min;
    b->index_sequence_max =
        first || sequence > b->index_sequence_max ? sequence : b->index_sequence_max;
    b->closed.size = 0;
    return 0;
}

/* The first key behind a closed block is known. */
static int index_closed_block(struct table_builder *b, struct kv_slice next)
{
    int r = index_separator(kv_buf_slice(&b->last_key), next, &b->separator);
    if (r < 0) {
        return r;
    }
    return add_index_row(b, kv_buf_slice(&b->separator),
                         r == 1 ? INDEX_TRAILER_LAST : b->last_trailer);
}

/* ---- rows ---- */

static int close_block(struct table_builder *b)
{
    struct row last = rows_builder_last(b->data);
    struct block_header header = {
        .type = BLOCK_DATA,
        .row_count = (uint32_t)rows_builder_count(b->data),
        .sequence_min = b->block_sequence_min,
        .sequence_max = b->block_sequence_max,
    };
    int r = kv_buf_assign(&b->last_key, last.key);

    b->last_trailer = last.trailer;
    if (r == 0) {
        r = rows_builder_finish(b->data, &b->raw);
    }
    if (r == 0) {
        r = write_block(b, &header, kv_buf_slice(&b->raw), b->options.codec, &b->closed);
    }
    b->properties.data_blocks += r == 0;
    return r;
}

static int add_filter_entries(struct table_builder *b, struct kv_slice key)
{
    uint64_t hash = filter_hash_key(key);
    size_t prefix_size = b->options.prefix_size;
    int r = 0;

    if (b->filter.count == 0 || hash != b->last_key_hash) {
        r = filter_builder_add(&b->filter, hash);
        b->last_key_hash = hash;
    }
    if (r < 0 || prefix_size == 0 || key.size < prefix_size) {
        return r;
    }
    hash = filter_hash_prefix(kv_slice(key.data, prefix_size));
    /* 0 stands for "none yet": at worst one entry is there twice. */
    if (hash == 0 || hash != b->last_prefix_hash) {
        r = filter_builder_add(&b->filter, hash);
        b->last_prefix_hash = hash;
    }
    return r;
}

static void count_row(struct table_builder *b, const struct row *row)
{
    struct table_properties *p = &b->properties;
    uint64_t sequence = row_sequence(row->trailer);
    bool first_of_file = p->row_count == 0;
    bool first_of_block = rows_builder_count(b->data) == 1;

    p->sequence_min = first_of_file || sequence < p->sequence_min ? sequence : p->sequence_min;
    p->sequence_max = first_of_file || sequence > p->sequence_max ? sequence : p->sequence_max;
    b->block_sequence_min =
        first_of_block || sequence < b->block_sequence_min ? sequence : b->block_sequence_min;
    b->block_sequence_max =
        first_of_block || sequence > b->block_sequence_max ? sequence : b->block_sequence_max;
    p->row_count++;
    p->tombstone_count += row_kind(row->trailer) == ROW_DELETE;
    b->delete_run = row_kind(row->trailer) == ROW_DELETE ? b->delete_run + 1 : 0;
    p->longest_delete_run =
        b->delete_run > p->longest_delete_run ? b->delete_run : p->longest_delete_run;
    p->key_bytes += row->key.size;
    p->value_bytes += row->value.size;
}

/* May the row stand behind those added so far? */
static bool row_fits(const struct table_builder *b, const struct row *row)
{
    if (!row_kind_is_known(row_kind(row->trailer)) || row->key.size > ROW_BYTES_MAX / 2 ||
        row->value.size > ROW_BYTES_MAX / 2) {
        return false;
    }
    if (rows_builder_count(b->data) > 0) {
        struct row last = rows_builder_last(b->data);
        return row_compare(last.key, last.trailer, row->key, row->trailer) < 0;
    }
    return b->properties.row_count == 0 ||
           row_compare(kv_buf_slice(&b->last_key), b->last_trailer, row->key, row->trailer) < 0;
}

static int add_row(struct table_builder *b, const struct row *row)
{
    int r = 0;

    if (!row_fits(b, row)) {
        return -EINVAL;
    }
    if (b->closed.size > 0) {
        r = index_closed_block(b, row->key);
    }
    if (r == 0 && b->properties.row_count == 0) {
        r = kv_buf_assign(&b->properties.smallest_key, row->key);
        b->properties.smallest_trailer = row->trailer;
    }
    if (r == 0 && b->options.filter_bits_per_key > 0) {
        r = add_filter_entries(b, row->key);
    }
    if (r == 0) {
        r = rows_builder_add(b->data, row);
    }
    if (r < 0) {
        return r;
    }
    count_row(b, row);
    return rows_builder_size(b->data) >= b->options.block_bytes ? close_block(b) : 0;
}

int table_builder_add(struct table_builder *builder, const struct row *row)
{
    assert(builder->writer != NULL);
    if (builder->error == 0) {
        builder->error = add_row(builder, row);
    }
    return builder->error;
}

int table_builder_note_blob(struct table_builder *builder, uint64_t number, uint64_t bytes)
{
    if (builder->error == 0) {
        builder->error = blob_uses_add(&builder->properties.blobs, number, bytes);
    }
    return builder->error;
}

/* ---- range deletes ---- */

static bool range_fits(const struct table_builder *b, const struct range_delete *range)
{
    if (kv_slice_compare(range->from, range->to) >= 0 || range->to.size > ROW_BYTES_MAX / 2) {
        return false;
    }
    if (rows_builder_count(b->ranges) == 0) {
        return true;
    }
    struct row last = rows_builder_last(b->ranges);
    if (kv_slice_equal(last.key, range->from)) {
        return kv_slice_equal(last.value, range->to) &&
               row_sequence(last.trailer) > range->sequence;
    }
    return kv_slice_compare(last.value, range->from) <= 0;
}

static int add_range_delete(struct table_builder *b, const struct range_delete *range)
{
    struct row row = {.key = range->from,
                      .trailer = row_trailer(range->sequence, ROW_RANGE_DELETE),
                      .value = range->to};
    bool first = rows_builder_count(b->ranges) == 0;
    uint64_t sequence = range->sequence;
    int r;

    if (!range_fits(b, range)) {
        return -EINVAL;
    }
    if (first) {
        r = kv_buf_assign(&b->range_start, range->from);
        b->range_start_trailer = row.trailer;
        if (r < 0) {
            return r;
        }
    }
    r = rows_builder_add(b->ranges, &row);
    if (r < 0) {
        return r;
    }
    b->range_sequence_min =
        first || sequence < b->range_sequence_min ? sequence : b->range_sequence_min;
    b->range_sequence_max =
        first || sequence > b->range_sequence_max ? sequence : b->range_sequence_max;
    b->properties.range_delete_count++;
    return 0;
}

int table_builder_add_range_delete(struct table_builder *builder,
                                   const struct range_delete *range_delete)
{
    assert(builder->writer != NULL);
    if (builder->error == 0) {
        builder->error = add_range_delete(builder, range_delete);
    }
    return builder->error;
}

size_t table_builder_range_bytes(const struct table_builder *builder)
{
    return rows_builder_size(builder->ranges);
}

uint64_t table_builder_size(const struct table_builder *builder)
{
    return builder->offset + rows_builder_size(builder->data) + rows_builder_size(builder->ranges);
}

uint64_t table_builder_row_count(const struct table_builder *builder)
{
    return builder->properties.row_count;
}

/* ---- finishing ---- */

static int finish_data(struct table_builder *b)
{
    int r = 0;

    if (b->properties.row_count == 0) {
        return 0;
    }
    if (rows_builder_count(b->data) > 0) {
        r = close_block(b);
    }
    if (r == 0) {
        r = add_index_row(b, kv_buf_slice(&b->last_key), b->last_trailer);
    }
    if (r == 0) {
        r = kv_buf_assign(&b->properties.largest_key, kv_buf_slice(&b->last_key));
        b->properties.largest_trailer = b->last_trailer;
    }
    return r;
}

static int finish_filter(struct table_builder *b)
{
    struct block_header header = {.type = BLOCK_FILTER};
    int r;

    if (b->options.filter_bits_per_key == 0 || b->properties.row_count == 0) {
        return 0;
    }
    r = filter_builder_finish(&b->filter, b->options.filter_bits_per_key, &b->raw);
    if (r == 0) {
        /* Its bits are as good as random: nothing to compress. */
        r = write_block(b, &header, kv_buf_slice(&b->raw), CODEC_NONE, &b->properties.filter);
    }
    b->properties.filter_format = FILTER_BLOCKED_BLOOM;
    b->properties.prefix_size = b->options.prefix_size;
    return r;
}

/* The bounds cover the range deletes too, and so do the sequence numbers. */
static int widen_bounds(struct table_builder *b, struct kv_slice last_end)
{
    struct table_properties *p = &b->properties;
    struct kv_slice start = kv_buf_slice(&b->range_start);
    bool alone = p->row_count == 0;
    int r = 0;

    if (alone || row_compare(start, b->range_start_trailer, kv_buf_slice(&p->smallest_key),
                             p->smallest_trailer) < 0) {
        r = kv_buf_assign(&p->smallest_key, start);
        p->smallest_trailer = b->range_start_trailer;
    }
    if (r == 0 && (alone || row_compare(last_end, RANGE_END_TRAILER, kv_buf_slice(&p->largest_key),
                                        p->largest_trailer) > 0)) {
        r = kv_buf_assign(&p->largest_key, last_end);
        p->largest_trailer = RANGE_END_TRAILER;
    }
    p->sequence_min =
        alone || b->range_sequence_min < p->sequence_min ? b->range_sequence_min : p->sequence_min;
    p->sequence_max =
        alone || b->range_sequence_max > p->sequence_max ? b->range_sequence_max : p->sequence_max;
    return r;
}

/* What the manifest shall say of them. */
static int list_ranges(struct table_builder *b)
{
    struct rows_block rows;
    struct range_dels *dels = NULL;
    int r = rows_block_parse(kv_buf_slice(&b->raw), &rows);

    r = r < 0 ? r : range_dels_from_block(&rows, &dels);
    r = r < 0 ? r : range_list_encode(dels, b->rows_shown, &b->properties.range_list);
    range_dels_destroy(dels);
    return r;
}

static int finish_ranges(struct table_builder *b)
{
    struct block_header header = {
        .type = BLOCK_RANGE_DELETES,
        .row_count = (uint32_t)rows_builder_count(b->ranges),
        .sequence_min = b->range_sequence_min,
        .sequence_max = b->range_sequence_max,
    };
    int r;

    if (header.row_count == 0) {
        return 0;
    }
    r = widen_bounds(b, rows_builder_last(b->ranges).value);
    r = r < 0 ? r : rows_builder_finish(b->ranges, &b->raw);
    r = r < 0 ? r : list_ranges(b);
    return r < 0 ? r
                 : write_block(b, &header, kv_buf_slice(&b->raw), b->options.codec,
                               &b->properties.range_deletes);
}

static int finish_index(struct table_builder *b, struct block_handle *ret_handle)
{
    struct block_header header = {
        .type = BLOCK_INDEX,
        .row_count = (uint32_t)rows_builder_count(b->index),
        .sequence_min = b->index_sequence_min,
        .sequence_max = b->index_sequence_max,
    };
    int r;

    if (header.row_count == 0) {
        *ret_handle = (struct block_handle){.offset = b->offset};
        return 0;
    }
    r = rows_builder_finish(b->index, &b->raw);
    return r < 0 ? r : write_block(b, &header, kv_buf_slice(&b->raw), b->options.codec, ret_handle);
}

static int finish_properties(struct table_builder *b, uint32_t output_count,
                             struct block_handle *ret_handle)
{
    struct block_header header = {.type = BLOCK_PROPERTIES};
    int r = kv_buf_assign(&b->properties.inputs, b->inputs);

    r = r < 0 ? r : kv_buf_assign(&b->properties.replaced, b->replaced);
    if (r < 0) {
        return r;
    }
    b->properties.created_s = clock_wall_s();
    b->properties.output_count = output_count;
    r = table_properties_encode(&b->properties, &b->raw);
    return r < 0 ? r : write_block(b, &header, kv_buf_slice(&b->raw), CODEC_NONE, ret_handle);
}

static int finish_file(struct table_builder *b, uint32_t output_count)
{
    struct table_footer footer = {.number = b->properties.number};
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct kv_slice part = kv_slice(bytes, sizeof bytes);
    int r = finish_data(b);

    if (r == 0) {
        r = finish_filter(b);
    }
    if (r == 0) {
        r = finish_ranges(b);
    }
    if (r == 0) {
        r = finish_index(b, &footer.index);
    }
    if (r == 0) {
        r = finish_properties(b, output_count, &footer.properties);
    }
    if (r < 0) {
        return r;
    }
    table_footer_encode(&footer, b->file_seed, b->offset, bytes);
    r = write_out(b, &part, 1);
    b->offset += sizeof bytes;
    return r;
}

int table_builder_finish(struct table_builder *builder, uint32_t output_count,
                         struct table_properties *ret_properties, uint64_t *ret_size)
{
    struct kv_object_writer *writer = builder->writer;
    int r = builder->error;

    assert(writer != NULL &&
           builder->properties.row_count + builder->properties.range_delete_count > 0);
    if (r == 0) {
        r = finish_file(builder, output_count);
    }
    if (r == 0) {
        builder->writer = NULL;
        r = builder->storage->ops->object_finish(writer);
    }
    if (r < 0) {
        builder->error = r;
        return r;
    }
    *ret_properties = builder->properties;
    builder->properties = (struct table_properties){0};
    *ret_size = builder->offset;
    return 0;
}
