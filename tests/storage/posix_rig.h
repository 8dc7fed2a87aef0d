/* SPDX-License-Identifier: Apache-2.0 */
/* A store directory for the tests of storage_posix, and its files as they are on disk. */
#ifndef TESTS_STORAGE_POSIX_RIG_H
#define TESTS_STORAGE_POSIX_RIG_H

#include <fcntl.h>
#include <sys/stat.h>

#include <kv/storage.h>

#include "tests/lib/temp_dir.h"

static const struct kv_file_id rig_log = {KV_FILE_LOG, 1};
static const struct kv_file_id rig_table = {KV_FILE_TABLE, 1};

/* Open the store in `dir` for writing, making it if need be. */
static inline struct kv_storage *rig_open(const struct temp_dir *dir)
{
    struct kv_storage *storage = NULL;
    ck_ok(kv_storage_posix_open(dir->path, true, &storage));
    ck_ok(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "the test"));
    return storage;
}

static inline void rig_close(struct kv_storage *storage)
{
    storage->ops->close(storage);
}

static inline bool rig_exists(const struct temp_dir *dir, const char *name)
{
    char path[512];
    struct stat st;
    return lstat(temp_dir_name(dir, name, path), &st) == 0;
}

static inline struct stat rig_stat(const struct temp_dir *dir, const char *name)
{
    char path[512];
    struct stat st;
    ck_assert_int_eq(lstat(temp_dir_name(dir, name, path), &st), 0);
    return st;
}

static inline int rig_open_raw(const struct temp_dir *dir, const char *name)
{
    char path[512];
    int fd = open(temp_dir_name(dir, name, path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_msg(fd >= 0, "cannot open %s", path);
    return fd;
}

static inline void rig_write_raw(const struct temp_dir *dir, const char *name, off_t offset,
                                 struct kv_slice bytes)
{
    int fd = rig_open_raw(dir, name);
    ck_assert_int_eq(pwrite(fd, bytes.data, bytes.size, offset), (ssize_t)bytes.size);
    close(fd);
}

static inline void rig_read_raw(const struct temp_dir *dir, const char *name, off_t offset,
                                void *to, size_t size)
{
    int fd = rig_open_raw(dir, name);
    ck_assert_int_eq(pread(fd, to, size, offset), (ssize_t)size);
    close(fd);
}

static inline void rig_flip(const struct temp_dir *dir, const char *name, off_t offset)
{
    uint8_t byte;
    rig_read_raw(dir, name, offset, &byte, 1);
    byte ^= 0x10;
    rig_write_raw(dir, name, offset, kv_slice(&byte, 1));
}

static inline int rig_append(struct kv_storage *storage, struct kv_log *log, const char *text)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    return storage->ops->log_append(log, &part, 1);
}

static inline int rig_make_object(struct kv_storage *storage, struct kv_file_id id,
                                  const char *text)
{
    struct kv_object_writer *writer = NULL;
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    int r = storage->ops->object_begin(storage, id, 0, &writer);
    if (r < 0) {
        return r;
    }
    r = storage->ops->object_write(writer, &part, 1);
    if (r < 0) {
        storage->ops->object_abort(writer);
        return r;
    }
    return storage->ops->object_finish(writer);
}

static inline int rig_swap(struct kv_storage *storage, uint64_t expected_version, const char *text)
{
    return storage->ops->root_swap(storage, expected_version, kv_slice_str(text));
}

/* The root reads as this text and version. */
static inline void rig_expect_root(struct kv_storage *storage, const char *text, uint64_t version)
{
    struct kv_buf bytes = {0};
    uint64_t got = 0;
    ck_ok(storage->ops->root_read(storage, &bytes, &got));
    ck_assert_uint_eq(got, version);
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice_str(text)));
    kv_buf_finish(&bytes);
}

static inline void rig_count_file(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    unsigned *count = (unsigned *)arg;
    *count += 1;
}

#endif
