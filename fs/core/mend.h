/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that put right what a walk over all rows found wrong. They are collected in one batch, which
 * somebody else writes; then the walk is made again, since one repair may lead to the next (an
 * entry that is there again is one more in its directory). Each function is called by check.c as it
 * tells the fault, and does nothing where nothing is to be mended.
 *
 * First comes what follows from other rows, in as many walks as that takes; only then, as the last
 * resort, what has no name is given one, and what nobody can read is removed.
 *
 * What decides: an inode is where its I row or its entry says. Where that is lost, a back-pointer
 * says which name it had, its type, mode and owner, and its extents how large it is. What has no
 * name goes to `lost+found`, named by its number. Bytes that may have been lost are lost extents,
 * or below a number in their inode, never zeros (mend_holes.h). A failure is kept and returned in
 * the end. */
#ifndef FS_CORE_MEND_H
#define FS_CORE_MEND_H

#include "fs/core/check.h"
#include "fs/core/lost_keys.h"

struct mend {
    struct kv_batch *batch;
    struct lost_keys data, meta; /* among which rows were lost; not owned */
    bool knows_lost;             /* of no others; else nobody knows */
    bool notes_lost;             /* see kvfs_lost_rows */
    bool last_resort; /* nothing else is left to be mended: what has no name is moved, what nobody
                         can read or make anew is removed */
    struct timespec now;
    int error;             /* first failure to collect a row */
    uint64_t rows, bytes;  /* collected */
    uint64_t entries_lost; /* that cannot be read, whatever they were */
    uint64_t highest_ino;
    struct summary owner; /* of the root: who gets what nobody is known to own */
    uint64_t lost_found;  /* inode of the directory for what has no name; 0: there is none */
    bool wants_lost_found;
    bool made_root;
    bool bad_facts; /* they have to be said anew */
    bool index_emptied;
    bool may_have_lost_below; /* inodes that are lost may have said what of their files is lost */
};

/* ---- single rows ---- */

void mend_begin(struct check *c);
/* Whether so many extents and the inode they belong to find room in the batch. If not, nothing does
 * from then on: the next walk mends it. */
bool mend_has_room(struct mend *m, size_t extents);
void mend_delete_row(struct check *c, struct kv_table *table, struct kv_slice key);
/* A row that cannot be read or makes no sense. An entry is not removed yet: a back-pointer may say
 * what it was. */
void mend_lost_row(struct check *c, enum cursor_id id, struct kv_slice key);
/* The bytes of the extent are not known. */
void mend_lost_extent(struct check *c, struct kv_slice key);

/* ---- back-pointers ---- */

/* The entry that the back-pointer with the key `backptr` names is missing; `is_link`: it is one of
 * an inode with an I row. The subject has its summary. */
void mend_missing_entry(struct check *c, struct subject *s, const struct rowkey *entry,
                        struct kv_slice backptr, bool is_link);
/* It tells another type than the inode, which has a row of its own. */
void mend_type(struct check *c, const struct subject *s, const struct rowkey *entry);
/* Its mode or owner are not the inode's. */
void mend_summary(struct check *c, const struct subject *s, uint64_t parent, struct kv_slice name,
                  bool is_link);
/* No back-pointer names the entry. */
void mend_unnamed_entry(struct check *c, struct kv_slice key, const struct dir_entry *entry);

/* ---- inodes ---- */

/* All rows of an inode were read: what it says of itself is wrong. */
void mend_totals(struct check *c, const struct subject *s);
/* A number that some row has. */
void mend_note_number(struct check *c, uint64_t ino);
/* Some inode is going to say what of its file is lost, or one that is lost may have said it: the
 * fact is there from now on. */
void mend_note_lost_below(struct check *c);
/* Facts are missing or senseless. */
void mend_facts(struct check *c);
void mend_no_root(struct check *c);
/* The directory lies in one that lies in it. NULL: not that, the directory it lies in is lost. */
void mend_ring(struct check *c, const struct directory *directory);
/* There is no inode. */
void mend_no_inode(struct check *c, const struct subject *s);

/* The index of an attribute and the rows differ, or it cannot be read. */
void mend_index(struct check *c);

/* Behind the walk. Returns the first failure. */
KV_MUST_CHECK int mend_end(struct check *c);

#endif
