/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/unlinked.h"

#include <stdlib.h>

#include "fs/core/fs_internal.h"

struct unlinked {
    struct unlinked *next; /* of the stripe */
    uint64_t ino;
    uint64_t size; /* of the file: where its extent ends */
    uint32_t inode_size, extent_size;
    uint8_t bytes[]; /* the value of its I row, then that of its extent */
};

static struct inode_stripe *stripe_for(struct kvfs *fs, uint64_t ino)
{
    struct inode_stripe *stripe = &fs->stripes.inodes[stripe_of(ino)];
    mutex_assert_held(&stripe->mu);
    return stripe;
}

static size_t memory_of(const struct unlinked *unlinked)
{
    return sizeof *unlinked + unlinked->inode_size + unlinked->extent_size;
}

bool unlinked_has_room(struct kvfs *fs)
{
    return atomic_load_explicit(&fs->unlinked_bytes, memory_order_relaxed) < fs->unlinked_max;
}

struct unlinked *unlinked_make(struct kvfs *fs, const struct node *node, struct kv_slice extent)
{
    uint8_t value[INODE_SIZE_MAX];
    size_t inode_size = inode_encode(value, &node->inode);
    struct unlinked *unlinked = malloc(sizeof *unlinked + inode_size + extent.size);
    if (unlinked == NULL) {
        return NULL;
    }
    *unlinked = (struct unlinked){.ino = node->ino,
                                  .size = node->inode.size,
                                  .inode_size = (uint32_t)inode_size,
                                  .extent_size = (uint32_t)extent.size};
    memcpy(unlinked->bytes, value, inode_size);
    if (extent.size > 0) {
        memcpy(unlinked->bytes + inode_size, extent.data, extent.size);
    }
    atomic_fetch_add_explicit(&fs->unlinked_bytes, memory_of(unlinked), memory_order_relaxed);
    return unlinked;
}

void unlinked_free(struct kvfs *fs, struct unlinked *unlinked)
{
    if (unlinked != NULL) {
        atomic_fetch_sub_explicit(&fs->unlinked_bytes, memory_of(unlinked), memory_order_relaxed);
        free(unlinked);
    }
}

/* The link that leads to it, or to NULL. Few are kept at a time. */
static struct unlinked **find(struct kvfs *fs, uint64_t ino)
{
    struct unlinked **link = &stripe_for(fs, ino)->unlinked;
    while (*link != NULL && (*link)->ino != ino) {
        link = &(*link)->next;
    }
    return link;
}

bool unlinked_drop(struct kvfs *fs, uint64_t ino)
{
    struct unlinked **link = find(fs, ino);
    struct unlinked *found = *link;
    if (found == NULL) {
        return false;
    }
    *link = found->next;
    unlinked_free(fs, found);
    return true;
}

void unlinked_keep(struct kvfs *fs, struct unlinked *unlinked)
{
    struct inode_stripe *stripe = stripe_for(fs, unlinked->ino);
    unlinked_drop(fs,
                  unlinked->ino); /* two entries of one number: damage that nobody repaired yet */
    unlinked->next = stripe->unlinked;
    stripe->unlinked = unlinked;
}

static struct kv_slice inode_of(const struct unlinked *unlinked)
{
    return kv_slice(unlinked->bytes, unlinked->inode_size);
}

static struct kv_slice extent_of(const struct unlinked *unlinked)
{
    return kv_slice(unlinked->bytes + unlinked->inode_size, unlinked->extent_size);
}

int unlinked_load(struct kvfs *fs, uint64_t ino, struct node *ret_node)
{
    const struct unlinked *found = *find(fs, ino);
    if (found == NULL) {
        return -ENOENT;
    }
    ret_node->ino = ino;
    location_set(&ret_node->loc, 0, kv_slice(NULL, 0));
    return inode_decode(inode_of(found), &ret_node->inode);
}

int unlinked_read(struct kvfs *fs, uint64_t ino, struct kv_buf *to)
{
    const struct unlinked *found = *find(fs, ino);
    return found == NULL ? -ENOENT : kv_buf_assign(to, extent_of(found));
}

static void put_rows(struct txn *txn, const struct unlinked *unlinked)
{
    struct rowkey key;
    rowkey_inode(&key, unlinked->ino);
    txn_put(txn, txn->fs->meta, &key, inode_of(unlinked));
    orphan_put_row(txn, unlinked->ino);
    if (unlinked->extent_size > 0) {
        rowkey_extent(&key, unlinked->ino, unlinked->size);
        txn_put(txn, txn->fs->data, &key, extent_of(unlinked));
    }
}

int unlinked_store(struct kvfs *fs, uint64_t ino)
{
    const struct unlinked *found = *find(fs, ino);
    struct txn *txn = NULL;
    if (found == NULL) {
        return -ENOENT;
    }
    int r = txn_begin(fs, &txn);
    if (r < 0) {
        return r;
    }
    txn_may_lag(txn); /* what changes it comes behind */
    put_rows(txn, found);
    r = txn_commit(txn);
    txn_end(txn);
    if (r == 0) {
        unlinked_drop(fs, ino);
    }
    return r;
}

void unlinked_drop_all(struct kvfs *fs)
{
    for (unsigned i = 0; i < STRIPE_COUNT; i++) {
        stripe_lock(&fs->stripes, i);
        while (fs->stripes.inodes[i].unlinked != NULL) {
            unlinked_drop(fs, fs->stripes.inodes[i].unlinked->ino);
        }
        stripe_unlock(&fs->stripes, i);
    }
}
