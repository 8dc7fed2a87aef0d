/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of kv/storage.h, the same tests for every implementation. */
#include "tests/lib/check_main.h"

#include <stdatomic.h>

#include <kv/storage.h>

#include "kvcore/storage/pooled_store.h"
#include "kvcore/util/rng.h"
#include "kvcore/util/thread.h"
#include "tests/lib/temp_dir.h"

/* In the suite `rados` this file is compiled once more, to run on a cluster. */
#ifdef KV_ON_RADOS
#include "tests/rados/cluster_pool.h"
#else
#include "tests/storage/fake_pool.h"
#endif

enum {
    IMPLEMENTATION_POSIX,
    IMPLEMENTATION_MEM,
    IMPLEMENTATION_POOLED,
    IMPLEMENTATION_COUNT,
#ifdef KV_ON_RADOS
    IMPLEMENTATION_FIRST = IMPLEMENTATION_POOLED,
#else
    IMPLEMENTATION_FIRST = IMPLEMENTATION_POSIX,
#endif
};

struct rig {
    int implementation;
    struct temp_dir dir;
    struct pool_rig pool;
    struct kv_storage *storage;
};

/* A store in a pool shares no bytes between files. */
static bool shares_bytes(const struct rig *rig)
{
    return rig->implementation != IMPLEMENTATION_POOLED;
}

/* Those that are made anew by each opening. */
static void rig_open_at(struct rig *rig)
{
    if (rig->implementation == IMPLEMENTATION_POSIX) {
        ck_ok(kv_storage_posix_open(rig->dir.path, true, &rig->storage));
    } else if (rig->implementation == IMPLEMENTATION_POOLED) {
        struct pooled_options options = {
            .create = true, .lease_ms = POOLED_LEASE_DEFAULT_MS, .piece_bytes = 1 << 20};
        ck_ok(pooled_storage_open(pool_rig_connect(&rig->pool), "a pool", &options, &rig->storage));
    }
}

/* A new empty store with the exclusive lease. */
static void rig_make(struct rig *rig, int implementation)
{
    *rig = (struct rig){.implementation = implementation};
    if (implementation == IMPLEMENTATION_POSIX) {
        temp_dir_make(&rig->dir);
    } else if (implementation == IMPLEMENTATION_POOLED) {
        pool_rig_make(&rig->pool);
    } else {
        ck_ok(kv_storage_mem_create(&rig->storage));
    }
    rig_open_at(rig);
    ck_ok(rig->storage->ops->lease_acquire(rig->storage, KV_LEASE_EXCLUSIVE, "the test"));
}

static void rig_reopen(struct rig *rig, enum kv_lease_mode mode)
{
    rig->storage->ops->close(rig->storage);
    rig_open_at(rig);
    ck_ok(rig->storage->ops->lease_acquire(rig->storage, mode, "the test"));
}

static void rig_finish(struct rig *rig)
{
    rig->storage->ops->close(rig->storage);
    if (rig->implementation == IMPLEMENTATION_POSIX) {
        temp_dir_remove(&rig->dir);
    } else if (rig->implementation == IMPLEMENTATION_POOLED) {
        pool_rig_finish(&rig->pool);
    } else {
        kv_storage_mem_destroy(rig->storage);
    }
}

static const struct kv_file_id log_1 = {KV_FILE_LOG, 1};
static const struct kv_file_id log_2 = {KV_FILE_LOG, 2};
static const struct kv_file_id blob_1 = {KV_FILE_BLOB, 1};
static const struct kv_file_id table_1 = {KV_FILE_TABLE, 1};
static const struct kv_file_id table_2 = {KV_FILE_TABLE, 2};

static struct iovec part(const char *text)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
}

static void log_append_text(struct rig *rig, struct kv_log *log, const char *text)
{
    struct iovec one = part(text);
    ck_ok(rig->storage->ops->log_append(log, &one, 1));
}

static void expect_log_text(struct rig *rig, struct kv_log *log, uint64_t offset, const char *text)
{
    char bytes[256];
    size_t size = 0;
    ck_ok(rig->storage->ops->log_read(log, offset, bytes, strlen(text), &size));
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
}

static void make_log(struct rig *rig, struct kv_file_id id, const char *text)
{
    struct kv_log *log = NULL;
    ck_ok(rig->storage->ops->log_create(rig->storage, id, 0, 0, &log));
    log_append_text(rig, log, text);
    ck_ok(rig->storage->ops->log_sync(log));
    rig->storage->ops->log_close(log);
}

static void make_object(struct rig *rig, struct kv_file_id id, const char *text)
{
    struct kv_object_writer *writer = NULL;
    struct iovec one = part(text);
    ck_ok(rig->storage->ops->object_begin(rig->storage, id, 0, &writer));
    ck_ok(rig->storage->ops->object_write(writer, &one, 1));
    ck_ok(rig->storage->ops->object_finish(writer));
}

static void expect_object_text(struct rig *rig, struct kv_object *object, const char *text)
{
    char bytes[256];
    size_t size = 0;
    ck_ok(rig->storage->ops->object_read(object, 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(bytes, text, size);
}

START_TEST(an_appended_log_is_read_back_also_after_a_reopening)
{
    struct rig rig;
    struct kv_log *log = NULL;
    struct iovec parts[] = {part("alpha "), part(""), part("beta "), part("gamma")};
    char byte;
    size_t size = 1;

    rig_make(&rig, _i);
    ck_ok(rig.storage->ops->log_create(rig.storage, log_1, 0, 0, &log));
    ck_assert_uint_eq(rig.storage->ops->log_size(log), 0);
    ck_ok(rig.storage->ops->log_append(log, parts, 4));
    log_append_text(&rig, log, " delta");
    ck_assert_uint_eq(rig.storage->ops->log_size(log), 22);
    expect_log_text(&rig, log, 0, "alpha beta gamma delta");
    ck_ok(rig.storage->ops->log_sync(log));
    rig.storage->ops->log_close(log);

    rig_reopen(&rig, KV_LEASE_SHARED);
    ck_ok(rig.storage->ops->log_open(rig.storage, log_1, &log));
    ck_assert_uint_eq(rig.storage->ops->log_size(log), 22);
    expect_log_text(&rig, log, 6, "beta");
    ck_ok(rig.storage->ops->log_sync(log)); /* what a crash left becomes durable */
    ck_ok(rig.storage->ops->log_read(log, 22, &byte, 1, &size));
    ck_assert_uint_eq(size, 0);
    rig.storage->ops->log_close(log);
    ck_fails(rig.storage->ops->log_open(rig.storage, log_2, &log), ENOENT);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_preallocated_log_reads_only_what_was_appended)
{
    struct rig rig;
    struct kv_log *log = NULL;
    char bytes[64];
    size_t size = 0;

    rig_make(&rig, _i);
    ck_ok(rig.storage->ops->log_create(rig.storage, log_1, 0, 65536, &log));
    ck_assert_uint_eq(rig.storage->ops->log_size(log), 0);
    log_append_text(&rig, log, "text");
    ck_ok(rig.storage->ops->log_read(log, 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, 4);
    rig.storage->ops->log_close(log);
    /* Opened again, zeros may stand behind. */
    ck_ok(rig.storage->ops->log_open(rig.storage, log_1, &log));
    ck_assert_uint_ge(rig.storage->ops->log_size(log), 4);
    ck_ok(rig.storage->ops->log_read(log, 0, bytes, sizeof bytes, &size));
    ck_assert_mem_eq(bytes, "text", 4);
    for (size_t i = 4; i < size; i++) {
        ck_assert_int_eq(bytes[i], 0);
    }
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_recycled_log_takes_the_place_and_the_bytes_of_the_old_one)
{
    struct rig rig;
    struct kv_log *log = NULL;

    rig_make(&rig, _i);
    make_log(&rig, log_1, "old bytes");
    ck_ok(rig.storage->ops->log_create(rig.storage, log_2, 1, 0, &log));
    ck_assert_uint_eq(rig.storage->ops->log_size(log), 0);
    log_append_text(&rig, log, "new");
    ck_assert_uint_eq(rig.storage->ops->log_size(log), 3);
    rig.storage->ops->log_close(log);
    ck_fails(rig.storage->ops->log_open(rig.storage, log_1, &log), ENOENT);
    ck_ok(rig.storage->ops->log_open(rig.storage, log_2, &log));
    expect_log_text(&rig, log, 0, shares_bytes(&rig) ? "new bytes" : "new");
    ck_assert_uint_eq(rig.storage->ops->log_size(log), shares_bytes(&rig) ? 9 : 3);
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_log_is_never_created_over_another)
{
    struct rig rig;
    struct kv_log *log = NULL;

    rig_make(&rig, _i);
    make_log(&rig, log_1, "one");
    make_log(&rig, log_2, "two");
    ck_fails(rig.storage->ops->log_create(rig.storage, log_1, 0, 0, &log), EEXIST);
    ck_fails(rig.storage->ops->log_create(rig.storage, log_1, 2, 0, &log), EEXIST);
    ck_ok(rig.storage->ops->log_open(rig.storage, log_1, &log));
    expect_log_text(&rig, log, 0, "one");
    rig.storage->ops->log_close(log);
    ck_ok(rig.storage->ops->log_open(rig.storage, log_2, &log));
    expect_log_text(&rig, log, 0, "two");
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(numbers_are_counted_per_kind)
{
    struct rig rig;
    struct kv_log *log = NULL;

    rig_make(&rig, _i);
    make_log(&rig, log_1, "log");
    make_log(&rig, (struct kv_file_id){KV_FILE_MANIFEST, 1}, "manifest");
    make_object(&rig, table_1, "table");
    ck_ok(rig.storage->ops->log_open(rig.storage, (struct kv_file_id){KV_FILE_MANIFEST, 1}, &log));
    expect_log_text(&rig, log, 0, "manifest");
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(an_object_is_visible_only_after_finish)
{
    struct rig rig;
    struct kv_object_writer *writer = NULL;
    struct kv_object *object = NULL;
    struct iovec parts[] = {part("first "), part("second")};

    rig_make(&rig, _i);
    ck_ok(rig.storage->ops->object_begin(rig.storage, table_1, 100, &writer));
    ck_ok(rig.storage->ops->object_write(writer, parts, 2));
    ck_fails(rig.storage->ops->object_open(rig.storage, table_1, &object), ENOENT);
    ck_fails(rig.storage->ops->remove(rig.storage, table_1), ENOENT);
    ck_ok(rig.storage->ops->object_finish(writer));
    ck_ok(rig.storage->ops->object_open(rig.storage, table_1, &object));
    ck_assert_uint_eq(rig.storage->ops->object_size(object), 12);
    expect_object_text(&rig, object, "first second");
    rig.storage->ops->object_hint(object, 0, 12, KV_HINT_WILL_NEED);
    rig.storage->ops->object_hint(object, 0, 12, KV_HINT_DONT_NEED);
    rig.storage->ops->object_close(object);
    rig_finish(&rig);
}
END_TEST

START_TEST(an_object_is_never_overwritten)
{
    struct rig rig;
    struct kv_object_writer *writer = NULL;
    struct kv_object_writer *second = NULL;

    rig_make(&rig, _i);
    make_object(&rig, table_1, "kept");
    ck_fails(rig.storage->ops->object_begin(rig.storage, table_1, 0, &writer), EEXIST);
    ck_ok(rig.storage->ops->object_begin(rig.storage, table_2, 0, &writer));
    ck_fails(rig.storage->ops->object_begin(rig.storage, table_2, 0, &second), EEXIST);
    rig.storage->ops->object_abort(writer);
    rig_finish(&rig);
}
END_TEST

START_TEST(an_aborted_object_leaves_nothing_and_its_number_is_free)
{
    struct rig rig;
    struct kv_object_writer *writer = NULL;
    struct kv_object *object = NULL;
    struct iovec one = part("half");

    rig_make(&rig, _i);
    rig.storage->ops->object_abort(NULL);
    ck_ok(rig.storage->ops->object_begin(rig.storage, table_1, 0, &writer));
    ck_ok(rig.storage->ops->object_write(writer, &one, 1));
    rig.storage->ops->object_abort(writer);
    ck_fails(rig.storage->ops->object_open(rig.storage, table_1, &object), ENOENT);
    make_object(&rig, table_1, "whole");
    rig_finish(&rig);
}
END_TEST

struct beside {
    struct rig *rig;
    struct kv_log *log;
    _Atomic bool stop;
};

/* Sync and read what is there, again and again: every byte must be what was appended. */
static void *sync_and_read(void *arg)
{
    struct beside *beside = (struct beside *)arg;
    const struct kv_storage_ops *ops = beside->rig->storage->ops;
    static uint8_t bytes[65536];
    while (!atomic_load(&beside->stop)) {
        size_t size = 0;
        uint64_t end = ops->log_size(beside->log);
        uint64_t offset = end > sizeof bytes ? end - sizeof bytes : 0;
        ck_ok(ops->log_sync(beside->log));
        ck_ok(ops->log_read(beside->log, offset, bytes, sizeof bytes, &size));
        ck_assert_uint_ge(size, end - offset);
        for (size_t i = 0; i < size; i++) {
            ck_assert_uint_eq(bytes[i], (uint8_t)((offset + i) * 7));
        }
    }
    return NULL;
}

START_TEST(a_log_can_be_synced_and_read_beside_appends)
{
    struct rig rig;
    struct thread thread;
    struct beside beside = {.rig = &rig};
    uint8_t bytes[300];
    uint64_t offset = 0;

    rig_make(&rig, _i);
    ck_ok(rig.storage->ops->log_create(rig.storage, log_1, 0, 1 << 20, &beside.log));
    ck_ok(thread_start(&thread, "beside", sync_and_read, &beside));
    for (uint64_t step = 0; step < test_steps(2000); step++) {
        size_t size = step % sizeof bytes;
        struct iovec one = {.iov_base = bytes, .iov_len = size};
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)((offset + i) * 7);
        }
        ck_ok(rig.storage->ops->log_append(beside.log, &one, 1));
        offset += size;
    }
    atomic_store(&beside.stop, true);
    thread_join(&thread);
    ck_assert_uint_eq(rig.storage->ops->log_size(beside.log), offset);
    rig.storage->ops->log_close(beside.log);
    rig_finish(&rig);
}
END_TEST

static void fill_random(struct rng *rng, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)rng_next(rng);
    }
}

/* Write `bytes` in pieces of random size, from none to far more than any buffer. */
static void write_in_pieces(struct rig *rig, struct rng *rng, const uint8_t *bytes, size_t size)
{
    struct kv_object_writer *writer = NULL;
    ck_ok(rig->storage->ops->object_begin(rig->storage, table_1, size, &writer));
    for (size_t done = 0; done < size;) {
        struct iovec parts[3];
        for (int i = 0; i < 3; i++) {
            size_t n = (size_t)rng_below(rng, (uint64_t)1 << rng_below(rng, 21));
            n = n < size - done ? n : size - done;
            parts[i] = (struct iovec){.iov_base = (void *)(uintptr_t)(bytes + done), .iov_len = n};
            done += n;
        }
        ck_ok(rig->storage->ops->object_write(writer, parts, 3));
    }
    ck_ok(rig->storage->ops->object_finish(writer));
}

START_TEST(an_object_written_in_random_pieces_is_the_same_at_any_offset)
{
    struct rig rig;
    struct rng rng = {test_seed()};
    struct kv_object *object = NULL;
    size_t size = 4 * 1024 * 1024 + 123;
    uint8_t *bytes = malloc(size);
    uint8_t *back = malloc(size);

    ck_assert(bytes != NULL && back != NULL);
    rig_make(&rig, _i);
    fill_random(&rng, bytes, size);
    write_in_pieces(&rig, &rng, bytes, size);
    ck_ok(rig.storage->ops->object_open(rig.storage, table_1, &object));
    ck_assert_uint_eq(rig.storage->ops->object_size(object), size);
    for (uint64_t i = 0; i < test_steps(100); i++) {
        size_t offset = (size_t)rng_below(&rng, size + 10);
        size_t want = (size_t)rng_below(&rng, 100000);
        size_t expected = offset >= size ? 0 : want < size - offset ? want : size - offset;
        size_t got = 0;
        ck_ok(rig.storage->ops->object_read(object, offset, back, want, &got));
        ck_assert_uint_eq(got, expected);
        ck_assert(got == 0 || memcmp(back, bytes + offset, got) == 0);
    }
    rig.storage->ops->object_close(object);
    rig_finish(&rig);
    free(bytes);
    free(back);
}
END_TEST

struct counts {
    unsigned files;
    uint64_t bytes;
    uint64_t numbers[5]; /* sum per kind */
};

static void count_file(void *arg, struct kv_file_id id, uint64_t size_bytes)
{
    struct counts *counts = (struct counts *)arg;
    counts->files++;
    counts->bytes += size_bytes;
    counts->numbers[id.kind] += id.number;
}

START_TEST(what_is_open_stays_readable_after_it_was_removed)
{
    struct rig rig;
    struct kv_object *object = NULL;
    struct kv_log *log = NULL;

    rig_make(&rig, _i);
    make_object(&rig, table_1, "table text");
    make_log(&rig, log_1, "log text");
    ck_ok(rig.storage->ops->object_open(rig.storage, table_1, &object));
    ck_ok(rig.storage->ops->log_open(rig.storage, log_1, &log));
    ck_ok(rig.storage->ops->remove(rig.storage, table_1));
    ck_ok(rig.storage->ops->remove(rig.storage, log_1));
    ck_fails(rig.storage->ops->remove(rig.storage, log_1), ENOENT);
    expect_object_text(&rig, object, "table text");
    expect_log_text(&rig, log, 0, "log text");
    rig.storage->ops->object_close(object);
    rig.storage->ops->log_close(log);
    ck_fails(rig.storage->ops->object_open(rig.storage, table_1, &object), ENOENT);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_log_removed_while_it_is_written_does_not_come_back)
{
    struct rig rig;
    struct kv_log *log = NULL;
    struct counts counts = {0};

    rig_make(&rig, _i);
    ck_ok(rig.storage->ops->log_create(rig.storage, log_1, 0, 0, &log));
    log_append_text(&rig, log, "text");
    ck_ok(rig.storage->ops->remove(rig.storage, log_1));
    expect_log_text(&rig, log, 0, "text");
    rig.storage->ops->log_close(log);
    ck_fails(rig.storage->ops->log_open(rig.storage, log_1, &log), ENOENT);
    ck_ok(rig.storage->ops->list(rig.storage, count_file, &counts));
    ck_assert_uint_eq(counts.files, 0);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_discarded_range_reads_as_zeros)
{
    struct rig rig;
    struct kv_object *object = NULL;
    struct kv_object_writer *writer = NULL;
    static uint8_t bytes[16384];
    static uint8_t back[16384];
    struct iovec one = {.iov_base = bytes, .iov_len = sizeof bytes};
    size_t size = 0;

    rig_make(&rig, _i);
    memset(bytes, 'x', sizeof bytes);
    ck_ok(rig.storage->ops->object_begin(rig.storage, table_1, 0, &writer));
    ck_ok(rig.storage->ops->object_write(writer, &one, 1));
    ck_ok(rig.storage->ops->object_finish(writer));
    ck_ok(rig.storage->ops->object_discard(rig.storage, table_1, 4096, 8192));
    memset(bytes + 4096, 0, 8192);
    ck_ok(rig.storage->ops->object_open(rig.storage, table_1, &object));
    ck_ok(rig.storage->ops->object_read(object, 0, back, sizeof back, &size));
    ck_assert_uint_eq(size, sizeof back);
    ck_assert_mem_eq(back, bytes, sizeof back);
    rig.storage->ops->object_close(object);
    ck_fails(rig.storage->ops->object_discard(rig.storage, table_2, 0, 1), ENOENT);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_blob_is_read_as_an_object_while_it_grows_and_later)
{
    struct rig rig;
    struct kv_log *log = NULL;
    struct kv_object *object = NULL;

    rig_make(&rig, _i);
    const struct kv_storage_ops *ops = rig.storage->ops;
    ck_ok(ops->log_create(rig.storage, blob_1, 0, 0, &log));
    log_append_text(&rig, log, "first");
    ck_ok(ops->object_open(rig.storage, blob_1, &object));
    expect_object_text(&rig, object, "first");
    log_append_text(&rig, log, " second");
    expect_log_text(&rig, log, 0, "first second");
    expect_object_text(&rig, object, "first");
    ops->object_close(object);
    ck_ok(ops->log_sync(log));
    ops->log_close(log);
    ck_ok(ops->object_open(rig.storage, blob_1, &object));
    expect_object_text(&rig, object, "first second");
    ck_ok(ops->object_discard(rig.storage, blob_1, 0, 0));
    ops->object_close(object);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_log_that_a_crash_left_can_be_rewritten_and_goes_on_at_its_end)
{
    struct rig rig;
    struct kv_log *log = NULL;

    rig_make(&rig, _i);
    const struct kv_storage_ops *ops = rig.storage->ops;
    make_log(&rig, blob_1, "one two");
    rig_reopen(&rig, KV_LEASE_EXCLUSIVE);
    ck_ok(ops->log_resume(rig.storage, blob_1, &log));
    ck_assert_uint_eq(ops->log_size(log), 7);
    ck_ok(ops->log_rewrite(log, 4, kv_slice_str("TWO")));
    log_append_text(&rig, log, " three");
    ck_ok(ops->log_sync(log));
    expect_log_text(&rig, log, 0, "one TWO three");
    ops->log_close(log);
    ck_fails(ops->log_resume(rig.storage, log_2, &log), ENOENT);
    rig_reopen(&rig, KV_LEASE_SHARED);
    ck_fails(rig.storage->ops->log_resume(rig.storage, blob_1, &log), EROFS);
    ck_ok(rig.storage->ops->log_open(rig.storage, blob_1, &log));
    expect_log_text(&rig, log, 0, "one TWO three");
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_linked_object_is_shared_and_not_discarded)
{
    struct rig rig;
    struct rig other;
    struct kv_object *object = NULL;

    rig_make(&rig, _i);
    rig_make(&other, _i);
    make_object(&rig, table_1, "shared");
    if (!shares_bytes(&rig)) { /* then the caller is told to copy */
        ck_fails(rig.storage->ops->object_link(rig.storage, table_1, other.storage), EXDEV);
        rig_finish(&rig);
        rig_finish(&other);
        return;
    }
    ck_ok(rig.storage->ops->object_link(rig.storage, table_1, other.storage));
    ck_fails(rig.storage->ops->object_link(rig.storage, table_1, other.storage), EEXIST);
    ck_fails(rig.storage->ops->object_link(rig.storage, table_2, other.storage), ENOENT);
    ck_fails(rig.storage->ops->object_discard(rig.storage, table_1, 0, 1), EMLINK);
    ck_ok(rig.storage->ops->remove(rig.storage, table_1));
    ck_ok(other.storage->ops->object_open(other.storage, table_1, &object));
    expect_object_text(&other, object, "shared");
    other.storage->ops->object_close(object);
    ck_ok(other.storage->ops->object_discard(other.storage, table_1, 0, 1));
    rig_finish(&rig);
    rig_finish(&other);
}
END_TEST

START_TEST(an_object_cannot_be_linked_into_another_kind_of_storage)
{
    struct rig rig;
    struct rig other;

    rig_make(&rig, _i);
    rig_make(&other, (_i + 1) % IMPLEMENTATION_COUNT);
    make_object(&rig, table_1, "here");
    ck_fails(rig.storage->ops->object_link(rig.storage, table_1, other.storage), EXDEV);
    rig_finish(&rig);
    rig_finish(&other);
}
END_TEST

START_TEST(list_tells_every_log_and_finished_object)
{
    struct rig rig;
    struct counts counts = {0};
    struct kv_object_writer *writer = NULL;

    rig_make(&rig, _i);
    ck_ok(rig.storage->ops->root_swap(rig.storage, 0, kv_slice_str("root")));
    make_log(&rig, (struct kv_file_id){KV_FILE_LOG, 12}, "1234");
    make_log(&rig, (struct kv_file_id){KV_FILE_LOG, 123456789012}, "12");
    make_object(&rig, table_1, "12345678");
    ck_ok(rig.storage->ops->object_begin(rig.storage, table_2, 0, &writer));
    rig.storage->ops->object_abort(writer);
    ck_ok(rig.storage->ops->list(rig.storage, count_file, &counts));
    ck_assert_uint_eq(counts.files, 3);
    ck_assert_uint_eq(counts.bytes, 14);
    ck_assert_uint_eq(counts.numbers[KV_FILE_LOG], 123456789024);
    ck_assert_uint_eq(counts.numbers[KV_FILE_TABLE], 1);
    rig_finish(&rig);
}
END_TEST

START_TEST(the_root_is_swapped_only_from_the_expected_version)
{
    struct rig rig;
    struct kv_buf bytes = {0};
    uint64_t version = 0;

    rig_make(&rig, _i);
    ck_fails(rig.storage->ops->root_read(rig.storage, &bytes, &version), ENOENT);
    ck_fails(rig.storage->ops->root_swap(rig.storage, 1, kv_slice_str("x")), ESTALE);
    ck_ok(rig.storage->ops->root_swap(rig.storage, 0, kv_slice_str("first")));
    ck_fails(rig.storage->ops->root_swap(rig.storage, 0, kv_slice_str("x")), ESTALE);
    ck_ok(rig.storage->ops->root_swap(rig.storage, 1, kv_slice_str("second")));
    ck_ok(rig.storage->ops->root_swap(rig.storage, 2, kv_slice_str("third, longer")));
    ck_fails(rig.storage->ops->root_swap(rig.storage, 2, kv_slice_str("x")), ESTALE);
    rig_reopen(&rig, KV_LEASE_EXCLUSIVE);
    ck_ok(rig.storage->ops->root_read(rig.storage, &bytes, &version));
    ck_assert_uint_eq(version, 3);
    ck_assert(kv_slice_equal(kv_buf_slice(&bytes), kv_slice_str("third, longer")));
    kv_buf_finish(&bytes);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_root_of_the_largest_size_fits_and_a_larger_one_is_refused)
{
    struct rig rig;
    static uint8_t content[4001];
    struct kv_buf bytes = {0};
    uint64_t version = 0;

    rig_make(&rig, _i);
    memset(content, 'r', sizeof content);
    ck_fails(rig.storage->ops->root_swap(rig.storage, 0, kv_slice(content, 4001)), EINVAL);
    ck_ok(rig.storage->ops->root_swap(rig.storage, 0, kv_slice(content, 4000)));
    ck_ok(rig.storage->ops->root_read(rig.storage, &bytes, &version));
    ck_assert_uint_eq(bytes.size, 4000);
    ck_assert_mem_eq(bytes.data, content, 4000);
    ck_ok(rig.storage->ops->root_swap(rig.storage, 1, kv_slice(NULL, 0)));
    ck_ok(rig.storage->ops->root_read(rig.storage, &bytes, &version));
    ck_assert_uint_eq(bytes.size, 0);
    kv_buf_finish(&bytes);
    rig_finish(&rig);
}
END_TEST

START_TEST(the_exclusive_holder_is_told_while_there_is_one)
{
    struct rig rig;
    struct kv_buf holder = {0};

    rig_make(&rig, _i);
    ck_ok(rig.storage->ops->root_swap(rig.storage, 0, kv_slice_str("root")));
    ck_ok(rig.storage->ops->lease_holder(rig.storage, &holder));
    ck_assert(kv_slice_equal(kv_buf_slice(&holder), kv_slice_str("the test")));
    ck_ok(rig.storage->ops->lease_describe(rig.storage, "at /mnt"));
    ck_ok(rig.storage->ops->lease_holder(rig.storage, &holder));
    ck_assert(kv_slice_equal(kv_buf_slice(&holder), kv_slice_str("at /mnt")));
    ck_fails(rig.storage->ops->lease_acquire(rig.storage, KV_LEASE_EXCLUSIVE, "again"), EBUSY);
    rig_reopen(&rig, KV_LEASE_SHARED);
    ck_fails(rig.storage->ops->lease_holder(rig.storage, &holder), ENOENT);
    ck_fails(rig.storage->ops->lease_describe(rig.storage, "a reader"), EROFS);
    kv_buf_finish(&holder);
    rig_finish(&rig);
}
END_TEST

START_TEST(under_a_shared_lease_nothing_can_be_changed)
{
    struct rig rig;
    struct kv_log *log = NULL;
    struct kv_object_writer *writer = NULL;

    rig_make(&rig, _i);
    ck_ok(rig.storage->ops->root_swap(rig.storage, 0, kv_slice_str("root")));
    make_object(&rig, table_1, "kept");
    make_log(&rig, log_1, "kept");
    rig_reopen(&rig, KV_LEASE_SHARED);
    ck_fails(rig.storage->ops->log_create(rig.storage, log_2, 0, 0, &log), EROFS);
    ck_fails(rig.storage->ops->log_create(rig.storage, log_2, 1, 0, &log), EROFS);
    ck_fails(rig.storage->ops->object_begin(rig.storage, table_2, 0, &writer), EROFS);
    ck_fails(rig.storage->ops->object_discard(rig.storage, table_1, 0, 1), EROFS);
    ck_fails(rig.storage->ops->remove(rig.storage, table_1), EROFS);
    ck_fails(rig.storage->ops->root_swap(rig.storage, 1, kv_slice_str("x")), EROFS);
    rig_finish(&rig);
}
END_TEST

START_TEST(space_counts_what_the_store_holds)
{
    struct rig rig;
    struct kv_space before = {0};
    struct kv_space after = {0};

    rig_make(&rig, _i);
    ck_assert_ptr_nonnull(rig.storage->ops->name(rig.storage));
    int r = rig.storage->ops->space(rig.storage, &before);
    if (r == -EOPNOTSUPP) { /* it cannot tell, and says so */
        rig_finish(&rig);
        return;
    }
    ck_ok(r);
    make_object(&rig, table_1, "some bytes");
    ck_ok(rig.storage->ops->space(rig.storage, &after));
    ck_assert_uint_gt(after.used_bytes, before.used_bytes);
    ck_assert_uint_ge(after.total_bytes, after.free_bytes);
    ck_assert_uint_gt(after.free_bytes, 0);
    rig_finish(&rig);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 0);
    tcase_add_loop_test(tc, test, IMPLEMENTATION_FIRST, IMPLEMENTATION_COUNT);
    suite_add_tcase(s, tc);
}

Suite *test_suite(void)
{
    Suite *s = suite_create("storage");
    add(s, "log", an_appended_log_is_read_back_also_after_a_reopening);
    add(s, "log", a_preallocated_log_reads_only_what_was_appended);
    add(s, "log", a_recycled_log_takes_the_place_and_the_bytes_of_the_old_one);
    add(s, "log", a_log_is_never_created_over_another);
    add(s, "log", a_log_can_be_synced_and_read_beside_appends);
    add(s, "log", numbers_are_counted_per_kind);
    add(s, "log", a_log_that_a_crash_left_can_be_rewritten_and_goes_on_at_its_end);
    add(s, "blob", a_blob_is_read_as_an_object_while_it_grows_and_later);
    add(s, "object", an_object_is_visible_only_after_finish);
    add(s, "object", an_object_is_never_overwritten);
    add(s, "object", an_aborted_object_leaves_nothing_and_its_number_is_free);
    add(s, "object", an_object_written_in_random_pieces_is_the_same_at_any_offset);
    add(s, "object", what_is_open_stays_readable_after_it_was_removed);
    add(s, "log", a_log_removed_while_it_is_written_does_not_come_back);
    add(s, "object", a_discarded_range_reads_as_zeros);
    add(s, "object", a_linked_object_is_shared_and_not_discarded);
    add(s, "object", an_object_cannot_be_linked_into_another_kind_of_storage);
    add(s, "list", list_tells_every_log_and_finished_object);
    add(s, "root", the_root_is_swapped_only_from_the_expected_version);
    add(s, "root", a_root_of_the_largest_size_fits_and_a_larger_one_is_refused);
    add(s, "lease", the_exclusive_holder_is_told_while_there_is_one);
    add(s, "lease", under_a_shared_lease_nothing_can_be_changed);
    add(s, "space", space_counts_what_the_store_holds);
    return s;
}
