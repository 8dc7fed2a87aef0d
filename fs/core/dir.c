/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/dir.h"

#include <assert.h>
#include <dirent.h>

#include "fs/core/fs_internal.h"
#include "kvcore/util/checksum.h"

int dir_get(struct kvfs *fs, const struct kv_snapshot *snapshot, struct dir_name at,
            struct dir_link *ret_link)
{
    struct dir_entry entry;
    struct kv_pinned pinned;
    struct rowkey key;
    rowkey_dirent(&key, at.parent, at.name);
    int r = fs_get(fs->meta, snapshot, &key, &pinned);
    if (r < 0) {
        return r;
    }
    r = dirent_decode(pinned.value, &entry);
    kv_pinned_release(&pinned);
    if (r < 0) {
        return fs_row_damaged(fs, rowkey_slice(&key), "not a directory entry");
    }
    ret_link->ino = entry.ino;
    ret_link->type = entry.type;
    return 0;
}

int dir_check_empty(struct kvfs *fs, uint64_t ino)
{
    struct kv_iter *iter = NULL;
    struct rowkey lower;
    struct rowkey upper;
    rowkey_dirent(&lower, ino, kv_slice(NULL, 0));
    rowkey_kind_end(&upper, ROW_DIRENT, ino);
    int r = fs_iter(fs->meta, NULL, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    kv_iter_seek_first(iter);
    r = kv_iter_valid(iter) ? -ENOTEMPTY : fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r;
}

/* ---- hints ------------------------------------------------------------------------------------
 */

/* A slot holds the number in its low 48 bits and part of the hash above. */
static _Atomic uint64_t *hint_slot(struct kvfs *fs, struct dir_name at, uint64_t *ret_tag)
{
    uint64_t hash = hash_bytes(at.name, hash_u64(at.parent));
    *ret_tag = hash & ~(FORMAT_INO_LIMIT - 1);
    return &fs->name_hints[hash & (fs->name_hint_count - 1)];
}

uint64_t dir_hint(struct kvfs *fs, struct dir_name at)
{
    uint64_t tag;
    /* Relaxed: a hint is checked against the inode under its stripe. */
    uint64_t v = atomic_load_explicit(hint_slot(fs, at, &tag), memory_order_relaxed);
    return (v & ~(FORMAT_INO_LIMIT - 1)) == tag ? v & (FORMAT_INO_LIMIT - 1) : 0;
}

void dir_set_hint(struct kvfs *fs, struct dir_name at, uint64_t ino)
{
    uint64_t tag;
    _Atomic uint64_t *slot = hint_slot(fs, at, &tag);
    atomic_store_explicit(slot, tag | ino, memory_order_relaxed);
}

bool dir_hint_holds(struct kvfs *fs, struct dir_name at, uint64_t ino, struct node *ret_node)
{
    return node_cached(fs, ino, ret_node) && location_is(&ret_node->loc, at);
}

static bool find_cached(struct kvfs *fs, struct dir_name at, struct dir_link *ret_link)
{
    struct node node;
    uint64_t ino = dir_hint(fs, at);
    if (ino == 0) {
        return false;
    }
    stripe_lock(&fs->stripes, ino);
    bool holds = dir_hint_holds(fs, at, ino, &node);
    stripe_unlock(&fs->stripes, ino);
    if (holds) {
        ret_link->ino = ino;
        ret_link->type = (uint8_t)IFTODT(node.inode.mode);
    }
    return holds;
}

int dir_find(struct kvfs *fs, struct dir_name at, struct dir_link *ret_link)
{
    return find_cached(fs, at, ret_link) ? 0 : dir_get(fs, NULL, at, ret_link);
}

/* ---- rows of links ----------------------------------------------------------------------------
 */

void dir_delete_row(struct txn *txn, struct dir_name at)
{
    struct rowkey key;
    rowkey_dirent(&key, at.parent, at.name);
    txn_delete(txn, txn->fs->meta, &key);
}

static void put_reference(struct txn *txn, const struct node *node, struct dir_name at)
{
    struct rowkey key;
    rowkey_dirent(&key, at.parent, at.name);
    size_t size = dirent_encode_reference(txn->value, node->ino, (uint8_t)IFTODT(node->inode.mode));
    txn_put(txn, txn->fs->meta, &key, kv_slice(txn->value, size));
    rowkey_backlink(&key, node->ino, at.parent, at.name);
    size = summary_encode(txn->value, &node->inode);
    txn_put(txn, txn->fs->meta, &key, kv_slice(txn->value, size));
}

static void delete_backptr(struct txn *txn, uint64_t ino)
{
    struct rowkey key;
    rowkey_backptr(&key, ino);
    txn_delete(txn, txn->fs->meta, &key);
}

static void delete_backlink(struct txn *txn, uint64_t ino, struct dir_name at)
{
    struct rowkey key;
    rowkey_backlink(&key, ino, at.parent, at.name);
    txn_delete(txn, txn->fs->meta, &key);
}

void dir_add_first(struct txn *txn, struct txn_node *node, struct dir_name to)
{
    location_set(&node->node.loc, to.parent, to.name);
    node->dirty = true;
    txn_put_backptr(txn, &node->node);
}

void dir_add_link(struct txn *txn, struct txn_node *node, struct dir_name to)
{
    struct location *loc = &node->node.loc;
    if (loc->parent != 0) {
        put_reference(txn, &node->node, dir_name(loc->parent, location_name(loc)));
        delete_backptr(txn, node->node.ino);
        location_set(loc, 0, kv_slice(NULL, 0));
    }
    put_reference(txn, &node->node, to);
    node->dirty = true;
}

void dir_move_link(struct txn *txn, struct txn_node *node, struct dir_name from, struct dir_name to)
{
    if (node->node.loc.parent != 0) {
        assert(location_is(&node->node.loc, from));
        dir_add_first(txn, node, to);
        return;
    }
    delete_backlink(txn, node->node.ino, from);
    put_reference(txn, &node->node, to);
}

void dir_drop_backptr(struct txn *txn, struct txn_node *node, struct dir_name at)
{
    if (node->node.loc.parent != 0) {
        assert(location_is(&node->node.loc, at));
        delete_backptr(txn, node->node.ino);
        location_set(&node->node.loc, 0, kv_slice(NULL, 0));
        return;
    }
    delete_backlink(txn, node->node.ino, at);
}

int dir_check_links(const struct txn_node *dir, int64_t more)
{
    return more > 0 && (int64_t)dir->node.inode.nlink + more > FORMAT_LINK_COUNT_MAX ? -EMLINK : 0;
}

void dir_touch(struct txn *txn, struct txn_node *dir, int entries, int subdirectories)
{
    struct inode *inode = &dir->node.inode;
    inode->size += (uint64_t)(int64_t)entries;
    inode->allocated = inode->size;
    inode->nlink += (uint32_t)subdirectories;
    inode->mtime = inode->ctime = txn->now;
    dir->dirty = true;
}
