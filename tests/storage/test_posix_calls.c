/* SPDX-License-Identifier: Apache-2.0 */
/* storage_posix on system calls that fail, are interrupted or do less than they were asked. */
#include "tests/storage/posix_rig.h"

#include "kvcore/storage/posix_calls.h"

enum { TRACE_MAX = 32 };

/* What the calls do; all zero is as the system does. */
struct faults {
    bool interrupt;      /* every other call of those that can be is -EINTR */
    size_t transfer_max; /* a transfer moves at most this many bytes; 0: no limit */
    int write_error;     /* and the others likewise */
    int fdatasync_error;
    int fsync_error;
    int fallocate_error;
    int sync_range_error;      /* of those that wait */
    uint64_t begun, waited;    /* ends of the ranges that were asked to be written out */
    int write_out_fd, sync_fd; /* the descriptors that were used last */
    uint64_t dropped;          /* end of what the page cache was asked to drop */
    bool no_noreplace;         /* a file system without RENAME_NOREPLACE */
    unsigned call_count;
    char trace[TRACE_MAX + 1]; /* one letter per call that makes something durable or visible */
};

static bool interrupted(struct faults *faults)
{
    return faults->interrupt && faults->call_count++ % 2 == 0;
}

static void trace(struct faults *faults, char letter)
{
    size_t n = strlen(faults->trace);
    if (n < TRACE_MAX) {
        faults->trace[n] = letter;
    }
}

static int faulty_openat(void *arg, int dir, const char *name, int flags, mode_t mode)
{
    /* Opening the directories is not repeated: that cannot be interrupted. */
    if ((flags & O_DIRECTORY) == 0 && interrupted((struct faults *)arg)) {
        return -EINTR;
    }
    return posix_calls_real.openat(NULL, dir, name, flags, mode);
}

static ssize_t faulty_pread(void *arg, int fd, void *to, size_t size, uint64_t offset)
{
    struct faults *faults = (struct faults *)arg;
    if (interrupted(faults)) {
        return -EINTR;
    }
    if (faults->transfer_max > 0 && size > faults->transfer_max) {
        size = faults->transfer_max;
    }
    return posix_calls_real.pread(NULL, fd, to, size, offset);
}

static ssize_t faulty_pwritev(void *arg, int fd, const struct iovec *parts, int part_count,
                              uint64_t offset)
{
    struct faults *faults = (struct faults *)arg;
    if (interrupted(faults)) {
        return -EINTR;
    }
    if (faults->write_error < 0) {
        return faults->write_error;
    }
    trace(faults, 'w');
    if (faults->transfer_max == 0) {
        return posix_calls_real.pwritev(NULL, fd, parts, part_count, offset);
    }
    struct iovec first = parts[0];
    if (first.iov_len > faults->transfer_max) {
        first.iov_len = faults->transfer_max;
    }
    return posix_calls_real.pwritev(NULL, fd, &first, 1, offset);
}

static int faulty_fdatasync(void *arg, int fd)
{
    struct faults *faults = (struct faults *)arg;
    trace(faults, 's');
    faults->sync_fd = fd;
    return faults->fdatasync_error < 0 ? faults->fdatasync_error
                                       : posix_calls_real.fdatasync(NULL, fd);
}

static int faulty_fsync(void *arg, int fd)
{
    struct faults *faults = (struct faults *)arg;
    trace(faults, 'd');
    return faults->fsync_error < 0 ? faults->fsync_error : posix_calls_real.fsync(NULL, fd);
}

static int faulty_fallocate(void *arg, int fd, int mode, uint64_t offset, uint64_t size)
{
    struct faults *faults = (struct faults *)arg;
    if (interrupted(faults)) {
        return -EINTR;
    }
    return faults->fallocate_error < 0 ? faults->fallocate_error
                                       : posix_calls_real.fallocate(NULL, fd, mode, offset, size);
}

static int faulty_sync_range(void *arg, int fd, uint64_t offset, uint64_t size, bool wait)
{
    struct faults *faults = (struct faults *)arg;
    uint64_t *end = wait ? &faults->waited : &faults->begun;
    ck_assert_uint_eq(offset, *end); /* without gaps */
    *end = offset + size;
    faults->write_out_fd = fd;
    if (wait && faults->sync_range_error < 0) {
        return faults->sync_range_error;
    }
    return posix_calls_real.sync_range(NULL, fd, offset, size, wait);
}

static int faulty_fadvise(void *arg, int fd, uint64_t offset, uint64_t size, int advice)
{
    struct faults *faults = (struct faults *)arg;
    faults->dropped = advice == POSIX_FADV_DONTNEED ? offset + size : 0;
    return posix_calls_real.fadvise(NULL, fd, offset, size, advice);
}

static int faulty_rename(void *arg, int dir, const char *from, const char *to, unsigned flags)
{
    struct faults *faults = (struct faults *)arg;
    if (faults->no_noreplace && flags != 0) {
        return -EINVAL;
    }
    trace(faults, 'r');
    return posix_calls_real.rename(NULL, dir, from, to, flags);
}

struct rig {
    struct temp_dir dir;
    struct posix_calls calls;
    struct faults faults;
    struct kv_storage *storage;
};

static void rig_make(struct rig *rig)
{
    *rig = (struct rig){.calls = posix_calls_real};
    rig->calls.openat = faulty_openat;
    rig->calls.pread = faulty_pread;
    rig->calls.pwritev = faulty_pwritev;
    rig->calls.fdatasync = faulty_fdatasync;
    rig->calls.fsync = faulty_fsync;
    rig->calls.fallocate = faulty_fallocate;
    rig->calls.rename = faulty_rename;
    rig->calls.sync_range = faulty_sync_range;
    rig->calls.fadvise = faulty_fadvise;
    temp_dir_make(&rig->dir);
    ck_ok(storage_posix_open_with_calls(rig->dir.path, true, &rig->calls, &rig->faults,
                                        &rig->storage));
    ck_ok(rig->storage->ops->lease_acquire(rig->storage, KV_LEASE_EXCLUSIVE, "the test"));
    rig->faults = (struct faults){0};
}

static void rig_finish(struct rig *rig)
{
    rig_close(rig->storage);
    temp_dir_remove(&rig->dir);
}

static void expect_trace(struct rig *rig, const char *letters)
{
    ck_assert_str_eq(rig->faults.trace, letters);
    memset(rig->faults.trace, 0, sizeof rig->faults.trace);
}

START_TEST(names_and_bytes_are_made_durable_in_this_order)
{
    struct rig rig;
    struct kv_log *log = NULL;
    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;

    /* The first root: bytes, synced, named, the name synced, and that of the directory. */
    ck_ok(rig_swap(rig.storage, 0, "root"));
    expect_trace(&rig, "wsrdd");
    ck_ok(rig_swap(rig.storage, 1, "root"));
    expect_trace(&rig, "ws");
    ck_ok(rig_make_object(rig.storage, rig_table, "table"));
    expect_trace(&rig, "wsrd");
    /* Of a log: its name with its first sync, before the bytes. */
    ck_ok(ops->log_create(rig.storage, rig_log, 0, 4096, &log));
    ck_ok(rig_append(rig.storage, log, "one"));
    expect_trace(&rig, "w");
    ck_ok(ops->log_sync(log));
    expect_trace(&rig, "ds");
    ck_ok(ops->log_sync(log));
    expect_trace(&rig, "s");
    ops->log_close(log);
    ck_ok(ops->log_create(rig.storage, (struct kv_file_id){KV_FILE_LOG, 2}, 1, 0, &log));
    expect_trace(&rig, "r");
    ops->log_close(log);
    /* Or with an object's. */
    ck_ok(rig_make_object(rig.storage, (struct kv_file_id){KV_FILE_TABLE, 2}, "table"));
    expect_trace(&rig, "wsrd");
    ck_ok(ops->log_create(rig.storage, (struct kv_file_id){KV_FILE_LOG, 3}, 0, 0, &log));
    expect_trace(&rig, "");
    ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(only_the_newest_write_ahead_log_may_vanish_in_a_crash)
{
    struct rig rig;
    struct kv_log *logs[3] = {NULL};
    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;

    ck_ok(ops->log_create(rig.storage, rig_log, 0, 0, &logs[0]));
    ck_ok(ops->log_create(rig.storage, (struct kv_file_id){KV_FILE_BLOB, 1}, 0, 0, &logs[1]));
    expect_trace(&rig, ""); /* a blob may come and go */
    ck_ok(ops->log_create(rig.storage, (struct kv_file_id){KV_FILE_LOG, 2}, 0, 0, &logs[2]));
    expect_trace(&rig, "d");
    for (int i = 0; i < 3; i++) {
        ops->log_close(logs[i]);
    }
    rig_finish(&rig);
}
END_TEST

START_TEST(interrupted_and_short_transfers_are_continued)
{
    struct rig rig;
    struct kv_log *log = NULL;
    struct kv_object *object = NULL;
    struct iovec parts[100];
    char bytes[200];
    size_t size = 0;

    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;
    rig.faults.interrupt = true;
    rig.faults.transfer_max = 3;
    for (size_t i = 0; i < 100; i++) {
        parts[i] = (struct iovec){.iov_base = (void *)(uintptr_t) "abcdefg", .iov_len = i % 8};
    }
    ck_ok(ops->log_create(rig.storage, rig_log, 0, 4096, &log));
    ck_ok(ops->log_append(log, parts, 100));
    ck_assert_uint_eq(ops->log_size(log), 12 * 28 + 0 + 1 + 2 + 3);
    ck_ok(ops->log_read(log, 28, bytes, 28, &size));
    ck_assert_uint_eq(size, 28);
    ck_assert_mem_eq(bytes, "aababcabcdabcdeabcdefabcdefg", 28);
    ops->log_close(log);
    ck_ok(rig_make_object(rig.storage, rig_table, "an object in small pieces"));
    ck_ok(ops->object_open(rig.storage, rig_table, &object));
    ck_ok(ops->object_read(object, 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, 25);
    ck_assert_mem_eq(bytes, "an object in small pieces", 25);
    ops->object_close(object);
    rig_finish(&rig);
}
END_TEST

START_TEST(after_a_failed_append_the_log_takes_no_more_but_what_stands_can_be_synced_and_read)
{
    struct rig rig;
    struct kv_log *log = NULL;
    char bytes[8];
    size_t size = 0;

    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;
    ck_ok(ops->log_create(rig.storage, rig_log, 0, 0, &log));
    ck_ok(rig_append(rig.storage, log, "good"));
    rig.faults.write_error = -ENOSPC;
    ck_fails(rig_append(rig.storage, log, "bad"), ENOSPC);
    rig.faults.write_error = 0;
    ck_fails(rig_append(rig.storage, log, "more"), EIO);
    ck_assert_uint_eq(ops->log_size(log), 4);
    ck_ok(ops->log_sync(log));
    ck_ok(ops->log_read(log, 0, bytes, sizeof bytes, &size));
    ck_assert_uint_eq(size, 4);
    ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_failed_sync_is_reported_and_never_tried_again)
{
    struct rig rig;
    struct kv_log *log = NULL;

    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;
    ck_ok(ops->log_create(rig.storage, rig_log, 0, 0, &log));
    ck_ok(rig_append(rig.storage, log, "text"));
    memset(rig.faults.trace, 0, sizeof rig.faults.trace);
    rig.faults.fdatasync_error = -EIO;
    ck_fails(ops->log_sync(log), EIO);
    rig.faults.fdatasync_error = 0;
    ck_fails(ops->log_sync(log), EIO);
    ck_fails(rig_append(rig.storage, log, "more"), EIO);
    expect_trace(&rig, "ds");
    ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

enum { STREAM_BYTES = 24 << 20, STREAM_STEP = 100 * 1000 };

/* Append a stream to a blob; the first error. */
static int append_stream(struct rig *rig, struct kv_log *log)
{
    static uint8_t bytes[STREAM_STEP];
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
    int r = 0;

    for (uint64_t done = 0; r == 0 && done < STREAM_BYTES; done += STREAM_STEP) {
        r = rig->storage->ops->log_append(log, &part, 1);
        rig->storage->ops->log_write_out(log);
        uint64_t size = rig->storage->ops->log_size(log);
        ck_assert_uint_le(size, rig->faults.begun + (1 << 20) + STREAM_STEP + (64 << 10));
        ck_assert_uint_le(size, rig->faults.waited + (6 << 20));
        ck_assert_uint_eq(rig->faults.waited, rig->faults.dropped);
    }
    return r;
}

START_TEST(a_stream_into_a_blob_never_has_much_that_is_not_written_out)
{
    struct rig rig;
    struct kv_file_id id = {KV_FILE_BLOB, 1};
    struct kv_log *log = NULL;

    rig_make(&rig);
    ck_ok(rig.storage->ops->log_create(rig.storage, id, 0, 0, &log));
    ck_ok(append_stream(&rig, log));
    ck_assert_uint_gt(rig.faults.waited, 0);
    ck_ok(rig.storage->ops->log_sync(log));
    /* The kernel tells an error once through each: write-out must not take it from a sync. */
    ck_assert_int_ne(rig.faults.write_out_fd, rig.faults.sync_fd);
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(an_error_of_writing_out_a_blob_counts_as_a_failed_sync)
{
    struct rig rig;
    struct kv_file_id id = {KV_FILE_BLOB, 1};
    struct kv_log *log = NULL;

    rig_make(&rig);
    ck_ok(rig.storage->ops->log_create(rig.storage, id, 0, 0, &log));
    rig.faults.sync_range_error = -EIO; /* the kernel reports it once */
    ck_fails(append_stream(&rig, log), EIO);
    rig.faults.sync_range_error = 0;
    ck_fails(rig.storage->ops->log_sync(log), EIO);
    ck_fails(rig_append(rig.storage, log, "more"), EIO);
    rig.storage->ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(an_object_that_cannot_be_synced_or_named_does_not_appear)
{
    struct rig rig;
    rig_make(&rig);
    rig.faults.fdatasync_error = -EIO;
    ck_fails(rig_make_object(rig.storage, rig_table, "text"), EIO);
    rig.faults.fdatasync_error = 0;
    rig.faults.fsync_error = -EIO;
    ck_fails(rig_make_object(rig.storage, rig_table, "text"), EIO);
    rig.faults.fsync_error = 0;
    rig.faults.write_error = -ENOSPC;
    ck_fails(rig_make_object(rig.storage, rig_table, "text"), ENOSPC);
    rig.faults.write_error = 0;
    ck_assert(!rig_exists(&rig.dir, "00000001.table"));
    ck_assert(!rig_exists(&rig.dir, "00000001.table.tmp"));
    ck_ok(rig_make_object(rig.storage, rig_table, "text"));
    rig_finish(&rig);
}
END_TEST

START_TEST(a_failed_write_of_an_object_is_not_forgotten_at_finish)
{
    struct rig rig;
    struct kv_object_writer *writer = NULL;
    static uint8_t large[512 * 1024];
    struct iovec part = {.iov_base = large, .iov_len = sizeof large};

    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;
    ck_ok(ops->object_begin(rig.storage, rig_table, 0, &writer));
    rig.faults.write_error = -EIO;
    ck_fails(ops->object_write(writer, &part, 1), EIO);
    rig.faults.write_error = 0;
    ck_fails(ops->object_write(writer, &part, 1), EIO);
    ck_fails(ops->object_finish(writer), EIO);
    ck_assert(!rig_exists(&rig.dir, "00000001.table"));
    ck_assert(!rig_exists(&rig.dir, "00000001.table.tmp"));
    rig_finish(&rig);
}
END_TEST

START_TEST(a_log_without_room_to_preallocate_is_not_left_behind)
{
    struct rig rig;
    struct kv_log *log = NULL;
    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;
    rig.faults.fallocate_error = -ENOSPC;
    ck_fails(ops->log_create(rig.storage, rig_log, 0, 4096, &log), ENOSPC);
    ck_assert(!rig_exists(&rig.dir, "00000001.log"));
    /* A file system that cannot preallocate is fine. */
    rig.faults.fallocate_error = -EOPNOTSUPP;
    ck_ok(ops->log_create(rig.storage, rig_log, 0, 4096, &log));
    ops->log_close(log);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_log_whose_name_could_not_be_made_durable_is_never_called_durable)
{
    struct rig rig;
    struct kv_log *log = NULL;
    struct kv_log *next = NULL;
    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;

    ck_ok(ops->log_create(rig.storage, rig_log, 0, 0, &log));
    rig.faults.fsync_error = -EIO;
    ck_fails(ops->log_sync(log), EIO);
    ck_fails(ops->log_create(rig.storage, (struct kv_file_id){KV_FILE_LOG, 2}, 0, 0, &next), EIO);
    ck_assert(!rig_exists(&rig.dir, "00000002.log"));
    expect_trace(&rig, "dd");
    rig.faults.fsync_error = 0;
    ck_fails(ops->log_sync(log), EIO);
    expect_trace(&rig, "");
    ops->log_close(log);
    ck_ok(ops->log_create(rig.storage, (struct kv_file_id){KV_FILE_LOG, 2}, 0, 0, &next));
    ck_ok(ops->log_sync(next));
    expect_trace(&rig, "dds");
    ops->log_close(next);
    rig_finish(&rig);
}
END_TEST

START_TEST(without_noreplace_existing_files_are_kept_all_the_same)
{
    struct rig rig;
    struct kv_log *log = NULL;
    struct kv_file_id second = {KV_FILE_LOG, 2};
    rig_make(&rig);
    const struct kv_storage_ops *ops = rig.storage->ops;
    rig.faults.no_noreplace = true;
    ck_ok(rig_swap(rig.storage, 0, "root"));
    ck_ok(rig_make_object(rig.storage, rig_table, "table"));
    ck_ok(ops->log_create(rig.storage, rig_log, 0, 0, &log));
    ops->log_close(log);
    ck_ok(ops->log_create(rig.storage, second, 0, 0, &log));
    ops->log_close(log);
    ck_fails(ops->log_create(rig.storage, rig_log, 2, 0, &log), EEXIST);
    ck_assert(rig_exists(&rig.dir, "00000002.log"));
    ck_ok(ops->log_create(rig.storage, (struct kv_file_id){KV_FILE_LOG, 3}, 2, 0, &log));
    ops->log_close(log);
    ck_assert(!rig_exists(&rig.dir, "00000002.log"));
    rig_finish(&rig);
}
END_TEST

START_TEST(a_root_that_could_not_be_synced_is_written_again_before_it_is_built_upon)
{
    struct rig rig;
    rig_make(&rig);
    ck_ok(rig_swap(rig.storage, 0, "one"));
    rig.faults.fdatasync_error = -EIO;
    ck_fails(rig_swap(rig.storage, 1, "two"), EIO);
    memset(rig.faults.trace, 0, sizeof rig.faults.trace);
    rig_expect_root(rig.storage, "two", 2);
    ck_fails(rig_swap(rig.storage, 1, "three"), ESTALE);
    ck_fails(rig_swap(rig.storage, 2, "three"), EIO);
    expect_trace(&rig, "ws");
    rig.faults.fdatasync_error = 0;
    ck_ok(rig_swap(rig.storage, 2, "three"));
    expect_trace(&rig, "wsddws");
    rig_expect_root(rig.storage, "three", 3);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_first_root_that_failed_leaves_no_store)
{
    struct rig rig;
    struct kv_buf bytes = {0};
    uint64_t version = 0;
    rig_make(&rig);
    rig.faults.fdatasync_error = -EIO;
    ck_fails(rig_swap(rig.storage, 0, "one"), EIO);
    rig.faults.fdatasync_error = 0;
    ck_fails(rig.storage->ops->root_read(rig.storage, &bytes, &version), ENOENT);
    ck_assert(!rig_exists(&rig.dir, "ROOT.tmp"));
    ck_ok(rig_swap(rig.storage, 0, "another file")); /* so no sync is tried again */
    rig_finish(&rig);
}
END_TEST

START_TEST(the_first_swap_after_opening_makes_durable_what_a_dead_process_may_have_left)
{
    struct rig rig;
    rig_make(&rig);
    ck_ok(rig_swap(rig.storage, 0, "one"));
    rig_close(rig.storage);
    ck_ok(
        storage_posix_open_with_calls(rig.dir.path, false, &rig.calls, &rig.faults, &rig.storage));
    memset(rig.faults.trace, 0, sizeof rig.faults.trace);
    ck_ok(rig_swap(rig.storage, 1, "two"));
    expect_trace(&rig, "wsddws");
    ck_ok(rig_swap(rig.storage, 2, "three"));
    expect_trace(&rig, "ws");
    /* A write that failed may have left a newer record all the same. */
    rig.faults.write_error = -EIO;
    ck_fails(rig_swap(rig.storage, 3, "x"), EIO);
    rig.faults.write_error = 0;
    ck_ok(rig_swap(rig.storage, 3, "four"));
    expect_trace(&rig, "wsddws");
    rig_expect_root(rig.storage, "four", 4);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_writer_makes_durable_the_names_that_it_finds)
{
    struct rig rig;
    rig_make(&rig);
    rig_close(rig.storage);
    ck_ok(
        storage_posix_open_with_calls(rig.dir.path, false, &rig.calls, &rig.faults, &rig.storage));
    memset(rig.faults.trace, 0, sizeof rig.faults.trace);
    rig.faults.fsync_error = -EIO;
    const struct kv_storage_ops *ops = rig.storage->ops;
    ck_fails(ops->lease_acquire(rig.storage, KV_LEASE_EXCLUSIVE, "the test"), EIO);
    rig.faults.fsync_error = 0;
    ck_ok(ops->lease_acquire(rig.storage, KV_LEASE_EXCLUSIVE, "the test"));
    expect_trace(&rig, "wdwd");
    rig_finish(&rig);
}
END_TEST

START_TEST(a_first_root_whose_name_could_not_be_synced_is_not_built_upon)
{
    struct rig rig;
    rig_make(&rig);
    rig.faults.fsync_error = -EIO;
    ck_fails(rig_swap(rig.storage, 0, "one"), EIO);
    rig.faults.fsync_error = 0;
    ck_fails(rig_swap(rig.storage, 1, "two"), EIO);
    rig_finish(&rig);
}
END_TEST

START_TEST(a_full_disk_does_not_keep_a_writer_from_opening)
{
    struct rig rig;
    rig_make(&rig);
    rig_close(rig.storage);
    ck_ok(
        storage_posix_open_with_calls(rig.dir.path, false, &rig.calls, &rig.faults, &rig.storage));
    const struct kv_storage_ops *ops = rig.storage->ops;
    rig.faults.write_error = -ENOSPC;
    ck_ok(ops->lease_acquire(rig.storage, KV_LEASE_EXCLUSIVE, "the test"));
    rig_finish(&rig);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("posix_calls");
    suite_add(s, "order", names_and_bytes_are_made_durable_in_this_order);
    suite_add(s, "order", only_the_newest_write_ahead_log_may_vanish_in_a_crash);
    suite_add(s, "transfers", interrupted_and_short_transfers_are_continued);
    suite_add(s, "log",
              after_a_failed_append_the_log_takes_no_more_but_what_stands_can_be_synced_and_read);
    suite_add(s, "log", a_failed_sync_is_reported_and_never_tried_again);
    suite_add(s, "log", a_log_without_room_to_preallocate_is_not_left_behind);
    suite_add(s, "log", a_log_whose_name_could_not_be_made_durable_is_never_called_durable);
    suite_add(s, "blob", a_stream_into_a_blob_never_has_much_that_is_not_written_out);
    suite_add(s, "blob", an_error_of_writing_out_a_blob_counts_as_a_failed_sync);
    suite_add(s, "object", an_object_that_cannot_be_synced_or_named_does_not_appear);
    suite_add(s, "object", a_failed_write_of_an_object_is_not_forgotten_at_finish);
    suite_add(s, "rename", without_noreplace_existing_files_are_kept_all_the_same);
    suite_add(s, "root", a_root_that_could_not_be_synced_is_written_again_before_it_is_built_upon);
    suite_add(s, "root", a_first_root_that_failed_leaves_no_store);
    suite_add(s, "root",
              the_first_swap_after_opening_makes_durable_what_a_dead_process_may_have_left);
    suite_add(s, "root", a_first_root_whose_name_could_not_be_synced_is_not_built_upon);
    suite_add(s, "lease", a_writer_makes_durable_the_names_that_it_finds);
    suite_add(s, "lease", a_full_disk_does_not_keep_a_writer_from_opening);
    return s;
}
