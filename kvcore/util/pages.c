/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/pages.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

/* The system aligns to small pages only: map one huge page more, and give back what lies before
 * the first boundary and behind the end. */
static void *map_aligned(size_t size)
{
    size_t mapped = size + PAGES_HUGE_BYTES;
    uint8_t *memory;
    size_t before;

    if (mapped < size) {
        return NULL;
    }
    memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    before = -(uintptr_t)memory & (PAGES_HUGE_BYTES - 1);
    /* Unmapping the ends cannot fail but by the limit on mappings, and then they only stay. */
    if (before > 0) {
        (void)munmap(memory, before);
    }
    if (before < PAGES_HUGE_BYTES) {
        (void)munmap(memory + before + size, PAGES_HUGE_BYTES - before);
    }
    return memory + before;
}

void *pages_alloc(size_t size)
{
    void *memory;

    assert(size > 0 && size % PAGES_HUGE_BYTES == 0);
    memory = map_aligned(size);
    if (memory != NULL) {
        /* A kernel without huge pages refuses: then they are small ones. */
        (void)madvise(memory, size, MADV_HUGEPAGE);
    }
    return memory;
}

void pages_free(void *memory, size_t size)
{
    if (memory != NULL) {
        (void)munmap(memory, size);
    }
}
