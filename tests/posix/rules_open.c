/* SPDX-License-Identifier: Apache-2.0 */
/* open(2) and creat(2): what is made, what is refused, and what is found. */
#include "tests/posix/rule.h"

#include <signal.h>
#include <sys/wait.h>

RULE(creat_makes_an_empty_regular_file, "creat(2)")
{
    OK(creat("f", 0644));
    struct stat st = stat_of("f");
    HOLDS(S_ISREG(st.st_mode));
    SAME(st.st_size, 0);
    SAME(st.st_nlink, 1);
    SAME(st.st_blocks, 0);
}

RULE(a_new_file_has_the_mode_asked_for_less_the_umask, "open(2) O_CREAT")
{
    umask(027);
    OK(open("f", O_CREAT | O_WRONLY, 0666));
    SAME(mode_of("f"), 0640);
}

RULE(a_new_file_may_have_every_mode_bit, "open(2) O_CREAT")
{
    umask(0);
    OK(open("f", O_CREAT | O_WRONLY, 07777));
    SAME(mode_of("f"), 07777);
}

RULE(a_new_file_may_be_written_through_a_mode_that_forbids_it, "open(2) O_CREAT")
{
    dir_make("d", 0777);
    become(USER, USER, 0);
    int fd = (int)OK(open("d/f", O_CREAT | O_RDWR, 0));
    SAME(write(fd, "x", 1), 1);
    FAILS(EACCES, open("d/f", O_RDONLY));
}

RULE(a_new_file_belongs_to_the_effective_user_and_group, "open(2) O_CREAT")
{
    dir_make("d", 0777);
    become(USER, TEAM, 0);
    file_make("d/f");
    struct stat st = stat_of("d/f");
    SAME(st.st_uid, USER);
    SAME(st.st_gid, TEAM);
}

RULE(opening_with_o_creat_leaves_the_mode_of_an_existing_file, "open(2) O_CREAT")
{
    file_make("f");
    OK(chmod("f", 0600));
    OK(open("f", O_CREAT | O_RDWR, 0777));
    SAME(mode_of("f"), 0600);
}

RULE(opening_with_o_creat_leaves_the_contents_of_an_existing_file, "open(2) O_CREAT")
{
    file_put("f", "old");
    OK(open("f", O_CREAT | O_RDWR, 0644));
    FILE_IS("f", "old");
}

RULE(o_excl_refuses_an_existing_file, "open(2) EEXIST")
{
    file_make("f");
    FAILS(EEXIST, open("f", O_CREAT | O_EXCL | O_RDWR, 0644));
}

RULE(o_excl_refuses_an_existing_directory, "open(2) EEXIST")
{
    dir_make("d", 0755);
    FAILS(EEXIST, open("d", O_CREAT | O_EXCL | O_RDONLY, 0644));
}

RULE(o_excl_does_not_follow_a_dangling_link, "open(2) O_EXCL")
{
    OK(symlink("none", "l"));
    FAILS(EEXIST, open("l", O_CREAT | O_EXCL | O_RDWR, 0644));
    HOLDS(!exists("none"));
}

RULE(o_creat_through_a_dangling_link_makes_its_target, "open(2) O_CREAT")
{
    OK(symlink("target", "l"));
    OK(open("l", O_CREAT | O_RDWR, 0644));
    HOLDS(S_ISREG(stat_of("target").st_mode));
    HOLDS(S_ISLNK(stat_of("l").st_mode));
}

RULE(o_creat_in_a_missing_directory_fails, "open(2) ENOENT")
{
    FAILS(ENOENT, open("none/f", O_CREAT | O_RDWR, 0644));
}

RULE(opening_a_missing_file_fails, "open(2) ENOENT")
{
    FAILS(ENOENT, open("none", O_RDONLY));
    FAILS(ENOENT, open("none", O_WRONLY | O_TRUNC));
}

RULE(opening_below_a_file_fails, "open(2) ENOTDIR")
{
    file_make("f");
    FAILS(ENOTDIR, open("f/g", O_RDONLY));
    FAILS(ENOTDIR, open("f/g", O_CREAT | O_RDWR, 0644));
}

RULE(o_creat_with_a_trailing_slash_fails, "open(2) EISDIR")
{
    FAILS(EISDIR, open("new/", O_CREAT | O_RDWR, 0644));
    HOLDS(!exists("new"));
}

RULE(a_file_with_a_trailing_slash_is_not_a_directory, "path_resolution(7)")
{
    file_make("f");
    FAILS(ENOTDIR, open("f/", O_RDONLY));
}

RULE(a_directory_cannot_be_opened_for_writing, "open(2) EISDIR")
{
    dir_make("d", 0755);
    FAILS(EISDIR, open("d", O_WRONLY));
    FAILS(EISDIR, open("d", O_RDWR));
    FAILS(EISDIR, open("d", O_RDONLY | O_TRUNC));
}

RULE(o_creat_of_an_existing_directory_fails, "open(2) EISDIR")
{
    dir_make("d", 0755);
    FAILS(EISDIR, open("d", O_RDONLY | O_CREAT, 0644));
}

RULE(o_directory_refuses_a_file, "open(2) ENOTDIR")
{
    file_make("f");
    FAILS(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
}

RULE(o_directory_follows_a_link_to_a_directory, "open(2) O_DIRECTORY")
{
    dir_make("d", 0755);
    OK(symlink("d", "l"));
    OK(open("l", O_RDONLY | O_DIRECTORY));
}

RULE(o_nofollow_refuses_a_link, "open(2) ELOOP")
{
    file_make("f");
    OK(symlink("f", "l"));
    FAILS(ELOOP, open("l", O_RDONLY | O_NOFOLLOW));
}

RULE(o_nofollow_follows_links_before_the_last_name, "open(2) O_NOFOLLOW")
{
    dir_make("d", 0755);
    file_make("d/f");
    OK(symlink("d", "l"));
    OK(open("l/f", O_RDONLY | O_NOFOLLOW));
}

RULE(o_path_of_a_link_is_the_link_itself, "open(2) O_PATH")
{
    struct stat st;
    OK(symlink("none", "l"));
    int fd = (int)OK(open("l", O_PATH | O_NOFOLLOW));
    OK(fstat(fd, &st));
    HOLDS(S_ISLNK(st.st_mode));
}

RULE(o_path_needs_no_permission_on_the_file, "open(2) O_PATH")
{
    file_make("f");
    OK(chmod("f", 0));
    become(USER, USER, 0);
    OK(open("f", O_PATH));
    FAILS(EACCES, open("f", O_RDONLY));
}

RULE(o_path_gives_neither_reading_nor_writing, "open(2) O_PATH")
{
    char byte;
    file_put("f", "x");
    int fd = (int)OK(open("f", O_PATH));
    FAILS(EBADF, read(fd, &byte, 1));
    FAILS(EBADF, fchmod(fd, 0600));
}

RULE(o_trunc_empties_a_file, "open(2) O_TRUNC")
{
    file_put("f", "old");
    OK(open("f", O_WRONLY | O_TRUNC));
    SAME(stat_of("f").st_size, 0);
    FILE_IS("f", "");
}

RULE(o_trunc_is_seen_by_who_has_the_file_open, "open(2) O_TRUNC")
{
    struct stat st;
    file_put("f", "old");
    int fd = (int)OK(open("f", O_RDONLY));
    OK(open("f", O_WRONLY | O_TRUNC));
    OK(fstat(fd, &st));
    SAME(st.st_size, 0);
    SAME(byte_at(fd, 0), -1);
}

RULE(o_trunc_needs_the_right_to_write, "open(2) EACCES")
{
    file_put("f", "old");
    become(USER, USER, 0);
    FAILS(EACCES, open("f", O_WRONLY | O_TRUNC));
    become_root();
    FILE_IS("f", "old");
}

RULE(o_trunc_does_nothing_to_a_fifo, "open(2) O_TRUNC")
{
    OK(mkfifo("p", 0644));
    OK(open("p", O_RDWR | O_TRUNC));
    HOLDS(S_ISFIFO(stat_of("p").st_mode));
}

RULE(a_descriptor_for_reading_does_not_write, "write(2) EBADF")
{
    file_make("f");
    int fd = (int)OK(open("f", O_RDONLY));
    FAILS(EBADF, write(fd, "x", 1));
    FAILS(EINVAL, ftruncate(fd, 0));
}

RULE(a_descriptor_for_writing_does_not_read, "read(2) EBADF")
{
    char byte;
    int fd = (int)OK(creat("f", 0644));
    FAILS(EBADF, read(fd, &byte, 1));
}

RULE(reading_a_directory_as_a_file_fails, "read(2) EISDIR")
{
    char byte;
    dir_make("d", 0755);
    FAILS(EISDIR, read((int)OK(open("d", O_RDONLY)), &byte, 1));
}

RULE(an_open_file_outlives_a_change_of_its_mode, "open(2) NOTES")
{
    file_make("f");
    OK(chmod("f", 0666));
    become(USER, USER, 0);
    int fd = (int)OK(open("f", O_RDWR));
    become_root();
    OK(chmod("f", 0));
    become(USER, USER, 0);
    SAME(write(fd, "x", 1), 1);
}

RULE(a_socket_cannot_be_opened, "open(2) ENXIO")
{
    OK(mknod("s", S_IFSOCK | 0644, 0));
    FAILS(ENXIO, open("s", O_RDONLY));
}

RULE(names_are_told_apart_by_case, "POSIX.1-2017 3.170 Filename")
{
    file_put("name", "lower");
    file_put("NAME", "upper");
    FILE_IS("name", "lower");
    FILE_IS("NAME", "upper");
}

RULE(openat_is_relative_to_its_directory_wherever_that_was_moved, "openat(2)")
{
    dir_make("d", 0755);
    dir_make("e", 0755);
    int dir = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
    OK(rename("d", "e/d"));
    OK(openat(dir, "f", O_CREAT | O_WRONLY, 0644));
    HOLDS(exists("e/d/f"));
}

RULE(nothing_can_be_made_in_a_removed_directory, "open(2) ENOENT")
{
    dir_make("d", 0755);
    int dir = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
    OK(rmdir("d"));
    FAILS(ENOENT, openat(dir, "f", O_CREAT | O_WRONLY, 0644));
    FAILS(ENOENT, mkdirat(dir, "e", 0755));
    FAILS(ENOENT, symlinkat("x", dir, "l"));
}

RULE(a_file_open_for_writing_cannot_be_run, "execve(2) ETXTBSY")
{
    file_put("f", "#!/bin/true\n");
    OK(chmod("f", 0755));
    OK(open("f", O_WRONLY));
    FAILS(ETXTBSY, execl("f", "f", (char *)NULL));
}

static void copy_program(const char *from, const char *to)
{
    char bytes[1 << 16];
    ssize_t size;
    int in = (int)OK(open(from, O_RDONLY));
    int out = (int)OK(open(to, O_WRONLY | O_CREAT, 0755));
    while ((size = OK(read(in, bytes, sizeof bytes))) > 0) {
        SAME(write(out, bytes, (size_t)size), size);
    }
    OK(close(out));
    OK(close(in));
}

RULE(a_running_program_cannot_be_opened_for_writing, "open(2) ETXTBSY")
{
    int started[2];
    char byte;
    copy_program("/bin/sleep", "program");
    OK(pipe2(started, O_CLOEXEC));
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        execl("program", "program", "60", (char *)NULL);
        _exit(1);
    }
    OK(close(started[1]));
    SAME(read(started[0], &byte, 1), 0); /* closed by the exec */
    FAILS(ETXTBSY, open("program", O_WRONLY));
    FAILS(ETXTBSY, truncate("program", 0));
    OK(kill(pid, 9));
    OK(waitpid(pid, NULL, 0));
    OK(open("program", O_WRONLY));
}

RULE(a_running_program_can_be_replaced_by_a_rename, "rename(2)")
{
    copy_program("/bin/sleep", "program");
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        execl("program", "program", "60", (char *)NULL);
        _exit(1);
    }
    file_put("next", "new");
    OK(rename("next", "program"));
    FILE_IS("program", "new");
    OK(kill(pid, 9));
    OK(waitpid(pid, NULL, 0));
}
