/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/dir_offsets.h"

#include <assert.h>
#include <stdlib.h>

static bool is_remembered(uint64_t index)
{
    return index < DIR_OFFSETS_EXACT || index % DIR_OFFSETS_STEP == 0;
}

/* Where among the remembered names the one at or before `index` is. */
static uint64_t slot_of(uint64_t index)
{
    if (index < DIR_OFFSETS_EXACT) {
        return index;
    }
    return DIR_OFFSETS_EXACT + (index - DIR_OFFSETS_EXACT) / DIR_OFFSETS_STEP;
}

void dir_offsets_finish(struct dir_offsets *table)
{
    kv_buf_finish(&table->bytes);
    free(table->starts);
    *table = (struct dir_offsets){0};
}

static struct kv_slice name_at(const struct dir_offsets *table, uint64_t slot)
{
    assert(slot < table->start_count);
    const uint8_t *at = table->bytes.data + table->starts[slot];
    return kv_slice(at + 1, at[0]);
}

void dir_offsets_truncate(struct dir_offsets *table, uint64_t index)
{
    assert(index == table->count || is_remembered(index));
    if (index == table->count) {
        return;
    }
    uint64_t slot = slot_of(index);
    table->count = index;
    table->bytes.size = table->starts[slot];
    table->start_count = (uint32_t)slot;
    table->last_size = 0;
    if (index > 0 && is_remembered(index - 1)) {
        struct kv_slice last = name_at(table, slot_of(index - 1));
        table->last_size = (uint8_t)last.size;
        memcpy(table->last, last.data, last.size);
    }
}

static int remember(struct dir_offsets *table, struct kv_slice name)
{
    uint8_t size = (uint8_t)name.size;
    if (table->start_count == table->start_capacity) {
        uint32_t capacity = table->start_capacity == 0 ? 64 : table->start_capacity * 2;
        uint32_t *starts = realloc(table->starts, capacity * sizeof *starts);
        if (starts == NULL) {
            return -ENOMEM;
        }
        table->starts = starts;
        table->start_capacity = capacity;
    }
    uint32_t start = (uint32_t)table->bytes.size;
    int r = kv_buf_append(&table->bytes, kv_slice(&size, 1));
    if (r == 0) {
        r = kv_buf_append(&table->bytes, name);
    }
    if (r < 0) {
        table->bytes.size = start;
        return r;
    }
    table->starts[table->start_count++] = start;
    return 0;
}

int dir_offsets_add(struct dir_offsets *table, struct kv_slice name)
{
    assert(name.size <= KVFS_NAME_SIZE_MAX);
    if (is_remembered(table->count)) {
        int r = remember(table, name);
        if (r < 0) {
            return r;
        }
    }
    table->last_size = (uint8_t)name.size;
    memcpy(table->last, name.data, name.size);
    table->count++;
    return 0;
}

struct kv_slice dir_offsets_find(const struct dir_offsets *table, uint64_t index,
                                 uint64_t *ret_index)
{
    assert(index < table->count);
    if (index == table->count - 1 && table->last_size > 0) {
        *ret_index = index;
        return kv_slice(table->last, table->last_size);
    }
    uint64_t slot = slot_of(index);
    *ret_index = index < DIR_OFFSETS_EXACT
                     ? index
                     : DIR_OFFSETS_EXACT + (slot - DIR_OFFSETS_EXACT) * DIR_OFFSETS_STEP;
    return name_at(table, slot);
}
