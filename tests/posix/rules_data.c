/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, writing, appending, truncating, memory maps. */
#include "tests/posix/rule.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { MIB = 1 << 20 };

RULE(what_is_written_is_read, "write(2), read(2)")
{
    file_put("f", "some text");
    FILE_IS("f", "some text");
    SAME(stat_of("f").st_size, 9);
}

RULE(reading_at_and_behind_the_end_gives_nothing, "read(2)")
{
    char byte;
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDONLY));
    SAME(pread(fd, &byte, 1, 4), 0);
    SAME(pread(fd, &byte, 1, 1 << 20), 0);
}

RULE(reading_across_the_end_gives_what_is_there, "read(2)")
{
    char bytes[100];
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDONLY));
    SAME(pread(fd, bytes, sizeof bytes, 1), 3);
    HOLDS(memcmp(bytes, "ext", 3) == 0);
}

RULE(each_open_has_an_offset_of_its_own, "open(2)")
{
    char byte;
    file_put("f", "text");
    int a = (int)OK(open("f", O_RDONLY));
    int b = (int)OK(open("f", O_RDONLY));
    SAME(read(a, &byte, 1), 1);
    SAME(lseek(a, 0, SEEK_CUR), 1);
    SAME(lseek(b, 0, SEEK_CUR), 0);
}

RULE(a_duplicate_shares_the_offset, "dup(2)")
{
    int a = file_open("f");
    int b = (int)OK(dup(a));
    SAME(write(a, "one", 3), 3);
    SAME(write(b, "two", 3), 3);
    FILE_IS("f", "onetwo");
}

RULE(pwrite_leaves_the_offset, "pwrite(2)")
{
    int fd = file_open("f");
    SAME(pwrite(fd, "text", 4, 10), 4);
    SAME(lseek(fd, 0, SEEK_CUR), 0);
    SAME(stat_of("f").st_size, 14);
}

RULE(a_write_is_seen_by_who_has_the_file_open, "write(2)")
{
    int a = file_open("f");
    int b = (int)OK(open("f", O_RDONLY));
    SAME(byte_at(b, 0), -1);
    SAME(write(a, "x", 1), 1);
    SAME(byte_at(b, 0), 'x');
}

RULE(overwriting_in_the_middle_leaves_the_rest, "pwrite(2)")
{
    file_put("f", "0123456789");
    int fd = (int)OK(open("f", O_WRONLY));
    SAME(pwrite(fd, "xyz", 3, 4), 3);
    FILE_IS("f", "0123xyz789");
}

RULE(writing_behind_the_end_leaves_zeros_in_between, "lseek(2), write(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "a", 1), 1);
    SAME(pwrite(fd, "b", 1, 100000), 1);
    SAME(byte_at(fd, 1), 0);
    SAME(byte_at(fd, 50000), 0);
    SAME(byte_at(fd, 99999), 0);
    SAME(stat_of("f").st_size, 100001);
}

RULE(a_large_write_is_whole, "write(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 5 * MIB + 17);
    SAME(stat_of("f").st_size, 5 * MIB + 17);
    SAME(byte_at(fd, 0), 'x');
    SAME(byte_at(fd, MIB), 'x');
    SAME(byte_at(fd, 5 * MIB + 16), 'x');
}

RULE(vectors_are_written_and_read_in_order, "readv(2)")
{
    char one[3];
    char two[4];
    char bytes[] = "abcdefg";
    struct iovec out[] = {{bytes, 3}, {bytes, 0}, {bytes + 3, 4}};
    struct iovec in[] = {{one, 3}, {two, 4}};
    int fd = file_open("f");
    SAME(writev(fd, out, 3), 7);
    SAME(preadv(fd, in, 2, 0), 7);
    HOLDS(memcmp(one, "abc", 3) == 0 && memcmp(two, "defg", 4) == 0);
}

RULE(a_bad_address_is_told_and_nothing_is_written, "write(2) EFAULT")
{
    int fd = file_open("f");
    void *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(nowhere != MAP_FAILED);
    FAILS(EFAULT, write(fd, nowhere, 10));
    SAME(stat_of("f").st_size, 0);
    SAME(write(fd, "x", 1), 1);
    FAILS(EFAULT, pread(fd, nowhere, 1, 0));
}

RULE(negative_offsets_are_invalid, "pread(2), lseek(2) EINVAL")
{
    char byte;
    int fd = file_open("f");
    FAILS(EINVAL, pread(fd, &byte, 1, -1));
    FAILS(EINVAL, pwrite(fd, &byte, 1, -1));
    FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
    FAILS(EINVAL, lseek(fd, 0, 99));
}

RULE(lseek_moves_and_reads_follow, "lseek(2)")
{
    char byte;
    file_put("f", "0123456789");
    int fd = (int)OK(open("f", O_RDONLY));
    SAME(lseek(fd, 3, SEEK_SET), 3);
    SAME(lseek(fd, 2, SEEK_CUR), 5);
    SAME(read(fd, &byte, 1), 1);
    SAME(byte, '5');
    SAME(lseek(fd, -1, SEEK_END), 9);
    SAME(lseek(fd, 100, SEEK_END), 110);
    SAME(read(fd, &byte, 1), 0);
    SAME(stat_of("f").st_size, 10);
}

/* ---- O_APPEND, O_DIRECT, O_SYNC ---- */

RULE(appending_always_goes_to_the_end, "open(2) O_APPEND")
{
    file_put("f", "start");
    int fd = (int)OK(open("f", O_RDWR | O_APPEND));
    OK(lseek(fd, 0, SEEK_SET));
    SAME(write(fd, "-end", 4), 4);
    FILE_IS("f", "start-end");
    SAME(lseek(fd, 0, SEEK_CUR), 9);
}

RULE(appending_sees_how_others_moved_the_end, "open(2) O_APPEND")
{
    int append = (int)OK(open("f", O_CREAT | O_WRONLY | O_APPEND, 0644));
    int other = file_open("f");
    SAME(write(append, "a", 1), 1);
    SAME(pwrite(other, "bcd", 3, 1), 3);
    SAME(write(append, "e", 1), 1);
    FILE_IS("f", "abcde");
    OK(ftruncate(other, 1));
    SAME(write(append, "z", 1), 1);
    FILE_IS("f", "az");
}

RULE(appends_of_two_processes_lose_nothing, "open(2) O_APPEND")
{
    pid_t pid = (pid_t)OK(fork());
    int fd = (int)OK(open("f", O_CREAT | O_WRONLY | O_APPEND, 0644));
    for (int i = 0; i < 200; i++) {
        SAME(write(fd, "0123456789", 10), 10);
    }
    if (pid == 0) {
        _exit(0);
    }
    int status;
    OK(waitpid(pid, &status, 0));
    SAME(status, 0);
    SAME(stat_of("f").st_size, 4000);
}

RULE(append_can_be_switched_on_and_off, "fcntl(2) F_SETFL")
{
    file_put("f", "0123");
    int fd = (int)OK(open("f", O_WRONLY));
    OK(fcntl(fd, F_SETFL, O_APPEND));
    SAME(write(fd, "4", 1), 1);
    OK(fcntl(fd, F_SETFL, 0));
    SAME(pwrite(fd, "x", 1, 0), 1);
    FILE_IS("f", "x1234");
}

RULE(direct_writes_are_seen_by_cached_readers, "open(2) O_DIRECT")
{
    static char page[PAGE] __attribute__((aligned(PAGE)));
    int cached = file_open("f");
    file_fill(cached, 'a', 2 * PAGE);
    SAME(byte_at(cached, PAGE), 'a');
    int direct = (int)OK(open("f", O_RDWR | O_DIRECT));
    memset(page, 'd', PAGE);
    SAME(pwrite(direct, page, PAGE, PAGE), PAGE);
    SAME(byte_at(cached, PAGE), 'd');
    SAME(byte_at(cached, PAGE - 1), 'a');
}

RULE(direct_reads_see_cached_writes, "open(2) O_DIRECT")
{
    static char page[PAGE] __attribute__((aligned(PAGE)));
    int cached = file_open("f");
    file_fill(cached, 'a', PAGE);
    int direct = (int)OK(open("f", O_RDONLY | O_DIRECT));
    SAME(pread(direct, page, PAGE, 0), PAGE);
    SAME(page[7], 'a');
    SAME(pwrite(cached, "b", 1, 7), 1);
    SAME(pread(direct, page, PAGE, 0), PAGE);
    SAME(page[7], 'b');
}

RULE(direct_writes_extend_a_file, "open(2) O_DIRECT")
{
    static char page[PAGE] __attribute__((aligned(PAGE)));
    int direct = (int)OK(open("f", O_CREAT | O_RDWR | O_DIRECT, 0644));
    SAME(pwrite(direct, page, PAGE, 3L * PAGE), PAGE);
    SAME(stat_of("f").st_size, 4 * PAGE);
}

RULE(synchronous_writes_are_written, "open(2) O_SYNC, O_DSYNC")
{
    int fd = (int)OK(open("f", O_CREAT | O_WRONLY | O_SYNC, 0644));
    SAME(write(fd, "one", 3), 3);
    fd = (int)OK(open("f", O_WRONLY | O_APPEND | O_DSYNC));
    SAME(write(fd, "two", 3), 3);
    FILE_IS("f", "onetwo");
}

RULE(files_and_directories_can_be_synced, "fsync(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "x", 1), 1);
    OK(fsync(fd));
    OK(fdatasync(fd));
    OK(fsync((int)OK(open("f", O_RDONLY))));
    OK(fsync((int)OK(open(".", O_RDONLY))));
    OK(syncfs(fd));
    OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
}

/* ---- truncate ---- */

RULE(truncate_cuts_a_file, "truncate(2)")
{
    file_put("f", "0123456789");
    OK(truncate("f", 4));
    FILE_IS("f", "0123");
    SAME(stat_of("f").st_size, 4);
}

RULE(truncate_extends_a_file_with_zeros, "truncate(2)")
{
    file_put("f", "ab");
    OK(truncate("f", 5000));
    int fd = (int)OK(open("f", O_RDONLY));
    SAME(stat_of("f").st_size, 5000);
    SAME(byte_at(fd, 1), 'b');
    SAME(byte_at(fd, 2), 0);
    SAME(byte_at(fd, 4999), 0);
    SAME(byte_at(fd, 5000), -1);
}

RULE(what_was_cut_off_never_comes_back, "truncate(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 100000);
    OK(ftruncate(fd, 1000));
    OK(ftruncate(fd, 100000));
    SAME(byte_at(fd, 999), 'x');
    SAME(byte_at(fd, 1000), 0);
    SAME(byte_at(fd, 4095), 0);
    SAME(byte_at(fd, 50000), 0);
}

RULE(what_was_cut_off_never_comes_back_by_a_write_behind_it, "truncate(2), write(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 10000);
    OK(fsync(fd));
    OK(ftruncate(fd, 100));
    SAME(pwrite(fd, "y", 1, 9999), 1);
    SAME(byte_at(fd, 100), 0);
    SAME(byte_at(fd, 9998), 0);
    SAME(byte_at(fd, 9999), 'y');
}

RULE(truncate_to_zero_and_up_gives_zeros, "truncate(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 70000);
    OK(ftruncate(fd, 0));
    OK(ftruncate(fd, 70000));
    SAME(byte_at(fd, 0), 0);
    SAME(byte_at(fd, 69999), 0);
}

RULE(truncate_refuses_what_is_no_file, "truncate(2) EISDIR, EINVAL, ENOENT")
{
    dir_make("d", 0755);
    OK(mkfifo("p", 0644));
    FAILS(EISDIR, truncate("d", 0));
    FAILS(EINVAL, truncate("p", 0));
    FAILS(ENOENT, truncate("none", 0));
    FAILS(ENOENT, truncate("none/f", 0));
}

RULE(a_negative_size_is_invalid, "truncate(2) EINVAL")
{
    int fd = file_open("f");
    FAILS(EINVAL, truncate("f", -1));
    FAILS(EINVAL, ftruncate(fd, -1));
}

RULE(truncate_leaves_the_offset, "ftruncate(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "0123456789", 10), 10);
    OK(ftruncate(fd, 0));
    SAME(lseek(fd, 0, SEEK_CUR), 10);
    SAME(write(fd, "x", 1), 1);
    SAME(stat_of("f").st_size, 11);
    SAME(byte_at(fd, 0), 0);
}

/* ---- mmap ---- */

static char *map(int fd, size_t size, int flags)
{
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    HOLDS(bytes != MAP_FAILED);
    return bytes;
}

RULE(a_map_shows_the_file_and_zeros_behind_its_end, "mmap(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    char *bytes = map(fd, PAGE, MAP_SHARED);
    HOLDS(memcmp(bytes, "text", 4) == 0);
    SAME(bytes[4], 0);
    SAME(bytes[PAGE - 1], 0);
}

RULE(what_is_stored_in_a_shared_map_is_read, "mmap(2) MAP_SHARED")
{
    int fd = file_open("f");
    OK(ftruncate(fd, PAGE));
    char *bytes = map(fd, PAGE, MAP_SHARED);
    bytes[10] = 'x';
    SAME(byte_at(fd, 10), 'x');
    OK(msync(bytes, PAGE, MS_SYNC));
    SAME(byte_at((int)OK(open("f", O_RDONLY)), 10), 'x');
}

RULE(what_is_written_shows_in_a_shared_map, "mmap(2) MAP_SHARED")
{
    int fd = file_open("f");
    OK(ftruncate(fd, PAGE));
    char *bytes = map(fd, PAGE, MAP_SHARED);
    SAME(bytes[0], 0);
    SAME(pwrite(fd, "text", 4, 0), 4);
    HOLDS(memcmp(bytes, "text", 4) == 0);
}

RULE(what_is_stored_in_a_private_map_stays_there, "mmap(2) MAP_PRIVATE")
{
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDONLY));
    char *bytes = map(fd, PAGE, MAP_PRIVATE);
    bytes[0] = 'T';
    FILE_IS("f", "text");
}

RULE(a_map_outlives_its_descriptor_and_name, "mmap(2), munmap(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    char *bytes = map(fd, PAGE, MAP_SHARED);
    OK(close(fd));
    OK(unlink("f"));
    HOLDS(memcmp(bytes, "text", 4) == 0);
    bytes[0] = 'T';
    OK(msync(bytes, PAGE, MS_SYNC));
}

RULE(stores_behind_the_end_of_the_file_are_not_kept, "mmap(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    char *bytes = map(fd, PAGE, MAP_SHARED);
    bytes[100] = 'x';
    OK(msync(bytes, PAGE, MS_SYNC));
    SAME(stat_of("f").st_size, 4);
    OK(munmap(bytes, PAGE));
    OK(ftruncate(fd, PAGE));
    SAME(byte_at(fd, 100), 0);
}

RULE(a_truncated_file_shows_zeros_in_its_map, "mmap(2), truncate(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'x', PAGE);
    char *bytes = map(fd, PAGE, MAP_SHARED);
    SAME(bytes[100], 'x');
    OK(ftruncate(fd, 50));
    SAME(bytes[49], 'x');
    SAME(bytes[100], 0);
}

static int touch_behind_the_end(void *arg)
{
    const volatile char *bytes = arg;
    signal(SIGBUS, SIG_DFL);
    return bytes[PAGE];
}

RULE(a_page_behind_the_end_of_the_file_gives_sigbus, "mmap(2) SIGBUS")
{
    int status;
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    char *bytes = map(fd, 2 * PAGE, MAP_SHARED);
    pid_t pid = (pid_t)OK(fork());
    if (pid == 0) {
        _exit(touch_behind_the_end(bytes));
    }
    OK(waitpid(pid, &status, 0));
    HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

RULE(a_grown_file_is_seen_through_an_older_map, "mmap(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    char *bytes = map(fd, 2 * PAGE, MAP_SHARED);
    OK(ftruncate(fd, 2 * PAGE));
    SAME(pwrite(fd, "x", 1, PAGE + 5), 1);
    SAME(bytes[PAGE + 5], 'x');
}

RULE(storing_in_a_map_changes_mtime_by_the_next_msync, "mmap(2), POSIX.1-2017 msync")
{
    int fd = file_open("f");
    OK(ftruncate(fd, PAGE));
    char *bytes = map(fd, PAGE, MAP_SHARED);
    struct stat before = settled("f");
    bytes[0] = 'x';
    OK(msync(bytes, PAGE, MS_SYNC));
    SAME(times_changed("f", &before) & (T_MTIME | T_CTIME), T_MTIME | T_CTIME);
}

RULE(a_shared_map_for_writing_needs_a_descriptor_for_both, "mmap(2) EACCES")
{
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDONLY));
    HOLDS(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
    fd = (int)OK(open("f", O_WRONLY));
    HOLDS(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
}

RULE(a_file_allocated_and_mapped_keeps_what_was_stored, "posix_fallocate(3), mmap(2)")
{
    enum { SIZE = 64 * PAGE };
    int fd = file_open("f");
    SAME(posix_fallocate(fd, 0, SIZE), 0);
    char *bytes = map(fd, SIZE, MAP_SHARED);
    for (int i = 0; i < SIZE; i += PAGE) {
        bytes[i] = 'x';
    }
    SAME(posix_fallocate(fd, SIZE, PAGE), 0);
    for (int i = 0; i < SIZE; i += PAGE) {
        SAME(byte_at(fd, i), 'x');
    }
}
