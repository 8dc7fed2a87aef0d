/* SPDX-License-Identifier: Apache-2.0 */
/* A generation: what was written between two rotations. One log segment, one memtable per table,
 * which lie in one arena, and one blob for large values if there were any. All tables rotate
 * together with the log, so that flushing a generation releases exactly its log, and recovery
 * rebuilds exactly it.
 *
 * Concurrency: references are atomic. The memtables are filled by the leader of a write group and
 * read by anybody. `log` is used under the log writer's own rules. */
#ifndef KVCORE_DB_GENERATION_H
#define KVCORE_DB_GENERATION_H

#include <kv/kv.h>

#include "kvcore/blob/blob_writer.h"
#include "kvcore/db/memtable.h"
#include "kvcore/log/log_writer.h"

struct generation {
    _Atomic uint32_t refs;
    struct arena arena;
    struct row_filter filter;                       /* of the keys in all its memtables */
    struct memtable *memtables[KV_TABLE_COUNT_MAX]; /* by table id - 1; NULL only before the table
                                                       existed; added under the state mutex */
    struct log_writer *log; /* NULL: replayed, its rows lie in closed logs */
    /* NULL: none yet. Set by the leader (release), read by those who sync or seal (acquire). */
    _Atomic(struct blob_writer *) blob;
    uint64_t blob_limit;     /* see large_limit(); constant */
    bool blob_failed;        /* the leader's: it takes no more, and no other is begun */
    uint64_t log_number;     /* newest log that holds rows of it */
    uint64_t delete_count;   /* rows that delete one key; the leader's */
    uint64_t sequence_last;  /* of its newest row, once rotated out */
    uint64_t sequence_first; /* older rows lie in older generations or tables; constant. 0 for the
                                one that the store was opened with */
    _Atomic bool log_synced; /* every byte of the log is durable (only once rotated out) */
    bool end_recorded;       /* the manifest knows where its log ends; state mutex */
};

/* Without a log. It will hold about `memtable_bytes`, and takes memory in a small part of that at a
 * time. */
KV_MUST_CHECK int generation_create(size_t memtable_bytes, struct generation **ret_generation);
void generation_ref(struct generation *generation);
void generation_unref(struct generation *generation); /* accepts NULL; destroys the log writer */
/* Add a memtable for the table if there is none. */
KV_MUST_CHECK int generation_add_table(struct generation *generation, uint32_t table_id);
/* Take a range delete of the table into the plan of its memtable; then all plans are published or
 * dropped together. One thread at a time. Errors: -ENOMEM. */
KV_MUST_CHECK int generation_plan_range_delete(struct generation *generation, uint32_t table_id,
                                               const struct range_delete *range_delete);
void generation_publish_plans(struct generation *generation);
void generation_drop_plans(struct generation *generation);
size_t generation_bytes(const struct generation *generation);
/* Bytes of its blob, 0 without one. */
uint64_t generation_blob_bytes(const struct generation *generation);
bool generation_is_empty(const struct generation *generation);

#endif
