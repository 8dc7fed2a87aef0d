/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of keys.
 *
 * A commit looks twice. First without locks, which says what directories and how many new inode
 * numbers it takes, and brings the rows into memory. Then with the names of those directories
 * standing still; if other directories turn out to be on the way, it starts over and takes them
 * all, so that a busy tree delays it once. Refused: one lock for the whole tree, which every
 * operation would have to take. */
#include "fs/core/batch_write.h"

#include <stdlib.h>

#include "fs/core/fs_internal.h"
#include "fs/core/keyspace.h"
#include "fs/core/orphan.h"

/* ---- collecting ------------------------------------------------------------------------------ */

int kvfs_batch_create(struct kvfs_batch **ret_batch)
{
    struct kvfs_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        return -ENOMEM;
    }
    batch->only_deletes = true;
    batch->failed_at = -1;
    *ret_batch = batch;
    return 0;
}

void kvfs_batch_destroy(struct kvfs_batch *batch)
{
    if (batch != NULL) {
        free(batch->items);
        free(batch);
    }
}

static size_t count_components(struct kv_slice key)
{
    size_t count = 1;
    for (size_t i = 0; i < key.size; i++) {
        count += key.data[i] == '/';
    }
    return count;
}

static int add(struct kvfs_batch *batch, const struct batch_item *item)
{
    char fault[128];
    int r = kvfs_key_check(item->key, fault, sizeof fault);
    if (r < 0) {
        return r;
    }
    if (item->value.size > KV_VALUE_SIZE_MAX) {
        return -EFBIG;
    }
    if (batch->count == KVFS_BATCH_ITEMS_MAX) {
        return -E2BIG;
    }
    if (batch->count == batch->capacity) {
        size_t capacity = batch->capacity == 0 ? 16 : 2 * batch->capacity;
        struct batch_item *items = realloc(batch->items, capacity * sizeof *items);
        if (items == NULL) {
            return -ENOMEM;
        }
        batch->items = items;
        batch->capacity = capacity;
    }
    batch->items[batch->count++] = *item;
    batch->components += count_components(item->key);
    return 0;
}

int kvfs_batch_put(struct kvfs_batch *batch, struct kv_slice key, struct kv_slice value)
{
    int r = add(batch, &(struct batch_item){.kind = BATCH_PUT, .key = key, .value = value});
    batch->only_deletes = batch->only_deletes && r < 0;
    return r;
}

int kvfs_batch_delete(struct kvfs_batch *batch, struct kv_slice key, bool may_miss)
{
    return add(batch, &(struct batch_item){.kind = BATCH_DELETE, .key = key, .may_miss = may_miss});
}

int kvfs_batch_if_absent(struct kvfs_batch *batch, struct kv_slice key)
{
    return add(batch, &(struct batch_item){.kind = BATCH_IF_ABSENT, .key = key});
}

int kvfs_batch_if_equal(struct kvfs_batch *batch, struct kv_slice key, struct kv_slice value)
{
    return add(batch, &(struct batch_item){.kind = BATCH_IF_EQUAL, .key = key, .value = value});
}

long kvfs_batch_failed_at(const struct kvfs_batch *batch)
{
    return batch->failed_at;
}

bool kvfs_batch_missed(const struct kvfs_batch *batch, size_t index)
{
    return index < batch->count && batch->items[index].missed;
}

/* ---- committing ------------------------------------------------------------------------------ */

/* What one look leaves for the next. */
struct look {
    bool all; /* take every directory */
    uint64_t first_ino, ino_count;
};

static int rehearse(struct kvfs *fs, struct kvfs_batch *batch, struct txn *txn, struct look *look)
{
    struct batch_tree tree;
    uint64_t *dirs = NULL;
    unsigned count = 0;
    int r = batch_tree_init(&tree, fs, batch);
    if (r < 0) {
        return r;
    }
    /* What fails here is said by the second look, which nobody disturbs. */
    kv_ignore(batch_tree_check(&tree, batch));
    kv_ignore(batch_tree_apply(&tree, batch));
    batch->failed_at = -1;
    look->ino_count = look->all ? 2 * batch->components : tree.fresh_count;
    dirs = calloc(look->all ? STRIPE_COUNT : tree.dir_count, sizeof *dirs);
    r = dirs == NULL ? -ENOMEM : 0;
    if (r == 0 && look->ino_count > 0) {
        r = ino_alloc(fs, look->ino_count, &look->first_ino);
    }
    for (uint64_t i = 0; r == 0 && look->all && i < STRIPE_COUNT; i++) {
        dirs[count++] = STRIPE_COUNT + i; /* one number of each stripe, none of them 0 */
    }
    for (struct batch_dir *dir = tree.dirs; r == 0 && !look->all && dir != NULL; dir = dir->next) {
        dirs[count] = dir->ino;
        count += !dir->fresh;
    }
    if (r == 0) {
        txn_lock_dirs(txn, dirs, count);
    }
    free(dirs);
    batch_tree_finish(&tree);
    return r;
}

static bool stands_still(const struct batch_tree *tree, const struct txn *txn,
                         const struct look *look)
{
    for (const struct batch_dir *dir = tree->dirs; dir != NULL; dir = dir->next) {
        if (!dir->fresh && !stripe_set_has(&txn->dirs, dir->ino)) {
            return false;
        }
    }
    return tree->fresh_count <= look->ino_count;
}

static void number_fresh(struct batch_tree *tree, uint64_t next_ino)
{
    for (struct batch_dir *dir = tree->dirs; dir != NULL; dir = dir->next) {
        if (dir->fresh) {
            dir->ino = next_ino++;
        }
    }
    for (struct batch_file *file = tree->files; file != NULL; file = file->next) {
        if (file->fresh) {
            file->ino = next_ino++;
        }
    }
}

/* The directory stripes are held. Returns 1 to start over. A condition that does not hold comes
 * before a change that is not possible: who asked for both wants to know that. */
static int commit_locked(const struct batch_writing *w, const struct look *look)
{
    struct kvfs_batch *batch = w->batch;
    batch->failed_at = -1;
    int r = batch_tree_check(w->tree, batch);
    int impossible = r == 0 ? batch_tree_apply(w->tree, batch) : 0;
    if (!stands_still(w->tree, w->txn, look)) {
        return 1;
    }
    if (r < 0) {
        return r;
    }
    long failed_at = batch->failed_at;
    number_fresh(w->tree, look->first_ino);
    r = batch_lock_inodes(w);
    if (r == 0) {
        r = batch_compare(w);
    }
    if (r == 0 && impossible < 0) {
        batch->failed_at = failed_at;
        r = impossible;
    }
    return r < 0 ? r : batch_write(w);
}

static void settle_orphans(struct kvfs *fs, const struct batch_tree *tree)
{
    for (const struct batch_file *file = tree->files; file != NULL; file = file->next) {
        orphan_settle(fs, file->orphan);
    }
}

/* All names before all inodes: see put_once() in keyspace.c. */
static void tell_all(struct kvfs *fs, const struct batch_tree *tree)
{
    for (const struct batch_name *name = tree->names; name != NULL; name = name->next) {
        if (name->changed) {
            key_tell(fs, name->parent->ino, name->name);
        }
    }
    for (const struct batch_file *file = tree->files; file != NULL; file = file->next) {
        if (file->changed && !file->fresh) {
            key_tell(fs, file->ino, kv_slice(NULL, 0));
        }
    }
}

static int commit_once(struct kvfs *fs, const struct kvfs_who *who, struct kvfs_batch *batch,
                       struct look *look)
{
    struct batch_tree tree = {0};
    struct txn *txn = NULL;
    int r = txn_begin(fs, &txn);
    if (r < 0) {
        return r;
    }
    if (batch->only_deletes) {
        txn_frees_space(txn);
    }
    r = rehearse(fs, batch, txn, look);
    if (r == 0) {
        r = batch_tree_init(&tree, fs, batch);
    }
    if (r == 0) {
        struct batch_writing w = {.txn = txn, .tree = &tree, .batch = batch, .who = who};
        r = commit_locked(&w, look);
    }
    txn_end(txn);
    if (r == 0) {
        settle_orphans(fs, &tree);
        tell_all(fs, &tree);
    }
    batch_tree_finish(&tree);
    return r;
}

int kvfs_batch_commit(struct kvfs *fs, const struct kvfs_who *who, struct kvfs_batch *batch)
{
    struct look look = {0};
    int r;
    batch->failed_at = -1;
    do {
        r = commit_once(fs, who, batch, &look);
        look.all = r == 1;
    } while (r == 1 || r == -ESTALE);
    return r;
}
