/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/storage/mem_store.h"

#include <assert.h>
#include <stdlib.h>

struct mem_file *mem_file_create(void)
{
    struct mem_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return NULL;
    }
    atomic_init(&file->refs, 1);
    atomic_init(&file->links, 0);
    mutex_init(&file->mu, LOCK_RANK_STORAGE, "file in memory");
    return file;
}

struct mem_file *mem_file_ref(struct mem_file *file)
{
    atomic_fetch_add(&file->refs, 1);
    return file;
}

void mem_file_unref(struct mem_file *file)
{
    if (file == NULL || atomic_fetch_sub(&file->refs, 1) > 1) {
        return;
    }
    kv_buf_finish(&file->bytes);
    mutex_finish(&file->mu);
    free(file);
}

uint64_t mem_file_size(struct mem_file *file)
{
    mutex_lock(&file->mu);
    uint64_t size = file->bytes.size;
    mutex_unlock(&file->mu);
    return size;
}

static int file_write(struct mem_file *file, uint64_t offset, struct kv_slice bytes)
{
    int r = 0;

    mutex_lock(&file->mu);
    assert(offset <= file->bytes.size);
    size_t old = file->bytes.size - (size_t)offset; /* bytes that are overwritten, at most */
    if (bytes.size > old) {
        r = kv_buf_reserve(&file->bytes, bytes.size - old);
    }
    if (r == 0 && bytes.size > 0) {
        memcpy(file->bytes.data + offset, bytes.data, bytes.size);
        file->bytes.size += bytes.size > old ? bytes.size - old : 0;
    }
    mutex_unlock(&file->mu);
    return r;
}

int mem_file_write_parts(struct mem_file *file, uint64_t offset, const struct iovec *parts,
                         int part_count)
{
    for (int i = 0; i < part_count; i++) {
        int r = file_write(file, offset, kv_slice(parts[i].iov_base, parts[i].iov_len));
        if (r < 0) {
            return r;
        }
        offset += parts[i].iov_len;
    }
    return 0;
}

size_t mem_file_read(struct mem_file *file, uint64_t end, uint64_t offset, void *to, size_t size)
{
    mutex_lock(&file->mu);
    if (end > file->bytes.size) {
        end = file->bytes.size;
    }
    if (offset >= end) {
        size = 0;
    } else if (size > end - offset) {
        size = (size_t)(end - offset);
    }
    if (size > 0) {
        memcpy(to, file->bytes.data + offset, size);
    }
    mutex_unlock(&file->mu);
    return size;
}

void mem_file_zero(struct mem_file *file, uint64_t offset, uint64_t size)
{
    mutex_lock(&file->mu);
    if (offset < file->bytes.size) {
        uint64_t left = file->bytes.size - offset;
        memset(file->bytes.data + offset, 0, (size_t)(size < left ? size : left));
    }
    mutex_unlock(&file->mu);
}
