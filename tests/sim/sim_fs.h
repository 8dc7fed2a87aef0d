/* SPDX-License-Identifier: Apache-2.0 */
/* A file system in memory that forgets at a crash what was not synced, as a real one may, and fails
 * the n-th call. It stands in for the system calls of storage_posix (kvcore/storage/posix_calls.h).
 *
 * The fault model
 *  - A file has durable bytes and a list of changes that no fsync or fdatasync of it has covered.
 *    A directory has durable names and a list of changed names that no fsync of the directory has
 *    covered: that of the store, that of a copy of it, and the one in which these two are. Syncing
 * a file says nothing about its name, and the other way round.
 *  - Power loss keeps, drops or tears each unsynced change by itself. Writes tear at sectors of 512
 *    bytes, any subset of which may be there, also with the file's size grown and zeros in it. A
 *    rename happens as a whole or not at all.
 *  - After a sync of a file that failed its bytes can be read on, and the next sync succeeds, but
 *    they never become durable (as on Linux).
 *  - Death of the process alone changes nothing; what was unsynced stays so.
 *
 * The store on it may have threads: its calls are made one at a time. The functions below take no
 * lock. They are for a time when no other thread makes calls, or for a watcher during a call. */
#ifndef TESTS_SIM_SIM_FS_H
#define TESTS_SIM_SIM_FS_H

#include "kvcore/storage/posix_calls.h"

struct sim_fs;

/* The entries of struct posix_calls; making a file is told from opening one. */
enum sim_call {
    SIM_OPEN = 0,
    SIM_CREATE,
    SIM_CLOSE,
    SIM_MKDIR,
    SIM_FCHMOD,
    SIM_PREAD,
    SIM_PWRITEV,
    SIM_FDATASYNC,
    SIM_FSYNC,
    SIM_FALLOCATE,
    SIM_SYNC_RANGE,
    SIM_FADVISE,
    SIM_RENAME,
    SIM_LINK,
    SIM_UNLINK,
    SIM_FSTAT,
    SIM_LSTAT,
    SIM_FSTATVFS,
    SIM_FLOCK,
    SIM_LIST,
    SIM_CALL_COUNT,
};

/* What a call was about, by the name that it or its descriptor was opened with. */
enum sim_kind {
    SIM_DIR = 0,
    SIM_PARENT,
    SIM_LOCK,
    SIM_ROOT,
    SIM_ROOT_TMP,
    SIM_LOG,
    SIM_MANIFEST,
    SIM_TABLE,
    SIM_TABLE_TMP,
    SIM_RESERVE,
    SIM_BLOB,
    SIM_OTHER,
    SIM_KIND_COUNT,
};

struct sim_event {
    uint64_t number; /* of the call, from 1 */
    enum sim_call call;
    enum sim_kind kind;
    bool changes; /* it changes what is stored, or what of it is durable */
    int error;    /* told of a fault only: what the call ends with, 0 if it was cut short */
};

/* Called during each call: a change is noted, but a sync has not happened yet. */
typedef void sim_watch_fn(void *arg, struct sim_fs *sim, const struct sim_event *event);

enum sim_failure {
    SIM_FAIL_EIO = 1,
    SIM_FAIL_ENOSPC,
    SIM_FAIL_SHORT,        /* a write stores the first half of its bytes */
    SIM_FAIL_EIO_LATE,     /* a change is made, and fails all the same */
    SIM_FAIL_SHORT_ENOSPC, /* the same, and the next write finds no space: a disk that fills up */
};

struct sim_fault {
    uint64_t at; /* number of the first call that fails */
    enum sim_failure failure;
    bool forever; /* every later call of the kind that can fail so, too */
};

/* What power loss does with the changes that are not durable. */
enum sim_mode {
    SIM_DROP_ALL = 1,
    SIM_KEEP_ALL,
    SIM_PREFIX, /* those before a random one, which is torn */
    SIM_RANDOM, /* each by itself */
    SIM_MODE_COUNT,
};

/* An empty file system, in which the store's directory is not made yet. */
KV_MUST_CHECK int sim_create(struct sim_fs **ret_sim);
void sim_destroy(struct sim_fs *sim); /* accepts NULL; storages on it must be closed */

/* storage_posix on this file system. */
KV_MUST_CHECK int sim_storage_open(struct sim_fs *sim, bool create,
                                   struct kv_storage **ret_storage);

/* The directory of a copy of the store: one that is to be made, and one that there is. */
KV_MUST_CHECK int sim_storage_begin_copy(struct sim_fs *sim, struct kv_storage **ret_storage);
KV_MUST_CHECK int sim_storage_open_copy(struct sim_fs *sim, struct kv_storage **ret_storage);

void sim_watch(struct sim_fs *sim, sim_watch_fn *fn, void *arg); /* NULL: nobody */
/* Each sync returns so much later than it was done, and other threads' calls come in between. */
void sim_return_late(struct sim_fs *sim, unsigned us);
/* From call `number` on everything fails with -EIO; a change by that very call is unsynced. */
void sim_stop_at(struct sim_fs *sim, uint64_t number);
/* Whether this call may fail so at all: what needs no space never finds none. */
bool sim_can_fail(const struct sim_event *event, enum sim_failure failure);
void sim_fail(struct sim_fs *sim, const struct sim_fault *fault); /* NULL: nothing fails any more */
/* Whether the fault has struck, and which call first. */
bool sim_fault_hit(const struct sim_fs *sim, struct sim_event *ret_event);
/* Told of every call that the fault strikes, before it ends; NULL: nobody. */
void sim_watch_fault(struct sim_fs *sim, sim_watch_fn *fn, void *arg);
uint64_t sim_calls_made(const struct sim_fs *sim);
/* Counts changes of what is stored or durable: two moments of one version look alike after a crash.
 */
uint64_t sim_version(const struct sim_fs *sim);
size_t sim_unsynced(const struct sim_fs *sim); /* changes that power loss may take */
size_t sim_count_names(const struct sim_fs *sim, enum sim_kind kind);
size_t sim_count_open(const struct sim_fs *sim); /* descriptors that nobody has closed */

/* The file system as another process finds it after this one died at this moment. */
KV_MUST_CHECK int sim_kill(const struct sim_fs *sim, struct sim_fs **ret_sim);
/* The same beside threads that make calls; each of their next ones fails, as in no process. */
KV_MUST_CHECK int sim_die(struct sim_fs *sim, struct sim_fs **ret_sim);
/* The file system after power was lost at this moment. `ret_damage` tells what was done to the
 * unsynced changes: equal numbers, equal damage. */
KV_MUST_CHECK int sim_crash(const struct sim_fs *sim, uint64_t seed, enum sim_mode mode,
                            struct sim_fs **ret_sim, uint64_t *ret_damage);

const char *sim_call_name(enum sim_call call);
const char *sim_kind_name(enum sim_kind kind);

#endif
