/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted table files: frames around blocks, footer, properties. Layout in docs/format.md, "Tables".
 */
#ifndef KVCORE_TABLE_TABLE_FORMAT_H
#define KVCORE_TABLE_TABLE_FORMAT_H

#include <kv/storage.h>

#include "kvcore/table/blob_use.h"
#include "kvcore/table/row.h"

enum {
    BLOCK_HEADER_SIZE = 48,
    BLOCK_RAW_SIZE_MAX = 1 << 28,
    TABLE_FOOTER_SIZE = 64,
    TABLE_FORMAT_VERSION = 1,
};

#define BLOCK_MAGIC 0x6b6c424bU           /* "KBlk" */
#define TABLE_MAGIC 0x31656c626174766bULL /* "kvtable1" */

/* On disk, never renumber. */
enum block_type {
    BLOCK_DATA = 1,
    BLOCK_INDEX = 2,
    BLOCK_FILTER = 3,
    BLOCK_RANGE_DELETES = 4,
    BLOCK_PROPERTIES = 5,
};

/* Where a framed block lies: `size` counts header and stored bytes. */
struct block_handle {
    uint64_t offset;
    uint32_t size;
};

struct block_header {
    enum block_type type;
    uint8_t codec;
    uint32_t stored_size;
    uint32_t raw_size;
    uint32_t row_count; /* 0 for blocks without rows */
    uint64_t sequence_min, sequence_max;
    uint64_t payload_checksum;
};

void block_header_encode(const struct block_header *header, uint64_t file_seed, uint64_t offset,
                         uint8_t to[BLOCK_HEADER_SIZE]);
/* -KV_EDAMAGED unless this is a sound header of a block at `offset` of that file. */
KV_MUST_CHECK int block_header_decode(const uint8_t from[BLOCK_HEADER_SIZE], uint64_t file_seed,
                                      uint64_t offset, struct block_header *ret_header);

struct table_footer {
    uint64_t number;
    struct block_handle properties;
    struct block_handle index;
};

void table_footer_encode(const struct table_footer *footer, uint64_t file_seed, uint64_t offset,
                         uint8_t to[TABLE_FOOTER_SIZE]);
KV_MUST_CHECK int table_footer_decode(const uint8_t from[TABLE_FOOTER_SIZE], uint64_t file_seed,
                                      uint64_t offset, struct table_footer *ret_footer);

/* What a table says of itself: enough to rebuild a lost manifest. */
struct table_properties {
    uint8_t store_id[16];
    uint64_t number;   /* of this file */
    uint32_t table_id; /* keyspace */
    uint32_t level;    /* it was written for */
    struct kv_buf smallest_key, largest_key;
    uint64_t smallest_trailer, largest_trailer;
    uint64_t sequence_min, sequence_max;
    uint64_t row_count, tombstone_count, range_delete_count;
    uint64_t key_bytes, value_bytes; /* raw */
    uint64_t data_blocks;
    uint64_t longest_delete_run; /* deletes of keys that stand side by side: scans step through */
    uint64_t created_s;          /* wall clock */
    uint64_t job;                /* the flush or compaction that wrote it */
    uint32_t output_index,
        output_count;           /* k-of-n; n is only known, and not 0, in the job's last output */
    struct kv_buf inputs;       /* table numbers the job merged: varints */
    struct kv_buf replaced;     /* tables that were merged before and still there when it began */
    struct block_handle filter; /* size 0: none */
    struct block_handle range_deletes; /* size 0: none */
    uint32_t filter_format;            /* enum filter_format, 0: none */
    uint32_t prefix_size;              /* of the filter's prefix entries, 0: none */
    uint64_t flushed_sequence; /* every row up to here is in tables once this job is installed */
    uint64_t released_log;     /* logs below are then superfluous; 0: not known */
    uint32_t by_repair;        /* 1: written by a repair, which nobody may know of; else 0 */
    struct kv_buf table_name;  /* of the keyspace */
    struct blob_uses blobs;    /* that its rows refer to */
    /* Not in the table itself: its range deletes for the manifest, of who has just written it;
     * see range_list.h. */
    struct kv_buf range_list;
};

KV_MUST_CHECK int table_properties_encode(const struct table_properties *properties,
                                          struct kv_buf *to);
/* `ret_properties` must be released with table_properties_finish() on success. */
KV_MUST_CHECK int table_properties_decode(struct kv_slice from,
                                          struct table_properties *ret_properties);
void table_properties_finish(struct table_properties *properties);

#endif
