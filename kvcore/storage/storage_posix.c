/* SPDX-License-Identifier: Apache-2.0 */
/* The storage seam on a local directory. The parts are in posix_*.c; here are opening, closing,
 * removing and listing. */
#include "kvcore/storage/posix_store.h"

#include <fcntl.h>
#include <stdlib.h>

enum { STAT_BLOCK_SIZE = 512 }; /* the unit of st_blocks, whatever the file system's is */

static void posix_close(struct kv_storage *base)
{
    struct posix_storage *storage = posix_storage(base);
    if (storage == NULL) {
        return;
    }
    if (atomic_load(&storage->unpublished) && atomic_load(&storage->lease) == KV_LEASE_EXCLUSIVE) {
        posix_unmake(storage);
    }
    posix_close_file(storage, storage->lock_fd); /* and with it the lock is gone */
    posix_close_file(storage, storage->dir);
    mutex_finish(&storage->mu);
    free(storage->path);
    free(storage->tmp_name);
    free(storage);
}

static const char *posix_name(const struct kv_storage *base)
{
    return ((const struct posix_storage *)base)->path;
}

static int posix_remove(struct kv_storage *base, struct kv_file_id id)
{
    struct posix_storage *storage = posix_storage(base);
    char name[POSIX_NAME_SIZE];
    int r = posix_check_writable(storage);
    if (r < 0) {
        return r;
    }
    posix_name_format(id, name);
    return storage->calls->unlinkat(storage->calls_arg, storage->dir, name);
}

struct list_state {
    struct posix_storage *storage;
    kv_list_fn *fn;
    void *fn_arg;
    bool remove_leftovers;
};

static int list_leftover(const struct list_state *state, const char *name)
{
    struct posix_storage *storage = state->storage;
    if (!state->remove_leftovers) {
        return 0;
    }
    return storage->calls->unlinkat(storage->calls_arg, storage->dir, name);
}

static int list_name(void *arg, const char *name)
{
    const struct list_state *state = (const struct list_state *)arg;
    struct posix_storage *storage = state->storage;
    struct kv_file_id id = {0};
    struct stat st;

    switch (posix_name_parse(name, &id)) {
    case POSIX_NAME_FILE:
        break;
    case POSIX_NAME_LEFTOVER:
        return list_leftover(state, name);
    default:
        return 0;
    }
    int r = storage->calls->lstatat(storage->calls_arg, storage->dir, name, &st);
    if (r == -ENOENT) {
        return 0; /* removed meanwhile */
    }
    if (r == 0) {
        /* A link or device of that name is told too: opening it says what is wrong. Left out, it
         * would look as if the file had never been. */
        state->fn(state->fn_arg, id, (uint64_t)st.st_size);
    }
    return r;
}

static int posix_list(struct kv_storage *base, kv_list_fn *fn, void *arg)
{
    struct posix_storage *storage = posix_storage(base);
    struct list_state state = {
        .storage = storage,
        .fn = fn,
        .fn_arg = arg,
        .remove_leftovers = atomic_load(&storage->lease) == KV_LEASE_EXCLUSIVE,
    };
    return storage->calls->list(storage->calls_arg, storage->dir, list_name, &state);
}

struct space_state {
    struct posix_storage *storage;
    uint64_t used_bytes;
};

static int add_used(void *arg, const char *name)
{
    struct space_state *state = (struct space_state *)arg;
    struct posix_storage *storage = state->storage;
    struct kv_file_id id;
    struct stat st;

    if (posix_name_parse(name, &id) == POSIX_NAME_FOREIGN) {
        return 0;
    }
    int r = storage->calls->lstatat(storage->calls_arg, storage->dir, name, &st);
    if (r == 0) {
        state->used_bytes += (uint64_t)st.st_blocks * STAT_BLOCK_SIZE;
    }
    return r == -ENOENT ? 0 : r;
}

static int posix_space(struct kv_storage *base, struct kv_space *ret_space)
{
    struct posix_storage *storage = posix_storage(base);
    struct space_state state = {.storage = storage};
    struct statvfs fs;

    int r = storage->calls->fstatvfs(storage->calls_arg, storage->dir, &fs);
    if (r == 0) {
        r = storage->calls->list(storage->calls_arg, storage->dir, add_used, &state);
    }
    if (r < 0) {
        return r;
    }
    *ret_space = (struct kv_space){
        .total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize,
        .free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize,
        .used_bytes = state.used_bytes,
    };
    return 0;
}

static int make_reserve(struct posix_storage *storage, uint64_t bytes)
{
    int fd = posix_open_file(storage, POSIX_RESERVE_NAME, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0) {
        return fd;
    }
    int r = posix_fallocate_range(storage, fd, 0, 0, bytes);
    posix_close_file(storage, fd);
    if (r < 0) {
        posix_discard_file(storage, POSIX_RESERVE_NAME);
    }
    return r == -EOPNOTSUPP || r == -ENOSYS ? 0 : r;
}

/* A file that nobody reads or writes. A change of size makes it anew. */
static int posix_reserve(struct kv_storage *base, uint64_t bytes)
{
    struct posix_storage *storage = posix_storage(base);
    struct stat st;
    int r = posix_check_writable(storage);

    if (r < 0) {
        return r;
    }
    r = storage->calls->lstatat(storage->calls_arg, storage->dir, POSIX_RESERVE_NAME, &st);
    if (r < 0 && r != -ENOENT) {
        return r;
    }
    if (r == 0 && (uint64_t)st.st_size == bytes) {
        return 0;
    }
    if (r == 0) {
        r = storage->calls->unlinkat(storage->calls_arg, storage->dir, POSIX_RESERVE_NAME);
        if (r < 0) {
            return r;
        }
    }
    return bytes > 0 ? make_reserve(storage, bytes) : 0;
}

static const struct kv_storage_ops posix_ops = {
    .close = posix_close,
    .name = posix_name,
    .lease_acquire = posix_lease_acquire,
    .lease_describe = posix_lease_describe,
    .lease_holder = posix_lease_holder,
    .follow_move = posix_follow_move,
    .followers_oldest = posix_followers_oldest,
    .root_read = posix_root_read,
    .root_swap = posix_root_swap,
    .log_create = posix_log_create,
    .log_open = posix_log_open,
    .log_resume = posix_log_resume,
    .log_rewrite = posix_log_rewrite,
    .log_append = posix_log_append,
    .log_write_out = posix_log_write_out,
    .log_read = posix_log_read,
    .log_sync = posix_log_sync,
    .log_size = posix_log_size,
    .log_close = posix_log_close,
    .object_begin = posix_object_begin,
    .object_write = posix_object_write,
    .object_finish = posix_object_finish,
    .object_abort = posix_object_abort,
    .object_open = posix_object_open,
    .object_read = posix_object_read,
    .object_size = posix_object_size,
    .object_hint = posix_object_hint,
    .object_descriptor = posix_object_descriptor,
    .object_close = posix_object_close,
    .object_discard = posix_object_discard,
    .object_link = posix_object_link,
    .publish = posix_publish,
    .remove = posix_remove,
    .list = posix_list,
    .space = posix_space,
    .reserve = posix_reserve,
};

struct posix_storage *posix_storage_if(struct kv_storage *storage)
{
    return storage->ops == &posix_ops ? posix_storage(storage) : NULL;
}

static int check_name_is_ours(void *arg, const char *name)
{
    bool *empty = (bool *)arg;
    struct kv_file_id id;
    *empty = false;
    return posix_name_parse(name, &id) == POSIX_NAME_FOREIGN ? -ENOTEMPTY : 0;
}

/* The directory of a store to be: of ours alone, and nobody else may look into it. */
static int prepare_dir(struct posix_storage *storage)
{
    bool empty = true;
    int r = storage->calls->list(storage->calls_arg, storage->dir, check_name_is_ours, &empty);
    if (r < 0 || !empty) {
        return r;
    }
    r = storage->calls->fchmod(storage->calls_arg, storage->dir, 0700);
    /* The directory of somebody else, who lets us write in it: the files are 0600 all the same. */
    return r == -EPERM ? 0 : r;
}

static int open_dir(struct posix_storage *storage)
{
    struct stat st;
    int r = 0;

    if (storage->create) {
        r = storage->calls->mkdirat(storage->calls_arg, AT_FDCWD, storage->path, 0700);
    }
    if (r < 0 && r != -EEXIST) {
        return r;
    }
    r = storage->calls->openat(storage->calls_arg, AT_FDCWD, storage->path,
                               O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (r < 0) {
        return r;
    }
    storage->dir = r;
    r = storage->calls->fstat(storage->calls_arg, storage->dir, &st);
    if (r < 0) {
        return r;
    }
    storage->owner = st.st_uid;
    return storage->create ? prepare_dir(storage) : 0;
}

int storage_posix_open_with_calls(const char *path, bool create, const struct posix_calls *calls,
                                  void *calls_arg, struct kv_storage **ret_storage)
{
    struct posix_storage *storage = calloc(1, sizeof *storage);
    int r;

    if (storage == NULL) {
        return -ENOMEM;
    }
    storage->base.ops = &posix_ops;
    storage->calls = calls;
    storage->calls_arg = calls_arg;
    storage->create = create;
    storage->dir = -1;
    mutex_init(&storage->mu, LOCK_RANK_STORAGE, "posix storage");
    storage->lock_fd = -1;
    storage->path = strdup(path);
    r = storage->path != NULL ? open_dir(storage) : -ENOMEM;
    if (r < 0) {
        posix_close(&storage->base);
        return r;
    }
    *ret_storage = &storage->base;
    return 0;
}

int kv_storage_posix_open(const char *path, bool create, struct kv_storage **ret_storage)
{
    return storage_posix_open_with_calls(path, create, &posix_calls_real, NULL, ret_storage);
}
