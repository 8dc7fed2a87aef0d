/* SPDX-License-Identifier: Apache-2.0 */
/* Values as iterators show them: rows whose value was lost, and parts of values. */
#include "tests/lib/check_main.h"

#include "kvcore/db/batch.h"
#include "kvcore/util/coding.h"

static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *table;
static struct kv_iter *it;
static int complaints;

static void count_message(void *arg, enum kv_message_level level, const char *text)
{
    (void)arg;
    (void)text;
    complaints += level == KV_MESSAGE_ERROR;
}

static void setup(void)
{
    struct kv_options options = {
        .create = true, .no_background = true, .message_fn = count_message};
    complaints = 0;
    it = NULL;
    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(kv_open(storage, &options, &store));
    ck_ok(kv_table_open(store, "t", NULL, &table));
}

static void teardown(void)
{
    kv_iter_destroy(it);
    ck_ok(kv_close(store));
    kv_storage_mem_destroy(storage);
}

static void put(const char *key, const char *value)
{
    ck_ok(kv_put(table, kv_slice_str(key), kv_slice_str(value), KV_DURABLE_WRITE));
}

/* As a repair leaves it behind where it could not save the value. */
static void lose(const char *key)
{
    struct kv_batch *batch = NULL;
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put_lost(batch, table, kv_slice_str(key)));
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
}

static void expect_row(const char *key, const char *value)
{
    struct kv_slice got;
    ck_assert(kv_iter_valid(it));
    ck_assert(kv_slice_equal(kv_iter_key(it), kv_slice_str(key)));
    ck_assert(kv_iter_is_lost(it) == (value == NULL));
    ck_assert_uint_eq(kv_iter_value_size(it), value != NULL ? strlen(value) : 0);
    if (value == NULL) {
        ck_fails(kv_iter_value(it, &got), KV_EDAMAGED);
    } else {
        ck_ok(kv_iter_value(it, &got));
        ck_assert(kv_slice_equal(got, kv_slice_str(value)));
    }
}

static void expect_value(const char *key, const char *value)
{
    struct kv_pinned pinned = {0};
    ck_ok(kv_get(table, NULL, kv_slice_str(key), &pinned));
    ck_assert(kv_slice_equal(pinned.value, kv_slice_str(value)));
    kv_pinned_release(&pinned);
}

static void walk_over_the_lost_row(void)
{
    it = NULL;
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek_first(it);
    expect_row("a", "one");
    kv_iter_next(it);
    expect_row("b", NULL);
    kv_iter_next(it);
    expect_row("c", "three");
    kv_iter_prev(it);
    expect_row("b", NULL);
    kv_iter_prev(it);
    expect_row("a", "one");
    kv_iter_seek_last(it);
    expect_row("c", "three");
    kv_iter_prev(it);
    kv_iter_next(it);
    expect_row("c", "three");
    kv_iter_destroy(it);
    it = NULL;
}

START_TEST(a_scan_goes_on_behind_a_row_whose_value_was_lost)
{
    put("a", "one");
    put("b", "two");
    put("c", "three");
    lose("b");
    walk_over_the_lost_row();
    ck_assert_int_gt(complaints, 0);
    ck_ok(kv_flush(store));
    walk_over_the_lost_row();
    ck_ok(kv_compact(store));
    walk_over_the_lost_row();
}
END_TEST

START_TEST(a_lost_row_is_an_error_until_it_is_written_or_deleted)
{
    struct kv_pinned pinned = {0};
    lose("a");
    lose("b");
    ck_fails(kv_get(table, NULL, kv_slice_str("a"), &pinned), KV_EDAMAGED);
    put("a", "new");
    ck_ok(kv_delete(table, kv_slice_str("b"), KV_DURABLE_WRITE));
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek_first(it);
    expect_row("a", "new");
    kv_iter_next(it);
    ck_assert(!kv_iter_valid(it));
    ck_ok(kv_iter_error(it));
}
END_TEST

START_TEST(a_part_of_a_value_is_put_under_another_key)
{
    struct kv_batch *batch = NULL;
    put("a", "0123456789");
    put("b", "lost");
    lose("b");
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek_first(it);
    ck_ok(kv_batch_put_part(batch, table, kv_slice_str("whole"), it, 0, 10));
    ck_ok(kv_batch_put_part(batch, table, kv_slice_str("head"), it, 0, 3));
    ck_ok(kv_batch_put_part(batch, table, kv_slice_str("tail"), it, 7, 3));
    ck_ok(kv_batch_put_part(batch, table, kv_slice_str("none"), it, 10, 0));
    ck_fails(kv_batch_put_part(batch, table, kv_slice_str("x"), it, 11, 0), EINVAL);
    ck_fails(kv_batch_put_part(batch, table, kv_slice_str("x"), it, 1, 10), EINVAL);
    ck_fails(kv_batch_put_part(batch, table, kv_slice_str("x"), it, 1, SIZE_MAX), EINVAL);
    kv_iter_next(it);
    ck_fails(kv_batch_put_part(batch, table, kv_slice_str("x"), it, 0, 0), KV_EDAMAGED);
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    expect_value("whole", "0123456789");
    expect_value("head", "012");
    expect_value("tail", "789");
    expect_value("none", "");
}
END_TEST

START_TEST(parts_of_several_values_are_read_together)
{
    struct kv_gather *gather = NULL;
    char text[16] = "...............";
    put("a", "0123456789");
    put("b", "abcdef");
    put("c", "lost");
    lose("c");
    ck_ok(kv_gather_create(store, &gather));
    ck_ok(kv_iter_create(table, NULL, &it));
    kv_iter_seek_first(it);
    ck_ok(kv_gather_add(gather, it, 8, 2, text + 4));
    ck_ok(kv_gather_add(gather, it, 0, 1, text));
    kv_iter_next(it);
    ck_ok(kv_gather_add(gather, it, 5, 1, text + 6));
    ck_ok(kv_gather_add(gather, it, 6, 0, text));
    ck_fails(kv_gather_add(gather, it, 5, 2, text), EINVAL);
    kv_iter_next(it);
    ck_fails(kv_gather_add(gather, it, 0, 0, text), KV_EDAMAGED);
    kv_iter_destroy(it);
    it = NULL;
    ck_ok(kv_gather_run(gather));
    ck_assert_str_eq(text, "0...89f........");
    kv_gather_clear(gather);
    ck_ok(kv_gather_run(gather));
    kv_gather_destroy(gather);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("values");
    TCase *c = tcase_create("values");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_scan_goes_on_behind_a_row_whose_value_was_lost);
    tcase_add_test(c, a_lost_row_is_an_error_until_it_is_written_or_deleted);
    tcase_add_test(c, a_part_of_a_value_is_put_under_another_key);
    tcase_add_test(c, parts_of_several_values_are_read_together);
    suite_add_tcase(s, c);
    return s;
}
