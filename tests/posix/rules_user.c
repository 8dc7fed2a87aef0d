/* SPDX-License-Identifier: Apache-2.0 */
/* What an ordinary user does in a directory of his own, and what he is refused. */
#include "tests/posix/rule.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

/* In an own directory from now on, beside a file and a directory of root's. */
static void be_user(void)
{
    rule_as_root("it acts as a user beside root's files, which root may");
    file_put("roots", "root");
    dir_make("rootsdir", 0755);
    dir_make("home", 0755);
    OK(chown("home", USER, USER));
    OK(chdir("home"));
    become(USER, USER, TEAM);
}

RULE(a_user_makes_writes_and_reads_a_file, "open(2)")
{
    be_user();
    file_put("f", "mine");
    FILE_IS("f", "mine");
    SAME(stat_of("f").st_uid, USER);
    SAME(stat_of("f").st_gid, USER);
}

RULE(a_user_reads_what_root_lets_him, "path_resolution(7)")
{
    be_user();
    FILE_IS("../roots", "root");
    FAILS(EACCES, open("../roots", O_WRONLY));
    FAILS(EACCES, open("../roots", O_RDONLY | O_TRUNC));
}

RULE(a_user_makes_and_removes_a_tree, "mkdir(2), rmdir(2)")
{
    be_user();
    OK(mkdir("a", 0755));
    OK(mkdir("a/b", 0700));
    file_make("a/b/f");
    FAILS(ENOTEMPTY, rmdir("a"));
    OK(unlink("a/b/f"));
    OK(rmdir("a/b"));
    OK(rmdir("a"));
}

RULE(a_user_links_and_unlinks_his_files, "link(2), unlink(2)")
{
    be_user();
    file_put("f", "x");
    OK(link("f", "g"));
    SAME(stat_of("f").st_nlink, 2);
    OK(unlink("f"));
    FILE_IS("g", "x");
}

RULE(a_user_makes_symbolic_links_of_his_own, "symlink(2)")
{
    be_user();
    OK(symlink("../roots", "l"));
    SAME(stat_of("l").st_uid, USER);
    FILE_IS("l", "root");
    FAILS(EACCES, open("l", O_WRONLY));
}

RULE(a_user_renames_and_exchanges_his_files, "rename(2)")
{
    be_user();
    file_put("f", "1");
    file_put("g", "2");
    OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_EXCHANGE));
    FILE_IS("f", "2");
    OK(rename("f", "g"));
    FILE_IS("g", "2");
}

RULE(a_user_moves_nothing_out_of_a_directory_of_root, "rename(2) EACCES")
{
    be_user();
    FAILS(EACCES, rename("../roots", "mine"));
    FAILS(EACCES, rename("../rootsdir", "mine"));
    file_make("f");
    FAILS(EACCES, rename("f", "../rootsdir/f"));
    FAILS(EACCES, link("f", "../rootsdir/f"));
}

RULE(a_user_removes_nothing_of_root, "unlink(2) EACCES")
{
    be_user();
    FAILS(EACCES, unlink("../roots"));
    FAILS(EACCES, rmdir("../rootsdir"));
    FAILS(EACCES, rmdir("../home"));
}

RULE(a_user_removes_a_file_of_root_from_his_directory, "unlink(2)")
{
    rule_as_root("it gives files away, which root may");
    dir_make("home", 0755);
    file_make("home/f");
    OK(chown("home", USER, USER));
    become(USER, USER, 0);
    OK(unlink("home/f"));
}

RULE(a_user_removes_no_full_directory_of_root, "rmdir(2) ENOTEMPTY")
{
    rule_as_root("it gives files away, which root may");
    dir_make("home", 0755);
    dir_make("home/d", 0755);
    file_make("home/d/f");
    OK(chown("home", USER, USER));
    become(USER, USER, 0);
    FAILS(ENOTEMPTY, rmdir("home/d"));
    FAILS(EACCES, unlink("home/d/f"));
}

RULE(a_user_moves_no_directory_of_root_to_another_parent, "rename(2) EACCES")
{
    rule_as_root("it gives files away, which root may");
    dir_make("home", 0755);
    dir_make("home/d", 0755);
    dir_make("home/e", 0755);
    OK(chown("home", USER, USER));
    OK(chown("home/e", USER, USER));
    become(USER, USER, 0);
    FAILS(EACCES, rename("home/d", "home/e/d"));
    OK(rename("home/d", "home/f"));
}

RULE(a_user_changes_the_mode_of_his_files_only, "chmod(2) EPERM")
{
    be_user();
    file_make("f");
    OK(chmod("f", 0604));
    SAME(mode_of("f"), 0604);
    FAILS(EPERM, chmod("../roots", 0666));
}

RULE(a_user_gives_his_file_to_his_other_group, "chown(2)")
{
    be_user();
    file_make("f");
    OK(chown("f", (uid_t)-1, TEAM));
    SAME(stat_of("f").st_gid, TEAM);
    FAILS(EPERM, chown("f", (uid_t)-1, OTHER));
    FAILS(EPERM, chown("f", OTHER, (gid_t)-1));
}

RULE(a_user_owns_what_he_owns_already, "chown(2)")
{
    be_user();
    file_make("f");
    OK(chown("f", USER, USER));
    OK(chown("f", (uid_t)-1, (gid_t)-1));
}

RULE(a_user_truncates_his_file, "truncate(2)")
{
    be_user();
    file_put("f", "text");
    OK(truncate("f", 2));
    FILE_IS("f", "te");
    FAILS(EACCES, truncate("../roots", 0));
}

RULE(a_user_sets_the_times_of_his_file, "utimensat(2)")
{
    struct timespec times[2] = {{.tv_sec = 10}, {.tv_sec = 20}};
    be_user();
    file_make("f");
    OK(utimensat(AT_FDCWD, "f", times, 0));
    SAME(stat_of("f").st_mtim.tv_sec, 20);
    FAILS(EPERM, utimensat(AT_FDCWD, "../roots", times, 0));
    FAILS(EACCES, utimensat(AT_FDCWD, "../roots", NULL, 0));
}

RULE(a_user_sets_attributes_of_his_file, "xattr(7)")
{
    char value[8];
    be_user();
    file_make("f");
    OK(setxattr("f", "user.a", "1", 1, 0));
    SAME(getxattr("f", "user.a", value, sizeof value), 1);
    FAILS(EPERM, setxattr("f", "trusted.a", "1", 1, 0));
    FAILS(EPERM, setxattr("f", "security.a", "1", 1, 0));
    FAILS(EACCES, setxattr("../roots", "user.a", "1", 1, 0));
}

RULE(a_user_makes_fifos_and_sockets_but_no_devices, "mknod(2) EPERM")
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "s"};
    be_user();
    OK(mkfifo("p", 0600));
    OK(bind((int)OK(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&at, sizeof at));
    FAILS(EPERM, mknod("c", S_IFCHR | 0600, makedev(1, 3)));
    FAILS(EPERM, mknod("b", S_IFBLK | 0600, makedev(7, 0)));
}

RULE(a_user_makes_a_file_without_a_name, "open(2) O_TMPFILE")
{
    be_user();
    int fd = (int)OK(open(".", O_TMPFILE | O_RDWR, 0600));
    SAME(write(fd, "x", 1), 1);
    FAILS(EACCES, open("../rootsdir", O_TMPFILE | O_RDWR, 0600));
}

RULE(a_user_maps_and_locks_his_file, "mmap(2), flock(2)")
{
    be_user();
    int fd = file_open("f");
    OK(ftruncate(fd, PAGE));
    char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    HOLDS(map != MAP_FAILED);
    map[0] = 'm';
    SAME(byte_at(fd, 0), 'm');
    OK(flock(fd, LOCK_EX));
}

RULE(a_user_maps_nothing_for_writing_that_he_cannot_write, "mmap(2) EACCES")
{
    be_user();
    int fd = (int)OK(open("../roots", O_RDONLY));
    HOLDS(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    SAME(errno, EACCES);
    HOLDS(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) != MAP_FAILED);
}

RULE(a_user_punches_and_extends_his_file, "fallocate(2)")
{
    be_user();
    int fd = file_open("f");
    file_fill(fd, 'x', 2 * PAGE);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
    SAME(byte_at(fd, 0), 0);
    SAME(byte_at(fd, PAGE), 'x');
}

RULE(a_user_learns_how_full_the_mount_is, "statvfs(3)")
{
    struct statvfs st;
    be_user();
    OK(statvfs(".", &st));
    HOLDS(st.f_bavail <= st.f_bfree);
}

RULE(a_user_syncs_his_file_and_directory, "fsync(2)")
{
    be_user();
    file_put("f", "x");
    OK(fsync((int)OK(open("f", O_RDONLY))));
    OK(fsync((int)OK(open(".", O_RDONLY | O_DIRECTORY))));
}

RULE(a_user_with_umask_077_lets_nobody_in, "umask(2)")
{
    be_user();
    umask(077);
    file_put("f", "secret");
    OK(mkdir("d", 0777));
    SAME(mode_of("f"), 0600);
    SAME(mode_of("d"), 0700);
    become_root();
    become(OTHER, OTHER, TEAM);
    FAILS(EACCES, open("f", O_RDONLY));
    FAILS(EACCES, open("d", O_RDONLY));
}

RULE(umask_0_lets_everybody_in, "umask(2)")
{
    be_user();
    umask(0);
    OK(open("f", O_CREAT | O_WRONLY, 0666));
    OK(mkdir("d", 0777));
    OK(mkfifo("p", 0666));
    SAME(mode_of("f"), 0666);
    SAME(mode_of("d"), 0777);
    SAME(mode_of("p"), 0666);
}

RULE(the_umask_of_one_process_is_not_that_of_another, "umask(2)")
{
    umask(077);
    file_make("f");
    umask(002);
    OK(open("g", O_CREAT | O_WRONLY, 0666));
    SAME(mode_of("f"), 0600);
    SAME(mode_of("g"), 0664);
}

RULE(chmod_does_not_heed_the_umask, "chmod(2)")
{
    be_user();
    umask(077);
    file_make("f");
    OK(chmod("f", 0666));
    SAME(mode_of("f"), 0666);
}

RULE(a_supplementary_group_makes_files_in_a_setgid_directory, "inode(7) S_ISGID")
{
    rule_as_root("it gives files away, which root may");
    dir_make("team", 0770);
    OK(chown("team", 0, TEAM));
    OK(chmod("team", 02770));
    become(USER, USER, TEAM);
    file_put("team/f", "x");
    SAME(stat_of("team/f").st_gid, TEAM);
    become_root();
    become(OTHER, OTHER, TEAM);
    FILE_IS("team/f", "x");
    OK(rename("team/f", "team/g"));
    become_root();
    become(OTHER, OTHER, 0);
    FAILS(EACCES, open("team/g", O_RDONLY));
}

RULE(a_group_left_shuts_its_files, "credentials(7)")
{
    rule_as_root("it gives files away, which root may");
    file_put("f", "x");
    OK(chown("f", 0, TEAM));
    OK(chmod("f", 0640));
    become(USER, USER, TEAM);
    FILE_IS("f", "x");
    become_root();
    become(USER, USER, 0);
    FAILS(EACCES, open("f", O_RDONLY));
}

RULE(a_descriptor_stays_good_after_the_right_is_gone, "open(2)")
{
    be_user();
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDWR));
    OK(chmod("f", 0));
    SAME(byte_at(fd, 0), 't');
    SAME(pwrite(fd, "T", 1, 0), 1);
    FAILS(EACCES, open("f", O_RDONLY));
}

RULE(a_user_unlinks_his_file_that_nobody_may_write, "unlink(2)")
{
    be_user();
    file_make("f");
    OK(chmod("f", 0444));
    FAILS(EACCES, open("f", O_WRONLY));
    OK(unlink("f"));
}
