/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO };

START_TEST(rename_gives_the_errors_of_linux)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t a = fixture_dir(&f, ROOT, "a");
    uint64_t b = fixture_dir(&f, a, "b");
    fixture_dir(&f, ROOT, "empty");
    uint64_t file = fixture_file(&f, ROOT, "file");
    ck_fails(kvfs_rename(f.fs, ROOT, "none", ROOT, "x", 0), ENOENT);
    ck_fails(kvfs_rename(f.fs, file, "x", ROOT, "x", 0), ENOTDIR);
    ck_fails(kvfs_rename(f.fs, ROOT, "file", file, "x", 0), ENOTDIR);
    ck_fails(kvfs_rename(f.fs, ROOT, "file", ROOT, "empty", 0), EISDIR);
    ck_fails(kvfs_rename(f.fs, ROOT, "empty", ROOT, "file", 0), ENOTDIR);
    ck_fails(kvfs_rename(f.fs, ROOT, "empty", ROOT, "a", 0), ENOTEMPTY);
    ck_fails(kvfs_rename(f.fs, ROOT, "file", ROOT, "a", RENAME_NOREPLACE), EEXIST);
    ck_fails(kvfs_rename(f.fs, ROOT, "file", ROOT, "x", RENAME_EXCHANGE), ENOENT);
    ck_fails(kvfs_rename(f.fs, ROOT, "a", b, "x", 0), EINVAL);
    ck_fails(kvfs_rename(f.fs, ROOT, "a", a, "x", 0), EINVAL);
    ck_fails(kvfs_rename(f.fs, ROOT, "file", ROOT, "x", RENAME_WHITEOUT), EINVAL);
    ck_fails(kvfs_rename(f.fs, ROOT, "file", ROOT, "x", RENAME_NOREPLACE | RENAME_EXCHANGE),
             EINVAL);
    ck_fails(kvfs_rename(f.fs, a, "b", ROOT, "a", RENAME_EXCHANGE), EINVAL);
    ck_fails(kvfs_rename(f.fs, ROOT, "file", ROOT, "..", 0), EINVAL);
    fixture_close(&f);
}
END_TEST

START_TEST(a_directory_moves_with_everything_in_it)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t a = fixture_dir(&f, ROOT, "a");
    uint64_t b = fixture_dir(&f, ROOT, "b");
    uint64_t sub = fixture_dir(&f, a, "sub");
    fixture_write(&f, fixture_file(&f, sub, "file"), 0, "text");
    ck_ok(kvfs_rename(f.fs, a, "sub", b, "moved", 0));
    ck_assert_uint_eq(fixture_stat(&f, a).stat.st_nlink, 2);
    ck_assert_uint_eq(fixture_stat(&f, b).stat.st_nlink, 3);
    ck_ok(kvfs_lookup(f.fs, sub, "..", &e));
    ck_assert_uint_eq(e.ino, b);
    fixture_reopen(&f);
    struct kv_buf value = {0};
    ck_ok(kvfs_key_get(f.fs, kv_slice_str("b/moved/file"), &value));
    ck_assert(kv_slice_equal(kv_buf_slice(&value), kv_slice_str("text")));
    kv_buf_finish(&value);
    fixture_close(&f);
}
END_TEST

START_TEST(renaming_over_a_file_or_an_empty_directory_replaces_it)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t a = fixture_file(&f, ROOT, "a");
    fixture_write(&f, a, 0, "a");
    fixture_write(&f, fixture_file(&f, ROOT, "b"), 0, "b");
    ck_ok(kvfs_rename(f.fs, ROOT, "a", ROOT, "b", 0));
    ck_assert_str_eq(fixture_list(&f, ROOT), "b");
    ck_assert_str_eq(fixture_text(&f, a), "a");
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 1);
    uint64_t d = fixture_dir(&f, ROOT, "d");
    fixture_file(&f, d, "in");
    fixture_dir(&f, ROOT, "e");
    ck_ok(kvfs_rename(f.fs, ROOT, "d", ROOT, "e", 0));
    ck_ok(kvfs_lookup(f.fs, ROOT, "e", &e));
    ck_assert_uint_eq(e.ino, d);
    ck_assert_uint_eq(fixture_stat(&f, ROOT).stat.st_nlink, 3);
    fixture_close(&f);
}
END_TEST

START_TEST(a_replaced_file_that_is_open_lives_on)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    ck_ok(kvfs_mknod(f.fs, ROOT, "old",
                     &(struct kvfs_new){.who = fixture_who, .mode = S_IFREG | 0600}, &e));
    fixture_write(&f, e.ino, 0, "old text");
    fixture_file(&f, ROOT, "new");
    ck_ok(kvfs_rename(f.fs, ROOT, "new", ROOT, "old", 0));
    ck_assert_str_eq(fixture_text(&f, e.ino), "old text");
    kvfs_forget(f.fs, e.ino, 1);
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(two_names_of_one_file_renamed_onto_each_other_both_stay)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "a");
    ck_ok(kvfs_link(f.fs, ino, ROOT, "b", &e));
    ck_ok(kvfs_rename(f.fs, ROOT, "a", ROOT, "b", 0));
    ck_ok(kvfs_rename(f.fs, ROOT, "a", ROOT, "a", 0));
    ck_assert_str_eq(fixture_list(&f, ROOT), "a b");
    fixture_close(&f);
}
END_TEST

START_TEST(exchange_swaps_a_directory_and_a_file_with_links)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t a = fixture_dir(&f, ROOT, "a");
    uint64_t b = fixture_dir(&f, ROOT, "b");
    uint64_t dir = fixture_dir(&f, a, "x");
    uint64_t file = fixture_file(&f, b, "y");
    ck_ok(kvfs_link(f.fs, file, ROOT, "other", &e));
    ck_ok(kvfs_rename(f.fs, a, "x", b, "y", RENAME_EXCHANGE));
    ck_ok(kvfs_lookup(f.fs, a, "x", &e));
    ck_assert_uint_eq(e.ino, file);
    ck_ok(kvfs_lookup(f.fs, b, "y", &e));
    ck_assert_uint_eq(e.ino, dir);
    ck_assert_uint_eq(fixture_stat(&f, a).stat.st_nlink, 2);
    ck_assert_uint_eq(fixture_stat(&f, b).stat.st_nlink, 3);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_rename");
    suite_add(suite, "errors", rename_gives_the_errors_of_linux);
    suite_add(suite, "directory", a_directory_moves_with_everything_in_it);
    suite_add(suite, "replace", renaming_over_a_file_or_an_empty_directory_replaces_it);
    suite_add(suite, "open", a_replaced_file_that_is_open_lives_on);
    suite_add(suite, "same", two_names_of_one_file_renamed_onto_each_other_both_stay);
    suite_add(suite, "exchange", exchange_swaps_a_directory_and_a_file_with_links);
    return suite;
}
