/* SPDX-License-Identifier: Apache-2.0 */
/* Memory taken from the system in whole huge pages: the only file that maps memory.
 *
 * Structures of many megabytes that are read in random order spend much of their time looking for
 * addresses: one entry of the processor's table of addresses covers 4 KiB, or 2 MiB of a huge page.
 * So memory that is aligned to huge pages is asked for, and the system is asked to use them. Where
 * it does not, the same memory consists of small pages and nothing else changes. Any thread. */
#ifndef KVCORE_UTIL_PAGES_H
#define KVCORE_UTIL_PAGES_H

#include <stddef.h>

enum { PAGES_HUGE_BYTES = 2 << 20 };

/* `size` bytes of zeros, aligned to PAGES_HUGE_BYTES, of which `size` is a multiple above 0; NULL
 * when out of memory. Touching one byte may take a whole huge page: account for all of it. */
void *pages_alloc(size_t size);
/* Give back what pages_alloc() returned for this size. Accepts NULL. */
void pages_free(void *memory, size_t size);

#endif
