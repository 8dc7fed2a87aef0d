/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO };

/* One with contents and an attribute, so that every kind of row is there; its look-up reference is
 * given back, as a close and a forget may come in any order. */
static uint64_t make(struct fs_fixture *f, int flags, struct kvfs_file **ret_file)
{
    struct kvfs_entry e;
    struct kvfs_new what = {.who = fixture_who, .mode = 0666, .flags = flags};
    ck_ok(kvfs_create_unnamed(f->fs, ROOT, &what, &e, ret_file));
    ck_assert_uint_eq(e.stat.st_nlink, 0);
    ck_assert_uint_eq(e.stat.st_mode, S_IFREG | 0644);
    kvfs_forget(f->fs, e.ino, 1);
    /* So a crash leaves nothing of it. */
    ck_assert_uint_eq(fixture_count_rows(f, "meta", ROW_ORPHAN), 1);
    fixture_write(f, e.ino, 0, "abc");
    ck_ok(kvfs_setxattr(f->fs, e.ino, "user.a", kv_slice_str("1"), 0));
    return e.ino;
}

static void expect_nothing_left(struct fs_fixture *f)
{
    ck_assert_uint_eq(fixture_count_rows(f, "meta", ROW_ORPHAN), 0);
    ck_assert_uint_eq(fixture_count_rows(f, "meta", ROW_XATTR), 0);
    ck_assert_uint_eq(fixture_count_rows(f, "meta", ROW_INODE), 1); /* the root's */
    ck_assert_uint_eq(fixture_count_rows(f, "data", ROW_EXTENT), 0);
}

START_TEST(a_file_without_a_name_goes_with_its_last_handle)
{
    struct fs_fixture f;
    struct kvfs_file *file = NULL;
    struct kvfs_file *again = NULL;
    fixture_open(&f);
    uint64_t ino = make(&f, 0, &file);
    ck_assert_str_eq(fixture_list(&f, ROOT), "");
    ck_assert_str_eq(fixture_text(&f, ino), "abc");
    ck_ok(kvfs_file_open(f.fs, ino, O_RDONLY, &again));
    kvfs_file_close(file);
    ck_assert_str_eq(fixture_text(&f, ino), "abc");
    kvfs_file_close(again);
    expect_nothing_left(&f);
    fixture_close(&f);
}
END_TEST

START_TEST(a_file_without_a_name_gets_one_by_link)
{
    struct fs_fixture f;
    struct kvfs_file *file = NULL;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t ino = make(&f, 0, &file);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    ck_ok(kvfs_link(f.fs, ino, dir, "first", &e));
    kvfs_forget(f.fs, ino, 1);
    ck_assert_uint_eq(e.stat.st_nlink, 1);
    kvfs_file_close(file);
    ck_assert_str_eq(fixture_list(&f, dir), "first");
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 0);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_INODE), 1); /* it lives in its entry */
    fixture_reopen(&f);
    ck_assert_str_eq(fixture_text(&f, ino), "abc");
    ck_ok(kvfs_link(f.fs, ino, ROOT, "second", &e));
    kvfs_forget(f.fs, ino, 1);
    ck_assert_uint_eq(e.stat.st_nlink, 2);
    fixture_close(&f);
}
END_TEST

START_TEST(an_exclusive_file_without_a_name_never_gets_one)
{
    struct fs_fixture f;
    struct kvfs_file *file = NULL;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t ino = make(&f, O_EXCL, &file);
    ck_fails(kvfs_link(f.fs, ino, ROOT, "name", &e), ENOENT);
    kvfs_file_close(file);
    expect_nothing_left(&f);
    fixture_close(&f);
}
END_TEST

START_TEST(a_file_that_lost_its_name_gets_none_by_link)
{
    struct fs_fixture f;
    struct kvfs_file *file = NULL;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t ino = make(&f, 0, &file);
    ck_ok(kvfs_link(f.fs, ino, ROOT, "name", &e));
    kvfs_forget(f.fs, ino, 1);
    ck_ok(kvfs_unlink(f.fs, ROOT, "name"));
    ck_fails(kvfs_link(f.fs, ino, ROOT, "name", &e), ENOENT);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 1);
    kvfs_file_close(file);
    expect_nothing_left(&f);
    fixture_close(&f);
}
END_TEST

START_TEST(no_file_is_made_in_what_is_no_directory)
{
    struct fs_fixture f;
    struct kvfs_file *file = NULL;
    struct kvfs_entry e;
    struct kvfs_new what = {.who = fixture_who, .mode = 0666};
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    ck_fails(kvfs_create_unnamed(f.fs, ino, &what, &e, &file), ENOTDIR);
    ck_fails(kvfs_create_unnamed(f.fs, 4711, &what, &e, &file), ENOENT);
    ck_assert_ptr_null(file);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_unnamed");
    suite_add(suite, "last handle", a_file_without_a_name_goes_with_its_last_handle);
    suite_add(suite, "link", a_file_without_a_name_gets_one_by_link);
    suite_add(suite, "exclusive", an_exclusive_file_without_a_name_never_gets_one);
    suite_add(suite, "unlinked", a_file_that_lost_its_name_gets_none_by_link);
    suite_add(suite, "no directory", no_file_is_made_in_what_is_no_directory);
    return suite;
}
