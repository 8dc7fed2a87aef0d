/* SPDX-License-Identifier: Apache-2.0 */
/* Holes, fallocate(2), copy_file_range(2), statfs(2), and the blocks that files take. */
#include "tests/posix/rule.h"

#include <sys/ioctl.h>
#include <sys/statvfs.h>

enum { HOLE = 1 << 20, PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };

/* Data, a hole of a MiB, data. */
static int file_with_hole(void)
{
    int fd = file_open("f");
    file_fill(fd, 'a', PAGE);
    OK(lseek(fd, PAGE + HOLE, SEEK_SET));
    file_fill(fd, 'b', PAGE);
    return fd;
}

/* ---- SEEK_DATA, SEEK_HOLE ---- */

RULE(seek_data_and_hole_find_the_borders_of_a_hole, "lseek(2) SEEK_DATA, SEEK_HOLE")
{
    int fd = file_with_hole();
    SAME(lseek(fd, 0, SEEK_DATA), 0);
    SAME(lseek(fd, 0, SEEK_HOLE), PAGE);
    SAME(lseek(fd, PAGE, SEEK_DATA), PAGE + HOLE);
    SAME(lseek(fd, PAGE + HOLE, SEEK_HOLE), 2 * PAGE + HOLE);
}

RULE(seek_inside_data_or_hole_stays_there, "lseek(2) SEEK_DATA, SEEK_HOLE")
{
    int fd = file_with_hole();
    SAME(lseek(fd, 10, SEEK_DATA), 10);
    SAME(lseek(fd, 2 * PAGE + 10, SEEK_HOLE), 2 * PAGE + 10);
}

RULE(there_is_a_hole_at_the_end_of_every_file, "lseek(2) SEEK_HOLE")
{
    file_put("f", "text");
    int fd = (int)OK(open("f", O_RDONLY));
    SAME(lseek(fd, 0, SEEK_HOLE), 4);
}

RULE(seek_data_behind_the_last_data_fails, "lseek(2) ENXIO")
{
    int fd = file_open("f");
    FAILS(ENXIO, lseek(fd, 0, SEEK_DATA));
    FAILS(ENXIO, lseek(fd, 0, SEEK_HOLE));
    SAME(write(fd, "text", 4), 4);
    FAILS(ENXIO, lseek(fd, 4, SEEK_DATA));
    FAILS(ENXIO, lseek(fd, 4, SEEK_HOLE));
}

RULE(seek_data_in_a_file_of_one_hole_fails, "lseek(2) ENXIO")
{
    int fd = file_open("f");
    OK(ftruncate(fd, HOLE));
    FAILS(ENXIO, lseek(fd, 0, SEEK_DATA));
    SAME(lseek(fd, 0, SEEK_HOLE), 0);
}

RULE(a_seek_that_fails_leaves_the_offset, "lseek(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    FAILS(ENXIO, lseek(fd, 100, SEEK_DATA));
    SAME(lseek(fd, 0, SEEK_CUR), 4);
}

RULE(a_punched_hole_is_found, "fallocate(2), lseek(2) SEEK_HOLE")
{
    int fd = file_open("f");
    file_fill(fd, 'x', HOLE);
    OK(fallocate(fd, PUNCH, 64 * 1024, 64 * 1024));
    SAME(lseek(fd, 0, SEEK_HOLE), 64 * 1024);
    SAME(lseek(fd, 64 * 1024, SEEK_DATA), 128 * 1024);
}

/* ---- blocks ---- */

RULE(a_hole_takes_no_blocks, "inode(7) st_blocks")
{
    int fd = file_open("f");
    OK(ftruncate(fd, 100L * HOLE));
    HOLDS(stat_of("f").st_blocks * 512 < HOLE);
}

RULE(written_data_takes_blocks, "inode(7) st_blocks")
{
    int fd = file_open("f");
    file_fill(fd, 'x', HOLE);
    OK(fsync(fd));
    HOLDS(stat_of("f").st_blocks * 512 >= HOLE);
}

RULE(truncation_and_holes_give_blocks_back, "truncate(2), fallocate(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'x', HOLE);
    OK(fsync(fd));
    OK(fallocate(fd, PUNCH, 0, HOLE / 2));
    HOLDS(stat_of("f").st_blocks * 512 <= HOLE / 2 + 64 * 1024);
    OK(ftruncate(fd, 0));
    HOLDS(stat_of("f").st_blocks * 512 <= 64 * 1024);
}

RULE(fallocate_takes_the_blocks_at_once, "fallocate(2)")
{
    int fd = file_open("f");
    OK(fallocate(fd, 0, 0, HOLE));
    HOLDS(stat_of("f").st_blocks * 512 >= HOLE);
}

/* ---- fallocate ---- */

RULE(fallocate_extends_a_file_with_zeros, "fallocate(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    OK(fallocate(fd, 0, 0, 10000));
    SAME(stat_of("f").st_size, 10000);
    SAME(byte_at(fd, 3), 't');
    SAME(byte_at(fd, 4), 0);
    SAME(byte_at(fd, 9999), 0);
}

RULE(fallocate_never_shortens_or_changes_data, "fallocate(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 10000);
    OK(fallocate(fd, 0, 0, 100));
    SAME(stat_of("f").st_size, 10000);
    SAME(byte_at(fd, 50), 'x');
}

RULE(fallocate_with_keep_size_keeps_the_size, "fallocate(2) FALLOC_FL_KEEP_SIZE")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, HOLE));
    SAME(stat_of("f").st_size, 4);
    SAME(byte_at(fd, 4), -1);
}

RULE(a_punched_hole_reads_as_zeros_and_leaves_the_rest, "fallocate(2) FALLOC_FL_PUNCH_HOLE")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 20000);
    OK(fallocate(fd, PUNCH, 5000, 5001));
    SAME(stat_of("f").st_size, 20000);
    SAME(byte_at(fd, 4999), 'x');
    SAME(byte_at(fd, 5000), 0);
    SAME(byte_at(fd, 10000), 0);
    SAME(byte_at(fd, 10001), 'x');
}

RULE(a_hole_punched_behind_the_end_changes_nothing, "fallocate(2) FALLOC_FL_PUNCH_HOLE")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    OK(fallocate(fd, PUNCH, 100, 1000));
    SAME(stat_of("f").st_size, 4);
    FILE_IS("f", "text");
}

RULE(a_hole_punched_across_the_end_cuts_nothing_off, "fallocate(2) FALLOC_FL_PUNCH_HOLE")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 10000);
    OK(fallocate(fd, PUNCH, 9000, 5000));
    SAME(stat_of("f").st_size, 10000);
    SAME(byte_at(fd, 8999), 'x');
    SAME(byte_at(fd, 9999), 0);
}

RULE(punching_without_keep_size_is_refused, "fallocate(2) EOPNOTSUPP")
{
    int fd = file_open("f");
    file_fill(fd, 'x', PAGE);
    FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE));
    SAME(byte_at(fd, 0), 'x');
}

RULE(zeroing_a_range_reads_as_zeros, "fallocate(2) FALLOC_FL_ZERO_RANGE")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 20000);
    OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 5000, 5000));
    SAME(byte_at(fd, 4999), 'x');
    SAME(byte_at(fd, 5000), 0);
    SAME(byte_at(fd, 10000), 'x');
}

RULE(zeroing_a_range_extends_the_file_unless_told_not_to, "fallocate(2) FALLOC_FL_ZERO_RANGE")
{
    int fd = file_open("f");
    OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 10000));
    SAME(stat_of("f").st_size, 0);
    OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 10000));
    SAME(stat_of("f").st_size, 10000);
}

RULE(a_collapsed_range_is_gone, "fallocate(2) FALLOC_FL_COLLAPSE_RANGE")
{
    int fd = file_open("f");
    file_fill(fd, 'a', PAGE);
    file_fill(fd, 'b', PAGE);
    file_fill(fd, 'c', PAGE);
    OK(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, PAGE, PAGE));
    SAME(stat_of("f").st_size, 2 * PAGE);
    SAME(byte_at(fd, PAGE), 'c');
}

RULE(an_inserted_range_pushes_data_back, "fallocate(2) FALLOC_FL_INSERT_RANGE")
{
    int fd = file_open("f");
    file_fill(fd, 'a', PAGE);
    file_fill(fd, 'b', PAGE);
    OK(fallocate(fd, FALLOC_FL_INSERT_RANGE, PAGE, PAGE));
    SAME(stat_of("f").st_size, 3 * PAGE);
    SAME(byte_at(fd, PAGE), 0);
    SAME(byte_at(fd, 2 * PAGE), 'b');
}

RULE(fallocate_refuses_bad_ranges, "fallocate(2) EINVAL, EFBIG")
{
    int fd = file_open("f");
    FAILS(EINVAL, fallocate(fd, 0, 0, 0));
    FAILS(EINVAL, fallocate(fd, 0, -1, 10));
    FAILS(EINVAL, fallocate(fd, 0, 0, -1));
    FAILS(EFBIG, fallocate(fd, 0, INT64_MAX, 10));
}

RULE(fallocate_needs_a_regular_file_open_for_writing, "fallocate(2) EBADF")
{
    file_make("f");
    FAILS(EBADF, fallocate((int)OK(open("f", O_RDONLY)), 0, 0, 10));
    FAILS(EBADF, fallocate((int)OK(open(".", O_RDONLY)), 0, 0, 10));
}

/* ---- copy_file_range ---- */

RULE(copy_file_range_copies_and_moves_both_offsets, "copy_file_range(2)")
{
    file_put("from", "0123456789");
    int in = (int)OK(open("from", O_RDONLY));
    int out = file_open("to");
    SAME(copy_file_range(in, NULL, out, NULL, 4, 0), 4);
    SAME(lseek(in, 0, SEEK_CUR), 4);
    SAME(lseek(out, 0, SEEK_CUR), 4);
    FILE_IS("to", "0123");
}

RULE(copy_file_range_with_offsets_leaves_those_of_the_files, "copy_file_range(2)")
{
    off_t from = 2;
    off_t to = 1;
    file_put("from", "0123456789");
    file_put("to", "abcdef");
    int in = (int)OK(open("from", O_RDONLY));
    int out = file_open("to");
    SAME(copy_file_range(in, &from, out, &to, 3, 0), 3);
    SAME(from, 5);
    SAME(to, 4);
    SAME(lseek(in, 0, SEEK_CUR), 0);
    FILE_IS("to", "a234ef");
}

RULE(copy_file_range_stops_at_the_end_of_the_source, "copy_file_range(2)")
{
    off_t from = 8;
    off_t end = 10;
    file_put("from", "0123456789");
    int in = (int)OK(open("from", O_RDONLY));
    int out = file_open("to");
    SAME(copy_file_range(in, &from, out, NULL, 100, 0), 2);
    SAME(copy_file_range(in, &end, out, NULL, 100, 0), 0);
    FILE_IS("to", "89");
}

RULE(a_copy_is_independent_of_its_source, "copy_file_range(2)")
{
    int in = file_open("from");
    int out = file_open("to");
    file_fill(in, 'x', 64 * 1024);
    OK(lseek(in, 0, SEEK_SET));
    SAME(copy_file_range(in, NULL, out, NULL, 64 * 1024, 0), 64 * 1024);
    SAME(pwrite(in, "y", 1, 5000), 1);
    SAME(byte_at(out, 5000), 'x');
    SAME(pwrite(out, "z", 1, 6000), 1);
    SAME(byte_at(in, 6000), 'x');
    OK(ftruncate(in, 0));
    SAME(byte_at(out, 60000), 'x');
}

RULE(copy_file_range_copies_what_is_still_in_the_cache_or_a_map, "copy_file_range(2)")
{
    int in = file_open("from");
    int out = file_open("to");
    SAME(write(in, "cached", 6), 6);
    SAME(write(out, "overwritten", 11), 11);
    SAME(byte_at(out, 0), 'o');
    off_t from = 0;
    off_t to = 0;
    SAME(copy_file_range(in, &from, out, &to, 6, 0), 6);
    FILE_IS("to", "cacheditten");
}

RULE(copy_file_range_within_a_file_must_not_overlap, "copy_file_range(2) EINVAL")
{
    off_t from = 0;
    off_t to = 2;
    file_put("f", "0123456789");
    int fd = file_open("f");
    FAILS(EINVAL, copy_file_range(fd, &from, fd, &to, 4, 0));
    to = 5;
    SAME(copy_file_range(fd, &from, fd, &to, 4, 0), 4);
    FILE_IS("f", "0123401239");
}

RULE(copy_file_range_refuses_bad_files, "copy_file_range(2) EBADF, EISDIR, EINVAL")
{
    file_put("from", "text");
    int in = (int)OK(open("from", O_RDONLY));
    int out = file_open("to");
    FAILS(EBADF, copy_file_range(out, NULL, in, NULL, 4, 0));
    FAILS(EISDIR, copy_file_range((int)OK(open(".", O_RDONLY)), NULL, out, NULL, 4, 0));
    FAILS(EINVAL, copy_file_range(in, NULL, out, NULL, 4, 1));
    int append = (int)OK(open("to", O_WRONLY | O_APPEND));
    FAILS(EBADF, copy_file_range(in, NULL, append, NULL, 4, 0));
}

RULE(copy_file_range_behind_the_end_leaves_a_hole_of_zeros, "copy_file_range(2)")
{
    off_t to = 5000;
    file_put("from", "text");
    int out = file_open("to");
    SAME(copy_file_range((int)OK(open("from", O_RDONLY)), NULL, out, &to, 4, 0), 4);
    SAME(stat_of("to").st_size, 5004);
    SAME(byte_at(out, 4999), 0);
    SAME(byte_at(out, 5000), 't');
}

/* ---- statfs ---- */

RULE(statvfs_tells_sane_numbers, "statvfs(3)")
{
    struct statvfs st;
    OK(statvfs(".", &st));
    HOLDS(st.f_blocks > 0 && st.f_bfree <= st.f_blocks && st.f_bavail <= st.f_bfree);
    HOLDS(st.f_frsize > 0 && st.f_bsize > 0);
    HOLDS(st.f_ffree <= st.f_files);
    SAME(st.f_namemax, 255);
}

RULE(fstatvfs_of_any_file_is_that_of_the_mount, "statvfs(3)")
{
    struct statvfs a;
    struct statvfs b;
    int fd = file_open("f");
    OK(statvfs(".", &a));
    OK(fstatvfs(fd, &b));
    /* What is free may change meanwhile: where the device is shared, the total with it. */
    SAME(a.f_frsize, b.f_frsize);
    SAME(a.f_namemax, b.f_namemax);
    SAME(a.f_fsid, b.f_fsid);
    HOLDS(a.f_blocks / 100 * 90 < b.f_blocks && b.f_blocks / 100 * 90 < a.f_blocks);
}

RULE(all_files_of_a_mount_have_one_device_number, "inode(7) st_dev")
{
    file_make("f");
    dir_make("d", 0755);
    SAME(stat_of("f").st_dev, stat_of("d").st_dev);
    SAME(stat_of("f").st_dev, stat_of(".").st_dev);
}

RULE(fionread_tells_how_much_is_left_to_read, "ioctl_fionread(2)")
{
    int left = -1;
    file_put("f", "0123456789");
    int fd = (int)OK(open("f", O_RDONLY));
    OK(lseek(fd, 4, SEEK_SET));
    OK(ioctl(fd, FIONREAD, &left));
    SAME(left, 6);
}
