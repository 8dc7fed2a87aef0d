/* SPDX-License-Identifier: Apache-2.0 */
/* Where file systems in user space have been caught: docs/testing.md, "Traps of FUSE", says which
 * rule, here or elsewhere, stands for which trap. */
#include "tests/posix/rule.h"

#include <dirent.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

/* The kernel forgets what it need not remember, and tells so. */
static void forget(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    if (fd < 0 || write(fd, "2", 1) != 1) {
        rule_skip("caches cannot be dropped here");
    }
    close(fd);
}

static pid_t start(void (*fn)(void))
{
    fflush(NULL);
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        fn();
        _exit(0);
    }
    return pid;
}

static void expect_end(pid_t pid)
{
    int status;
    SAME(waitpid(pid, &status, 0), pid);
    SAME(status, 0);
}

/* ---- numbers that are looked up and forgotten ---- */

RULE(a_forgotten_file_is_found_again_with_its_number, "inode(7) st_ino")
{
    file_put("f", "text");
    struct stat before = stat_of("f");
    forget();
    SAME(stat_of("f").st_ino, before.st_ino);
    FILE_IS("f", "text");
}

RULE(a_forgotten_directory_keeps_what_is_below_it, "inode(7)")
{
    dir_make("d", 0755);
    file_put("d/f", "text");
    forget();
    FILE_IS("d/f", "text");
    forget();
    OK(unlink("d/f"));
    OK(rmdir("d"));
}

RULE(an_unlinked_file_that_is_open_is_not_forgotten, "unlink(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'u', PAGE);
    OK(unlink("f"));
    forget();
    SAME(byte_at(fd, PAGE - 1), 'u');
    file_fill(fd, 'v', PAGE);
    forget();
    SAME(byte_at(fd, 2 * PAGE - 1), 'v');
}

RULE(a_removed_working_directory_is_not_forgotten, "rmdir(2)")
{
    struct stat st;
    dir_make("d", 0755);
    OK(chdir("d"));
    OK(rmdir("../d"));
    forget();
    OK(stat(".", &st));
    FAILS(ENOENT, open("f", O_CREAT | O_WRONLY, 0644));
}

static void look_up_often(void)
{
    for (int i = 0; i < 2000; i++) {
        struct stat st;
        OK(close((int)OK(open("f", O_RDONLY))));
        OK(stat("d/g", &st));
    }
}

RULE(forgetting_and_looking_up_side_by_side_lose_nothing, "inode(7)")
{
    file_put("f", "text");
    dir_make("d", 0755);
    file_put("d/g", "below");
    struct stat before = stat_of("f");
    pid_t child = start(look_up_often);
    for (int i = 0; i < 5; i++) {
        forget();
    }
    expect_end(child);
    SAME(stat_of("f").st_ino, before.st_ino);
    FILE_IS("d/g", "below");
}

static void make_and_remove_often(void)
{
    for (int i = 0; i < 500; i++) {
        file_make("mine");
        OK(unlink("mine"));
    }
}

RULE(names_made_and_removed_by_two_processes_stay_right, "open(2), unlink(2)")
{
    pid_t child = start(make_and_remove_often);
    for (int i = 0; i < 500; i++) {
        file_put("ours", "x");
        FILE_IS("ours", "x");
        OK(unlink("ours"));
    }
    expect_end(child);
    HOLDS(!exists("mine"));
}

/* ---- handles, as an NFS server uses them ---- */

struct handle {
    struct file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
};

static struct handle handle_of(const char *name)
{
    struct handle handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount_id;
    OK(name_to_handle_at(AT_FDCWD, name, &handle.head, &mount_id, 0));
    return handle;
}

static int open_handle(struct handle *handle)
{
    return open_by_handle_at(AT_FDCWD, &handle->head, O_RDONLY);
}

RULE(a_handle_opens_its_file, "open_by_handle_at(2)")
{
    rule_as_root("it opens files by handles, which root may");
    file_put("f", "text");
    struct handle handle = handle_of("f");
    SAME(byte_at((int)OK(open_handle(&handle)), 0), 't');
    forget();
    SAME(byte_at((int)OK(open_handle(&handle)), 3), 't');
}

RULE(a_handle_stays_with_a_renamed_file, "open_by_handle_at(2)")
{
    dir_make("d", 0755);
    file_put("f", "text");
    struct handle handle = handle_of("f");
    OK(rename("f", "d/g"));
    forget();
    SAME(byte_at((int)OK(open_handle(&handle)), 0), 't');
}

RULE(a_handle_opens_a_directory, "open_by_handle_at(2)")
{
    dir_make("d", 0755);
    file_make("d/f");
    struct handle handle = handle_of("d");
    forget();
    int fd = (int)OK(open_handle(&handle));
    OK(unlinkat(fd, "f", 0));
}

RULE(a_handle_of_a_removed_file_is_stale, "open_by_handle_at(2) ESTALE")
{
    file_put("f", "text");
    struct handle handle = handle_of("f");
    OK(unlink("f"));
    forget();
    FAILS(ESTALE, open_handle(&handle));
    file_put("f", "new");
    FAILS(ESTALE, open_handle(&handle));
}

/* ---- listings ---- */

RULE(seeking_a_listing_beyond_its_end_gives_its_end, "seekdir(3)")
{
    dir_make("d", 0755);
    file_make("d/f");
    int fd = (int)OK(open("d", O_RDONLY | O_DIRECTORY));
    OK(lseek(fd, 1 << 20, SEEK_SET));
    char bytes[PAGE];
    HOLDS(getdents64(fd, bytes, sizeof bytes) >= 0);
    OK(lseek(fd, 0, SEEK_SET));
    HOLDS(getdents64(fd, bytes, sizeof bytes) > 0);
}

RULE(a_buffer_too_small_for_one_entry_is_told, "getdents(2) EINVAL")
{
    char bytes[8];
    file_make("f");
    int fd = (int)OK(open(".", O_RDONLY | O_DIRECTORY));
    FAILS(EINVAL, getdents64(fd, bytes, sizeof bytes));
}

RULE(a_name_replaced_while_a_listing_is_read_is_listed, "readdir(3), rename(2)")
{
    enum { COUNT = 300 };
    char name[16];
    int seen = 0;
    dir_make("d", 0755);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "d/f%03d", i);
        file_make(name);
    }
    DIR *list = opendir("d");
    HOLDS(list != NULL);
    for (const struct dirent *e = readdir(list); e != NULL; e = readdir(list)) {
        file_make("new");
        OK(rename("new", "d/f299"));
        seen += strcmp(e->d_name, "f299") == 0;
    }
    SAME(seen, 1);
}

/* ---- contents ---- */

RULE(part_of_a_page_is_written_through_a_descriptor_that_cannot_read, "write(2)")
{
    file_put("f", "0123456789");
    forget();
    int fd = (int)OK(open("f", O_WRONLY));
    SAME(pwrite(fd, "xx", 2, 4), 2);
    OK(close(fd));
    FILE_IS("f", "0123xx6789");
}

RULE(two_descriptors_append_by_turns, "open(2) O_APPEND")
{
    file_make("f");
    int one = (int)OK(open("f", O_WRONLY | O_APPEND));
    int two = (int)OK(open("f", O_WRONLY | O_APPEND));
    for (int i = 0; i < 3; i++) {
        SAME(write(one, "a", 1), 1);
        SAME(write(two, "b", 1), 1);
    }
    FILE_IS("f", "ababab");
}

RULE(a_write_of_many_mib_is_whole_and_in_order, "write(2)")
{
    enum { MIB = 1 << 20, COUNT = 5 };
    char *bytes = malloc(COUNT * MIB + 7);
    HOLDS(bytes != NULL);
    for (int i = 0; i < COUNT; i++) {
        memset(bytes + (size_t)i * MIB, 'a' + i, MIB + (i == COUNT - 1 ? 7 : 0));
    }
    int fd = file_open("f");
    SAME(write(fd, bytes, COUNT * MIB + 7), COUNT * MIB + 7);
    forget();
    SAME(byte_at(fd, MIB - 1), 'a');
    SAME(byte_at(fd, MIB), 'b');
    SAME(byte_at(fd, COUNT * MIB + 6), 'a' + COUNT - 1);
    SAME(byte_at(fd, COUNT * MIB + 7), -1);
}

RULE(a_file_cut_through_another_descriptor_shows_no_old_bytes, "ftruncate(2)")
{
    int one = file_open("f");
    int two = file_open("f");
    file_fill(one, 'o', 3 * PAGE);
    OK(ftruncate(two, 100));
    OK(ftruncate(one, 3 * PAGE));
    SAME(byte_at(two, 99), 'o');
    SAME(byte_at(two, 100), 0);
    SAME(byte_at(one, 2 * PAGE), 0);
}

static void read_until_done(void)
{
    static char bytes[8 * PAGE];
    int fd = (int)OK(open("f", O_RDONLY));
    while (!exists("done")) {
        OK(pread(fd, bytes, sizeof bytes, 0));
    }
}

/* An answer to a read that was asked for before the cut comes behind it. */
RULE(reads_beside_a_cut_bring_no_old_bytes_back, "ftruncate(2), read(2)")
{
    enum { PAGES = 8, TIMES = 300 };
    int fd = file_open("f");
    pid_t child = start(read_until_done);
    for (int i = 0; i < TIMES; i++) {
        OK(lseek(fd, 0, SEEK_SET));
        file_fill(fd, 'o', PAGES * PAGE);
        OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
        OK(ftruncate(fd, PAGE));
        OK(ftruncate(fd, PAGES * PAGE));
        for (int page = 1; page < PAGES; page++) {
            SAME(byte_at(fd, page * PAGE), 0);
        }
    }
    file_make("done");
    expect_end(child);
    SAME(byte_at(fd, PAGE - 1), 'o');
}

RULE(o_trunc_drops_what_another_process_has_in_its_map, "open(2) O_TRUNC")
{
    int fd = file_open("f");
    file_fill(fd, 'm', PAGE);
    const char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    HOLDS(map != MAP_FAILED && map[0] == 'm');
    OK(open("f", O_WRONLY | O_TRUNC));
    OK(ftruncate(fd, PAGE));
    SAME(map[0], 0);
}

RULE(direct_writes_show_in_a_map, "open(2) O_DIRECT")
{
    char *page = aligned_alloc(PAGE, PAGE);
    int fd = file_open("f");
    file_fill(fd, 'a', PAGE);
    const char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    HOLDS(map != MAP_FAILED && map[0] == 'a');
    HOLDS(page != NULL);
    memset(page, 'b', PAGE);
    SAME(pwrite((int)OK(open("f", O_WRONLY | O_DIRECT)), page, PAGE, 0), PAGE);
    SAME(map[0], 'b');
}

RULE(a_time_set_on_an_open_file_is_not_undone_by_its_close, "futimens(3)")
{
    struct timespec times[2] = {{.tv_sec = 7}, {.tv_sec = 8, .tv_nsec = 9}};
    int fd = file_open("f");
    file_fill(fd, 't', PAGE);
    OK(futimens(fd, times));
    OK(close(fd));
    forget();
    SAME(stat_of("f").st_mtim.tv_sec, 8);
    SAME(stat_of("f").st_mtim.tv_nsec, 9);
}

/* ---- signals ---- */

static void no_action(int number)
{
    (void)number;
}

RULE(signals_during_writes_lose_nothing, "write(2), signal(7)")
{
    enum { CHUNK = 64 * 1024, COUNT = 64 };
    static char bytes[CHUNK];
    struct itimerval often = {{.tv_usec = 500}, {.tv_usec = 500}};
    struct itimerval never = {0};
    long long total = 0;
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = no_action}, NULL);
    int fd = file_open("f");
    OK(setitimer(ITIMER_REAL, &often, NULL));
    for (int i = 0; i < COUNT; i++) {
        ssize_t size = write(fd, bytes, sizeof bytes);
        HOLDS(size > 0 || errno == EINTR);
        total += size > 0 ? size : 0;
    }
    OK(setitimer(ITIMER_REAL, &never, NULL));
    SAME(stat_of("f").st_size, total);
}

RULE(signals_during_changes_of_names_leave_them_done_or_not, "rename(2), signal(7)")
{
    struct itimerval often = {{.tv_usec = 300}, {.tv_usec = 300}};
    struct itimerval never = {0};
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = no_action}, NULL);
    file_put("f", "text");
    OK(setitimer(ITIMER_REAL, &often, NULL));
    for (int i = 0; i < 300; i++) {
        OK(rename("f", "g"));
        OK(rename("g", "f"));
    }
    OK(setitimer(ITIMER_REAL, &never, NULL));
    FILE_IS("f", "text");
    HOLDS(!exists("g"));
}

static void wait_in_open(void)
{
    OK(open("p", O_RDONLY));
}

RULE(a_process_that_waits_in_open_can_be_killed, "fifo(7), signal(7)")
{
    int status;
    OK(mkfifo("p", 0600));
    pid_t child = start(wait_in_open);
    OK(kill(child, SIGKILL));
    SAME(waitpid(child, &status, 0), child);
    HOLDS(WIFSIGNALED(status));
    OK(unlink("p"));
}

/* ---- requests that are refused ---- */

RULE(cloning_a_file_is_refused_where_it_cannot_be_done, "ioctl_ficlone(2) EOPNOTSUPP")
{
    file_put("f", "text");
    FAILS(EOPNOTSUPP, ioctl(file_open("g"), FICLONE, file_open("f")));
}

RULE(an_unknown_ioctl_is_refused, "ioctl(2) ENOTTY")
{
    FAILS(ENOTTY, ioctl(file_open("f"), _IO('K', 99)));
}

RULE(a_rename_with_unknown_flags_is_refused, "rename(2) EINVAL")
{
    file_make("f");
    FAILS(EINVAL, renameat2(AT_FDCWD, "f", AT_FDCWD, "g", 1U << 30));
    HOLDS(exists("f"));
}

RULE(a_selinux_label_is_kept_or_refused, "xattr(7)")
{
    file_make("f");
    HOLDS(setxattr("f", "security.selinux", "x", 1, 0) == 0 || errno == EOPNOTSUPP ||
          errno == EINVAL);
}
