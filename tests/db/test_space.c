/* SPDX-License-Identifier: Apache-2.0 */
/* The room that large values take on the device when all of them are overwritten again and again,
 * beside snapshots that come and go, and when they are removed. The engine's own threads do what is
 * to be done.
 *
 * KV_SPACE_MIB=2048 runs it with so many MiB of values, with blobs of the usual size, and prints
 * figures; TMPDIR says on which file system. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <kv/kv.h>

#include "kvcore/util/clock.h"
#include "kvcore/util/coding.h"
#include "kvcore/util/rng.h"
#include "tests/lib/temp_dir.h"

enum { VALUE_SIZE = 32 << 10, MIB_DEFAULT = 32, ROUNDS = 10 };

struct world {
    struct temp_dir dir;
    struct kv_store *store;
    struct kv_table *table;
    struct rng rng;
    unsigned mib; /* of live values */
    bool large;   /* figures are wanted */
    uint32_t count;
    uint32_t *order;
};

static void sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static void world_open(struct world *w)
{
    const char *mib = getenv("KV_SPACE_MIB");
    struct kv_options options = {.create = true};
    struct kv_storage *storage = NULL;
    char path[512];

    *w = (struct world){.rng = {test_seed()}, .large = mib != NULL};
    w->mib = mib != NULL ? (unsigned)strtoul(mib, NULL, 10) : MIB_DEFAULT;
    if (!w->large) {
        options.memtable_bytes = (size_t)1 << 20;
        options.blob_file_bytes = (size_t)2 << 20;
    }
    w->count = (uint32_t)(((uint64_t)w->mib << 20) / VALUE_SIZE);
    w->order = calloc(w->count, sizeof *w->order);
    ck_assert_ptr_nonnull(w->order);
    for (uint32_t i = 0; i < w->count; i++) {
        w->order[i] = i;
    }
    temp_dir_make(&w->dir);
    ck_ok(kv_storage_posix_open(temp_dir_name(&w->dir, "store", path), true, &storage));
    ck_ok(kv_open(storage, &options, &w->store));
    ck_ok(kv_table_open(w->store, "t", NULL, &w->table));
}

static void world_close(struct world *w)
{
    ck_ok(kv_close(w->store));
    temp_dir_remove(&w->dir);
    free(w->order);
}

static struct kv_slice key_of(uint32_t i, char to[16])
{
    return kv_slice(to, (size_t)snprintf(to, 16, "key%09u", i));
}

/* Not to be compressed. */
static struct kv_slice value_of(uint32_t i, uint32_t round)
{
    static uint8_t bytes[VALUE_SIZE];
    struct rng rng = {(uint64_t)round << 32 | i};
    for (size_t n = 0; n < VALUE_SIZE; n += 8) {
        coding_put_u64(bytes + n, rng_next(&rng));
    }
    return kv_slice(bytes, VALUE_SIZE);
}

static void put(struct world *w, uint32_t i, uint32_t round)
{
    char key[16];
    ck_ok(kv_put(w->table, key_of(i, key), value_of(i, round), KV_DURABLE_WRITE));
}

static void check(struct world *w, uint32_t i, uint32_t round, const struct kv_snapshot *snapshot)
{
    struct kv_pinned pinned = {0};
    char key[16];
    ck_ok(kv_get(w->table, snapshot, key_of(i, key), &pinned));
    ck_assert(kv_slice_equal(pinned.value, value_of(i, round)));
    kv_pinned_release(&pinned);
}

static void shuffle(struct world *w)
{
    for (uint32_t i = w->count; i > 1; i--) {
        uint32_t other = (uint32_t)rng_below(&w->rng, i);
        uint32_t kept = w->order[i - 1];
        w->order[i - 1] = w->order[other];
        w->order[other] = kept;
    }
}

/* Of what the values take by themselves. */
static double space_over_live(struct world *w)
{
    struct kv_space space;
    ck_ok(kv_space(w->store, &space));
    return (double)space.used_bytes / (double)((uint64_t)w->mib << 20);
}

/* Wait, without a write, until the store takes so much at most. Returns the milliseconds. */
static unsigned wait_for_space(struct world *w, double limit)
{
    uint64_t began = clock_monotonic_ns();
    unsigned ms = 0;
    while (space_over_live(w) > limit) {
        ms = (unsigned)((clock_monotonic_ns() - began) / 1000000);
        ck_assert_msg(ms < test_patience_ms(), "%.3f of the live bytes are taken, not %.3f",
                      space_over_live(w), limit);
        sleep_ms(20);
    }
    return ms;
}

/* Overwrite each value once. A snapshot is there for the first half. Returns the largest space that
 * was seen once the snapshot had gone. */
static double overwrite_all(struct world *w, uint32_t round)
{
    struct kv_snapshot *snapshot = NULL;
    double largest = 0;

    shuffle(w);
    ck_ok(kv_snapshot_create(w->store, &snapshot));
    for (uint32_t i = 0; i < w->count; i++) {
        put(w, w->order[i], round);
        if (i == w->count / 2) {
            check(w, w->order[i], round - 1, snapshot);
            check(w, w->order[0], round - 1, snapshot);
            kv_snapshot_release(snapshot);
        }
        if (i > w->count / 2 && i % 64 == 0) {
            double now = space_over_live(w);
            largest = now > largest ? now : largest;
        }
    }
    return largest;
}

START_TEST(values_overwritten_ten_times_beside_snapshots_take_little_more_than_their_own_size)
{
    struct world w;
    world_open(&w);
    for (uint32_t i = 0; i < w.count; i++) {
        put(&w, i, 0);
    }
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        double largest = overwrite_all(&w, round);
        double now = space_over_live(&w);
        unsigned ms = wait_for_space(&w, 1.2);
        if (w.large) {
            fprintf(stderr, "# round %2u: most %.3f, at its end %.3f, below 1.2 after %u ms", round,
                    largest, now, ms);
            sleep_ms(3000);
            fprintf(stderr, ", %.3f 3 s later\n", space_over_live(&w));
        }
    }
    for (uint32_t i = 0; i < w.count; i += w.count / 64) {
        check(&w, i, ROUNDS, NULL);
    }
    world_close(&w);
}
END_TEST

START_TEST(the_space_of_removed_large_values_comes_back_without_further_writes)
{
    struct world w;
    char key[16];
    world_open(&w);
    for (uint32_t i = 0; i < w.count; i++) {
        put(&w, i, 0);
    }
    ck_ok(kv_compact(w.store));
    for (uint32_t i = 0; i < w.count; i++) {
        ck_ok(kv_delete(w.table, key_of(i, key), KV_DURABLE_WRITE));
    }
    unsigned ms = wait_for_space(&w, 0.1);
    if (w.large) {
        fprintf(stderr, "# all removed: %.3f after %u ms\n", space_over_live(&w), ms);
    }
    world_close(&w);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("space");
    suite_add(s, "overwrite",
              values_overwritten_ten_times_beside_snapshots_take_little_more_than_their_own_size);
    suite_add(s, "remove", the_space_of_removed_large_values_comes_back_without_further_writes);
    return s;
}
