/* SPDX-License-Identifier: Apache-2.0 */
/* An open sorted table: footer, index, filter and range deletes resident and verified, and charged
 * to the cache's budget; data blocks through the cache. Immutable after open: any number of threads
 * read it without a lock. */
#ifndef KVCORE_TABLE_TABLE_H
#define KVCORE_TABLE_TABLE_H

#include "kvcore/table/block_cache.h"
#include "kvcore/table/filter.h"
#include "kvcore/table/iter.h"
#include "kvcore/table/range_dels.h"
#include "kvcore/table/rows_block.h"
#include "kvcore/table/table_format.h"
#include "kvcore/util/message.h"

struct table;

/* Open table `number`. `cache` may be NULL; it and `sink` must outlive the table. Checks footer,
 * index, filter and properties, not the data. Errors: -ENOENT no such file (the caller turns that
 * into damage if a manifest names it); -KV_EDAMAGED; -KV_EFORMAT. */
KV_MUST_CHECK int table_open(struct kv_storage *storage, uint64_t store_seed, uint64_t number,
                             struct block_cache *cache, const struct message_sink *sink,
                             struct table **ret_table);
void table_close(struct table *table); /* accepts NULL */
const struct table_properties *table_properties(const struct table *table);
/* The table's range deletes, or NULL. Valid as long as the table. Rows and lookups below do not
 * know of them: whoever reads asks here too. */
const struct range_dels *table_range_dels(const struct table *table);
/* Memory of index, filter, range deletes and bookkeeping. */
size_t table_resident_bytes(const struct table *table);
uint64_t table_file_bytes(const struct table *table);
/* About where the rows from `key` on begin in the file. */
uint64_t table_offset_of(const struct table *table, struct kv_slice key);

/* May the table hold the key / a key with the prefix? false is certain. A table written without
 * (fitting) prefix entries answers true for prefixes. */
bool table_may_contain(const struct table *table, uint64_t key_hash);
bool table_may_contain_prefix(const struct table *table, uint64_t prefix_hash, size_t prefix_size);
/* Ask the processor for the filter line ahead of table_may_contain(). */
void table_prefetch_filter(const struct table *table, uint64_t key_hash);

/* The newest row of `key` that is visible at `sequence`. Returns 1 with the row's kind, sequence
 * number and value, and a reference to the block the value lies in (unref it); 0 none here; or a
 * negative errno. */
KV_MUST_CHECK int table_get(struct table *table, struct kv_slice key, uint64_t sequence,
                            uint64_t *ret_trailer, struct kv_slice *ret_value,
                            struct cached_block **ret_block);

/* `keep_cache`: blocks that are not in the cache are read without entering it, and those that are
 * do not count as used. The table must outlive the iterator. */
KV_MUST_CHECK int table_iter_create(struct table *table, bool keep_cache, struct iter **ret_iter);

/* A data block is cached or refused; `bytes` were read for it, 0 if it was there. What is not 0
 * ends the run. */
typedef int table_warm_fn(void *arg, size_t bytes, bool cached);
/* Bring the data blocks into the cache that it does not hold and has room for. The table has one.
 * Errors: -KV_EDAMAGED; -EIO, -ENOMEM; what `fn` said. */
KV_MUST_CHECK int table_warm(struct table *table, table_warm_fn *fn, void *arg);

/* Told by table_verify() as it goes. Members may be NULL. */
struct table_watch {
    /* So many bytes of the file are read next. What is not 0 ends the run and is its result. */
    int (*read_fn)(void *arg, uint64_t bytes);
    /* The rows of a data block that is sound; they live during the call. Not 0: as above. */
    int (*rows_fn)(void *arg, const struct rows_block *rows);
    /* The damage that the sink was told of last costs the rows behind `after`, the whole of which
     * may still be there, up to `last`. Empty: there is no such bound. */
    void (*lost_fn)(void *arg, struct kv_slice after, struct kv_slice last);
    void *arg;
};

/* Read every block of the file and check it; what is wrong goes to the sink. Goes on behind a
 * damaged block. `watch` may be NULL. Errors: -KV_EDAMAGED; -EIO, -ENOMEM; what `watch` said. */
KV_MUST_CHECK int table_verify(struct table *table, const struct table_watch *watch);

#endif
