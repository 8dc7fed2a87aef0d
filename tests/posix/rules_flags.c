/* SPDX-License-Identifier: Apache-2.0 */
/* The flags of chattr(1). */
#include "tests/posix/rule.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

RULE(changing_the_flags_of_a_file_changes_ctime_only, "ioctl_iflags(2), inode(7)")
{
    int flags = 0;
    int fd = file_open("f");
    struct stat before = settled("f");
    OK(ioctl(fd, FS_IOC_GETFLAGS, &flags));
    SAME(times_changed("f", &before), 0);
    flags |= FS_NODUMP_FL;
    OK(ioctl(fd, FS_IOC_SETFLAGS, &flags));
    SAME(times_changed("f", &before), T_CTIME);
}

RULE(an_immutable_file_keeps_its_other_flags, "ioctl_iflags(2)")
{
    int fd = file_open("f");
    int flags = 0;
    rule_as_root("it forbids changes of a file, which root may");
    OK(ioctl(fd, FS_IOC_GETFLAGS, &flags));
    int immutable = flags | FS_IMMUTABLE_FL;
    int more = immutable | FS_NODUMP_FL;
    OK(ioctl(fd, FS_IOC_SETFLAGS, &immutable));
    FAILS(EPERM, ioctl(fd, FS_IOC_SETFLAGS, &more));
    OK(ioctl(fd, FS_IOC_SETFLAGS, &immutable));
    more &= ~FS_IMMUTABLE_FL;
    OK(ioctl(fd, FS_IOC_SETFLAGS, &more));
    OK(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

RULE(times_of_a_file_that_may_only_grow_are_set_to_now_together, "utimensat(2) EPERM")
{
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    const struct timespec half[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    const struct timespec set[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    int fd = file_open("f");
    int flags = 0;
    rule_as_root("it forbids changes of a file, which root may");
    OK(ioctl(fd, FS_IOC_GETFLAGS, &flags));
    int append = flags | FS_APPEND_FL;
    OK(ioctl(fd, FS_IOC_SETFLAGS, &append));
    OK(utimensat(AT_FDCWD, "f", now, 0));
    FAILS(EPERM, utimensat(AT_FDCWD, "f", half, 0));
    FAILS(EPERM, utimensat(AT_FDCWD, "f", set, 0));
    OK(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}
