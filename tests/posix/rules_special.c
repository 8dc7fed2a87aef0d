/* SPDX-License-Identifier: Apache-2.0 */
/* FIFOs, sockets, devices, and descriptors handed around. */
#include "tests/posix/rule.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

RULE(mkfifo_makes_a_fifo_with_mode_and_owner, "mkfifo(3)")
{
    dir_make("d", 0777);
    umask(027);
    become(USER, TEAM, 0);
    OK(mkfifo("d/p", 0666));
    struct stat st = stat_of("d/p");
    HOLDS(S_ISFIFO(st.st_mode));
    SAME(st.st_mode & 07777, 0640);
    SAME(st.st_uid, USER);
    SAME(st.st_gid, TEAM);
    SAME(st.st_nlink, 1);
}

RULE(mkfifo_never_replaces, "mkfifo(3) EEXIST")
{
    file_make("f");
    OK(symlink("none", "l"));
    FAILS(EEXIST, mkfifo("f", 0644));
    FAILS(EEXIST, mkfifo("l", 0644));
    FAILS(ENOENT, mkfifo("none/p", 0644));
    FAILS(ENOTDIR, mkfifo("f/p", 0644));
}

RULE(what_goes_into_a_fifo_comes_out, "fifo(7)")
{
    char bytes[8];
    OK(mkfifo("p", 0644));
    int fd = (int)OK(open("p", O_RDWR));
    SAME(write(fd, "text", 4), 4);
    SAME(read(fd, bytes, sizeof bytes), 4);
    HOLDS(memcmp(bytes, "text", 4) == 0);
}

RULE(a_fifo_joins_two_processes, "fifo(7)")
{
    char bytes[8];
    OK(mkfifo("p", 0644));
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        int out = (int)OK(open("p", O_WRONLY));
        SAME(write(out, "text", 4), 4);
        _exit(0);
    }
    int in = (int)OK(open("p", O_RDONLY));
    SAME(read(in, bytes, sizeof bytes), 4);
    OK(waitpid(pid, NULL, 0));
    SAME(read(in, bytes, sizeof bytes), 0);
}

RULE(a_fifo_without_a_reader_is_not_opened_for_writing_without_waiting, "fifo(7) ENXIO")
{
    OK(mkfifo("p", 0644));
    FAILS(ENXIO, open("p", O_WRONLY | O_NONBLOCK));
    OK(open("p", O_RDONLY | O_NONBLOCK));
    OK(open("p", O_WRONLY | O_NONBLOCK));
}

RULE(two_names_of_a_fifo_are_one_pipe, "fifo(7), link(2)")
{
    char byte;
    OK(mkfifo("p", 0644));
    OK(link("p", "q"));
    int in = (int)OK(open("p", O_RDONLY | O_NONBLOCK));
    int out = (int)OK(open("q", O_WRONLY | O_NONBLOCK));
    SAME(write(out, "x", 1), 1);
    SAME(read(in, &byte, 1), 1);
}

RULE(a_fifo_has_no_offset, "lseek(2) ESPIPE")
{
    OK(mkfifo("p", 0644));
    int fd = (int)OK(open("p", O_RDWR));
    FAILS(ESPIPE, lseek(fd, 0, SEEK_SET));
    FAILS(EINVAL, ftruncate(fd, 0));
}

RULE(a_fifo_opened_goes_on_without_its_name, "fifo(7), unlink(2)")
{
    char byte;
    OK(mkfifo("p", 0644));
    int fd = (int)OK(open("p", O_RDWR));
    OK(unlink("p"));
    SAME(write(fd, "x", 1), 1);
    SAME(read(fd, &byte, 1), 1);
}

static void address(struct sockaddr_un *to, const char *path)
{
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(to->sun_path, sizeof to->sun_path, "%s", path);
}

RULE(bind_makes_a_socket, "unix(7)")
{
    struct sockaddr_un to;
    address(&to, "s");
    int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(bind(fd, (struct sockaddr *)&to, sizeof to));
    HOLDS(S_ISSOCK(stat_of("s").st_mode));
    int again = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    FAILS(EADDRINUSE, bind(again, (struct sockaddr *)&to, sizeof to));
}

RULE(a_socket_is_found_by_its_name, "unix(7)")
{
    struct sockaddr_un to;
    char byte;
    address(&to, "s");
    int server = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(bind(server, (struct sockaddr *)&to, sizeof to));
    OK(listen(server, 1));
    OK(rename("s", "moved"));
    address(&to, "moved");
    int client = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(connect(client, (struct sockaddr *)&to, sizeof to));
    int accepted = (int)OK(accept(server, NULL, NULL));
    SAME(write(client, "x", 1), 1);
    SAME(read(accepted, &byte, 1), 1);
}

RULE(a_socket_that_nobody_serves_refuses, "unix(7) ECONNREFUSED")
{
    struct sockaddr_un to;
    OK(mknod("s", S_IFSOCK | 0666, 0));
    address(&to, "s");
    int client = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    FAILS(ECONNREFUSED, connect(client, (struct sockaddr *)&to, sizeof to));
}

RULE(connecting_needs_the_right_to_write_the_socket, "unix(7) EACCES")
{
    struct sockaddr_un to;
    address(&to, "s");
    int server = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(bind(server, (struct sockaddr *)&to, sizeof to));
    OK(listen(server, 1));
    OK(chmod("s", 0744));
    become(USER, USER, 0);
    int client = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    FAILS(EACCES, connect(client, (struct sockaddr *)&to, sizeof to));
}

RULE(devices_keep_type_and_number, "mknod(2)")
{
    rule_as_root("it makes devices, which root may");
    OK(mknod("c", S_IFCHR | 0640, makedev(1, 3)));
    OK(mknod("b", S_IFBLK | 0600, makedev(259, 70000)));
    struct stat c = stat_of("c");
    struct stat b = stat_of("b");
    HOLDS(S_ISCHR(c.st_mode));
    SAME(c.st_rdev, makedev(1, 3));
    SAME(mode_of("c"), 0640);
    HOLDS(S_ISBLK(b.st_mode));
    SAME(b.st_rdev, makedev(259, 70000));
}

RULE(only_root_makes_devices, "mknod(2) EPERM")
{
    dir_make("d", 0777);
    become(USER, USER, 0);
    FAILS(EPERM, mknod("d/c", S_IFCHR | 0666, makedev(1, 3)));
    FAILS(EPERM, mknod("d/b", S_IFBLK | 0666, makedev(7, 0)));
    OK(mknod("d/p", S_IFIFO | 0666, 0));
    OK(mknod("d/s", S_IFSOCK | 0666, 0));
    OK(mknod("d/f", S_IFREG | 0666, 0));
}

RULE(mknod_makes_regular_files, "mknod(2)")
{
    OK(mknod("f", S_IFREG | 0600, 0));
    OK(mknod("g", 0640, 0));
    HOLDS(S_ISREG(stat_of("f").st_mode));
    HOLDS(S_ISREG(stat_of("g").st_mode));
    SAME(mode_of("g"), 0640);
    file_put("f", "text");
    FILE_IS("f", "text");
}

RULE(mknod_makes_no_directories_and_never_replaces, "mknod(2) EPERM, EEXIST")
{
    file_make("f");
    FAILS(EPERM, mknod("d", S_IFDIR | 0755, 0));
    FAILS(EEXIST, mknod("f", S_IFREG | 0644, 0));
    FAILS(EEXIST, mknod("f", S_IFCHR | 0644, makedev(1, 3)));
}

RULE(special_files_can_be_changed_moved_and_removed, "chmod(2), chown(2), rename(2), unlink(2)")
{
    rule_as_root("it makes devices, which root may");
    OK(mknod("c", S_IFCHR | 0600, makedev(1, 3)));
    OK(chmod("c", 0666));
    OK(chown("c", USER, TEAM));
    OK(rename("c", "d"));
    SAME(mode_of("d"), 0666);
    SAME(stat_of("d").st_uid, USER);
    SAME(stat_of("d").st_rdev, makedev(1, 3));
    OK(unlink("d"));
}

RULE(special_files_have_no_size, "inode(7)")
{
    rule_as_root("it makes devices, which root may");
    OK(mkfifo("p", 0644));
    OK(mknod("c", S_IFCHR | 0600, makedev(1, 3)));
    SAME(stat_of("p").st_size, 0);
    SAME(stat_of("c").st_size, 0);
}

RULE(a_descriptor_works_in_another_process_and_under_another_user, "unix(7) SCM_RIGHTS, fork(2)")
{
    rule_as_several();
    int fd = file_open("f");
    OK(chmod("f", 0));
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        become(USER, USER, 0);
        _exit(write(fd, "x", 1) == 1 ? 0 : errno);
    }
    int status;
    OK(waitpid(pid, &status, 0));
    SAME(status, 0);
    SAME(stat_of("f").st_size, 1);
}
