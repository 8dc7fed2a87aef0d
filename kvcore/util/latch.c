/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/latch.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is waited for is often a few microseconds away, and falling asleep takes as long. */
enum { SPINS = 100 };

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

uint32_t latch_wait(struct latch *latch)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < SPINS; i++) {
        value = atomic_load_explicit(&latch->value, memory_order_acquire);
        if (value != 0) {
            return value;
        }
        relax();
    }
    value = 0;
    if (!atomic_compare_exchange_strong_explicit(&latch->value, &value, LATCH_SLEEPS,
                                                 memory_order_acquire, memory_order_acquire)) {
        return value;
    }
    do {
        /* Returns at once if it was set meanwhile; any other reason leads back here. */
        (void)syscall(SYS_futex, &latch->value, FUTEX_WAIT_PRIVATE, LATCH_SLEEPS, NULL, NULL, 0);
        value = atomic_load_explicit(&latch->value, memory_order_acquire);
    } while (value == LATCH_SLEEPS);
    return value;
}

void latch_set(struct latch *latch, uint32_t value)
{
    if (atomic_exchange_explicit(&latch->value, value, memory_order_release) == LATCH_SLEEPS) {
        (void)syscall(SYS_futex, &latch->value, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}
