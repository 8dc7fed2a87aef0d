/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/core/contents.h"
#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO, CHUNK = FORMAT_CHUNK_BYTES };

static void set_size(struct fs_fixture *f, uint64_t ino, uint64_t size)
{
    struct kvfs_entry e;
    struct stat attr = {.st_size = (off_t)size};
    ck_ok(kvfs_setattr(f->fs, ino, &attr, KVFS_SET_SIZE, &e));
}

START_TEST(short_appends_become_few_extents)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "log");
    for (unsigned i = 0; i < 100; i++) {
        ck_ok(kvfs_write(f.fs, ino, 0, kv_slice_str("line of a log\n"), true, false));
    }
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_size, 1400);
    ck_assert_uint_le(fixture_count_rows(&f, "data", ROW_EXTENT), 4);
    fixture_close(&f);
}
END_TEST

START_TEST(scattered_writes_leave_few_extents_in_a_chunk)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    for (unsigned i = 0; i < 200; i++) {
        fixture_write(&f, ino, (i * 7919) % 30000, "xyz");
        ck_assert_uint_le(fixture_count_rows(&f, "data", ROW_EXTENT), CHUNK_PIECES_MAX);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(extents_end_at_chunks)
{
    struct fs_fixture f;
    uint8_t *bytes = malloc(KVFS_WRITE_SIZE_MAX);
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    memset(bytes, 5, KVFS_WRITE_SIZE_MAX);
    ck_ok(kvfs_write(f.fs, ino, 100, kv_slice(bytes, KVFS_WRITE_SIZE_MAX), false, false));
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 33);
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_blocks, KVFS_WRITE_SIZE_MAX / 512);
    ck_fails(kvfs_write(f.fs, ino, 0, kv_slice(bytes, KVFS_WRITE_SIZE_MAX + 1), false, false),
             EINVAL);
    free(bytes);
    fixture_close(&f);
}
END_TEST

START_TEST(truncation_never_shows_old_bytes_again)
{
    struct fs_fixture f;
    struct kv_buf buf = {0};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    fixture_write(&f, ino, 0, "secret");
    set_size(&f, ino, 2);
    set_size(&f, ino, 6);
    ck_ok(kvfs_read(f.fs, ino, 0, 100, &buf));
    ck_assert_uint_eq(buf.size, 6);
    ck_assert_mem_eq(buf.data, "se\0\0\0\0", 6);
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_blocks, 1);
    set_size(&f, ino, 0);
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_blocks, 0);
    kv_buf_finish(&buf);
    fixture_close(&f);
}
END_TEST

START_TEST(holes_are_found_and_cost_nothing)
{
    struct fs_fixture f;
    uint64_t at;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "sparse");
    fixture_write(&f, ino, (uint64_t)1 << 40, "end");
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_blocks, 1);
    fixture_write(&f, ino, CHUNK, "middle");
    ck_ok(kvfs_seek(f.fs, ino, 0, SEEK_DATA, &at));
    ck_assert_uint_eq(at, CHUNK);
    ck_ok(kvfs_seek(f.fs, ino, CHUNK + 1, SEEK_DATA, &at));
    ck_assert_uint_eq(at, CHUNK + 1);
    ck_ok(kvfs_seek(f.fs, ino, CHUNK + 1, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, CHUNK + 6);
    ck_ok(kvfs_seek(f.fs, ino, CHUNK + 6, SEEK_DATA, &at));
    ck_assert_uint_eq(at, (uint64_t)1 << 40);
    ck_ok(kvfs_seek(f.fs, ino, at, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, ((uint64_t)1 << 40) + 3);
    ck_fails(kvfs_seek(f.fs, ino, at, SEEK_DATA, &at), ENXIO);
    ck_fails(kvfs_seek(f.fs, ino, 0, SEEK_SET, &at), EINVAL);
    set_size(&f, ino, (uint64_t)1 << 41);
    ck_fails(kvfs_seek(f.fs, ino, ((uint64_t)1 << 40) + 3, SEEK_DATA, &at), ENXIO);
    fixture_close(&f);
}
END_TEST

START_TEST(punching_makes_holes_and_zeroing_may_grow)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    fixture_write(&f, ino, 0, "0123456789");
    ck_ok(kvfs_fallocate(f.fs, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
    struct kv_buf buf = {0};
    ck_ok(kvfs_read(f.fs, ino, 0, 10, &buf));
    ck_assert_mem_eq(buf.data,
                     "01\0\0\0"
                     "56789",
                     10);
    ck_ok(kvfs_fallocate(f.fs, ino, FALLOC_FL_ZERO_RANGE, 8, 10));
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_size, 18);
    ck_ok(kvfs_fallocate(f.fs, ino, FALLOC_FL_KEEP_SIZE, 0, 100));
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_size, 18);
    ck_ok(kvfs_fallocate(f.fs, ino, 0, 0, 100));
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_size, 100);
    ck_fails(kvfs_fallocate(f.fs, ino, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
    ck_fails(kvfs_fallocate(f.fs, ino, FALLOC_FL_COLLAPSE_RANGE, 0, 1), EOPNOTSUPP);
    ck_fails(kvfs_fallocate(f.fs, ino, 0, 0, 0), EINVAL);
    ck_fails(kvfs_fallocate(f.fs, ino, 0, KVFS_FILE_SIZE_MAX, 1), EFBIG);
    kv_buf_finish(&buf);
    fixture_close(&f);
}
END_TEST

START_TEST(sizes_have_a_limit)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct stat attr = {.st_size = (off_t)(KVFS_FILE_SIZE_MAX + 1)};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    ck_fails(kvfs_write(f.fs, ino, KVFS_FILE_SIZE_MAX, kv_slice("x", 1), false, false), EFBIG);
    ck_fails(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_SIZE, &e), EFBIG);
    attr.st_size = -1;
    ck_fails(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_SIZE, &e), EINVAL);
    ck_fails(kvfs_setattr(f.fs, ROOT, &attr, KVFS_SET_SIZE, &e), EISDIR);
    fixture_write(&f, ino, KVFS_FILE_SIZE_MAX - 1, "x");
    ck_assert_uint_eq((uint64_t)fixture_stat(&f, ino).stat.st_size, KVFS_FILE_SIZE_MAX);
    fixture_close(&f);
}
END_TEST

enum { HUGE_ROWS = 20000 };

/* A file with one byte at the end of every chunk, made below the filesystem to be quick. */
static uint64_t make_huge(struct fs_fixture *f)
{
    struct kv_batch *batch = NULL;
    struct rowkey key;
    uint8_t value[DIRENT_SIZE_MAX];
    struct inode inode = {.mode = S_IFREG | 0600,
                          .nlink = 1,
                          .size = (uint64_t)HUGE_ROWS * CHUNK,
                          .allocated = HUGE_ROWS};
    struct kv_slice name = kv_slice_str("huge");
    struct kv_table *meta = fixture_table(f, "meta");
    struct kv_table *data = fixture_table(f, "data");
    uint64_t ino = fixture_file(f, ROOT, "huge");
    ck_ok(kv_batch_create(&batch));
    for (uint64_t i = 1; i <= HUGE_ROWS; i++) {
        rowkey_extent(&key, ino, i * CHUNK);
        ck_ok(kv_batch_put(batch, data, rowkey_slice(&key), kv_slice("x", 1)));
    }
    rowkey_dirent(&key, ROOT, name);
    size_t size = dirent_encode_inode(value, ino, &inode);
    ck_ok(kv_batch_put(batch, meta, rowkey_slice(&key), kv_slice(value, size)));
    rowkey_backptr(&key, ino);
    size = backptr_encode(value, ROOT, name, &inode);
    ck_ok(kv_batch_put(batch, meta, rowkey_slice(&key), kv_slice(value, size)));
    ck_ok(kv_write(kvfs_store(f->fs), batch, KV_DURABLE_WRITE));
    kv_batch_destroy(batch);
    fixture_reopen(f);
    return ino;
}

START_TEST(a_truncation_removes_many_extents_by_their_range)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = make_huge(&f);
    set_size(&f, ino, 3 * CHUNK);
    ck_assert_int_eq(fixture_stat(&f, ino).stat.st_size, 3 * CHUNK);
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 3);
    fixture_close(&f);
}
END_TEST

START_TEST(punching_removes_many_extents_by_their_range)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = make_huge(&f);
    ck_ok(kvfs_fallocate(f.fs, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, CHUNK,
                         (uint64_t)(HUGE_ROWS - 2) * CHUNK));
    ck_assert_uint_eq((uint64_t)fixture_stat(&f, ino).stat.st_size, (uint64_t)HUGE_ROWS * CHUNK);
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 2);
    fixture_close(&f);
}
END_TEST

static uint64_t rows_written(struct fs_fixture *f)
{
    struct kv_stats stats;
    kv_stats(kvfs_store(f->fs), &stats);
    return stats.rows_written;
}

START_TEST(a_file_of_many_extents_is_replaced_by_key_and_unlinked)
{
    struct fs_fixture f;
    fixture_open(&f);
    make_huge(&f);
    uint64_t before = rows_written(&f);
    ck_ok(kvfs_key_put(f.fs, &fixture_who, kv_slice_str("huge"), kv_slice("x", 1)));
    ck_assert_uint_lt(rows_written(&f) - before, 40);
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 1);
    ck_ok(kvfs_unlink(f.fs, ROOT, "huge"));
    make_huge(&f);
    before = rows_written(&f);
    ck_ok(kvfs_unlink(f.fs, ROOT, "huge"));
    ck_assert_uint_lt(rows_written(&f) - before, 40);
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(an_open_that_truncates_clears_setuid_when_told_to)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kvfs_file *file;
    struct stat attr = {.st_mode = 06755};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    ck_ok(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_MODE, &e));
    ck_ok(kvfs_file_open(f.fs, ino, O_WRONLY | O_TRUNC, &file));
    kvfs_file_close(file);
    ck_assert_uint_eq(fixture_stat(&f, ino).stat.st_mode, S_IFREG | 06755);
    ck_ok(kvfs_file_open(f.fs, ino, O_WRONLY | O_TRUNC | KVFS_OPEN_KILL_PRIV, &file));
    kvfs_file_close(file);
    ck_assert_uint_eq(fixture_stat(&f, ino).stat.st_mode, S_IFREG | 0755);
    fixture_close(&f);
}
END_TEST

START_TEST(writing_and_chown_clear_setuid)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct stat attr = {.st_mode = 06755, .st_uid = 5};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    ck_ok(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_MODE, &e));
    ck_ok(kvfs_write(f.fs, ino, 0, kv_slice("x", 1), false, false));
    ck_assert_uint_eq(fixture_stat(&f, ino).stat.st_mode, S_IFREG | 06755);
    ck_ok(kvfs_write(f.fs, ino, 0, kv_slice("x", 1), false, true));
    ck_assert_uint_eq(fixture_stat(&f, ino).stat.st_mode, S_IFREG | 0755);
    attr.st_mode = 06744; /* setgid without group execution is mandatory locking: it stays */
    ck_ok(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_MODE, &e));
    ck_ok(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_UID | KVFS_KILL_PRIV, &e));
    ck_assert_uint_eq(e.stat.st_mode, S_IFREG | 02744);
    ck_assert_uint_eq(e.stat.st_uid, 5);
    fixture_close(&f);
}
END_TEST

START_TEST(times_are_set_as_asked)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct stat attr = {.st_atim = {.tv_sec = -5, .tv_nsec = 6},
                        .st_mtim = {.tv_sec = 7, .tv_nsec = 8},
                        .st_ctim = {.tv_sec = 9, .tv_nsec = 10}};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    ck_ok(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_ATIME | KVFS_SET_MTIME | KVFS_SET_CTIME, &e));
    fixture_reopen(&f);
    e = fixture_stat(&f, ino);
    ck_assert(e.stat.st_atim.tv_sec == -5 && e.stat.st_atim.tv_nsec == 6);
    ck_assert(e.stat.st_mtim.tv_sec == 7 && e.stat.st_mtim.tv_nsec == 8);
    ck_assert(e.stat.st_ctim.tv_sec == 9 && e.stat.st_ctim.tv_nsec == 10);
    ck_ok(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_ATIME_NOW | KVFS_SET_MTIME_NOW, &e));
    ck_assert_int_gt(e.stat.st_atim.tv_sec, 1000000000);
    ck_assert_int_eq(e.stat.st_mtim.tv_sec, e.stat.st_ctim.tv_sec);
    attr.st_mtim.tv_nsec = 1000000000;
    ck_fails(kvfs_setattr(f.fs, ino, &attr, KVFS_SET_MTIME, &e), EINVAL);
    fixture_close(&f);
}
END_TEST

static struct timespec access_time(struct fs_fixture *f, uint64_t ino)
{
    return fixture_stat(f, ino).stat.st_atim;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Changed and read so many hours ago. */
static void set_hours(struct fs_fixture *f, uint64_t ino, int changed, int read)
{
    struct kvfs_entry e;
    time_t now = time(NULL);
    struct stat attr = {.st_atim.tv_sec = now - read * 3600,
                        .st_mtim.tv_sec = now - changed * 3600};
    attr.st_ctim = attr.st_mtim;
    ck_ok(kvfs_setattr(f->fs, ino, &attr, KVFS_SET_ATIME | KVFS_SET_MTIME | KVFS_SET_CTIME, &e));
}

START_TEST(reading_is_noted_once_after_a_change_and_once_a_day)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    struct stat made = fixture_stat(&f, ino).stat;
    kvfs_note_read(f.fs, ino);
    struct timespec first = access_time(&f, ino);
    ck_assert(first.tv_sec > made.st_atim.tv_sec || first.tv_nsec > made.st_atim.tv_nsec);
    ck_assert(same_time(fixture_stat(&f, ino).stat.st_ctim, made.st_ctim));
    kvfs_note_read(f.fs, ino);
    fixture_reopen(&f);
    ck_assert(same_time(access_time(&f, ino), first));
    set_hours(&f, ino, 100, 23);
    kvfs_note_read(f.fs, ino);
    ck_assert_int_lt(access_time(&f, ino).tv_sec, first.tv_sec);
    set_hours(&f, ino, 100, 25);
    kvfs_note_read(f.fs, ino);
    ck_assert_int_ge(access_time(&f, ino).tv_sec, first.tv_sec);
    set_hours(&f, ino, 1, 2);
    kvfs_note_read(f.fs, ino);
    ck_assert_int_ge(access_time(&f, ino).tv_sec, first.tv_sec);
    ck_ok(kvfs_setflags(f.fs, ino, FS_NOATIME_FL));
    set_hours(&f, ino, 1, 2);
    kvfs_note_read(f.fs, ino);
    ck_assert_int_lt(access_time(&f, ino).tv_sec, first.tv_sec);
    fixture_close(&f);
}
END_TEST

START_TEST(attributes_of_all_name_spaces_come_back)
{
    struct fs_fixture f;
    struct kv_buf buf = {0};
    char name[300];
    uint8_t *value = calloc(1, 65537);
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    ck_fails(kvfs_getxattr(f.fs, ino, "user.a", &buf), ENODATA);
    ck_ok(kvfs_setxattr(f.fs, ino, "user.a", kv_slice("1", 1), XATTR_CREATE));
    ck_fails(kvfs_setxattr(f.fs, ino, "user.a", kv_slice("2", 1), XATTR_CREATE), EEXIST);
    ck_ok(kvfs_setxattr(f.fs, ino, "user.a", kv_slice("", 0), XATTR_REPLACE));
    ck_fails(kvfs_setxattr(f.fs, ino, "user.b", kv_slice("2", 1), XATTR_REPLACE), ENODATA);
    ck_ok(kvfs_setxattr(f.fs, ino, "trusted.t", kv_slice(value, 65536), 0));
    ck_ok(kvfs_setxattr(f.fs, ino, "security.s", kv_slice("3", 1), 0));
    ck_fails(kvfs_setxattr(f.fs, ino, "user.big", kv_slice(value, 65537), 0), E2BIG);
    ck_fails(kvfs_getxattr(f.fs, ino, "security.selinux", &buf), EOPNOTSUPP);
    ck_fails(kvfs_setxattr(f.fs, ino, "nospace", kv_slice("3", 1), 0), EOPNOTSUPP);
    ck_fails(kvfs_setxattr(f.fs, ino, "user.", kv_slice("3", 1), 0), EINVAL);
    snprintf(name, sizeof name, "user.%0255d", 0);
    ck_fails(kvfs_setxattr(f.fs, ino, name, kv_slice("3", 1), 0), ERANGE);
    fixture_reopen(&f);
    ck_ok(kvfs_getxattr(f.fs, ino, "user.a", &buf));
    ck_assert_uint_eq(buf.size, 0);
    ck_ok(kvfs_getxattr(f.fs, ino, "trusted.t", &buf));
    ck_assert_uint_eq(buf.size, 65536);
    ck_ok(kvfs_listxattr(f.fs, ino, &buf));
    ck_assert(kv_slice_equal(kv_buf_slice(&buf), kv_slice("security.s\0trusted.t\0user.a", 28)));
    ck_ok(kvfs_removexattr(f.fs, ino, "user.a"));
    ck_fails(kvfs_removexattr(f.fs, ino, "user.a"), ENODATA);
    ck_ok(kvfs_unlink(f.fs, ROOT, "f"));
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_XATTR), 0);
    kv_buf_finish(&buf);
    free(value);
    fixture_close(&f);
}
END_TEST

START_TEST(wrong_kinds_are_refused)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kvfs_file *file = NULL;
    struct kvfs_dir *dir = NULL;
    struct kv_buf buf = {0};
    fixture_open(&f);
    ck_ok(kvfs_symlink(f.fs, &fixture_who, ROOT, "link", "target", &e));
    ck_ok(kvfs_readlink(f.fs, e.ino, &buf));
    ck_assert(kv_slice_equal(kv_buf_slice(&buf), kv_slice_str("target")));
    ck_fails(kvfs_readlink(f.fs, ROOT, &buf), EINVAL);
    ck_fails(kvfs_read(f.fs, ROOT, 0, 1, &buf), EISDIR);
    ck_fails(kvfs_write(f.fs, ROOT, 0, kv_slice("x", 1), false, false), EISDIR);
    ck_fails(kvfs_file_open(f.fs, ROOT, O_RDONLY, &file), EISDIR);
    ck_fails(kvfs_file_open(f.fs, e.ino, O_RDONLY, &file), ELOOP);
    ck_fails(kvfs_dir_open(f.fs, e.ino, &dir), ENOTDIR);
    kv_buf_finish(&buf);
    fixture_close(&f);
}
END_TEST

START_TEST(under_a_write_back_cache_writing_leaves_the_times)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    struct kvfs_entry before = fixture_stat(&f, ino);
    kvfs_keep_sizes(f.fs);
    fixture_write(&f, ino, 0, "text");
    struct kvfs_entry after = fixture_stat(&f, ino);
    ck_assert_int_eq(after.stat.st_size, 4);
    ck_assert_int_eq(after.stat.st_mtim.tv_nsec, before.stat.st_mtim.tv_nsec);
    ck_assert_int_eq(after.stat.st_ctim.tv_nsec, before.stat.st_ctim.tv_nsec);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_file");
    suite_add(suite, "write-back cache", under_a_write_back_cache_writing_leaves_the_times);
    suite_add(suite, "append", short_appends_become_few_extents);
    suite_add(suite, "scattered", scattered_writes_leave_few_extents_in_a_chunk);
    suite_add(suite, "chunks", extents_end_at_chunks);
    suite_add(suite, "truncate", truncation_never_shows_old_bytes_again);
    suite_add(suite, "holes", holes_are_found_and_cost_nothing);
    suite_add(suite, "punch", punching_makes_holes_and_zeroing_may_grow);
    suite_add(suite, "limit", sizes_have_a_limit);
    suite_add(suite, "huge", a_truncation_removes_many_extents_by_their_range);
    suite_add(suite, "huge_punch", punching_removes_many_extents_by_their_range);
    suite_add(suite, "huge_put", a_file_of_many_extents_is_replaced_by_key_and_unlinked);
    suite_add(suite, "setuid", writing_and_chown_clear_setuid);
    suite_add(suite, "setuid in opens", an_open_that_truncates_clears_setuid_when_told_to);
    suite_add(suite, "times", times_are_set_as_asked);
    suite_add(suite, "atime", reading_is_noted_once_after_a_change_and_once_a_day);
    suite_add(suite, "xattr", attributes_of_all_name_spaces_come_back);
    suite_add(suite, "kinds", wrong_kinds_are_refused);
    return suite;
}
