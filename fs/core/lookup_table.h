/* SPDX-License-Identifier: Apache-2.0 */
/* How often each inode is in use outside: look-ups the kernel has not forgotten, plus open handles.
 * The kernel may keep millions, mostly with neighbouring numbers: so a count is a byte, and those
 * of neighbours are a group of 32 bytes, whose place an open-addressing table finds. Groups stand
 * densely in segments, the last one moving to where one is removed. About 3 bytes for each inode of
 * a large directory, some 45 for one without neighbours in use, and no small blocks, which would
 * keep the memory around them from being given back.
 *
 * References are taken only under the inode's stripe, so that who holds the stripe and sees no
 * reference knows that nobody can get one through a name that is being removed. They are given back
 * without it: an unlinked inode is therefore marked here, and whoever gives back its last reference
 * is told to finish it. */
#ifndef FS_CORE_LOOKUP_TABLE_H
#define FS_CORE_LOOKUP_TABLE_H

#include "kvcore/util/thread.h"

enum { LOOKUP_GROUP_INODES = 16 };

struct lookup_group;

struct lookup_table {
    struct mutex mu; /* guards all */
    struct lookup_group **segments;
    uint32_t segment_count;
    uint32_t used;       /* groups */
    uint32_t *slots;     /* where a group stands, and 1; 0: free */
    uint64_t slot_count; /* power of two, 0 before first use */
    uint64_t wide_count; /* groups with a count that takes more than a byte */
};

void lookup_table_init(struct lookup_table *table);
void lookup_table_finish(struct lookup_table *table);
/* Errors: -ENOMEM. */
KV_MUST_CHECK int lookup_table_add(struct lookup_table *table, uint64_t ino);
/* Give `count` references back; giving back too many counts as all. True: that was the last one of
 * an inode marked as orphan, which the caller must finish. */
bool lookup_table_sub(struct lookup_table *table, uint64_t ino, uint64_t count);
bool lookup_table_has(struct lookup_table *table, uint64_t ino);
/* Mark an inode that is in use and was made without a name; `linkable`: it may get one. */
void lookup_table_mark_unnamed(struct lookup_table *table, uint64_t ino, bool linkable);
bool lookup_table_is_linkable(struct lookup_table *table, uint64_t ino);
/* It got a name. */
void lookup_table_unmark(struct lookup_table *table, uint64_t ino);
/* Mark an unlinked inode. False: nobody uses it any more, the caller must finish it. */
bool lookup_table_mark_orphan(struct lookup_table *table, uint64_t ino);
/* A step of a walk over what is in use, while that changes: `*place` is UINT32_MAX before the first
 * one. What is in use from before the walk until its end comes at least once. Returns how many
 * numbers there are, 0: that was all. */
unsigned lookup_table_next(struct lookup_table *table, uint32_t *place,
                           uint64_t ret_inos[LOOKUP_GROUP_INODES]);
/* The memory it takes. */
size_t lookup_table_bytes(struct lookup_table *table);

#endif
