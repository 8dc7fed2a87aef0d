/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/arena.h"

#include <stdatomic.h>
#include <stdlib.h>

struct arena_chunk {
    struct arena_chunk *older;
    size_t size;
    _Atomic size_t used;
    _Alignas(16) unsigned char bytes[];
};

void arena_init(struct arena *arena, size_t chunk_bytes)
{
    atomic_init(&arena->current, NULL);
    atomic_init(&arena->reserved_bytes, 0);
    mutex_init(&arena->mu, LOCK_RANK_ARENA, "arena");
    arena->chunk_bytes = chunk_bytes;
}

void arena_finish(struct arena *arena)
{
    struct arena_chunk *chunk = atomic_load(&arena->current);
    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
    mutex_finish(&arena->mu);
}

static void *chunk_alloc(struct arena_chunk *chunk, size_t size)
{
    size_t at;
    if (chunk == NULL) {
        return NULL;
    }
    at = atomic_fetch_add_explicit(&chunk->used, size, memory_order_relaxed);
    if (at > chunk->size || size > chunk->size - at) {
        return NULL; /* full; what is left of it stays unused */
    }
    return chunk->bytes + at;
}

static struct arena_chunk *add_chunk(struct arena *arena, size_t size) REQUIRES(&arena->mu)
{
    struct arena_chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->older = atomic_load_explicit(&arena->current, memory_order_relaxed);
    chunk->size = size;
    atomic_init(&chunk->used, 0);
    atomic_fetch_add_explicit(&arena->reserved_bytes, sizeof *chunk + size, memory_order_relaxed);
    /* Release: pairs with the acquire in arena_alloc(), which reads size and used. */
    atomic_store_explicit(&arena->current, chunk, memory_order_release);
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *p;

    size = (size + 7) & ~(size_t)7;
    p = chunk_alloc(atomic_load_explicit(&arena->current, memory_order_acquire), size);
    if (p != NULL) {
        return p;
    }
    mutex_lock(&arena->mu);
    p = chunk_alloc(atomic_load_explicit(&arena->current, memory_order_relaxed), size);
    if (p == NULL) {
        p = chunk_alloc(add_chunk(arena, size > arena->chunk_bytes / 4 ? size + arena->chunk_bytes
                                                                       : arena->chunk_bytes),
                        size);
    }
    mutex_unlock(&arena->mu);
    return p;
}

size_t arena_bytes(const struct arena *arena)
{
    return atomic_load_explicit(&arena->reserved_bytes, memory_order_relaxed);
}
