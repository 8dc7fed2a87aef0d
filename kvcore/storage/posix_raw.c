/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/posix_raw.h"

#include <fcntl.h>
#include <unistd.h>

#include "kvcore/storage/posix_store.h"
#include "kvcore/storage/root_slot.h"

static enum raw_kind raw_kind_of(enum posix_name_kind kind)
{
    switch (kind) {
    case POSIX_NAME_FIXED:
        return RAW_FIXED;
    case POSIX_NAME_FILE:
        return RAW_FILE;
    case POSIX_NAME_LEFTOVER:
        return RAW_LEFTOVER;
    case POSIX_NAME_FOREIGN:
        break;
    }
    return RAW_FOREIGN;
}

struct listing {
    struct posix_storage *storage;
    raw_name_fn *fn;
    void *arg;
};

static int list_one(void *arg, const char *text)
{
    const struct listing *listing = arg;
    struct posix_storage *storage = listing->storage;
    struct raw_name name = {.name = text};
    uid_t uid;
    int r;

    name.kind = raw_kind_of(posix_name_parse(text, &name.id));
    r = storage->calls->lstatat(storage->calls_arg, storage->dir, text, &name.stat);
    if (r < 0) {
        return r == -ENOENT ? 0 : r; /* removed meanwhile */
    }
    uid = name.stat.st_uid;
    name.is_ours =
        S_ISREG(name.stat.st_mode) && (uid == storage->owner || uid == geteuid() || uid == 0);
    return listing->fn(listing->arg, &name);
}

int raw_list(struct kv_storage *base, raw_name_fn *fn, void *arg)
{
    struct listing listing = {.storage = posix_storage_if(base), .fn = fn, .arg = arg};
    if (listing.storage == NULL) {
        return -EOPNOTSUPP;
    }
    return listing.storage->calls->list(listing.storage->calls_arg, listing.storage->dir, list_one,
                                        &listing);
}

/* ---- the root record ---- */

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

int raw_root_read(struct kv_storage *base, struct raw_root *ret_root)
{
    enum { SLOT = RAW_ROOT_SIZE / RAW_ROOT_SLOTS };
    struct posix_storage *storage = posix_storage_if(base);
    size_t size = 0;
    int fd = storage != NULL ? posix_open_file(storage, POSIX_ROOT_NAME, O_RDONLY) : -EOPNOTSUPP;
    int r;

    if (fd < 0) {
        return fd;
    }
    memset(ret_root, 0, sizeof *ret_root);
    r = posix_read(storage, fd, 0, ret_root->bytes, sizeof ret_root->bytes, &size);
    posix_close_file(storage, fd);
    if (r < 0) {
        return r;
    }
    ret_root->size = size < RAW_ROOT_SIZE ? size : RAW_ROOT_SIZE;
    ret_root->is_longer = size > RAW_ROOT_SIZE;
    for (unsigned i = 0; i < RAW_ROOT_SLOTS; i++) {
        const uint8_t *slot = ret_root->bytes + (size_t)i * SLOT;
        ret_root->slots[i].empty = all_zero(slot, SLOT);
        ret_root->slots[i].valid = root_slot_decode(slot, i, &ret_root->slots[i].version,
                                                    &ret_root->slots[i].content) == 0;
    }
    return 0;
}

void raw_root_encode(uint64_t version, struct kv_slice content, uint8_t to[RAW_ROOT_SIZE])
{
    memset(to, 0, RAW_ROOT_SIZE);
    root_slot_encode(version, content,
                     to + version % RAW_ROOT_SLOTS * (RAW_ROOT_SIZE / RAW_ROOT_SLOTS));
}

static int write_beside(struct posix_storage *storage, struct kv_slice bytes)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    int fd = posix_open_file(storage, POSIX_ROOT_TMP_NAME, O_RDWR | O_CREAT | O_TRUNC);
    int r;

    if (fd < 0) {
        return fd;
    }
    r = posix_write(storage, fd, &part, 1, 0);
    if (r == 0) {
        r = storage->calls->fdatasync(storage->calls_arg, fd);
    }
    posix_close_file(storage, fd);
    return r;
}

int raw_root_replace(struct kv_storage *base, struct kv_slice bytes)
{
    struct posix_storage *storage = posix_storage_if(base);
    int r = storage != NULL ? posix_check_writable(storage) : -EOPNOTSUPP;

    if (r < 0) {
        return r;
    }
    r = write_beside(storage, bytes);
    if (r < 0) {
        posix_discard_file(storage, POSIX_ROOT_TMP_NAME);
        return r;
    }
    r = storage->calls->rename(storage->calls_arg, storage->dir, POSIX_ROOT_TMP_NAME,
                               POSIX_ROOT_NAME, 0);
    return r < 0 ? r : posix_sync_dir(storage);
}

/* ---- names ---- */

int raw_remove(struct kv_storage *base, const char *name)
{
    struct posix_storage *storage = posix_storage_if(base);
    int r = storage != NULL ? posix_check_writable(storage) : -EOPNOTSUPP;

    r = r < 0 ? r : storage->calls->unlinkat(storage->calls_arg, storage->dir, name);
    return r == -ENOENT ? 0 : r;
}

bool raw_name_is_file(const char *name, struct kv_file_id *ret_id)
{
    return posix_name_parse(name, ret_id) == POSIX_NAME_FILE;
}

int raw_sync(struct kv_storage *base)
{
    struct posix_storage *storage = posix_storage_if(base);
    return storage != NULL ? posix_sync_dir(storage) : -EOPNOTSUPP;
}
