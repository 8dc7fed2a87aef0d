/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO };

START_TEST(making_and_finding_names_gives_the_errors_of_linux)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kvfs_file *file = NULL;
    char name[300] = {0};
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "dir");
    uint64_t ino = fixture_file(&f, ROOT, "file");
    memset(name, 'n', 256);
    ck_fails(kvfs_lookup(f.fs, ROOT, name, &e), ENAMETOOLONG);
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, ROOT, name, 0755, &e), ENAMETOOLONG);
    name[255] = 0;
    ck_ok(kvfs_mkdir(f.fs, &fixture_who, ROOT, name, 0755, &e));
    ck_fails(kvfs_lookup(f.fs, ROOT, "none", &e), ENOENT);
    ck_fails(kvfs_lookup(f.fs, ino, "x", &e), ENOTDIR);
    ck_fails(kvfs_lookup(f.fs, 4711, "x", &e), ENOENT);
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, ino, "x", 0755, &e), ENOTDIR);
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, ROOT, "file", 0755, &e), EEXIST);
    ck_fails(kvfs_symlink(f.fs, &fixture_who, ROOT, "file", "t", &e), EEXIST);
    ck_fails(kvfs_create(f.fs, ROOT, "file",
                         &(struct kvfs_new){.who = fixture_who, .mode = 0644, .flags = O_EXCL}, &e,
                         &file),
             EEXIST);
    ck_fails(kvfs_create(f.fs, ROOT, "dir", &(struct kvfs_new){.who = fixture_who, .mode = 0644},
                         &e, &file),
             EISDIR);
    ck_fails(kvfs_unlink(f.fs, ROOT, "dir"), EISDIR);
    ck_fails(kvfs_rmdir(f.fs, ROOT, "file"), ENOTDIR);
    ck_fails(kvfs_rmdir(f.fs, dir, "."), EINVAL);
    ck_fails(kvfs_unlink(f.fs, ino, "x"), ENOTDIR);
    ck_fails(kvfs_rmdir(f.fs, ino, "x"), ENOTDIR);
    ck_fails(kvfs_link(f.fs, dir, ROOT, "hard", &e), EPERM);
    ck_fails(kvfs_link(f.fs, ino, ROOT, "dir", &e), EEXIST);
    fixture_file(&f, dir, "inside");
    ck_fails(kvfs_rmdir(f.fs, ROOT, "dir"), ENOTEMPTY);
    ck_fails(kvfs_mknod(f.fs, ROOT, "d2",
                        &(struct kvfs_new){.who = fixture_who, .mode = S_IFDIR | 0755}, &e),
             EPERM);
    fixture_close(&f);
}
END_TEST

START_TEST(nothing_can_be_made_in_a_removed_directory)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kvfs_entry in;
    fixture_open(&f);
    ck_ok(kvfs_mkdir(f.fs, &fixture_who, ROOT, "d", 0755, &e));
    ck_ok(kvfs_rmdir(f.fs, ROOT, "d"));
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, e.ino, "x", 0755, &in), ENOENT);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    ck_fails(kvfs_link(f.fs, ino, e.ino, "x", &in), ENOENT);
    ck_fails(kvfs_rename(f.fs, ROOT, "f", e.ino, "x", 0), ENOENT);
    ck_assert_uint_eq(fixture_stat(&f, e.ino).stat.st_nlink, 0);
    kvfs_forget(f.fs, e.ino, 1);
    ck_fails(kvfs_getattr(f.fs, e.ino, &in), ENOENT);
    fixture_close(&f);
}
END_TEST

START_TEST(create_opens_a_file_that_exists)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kvfs_file *file = NULL;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    fixture_write(&f, ino, 0, "text");
    ck_ok(kvfs_create(f.fs, ROOT, "f",
                      &(struct kvfs_new){.who = fixture_who, .mode = 0644, .flags = O_RDWR}, &e,
                      &file));
    ck_assert_uint_eq(e.ino, ino);
    ck_assert_int_eq(e.stat.st_size, 4);
    kvfs_file_close(file);
    ck_ok(
        kvfs_create(f.fs, ROOT, "f",
                    &(struct kvfs_new){.who = fixture_who, .mode = 0644, .flags = O_RDWR | O_TRUNC},
                    &e, &file));
    ck_assert_int_eq(e.stat.st_size, 0);
    kvfs_file_close(file);
    fixture_close(&f);
}
END_TEST

START_TEST(dots_are_found)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, fixture_dir(&f, ROOT, "a"), "b");
    ck_ok(kvfs_lookup(f.fs, dir, ".", &e));
    ck_assert_uint_eq(e.ino, dir);
    ck_ok(kvfs_lookup(f.fs, dir, "..", &e));
    ck_ok(kvfs_lookup(f.fs, e.ino, "..", &e));
    ck_ok(kvfs_lookup(f.fs, e.ino, "..", &e));
    ck_assert_uint_eq(e.ino, ROOT);
    uint64_t file = fixture_file(&f, dir, "f"); /* as a file handle names it */
    ck_ok(kvfs_lookup(f.fs, file, ".", &e));
    ck_assert_uint_eq(e.ino, file);
    kvfs_forget(f.fs, file, 1);
    ck_ok(kvfs_unlink(f.fs, dir, "f"));
    ck_fails(kvfs_lookup(f.fs, file, ".", &e), ENOENT);
    fixture_close(&f);
}
END_TEST

START_TEST(a_new_file_has_owner_mode_and_times_by_the_rules)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct stat attr = {.st_mode = 02775, .st_gid = 777};
    fixture_open(&f);
    ck_ok(kvfs_mknod(
        f.fs, ROOT, "c",
        &(struct kvfs_new){.who = fixture_who, .mode = S_IFCHR | 0666, .rdev = makedev(4, 7)}, &e));
    ck_assert_uint_eq(e.stat.st_mode, S_IFCHR | 0644);
    ck_assert_uint_eq(e.stat.st_uid, 1000);
    ck_assert_uint_eq(e.stat.st_gid, 100);
    ck_assert_uint_eq(e.stat.st_rdev, makedev(4, 7));
    ck_assert_int_eq(e.stat.st_mtim.tv_nsec, e.stat.st_ctim.tv_nsec);
    ck_assert_int_eq(e.stat.st_mtim.tv_nsec, e.btime.tv_nsec);
    uint64_t dir = fixture_dir(&f, ROOT, "shared");
    ck_ok(kvfs_setattr(f.fs, dir, &attr, KVFS_SET_MODE | KVFS_SET_GID, &e));
    ck_ok(kvfs_mkdir(f.fs, &fixture_who, dir, "sub", 0777, &e));
    ck_assert_uint_eq(e.stat.st_mode, S_IFDIR | S_ISGID | 0755);
    ck_assert_uint_eq(e.stat.st_gid, 777);
    ck_ok(kvfs_mknod(f.fs, dir, "file",
                     &(struct kvfs_new){.who = fixture_who, .mode = S_IFREG | 0666}, &e));
    ck_assert_uint_eq(e.stat.st_mode, S_IFREG | 0644);
    ck_assert_uint_eq(e.stat.st_gid, 777);
    fixture_close(&f);
}
END_TEST

static bool later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

START_TEST(name_changes_move_the_times_that_posix_names)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    struct stat root = fixture_stat(&f, ROOT).stat;
    struct stat file = fixture_stat(&f, ino).stat;
    usleep(2000);
    ck_ok(kvfs_link(f.fs, ino, ROOT, "g", &e));
    ck_assert(later(e.stat.st_ctim, file.st_ctim));
    ck_assert(!later(e.stat.st_mtim, file.st_mtim));
    ck_assert(later(fixture_stat(&f, ROOT).stat.st_mtim, root.st_mtim));
    root = fixture_stat(&f, ROOT).stat;
    file = e.stat;
    usleep(2000);
    ck_ok(kvfs_rename(f.fs, ROOT, "g", ROOT, "h", 0));
    ck_assert(later(fixture_stat(&f, ino).stat.st_ctim, file.st_ctim));
    ck_assert(later(fixture_stat(&f, ROOT).stat.st_ctim, root.st_ctim));
    file = fixture_stat(&f, ino).stat;
    usleep(2000);
    ck_ok(kvfs_unlink(f.fs, ROOT, "h"));
    ck_assert(later(fixture_stat(&f, ino).stat.st_ctim, file.st_ctim));
    fixture_close(&f);
}
END_TEST

START_TEST(a_file_with_several_links_is_one_file)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    uint64_t ino = fixture_file(&f, ROOT, "one");
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_INODE), 1);
    ck_ok(kvfs_link(f.fs, ino, dir, "two", &e));
    kvfs_forget(f.fs, ino, 1);
    ck_assert_uint_eq(e.stat.st_nlink, 2);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_INODE), 2);
    fixture_write(&f, ino, 0, "same");
    fixture_reopen(&f);
    ck_ok(kvfs_lookup(f.fs, dir, "two", &e));
    ck_assert_uint_eq(e.ino, ino);
    ck_assert_str_eq(fixture_text(&f, ino), "same");
    kvfs_forget(f.fs, ino, 1);
    ck_ok(kvfs_unlink(f.fs, ROOT, "one"));
    ck_assert_uint_eq(fixture_stat(&f, ino).stat.st_nlink, 1);
    ck_ok(kvfs_rename(f.fs, dir, "two", ROOT, "three", 0));
    ck_ok(kvfs_unlink(f.fs, ROOT, "three"));
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_INODE), 1);
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(an_unlinked_file_lives_until_it_is_closed_and_forgotten)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kvfs_file *file = NULL;
    uint8_t value = 1;
    fixture_open(&f);
    ck_ok(kvfs_create(f.fs, ROOT, "f",
                      &(struct kvfs_new){.who = fixture_who, .mode = 0600, .flags = O_RDWR}, &e,
                      &file));
    fixture_write(&f, e.ino, 0, "still here");
    ck_ok(kvfs_setxattr(f.fs, e.ino, "user.a", kv_slice(&value, 1), 0));
    ck_ok(kvfs_unlink(f.fs, ROOT, "f"));
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 1);
    fixture_write(&f, e.ino, 10, ", and more");
    kvfs_forget(f.fs, e.ino, 1);
    ck_assert_str_eq(fixture_text(&f, e.ino), "still here, and more");
    kvfs_file_close(file);
    ck_fails(kvfs_getattr(f.fs, e.ino, &e), ENOENT);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 0);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_INODE), 1);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_XATTR), 0);
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 0);
    fixture_close(&f);
}
END_TEST

/* What an unlinked file leaves when the power goes while it is open. Closing would finish it, so
 * the rows are written while the filesystem is closed. */
static void leave_orphan(struct kv_storage *storage, uint64_t ino)
{
    struct rowkey key;
    uint8_t value[INODE_SIZE_MAX] = {0};
    struct inode inode = {.mode = S_IFREG | 0600, .size = 3, .allocated = 3};
    struct kv_store *store = NULL;
    struct kv_table *meta = NULL;
    struct kv_table *data = NULL;
    ck_ok(kv_open(storage, &(struct kv_options){0}, &store));
    ck_ok(kv_table_open(store, "meta", NULL, &meta));
    ck_ok(kv_table_open(store, "data", NULL, &data));
    rowkey_orphan(&key, ino);
    ck_ok(kv_put(meta, rowkey_slice(&key), kv_slice(value, 1), KV_DURABLE_WRITE));
    rowkey_inode(&key, ino);
    ck_ok(kv_put(meta, rowkey_slice(&key), kv_slice(value, inode_encode(value, &inode)),
                 KV_DURABLE_WRITE));
    rowkey_extent(&key, ino, 3);
    ck_ok(kv_put(data, rowkey_slice(&key), kv_slice("\1abc", 4), KV_DURABLE_WRITE));
    ck_ok(kv_close(store));
}

START_TEST(orphans_that_a_crash_left_are_finished_at_the_next_opening)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = fixture_file(&f, ROOT, "f");
    fixture_write(&f, ino, 0, "abc");
    ck_ok(kvfs_unlink(f.fs, ROOT, "f"));
    ck_ok(kvfs_close(f.fs));
    leave_orphan(fixture_storage(&f), ino);
    fixture_open_again(&f);
    ck_assert_uint_eq(fixture_count_rows(&f, "meta", ROW_ORPHAN), 0);
    ck_assert_uint_eq(fixture_count_rows(&f, "data", ROW_EXTENT), 0);
    fixture_close(&f);
}
END_TEST

static void expect_one_batch_more(struct fs_fixture *f, uint64_t *batches)
{
    struct kv_stats stats;
    kv_stats(kvfs_store(f->fs), &stats);
    ck_assert_uint_eq(stats.batches, *batches + 1);
    *batches = stats.batches;
}

START_TEST(every_change_of_names_is_one_batch)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct kv_stats stats;
    fixture_open(&f);
    uint64_t a = fixture_file(&f, ROOT, "a"); /* also sets inode numbers aside */
    kv_stats(kvfs_store(f.fs), &stats);
    uint64_t batches = stats.batches;
    uint64_t d = fixture_dir(&f, ROOT, "d");
    expect_one_batch_more(&f, &batches);
    fixture_file(&f, d, "b");
    expect_one_batch_more(&f, &batches);
    ck_ok(kvfs_link(f.fs, a, d, "link", &e));
    expect_one_batch_more(&f, &batches);
    ck_ok(kvfs_rename(f.fs, ROOT, "a", d, "c", 0));
    expect_one_batch_more(&f, &batches);
    ck_ok(kvfs_rename(f.fs, d, "c", d, "b", 0));
    expect_one_batch_more(&f, &batches);
    fixture_dir(&f, ROOT, "e");
    expect_one_batch_more(&f, &batches);
    ck_ok(kvfs_rename(f.fs, d, "b", ROOT, "e", RENAME_EXCHANGE));
    expect_one_batch_more(&f, &batches);
    ck_ok(kvfs_rmdir(f.fs, d, "b"));
    expect_one_batch_more(&f, &batches);
    ck_ok(kvfs_unlink(f.fs, ROOT, "e"));
    expect_one_batch_more(&f, &batches);
    fixture_close(&f);
}
END_TEST

START_TEST(inode_numbers_are_never_used_again)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t first = fixture_file(&f, ROOT, "a");
    ck_assert_uint_eq(first, FORMAT_INO_FIRST);
    ck_ok(kvfs_unlink(f.fs, ROOT, "a"));
    uint64_t second = fixture_file(&f, ROOT, "a");
    ck_assert_uint_gt(second, first);
    ck_ok(kvfs_unlink(f.fs, ROOT, "a"));
    fixture_reopen(&f);
    ck_assert_uint_gt(fixture_file(&f, ROOT, "a"), second);
    fixture_close(&f);
}
END_TEST

START_TEST(a_damaged_entry_is_eio_and_reported)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct rowkey key;
    fixture_open(&f);
    rowkey_dirent(&key, ROOT, kv_slice_str("bad"));
    ck_ok(kv_put(fixture_table(&f, "meta"), rowkey_slice(&key), kv_slice("\3xyz", 4),
                 KV_DURABLE_WRITE));
    ck_fails(kvfs_lookup(f.fs, ROOT, "bad", &e), EIO);
    ck_assert_uint_eq(f.damage_messages, 1);
    /* A reference to an inode that is not there. */
    ck_ok(kv_put(fixture_table(&f, "meta"), rowkey_slice(&key),
                 kv_slice("\2\x99\0\0\0\0\0\0\0\10", 10), KV_DURABLE_WRITE));
    ck_fails(kvfs_lookup(f.fs, ROOT, "bad", &e), EIO);
    ck_assert_uint_eq(f.damage_messages, 2);
    ck_ok(kv_delete(fixture_table(&f, "meta"), rowkey_slice(&key), KV_DURABLE_WRITE));
    fixture_close(&f);
}
END_TEST

START_TEST(link_counts_have_a_limit)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct rowkey key;
    uint8_t value[INODE_SIZE_MAX];
    struct inode inode = {.mode = S_IFREG | 0600, .nlink = FORMAT_LINK_COUNT_MAX};
    fixture_open(&f);
    rowkey_inode(&key, 4000);
    ck_ok(kv_put(fixture_table(&f, "meta"), rowkey_slice(&key),
                 kv_slice(value, inode_encode(value, &inode)), KV_DURABLE_WRITE));
    ck_fails(kvfs_link(f.fs, 4000, ROOT, "more", &e), EMLINK);
    ck_ok(kv_delete(fixture_table(&f, "meta"), rowkey_slice(&key), KV_DURABLE_WRITE));
    fixture_close(&f);
}
END_TEST

static void put_directory(struct fs_fixture *f, const char *name, uint64_t ino,
                          const struct inode *inode)
{
    struct rowkey key;
    uint8_t value[DIRENT_SIZE_MAX];
    rowkey_dirent(&key, ROOT, kv_slice(name, strlen(name)));
    ck_ok(kv_put(fixture_table(f, "meta"), rowkey_slice(&key),
                 kv_slice(value, dirent_encode_inode(value, ino, inode)), KV_DURABLE_WRITE));
}

/* A directory counts its subdirectories, wherever they come from. */
START_TEST(directories_have_no_more_subdirectories_than_links)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    struct inode inode = {
        .mode = S_IFDIR | 0755, .nlink = FORMAT_LINK_COUNT_MAX - 1, .uid = 1000, .gid = 100};
    fixture_open(&f);
    uint64_t full = fixture_dir(&f, ROOT, "full");
    fixture_dir(&f, ROOT, "d");
    fixture_file(&f, ROOT, "f");
    put_directory(&f, "full", full, &inode);
    fixture_reopen(&f);
    ck_ok(kvfs_mkdir(f.fs, &fixture_who, full, "last", 0777, &e));
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, full, "more", 0777, &e), EMLINK);
    ck_fails(kvfs_rename(f.fs, ROOT, "d", full, "more", 0), EMLINK);
    /* One that takes the place of another is none more, nor is a file. */
    ck_ok(kvfs_rename(f.fs, ROOT, "d", full, "last", 0));
    ck_ok(kvfs_rename(f.fs, full, "last", full, "first", 0));
    ck_ok(kvfs_rename(f.fs, ROOT, "f", full, "f", 0));
    fixture_dir(&f, ROOT, "d");
    ck_fails(kvfs_rename(f.fs, ROOT, "d", full, "f", RENAME_EXCHANGE), EMLINK);
    ck_fails(kvfs_rename(f.fs, full, "f", ROOT, "d", RENAME_EXCHANGE), EMLINK);
    ck_assert_uint_eq(fixture_stat(&f, full).stat.st_nlink, FORMAT_LINK_COUNT_MAX);
    ck_ok(kvfs_rename(f.fs, full, "first", ROOT, "first", 0));
    ck_ok(kvfs_rename(f.fs, ROOT, "d", full, "d", 0));
    /* What it holds in truth. */
    inode.nlink = 3;
    inode.size = inode.allocated = 2;
    put_directory(&f, "full", full, &inode);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_names");
    suite_add(suite, "errors", making_and_finding_names_gives_the_errors_of_linux);
    suite_add(suite, "removed", nothing_can_be_made_in_a_removed_directory);
    suite_add(suite, "create", create_opens_a_file_that_exists);
    suite_add(suite, "dots", dots_are_found);
    suite_add(suite, "new", a_new_file_has_owner_mode_and_times_by_the_rules);
    suite_add(suite, "times", name_changes_move_the_times_that_posix_names);
    suite_add(suite, "links", a_file_with_several_links_is_one_file);
    suite_add(suite, "open", an_unlinked_file_lives_until_it_is_closed_and_forgotten);
    suite_add(suite, "orphans", orphans_that_a_crash_left_are_finished_at_the_next_opening);
    suite_add(suite, "batches", every_change_of_names_is_one_batch);
    suite_add(suite, "numbers", inode_numbers_are_never_used_again);
    suite_add(suite, "damage", a_damaged_entry_is_eio_and_reported);
    suite_add(suite, "limit", link_counts_have_a_limit);
    suite_add(suite, "link limit of directories",
              directories_have_no_more_subdirectories_than_links);
    return suite;
}
