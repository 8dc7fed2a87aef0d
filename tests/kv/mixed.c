/* SPDX-License-Identifier: Apache-2.0 */
/* A mixed load for a long time, all of it compared with a model:
 *
 *   kv_mixed [DIR] [--seconds N] [--threads N] [--seed N]
 *
 * Threads overwrite, delete, delete ranges, write batches, read, scan both ways, hold snapshots and
 * read them again, the store is copied by checkpoints, and closed and opened now and then; values
 * are inline and in blobs.
 * See mixed_part.h for what is compared. DIR must not exist; without it a temporary one is used,
 * which stays if there was a difference. A seed repeats what each thread wants to do, not when.
 *
 * Prints figures and TAP. How long a write may take and how memory may grow is judged only in runs
 * of two minutes and more: beside other work on the machine a short one proves nothing. */
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvcore/util/clock.h"
#include "tests/kv/mixed_part.h"

enum { TICK_MS = 50, JUDGED_SECONDS = 120, STALL_MS = 1000, CHECK_SCANS = 20 };

static const uint64_t ns_per_s = 1000000000ULL;

struct load {
    struct mixed mixed;
    char dir[4096];
    bool temporary;
    uint64_t seconds;
    struct rng rng;
    unsigned reopenings;
    uint64_t longest_open_ns;
    /* Highest memory in the second minute, in the last, and ever. */
    size_t rss_second, rss_last, rss_peak;
    size_t rss_minute;      /* in the present minute, */
    uint64_t minute;        /* counted from 0 */
    struct kv_stats totals; /* of the stores that were closed; only what main() prints */
};

/* ---- the store ---- */

static void tell(void *arg, enum kv_message_level level, const char *text)
{
    (void)arg;
    if (level == KV_MESSAGE_ERROR) {
        printf("# the store says: %s\n", text);
    }
}

static int open_store(struct load *load)
{
    struct kv_options options = {.create = true,
                                 .memtable_bytes = 4 << 20,
                                 .cache_bytes = 16 << 20,
                                 .file_bytes = 2 << 20,
                                 .level_base_bytes = 8 << 20,
                                 .blob_file_bytes = 16 << 20,
                                 .compaction_threads = 1 + (unsigned)rng_below(&load->rng, 2),
                                 .sync_interval_ms = (unsigned)rng_below(&load->rng, 2) * 500,
                                 .message_fn = tell};
    struct mixed_store *open = &load->mixed.open;
    struct kv_storage *storage = NULL;
    uint64_t began = clock_monotonic_ns();
    uint64_t took;
    int r = kv_storage_posix_open(load->dir, true, &storage);

    if (r < 0) {
        return r;
    }
    r = kv_open(storage, &options, &open->store);
    if (r < 0) {
        storage->ops->close(storage);
        return r;
    }
    took = clock_monotonic_ns() - began;
    load->longest_open_ns = took > load->longest_open_ns ? took : load->longest_open_ns;
    r = kv_table_open(open->store, "rows", NULL, &open->rows);
    return r < 0 ? r : kv_table_open(open->store, "stamps", NULL, &open->stamps);
}

static int close_store(struct load *load)
{
    struct kv_stats stats;
    struct kv_store *store = load->mixed.open.store;

    load->mixed.open = (struct mixed_store){0};
    if (store == NULL) {
        return 0;
    }
    kv_stats(store, &stats);
    load->totals.flushes += stats.flushes;
    load->totals.compactions += stats.compactions;
    load->totals.bytes_written_user += stats.bytes_written_user;
    load->totals.stalls += stats.stalls;
    load->totals.stall_ns += stats.stall_ns;
    load->totals.damage_seen += stats.damage_seen;
    load->totals.blob_relocated_bytes += stats.blob_relocated_bytes;
    return kv_close(store);
}

/* ---- while the threads run ---- */

static void pause_for_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    size_t kib = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmRSS: %zu kB", &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib * 1024;
}

static void sample_memory(struct load *load, uint64_t elapsed_s)
{
    size_t bytes = resident_bytes();
    if (elapsed_s / 60 != load->minute) {
        printf("# minute %" PRIu64 ": memory at most %.1f MiB\n", load->minute + 1,
               (double)load->rss_minute / (1 << 20));
        fflush(stdout);
        load->minute = elapsed_s / 60;
        load->rss_minute = 0;
    }
    load->rss_minute = bytes > load->rss_minute ? bytes : load->rss_minute;
    load->rss_peak = bytes > load->rss_peak ? bytes : load->rss_peak;
    if (elapsed_s >= 60 && elapsed_s < 120 && bytes > load->rss_second) {
        load->rss_second = bytes;
    }
    if (elapsed_s + 60 >= load->seconds && bytes > load->rss_last) {
        load->rss_last = bytes;
    }
}

/* All threads wait while the store is closed and opened. */
static void reopen(struct load *load)
{
    struct mixed *mixed = &load->mixed;
    bool all;
    int r = 0;

    atomic_store(&mixed->park, true);
    mutex_lock(&mixed->mu);
    while (mixed->parked < mixed->part_count && !atomic_load(&mixed->stop)) {
        condvar_wait_until(&mixed->changed, &mixed->mu, clock_monotonic_ns() + ns_per_s / 10);
    }
    all = mixed->parked == mixed->part_count;
    mutex_unlock(&mixed->mu);
    if (all) {
        r = close_store(load);
        r = r < 0 ? r : open_store(load);
        load->reopenings++;
    }
    if (r < 0) {
        mixed_differs(&mixed->parts[0], "the store cannot be opened again: %s", kv_strerror(r));
    }
    mutex_lock(&mixed->mu);
    atomic_store(&mixed->park, false);
    condvar_broadcast(&mixed->changed);
    mutex_unlock(&mixed->mu);
}

/* Until the time is over or a difference was found. */
static void supervise(struct load *load)
{
    struct mixed *mixed = &load->mixed;
    uint64_t apart_ns =
        (load->seconds >= 100 ? 20 : load->seconds * ns_per_s / 5 / ns_per_s + 1) * ns_per_s;
    uint64_t next_reopening = mixed->began_ns + apart_ns;
    uint64_t next_sample = mixed->began_ns;

    while (!atomic_load(&mixed->stop)) {
        uint64_t now = clock_monotonic_ns();
        if (now - mixed->began_ns >= load->seconds * ns_per_s) {
            atomic_store(&mixed->stop, true);
        } else if (now >= next_reopening) {
            reopen(load);
            next_reopening = clock_monotonic_ns() + apart_ns;
        } else if (now >= next_sample) {
            sample_memory(load, (now - mixed->began_ns) / ns_per_s);
            next_sample += ns_per_s;
        }
        pause_for_ms(TICK_MS);
    }
}

static void run_threads(struct load *load)
{
    struct mixed *mixed = &load->mixed;
    unsigned started = 0;
    int r = 0;

    while (started < mixed->part_count && r == 0) {
        struct mixed_part *part = &mixed->parts[started];
        r = thread_start(&part->thread, "mixed", mixed_part_main, part);
        started += r == 0;
    }
    if (r < 0) {
        mixed_differs(&mixed->parts[0], "no thread: %s", kv_strerror(r));
    } else {
        supervise(load);
    }
    for (unsigned i = 0; i < started; i++) {
        thread_join(&mixed->parts[i].thread);
    }
}

/* ---- the end ---- */

static bool differs(struct mixed *mixed)
{
    bool differs;
    mutex_lock(&mixed->mu);
    differs = mixed->differs;
    mutex_unlock(&mixed->mu);
    return differs;
}

/* Everything once more, after a last reopening. */
static void check_all(struct load *load)
{
    struct mixed *mixed = &load->mixed;
    struct mixed_floor floor;
    int r = close_store(load);

    r = r < 0 ? r : open_store(load);
    if (r < 0) {
        mixed_differs(&mixed->parts[0], "the store cannot be opened again: %s", kv_strerror(r));
    }
    for (unsigned i = 0; i < mixed->part_count && !differs(mixed); i++) {
        struct mixed_part *part = &mixed->parts[i];
        bool same = mixed_part_check(part);
        for (int n = 0; n < CHECK_SCANS && same; n++) {
            mixed_floor_get(mixed, &floor);
            same = mixed_look_at_all(part, true, &floor);
        }
    }
    r = close_store(load);
    if (r < 0) {
        mixed_differs(&mixed->parts[0], "the store cannot be closed: %s", kv_strerror(r));
    }
}

static void print_counts(const struct mixed *mixed)
{
    uint64_t all = 0;
    uint64_t compared = 0;
    for (int kind = 0; kind < MIXED_KINDS; kind++) {
        uint64_t count = 0;
        for (unsigned i = 0; i < mixed->part_count; i++) {
            count += mixed->parts[i].counts[kind];
        }
        all += count;
        printf("# %-20s %12" PRIu64 "\n", mixed_kind_name((enum mixed_kind)kind), count);
    }
    for (unsigned i = 0; i < mixed->part_count; i++) {
        compared += mixed->parts[i].rows_compared;
    }
    printf("# %-20s %12" PRIu64 "\n# %-20s %12" PRIu64 "\n", "operations", all, "rows compared",
           compared);
}

static const struct mixed_part *slowest(const struct mixed *mixed)
{
    const struct mixed_part *part = &mixed->parts[0];
    for (unsigned i = 1; i < mixed->part_count; i++) {
        part = mixed->parts[i].longest_write_ns > part->longest_write_ns ? &mixed->parts[i] : part;
    }
    return part;
}

static void print_figures(const struct load *load)
{
    const struct mixed *mixed = &load->mixed;
    const struct mixed_part *slow = slowest(mixed);
    uint64_t upkeep_ns = 0;
    for (unsigned i = 0; i < mixed->part_count; i++) {
        uint64_t ns = mixed->parts[i].longest_upkeep_ns;
        upkeep_ns = ns > upkeep_ns ? ns : upkeep_ns;
    }
    printf("# reopened %u times, at most %.0f ms each\n", load->reopenings,
           (double)load->longest_open_ns / 1e6);
    printf("# longest write %.1f ms (%s, at %.1f s); longest sync, flush, merge or checkpoint by "
           "hand %.0f ms\n",
           (double)slow->longest_write_ns / 1e6, mixed_kind_name(slow->longest_write_kind),
           (double)(slow->longest_write_at_ns - mixed->began_ns) / 1e9, (double)upkeep_ns / 1e6);
    printf("# %.0f MiB written, %" PRIu64 " flushes, %" PRIu64 " merges, %.0f MiB moved out of "
           "blobs with garbage, writers stopped %" PRIu64 " times (%.2f s)\n",
           (double)load->totals.bytes_written_user / (1 << 20), load->totals.flushes,
           load->totals.compactions, (double)load->totals.blob_relocated_bytes / (1 << 20),
           load->totals.stalls, (double)load->totals.stall_ns / 1e9);
    printf("# memory: at most %.1f MiB in the second minute, %.1f MiB in the last, %.1f MiB ever\n",
           (double)load->rss_second / (1 << 20), (double)load->rss_last / (1 << 20),
           (double)load->rss_peak / (1 << 20));
}

static bool point(unsigned *number, bool good, const char *name)
{
    printf("%sok %u - %s\n", good ? "" : "not ", ++*number, name);
    return good;
}

static bool judge(struct load *load)
{
    unsigned count = 0;
    bool good = point(&count, !differs(&load->mixed), "no row differs from the model");
    good = point(&count, load->totals.damage_seen == 0, "nothing is called damaged") && good;
    if (load->seconds >= JUDGED_SECONDS) {
        bool flat = load->rss_last <= load->rss_second + load->rss_second / 10;
        bool quick = slowest(&load->mixed)->longest_write_ns < STALL_MS * (ns_per_s / 1000);
        good =
            point(&count, flat, "memory of the last minute is within 10 % of the second") && good;
        good = point(&count, quick, "no write takes over a second") && good;
    }
    printf("1..%u\n", count);
    return good;
}

/* ---- the command line ---- */

static struct load parse(int argc, char **argv)
{
    static const struct option longs[] = {{"seconds", required_argument, NULL, 's'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {0}};
    const char *seed = getenv("KV_SEED");
    const char *base = getenv("TMPDIR");
    struct load load = {.seconds = 10};
    unsigned long threads = 4;
    int option;

    load.mixed.seed =
        seed != NULL ? strtoull(seed, NULL, 0) : hash_u64(clock_monotonic_ns()) % 1000000;
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        unsigned long long number = optarg != NULL ? strtoull(optarg, NULL, 0) : 0;
        if (option == 's') {
            load.seconds = number;
        } else if (option == 't') {
            threads = number;
        } else if (option == 'r') {
            load.mixed.seed = number;
        } else {
            exit(2);
        }
    }
    load.mixed.part_count = threads < 1                 ? 1
                            : threads > MIXED_PARTS_MAX ? MIXED_PARTS_MAX
                                                        : (unsigned)threads;
    load.temporary = optind == argc;
    if (load.temporary) {
        snprintf(load.dir, sizeof load.dir, "%s/kv-mixed-XXXXXX", base != NULL ? base : "/tmp");
    } else {
        snprintf(load.dir, sizeof load.dir, "%s", argv[optind]);
    }
    return load;
}

static int remove_name(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int prepare(struct load *load)
{
    struct mixed *mixed = &load->mixed;
    bool made = load->temporary ? mkdtemp(load->dir) != NULL : mkdir(load->dir, 0700) == 0;
    int r = made ? 0 : -errno;

    mutex_init(&mixed->mu, LOCK_RANK_LEAF, "mixed");
    condvar_init(&mixed->changed);
    load->rng = (struct rng){mixed->seed};
    mixed->dir = load->dir;
    for (unsigned i = 0; i < mixed->part_count && r == 0; i++) {
        r = mixed_part_init(mixed, i);
    }
    r = r < 0 ? r : open_store(load);
    mixed->began_ns = clock_monotonic_ns();
    mixed->upkeep_ns = (load->seconds >= 300 ? 15 : load->seconds * 50 / 1000 + 1) * ns_per_s;
    return r;
}

int main(int argc, char **argv)
{
    static struct load load;
    struct mixed *mixed = &load.mixed;
    bool good;
    int r;

    load = parse(argc, argv);
    r = prepare(&load);
    if (r < 0) {
        printf("Bail out! no store in %s: %s\n", load.dir, kv_strerror(r));
        return 1;
    }
    printf("# seed %" PRIu64 ", %u threads, %" PRIu64 " s, store in %s\n", mixed->seed,
           mixed->part_count, load.seconds, load.dir);
    fflush(stdout);
    run_threads(&load);
    if (!differs(mixed)) {
        check_all(&load);
    } else {
        kv_ignore(close_store(&load)); /* the difference is what matters */
    }
    print_counts(mixed);
    print_figures(&load);
    good = judge(&load);
    for (unsigned i = 0; i < mixed->part_count; i++) {
        mixed_part_finish(&mixed->parts[i]);
    }
    condvar_finish(&mixed->changed);
    mutex_finish(&mixed->mu);
    if (load.temporary && good) {
        nftw(load.dir, remove_name, 16, FTW_DEPTH | FTW_PHYS);
    }
    return good ? 0 : 1;
}
