/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming the writer: raise the epoch of the root object, shut the writer before out, raise the
 * epoch of every file that was open. See docs/architecture.md, "A store on Ceph RADOS". */
#include "kvcore/storage/pooled_store.h"

#include <stdlib.h>

#include "kvcore/util/rng.h"

/* ---- the root object --------------------------------------------------------------------------
 */

/* An attribute of the root object that every store has. */
static int read_attribute(struct pooled_storage *storage, const char *name, struct kv_buf *ret)
{
    int r = storage->pool->ops->attribute(storage->pool, POOLED_ROOT, name, ret);
    return r == -ENODATA ? -KV_EDAMAGED : r;
}

static int read_count(struct pooled_storage *storage, const char *name, uint64_t *ret_value)
{
    struct kv_buf bytes = {0};
    int r = read_attribute(storage, name, &bytes);
    r = r < 0 ? r : pooled_count_decode(kv_buf_slice(&bytes), ret_value);
    kv_buf_finish(&bytes);
    return r;
}

static int check_layout(struct pooled_storage *storage)
{
    struct kv_buf bytes = {0};
    int r = read_attribute(storage, POOLED_LAYOUT_ATTR, &bytes);
    if (r == 0 && !kv_slice_equal(kv_buf_slice(&bytes), kv_slice_str(POOLED_LAYOUT))) {
        r = -KV_EFORMAT;
    }
    kv_buf_finish(&bytes);
    return r;
}

int pooled_look_before(struct pooled_storage *storage, enum kv_lease_mode mode,
                       struct pooled_before *ret_before)
{
    struct pooled_before before = {0};
    uint64_t version = 0;
    bool may_make = mode == KV_LEASE_EXCLUSIVE && storage->options.create;

    int r = check_layout(storage);
    if (r == -ENOENT && may_make) {
        *ret_before = (struct pooled_before){.missing = true};
        return 0;
    }
    r = r < 0 ? r : read_count(storage, POOLED_EPOCH_ATTR, &before.epoch);
    r = r < 0 ? r : read_count(storage, POOLED_TERM_ATTR, &before.term);
    if (r == 0 && (before.epoch == 0 || before.epoch == UINT64_MAX)) {
        r = -KV_EDAMAGED; /* nobody has counted so far */
    }
    r = r < 0 ? r : read_count(storage, POOLED_VERSION_ATTR, &version);
    if (r == 0 && version == 0 && !storage->options.create) {
        r = -ENOENT; /* somebody began to make one and came no further */
    }
    if (r == 0) {
        *ret_before = before;
    }
    return r;
}

/* A number that no store of this name has had: its objects have other names than those of one that
 * was here before and was purged, and a writer of that one, which may still run, holds another
 * epoch than any of them. With room to count. */
static uint64_t first_epoch(void)
{
    return rng_entropy() >> 2 | 1;
}

static int make_root(struct pooled_storage *storage, struct kv_slice holder)
{
    struct pooled_count none = pooled_count_encode(0);
    struct pool_value attributes[] = {
        {POOLED_LAYOUT_ATTR, kv_slice_str(POOLED_LAYOUT)},
        {POOLED_EPOCH_ATTR, pooled_count_slice(&storage->epoch_text)},
        {POOLED_TERM_ATTR, pooled_count_slice(&none)},
        {POOLED_VERSION_ATTR, pooled_count_slice(&none)},
        {POOLED_HOLDER_ATTR, holder},
    };
    /* Not every pool takes keys, and then there is to be no root without a directory. */
    int r = storage->pool->ops->change(
        storage->pool, POOLED_ROOT,
        &(struct pool_change){
            .create = true, .attributes = attributes, .attribute_count = 5, .key_removed = "none"});
    return r == -EEXIST ? -EBUSY : r;
}

static int raise_root(struct pooled_storage *storage, struct pooled_before before,
                      struct kv_slice holder)
{
    struct pooled_count epoch = pooled_count_encode(before.epoch);
    struct pooled_count term = pooled_count_encode(before.term);
    struct pooled_count none = pooled_count_encode(0);
    struct pool_guard guards[] = {
        {POOLED_EPOCH_ATTR, POOL_IS, pooled_count_slice(&epoch)},
        {POOLED_TERM_ATTR, POOL_IS, pooled_count_slice(&term)},
    };
    struct pool_value attributes[] = {
        {POOLED_EPOCH_ATTR, pooled_count_slice(&storage->epoch_text)},
        {POOLED_TERM_ATTR, pooled_count_slice(&none)},
        {POOLED_HOLDER_ATTR, holder},
    };
    int r = storage->pool->ops->change(
        storage->pool, POOLED_ROOT,
        &(struct pool_change){
            .guards = guards, .guard_count = 2, .attributes = attributes, .attribute_count = 3});
    return r == -ECANCELED || r == -ENOENT ? -EBUSY : r;
}

/* ---- the writer before ------------------------------------------------------------------------
 */

/* The address of the writer of the present epoch, empty if it has closed the store. */
static int read_last_writer(struct pooled_storage *storage,
                            char ret_address[POOLED_ADDRESS_MAX + 1])
{
    struct kv_buf bytes = {0};
    struct pooled_holder holder = {0};
    int r = read_attribute(storage, POOLED_HOLDER_ATTR, &bytes);

    if (r == 0 && bytes.size > 0) {
        r = pooled_holder_decode(kv_buf_slice(&bytes), &holder);
    }
    if (r == 0) {
        memset(ret_address, 0, POOLED_ADDRESS_MAX + 1);
        if (holder.address.size > 0) {
            memcpy(ret_address, holder.address.data, holder.address.size);
        }
    }
    kv_buf_finish(&bytes);
    return r;
}

int pooled_raise_epoch(struct pooled_storage *storage, struct pooled_before before,
                       const char *holder, char ret_last_writer[POOLED_ADDRESS_MAX + 1])
{
    char last_writer[POOLED_ADDRESS_MAX + 1] = {0};
    const char *address = storage->pool->ops->address(storage->pool);
    struct kv_buf bytes = {0};

    storage->epoch = before.missing ? first_epoch() : before.epoch + 1;
    storage->epoch_text = pooled_count_encode(storage->epoch);
    int r = pooled_holder_encode(
        (struct pooled_holder){kv_slice_str(address), kv_slice_str(holder)}, &bytes);
    if (before.missing) {
        r = r < 0 ? r : make_root(storage, kv_buf_slice(&bytes));
    } else {
        r = r < 0 ? r : read_last_writer(storage, last_writer);
        r = r < 0 ? r : raise_root(storage, before, kv_buf_slice(&bytes));
    }
    kv_buf_finish(&bytes);
    if (r == 0) {
        memcpy(ret_last_writer, last_writer, sizeof last_writer);
    }
    return r;
}

void pooled_shut_out(struct pooled_storage *storage, const char *last_writer)
{
    const struct pool_ops *ops = storage->pool->ops;

    if (last_writer[0] != '\0' && strcmp(last_writer, ops->address(storage->pool)) != 0) {
        /* The epochs suffice; this ends what they do not guard, which is reading, and sooner. Not
         * every user of a cluster may do it. */
        kv_ignore(ops->shut_out(storage->pool, last_writer));
    }
}

/* ---- open files -------------------------------------------------------------------------------
 */

/* A piece has this epoch, or one that is higher. */
static int judge_piece(struct pooled_storage *storage, const char *name)
{
    struct kv_buf bytes = {0};
    uint64_t epoch = 0;
    int r = storage->pool->ops->attribute(storage->pool, name, POOLED_EPOCH_ATTR, &bytes);
    r = r < 0 ? r : pooled_count_decode(kv_buf_slice(&bytes), &epoch);
    kv_buf_finish(&bytes);
    return r < 0 || epoch == storage->epoch ? r : pooled_lose(storage, -POOLED_EFENCED);
}

int pooled_fence_piece(struct pooled_storage *storage, const struct pooled_dir_item *item,
                       uint64_t piece)
{
    struct pool_guard below = {POOLED_EPOCH_ATTR, POOL_IS_BELOW,
                               pooled_count_slice(&storage->epoch_text)};
    struct pool_value mine = {POOLED_EPOCH_ATTR, pooled_count_slice(&storage->epoch_text)};
    char name[POOLED_NAME_SIZE];

    pooled_piece_name(item->id, item->entry.epoch, piece, name);
    int r = pooled_change_unguarded(
        storage, name,
        &(struct pool_change){
            .guards = &below, .guard_count = 1, .attributes = &mine, .attribute_count = 1});
    return r == -ECANCELED ? judge_piece(storage, name) : r;
}

int pooled_fence_file(struct pooled_storage *storage, const struct pooled_dir_item *item)
{
    for (uint64_t piece = 0; piece < item->entry.pieces; piece++) {
        int r = pooled_fence_piece(storage, item, piece);
        if (r < 0 && r != -ENOENT) { /* a piece that was lost shows when it is read */
            return r;
        }
    }
    return 0;
}

/* A damaged one stays open: it can be looked at and removed, and whoever opens it is told. */
static int finish_open(struct pooled_storage *storage, struct pooled_dir_item *item)
{
    int r = pooled_fence_file(storage, item);
    r = r < 0 ? r : pooled_item_size(storage, item, &item->entry.size);
    if (r < 0) {
        return r == -KV_EDAMAGED ? 0 : r;
    }
    item->entry.state = POOLED_FINISHED;
    return pooled_dir_put(storage, item, 1);
}

int pooled_fence_files(struct pooled_storage *storage)
{
    struct pooled_dir_item *items = NULL;
    size_t count = 0;
    int r = pooled_dir_list(storage, &items, &count);

    for (size_t i = 0; i < count && r == 0; i++) {
        if (!items[i].damaged && items[i].entry.state == POOLED_OPEN) {
            r = finish_open(storage, &items[i]);
        }
    }
    free(items);
    return r;
}
