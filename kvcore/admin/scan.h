/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a check: what is known of the store so far, and how a problem is told. One pass after
 * the other fills it in; none changes the store.
 *
 *   scan_root   the root record: which store, which manifest
 *   scan_files  every name in the directory
 *   find_root   another root record, where that is lost
 *   scan_state  the manifest: what the store should be
 *   scan_short  whether tables and logs tell of changes behind the manifest's end
 *   rebuild     that, from the tables alone, where the manifest is lost
 *   scan_logs   the logs that count, and where each ends
 *   scan_tables every block of every table      salvage   a table's blocks without its index
 *   scan_blobs  large values
 *
 * One thread, but for tables, which several read at once (scan_crew.h). */
#ifndef KVCORE_ADMIN_SCAN_H
#define KVCORE_ADMIN_SCAN_H

#include <kv/admin.h>

#include "kvcore/admin/state.h"
#include "kvcore/db/root.h"
#include "kvcore/storage/posix_raw.h"
#include "kvcore/util/message.h"

enum { SCAN_TEXT_SIZE = 512 };

/* A log, manifest, table or blob that is there. */
struct scan_file {
    struct kv_file_id id;
    uint64_t size;
    bool is_ours; /* a regular file that the store would open */
    /* Set by threads that read tables, too. */
    _Atomic bool wanted;          /* the state needs it */
    _Atomic bool has_lost_values; /* a blob: rows that point into it become damaged ones */
};

/* A table that is not as it should be: the plan makes another of it. */
struct scan_table {
    struct file_meta *file; /* owned reference */
    bool missing;
    bool unsound; /* rows of its own are damaged, not only what they point at */
};

struct scan {
    struct kv_storage *storage;
    const struct kv_admin_options *options;
    struct kv_admin_result result;
    struct kv_admin_progress progress;
    bool deep;           /* large values are read: it was asked for, or damage was met in a blob */
    bool stopped;        /* a function of the caller's ended it, or telling failed */
    uint64_t unsafe;     /* problems whose repair is not safe */
    uint64_t repairable; /* problems that have a repair */

    /* What the readers of the engine say lands here, and is told with a code of ours. */
    struct message_sink sink;
    uint64_t said_offset;
    char said[SCAN_TEXT_SIZE];

    struct raw_root raw_root;
    bool has_raw_root;
    bool has_root; /* the next two are valid */
    struct root root;
    uint64_t root_version;
    uint64_t seed;
    bool root_bad;  /* to be written anew */
    bool root_lost; /* there is none to go by */

    struct scan_file *files; /* sorted by kind and number */
    size_t file_count, file_capacity;
    uint64_t highest[KV_FILE_BLOB + 1]; /* number of a file, by kind */
    bool has_lock;

    struct admin_state state;
    bool has_state;
    bool rebuilt;         /* without a manifest: repair writes the tables of the state anew */
    bool cut_back;        /* the manifest ends early, and the state is what it was there */
    bool trial;           /* only to see what a rebuilt state would be worth */
    bool keyspaces_added; /* in the state: their rows are lost */

    /* Ends of the logs that count, in order, as far as they can be replayed. */
    struct log_end *log_ends;
    size_t log_end_count;
    bool logs_cut;          /* a problem ends them: repair says so in the manifest */
    uint64_t last_sequence; /* of the last row in tables and logs */

    struct scan_table *bad_tables;
    size_t bad_table_count;
    struct scan_blob *bad_blobs;
    size_t bad_blob_count;
};

/* A blob that is missing, ends early, or is to be named without its directory. */
struct scan_blob {
    uint64_t number;
    uint64_t size; /* what counts of it; 0: nothing is there */
};

struct scan_place {
    int code;
    struct kv_file_id id; /* number 0: none */
    const char *name;     /* instead of `id`; NULL: none */
    uint64_t offset;
    int error;
    uint32_t table_id; /* 0: none */
    struct kv_slice from, to;
};

/* Tell a problem. After the caller's function ended the run, scan->stopped is set. */
__attribute__((format(printf, 3, 4))) void
scan_tell(struct scan *scan, const struct scan_place *place, const char *format, ...);
/* From now on what the readers say of damage lands in this scan. */
void scan_begin_sink(struct scan *scan);
/* Bytes that are read next. Returns -ECANCELED once the run is to end. */
KV_MUST_CHECK int scan_spend(struct scan *scan, uint64_t bytes);
/* The same for the readers that take a function. */
int scan_read_fn(void *arg, uint64_t bytes);

/* The file, or NULL if there is none of that name. */
struct scan_file *scan_find(struct scan *scan, enum kv_file_kind kind, uint64_t number);
/* "00000001.table" */
void scan_file_name(struct kv_file_id id, char to[48]);

/* Plan another table in the place of `file`; what is planned already is added to. */
KV_MUST_CHECK int scan_note_table(struct scan *scan, struct file_meta *file, bool missing);

/* The passes. Problems are told; an error ends the run. */
KV_MUST_CHECK int scan_root(struct scan *scan);
KV_MUST_CHECK int scan_files(struct scan *scan);
KV_MUST_CHECK int scan_find_root(struct scan *scan); /* if root_lost; it may stay so */
KV_MUST_CHECK int scan_state(struct scan *scan);
/* Behind a manifest of which it is not known whether that is its end: if there were edits behind it
 * that are missed, the state is rebuilt, or else told for what it is. */
KV_MUST_CHECK int scan_short(struct scan *scan);
/* Without a manifest that can be read: what the tables say instead. Where that cannot be decided
 * there is no state still. */
KV_MUST_CHECK int scan_rebuild(struct scan *scan);
void scan_unneeded(struct scan *scan); /* after all that mark files as wanted */
KV_MUST_CHECK int scan_logs(struct scan *scan);
KV_MUST_CHECK int scan_tables(struct scan *scan);
KV_MUST_CHECK int scan_blobs(struct scan *scan);

/* Everything; scan->storage and options are set. */
KV_MUST_CHECK int scan_run(struct scan *scan);
/* As far as the logs, of a store that should have no problem: what has to be known to write more
 * rows behind them. */
KV_MUST_CHECK int scan_run_to_logs(struct scan *scan);
void scan_finish(struct scan *scan);

#endif
