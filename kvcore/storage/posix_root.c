/* SPDX-License-Identifier: Apache-2.0 */
/* The root record in the file ROOT: two slots, version v in slot v mod 2, the valid one with the
 * highest version counts. See docs/format.md, "ROOT".
 *
 * A swap overwrites the older slot only, so a torn write leaves the record that was there. The
 * first record is made under another name and renamed when it is durable: a ROOT without a valid
 * slot is then always damage, never a store that was not finished. */
#include "kvcore/storage/posix_store.h"

#include <fcntl.h>

#include "kvcore/storage/root_slot.h"

enum { SLOT_COUNT = ROOT_SLOT_COUNT, SLOT_SIZE = ROOT_SLOT_SIZE };

struct root_record {
    uint64_t version; /* 0: none */
    struct kv_slice content;
};

/* The newest valid record of an open ROOT; `bytes` is where it is read to. */
static int read_newest(struct posix_storage *storage, int fd, uint8_t bytes[SLOT_COUNT * SLOT_SIZE],
                       struct root_record *ret_record)
{
    struct root_record newest = {0};
    size_t size = 0;
    int r;

    memset(bytes, 0, (size_t)SLOT_COUNT * SLOT_SIZE);
    r = posix_read(storage, fd, 0, bytes, (size_t)SLOT_COUNT * SLOT_SIZE, &size);
    if (r < 0) {
        return r;
    }
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        struct root_record record = {0};
        r = root_slot_decode(bytes + (size_t)slot * SLOT_SIZE, slot, &record.version,
                             &record.content);
        if (r == 0 && record.version > newest.version) {
            newest = record;
        }
    }
    if (newest.version == 0) {
        return -KV_EDAMAGED;
    }
    *ret_record = newest;
    return 0;
}

int posix_root_read(struct kv_storage *base, struct kv_buf *ret_bytes, uint64_t *ret_version)
{
    struct posix_storage *storage = posix_storage(base);
    uint8_t bytes[SLOT_COUNT * SLOT_SIZE];
    struct root_record record = {0};
    int fd = posix_open_file(storage, POSIX_ROOT_NAME, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    int r = read_newest(storage, fd, bytes, &record);
    if (r == 0) {
        r = kv_buf_assign(ret_bytes, record.content);
    }
    if (r == 0) {
        *ret_version = record.version;
    }
    posix_close_file(storage, fd);
    return r;
}

/* The directory's own name may be as new as the store. A parent that we may not read is not one we
 * made the directory in. */
static int sync_parent(struct posix_storage *storage)
{
    int fd = storage->calls->openat(storage->calls_arg, storage->dir, "..",
                                    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd == -EACCES) {
        return 0;
    }
    if (fd < 0) {
        return fd;
    }
    int r = storage->calls->fsync(storage->calls_arg, fd);
    posix_close_file(storage, fd);
    return r;
}

static int sync_names(struct posix_storage *storage)
{
    int r = posix_sync_dir(storage);
    return r < 0 ? r : sync_parent(storage);
}

/* Make the newest record, and the name of ROOT, durable before it is built upon: the other slot may
 * not be overwritten while the record is in memory only, and everything that is acknowledged hangs
 * on the name. Once per opening, since an earlier process may have died between writing and
 * syncing, and after a failure. The record is written again, not only synced: after a sync that
 * failed its bytes can be read on, and the next sync says that all is well, but they are not on the
 * device, which holds an older record than the other slot does. */
static int settle_root(struct posix_storage *storage, int fd, uint64_t version,
                       const uint8_t bytes[SLOT_COUNT * SLOT_SIZE]) REQUIRES(&storage->mu)
{
    uint64_t offset = version % SLOT_COUNT * SLOT_SIZE;
    struct iovec part = {.iov_base = (void *)(uintptr_t)(bytes + offset), .iov_len = SLOT_SIZE};
    int r;

    if (storage->root_settled) {
        return 0;
    }
    r = posix_write(storage, fd, &part, 1, offset);
    if (r == 0) {
        r = storage->calls->fdatasync(storage->calls_arg, fd);
    }
    if (r == 0) {
        r = sync_names(storage);
        storage->root_broken = r < 0;
    }
    storage->root_settled = r == 0;
    return r;
}

static int write_first(struct posix_storage *storage, struct kv_slice content)
{
    uint8_t bytes[SLOT_COUNT * SLOT_SIZE] = {0};
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
    int fd = posix_open_file(storage, POSIX_ROOT_TMP_NAME, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return fd;
    }
    root_slot_encode(1, content, bytes + SLOT_SIZE);
    int r = posix_write(storage, fd, &part, 1, 0);
    if (r == 0) {
        r = storage->calls->fdatasync(storage->calls_arg, fd);
    }
    posix_close_file(storage, fd);
    return r;
}

static int make_root(struct posix_storage *storage, struct kv_slice content) REQUIRES(&storage->mu)
{
    int r = write_first(storage, content);
    if (r == 0) {
        r = posix_rename_new(storage, storage->dir, POSIX_ROOT_TMP_NAME, POSIX_ROOT_NAME);
    }
    if (r < 0) {
        posix_discard_file(storage, POSIX_ROOT_TMP_NAME);
        return r;
    }
    r = sync_names(storage);
    storage->root_settled = r == 0;
    storage->root_broken = r < 0;
    return r;
}

static int replace_root(struct posix_storage *storage, int fd, uint64_t expected_version,
                        struct kv_slice content) REQUIRES(&storage->mu)
{
    uint8_t bytes[SLOT_COUNT * SLOT_SIZE];
    struct iovec part = {.iov_base = bytes, .iov_len = SLOT_SIZE};
    struct root_record newest = {0};
    uint64_t version;
    int r = read_newest(storage, fd, bytes, &newest);
    if (r < 0) {
        return r;
    }
    if (newest.version != expected_version) {
        return -ESTALE;
    }
    r = settle_root(storage, fd, newest.version, bytes);
    if (r < 0) {
        return r;
    }
    version = newest.version + 1;
    root_slot_encode(version, content, bytes);
    r = posix_write(storage, fd, &part, 1, version % SLOT_COUNT * SLOT_SIZE);
    if (r == 0) {
        r = storage->calls->fdatasync(storage->calls_arg, fd);
    }
    storage->root_settled = r == 0; /* else perhaps all of it was written */
    return r;
}

static int swap_root(struct posix_storage *storage, uint64_t expected_version,
                     struct kv_slice content) REQUIRES(&storage->mu)
{
    if (storage->root_broken) {
        return -EIO;
    }
    int fd = posix_open_file(storage, POSIX_ROOT_NAME, O_RDWR);
    if (fd == -ENOENT) {
        return expected_version == 0 ? make_root(storage, content) : -ESTALE;
    }
    if (fd < 0) {
        return fd;
    }
    int r = replace_root(storage, fd, expected_version, content);
    posix_close_file(storage, fd);
    return r;
}

int posix_root_swap(struct kv_storage *base, uint64_t expected_version, struct kv_slice bytes)
{
    struct posix_storage *storage = posix_storage(base);
    int r = posix_check_writable(storage);

    if (r < 0) {
        return r;
    }
    if (bytes.size > ROOT_CONTENT_MAX) {
        return -EINVAL;
    }
    mutex_lock(&storage->mu);
    r = swap_root(storage, expected_version, bytes);
    mutex_unlock(&storage->mu);
    return r;
}
