/* SPDX-License-Identifier: Apache-2.0 */
/* The store: the state that the parts of this folder share, and the rules for touching it.
 *
 *   write     queue of writers, log, memtables   rotate    a new generation takes over
 *   sync      shared flushes of the device       flush     generation -> tables of level 0
 *   view      what readers pin                   compact   tables -> tables a level deeper
 *   snapshot  sequence numbers kept visible      picker    which tables next (no I/O)
 *   read      point lookups                      worker    the threads that run both
 *   db_iter   iterators                          manifest  durable changes of the version
 *   recover   opening                            obsolete  files nobody needs any more
 *   space     a full device                      health    what is wrong, if anything
 *   large     large values on their way in       value     reading large values
 *   reclaim   dead bytes of blobs                checkpoint  a copy in another place
 *   verify    every byte, beside everything
 *   job       what runs, and events              latency   how long operations take
 *   named_snapshot  snapshots that the manifest names
 *   dead_runs  where all keys are deleted      dead_probe  finds that out
 *   warm      reading ahead at opening
 *   suspect   files in which damage was met
 *   followers readers in other processes       follow    being one
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
    L0_COMPACT_FILES = 4,      /* start merging level 0 if it is large beside the base level */
    L0_COMPACT_FILES_MAX = 10, /* or now */
    L0_SLOW_FILES = 16,        /* slow writers down, a little more with each file */
    L0_STOP_FILES = 32,        /* stop them until a merge is done */
    IMMUTABLE_MAX = 16,        /* bound of options.memtables_max */
    WORKER_MAX = 20,
    READER_PLACES = 32, /* a power of two */
};

/* Those who wait for a sync, so that one flush of the device serves them all: see sync.c. */
struct sync_group {
    struct condvar arrived; /* the last of those that were due */
    uint64_t begun;         /* syncs */
    unsigned waiting;       /* for one that has not begun */
    unsigned due;           /* served by the last sync, and not back with new rows yet */
    unsigned misses;        /* so many times in a row they did not come in time */
    unsigned passes;        /* syncs that are not to wait for anybody */
    uint64_t sync_ns;       /* what the last sync took */
};

struct kv_table {
    struct kv_store *store;
    uint32_t id;
    char name[KV_TABLE_NAME_SIZE_MAX + 1];
    struct kv_table_options options;
    bool dropping;         /* no merge of it begins; state mutex */
    _Atomic int gone;      /* not 0: with this every call on it fails, see table_check() */
    struct kv_table *next; /* of the dropped ones; state mutex */
};

/* 0 it can be read; -EIDRM it was dropped; -ESHUTDOWN the lease on the store was lost, so that what
 * stands in memory may be out of date. */
static inline int table_check(const struct kv_table *table)
{
    return atomic_load_explicit(&table->gone, memory_order_relaxed);
}

/* What the manifest remembers of a table that was dropped since the store was opened: its rows in
 * the logs count for nothing. Until the logs are gone its id means nothing else. */
struct dropped_table {
    bool is;
    uint64_t sequence;
};

/* What a reader pins: the memtables and the version of one moment. Immutable; reference-counted. */
struct view {
    _Atomic uint32_t refs;
    uint64_t stamp; /* each view's is larger than that of the one before */
    uint64_t mark;  /* of a follower: the state it shows */
    struct kv_store *store;
    struct view *prev, *next; /* of those that live, ascending by stamp; state mutex */
    struct generation *active;
    struct generation *immutable[IMMUTABLE_MAX]; /* oldest first */
    unsigned immutable_count;
    struct version *version;
};

/* What readers of one thread (or of a few) share, so that threads do not pass cache lines between
 * them: a place for the present view, see view.c, and counters. */
struct reader_place {
    _Atomic(struct view *) view; /* with a reference; or NULL */
    _Atomic uint64_t gets, gets_found, filter_useful, prefix_useful, seeks, writes, deleted_stepped;
};
_Static_assert(sizeof(struct reader_place) == 64, "places are on cache lines of their own");

/* Of a named snapshot; see named_snapshot.h. */
enum named_state {
    NAMED_NOT = 0,   /* it has no name */
    NAMED_MADE,      /* its name is being made durable */
    NAMED_THERE,     /* the manifest names it */
    NAMED_DROPPED,   /* the manifest names it, and is being told otherwise */
    NAMED_FORGOTTEN, /* not any more */
};

struct kv_snapshot {
    struct kv_store *store;
    uint64_t sequence;
    struct view *view;               /* of a follower: what is read at it; else NULL */
    struct kv_snapshot *prev, *next; /* ascending by sequence; state mutex */
    enum named_state named;          /* state mutex */
    char name[KV_SNAPSHOT_NAME_SIZE_MAX + 1];
    uint64_t time_s; /* when it got its name, since 1970 */
};

/* Files that an edit may name or not; see obsolete.h. */
struct doubtful {
    struct file_meta *tables; /* each with a reference; by next_doubtful */
    uint64_t *blobs;          /* numbers */
    size_t blob_count;
};

/* Of a follower; see follow.h. */
struct follow {
    uint64_t mark;           /* of the state that is shown */
    uint64_t registered;     /* at the storage */
    uint64_t root_version;   /* of the root record, and the size of the manifest, */
    uint64_t manifest_bytes; /* that it names, before they were read last */
    uint64_t salt;           /* of the manifest of the state that is shown */
    bool stale;              /* for ever: another history stands in the store's place */
    int error;               /* that the last step ended with, or 0 */
};

/* A file that followers may still read; see followers.h. */
struct kept_file {
    struct kv_file_id id;
    uint64_t gone; /* from this state on */
};

/* One waiting writer; see write.c. */
struct writer;

/* See suspect.h. */
struct suspects {
    struct kv_suspects known;
    uint64_t stamp;         /* one more at each report of damage */
    bool unsaved;           /* the root record does not say all that is known */
    unsigned pause_ms;      /* since the last try to write it failed; 0: none failed */
    uint64_t not_before_ns; /* the next try, monotonic */
};

struct counters {
    _Atomic uint64_t batches, rows_written, bytes_written_user, log_bytes, log_syncs;
    _Atomic uint64_t flushes, flush_bytes, compactions, compaction_read, compaction_written,
        trivial_moves, files_dropped, bytes_dropped;
    _Atomic uint64_t stalls, stall_ns, slowdowns, slowdown_ns;
    _Atomic uint64_t read_errors, write_errors, sync_errors, damage_seen; /* see root.h */
    _Atomic uint64_t warm_files, warm_files_opened, warm_files_read, warm_bytes;
    _Atomic uint64_t blob_relocated, blob_commit_bytes;
    _Atomic uint64_t deleted_passed, deleted_probes;
};

/* A flush or merge that runs; see job.h. */
struct job {
    struct kv_job info; /* kind 0: free. The job's own while it runs, but for readers of the list */
    uint64_t began_ns;
    _Atomic uint64_t rows_all, rows_done;
};

struct kv_store {
    /* Constant after open. */
    struct kv_storage *storage;
    struct kv_options options; /* defaults filled in; text pointers are not kept */
    struct message_sink sink;
    uint64_t seed;
    struct block_cache *cache;
    struct blob_set *blobs;
    struct reclaim *reclaim; /* the pointer is constant */
    uint64_t reserve_bytes;
    bool space_untold; /* the storage cannot tell how much is free */
    bool was_clean;
    uint64_t errors_before[ROOT_COUNTERS]; /* of earlier openings; see root.h */
    uint64_t opened_ns;                    /* monotonic */
    struct latencies *latencies;           /* see latency.h; the pointer is constant */
    struct dead_runs *dead_runs;           /* likewise */
    struct dead_probe *dead_probe;         /* likewise */

    /* Read by anybody, each with its own rule. */
    _Atomic uint64_t
        visible_sequence;        /* newest row readers see; release by the leader of writers */
    _Atomic int read_only_error; /* not 0: every write fails with it until reopened */
    _Atomic bool stopping;
    _Atomic bool warming;        /* see warm.h; release when it ends */
    _Atomic bool flusher_queued; /* the flush thread may stand in the queue of writers */
    _Atomic bool reserved;       /* the reserve is set aside; see space.c */
    _Atomic bool full;           /* the device is: only writes that free space; see space.c */
    _Atomic uint64_t full_ns;    /* when it was found full last, monotonic */
    _Atomic uint64_t rotated_ns; /* when the active generation began, monotonic */
    _Atomic bool idle;           /* nobody has written for a while; see worker.c */
    _Atomic bool deletes_wait;   /* the active generation holds deletes that give back much space */
    _Atomic unsigned l0_files;   /* most tables of level 0 in any keyspace, for slowing down */
    _Atomic uint64_t large_per_row; /* bytes in blobs that a row of a table refers to on average */
    _Atomic uint64_t view_stamp;    /* of the present view; see view.c */
    _Atomic uint64_t mark;          /* of the newest durable state; see followers.h */
    _Atomic bool followers_waited_for;    /* files are, or a pass over blobs is; see followers.h */
    _Atomic uint64_t followers_looked_ns; /* when, monotonic; only without workers */
    struct counters counters;
    struct reader_place readers[READER_PLACES];

    struct mutex suspect_mu;
    struct suspects suspects GUARDED_BY(&suspect_mu);

    struct mutex write_mu; /* queue of writers */
    struct writer *writers_head GUARDED_BY(&write_mu);
    struct writer *writers_tail GUARDED_BY(&write_mu);
    /* The leader's (see write.h), without a lock. */
    uint64_t last_sequence;    /* given out */
    uint64_t next_log;         /* number of the next segment */
    struct generation *active; /* the leader's own reference */
    bool deferred;             /* the active log holds bytes that were not pushed */
    bool rows_lost;            /* by a log: nothing is logged before they are in tables */
    uint64_t dropped_mask;     /* bit id - 1 of tables that are written no more */
    _Atomic bool log_failed;   /* the active log takes no more records; also set by a failed sync */

    struct mutex sync_mu; /* one device flush at a time, shared by those who wait */
    struct condvar sync_done;
    bool sync_running GUARDED_BY(&sync_mu); /* or about to: its thread gathers */
    struct sync_group sync_group GUARDED_BY(&sync_mu);
    int sync_error GUARDED_BY(&sync_mu); /* a log sync failed; mended by a flush */
    uint64_t synced_sequence GUARDED_BY(&sync_mu);

    struct mutex flush_mu; /* one flush at a time, oldest generation first */

    struct mutex manifest_mu; /* one durable change at a time */
    struct log_writer *manifest GUARDED_BY(&manifest_mu);
    uint64_t manifest_edits GUARDED_BY(&manifest_mu);
    uint64_t manifest_salt GUARDED_BY(&manifest_mu);       /* of the one that was read */
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
    struct doubtful doubtful GUARDED_BY(&manifest_mu);
    struct follow follow GUARDED_BY(&manifest_mu);
    struct dropped_table dropped[KV_TABLE_COUNT_MAX] GUARDED_BY(&manifest_mu); /* by id - 1 */

    struct mutex mu; /* the state below */
    struct view *view GUARDED_BY(&mu);
    struct view views GUARDED_BY(&mu); /* list head of all that live, the present one too */
    uint64_t next_stamp GUARDED_BY(&mu);
    struct kv_table *tables[KV_TABLE_COUNT_MAX] GUARDED_BY(&mu); /* by id - 1 */
    struct kv_table *new_table GUARDED_BY(&mu);      /* that the next edit with a table adds */
    struct kv_table *dropped_tables GUARDED_BY(&mu); /* their handles live on */
    struct kv_snapshot snapshots GUARDED_BY(&mu);    /* list head; named ones too */
    uint64_t next_table_number GUARDED_BY(&mu);
    uint64_t next_blob_number GUARDED_BY(&mu);
    struct file_meta **obsolete GUARDED_BY(&mu); /* tables to remove once nobody reads them */
    size_t obsolete_count GUARDED_BY(&mu);
    struct kept_file *kept GUARDED_BY(&mu); /* for followers */
    size_t kept_count GUARDED_BY(&mu);
    uint64_t *left_tables GUARDED_BY(&mu); /* that are no part of the store: removing them failed */
    size_t left_count GUARDED_BY(&mu);
    uint64_t recyclable_log GUARDED_BY(&mu); /* released segment kept for reuse, or 0 */
    bool reclaim_waiting GUARDED_BY(&mu);    /* wake the workers when a view goes */
    unsigned compactions_running GUARDED_BY(&mu);
    struct job jobs[KV_JOBS_MAX] GUARDED_BY(&mu);
    bool manual_compaction GUARDED_BY(&mu); /* automatic ones wait */
    bool rescue_wanted GUARDED_BY(&mu);     /* a sync failed: rotate and flush everything */
    struct kv_health health GUARDED_BY(&mu);
    uint64_t work_count GUARDED_BY(&mu); /* how often workers were woken */
    struct condvar work;                 /* there may be something for a worker */
    struct condvar progress;             /* a flush or compaction ended, or health changed */
    struct thread workers[WORKER_MAX];
    unsigned worker_count;
};

/* ---- making and unmaking (store.c) ---- */

/* An empty store on the same storage, to read its state into, without a lease and threads of its
 * own; `silent`: it says nothing. Errors: -ENOMEM. */
KV_MUST_CHECK int store_create_beside(const struct kv_store *store, bool silent,
                                      struct kv_store **ret_store);
/* Nothing of it may be in use. Leaves the storage alone. */
void store_destroy(struct kv_store *store);

static inline uint64_t visible_sequence(const struct kv_store *store)
{
    return atomic_load_explicit(&store->visible_sequence, memory_order_acquire);
}

/* Tables of level 0 in the keyspace that has most. */
static inline unsigned store_l0_files(const struct kv_store *store)
{
    return atomic_load_explicit(&store->l0_files, memory_order_relaxed);
}

static inline struct reader_place *reader_place(struct kv_store *store)
{
    return &store->readers[hash_u64(thread_token()) % READER_PLACES];
}

static inline void count_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
