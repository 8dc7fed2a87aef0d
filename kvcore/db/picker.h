/* SPDX-License-Identifier: Apache-2.0 */
/* Which tables to merge next: decided from a version alone, no I/O, no locks of its own, so that it
 * can be tested with made-up versions.
 *
 * Leveled with dynamic targets (RocksDB's level_compaction_dynamic_level_bytes): the deepest level
 * holds most data, each level above aims at a tenth of the next, and level 0 is merged straight
 * into the first level that has a target (the base level). So a small store has few levels and dead
 * space stays near a tenth. */
#ifndef KVCORE_DB_PICKER_H
#define KVCORE_DB_PICKER_H

#include "kvcore/db/version.h"

enum { LEVEL_RATIO = 10, LEVEL_DEEPEST = KV_LEVEL_COUNT - 1 };

struct level_targets {
    int base;                       /* level that level 0 is merged into */
    uint64_t bytes[KV_LEVEL_COUNT]; /* aimed size; 0 above base */
};

void level_targets(const struct table_files *files, uint64_t base_bytes,
                   struct level_targets *ret_targets);

/* Inputs of one merge. Borrowed from the version; the arrays are owned. */
struct compaction {
    uint32_t table_id;
    int level; /* of inputs[0] */
    int output_level;
    struct file_meta **inputs[2]; /* of `level`, and of `output_level` */
    size_t input_counts[2];
    bool trivial_move; /* inputs[0] overlaps nothing: only its level changes */
};

struct picker_options {
    uint64_t level_base_bytes;
    size_t l0_files;     /* start merging level 0 at this many, if it is large beside the base */
    size_t l0_files_max; /* or at this many */
    uint64_t file_bytes;
    uint64_t oldest_snapshot;  /* what is deleted at or before it is gone for everybody */
    bool idle;                 /* nobody has written for a while: merge more than is due */
    bool squeeze;              /* the device is full: give back all space that merging can */
    uint64_t blob_slack_bytes; /* large values that upper levels may hide, however few there are */
    const struct blob_uses *flagged; /* blobs to be emptied; NULL: none */
};

/* The most urgent merge of the table whose files are not busy. Returns 1, 0 nothing to do, -ENOMEM.
 * `ret_score` (1.0: due) lets the caller compare tables. Reads file->busy: state mutex. */
KV_MUST_CHECK int compaction_pick(const struct table_files *files, uint32_t table_id,
                                  const struct picker_options *options,
                                  struct compaction *ret_compaction, double *ret_score);
/* Everything of the table that may hold keys from `from` up to `to` (empty: the last key), with all
 * files that overlap what is taken, into the deepest level. Returns 1, 0 nothing to merge, -EBUSY
 * some file is busy, -ENOMEM. inputs[0] then holds files of several levels, newest level first. */
KV_MUST_CHECK int compaction_pick_range(const struct table_files *files, uint32_t table_id,
                                        struct kv_slice from, struct kv_slice to,
                                        struct compaction *ret_compaction);
/* Take the file among inputs[which]. For pickers. */
KV_MUST_CHECK int compaction_add_input(struct compaction *c, int which, struct file_meta *file);
void compaction_set_busy(const struct compaction *compaction, bool busy);
void compaction_finish(struct compaction *compaction);

#endif
