/* SPDX-License-Identifier: Apache-2.0 */
/* One thread waits until another tells it a number: what a condition variable does with its mutex,
 * without a mutex that the one who wakes up would have to take first.
 *
 * All zero before use. The latch may lie on the stack of the thread that waits: whoever sets it
 * does not touch it afterwards (the kernel is only told an address to look for sleepers at). */
#ifndef KVCORE_UTIL_LATCH_H
#define KVCORE_UTIL_LATCH_H

#include <stdatomic.h>
#include <stdint.h>

struct latch {
    _Atomic uint32_t value; /* 0: not set; LATCH_SLEEPS: not set, and somebody sleeps */
};

#define LATCH_SLEEPS UINT32_MAX

/* Wait until it is set; returns the value. One thread, once. What was written before it was set is
 * seen. */
uint32_t latch_wait(struct latch *latch);
/* Once; `value` is neither 0 nor LATCH_SLEEPS. */
void latch_set(struct latch *latch, uint32_t value);

#endif
