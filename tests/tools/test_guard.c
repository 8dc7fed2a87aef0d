/* SPDX-License-Identifier: Apache-2.0 */
/* What the guard of a mount does for a daemon that others have taken over: asked for anything, in
 * any order. Each test mounts, which takes root; elsewhere they look at nothing. */
#include "tests/lib/check_main.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fs/fuse/guard.h"
#include "tests/lib/temp_dir.h"

static struct temp_dir dir;
static char mountpoint[512];
static struct kvfs_guard *guard;
static bool may_mount;

/* In a mount name space of its own, where all is gone with the process. */
static void setup(void)
{
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    temp_dir_make(&dir);
    temp_dir_name(&dir, "mnt", mountpoint);
    ck_assert_int_eq(mkdir(mountpoint, 0700), 0);
    may_mount = device >= 0 && unshare(CLONE_NEWNS) == 0 &&
                mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    if (device >= 0) {
        close(device);
    }
    ck_ok(kvfs_guard_start(mountpoint, &guard));
}

static void teardown(void)
{
    kvfs_guard_end(guard);
    while (umount2(mountpoint, MNT_DETACH) == 0) {
    }
    temp_dir_remove(&dir);
}

/* How many mounts there are on it. */
static int mount_count(void)
{
    FILE *table = fopen("/proc/self/mounts", "re");
    char line[2048];
    int count = 0;
    ck_assert_ptr_nonnull(table);
    while (fgets(line, sizeof line, table) != NULL) {
        count += strstr(line, mountpoint) != NULL;
    }
    fclose(table);
    return count;
}

static int mount_other(void)
{
    return mount("none", mountpoint, "tmpfs", 0, NULL);
}

START_TEST(it_mounts_once_and_with_the_first_options)
{
    int device = -1;
    int other = -1;
    if (!may_mount) {
        return;
    }
    ck_fails(guard_mount(guard, &device), EPERM);
    ck_ok(guard_options(guard, "subtype=kvfs,fsname=test,nosuid"));
    ck_fails(guard_options(guard, "subtype=kvfs,fsname=test,suid,dev,allow_other"), EPERM);
    ck_ok(guard_mount(guard, &device));
    ck_fails(guard_mount(guard, &other), EPERM);
    ck_assert_int_eq(mount_count(), 1);
    close(device);
    ck_ok(guard_unmount(guard, true));
    ck_fails(guard_mount(guard, &other), EPERM);
    ck_assert_int_eq(mount_count(), 0);
}
END_TEST

START_TEST(what_was_mounted_before_stays)
{
    int device = -1;
    if (!may_mount) {
        return;
    }
    ck_ok(mount_other());
    ck_fails(guard_unmount(guard, true), EINVAL);
    ck_fails(guard_sync(guard), EINVAL);
    ck_ok(guard_options(guard, "subtype=kvfs,fsname=test"));
    ck_ok(guard_mount(guard, &device));
    ck_assert_int_eq(mount_count(), 2);
    close(device);
    ck_ok(guard_unmount(guard, true));
    ck_fails(guard_unmount(guard, true), EINVAL);
    ck_fails(guard_unmount(guard, false), EINVAL);
    ck_assert_int_eq(mount_count(), 1);
}
END_TEST

START_TEST(what_is_mounted_on_it_stays)
{
    int device = -1;
    if (!may_mount) {
        return;
    }
    ck_ok(guard_options(guard, "subtype=kvfs,fsname=test"));
    ck_ok(guard_mount(guard, &device));
    ck_ok(mount_other());
    ck_fails(guard_unmount(guard, false), EBUSY);
    ck_fails(guard_unmount(guard, true), EBUSY);
    ck_fails(guard_sync(guard), EBUSY);
    ck_assert_int_eq(mount_count(), 2);
    ck_ok(umount(mountpoint));
    close(device);
    ck_ok(guard_unmount(guard, true));
    /* And what is there when ours is gone. */
    ck_ok(mount_other());
    ck_fails(guard_unmount(guard, true), EINVAL);
    ck_assert_int_eq(mount_count(), 1);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("guard");
    TCase *tcase = tcase_create("guard");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_mounts_once_and_with_the_first_options);
    tcase_add_test(tcase, what_was_mounted_before_stays);
    tcase_add_test(tcase, what_is_mounted_on_it_stays);
    suite_add_tcase(suite, tcase);
    return suite;
}
