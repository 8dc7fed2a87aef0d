/* SPDX-License-Identifier: Apache-2.0 */
/* A store directory that has its name only once it is whole.
 *
 * It is made as NAME.tmp beside the name it is to have, and renamed when everything in it is
 * durable. A crash leaves NAME.tmp, which the next attempt takes over: whoever holds its lease is
 * the only one at work on it, and so removes what it finds. */
#include "kvcore/storage/posix_store.h"

#include <fcntl.h>
#include <stdlib.h>

static const char tmp_suffix[] = ".tmp";

static int open_parent(struct posix_storage *storage)
{
    return storage->calls->openat(storage->calls_arg, storage->dir, "..",
                                  O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

/* Everything but the lock, which keeps others away. */
static int wipe_name(void *arg, const char *name)
{
    struct posix_storage *storage = (struct posix_storage *)arg;
    if (strcmp(name, POSIX_LOCK_NAME) == 0) {
        return 0;
    }
    return storage->calls->unlinkat(storage->calls_arg, storage->dir, name);
}

int posix_wipe(struct posix_storage *storage)
{
    return storage->calls->list(storage->calls_arg, storage->dir, wipe_name, storage);
}

/* What fails here leaves a directory that the next attempt takes over. */
void posix_unmake(struct posix_storage *storage)
{
    int parent;
    int r = posix_wipe(storage);

    if (r < 0) {
        return;
    }
    posix_discard_file(storage, POSIX_LOCK_NAME);
    parent = open_parent(storage);
    if (parent >= 0) {
        kv_ignore(storage->calls->rmdirat(storage->calls_arg, parent, storage->tmp_name));
        posix_close_file(storage, parent);
    }
}

int posix_publish(struct kv_storage *base)
{
    struct posix_storage *storage = posix_storage(base);
    char *name = NULL;
    int parent = -1;
    int r = posix_check_writable(storage);

    if (r < 0 || !atomic_load(&storage->unpublished)) {
        return r;
    }
    name = strndup(storage->tmp_name, strlen(storage->tmp_name) - strlen(tmp_suffix));
    if (name == NULL) {
        return -ENOMEM;
    }
    parent = open_parent(storage);
    if (parent < 0) {
        r = parent;
        goto out;
    }
    r = posix_rename_new(storage, parent, storage->tmp_name, name);
    if (r < 0) {
        goto out;
    }
    atomic_store(&storage->unpublished, false);
    r = storage->calls->fsync(storage->calls_arg, parent);
out:
    posix_close_file(storage, parent);
    free(name);
    return r;
}

/* The last part of a path that does not end in a slash. */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int open_tmp(const char *path, const struct posix_calls *calls, void *calls_arg,
                    struct kv_storage **ret_storage)
{
    struct kv_buf tmp_path = {0};
    struct stat st;
    int r = calls->lstatat(calls_arg, AT_FDCWD, path, &st);

    if (r != -ENOENT) {
        return r < 0 ? r : -EEXIST;
    }
    r = kv_buf_append(&tmp_path, kv_slice_str(path));
    r = r < 0 ? r : kv_buf_append(&tmp_path, kv_slice(tmp_suffix, sizeof tmp_suffix));
    r = r < 0 ? r
              : storage_posix_open_with_calls((const char *)tmp_path.data, true, calls, calls_arg,
                                              ret_storage);
    kv_buf_finish(&tmp_path);
    return r;
}

int storage_posix_begin_with_calls(const char *path, const struct posix_calls *calls,
                                   void *calls_arg, struct kv_storage **ret_storage)
{
    struct kv_storage *base = NULL;
    struct posix_storage *storage;
    size_t size = strlen(path);
    char *name = NULL;
    int r;

    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    name = strndup(path, size);
    if (name == NULL) {
        return -ENOMEM;
    }
    if (strcmp(last_part(name), "") == 0 || strcmp(last_part(name), ".") == 0 ||
        strcmp(last_part(name), "..") == 0) {
        r = -EINVAL;
        goto out;
    }
    r = open_tmp(name, calls, calls_arg, &base);
    if (r < 0) {
        goto out;
    }
    storage = posix_storage(base);
    storage->tmp_name = strdup(last_part(storage->path));
    if (storage->tmp_name == NULL) {
        base->ops->close(base);
        r = -ENOMEM;
        goto out;
    }
    free(storage->path); /* messages tell of the name it is to have */
    storage->path = name;
    name = NULL;
    atomic_store(&storage->unpublished, true);
    *ret_storage = base;
out:
    free(name);
    return r;
}

int kv_storage_posix_begin(const char *path, struct kv_storage **ret_storage)
{
    return storage_posix_begin_with_calls(path, &posix_calls_real, NULL, ret_storage);
}
