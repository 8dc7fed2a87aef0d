/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of contents and owner take privileges from a program: setuid, setgid, capabilities. */
#include "tests/posix/rule.h"

#include <sys/mman.h>
#include <sys/xattr.h>

enum { SIZE = 2 * PAGE };

/* A program of USER that everybody may write. */
static void make_program(unsigned mode)
{
    int fd = file_open("f");
    rule_as_root("it gives files away, which root may");
    file_fill(fd, 'p', SIZE);
    OK(close(fd));
    OK(chown("f", USER, TEAM));
    OK(chmod("f", mode));
    SAME(mode_of("f"), mode);
}

static int open_as_other(int flags)
{
    become(OTHER, OTHER, 0);
    return (int)OK(open("f", flags));
}

static void make_capable(void)
{
    static const unsigned char capability[20] = {0, 0, 0, 2, 0, 0x20};
    rule_as_root("it sets attributes that only root may");
    file_put("f", "text");
    OK(chmod("f", 0777));
    OK(setxattr("f", "security.capability", capability, sizeof capability, 0));
}

static bool is_capable(void)
{
    char value[32];
    return getxattr("f", "security.capability", value, sizeof value) > 0;
}

RULE(pwrite_clears_setuid, "write(2)")
{
    make_program(04777);
    SAME(pwrite(open_as_other(O_WRONLY), "x", 1, PAGE), 1);
    SAME(mode_of("f"), 0777);
}

RULE(appending_clears_setuid, "write(2)")
{
    make_program(04777);
    SAME(write(open_as_other(O_WRONLY | O_APPEND), "x", 1), 1);
    SAME(mode_of("f"), 0777);
}

RULE(writing_clears_setgid_where_the_group_executes, "write(2)")
{
    make_program(02777);
    SAME(write(open_as_other(O_WRONLY), "x", 1), 1);
    SAME(mode_of("f"), 0777);
}

RULE(a_second_write_after_a_new_setuid_clears_it_again, "write(2)")
{
    make_program(04777);
    int fd = open_as_other(O_WRONLY);
    SAME(write(fd, "x", 1), 1);
    become_root();
    OK(chmod("f", 04777));
    become(OTHER, OTHER, 0);
    SAME(write(fd, "x", 1), 1);
    SAME(mode_of("f"), 0777);
}

RULE(a_synchronous_write_clears_setuid, "write(2) O_SYNC")
{
    make_program(04777);
    SAME(write(open_as_other(O_WRONLY | O_SYNC), "x", 1), 1);
    SAME(mode_of("f"), 0777);
}

RULE(ftruncate_clears_setuid, "ftruncate(2)")
{
    make_program(06777);
    OK(ftruncate(open_as_other(O_WRONLY), 10));
    SAME(mode_of("f"), 0777);
}

RULE(extending_by_ftruncate_clears_setuid, "ftruncate(2)")
{
    make_program(06777);
    OK(ftruncate(open_as_other(O_WRONLY), SIZE + PAGE));
    SAME(mode_of("f"), 0777);
}

RULE(creat_of_an_existing_file_clears_setuid, "creat(2)")
{
    make_program(06777);
    become(OTHER, OTHER, 0);
    OK(creat("f", 0666));
    SAME(mode_of("f"), 0777);
}

RULE(punching_clears_setuid, "fallocate(2)")
{
    make_program(06777);
    OK(fallocate(open_as_other(O_WRONLY), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
    SAME(mode_of("f"), 0777);
}

RULE(zeroing_clears_setuid, "fallocate(2)")
{
    make_program(06777);
    OK(fallocate(open_as_other(O_WRONLY), FALLOC_FL_ZERO_RANGE, 0, PAGE));
    SAME(mode_of("f"), 0777);
}

RULE(opening_for_writing_alone_leaves_setuid, "open(2)")
{
    make_program(06777);
    open_as_other(O_WRONLY);
    SAME(mode_of("f"), 06777);
}

RULE(a_write_of_nothing_leaves_setuid, "write(2)")
{
    make_program(06777);
    SAME(write(open_as_other(O_WRONLY), "", 0), 0);
    SAME(mode_of("f"), 06777);
}

RULE(a_refused_change_leaves_setuid, "truncate(2) EACCES")
{
    make_program(06755);
    become(OTHER, OTHER, 0);
    FAILS(EACCES, truncate("f", 0));
    FAILS(EACCES, open("f", O_WRONLY | O_TRUNC));
    SAME(mode_of("f"), 06755);
}

RULE(changing_only_the_group_clears_setuid, "chown(2)")
{
    make_program(06777);
    OK(chown("f", (uid_t)-1, OTHER));
    SAME(mode_of("f"), 0777);
}

RULE(setting_times_and_attributes_leaves_setuid, "utimensat(2), setxattr(2)")
{
    make_program(06777);
    OK(utimensat(AT_FDCWD, "f", NULL, 0));
    OK(setxattr("f", "user.a", "1", 1, 0));
    SAME(mode_of("f"), 06777);
}

RULE(renaming_and_linking_leave_setuid_as_it_is, "rename(2)")
{
    make_program(06777);
    OK(rename("f", "g"));
    OK(link("g", "f"));
    SAME(mode_of("f"), 06777);
}

RULE(truncate_by_root_leaves_setuid, "truncate(2), capabilities(7) CAP_FSETID")
{
    make_program(06777);
    OK(truncate("f", 1));
    SAME(mode_of("f"), 06777);
}

RULE(o_trunc_by_root_leaves_setuid, "open(2), capabilities(7) CAP_FSETID")
{
    make_program(06777);
    OK(open("f", O_WRONLY | O_TRUNC));
    SAME(mode_of("f"), 06777);
}

RULE(sticky_survives_a_write, "inode(7)")
{
    make_program(07777);
    SAME(write(open_as_other(O_WRONLY), "x", 1), 1);
    SAME(mode_of("f"), 01777);
}

RULE(a_capability_is_cleared_by_truncate, "capabilities(7)")
{
    make_capable();
    OK(truncate("f", 1));
    HOLDS(!is_capable());
}

RULE(a_capability_is_cleared_by_o_trunc, "capabilities(7)")
{
    make_capable();
    OK(open("f", O_WRONLY | O_TRUNC));
    HOLDS(!is_capable());
}

RULE(a_capability_is_cleared_by_o_trunc_of_another_user, "capabilities(7)")
{
    make_capable();
    open_as_other(O_WRONLY | O_TRUNC);
    HOLDS(!is_capable());
}

RULE(a_capability_is_cleared_by_fallocate, "capabilities(7)")
{
    make_capable();
    OK(fallocate((int)OK(open("f", O_WRONLY)), 0, 0, SIZE));
    HOLDS(!is_capable());
}

RULE(a_capability_is_cleared_by_appending, "capabilities(7)")
{
    make_capable();
    SAME(write((int)OK(open("f", O_WRONLY | O_APPEND)), "x", 1), 1);
    HOLDS(!is_capable());
}

RULE(a_capability_outlives_rename_and_chmod, "capabilities(7)")
{
    make_capable();
    OK(rename("f", "g"));
    OK(chmod("g", 0755));
    OK(rename("g", "f"));
    HOLDS(is_capable());
}
