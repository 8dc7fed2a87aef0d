/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls change which times of a file and of its directory, and utimensat(2). What reading
 * does to the time of access is left to the mount option. */
#include "tests/posix/rule.h"

#include <sys/xattr.h>
#include <time.h>

enum { CHANGED = T_MTIME | T_CTIME };

/* ---- the directory ---- */

RULE(making_a_file_changes_its_directory, "open(2), POSIX.1-2017 open")
{
    dir_make("d", 0755);
    struct stat before = settled("d");
    file_make("d/f");
    SAME(times_changed("d", &before), CHANGED);
}

RULE(opening_an_existing_file_with_o_creat_leaves_its_directory, "POSIX.1-2017 open")
{
    dir_make("d", 0755);
    file_make("d/f");
    struct stat before = settled("d");
    OK(open("d/f", O_CREAT | O_RDWR, 0644));
    SAME(times_changed("d", &before), 0);
}

RULE(making_a_directory_changes_its_parent, "POSIX.1-2017 mkdir")
{
    dir_make("d", 0755);
    struct stat before = settled("d");
    OK(mkdir("d/e", 0755));
    SAME(times_changed("d", &before), CHANGED);
}

RULE(making_a_link_changes_its_directory, "POSIX.1-2017 symlink")
{
    dir_make("d", 0755);
    struct stat before = settled("d");
    OK(symlink("x", "d/l"));
    SAME(times_changed("d", &before), CHANGED);
}

RULE(making_a_fifo_changes_its_directory, "POSIX.1-2017 mkfifo")
{
    dir_make("d", 0755);
    struct stat before = settled("d");
    OK(mkfifo("d/p", 0644));
    SAME(times_changed("d", &before), CHANGED);
}

RULE(linking_changes_the_directory_of_the_new_name_only, "POSIX.1-2017 link")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    file_make("a/f");
    struct stat old_dir = settled("a");
    struct stat new_dir = settled("b");
    OK(link("a/f", "b/f"));
    SAME(times_changed("a", &old_dir), 0);
    SAME(times_changed("b", &new_dir), CHANGED);
}

RULE(unlinking_changes_the_directory, "POSIX.1-2017 unlink")
{
    dir_make("d", 0755);
    file_make("d/f");
    struct stat before = settled("d");
    OK(unlink("d/f"));
    SAME(times_changed("d", &before), CHANGED);
}

RULE(removing_a_directory_changes_its_parent, "POSIX.1-2017 rmdir")
{
    dir_make("d", 0755);
    dir_make("d/e", 0755);
    struct stat before = settled("d");
    OK(rmdir("d/e"));
    SAME(times_changed("d", &before), CHANGED);
}

RULE(renaming_changes_both_directories, "POSIX.1-2017 rename")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    file_make("a/f");
    struct stat old_dir = settled("a");
    struct stat new_dir = settled("b");
    OK(rename("a/f", "b/f"));
    SAME(times_changed("a", &old_dir), CHANGED);
    SAME(times_changed("b", &new_dir), CHANGED);
}

RULE(exchanging_changes_both_directories, "renameat2(2)")
{
    dir_make("a", 0755);
    dir_make("b", 0755);
    file_make("a/f");
    file_make("b/f");
    struct stat one = settled("a");
    struct stat two = settled("b");
    OK(renameat2(AT_FDCWD, "a/f", AT_FDCWD, "b/f", RENAME_EXCHANGE));
    SAME(times_changed("a", &one), CHANGED);
    SAME(times_changed("b", &two), CHANGED);
}

RULE(renaming_to_another_name_of_the_same_file_changes_nothing, "POSIX.1-2017 rename")
{
    dir_make("d", 0755);
    file_make("d/f");
    OK(link("d/f", "d/g"));
    struct stat dir = settled("d");
    struct stat file = settled("d/f");
    OK(rename("d/f", "d/g"));
    SAME(times_changed("d", &dir), 0);
    SAME(times_changed("d/f", &file), 0);
}

RULE(writing_a_file_leaves_its_directory, "POSIX.1-2017 write")
{
    dir_make("d", 0755);
    file_make("d/f");
    struct stat before = settled("d");
    file_put("d/f", "text");
    OK(chmod("d/f", 0600));
    SAME(times_changed("d", &before), 0);
}

RULE(a_refused_call_changes_no_times, "POSIX.1-2017 4.9 File Times Update")
{
    dir_make("d", 0755);
    file_make("d/f");
    struct stat dir = settled("d");
    struct stat file = settled("d/f");
    FAILS(EEXIST, mkdir("d/f", 0755));
    FAILS(ENOENT, unlink("d/none"));
    FAILS(ENOTDIR, rmdir("d/f"));
    FAILS(EEXIST, link("d/f", "d/f"));
    FAILS(EINVAL, truncate("d/f", -1));
    SAME(times_changed("d", &dir), 0);
    SAME(times_changed("d/f", &file), 0);
}

/* ---- the file ---- */

RULE(a_new_file_has_one_time_for_all_three, "POSIX.1-2017 open")
{
    file_make("f");
    struct stat st = stat_of("f");
    SAME(st.st_mtim.tv_sec, st.st_ctim.tv_sec);
    SAME(st.st_mtim.tv_nsec, st.st_ctim.tv_nsec);
    SAME(st.st_atim.tv_sec, st.st_mtim.tv_sec);
}

RULE(a_new_file_is_as_old_as_the_change_of_its_directory, "POSIX.1-2017 open")
{
    struct timespec now;
    dir_make("d", 0755);
    file_make("d/f");
    clock_gettime(CLOCK_REALTIME, &now);
    SAME(stat_of("d/f").st_mtim.tv_sec, stat_of("d").st_mtim.tv_sec);
    HOLDS(now.tv_sec - stat_of("d/f").st_mtim.tv_sec <= 1);
}

RULE(writing_changes_mtime_and_ctime, "POSIX.1-2017 write")
{
    int fd = file_open("f");
    struct stat before = settled("f");
    SAME(write(fd, "x", 1), 1);
    SAME(times_changed("f", &before), CHANGED);
}

RULE(overwriting_changes_mtime_and_ctime, "POSIX.1-2017 write")
{
    int fd = file_open("f");
    SAME(write(fd, "x", 1), 1);
    struct stat before = settled("f");
    SAME(pwrite(fd, "x", 1, 0), 1);
    SAME(times_changed("f", &before), CHANGED);
}

RULE(writing_nothing_changes_nothing, "POSIX.1-2017 write")
{
    int fd = file_open("f");
    struct stat before = settled("f");
    SAME(write(fd, "", 0), 0);
    SAME(times_changed("f", &before), 0);
}

RULE(truncating_to_another_size_changes_mtime_and_ctime, "POSIX.1-2017 truncate")
{
    file_put("f", "text");
    struct stat before = settled("f");
    OK(truncate("f", 2));
    SAME(times_changed("f", &before), CHANGED);
    before = settled("f");
    OK(truncate("f", 20));
    SAME(times_changed("f", &before), CHANGED);
}

RULE(ftruncate_to_another_size_changes_mtime_and_ctime, "POSIX.1-2017 ftruncate")
{
    int fd = file_open("f");
    struct stat before = settled("f");
    OK(ftruncate(fd, 20));
    SAME(times_changed("f", &before), CHANGED);
}

RULE(truncating_an_empty_file_by_o_trunc_changes_mtime_and_ctime, "POSIX.1-2017 open")
{
    file_make("f");
    struct stat before = settled("f");
    OK(open("f", O_WRONLY | O_TRUNC));
    SAME(times_changed("f", &before), CHANGED);
}

RULE(punching_a_hole_changes_mtime_and_ctime, "fallocate(2)")
{
    int fd = file_open("f");
    file_fill(fd, 'x', 3 * PAGE);
    struct stat before = settled("f");
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE));
    SAME(times_changed("f", &before), CHANGED);
}

RULE(extending_by_fallocate_changes_mtime_and_ctime, "fallocate(2)")
{
    int fd = file_open("f");
    struct stat before = settled("f");
    OK(fallocate(fd, 0, 0, PAGE));
    SAME(times_changed("f", &before), CHANGED);
}

RULE(copying_a_range_changes_the_file_written, "copy_file_range(2)")
{
    file_put("from", "bytes");
    int in = (int)OK(open("from", O_RDONLY));
    int out = file_open("to");
    struct stat before = settled("to");
    struct stat source = settled("from");
    SAME(copy_file_range(in, NULL, out, NULL, 5, 0), 5);
    SAME(times_changed("to", &before) & CHANGED, CHANGED);
    SAME(times_changed("from", &source) & CHANGED, 0);
}

RULE(reading_changes_neither_mtime_nor_ctime, "POSIX.1-2017 read")
{
    file_put("f", "text");
    struct stat before = settled("f");
    FILE_IS("f", "text");
    SAME(times_changed("f", &before) & CHANGED, 0);
}

RULE(chmod_changes_ctime_only, "POSIX.1-2017 chmod")
{
    file_make("f");
    struct stat before = settled("f");
    OK(chmod("f", 0600));
    SAME(times_changed("f", &before), T_CTIME);
}

RULE(chown_changes_ctime_only, "POSIX.1-2017 chown")
{
    rule_as_root("it gives files away, which root may");
    file_make("f");
    struct stat before = settled("f");
    OK(chown("f", USER, TEAM));
    SAME(times_changed("f", &before), T_CTIME);
}

RULE(chmod_and_chown_of_a_directory_change_ctime_only, "POSIX.1-2017 chmod, chown")
{
    rule_as_root("it gives files away, which root may");
    dir_make("d", 0755);
    struct stat before = settled("d");
    OK(chmod("d", 0700));
    SAME(times_changed("d", &before), T_CTIME);
    before = settled("d");
    OK(chown("d", USER, TEAM));
    SAME(times_changed("d", &before), T_CTIME);
}

RULE(linking_changes_ctime_of_the_file, "POSIX.1-2017 link")
{
    file_make("f");
    struct stat before = settled("f");
    OK(link("f", "g"));
    SAME(times_changed("f", &before), T_CTIME);
}

RULE(unlinking_one_name_changes_ctime_of_the_file, "POSIX.1-2017 unlink")
{
    file_make("f");
    OK(link("f", "g"));
    struct stat before = settled("g");
    OK(unlink("f"));
    SAME(times_changed("g", &before), T_CTIME);
}

RULE(unlinking_the_last_name_changes_ctime_of_an_open_file, "POSIX.1-2017 unlink")
{
    struct stat now;
    int fd = file_open("f");
    struct stat before = settled("f");
    OK(unlink("f"));
    OK(fstat(fd, &now));
    HOLDS(now.st_ctim.tv_sec != before.st_ctim.tv_sec ||
          now.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
}

RULE(renaming_changes_ctime_of_the_file, "rename(2) (Linux)")
{
    file_make("f");
    struct stat before = settled("f");
    OK(rename("f", "g"));
    SAME(times_changed("g", &before), T_CTIME);
}

RULE(replacing_one_name_of_a_file_changes_its_ctime, "rename(2)")
{
    file_make("f");
    file_make("g");
    OK(link("g", "h"));
    struct stat before = settled("h");
    OK(rename("f", "g"));
    SAME(times_changed("h", &before), T_CTIME);
}

RULE(exchanging_changes_ctime_of_both_files, "renameat2(2)")
{
    file_make("f");
    file_make("g");
    struct stat f = settled("f");
    struct stat g = settled("g");
    OK(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_EXCHANGE));
    SAME(times_changed("g", &f), T_CTIME);
    SAME(times_changed("f", &g), T_CTIME);
}

RULE(setting_and_removing_an_attribute_changes_ctime_only, "inode(7), xattr(7)")
{
    file_make("f");
    struct stat before = settled("f");
    OK(setxattr("f", "user.a", "v", 1, 0));
    SAME(times_changed("f", &before), T_CTIME);
    before = settled("f");
    OK(removexattr("f", "user.a"));
    SAME(times_changed("f", &before), T_CTIME);
}

RULE(fsync_changes_no_times, "fsync(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "x", 1), 1);
    struct stat before = settled("f");
    OK(fsync(fd));
    OK(fdatasync(fd));
    SAME(times_changed("f", &before), 0);
}

RULE(times_survive_that_the_file_is_closed_and_opened, "inode(7)")
{
    file_put("f", "text");
    struct stat before = settled("f");
    OK(close((int)OK(open("f", O_RDWR))));
    SAME(times_changed("f", &before), 0);
}

/* ---- utimensat ---- */

static int set_times(const char *name, long atime_s, long mtime_s, long ns)
{
    struct timespec times[2] = {{.tv_sec = atime_s, .tv_nsec = ns},
                                {.tv_sec = mtime_s, .tv_nsec = ns}};
    return utimensat(AT_FDCWD, name, times, 0);
}

RULE(utimensat_sets_both_times_to_the_nanosecond, "utimensat(2)")
{
    file_make("f");
    OK(set_times("f", 1000, 2000, 123456789));
    struct stat st = stat_of("f");
    SAME(st.st_atim.tv_sec, 1000);
    SAME(st.st_atim.tv_nsec, 123456789);
    SAME(st.st_mtim.tv_sec, 2000);
    SAME(st.st_mtim.tv_nsec, 123456789);
}

RULE(utimensat_changes_ctime_to_now, "utimensat(2)")
{
    file_make("f");
    struct stat before = settled("f");
    OK(set_times("f", 1000, 2000, 0));
    SAME(times_changed("f", &before), T_ATIME | T_MTIME | T_CTIME);
    HOLDS(stat_of("f").st_ctim.tv_sec >= before.st_ctim.tv_sec);
}

RULE(times_before_1970_are_kept, "utimensat(2)")
{
    file_make("f");
    OK(set_times("f", -1, -315619200, 5));
    SAME(stat_of("f").st_atim.tv_sec, -1);
    SAME(stat_of("f").st_mtim.tv_sec, -315619200);
    SAME(stat_of("f").st_mtim.tv_nsec, 5);
}

RULE(times_after_2038_are_kept, "utimensat(2)")
{
    file_make("f");
    OK(set_times("f", 0x80000000L, 0x17fffffffL, 0));
    SAME(stat_of("f").st_atim.tv_sec, 0x80000000L);
    SAME(stat_of("f").st_mtim.tv_sec, 0x17fffffffL);
}

RULE(utime_now_is_now, "utimensat(2) UTIME_NOW")
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    file_make("f");
    OK(set_times("f", 1000, 2000, 0));
    time_t begin = time(NULL);
    OK(utimensat(AT_FDCWD, "f", times, 0));
    HOLDS(stat_of("f").st_atim.tv_sec >= begin - 1);
    HOLDS(stat_of("f").st_mtim.tv_sec >= begin - 1);
}

RULE(utime_omit_leaves_a_time, "utimensat(2) UTIME_OMIT")
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 3000}};
    file_make("f");
    OK(set_times("f", 1000, 2000, 0));
    OK(utimensat(AT_FDCWD, "f", times, 0));
    SAME(stat_of("f").st_atim.tv_sec, 1000);
    SAME(stat_of("f").st_mtim.tv_sec, 3000);
}

RULE(omitting_both_times_changes_nothing, "utimensat(2) UTIME_OMIT")
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    file_make("f");
    struct stat before = settled("f");
    OK(utimensat(AT_FDCWD, "f", times, 0));
    SAME(times_changed("f", &before), 0);
}

RULE(nanoseconds_out_of_range_are_invalid, "utimensat(2) EINVAL")
{
    file_make("f");
    FAILS(EINVAL, set_times("f", 0, 0, 1000000000));
    FAILS(EINVAL, set_times("f", 0, 0, -1));
}

RULE(utimensat_can_set_the_times_of_a_link_itself, "utimensat(2) AT_SYMLINK_NOFOLLOW")
{
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    file_make("f");
    OK(symlink("f", "l"));
    struct stat before = settled("f");
    OK(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW));
    SAME(stat_of("l").st_mtim.tv_sec, 2000);
    SAME(times_changed("f", &before), 0);
}

RULE(times_of_directories_can_be_set, "utimensat(2)")
{
    dir_make("d", 0755);
    OK(set_times("d", 1000, 2000, 0));
    SAME(stat_of("d").st_mtim.tv_sec, 2000);
    file_make("d/f");
    HOLDS(stat_of("d").st_mtim.tv_sec > 2000);
}

RULE(only_the_owner_sets_other_times_than_now, "utimensat(2) EPERM")
{
    file_make("f");
    OK(chmod("f", 0666));
    become(USER, USER, 0);
    FAILS(EPERM, set_times("f", 1000, 2000, 0));
}

RULE(whoever_may_write_a_file_sets_its_times_to_now, "utimensat(2)")
{
    file_make("f");
    OK(chmod("f", 0666));
    become(USER, USER, 0);
    OK(utimensat(AT_FDCWD, "f", NULL, 0));
}

RULE(who_may_not_write_a_file_cannot_set_its_times_to_now, "utimensat(2) EACCES")
{
    file_make("f");
    become(USER, USER, 0);
    FAILS(EACCES, utimensat(AT_FDCWD, "f", NULL, 0));
}

RULE(the_owner_sets_times_of_a_file_he_cannot_write, "utimensat(2)")
{
    rule_as_root("it gives files away, which root may");
    file_make("f");
    OK(chown("f", USER, USER));
    OK(chmod("f", 0444));
    become(USER, USER, 0);
    OK(set_times("f", 1000, 2000, 0));
    SAME(stat_of("f").st_mtim.tv_sec, 2000);
}

RULE(set_times_stay_when_the_file_is_closed_after_writing, "utimensat(2), close(2)")
{
    int fd = file_open("f");
    SAME(write(fd, "text", 4), 4);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    OK(futimens(fd, times));
    OK(close(fd));
    SAME(stat_of("f").st_mtim.tv_sec, 2000);
    OK(close((int)OK(open("f", O_RDONLY))));
    SAME(stat_of("f").st_mtim.tv_sec, 2000);
}

RULE(set_times_stay_when_the_file_is_renamed_and_linked, "utimensat(2), rename(2)")
{
    file_put("f", "text");
    OK(set_times("f", 1000, 2000, 7));
    OK(rename("f", "g"));
    OK(link("g", "h"));
    OK(unlink("g"));
    SAME(stat_of("h").st_mtim.tv_sec, 2000);
    SAME(stat_of("h").st_mtim.tv_nsec, 7);
}

RULE(birth_time_is_given_and_never_changes, "statx(2) STATX_BTIME")
{
    struct statx born;
    struct statx later;
    file_put("f", "text");
    OK(statx(AT_FDCWD, "f", 0, STATX_BTIME, &born));
    if ((born.stx_mask & STATX_BTIME) == 0) {
        rule_skip("no time of birth is told here");
    }
    settled("f");
    file_put("f", "more");
    OK(chmod("f", 0600));
    OK(rename("f", "g"));
    OK(statx(AT_FDCWD, "g", 0, STATX_BTIME, &later));
    SAME(later.stx_btime.tv_sec, born.stx_btime.tv_sec);
    SAME(later.stx_btime.tv_nsec, born.stx_btime.tv_nsec);
}
