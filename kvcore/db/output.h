/* SPDX-License-Identifier: Apache-2.0 */
/* The output side of a flush or compaction: takes rows in order, leaves out those nobody can see
 * any more, and cuts the rest into tables.
 *
 * Range deletes go along, see range_output.h.
 *
 * A row is left out when a newer row of its key is visible at the same snapshots, and a tombstone
 * when besides nothing of its key can lie deeper. Rows of one key never go to two tables. */
#ifndef KVCORE_DB_OUTPUT_H
#define KVCORE_DB_OUTPUT_H

#include "kvcore/db/output_blobs.h"
#include "kvcore/db/range_output.h"
#include "kvcore/table/table_builder.h"

struct unfinished {
    struct table_builder *builder; /* NULL: none */
    uint64_t number;
    uint64_t hidden_bytes; /* by its range deletes */
};

struct output_job {
    /* Set by the caller. */
    uint32_t table_id; /* may change between calls of output_rows */
    uint32_t level;    /* of the outputs */
    bool is_flush;     /* one table per call of output_rows, of any size */
    bool (*is_deepest)(void *arg, struct kv_slice key); /* NULL: never. Nothing of the key lies
                                                           below the outputs */
    bool (*is_range_deepest)(void *arg, struct kv_slice from, struct kv_slice to); /* likewise */
    const struct file_list
        *grandparents; /* NULL: none. Tables are cut where they would overlap much */
    void *is_deepest_arg;
    const struct version *version; /* where range deletes find what they hide; outlives the job */
    uint64_t flushed_sequence;     /* rows up to here are in tables once the job is installed */
    uint64_t released_log;         /* and logs below are superfluous */
    struct kv_buf inputs;          /* numbers of merged tables as varints; owned */
    struct kv_buf replaced;        /* of those that are not in the store any more; owned */
    struct range_output ranges;    /* range deletes of the rows of the next output_rows; owned */
    struct output_blobs blobs;     /* large values */
    struct job *progress;          /* told how many rows were read; NULL: nobody */

    /* The job's own. */
    struct kv_store *store;
    uint64_t number;     /* of the job: that of its first output; 0 before */
    uint64_t *snapshots; /* ascending; see snapshot_list() */
    size_t snapshot_count;
    struct file_meta **outputs;
    size_t output_count;
    struct unfinished now;        /* the table being written */
    struct unfinished whole;      /* one that waits to know whether it is the last */
    const struct kv_table *table; /* keyspace of the table being written */
    struct kv_buf hidden_from;    /* start of the last of its range deletes */
    struct kv_buf last_key;
    size_t last_stripe;
    size_t grandparent_index;
    uint64_t grandparent_bytes;
    uint64_t bytes_written;
};

KV_MUST_CHECK int output_job_init(struct kv_store *store, struct output_job *job);
/* The range deletes of the next output_rows(): those the builder was given. */
KV_MUST_CHECK int output_ranges(struct output_job *job, const struct range_builder *builder);
/* Write all rows from the iterator's position on, and the range deletes. */
KV_MUST_CHECK int output_rows(struct kv_store *store, struct output_job *job, struct iter *it);
/* All outputs are finished; add them to the edit. */
KV_MUST_CHECK int output_job_finish(struct kv_store *store, struct output_job *job,
                                    struct edit *edit);
/* The job failed: remove the tables it finished. */
void output_job_remove(struct kv_store *store, struct output_job *job);
/* Frees, and removes the table that was being written. */
void output_job_destroy(struct output_job *job);
/* What the manifest says of a table that says this of itself. */
KV_MUST_CHECK int file_from_properties(const struct table_properties *properties, uint64_t size,
                                       struct file_meta **ret_file);

#endif
