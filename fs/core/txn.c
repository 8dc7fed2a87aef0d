/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/txn.h"

#include <assert.h>
#include <stdlib.h>

#include "fs/core/contents.h"
#include "fs/core/fs_internal.h"
#include "fs/core/unlinked.h"

enum { POOL_MAX = 32 }; /* more than that many idle ones are freed */

static void txn_destroy(struct txn *txn)
{
    kv_batch_destroy(txn->batch);
    chunk_destroy(txn->chunk);
    free(txn);
}

void txn_pool_init(struct txn_pool *pool)
{
    *pool = (struct txn_pool){0};
    mutex_init(&pool->mu, LOCK_RANK_LEAF, "operation pool");
}

void txn_pool_finish(struct txn_pool *pool)
{
    while (pool->free_list != NULL) {
        struct txn *txn = pool->free_list;
        pool->free_list = txn->next;
        txn_destroy(txn);
    }
    mutex_finish(&pool->mu);
}

static struct txn *take_from_pool(struct txn_pool *pool)
{
    mutex_lock(&pool->mu);
    struct txn *txn = pool->free_list;
    if (txn != NULL) {
        pool->free_list = txn->next;
        pool->free_count--;
    }
    mutex_unlock(&pool->mu);
    return txn;
}

static bool give_to_pool(struct txn_pool *pool, struct txn *txn)
{
    mutex_lock(&pool->mu);
    bool taken = pool->free_count < POOL_MAX;
    if (taken) {
        txn->next = pool->free_list;
        pool->free_list = txn;
        pool->free_count++;
    }
    mutex_unlock(&pool->mu);
    return taken;
}

int txn_begin(struct kvfs *fs, struct txn **ret_txn)
{
    if (fs->read_only) {
        return -EROFS;
    }
    struct txn *txn = take_from_pool(&fs->txns);
    if (txn == NULL) {
        txn = calloc(1, sizeof *txn);
        if (txn == NULL) {
            return -ENOMEM;
        }
        int r = kv_batch_create(&txn->batch);
        if (r < 0) {
            free(txn);
            return r;
        }
        txn->fs = fs;
    }
    txn->frees_space = txn->may_lag = false;
    clock_gettime(CLOCK_REALTIME, &txn->now);
    *ret_txn = txn;
    return 0;
}

static void unlock_all(struct txn *txn) NO_LOCK_ANALYSIS
{
    stripes_unlock_inodes(&txn->fs->stripes, &txn->inodes);
    stripes_unlock_dirs(&txn->fs->stripes, &txn->dirs);
    if (txn->rename_held) {
        mutex_unlock(&txn->fs->rename_mu);
        txn->rename_held = false;
    }
}

static struct txn_node *node_at(struct txn *txn, unsigned i)
{
    return i < TXN_NODE_MAX ? &txn->nodes[i] : &txn->more[i - TXN_NODE_MAX];
}

void txn_restart(struct txn *txn)
{
    unlock_all(txn);
    kv_batch_clear(txn->batch);
    for (unsigned i = 0; i < txn->node_count; i++) {
        unlinked_free(txn->fs, node_at(txn, i)->kept); /* its rows are still there */
    }
    txn->error = 0;
    txn->rows = 0;
    txn->node_count = 0;
    free(txn->more);
    txn->more = NULL;
    txn->more_max = 0;
}

void txn_end(struct txn *txn)
{
    if (txn == NULL) {
        return;
    }
    txn_restart(txn);
    if (!give_to_pool(&txn->fs->txns, txn)) {
        txn_destroy(txn);
    }
}

void txn_lock_rename(struct txn *txn) NO_LOCK_ANALYSIS
{
    mutex_lock(&txn->fs->rename_mu);
    txn->rename_held = true;
}

void txn_lock_dirs(struct txn *txn, const uint64_t *inos, unsigned count)
{
    stripes_lock_dirs(&txn->fs->stripes, &txn->dirs, inos, count);
}

void txn_lock_inodes(struct txn *txn, const uint64_t *inos, unsigned count)
{
    stripes_lock_inodes(&txn->fs->stripes, &txn->inodes, inos, count);
}

static struct txn_node *next_slot(struct txn *txn)
{
    assert(txn->node_count < TXN_NODE_MAX + txn->more_max);
    return node_at(txn, txn->node_count);
}

int txn_reserve_nodes(struct txn *txn, size_t count)
{
    assert(txn->node_count == 0 && txn->more == NULL);
    if (count <= TXN_NODE_MAX) {
        return 0;
    }
    txn->more = calloc(count - TXN_NODE_MAX, sizeof *txn->more);
    if (txn->more == NULL) {
        return -ENOMEM;
    }
    txn->more_max = count - TXN_NODE_MAX;
    return 0;
}

int txn_load(struct txn *txn, uint64_t ino, const struct location *hint, struct txn_node **ret_node)
{
    for (unsigned i = 0; i < txn->node_count; i++) {
        if (node_at(txn, i)->node.ino == ino) {
            *ret_node = node_at(txn, i);
            return 0;
        }
    }
    return txn_load_first(txn, ino, hint, ret_node);
}

int txn_load_first(struct txn *txn, uint64_t ino, const struct location *hint,
                   struct txn_node **ret_node)
{
    struct txn_node *slot = next_slot(txn);
    int r = unlinked_store(txn->fs, ino);
    if (r == 0 || r == -ENOENT) {
        r = node_load(txn->fs, ino, hint, &slot->node);
    }
    if (r < 0) {
        return r;
    }
    slot->dirty = slot->resummarize = slot->gone = slot->recounted = false;
    slot->stored = slot->node.inode.allocated;
    slot->stored_lost = slot->node.inode.lost_bytes;
    slot->kept = NULL;
    txn->node_count++;
    *ret_node = slot;
    return 0;
}

int txn_load_dir(struct txn *txn, uint64_t ino, struct txn_node **ret_node)
{
    struct txn_node *node;
    int r = txn_load(txn, ino, NULL, &node);
    if (r < 0) {
        return r;
    }
    if (!S_ISDIR(node->node.inode.mode)) {
        return -ENOTDIR;
    }
    if (node->node.inode.nlink == 0) {
        return -ENOENT;
    }
    *ret_node = node;
    return 0;
}

struct txn_node *txn_add(struct txn *txn, uint64_t ino)
{
    struct txn_node *slot = next_slot(txn);
    txn->node_count++;
    slot->node.ino = ino;
    slot->node.inode = (struct inode){0};
    slot->node.loc.parent = 0;
    slot->node.loc.name_size = 0;
    slot->dirty = slot->resummarize = slot->gone = slot->recounted = false;
    slot->stored = slot->stored_lost = 0;
    slot->kept = NULL;
    return slot;
}

void txn_put(struct txn *txn, struct kv_table *table, const struct rowkey *key,
             struct kv_slice value)
{
    txn_put_bytes(txn, table, rowkey_slice(key), value);
}

void txn_put_bytes(struct txn *txn, struct kv_table *table, struct kv_slice key,
                   struct kv_slice value)
{
    if (txn->error == 0) {
        txn->error = kv_batch_put(txn->batch, table, key, value);
        txn->rows++;
    }
}

void txn_delete(struct txn *txn, struct kv_table *table, const struct rowkey *key)
{
    txn_delete_bytes(txn, table, rowkey_slice(key));
}

void txn_delete_bytes(struct txn *txn, struct kv_table *table, struct kv_slice key)
{
    if (txn->error == 0) {
        txn->error = kv_batch_delete(txn->batch, table, key);
        txn->rows++;
    }
}

void txn_delete_range(struct txn *txn, struct kv_table *table, const struct rowkey *from,
                      const struct rowkey *to)
{
    if (txn->error == 0) {
        txn->error = kv_batch_delete_range(txn->batch, table, rowkey_slice(from), rowkey_slice(to));
        txn->rows++;
    }
}

void txn_put_lost(struct txn *txn, struct kv_table *table, const struct rowkey *key)
{
    if (txn->error == 0) {
        txn->error = kv_batch_put_lost(txn->batch, table, rowkey_slice(key));
        txn->rows++;
    }
}

int txn_put_part(struct txn *txn, struct kv_table *table, const struct rowkey *key,
                 struct kv_iter *from, size_t skip, size_t size)
{
    if (txn->error == 0) {
        int r = kv_batch_put_part(txn->batch, table, rowkey_slice(key), from, skip, size);
        if (r == -KV_EDAMAGED) {
            return r;
        }
        txn->error = r;
        txn->rows++;
    }
    return txn->error;
}

int txn_recount(struct txn *txn, struct txn_node *node)
{
    uint64_t bytes, lost;
    if (node->recounted) {
        return 0;
    }
    int r = extent_count(txn->fs, node->node.ino, &bytes, &lost);
    if (r == 0) {
        node->node.inode.allocated += bytes - node->stored;
        node->node.inode.lost_bytes += lost - node->stored_lost;
        node->stored = bytes;
        node->stored_lost = lost;
        node->recounted = true;
    }
    return r;
}

void txn_put_backptr(struct txn *txn, const struct node *node)
{
    struct rowkey key;
    assert(node->loc.parent != 0);
    rowkey_backptr(&key, node->ino);
    size_t size =
        backptr_encode(txn->value, node->loc.parent, location_name(&node->loc), &node->inode);
    txn_put(txn, txn->fs->meta, &key, kv_slice(txn->value, size));
}

void txn_put_inode(struct txn *txn, const struct node *node)
{
    struct rowkey key;
    size_t size;
    if (!inode_is_sound(&node->inode)) {
        rowkey_inode(&key, node->ino);
        int r = fs_row_damaged(txn->fs, rowkey_slice(&key), "it does not count what it holds");
        txn->error = txn->error != 0 ? txn->error : r;
        return;
    }
    if (node->loc.parent != 0) {
        rowkey_dirent(&key, node->loc.parent, location_name(&node->loc));
        size = dirent_encode_inode(txn->value, node->ino, &node->inode);
    } else {
        rowkey_inode(&key, node->ino);
        size = inode_encode(txn->value, &node->inode);
    }
    txn_put(txn, txn->fs->meta, &key, kv_slice(txn->value, size));
}

/* The summary in each link of an inode with an I row. */
static int put_summaries(struct txn *txn, const struct node *node)
{
    struct kvfs *fs = txn->fs;
    struct kv_iter *iter = NULL;
    struct rowkey lower;
    struct rowkey upper;
    struct rowkey key;
    uint8_t value[SUMMARY_SIZE];
    size_t size = summary_encode(value, &node->inode);
    rowkey_backptr(&lower, node->ino);
    rowkey_kind_end(&upper, ROW_BACKPTR, node->ino);
    int r = fs_iter(fs->meta, NULL, &lower, &upper, &iter);
    if (r < 0) {
        return r;
    }
    for (kv_iter_seek_first(iter); kv_iter_valid(iter); kv_iter_next(iter)) {
        struct kv_slice bytes = kv_iter_key(iter);
        if (bytes.size > ROWKEY_SIZE_MAX) {
            continue;
        }
        memcpy(key.bytes, bytes.data, bytes.size);
        key.size = bytes.size;
        txn_put(txn, fs->meta, &key, kv_slice(value, size));
    }
    r = fs_iter_result(iter);
    kv_iter_destroy(iter);
    return r;
}

static int collect_nodes(struct txn *txn)
{
    int r = 0;
    for (unsigned i = 0; i < txn->node_count && r == 0; i++) {
        struct txn_node *slot = node_at(txn, i);
        if (slot->gone || !slot->dirty) {
            continue;
        }
        txn_put_inode(txn, &slot->node);
        if (slot->resummarize && slot->node.loc.parent != 0) {
            txn_put_backptr(txn, &slot->node);
        } else if (slot->resummarize) {
            r = put_summaries(txn, &slot->node);
        }
    }
    return r != 0 ? r : txn->error;
}

/* After a commit, or after a write whose outcome is unknown: then the cache forgets, so that what
 * is shown next is what the rows say. */
static void update_cache(struct txn *txn, bool committed)
{
    struct stripes *stripes = &txn->fs->stripes;
    for (unsigned i = 0; i < txn->node_count; i++) {
        struct txn_node *slot = node_at(txn, i);
        struct icache *cache = &stripes->inodes[stripe_of(slot->node.ino)].cache;
        assert(stripe_set_has(&txn->inodes, slot->node.ino));
        if (slot->gone) {
            icache_drop(cache, slot->node.ino);
            stripe_changed(stripes, slot->node.ino);
            if (committed && slot->kept != NULL) {
                unlinked_keep(txn->fs, slot->kept);
                slot->kept = NULL;
            }
        } else if (slot->dirty) {
            if (committed) {
                /* Without memory there is no entry, which is as true. */
                kv_ignore(icache_put(cache, &slot->node));
            } else {
                icache_drop(cache, slot->node.ino);
            }
            stripe_changed(stripes, slot->node.ino);
        }
        slot->dirty = slot->resummarize = false;
        slot->stored = slot->node.inode.allocated;
        slot->stored_lost = slot->node.inode.lost_bytes;
    }
}

void txn_frees_space(struct txn *txn)
{
    txn->frees_space = true;
}

void txn_may_lag(struct txn *txn)
{
    txn->may_lag = true;
}

int txn_commit(struct txn *txn)
{
    int r = collect_nodes(txn);
    if (txn->frees_space) {
        kv_batch_use_reserve(txn->batch);
    }
    if (r == 0) {
        r = fs_result(kv_write(txn->fs->store, txn->batch,
                               txn->may_lag ? KV_DURABLE_NONE : KV_DURABLE_WRITE));
        update_cache(txn, r == 0);
    }
    kv_batch_clear(txn->batch);
    txn->rows = 0;
    return r;
}
