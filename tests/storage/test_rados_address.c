/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include "kvcore/storage/rados_address.h"

START_TEST(an_address_of_one_client_is_taken)
{
    static const char *const good[] = {"127.0.0.1:0/810532774",      "192.0.2.7:6800/1",
                                       "[2001:db8::7]:0/4294967295", "[::ffff:192.0.2.7]:0/7",
                                       "v1:192.0.2.7:0/810532774",   "v2:[2001:db8::7]:0/810532774",
                                       "any:192.0.2.7:0/810532774"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(rados_address_is_client(good[i]), "%s", good[i]);
    }
}
END_TEST

START_TEST(what_means_more_than_one_client_or_nothing_is_refused)
{
    static const char *const bad[] = {"",
                                      "127.0.0.1",
                                      "127.0.0.1:0",
                                      "127.0.0.1:0/",
                                      "127.0.0.1:0/0",
                                      "127.0.0.1:0/00",
                                      "127.0.0.1:0/4294967296",
                                      "127.0.0.1:0/99999999999999999999",
                                      "127.0.0.1:0/-1",
                                      "127.0.0.1:0/1 ",
                                      " 127.0.0.1:0/1",
                                      "127.0.0.1/24",
                                      "127.0.0.0:0/24,x",
                                      "[2001:db8::]/32",
                                      "[2001:db8::7:0/1",
                                      "2001:db8::7:0/1",
                                      "[]:0/1",
                                      "host:0/1",
                                      "v3:127.0.0.1:0/1",
                                      "[v2:127.0.0.1:0/1,v1:127.0.0.1:0/1]",
                                      "127.0.0.1:0/1\", \"range\": \"range"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!rados_address_is_client(bad[i]), "%s", bad[i]);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("rados_address");
    suite_add(s, "good", an_address_of_one_client_is_taken);
    suite_add(s, "bad", what_means_more_than_one_client_or_nothing_is_refused);
    return s;
}
