/* SPDX-License-Identifier: Apache-2.0 */
/* Turns a sorted stream of rows into a table file. */
#ifndef KVCORE_TABLE_TABLE_BUILDER_H
#define KVCORE_TABLE_TABLE_BUILDER_H

#include "kvcore/table/range_dels.h"
#include "kvcore/table/table_format.h"
#include "kvcore/util/codec.h"

struct table_builder;

struct table_builder_options {
    size_t block_bytes;           /* raw size at which a data block is closed */
    unsigned filter_bits_per_key; /* 0: no filter */
    unsigned prefix_size;         /* 0: no prefix entries */
    enum codec codec;
    uint64_t size_hint_bytes;
};

/* What the job that writes the table knows of it: goes to the properties. */
struct table_origin {
    uint8_t store_id[16];
    uint32_t table_id;
    uint32_t level;
    uint64_t job;
    uint32_t output_index;
    uint64_t flushed_sequence; /* see struct table_properties, as are the next two */
    uint64_t released_log;
    struct kv_slice table_name; /* copied */
    struct kv_slice inputs;     /* varints; must outlive the builder, as does the next */
    struct kv_slice replaced;
    bool by_repair;
    bool rows_shown; /* its range deletes hide no row of its own; see range_list.h */
};

KV_MUST_CHECK int table_builder_create(struct kv_storage *storage, uint64_t store_seed,
                                       uint64_t number, const struct table_origin *origin,
                                       const struct table_builder_options *options,
                                       struct table_builder **ret_builder);
/* Rows in strictly ascending order. Errors are sticky. */
KV_MUST_CHECK int table_builder_add(struct table_builder *builder, const struct row *row);
/* The row to be added next refers to so many stored bytes of a blob. Errors are sticky. */
KV_MUST_CHECK int table_builder_note_blob(struct table_builder *builder, uint64_t number,
                                          uint64_t bytes);
/* Fragments in ascending order, the deletes of one newest first, whatever rows came before. Errors
 * as above. */
KV_MUST_CHECK int table_builder_add_range_delete(struct table_builder *builder,
                                                 const struct range_delete *range_delete);
/* Bytes of the range deletes so far, about: they become one block. */
size_t table_builder_range_bytes(const struct table_builder *builder);
/* Bytes of the file so far, about. */
uint64_t table_builder_size(const struct table_builder *builder);
uint64_t table_builder_row_count(const struct table_builder *builder);
/* Write index, filter, range deletes, properties and footer and make the file durable and visible.
 * `output_count`: number of outputs of the job if this is its last one, else 0. At least one row or
 * range delete. On success `ret_properties` (to be finished by the caller) and the file size are
 * set. The builder must be destroyed in any case. */
KV_MUST_CHECK int table_builder_finish(struct table_builder *builder, uint32_t output_count,
                                       struct table_properties *ret_properties, uint64_t *ret_size);
/* Removes the file unless it was finished. Accepts NULL. */
void table_builder_destroy(struct table_builder *builder);

#endif
