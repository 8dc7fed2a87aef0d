/* SPDX-License-Identifier: Apache-2.0 */
/* Large values on their way in: the blob beside the log, and the death of the process, damage and
 * failing calls at any of its stages. On a real directory, so that files can be damaged. */
#include "tests/lib/check_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kv/kv.h>

#include "kvcore/util/rng.h"
#include "tests/lib/temp_dir.h"

enum { VALUE_BYTES = 32 << 10 };

static struct temp_dir dir;
static struct kv_storage *storage;
static struct kv_store *store;
static struct kv_table *table;
static char complaint[512];

/* ---- calls that fail: those of the blob that was made last ---- */

static const struct kv_storage_ops *real_ops;
static struct kv_storage_ops faulty_ops;
static struct kv_log *blob;
static struct kv_log *alone; /* that was said to stand so last */
static int append_error, sync_error;

static int faulty_log_create(struct kv_storage *of, struct kv_file_id id, uint64_t recycle,
                             uint64_t preallocate_bytes, struct kv_log **ret_log)
{
    int r = real_ops->log_create(of, id, recycle, preallocate_bytes, ret_log);
    if (r == 0 && id.kind == KV_FILE_BLOB) {
        blob = *ret_log;
    }
    return r;
}

static int faulty_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    return log == blob && append_error < 0 ? append_error
                                           : real_ops->log_append(log, parts, part_count);
}

static int faulty_log_sync(struct kv_log *log)
{
    return log == blob && sync_error < 0 ? sync_error : real_ops->log_sync(log);
}

static void note_alone(struct kv_log *log)
{
    alone = log;
}

static void make_faulty(void)
{
    real_ops = storage->ops;
    faulty_ops = *real_ops;
    faulty_ops.log_create = faulty_log_create;
    faulty_ops.log_append = faulty_log_append;
    faulty_ops.log_sync = faulty_log_sync;
    faulty_ops.log_stand_alone = note_alone;
    storage->ops = &faulty_ops;
}

/* ---- the store ---- */

static void keep_complaint(void *arg, enum kv_message_level level, const char *text)
{
    (void)arg;
    if (level == KV_MESSAGE_ERROR && complaint[0] == '\0') {
        snprintf(complaint, sizeof complaint, "%s", text);
    }
}

static int try_open(bool read_only)
{
    struct kv_options options = {.create = !read_only,
                                 .read_only = read_only,
                                 .no_background = true,
                                 .blob_file_bytes = 1 << 20,
                                 .message_fn = keep_complaint};
    int r;
    complaint[0] = '\0';
    ck_ok(kv_storage_posix_open(dir.path, !read_only, &storage));
    make_faulty();
    r = kv_open(storage, &options, &store);
    if (r < 0) {
        storage->ops->close(storage);
    }
    return r;
}

static void open_store(void)
{
    ck_ok(try_open(false));
    ck_ok(kv_table_open(store, "t", NULL, &table));
}

static void setup(void)
{
    temp_dir_make(&dir);
    append_error = 0;
    sync_error = 0;
    blob = NULL;
    alone = NULL;
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

/* The value of key `i`: every third one is text. */
static struct kv_slice value_of(unsigned i)
{
    static uint8_t bytes[VALUE_BYTES];
    struct rng rng = {i};
    for (size_t n = 0; n < sizeof bytes; n++) {
        bytes[n] = i % 3 == 2 ? (uint8_t)(i + n / 200) : (uint8_t)rng_next(&rng);
    }
    return kv_slice(bytes, sizeof bytes);
}

static struct kv_slice key_of(unsigned i)
{
    static char key[16];
    snprintf(key, sizeof key, "key%04u", i);
    return kv_slice_str(key);
}

static int put(unsigned i, enum kv_durability durability)
{
    return kv_put(table, key_of(i), value_of(i), durability);
}

static void expect_value(unsigned i)
{
    struct kv_buf got = {0};
    ck_ok(kv_get_copy(table, NULL, key_of(i), &got));
    ck_assert(kv_slice_equal(kv_buf_slice(&got), value_of(i)));
    kv_buf_finish(&got);
}

/* Keys 0..n-1 have their values, and n has none. */
static void expect_prefix(unsigned n)
{
    struct kv_buf got = {0};
    for (unsigned i = 0; i < n; i++) {
        expect_value(i);
    }
    ck_fails(kv_get_copy(table, NULL, key_of(n), &got), ENOENT);
    kv_buf_finish(&got);
}

static uint64_t blob_count(void)
{
    struct kv_stats stats;
    kv_stats(store, &stats);
    return stats.blobs;
}

/* A child writes keys 0..n-1 and dies. With `sync_every` it syncs now and then. */
static void write_and_die(unsigned n, unsigned sync_every)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        open_store();
        for (unsigned i = 0; i < n; i++) {
            bool sync = sync_every != 0 && i % sync_every == sync_every - 1;
            ck_ok(put(i, sync ? KV_DURABLE_SYNC : KV_DURABLE_WRITE));
        }
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    ck_assert_int_eq(status, 0);
}

static void flip_blob(off_t offset)
{
    char path[512];
    int fd = open(temp_dir_name(&dir, "00000001.blob", path), O_RDWR);
    uint8_t byte;
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 4;
    ck_assert_int_eq(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void remove_blob(void)
{
    char path[512];
    ck_assert_int_eq(unlink(temp_dir_name(&dir, "00000001.blob", path)), 0);
}

/* ---- tests ---- */

START_TEST(large_values_are_read_from_memory_from_tables_and_after_a_reopening)
{
    struct kv_buf empty = {0};
    open_store();
    for (unsigned i = 0; i < 100; i++) {
        ck_ok(put(i, KV_DURABLE_WRITE));
        if (i % 7 == 0) {
            expect_value(i);
        }
    }
    expect_prefix(100);
    ck_ok(kv_flush(store));
    expect_prefix(100);
    ck_assert_uint_ge(blob_count(), 2); /* of a megabyte each */
    ck_ok(kv_compact(store));
    expect_prefix(100);
    ck_ok(kv_close(store));
    open_store();
    expect_prefix(100);
    ck_ok(kv_put(table, key_of(5), kv_buf_slice(&empty), KV_DURABLE_WRITE));
    ck_ok(kv_get_copy(table, NULL, key_of(5), &empty));
    ck_assert_uint_eq(empty.size, 0);
    kv_buf_finish(&empty);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_batch_of_large_and_small_values_is_one)
{
    struct kv_batch *batch = NULL;
    open_store();
    ck_ok(kv_batch_create(&batch));
    for (unsigned i = 0; i < 20; i++) {
        ck_ok(kv_batch_put(batch, table, key_of(i), value_of(i)));
        ck_ok(kv_batch_put(batch, table, kv_slice_str("count"), kv_slice(&i, sizeof i)));
    }
    ck_ok(kv_batch_delete(batch, table, key_of(19)));
    ck_ok(kv_write(store, batch, KV_DURABLE_SYNC));
    expect_prefix(19);
    kv_batch_destroy(batch);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_process_that_dies_loses_no_large_value)
{
    write_and_die(60, 0); /* more than one blob */
    open_store();
    expect_prefix(60);
    ck_assert_uint_ge(blob_count(), 2);
    ck_ok(put(60, KV_DURABLE_WRITE));
    ck_ok(kv_close(store));
    open_store();
    expect_prefix(61);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_store_that_died_can_be_read_without_changing_it)
{
    write_and_die(20, 0);
    ck_ok(try_open(true));
    ck_ok(kv_table_open(store, "t", NULL, &table));
    expect_prefix(20);
    ck_ok(kv_close(store));
    open_store();
    expect_prefix(20);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(unsynced_rows_end_before_the_first_whose_bytes_are_not_in_the_blob)
{
    write_and_die(20, 0);
    flip_blob((off_t)9 * VALUE_BYTES + 5000); /* beyond nine values, some of them compressed */
    open_store();
    unsigned n = 0;
    struct kv_buf got = {0};
    while (kv_get_copy(table, NULL, key_of(n), &got) == 0) {
        n++;
    }
    kv_buf_finish(&got);
    ck_assert_uint_gt(n, 9);
    ck_assert_uint_lt(n, 20);
    expect_prefix(n);
    ck_assert_str_eq(complaint, "");
    ck_ok(put(n, KV_DURABLE_SYNC));
    ck_ok(kv_close(store));
    open_store();
    expect_prefix(n + 1);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(unsynced_rows_of_a_blob_that_is_gone_are_gone)
{
    write_and_die(20, 0);
    remove_blob();
    open_store();
    expect_prefix(0);
    ck_ok(put(0, KV_DURABLE_WRITE));
    ck_ok(kv_close(store));
    open_store();
    expect_prefix(1);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(damage_of_synced_bytes_fails_the_value_and_nothing_else)
{
    struct kv_buf got = {0};
    write_and_die(20, 5);
    flip_blob(100); /* of the first value */
    open_store();
    ck_ok(kv_exists(table, NULL, key_of(0))); /* reads no value */
    ck_assert_ptr_null(strstr(complaint, "blob 00000001"));
    ck_fails(kv_get_copy(table, NULL, key_of(0), &got), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(complaint, "blob 00000001"));
    for (unsigned i = 1; i < 20; i++) {
        expect_value(i);
    }
    kv_buf_finish(&got);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_store_that_lost_a_blob_with_synced_rows_is_not_opened)
{
    write_and_die(20, 5);
    remove_blob();
    ck_fails(try_open(false), KV_EDAMAGED);
    ck_assert_ptr_nonnull(strstr(complaint, "blob 00000001"));
}
END_TEST

START_TEST(a_batch_whose_bytes_could_not_be_written_can_be_written_later)
{
    struct kv_batch *batch = NULL;
    open_store();
    ck_ok(put(0, KV_DURABLE_WRITE));
    ck_ok(kv_batch_create(&batch));
    ck_ok(kv_batch_put(batch, table, key_of(1), value_of(1)));
    ck_ok(kv_batch_put(batch, table, key_of(2), value_of(2)));
    append_error = -EIO;
    ck_fails(kv_write(store, batch, KV_DURABLE_WRITE), EIO);
    ck_ok(kv_put(table, kv_slice_str("small"), kv_slice_str("value"), KV_DURABLE_WRITE));
    expect_prefix(1);
    append_error = 0;
    ck_ok(kv_write(store, batch, KV_DURABLE_SYNC));
    expect_prefix(3);
    ck_ok(kv_write(store, batch, KV_DURABLE_WRITE)); /* once more, at another place */
    expect_prefix(3);
    kv_batch_destroy(batch);
    ck_ok(kv_close(store));
    open_store();
    expect_prefix(3);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(after_a_failed_sync_of_a_blob_its_values_are_moved_to_another)
{
    struct kv_health health;
    open_store();
    for (unsigned i = 0; i < 5; i++) {
        ck_ok(put(i, KV_DURABLE_WRITE));
    }
    ck_ok(kv_sync(store));
    ck_ok(put(5, KV_DURABLE_WRITE));
    sync_error = -EIO;
    ck_fails(kv_sync(store), EIO);
    ck_fails(put(6, KV_DURABLE_SYNC), EIO);
    sync_error = 0; /* as it would be on the next try: false */
    ck_ok(kv_sync(store));
    kv_health(store, &health);
    ck_assert_int_eq(health.state, KV_HEALTH_OK);
    expect_prefix(7);
    ck_ok(kv_close(store));
    remove_blob(); /* nobody needs it */
    open_store();
    expect_prefix(7);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(the_values_of_a_blob_that_cannot_be_sealed_are_moved_elsewhere)
{
    open_store();
    for (unsigned i = 0; i < 5; i++) {
        ck_ok(put(i, KV_DURABLE_WRITE));
    }
    sync_error = -EIO;
    ck_ok(kv_flush(store));
    sync_error = 0;
    ck_assert_uint_eq(blob_count(), 0); /* they are few, so their rows hold them */
    expect_prefix(5);
    ck_ok(kv_close(store));
    remove_blob();
    open_store();
    expect_prefix(5);
    ck_ok(kv_close(store));
}
END_TEST

START_TEST(a_blob_without_room_for_its_directory_does_without)
{
    open_store();
    for (unsigned i = 0; i < 5; i++) {
        ck_ok(put(i, KV_DURABLE_WRITE));
    }
    append_error = -ENOSPC;
    ck_ok(kv_flush(store));
    append_error = 0;
    expect_prefix(5);
    ck_ok(kv_close(store));
    open_store();
    expect_prefix(5);
    ck_ok(kv_close(store));
}
END_TEST

/* A storage whose appends are on their way for a while need not know otherwise. */
START_TEST(blobs_that_no_record_points_to_are_said_to_stand_alone)
{
    static const uint8_t value[8 << 10] = {1};

    open_store();
    ck_ok(put(0, KV_DURABLE_WRITE));
    ck_assert_ptr_nonnull(blob);
    ck_assert_ptr_null(alone);
    ck_ok(kv_flush(store));
    ck_assert_ptr_null(alone);
    for (unsigned i = 0; i < 200; i++) {
        char key[16];
        size_t size = (size_t)snprintf(key, sizeof key, "small%04u", i);
        ck_ok(kv_put(table, kv_slice(key, size), kv_slice(value, sizeof value), KV_DURABLE_WRITE));
    }
    ck_ok(kv_flush(store));
    ck_assert_ptr_nonnull(alone);
    ck_assert_ptr_eq(alone, blob);
    ck_ok(kv_close(store));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("large");
    TCase *tc = tcase_create("large");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, large_values_are_read_from_memory_from_tables_and_after_a_reopening);
    tcase_add_test(tc, a_batch_of_large_and_small_values_is_one);
    tcase_add_test(tc, a_process_that_dies_loses_no_large_value);
    tcase_add_test(tc, a_store_that_died_can_be_read_without_changing_it);
    tcase_add_test(tc, unsynced_rows_end_before_the_first_whose_bytes_are_not_in_the_blob);
    tcase_add_test(tc, unsynced_rows_of_a_blob_that_is_gone_are_gone);
    tcase_add_test(tc, damage_of_synced_bytes_fails_the_value_and_nothing_else);
    tcase_add_test(tc, a_store_that_lost_a_blob_with_synced_rows_is_not_opened);
    tcase_add_test(tc, a_batch_whose_bytes_could_not_be_written_can_be_written_later);
    tcase_add_test(tc, after_a_failed_sync_of_a_blob_its_values_are_moved_to_another);
    tcase_add_test(tc, the_values_of_a_blob_that_cannot_be_sealed_are_moved_elsewhere);
    tcase_add_test(tc, blobs_that_no_record_points_to_are_said_to_stand_alone);
    tcase_add_test(tc, a_blob_without_room_for_its_directory_does_without);
    suite_add_tcase(s, tc);
    return s;
}
