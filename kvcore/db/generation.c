/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/db/generation.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/util/pages.h"

/* A memtable of 32 MiB or more lies in huge pages. */
enum {
    CHUNKS_MIN = 16,
    CHUNK_BYTES_MAX = PAGES_HUGE_BYTES,
    FILTER_SHARE = 64, /* 20 bits a row of some 170 bytes, with its node; counted with the rows */
};

int generation_create(size_t memtable_bytes, struct generation **ret_generation)
{
    size_t chunk = memtable_bytes / CHUNKS_MIN;
    struct generation *generation = calloc(1, sizeof *generation);
    int r;

    if (generation == NULL) {
        return -ENOMEM;
    }
    atomic_init(&generation->refs, 1);
    arena_init(&generation->arena, chunk < CHUNK_BYTES_MAX ? chunk : CHUNK_BYTES_MAX);
    r = row_filter_init(&generation->filter, &generation->arena, memtable_bytes / FILTER_SHARE);
    if (r < 0) {
        generation_unref(generation);
        return r;
    }
    *ret_generation = generation;
    return 0;
}

void generation_ref(struct generation *generation)
{
    atomic_fetch_add_explicit(&generation->refs, 1, memory_order_relaxed);
}

void generation_unref(struct generation *generation)
{
    if (generation == NULL ||
        atomic_fetch_sub_explicit(&generation->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        memtable_destroy(generation->memtables[i]);
    }
    log_writer_destroy(generation->log);
    blob_writer_destroy(atomic_load(&generation->blob));
    arena_finish(&generation->arena);
    free(generation);
}

int generation_add_table(struct generation *generation, uint32_t table_id)
{
    if (generation->memtables[table_id - 1] != NULL) {
        return 0;
    }
    return memtable_create(&generation->arena, &generation->filter,
                           &generation->memtables[table_id - 1]);
}

int generation_plan_range_delete(struct generation *generation, uint32_t table_id,
                                 const struct range_delete *range_delete)
{
    return range_map_plan(memtable_range_map(generation->memtables[table_id - 1]), range_delete);
}

void generation_publish_plans(struct generation *generation)
{
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        if (generation->memtables[i] != NULL) {
            range_map_publish(memtable_range_map(generation->memtables[i]));
        }
    }
}

void generation_drop_plans(struct generation *generation)
{
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        if (generation->memtables[i] != NULL) {
            range_map_drop_plan(memtable_range_map(generation->memtables[i]));
        }
    }
}

size_t generation_bytes(const struct generation *generation)
{
    return arena_bytes(&generation->arena);
}

uint64_t generation_blob_bytes(const struct generation *generation)
{
    const struct blob_writer *blob = atomic_load_explicit(&generation->blob, memory_order_acquire);
    return blob != NULL ? blob_writer_size(blob) : 0;
}

bool generation_is_empty(const struct generation *generation)
{
    for (int i = 0; i < KV_TABLE_COUNT_MAX; i++) {
        if (generation->memtables[i] != NULL && !memtable_is_empty(generation->memtables[i])) {
            return false;
        }
    }
    return true;
}
