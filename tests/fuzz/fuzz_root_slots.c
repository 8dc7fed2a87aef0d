/* SPDX-License-Identifier: Apache-2.0 */
/* Input: u8 flags (bit 0: make the checksums of both slots fit), then the file ROOT. Read through
 * the storage on system calls that serve these bytes. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include "kvcore/storage/posix_calls.h"
#include "kvcore/util/checksum.h"

enum { SLOT_SIZE = 4096, CONTENT_OFFSET = 32, CHECKSUM_OFFSET = 24, CONTENT_MAX = 4000 };
enum { FD_DIRECTORY = 3, FD_ROOT = 4 };

static int call_openat(void *arg, int dir, const char *name, int flags, mode_t mode)
{
    (void)arg, (void)flags, (void)mode;
    if (dir == AT_FDCWD) {
        return FD_DIRECTORY;
    }
    return strcmp(name, "ROOT") == 0 ? FD_ROOT : -ENOENT;
}

static int call_close(void *arg, int fd)
{
    (void)arg, (void)fd;
    return 0;
}

static int call_fstat(void *arg, int fd, struct stat *ret_stat)
{
    (void)arg;
    *ret_stat = (struct stat){.st_mode = fd == FD_ROOT ? S_IFREG | 0600 : S_IFDIR | 0700,
                              .st_uid = geteuid()};
    return 0;
}

static ssize_t call_pread(void *arg, int fd, void *to, size_t size, uint64_t offset)
{
    const struct kv_slice *file = arg;
    (void)fd;
    if (offset >= file->size) {
        return 0;
    }
    size = size < file->size - offset ? size : file->size - (size_t)offset;
    memcpy(to, file->data + offset, size);
    return (ssize_t)size;
}

static void fix_slot(uint8_t *slot)
{
    uint8_t bytes[CHECKSUM_OFFSET + CONTENT_MAX];
    uint32_t size = coding_get_u32(slot + 16);
    if (size > CONTENT_MAX) {
        return;
    }
    memcpy(bytes, slot, CHECKSUM_OFFSET);
    memcpy(bytes + CHECKSUM_OFFSET, slot + CONTENT_OFFSET, size);
    coding_put_u64(slot + CHECKSUM_OFFSET, hash_bytes(kv_slice(bytes, CHECKSUM_OFFSET + size), 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct posix_calls calls = {
        .openat = call_openat, .close = call_close, .fstat = call_fstat, .pread = call_pread};
    uint8_t file[2 * SLOT_SIZE] = {0};
    struct kv_slice served = {file, 0};
    struct kv_storage *storage = NULL;
    struct kv_buf content = {0};
    uint64_t version = 0;

    if (size < 1) {
        return 0;
    }
    served.size = size - 1 < sizeof file ? size - 1 : sizeof file;
    memcpy(file, data + 1, served.size);
    if (data[0] & 1) {
        fix_slot(file);
        fix_slot(file + SLOT_SIZE);
    }
    fuzz_need(storage_posix_open_with_calls("store", false, &calls, &served, &storage));
    int r = storage->ops->root_read(storage, &content, &version);
    fuzz_expect_verdict(r);
    if (r == 0) {
        assert(version > 0 && content.size <= CONTENT_MAX);
        assert(coding_get_u64(file + version % 2 * SLOT_SIZE + 8) == version);
        fuzz_touch(kv_buf_slice(&content));
    }
    kv_buf_finish(&content);
    storage->ops->close(storage);
    return 0;
}
