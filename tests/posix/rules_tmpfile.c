/* SPDX-License-Identifier: Apache-2.0 */
/* open(2) with O_TMPFILE: files without a name, and linkat(2), which may give them one. */
#include "tests/posix/rule.h"

#include <sys/mman.h>
#include <sys/xattr.h>

static int unnamed(const char *directory, int flags)
{
    return (int)OK(open(directory, O_TMPFILE | O_RDWR | flags, 0644));
}

/* As open(2) shows it, which needs no privilege. */
static int name_it(int fd, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

static struct stat fstat_of(int fd)
{
    struct stat st;
    OK(fstat(fd, &st));
    return st;
}

RULE(o_tmpfile_makes_an_empty_file_without_a_link, "open(2) O_TMPFILE")
{
    struct stat st = fstat_of(unnamed(".", 0));
    HOLDS(S_ISREG(st.st_mode));
    SAME(st.st_nlink, 0);
    SAME(st.st_size, 0);
    SAME(st.st_blocks, 0);
}

RULE(o_tmpfile_enters_no_name, "open(2) O_TMPFILE")
{
    dir_make("d", 0755);
    unnamed("d", 0);
    OK(rmdir("d"));
}

RULE(o_tmpfile_makes_nothing_in_a_removed_directory, "open(2) O_TMPFILE EPERM")
{
    dir_make("d", 0755);
    int fd = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
    OK(rmdir("d"));
    FAILS(EPERM, openat(fd, ".", O_TMPFILE | O_RDWR, 0644));
}

RULE(o_tmpfile_leaves_the_times_of_the_directory, "open(2) O_TMPFILE")
{
    dir_make("d", 0755);
    struct stat before = settled("d");
    unnamed("d", 0);
    SAME(times_changed("d", &before) & (unsigned)(T_MTIME | T_CTIME), 0);
}

RULE(a_file_without_a_name_is_written_and_read, "open(2) O_TMPFILE")
{
    char bytes[4] = "";
    int fd = unnamed(".", 0);
    SAME(pwrite(fd, "abc", 3, PAGE), 3);
    SAME(pread(fd, bytes, 3, PAGE), 3);
    HOLDS(memcmp(bytes, "abc", 3) == 0);
    SAME(byte_at(fd, 0), 0);
    SAME(fstat_of(fd).st_size, PAGE + 3);
}

RULE(a_file_without_a_name_is_truncated_and_synced, "open(2) O_TMPFILE")
{
    int fd = unnamed(".", 0);
    file_fill(fd, 'a', 3 * PAGE);
    OK(ftruncate(fd, PAGE));
    OK(fsync(fd));
    SAME(fstat_of(fd).st_size, PAGE);
    SAME(byte_at(fd, PAGE - 1), 'a');
}

RULE(a_file_without_a_name_is_mapped, "open(2) O_TMPFILE")
{
    int fd = unnamed(".", 0);
    OK(ftruncate(fd, PAGE));
    char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    HOLDS(map != MAP_FAILED);
    map[7] = 'x';
    OK(msync(map, PAGE, MS_SYNC));
    SAME(byte_at(fd, 7), 'x');
}

RULE(linkat_names_a_file_that_had_none, "linkat(2)")
{
    int fd = unnamed(".", 0);
    SAME(write(fd, "text", 4), 4);
    OK(name_it(fd, "f"));
    FILE_IS("f", "text");
    SAME(stat_of("f").st_nlink, 1);
    SAME(fstat_of(fd).st_nlink, 1);
    SAME(stat_of("f").st_ino, fstat_of(fd).st_ino);
}

RULE(linkat_with_an_empty_path_names_a_file_that_had_none, "linkat(2) AT_EMPTY_PATH")
{
    int fd = unnamed(".", 0);
    OK(linkat(fd, "", AT_FDCWD, "f", AT_EMPTY_PATH));
    SAME(stat_of("f").st_ino, fstat_of(fd).st_ino);
}

RULE(a_file_that_got_its_name_late_outlives_its_descriptor, "linkat(2)")
{
    int fd = unnamed(".", 0);
    SAME(write(fd, "text", 4), 4);
    OK(name_it(fd, "f"));
    OK(close(fd));
    FILE_IS("f", "text");
    OK(link("f", "g"));
    SAME(stat_of("g").st_nlink, 2);
}

RULE(a_file_that_got_its_name_late_may_get_more, "linkat(2)")
{
    dir_make("d", 0755);
    int fd = unnamed(".", 0);
    OK(name_it(fd, "f"));
    OK(name_it(fd, "d/g"));
    SAME(fstat_of(fd).st_nlink, 2);
    OK(unlink("f"));
    SAME(stat_of("d/g").st_nlink, 1);
}

RULE(a_file_made_with_o_tmpfile_and_o_excl_gets_no_name, "open(2) O_TMPFILE")
{
    FAILS(ENOENT, name_it(unnamed(".", O_EXCL), "f"));
    HOLDS(!exists("f"));
}

RULE(a_file_that_got_a_name_and_lost_it_gets_no_other, "link(2) ENOENT")
{
    int fd = unnamed(".", 0);
    OK(name_it(fd, "f"));
    OK(unlink("f"));
    FAILS(ENOENT, name_it(fd, "g"));
}

RULE(naming_does_not_replace, "linkat(2) EEXIST")
{
    file_put("f", "old");
    int fd = unnamed(".", 0);
    FAILS(EEXIST, name_it(fd, "f"));
    FILE_IS("f", "old");
    OK(name_it(fd, "g"));
}

RULE(naming_in_a_missing_directory_fails, "linkat(2) ENOENT")
{
    int fd = unnamed(".", 0);
    FAILS(ENOENT, name_it(fd, "none/f"));
    OK(name_it(fd, "f"));
}

RULE(naming_changes_the_change_time_of_the_file, "link(3p)")
{
    int fd = unnamed(".", 0);
    struct stat before = fstat_of(fd);
    settled(".");
    OK(name_it(fd, "f"));
    struct stat now = stat_of("f");
    HOLDS(now.st_ctim.tv_sec != before.st_ctim.tv_sec ||
          now.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
    SAME(now.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

RULE(naming_changes_the_times_of_the_directory, "link(3p)")
{
    dir_make("d", 0755);
    int fd = unnamed(".", 0);
    struct stat before = settled("d");
    OK(name_it(fd, "d/f"));
    SAME(times_changed("d", &before) & (unsigned)(T_MTIME | T_CTIME), T_MTIME | T_CTIME);
}

RULE(o_tmpfile_asks_for_write_access, "open(2) EINVAL")
{
    FAILS(EINVAL, open(".", O_TMPFILE | O_RDONLY, 0644));
}

RULE(o_tmpfile_writes_only, "open(2) O_TMPFILE")
{
    char byte;
    int fd = (int)OK(open(".", O_TMPFILE | O_WRONLY, 0644));
    SAME(write(fd, "x", 1), 1);
    FAILS(EBADF, pread(fd, &byte, 1, 0));
}

RULE(o_tmpfile_in_a_file_fails, "open(2) ENOTDIR")
{
    file_make("f");
    FAILS(ENOTDIR, open("f", O_TMPFILE | O_RDWR, 0644));
    FAILS(ENOENT, open("none", O_TMPFILE | O_RDWR, 0644));
}

RULE(o_tmpfile_in_a_removed_directory_fails, "open(2) ENOENT")
{
    dir_make("d", 0755);
    OK(chdir("d"));
    OK(rmdir("../d"));
    SAME(open(".", O_TMPFILE | O_RDWR, 0644), -1);
    HOLDS(errno == ENOENT || errno == EPERM); /* of ext4 */
}

RULE(o_tmpfile_needs_permission_to_write_the_directory, "open(2) EACCES")
{
    dir_make("d", 0755);
    become(USER, USER, 0);
    FAILS(EACCES, open("d", O_TMPFILE | O_RDWR, 0644));
}

RULE(o_tmpfile_masks_the_mode, "open(2) umask")
{
    umask(027);
    SAME(fstat_of((int)OK(open(".", O_TMPFILE | O_RDWR, 0666))).st_mode & 07777, 0640);
}

RULE(a_file_without_a_name_belongs_to_who_made_it, "open(2) O_TMPFILE")
{
    dir_make("d", 0777);
    become(USER, TEAM, 0);
    int fd = unnamed("d", 0);
    SAME(fstat_of(fd).st_uid, USER);
    SAME(fstat_of(fd).st_gid, TEAM);
    OK(name_it(fd, "d/f"));
    SAME(stat_of("d/f").st_uid, USER);
}

RULE(a_file_without_a_name_takes_the_group_of_a_setgid_directory, "inode(7) S_ISGID")
{
    rule_as_root("it gives files away, which root may");
    dir_make("d", 0755);
    OK(chown("d", 0, TEAM));
    OK(chmod("d", 02775));
    SAME(fstat_of(unnamed("d", 0)).st_gid, TEAM);
}

RULE(attributes_of_a_file_without_a_name_stay_with_its_name, "linkat(2)")
{
    char value[8];
    int fd = unnamed(".", 0);
    rule_as_root("it gives files away, which root may");
    OK(fchmod(fd, 0600));
    OK(fchown(fd, USER, TEAM));
    OK(fsetxattr(fd, "user.a", "1", 1, 0));
    OK(name_it(fd, "f"));
    SAME(mode_of("f"), 0600);
    SAME(stat_of("f").st_uid, USER);
    SAME(getxattr("f", "user.a", value, sizeof value), 1);
}

RULE(a_file_without_a_name_is_opened_again_through_proc, "proc(5) /proc/pid/fd")
{
    char path[64];
    int fd = unnamed(".", 0);
    SAME(write(fd, "x", 1), 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = (int)OK(open(path, O_RDONLY));
    SAME(byte_at(again, 0), 'x');
    OK(close(fd));
    SAME(byte_at(again, 0), 'x');
}

RULE(a_file_named_late_is_listed_and_renamed_like_any_other, "linkat(2)")
{
    int fd = unnamed(".", 0);
    OK(name_it(fd, "f"));
    file_put("g", "other");
    OK(rename("f", "g"));
    SAME(stat_of("g").st_ino, fstat_of(fd).st_ino);
    SAME(stat_of("g").st_size, 0);
    HOLDS(!exists("f"));
}

RULE(many_files_without_a_name_live_side_by_side, "open(2) O_TMPFILE")
{
    enum { COUNT = 50 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = unnamed(".", 0);
        SAME(pwrite(fds[i], &i, sizeof i, 0), sizeof i);
    }
    for (int i = 0; i < COUNT; i++) {
        int found = -1;
        SAME(pread(fds[i], &found, sizeof found, 0), sizeof found);
        SAME(found, i);
    }
}
