/* SPDX-License-Identifier: Apache-2.0 */
/* rename(2) and renameat2(2). */
#include "tests/posix/rule.h"

#include <sys/mount.h>

static int rename_flags(const char *from, const char *to, unsigned flags)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

RULE(rename_gives_a_file_another_name, "rename(2)")
{
    file_put("f", "text");
    ino_t ino = stat_of("f").st_ino;
    OK(rename("f", "g"));
    HOLDS(!exists("f"));
    FILE_IS("g", "text");
    SAME(stat_of("g").st_ino, ino);
    SAME(stat_of("g").st_nlink, 1);
}

RULE(rename_moves_a_file_between_directories, "rename(2)")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    file_put("a/f", "text");
    OK(rename("a/f", "b/g"));
    HOLDS(!exists("a/f"));
    FILE_IS("b/g", "text");
}

RULE(rename_moves_a_directory_with_all_below_it, "rename(2)")
{
    dir_make("a", 0755);
    dir_make("a/d", 0755);
    dir_make("b", 0755);
    file_put("a/d/f", "text");
    OK(rename("a/d", "b/e"));
    FILE_IS("b/e/f", "text");
    HOLDS(!exists("a/d"));
}

RULE(rename_keeps_mode_owner_and_contents, "rename(2)")
{
    rule_as_root("it gives files away, which root may");
    file_put("f", "text");
    OK(chmod("f", 04751));
    OK(chown("f", USER, TEAM));
    OK(chmod("f", 04751));
    struct stat before = stat_of("f");
    OK(rename("f", "g"));
    struct stat st = stat_of("g");
    SAME(st.st_mode, before.st_mode);
    SAME(st.st_uid, before.st_uid);
    SAME(st.st_gid, before.st_gid);
    SAME(st.st_size, before.st_size);
}

RULE(rename_replaces_a_file, "rename(2)")
{
    file_put("f", "new");
    file_put("g", "old");
    OK(rename("f", "g"));
    HOLDS(!exists("f"));
    FILE_IS("g", "new");
}

RULE(a_file_replaced_by_rename_lives_on_for_who_has_it_open, "rename(2)")
{
    struct stat st;
    file_put("f", "new");
    file_put("g", "old");
    int fd = (int)OK(open("g", O_RDWR));
    OK(rename("f", "g"));
    SAME(byte_at(fd, 0), 'o');
    SAME(pwrite(fd, "x", 1, 0), 1);
    OK(fstat(fd, &st));
    SAME(st.st_nlink, 0);
    FILE_IS("g", "new");
}

RULE(a_file_replaced_by_rename_keeps_its_other_names, "rename(2)")
{
    file_put("f", "new");
    file_put("g", "old");
    OK(link("g", "h"));
    OK(rename("f", "g"));
    FILE_IS("h", "old");
    SAME(stat_of("h").st_nlink, 1);
}

RULE(rename_of_a_name_to_itself_does_nothing, "rename(2)")
{
    file_put("f", "text");
    dir_make("d", 0755);
    OK(rename("f", "f"));
    OK(rename("d", "d"));
    OK(rename("d", "./d"));
    FILE_IS("f", "text");
}

RULE(rename_between_two_names_of_one_file_keeps_both, "rename(2)")
{
    file_put("f", "text");
    OK(link("f", "g"));
    OK(rename("f", "g"));
    HOLDS(exists("f"));
    HOLDS(exists("g"));
    SAME(stat_of("f").st_nlink, 2);
}

RULE(rename_between_two_names_of_one_file_in_two_directories_keeps_both, "rename(2)")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    file_put("a/f", "text");
    OK(link("a/f", "b/f"));
    OK(rename("a/f", "b/f"));
    SAME(stat_of("a/f").st_nlink, 2);
    FILE_IS("b/f", "text");
}

RULE(rename_of_one_of_two_names_leaves_the_other, "rename(2)")
{
    file_put("f", "text");
    OK(link("f", "g"));
    OK(rename("f", "h"));
    FILE_IS("g", "text");
    FILE_IS("h", "text");
    SAME(stat_of("h").st_nlink, 2);
}

RULE(rename_replaces_an_empty_directory_by_a_directory, "rename(2)")
{
    dir_make("d", 0755);
    dir_make("e", 0755);
    file_make("d/f");
    OK(rename("d", "e"));
    HOLDS(exists("e/f"));
    HOLDS(!exists("d"));
}

RULE(rename_replaces_no_directory_that_holds_something, "rename(2) ENOTEMPTY")
{
    dir_make("d", 0755);
    dir_make("e", 0755);
    file_make("e/f");
    FAILS(ENOTEMPTY, rename("d", "e"));
    HOLDS(exists("d"));
    HOLDS(exists("e/f"));
}

RULE(rename_of_a_directory_over_a_file_fails, "rename(2) ENOTDIR")
{
    dir_make("d", 0755);
    file_make("f");
    FAILS(ENOTDIR, rename("d", "f"));
}

RULE(rename_of_a_file_over_a_directory_fails, "rename(2) EISDIR")
{
    dir_make("d", 0755);
    file_make("f");
    FAILS(EISDIR, rename("f", "d"));
}

RULE(rename_of_a_directory_below_itself_is_invalid, "rename(2) EINVAL")
{
    dir_make("d", 0755);
    dir_make("d/e", 0755);
    FAILS(EINVAL, rename("d", "d/x"));
    FAILS(EINVAL, rename("d", "d/e/x"));
    FAILS(EINVAL, rename("d", "d/e"));
}

RULE(rename_over_a_directory_above_finds_it_not_empty, "rename(2) ENOTEMPTY")
{
    dir_make("d", 0755);
    dir_make("d/e", 0755);
    FAILS(ENOTEMPTY, rename("d/e", "d"));
}

RULE(rename_of_a_missing_name_fails, "rename(2) ENOENT")
{
    file_make("g");
    FAILS(ENOENT, rename("none", "f"));
    FAILS(ENOENT, rename("none", "g"));
    FAILS(ENOENT, rename("g", "none/f"));
    FAILS(ENOENT, rename("", "f"));
    FAILS(ENOENT, rename("g", ""));
    HOLDS(exists("g"));
}

RULE(rename_below_a_file_fails, "rename(2) ENOTDIR")
{
    file_make("f");
    file_make("g");
    FAILS(ENOTDIR, rename("f", "g/h"));
    FAILS(ENOTDIR, rename("g/h", "f"));
}

RULE(rename_of_a_file_with_a_trailing_slash_fails, "rename(2) ENOTDIR")
{
    file_make("f");
    FAILS(ENOTDIR, rename("f/", "g"));
    FAILS(ENOTDIR, rename("f", "g/"));
}

RULE(rename_of_a_directory_takes_trailing_slashes, "path_resolution(7)")
{
    dir_make("d", 0755);
    OK(rename("d/", "e/"));
    HOLDS(exists("e"));
}

RULE(rename_of_dot_and_dot_dot_is_refused, "rename(2) EBUSY")
{
    dir_make("d", 0755);
    FAILS(EBUSY, rename("d/.", "e"));
    FAILS(EBUSY, rename("d/..", "e"));
    FAILS(EBUSY, rename("d", "."));
}

RULE(rename_moves_links_not_their_targets, "rename(2)")
{
    file_put("f", "text");
    OK(symlink("f", "l"));
    OK(rename("l", "m"));
    HOLDS(S_ISLNK(stat_of("m").st_mode));
    FILE_IS("f", "text");
}

RULE(rename_replaces_a_link_not_its_target, "rename(2)")
{
    file_put("f", "text");
    OK(symlink("f", "l"));
    file_put("new", "new");
    OK(rename("new", "l"));
    HOLDS(S_ISREG(stat_of("l").st_mode));
    FILE_IS("f", "text");
}

RULE(rename_over_a_dangling_link_replaces_it, "rename(2)")
{
    OK(symlink("none", "l"));
    file_put("f", "text");
    OK(rename("f", "l"));
    FILE_IS("l", "text");
    HOLDS(!exists("none"));
}

RULE(rename_moves_special_files, "rename(2)")
{
    OK(mkfifo("p", 0644));
    OK(rename("p", "q"));
    HOLDS(S_ISFIFO(stat_of("q").st_mode));
    file_put("f", "text");
    OK(rename("f", "q"));
    FILE_IS("q", "text");
}

RULE(rename_of_and_over_a_mount_point_is_busy, "rename(2) EBUSY")
{
    dir_make("d", 0755);
    dir_make("e", 0755);
    rule_mounts();
    OK(mount("none", "d", "tmpfs", 0, NULL));
    FAILS(EBUSY, rename("d", "x"));
    FAILS(EBUSY, rename("e", "d"));
    OK(umount("d"));
}

RULE(a_file_that_is_open_while_renamed_stays_the_same, "rename(2)")
{
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDWR));
    OK(rename("f", "g"));
    SAME(pwrite(fd, "T", 1, 0), 1);
    FILE_IS("g", "Text");
}

RULE(a_directory_moved_while_a_process_is_in_it_stays_usable, "rename(2)")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    dir_make("a/d", 0755);
    OK(chdir("a/d"));
    OK(rename("../../a/d", "../../b/d"));
    file_make("f");
    OK(chdir(".."));
    HOLDS(exists("d/f"));
    SAME(stat_of(".").st_ino, stat_of("../b").st_ino);
}

/* A replaced inode's cached names must not come back. */
RULE(names_below_a_replaced_directory_are_those_of_the_new_one, "rename(2)")
{
    dir_make("d", 0755);
    dir_make("e", 0755);
    file_put("d/f", "new");
    HOLDS(!exists("e/f"));
    OK(rename("d", "e"));
    FILE_IS("e/f", "new");
    HOLDS(!exists("d/f"));
}

RULE(a_name_looked_for_in_vain_appears_by_rename, "rename(2)")
{
    file_put("f", "text");
    HOLDS(!exists("g"));
    OK(rename("f", "g"));
    FILE_IS("g", "text");
    HOLDS(!exists("f"));
}

RULE(a_chain_of_renames_ends_where_it_began, "rename(2)")
{
    file_put("a", "1");
    file_put("b", "2");
    for (int i = 0; i < 10; i++) {
        OK(rename("a", "t"));
        OK(rename("b", "a"));
        OK(rename("t", "b"));
    }
    FILE_IS("a", "1");
    FILE_IS("b", "2");
}

/* ---- RENAME_NOREPLACE ---- */

RULE(noreplace_renames_to_a_free_name, "renameat2(2) RENAME_NOREPLACE")
{
    file_put("f", "text");
    OK(rename_flags("f", "g", RENAME_NOREPLACE));
    FILE_IS("g", "text");
    HOLDS(!exists("f"));
}

RULE(noreplace_refuses_every_kind_of_existing_name, "renameat2(2) EEXIST")
{
    file_put("f", "text");
    file_make("g");
    dir_make("d", 0755);
    OK(symlink("none", "l"));
    FAILS(EEXIST, rename_flags("f", "g", RENAME_NOREPLACE));
    FAILS(EEXIST, rename_flags("f", "d", RENAME_NOREPLACE));
    FAILS(EEXIST, rename_flags("f", "l", RENAME_NOREPLACE));
    FAILS(EEXIST, rename_flags("f", "f", RENAME_NOREPLACE));
    FILE_IS("f", "text");
}

RULE(noreplace_refuses_another_name_of_the_same_file, "renameat2(2) EEXIST")
{
    file_make("f");
    OK(link("f", "g"));
    FAILS(EEXIST, rename_flags("f", "g", RENAME_NOREPLACE));
}

/* ---- RENAME_EXCHANGE ---- */

RULE(exchange_swaps_two_files, "renameat2(2) RENAME_EXCHANGE")
{
    file_put("f", "one");
    file_put("g", "two");
    ino_t ino = stat_of("f").st_ino;
    OK(rename_flags("f", "g", RENAME_EXCHANGE));
    FILE_IS("f", "two");
    FILE_IS("g", "one");
    SAME(stat_of("g").st_ino, ino);
}

RULE(exchange_swaps_a_file_and_a_full_directory, "renameat2(2) RENAME_EXCHANGE")
{
    file_put("f", "text");
    dir_make("d", 0755);
    file_put("d/x", "below");
    OK(rename_flags("f", "d", RENAME_EXCHANGE));
    FILE_IS("d", "text");
    FILE_IS("f/x", "below");
}

RULE(exchange_swaps_two_full_directories_of_different_parents, "renameat2(2) RENAME_EXCHANGE")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    dir_make("a/d", 0755);
    dir_make("b/e", 0755);
    file_put("a/d/f", "one");
    file_put("b/e/f", "two");
    OK(rename_flags("a/d", "b/e", RENAME_EXCHANGE));
    FILE_IS("a/d/f", "two");
    FILE_IS("b/e/f", "one");
    SAME(stat_of("a/d/..").st_ino, stat_of("a").st_ino);
    SAME(stat_of("b/e/..").st_ino, stat_of("b").st_ino);
}

RULE(exchange_of_a_link_and_a_file_swaps_the_names_themselves, "renameat2(2) RENAME_EXCHANGE")
{
    file_put("f", "text");
    OK(symlink("none", "l"));
    OK(rename_flags("f", "l", RENAME_EXCHANGE));
    HOLDS(S_ISLNK(stat_of("f").st_mode));
    FILE_IS("l", "text");
}

RULE(exchange_needs_both_names, "renameat2(2) ENOENT")
{
    file_make("f");
    FAILS(ENOENT, rename_flags("f", "none", RENAME_EXCHANGE));
    FAILS(ENOENT, rename_flags("none", "f", RENAME_EXCHANGE));
    HOLDS(exists("f"));
}

RULE(exchange_of_a_directory_with_one_below_or_above_it_is_invalid, "renameat2(2) EINVAL")
{
    dir_make("d", 0755);
    dir_make("d/e", 0755);
    FAILS(EINVAL, rename_flags("d", "d/e", RENAME_EXCHANGE));
    FAILS(EINVAL, rename_flags("d/e", "d", RENAME_EXCHANGE));
}

RULE(exchange_of_two_names_of_one_file_keeps_both, "renameat2(2) RENAME_EXCHANGE")
{
    file_put("f", "text");
    OK(link("f", "g"));
    OK(rename_flags("f", "g", RENAME_EXCHANGE));
    SAME(stat_of("f").st_nlink, 2);
    FILE_IS("g", "text");
}

RULE(exchange_and_noreplace_together_are_invalid, "renameat2(2) EINVAL")
{
    file_make("f");
    file_make("g");
    FAILS(EINVAL, rename_flags("f", "g", RENAME_EXCHANGE | RENAME_NOREPLACE));
    FAILS(EINVAL, rename_flags("f", "g", 1U << 20));
}
