/* SPDX-License-Identifier: Apache-2.0 */
/* statx(2), above all the time of birth. */
#include "tests/posix/rule.h"

#include <sys/sysmacros.h>
#include <time.h>

static struct statx statx_of(const char *name)
{
    struct statx stx;
    OK(statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &stx));
    SAME(stx.stx_mask & STATX_BTIME, STATX_BTIME);
    return stx;
}

static bool same_time(struct statx_timestamp a, struct statx_timestamp b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* It was born when it was made, in between of two readings of the clock that files use. */
static void expect_born_now(const char *name, int (*make)(const char *name))
{
    struct timespec before;
    struct timespec after;
    OK(clock_gettime(CLOCK_REALTIME_COARSE, &before));
    OK(make(name));
    OK(clock_gettime(CLOCK_REALTIME, &after));
    struct statx stx = statx_of(name);
    long long born = stx.stx_btime.tv_sec * 1000000000LL + stx.stx_btime.tv_nsec;
    HOLDS(born >= before.tv_sec * 1000000000LL + before.tv_nsec);
    HOLDS(born <= after.tv_sec * 1000000000LL + after.tv_nsec);
}

static int make_file(const char *name)
{
    return close(open(name, O_WRONLY | O_CREAT, 0644));
}

static int make_dir(const char *name)
{
    return mkdir(name, 0755);
}

static int make_link(const char *name)
{
    return symlink("target", name);
}

static int make_fifo(const char *name)
{
    return mkfifo(name, 0644);
}

/* The birth time stays whatever is done. */
static void expect_birth_kept(const struct statx *before)
{
    settled("f");
    HOLDS(same_time(statx_of("f").stx_btime, before->stx_btime));
}

RULE(a_file_is_born_when_it_is_made, "statx(2) stx_btime")
{
    expect_born_now("f", make_file);
}

RULE(a_directory_is_born_when_it_is_made, "statx(2) stx_btime")
{
    expect_born_now("d", make_dir);
}

RULE(a_symbolic_link_is_born_when_it_is_made, "statx(2) stx_btime")
{
    expect_born_now("l", make_link);
}

RULE(a_fifo_is_born_when_it_is_made, "statx(2) stx_btime")
{
    expect_born_now("p", make_fifo);
}

RULE(writing_keeps_the_time_of_birth, "statx(2) stx_btime")
{
    file_make("f");
    struct statx before = statx_of("f");
    settled("f");
    file_put("f", "text");
    expect_birth_kept(&before);
    HOLDS(!same_time(statx_of("f").stx_mtime, before.stx_mtime));
}

RULE(setting_times_keeps_the_time_of_birth, "statx(2) stx_btime")
{
    struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    file_make("f");
    struct statx before = statx_of("f");
    OK(utimensat(AT_FDCWD, "f", old, 0));
    expect_birth_kept(&before);
    SAME(statx_of("f").stx_mtime.tv_sec, 1);
}

RULE(changing_mode_and_owner_keeps_the_time_of_birth, "statx(2) stx_btime")
{
    rule_as_root("it gives files away, which root may");
    file_make("f");
    struct statx before = statx_of("f");
    settled("f");
    OK(chmod("f", 0600));
    OK(chown("f", USER, TEAM));
    expect_birth_kept(&before);
}

RULE(linking_and_renaming_keep_the_time_of_birth, "statx(2) stx_btime")
{
    file_make("f");
    struct statx before = statx_of("f");
    settled("f");
    OK(link("f", "g"));
    OK(rename("f", "h"));
    OK(rename("h", "f"));
    OK(unlink("g"));
    expect_birth_kept(&before);
}

RULE(a_name_made_again_is_born_anew, "statx(2) stx_btime")
{
    file_make("f");
    struct statx before = statx_of("f");
    settled("f");
    OK(unlink("f"));
    file_make("f");
    HOLDS(!same_time(statx_of("f").stx_btime, before.stx_btime));
}

RULE(statx_tells_what_stat_tells, "statx(2)")
{
    rule_as_root("it gives files away, which root may");
    file_put("f", "text");
    OK(chown("f", USER, TEAM));
    struct statx stx = statx_of("f");
    struct stat st = stat_of("f");
    SAME(stx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    SAME(stx.stx_ino, st.st_ino);
    SAME(stx.stx_mode, st.st_mode);
    SAME(stx.stx_nlink, st.st_nlink);
    SAME(stx.stx_uid, USER);
    SAME(stx.stx_gid, TEAM);
    SAME(stx.stx_size, 4);
    SAME(stx.stx_blocks, st.st_blocks);
    SAME(stx.stx_blksize, st.st_blksize);
    SAME(stx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
    SAME(stx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
    SAME(makedev(stx.stx_dev_major, stx.stx_dev_minor), st.st_dev);
}

RULE(statx_tells_the_number_of_a_device, "statx(2) stx_rdev_major")
{
    rule_as_root("it makes devices, which root may");
    OK(mknod("n", S_IFCHR | 0644, makedev(1, 3)));
    struct statx stx = statx_of("n");
    SAME(stx.stx_rdev_major, 1);
    SAME(stx.stx_rdev_minor, 3);
}

RULE(statx_of_a_descriptor_tells_of_an_unlinked_file, "statx(2) AT_EMPTY_PATH")
{
    struct statx stx;
    int fd = file_open("f");
    struct statx before = statx_of("f");
    OK(unlink("f"));
    OK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stx));
    SAME(stx.stx_nlink, 0);
    HOLDS(same_time(stx.stx_btime, before.stx_btime));
}

RULE(statx_does_not_follow_when_told_so, "statx(2) AT_SYMLINK_NOFOLLOW")
{
    struct statx stx;
    file_make("f");
    OK(symlink("f", "l"));
    HOLDS(S_ISLNK(statx_of("l").stx_mode));
    OK(statx(AT_FDCWD, "l", 0, STATX_BTIME | STATX_BASIC_STATS, &stx));
    HOLDS(S_ISREG(stx.stx_mode));
}

RULE(statx_sees_a_write_at_once, "statx(2)")
{
    file_put("f", "a");
    statx_of("f");
    file_put("f", "longer");
    SAME(statx_of("f").stx_size, 6);
    OK(truncate("f", 2));
    SAME(statx_of("f").stx_size, 2);
}

RULE(statx_of_a_missing_name_fails, "statx(2) ENOENT")
{
    struct statx stx;
    file_make("f");
    FAILS(ENOENT, statx(AT_FDCWD, "none", 0, STATX_BTIME, &stx));
    FAILS(ENOTDIR, statx(AT_FDCWD, "f/g", 0, STATX_BTIME, &stx));
}

RULE(statx_needs_search_permission_only, "statx(2) EACCES")
{
    struct statx stx;
    dir_make("open", 0711);
    dir_make("shut", 0700);
    file_make("open/f");
    OK(chmod("open/f", 0));
    file_make("shut/f");
    become(USER, USER, 0);
    OK(statx(AT_FDCWD, "open/f", 0, STATX_BTIME, &stx));
    FAILS(EACCES, statx(AT_FDCWD, "shut/f", 0, STATX_BTIME, &stx));
}
