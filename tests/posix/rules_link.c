/* SPDX-License-Identifier: Apache-2.0 */
/* link(2), unlink(2), symlink(2), readlink(2), and files without a name. */
#include "tests/posix/rule.h"

#include <sys/mount.h>

/* ---- hard links ---- */

RULE(a_link_is_another_name_of_the_same_file, "link(2)")
{
    file_put("f", "text");
    OK(link("f", "g"));
    SAME(stat_of("f").st_ino, stat_of("g").st_ino);
    FILE_IS("g", "text");
}

RULE(each_link_is_counted, "link(2), inode(7) st_nlink")
{
    file_make("f");
    OK(link("f", "g"));
    SAME(stat_of("f").st_nlink, 2);
    OK(link("g", "h"));
    SAME(stat_of("f").st_nlink, 3);
    OK(unlink("f"));
    SAME(stat_of("g").st_nlink, 2);
    SAME(stat_of("h").st_nlink, 2);
}

RULE(what_is_written_under_one_name_is_read_under_the_other, "link(2)")
{
    file_put("f", "old");
    OK(link("f", "g"));
    file_put("g", "new");
    FILE_IS("f", "new");
    SAME(stat_of("f").st_size, 3);
}

RULE(attributes_changed_under_one_name_show_under_the_other, "link(2)")
{
    rule_as_root("it gives files away, which root may");
    file_make("f");
    OK(link("f", "g"));
    SAME(mode_of("g"), 0644);
    OK(chmod("f", 0600));
    SAME(mode_of("g"), 0600);
    OK(chown("g", USER, TEAM));
    SAME(stat_of("f").st_uid, USER);
}

RULE(a_file_lives_until_its_last_name_is_gone, "unlink(2)")
{
    file_put("f", "text");
    OK(link("f", "g"));
    OK(unlink("f"));
    FILE_IS("g", "text");
    OK(unlink("g"));
    HOLDS(!exists("g"));
}

RULE(link_never_replaces, "link(2) EEXIST")
{
    file_make("f");
    file_put("g", "other");
    dir_make("d", 0755);
    OK(symlink("none", "l"));
    FAILS(EEXIST, link("f", "g"));
    FAILS(EEXIST, link("f", "d"));
    FAILS(EEXIST, link("f", "l"));
    FAILS(EEXIST, link("f", "f"));
    FILE_IS("g", "other");
}

RULE(a_directory_cannot_be_linked, "link(2) EPERM")
{
    dir_make("d", 0755);
    FAILS(EPERM, link("d", "e"));
    HOLDS(!exists("e"));
}

RULE(link_needs_both_ends, "link(2) ENOENT, ENOTDIR")
{
    file_make("f");
    FAILS(ENOENT, link("none", "g"));
    FAILS(ENOENT, link("f", "none/g"));
    FAILS(ENOTDIR, link("f", "f/g"));
    FAILS(ENOTDIR, link("f/g", "h"));
}

RULE(link_does_not_follow_a_symbolic_link, "link(2)")
{
    file_make("f");
    OK(symlink("f", "l"));
    OK(link("l", "m"));
    HOLDS(S_ISLNK(stat_of("m").st_mode));
    SAME(stat_of("l").st_nlink, 2);
    SAME(stat_of("f").st_nlink, 1);
}

RULE(linkat_follows_a_symbolic_link_when_told_to, "linkat(2) AT_SYMLINK_FOLLOW")
{
    file_make("f");
    OK(symlink("f", "l"));
    OK(linkat(AT_FDCWD, "l", AT_FDCWD, "m", AT_SYMLINK_FOLLOW));
    SAME(stat_of("m").st_ino, stat_of("f").st_ino);
}

RULE(linkat_links_what_a_descriptor_has_open, "linkat(2) AT_EMPTY_PATH")
{
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDONLY));
    OK(linkat(fd, "", AT_FDCWD, "g", AT_EMPTY_PATH));
    FILE_IS("g", "text");
}

RULE(a_file_whose_last_name_went_gets_no_new_one, "link(2) ENOENT")
{
    file_make("f");
    int fd = (int)OK(open("f", O_RDONLY));
    OK(unlink("f"));
    FAILS(ENOENT, linkat(fd, "", AT_FDCWD, "g", AT_EMPTY_PATH));
    HOLDS(!exists("g"));
}

RULE(links_and_renames_between_file_systems_are_refused, "link(2), rename(2) EXDEV")
{
    file_make("f");
    dir_make("d", 0755);
    rule_mounts();
    OK(mount("none", "d", "tmpfs", 0, NULL));
    file_make("d/g");
    FAILS(EXDEV, link("f", "d/f"));
    FAILS(EXDEV, rename("f", "d/f"));
    FAILS(EXDEV, rename("d/g", "f"));
    OK(umount("d"));
}

RULE(a_file_may_have_names_in_many_directories, "link(2)")
{
    char name[16];
    file_put("f", "text");
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "d%d", i);
        OK(mkdir(name, 0755));
        snprintf(name, sizeof name, "d%d/f", i);
        OK(link("f", name));
    }
    SAME(stat_of("f").st_nlink, 51);
    OK(unlink("f"));
    FILE_IS("d49/f", "text");
}

RULE(special_files_and_symbolic_links_can_be_linked, "link(2)")
{
    OK(mkfifo("p", 0644));
    OK(link("p", "q"));
    SAME(stat_of("p").st_nlink, 2);
    OK(symlink("x", "l"));
    OK(link("l", "m"));
    SAME(stat_of("l").st_ino, stat_of("m").st_ino);
}

/* ---- unlink ---- */

RULE(unlink_removes_a_name, "unlink(2)")
{
    file_make("f");
    OK(unlink("f"));
    HOLDS(!exists("f"));
    FAILS(ENOENT, unlink("f"));
}

RULE(unlink_removes_a_link_not_its_target, "unlink(2)")
{
    file_make("f");
    OK(symlink("f", "l"));
    OK(unlink("l"));
    HOLDS(exists("f"));
    HOLDS(!exists("l"));
}

RULE(unlink_refuses_a_directory, "unlink(2) EISDIR")
{
    dir_make("d", 0755);
    FAILS(EISDIR, unlink("d"));
    FAILS(EISDIR, unlink("d/"));
}

RULE(unlink_needs_its_directory, "unlink(2) ENOENT, ENOTDIR")
{
    file_make("f");
    FAILS(ENOENT, unlink("none/f"));
    FAILS(ENOTDIR, unlink("f/g"));
    FAILS(ENOTDIR, unlink("f/"));
}

RULE(unlink_of_the_empty_path_fails, "unlink(2) ENOENT")
{
    FAILS(ENOENT, unlink(""));
}

RULE(unlinkat_removes_directories_when_told_to, "unlinkat(2) AT_REMOVEDIR")
{
    dir_make("d", 0755);
    file_make("f");
    FAILS(EISDIR, unlinkat(AT_FDCWD, "d", 0));
    FAILS(ENOTDIR, unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
    OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
}

/* ---- open and without a name ---- */

RULE(an_unlinked_open_file_is_read_and_written_as_before, "unlink(2)")
{
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDWR));
    OK(unlink("f"));
    SAME(byte_at(fd, 3), 't');
    SAME(pwrite(fd, "more", 4, 4), 4);
    SAME(byte_at(fd, 7), 'e');
    OK(ftruncate(fd, 2));
    SAME(byte_at(fd, 2), -1);
    OK(fsync(fd));
}

RULE(an_unlinked_open_file_has_no_links_and_keeps_its_number, "unlink(2), inode(7) st_nlink")
{
    struct stat st;
    file_make("f");
    ino_t ino = stat_of("f").st_ino;
    int fd = (int)OK(open("f", O_RDWR));
    OK(unlink("f"));
    OK(fstat(fd, &st));
    SAME(st.st_nlink, 0);
    SAME(st.st_ino, ino);
}

RULE(an_unlinked_open_file_takes_changes_of_its_attributes, "unlink(2)")
{
    struct stat st;
    rule_as_root("it gives files away, which root may");
    file_make("f");
    int fd = (int)OK(open("f", O_RDWR));
    OK(unlink("f"));
    OK(fchmod(fd, 0600));
    OK(fchown(fd, USER, TEAM));
    OK(fstat(fd, &st));
    SAME(st.st_mode & 07777, 0600);
    SAME(st.st_uid, USER);
}

RULE(a_new_file_under_the_name_of_an_unlinked_one_is_another, "unlink(2)")
{
    file_put("f", "old");
    int fd = (int)OK(open("f", O_RDWR));
    OK(unlink("f"));
    file_put("f", "new");
    SAME(byte_at(fd, 0), 'o');
    FILE_IS("f", "new");
    SAME(pwrite(fd, "x", 1, 0), 1);
    FILE_IS("f", "new");
}

RULE(an_unlinked_open_file_does_not_keep_its_directory, "unlink(2), rmdir(2)")
{
    dir_make("d", 0755);
    file_put("d/f", "text");
    int fd = (int)OK(open("d/f", O_RDONLY));
    OK(unlink("d/f"));
    OK(rmdir("d"));
    SAME(byte_at(fd, 0), 't');
}

RULE(an_unlinked_open_file_can_be_opened_again_through_proc, "proc(5) /proc/pid/fd")
{
    char path[64];
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDONLY));
    OK(unlink("f"));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    SAME(byte_at((int)OK(open(path, O_RDONLY)), 0), 't');
}

/* ---- symbolic links ---- */

RULE(readlink_gives_the_target_without_a_nul, "readlink(2)")
{
    char target[16] = "...............";
    OK(symlink("some/where", "l"));
    SAME(readlink("l", target, sizeof target), 10);
    HOLDS(memcmp(target, "some/where.", 11) == 0);
}

RULE(readlink_cuts_what_does_not_fit, "readlink(2)")
{
    char target[4] = "....";
    OK(symlink("longer", "l"));
    SAME(readlink("l", target, 3), 3);
    HOLDS(memcmp(target, "lon.", 4) == 0);
}

RULE(readlink_of_anything_else_is_invalid, "readlink(2) EINVAL")
{
    char target[16];
    file_make("f");
    dir_make("d", 0755);
    FAILS(EINVAL, readlink("f", target, sizeof target));
    FAILS(EINVAL, readlink("d", target, sizeof target));
    FAILS(ENOENT, readlink("none", target, sizeof target));
}

RULE(the_size_of_a_link_is_the_length_of_its_target, "inode(7) st_size")
{
    OK(symlink("0123456789", "l"));
    SAME(stat_of("l").st_size, 10);
}

RULE(a_link_has_all_permissions_whatever_the_umask, "symlink(7)")
{
    umask(077);
    OK(symlink("x", "l"));
    SAME(mode_of("l"), 0777);
}

RULE(a_link_belongs_to_who_made_it, "symlink(7)")
{
    dir_make("d", 0777);
    become(USER, TEAM, 0);
    OK(symlink("x", "d/l"));
    SAME(stat_of("d/l").st_uid, USER);
    SAME(stat_of("d/l").st_gid, TEAM);
}

RULE(symlink_never_replaces, "symlink(2) EEXIST")
{
    file_make("f");
    dir_make("d", 0755);
    OK(symlink("none", "l"));
    FAILS(EEXIST, symlink("x", "f"));
    FAILS(EEXIST, symlink("x", "d"));
    FAILS(EEXIST, symlink("x", "l"));
}

RULE(a_link_to_nowhere_can_be_made_and_not_followed, "symlink(2)")
{
    struct stat st;
    OK(symlink("none/such", "l"));
    FAILS(ENOENT, stat("l", &st));
    OK(lstat("l", &st));
}

RULE(a_link_to_the_empty_name_cannot_be_made, "symlink(2) ENOENT")
{
    FAILS(ENOENT, symlink("", "l"));
}

RULE(a_target_may_hold_arbitrary_bytes, "symlink(7)")
{
    char target[16];
    OK(symlink("\xff\x01 \n//..", "l"));
    SAME(readlink("l", target, sizeof target), 8);
    HOLDS(memcmp(target, "\xff\x01 \n//..", 8) == 0);
}

RULE(a_relative_target_begins_at_the_directory_of_the_link, "path_resolution(7)")
{
    dir_make("d", 0755);
    file_put("d/f", "inside");
    file_put("f", "outside");
    OK(symlink("f", "d/l"));
    FILE_IS("d/l", "inside");
    OK(rename("d/l", "l"));
    FILE_IS("l", "outside");
}

RULE(a_target_with_dot_dot_leaves_the_directory, "path_resolution(7)")
{
    dir_make("d", 0755);
    file_put("f", "text");
    OK(symlink("../f", "d/l"));
    FILE_IS("d/l", "text");
}

RULE(a_link_may_stand_in_the_middle_of_a_path, "path_resolution(7)")
{
    dir_make("d", 0755);
    file_put("d/f", "text");
    OK(symlink("d", "l"));
    FILE_IS("l/f", "text");
    SAME(stat_of("l/.").st_ino, stat_of("d").st_ino);
}

RULE(a_link_with_a_trailing_slash_is_its_directory, "path_resolution(7)")
{
    dir_make("d", 0755);
    OK(symlink("d", "l"));
    HOLDS(S_ISDIR(stat_of("l/").st_mode));
}

RULE(a_link_to_itself_is_a_loop, "path_resolution(7), open(2) ELOOP")
{
    struct stat st;
    OK(symlink("l", "l"));
    FAILS(ELOOP, stat("l", &st));
    FAILS(ELOOP, open("l", O_RDONLY));
    FAILS(ELOOP, open("l/f", O_RDONLY));
    FAILS(ELOOP, chdir("l"));
}

RULE(two_links_to_each_other_are_a_loop, "path_resolution(7), open(2) ELOOP")
{
    OK(symlink("a", "b"));
    OK(symlink("b", "a"));
    FAILS(ELOOP, open("a", O_RDONLY));
    FAILS(ELOOP, truncate("b", 0));
    FAILS(ELOOP, chmod("a", 0600));
}

RULE(forty_links_are_followed_and_one_more_is_too_many, "path_resolution(7)")
{
    char from[16];
    char to[16];
    file_put("l0", "text");
    for (int i = 1; i <= 41; i++) {
        snprintf(to, sizeof to, "l%d", i - 1);
        snprintf(from, sizeof from, "l%d", i);
        OK(symlink(to, from));
    }
    FILE_IS("l40", "text");
    FAILS(ELOOP, open("l41", O_RDONLY));
}

RULE(a_changed_target_is_followed_at_once, "symlink(7)")
{
    file_put("a", "a");
    file_put("b", "b");
    OK(symlink("a", "l"));
    FILE_IS("l", "a");
    OK(unlink("l"));
    OK(symlink("b", "l"));
    FILE_IS("l", "b");
}

RULE(a_replaced_link_is_followed_to_its_new_target, "rename(2)")
{
    file_put("a", "a");
    file_put("b", "b");
    OK(symlink("a", "l"));
    FILE_IS("l", "a");
    OK(symlink("b", "m"));
    OK(rename("m", "l"));
    FILE_IS("l", "b");
}
