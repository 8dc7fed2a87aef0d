/* SPDX-License-Identifier: Apache-2.0 */
/* Two blobs and a log of records that point into them, in a pool where what was begun is made in
 * any order that is allowed, and told in any, with pauses; whose writer dies, or loses an answer,
 * at any call, or finds the pool full for a while. */
#include "tests/storage/takeover_rig.h"

#include <limits.h>
#include <stdlib.h>

#include "kvcore/util/rng.h"

enum {
    BLOBS = 2,
    PIECE_BYTES = 512 * 1024,
    FLIGHT_BYTES = 64 * 1024,
    APPEND_MAX = 200 * 1024,
    STEPS = 60,
    BLOB_MAX = STEPS * APPEND_MAX,
};

static const struct kv_file_id log_id = {KV_FILE_LOG, 1};

/* At this moment the blobs were so long. */
struct record {
    uint64_t ends[BLOBS];
};

struct world {
    struct fake_cluster *cluster;
    struct rng disorder;
    struct rng rng;
    struct kv_storage *storage;
    const struct kv_storage_ops *ops;
    struct kv_log *blobs[BLOBS];
    uint64_t ends[BLOBS];   /* appended */
    uint64_t synced[BLOBS]; /* told to be durable */
    struct kv_log *log;
    unsigned records, records_synced;
    _Atomic unsigned dies_at; /* at this call; UINT_MAX: never */
    _Atomic unsigned calls;
    enum fake_fate fate;
};

static struct kv_file_id id_of(unsigned i)
{
    return (struct kv_file_id){KV_FILE_BLOB, i + 1};
}

static uint8_t byte_at(unsigned blob, uint64_t offset)
{
    return (uint8_t)(offset * 13 + offset / 1021 + blob * 71 + 1);
}

/* No piece is short but the last that has a byte, whatever is on its way. They grow meanwhile, so
 * the last one is looked at first. */
static void expect_no_short_piece(struct world *w)
{
    for (unsigned i = 0; i < BLOBS; i++) {
        bool begun = false;
        for (uint64_t piece = w->ends[i] / PIECE_BYTES + 1; piece-- > 0;) {
            char name[POOLED_NAME_SIZE];
            pooled_piece_name(id_of(i), pooled_storage(w->storage)->epoch, piece, name);
            size_t size = fake_cluster_bytes(w->cluster, name, NULL, 0);
            ck_assert(!begun || size == PIECE_BYTES);
            begun = begun || (size != SIZE_MAX && size > 0);
        }
    }
}

static enum fake_fate plan(void *arg, unsigned index)
{
    struct world *w = (struct world *)arg;
    atomic_fetch_add(&w->calls, 1);
    return index == atomic_load(&w->dies_at) ? w->fate : FAKE_DONE;
}

static struct kv_storage *open_storage(struct world *w, bool dies)
{
    struct pooled_options options = {
        .create = true, .lease_ms = RIG_LEASE_MS, .piece_bytes = PIECE_BYTES};
    struct kv_storage *storage = NULL;

    ck_ok(pooled_storage_open(fake_cluster_connect(w->cluster, dies ? plan : NULL, w),
                              "rados://fake/store", &options, &storage));
    ck_ok(storage->ops->lease_acquire(storage, KV_LEASE_EXCLUSIVE, "somebody"));
    return storage;
}

static void begin(struct world *w)
{
    w->cluster = fake_cluster_create();
    w->disorder = (struct rng){.state = rng_next(&w->rng)};
    fake_cluster_disorder(w->cluster, &w->disorder);
    atomic_store(&w->dies_at, UINT_MAX);
    w->storage = open_storage(w, true);
    w->ops = w->storage->ops;
    pooled_flights_cut(&pooled_storage(w->storage)->flights, FLIGHT_BYTES);
    ck_ok(w->ops->root_swap(w->storage, 0, kv_slice_str("root")));
    ck_ok(w->ops->log_create(w->storage, log_id, 0, 0, &w->log));
    for (unsigned i = 0; i < BLOBS; i++) {
        ck_ok(w->ops->log_create(w->storage, id_of(i), 0, 0, &w->blobs[i]));
    }
}

/* ---- steps, each of which may fail ------------------------------------------------------------
 */

static int append_blob(struct world *w, unsigned i)
{
    static uint8_t bytes[APPEND_MAX];
    size_t size = 1 + (size_t)rng_below(&w->rng, rng_below(&w->rng, 3) == 0 ? 500 : APPEND_MAX);
    struct iovec part = {bytes, size};

    for (size_t at = 0; at < size; at++) {
        bytes[at] = byte_at(i, w->ends[i] + at);
    }
    int r = w->ops->log_append(w->blobs[i], &part, 1);
    w->ends[i] += r == 0 ? size : 0;
    return r;
}

static int append_record(struct world *w)
{
    struct record record;
    struct iovec part = {&record, sizeof record};

    memcpy(record.ends, w->ends, sizeof record.ends);
    int r = w->ops->log_append(w->log, &part, 1);
    w->records += r == 0;
    return r;
}

static int sync_blob(struct world *w, unsigned i)
{
    uint64_t end = w->ends[i];
    int r = w->ops->log_sync(w->blobs[i]);
    w->synced[i] = r == 0 ? end : w->synced[i];
    return r;
}

static int sync_log(struct world *w)
{
    unsigned count = w->records;
    int r = w->ops->log_sync(w->log);
    w->records_synced = r == 0 ? count : w->records_synced;
    return r;
}

static void expect_range(unsigned i, const uint8_t *bytes, uint64_t from, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        if (bytes[at] != byte_at(i, from + at)) { /* the assertion costs far more than the byte */
            ck_abort_msg("blob %u: byte %zu (seed %" PRIu64 ")", i, (size_t)from + at, test_seed());
        }
    }
}

static int read_blob(struct world *w, unsigned i)
{
    static uint8_t bytes[2 * APPEND_MAX];
    uint64_t from = w->ends[i] > 0 ? rng_below(&w->rng, w->ends[i]) : 0;
    size_t size = 0;
    int r = w->ops->log_read(w->blobs[i], from, bytes, sizeof bytes, &size);

    if (r == 0) {
        uint64_t left = w->ends[i] - from;
        ck_assert_uint_eq(size, left < sizeof bytes ? left : sizeof bytes);
        expect_range(i, bytes, from, size);
    }
    return r;
}

/* Half of the time the pool has room for nothing more. */
static int fill_pool(struct world *w)
{
    bool full = rng_below(&w->rng, 2) == 0;
    fake_cluster_limit(w->cluster, full ? fake_cluster_used(w->cluster) : SIZE_MAX);
    return 0;
}

static int step(struct world *w, bool fills)
{
    unsigned i = (unsigned)rng_below(&w->rng, BLOBS);

    expect_no_short_piece(w);
    switch (rng_below(&w->rng, fills ? 12 : 11)) {
    case 0:
        return sync_blob(w, i);
    case 1:
        return sync_log(w);
    case 2:
    case 3:
        return read_blob(w, i);
    case 4:
    case 5:
    case 6:
        return append_record(w);
    case 11:
        return fill_pool(w);
    default:
        return append_blob(w, i);
    }
}

static void close_all(struct world *w)
{
    w->ops->log_close(w->log); /* it points to the others */
    for (unsigned i = 0; i < BLOBS; i++) {
        w->ops->log_close(w->blobs[i]);
    }
    w->ops->close(w->storage);
}

/* ---- what is found ----------------------------------------------------------------------------
 */

static void expect_found(struct world *w)
{
    static struct record records[STEPS];
    static uint8_t bytes[BLOB_MAX];
    struct kv_storage *storage = open_storage(w, false);
    uint64_t needed[BLOBS] = {0};
    struct kv_log *log = NULL;
    size_t size = 0;

    ck_ok(storage->ops->log_open(storage, log_id, &log));
    ck_ok(storage->ops->log_read(log, 0, records, sizeof records, &size));
    storage->ops->log_close(log);
    size_t count = size / sizeof records[0];
    ck_assert_uint_ge(count, w->records_synced);
    for (unsigned i = 0; i < BLOBS; i++) {
        needed[i] = w->synced[i];
        for (size_t at = 0; at < count; at++) {
            needed[i] = records[at].ends[i] > needed[i] ? records[at].ends[i] : needed[i];
        }
        ck_ok(storage->ops->log_open(storage, id_of(i), &log));
        ck_assert_uint_ge(storage->ops->log_size(log), needed[i]);
        ck_ok(storage->ops->log_read(log, 0, bytes, sizeof bytes, &size));
        ck_assert_uint_eq(size, storage->ops->log_size(log)); /* no piece is short */
        expect_range(i, bytes, 0, (size_t)needed[i]);
        storage->ops->log_close(log);
    }
    storage->ops->close(storage);
}

/* The writer goes on as long as nothing fails. */
static void try_once(struct world *w, bool fills)
{
    int r = 0;

    begin(w);
    unsigned before = atomic_load(&w->calls);
    static const enum fake_fate fates[] = {FAKE_DONE, FAKE_UNSENT, FAKE_UNHEARD, FAKE_LATE};
    w->fate = fates[rng_below(&w->rng, fills ? 1 : 4)];
    atomic_store(&w->dies_at, before + (unsigned)rng_below(&w->rng, STEPS));
    for (unsigned i = 0; i < STEPS && r == 0; i++) {
        r = step(w, fills);
        r = r == -ENOSPC && fills ? 0 : r;
        r = r == -EIO && fills ? 0 : r; /* of a log that was refused */
    }
    ck_assert(r == 0 || w->fate != FAKE_DONE);
    if (rng_below(&w->rng, 2) == 0) {
        fake_cluster_limit(w->cluster, SIZE_MAX);
    }
    close_all(w);
    fake_cluster_limit(w->cluster, SIZE_MAX);
    fake_cluster_pass(w->cluster, RIG_LEASE_MS + 1);
    expect_found(w);
    fake_cluster_land(w->cluster);
    expect_found(w);
    fake_cluster_destroy(w->cluster);
}

START_TEST(whatever_becomes_of_a_writer_no_record_lacks_its_values_and_no_piece_is_short)
{
    struct rng rng = {.state = test_seed()};
    uint64_t rounds = test_steps(30);

    for (uint64_t round = 0; round < rounds; round++) {
        struct world w = {.rng = {.state = rng_next(&rng)}};
        try_once(&w, _i == 1);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pooled_disorder");
    TCase *tc = tcase_create("disorder");
    tcase_add_loop_test(
        tc, whatever_becomes_of_a_writer_no_record_lacks_its_values_and_no_piece_is_short, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
