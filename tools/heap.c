/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/heap.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

void heap_setup(void)
{
#ifdef __GLIBC__
    /* Where one is refused more is kept, and the rest is the same. */
    (void)mallopt(M_ARENA_MAX, HEAP_ARENAS_MAX);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_END_MAX);
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_END_MAX);
#endif
}

uint64_t heap_resident_bytes(void)
{
    uint64_t resident = 0;
    uint64_t of_files = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%*u %" SCNu64 " %" SCNu64, &resident, &of_files) != 2) {
        resident = of_files = 0;
    }
    fclose(file);
    return (resident - of_files) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t kept_beside(uint64_t used_bytes)
{
    uint64_t resident = heap_resident_bytes();
    return resident > used_bytes ? resident - used_bytes : 0;
}

static void give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

bool heap_look(struct heap *heap, uint64_t used_bytes)
{
    uint64_t kept = kept_beside(used_bytes);
    if (kept < heap->left_bytes) {
        heap->left_bytes = kept;
    }
    if (kept - heap->left_bytes < HEAP_KEPT_MAX) {
        return false;
    }
    give_back();
    heap->left_bytes = kept_beside(used_bytes);
    return true;
}
