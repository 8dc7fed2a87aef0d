/* SPDX-License-Identifier: Apache-2.0 */
/* Large values: moved to blobs by flushes and compactions, read back whole and in parts, and moved
 * out of blobs that are to go. */
#include "tests/lib/check_main.h"

#include <stdio.h>
#include <stdlib.h>

#include "kvcore/blob/blob_set.h"
#include "kvcore/db/store.h"
#include "kvcore/util/rng.h"

enum { VALUE_MAX = 300 << 10, KEYS = 40 };

static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *table;
static uint8_t expected_bytes[VALUE_MAX];
static char complaint[256];

static void keep_message(void *arg, enum kv_message_level level, const char *text)
{
    (void)arg;
    if (level == KV_MESSAGE_ERROR) {
        snprintf(complaint, sizeof complaint, "%s", text);
    }
}

static void open_store(void)
{
    struct kv_options options = {.create = true,
                                 .no_background = true,
                                 .blob_commit_bytes = SIZE_MAX, /* by flushes only */
                                 .blob_flush_bytes = 4096,
                                 .blob_file_bytes = 1 << 20,
                                 .message_fn = keep_message};
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
}

static void setup(void)
{
    complaint[0] = '\0';
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

/* Which size and bytes the value of key `i` in round `round` has: some are pages, some are text. */
static struct kv_slice value_of(unsigned i, unsigned round)
{
    struct rng rng = {i * 1000 + round};
    size_t size = i % 3 == 0   ? 4096 * (1 + rng_below(&rng, 8))
                  : i % 3 == 1 ? 5000 + rng_below(&rng, 100000)
                               : rng_below(&rng, VALUE_MAX);
    for (size_t n = 0; n < size; n++) {
        expected_bytes[n] = i % 2 == 0 ? (uint8_t)rng_next(&rng) : (uint8_t)(n / 100 + round);
    }
    return kv_slice(expected_bytes, size);
}

static struct kv_slice key_of(unsigned i)
{
    static char key[16];
    snprintf(key, sizeof key, "key%04u", i);
    return kv_slice_str(key);
}

static void put(unsigned i, unsigned round)
{
    ck_ok(kv_put(table, key_of(i), value_of(i, round), KV_DURABLE_WRITE));
}

static void put_all(unsigned round)
{
    for (unsigned i = 0; i < KEYS; i++) {
        put(i, round);
    }
}

static void check_get(unsigned i, unsigned round, const struct kv_snapshot *snapshot)
{
    struct kv_pinned pinned = {0};
    ck_ok(kv_get(table, snapshot, key_of(i), &pinned));
    ck_assert(kv_slice_equal(pinned.value, value_of(i, round)));
    kv_pinned_release(&pinned);
}

/* Every key has its value of this round: by get, by iterator in both directions. */
static void check_all(unsigned round, const struct kv_snapshot *snapshot)
{
    struct kv_iter_options options = {.snapshot = snapshot};
    struct kv_iter *it = NULL;
    struct kv_slice value;
    unsigned i = 0;

    for (i = 0; i < KEYS; i++) {
        check_get(i, round, snapshot);
    }
    ck_ok(kv_iter_create(table, &options, &it));
    i = 0;
    for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
        ck_assert(kv_slice_equal(kv_iter_key(it), key_of(i)));
        ck_ok(kv_iter_value(it, &value));
        ck_assert(kv_slice_equal(value, value_of(i, round)));
        ck_assert_uint_eq(kv_iter_value_size(it), value.size);
        i++;
    }
    ck_assert_uint_eq(i, KEYS);
    for (kv_iter_seek_last(it); kv_iter_valid(it); kv_iter_prev(it)) {
        i--;
        ck_assert_uint_eq(kv_iter_value_size(it), value_of(i, round).size);
        ck_ok(kv_iter_value(it, &value));
        ck_assert(kv_slice_equal(value, value_of(i, round)));
    }
    ck_ok(kv_iter_error(it));
    kv_iter_destroy(it);
}

START_TEST(large_values_go_to_blobs_at_a_flush_and_come_back)
{
    put_all(1);
    check_all(1, NULL);
    ck_ok(kv_flush(store));
    check_all(1, NULL);
    ck_assert_uint_gt(stats().blobs, 1); /* of 1 MiB each */
    ck_assert_uint_gt(stats().blob_live_bytes, 1 << 20);
    ck_assert_uint_eq(stats().blob_garbage_bytes, 0);
    ck_assert_uint_lt(stats().levels[0].bytes, 100 << 10);
    ck_ok(kv_close(store));
    open_store();
    check_all(1, NULL);
}
END_TEST

START_TEST(a_few_large_values_stay_inline_until_a_merge_meets_many)
{
    static const uint8_t zeros[40000] = {0};
    for (unsigned i = 0; i < 40; i++) {
        ck_ok(kv_put(table, key_of(i), kv_slice(zeros, sizeof zeros), KV_DURABLE_WRITE));
        if (i % 20 == 19) {
            ck_ok(kv_flush(store));
            ck_assert_uint_eq(stats().blobs, 0); /* 800 KB are not worth a file */
        }
    }
    ck_ok(kv_compact(store));
    ck_assert_uint_eq(stats().blobs, 1);
}
END_TEST

START_TEST(compaction_moves_pointers_and_not_values)
{
    uint64_t written;
    put_all(1);
    ck_ok(kv_compact(store));
    written = stats().compaction_bytes_written;
    ck_ok(kv_put(table, kv_slice_str("key"), kv_slice_str("small"), KV_DURABLE_WRITE));
    ck_ok(kv_delete(table, kv_slice_str("key"), KV_DURABLE_WRITE));
    ck_ok(kv_compact(store));
    ck_assert_uint_lt(stats().compaction_bytes_written - written, 100 << 10);
    check_all(1, NULL);
}
END_TEST

START_TEST(a_snapshot_and_an_iterator_see_the_values_of_their_time)
{
    struct kv_snapshot *snapshot = NULL;
    struct kv_iter *it = NULL;
    struct kv_slice value;
    put_all(1);
    ck_ok(kv_flush(store));
    ck_ok(kv_snapshot_create(store, &snapshot));
    ck_ok(kv_iter_create(table, NULL, &it));
    put_all(2);
    ck_ok(kv_compact(store));
    check_all(1, snapshot);
    check_all(2, NULL);
    kv_snapshot_release(snapshot);
    ck_ok(kv_compact(store));
    check_all(2, NULL);
    kv_iter_seek(it, key_of(7));
    ck_ok(kv_iter_value(it, &value));
    ck_assert(kv_slice_equal(value, value_of(7, 1)));
    kv_iter_destroy(it);
}
END_TEST

/* A part of each value under another key, all read back by one gather. */
static void put_parts(unsigned round)
{
    struct kv_batch *batch = NULL;
    struct kv_iter *it = NULL;
    char key[16];
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek_first(it);
    for (unsigned i = 0; i < KEYS; i++, kv_iter_next(it)) {
        size_t size = value_of(i, round).size;
        snprintf(key, sizeof key, "part%04u", i);
        ck_ok(kv_batch_put_part(batch, table, kv_slice_str(key), it, size / 3, size / 2));
        ck_fails(kv_batch_put_part(batch, table, kv_slice_str("x"), it, 1, size), EINVAL);
    }
    ck_assert(!kv_iter_valid(it));
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
    kv_iter_destroy(it);
    kv_batch_destroy(batch);
}

static void check_parts(unsigned round)
{
    struct kv_gather *gather = NULL;
    struct kv_iter *it = NULL;
    static uint8_t got[KEYS][VALUE_MAX / 2];
    ck_ok(kv_gather_create(store, &gather));
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek(it, kv_slice_str("part"));
    for (unsigned i = 0; i < KEYS; i++, kv_iter_next(it)) {
        size_t size = value_of(i, round).size / 2;
        ck_assert_uint_eq(kv_iter_value_size(it), size);
        ck_ok(kv_gather_add(gather, it, size / 4, size - size / 4, got[i]));
        ck_fails(kv_gather_add(gather, it, 1, size, got[i]), EINVAL);
    }
    kv_iter_destroy(it);
    ck_ok(kv_gather_run(gather));
    kv_gather_destroy(gather);
    for (unsigned i = 0; i < KEYS; i++) {
        struct kv_slice value = value_of(i, round);
        size_t size = value.size / 2;
        ck_assert_mem_eq(got[i], value.data + value.size / 3 + size / 4, size - size / 4);
    }
}

START_TEST(parts_of_large_values_share_their_bytes_and_are_read_together)
{
    uint64_t bytes;
    put_all(1);
    ck_ok(kv_flush(store));
    bytes = stats().blob_bytes;
    put_parts(1);
    check_parts(1);
    ck_ok(kv_compact(store));
    check_parts(1);
    ck_assert_uint_lt(stats().blob_bytes, bytes + bytes / 50); /* next to nothing was written */
    for (unsigned i = 0; i < KEYS; i++) {
        ck_ok(kv_delete(table, key_of(i), KV_DURABLE_WRITE));
    }
    ck_ok(kv_compact(store));
    check_parts(1);
    ck_ok(kv_close(store));
    open_store();
    check_parts(1);
}
END_TEST

START_TEST(values_of_a_flagged_blob_are_moved_by_the_next_compaction)
{
    uint64_t live;
    put_all(1);
    ck_ok(kv_flush(store));
    live = stats().blob_live_bytes;
    ck_ok(blob_set_flag(store->blobs, 1));
    ck_ok(blob_set_flag(store->blobs, 2));
    ck_ok(kv_compact(store));
    ck_assert_uint_gt(stats().blob_relocated_bytes, 1 << 20);
    ck_assert_uint_lt(stats().blob_live_bytes, live + (1 << 20));
    check_all(1, NULL);
}
END_TEST

/* Overwrite a byte of the blob in memory, as a disk that rots would. */
static void damage_blob(uint64_t number, uint64_t offset)
{
    struct kv_file_id id = {KV_FILE_BLOB, number};
    ck_ok(storage->ops->object_discard(storage, id, offset & ~(uint64_t)4095, 4096));
}

START_TEST(a_damaged_large_value_is_an_error_and_the_others_are_read)
{
    struct kv_iter *it = NULL;
    struct kv_slice value;
    unsigned bad = 0;
    unsigned good = 0;
    put_all(1);
    ck_ok(kv_flush(store));
    damage_blob(1, 4096);
    for (int round = 0; round < 2; round++) {
        ck_ok(kv_iter_create(table, NULL, &it));
        for (kv_iter_seek_first(it); kv_iter_valid(it); kv_iter_next(it)) {
            int r = kv_iter_value(it, &value);
            ck_assert(r == 0 || r == -KV_EDAMAGED);
            bad += r < 0;
            good += r == 0;
        }
        ck_ok(kv_iter_error(it));
        kv_iter_destroy(it);
        /* Moving a damaged value is not possible; the row stays and says so. */
        ck_ok(blob_set_flag(store->blobs, 1));
        ck_ok(kv_compact(store));
    }
    ck_assert_uint_eq(good + bad, 2 * KEYS);
    ck_assert_uint_ge(bad, 2);
    ck_assert_uint_le(bad, 4);
    ck_assert_uint_ge(stats().damage_seen, 2);
    ck_assert_ptr_nonnull(strstr(complaint, "blob 00000001"));
}
END_TEST

START_TEST(a_store_whose_blob_is_missing_or_short_is_not_opened)
{
    struct kv_options options = {.no_background = true, .message_fn = keep_message};
    struct kv_store *other = NULL;
    put_all(1);
    ck_ok(kv_close(store));
    ck_ok(storage->ops->remove(storage, (struct kv_file_id){KV_FILE_BLOB, 1}));
    ck_fails(kv_open(storage, &options, &other), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(complaint, "blob 00000001"));
    kv_storage_mem_destroy(storage);
    ck_ok(kv_storage_mem_create(&storage)); /* for the teardown */
    open_store();
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("blobs");
    TCase *c = tcase_create("blobs");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, large_values_go_to_blobs_at_a_flush_and_come_back);
    tcase_add_test(c, a_few_large_values_stay_inline_until_a_merge_meets_many);
    tcase_add_test(c, compaction_moves_pointers_and_not_values);
    tcase_add_test(c, a_snapshot_and_an_iterator_see_the_values_of_their_time);
    tcase_add_test(c, parts_of_large_values_share_their_bytes_and_are_read_together);
    tcase_add_test(c, values_of_a_flagged_blob_are_moved_by_the_next_compaction);
    tcase_add_test(c, a_damaged_large_value_is_an_error_and_the_others_are_read);
    tcase_add_test(c, a_store_whose_blob_is_missing_or_short_is_not_opened);
    suite_add_tcase(s, c);
    return s;
}
