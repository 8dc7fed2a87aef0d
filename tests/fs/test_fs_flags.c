/* SPDX-License-Identifier: Apache-2.0 */
/* The flags of chattr(1): every way to change a file that may not change. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>

#include "tests/fs/fs_fixture.h"

enum { ROOT = KVFS_ROOT_INO, FLAG_IMMUTABLE = FS_IMMUTABLE_FL, FLAG_APPEND = FS_APPEND_FL };

static void set_flags(struct fs_fixture *f, uint64_t ino, unsigned flags)
{
    ck_ok(kvfs_setflags(f->fs, ino, flags));
}

static unsigned flags_of(struct fs_fixture *f, uint64_t ino)
{
    unsigned flags;
    ck_ok(kvfs_getflags(f->fs, ino, &flags));
    return flags;
}

static int set_attr(struct fs_fixture *f, uint64_t ino, unsigned mask)
{
    struct kvfs_entry e;
    return kvfs_setattr(f->fs, ino, &(struct stat){.st_mode = 0600}, mask, &e);
}

static int link_as(struct fs_fixture *f, uint64_t ino, const char *name)
{
    struct kvfs_entry e;
    int r = kvfs_link(f->fs, ino, ROOT, name, &e);
    if (r == 0) {
        kvfs_forget(f->fs, ino, 1);
    }
    return r;
}

static int open_with(struct fs_fixture *f, uint64_t ino, int flags)
{
    struct kvfs_file *file = NULL;
    int r = kvfs_file_open(f->fs, ino, flags, &file);
    kvfs_file_close(file);
    return r;
}

/* What is refused to an immutable file and to one that may only grow. */
static void ck_no_change(struct fs_fixture *f, uint64_t ino, const char *name)
{
    static const unsigned masks[] = {KVFS_SET_MODE, KVFS_SET_UID,   KVFS_SET_GID,
                                     KVFS_SET_SIZE, KVFS_SET_ATIME, KVFS_SET_MTIME};
    struct kvfs_copy copy = {.ino_in = fixture_file(f, ROOT, "from"), .ino_out = ino, .size = 2};
    uint64_t copied;
    fixture_write(f, copy.ino_in, 0, "new");
    for (unsigned i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        ck_fails(set_attr(f, ino, masks[i]), EPERM);
    }
    ck_fails(kvfs_write(f->fs, ino, 0, kv_slice("x", 1), false, false), EPERM);
    ck_fails(kvfs_fallocate(f->fs, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1), EPERM);
    ck_fails(kvfs_fallocate(f->fs, ino, FALLOC_FL_ZERO_RANGE, 0, 1), EPERM);
    ck_fails(kvfs_copy_range(f->fs, &copy, &copied), EPERM);
    ck_fails(open_with(f, ino, O_WRONLY), EPERM);
    ck_fails(open_with(f, ino, O_RDONLY | O_TRUNC), EPERM);
    ck_fails(open_with(f, ino, O_RDWR | O_APPEND | O_TRUNC), EPERM);
    ck_fails(kvfs_setxattr(f->fs, ino, "user.a", kv_slice("1", 1), 0), EPERM);
    ck_fails(kvfs_removexattr(f->fs, ino, "user.kept"), EPERM);
    ck_fails(kvfs_key_put(f->fs, &fixture_who, kv_slice_str(name), kv_slice("x", 1)), EPERM);
    ck_fails(kvfs_key_delete(f->fs, kv_slice_str(name)), EPERM);
    ck_fails(kvfs_unlink(f->fs, ROOT, name), EPERM);
    ck_fails(kvfs_rename(f->fs, ROOT, name, ROOT, "moved", 0), EPERM);
    ck_fails(kvfs_rename(f->fs, ROOT, "from", ROOT, name, 0), EPERM);
    ck_fails(kvfs_rename(f->fs, ROOT, "from", ROOT, name, RENAME_EXCHANGE), EPERM);
    ck_fails(link_as(f, ino, "second"), EPERM);
    ck_assert_str_eq(fixture_text(f, ino), "old");
    ck_assert_uint_eq(fixture_stat(f, ino).stat.st_mode & 07777, 0644);
    ck_ok(open_with(f, ino, O_RDONLY));
}

static uint64_t make_old(struct fs_fixture *f, unsigned flags)
{
    uint64_t ino = fixture_file(f, ROOT, "f");
    fixture_write(f, ino, 0, "old");
    ck_ok(kvfs_setxattr(f->fs, ino, "user.kept", kv_slice("1", 1), 0));
    set_flags(f, ino, flags);
    return ino;
}

START_TEST(an_immutable_file_stays_as_it_is)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = make_old(&f, FLAG_IMMUTABLE);
    ck_no_change(&f, ino, "f");
    fixture_reopen(&f);
    ck_assert_uint_eq(flags_of(&f, ino), FLAG_IMMUTABLE);
    ck_fails(kvfs_write(f.fs, ino, 3, kv_slice("x", 1), true, false), EPERM);
    ck_fails(kvfs_fallocate(f.fs, ino, 0, 0, 10), EPERM);
    ck_fails(open_with(&f, ino, O_WRONLY | O_APPEND), EPERM);
    ck_fails(set_attr(&f, ino, KVFS_SET_MTIME_NOW), EPERM);
    ck_fails(kvfs_setflags(f.fs, ino, FLAG_IMMUTABLE | FS_NODUMP_FL), EPERM);
    set_flags(&f, ino, 0);
    fixture_write(&f, ino, 0, "new");
    ck_ok(kvfs_unlink(f.fs, ROOT, "f"));
    fixture_close(&f);
}
END_TEST

START_TEST(a_file_that_may_only_grow_grows)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t ino = make_old(&f, FLAG_APPEND);
    ck_no_change(&f, ino, "f");
    ck_ok(open_with(&f, ino, O_WRONLY | O_APPEND));
    fixture_write(&f, ino, 3, " new");
    ck_ok(kvfs_write(f.fs, ino, 0, kv_slice_str("er"), true, false));
    ck_ok(set_attr(&f, ino, KVFS_SET_MTIME_NOW | KVFS_SET_ATIME_NOW));
    ck_assert_str_eq(fixture_text(&f, ino), "old newer");
    fixture_close(&f);
}
END_TEST

START_TEST(nothing_comes_to_or_goes_from_an_immutable_directory)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    uint64_t inside = fixture_file(&f, dir, "f");
    fixture_dir(&f, dir, "sub");
    fixture_file(&f, ROOT, "out");
    set_flags(&f, dir, FLAG_IMMUTABLE);
    ck_fails(kvfs_mkdir(f.fs, &fixture_who, dir, "new", 0777, &e), EPERM);
    ck_fails(kvfs_symlink(f.fs, &fixture_who, dir, "new", "f", &e), EPERM);
    ck_fails(kvfs_key_put(f.fs, &fixture_who, kv_slice_str("d/x/y"), kv_slice("x", 1)), EPERM);
    ck_fails(kvfs_link(f.fs, inside, dir, "new", &e), EPERM);
    ck_fails(kvfs_unlink(f.fs, dir, "f"), EPERM);
    ck_fails(kvfs_rmdir(f.fs, dir, "sub"), EPERM);
    ck_fails(kvfs_rename(f.fs, dir, "f", ROOT, "new", 0), EPERM);
    ck_fails(kvfs_rename(f.fs, ROOT, "out", dir, "new", 0), EPERM);
    ck_fails(kvfs_rename(f.fs, ROOT, "d", ROOT, "e", 0), EPERM);
    fixture_write(&f, inside, 0, "files in it change");
    ck_assert_str_eq(fixture_list(&f, dir), "f sub");
    fixture_close(&f);
}
END_TEST

START_TEST(a_directory_that_may_only_grow_keeps_its_names)
{
    struct fs_fixture f;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    set_flags(&f, dir, FLAG_APPEND);
    fixture_file(&f, dir, "f");
    fixture_dir(&f, dir, "sub");
    ck_fails(kvfs_unlink(f.fs, dir, "f"), EPERM);
    ck_fails(kvfs_rmdir(f.fs, dir, "sub"), EPERM);
    ck_fails(kvfs_rename(f.fs, dir, "f", dir, "g", 0), EPERM);
    fixture_file(&f, ROOT, "out");
    ck_ok(kvfs_rename(f.fs, ROOT, "out", dir, "in", 0));
    ck_assert_str_eq(fixture_list(&f, dir), "f in sub");
    ck_fails(kvfs_rmdir(f.fs, ROOT, "d"), EPERM);
    fixture_close(&f);
}
END_TEST

START_TEST(only_known_flags_of_files_and_directories_are_set)
{
    struct fs_fixture f;
    struct kvfs_entry e;
    fixture_open(&f);
    uint64_t dir = fixture_dir(&f, ROOT, "d");
    ck_fails(kvfs_setflags(f.fs, dir, FS_COMPR_FL), EOPNOTSUPP);
    set_flags(&f, dir, FS_NODUMP_FL | FS_NOATIME_FL);
    ck_assert_uint_eq(flags_of(&f, fixture_file(&f, dir, "f")), FS_NODUMP_FL | FS_NOATIME_FL);
    ck_assert_uint_eq(flags_of(&f, fixture_dir(&f, dir, "sub")), FS_NODUMP_FL | FS_NOATIME_FL);
    ck_ok(kvfs_symlink(f.fs, &fixture_who, dir, "l", "f", &e));
    ck_assert_uint_eq(flags_of(&f, e.ino), 0);
    ck_fails(kvfs_setflags(f.fs, e.ino, FS_NODUMP_FL), EOPNOTSUPP);
    kvfs_forget(f.fs, e.ino, 1);
    fixture_close(&f);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("fs_flags");
    suite_add(suite, "immutable", an_immutable_file_stays_as_it_is);
    suite_add(suite, "append", a_file_that_may_only_grow_grows);
    suite_add(suite, "immutable_dir", nothing_comes_to_or_goes_from_an_immutable_directory);
    suite_add(suite, "append_dir", a_directory_that_may_only_grow_keeps_its_names);
    suite_add(suite, "known", only_known_flags_of_files_and_directories_are_set);
    return suite;
}
