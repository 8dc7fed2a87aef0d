/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the directory of a store that stop at some change of it, as if the process was killed:
 * what was written stays, also unsynced. */
#ifndef TESTS_ADMIN_ADMIN_CRASH_H
#define TESTS_ADMIN_ADMIN_CRASH_H

#include "kvcore/storage/posix_calls.h"

struct crash {
    struct posix_calls calls;
    uint64_t count, stop_at;          /* changes of the directory; 0: never */
    uint64_t removed, stop_at_remove; /* tables */
    uint64_t removals_that_fail;      /* of tables, the next ones */
    uint64_t made, fail_at_make;      /* tables that are begun; that one is not; 0: all are */
    bool manifests_fail;              /* none can be begun or written to */
    uint64_t manifests;               /* bits of descriptors */
};

/* Its numbers are changed by threads of the store. */
extern struct crash crash;

/* From now on nothing stops before that change; 0: nothing at all. */
void crash_begin(uint64_t stop_at);
bool crash_happened(void);
uint64_t crash_load(const uint64_t *number);

#endif
