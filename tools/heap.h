/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the process that nothing uses: what the C library keeps of freed blocks.
 *
 * glibc gives each thread an arena, up to eight for a processor, and of freed memory it gives the
 * system only what lies at the end of one. But blocks of the cache are allocated by whoever reads
 * and freed by whoever needs room. So each arena keeps about what it held at its fullest, and all
 * together more than was ever in use at a time: twelve arenas held 56 MiB of which 1.6 MiB were in
 * use, once 300,000 files had been made and removed. Therefore a daemon has few arenas, and gives
 * back what is free within them when that has become much.
 *
 * At the ends of arenas it keeps twice the largest block that ever was mapped by itself and freed,
 * up to 64 MiB in each, and that is never given back on demand: so this is bounded, too.
 *
 * Giving back walks over all that is free, and allocations wait meanwhile, 5 to 10 ms for 100 MiB:
 * so it is done when HEAP_KEPT_MAX have come together since the last time, not by the clock. What
 * was in use then and freed since is not told from what came together before: therefore it is done
 * once more when the process has come to rest.
 * Refused: another allocator, which would be one more dependency and keeps freed memory as well. */
#ifndef KVFS_TOOLS_HEAP_H
#define KVFS_TOOLS_HEAP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HEAP_ARENAS_MAX = 8,
    HEAP_KEPT_MAX = 16 << 20,
    HEAP_STILL_LOOKS = 10,         /* in which nothing changed: the process is at rest */
    HEAP_STILL_BYTES = 64 << 10,   /* by less from one to the next: that is no change */
    HEAP_STILL_KEPT_MAX = 4 << 20, /* what may be kept by a process at rest */
    HEAP_END_MAX = 4 << 20, /* at the end of an arena; larger blocks are mapped by themselves */
};

/* All zero at first; used by one thread. */
struct heap {
    uint64_t left_bytes;               /* neither accounted for nor given back by the last try */
    uint64_t last_resident, last_used; /* of the last look */
    unsigned still_looks;              /* for which it did not */
};

/* For the whole process, before there are other threads. */
void heap_setup(void);
/* Look, at even intervals, whether the process has much more memory than the `used_bytes` that are
 * accounted for, or has come to rest with more than a little, and give back what is free then.
 * Returns whether that was tried. */
bool heap_look(struct heap *heap, uint64_t used_bytes);
/* Memory of the process that is no file's; 0 if that cannot be read. */
uint64_t heap_resident_bytes(void);

#endif
