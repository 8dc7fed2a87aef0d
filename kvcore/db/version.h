/* SPDX-License-Identifier: Apache-2.0 */
/* Which sorted tables make up the store at one moment.
 *
 * A version is immutable and reference-counted: a reader pins one and sees the same files for as
 * long as it likes, whatever flushes and compactions do. An edit makes a new version that shares
 * what did not change, per table. A file goes when no version holds it any more.
 *
 * Invariants: 1. files of level 0 stand newest first (by largest sequence number); 2. files of any
 * other level stand in key order and are disjoint in user keys; 3. whatever a lower level holds of
 * a key is newer; 4. that of version_blobs.h.
 *
 * Concurrency: references are atomic. file->busy is guarded by the store's state mutex. */
#ifndef KVCORE_DB_VERSION_H
#define KVCORE_DB_VERSION_H

#include <kv/kv.h>

#include "kvcore/db/version_blobs.h"
#include "kvcore/table/table.h"

struct edit;

/* One sorted table as the manifest describes it. Immutable but for the fields at the end. */
struct file_meta {
    uint32_t table_id;
    uint32_t level;
    uint64_t number;
    uint64_t size;
    struct kv_buf smallest, largest; /* user keys; with RANGE_END_TRAILER largest is not covered */
    uint64_t smallest_trailer, largest_trailer;
    uint64_t sequence_min, sequence_max;
    uint64_t row_count, tombstone_count;
    struct blob_uses blobs; /* that its rows refer to */
    uint64_t range_delete_count;
    struct kv_buf range_list; /* what is known of them without the table: range_list.h; or empty */
    uint64_t longest_delete_run;
    uint64_t hidden_bytes; /* of deeper tables, covered by its range deletes when it was written */

    _Atomic uint32_t refs;
    _Atomic(struct table *) table; /* opened at first use, then kept; see table_cache.h */
    bool busy;                     /* input of a running compaction; state mutex */
    bool removing;                 /* nobody needs it: see obsolete.c; state mutex */
    uint64_t gone; /* from this state on, once it is obsolete: see followers.h; state mutex */
    struct file_meta *next_doubtful; /* see obsolete.h; manifest mutex */
    /* The same table at the level it was moved to, or NULL: older versions may still read it here,
     * which keeps it from being removed there. Set by the merge whose input this is. */
    struct file_meta *moved_to;
};

KV_MUST_CHECK int file_meta_create(struct file_meta **ret_file);
/* A copy of what describes the file, not opened, with one reference. */
KV_MUST_CHECK int file_meta_copy(const struct file_meta *from, struct file_meta **ret_file);
void file_meta_ref(struct file_meta *file);
/* Accepts NULL. Closes the table with the last reference. */
void file_meta_unref(struct file_meta *file);

struct file_list {
    struct file_meta **files;
    size_t count;
    uint64_t bytes;
    uint64_t row_count, tombstone_count;
    uint64_t blob_bytes;    /* stored bytes that rows of the files refer to in blobs */
    bool has_range_deletes; /* one of the files does */
};

/* The files of one table (keyspace). */
struct table_files {
    _Atomic uint32_t refs;
    bool has_range_deletes; /* one of the levels does */
    struct file_list levels[KV_LEVEL_COUNT];
};

struct version {
    _Atomic uint32_t refs;
    bool has_range_deletes;                         /* one of the tables does */
    struct table_files *tables[KV_TABLE_COUNT_MAX]; /* by table id - 1; NULL: no files */
    struct version_blobs *blobs;                    /* NULL: none */
};

KV_MUST_CHECK int version_create_empty(struct version **ret_version);
/* `base` with the files of `edit` added and removed, and without those of tables it drops. Checks
 * the invariants: an edit that does not fit is -KV_EDAMAGED. */
KV_MUST_CHECK int version_apply(const struct version *base, const struct edit *edit,
                                struct version **ret_version);
void version_ref(struct version *version);
void version_unref(struct version *version); /* accepts NULL */

/* Files of `table_id`, or NULL if it has none. Valid as long as the version. */
static inline const struct table_files *version_table(const struct version *version,
                                                      uint32_t table_id)
{
    return version->tables[table_id - 1];
}

/* How many files the table has. */
size_t version_count_files(const struct version *version, uint32_t table_id);
/* The file, valid as long as the version, or NULL. */
struct file_meta *version_find_file(const struct version *version, uint32_t table_id,
                                    uint32_t level, uint64_t number);

/* Where a file ends: the end of a range delete is not covered itself. <0: before `key`. */
int file_compare_end(const struct file_meta *file, struct kv_slice key);
/* Index of the first file of a sorted, disjoint list that does not end before `key`; count if none.
 */
size_t file_list_find(const struct file_list *list, struct kv_slice key);
/* Does the key range overlap a file of the list (disjoint or not)? `largest` is part of it. */
bool file_list_overlaps(const struct file_list *list, bool disjoint, struct kv_slice smallest,
                        struct kv_slice largest);
bool file_overlaps(const struct file_meta *file, struct kv_slice smallest, struct kv_slice largest);
/* Does a sorted, disjoint list hold anything of [from, to)? */
bool file_list_overlaps_range(const struct file_list *list, struct kv_slice from,
                              struct kv_slice to);

#endif
