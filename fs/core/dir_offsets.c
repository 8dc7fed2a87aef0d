/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/core/dir_offsets.h"

#include <assert.h>
#include <stdlib.h>

static uint64_t step_of(const struct dir_offsets *table)
{
    return (uint64_t)DIR_OFFSETS_STEP << table->doublings;
}

/* Remembered names stand in three rows: the first DIR_OFFSETS_EXACT, of the `thinned` names behind
 * them each step_of()-th, and all the others. */
static uint64_t sparse_count(const struct dir_offsets *table)
{
    return (table->thinned + step_of(table) - 1) / step_of(table);
}

/* Where among the remembered names the one at or before `index` is. */
static uint64_t slot_of(const struct dir_offsets *table, uint64_t index)
{
    if (index < DIR_OFFSETS_EXACT) {
        return index;
    }
    uint64_t behind = index - DIR_OFFSETS_EXACT;
    if (behind < table->thinned) {
        return DIR_OFFSETS_EXACT + behind / step_of(table);
    }
    return DIR_OFFSETS_EXACT + sparse_count(table) + (behind - table->thinned);
}

static uint64_t index_of(const struct dir_offsets *table, uint64_t slot)
{
    if (slot < DIR_OFFSETS_EXACT) {
        return slot;
    }
    uint64_t behind = slot - DIR_OFFSETS_EXACT;
    uint64_t sparse = sparse_count(table);
    if (behind < sparse) {
        return DIR_OFFSETS_EXACT + behind * step_of(table);
    }
    return DIR_OFFSETS_EXACT + table->thinned + (behind - sparse);
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
    if (index == table->count) {
        return;
    }
    uint64_t slot = slot_of(table, index);
    assert(index < table->count && index_of(table, slot) == index);
    table->count = index;
    table->bytes.size = table->starts[slot];
    table->start_count = (uint32_t)slot;
    if (index <= DIR_OFFSETS_EXACT) {
        table->thinned = 0;
        table->doublings = 0;
    } else if (index - DIR_OFFSETS_EXACT < table->thinned) {
        table->thinned = index - DIR_OFFSETS_EXACT;
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

/* Of the next DIR_OFFSETS_RECENT names only some are kept from now on, and fewer of those before
 * if they would be too many. */
static void thin_out(struct dir_offsets *table)
{
    struct dir_offsets old = *table; /* says which name stands where; the memory is one */
    uint32_t kept = DIR_OFFSETS_EXACT;
    size_t at = old.starts[kept];
    table->thinned += DIR_OFFSETS_RECENT;
    while (sparse_count(table) > DIR_OFFSETS_SPARSE) {
        table->doublings++;
    }
    for (uint32_t slot = kept; slot < old.start_count; slot++) {
        uint64_t behind = index_of(&old, slot) - DIR_OFFSETS_EXACT;
        if (behind >= table->thinned || behind % step_of(table) == 0) {
            size_t size = 1 + name_at(&old, slot).size;
            memmove(table->bytes.data + at, table->bytes.data + table->starts[slot], size);
            table->starts[kept++] = (uint32_t)at;
            at += size;
        }
    }
    table->start_count = kept;
    table->bytes.size = at;
}

int dir_offsets_add(struct dir_offsets *table, struct kv_slice name)
{
    assert(name.size <= KVFS_NAME_SIZE_MAX);
    int r = remember(table, name);
    if (r < 0) {
        return r;
    }
    table->count++;
    if (table->count == DIR_OFFSETS_EXACT + table->thinned + 2 * DIR_OFFSETS_RECENT) {
        thin_out(table);
    }
    return 0;
}

struct kv_slice dir_offsets_find(const struct dir_offsets *table, uint64_t index,
                                 uint64_t *ret_index)
{
    assert(index < table->count);
    uint64_t slot = slot_of(table, index);
    *ret_index = index_of(table, slot);
    return name_at(table, slot);
}
