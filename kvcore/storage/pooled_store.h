/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of storage_pooled share: a store in a pool of objects that several machines reach.
 *
 * The root object is the one place that decides: it holds the epoch, the root record and the
 * directory, which names every file there is. Pieces of files are objects of their own.
 *
 * Invariants
 *  1. Every change of the root object has the guard that the epoch is still that of this writer. So
 *     from the moment another one has raised it, this one makes, finishes and removes no file and
 *     swaps no root record.
 *  2. Every write to a piece has the same guard on the piece's own epoch. Who takes over raises
 *     that of each piece of each open file, and reads only then. Nothing is written to a piece
 *     before a guarded change has named it in the directory, after it was made: so what is written
 *     is fenced by everybody who takes over later.
 *  3. The directory names a file before its first piece is made, and forgets it after the last one
 *     is gone; of each file one piece more than it names may exist. So nothing ever has to search
 *     the pool.
 *  4. Names of objects carry the epoch: a writer never meets what an overtaken one left. The first
 *     one is drawn at random: nor what a store left that had the same name and was purged.
 *  5. A change whose outcome is unknown ends the lease: nothing is repeated or built on it.
 *  6. Bytes of write-ahead logs go to the pool in the order they were appended, whichever log they
 *     are of: one write at a time, behind one that failed nothing of what waited then, and none
 *     before all that was appended to blobs before it is there.
 *
 * How each window between two steps is closed: docs/architecture.md, "A store on Ceph RADOS".
 *
 * Concurrency: fields without a note are constant after open. No call to the pool is made under
 * `mu`, the sender's mutex or that of the flights, which are never held together; `reserve_mu`
 * comes before all. */
#ifndef KVCORE_STORAGE_POOLED_STORE_H
#define KVCORE_STORAGE_POOLED_STORE_H

#include <stdatomic.h>

#include <kv/storage.h>

#include "kvcore/storage/pool.h"
#include "kvcore/storage/pooled_entry.h"
#include "kvcore/storage/pooled_flight.h"
#include "kvcore/storage/pooled_lines.h"
#include "kvcore/util/thread.h"

/* Attributes of the root object; pieces have the first one only. */
#define POOLED_EPOCH_ATTR   "epoch"   /* pooled_count */
#define POOLED_TERM_ATTR    "term"    /* pooled_count: the lease ran out and was taken again */
#define POOLED_VERSION_ATTR "version" /* pooled_count: of the root record, 0: none yet */
#define POOLED_LAYOUT_ATTR  "layout"  /* POOLED_LAYOUT */
#define POOLED_HOLDER_ATTR  "holder"  /* pooled_holder; empty after the store was closed */
#define POOLED_LAYOUT       "1"

struct pooled_options {
    bool create;          /* the store may be made here */
    uint64_t lease_ms;    /* how long a lease lasts that nobody renews */
    uint64_t piece_bytes; /* of files that are made */
};

enum {
    POOLED_LEASE_DEFAULT_MS = 20 * 1000,
    POOLED_RENEWALS_PER_LEASE = 5,
};

/* Of every call that needs the lease: it was lost, and this storage is done with the store. The
 * same that a pool says to who was shut out. */
enum { POOLED_EFENCED = ESHUTDOWN };

/* Of the lines of followers: how long each has been the same. */
struct pooled_watch {
    struct pooled_lines lines; /* at the last look */
    uint64_t silent_ns[POOLED_LINES_MAX];
    uint64_t looked_ns;
};

struct pooled_file;

/* The end of a log whose appends are gathered. */
struct pooled_tail {
    struct pooled_file *file;
    uint64_t sent;          /* acknowledged; all fields here: the sender's mutex */
    uint64_t end;           /* appended */
    struct kv_buf gathered; /* the last of that; what is before it and was not sent is on its way */
    int error;              /* what is behind `sent` will never be there */
    bool removed;           /* the file: what finds no room is needed by nobody */
    bool dropped;           /* that will never be there either */
    bool queued;
    struct pooled_tail *next_queued;
    struct pooled_tail *next; /* of all */
};

/* What writes gathered appends to the pool: see pooled_send.c. */
struct pooled_sender {
    struct mutex mu;
    struct condvar work; /* of the thread: there is something, or it is to end */
    struct condvar done; /* of those who wait for room, for what they appended, or for all */
    struct thread thread;
    bool started GUARDED_BY(mu); /* to be joined */
    bool running GUARDED_BY(mu);
    bool ending GUARDED_BY(mu);
    struct pooled_tail *tails GUARDED_BY(mu);
    struct pooled_tail *busy GUARDED_BY(mu);    /* whose group is on its way */
    struct pooled_tail *refused GUARDED_BY(mu); /* whose group found a full pool, and is kept */
    bool try_again GUARDED_BY(mu);              /* that one */
    uint64_t tries GUARDED_BY(mu);              /* groups that were sent or tried */
    struct pooled_tail *first GUARDED_BY(mu);   /* to be sent next */
    struct pooled_tail *last GUARDED_BY(mu);
    size_t limit GUARDED_BY(mu);          /* of bytes that gather */
    size_t gathered GUARDED_BY(mu);       /* bytes, of all tails */
    uint64_t appended GUARDED_BY(mu);     /* bytes that were ever gathered, */
    uint64_t settled GUARDED_BY(mu);      /* and of these sent or given up */
    struct kv_buf sending GUARDED_BY(mu); /* its bytes are the thread's: a group on its way */
    struct kv_buf spare GUARDED_BY(mu);   /* of the group before; empty */
    uint64_t behind; /* the thread's: what of all blobs has to be there before that group goes */
};

struct pooled_storage {
    struct kv_storage base;
    struct pool *pool;
    char *url;
    struct pooled_options options;
    _Atomic int lease;               /* enum kv_lease_mode, 0: none */
    _Atomic bool lost;               /* the lease: for ever */
    _Atomic uint64_t valid_until_ns; /* by the pool's clock: before, nobody else can have it */
    uint64_t epoch;                  /* set before `lease` */
    struct pooled_count epoch_text;
    uint64_t term;        /* the renewer's: tried last */
    bool retaken;         /* the renewer's: the term is still to be begun */
    uint64_t follower_id; /* of a follower's line; set before `lease` */
    struct mutex mu;
    struct condvar wake;          /* of the renewer: renew now, or end */
    struct condvar renewed;       /* of those who wait for that, for the loss, or for `telling` */
    bool renewing GUARDED_BY(mu); /* the renewer runs */
    bool renew_now GUARDED_BY(mu);
    bool ending GUARDED_BY(mu);
    int lost_error GUARDED_BY(mu);            /* why */
    kv_lease_lost_fn *lost_fn GUARDED_BY(mu); /* to be told; or NULL */
    void *lost_arg GUARDED_BY(mu);
    bool telling GUARDED_BY(mu); /* it runs */
    struct pooled_watch watch GUARDED_BY(mu);
    struct pooled_file *files GUARDED_BY(mu); /* those that are open here */
    struct mutex reserve_mu; /* one change of the reserve at a time; held across it */
    uint64_t refused_ns GUARDED_BY(reserve_mu); /* when there was no room for it; 0: there was */
    struct thread renewer;
    struct pooled_sender sender;
    struct pooled_flights flights;
};

static inline struct pooled_storage *pooled_storage(struct kv_storage *storage)
{
    return (struct pooled_storage *)storage;
}

/* On any pool, which belongs to the storage from now on, also on failure. `url` is for messages. */
KV_MUST_CHECK int pooled_storage_open(struct pool *take_pool, const char *url,
                                      const struct pooled_options *options,
                                      struct kv_storage **ret_storage);

/* ---- the lease and its guard (pooled_lease.c) ---- */

/* A change of an object of this store, guarded by the epoch; `change` may have one more guard.
 * Errors: -EROFS no exclusive lease; -POOLED_EFENCED it is lost; -ECANCELED the other guard does
 * not hold; -EEXIST; -ENOENT; -ENOSPC, -EACCES, -EPERM. */
KV_MUST_CHECK int pooled_change(struct pooled_storage *storage, const char *object,
                                const struct pool_change *change);
/* The guarded change is begun, and told as the pool tells it (`begin` of pool.h); `what` has no
 * guard of its own. */
KV_MUST_CHECK int pooled_change_begin(struct pooled_storage *storage, const char *object,
                                      const struct pool_change *what, pool_done_fn *done,
                                      void *arg);
/* The same as pooled_change() without a guard, for what nobody else can have any use of. */
KV_MUST_CHECK int pooled_change_unguarded(struct pooled_storage *storage, const char *object,
                                          const struct pool_change *change);
/* 0 nobody has taken over, or struck this follower out; -POOLED_EFENCED somebody has, or the store
 * is gone; else it cannot be told now. */
KV_MUST_CHECK int pooled_check_epoch(struct pooled_storage *storage);
/* The root object is not there. -ENOENT: nor has this storage a lease on the store; else it loses
 * it, -POOLED_EFENCED. */
KV_MUST_CHECK int pooled_root_missing(struct pooled_storage *storage);
/* A piece that the directory counts is not there. -POOLED_EFENCED: because the store is no more
 * this writer's, which loses it with that; -KV_EDAMAGED it was lost. */
KV_MUST_CHECK int pooled_piece_missing(struct pooled_storage *storage);
/* From now on everything fails; the renewer says so. `error` tells why. Returns -POOLED_EFENCED. */
int pooled_lose(struct pooled_storage *storage, int error);
/* What was read before this call was the newest there was when it was read. Waits for the renewal
 * of a lease whose time is over. Errors: -POOLED_EFENCED. */
KV_MUST_CHECK int pooled_check_lease(struct pooled_storage *storage);
/* Ends the renewal and gives up the lease. */
void pooled_lease_release(struct pooled_storage *storage);

/* ---- followers (pooled_follow.c) ---- */

/* Be registered, with mark 0. Errors: -EBUSY there are as many as there can be. */
KV_MUST_CHECK int pooled_follow_begin(struct pooled_storage *storage);
/* Say that it lives. Errors: -POOLED_EFENCED it was struck out. */
KV_MUST_CHECK int pooled_follow_beat(struct pooled_storage *storage);
/* Whether it is registered. Errors: as above. */
KV_MUST_CHECK int pooled_follow_check(struct pooled_storage *storage);
void pooled_follow_end(struct pooled_storage *storage);
/* Of a store that is being erased: nobody follows it any more. */
KV_MUST_CHECK int pooled_followers_erase(struct pooled_storage *storage);

/* A file as the directory names it. */
struct pooled_dir_item {
    struct kv_file_id id;
    bool damaged; /* nothing more is known of it */
    struct pooled_entry entry;
};

/* ---- taking over (pooled_takeover.c) ---- */

/* What was there before the lock was taken, to be compared with. */
struct pooled_before {
    bool missing;   /* no root object */
    uint64_t epoch; /* of the root object */
    uint64_t term;
};

/* Errors: -ENOENT no store, and under this lease none may be made; -KV_EFORMAT, -KV_EDAMAGED. */
KV_MUST_CHECK int pooled_look_before(struct pooled_storage *storage, enum kv_lease_mode mode,
                                     struct pooled_before *ret_before);
/* Make the store's epoch one more than it was before, or make the store, and own it. Sets `epoch`;
 * the address of the writer before is empty if it had closed the store. Errors: -EBUSY somebody
 * else did so meanwhile, or its writer has taken its lease again. */
KV_MUST_CHECK int pooled_raise_epoch(struct pooled_storage *storage, struct pooled_before before,
                                     const char *holder,
                                     char ret_last_writer[POOLED_ADDRESS_MAX + 1]);
/* Have the cluster refuse whatever that one asks for, if this client may. May take long: a cluster
 * does so through its monitors, and goes on without them otherwise. */
void pooled_shut_out(struct pooled_storage *storage, const char *last_writer);
/* Nobody of an earlier epoch can write to any file from now on; every open one is finished, with
 * the size it has, unless damage hides that. */
KV_MUST_CHECK int pooled_fence_files(struct pooled_storage *storage);
/* Nobody of an earlier epoch can write to this piece. Errors: -ENOENT there is none. */
KV_MUST_CHECK int pooled_fence_piece(struct pooled_storage *storage,
                                     const struct pooled_dir_item *item, uint64_t piece);
/* The same of every piece of a file. */
KV_MUST_CHECK int pooled_fence_file(struct pooled_storage *storage,
                                    const struct pooled_dir_item *item);

/* ---- the directory (pooled_dir.c) ---- */

/* In any state. Errors: -ENOENT no such name. */
KV_MUST_CHECK int pooled_dir_get(struct pooled_storage *storage, struct kv_file_id id,
                                 struct pooled_entry *ret_entry);
/* At most POOLED_DIR_PUT_MAX names, all in one step. */
enum { POOLED_DIR_PUT_MAX = 2 };
KV_MUST_CHECK int pooled_dir_put(struct pooled_storage *storage,
                                 const struct pooled_dir_item *items, size_t count);
KV_MUST_CHECK int pooled_dir_forget(struct pooled_storage *storage, struct kv_file_id id);

/* Every name of a file there is, whatever its state; to be freed. */
KV_MUST_CHECK int pooled_dir_list(struct pooled_storage *storage,
                                  struct pooled_dir_item **ret_items, size_t *ret_count);

/* ---- files (pooled_file.c) ---- */

/* A file that is open here. One for all who have it open. */
struct pooled_file {
    struct pooled_storage *storage;
    struct kv_file_id id;
    /* Epoch and size of a piece never change; the others do in the hands of its one writer. */
    struct pooled_entry entry GUARDED_BY(storage->mu);
    unsigned refs GUARDED_BY(storage->mu);
    bool removed GUARDED_BY(storage->mu); /* its pieces go with the last reference */
    struct pooled_file *next GUARDED_BY(storage->mu);
};

/* A new file: a log, which is there from now on, or one that is being made. `item` says which and
 * what kind and number. If `replaced` is not 0, the file of that number and the same kind, if there
 * is one, is removed in the same step. Errors: -EEXIST. */
KV_MUST_CHECK int pooled_file_create(struct pooled_storage *storage, struct pooled_dir_item item,
                                     uint64_t replaced, struct pooled_file **ret_file);
/* Errors: -ENOENT there is none, or it is not finished. */
KV_MUST_CHECK int pooled_file_open(struct pooled_storage *storage, struct kv_file_id id,
                                   struct pooled_file **ret_file);
/* Of a finished log: it may be written to again. */
KV_MUST_CHECK int pooled_file_resume(struct pooled_file *file);
/* On all replicas when 0 is returned. `offset` is at most the end. */
KV_MUST_CHECK int pooled_file_write(struct pooled_file *file, uint64_t offset,
                                    const struct iovec *parts, int part_count);
/* The piece that the byte at `offset` lies in, at most behind the end, is made if it is missing.
 * Errors: -EFBIG there are too many. */
KV_MUST_CHECK int pooled_file_reach(struct pooled_file *file, uint64_t offset);
/* Within one piece, which is there: begun, and told as the pool tells it. */
KV_MUST_CHECK int pooled_file_begin(struct pooled_file *file, uint64_t offset,
                                    struct kv_slice bytes, pool_done_fn *done, void *arg);
uint64_t pooled_file_piece_bytes(struct pooled_file *file);
/* Of a file that is `end` bytes long. Errors: -KV_EDAMAGED some of that is not there. */
KV_MUST_CHECK int pooled_file_read(struct pooled_file *file, uint64_t end, uint64_t offset,
                                   void *to, size_t size, size_t *ret_size);
/* The range, which lies within the file, then reads as zeros. */
KV_MUST_CHECK int pooled_file_zero(struct pooled_file *file, uint64_t offset, uint64_t size);
/* The size that the directory tells, or of a file that is not finished its pieces. Errors:
 * -KV_EDAMAGED. */
KV_MUST_CHECK int pooled_item_size(struct pooled_storage *storage,
                                   const struct pooled_dir_item *item, uint64_t *ret_size);
/* As long as it is now. */
KV_MUST_CHECK int pooled_file_size(struct pooled_file *file, uint64_t *ret_size);
/* Nothing is appended any more. */
KV_MUST_CHECK int pooled_file_finish(struct pooled_file *file, uint64_t size);
/* As if it had never been. */
void pooled_file_abort(struct pooled_file *take_file);
/* One whose entry is damaged is forgotten; nobody knows what its pieces are called. Errors:
 * -ENOENT.
 */
KV_MUST_CHECK int pooled_file_remove(struct pooled_storage *storage, struct kv_file_id id);
void pooled_file_unref(struct pooled_file *take_file);
/* Remove what is left of a file that was not finished, or was removed. Does nothing to one that is
 * open, finished or gone meanwhile. */
KV_MUST_CHECK int pooled_file_sweep(struct pooled_storage *storage, struct kv_file_id id);

/* ---- appends in groups (pooled_send.c) ---- */

enum {
    POOLED_GATHER_MAX = 2 << 20, /* bytes that gather at most; as many are on their way */
    POOLED_SENDER_LINGER_MS = 500,
    POOLED_SENDER_RETRY_MS = 1000, /* what found no room is tried again */
};

void pooled_sender_init(struct pooled_sender *sender);
/* So much is kept for deletes: what gathers and is on its way takes half of it at most, so that it
 * finds room when the pool is full and that is given back. */
void pooled_sender_fit(struct pooled_sender *sender, uint64_t reserve_bytes);
/* Ends the thread. All tails were finished. */
void pooled_sender_finish(struct pooled_sender *sender);
/* Of a file that is `size` bytes long. Not moved until it is finished. */
void pooled_tail_begin(struct pooled_tail *tail, struct pooled_file *file, uint64_t size);
/* Waits for what was gathered; what finds no room now is dropped. Whether all of it is there. */
bool pooled_tail_finish(struct pooled_tail *tail);
/* The file was removed: what finds no room for it is dropped. */
void pooled_sender_removed(struct pooled_sender *sender, struct kv_file_id id);
/* Waits for room. One thread at a time. 1: it was not gathered, and everything before it, of all
 * tails, is settled: to be written by the caller, who then calls pooled_tail_wrote(). Errors: what
 * an earlier group failed with; -ENOSPC also that one was refused and may be tried again;
 * -POOLED_EFENCED the lease is lost. */
KV_MUST_CHECK int pooled_tail_append(struct pooled_tail *tail, const struct iovec *parts,
                                     int part_count, size_t size);
void pooled_tail_wrote(struct pooled_tail *tail, size_t size);
/* Wait until all that is appended now is acknowledged, or was dropped with the file. Errors: what a
 * group failed with; -ENOSPC there is no room now, and it is tried again. */
KV_MUST_CHECK int pooled_tail_sync(struct pooled_tail *tail);
/* Wait until the first `end` bytes are acknowledged, or cannot be now. Returns how many are. */
uint64_t pooled_tail_await(struct pooled_tail *tail, uint64_t end);
/* Wait until all that was gathered so far, by whomever, is acknowledged, or cannot be now. */
void pooled_sender_await(struct pooled_sender *sender);
/* Of its buffers, and whether there is a thread; for tests. */
size_t pooled_sender_memory(struct pooled_sender *sender, bool *ret_runs);

/* ---- the operations, each described in kv/storage.h ---- */

int pooled_lease_acquire(struct kv_storage *storage, enum kv_lease_mode mode, const char *holder);
int pooled_lease_describe(struct kv_storage *storage, const char *holder);
int pooled_lease_holder(struct kv_storage *storage, struct kv_buf *ret_holder);
void pooled_lease_watch(struct kv_storage *storage, kv_lease_lost_fn *fn, void *arg);
int pooled_follow_move(struct kv_storage *storage, uint64_t mark);
int pooled_followers_oldest(struct kv_storage *storage, uint64_t *ret_mark);
int pooled_root_read(struct kv_storage *storage, struct kv_buf *ret_bytes, uint64_t *ret_version);
int pooled_root_swap(struct kv_storage *storage, uint64_t expected_version, struct kv_slice bytes);

int pooled_log_create(struct kv_storage *storage, struct kv_file_id id, uint64_t recycle,
                      uint64_t preallocate_bytes, struct kv_log **ret_log);
void pooled_log_stand_alone(struct kv_log *log);
int pooled_log_open(struct kv_storage *storage, struct kv_file_id id, struct kv_log **ret_log);
int pooled_log_resume(struct kv_storage *storage, struct kv_file_id id, struct kv_log **ret_log);
int pooled_log_rewrite(struct kv_log *log, uint64_t offset, struct kv_slice bytes);
int pooled_log_append(struct kv_log *log, const struct iovec *parts, int part_count);
int pooled_log_append_through(struct kv_log *log, const struct iovec *parts, int part_count);
void pooled_log_write_out(struct kv_log *log);
int pooled_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_size);
int pooled_log_sync(struct kv_log *log);
uint64_t pooled_log_size(const struct kv_log *log);
void pooled_log_close(struct kv_log *log);

int pooled_object_begin(struct kv_storage *storage, struct kv_file_id id, uint64_t size_hint_bytes,
                        struct kv_object_writer **ret_writer);
int pooled_object_write(struct kv_object_writer *writer, const struct iovec *parts, int part_count);
int pooled_object_finish(struct kv_object_writer *take_writer);
void pooled_object_abort(struct kv_object_writer *take_writer);
int pooled_object_open(struct kv_storage *storage, struct kv_file_id id,
                       struct kv_object **ret_object);
int pooled_object_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                       size_t *ret_size);
uint64_t pooled_object_size(const struct kv_object *object);
void pooled_object_hint(struct kv_object *object, uint64_t offset, uint64_t size,
                        enum kv_hint hint);
int pooled_object_descriptor(struct kv_object *object);
void pooled_object_close(struct kv_object *object);
int pooled_object_discard(struct kv_storage *storage, struct kv_file_id id, uint64_t offset,
                          uint64_t size);
int pooled_object_link(struct kv_storage *storage, struct kv_file_id id, struct kv_storage *to);

int pooled_reserve(struct kv_storage *storage, uint64_t bytes);

#endif
