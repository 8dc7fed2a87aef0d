/* SPDX-License-Identifier: Apache-2.0 */
/* The directory in which a store is damaged, in memory where there is such a file system, and what
 * `kvfs fsck` does there, in this process: the engine's part, then the rows. Nothing is synced. */
#ifndef TESTS_DAMAGE_DAMAGE_DIR_H
#define TESTS_DAMAGE_DAMAGE_DIR_H

#include <kv/admin.h>

#include "fs/kvfs.h"

struct damage_dir {
    char path[128];
};

/* Removed at exit of the program; one may be made at a time. */
void damage_dir_make(struct damage_dir *dir);
struct kv_storage *damage_dir_storage(const struct damage_dir *dir, bool create);
int damage_dir_open(const struct damage_dir *dir, const struct kvfs_options *options,
                    struct kvfs **ret_fs);

struct damage_found {
    int error;        /* that ended the run; 0: none */
    bool whole;       /* nothing is left, or would be left, but what the run repairs */
    uint64_t told;    /* problems */
    uint64_t notes;   /* what a crash may leave */
    uint64_t codes;   /* a sum that differs where other codes were told */
    char archive[32]; /* of the repair's first step; empty: there was none */
};
/* `mode` KV_ADMIN_REPORT: the image must be there afterwards as before. */
void damage_dir_check(const struct damage_dir *dir, enum kv_admin_mode mode,
                      struct damage_found *ret_found);
/* What was told since, each on a line that begins with '#'. */
void damage_dir_forget_said(void);
const char *damage_dir_said(void);
/* 0, or what kv_admin_undo() returns. */
/* Whether the last check told this code. */
bool damage_dir_told(int code);
int damage_dir_undo(const struct damage_dir *dir, const char *archive);

#endif
