/* SPDX-License-Identifier: Apache-2.0 */
/* When the kernel is asked to keep idle processors awake; here a pipe stands for the device. */
#include "tests/lib/check_main.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "fs/fuse/idle_poll.h"
#include "kvcore/util/clock.h"

enum { POLLS = 0, HALTS = 2000 * 1000 * 1000, LONG_MS = 20 * 1000 };

static struct idle_poll idle;
static int demands; /* what was written to the device */

static void setup(void)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    demands = ends[0];
    idle_poll_init(&idle, ends[1]);
}

static void teardown(void)
{
    close(demands);
}

static bool is_told(int wait_ms)
{
    struct pollfd device = {.fd = demands, .events = POLLIN};
    return poll(&device, 1, wait_ms) == 1 && (device.revents & POLLIN) != 0;
}

static int32_t next_demand(int wait_ms)
{
    int32_t latency_us = -1;
    ck_assert(is_told(wait_ms));
    ck_assert_int_eq(read(demands, &latency_us, sizeof latency_us), sizeof latency_us);
    return latency_us;
}

/* One request after the other. However slow this machine is, some batch is quick in the end. */
static void ask_quickly(void)
{
    uint64_t until_ns = clock_monotonic_ns() + (uint64_t)LONG_MS * 1000 * 1000;
    while (!is_told(0) && clock_monotonic_ns() < until_ns) {
        for (int i = 0; i < IDLE_POLL_BATCH; i++) {
            idle_poll_request(&idle);
        }
    }
}

START_TEST(processors_poll_while_requests_come_quickly_and_halt_soon_after)
{
    ck_ok(idle_poll_start(&idle));
    for (int round = 0; round < 3; round++) {
        ask_quickly();
        ck_assert_int_eq(next_demand(0), POLLS);
        ck_assert_int_eq(next_demand(LONG_MS), HALTS);
    }
    idle_poll_finish(&idle);
}
END_TEST

START_TEST(requests_that_come_now_and_then_leave_processors_alone)
{
    ck_ok(idle_poll_start(&idle));
    for (int i = 0; i < 5 * IDLE_POLL_BATCH; i++) {
        idle_poll_request(&idle);
        usleep(500); /* at least: fewer than 2,000 a second */
    }
    ck_assert(!is_told(0));
    idle_poll_finish(&idle);
}
END_TEST

START_TEST(the_demand_ends_with_the_mount)
{
    int32_t latency_us;
    ck_ok(idle_poll_start(&idle));
    ask_quickly();
    idle_poll_finish(&idle);
    while (read(demands, &latency_us, sizeof latency_us) > 0) {
    }
    ck_assert(!is_told(0)); /* nobody has the device open any more */
}
END_TEST

START_TEST(without_a_device_nothing_is_asked_for)
{
    struct idle_poll none;
    idle_poll_init(&none, -1);
    ck_ok(idle_poll_start(&none));
    for (int i = 0; i < 5 * IDLE_POLL_BATCH; i++) {
        idle_poll_request(&none);
    }
    ck_assert(!none.started && !none.asked);
    idle_poll_finish(&none);
    idle_poll_finish(&idle); /* never started */
    ck_assert(!is_told(0));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_idle_poll");
    TCase *tcase = tcase_create("fs_idle_poll");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, processors_poll_while_requests_come_quickly_and_halt_soon_after);
    tcase_add_test(tcase, requests_that_come_now_and_then_leave_processors_alone);
    tcase_add_test(tcase, the_demand_ends_with_the_mount);
    tcase_add_test(tcase, without_a_device_nothing_is_asked_for);
    suite_add_tcase(suite, tcase);
    return suite;
}
