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

static bool is_near(uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) < HEAP_STILL_BYTES;
}

/* Whether the process has just become still: true once, until it does something again. */
static bool has_come_to_rest(struct heap *heap, uint64_t resident, uint64_t used_bytes)
{
    if (!is_near(resident, heap->last_resident) || !is_near(used_bytes, heap->last_used)) {
        heap->still_looks = 0;
    } else if (heap->still_looks <= HEAP_STILL_LOOKS) {
        heap->still_looks++;
    }
    heap->last_resident = resident;
    heap->last_used = used_bytes;
    return heap->still_looks == HEAP_STILL_LOOKS;
}

bool heap_look(struct heap *heap, uint64_t used_bytes)
{
    uint64_t kept = kept_beside(used_bytes);
    bool at_rest = has_come_to_rest(heap, heap_resident_bytes(), used_bytes);
    if (kept < heap->left_bytes) {
        heap->left_bytes = kept;
    }
    if (kept - heap->left_bytes < HEAP_KEPT_MAX && !(at_rest && kept >= HEAP_STILL_KEPT_MAX)) {
        return false;
    }
    give_back();
    heap->left_bytes = kept_beside(used_bytes);
    heap->last_resident = heap_resident_bytes();
    return true;
}
