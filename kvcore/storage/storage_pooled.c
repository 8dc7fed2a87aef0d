/* SPDX-License-Identifier: Apache-2.0 */
/* The storage seam on a pool of objects. The parts are in pooled_*.c; here are opening, closing and
 * what concerns all files. */
#include <assert.h>
#include <stdlib.h>

#include "kvcore/storage/pooled_store.h"

static void pooled_close(struct kv_storage *base)
{
    struct pooled_storage *storage = pooled_storage(base);

    assert(storage->files == NULL);
    pooled_sender_finish(&storage->sender);
    pooled_flights_finish(&storage->flights);
    pooled_lease_release(storage);
    storage->pool->ops->close(storage->pool);
    condvar_finish(&storage->wake);
    condvar_finish(&storage->renewed);
    mutex_finish(&storage->reserve_mu);
    mutex_finish(&storage->mu);
    free(storage->url);
    free(storage);
}

static const char *pooled_name(const struct kv_storage *base)
{
    return ((const struct pooled_storage *)base)->url;
}

/* It has its name from the start: what is not whole has no root record. */
static int pooled_publish(struct kv_storage *base)
{
    return 0;
}

static int pooled_remove(struct kv_storage *base, struct kv_file_id id)
{
    return pooled_file_remove(pooled_storage(base), id);
}

/* One name: told, or what is left of it removed. A damaged file is told too, so that whoever needs
 * it opens it and learns of the damage, rather than that there is no such file. */
static int list_item(struct pooled_storage *storage, const struct pooled_dir_item *item,
                     kv_list_fn *fn, void *arg)
{
    uint64_t size = 0;
    int r = 0;

    if (item->damaged || item->entry.state == POOLED_OPEN || item->entry.state == POOLED_FINISHED) {
        r = item->damaged ? 0 : pooled_item_size(storage, item, &size);
        r = r == -KV_EDAMAGED ? 0 : r;
        if (r == 0 && !pooled_is_reserve(item->id)) {
            fn(arg, item->id, size);
        }
    } else if (atomic_load(&storage->lease) == KV_LEASE_EXCLUSIVE) {
        r = pooled_file_sweep(storage, item->id);
    }
    return r;
}

static int pooled_list(struct kv_storage *base, kv_list_fn *fn, void *arg)
{
    struct pooled_storage *storage = pooled_storage(base);
    struct pooled_dir_item *items = NULL;
    size_t count = 0;
    int r = pooled_dir_list(storage, &items, &count);

    if (r == -ENOENT) { /* a store that is not made yet has no files */
        r = pooled_root_missing(storage);
        return r == -ENOENT ? 0 : r;
    }
    r = r < 0 ? r : pooled_check_lease(storage);
    for (size_t i = 0; i < count && r == 0; i++) {
        r = list_item(storage, &items[i], fn, arg);
    }
    free(items);
    return r < 0 ? r : pooled_check_lease(storage); /* sizes were read as well */
}

/* A client learns how much room the disks have, not what is left of that for copies in this pool.
 */
static int pooled_space(struct kv_storage *base, struct kv_space *ret_space)
{
    return -EOPNOTSUPP;
}

static int pooled_lease_state(struct kv_storage *base, struct kv_lease_state *ret_state)
{
    struct pooled_storage *storage = pooled_storage(base);
    struct kv_lease_state state = {.duration_ms = storage->options.lease_ms};
    struct kv_buf bytes = {0};
    int mode = atomic_load(&storage->lease);
    int r = 0;

    if (mode != 0) {
        uint64_t now_ns = storage->pool->ops->now_ns(storage->pool);
        uint64_t until_ns = atomic_load(&storage->valid_until_ns);
        state.epoch = storage->epoch;
        state.left_ms =
            until_ns > now_ns && !atomic_load(&storage->lost) ? (until_ns - now_ns) / 1000000 : 0;
    }
    if (mode == 0 || mode == KV_LEASE_FOLLOW) { /* which lets writers come */
        r = storage->pool->ops->attribute(storage->pool, POOLED_ROOT, POOLED_EPOCH_ATTR, &bytes);
        r = r < 0 ? r : pooled_count_decode(kv_buf_slice(&bytes), &state.epoch);
        kv_buf_finish(&bytes);
    }
    if (r == 0) {
        *ret_state = state;
    }
    return r;
}

/* The root object goes last: without its directory nobody would find the pieces. Followers are told
 * before anything that they read is gone. */
static int pooled_erase(struct kv_storage *base)
{
    struct pooled_storage *storage = pooled_storage(base);
    struct pooled_dir_item *items = NULL;
    size_t count = 0;

    if (atomic_load(&storage->lease) != KV_LEASE_EXCLUSIVE) {
        return -EROFS;
    }
    int r = pooled_check_epoch(storage); /* whose followers they are */
    r = r < 0 ? r : pooled_followers_erase(storage);
    r = r < 0 ? r : pooled_dir_list(storage, &items, &count);
    for (size_t i = 0; i < count && r == 0; i++) {
        bool exists =
            items[i].entry.state == POOLED_OPEN || items[i].entry.state == POOLED_FINISHED;
        if (!items[i].damaged) { /* else nobody knows what its pieces are called */
            r = exists ? pooled_file_remove(storage, items[i].id)
                       : pooled_file_sweep(storage, items[i].id);
        }
    }
    free(items);
    r = r < 0 ? r : pooled_change(storage, POOLED_ROOT, &(struct pool_change){.remove = true});
    if (r == 0) {
        kv_ignore(pooled_followers_erase(storage)); /* who came in between */
    }
    return r;
}

static const struct kv_storage_ops pooled_ops = {
    .close = pooled_close,
    .name = pooled_name,
    .lease_acquire = pooled_lease_acquire,
    .lease_describe = pooled_lease_describe,
    .lease_holder = pooled_lease_holder,
    .lease_watch = pooled_lease_watch,
    .root_read = pooled_root_read,
    .root_swap = pooled_root_swap,
    .log_create = pooled_log_create,
    .log_open = pooled_log_open,
    .log_resume = pooled_log_resume,
    .log_rewrite = pooled_log_rewrite,
    .log_append = pooled_log_append,
    .log_stand_alone = pooled_log_stand_alone,
    .log_append_through = pooled_log_append_through,
    .log_write_out = pooled_log_write_out,
    .log_read = pooled_log_read,
    .log_sync = pooled_log_sync,
    .log_sync_keeps = true,
    .log_size = pooled_log_size,
    .log_close = pooled_log_close,
    .object_begin = pooled_object_begin,
    .object_write = pooled_object_write,
    .object_finish = pooled_object_finish,
    .object_abort = pooled_object_abort,
    .object_open = pooled_object_open,
    .object_read = pooled_object_read,
    .object_size = pooled_object_size,
    .object_hint = pooled_object_hint,
    .object_descriptor = pooled_object_descriptor,
    .object_close = pooled_object_close,
    .object_discard = pooled_object_discard,
    .object_link = pooled_object_link,
    .publish = pooled_publish,
    .remove = pooled_remove,
    .list = pooled_list,
    .space = pooled_space,
    .reserve = pooled_reserve,
    .lease_state = pooled_lease_state,
    .erase = pooled_erase,
    .follow_move = pooled_follow_move,
    .followers_oldest = pooled_followers_oldest,
};

int pooled_storage_open(struct pool *take_pool, const char *url,
                        const struct pooled_options *options, struct kv_storage **ret_storage)
{
    struct pooled_storage *storage = calloc(1, sizeof *storage);
    char *name = strdup(url);

    if (storage == NULL || name == NULL) {
        take_pool->ops->close(take_pool);
        free(storage);
        free(name);
        return -ENOMEM;
    }
    storage->base.ops = &pooled_ops;
    storage->pool = take_pool;
    storage->url = name;
    storage->options = *options;
    mutex_init(&storage->mu, LOCK_RANK_STORAGE, "storage on RADOS");
    mutex_init(&storage->reserve_mu, LOCK_RANK_RESERVE, "reserve on RADOS");
    condvar_init(&storage->wake);
    condvar_init(&storage->renewed);
    pooled_sender_init(&storage->sender);
    pooled_flights_init(&storage->flights);
    *ret_storage = &storage->base;
    return 0;
}
