/* SPDX-License-Identifier: Apache-2.0 */
/* Advisory locks: of processes, of open files, and flock(2). */
#include "tests/posix/rule.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static int lock_range(int fd, int command, short type, off_t start, off_t size)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = size};
    return fcntl(fd, command, &lock);
}

struct attempt {
    int command;
    short type;
    off_t start, size;
};

/* In a process that opens the file itself: 0, or the errno of the attempt. */
static int try_lock(void *arg)
{
    const struct attempt *attempt = arg;
    int fd = (int)OK(open("f", O_RDWR));
    int r = lock_range(fd, attempt->command, attempt->type, attempt->start, attempt->size);
    return r == 0 ? 0 : errno;
}

static int other_process(int command, short type, off_t start, off_t size)
{
    struct attempt attempt = {.command = command, .type = type, .start = start, .size = size};
    return in_child(try_lock, &attempt);
}

RULE(a_write_lock_keeps_other_processes_out, "fcntl(2) F_SETLK")
{
    int fd = file_open("f");
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
    SAME(other_process(F_SETLK, F_WRLCK, 0, 10), EAGAIN);
    SAME(other_process(F_SETLK, F_RDLCK, 5, 1), EAGAIN);
}

RULE(read_locks_go_together, "fcntl(2) F_SETLK")
{
    int fd = file_open("f");
    OK(lock_range(fd, F_SETLK, F_RDLCK, 0, 10));
    SAME(other_process(F_SETLK, F_RDLCK, 0, 10), 0);
    SAME(other_process(F_SETLK, F_WRLCK, 0, 10), EAGAIN);
}

RULE(locks_of_ranges_that_do_not_touch_go_together, "fcntl(2) F_SETLK")
{
    int fd = file_open("f");
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
    SAME(other_process(F_SETLK, F_WRLCK, 10, 10), 0);
    SAME(other_process(F_SETLK, F_WRLCK, 9, 1), EAGAIN);
}

RULE(a_lock_of_length_zero_reaches_to_the_end, "fcntl(2) F_SETLK")
{
    int fd = file_open("f");
    OK(lock_range(fd, F_SETLK, F_WRLCK, 100, 0));
    SAME(other_process(F_SETLK, F_WRLCK, 1 << 20, 1), EAGAIN);
    SAME(other_process(F_SETLK, F_WRLCK, 0, 100), 0);
}

RULE(a_lock_ends_when_it_is_unlocked, "fcntl(2) F_UNLCK")
{
    int fd = file_open("f");
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
    OK(lock_range(fd, F_SETLK, F_UNLCK, 0, 5));
    SAME(other_process(F_SETLK, F_WRLCK, 0, 5), 0);
    SAME(other_process(F_SETLK, F_WRLCK, 5, 5), EAGAIN);
}

RULE(a_process_lock_ends_with_the_first_close_of_the_file, "fcntl(2) Record locking")
{
    int fd = file_open("f");
    int other = file_open("f");
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
    OK(close(other));
    SAME(other_process(F_SETLK, F_WRLCK, 0, 10), 0);
}

RULE(a_process_lock_ends_with_its_process, "fcntl(2) Record locking")
{
    int fd = file_open("f");
    SAME(other_process(F_SETLK, F_WRLCK, 0, 10), 0);
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
}

RULE(getlk_names_who_holds_a_lock, "fcntl(2) F_GETLK")
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int ready[2];
    char byte;
    int fd = file_open("f");
    OK(pipe(ready));
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        OK(lock_range(file_open("f"), F_SETLK, F_WRLCK, 5, 10));
        SAME(write(ready[1], "x", 1), 1);
        pause();
    }
    SAME(read(ready[0], &byte, 1), 1);
    OK(fcntl(fd, F_GETLK, &lock));
    OK(kill(pid, 9));
    OK(waitpid(pid, NULL, 0));
    SAME(lock.l_type, F_WRLCK);
    SAME(lock.l_pid, pid);
    SAME(lock.l_start, 5);
    SAME(lock.l_len, 10);
}

RULE(a_process_does_not_shut_itself_out, "fcntl(2) Record locking")
{
    int fd = file_open("f");
    int other = file_open("f");
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 10));
    OK(lock_range(other, F_SETLK, F_WRLCK, 0, 10));
}

RULE(locks_need_a_descriptor_of_their_direction, "fcntl(2) EBADF")
{
    file_make("f");
    FAILS(EBADF, lock_range((int)OK(open("f", O_RDONLY)), F_SETLK, F_WRLCK, 0, 1));
    FAILS(EBADF, lock_range((int)OK(open("f", O_WRONLY)), F_SETLK, F_RDLCK, 0, 1));
}

RULE(a_waiting_lock_is_got_when_the_other_ends, "fcntl(2) F_SETLKW")
{
    int fd = file_open("f");
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 1));
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        OK(lock_range(file_open("f"), F_SETLKW, F_WRLCK, 0, 1));
        _exit(0);
    }
    struct stat ignored = settled("f");
    (void)ignored;
    SAME(waitpid(pid, NULL, WNOHANG), 0);
    OK(lock_range(fd, F_SETLK, F_UNLCK, 0, 1));
    int status;
    OK(waitpid(pid, &status, 0));
    SAME(status, 0);
}

RULE(two_processes_that_wait_for_each_other_are_told, "fcntl(2) EDEADLK")
{
    int ready[2];
    char byte;
    int fd = file_open("f");
    OK(pipe(ready));
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 1));
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        int own = file_open("f");
        OK(lock_range(own, F_SETLK, F_WRLCK, 1, 1));
        SAME(write(ready[1], "x", 1), 1);
        _exit(lock_range(own, F_SETLKW, F_WRLCK, 0, 1) == 0 ? 0 : errno);
    }
    SAME(read(ready[0], &byte, 1), 1);
    int status;
    int mine = lock_range(fd, F_SETLKW, F_WRLCK, 1, 1);
    int mine_errno = mine == 0 ? 0 : errno;
    OK(lock_range(fd, F_SETLK, F_UNLCK, 0, 0));
    OK(waitpid(pid, &status, 0));
    HOLDS(mine_errno == EDEADLK || WEXITSTATUS(status) == EDEADLK);
}

RULE(locks_of_open_files_shut_each_other_out_in_one_process, "fcntl(2) F_OFD_SETLK")
{
    int a = file_open("f");
    int b = file_open("f");
    OK(lock_range(a, F_OFD_SETLK, F_WRLCK, 0, 10));
    FAILS(EAGAIN, lock_range(b, F_OFD_SETLK, F_WRLCK, 0, 10));
    SAME(other_process(F_SETLK, F_WRLCK, 0, 10), EAGAIN);
}

RULE(a_lock_of_an_open_file_ends_with_its_last_descriptor, "fcntl(2) F_OFD_SETLK")
{
    int a = file_open("f");
    int duplicate = (int)OK(dup(a));
    int b = file_open("f");
    OK(lock_range(a, F_OFD_SETLK, F_WRLCK, 0, 10));
    OK(close(a));
    FAILS(EAGAIN, lock_range(b, F_OFD_SETLK, F_WRLCK, 0, 10));
    OK(close(duplicate));
    OK(lock_range(b, F_OFD_SETLK, F_WRLCK, 0, 10));
}

RULE(flock_excludes_another_open_of_the_file, "flock(2)")
{
    int a = file_open("f");
    int b = file_open("f");
    OK(flock(a, LOCK_EX));
    FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
    FAILS(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
    OK(flock(a, LOCK_UN));
    OK(flock(b, LOCK_EX | LOCK_NB));
}

RULE(shared_flocks_go_together, "flock(2)")
{
    int a = file_open("f");
    int b = file_open("f");
    OK(flock(a, LOCK_SH));
    OK(flock(b, LOCK_SH | LOCK_NB));
    FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
}

RULE(flock_ends_with_the_last_descriptor, "flock(2)")
{
    int a = file_open("f");
    int b = file_open("f");
    OK(flock(a, LOCK_EX));
    OK(close(a));
    OK(flock(b, LOCK_EX | LOCK_NB));
}

RULE(flock_and_process_locks_do_not_meet, "flock(2) NOTES")
{
    int fd = file_open("f");
    OK(flock(fd, LOCK_EX));
    SAME(other_process(F_SETLK, F_WRLCK, 0, 0), 0);
}

RULE(directories_can_be_flocked, "flock(2)")
{
    dir_make("d", 0755);
    int a = (int)OK(open("d", O_RDONLY));
    int b = (int)OK(open("d", O_RDONLY));
    OK(flock(a, LOCK_EX));
    FAILS(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
}

RULE(locks_belong_to_the_file_not_to_its_name, "fcntl(2), rename(2)")
{
    int fd = file_open("f");
    OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 0));
    OK(rename("f", "g"));
    OK(link("g", "f"));
    SAME(other_process(F_SETLK, F_WRLCK, 0, 0), EAGAIN);
}
