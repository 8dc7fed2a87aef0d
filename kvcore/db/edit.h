/* SPDX-License-Identifier: Apache-2.0 */
/* A change of the store's state as the manifest records it; a snapshot of the whole state has the
 * same form. docs/format.md, "Manifest". */
#ifndef KVCORE_DB_EDIT_H
#define KVCORE_DB_EDIT_H

#include "kvcore/db/version.h"
#include "kvcore/log/log_format.h"

struct edit_removed {
    uint32_t table_id;
    uint32_t level;
    uint64_t number;
};

/* A table (keyspace) as created. */
struct edit_table {
    uint32_t id;
    char name[KV_TABLE_NAME_SIZE_MAX + 1];
    struct kv_table_options options;
};

/* A table (keyspace) that is gone with all its files, and its rows in logs up to this one. */
struct edit_dropped {
    uint32_t id;
    uint64_t sequence;
};

/* A named snapshot that was made or, where only the name counts, dropped. */
struct edit_snapshot {
    char name[KV_SNAPSHOT_NAME_SIZE_MAX + 1];
    uint64_t sequence;
    uint64_t time_s;
};

struct edit {
    uint64_t next_table;    /* 0: not set */
    uint64_t next_blob;     /* 0: not set */
    uint64_t last_sequence; /* 0: not set */
    uint64_t first_log;     /* 0: not set */
    uint64_t released_log;  /* logs below are released; 0: not set */
    struct log_end *closed_logs;
    size_t closed_log_count;
    struct edit_table *tables;
    size_t table_count;
    struct edit_dropped *dropped;
    size_t dropped_count;
    struct file_meta **added; /* referenced */
    size_t added_count;
    struct edit_removed *removed;
    size_t removed_count;
    struct blob_info *blobs; /* added, or known and now with more of it given back */
    size_t blob_count;
    uint64_t *removed_blobs;
    size_t removed_blob_count;
    struct edit_snapshot *snapshots;
    size_t snapshot_count;
    struct edit_snapshot *dropped_snapshots;
    size_t dropped_snapshot_count;
};

/* The table without its id: zeros in the options become their defaults; NULL: all. Errors: -EINVAL
 * name empty or too long, or an option beyond what a manifest takes. */
KV_MUST_CHECK int edit_table_init(struct edit_table *table, const char *name,
                                  const struct kv_table_options *options);

void edit_finish(struct edit *edit); /* an all-zero edit is empty */
KV_MUST_CHECK int edit_add_closed_log(struct edit *edit, const struct log_end *end);
KV_MUST_CHECK int edit_add_table(struct edit *edit, const struct edit_table *table);
KV_MUST_CHECK int edit_drop_table(struct edit *edit, uint32_t id, uint64_t sequence);
bool edit_drops(const struct edit *edit, uint32_t id);
/* Takes a reference of its own. */
KV_MUST_CHECK int edit_add_file(struct edit *edit, struct file_meta *file);
KV_MUST_CHECK int edit_remove_file(struct edit *edit, const struct file_meta *file);

KV_MUST_CHECK int edit_add_blob(struct edit *edit, const struct blob_info *blob);
KV_MUST_CHECK int edit_remove_blob(struct edit *edit, uint64_t number);

KV_MUST_CHECK int edit_add_snapshot(struct edit *edit, const struct edit_snapshot *snapshot);
KV_MUST_CHECK int edit_drop_snapshot(struct edit *edit, const char *name);

KV_MUST_CHECK int edit_encode(const struct edit *edit, struct kv_buf *to);
/* `ret_edit` must be finished on success. Errors: -KV_EDAMAGED, -KV_EFORMAT, -ENOMEM. */
KV_MUST_CHECK int edit_decode(struct kv_slice from, struct edit *ret_edit);

#endif
