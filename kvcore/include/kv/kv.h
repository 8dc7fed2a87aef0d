/* SPDX-License-Identifier: Apache-2.0 */
/* kvcore: an ordered key-value store on a log-structured merge-tree, with atomic batches over
 * several tables, snapshots and iterators.
 *
 * Conventions of this header
 *  - int functions return 0 or a negative errno (kv/error.h); outputs are named ret_* and are
 * written only on success.
 *  - Pointers are non-NULL unless the comment says otherwise; *_close and *_destroy accept NULL.
 *  - A slice passed in is read only during the call. A slice handed out says how long it lives.
 *  - Any thread may call anything; an iterator, a batch or a pinned value is used by one thread at
 * a time.
 *  - Common errors of everything that reads: -KV_EDAMAGED what was asked for is damaged on disk
 * (where exactly is told to the message function), -EIO, -ENOMEM. Of everything that writes:
 * -ENOSPC (the write did not happen; reads go on; deletes and compaction free space), -EROFS the
 * store is read-only (opened so, or after an error that only reopening can mend), -EIO, -ENOMEM. */
#ifndef KV_KV_H
#define KV_KV_H

#include <kv/event.h>
#include <kv/message.h>
#include <kv/slice.h>
#include <kv/storage.h>

enum {
    KV_KEY_SIZE_MAX = 16 * 1024,
    KV_VALUE_SIZE_MAX = 64 * 1024 * 1024,
    KV_BATCH_SIZE_MAX = 128 * 1024 * 1024, /* encoded rows of one batch */
    KV_TABLE_NAME_SIZE_MAX = 64,
    KV_TABLE_COUNT_MAX = 64,
    KV_TABLE_PREFIX_SIZE_MAX = 256,
    KV_TABLE_FILTER_BITS_MAX = 64,
    KV_TABLE_BLOCK_BYTES_MAX = 1 << 24,
    KV_SNAPSHOT_NAME_SIZE_MAX = 64,
    KV_NAMED_SNAPSHOT_COUNT_MAX = 64,
    KV_LEVEL_COUNT = 7,
};

struct kv_store;
struct kv_table;
struct kv_batch;
struct kv_iter;
struct kv_snapshot;

/* ---- opening ----------------------------------------------------------------------------------
 */

struct kv_options {
    bool create;    /* make the store if it is missing */
    bool read_only; /* shared lease; writes nothing at all; refused beside a writer */
    /* As read_only, but beside a writer, which may come and go: shows what is in its sorted tables,
     * at most some minutes old, and again and again a newer state: see kv_refresh(). */
    bool follow;
    size_t memtable_bytes; /* 0: 64 MiB. Memtables of all tables together before a flush */
    /* 0: 64 MiB. Decompressed blocks, and indexes, filters and range deletes of open tables, which
     * stay in memory. At least an eighth is for blocks: indexes and filters that are larger than
     * the rest exceed it, as cache_excess_bytes of the statistics tells. */
    size_t cache_bytes;
    /* Fill the cache in the background after opening: indexes and filters of all tables, then data,
     * of the tables that were made first and of their newest levels first, until it is full.
     * Evicts nothing. Without no_background only. */
    bool warm;
    unsigned memtables_max;      /* 0: 4. Waiting to be flushed before writers are stopped */
    unsigned compaction_threads; /* 0: 1 */
    uint64_t file_bytes;         /* 0: 32 MiB. Aimed size of one sorted table */
    uint64_t level_base_bytes;   /* 0: 8 memtables. Largest size of the first level below level 0 */
    unsigned sync_interval_ms;   /* 0: never. Logged writes are synced at least this often */
    size_t blob_commit_bytes;    /* 0: 16 KiB. Larger values go to blobs as they are written */
    size_t blob_flush_bytes;     /* 0: 4 KiB. Larger ones when memtables become tables */
    size_t blob_file_bytes;  /* 0: 256 MiB. Aimed size of one blob. These three: SIZE_MAX: never */
    bool no_background;      /* flush and compact only when asked (tests, inspection) */
    bool refuse_unchecked;   /* fail, before anything is written, with -KV_EDAMAGED if a repair left
                                rows out that others may tell of: see kv_admin_rows_checked() */
    const char *holder;      /* who holds the store, for others to read; NULL: "process PID" */
    const char *label;       /* at creation only; NULL: none. At most 63 bytes */
    const uint8_t *store_id; /* at creation only; 16 bytes; NULL: random */
    kv_message_fn *message_fn; /* NULL: silent */
    void *message_arg;
    kv_event_fn *event_fn; /* NULL: none. kv/event.h says what it must not do */
    void *event_arg;
};

/* Open the store in `storage`. On success the store owns the storage; on failure the caller still
 * does. Replays the log; what was written but not synced before a crash is kept as far as it
 * arrived, always a prefix of the writes in their order. Errors: -ENOENT no store there and
 * !create; -EBUSY leased to somebody else; -KV_EFORMAT written by a newer or foreign version;
 * -KV_EDAMAGED needs repair; -ENOSYS nobody can follow a store in this storage. */
KV_PUBLIC KV_MUST_CHECK int kv_open(struct kv_storage *storage, const struct kv_options *options,
                                    struct kv_store **ret_store);
/* Write out, sync, mark as cleanly closed and release everything. Iterators, snapshots and pinned
 * values must be gone. Returns the first error met on the way; the store is gone all the same. */
KV_PUBLIC int kv_close(struct kv_store *store);

/* Of a store opened with `follow`: show the newest state that the writer has in its tables, which
 * the store does by itself once a second, unless it has no background. Each state is a prefix of
 * what was written, and none is shorter than the one before. Gets see the state of their moment, an
 * iterator that of its creation, a snapshot its own; for as long as those are open the writer keeps
 * their files. Through handles of a table that was dropped everything fails with -EIDRM, unless
 * one of the same name, options and id was made since and both were met at once. Named snapshots
 * are not to be had. Of any other store: does nothing. Errors: -ESTALE another store was
 * made there, or an older state put back: then it shows what it showed until it is opened again;
 * -ESHUTDOWN the store was lost, as every call then says (in a pool: nobody heard of this follower
 * for too long); those of reading. */
KV_PUBLIC KV_MUST_CHECK int kv_refresh(struct kv_store *store);

struct kv_identity {
    uint8_t store_id[16];
    uint32_t format_version;
    uint64_t compat, ro_compat, incompat; /* feature bits */
    uint64_t lease_epoch;
    bool was_clean;      /* closed cleanly before this open */
    bool rows_unchecked; /* a repair left rows out, and nobody looked what that means for the others
                            since: see kv_admin_rows_checked() */
    char label[64];
};
KV_PUBLIC void kv_identify(const struct kv_store *store, struct kv_identity *ret_identity);

/* ---- tables -----------------------------------------------------------------------------------
 */

struct kv_table_options {
    unsigned prefix_size; /* 0: none. Filters answer for this many leading bytes of a key too */
    unsigned filter_bits_per_key; /* 0: 10 */
    size_t block_bytes;           /* 0: 8 KiB, before compression */
    bool no_compression;
};

/* The named table, made if missing (then durable before the call returns). `options` NULL:
 * defaults; they matter at creation only. The handle lives as long as the store. Errors: -EINVAL
 * name empty or too long, or an option beyond its limit; -ENOSPC also: too many tables, where those
 * count that were dropped since the store was opened; -ENOENT none of that name in a store opened
 * read-only. */
KV_PUBLIC KV_MUST_CHECK int kv_table_open(struct kv_store *store, const char *name,
                                          const struct kv_table_options *options,
                                          struct kv_table **ret_table);

/* Drop the named table with all it holds, durable when 0 is returned; so is then all that was
 * written before the call, to whichever table. Its space is given back as soon as no iterator or
 * pinned value needs it. A table of the same name made later is another, and empty. Through handles
 * of the dropped one everything fails with -EIDRM, kv_write() of a batch with rows for it, too;
 * iterators go on, and snapshots do not keep it. After an error of writing the table cannot be used
 * either, and it depends on what arrived on the device whether it is there when the store is opened
 * again; dropping it may be tried again. Errors: -ENOENT no such table; those of kv_sync(). */
KV_PUBLIC KV_MUST_CHECK int kv_table_drop(struct kv_store *store, const char *name);

/* One table of the list; both live during the call only. What is not 0 ends the list. */
typedef int kv_table_list_fn(void *arg, const char *name, const struct kv_table_options *options);
/* Call `fn` for every table there was at one moment, without order. Returns what `fn` did last, or
 * -ENOMEM. `fn` may make and drop tables. */
KV_PUBLIC KV_MUST_CHECK int kv_table_list(struct kv_store *store, kv_table_list_fn *fn, void *arg);

/* ---- writing ----------------------------------------------------------------------------------
 */

enum kv_durability {
    KV_DURABLE_WRITE = 0, /* handed to the operating system: survives the process; in a pool of
                             objects on its way there, or next in turn. Default */
    KV_DURABLE_NONE,      /* may still be in the process's memory */
    KV_DURABLE_SYNC,      /* survives power loss; concurrent ones share a flush of the device */
};

/* Rows that become visible together or not at all, in one sequence of numbers. */
KV_PUBLIC KV_MUST_CHECK int kv_batch_create(struct kv_batch **ret_batch);
KV_PUBLIC void kv_batch_destroy(struct kv_batch *batch);
KV_PUBLIC void kv_batch_clear(struct kv_batch *batch);
/* The batch frees space in the end (it removes more than it adds): when the device is full it may
 * use what is kept in reserve for that. Until kv_batch_clear(). */
KV_PUBLIC void kv_batch_use_reserve(struct kv_batch *batch);
KV_PUBLIC bool kv_batch_is_empty(const struct kv_batch *batch);
/* Copies key and value. A later row of a batch wins over an earlier one with the same key.
 * Errors: -EINVAL key empty or too large; -E2BIG value or batch too large; -ENOMEM. The batch is
 * unchanged then. */
KV_PUBLIC KV_MUST_CHECK int kv_batch_put(struct kv_batch *batch, struct kv_table *table,
                                         struct kv_slice key, struct kv_slice value);
KV_PUBLIC KV_MUST_CHECK int kv_batch_delete(struct kv_batch *batch, struct kv_table *table,
                                            struct kv_slice key);
/* The row stands for a value that was lost: reading it fails with -KV_EDAMAGED until the key is
 * written or deleted. Errors: as kv_batch_put(). */
KV_PUBLIC KV_MUST_CHECK int kv_batch_put_lost(struct kv_batch *batch, struct kv_table *table,
                                              struct kv_slice key);
/* Puts the bytes [skip, skip + size) of the value that `from` stands on under `key`. Of a large
 * value the stored bytes are shared, not copied, and nothing is read; the batch then keeps a state
 * of the store alive until it is cleared. Errors: as kv_batch_put(); -EINVAL also: the value has no
 * such bytes, or `from` belongs to another store; what kv_iter_value() fails with. */
KV_PUBLIC KV_MUST_CHECK int kv_batch_put_part(struct kv_batch *batch, struct kv_table *table,
                                              struct kv_slice key, struct kv_iter *from,
                                              size_t skip, size_t size);
/* Delete every key in [from, to) that is there when the batch is applied, its earlier rows
 * included; later rows of the batch stay. Costs about as much as one row, however many keys go, now
 * and for readers. For a few keys that are known, deleting each is cheaper. Errors: -EINVAL
 * besides: the range is empty. */
KV_PUBLIC KV_MUST_CHECK int kv_batch_delete_range(struct kv_batch *batch, struct kv_table *table,
                                                  struct kv_slice from, struct kv_slice to);
/* Apply the batch, which stays as it is and may be used again after kv_batch_clear(). Returns when
 * the rows are visible to everybody and as durable as asked. An empty batch with KV_DURABLE_SYNC is
 * kv_sync(). Errors: -ESTALE a part's bytes were given back since its iterator saw them, because
 * nothing refers to them any more: read again; -EIDRM a table of the batch was dropped. */
KV_PUBLIC KV_MUST_CHECK int kv_write(struct kv_store *store, struct kv_batch *batch,
                                     enum kv_durability durability);
KV_PUBLIC KV_MUST_CHECK int kv_put(struct kv_table *table, struct kv_slice key,
                                   struct kv_slice value, enum kv_durability durability);
KV_PUBLIC KV_MUST_CHECK int kv_delete(struct kv_table *table, struct kv_slice key,
                                      enum kv_durability durability);
/* kv_batch_delete_range() in a batch of its own. */
KV_PUBLIC KV_MUST_CHECK int kv_delete_range(struct kv_table *table, struct kv_slice from,
                                            struct kv_slice to, enum kv_durability durability);
/* Everything written before the call survives power loss when it returns 0. Errors: -EIO it may
 * not, whatever the storage said, also once the store can only be read. */
KV_PUBLIC KV_MUST_CHECK int kv_sync(struct kv_store *store);

/* ---- reading ----------------------------------------------------------------------------------
 */

/* A value in the engine's memory. Valid until kv_pinned_release(), which accepts an all-zero one.
 * Keep it briefly: it holds a block of the cache or a memtable. */
struct kv_pinned {
    struct kv_slice value;
    void *pin;
    void (*unpin)(void *pin);
};

/* The value of `key` as of `snapshot` (NULL: now). Errors: -ENOENT no such key (its only meaning
 * here). */
KV_PUBLIC KV_MUST_CHECK int kv_get(struct kv_table *table, const struct kv_snapshot *snapshot,
                                   struct kv_slice key, struct kv_pinned *ret_value);
KV_PUBLIC void kv_pinned_release(struct kv_pinned *value);
/* 0 if there is such a key, -ENOENT if not. Its value is not read: a large one may be damaged. */
KV_PUBLIC KV_MUST_CHECK int kv_exists(struct kv_table *table, const struct kv_snapshot *snapshot,
                                      struct kv_slice key);
/* As kv_get(), replacing the contents of `value` by a copy. */
KV_PUBLIC KV_MUST_CHECK int kv_get_copy(struct kv_table *table, const struct kv_snapshot *snapshot,
                                        struct kv_slice key, struct kv_buf *value);

struct kv_get_result {
    int error;              /* of this key: 0, or what kv_get() would return */
    struct kv_pinned value; /* to be released; all-zero where there is an error */
};

/* kv_get() of `count` keys, in any order, all at one state of the store; faster than one by one.
 * `ret_results` has as many places. Errors: -EIDRM; what goes wrong with one key stands in its
 * place, and the others are read all the same. */
KV_PUBLIC KV_MUST_CHECK int kv_multi_get(struct kv_table *table, const struct kv_snapshot *snapshot,
                                         const struct kv_slice *keys, size_t count,
                                         struct kv_get_result *ret_results);

/* The state after all writes that returned before. Costs nothing to take; holding it keeps old
 * versions of rows from being dropped. */
KV_PUBLIC KV_MUST_CHECK int kv_snapshot_create(struct kv_store *store,
                                               struct kv_snapshot **ret_snapshot);
KV_PUBLIC void kv_snapshot_release(struct kv_snapshot *snapshot); /* accepts NULL */
KV_PUBLIC uint64_t kv_snapshot_sequence(const struct kv_snapshot *snapshot);

/* Snapshots that the store itself keeps, by name: they last until they are dropped, also when the
 * store is closed, or the power lost. Each holds old versions of rows and the room they take. A
 * copy (kv_checkpoint) has those that were there when it was begun. A table that is dropped is
 * gone from all of them; one that was made after a snapshot is empty in it. */

/* Keep the state after all writes that returned before, as `name`: any bytes but NUL. When 0 is
 * returned the name is durable, and so is all that was written before the call. After an error of
 * writing it is not there, but may be when the store is opened again; making it may be tried again.
 * Errors: -EINVAL name empty or too long; -EEXIST there is one of that name; -EMLINK there are
 * KV_NAMED_SNAPSHOT_COUNT_MAX; those of kv_sync(). */
KV_PUBLIC KV_MUST_CHECK int kv_named_snapshot_create(struct kv_store *store, const char *name);
/* Forget it, durable when 0 is returned. What was opened of it before goes on. After an error of
 * writing it is still there, but perhaps not when the store is opened again; dropping it may be
 * tried again. Space comes back as tables are merged. Errors: -ENOENT none of that name. */
KV_PUBLIC KV_MUST_CHECK int kv_named_snapshot_drop(struct kv_store *store, const char *name);
/* Open it for reading, also in a store opened read-only: a snapshot like others, to be released
 * before the store is closed. Errors: -ENOENT none of that name; -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_named_snapshot_open(struct kv_store *store, const char *name,
                                                   struct kv_snapshot **ret_snapshot);

struct kv_named_snapshot {
    const char *name;
    uint64_t sequence; /* of the newest row it sees */
    uint64_t time_s;   /* when it was made, seconds since 1970 */
};
/* One of the list; lives during the call only. What is not 0 ends the list. */
typedef int kv_named_snapshot_list_fn(void *arg, const struct kv_named_snapshot *snapshot);
/* Call `fn` for all there were at one moment, in the order they were made. Returns what `fn` did
 * last, or -ENOMEM. `fn` may make and drop some. */
KV_PUBLIC KV_MUST_CHECK int kv_named_snapshot_list(struct kv_store *store,
                                                   kv_named_snapshot_list_fn *fn, void *arg);

struct kv_iter_options {
    const struct kv_snapshot *snapshot; /* NULL: the state at creation. Must outlive the iterator */
    /* Bounds must outlive the iterator. Where all keys between them begin with the same bytes, as
     * many as the table's prefix_size, tables whose filters know no such key are not read. */
    struct kv_slice lower; /* inclusive; empty: none */
    struct kv_slice upper; /* exclusive; empty: none */
    bool keep_cache;       /* blocks read are not kept in the cache (long scans) */
};

/* Rows in ascending byte order of their keys, at one state of the store. Not positioned at first.
 * An iterator holds memory and files: close it soon. */
KV_PUBLIC KV_MUST_CHECK int kv_iter_create(struct kv_table *table,
                                           const struct kv_iter_options *options,
                                           struct kv_iter **ret_iter);
KV_PUBLIC void kv_iter_destroy(struct kv_iter *iter);
/* Positioning. After each, kv_iter_valid() tells whether there is a row; if not, kv_iter_error()
 * tells the end (0) from a failure. A failed iterator may be positioned anew. */
KV_PUBLIC void kv_iter_seek(struct kv_iter *iter, struct kv_slice key); /* first key >= `key` */
KV_PUBLIC void kv_iter_seek_for_prev(struct kv_iter *iter, struct kv_slice key); /* last key <= */
KV_PUBLIC void kv_iter_seek_first(struct kv_iter *iter);
KV_PUBLIC void kv_iter_seek_last(struct kv_iter *iter);
KV_PUBLIC void kv_iter_next(struct kv_iter *iter); /* requires a row */
KV_PUBLIC void kv_iter_prev(struct kv_iter *iter); /* requires a row */
KV_PUBLIC bool kv_iter_valid(const struct kv_iter *iter);
KV_PUBLIC int kv_iter_error(const struct kv_iter *iter);
/* Valid until the iterator moves or goes. */
KV_PUBLIC struct kv_slice kv_iter_key(const struct kv_iter *iter);
/* Large values are read and checked at the first call, the iterator stays where it is whatever
 * comes of it. So a scan may step over a row whose value is damaged. The value is valid until the
 * iterator moves or goes. */
KV_PUBLIC KV_MUST_CHECK int kv_iter_value(struct kv_iter *iter, struct kv_slice *ret_value);
/* Its size, without reading it; 0 where it was lost. */
KV_PUBLIC size_t kv_iter_value_size(const struct kv_iter *iter);
/* The row is known to be lost: it stands for a value that kv_iter_value() cannot give. Reads and
 * reports nothing; a value that is damaged on disk and was not read yet is not known to be. */
KV_PUBLIC bool kv_iter_is_lost(const struct kv_iter *iter);

/* Parts of several values, read together: neighbours on the device by one call. Used by one thread
 * at a time. */
struct kv_gather;
KV_PUBLIC KV_MUST_CHECK int kv_gather_create(struct kv_store *store, struct kv_gather **ret_gather);
KV_PUBLIC void kv_gather_destroy(struct kv_gather *gather);
/* Forget what was added and let go of what is held for it; memory is kept for the next time. */
KV_PUBLIC void kv_gather_clear(struct kv_gather *gather);
/* Ask for the bytes [skip, skip + size) of the value `from` stands on; kv_gather_run() writes them
 * to `to`, which must live until then. `from` may move on or go after the call. Errors: -EINVAL the
 * value has no such bytes; what kv_iter_value() fails with; -ENOMEM. */
KV_PUBLIC KV_MUST_CHECK int kv_gather_add(struct kv_gather *gather, struct kv_iter *from,
                                          size_t skip, size_t size, void *to);
/* Read everything that was added and forget it. When it fails, what stands at the places added
 * since the last run is undefined. */
KV_PUBLIC KV_MUST_CHECK int kv_gather_run(struct kv_gather *gather);

/* ---- upkeep -----------------------------------------------------------------------------------
 */

/* Write all memtables to sorted tables and wait. */
KV_PUBLIC KV_MUST_CHECK int kv_flush(struct kv_store *store);
/* Flush, merge every table into its lowest level, give back what then is garbage, and wait. What a
 * snapshot, an iterator or a merge beside it still reads is given back once that has ended. */
KV_PUBLIC KV_MUST_CHECK int kv_compact(struct kv_store *store);
/* The same for the keys of one table from `from` (empty: the first) up to `to` (empty: the last);
 * at least what lies between them is merged. Errors: -EIDRM the table was dropped. */
KV_PUBLIC KV_MUST_CHECK int kv_compact_range(struct kv_table *table, struct kv_slice from,
                                             struct kv_slice to);
/* Copy the store into `to`, which is empty and stays the caller's to close: storage of the same
 * kind on the same file system, such as kv_storage_posix_begin() gives. The copy holds every write
 * that returned before the call, of those that run beside it a prefix, and neither it nor the store
 * ever changes the other. It shares the bytes of tables and large values with the store, so it
 * takes time and space only for what was in memory; what both hold takes no room of its own until
 * one of them no longer needs it, and nothing is given back inside a blob as long as both hold it.
 * When 0 is returned the copy is durable and may be opened once `to` is closed; it has a store id
 * of its own, and is closed cleanly. After an error `to` is of no further use. Errors: those of
 * kv_flush(), -EROFS also of a store opened read-only; -EXDEV another file system or kind of
 * storage; -EOPNOTSUPP it cannot share files; -EBUSY somebody else makes a copy there; -EEXIST
 * there is something in `to`, or it was made under its name meanwhile. */
KV_PUBLIC KV_MUST_CHECK int kv_checkpoint(struct kv_store *store, struct kv_storage *to);
/* The same into any empty storage, by copying bytes: it takes as much time and room as the store
 * has bytes, and shares nothing with it. What is given back inside blobs takes room in the copy.
 * `fn`, which may be NULL, is told how far it is, and ends it with what is not 0. After an error
 * `to` is empty again where it can do that (kv_storage_ops::erase). Errors: those of
 * kv_checkpoint() that are not about sharing; -KV_EDAMAGED a file cannot be read; -ECANCELED by
 * `fn`. */
typedef int kv_copy_progress_fn(void *arg, uint64_t bytes, uint64_t bytes_all);
KV_PUBLIC KV_MUST_CHECK int kv_copy(struct kv_store *store, struct kv_storage *to,
                                    kv_copy_progress_fn *fn, void *arg);
/* The storage below, for what only it can tell. It lives as long as the store. */
KV_PUBLIC struct kv_storage *kv_storage_of(struct kv_store *store);
/* Tell others who holds the store: a line such as "process 812, mounted on /mnt/a". */
KV_PUBLIC KV_MUST_CHECK int kv_describe_holder(struct kv_store *store, const char *holder);
/* Free and used space of the store's device. */
KV_PUBLIC KV_MUST_CHECK int kv_space(struct kv_store *store, struct kv_space *ret_space);

/* Files in which damage was met, by whoever read them, at this opening or an earlier one, and that
 * no check has found sound since: see kv_verify(). Remembered in the store; files that are gone by
 * now may be among them. */
enum { KV_SUSPECTS_MAX = 16 };
struct kv_suspects {
    bool check_needed; /* there are any */
    unsigned count;    /* 0, although there are some: it is not known which, or they are too many */
    struct kv_file_id files[KV_SUSPECTS_MAX]; /* tables and blobs */
};
KV_PUBLIC void kv_suspects(struct kv_store *store, struct kv_suspects *ret_suspects);

struct kv_level_stats {
    uint64_t files, bytes, rows, tombstones, range_deletes;
};

enum kv_job_kind { KV_JOB_FLUSH = 1, KV_JOB_MERGE };
enum { KV_JOBS_MAX = 20 };

/* A flush or merge that is running. */
struct kv_job {
    enum kv_job_kind kind;
    int level_from, level_to; /* -1: memtables */
    uint64_t files, bytes;    /* what it reads; of memtables the bytes in memory */
    uint64_t bytes_done;      /* of these, as far as the share of the rows tells */
    uint64_t running_ns;
};

/* Since opening, unless said otherwise. */
struct kv_stats {
    uint64_t open_ns;        /* so long the store is open */
    uint64_t sequence;       /* of the newest visible row */
    uint64_t memtable_bytes; /* active and waiting */
    uint64_t memtables_waiting;
    uint64_t cache_bytes, cache_hits, cache_misses; /* data blocks */
    uint64_t resident_bytes; /* of open tables: indexes, filters, and range deletes and the like */
    uint64_t index_bytes, filter_bytes; /* parts of these */
    uint64_t cache_budget_bytes;        /* the option cache_bytes: for data blocks and residents */
    uint64_t cache_excess_bytes;        /* of both over the budget */
    uint64_t warm_running;              /* 1 while the option warm is at work */
    uint64_t warm_files;                /* sorted tables it found at opening; of these, */
    uint64_t warm_files_opened, warm_files_read; /* index and filter, or all blocks, are there */
    uint64_t warm_bytes;                         /* of blocks it brought into the cache */
    uint64_t batches, rows_written, bytes_written_user;
    uint64_t log_bytes, log_syncs;
    uint64_t flushes, flush_bytes;
    uint64_t compactions, compaction_bytes_read, compaction_bytes_written, trivial_moves;
    uint64_t files_dropped, bytes_dropped; /* covered by range deletes: gone without being read */
    uint64_t gets, gets_found, filter_useful; /* table probes the filter saved */
    uint64_t seeks;                           /* of iterators */
    uint64_t prefix_useful;    /* tables that iterators passed over, as their prefix filters said */
    uint64_t deleted_stepped;  /* deleted keys that iterators, when closed, had stepped over */
    uint64_t deleted_passed;   /* runs of deleted keys that iterators passed at once, */
    uint64_t deleted_probes;   /* and walks to find such runs */
    uint64_t writes;           /* calls that wrote, by the threads that called */
    uint64_t writers_waiting;  /* now, the one at work included */
    uint64_t stalls, stall_ns; /* writers stopped, for so long altogether */
    uint64_t slowdowns, slowdown_ns; /* writers held up a little before they would be stopped */
    uint64_t merges_running, merges_pending; /* now; pending: levels over their aim, also those
                                                that are being merged */
    /* Damage: found in stored bytes by whoever read them. The other two do not count it. */
    uint64_t read_errors, write_errors, damage_seen;
    uint64_t check_needed;         /* 1 if files are suspected, see kv_suspects() */
    uint64_t snapshots;            /* that are open, named ones as often as they are opened */
    uint64_t named_snapshots;      /* that the store keeps */
    uint64_t blobs, blob_bytes;    /* files of large values, and what they take on the device */
    uint64_t blob_live_bytes;      /* that rows refer to; those in memory are left out */
    uint64_t blob_garbage_bytes;   /* that no row of a table refers to: given back in time */
    uint64_t blob_punched_bytes;   /* given back inside blobs that go on */
    uint64_t blob_relocated_bytes; /* live bytes copied to get rid of garbage beside them */
    uint64_t blob_commit_bytes;    /* of large values, written as they came */
    struct kv_level_stats levels[KV_LEVEL_COUNT]; /* all tables together */
    unsigned job_count;
    struct kv_job jobs[KV_JOBS_MAX];
};
KV_PUBLIC void kv_stats(struct kv_store *store, struct kv_stats *ret_stats);
/* Bytes written to the device for one byte that users wrote, since opening: log, large values,
 * flushes and merges. 0 if nothing was written. */
KV_PUBLIC double kv_stats_write_amplification(const struct kv_stats *stats);

enum kv_latency {
    KV_LATENCY_GET,   /* one in 64 is measured */
    KV_LATENCY_SEEK,  /* of iterators; one in 32 */
    KV_LATENCY_WRITE, /* one in 32; waiting and syncing included, and what a thread writes for
                         others that came meanwhile */
    KV_LATENCY_SYNC,  /* flushes of the device for the log, which several writers may share */
    KV_LATENCY_FLUSH, /* of memtables to tables */
    KV_LATENCY_MERGE,
    KV_LATENCY_COUNT,
};
/* Of what was measured. A percentile is at most 1/32 too high. */
struct kv_latency_stats {
    uint64_t count, sum_ns, max_ns;
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns;
};
KV_PUBLIC void kv_latencies(struct kv_store *store,
                            struct kv_latency_stats ret_stats[KV_LATENCY_COUNT]);

enum kv_health_state {
    KV_HEALTH_OK = 1,
    KV_HEALTH_DEGRADED,  /* works, but background work or syncing fails; retried */
    KV_HEALTH_READ_ONLY, /* no more writes until reopened; nor reads (-ESHUTDOWN), if the store's
                            lease was lost */
};
struct kv_health {
    enum kv_health_state state;
    int error;        /* negative errno behind it, 0 if ok */
    char reason[128]; /* one line, empty if ok */
};
KV_PUBLIC void kv_health(struct kv_store *store, struct kv_health *ret_health);

#endif
