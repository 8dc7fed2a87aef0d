/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/latch.h"
#include "kvcore/util/thread.h"

enum { ROUNDS = 20000 };

/* Each round has a latch on the stack of the one who waits, as a queue of writers does. */
struct rally {
    _Atomic(struct latch *) latch; /* NULL: nobody waits */
    uint64_t payload;              /* written before the latch is set */
};

static void *answer(void *arg)
{
    struct rally *rally = arg;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct latch *latch;
        while ((latch = atomic_exchange(&rally->latch, NULL)) == NULL) {
        }
        if (round % 64 == 0) { /* now and then so late that the other one sleeps */
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        }
        rally->payload = (uint64_t)round * 7;
        latch_set(latch, round);
    }
    return NULL;
}

START_TEST(who_waits_gets_the_value_and_sees_what_was_written_before)
{
    struct rally rally = {.latch = NULL};
    struct thread thread;
    ck_ok(thread_start(&thread, "answer", answer, &rally));
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct latch latch = {0};
        atomic_store(&rally.latch, &latch);
        ck_assert_uint_eq(latch_wait(&latch), round);
        ck_assert_uint_eq(rally.payload, (uint64_t)round * 7);
    }
    thread_join(&thread);
}
END_TEST

START_TEST(a_latch_that_was_set_before_is_not_waited_for)
{
    struct latch latch = {0};
    latch_set(&latch, 3);
    ck_assert_uint_eq(latch_wait(&latch), 3);
}
END_TEST

/* ---- sleep ---- */

struct sleeper {
    struct thread thread;
    struct latch latch;
    uint32_t value; /* that it was told */
    _Atomic bool is_back;
};

static void *wait_for_value(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->value = latch_wait(&sleeper->latch);
    atomic_store(&sleeper->is_back, true);
    return NULL;
}

/* Wake the one who sleeps, for no reason, as soon as it does. */
static void wake(struct sleeper *sleeper)
{
    uint64_t deadline_ns = clock_monotonic_ns() + test_patience_ms() * 1000000;
    while (syscall(SYS_futex, &sleeper->latch.value, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) != 1) {
        ck_assert_msg(!atomic_load(&sleeper->is_back), "who waits came back with nothing");
        ck_assert_msg(clock_monotonic_ns() < deadline_ns, "who waits does not sleep");
        sched_yield();
    }
}

START_TEST(who_waits_long_sleeps_until_the_latch_is_set_and_nothing_else_ends_that)
{
    struct sleeper sleeper = {.value = 0};
    uint64_t deadline_ns;
    ck_ok(thread_start(&sleeper.thread, "sleeper", wait_for_value, &sleeper));
    wake(&sleeper);
    wake(&sleeper); /* it had gone back to sleep */
    latch_set(&sleeper.latch, 5);
    deadline_ns = clock_monotonic_ns() + test_patience_ms() * 1000000;
    while (!atomic_load(&sleeper.is_back)) {
        ck_assert_msg(clock_monotonic_ns() < deadline_ns, "nobody woke the one who sleeps");
        sched_yield();
    }
    thread_join(&sleeper.thread);
    ck_assert_uint_eq(sleeper.value, 5);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("latch");
    suite_add(s, "sleep", who_waits_long_sleeps_until_the_latch_is_set_and_nothing_else_ends_that);
    suite_add(s, "rally", who_waits_gets_the_value_and_sees_what_was_written_before);
    suite_add(s, "set before", a_latch_that_was_set_before_is_not_waited_for);
    return s;
}
