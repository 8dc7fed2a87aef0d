/* SPDX-License-Identifier: Apache-2.0 */
/* chmod(2), chown(2), and the bits setuid, setgid and sticky. */
#include "tests/posix/rule.h"

/* A file of USER and TEAM with that mode. */
static void users_file(const char *name, mode_t mode)
{
    rule_as_root("it gives files away, which root may");
    file_put(name, "text");
    OK(chown(name, USER, TEAM));
    OK(chmod(name, mode));
}

RULE(chmod_sets_all_twelve_bits, "chmod(2)")
{
    file_make("f");
    for (unsigned mode = 0; mode <= 07777; mode += 0111) {
        OK(chmod("f", mode));
        SAME(mode_of("f"), mode);
    }
    dir_make("d", 0755);
    OK(chmod("d", 07777));
    SAME(mode_of("d"), 07777);
}

RULE(chmod_ignores_the_bits_of_the_type, "chmod(2)")
{
    file_make("f");
    OK(chmod("f", S_IFDIR | 0600));
    SAME(stat_of("f").st_mode, S_IFREG | 0600);
}

RULE(chmod_follows_links, "chmod(2)")
{
    file_make("f");
    OK(symlink("f", "l"));
    OK(chmod("l", 0600));
    SAME(mode_of("f"), 0600);
    SAME(mode_of("l"), 0777);
}

RULE(fchmod_changes_the_open_file, "fchmod(2)")
{
    int fd = file_open("f");
    OK(fchmod(fd, 0600));
    SAME(mode_of("f"), 0600);
}

RULE(chmod_of_a_missing_file_fails, "chmod(2) ENOENT, ENOTDIR")
{
    file_make("f");
    FAILS(ENOENT, chmod("none", 0600));
    FAILS(ENOTDIR, chmod("f/g", 0600));
}

RULE(chmod_by_another_user_is_refused, "chmod(2) EPERM")
{
    users_file("f", 0666);
    become(OTHER, TEAM, 0);
    FAILS(EPERM, chmod("f", 0600));
    SAME(mode_of("f"), 0666);
}

RULE(the_owner_may_change_a_mode_that_gives_him_nothing, "chmod(2)")
{
    users_file("f", 0);
    become(USER, USER, 0);
    OK(chmod("f", 0600));
    SAME(mode_of("f"), 0600);
}

RULE(chmod_by_an_owner_outside_the_group_drops_setgid, "chmod(2)")
{
    users_file("f", 0755);
    become(USER, USER, 0);
    OK(chmod("f", 02755));
    SAME(mode_of("f"), 0755);
}

RULE(chmod_by_an_owner_in_the_group_keeps_setgid, "chmod(2)")
{
    users_file("f", 0755);
    become(USER, USER, TEAM);
    OK(chmod("f", 02755));
    SAME(mode_of("f"), 02755);
}

RULE(an_owner_may_set_setuid_and_sticky, "chmod(2)")
{
    users_file("f", 0755);
    become(USER, USER, 0);
    OK(chmod("f", 05755));
    SAME(mode_of("f"), 05755);
}

RULE(chmod_keeps_setgid_of_a_directory_of_the_own_group, "chmod(2)")
{
    rule_as_root("it gives files away, which root may");
    dir_make("d", 0755);
    OK(chown("d", USER, TEAM));
    become(USER, TEAM, 0);
    OK(chmod("d", 02750));
    SAME(mode_of("d"), 02750);
}

RULE(chown_by_root_sets_owner_and_group, "chown(2)")
{
    rule_as_root("it gives files away, which root may");
    file_make("f");
    OK(chown("f", USER, TEAM));
    SAME(stat_of("f").st_uid, USER);
    SAME(stat_of("f").st_gid, TEAM);
}

RULE(minus_one_leaves_owner_or_group, "chown(2)")
{
    users_file("f", 0644);
    OK(chown("f", OTHER, (gid_t)-1));
    SAME(stat_of("f").st_uid, OTHER);
    SAME(stat_of("f").st_gid, TEAM);
    OK(chown("f", (uid_t)-1, OTHER));
    SAME(stat_of("f").st_uid, OTHER);
    SAME(stat_of("f").st_gid, OTHER);
}

RULE(large_owner_numbers_are_kept_whole, "chown(2)")
{
    rule_as_root("it gives files away, which root may");
    file_make("f");
    OK(chown("f", 0xfffffffeU, 0xfffffffdU));
    SAME(stat_of("f").st_uid, 0xfffffffeU);
    SAME(stat_of("f").st_gid, 0xfffffffdU);
}

RULE(chown_follows_links_and_lchown_does_not, "chown(2)")
{
    rule_as_root("it gives files away, which root may");
    file_make("f");
    OK(symlink("f", "l"));
    OK(chown("l", USER, TEAM));
    SAME(stat_of("f").st_uid, USER);
    SAME(stat_of("l").st_uid, 0);
    OK(lchown("l", OTHER, OTHER));
    SAME(stat_of("f").st_uid, USER);
    SAME(stat_of("l").st_uid, OTHER);
}

RULE(an_owner_cannot_give_a_file_away, "chown(2) EPERM")
{
    users_file("f", 0644);
    become(USER, USER, TEAM);
    FAILS(EPERM, chown("f", OTHER, (gid_t)-1));
    FAILS(EPERM, chown("f", 0, (gid_t)-1));
}

RULE(an_owner_may_change_the_group_to_one_of_his_own, "chown(2)")
{
    users_file("f", 0644);
    become(USER, USER, TEAM);
    OK(chown("f", (uid_t)-1, USER));
    SAME(stat_of("f").st_gid, USER);
    OK(chown("f", USER, TEAM));
    SAME(stat_of("f").st_gid, TEAM);
}

RULE(an_owner_cannot_change_the_group_to_a_foreign_one, "chown(2) EPERM")
{
    users_file("f", 0644);
    become(USER, USER, 0);
    FAILS(EPERM, chown("f", (uid_t)-1, OTHER));
    SAME(stat_of("f").st_gid, TEAM);
}

RULE(another_user_cannot_change_the_group, "chown(2) EPERM")
{
    users_file("f", 0666);
    become(OTHER, OTHER, TEAM);
    FAILS(EPERM, chown("f", (uid_t)-1, OTHER));
}

RULE(chown_by_the_owner_clears_setuid_and_setgid, "chown(2)")
{
    users_file("f", 06755);
    become(USER, USER, TEAM);
    OK(chown("f", (uid_t)-1, USER));
    SAME(mode_of("f"), 0755);
}

RULE(chown_by_root_clears_setuid_and_setgid_too, "chown(2) (Linux)")
{
    users_file("f", 06755);
    OK(chown("f", OTHER, OTHER));
    SAME(mode_of("f"), 0755);
}

RULE(chown_keeps_the_sticky_bit, "chown(2), inode(7)")
{
    rule_as_root("it gives files away, which root may");
    file_make("f");
    OK(chmod("f", 07755));
    OK(chown("f", USER, TEAM));
    SAME(mode_of("f"), 01755);
}

RULE(chown_leaves_setgid_without_group_execution, "chown(2), inode(7)")
{
    users_file("f", 02644);
    OK(chown("f", OTHER, (gid_t)-1));
    SAME(mode_of("f"), 02644);
}

RULE(chown_leaves_the_bits_of_a_directory, "chown(2)")
{
    rule_as_root("it gives files away, which root may");
    dir_make("d", 07777);
    OK(chown("d", USER, TEAM));
    SAME(mode_of("d"), 07777);
}

RULE(writing_clears_setuid_and_setgid, "write(2)")
{
    users_file("f", 06777);
    become(USER, USER, TEAM);
    int fd = (int)OK(open("f", O_WRONLY));
    SAME(write(fd, "x", 1), 1);
    SAME(mode_of("f"), 0777);
}

RULE(writing_by_another_user_clears_setuid_and_setgid, "write(2)")
{
    users_file("f", 06777);
    become(OTHER, OTHER, 0);
    int fd = (int)OK(open("f", O_WRONLY));
    SAME(write(fd, "x", 1), 1);
    SAME(mode_of("f"), 0777);
}

RULE(writing_past_the_cache_clears_setuid, "write(2), open(2) O_DIRECT")
{
    static char page[PAGE] __attribute__((aligned(PAGE)));
    users_file("f", 04777);
    become(OTHER, OTHER, 0);
    int fd = (int)OK(open("f", O_WRONLY | O_DIRECT));
    SAME(write(fd, page, PAGE), PAGE);
    SAME(mode_of("f"), 0777);
}

RULE(writing_by_root_leaves_setuid, "write(2), capabilities(7) CAP_FSETID")
{
    users_file("f", 06755);
    int fd = (int)OK(open("f", O_WRONLY));
    SAME(write(fd, "x", 1), 1);
    SAME(mode_of("f"), 06755);
}

RULE(truncation_clears_setuid_and_setgid, "truncate(2)")
{
    users_file("f", 06777);
    become(OTHER, OTHER, 0);
    OK(truncate("f", 1));
    SAME(mode_of("f"), 0777);
}

RULE(opening_with_o_trunc_clears_setuid_and_setgid, "open(2) O_TRUNC")
{
    users_file("f", 06777);
    become(OTHER, OTHER, 0);
    OK(open("f", O_WRONLY | O_TRUNC));
    SAME(mode_of("f"), 0777);
}

RULE(fallocate_clears_setuid_and_setgid, "fallocate(2)")
{
    users_file("f", 06777);
    become(OTHER, OTHER, 0);
    int fd = (int)OK(open("f", O_WRONLY));
    OK(fallocate(fd, 0, 0, 100));
    SAME(mode_of("f"), 0777);
}

RULE(copy_file_range_clears_setuid_and_setgid, "copy_file_range(2)")
{
    file_put("from", "bytes");
    users_file("f", 06777);
    become(OTHER, OTHER, 0);
    int in = (int)OK(open("from", O_RDONLY));
    int out = (int)OK(open("f", O_WRONLY));
    SAME(copy_file_range(in, NULL, out, NULL, 5, 0), 5);
    SAME(mode_of("f"), 0777);
}

RULE(reading_and_linking_leave_setuid, "chmod(2)")
{
    users_file("f", 06755);
    FILE_IS("f", "text");
    OK(link("f", "g"));
    OK(rename("g", "h"));
    SAME(mode_of("f"), 06755);
}

/* ---- setgid directories ---- */

static void team_dir(void)
{
    rule_as_root("it gives files away, which root may");
    dir_make("d", 0777);
    OK(chown("d", 0, TEAM));
    OK(chmod("d", 02777));
}

RULE(files_in_a_setgid_directory_take_its_group, "inode(7) S_ISGID")
{
    team_dir();
    become(USER, USER, 0);
    file_make("d/f");
    SAME(stat_of("d/f").st_gid, TEAM);
    SAME(stat_of("d/f").st_uid, USER);
    SAME(mode_of("d/f"), 0644);
}

RULE(directories_in_a_setgid_directory_take_its_group_and_the_bit, "inode(7) S_ISGID")
{
    team_dir();
    become(USER, USER, 0);
    OK(mkdir("d/e", 0755));
    SAME(stat_of("d/e").st_gid, TEAM);
    SAME(mode_of("d/e"), 02755);
}

RULE(links_and_special_files_in_a_setgid_directory_take_its_group, "inode(7) S_ISGID")
{
    team_dir();
    become(USER, USER, 0);
    OK(symlink("x", "d/l"));
    OK(mkfifo("d/p", 0644));
    SAME(stat_of("d/l").st_gid, TEAM);
    SAME(stat_of("d/p").st_gid, TEAM);
}

RULE(a_stranger_makes_no_setgid_program_in_a_setgid_directory, "open(2) O_CREAT, S_ISGID")
{
    team_dir();
    become(USER, USER, 0);
    OK(open("d/f", O_CREAT | O_WRONLY, 02755));
    SAME(mode_of("d/f"), 0755);
}

RULE(a_member_of_the_group_makes_a_setgid_program_there, "open(2) O_CREAT, S_ISGID")
{
    team_dir();
    become(USER, USER, TEAM);
    OK(open("d/f", O_CREAT | O_WRONLY, 02755));
    SAME(mode_of("d/f"), 02755);
}

RULE(without_setgid_new_files_take_the_group_of_the_process, "inode(7) S_ISGID")
{
    rule_as_root("it gives files away, which root may");
    dir_make("d", 0777);
    OK(chown("d", 0, TEAM));
    become(USER, USER, 0);
    file_make("d/f");
    SAME(stat_of("d/f").st_gid, USER);
}

/* ---- sticky directories ---- */

static void sticky_dir(void)
{
    dir_make("d", 01777);
    users_file("d/f", 0666);
}

RULE(in_a_sticky_directory_a_stranger_removes_nothing, "unlink(2) EPERM")
{
    sticky_dir();
    become(OTHER, OTHER, TEAM);
    FAILS(EPERM, unlink("d/f"));
}

RULE(in_a_sticky_directory_a_stranger_renames_nothing, "rename(2) EPERM")
{
    sticky_dir();
    become(OTHER, OTHER, 0);
    FAILS(EPERM, rename("d/f", "d/g"));
}

RULE(in_a_sticky_directory_a_stranger_replaces_nothing, "rename(2) EPERM")
{
    sticky_dir();
    become(OTHER, OTHER, 0);
    file_make("d/mine");
    FAILS(EPERM, rename("d/mine", "d/f"));
    FAILS(EPERM, renameat2(AT_FDCWD, "d/mine", AT_FDCWD, "d/f", RENAME_EXCHANGE));
}

RULE(in_a_sticky_directory_a_stranger_removes_no_directory, "rmdir(2) EPERM")
{
    sticky_dir();
    dir_make("d/e", 0777);
    become(OTHER, OTHER, 0);
    FAILS(EPERM, rmdir("d/e"));
}

RULE(in_a_sticky_directory_the_owner_of_a_file_removes_it, "inode(7) S_ISVTX")
{
    sticky_dir();
    become(USER, USER, 0);
    OK(rename("d/f", "d/g"));
    OK(unlink("d/g"));
}

RULE(the_owner_of_a_sticky_directory_removes_what_he_likes, "inode(7) S_ISVTX")
{
    sticky_dir();
    OK(chown("d", OTHER, OTHER));
    become(OTHER, OTHER, 0);
    OK(unlink("d/f"));
}

RULE(a_sticky_directory_still_lets_all_make_and_write_files, "inode(7) S_ISVTX")
{
    sticky_dir();
    become(OTHER, OTHER, 0);
    file_make("d/mine");
    file_put("d/f", "changed");
    FILE_IS("d/f", "changed");
}

RULE(without_the_sticky_bit_whoever_may_write_the_directory_removes_files, "unlink(2)")
{
    dir_make("d", 0777);
    users_file("d/f", 0);
    become(OTHER, OTHER, 0);
    OK(unlink("d/f"));
}
