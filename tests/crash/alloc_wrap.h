/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations that fail. A program that uses this is linked with --wrap (see alloc_wrap_args in
 * meson.build), so that every allocation of its own code comes here; what shared libraries allocate
 * for themselves (snappy, the C library) does not. One thread. */
#ifndef TESTS_CRASH_ALLOC_WRAP_H
#define TESTS_CRASH_ALLOC_WRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Between the two the code under test runs: its allocations are counted, and may fail. Those of the
 * simulated file system do not count. */
void alloc_enter(void);
void alloc_leave(void);

enum alloc_how {
    ALLOC_ONCE = 0,
    ALLOC_CALL,    /* and all later ones until alloc_leave() */
    ALLOC_FOREVER, /* and all later ones */
    ALLOC_HOW_COUNT,
};

/* Count from 0 again, and let allocation `number` (from 1) fail. 0: none fails. */
void alloc_fail_at(uint64_t number, enum alloc_how how);
uint64_t alloc_count(void);
uint64_t alloc_failures(void); /* since then */
/* Where the last that failed was called from: what addr2line -e PROGRAM takes. */
uintptr_t alloc_failed_at(void);
/* Allocations that the code under test made, at any time, and nobody freed. */
size_t alloc_live(void);

#endif
