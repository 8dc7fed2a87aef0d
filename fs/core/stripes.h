/* SPDX-License-Identifier: Apache-2.0 */
/* The locks of names and inodes: 256 mutexes for the names of directories and 256 for attributes
 * and data of inodes, each chosen by inode number. Several of one kind are taken together, in the
 * order of their index and each once; directories before inodes.
 *
 * An inode stripe also holds its part of the inode cache, and a version that rises with every
 * commit that changed one of its inodes: who read a row before taking the stripe can tell whether
 * the row may be out of date. */
#ifndef FS_CORE_STRIPES_H
#define FS_CORE_STRIPES_H

#include <stdatomic.h>

#include "fs/core/icache.h"
#include "kvcore/util/thread.h"

enum {
    STRIPE_COUNT = 256,
};

struct unlinked; /* unlinked.h */

struct inode_stripe {
    struct mutex mu;
    struct icache cache;       /* guarded by mu */
    struct unlinked *unlinked; /* likewise: inodes that have no rows any more and are in use */
};

struct stripes {
    struct mutex dirs[STRIPE_COUNT];
    struct inode_stripe inodes[STRIPE_COUNT];
    _Atomic uint32_t versions[STRIPE_COUNT]; /* written under inodes[i].mu */
};

/* Which stripes of one kind are held, ascending. All zero: none. */
struct stripe_set {
    unsigned count;
    uint8_t index[STRIPE_COUNT];
};

static inline unsigned stripe_of(uint64_t ino)
{
    return (unsigned)(ino % STRIPE_COUNT);
}

void stripes_init(struct stripes *stripes, size_t cache_bytes);
void stripes_finish(struct stripes *stripes);
/* What the inodes in all caches take. No stripe may be held. */
size_t stripes_cache_bytes(struct stripes *stripes);

/* Numbers that are 0 are passed over. `set` must be empty. */
void stripes_lock_dirs(struct stripes *stripes, struct stripe_set *set, const uint64_t *inos,
                       unsigned count);
void stripes_unlock_dirs(struct stripes *stripes, struct stripe_set *set);
void stripes_lock_inodes(struct stripes *stripes, struct stripe_set *set, const uint64_t *inos,
                         unsigned count);
void stripes_unlock_inodes(struct stripes *stripes, struct stripe_set *set);
bool stripe_set_has(const struct stripe_set *set, uint64_t ino);

/* One inode's stripe. */
void stripe_lock(struct stripes *stripes, uint64_t ino);
void stripe_unlock(struct stripes *stripes, uint64_t ino);

struct stripe_versions {
    uint32_t at[STRIPE_COUNT];
};
/* Call before reading rows; no lock needed. */
void stripes_sample(const struct stripes *stripes, struct stripe_versions *ret_versions);
/* With the inode's stripe held: nothing of its stripe changed since the sample. */
bool stripe_is_unchanged(const struct stripes *stripes, const struct stripe_versions *versions,
                         uint64_t ino);
/* With the inode's stripe held, after a commit. */
void stripe_changed(struct stripes *stripes, uint64_t ino);

#endif
