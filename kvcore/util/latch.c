/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcore/util/latch.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvcore/util/clock.h"

/* What is waited for, a write to the log by another thread, is a few microseconds away. To fall
 * asleep and to be woken takes longer, in a virtual machine several times so. That is a time and
 * not a number of rounds, since a pause takes 3 ns on some processors and 50 on others. */
enum { SPIN_NS = 10000, ROUNDS_PER_LOOK = 16 };

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns the value, or 0 if it was not set in time. */
static uint32_t spin(struct latch *latch)
{
    uint64_t until = clock_monotonic_ns() + SPIN_NS;
    do {
        for (unsigned i = 0; i < ROUNDS_PER_LOOK; i++) {
            uint32_t value = atomic_load_explicit(&latch->value, memory_order_acquire);
            if (value != 0) {
                return value;
            }
            relax();
        }
    } while (clock_monotonic_ns() < until);
    return 0;
}

uint32_t latch_wait(struct latch *latch)
{
    uint32_t value = spin(latch);
    if (value != 0) {
        return value;
    }
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
