/* SPDX-License-Identifier: Apache-2.0 */
/* Listings under way, and what renames meanwhile put in front of them.
 *
 * A listing is in byte order and reads the names as they are. So a program that renames each name
 * it is given to one that sorts behind would be given the same files for ever. Therefore a name is
 * left out of a listing if a rename within the directory made it from one that the listing had
 * given already: readdir(3) leaves open whether new names are listed, and this file was.
 *
 * At most LISTING_MOVED_MAX such names are kept for a listing; names it has passed make room.
 * Beyond that they are listed. */
#ifndef FS_CORE_LISTINGS_H
#define FS_CORE_LISTINGS_H

#include <stdatomic.h>

#include "fs/kvfs.h"
#include "kvcore/util/thread.h"

enum { LISTING_MOVED_MAX = 65536 };

struct listing_name;

/* One of an open directory; all zero before listing_start(). */
struct listing {
    uint64_t ino; /* 0: not started */
    struct listing *next;
    struct listing_name **moved; /* ascending */
    uint32_t moved_count, moved_capacity;
    uint8_t last_size; /* the last name given; 0: none */
    uint8_t last[KVFS_NAME_SIZE_MAX];
};

/* Guarded by mu, but for the count. */
struct listings {
    struct mutex mu;
    struct listing *first;
    atomic_uint count; /* so that nothing is locked while there are none */
};

void listings_init(struct listings *all);
void listings_finish(struct listings *all);
/* It begins, or begins anew. */
void listing_start(struct listings *all, struct listing *listing, uint64_t ino);
/* It ends; nothing if it never began. */
void listing_stop(struct listings *all, struct listing *listing);
/* It has given the names up to this one. */
void listing_reach(struct listings *all, struct listing *listing, struct kv_slice last);
/* Whether the name is that of a file which it gave under another. */
bool listing_leaves_out(struct listings *all, const struct listing *listing, struct kv_slice name);
/* In the directory `from` became `to`, which was free. Called behind the commit. */
void listings_renamed(struct listings *all, uint64_t ino, struct kv_slice from, struct kv_slice to);

#endif
