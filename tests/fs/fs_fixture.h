/* SPDX-License-Identifier: Apache-2.0 */
/* A filesystem for tests, in memory or in a pool (tests/db/pool_place.h). */
#ifndef TESTS_FS_FS_FIXTURE_H
#define TESTS_FS_FS_FIXTURE_H

#include "fs/core/record.h"
#include "fs/kvfs.h"
#include "tests/lib/check_main.h"

struct fs_fixture {
    struct kv_storage *storage; /* not in a pool */
    struct kvfs *fs;
    unsigned damage_messages;
    /* for the next opening */
    uint64_t memory_bytes; /* from fixture_open() on 8 MiB */
    const char *index;     /* see kvfs_options */
    bool no_background, read_only;
};

extern const struct kvfs_who fixture_who; /* user 1000, group 100, umask 022 */

void fixture_open(struct fs_fixture *f);
/* Close cleanly and open again. */
void fixture_reopen(struct fs_fixture *f);
/* Where it lies, for whoever opens it otherwise; while it is closed. */
struct kv_storage *fixture_storage(const struct fs_fixture *f);
/* Open after kvfs_close(). */
void fixture_open_again(struct fs_fixture *f);
/* Close, check every row (fs_check.h), release. */
void fixture_close(struct fs_fixture *f);

/* Shorthands that expect success; numbers are inodes. Look-up references are given back unless the
 * name says `known`. */
uint64_t fixture_file(struct fs_fixture *f, uint64_t parent, const char *name);
uint64_t fixture_dir(struct fs_fixture *f, uint64_t parent, const char *name);
void fixture_write(struct fs_fixture *f, uint64_t ino, uint64_t offset, const char *text);
struct kvfs_entry fixture_stat(struct fs_fixture *f, uint64_t ino);
/* Contents as text ended by NUL, in a buffer that the next call reuses. */
const char *fixture_text(struct fs_fixture *f, uint64_t ino);
/* Names of a listing joined by spaces, without `.` and `..`; reused by the next call. */
const char *fixture_list(struct fs_fixture *f, uint64_t ino);
/* Rows of a table, for tests that look below. */
struct kv_table *fixture_table(struct fs_fixture *f, const char *name);
uint64_t fixture_count_rows(struct fs_fixture *f, const char *table, enum row_kind kind);
uint64_t fixture_count_entries(struct kvfs *fs); /* of the index */
/* The fact that inodes may say up to where their holes are lost, as all stores have it that have
 * such an inode. */
void fixture_put_lost_below(struct fs_fixture *f);

#endif
