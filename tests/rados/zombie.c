/* SPDX-License-Identifier: Apache-2.0 */
/* A writer is stopped (SIGSTOP) in the middle of its appends until its lease has run out, another
 * one takes over, looks and writes, and the first is continued.
 *
 * usage: zombie ROUNDS [--without-shutting-out]
 *
 * In each round, on a store of its own in the pool `kvfs` of the cluster of CEPH_CONF:
 *  - all that the first was told is appended is there for the second;
 *  - the first, continued, is told that it was overtaken, and ends with that;
 *  - what the second wrote before and after is all there is. */
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kvcore/storage/pool_rados.h"
#include "kvcore/storage/pooled_store.h"
#include "kvcore/util/clock.h"

enum {
    LEASE_MS = 1000,
    RECORD_SIZE = 500,
    STATUS_FENCED = 7,
    STATUS_WRONG = 1,
    PATIENCE_S = 60,
};

static const struct kv_file_id first_log = {KV_FILE_LOG, 1};
static const struct kv_file_id second_log = {KV_FILE_LOG, 2};

/* Shared with the writer that is stopped. */
struct shared {
    _Atomic uint64_t acknowledged; /* records */
};

struct round {
    struct rados_url url;
    bool shut_out;
    struct shared *shared;
    uint64_t stopped_after; /* records */
};

__attribute__((format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("# ");
    vprintf(format, args);
    printf("\nnot ok 1 - rounds of a stopped writer\n1..1\n");
    va_end(args);
    fflush(stdout);
    _exit(STATUS_WRONG);
}

static void need(int r, const char *what)
{
    if (r < 0) {
        die("%s: %s", what, kv_strerror(r));
    }
}

static void pause_ms(uint64_t ms)
{
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

/* As for a Ceph user who may not. */
static int forbidden_shut_out(struct pool *pool, const char *address)
{
    return -EACCES;
}

static struct kv_storage *open_store(const struct round *round)
{
    static struct pool_ops forbidding;
    struct pooled_options options = {
        .create = true, .lease_ms = LEASE_MS, .piece_bytes = 64 * 1024};
    struct pool *pool = NULL;
    struct kv_storage *storage = NULL;

    need(pool_rados_connect(&round->url, NULL, &pool), "connecting");
    if (!round->shut_out) {
        forbidding = *pool->ops;
        forbidding.shut_out = forbidden_shut_out;
        pool->ops = &forbidding;
    }
    need(pooled_storage_open(pool, "the store", &options, &storage), "opening");
    return storage;
}

static void fill(uint8_t bytes[RECORD_SIZE], uint64_t number)
{
    for (size_t i = 0; i < RECORD_SIZE; i++) {
        bytes[i] = (uint8_t)(number * 13 + i);
    }
}

static int append(struct kv_storage *storage, struct kv_log *log, uint64_t number)
{
    uint8_t bytes[RECORD_SIZE];
    struct iovec part = {bytes, sizeof bytes};
    fill(bytes, number);
    int r = storage->ops->log_append(log, &part, 1);
    return r < 0 ? r : storage->ops->log_sync(log);
}

/* The one that is stopped. */
static void write_until_overtaken(const struct round *round)
{
    struct kv_storage *storage = open_store(round);
    struct kv_log *log = NULL;
    uint64_t number = 0;

    need(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "the first"), "the first lease");
    need(storage->ops->root_swap(storage, 0, kv_slice_str("first")), "the first root");
    need(storage->ops->log_create(storage, first_log, 0, 0, &log), "the first log");
    int r = 0;
    while (r == 0) {
        r = append(storage, log, number++);
        if (r == 0) {
            atomic_store(&round->shared->acknowledged, number);
        }
    }
    int swapped = storage->ops->root_swap(storage, 1, kv_slice_str("zombie"));
    int removed = storage->ops->remove(storage, second_log);
    bool fenced = r == -POOLED_EFENCED && swapped == -POOLED_EFENCED && removed == -POOLED_EFENCED;
    storage->ops->log_close(log);
    storage->ops->close(storage);
    _exit(fenced ? STATUS_FENCED : STATUS_WRONG);
}

/* All that was acknowledged, and whole records only from then on, in order. Returns how many. */
static uint64_t check_log(struct kv_storage *storage, struct kv_file_id id, uint64_t acknowledged)
{
    struct kv_log *log = NULL;
    uint8_t bytes[RECORD_SIZE];
    uint8_t expected[RECORD_SIZE];
    size_t size = 0;

    need(storage->ops->log_open(storage, id, &log), "opening a log");
    uint64_t count = storage->ops->log_size(log) / RECORD_SIZE;
    if (count < acknowledged) {
        die("%llu records of %llu that were acknowledged", (unsigned long long)count,
            (unsigned long long)acknowledged);
    }
    for (uint64_t number = 0; number < count; number++) {
        need(storage->ops->log_read(log, number * RECORD_SIZE, bytes, RECORD_SIZE, &size),
             "reading");
        fill(expected, number);
        if (size != RECORD_SIZE || memcmp(bytes, expected, RECORD_SIZE) != 0) {
            die("record %llu is not what was appended", (unsigned long long)number);
        }
    }
    storage->ops->log_close(log);
    return count;
}

static struct kv_storage *take_over(const struct round *round)
{
    uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_S * 1000000000ULL;
    struct kv_storage *storage = open_store(round);
    int r = -EBUSY;

    while (r == -EBUSY && clock_monotonic_ns() < deadline_ns) {
        r = storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "the second");
        if (r == -EBUSY) {
            pause_ms(50);
        }
    }
    need(r, "taking over");
    return storage;
}

static void await_fenced(pid_t writer)
{
    int status = 0;
    for (int tries = 0; tries < PATIENCE_S * 20; tries++) {
        pid_t ended = waitpid(writer, &status, WNOHANG);
        if (ended == writer) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != STATUS_FENCED) {
                die("the first ended with status %x", (unsigned)status);
            }
            return;
        }
        pause_ms(50);
    }
    kill(writer, SIGKILL);
    die("the first still writes");
}

static void second_writes(struct kv_storage *storage, pid_t writer)
{
    struct kv_log *log = NULL;
    uint64_t number = 0;

    need(storage->ops->root_swap(storage, 1, kv_slice_str("second")), "the second root");
    need(storage->ops->log_create(storage, second_log, 0, 0, &log), "the second log");
    for (; number < 20; number++) {
        need(append(storage, log, number), "the second's append");
    }
    kill(writer, SIGCONT);
    for (; number < 40; number++) {
        need(append(storage, log, number), "the second's append");
    }
    await_fenced(writer);
    storage->ops->log_close(log);
    if (check_log(storage, second_log, number) != number) {
        die("the second log is not as long as it was written");
    }
}

static void run_round(struct round *round)
{
    struct kv_buf root = {0};
    uint64_t version = 0;

    atomic_store(&round->shared->acknowledged, 0);
    fflush(stdout);
    pid_t writer = fork();
    if (writer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it is not left stopped if this process ends */
        write_until_overtaken(round);
    }
    for (int tries = 0; atomic_load(&round->shared->acknowledged) < round->stopped_after; tries++) {
        if (tries == PATIENCE_S * 1000) {
            kill(writer, SIGKILL);
            die("the first does not get on");
        }
        pause_ms(1);
    }
    kill(writer, SIGSTOP);
    struct kv_storage *storage = take_over(round);
    uint64_t found = check_log(storage, first_log, atomic_load(&round->shared->acknowledged));
    second_writes(storage, writer);
    if (check_log(storage, first_log, found) != found) {
        die("the first log has changed");
    }
    need(storage->ops->root_read(storage, &root, &version), "the root");
    if (version != 2 || !kv_slice_equal(kv_buf_slice(&root), kv_slice_str("second"))) {
        die("the root is not the second's");
    }
    kv_buf_finish(&root);
    storage->ops->close(storage);
}

/* In a process of its own: after a fork librados gives parent and child the same addresses, and
 * shutting out one would shut out the other. */
static void run_apart(struct round *round)
{
    int status = 0;
    fflush(stdout);
    pid_t apart = fork();
    if (apart == 0) {
        run_round(round);
        _exit(EXIT_SUCCESS);
    }
    if (waitpid(apart, &status, 0) != apart || status != 0) {
        fflush(stdout);
        _exit(STATUS_WRONG); /* it has said why */
    }
}

int main(int argc, char **argv)
{
    struct round round = {.shut_out = argc < 3};
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
    void *shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        die("no memory");
    }
    round.shared = (struct shared *)shared;
    for (long i = 0; i < rounds; i++) {
        char url[128];
        snprintf(url, sizeof url, "rados://kvfs/zombie-%d-%ld", (int)getpid(), i);
        need(rados_url_parse(url, &round.url), url);
        round.stopped_after = 1 + (uint64_t)i * 17 % 150; /* some in the second piece */
        run_apart(&round);
    }
    printf("ok 1 - %ld rounds of a stopped writer%s\n1..1\n", rounds,
           round.shut_out ? "" : ", without shutting it out");
    return EXIT_SUCCESS;
}
