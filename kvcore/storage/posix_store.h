/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of storage_posix share: the state of an open store directory, and file operations
 * that are complete (repeated after -EINTR, continued after a short transfer) and safe (relative to
 * the directory, never through a symbolic link, never to anything but a regular file of ours).
 *
 * Invariants
 *  1. A name that a caller was promised (object_finish, the first root) is followed by a sync of
 *     the directory before success is returned. Those of logs are counted (`names_made`), and every
 *     sync of a log first syncs the directory if there are some that no such sync has covered.
 *  2. No sync of a file is ever repeated after it failed: the kernel may have dropped the pages and
 *     would then report success for bytes that are gone. (The directory is synced again when there
 *     are new names in it: a file system with a journal has stopped altogether after such a
 *     failure, and one without writes the changed block anew, with all names in it.)
 *  3. Under a shared lease nothing in the directory is changed.
 *
 * Concurrency: fields without a note are constant after open. */
#ifndef KVCORE_STORAGE_POSIX_STORE_H
#define KVCORE_STORAGE_POSIX_STORE_H

#include <stdatomic.h>

#include "kvcore/storage/posix_calls.h"
#include "kvcore/storage/posix_names.h"
#include "kvcore/util/thread.h"

struct posix_storage {
    struct kv_storage base;
    const struct posix_calls *calls;
    void *calls_arg;
    char *path;
    int dir;
    uid_t owner;              /* of the directory */
    bool create;              /* as opened: the store may be made here */
    char *tmp_name;           /* NULL, or the directory's own name until it is published */
    _Atomic bool unpublished; /* the directory still has that name; see posix_publish.c */
    /* enum kv_lease_mode, 0: none. Written under `mu`, read anywhere. */
    _Atomic int lease;
    /* Names of logs: how many were made, and how many of them the directory was synced after. */
    _Atomic uint64_t names_made;
    _Atomic uint64_t names_durable;
    _Atomic uint64_t last_log_name; /* the count after the newest write-ahead log's */
    /* One change of the lease or of the root at a time. Held across their I/O, which is rare. */
    struct mutex mu;
    bool root_settled GUARDED_BY(mu);    /* the newest root record and its name are durable */
    int lock_fd GUARDED_BY(mu);          /* -1 without a lease */
    uint64_t mark GUARDED_BY(mu);        /* of a follower: where its lock is */
    bool has_range_locks GUARDED_BY(mu); /* the kernel has answered whether somebody has one */
    bool root_broken GUARDED_BY(mu);     /* a sync of the root's name failed */
};

static inline struct posix_storage *posix_storage(struct kv_storage *storage)
{
    return (struct posix_storage *)storage;
}

/* The same if it is one, else NULL. */
struct posix_storage *posix_storage_if(struct kv_storage *storage);

/* Open `name` in the store; `flags` as open(2), O_CLOEXEC and O_NOFOLLOW are added. Returns the
 * descriptor. Errors: -ELOOP a symbolic link; -KV_EDAMAGED not a regular file, or the file of
 * another user than the directory's owner, this process's or root. */
KV_MUST_CHECK int posix_open_file(struct posix_storage *storage, const char *name, int flags);
/* For descriptors whose bytes are synced or not needed. -1 is accepted. */
void posix_close_file(struct posix_storage *storage, int fd);
/* Read up to `size` bytes, short only at the end of the file. */
KV_MUST_CHECK int posix_read(struct posix_storage *storage, int fd, uint64_t offset, void *to,
                             size_t size, size_t *ret_size);
/* Write all bytes of `parts` at `offset`. */
KV_MUST_CHECK int posix_write(struct posix_storage *storage, int fd, const struct iovec *parts,
                              int part_count, uint64_t offset);
KV_MUST_CHECK int posix_fallocate_range(struct posix_storage *storage, int fd, int mode,
                                        uint64_t offset, uint64_t size);
/* All names that were made before the call are durable when 0 is returned. */
KV_MUST_CHECK int posix_sync_dir(struct posix_storage *storage);
/* The same, if the first `count` names of logs are not durable yet. */
KV_MUST_CHECK int posix_settle_names(struct posix_storage *storage, uint64_t count);
/* Rename within `dir`. Errors: -EEXIST `to` is taken. */
KV_MUST_CHECK int posix_rename_new(struct posix_storage *storage, int dir, const char *from,
                                   const char *to);
/* Remove a file that was being made; a failure leaves a leftover, which does no harm. */
void posix_discard_file(struct posix_storage *storage, const char *name);
/* 1 there is such a name, 0 there is none. */
KV_MUST_CHECK int posix_name_exists(struct posix_storage *storage, int dir, const char *name);
/* Of an unpublished directory whose lease is held: remove what an earlier attempt left in it. */
KV_MUST_CHECK int posix_wipe(struct posix_storage *storage);
/* The same, and the directory itself. */
void posix_unmake(struct posix_storage *storage);
/* 0, or -EROFS under a shared lease or as a follower. */
KV_MUST_CHECK int posix_check_writable(const struct posix_storage *storage);

/* The operations, each described in kv/storage.h. */
int posix_lease_acquire(struct kv_storage *storage, enum kv_lease_mode mode, const char *holder);
int posix_lease_describe(struct kv_storage *storage, const char *holder);
int posix_lease_holder(struct kv_storage *storage, struct kv_buf *ret_holder);
int posix_follow_move(struct kv_storage *storage, uint64_t mark);
int posix_followers_oldest(struct kv_storage *storage, uint64_t *ret_mark);

int posix_root_read(struct kv_storage *storage, struct kv_buf *ret_bytes, uint64_t *ret_version);
int posix_root_swap(struct kv_storage *storage, uint64_t expected_version, struct kv_slice bytes);

int posix_log_create(struct kv_storage *storage, struct kv_file_id id, uint64_t recycle,
                     uint64_t preallocate_bytes, struct kv_log **ret_log);
int posix_log_open(struct kv_storage *storage, struct kv_file_id id, struct kv_log **ret_log);
int posix_log_resume(struct kv_storage *storage, struct kv_file_id id, struct kv_log **ret_log);
int posix_log_rewrite(struct kv_log *log, uint64_t offset, struct kv_slice bytes);
int posix_log_append(struct kv_log *log, const struct iovec *parts, int part_count);
void posix_log_write_out(struct kv_log *log);
int posix_log_read(struct kv_log *log, uint64_t offset, void *to, size_t size, size_t *ret_size);
int posix_log_sync(struct kv_log *log);
uint64_t posix_log_size(const struct kv_log *log);
void posix_log_close(struct kv_log *log);

int posix_object_begin(struct kv_storage *storage, struct kv_file_id id, uint64_t size_hint_bytes,
                       struct kv_object_writer **ret_writer);
int posix_object_write(struct kv_object_writer *writer, const struct iovec *parts, int part_count);
int posix_object_finish(struct kv_object_writer *take_writer);
void posix_object_abort(struct kv_object_writer *take_writer);
int posix_object_open(struct kv_storage *storage, struct kv_file_id id,
                      struct kv_object **ret_object);
int posix_object_read(struct kv_object *object, uint64_t offset, void *to, size_t size,
                      size_t *ret_size);
uint64_t posix_object_size(const struct kv_object *object);
void posix_object_hint(struct kv_object *object, uint64_t offset, uint64_t size, enum kv_hint hint);
int posix_object_descriptor(struct kv_object *object);
void posix_object_close(struct kv_object *object);
int posix_object_discard(struct kv_storage *storage, struct kv_file_id id, uint64_t offset,
                         uint64_t size);
int posix_object_link(struct kv_storage *storage, struct kv_file_id id, struct kv_storage *to);
int posix_publish(struct kv_storage *storage);

#endif
