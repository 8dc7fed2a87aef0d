/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of the fuzz targets: an input that is a table file, with checksums that fit if wanted, so
 * that mutations of a sound table get behind them. */
#ifndef TESTS_FUZZ_FUZZ_TABLE_FILE_H
#define TESTS_FUZZ_FUZZ_TABLE_FILE_H

#include "tests/fuzz/fuzz.h"

#include "kvcore/table/table_format.h"
#include "kvcore/util/checksum.h"

enum { FUZZ_TABLE_NUMBER = 12 };

static inline void fuzz_fix_block(uint8_t *bytes, size_t size, size_t offset, uint64_t file_seed)
{
    uint8_t *header = bytes + offset;
    uint32_t stored = coding_get_u32(header + 8);
    size_t at = offset + BLOCK_HEADER_SIZE;

    if (stored > size - at) {
        return;
    }
    coding_put_u64(header + 16, checksum_at(file_seed, at, kv_slice(bytes + at, stored)));
    struct kv_slice covered = kv_slice(header + 8, BLOCK_HEADER_SIZE - 8);
    coding_put_u32(header + 4, (uint32_t)checksum_at(file_seed, offset, covered));
}

/* From the end, so that of two blocks that overlap the outer one fits. */
static inline void fuzz_fix_table(uint8_t *bytes, size_t size)
{
    uint64_t file_seed = checksum_file_seed(FUZZ_STORE_SEED, KV_FILE_TABLE, FUZZ_TABLE_NUMBER);

    if (size < TABLE_FOOTER_SIZE) {
        return;
    }
    size -= TABLE_FOOTER_SIZE;
    coding_put_u64(bytes + size + 56, checksum_at(file_seed, size, kv_slice(bytes + size, 56)));
    for (size_t at = size; at >= BLOCK_HEADER_SIZE; at--) {
        size_t offset = at - BLOCK_HEADER_SIZE;
        if (coding_get_u32(bytes + offset) == BLOCK_MAGIC) {
            fuzz_fix_block(bytes, size, offset, file_seed);
        }
    }
}

/* A store in memory with the table; `fix`: make all checksums fit, wherever a block or the footer
 * is seen. */
static inline struct kv_storage *fuzz_table_storage(struct kv_slice file, bool fix)
{
    const struct kv_file_id id = {KV_FILE_TABLE, FUZZ_TABLE_NUMBER};
    struct kv_storage *storage = NULL;
    struct kv_object_writer *writer = NULL;
    uint8_t *bytes = fuzz_copy(file);
    struct iovec part = {bytes, file.size};

    if (fix) {
        fuzz_fix_table(bytes, file.size);
    }
    fuzz_need(kv_storage_mem_create(&storage));
    fuzz_need(storage->ops->object_begin(storage, id, 0, &writer));
    fuzz_need(storage->ops->object_write(writer, &part, 1));
    fuzz_need(storage->ops->object_finish(writer));
    free(bytes);
    return storage;
}

#endif
