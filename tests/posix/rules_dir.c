/* SPDX-License-Identifier: Apache-2.0 */
/* mkdir(2), rmdir(2), and the link counts of directories. */
#include "tests/posix/rule.h"

#include <sys/mount.h>

RULE(mkdir_makes_an_empty_directory_with_two_links, "mkdir(2)")
{
    OK(mkdir("d", 0755));
    struct stat st = stat_of("d");
    HOLDS(S_ISDIR(st.st_mode));
    SAME(st.st_nlink, 2);
    OK(rmdir("d"));
}

RULE(a_new_directory_has_the_mode_asked_for_less_the_umask, "mkdir(2)")
{
    umask(027);
    OK(mkdir("d", 0777));
    SAME(mode_of("d"), 0750);
}

RULE(mkdir_takes_the_sticky_bit_and_neither_setuid_nor_setgid, "mkdir(2) VERSIONS, inode(7)")
{
    umask(0);
    OK(mkdir("d", 07777));
    SAME(mode_of("d"), 01777);
}

RULE(a_new_directory_belongs_to_the_effective_user_and_group, "mkdir(2)")
{
    dir_make("d", 0777);
    become(USER, TEAM, 0);
    OK(mkdir("d/e", 0755));
    SAME(stat_of("d/e").st_uid, USER);
    SAME(stat_of("d/e").st_gid, TEAM);
}

RULE(mkdir_refuses_every_kind_of_existing_name, "mkdir(2) EEXIST")
{
    file_make("f");
    dir_make("d", 0755);
    OK(symlink("none", "l"));
    OK(mkfifo("p", 0644));
    FAILS(EEXIST, mkdir("f", 0755));
    FAILS(EEXIST, mkdir("d", 0755));
    FAILS(EEXIST, mkdir("l", 0755));
    FAILS(EEXIST, mkdir("p", 0755));
    HOLDS(!exists("none"));
}

RULE(mkdir_accepts_a_trailing_slash, "path_resolution(7)")
{
    OK(mkdir("d/", 0755));
    HOLDS(S_ISDIR(stat_of("d").st_mode));
}

RULE(mkdir_of_dot_and_dot_dot_finds_them_existing, "mkdir(2) EEXIST")
{
    FAILS(EEXIST, mkdir(".", 0755));
    FAILS(EEXIST, mkdir("..", 0755));
}

RULE(mkdir_needs_its_parent, "mkdir(2) ENOENT, ENOTDIR")
{
    file_make("f");
    FAILS(ENOENT, mkdir("none/d", 0755));
    FAILS(ENOTDIR, mkdir("f/d", 0755));
}

RULE(a_subdirectory_adds_a_link_to_its_parent, "inode(7) st_nlink")
{
    dir_make("d", 0755);
    OK(mkdir("d/a", 0755));
    SAME(stat_of("d").st_nlink, 3);
    OK(mkdir("d/b", 0755));
    SAME(stat_of("d").st_nlink, 4);
    OK(rmdir("d/a"));
    SAME(stat_of("d").st_nlink, 3);
}

RULE(a_file_adds_no_link_to_its_directory, "inode(7) st_nlink")
{
    dir_make("d", 0755);
    file_make("d/f");
    SAME(stat_of("d").st_nlink, 2);
}

RULE(a_moved_directory_takes_its_link_to_the_new_parent, "rename(2), inode(7) st_nlink")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    dir_make("a/d", 0755);
    OK(rename("a/d", "b/d"));
    SAME(stat_of("a").st_nlink, 2);
    SAME(stat_of("b").st_nlink, 3);
    SAME(stat_of("b/d").st_nlink, 2);
}

RULE(a_replaced_directory_gives_its_link_back, "rename(2), inode(7) st_nlink")
{
    dir_make("d", 0755);
    dir_make("d/a", 0755);
    dir_make("d/b", 0755);
    OK(rename("d/a", "d/b"));
    SAME(stat_of("d").st_nlink, 3);
}

RULE(an_exchange_of_a_file_and_a_directory_moves_one_link, "renameat2(2), inode(7) st_nlink")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    dir_make("a/d", 0755);
    file_make("b/f");
    OK(renameat2(AT_FDCWD, "a/d", AT_FDCWD, "b/f", RENAME_EXCHANGE));
    SAME(stat_of("a").st_nlink, 2);
    SAME(stat_of("b").st_nlink, 3);
}

RULE(dot_dot_of_a_moved_directory_is_its_new_parent, "rename(2), path_resolution(7)")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    dir_make("a/d", 0755);
    OK(rename("a/d", "b/d"));
    SAME(stat_of("b/d/..").st_ino, stat_of("b").st_ino);
}

RULE(rmdir_removes_an_empty_directory, "rmdir(2)")
{
    dir_make("d", 0755);
    OK(rmdir("d"));
    HOLDS(!exists("d"));
}

RULE(rmdir_accepts_a_trailing_slash, "path_resolution(7)")
{
    dir_make("d", 0755);
    OK(rmdir("d/"));
    HOLDS(!exists("d"));
}

RULE(rmdir_refuses_a_directory_that_holds_a_file, "rmdir(2) ENOTEMPTY")
{
    dir_make("d", 0755);
    file_make("d/f");
    FAILS(ENOTEMPTY, rmdir("d"));
    OK(unlink("d/f"));
    OK(rmdir("d"));
}

RULE(rmdir_refuses_a_directory_that_holds_any_other_thing, "rmdir(2) ENOTEMPTY")
{
    dir_make("d", 0755);
    OK(symlink("none", "d/l"));
    FAILS(ENOTEMPTY, rmdir("d"));
    OK(rename("d/l", "l"));
    OK(mkdir("d/e", 0755));
    FAILS(ENOTEMPTY, rmdir("d"));
    OK(rename("d/e", "e"));
    OK(mkfifo("d/p", 0644));
    FAILS(ENOTEMPTY, rmdir("d"));
}

RULE(rmdir_refuses_what_is_no_directory, "rmdir(2) ENOTDIR")
{
    file_make("f");
    OK(mkfifo("p", 0644));
    FAILS(ENOTDIR, rmdir("f"));
    FAILS(ENOTDIR, rmdir("p"));
    FAILS(ENOTDIR, rmdir("f/d"));
}

RULE(rmdir_does_not_follow_a_link_to_a_directory, "rmdir(2) ENOTDIR")
{
    dir_make("d", 0755);
    OK(symlink("d", "l"));
    FAILS(ENOTDIR, rmdir("l"));
    HOLDS(exists("d"));
}

RULE(rmdir_of_a_missing_name_fails, "rmdir(2) ENOENT")
{
    FAILS(ENOENT, rmdir("none"));
    FAILS(ENOENT, rmdir("none/d"));
}

RULE(rmdir_of_a_last_dot_is_invalid, "rmdir(2) EINVAL")
{
    dir_make("d", 0755);
    FAILS(EINVAL, rmdir("d/."));
    FAILS(EINVAL, rmdir("."));
}

RULE(rmdir_of_a_last_dot_dot_is_not_empty, "rmdir(2) ENOTEMPTY")
{
    dir_make("d", 0755);
    FAILS(ENOTEMPTY, rmdir("d/.."));
}

RULE(rmdir_of_a_mount_point_is_busy, "rmdir(2) EBUSY")
{
    dir_make("d", 0755);
    rule_mounts();
    OK(mount("none", "d", "tmpfs", 0, NULL));
    FAILS(EBUSY, rmdir("d"));
    OK(umount("d"));
    OK(rmdir("d"));
}

RULE(a_removed_directory_that_is_open_has_no_links, "rmdir(2), inode(7) st_nlink")
{
    struct stat st;
    dir_make("d", 0755);
    int fd = (int)OK(open("d", O_RDONLY));
    OK(rmdir("d"));
    OK(fstat(fd, &st));
    SAME(st.st_nlink, 0);
    HOLDS(S_ISDIR(st.st_mode));
}

RULE(a_removed_working_directory_can_be_looked_at_and_left, "rmdir(2), getcwd(3) ENOENT")
{
    char path[4096];
    struct stat st;
    dir_make("d", 0755);
    OK(chdir("d"));
    OK(rmdir("../d"));
    OK(stat(".", &st));
    HOLDS(getcwd(path, sizeof path) == NULL && errno == ENOENT);
    FAILS(ENOENT, mkdir("e", 0755));
    OK(chdir(".."));
}

RULE(a_name_is_free_again_after_rmdir, "rmdir(2)")
{
    dir_make("d", 0755);
    OK(rmdir("d"));
    file_put("d", "a file");
    FILE_IS("d", "a file");
}

RULE(getcwd_follows_a_rename_of_the_working_directory, "getcwd(3)")
{
    char path[4096];
    dir_make("d", 0755);
    OK(chdir("d"));
    OK(rename("../d", "../moved"));
    HOLDS(getcwd(path, sizeof path) != NULL);
    HOLDS(strcmp(strrchr(path, '/'), "/moved") == 0);
}

RULE(a_deep_tree_can_be_made_entered_and_removed, "mkdir(2), chdir(2)")
{
    enum { DEPTH = 100 };
    for (int i = 0; i < DEPTH; i++) {
        OK(mkdir("d", 0755));
        OK(chdir("d"));
    }
    for (int i = 0; i < DEPTH; i++) {
        OK(chdir(".."));
        OK(rmdir("d"));
    }
}
