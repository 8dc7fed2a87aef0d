/* SPDX-License-Identifier: Apache-2.0 */
/* The index of one extended attribute: which inodes have it, by its value.
 *
 *   fact "index"            the attribute's name; no such fact: no index
 *   table index:meta:xattr  an index of the X rows with this name; kv/index_entry.h. The index key
 *                           is the value, or its first ATTR_INDEX_VALUE_SIZE_MAX bytes; the row key
 *                           is the inode's number, 8 bytes, big-endian
 *
 * Invariants
 *  1. There is an entry for each X row with the name, and no other; while the index is not built,
 *     for each such row up to the one in its state and for each that was written since.
 *  2. A row and its entry change in one batch, with the inode's stripe held. So who holds it and
 *     reads the row knows the entry, and the builder and writers never undo each other.
 *  3. Entries know nothing of names: an unlinked file has its entries as long as it has its rows.
 *     Whoever reads the index asks the back-pointers, and passes over what has none.
 *  4. Of a damaged index an entry may be left of an inode that is gone: it could not be found when
 *     its row was damaged, too. By 3 it is passed over, and fsck empties an index that is damaged.
 *
 * Refused: transactions of the engine (kv/index.h), which every operation would have to become, to
 * learn what its stripes make sure of already. Entries that hold paths: renaming a directory would
 * rewrite those of everything below it. */
#ifndef FS_CORE_ATTR_INDEX_H
#define FS_CORE_ATTR_INDEX_H

#include <stdatomic.h>

#include "fs/core/txn.h"

enum {
    ATTR_INDEX_VERSION = 1,
    ATTR_INDEX_VALUE_SIZE_MAX = 1024,
};

struct attr_index {
    /* constant after open */
    struct kv_table *table; /* NULL: there is no index */
    size_t name_size;
    char name[KVFS_XATTR_NAME_SIZE_MAX + 1];
    bool has_thread;
    /* set by whoever builds, read by anyone */
    _Atomic bool built;
    _Atomic int error;         /* what building failed with last; it is tried again */
    _Atomic uint64_t done_ino; /* rows of inodes below are indexed */
    /* of the thread that builds */
    struct thread thread;
    struct mutex mu;
    struct condvar wake;
    bool stop; /* guarded by mu */
};

/* Take up the index of the store, or with `wanted` (may be NULL) that of another attribute, none if
 * it is empty. Errors: -EINVAL, -EROFS with a message; those of reading and writing. */
KV_MUST_CHECK int attr_index_open(struct kvfs *fs, const char *wanted);
/* Begin to build in the background what is not built. Errors: those of thread_start(). */
KV_MUST_CHECK int attr_index_start(struct kvfs *fs);
/* Before the store is closed; also after neither of the others was called. */
void attr_index_close(struct kvfs *fs);

static inline struct kv_slice attr_index_name(const struct attr_index *index)
{
    return kv_slice(index->name, index->name_size);
}
/* Whether the attribute is indexed. */
static inline bool attr_index_has(const struct attr_index *index, struct kv_slice name)
{
    return index->table != NULL && kv_slice_equal(name, attr_index_name(index));
}
/* With the inode's stripe held: collect what becomes of the entry when the attribute gets a value,
 * or goes (NULL). The operation changes the row. What the row says now need not be readable.
 * Errors: -EIO neither row nor index can be read; -ENOMEM. */
KV_MUST_CHECK int attr_index_change(struct txn *txn, uint64_t ino, const struct kv_slice *value);

/* The key of an entry. Errors: -ENOMEM. */
KV_MUST_CHECK int attr_index_entry(struct kv_slice value, uint64_t ino, struct kv_buf *to);
/* Take an entry apart: `value` is replaced. Errors: -EBADMSG it is none; -ENOMEM. */
KV_MUST_CHECK int attr_index_entry_get(struct kv_slice entry, struct kv_buf *value,
                                       uint64_t *ret_ino);
/* The value that an entry has of one that a row has. */
static inline struct kv_slice attr_index_key(struct kv_slice value)
{
    return value.size > ATTR_INDEX_VALUE_SIZE_MAX ? kv_slice(value.data, ATTR_INDEX_VALUE_SIZE_MAX)
                                                  : value;
}

/* Collect the state. Errors: -ENOMEM. */
KV_MUST_CHECK int attr_index_put_state(struct txn *txn, bool built, struct kv_slice done);
/* The key of the last row that is indexed. Errors: those of reading; -EIO also: it makes no sense.
 */
KV_MUST_CHECK int attr_index_read_done(struct kvfs *fs, struct kv_buf *ret_done);
/* Collect what forgets all entries: the index is to be built anew. Errors: -ENOMEM. */
KV_MUST_CHECK int attr_index_collect_reset(struct kvfs *fs, struct kv_batch *batch);
/* Do so, durably. Nobody may write meanwhile. */
KV_MUST_CHECK int attr_index_reset(struct kvfs *fs);

#endif
