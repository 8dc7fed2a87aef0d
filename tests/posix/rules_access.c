/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what: the three classes, supplementary groups, directories. */
#include "tests/posix/rule.h"

#include <sys/mount.h>

/* A file of USER and TEAM. */
static void users_file(const char *name, mode_t mode)
{
    rule_as_root("it gives files away, which root may");
    file_put(name, "text");
    OK(chown(name, USER, TEAM));
    OK(chmod(name, mode));
}

static void users_dir(const char *name, mode_t mode)
{
    rule_as_root("it gives files away, which root may");
    dir_make(name, 0700);
    OK(chown(name, USER, TEAM));
    OK(chmod(name, mode));
}

RULE(the_owner_class_decides_for_the_owner, "path_resolution(7) Permissions")
{
    users_file("f", 0077);
    become(USER, TEAM, 0);
    FAILS(EACCES, open("f", O_RDONLY));
    FAILS(EACCES, open("f", O_WRONLY));
}

RULE(the_owner_may_read_and_write_as_his_bits_say, "path_resolution(7) Permissions")
{
    users_file("f", 0400);
    users_file("g", 0200);
    become(USER, USER, 0);
    OK(open("f", O_RDONLY));
    FAILS(EACCES, open("f", O_WRONLY));
    OK(open("g", O_WRONLY));
    FAILS(EACCES, open("g", O_RDONLY));
    FAILS(EACCES, open("g", O_RDWR));
}

RULE(the_group_class_decides_for_members, "path_resolution(7) Permissions")
{
    users_file("f", 0747);
    become(OTHER, TEAM, 0);
    OK(open("f", O_RDONLY));
    FAILS(EACCES, open("f", O_WRONLY));
}

RULE(the_group_class_shuts_members_out_of_what_others_may, "path_resolution(7) Permissions")
{
    users_file("f", 0606);
    become(OTHER, TEAM, 0);
    FAILS(EACCES, open("f", O_RDONLY));
}

RULE(a_supplementary_group_counts_as_the_group, "path_resolution(7), credentials(7)")
{
    users_file("f", 0640);
    become(OTHER, OTHER, TEAM);
    OK(open("f", O_RDONLY));
    FAILS(EACCES, open("f", O_WRONLY));
}

RULE(a_supplementary_group_may_write_a_directory, "path_resolution(7), credentials(7)")
{
    users_dir("d", 0770);
    become(OTHER, OTHER, TEAM);
    file_make("d/f");
    OK(rename("d/f", "d/g"));
    OK(unlink("d/g"));
}

RULE(others_have_only_what_is_left_for_them, "path_resolution(7) Permissions")
{
    users_file("f", 0774);
    become(OTHER, OTHER, 0);
    OK(open("f", O_RDONLY));
    FAILS(EACCES, open("f", O_WRONLY));
}

RULE(a_changed_mode_counts_at_the_next_open, "chmod(2)")
{
    users_file("f", 0600);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, open("f", O_RDONLY));
    become_root();
    OK(chmod("f", 0604));
    become(OTHER, OTHER, 0);
    OK(open("f", O_RDONLY));
}

RULE(a_changed_owner_counts_at_the_next_open, "chown(2)")
{
    users_file("f", 0600);
    OK(chown("f", OTHER, TEAM));
    become(USER, USER, 0);
    FAILS(EACCES, open("f", O_RDONLY));
    become_root();
    become(OTHER, OTHER, 0);
    OK(open("f", O_RDONLY));
}

RULE(root_reads_and_writes_what_nobody_may, "capabilities(7) CAP_DAC_OVERRIDE")
{
    users_file("f", 0);
    OK(open("f", O_RDWR));
    users_dir("d", 0);
    file_make("d/f");
}

RULE(nobody_runs_what_has_no_execute_bit, "execve(2) EACCES")
{
    users_file("f", 0666);
    FAILS(EACCES, access("f", X_OK));
    FAILS(EACCES, execl("f", "f", (char *)NULL));
}

RULE(access_answers_for_the_real_user, "access(2)")
{
    users_file("f", 0600);
    become(USER, USER, 0);
    OK(access("f", R_OK | W_OK)); /* the real user is root */
    OK(faccessat(AT_FDCWD, "f", R_OK | W_OK, AT_EACCESS));
    become_root();
    become(OTHER, OTHER, 0);
    OK(access("f", R_OK));
    FAILS(EACCES, faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
}

RULE(access_of_a_missing_file_fails, "access(2) ENOENT")
{
    FAILS(ENOENT, access("none", F_OK));
    file_make("f");
    OK(access("f", F_OK));
}

/* ---- directories ---- */

RULE(without_search_permission_no_name_below_is_found, "path_resolution(7)")
{
    struct stat st;
    users_dir("d", 0766);
    users_file("d/f", 0666);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, stat("d/f", &st));
    FAILS(EACCES, open("d/f", O_RDONLY));
    FAILS(EACCES, chdir("d"));
    FAILS(EACCES, stat("d/none", &st));
}

RULE(without_search_permission_nothing_below_is_found_however_deep, "path_resolution(7)")
{
    struct stat st;
    users_dir("d", 0755);
    users_dir("d/e", 0755);
    users_file("d/e/f", 0666);
    OK(stat("d/e/f", &st));
    OK(chmod("d", 0700));
    become(OTHER, OTHER, 0);
    FAILS(EACCES, stat("d/e/f", &st));
}

RULE(search_permission_alone_finds_names_and_lists_none, "path_resolution(7)")
{
    users_dir("d", 0711);
    users_file("d/f", 0644);
    become(OTHER, OTHER, 0);
    OK(open("d/f", O_RDONLY));
    FAILS(EACCES, open("d", O_RDONLY));
}

RULE(read_permission_alone_lets_open_the_directory, "open(2)")
{
    users_dir("d", 0744);
    become(OTHER, OTHER, 0);
    OK(open("d", O_RDONLY | O_DIRECTORY));
}

RULE(making_names_needs_the_right_to_write_the_directory, "open(2), mkdir(2), symlink(2) EACCES")
{
    users_dir("d", 0755);
    users_file("f", 0666);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, open("d/g", O_CREAT | O_WRONLY, 0644));
    FAILS(EACCES, mkdir("d/e", 0755));
    FAILS(EACCES, symlink("x", "d/l"));
    FAILS(EACCES, mkfifo("d/p", 0644));
    FAILS(EACCES, mknod("d/n", S_IFREG | 0644, 0));
}

RULE(making_names_needs_the_right_to_search_the_directory, "open(2), mkdir(2) EACCES")
{
    users_dir("d", 0766);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, open("d/g", O_CREAT | O_WRONLY, 0644));
    FAILS(EACCES, mkdir("d/e", 0755));
}

RULE(removing_names_needs_the_right_to_write_the_directory, "unlink(2), rmdir(2) EACCES")
{
    users_dir("d", 0755);
    users_file("d/f", 0666);
    users_dir("d/e", 0777);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, unlink("d/f"));
    FAILS(EACCES, rmdir("d/e"));
    FAILS(EACCES, rename("d/f", "d/g"));
}

RULE(an_existing_file_can_be_opened_with_o_creat_in_a_directory_for_reading, "open(2) O_CREAT")
{
    users_dir("d", 0755);
    users_file("d/f", 0666);
    become(OTHER, OTHER, 0);
    OK(open("d/f", O_CREAT | O_WRONLY, 0644));
}

RULE(an_existing_name_is_told_before_a_missing_permission, "open(2), mkdir(2) EEXIST")
{
    users_dir("d", 0755);
    users_file("d/f", 0666);
    become(OTHER, OTHER, 0);
    FAILS(EEXIST, mkdir("d/f", 0755));
    FAILS(EEXIST, open("d/f", O_CREAT | O_EXCL | O_WRONLY, 0644));
}

RULE(rename_needs_the_right_to_write_both_directories, "rename(2) EACCES")
{
    users_dir("from", 0755);
    users_dir("to", 0777);
    users_file("from/f", 0666);
    users_file("to/g", 0666);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, rename("from/f", "to/f"));
    FAILS(EACCES, rename("to/g", "from/g"));
    FAILS(EACCES, renameat2(AT_FDCWD, "from/f", AT_FDCWD, "to/g", RENAME_EXCHANGE));
}

RULE(moving_a_directory_needs_the_right_to_write_it, "rename(2) EACCES")
{
    dir_make("a", 0777);
    dir_make("b", 0777);
    users_dir("a/d", 0755);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, rename("a/d", "b/d"));
    OK(rename("a/d", "a/e")); /* its .. stays the same */
}

RULE(link_needs_the_right_to_write_the_new_directory, "link(2) EACCES")
{
    users_dir("d", 0755);
    file_make("f");
    OK(chown("f", OTHER, OTHER));
    become(OTHER, OTHER, 0);
    FAILS(EACCES, link("f", "d/f"));
}

RULE(truncate_needs_the_right_to_write, "truncate(2) EACCES")
{
    users_file("f", 0744);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, truncate("f", 0));
}

RULE(a_link_protects_nothing_its_target_does, "symlink(7)")
{
    users_file("f", 0600);
    OK(symlink("f", "l"));
    become(OTHER, OTHER, 0);
    FAILS(EACCES, open("l", O_RDONLY));
    char target[8];
    SAME(readlink("l", target, sizeof target), 1);
}

/* ---- read-only mounts ---- */

RULE(a_read_only_mount_refuses_every_change, "open(2), mkdir(2), ... EROFS")
{
    dir_make("d", 0777);
    file_put("d/f", "text");
    rule_mounts();
    OK(mount("d", "d", NULL, MS_BIND, NULL));
    OK(mount(NULL, "d", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
    FAILS(EROFS, open("d/f", O_WRONLY));
    FAILS(EROFS, open("d/g", O_WRONLY | O_CREAT, 0644));
    FAILS(EROFS, open("d/f", O_RDONLY | O_TRUNC));
    FAILS(EROFS, mkdir("d/e", 0755));
    FAILS(EROFS, unlink("d/f"));
    FAILS(EROFS, rename("d/f", "d/g"));
    FAILS(EROFS, link("d/f", "d/g"));
    FAILS(EROFS, symlink("x", "d/l"));
    FAILS(EROFS, mkfifo("d/p", 0644));
    FAILS(EROFS, chmod("d/f", 0600));
    FAILS(EROFS, chown("d/f", USER, TEAM));
    FAILS(EROFS, truncate("d/f", 0));
    FAILS(EROFS, utimensat(AT_FDCWD, "d/f", NULL, 0));
    FILE_IS("d/f", "text");
    OK(umount("d"));
}

RULE(a_read_only_mount_says_so_to_access_and_statvfs, "access(2) EROFS")
{
    dir_make("d", 0777);
    file_make("d/f");
    rule_mounts();
    OK(mount("d", "d", NULL, MS_BIND, NULL));
    OK(mount(NULL, "d", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
    FAILS(EROFS, access("d/f", W_OK));
    OK(access("d/f", R_OK));
    OK(umount("d"));
}
