/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of kv_verify(), for the verify*.c files only.
 *
 * Everything that is checked reports to `sink`, which keeps the damage until it is known which keys
 * it costs, and then hands it on. Used by one thread. Functions that return int end the run with
 * what is not 0; damage does not. */
#ifndef KVCORE_DB_VERIFY_H
#define KVCORE_DB_VERIFY_H

#include <kv/verify.h>

#include "kvcore/blob/blob_set.h"
#include "kvcore/db/view.h"

enum { VERIFY_TEXT_MAX = 1024 };

/* A log as it is at the moment that is checked. */
struct verify_log {
    uint64_t number;
    uint64_t size; /* so much of it is durable */
};

struct verify {
    struct kv_store *store;
    struct kv_verify_options options;
    struct message_sink sink;
    struct kv_verify_progress progress;
    struct kv_suspects only;                /* the files that are looked at; without any, all */
    const char *tables[KV_TABLE_COUNT_MAX]; /* names by id - 1; as long as the store */
    struct view *view;                      /* of the moment, until its memtables are done with */
    struct view *pinned;                    /* its tables and blobs */
    uint64_t sequence;                      /* rows of memtables beyond it came later */
    struct verify_log *logs;
    size_t log_count;
    uint64_t manifest, manifest_size;
    struct blob_set *blobs; /* opened for this run alone, so that it tells our sink */
    uint8_t *value;         /* where values are read to; VERIFY_VALUE_BYTES */
    struct kv_buf key;
    struct blob_uses uses; /* of the rows of the table that is being checked */
    /* The file that is being checked. */
    int kind;
    uint64_t number;
    const char *table;
    /* What the sink was told and was not handed on yet. */
    bool pending;
    bool muted;
    uint64_t offset;
    char text[VERIFY_TEXT_MAX];
    bool stopped; /* by a function of the caller's */
    /* Pace. */
    uint64_t told_bytes; /* of progress.bytes */
    uint64_t due_ns;     /* so much read is paid for then; monotonic */
};

enum { VERIFY_VALUE_BYTES = 1 << 20 };

/* Begin with another file. */
KV_MUST_CHECK int verify_file_begin(struct verify *v, int kind, uint64_t number, const char *table);
/* It was read to its end, or not: `error` is what was met last. Damage was told before; what else
 * failed becomes a finding too, but for -ENOMEM and -ECANCELED, which end the run. */
KV_MUST_CHECK int verify_file_end(struct verify *v, int error);
/* So many bytes are read now: wait if that is too fast, and tell how far it is. `arg` is a struct
 * verify. */
int verify_spend(void *arg, uint64_t bytes);
/* The waiting alone: bytes that are not among those to be checked. */
KV_MUST_CHECK int verify_pace(struct verify *v, uint64_t bytes);
/* Hand on what is pending, if anything, with the keys that it costs. */
void verify_lost(struct verify *v, struct kv_slice from, struct kv_slice to);

/* Whether the run looks at it: at the rows of a table also for the sake of a blob; at the values in
 * a blob. */
bool verify_wants_table(const struct verify *v, const struct file_meta *file);
bool verify_wants_blob(const struct verify *v, uint64_t number);

/* Root record, manifest and logs; see verify_logs.c. The first takes the moment, that is, sets what
 * the others check, and checks the root record on the way, under the same mutex. */
KV_MUST_CHECK int verify_take(struct verify *v);
KV_MUST_CHECK int verify_logs(struct verify *v);
/* The log that is being checked is needed no more, and its file may be another one's by now. */
bool verify_log_is_released(struct verify *v);

/* Tables of the moment with the values of their rows; see verify_tables.c. The second looks at the
 * values of rows in memory, and lets go of the memtables. */
KV_MUST_CHECK int verify_tables(struct verify *v);
KV_MUST_CHECK int verify_memtables(struct verify *v);

/* Large values, see verify_blobs.c: those of the rows of a block; directories of all blobs. */
KV_MUST_CHECK int verify_values(struct verify *v, const struct rows_block *rows);
/* The value of one row of a memtable. */
KV_MUST_CHECK int verify_value(struct verify *v, const struct row *row);
KV_MUST_CHECK int verify_directories(struct verify *v);

#endif
