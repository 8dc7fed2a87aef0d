/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/orphan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "fs/core/fs_internal.h"
#include "fs/core/unlinked.h"

/* The usual small file is one extent, which a get finds for less than an iterator costs. Of a
 * larger one it might read the bytes from where the engine keeps large values. False: look at the
 * rows. */
static bool find_whole(struct kvfs *fs, const struct node *node, struct rowkey *ret_key,
                       struct kv_pinned *ret_extent)
{
    if (node->inode.size > UNLINKED_DATA_MAX || node->inode.allocated != node->inode.size) {
        return false;
    }
    rowkey_extent(ret_key, node->ino, node->inode.size);
    if (fs_get(fs->data, NULL, ret_key, ret_extent) < 0) {
        return false;
    }
    if (ret_extent->value.size != node->inode.size) {
        kv_pinned_release(ret_extent);
        return false;
    }
    return true;
}

static bool has_extents(const struct node *node)
{
    return S_ISREG(node->inode.mode) && node->inode.allocated > 0;
}

static bool delete_whole(struct txn *txn, const struct node *node)
{
    struct kv_pinned extent;
    struct rowkey key;
    if (!find_whole(txn->fs, node, &key, &extent)) {
        return false;
    }
    kv_pinned_release(&extent);
    txn_delete(txn, txn->fs->data, &key);
    return true;
}

/* Takes the contents into memory, where they outlive their rows. False: that cannot be. */
static bool keep_contents(struct txn *txn, struct txn_node *node)
{
    struct kv_pinned extent = {0};
    struct rowkey key;
    bool has_extent = has_extents(&node->node);
    if (!unlinked_has_room(txn->fs) || !inode_is_sound(&node->node.inode) ||
        (node->node.inode.hints & INODE_HINT_XATTRS) != 0 ||
        (has_extent && !find_whole(txn->fs, &node->node, &key, &extent))) {
        return false;
    }
    node->kept = unlinked_make(txn->fs, &node->node, extent.value);
    if (has_extent) {
        kv_pinned_release(&extent);
    }
    if (has_extent && node->kept != NULL) {
        txn_delete(txn, txn->fs->data, &key);
    }
    return node->kept != NULL;
}

/* Collect deletes of the rows in a range. */
static int delete_range(struct txn *txn, struct kv_table *table, const struct rowkey *lower,
                        const struct rowkey *upper)
{
    struct kv_iter *iter = NULL;
    struct rowkey key;
    unsigned rows = 0;
    int r = fs_iter(table, NULL, lower, upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        struct kv_slice bytes = kv_iter_key(iter);
        if (++rows > TXN_DELETE_MAX || bytes.size > ROWKEY_SIZE_MAX) {
            txn_delete_range(txn, table, lower, upper);
            break;
        }
        memcpy(key.bytes, bytes.data, bytes.size);
        key.size = bytes.size;
        txn_delete(txn, table, &key);
    }
    r = fs_iter_result(iter);
    kv_iter_destroy(iter);
    if (r == -EIO) {
        txn_delete_range(txn, table, lower, upper); /* damage need not be read to go */
        r = 0;
    }
    return r;
}

/* Where neither its row nor the index can be read nobody knows its entry. Then that stays: it is of
 * a number that is never given again, and the file can be removed. */
static int delete_entry(struct txn *txn, uint64_t ino)
{
    int r = txn->fs->index.table != NULL ? attr_index_change(txn, ino, NULL) : 0;
    return r == -EIO ? 0 : r;
}

static int delete_contents(struct txn *txn, const struct node *node)
{
    struct kvfs *fs = txn->fs;
    struct rowkey lower;
    struct rowkey upper;
    int r = 0;
    if (has_extents(node)) {
        rowkey_extent(&lower, node->ino, 0);
        rowkey_kind_end(&upper, ROW_EXTENT, node->ino);
        if (node->inode.allocated > TXN_DELETE_MAX * FORMAT_CHUNK_BYTES) {
            txn_delete_range(txn, fs->data, &lower, &upper);
        } else if (!delete_whole(txn, node)) {
            r = delete_range(txn, fs->data, &lower, &upper);
        }
    }
    if (r == 0 && (node->inode.hints & INODE_HINT_XATTRS) != 0) {
        rowkey_xattr(&lower, node->ino, kv_slice(NULL, 0));
        rowkey_kind_end(&upper, ROW_XATTR, node->ino);
        r = delete_range(txn, fs->meta, &lower, &upper);
        r = r < 0 ? r : delete_entry(txn, node->ino);
    }
    return r;
}

void orphan_put_row(struct txn *txn, uint64_t ino)
{
    struct rowkey key;
    uint8_t zero = 0;
    rowkey_orphan(&key, ino);
    txn_put(txn, txn->fs->meta, &key, kv_slice(&zero, 1));
}

void orphan_put(struct txn *txn, struct txn_node *node)
{
    orphan_put_row(txn, node->node.ino);
    node->dirty = true;
}

void orphan_put_again(struct txn *txn, struct txn_node *node)
{
    if (node->kept != NULL) {
        unlinked_free(txn->fs, node->kept);
        node->kept = NULL;
        node->gone = false;
        orphan_put(txn, node);
    }
}

static void delete_own_rows(struct txn *txn, uint64_t ino)
{
    struct rowkey key;
    rowkey_inode(&key, ino);
    txn_delete(txn, txn->fs->meta, &key);
    rowkey_orphan(&key, ino);
    txn_delete(txn, txn->fs->meta, &key);
}

void orphan_revive(struct txn *txn, const struct txn_node *node)
{
    delete_own_rows(txn, node->node.ino);
}

int orphan_make(struct txn *txn, struct txn_node *node, bool had_row)
{
    uint64_t ino = node->node.ino;
    struct rowkey key;
    int r = 0;
    /* Holding the stripe: no reference can appear any more. */
    if (!lookup_table_has(&txn->fs->lookups, ino)) {
        r = delete_contents(txn, &node->node);
    } else if (!keep_contents(txn, node)) {
        orphan_put(txn, node);
        return 0;
    }
    if (r < 0) {
        return r;
    }
    if (had_row) {
        rowkey_inode(&key, ino);
        txn_delete(txn, txn->fs->meta, &key);
    }
    node->gone = true;
    return 0;
}

void orphan_settle(struct kvfs *fs, uint64_t ino)
{
    if (ino == 0 || lookup_table_mark_orphan(&fs->lookups, ino)) {
        return;
    }
    /* What fails here was reported, and is done again at the next opening. */
    kv_ignore(orphan_finish(fs, ino));
}

/* With its stripe held. */
static int collect_rows(struct txn *txn, uint64_t ino)
{
    struct txn_node *node;
    int r = txn_load_first(txn, ino, NULL, &node);
    if (r == -ENOENT) {
        delete_own_rows(txn, ino);
        return 0;
    }
    if (r < 0) {
        return r;
    }
    if (node->node.inode.nlink != 0) {
        struct rowkey key;
        rowkey_orphan(&key, ino);
        return fs_row_damaged(txn->fs, rowkey_slice(&key), "the inode still has links");
    }
    r = delete_contents(txn, &node->node);
    if (r < 0) {
        return r;
    }
    delete_own_rows(txn, ino);
    node->gone = true;
    return 0;
}

/* Orphans that differ, in one batch. */
static int finish(struct kvfs *fs, const uint64_t *inos, unsigned count)
{
    struct txn *txn = NULL;
    int r = txn_begin(fs, &txn);
    if (r < 0) {
        return r;
    }
    txn_frees_space(txn);
    txn_may_lag(txn); /* if the process dies before, the next opening does it */
    r = txn_reserve_nodes(txn, count);
    if (r == 0) {
        txn_lock_inodes(txn, inos, count);
    }
    for (unsigned i = 0; r == 0 && i < count; i++) {
        r = collect_rows(txn, inos[i]);
    }
    r = r < 0 ? r : txn_commit(txn);
    txn_end(txn);
    return r;
}

/* True: it has no rows, and now nothing else is left of it. */
static bool drop_kept(struct kvfs *fs, uint64_t ino)
{
    stripe_lock(&fs->stripes, ino);
    bool was_kept = unlinked_drop(fs, ino);
    stripe_unlock(&fs->stripes, ino);
    return was_kept;
}

int orphan_finish(struct kvfs *fs, uint64_t ino)
{
    int r = drop_kept(fs, ino) ? 0 : finish(fs, &ino, 1);
    if (r < 0 && !loss_is(&fs->loss)) { /* that was told */
        message(&fs->sink, KV_MESSAGE_WARNING,
                "cannot remove the data of unlinked inode %" PRIu64
                ": %s. It is tried again when the store is opened next.",
                ino, kv_strerror(r));
    }
    return r;
}

void orphan_group_init(struct orphan_group *group)
{
    *group = (struct orphan_group){0};
    mutex_init(&group->mu, LOCK_RANK_LEAF, "orphan group");
}

void orphan_group_finish(struct orphan_group *group)
{
    mutex_finish(&group->mu);
}

/* One whose inode is not at hand is not looked for: it counts as large. */
static bool may_wait(struct kvfs *fs, uint64_t ino)
{
    struct node node;
    stripe_lock(&fs->stripes, ino);
    bool is_known = icache_get(&fs->stripes.inodes[stripe_of(ino)].cache, ino, &node);
    stripe_unlock(&fs->stripes, ino);
    return is_known && node.inode.allocated <= FORMAT_CHUNK_BYTES;
}

/* Adds the number. Returns how many are to be finished now. */
static unsigned group_add(struct orphan_group *group, uint64_t ino, uint64_t inos[ORPHAN_GROUP])
{
    unsigned count = 0;
    mutex_lock(&group->mu);
    group->inos[group->count++] = ino;
    if (group->count == ORPHAN_GROUP) {
        count = group->count;
        memcpy(inos, group->inos, sizeof group->inos);
        group->count = 0;
    }
    mutex_unlock(&group->mu);
    return count;
}

void orphan_finish_later(struct kvfs *fs, uint64_t ino)
{
    uint64_t inos[ORPHAN_GROUP] = {ino};
    if (drop_kept(fs, ino)) {
        return;
    }
    unsigned count = may_wait(fs, ino) ? group_add(&fs->orphans, ino, inos) : 1;
    int r = count > 0 ? finish(fs, inos, count) : 0;
    /* One that cannot be finished keeps no other from it. */
    for (unsigned i = 0; r < 0 && i < count; i++) {
        kv_ignore(orphan_finish(fs, inos[i]));
    }
}

/* Up to `max` orphans behind `after`. */
static int list_orphans(struct kvfs *fs, uint64_t after, uint64_t *inos, unsigned max)
{
    struct kv_iter *iter = NULL;
    struct rowkey lower;
    struct rowkey upper;
    unsigned count = 0;
    rowkey_orphan(&lower, after + 1);
    rowkey_kind_end(&upper, ROW_ORPHAN, FORMAT_INO_LIMIT);
    int r = fs_iter(fs->meta, NULL, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); kv_iter_valid(iter) && count < max; kv_iter_next(iter)) {
        if (rowkey_decode_ino(kv_iter_key(iter), ROW_ORPHAN, &inos[count])) {
            count++;
        } else {
            kv_ignore(fs_row_damaged(fs, kv_iter_key(iter), "not the key of an orphan"));
        }
    }
    r = fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r < 0 ? r : (int)count;
}

int orphan_finish_all(struct kvfs *fs)
{
    enum { LIST_MAX = 256 };
    uint64_t inos[LIST_MAX];
    uint64_t after = 0;
    int count;
    do {
        count = list_orphans(fs, after, inos, LIST_MAX);
        for (int i = 0; i < count; i++) {
            kv_ignore(orphan_finish(fs, inos[i])); /* reported; the others are not worse for it */
            after = inos[i];
        }
    } while (count == LIST_MAX);
    return count < 0 ? count : 0;
}
