/* SPDX-License-Identifier: Apache-2.0 */
/* The storage seam: everything the engine asks of the outside world.
 *
 * The engine does not speak paths. It asks for four kinds of thing, so that the same engine runs on
 * a directory, in memory, or on a distributed object store:
 *
 *   log     appended, synced, read back; a write-ahead log segment, the manifest, or a blob
 *   object  written once, visible and durable only after finish, never changed; a sorted table.
 *           A blob is written as a log and read as an object as well, once it exists
 *   root    one small record, read and compare-and-swapped, atomic and durable
 *   lease   the right to write (exclusive) or to read (shared), or notice of who reads (follow)
 *
 * Conventions: 0 or a negative errno; outputs only on success; calls from any thread unless said
 * otherwise, but one log or writer is used by one thread at a time (reads of a log excepted).
 * Implementations never retry a failed write or sync: what a failed sync covered is unknown. (Only
 * a write that is certain to have changed nothing, as a full pool refused it.) Under a shared
 * lease, and as a follower, every call that would change the store returns -EROFS.
 */
#ifndef KV_STORAGE_H
#define KV_STORAGE_H

#include <sys/uio.h>

#include <kv/slice.h>

/* On disk in checksum seeds, never renumber. */
enum kv_file_kind {
    KV_FILE_LOG = 1,      /* write-ahead log segment */
    KV_FILE_MANIFEST = 2, /* log of version edits */
    KV_FILE_TABLE = 3,    /* sorted string table */
    KV_FILE_BLOB = 4,     /* large values */
};

/* A file of the store: numbers are counted per kind and never reused. */
struct kv_file_id {
    enum kv_file_kind kind;
    uint64_t number;
};

enum kv_lease_mode {
    KV_LEASE_EXCLUSIVE = 1, /* one writer */
    KV_LEASE_SHARED,        /* readers; refused beside a writer */
    KV_LEASE_FOLLOW,        /* readers that let writers come, go and write: see follow_move */
};

struct kv_space {
    uint64_t total_bytes;
    uint64_t free_bytes; /* free to an ordinary user */
    uint64_t used_bytes; /* by this store's files */
};

enum kv_hint {
    KV_HINT_WILL_NEED = 1, /* start reading the range */
    KV_HINT_DONT_NEED,     /* drop the range from caches outside the engine */
};

struct kv_storage;
struct kv_log;
struct kv_object;
struct kv_object_writer;

/* Of a storage whose lease ends by itself unless it is renewed. */
struct kv_lease_state {
    uint64_t epoch;       /* a number of the present or last writer, larger than those before it */
    uint64_t duration_ms; /* how long it lasts from each renewal on */
    uint64_t left_ms;     /* of the one held here, 0: none is, or its time is over */
};

/* `error` says why: -ESHUTDOWN somebody else has taken the store over; another one is what the
 * storage was last told. */
typedef void kv_lease_lost_fn(void *arg, int error);
typedef void kv_list_fn(void *arg, struct kv_file_id id, uint64_t size_bytes);

struct kv_storage_ops {
    /* Release the lease and everything else. Open logs and objects must have been closed. */
    void (*close)(struct kv_storage *storage);
    /* A path or URL for messages; lives as long as the storage. */
    const char *(*name)(const struct kv_storage *storage);
    /* At most one lease per kv_storage, kept until close. `holder` is a line that tells others who
     * holds it (process, mount point). Under an exclusive lease the names that are found are
     * durable, whatever an earlier process had no time to sync. Errors: -EBUSY held otherwise;
     * -ENOENT no such store; -ENOLCK a shared lease writes nothing, and the store's lock file is
     * missing; -ENOSYS it has no followers; as a follower -EBUSY there are as many as there can be.
     * An exclusive one of a storage that is not published yet empties it. */
    int (*lease_acquire)(struct kv_storage *storage, enum kv_lease_mode mode, const char *holder);
    /* Replace the holder's line under an exclusive lease (for example once the mount point is
     * known). */
    int (*lease_describe)(struct kv_storage *storage, const char *holder);
    /* The line of the present exclusive holder, also without a lease. -ENOENT: nobody holds one. */
    int (*lease_holder)(struct kv_storage *storage, struct kv_buf *ret_holder);

    /* Have `fn` called once, in a thread that holds no lock, when the lease is lost though nobody
     * has given it up: from then on every call fails, and what was read before may be out of date.
     * At once if it is lost already. `fn` NULL: no more, and when this returns it does not run.
     * This pointer is NULL where leases are not lost. */
    void (*lease_watch)(struct kv_storage *storage, kv_lease_lost_fn *fn, void *arg);

    /* Newest root record. `ret_version` counts swaps, from 1. Errors: -ENOENT never written;
     * -KV_EDAMAGED no valid copy. */
    int (*root_read)(struct kv_storage *storage, struct kv_buf *ret_bytes, uint64_t *ret_version);
    /* Replace the root record if its version is `expected_version` (0: none yet). Durable when 0 is
     * returned; after a failure either record may be the one that lasts, and reading tells which
     * one a later swap has to expect. At most 4000 bytes. Errors: -ESTALE another version; -EINVAL
     * too large; -EIO also: the name of the record could not be made durable, by this or an earlier
     * swap.
     */
    int (*root_swap)(struct kv_storage *storage, uint64_t expected_version, struct kv_slice bytes);

    /* A log open for appending, empty. From the next sync of any log, or finish of an object, on
     * its name lasts, and never without those of write-ahead logs that were created before. If
     * `recycle` is not 0, the log of that number (same kind) ceases to exist and its space is
     * reused: old bytes may show behind what is appended, and after a crash the file may have its
     * former name. `preallocate_bytes` is a hint of the final size. Errors: -EEXIST, -ENOSPC. */
    int (*log_create)(struct kv_storage *storage, struct kv_file_id id, uint64_t recycle,
                      uint64_t preallocate_bytes, struct kv_log **ret_log);
    /* Of a log of kind KV_FILE_BLOB that was just created: nothing points to it before it was
     * synced. So appends to logs of kind KV_FILE_LOG go without what is on its way to it, and are
     * not refused for want of room for that. NULL: they never wait. */
    void (*log_stand_alone)(struct kv_log *log);
    /* An existing log for reading only. Errors: -ENOENT. */
    int (*log_open)(struct kv_storage *storage, struct kv_file_id id, struct kv_log **ret_log);
    /* An existing log that is to be written to again, after a crash: what is stored can be
     * rewritten, and appending goes on behind it. Errors: -ENOENT. */
    int (*log_resume)(struct kv_storage *storage, struct kv_file_id id, struct kv_log **ret_log);
    /* Write over bytes that are stored, which the next sync then covers. (Bytes that a dead process
     * left may be readable although no sync will ever make them durable, because one had failed;
     * writing the same bytes again mends that.) After a failure every later sync returns -EIO. */
    int (*log_rewrite)(struct kv_log *log, uint64_t offset, struct kv_slice bytes);
    /* Append the bytes of `parts`. When 0 is returned the process may die and they stay. After a
     * failure what stands behind the previous end is undefined and the log takes no further append:
     * every later call returns -EIO.
     *
     * Where each write is a long way, appends to logs of kind KV_FILE_LOG may be gathered for a
     * moment, and written in groups while the next ones gather. Then a process that dies takes with
     * it what was not written: always the end of what was appended, in the order of the appends, to
     * whichever of these logs; no log has a later append without the earlier ones. Should a group
     * fail, the log lacks bytes whose appends returned 0: the next append returns the error, or the
     * next sync if that comes first, then every append and every sync -EIO. Logs that were appended
     * to behind them fail alike. Where a group finds no room it is kept: the next append to its
     * log, and appends to others until there is some, return -ENOSPC, and so do syncs.
     *
     * Appends to logs of kind KV_FILE_BLOB may be on their way there for a while, too, several at a
     * time. A process that dies leaves any of them, but of logs of kind KV_FILE_LOG nothing that
     * was appended behind one that is missing, to whichever log (that does not stand alone). What
     * finds no room is kept as above, by a log that is closed only if there is room then: so a log
     * that points to it is closed before. Appends to others, and syncs, are as they say. */
    int (*log_append)(struct kv_log *log, const struct iovec *parts, int part_count);
    /* The same, where it is certain at once whether there is room for it: with 0 it is written, and
     * what was appended before as well. After -ENOSPC a sync covers what was appended before. NULL:
     * so does log_append. */
    int (*log_append_through)(struct kv_log *log, const struct iovec *parts, int part_count);
    /* For streams: begin to hand to the device what was appended, and wait for what is far behind,
     * so that a sync finds little left to do. Any thread, also beside appends and syncs. An error
     * counts as a failed sync: every later append and sync returns -EIO. */
    void (*log_write_out)(struct kv_log *log);
    /* Read up to `size` bytes from `offset`; short only at the end of what is stored. */
    int (*log_read)(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_size);
    /* Make everything stored in the log durable, and before it the names of all logs created so
     * far; also of one opened for reading (what a crash left). May run beside appends, and then
     * covers those that had returned before it was called: what was gathered is written and
     * acknowledged when it returns 0. After a failure every later sync of this log returns -EIO;
     * but where appends gather -ENOSPC says that there is no room for them now, and a later sync
     * may find some. */
    int (*log_sync)(struct kv_log *log);
    bool log_sync_keeps; /* -ENOSPC of it says that all is kept */
    /* Bytes that can be read: appended ones, or for an opened log all that is stored, which may
     * include preallocated or recycled bytes behind the last record. (Reading waits for what was
     * gathered, and ends before it if that failed; what is on its way to a blob is read at once.)
     */
    uint64_t (*log_size)(const struct kv_log *log);
    /* What was gathered is written before, if there is room; whether that failed only a sync tells.
     */
    void (*log_close)(struct kv_log *log);

    /* Start an object. Invisible until finish. `size_hint_bytes` 0: unknown. Errors: -EEXIST. */
    int (*object_begin)(struct kv_storage *storage, struct kv_file_id id, uint64_t size_hint_bytes,
                        struct kv_object_writer **ret_writer);
    int (*object_write)(struct kv_object_writer *writer, const struct iovec *parts, int part_count);
    /* Durable and visible when 0 is returned. Consumes the writer, also on failure (which aborts).
     */
    int (*object_finish)(struct kv_object_writer *take_writer);
    /* Throw away what was written. Accepts NULL. */
    void (*object_abort)(struct kv_object_writer *take_writer);
    /* Also a log of kind KV_FILE_BLOB, with the size it has at that moment. Errors: -ENOENT. */
    int (*object_open)(struct kv_storage *storage, struct kv_file_id id,
                       struct kv_object **ret_object);
    /* Read up to `size` bytes from `offset`; short only at the end. */
    int (*object_read)(struct kv_object *object, uint64_t offset, void *to, size_t size,
                       size_t *ret_size);
    uint64_t (*object_size)(const struct kv_object *object);
    void (*object_hint)(struct kv_object *object, uint64_t offset, uint64_t size,
                        enum kv_hint hint);
    /* Descriptor that serves the object's bytes at the object's offsets, valid until object_close.
     * Errors: -EOPNOTSUPP (the caller then reads). */
    int (*object_descriptor)(struct kv_object *object);
    void (*object_close)(struct kv_object *object);
    /* Give back the space of a range, which then reads as zeros. Refused (-EMLINK) while the object
     * is linked into another store. */
    int (*object_discard)(struct kv_storage *storage, struct kv_file_id id, uint64_t offset,
                          uint64_t size);
    /* Make the finished object appear in `to` under the same id, sharing its bytes; not yet durable
     * there until `to` gets its root. Errors: -EXDEV, -EOPNOTSUPP (the caller then copies). */
    int (*object_link)(struct kv_storage *storage, struct kv_file_id id, struct kv_storage *to);
    /* Of a storage that is not to be seen by its name before it is whole: give it the name, which
     * is durable when 0 is returned, as everything in it has to be before. Any other: does nothing.
     * Errors: -EEXIST the name is taken. After another failure it may have the name. */
    int (*publish)(struct kv_storage *storage);

    /* Remove a log or object. Open ones stay readable until closed. Not durable until some later
     * sync: the caller copes with its return after a crash. Errors: -ENOENT. */
    int (*remove)(struct kv_storage *storage, struct kv_file_id id);
    /* Call `fn` for every log and finished object, in no order. Leftovers of unfinished objects are
     * removed on the way if an exclusive lease is held. */
    int (*list)(struct kv_storage *storage, kv_list_fn *fn, void *arg);
    /* Errors: -EOPNOTSUPP this storage cannot tell. */
    int (*space)(struct kv_storage *storage, struct kv_space *ret_space);
    /* Keep `bytes` of the device from everybody until they are given back by another call (0: give
     * back all), also across openings. Needs the exclusive lease. Errors: -ENOSPC (nothing is kept
     * then). A storage that cannot do this returns 0 and keeps nothing. */
    int (*reserve)(struct kv_storage *storage, uint64_t bytes);
    /* What is known of the lease now, also without one. NULL: there is no more than who holds it.
     * Errors: -ENOENT no such store. */
    int (*lease_state)(struct kv_storage *storage, struct kv_lease_state *ret_state);
    /* Under the exclusive lease: remove the store with all its files; only closing may follow. A
     * crash on the way leaves one that is damaged and can be erased. NULL: its files are removed by
     * their names. */
    int (*erase)(struct kv_storage *storage);
    /* Followers are registered with a mark, a number below 2^63 that means something to the engine:
     * each with 0 from lease_acquire() until it moves, and no more once it is closed or its process
     * is dead. These pointers are NULL where there are none.
     *
     * Of a follower: it is registered with `mark` from now on, and at no moment with none. Errors:
     * -ESTALE what it was registered in is not the store's any more; -ESHUTDOWN the lease was
     * lost: it was taken for dead, and nothing is read any more. */
    int (*follow_move)(struct kv_storage *storage, uint64_t mark);
    /* Of the writer: the smallest mark of all followers, UINT64_MAX: there is none. Whoever is
     * registered before the call counts; whoever is so later reads later. An error: there may be
     * one. */
    int (*followers_oldest)(struct kv_storage *storage, uint64_t *ret_mark);
    /* Of a place for a copy that others fill: as object_link() of `from` into `storage`, which is
     * then not called. NULL: it is. */
    int (*object_take)(struct kv_storage *storage, struct kv_storage *from, struct kv_file_id id);
};

/* An implementation embeds this first. */
struct kv_storage {
    const struct kv_storage_ops *ops;
};

/* A store in the directory `path`, mode 0700. With `create` a missing directory is made (its parent
 * must exist) and an empty one accepted. Reads nothing, takes no lease.
 * Errors: -ENOENT missing; -ENOTDIR; -EACCES; -ENOTEMPTY `create` and it holds something that is
 * not a store's. */
KV_PUBLIC KV_MUST_CHECK int kv_storage_posix_open(const char *path, bool create,
                                                  struct kv_storage **ret_storage);

/* A directory that is to become a store under `path`, on which there is nothing yet, when it is
 * published; until then it is `path`.tmp, which may be there from an attempt that was cut short.
 * Closing it unpublished while its lease is held removes it. Errors: -EEXIST there is something;
 * -ENOENT no parent directory; -EINVAL the path ends in no name; -ENOTEMPTY `path`.tmp holds
 * something that is not a store's. */
KV_PUBLIC KV_MUST_CHECK int kv_storage_posix_begin(const char *path,
                                                   struct kv_storage **ret_storage);

/* How to open a store that users name. What is about a URL says nothing to a directory. */
struct kv_storage_options {
    bool create;        /* as for kv_storage_posix_open() */
    const char *client; /* who asks the cluster; NULL: as CEPH_ARGS says, else "admin" */
    /* Of a URL. 0: half a minute for the first answer of the cluster, and no end from then on. Else
     * what takes longer fails, and a change that did ends the lease. */
    unsigned timeout_s;
};

/* The store of that name: the URL rados://POOL/NAME, or else a directory. `options` NULL: defaults.
 * A URL loads librados, which has threads of its own: a process that is to fork does so before.
 * Reads nothing of the store, takes no lease. Errors: those of kv_storage_posix_open(); of a URL
 * -EINVAL it has a wrong form, or CEPH_ARGS has; -ENOPKG nothing here speaks to Ceph; -EDESTADDRREQ
 * no configuration says where the cluster is, or what proves who asks is missing; -ETIMEDOUT no
 * monitor answers; -EACCES, -EPERM it lets that client not in; -ENXIO it has no such pool; others
 * of librados. */
KV_PUBLIC KV_MUST_CHECK int kv_storage_open(const char *name,
                                            const struct kv_storage_options *options,
                                            struct kv_storage **ret_storage);
/* 1 the name is a URL, 0 it is that of a directory. Errors: -EINVAL it is meant as a URL and has a
 * wrong form. */
KV_PUBLIC KV_MUST_CHECK int kv_storage_is_url(const char *name);

/* A store in memory, empty, for tests. Contents live until kv_storage_mem_destroy(); close() only
 * gives up the lease, so that the same store can be opened again. Syncing always succeeds. */
KV_PUBLIC KV_MUST_CHECK int kv_storage_mem_create(struct kv_storage **ret_storage);
KV_PUBLIC void kv_storage_mem_destroy(struct kv_storage *storage);

#endif
