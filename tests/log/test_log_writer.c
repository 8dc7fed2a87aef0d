/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/log/log_rig.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kvcore/util/thread.h"

/* ---- a storage whose appends and syncs fail on demand -----------------------------------------
 */

struct faulty {
    struct kv_storage base;
    struct kv_storage *inner;
    _Atomic int append_error;
    _Atomic int sync_error;
    _Atomic unsigned appends;
    _Atomic unsigned syncs;
};

struct kv_log {
    struct faulty *faulty;
    struct kv_log *inner;
};

static int faulty_log_create(struct kv_storage *base, struct kv_file_id id, uint64_t recycle,
                             uint64_t preallocate_bytes, struct kv_log **ret_log)
{
    struct faulty *faulty = (struct faulty *)base;
    struct kv_log *log = malloc(sizeof *log);
    ck_assert_ptr_nonnull(log);
    log->faulty = faulty;
    ck_ok(
        faulty->inner->ops->log_create(faulty->inner, id, recycle, preallocate_bytes, &log->inner));
    *ret_log = log;
    return 0;
}

static int faulty_log_append(struct kv_log *log, const struct iovec *parts, int part_count)
{
    int error = atomic_load(&log->faulty->append_error);
    atomic_fetch_add(&log->faulty->appends, 1);
    return error < 0 ? error : log->faulty->inner->ops->log_append(log->inner, parts, part_count);
}

static int faulty_log_sync(struct kv_log *log)
{
    int error = atomic_load(&log->faulty->sync_error);
    atomic_fetch_add(&log->faulty->syncs, 1);
    return error < 0 ? error : log->faulty->inner->ops->log_sync(log->inner);
}

static void faulty_log_close(struct kv_log *log)
{
    log->faulty->inner->ops->log_close(log->inner);
    free(log);
}

static int faulty_remove(struct kv_storage *base, struct kv_file_id id)
{
    struct faulty *faulty = (struct faulty *)base;
    return faulty->inner->ops->remove(faulty->inner, id);
}

static const struct kv_storage_ops faulty_ops = {
    .log_create = faulty_log_create,
    .log_append = faulty_log_append,
    .log_sync = faulty_log_sync,
    .log_close = faulty_log_close,
    .remove = faulty_remove,
};

static void faulty_make(struct faulty *faulty)
{
    *faulty = (struct faulty){.base.ops = &faulty_ops};
    ck_ok(kv_storage_mem_create(&faulty->inner));
}

static void faulty_finish(struct faulty *faulty)
{
    kv_storage_mem_destroy(faulty->inner);
}

/* ---- tests ------------------------------------------------------------------------------------
 */

START_TEST(what_was_added_is_read_back_in_order)
{
    struct kv_storage *storage = NULL;
    struct rig_read read;
    struct kv_slice parts[] = {kv_slice_str("in "), kv_slice(NULL, 0), kv_slice_str("parts")};

    ck_ok(kv_storage_mem_create(&storage));
    struct log_writer *writer = rig_writer(storage, 0);
    rig_add(writer, 10, "first", false);
    ck_ok(log_writer_add(writer, LOG_RECORD_BATCH, 20, parts, 3, false));
    ck_ok(log_writer_add(writer, LOG_RECORD_CLOSE, 30, NULL, 0, false));
    struct log_end end = log_writer_end(writer);
    log_writer_destroy(writer);

    rig_read(storage, &end, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert(read.has_head && !read.torn);
    ck_assert_uint_eq(read.previous.number, 0);
    ck_assert_uint_eq(read.count, 3);
    ck_payload(&read, 0, "first");
    ck_payload(&read, 1, "in parts");
    ck_payload(&read, 2, "");
    ck_assert_uint_eq(read.sequences[1], 20);
    ck_assert_int_eq(read.types[2], LOG_RECORD_CLOSE);
    ck_assert_uint_eq(read.end.size, end.size);
    ck_assert_uint_eq(read.end.chain, end.chain);
    rig_read_finish(&read);
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(the_head_names_the_predecessor)
{
    struct kv_storage *storage = NULL;
    struct rig_read read;
    struct log_writer *writer = NULL;
    struct log_end previous = {.number = 6, .size = 4096, .chain = 99};
    struct log_writer_options options = {.store_seed = rig_seed, .previous = &previous};

    ck_ok(kv_storage_mem_create(&storage));
    ck_ok(log_writer_create(storage, rig_id, &options, &writer));
    ck_fails(log_writer_create(storage, rig_id, &options, &writer), EEXIST);
    log_writer_destroy(writer);
    rig_read(storage, NULL, &read);
    ck_assert_uint_eq(read.previous.number, 6);
    ck_assert_uint_eq(read.previous.size, 4096);
    ck_assert_uint_eq(read.previous.chain, 99);
    rig_read_finish(&read);
    kv_storage_mem_destroy(storage);
}
END_TEST

START_TEST(large_and_small_payloads_in_one_or_many_parts_come_back)
{
    enum { SIZE = 3 * 1024 * 1024 + 5, COUNT = 12 };
    struct kv_storage *storage = NULL;
    struct rig_read read;
    uint8_t *bytes = malloc(SIZE);

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    ck_ok(kv_storage_mem_create(&storage));
    struct log_writer *writer = rig_writer(storage, 0);
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = SIZE >> (2 * i);
        struct kv_slice parts[] = {kv_slice(bytes, size / 3),
                                   kv_slice(bytes + size / 3, size - size / 3)};
        struct kv_slice whole = kv_slice(bytes, size);
        ck_ok(log_writer_add(writer, LOG_RECORD_BATCH, i, parts, 2, i % 3 != 0));
        ck_ok(log_writer_add(writer, LOG_RECORD_BATCH, i, &whole, 1, i % 2 == 0));
    }
    ck_ok(log_writer_push(writer));
    log_writer_destroy(writer);
    rig_read(storage, NULL, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert_uint_eq(read.count, 2 * COUNT);
    for (size_t i = 0; i < 2 * COUNT; i++) {
        ck_assert_uint_eq(read.payloads[i].size, SIZE >> (2 * (i / 2)));
        ck_assert(kv_slice_equal(kv_buf_slice(&read.payloads[i]),
                                 kv_slice(bytes, read.payloads[i].size)));
    }
    rig_read_finish(&read);
    kv_storage_mem_destroy(storage);
    free(bytes);
}
END_TEST

START_TEST(deferred_records_reach_the_storage_with_the_next_push_in_one_append)
{
    struct faulty faulty;
    struct rig_read read;

    faulty_make(&faulty);
    struct log_writer *writer = rig_writer(&faulty.base, 0);
    rig_add(writer, 1, "one", true);
    rig_add(writer, 2, "two", true);
    ck_assert_uint_eq(faulty.appends, 1); /* the head */
    rig_read(faulty.inner, NULL, &read);
    ck_assert_uint_eq(read.count, 0);
    rig_read_finish(&read);
    rig_add(writer, 3, "three", false);
    ck_assert_uint_eq(faulty.appends, 2);
    rig_add(writer, 4, "four", true);
    ck_ok(log_writer_push(writer));
    ck_ok(log_writer_push(writer));
    ck_assert_uint_eq(faulty.appends, 3);
    log_writer_destroy(writer);
    rig_read(faulty.inner, NULL, &read);
    ck_assert_uint_eq(read.count, 4);
    ck_payload(&read, 0, "one");
    ck_payload(&read, 3, "four");
    rig_read_finish(&read);
    faulty_finish(&faulty);
}
END_TEST

START_TEST(deferred_records_do_not_pile_up_without_limit)
{
    struct faulty faulty;
    char text[4001];

    memset(text, 't', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    faulty_make(&faulty);
    struct log_writer *writer = rig_writer(&faulty.base, 0);
    for (unsigned i = 0; i < 500; i++) {
        rig_add(writer, i, text, true);
    }
    ck_assert_uint_gt(faulty.appends, 4);
    ck_assert_uint_lt(faulty.appends, 50);
    log_writer_destroy(writer);
    faulty_finish(&faulty);
}
END_TEST

START_TEST(a_sync_moves_synced_up_to_which_the_next_record_carries)
{
    struct faulty faulty;
    struct rig_read read;

    faulty_make(&faulty);
    struct log_writer *writer = rig_writer(&faulty.base, 0);
    rig_add(writer, 1, "one", false);
    uint64_t end = log_writer_end(writer).size;
    ck_assert_uint_eq(log_writer_synced_bytes(writer), 0);
    ck_ok(log_writer_sync(writer));
    ck_assert_uint_eq(log_writer_synced_bytes(writer), end);
    ck_ok(log_writer_sync(writer)); /* nothing new, no call */
    ck_assert_uint_eq(faulty.syncs, 1);
    rig_add(writer, 2, "deferred", true);
    ck_ok(log_writer_sync(writer)); /* covers what was pushed only */
    ck_assert_uint_eq(log_writer_synced_bytes(writer), end);
    ck_ok(log_writer_push(writer));
    log_writer_destroy(writer);
    rig_read(faulty.inner, NULL, &read);
    ck_assert_uint_eq(read.synced_bytes, end);
    rig_read_finish(&read);
    faulty_finish(&faulty);
}
END_TEST

START_TEST(a_failed_append_breaks_the_writer_and_its_end_leaves_deferred_records_out)
{
    struct faulty faulty;
    struct rig_read read;
    struct kv_slice part = kv_slice_str("lost");

    faulty_make(&faulty);
    struct log_writer *writer = rig_writer(&faulty.base, 0);
    rig_add(writer, 1, "kept", false);
    struct log_end kept = log_writer_end(writer);
    rig_add(writer, 2, "deferred", true);
    ck_assert_uint_gt(log_writer_end(writer).size, kept.size);
    atomic_store(&faulty.append_error, -ENOSPC);
    ck_fails(log_writer_add(writer, LOG_RECORD_BATCH, 3, &part, 1, false), ENOSPC);
    atomic_store(&faulty.append_error, 0);
    ck_fails(log_writer_add(writer, LOG_RECORD_BATCH, 4, &part, 1, false), ENOSPC);
    ck_fails(log_writer_push(writer), ENOSPC);
    struct log_end end = log_writer_end(writer);
    ck_assert_uint_eq(end.size, kept.size);
    ck_assert_uint_eq(end.chain, kept.chain);
    ck_ok(log_writer_sync(writer)); /* what was there before can still be made durable */
    ck_assert_uint_eq(log_writer_synced_bytes(writer), kept.size);
    log_writer_destroy(writer);
    rig_read(faulty.inner, &end, &read);
    ck_assert_int_eq(read.result, 0);
    ck_assert_uint_eq(read.count, 1);
    rig_read_finish(&read);
    faulty_finish(&faulty);
}
END_TEST

START_TEST(a_failed_sync_breaks_the_writer_and_is_not_tried_again)
{
    struct faulty faulty;
    struct kv_slice part = kv_slice_str("more");

    faulty_make(&faulty);
    struct log_writer *writer = rig_writer(&faulty.base, 0);
    rig_add(writer, 1, "one", false);
    atomic_store(&faulty.sync_error, -EIO);
    ck_fails(log_writer_sync(writer), EIO);
    atomic_store(&faulty.sync_error, 0);
    ck_fails(log_writer_sync(writer), EIO);
    ck_assert_uint_eq(faulty.syncs, 1);
    ck_assert_uint_eq(log_writer_synced_bytes(writer), 0);
    ck_fails(log_writer_add(writer, LOG_RECORD_BATCH, 2, &part, 1, false), EIO);
    log_writer_destroy(writer);
    faulty_finish(&faulty);
}
END_TEST

START_TEST(a_log_whose_head_cannot_be_written_does_not_stay)
{
    struct faulty faulty;
    struct log_writer *writer = NULL;
    struct log_writer_options options = {.store_seed = rig_seed};

    faulty_make(&faulty);
    atomic_store(&faulty.append_error, -ENOSPC);
    ck_fails(log_writer_create(&faulty.base, rig_id, &options, &writer), ENOSPC);
    atomic_store(&faulty.append_error, 0);
    ck_ok(log_writer_create(&faulty.base, rig_id, &options, &writer));
    log_writer_destroy(writer);
    log_writer_destroy(NULL);
    faulty_finish(&faulty);
}
END_TEST

struct sync_loop {
    struct log_writer *writer;
    _Atomic bool stop;
};

static void *sync_until_stopped(void *arg)
{
    struct sync_loop *loop = (struct sync_loop *)arg;
    while (!atomic_load(&loop->stop)) {
        ck_ok(log_writer_sync(loop->writer));
    }
    return NULL;
}

START_TEST(syncs_may_run_beside_adds)
{
    struct kv_storage *storage = NULL;
    struct thread thread;
    struct log_reader *reader = NULL;
    struct log_record record;
    uint64_t steps = test_steps(5000);
    uint64_t next = 0;

    ck_ok(kv_storage_mem_create(&storage));
    struct sync_loop loop = {.writer = rig_writer(storage, 0)};
    ck_ok(thread_start(&thread, "syncer", sync_until_stopped, &loop));
    for (uint64_t i = 0; i < steps; i++) {
        rig_add(loop.writer, i, "some payload", i % 3 == 0);
    }
    atomic_store(&loop.stop, true);
    thread_join(&thread);
    ck_ok(log_writer_push(loop.writer));
    struct log_end end = log_writer_end(loop.writer);
    log_writer_destroy(loop.writer);
    /* Every synced-up-to was believable: decoding refuses one beyond its record. */
    ck_ok(log_reader_open(storage, rig_id, rig_seed, &end, NULL, &reader));
    while (log_reader_next(reader, &record) == 1) {
        ck_assert_uint_eq(record.sequence, next++);
    }
    ck_assert_uint_eq(next, steps);
    log_reader_close(reader);
    kv_storage_mem_destroy(storage);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("log_writer");
    suite_add(s, "add", what_was_added_is_read_back_in_order);
    suite_add(s, "add", the_head_names_the_predecessor);
    suite_add(s, "add", large_and_small_payloads_in_one_or_many_parts_come_back);
    suite_add(s, "defer", deferred_records_reach_the_storage_with_the_next_push_in_one_append);
    suite_add(s, "defer", deferred_records_do_not_pile_up_without_limit);
    suite_add(s, "sync", a_sync_moves_synced_up_to_which_the_next_record_carries);
    suite_add(s, "broken",
              a_failed_append_breaks_the_writer_and_its_end_leaves_deferred_records_out);
    suite_add(s, "broken", a_failed_sync_breaks_the_writer_and_is_not_tried_again);
    suite_add(s, "broken", a_log_whose_head_cannot_be_written_does_not_stay);
    suite_add(s, "threads", syncs_may_run_beside_adds);
    return s;
}
