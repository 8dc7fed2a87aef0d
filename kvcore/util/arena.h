/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocator: memory that is all freed at once. Thread-safe: allocation is one atomic addition,
 * a mutex is taken only to add a chunk. */
#ifndef KVCORE_UTIL_ARENA_H
#define KVCORE_UTIL_ARENA_H

#include <stddef.h>

#include "kvcore/util/thread.h"

struct arena_chunk;

struct arena {
    _Atomic(struct arena_chunk *) current;
    _Atomic size_t reserved_bytes; /* what the chunks take from the system */
    struct mutex mu;               /* guards growth */
    size_t chunk_bytes;            /* constant */
};

/* Chunks have `chunk_bytes`; large requests get a larger one. Chunks of PAGES_HUGE_BYTES (pages.h)
 * and more consist of whole huge pages, with their header in it. */
void arena_init(struct arena *arena, size_t chunk_bytes);
void arena_finish(struct arena *arena);
/* `size` bytes aligned to 8, valid until arena_finish(); NULL when out of memory. */
void *arena_alloc(struct arena *arena, size_t size);
/* Bytes taken from the system so far. */
size_t arena_bytes(const struct arena *arena);

#endif
