/* SPDX-License-Identifier: Apache-2.0 */
/* Giving back dead bytes of blobs: whole blobs, pages, by moving what is left; and who holds it up.
 */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kvcore/db/batch.h"
#include "kvcore/db/compact.h"
#include "kvcore/db/reclaim.h"
#include "kvcore/db/store.h"
#include "kvcore/util/rng.h"

enum { PAGE = 4096, VALUE_SIZE = 2 * PAGE, KEYS = 512 };

static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *table;
static size_t value_size;

static void open_store(void)
{
    struct kv_options options = {.create = true,
                                 .no_background = true,
                                 .blob_commit_bytes = SIZE_MAX,
                                 .blob_flush_bytes = 4096,
                                 .blob_file_bytes = 1 << 20};
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
}

static void setup(void)
{
    value_size = VALUE_SIZE;
    ck_ok(kv_storage_mem_create(&storage));
    open_store();
}

static void teardown(void)
{
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}

static struct kv_stats stats(void)
{
    struct kv_stats s;
    kv_stats(store, &s);
    return s;
}

static struct kv_slice key_of(unsigned i)
{
    static char key[16];
    snprintf(key, sizeof key, "key%04u", i);
    return kv_slice_str(key);
}

/* Bytes that cannot be compressed. */
static struct kv_slice value_of(unsigned i, unsigned round)
{
    static uint8_t bytes[1 << 16];
    struct rng rng = {i * 1000 + round};
    for (size_t n = 0; n + 8 <= value_size; n += 8) {
        coding_put_u64(bytes + n, rng_next(&rng));
    }
    return kv_slice(bytes, value_size);
}

static void put(unsigned i, unsigned round)
{
    ck_ok(kv_put(table, key_of(i), value_of(i, round), KV_DURABLE_WRITE));
}

/* Keys from, from + step, ... */
static void put_some(unsigned from, unsigned step, unsigned round)
{
    for (unsigned i = from; i < KEYS; i += step) {
        put(i, round);
    }
}

static void check(unsigned i, unsigned round, const struct kv_snapshot *snapshot)
{
    struct kv_pinned pinned = {0};
    ck_ok(kv_get(table, snapshot, key_of(i), &pinned));
    ck_assert_msg(kv_slice_equal(pinned.value, value_of(i, round)), "key %u", i);
    kv_pinned_release(&pinned);
}

static void check_some(unsigned from, unsigned step, unsigned round)
{
    for (unsigned i = from; i < KEYS; i += step) {
        check(i, round, NULL);
    }
}

/* Merge without the reclaim that kv_compact() ends with. */
static void merge(void)
{
    ck_ok(kv_flush(store));
    ck_ok(compact_table(store, 1));
}

struct counting {
    enum kv_file_kind kind;
    uint64_t count;
};

static void count_file(void *arg, struct kv_file_id id, uint64_t size)
{
    struct counting *counting = arg;
    (void)size;
    counting->count += id.kind == counting->kind;
}

static uint64_t count_files(enum kv_file_kind kind)
{
    struct counting counting = {.kind = kind};
    ck_ok(storage->ops->list(storage, count_file, &counting));
    return counting.count;
}

START_TEST(blobs_that_nothing_points_at_go_with_their_files)
{
    put_some(0, 1, 1);
    merge();
    ck_assert_uint_ge(stats().blobs, 4);
    put_some(0, 1, 2);
    merge();
    ck_assert_uint_ge(stats().blob_garbage_bytes, KEYS * VALUE_SIZE);
    ck_assert_int_eq(reclaim_step(store, false), 1);
    ck_assert_uint_eq(stats().blob_garbage_bytes, 0);
    ck_assert_uint_le(stats().blobs, 5);
    ck_assert_uint_eq(count_files(KV_FILE_BLOB), stats().blobs);
    check_some(0, 1, 2);
    ck_assert_int_eq(reclaim_step(store, false), 0);
    ck_ok(kv_close(store));
    open_store();
    check_some(0, 1, 2);
}
END_TEST

START_TEST(pages_that_nothing_points_at_are_given_back_one_by_one)
{
    uint64_t bytes;
    put_some(0, 1, 1);
    merge();
    bytes = stats().blob_bytes;
    put_some(0, 2, 2);
    merge();
    ck_assert_int_eq(reclaim_step(store, false), 1);
    ck_assert_uint_eq(stats().blob_punched_bytes, KEYS / 2 * VALUE_SIZE);
    ck_assert_uint_eq(stats().blob_garbage_bytes, 0);
    ck_assert_uint_le(stats().blob_bytes, bytes + bytes / 20);
    check_some(0, 2, 2);
    check_some(1, 2, 1);
    ck_ok(kv_close(store)); /* what was punched is remembered */
    open_store();
    ck_assert_uint_eq(stats().blob_punched_bytes, KEYS / 2 * VALUE_SIZE);
    ck_assert_int_eq(reclaim_step(store, false), 0);
    check_some(1, 2, 1);
}
END_TEST

/* Put a page of key 7's value under the key "part". */
static struct kv_batch *part_batch(void)
{
    struct kv_batch *batch = NULL;
    struct kv_iter *it = NULL;
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek(it, key_of(7));
    ck_ok(kv_batch_put_part(batch, table, kv_slice_str("part"), it, PAGE, PAGE));
    kv_iter_destroy(it);
    return batch;
}

static void check_part(void)
{
    struct kv_pinned pinned = {0};
    ck_ok(kv_get(table, NULL, kv_slice_str("part"), &pinned));
    ck_assert(kv_slice_equal(pinned.value, kv_slice(value_of(7, 1).data + PAGE, PAGE)));
    kv_pinned_release(&pinned);
}

static void delete_all(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        ck_ok(kv_delete(table, key_of(i), KV_DURABLE_WRITE));
    }
}

START_TEST(bytes_stay_while_what_hides_them_is_in_memory_only)
{
    put_some(0, 1, 1);
    merge();
    delete_all();
    ck_assert_int_eq(reclaim_step(store, true), 0);
    ck_assert_uint_eq(stats().blob_punched_bytes, 0);
    merge();
    ck_assert_int_eq(reclaim_step(store, false), 1);
    ck_assert_uint_eq(stats().blobs, 0);
}
END_TEST

START_TEST(a_shared_page_stays_when_the_value_it_was_cut_from_goes)
{
    struct kv_batch *batch;
    put_some(0, 1, 1);
    merge();
    batch = part_batch();
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    ck_ok(kv_flush(store)); /* the part is in a table */
    delete_all();
    merge();
    ck_assert_int_eq(reclaim_step(store, true), 1);
    ck_assert_uint_eq(stats().blobs, 1);
    ck_assert_uint_le(stats().blob_bytes, PAGE + (16 << 10)); /* and the directory */
    check_part();
}
END_TEST

START_TEST(a_part_in_memory_that_no_table_knows_of_keeps_its_page)
{
    struct kv_batch *batch;
    put_some(0, 1, 1);
    merge();
    batch = part_batch();
    delete_all();
    merge();
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    ck_assert_uint_eq(stats().blob_live_bytes, 0); /* of tables */
    ck_assert_int_eq(reclaim_step(store, true), 1);
    ck_assert_uint_eq(stats().blobs, 1);
    check_part();
    ck_ok(kv_put(table, kv_slice_str("part"), kv_slice_str("hides it"), KV_DURABLE_WRITE));
    ck_ok(kv_flush(store)); /* drops the part, which was in memory only */
    ck_assert_int_eq(reclaim_step(store, true), 1);
    ck_assert_uint_eq(stats().blobs, 0);
}
END_TEST

START_TEST(an_iterator_that_is_older_holds_up_the_pass)
{
    struct kv_iter *it = NULL;
    struct kv_slice value;
    put_some(0, 1, 1);
    merge();
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek_first(it);
    put_some(0, 1, 2);
    merge();
    ck_assert_int_eq(reclaim_step(store, false), 0);
    ck_assert_int_eq(reclaim_step(store, true), 0);
    for (unsigned i = 0; i < KEYS; i++, kv_iter_next(it)) {
        ck_ok(kv_iter_value(it, &value));
        ck_assert(kv_slice_equal(value, value_of(i, 1)));
    }
    kv_iter_destroy(it);
    ck_assert_int_eq(reclaim_step(store, false), 1);
    ck_assert_uint_eq(stats().blob_garbage_bytes, 0);
    check_some(0, 1, 2);
}
END_TEST

START_TEST(a_gather_that_was_begun_before_reads_what_it_was_asked_for)
{
    struct kv_gather *gather = NULL;
    struct kv_iter *it = NULL;
    static uint8_t got[VALUE_SIZE];
    put_some(0, 1, 1);
    merge();
    ck_ok(kv_gather_create(store, &gather));
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek(it, key_of(100));
    ck_ok(kv_gather_add(gather, it, 0, VALUE_SIZE, got));
    kv_iter_destroy(it);
    put_some(0, 1, 2);
    merge();
    ck_assert_int_eq(reclaim_step(store, false), 0);
    ck_ok(kv_gather_run(gather));
    ck_assert_mem_eq(got, value_of(100, 1).data, VALUE_SIZE);
    ck_assert_int_eq(reclaim_step(store, false), 1);
    kv_gather_destroy(gather);
}
END_TEST

START_TEST(a_snapshot_keeps_what_it_sees_and_nothing_else)
{
    struct kv_snapshot *snapshot = NULL;
    put_some(0, 1, 1);
    merge();
    ck_ok(kv_snapshot_create(store, &snapshot));
    put_some(0, 1, 2);
    merge();
    put_some(0, 1, 3);
    merge();
    ck_assert_int_eq(reclaim_step(store, true), 1);
    for (unsigned i = 0; i < KEYS; i++) {
        check(i, 1, snapshot);
        check(i, 3, NULL);
    }
    ck_assert_uint_le(stats().blob_bytes, (uint64_t)KEYS * VALUE_SIZE * 2 + (1 << 20));
    kv_snapshot_release(snapshot);
    merge();
    ck_assert_int_eq(reclaim_step(store, true), 1);
    ck_assert_uint_le(stats().blob_bytes, (uint64_t)KEYS * VALUE_SIZE + (1 << 20));
    check_some(0, 1, 3);
}
END_TEST

START_TEST(a_batch_filled_before_a_pass_and_written_after_finds_its_bytes)
{
    struct kv_batch *batch;
    put_some(0, 1, 1);
    merge();
    batch = part_batch();
    put_some(0, 1, 2);
    merge();
    ck_assert_int_eq(reclaim_step(store, false), 0); /* begun, and waits for the batch's view */
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
    ck_assert_int_eq(reclaim_step(store, false), 0);
    kv_batch_destroy(batch);
    ck_assert_int_eq(reclaim_step(store, false), 1);
    check_part();
    ck_assert_uint_lt(stats().blob_garbage_bytes, 2 << 20); /* its blob was left alone */
    merge();
    ck_assert_int_eq(reclaim_step(store, true), 1);
    check_part();
    ck_assert_uint_lt(stats().blob_garbage_bytes, 64 << 10);
}
END_TEST

START_TEST(a_compaction_gives_back_also_what_a_pass_that_waited_knows_nothing_of)
{
    struct kv_batch *batch;
    put_some(0, 1, 1);
    merge();
    batch = part_batch();
    put_some(0, 1, 2);
    merge();
    ck_assert_int_eq(reclaim_step(store, false), 0); /* begun, and waits for the batch's view */
    put_some(0, 1, 3);
    kv_batch_destroy(batch);
    ck_ok(kv_compact(store));
    ck_assert_uint_eq(stats().blob_garbage_bytes, 0);
    check_some(0, 1, 3);
}
END_TEST

/* ---- a device that takes its time ---- */

static struct {
    struct kv_storage_ops ops;
    int (*discard)(struct kv_storage *, struct kv_file_id, uint64_t, uint64_t);
    unsigned calls;
    uint64_t blobs; /* that were there at the first call */
} slow;

static int discard_slowly(struct kv_storage *of, struct kv_file_id id, uint64_t offset,
                          uint64_t size)
{
    struct timespec pause = {.tv_nsec = 20 * 1000000};
    nanosleep(&pause, NULL);
    if (slow.calls++ == 0) {
        slow.blobs = count_files(KV_FILE_BLOB);
    }
    return slow.discard(of, id, offset, size);
}

START_TEST(giving_back_pages_that_takes_long_holds_up_no_whole_blobs)
{
    const struct kv_storage_ops *fast = storage->ops;
    uint64_t blobs;
    slow.ops = *fast;
    slow.discard = fast->object_discard;
    slow.ops.object_discard = discard_slowly;
    slow.calls = 0;
    storage->ops = &slow.ops;
    put_some(0, 1, 1);
    merge();
    blobs = count_files(KV_FILE_BLOB);
    put_some(KEYS / 2, 1, 2);
    for (unsigned i = 0; i < KEYS / 2; i += 2) {
        put(i, 2);
    }
    merge();
    ck_assert_uint_gt(count_files(KV_FILE_BLOB), blobs);
    blobs = count_files(KV_FILE_BLOB);
    ck_assert_int_eq(reclaim_step(store, false), 1);
    ck_assert_uint_lt(slow.blobs, blobs);
    ck_assert_uint_gt(slow.calls, 0);
    ck_assert_uint_lt(slow.calls, KEYS / 4); /* there was no time for the others */
    ck_assert_uint_gt(stats().blob_garbage_bytes, 0);
    slow.ops.object_discard = fast->object_discard;
    ck_assert_int_eq(reclaim_step(store, false), 1);
    ck_assert_uint_eq(stats().blob_garbage_bytes, 0);
    ck_assert_int_eq(reclaim_step(store, false), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        check(i, i >= KEYS / 2 || i % 2 == 0 ? 2 : 1, NULL);
    }
    storage->ops = fast;
}
END_TEST

START_TEST(a_sparse_blob_of_odd_sizes_is_emptied_by_merges)
{
    value_size = 5000; /* shares its pages with its neighbours */
    put_some(0, 1, 1);
    merge();
    for (unsigned i = 0; i < KEYS; i++) {
        if (i % 4 != 0) {
            put(i, 2);
        }
    }
    merge();
    ck_assert_int_eq(reclaim_step(store, true), 1);
    ck_assert_uint_gt(stats().blob_garbage_bytes, KEYS / 4 * 2000);
    while (compact_one(store) == 1) { /* files that name flagged blobs */
    }
    ck_assert_uint_ge(stats().blob_relocated_bytes, KEYS / 8 * 5000);
    ck_assert_int_eq(reclaim_step(store, true), 1);
    ck_assert_uint_lt(stats().blob_garbage_bytes, stats().blob_live_bytes / 8);
    check_some(0, 4, 1);
    check_some(1, 4, 2);
}
END_TEST

START_TEST(overwriting_at_random_keeps_garbage_bounded)
{
    struct rng rng = {test_seed()};
    static unsigned round_of[KEYS];
    uint64_t worst = 0;
    put_some(0, 1, 0);
    merge();
    for (uint64_t n = 0; n < test_steps(4000); n++) {
        unsigned i = (unsigned)rng_below(&rng, KEYS);
        put(i, ++round_of[i]);
        if (n % 64 == 63) {
            ck_ok(kv_flush(store));
            while (compact_one(store) == 1) {
            }
            ck_ok(reclaim_step(store, false));
            worst = stats().blob_garbage_bytes > worst ? stats().blob_garbage_bytes : worst;
        }
    }
    for (unsigned i = 0; i < KEYS; i++) {
        check(i, round_of[i], NULL);
    }
    ck_assert_msg(worst < (uint64_t)KEYS * VALUE_SIZE / 7, "%" PRIu64 " bytes of garbage", worst);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("reclaim");
    TCase *c = tcase_create("reclaim");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, blobs_that_nothing_points_at_go_with_their_files);
    tcase_add_test(c, pages_that_nothing_points_at_are_given_back_one_by_one);
    tcase_add_test(c, bytes_stay_while_what_hides_them_is_in_memory_only);
    tcase_add_test(c, a_shared_page_stays_when_the_value_it_was_cut_from_goes);
    tcase_add_test(c, a_part_in_memory_that_no_table_knows_of_keeps_its_page);
    tcase_add_test(c, an_iterator_that_is_older_holds_up_the_pass);
    tcase_add_test(c, a_gather_that_was_begun_before_reads_what_it_was_asked_for);
    tcase_add_test(c, a_snapshot_keeps_what_it_sees_and_nothing_else);
    tcase_add_test(c, a_batch_filled_before_a_pass_and_written_after_finds_its_bytes);
    tcase_add_test(c, a_compaction_gives_back_also_what_a_pass_that_waited_knows_nothing_of);
    tcase_add_test(c, giving_back_pages_that_takes_long_holds_up_no_whole_blobs);
    tcase_add_test(c, a_sparse_blob_of_odd_sizes_is_emptied_by_merges);
    tcase_add_test(c, overwriting_at_random_keeps_garbage_bounded);
    suite_add_tcase(s, c);
    return s;
}
