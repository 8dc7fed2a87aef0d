/* SPDX-License-Identifier: Apache-2.0 */
/* Checking every byte of a store while it is open and in use.
 *
 * What is checked, in this order: the root record; the manifest; the logs, as far as they are
 * durable; of every sorted table all blocks with their checksums, the order of keys, counts,
 * bounds, filter and properties against the rows, and what the manifest says of it; with the rows
 * every large value that they refer to, unit by unit; directories of blobs. What no row refers to
 * any more is not. So that a row that was damaged in memory before it was written is not told from
 * a sound one, and neither are bytes that were never the store's.
 *
 * Beside writers, flushes, merges and drops: it checks the state at one moment, which it holds on
 * to: tables that were merged since and dead bytes of blobs keep their space until it is done. What
 * came later was checked by whoever wrote it from that. The block cache is left alone, and the
 * memory it takes is bounded: index and filter of one table, and a few MiB. */
#ifndef KV_VERIFY_H
#define KV_VERIFY_H

#include <kv/kv.h>

enum { KV_VERIFY_ROOT = 0 }; /* beside the kinds of enum kv_file_kind */

/* Something that is damaged, or could not be read. Pointers are valid during the call. */
struct kv_verify_finding {
    int kind;             /* enum kv_file_kind, or KV_VERIFY_ROOT */
    uint64_t number;      /* of the file; 0: the root record */
    uint64_t offset;      /* in the file; UINT64_MAX: the whole of it, or not known */
    int error;            /* -KV_EDAMAGED, or what reading failed with */
    const char *table;    /* whose rows they are; NULL: no single one's */
    struct kv_slice from; /* keys that may be lost by it; both empty: not known, or none */
    struct kv_slice to;   /* included, as `from` is; empty: no bound */
    const char *text;     /* one line: what, where, why, what next */
};

struct kv_verify_progress {
    uint64_t files, files_all; /* checked; to be checked */
    uint64_t bytes, bytes_all; /* read; all is an estimate that bytes reaches in the end */
    uint64_t rows;             /* of tables */
    uint64_t values;           /* large ones that were read */
    uint64_t findings;
    uint64_t throttled_ns; /* spent waiting for the limit */
};

/* Both are called by the thread that called kv_verify(), without a lock: they may use the store,
 * but not close it. What is not 0 ends the run. */
typedef int kv_verify_finding_fn(void *arg, const struct kv_verify_finding *finding);
/* Called at least after every MiB, before every file, ten times a second while it waits, and in the
 * end. */
typedef int kv_verify_progress_fn(void *arg, const struct kv_verify_progress *progress);

struct kv_verify_options {
    uint64_t bytes_per_second;          /* read at most so fast; 0: no limit */
    bool suspects_only;                 /* the files of kv_suspects() alone, all if these are not
                                           known: tables with their rows; the values in a blob, with
                                           the tables that refer to it. Not logs and manifest */
    kv_verify_finding_fn *finding_fn;   /* NULL: none */
    kv_verify_progress_fn *progress_fn; /* NULL: none */
    void *arg;
};

/* Check the store, which must stay open meanwhile; several may run at a time. `options` NULL: all
 * defaults. Each finding is also told and counted as damage is that a read meets (messages,
 * KV_EVENT_DAMAGE_FOUND, kv_stats). A run that goes through and finds nothing ends what was
 * suspected before (kv_suspects()) of a store that may be written to. Returns 0 if all is sound;
 * -KV_EDAMAGED after findings; -ECANCELED a function of the caller's ended it; -ENOSYS the store
 * was opened with `follow`; -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_verify(struct kv_store *store,
                                      const struct kv_verify_options *options);

#endif
