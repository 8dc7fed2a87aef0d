/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/arena.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/util/pages.h"

struct arena_chunk {
    struct arena_chunk *older;
    size_t size;  /* of `bytes` */
    size_t pages; /* bytes that came from pages_alloc(), this header included; 0: from malloc() */
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

static struct arena_chunk *chunk_create(size_t size, bool huge)
{
    size_t total = sizeof(struct arena_chunk) + size;
    struct arena_chunk *chunk;

    if (!huge) {
        chunk = malloc(total);
    } else {
        total = (total + PAGES_HUGE_BYTES - 1) / PAGES_HUGE_BYTES * PAGES_HUGE_BYTES;
        chunk = pages_alloc(total);
    }
    if (chunk == NULL) {
        return NULL;
    }
    chunk->size = total - sizeof *chunk;
    chunk->pages = huge ? total : 0;
    atomic_init(&chunk->used, 0);
    return chunk;
}

static void chunk_destroy(struct arena_chunk *chunk)
{
    if (chunk->pages > 0) {
        pages_free(chunk, chunk->pages);
    } else {
        free(chunk);
    }
}

void arena_finish(struct arena *arena)
{
    struct arena_chunk *chunk = atomic_load(&arena->current);
    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;
        chunk_destroy(chunk);
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

/* A chunk with room for `size` bytes and, if that is much of a chunk, for a chunk's worth more. */
static struct arena_chunk *add_chunk(struct arena *arena, size_t size) REQUIRES(&arena->mu)
{
    bool huge = arena->chunk_bytes >= PAGES_HUGE_BYTES;
    size_t worth = arena->chunk_bytes - (huge ? sizeof(struct arena_chunk) : 0);
    struct arena_chunk *chunk =
        chunk_create(size > arena->chunk_bytes / 4 ? size + worth : worth, huge);

    if (chunk == NULL) {
        return NULL;
    }
    chunk->older = atomic_load_explicit(&arena->current, memory_order_relaxed);
    atomic_fetch_add_explicit(&arena->reserved_bytes, sizeof *chunk + chunk->size,
                              memory_order_relaxed);
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
        p = chunk_alloc(add_chunk(arena, size), size);
    }
    mutex_unlock(&arena->mu);
    return p;
}

size_t arena_bytes(const struct arena *arena)
{
    return atomic_load_explicit(&arena->reserved_bytes, memory_order_relaxed);
}
