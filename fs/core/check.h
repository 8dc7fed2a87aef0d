/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of kvfs_check(): what the walk knows of the inode whose rows it reads, and of the whole.
 * check.c walks and tells; mend.c, where it is wanted, decides which rows would put it right. */
#ifndef FS_CORE_CHECK_H
#define FS_CORE_CHECK_H

#include "fs/core/fs_internal.h"
#include "fs/core/record.h"

enum cursor_id { ENTRIES, INODES, BACKPTRS, XATTRS, ORPHANS, EXTENTS, CURSORS };

struct cursor {
    struct kv_iter *iter;
    struct rowkey lower, upper;
    uint64_t ino; /* of the row it stands at */
};

struct directory {
    uint64_t ino, parent;
    bool hangs_on; /* reaches the root */
};

struct check {
    struct kvfs *fs;
    struct kv_snapshot *snapshot;
    kvfs_fault_fn *fn;
    void *arg;
    struct kvfs_check_counts counts;
    struct cursor cursors[CURSORS];
    uint64_t matched; /* entries with their back-pointers */
    uint64_t ino_limit;
    bool has_lost_below_fact;      /* or it was told that it is missing */
    struct directory *directories; /* ascending */
    size_t directory_count, directory_capacity;
    int error;         /* first failure of reading that says nothing of what is stored */
    struct mend *mend; /* NULL: only tell */
};

/* Reading the row failed so: what it held is lost. After other errors it may be read another time.
 */
static inline bool check_is_lost(int error)
{
    return error == -EIO || error == -KV_EDAMAGED;
}

/* Whether the row is missing or lost. What else went wrong with reading it ends the walk: nobody
 * may be told then that something is lost, and nothing be written in its place. */
bool check_is_gone(struct check *c, int error);
/* Something is wrong with the row. */
void check_tell_row(struct check *c, int code, struct kv_slice key, const char *why);

/* The inode whose rows are being read. */
struct subject {
    uint64_t ino;
    uint64_t parent; /* of an inode that lives in its entry */
    struct inode inode;
    bool known;   /* there is such an inode */
    bool own_row; /* it is an I row */
    bool orphan;
    uint64_t links, entries, subdirectories, extent_bytes, extent_end;
    uint64_t lost_bytes; /* of extent_bytes: those of lost extents, which count too many */
    /* for mending */
    struct rowkey home;     /* the row that holds the inode; size 0: none was found */
    uint64_t hints;         /* INODE_HINT_* that its attributes ask for */
    uint64_t link_pointers; /* back-pointers of the kind that I inodes have */
    bool has_summary;       /* of any back-pointer */
    struct summary summary;
    struct rowkey lost_home; /* the entry that held the inode, and is lost; size 0: none */
};

#endif
