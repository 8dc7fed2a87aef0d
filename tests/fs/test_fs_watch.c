/* SPDX-License-Identifier: Apache-2.0 */
/* How the workers of a mount wait for requests; here a socket stands for the device. */
#include "tests/lib/check_main.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/fuse/watch.h"
#include "kvcore/util/clock.h"

enum { WORKERS = 4, QUICK, LONG };
enum { CLIENT = 77 }; /* the thread that asks */

struct office {
    struct watch watch;
    unsigned count; /* of workers */
    int device, client;
    pthread_t workers[WORKERS];
    _Atomic unsigned served[WORKERS];
    _Atomic unsigned long_begun;
    _Atomic bool released; /* the long ones may end */
};

struct worker_arg {
    struct office *office;
    unsigned number;
};

static struct office office;
static struct worker_arg args[WORKERS];

/* As a loop of libfuse has it: a worker may be cancelled while it waits, and only there. */
static void *work(void *arg)
{
    struct worker_arg *self = arg;
    struct office *o = self->office;
    struct fuse_in_header request;
    for (;;) {
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
        ssize_t size = watch_read(&o->watch, o->device, &request, sizeof request);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        if (size != sizeof request) {
            return NULL;
        }
        if (request.opcode == LONG) {
            atomic_fetch_add(&o->long_begun, 1);
            while (!atomic_load(&o->released)) {
                usleep(1000);
            }
        }
        atomic_fetch_add(&o->served[self->number], 1);
        (void)send(o->device, &request, sizeof request, 0);
    }
}

static void open_office_of(unsigned processors, unsigned workers)
{
    int pair[2];
    struct timeval patience = {.tv_sec = (time_t)(test_patience_ms() / 1000)};
    office = (struct office){.count = workers};
    ck_ok(watch_init(&office.watch, processors));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    office.device = pair[0];
    office.client = pair[1];
    ck_assert_int_eq(setsockopt(office.client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience),
                     0);
    for (unsigned i = 0; i < office.count; i++) {
        args[i] = (struct worker_arg){.office = &office, .number = i};
        ck_assert_int_eq(pthread_create(&office.workers[i], NULL, work, &args[i]), 0);
    }
}

static void open_office(void)
{
    open_office_of(2, WORKERS);
}

static void close_office(void)
{
    atomic_store(&office.released, true);
    for (unsigned i = 0; i < office.count; i++) {
        pthread_cancel(office.workers[i]);
    }
    for (unsigned i = 0; i < office.count; i++) {
        ck_assert_int_eq(pthread_join(office.workers[i], NULL), 0);
    }
    close(office.device);
    close(office.client);
    watch_finish(&office.watch);
}

static uint64_t patience_end(void)
{
    return clock_monotonic_ns() + test_patience_ms() * 1000000;
}

static void ask_as(uint32_t client, uint32_t what)
{
    struct fuse_in_header request = {.opcode = what, .pid = client};
    ck_assert_int_eq(send(office.client, &request, sizeof request, 0), sizeof request);
}

static void ask(uint32_t what)
{
    ask_as(CLIENT, what);
}

/* Ask for what takes until `released`, and wait until a worker is about it. */
static void ask_long(void)
{
    unsigned before = atomic_load(&office.long_begun);
    uint64_t end = patience_end();
    ask(LONG);
    while (atomic_load(&office.long_begun) == before) {
        ck_assert_uint_lt(clock_monotonic_ns(), end);
        usleep(100);
    }
}

/* Wait for the next answer, no matter to what. */
static void hear(void)
{
    struct fuse_in_header answer;
    ck_assert_int_eq(recv(office.client, &answer, sizeof answer, 0), sizeof answer);
}

static void ask_quick(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ask(QUICK);
        hear();
    }
}

/* Ask until `count` requests in a row went to one worker and it waits alone. A busy machine may
 * call all back in between. */
static void ask_until_one_serves(unsigned count)
{
    uint64_t end = patience_end();
    for (;;) {
        unsigned before[WORKERS];
        unsigned idle = 0;
        for (unsigned i = 0; i < WORKERS; i++) {
            before[i] = atomic_load(&office.served[i]);
        }
        ask_quick(count);
        for (unsigned i = 0; i < WORKERS; i++) {
            idle += atomic_load(&office.served[i]) == before[i];
        }
        if (idle >= WORKERS - 1 && atomic_load(&office.watch.alone)) {
            return;
        }
        ck_assert_msg(clock_monotonic_ns() < end, "%u of %d workers idle", idle, WORKERS);
    }
}

START_TEST(quick_requests_one_after_the_other_are_served_by_one_worker)
{
    ask_until_one_serves(200);
}
END_TEST

START_TEST(a_request_that_takes_long_holds_up_nobody)
{
    enum { ROUNDS = 10, RESCUE_MS = 50 };
    uint64_t best = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        ask_until_one_serves(50);
        atomic_store(&office.released, false);
        ask_long();
        uint64_t begin = clock_monotonic_ns();
        ask_quick(1);
        uint64_t took = clock_monotonic_ns() - begin;
        best = took < best ? took : best;
        ask_quick(100);
        atomic_store(&office.released, true);
        hear();
    }
    ck_assert_uint_lt(best, RESCUE_MS * 1000000ULL); /* of one or two; a busy machine has more */
}
END_TEST

START_TEST(a_worker_that_somebody_waited_for_calls_the_others)
{
    open_office_of(2, 1); /* so nobody looks */
    ask_until_one_serves(50);
    ask_long();
    ask(QUICK);
    atomic_store(&office.released, true);
    hear();
    hear();
    ck_assert(!atomic_load(&office.watch.alone));
    close_office();
}
END_TEST

START_TEST(workers_that_are_all_but_one_held_up_serve_on)
{
    ask_until_one_serves(50);
    for (unsigned i = 0; i + 1 < WORKERS; i++) {
        ask_long();
        ask_quick(200);
    }
    atomic_store(&office.released, true);
    for (unsigned i = 0; i + 1 < WORKERS; i++) {
        hear();
    }
}
END_TEST

START_TEST(without_requests_all_wait_at_the_device_again)
{
    ask_until_one_serves(50);
    uint64_t end = patience_end();
    while (atomic_load(&office.watch.readers) != WORKERS) {
        ck_assert_msg(clock_monotonic_ns() < end, "%u readers", atomic_load(&office.watch.readers));
        usleep(1000);
    }
    ck_assert(!atomic_load(&office.watch.alone));
    ask_quick(10);
}
END_TEST

START_TEST(for_several_clients_all_wait_together)
{
    ask_until_one_serves(50);
    uint64_t end = patience_end();
    do {
        for (uint32_t client = 1; client <= 3; client++) {
            ask_as(client, QUICK);
            hear();
        }
        ck_assert_uint_lt(clock_monotonic_ns(), end);
    } while (atomic_load(&office.watch.alone));
    for (unsigned i = 0; i < 500; i++) {
        ask_as(i % 2 + 1, QUICK);
        hear();
        ck_assert(!atomic_load(&office.watch.alone));
    }
}
END_TEST

START_TEST(what_comes_from_no_thread_is_no_other_client)
{
    uint64_t end = patience_end();
    do {
        ask_quick(1);
        ask_as(0, QUICK);
        hear();
        ck_assert_uint_lt(clock_monotonic_ns(), end);
    } while (!atomic_load(&office.watch.alone));
}
END_TEST

START_TEST(with_one_processor_nobody_waits_alone)
{
    open_office_of(1, WORKERS);
    for (unsigned i = 0; i < 1000; i++) {
        ask_quick(1);
        ck_assert(!atomic_load(&office.watch.alone));
    }
    close_office();
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("fs_watch");
    TCase *open = tcase_create("two processors");
    tcase_add_checked_fixture(open, open_office, close_office);
    tcase_add_test(open, quick_requests_one_after_the_other_are_served_by_one_worker);
    tcase_add_test(open, a_request_that_takes_long_holds_up_nobody);
    tcase_add_test(open, workers_that_are_all_but_one_held_up_serve_on);
    tcase_add_test(open, without_requests_all_wait_at_the_device_again);
    tcase_add_test(open, for_several_clients_all_wait_together);
    tcase_add_test(open, what_comes_from_no_thread_is_no_other_client);
    suite_add_tcase(s, open);
    suite_add(s, "one worker", a_worker_that_somebody_waited_for_calls_the_others);
    suite_add(s, "one processor", with_one_processor_nobody_waits_alone);
    return s;
}
