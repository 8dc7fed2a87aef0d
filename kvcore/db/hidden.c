/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/hidden.h"

#include <stdatomic.h>

/* So many bytes of the file's rows, with their part of the blobs that it refers to. */
static uint64_t with_blobs(const struct file_meta *file, uint64_t bytes)
{
    double blobs = 0;
    for (size_t i = 0; i < file->blobs.count; i++) {
        blobs += (double)file->blobs.items[i].bytes;
    }
    return bytes + (uint64_t)(blobs * ((double)bytes / (double)(file->size + 1)));
}

static uint64_t hidden_in_file(const struct file_meta *file, struct kv_slice from,
                               struct kv_slice to)
{
    bool from_start = kv_slice_compare(from, kv_buf_slice(&file->smallest)) <= 0;
    bool to_end = file_compare_end(file, to) < 0;
    const struct table *table = atomic_load_explicit(&file->table, memory_order_acquire);
    uint64_t start = 0;
    uint64_t end = file->size;

    if (from_start && to_end) {
        return with_blobs(file, file->size);
    }
    if (table == NULL) {
        return 0;
    }
    start = from_start ? 0 : table_offset_of(table, from);
    end = to_end ? file->size : table_offset_of(table, to);
    return end > start ? with_blobs(file, end - start) : 0;
}

uint64_t hidden_bytes(const struct table_files *files, uint32_t level, struct kv_slice from,
                      struct kv_slice to)
{
    uint64_t bytes = 0;

    for (int below = level == 0 ? 0 : (int)level + 1; files != NULL && below < KV_LEVEL_COUNT;
         below++) {
        const struct file_list *list = &files->levels[below];
        for (size_t i = below == 0 ? 0 : file_list_find(list, from); i < list->count; i++) {
            bool before = kv_slice_compare(kv_buf_slice(&list->files[i]->smallest), to) < 0;
            if (before && file_compare_end(list->files[i], from) >= 0) {
                bytes += hidden_in_file(list->files[i], from, to);
            } else if (below > 0) {
                break;
            }
        }
    }
    return bytes;
}
