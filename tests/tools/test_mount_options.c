/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <string.h>

#include "tools/mount_options.h"

static void parses(struct mount_options *options, const char *list)
{
    char fault[256] = "";
    int r = mount_options_parse(options, list, fault, sizeof fault);
    ck_assert_msg(r == 0, "%s: %s", list, fault);
}

static void refuses(const char *list, const char *named)
{
    struct mount_options options;
    char fault[256] = "";
    mount_options_init(&options, true);
    ck_fails(mount_options_parse(&options, list, fault, sizeof fault), EINVAL);
    ck_assert_msg(strstr(fault, named) != NULL, "%s: '%s' does not name '%s'", list, fault, named);
    mount_options_finish(&options);
}

START_TEST(root_shares_its_mounts_and_others_do_not)
{
    struct mount_options options;
    mount_options_init(&options, true);
    ck_assert(options.allow_other);
    ck_assert_str_eq(options.kernel, "nosuid,nodev");
    mount_options_init(&options, false);
    ck_assert(!options.allow_other);
    parses(&options, "allow_other");
    ck_assert(options.allow_other);
    parses(&options, "noallow_other");
    ck_assert(!options.allow_other);
}
END_TEST

START_TEST(each_option_reaches_its_field)
{
    struct mount_options options;
    mount_options_init(&options, false);
    parses(&options,
           "memory=64M,threads=3,sync_interval=250,ro,writeback,warm,log=/var/log/k\\,v,uring=off,"
           "index=user.a\\,b,id=kvfs,timeout=30,idle_poll=on");
    ck_assert_uint_eq(options.memory_bytes, 64 << 20);
    ck_assert_uint_eq(options.threads, 3);
    ck_assert_uint_eq(options.sync_interval_ms, 250);
    ck_assert(options.read_only);
    ck_assert(options.writeback);
    ck_assert(options.warm);
    ck_assert_str_eq(options.log, "/var/log/k,v");
    ck_assert_str_eq(options.client, "kvfs");
    ck_assert_uint_eq(options.timeout_s, 30);
    ck_assert_int_eq(options.uring, MOUNT_OFF);
    ck_assert_int_eq(options.idle_poll, MOUNT_ON);
    parses(&options, "rw,log=syslog,uring=on,idle_poll=off");
    ck_assert(!options.read_only);
    ck_assert_int_eq(options.uring, MOUNT_ON);
    ck_assert_int_eq(options.idle_poll, MOUNT_OFF);
    ck_assert_str_eq(options.index, "user.a,b");
    parses(&options, "uring=auto,index=");
    ck_assert_str_eq(options.index, "");
    ck_assert_int_eq(options.uring, MOUNT_AUTO);
    ck_assert_str_eq(options.log, "syslog");
    mount_options_finish(&options);
}
END_TEST

START_TEST(what_is_for_others_is_dropped_and_what_is_for_the_kernel_passed_on)
{
    struct mount_options options;
    mount_options_init(&options, true);
    parses(&options, "defaults,auto,user,users,nofail,_netdev,x-systemd.automount,x-gvfs-name=a,"
                     "comment=b,,noatime,suid,dev,noexec");
    ck_assert_str_eq(options.kernel, "nosuid,nodev,noatime,suid,dev,noexec");
}
END_TEST

START_TEST(unknown_and_malformed_options_are_refused_by_name)
{
    refuses("ro,frobnicate", "'frobnicate'");
    refuses("memmory=1G", "'memory'");
    refuses("nodeev", "'nodev'");
    refuses("memory=1M", "memory=1M");
    refuses("memory", "memory");
    refuses("threads=0", "threads=0");
    refuses("threads=many", "threads=many");
    refuses("uring=yes", "auto, on or off");
    refuses("idle_poll", "auto, on or off");
    refuses("log=", "log=");
    refuses("id=", "id=");
    refuses("id=a --keyring=b", "id=a --keyring=b");
    refuses("timeout=0", "timeout=0");
    refuses("timeout=86401", "timeout=86401");
    refuses("ro=1", "'ro'");
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("mount_options");
    suite_add(suite, "root_shares_its_mounts_and_others_do_not",
              root_shares_its_mounts_and_others_do_not);
    suite_add(suite, "each_option_reaches_its_field", each_option_reaches_its_field);
    suite_add(suite, "what_is_for_others_is_dropped_and_what_is_for_the_kernel_passed_on",
              what_is_for_others_is_dropped_and_what_is_for_the_kernel_passed_on);
    suite_add(suite, "unknown_and_malformed_options_are_refused_by_name",
              unknown_and_malformed_options_are_refused_by_name);
    return suite;
}
