/* SPDX-License-Identifier: Apache-2.0 */
/* Small inodes that are unlinked and still in use. Their rows go with the operation that drops the
 * last link, as if nobody used them, and what they were stays in memory: the kernel forgets nearly
 * every file right after it was removed, and then nothing is left to do. A program that has one
 * open reads it from here (node_load(), extent_view_open()). Before it changes one, that is stored
 * as an orphan with the rows that one has (txn_load_first()), and from there on like any other. A
 * crash costs nothing: what was open then is of no use to anybody.
 *
 * Each belongs to its inode's stripe, whose mutex guards it. */
#ifndef FS_CORE_UNLINKED_H
#define FS_CORE_UNLINKED_H

#include "fs/core/icache.h"

struct kvfs;
struct unlinked;

enum {
    UNLINKED_DATA_MAX = 4096, /* bytes of a file that is kept */
    UNLINKED_BYTES_MAX =
        4 << 20, /* memory that all take; a 64th of the filesystem's if that is less */
};

/* Whether one more may be kept. */
bool unlinked_has_room(struct kvfs *fs);
/* The inode, which has no link and no attributes of its own, with its one extent of at most
 * UNLINKED_DATA_MAX bytes (empty: it has none). NULL: without memory. */
struct unlinked *unlinked_make(struct kvfs *fs, const struct node *node, struct kv_slice extent);
/* Accepts NULL. */
void unlinked_free(struct kvfs *fs, struct unlinked *unlinked);

/* All of these with the stripe held. */

/* Its rows are gone: it counts from now on. Takes `unlinked`. */
void unlinked_keep(struct kvfs *fs, struct unlinked *unlinked);
/* Nobody uses the inode any more. False: it is not kept here. */
bool unlinked_drop(struct kvfs *fs, uint64_t ino);
/* The inode as it is kept; its target lasts until it is dropped or stored. Errors: -ENOENT, it is
 * not kept here. */
KV_MUST_CHECK int unlinked_load(struct kvfs *fs, uint64_t ino, struct node *ret_node);
/* A copy of its extent, for the caller to finish. Errors: -ENOENT; -ENOMEM. */
KV_MUST_CHECK int unlinked_read(struct kvfs *fs, uint64_t ino, struct kv_buf *to);
/* Somebody changes it: give it the rows of an orphan, and keep it here no longer. Errors: -ENOENT;
 * those of writing, and then it is still kept. */
KV_MUST_CHECK int unlinked_store(struct kvfs *fs, uint64_t ino);

/* All of them, before the filesystem goes. No stripe may be held. */
void unlinked_drop_all(struct kvfs *fs);

#endif
