/* SPDX-License-Identifier: Apache-2.0 */
/* The store: the state that the parts of this folder share, and the rules for touching it.
 *
 *   write.c     queue of writers, log, memtables       flush.c    generation -> tables of level 0
 *   sync.c      shared flushes of the device           compact.c  tables -> tables a level deeper
 *   view.c      what readers pin                       picker.c   which tables next (no I/O)
 *   read.c      point lookups                          worker.c   the threads that run both
 *   db_iter.c   iterators                              manifest.c durable changes of the version
 *   recover.c   opening                                obsolete.c files nobody needs any more
 *   space.c     a full device
 *
 * Lock order (util/lock_rank.h): write_mu, sync_mu, manifest_mu, mu. No I/O under mu or write_mu.
 */
#ifndef KVCORE_DB_STORE_H
#define KVCORE_DB_STORE_H

#include <inttypes.h>
#include <stdatomic.h>

#include <kv/kv.h>

#include "kvcore/db/edit.h"
#include "kvcore/db/generation.h"
#include "kvcore/db/root.h"
#include "kvcore/table/block_cache.h"
#include "kvcore/util/checksum.h"
#include "kvcore/util/coding.h"
#include "kvcore/util/message.h"

enum {
    L0_COMPACT_FILES = 4, /* start merging level 0 */
    L0_SLOW_FILES = 16,   /* slow writers down, a little more with each file */
    L0_STOP_FILES = 32,   /* stop them until a merge is done */
    IMMUTABLE_MAX = 16,   /* bound of options.memtables_max */
    WORKER_MAX = 18,
};

struct kv_table {
    struct kv_store *store;
    uint32_t id;
    char name[KV_TABLE_NAME_SIZE_MAX + 1];
    struct kv_table_options options;
};

/* What a reader pins: the memtables and the version of one moment. Immutable; reference-counted. */
struct view {
    _Atomic uint32_t refs;
    struct generation *active;
    struct generation *immutable[IMMUTABLE_MAX]; /* oldest first */
    unsigned immutable_count;
    struct version *version;
};

struct kv_snapshot {
    struct kv_store *store;
    uint64_t sequence;
    struct kv_snapshot *prev, *next; /* ascending by sequence; state mutex */
};

/* One waiting writer; see write.c. */
struct writer;

struct counters {
    _Atomic uint64_t batches, rows_written, bytes_written_user, log_bytes, log_syncs;
    _Atomic uint64_t flushes, flush_bytes, compactions, compaction_read, compaction_written,
        trivial_moves;
    _Atomic uint64_t gets, gets_found, filter_useful;
    _Atomic uint64_t stalls, stall_ns, read_errors, write_errors, damage_seen;
    _Atomic uint64_t resident_bytes;
};

struct kv_store {
    /* Constant after open. */
    struct kv_storage *storage;
    struct kv_options options; /* defaults filled in; text pointers are not kept */
    struct message_sink sink;
    uint64_t seed;
    struct block_cache *cache;
    uint64_t reserve_bytes;
    bool was_clean;

    /* Read by anybody, each with its own rule. */
    _Atomic uint64_t
        visible_sequence;        /* newest row readers see; release by the leader of writers */
    _Atomic int read_only_error; /* not 0: every write fails with it until reopened */
    _Atomic bool stopping;
    _Atomic bool full;           /* the device is: only writes that free space; see space.c */
    _Atomic uint64_t rotated_ns; /* when the active generation began, monotonic */
    _Atomic unsigned l0_files;   /* most tables of level 0 in any keyspace, for slowing down */
    struct counters counters;

    struct mutex write_mu; /* queue of writers */
    struct writer *writers_head GUARDED_BY(&write_mu);
    struct writer *writers_tail GUARDED_BY(&write_mu);
    /* The leader's, that is the writer at the head of the queue, without a lock. */
    uint64_t last_sequence;    /* given out */
    uint64_t next_log;         /* number of the next segment */
    struct generation *active; /* the leader's own reference */
    bool deferred;             /* the active log holds bytes that were not pushed */
    _Atomic bool log_failed;   /* the active log takes no more records; also set by a failed sync */

    struct mutex sync_mu; /* one device flush at a time, shared by those who wait */
    struct condvar sync_done;
    bool sync_running GUARDED_BY(&sync_mu);
    int sync_error GUARDED_BY(&sync_mu); /* a log sync failed; mended by a flush */
    uint64_t synced_sequence GUARDED_BY(&sync_mu);

    struct mutex flush_mu; /* one flush at a time, oldest generation first */

    struct mutex manifest_mu; /* one durable change at a time */
    struct log_writer *manifest GUARDED_BY(&manifest_mu);
    uint64_t manifest_edits GUARDED_BY(&manifest_mu);
    uint64_t manifest_roll_bytes GUARDED_BY(&manifest_mu); /* begin a new one beyond this size */
    uint64_t next_manifest GUARDED_BY(&manifest_mu);       /* numbers are never reused */
    bool manifest_suspect GUARDED_BY(&manifest_mu); /* the root may name another one: roll first */
    struct root root GUARDED_BY(&manifest_mu);
    uint64_t root_version GUARDED_BY(&manifest_mu);
    struct log_end *closed_logs GUARDED_BY(&manifest_mu); /* those the manifest lists */
    size_t closed_log_count GUARDED_BY(&manifest_mu);
    uint64_t first_log GUARDED_BY(&manifest_mu);
    uint64_t released_log GUARDED_BY(&manifest_mu);
    uint64_t flushed_sequence GUARDED_BY(&manifest_mu); /* rows up to here are in tables */

    struct mutex mu; /* the state below */
    struct view *view GUARDED_BY(&mu);
    struct kv_table *tables[KV_TABLE_COUNT_MAX] GUARDED_BY(&mu); /* by id - 1 */
    struct kv_snapshot snapshots GUARDED_BY(&mu);                /* list head */
    uint64_t next_table_number GUARDED_BY(&mu);
    struct file_meta **obsolete GUARDED_BY(&mu); /* tables to remove once nobody reads them */
    size_t obsolete_count GUARDED_BY(&mu);
    uint64_t recyclable_log GUARDED_BY(&mu); /* released segment kept for reuse, or 0 */
    unsigned compactions_running GUARDED_BY(&mu);
    bool manual_compaction GUARDED_BY(&mu); /* automatic ones wait */
    bool rescue_wanted GUARDED_BY(&mu);     /* a sync failed: rotate and flush everything */
    struct kv_health health GUARDED_BY(&mu);
    uint64_t work_count GUARDED_BY(&mu); /* how often workers were woken */
    struct condvar work;                 /* there may be something for a worker */
    struct condvar progress;             /* a flush or compaction ended, or health changed */
    struct thread workers[WORKER_MAX];
    unsigned worker_count;
};

/* ---- view.c: pinning ---- */
/* The present view with a reference. A reader takes the view first and reads visible_sequence
 * after: whatever a compaction dropped from the view is hidden at that sequence number too. */
struct view *view_acquire(struct kv_store *store);
void view_release(struct view *view); /* accepts NULL */
/* Memory for a view, so that view_install() cannot fail; free() it if it is not installed. */
KV_MUST_CHECK int view_prepare(struct view **ret_view);
/* Make the prepared view the store's, with these parts (references are taken). With the state
 * mutex; returns the old view, which the caller releases after giving the mutex up: that may close
 * files. */
KV_MUST_CHECK struct view *
view_install(struct kv_store *store, struct view *take_view, struct generation *active,
             struct generation *const *immutable, unsigned immutable_count, struct version *version)
    REQUIRES(&store->mu);
static inline uint64_t visible_sequence(const struct kv_store *store)
{
    return atomic_load_explicit(&store->visible_sequence, memory_order_acquire);
}
/* The table of a file, opened at first use. Valid as long as a reference on the file. */
KV_MUST_CHECK int file_table(struct kv_store *store, struct file_meta *file,
                             struct table **ret_table);
/* Sequence numbers that compaction must keep apart, ascending; the last is the newest visible one.
 * Free the array. */
KV_MUST_CHECK int snapshot_list(struct kv_store *store, uint64_t **ret_sequences,
                                size_t *ret_count);

/* ---- write.c ---- */
/* Run `fn` while no writer and no rotation is under way. */
KV_MUST_CHECK int write_exclusive(struct kv_store *store, int (*fn)(struct kv_store *, void *),
                                  void *arg);
/* Become the only writer, rotate to a new generation and log unless the active one is empty. Waits
 * for flushes only in extremity. */
KV_MUST_CHECK int write_rotate(struct kv_store *store);
/* Push deferred log bytes to the storage. */
KV_MUST_CHECK int write_push(struct kv_store *store);

/* ---- sync.c ---- */
KV_MUST_CHECK int sync_to(struct kv_store *store, uint64_t sequence);
/* After a failed sync everything was rewritten to tables: rows up to `sequence` are durable. */
void sync_rescued(struct kv_store *store, uint64_t sequence);

/* ---- flush.c ---- */
/* Write the rows of a generation to tables and add them to the edit, which says already how far the
 * logs are superfluous then. */
KV_MUST_CHECK int flush_tables(struct kv_store *store, struct generation *generation,
                               struct edit *edit);
/* Flush the oldest immutable generation. 1 if there was one, 0 if not, or an error. */
KV_MUST_CHECK int flush_one(struct kv_store *store);
/* Rotate, flush all and wait until it is done. */
KV_MUST_CHECK int flush_all(struct kv_store *store);

/* ---- compact.c ---- */
/* Run the most urgent compaction. 1 if there was one, 0 if not, or an error. */
KV_MUST_CHECK int compact_one(struct kv_store *store);
/* Merge everything of one table into its lowest level. */
KV_MUST_CHECK int compact_table(struct kv_store *store, uint32_t table_id);

/* ---- manifest.c ---- */
/* Make `edit` durable, then apply it. After an error it may or may not last: neither what it adds
 * nor what it removes may be deleted before the next opening. Applied means: new version, obsolete
 * files noted. The state mutex is not held. Fields of the store that the edit names (next table
 * number, last sequence) are filled in here. With `flushed` that generation leaves the view in the
 * same step. */
KV_MUST_CHECK int manifest_commit(struct kv_store *store, struct edit *edit,
                                  struct generation *flushed);
/* Begin a new manifest with the whole state and point the root at it. */
KV_MUST_CHECK int manifest_roll(struct kv_store *store) REQUIRES(&store->manifest_mu);
/* Write store->root. */
KV_MUST_CHECK int root_commit(struct kv_store *store) REQUIRES(&store->manifest_mu);

/* ---- recover.c ---- */
/* Take the lease, read or make the root, read the manifest, replay the logs, begin a new log and
 * manifest. Single-threaded. `options` are the caller's, for what is used at creation only. */
KV_MUST_CHECK int recover(struct kv_store *store, const struct kv_options *options);

/* ---- space.c ---- */
/* Shrink memtables and tables so that the store works on the device it lies on, and set the size of
 * the reserve. Called once, when opening. */
void space_fit_options(struct kv_store *store);
/* After opening: set the reserve aside. */
void space_begin(struct kv_store *store);
/* An operation failed with `error`: if that is a full device, give the reserve back to deletes and
 * merges and refuse other writes until there is room again. Returns `error`. */
int space_failed(struct kv_store *store, int error);
/* Look whether there is room again. */
void space_check(struct kv_store *store);

/* ---- obsolete.c ---- */
/* Remove files that nobody needs any more. */
void obsolete_purge(struct kv_store *store);
/* After opening: remove what a crash left behind. */
KV_MUST_CHECK int obsolete_sweep(struct kv_store *store);
/* A log segment below the released mark: keep it for reuse or remove it. */
void obsolete_log(struct kv_store *store, uint64_t number);

/* ---- worker.c ---- */
KV_MUST_CHECK int workers_start(struct kv_store *store);
void workers_stop(struct kv_store *store);
/* Wake the workers. */
void workers_wake(struct kv_store *store);

/* ---- health ---- */
void health_set(struct kv_store *store, enum kv_health_state state, int error, const char *reason);
void health_clear(struct kv_store *store); /* back to ok, unless read-only */

static inline void count_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
