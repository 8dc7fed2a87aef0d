/* SPDX-License-Identifier: Apache-2.0 */
/* Which user of a cluster CEPH_ARGS names. */
#include <stdio.h>
#include <string.h>

#include "kvcore/storage/rados_client.h"
#include "tests/lib/check_main.h"

static void finds(const char *arguments, const char *wanted)
{
    char name[RADOS_CLIENT_MAX + 1];
    ck_ok(rados_client_find(arguments, name));
    ck_assert_str_eq(name, wanted);
}

static void refuses(const char *arguments)
{
    char name[RADOS_CLIENT_MAX + 1] = "untouched";
    ck_fails(rados_client_find(arguments, name), EINVAL);
    ck_assert_str_eq(name, "untouched");
}

START_TEST(without_a_name_it_is_admin)
{
    finds(NULL, "admin");
    finds("", "admin");
    finds("  --mon-host=127.0.0.1:1 --keyring /k\n", "admin");
    finds("--idle 3 --names x -na", "admin");
}
END_TEST

START_TEST(each_way_to_name_it_is_known_and_the_last_one_counts)
{
    finds("--id kvfs", "kvfs");
    finds("--id=kvfs", "kvfs");
    finds("\t--user  kvfs ", "kvfs");
    finds("--user=kvfs", "kvfs");
    finds("-n client.kvfs", "kvfs");
    finds("--name client.kvfs --debug-ms 0", "kvfs");
    finds("--name=client.kvfs", "kvfs");
    finds("--id one --mon-host x --id two", "two");
    finds("--id client.odd", "client.odd");
}
END_TEST

START_TEST(what_is_no_name_of_a_client_is_refused)
{
    char text[RADOS_CLIENT_MAX + 20];

    refuses("--id");
    refuses("--id=");
    refuses("-n kvfs");
    refuses("--name osd.1");
    refuses("--name client.");
    snprintf(text, sizeof text, "--id %0*d", RADOS_CLIENT_MAX, 0);
    finds(text, text + 5);
    snprintf(text, sizeof text, "--id %0*d", RADOS_CLIENT_MAX + 1, 0);
    refuses(text);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("rados_client");
    suite_add(s, "client", without_a_name_it_is_admin);
    suite_add(s, "client", each_way_to_name_it_is_known_and_the_last_one_counts);
    suite_add(s, "client", what_is_no_name_of_a_client_is_refused);
    return s;
}
