/* SPDX-License-Identifier: Apache-2.0 */
/* Checking and repairing a store that is not open: the only door to the engine's files for tools.
 *
 * A run is scan -> plan -> archive -> apply. The scan reads root record, names, manifest, logs,
 * tables and blobs and tells each problem with its code; it changes nothing. Of what it finds a
 * whole new state is planned. What will go is kept in an archive, `lost+found.d/NUMBER`, which is
 * durable before anything else is touched. Then new files are written beside the old ones, and one
 * atomic change of ROOT makes the new state the store's. So at every moment the store is the old
 * one or the new one, and a repair that is cut short is simply begun again. docs/architecture.md,
 * "Repair", says why that is enough.
 *
 * Memory is bounded by the names of the files, the indexes of a few tables, what is wrong in these,
 * and a few MiB, whatever the files hold. Nothing that is stored is trusted before its checksum was
 * verified. */
#ifndef KV_ADMIN_H
#define KV_ADMIN_H

#include <kv/message.h>
#include <kv/storage.h>

/* Codes are stable: never renumber, never give one a new meaning. The hundreds are the layer: 1
 * root record, 2 files, 3 manifest, 4 logs, 5 tables, 6 blobs, 7 rows of the filesystem. */
enum kv_problem_code {
    KV_PROBLEM_ROOT_MISSING = 101,
    KV_PROBLEM_ROOT_DAMAGED = 102,
    KV_PROBLEM_ROOT_COPY_DAMAGED = 103,
    KV_PROBLEM_ROOT_SENSELESS = 104,
    KV_PROBLEM_ROOT_NEWER = 105,
    KV_PROBLEM_ROOT_CHECK_NEEDED = 106,
    KV_PROBLEM_ROOT_ERRORS_SEEN = 107,
    KV_PROBLEM_ROOT_OLD = 108,
    KV_PROBLEM_ROOT_NOT_A_FILE = 109,
    KV_PROBLEM_ROOT_SIZE = 110,

    KV_PROBLEM_FILE_FOREIGN = 201,
    KV_PROBLEM_FILE_LEFTOVER = 202,
    KV_PROBLEM_FILE_OBSOLETE = 203,
    KV_PROBLEM_FILE_NOT_A_FILE = 204,
    KV_PROBLEM_FILE_UNREADABLE = 205,
    KV_PROBLEM_LOCK_MISSING = 206,
    KV_PROBLEM_FILE_OPEN = 207,
    KV_PROBLEM_FILE_NOT_COPIED = 208, /* of kv_admin_copy() */

    KV_PROBLEM_MANIFEST_MISSING = 301,
    KV_PROBLEM_MANIFEST_DAMAGED = 302,
    KV_PROBLEM_MANIFEST_SENSELESS = 303,
    KV_PROBLEM_MANIFEST_SHORT = 304,
    KV_PROBLEM_MANIFEST_TORN = 305,
    KV_PROBLEM_SNAPSHOT_AHEAD = 306,
    KV_PROBLEM_MANIFEST_NEWER = 307,
    KV_PROBLEM_MANIFEST_HEAD = 308,

    KV_PROBLEM_LOG_MISSING = 401,
    KV_PROBLEM_LOG_DAMAGED = 402,
    KV_PROBLEM_LOG_HEAD = 403,
    KV_PROBLEM_LOG_SHORT = 404,
    KV_PROBLEM_LOG_SUCCESSOR = 405,
    KV_PROBLEM_LOG_SENSELESS = 406,
    KV_PROBLEM_LOG_TORN = 407,
    KV_PROBLEM_LOG_UNKNOWN_TABLE = 408,
    KV_PROBLEM_LOG_ORDER = 409,
    KV_PROBLEM_LOG_REPLAY = 410,
    KV_PROBLEM_LOG_NEWER = 411,

    KV_PROBLEM_TABLE_MISSING = 501,
    KV_PROBLEM_TABLE_SIZE = 502,
    KV_PROBLEM_TABLE_FOOTER = 503,
    KV_PROBLEM_TABLE_PROPERTIES = 504,
    KV_PROBLEM_TABLE_INDEX = 505,
    KV_PROBLEM_TABLE_FILTER = 506,
    KV_PROBLEM_TABLE_RANGE_DELETES = 507,
    KV_PROBLEM_TABLE_BLOCK = 508,
    KV_PROBLEM_TABLE_OTHER = 509,
    KV_PROBLEM_TABLE_SUMS = 510,
    KV_PROBLEM_TABLE_NEWER = 511,

    KV_PROBLEM_BLOB_MISSING = 601,
    KV_PROBLEM_BLOB_SHORT = 602,
    KV_PROBLEM_BLOB_DIRECTORY = 603,
    KV_PROBLEM_BLOB_VALUE = 604,
    KV_PROBLEM_BLOB_POINTER = 605,
    KV_PROBLEM_BLOB_USES = 606,

    /* Found by whoever reads the rows, not here; the codes are kept together. */
    KV_PROBLEM_FS_NO_ROOT = 701,
    KV_PROBLEM_FS_FACT = 702,
    KV_PROBLEM_FS_ROW_UNKNOWN = 703,
    KV_PROBLEM_FS_ROW_LOST = 704,
    KV_PROBLEM_FS_NO_INODE = 705,
    KV_PROBLEM_FS_INODE = 706,
    KV_PROBLEM_FS_INODE_NUMBER = 707,
    KV_PROBLEM_FS_ENTRY = 708,
    KV_PROBLEM_FS_ENTRY_UNNAMED = 709,
    KV_PROBLEM_FS_BACK_POINTER = 710,
    KV_PROBLEM_FS_BACK_POINTER_ENTRY = 711,
    KV_PROBLEM_FS_BACK_POINTER_SUMMARY = 712,
    KV_PROBLEM_FS_EXTENT = 713,
    KV_PROBLEM_FS_EXTENT_OVERLAP = 714,
    KV_PROBLEM_FS_EXTENT_BEYOND = 715,
    KV_PROBLEM_FS_XATTR = 716,
    KV_PROBLEM_FS_XATTR_HINT = 717,
    KV_PROBLEM_FS_ACL = 718,
    KV_PROBLEM_FS_COUNT = 719,
    KV_PROBLEM_FS_ORPHAN = 720,
    KV_PROBLEM_FS_NO_LINKS = 721,
    KV_PROBLEM_FS_DISCONNECTED = 722,
    KV_PROBLEM_FS_TYPE = 723,
    KV_PROBLEM_FS_LOST_EXTENTS = 724,
    KV_PROBLEM_FS_UNREADABLE = 725,
    KV_PROBLEM_FS_INDEX_MISSING = 726,
    KV_PROBLEM_FS_INDEX_SURPLUS = 727,
    KV_PROBLEM_FS_INDEX_UNREADABLE = 728,
    KV_PROBLEM_FS_INDEX_UNBUILT = 729,
    KV_PROBLEM_FS_UNCHECKED = 730,
};

enum kv_severity {
    KV_SEVERITY_NOTE =
        1,             /* what a crash may leave: nothing is wrong, the next opening sees to it */
    KV_SEVERITY_MINOR, /* wrong, but nothing is lost by it */
    KV_SEVERITY_LOSS,  /* rows or values may be lost */
    KV_SEVERITY_FATAL, /* nothing else can be checked */
};

struct kv_problem_kind {
    int code;         /* enum kv_problem_code */
    const char *name; /* "TABLE_BLOCK" */
    enum kv_severity severity;
    bool safe;          /* its repair loses nothing that could be read, and may go unattended */
    const char *repair; /* what repair does about it; NULL: nothing yet */
};

/* NULL: no such code. Static storage. */
KV_PUBLIC const struct kv_problem_kind *kv_problem_kind(int code);
/* All of them, ascending by code. */
KV_PUBLIC const struct kv_problem_kind *kv_problem_kinds(size_t *ret_count);

/* Something that was found. Pointers are valid during the call. */
struct kv_problem {
    const struct kv_problem_kind *kind;
    char file[48];        /* its name in the store; empty: no single one's */
    uint64_t offset;      /* in the file; UINT64_MAX: the whole of it, or not known */
    int error;            /* 0, or what reading failed with */
    const char *table;    /* keyspace whose rows they are; NULL: no single one's */
    struct kv_slice from; /* keys that may be lost by it, both included; both empty: not known */
    struct kv_slice to;   /* or none; `to` empty: no bound */
    const char *text;     /* one line: what is wrong, and where */
    bool will_repair;     /* this run does what kind->repair says */
};
/* Called without a lock, by the thread that called kv_admin_check(). Not 0 ends the run. */
typedef int kv_problem_fn(void *arg, const struct kv_problem *problem);

struct kv_admin_progress {
    const char *pass; /* "tables" */
    uint64_t bytes, bytes_all;
};
typedef int kv_admin_progress_fn(void *arg, const struct kv_admin_progress *progress);

enum kv_admin_mode {
    KV_ADMIN_REPORT = 1, /* change nothing: the store's bytes are afterwards what they were */
    KV_ADMIN_SAFE,       /* repair if every problem is safe; else change nothing */
    KV_ADMIN_REPAIR,     /* repair what can be */
};

struct kv_admin_options {
    enum kv_admin_mode mode;
    bool deep;          /* also read the large values */
    unsigned threads;   /* that read tables, at most 4; 0: as many as there are processors. What is
                           found is told by one thread, in the same order */
    const char *holder; /* who repairs, for the store's lock */
    kv_problem_fn *problem_fn;
    kv_admin_progress_fn *progress_fn; /* NULL: none */
    void *arg;
};

struct kv_admin_result {
    uint64_t problems; /* notes are not among them */
    uint64_t repaired;
    uint64_t notes;
    uint64_t damaged_rows; /* in tables that the repair made: reading these keys is an error */
    bool needs_replay;     /* not closed cleanly: the next opening replays the logs */
    bool rows_unchecked;   /* when the run began: see kv_admin_rows_checked() */
    char archive[32];      /* "00000001", where repair keeps what it removed; empty: nothing was */
};

/* Check, and repair as the mode says, the store in the directory `storage`, which must have no
 * lease yet: this takes it and keeps it, so that closing the storage is what lets others in.
 * Returns 0 when the run went through, whatever it found. Errors: -EBUSY the store is open
 * elsewhere; -ENOENT there is no store; -EOPNOTSUPP not a directory; -KV_EFORMAT a newer version's
 * store, which was told as a problem and left alone; -ECANCELED by a function; -ENOSPC, -EIO,
 * -ENOMEM: then the store is as it was before. */
KV_PUBLIC KV_MUST_CHECK int kv_admin_check(struct kv_storage *storage,
                                           const struct kv_admin_options *options,
                                           struct kv_admin_result *ret_result);

/* Copy what can be read of the files of the store `from` into the directory `path`, which must be
 * empty or not there, as a first step for those who want to repair without writing to what is
 * damaged: kv_admin_check() of the copy is the second. `from` must have no lease yet; it gets a
 * shared one, and not a byte of it is changed. A file or range that cannot be read does not end it:
 * it is told as KV_PROBLEM_FILE_NOT_COPIED and counts as a problem and as repaired, since in the
 * copy it is ordinary damage. Left out are the archives of earlier repairs, what was being made
 * when a process died, and what is not the store's. ROOT comes last. `options->mode` has to be
 * KV_ADMIN_REPAIR. Durable when 0 is returned.
 * Errors: -EBUSY the store is open elsewhere; -ENOENT there is no store; -EEXIST `path` is not
 * empty; -EOPNOTSUPP not a directory; -ECANCELED by a function; of making and writing the files of
 * `path`: then it holds a part of the copy, and may be removed. */
KV_PUBLIC KV_MUST_CHECK int kv_admin_copy(struct kv_storage *from, const char *path,
                                          const struct kv_admin_options *options,
                                          struct kv_admin_result *ret_result);

/* Write rows to a store that is not open and has no problem, as if its owner had written them last;
 * with an archive, so that this can be taken back like any repair. For those who find out which
 * rows contradict each other. `rows` holds no value that would go to a blob, and no part of one. Of
 * `options` only the holder counts. Errors: -EINVAL other rows, or none; -KV_EDAMAGED there is a
 * problem; those of kv_admin_check(): then the store is as it was before. */
struct kv_batch;
KV_PUBLIC KV_MUST_CHECK int kv_admin_amend(struct kv_storage *storage,
                                           const struct kv_admin_options *options,
                                           const struct kv_batch *rows,
                                           struct kv_admin_result *ret_result);

/* What the name of a keyspace begins with that a rebuilt manifest does not know the name of, since
 * only logs hold rows of it; its number follows. */
#define KV_LOST_KEYSPACE "lost-"

/* A keyspace that was lost with the manifest and all its tables. */
struct kv_table_options;
struct kv_admin_keyspace {
    const char *name;                       /* that it had */
    const struct kv_table_options *options; /* as kv_table_open() takes them */
    const char *found_as; /* what holds the rows of it that logs still had; empty: nothing does */
};
/* Give a store that is not open and has no problem a keyspace again, for those who know that it had
 * one: an empty one, or the one it was found as under its name. The rows it had are left out, so
 * that the store is marked as kv_admin_rows_checked() says. A step with an archive of its own.
 * Errors: -EEXIST there is one of that name; -ENOENT none of the name it was found as; -EINVAL as
 * kv_table_open(); -ENOSPC also: too many; otherwise those of kv_admin_amend(). */
KV_PUBLIC KV_MUST_CHECK int kv_admin_add_keyspace(struct kv_storage *storage,
                                                  const struct kv_admin_options *options,
                                                  const struct kv_admin_keyspace *keyspace,
                                                  struct kv_admin_result *ret_result);

/* A repair that leaves rows out marks the store in the same step: others may tell of these rows,
 * and who does not know would take them for never written (kv_identity.rows_unchecked). Whoever
 * knows what the rows mean looks at them, amends what is to be, and then takes the mark away with
 * this, which is a step with an archive of its own. Nothing is done where there is no mark. Errors:
 * those of kv_admin_amend(). */
KV_PUBLIC KV_MUST_CHECK int kv_admin_rows_checked(struct kv_storage *storage,
                                                  const struct kv_admin_options *options,
                                                  struct kv_admin_result *ret_result);

/* Take back what the repair did that made `archive`, and before that those that directly followed
 * it: every file of the store has its bytes again, but for LOCK. Only as long as the store was not
 * opened for writing since. May be cut short and begun again. Errors: -EBUSY; -ENOENT no such
 * archive; -ESTALE the store was changed since; -KV_EDAMAGED the archive is. */
KV_PUBLIC KV_MUST_CHECK int kv_admin_undo(struct kv_storage *storage, const char *archive);

#endif
