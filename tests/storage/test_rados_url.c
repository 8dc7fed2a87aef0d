/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/check_main.h"

#include <string.h>

#include "kvcore/storage/rados_url.h"

START_TEST(a_url_is_a_pool_and_a_name)
{
    struct rados_url url;

    ck_ok(rados_url_parse("rados://kvfs/home", &url));
    ck_assert_str_eq(url.pool, "kvfs");
    ck_assert_str_eq(url.name, "home");
    ck_ok(rados_url_parse("rados://my.Pool_2/a-b.C_9", &url));
    ck_assert_str_eq(url.pool, "my.Pool_2");
    ck_assert_str_eq(url.name, "a-b.C_9");
}
END_TEST

START_TEST(a_name_has_64_bytes_at_most)
{
    struct rados_url url;
    char text[256] = "rados://p/";

    memset(text + 10, 'n', 64);
    ck_ok(rados_url_parse(text, &url));
    ck_assert_uint_eq(strlen(url.name), 64);
    text[74] = 'n';
    ck_fails(rados_url_parse(text, &url), EINVAL);
    memset(text + 8, 'p', 65);
    memcpy(text + 73, "/n", 3);
    ck_fails(rados_url_parse(text, &url), EINVAL);
}
END_TEST

START_TEST(what_is_no_url_is_refused_and_told_from_a_path)
{
    static const char *const wrong[] = {
        "rados://",      "rados://pool",   "rados://pool/",   "rados:///name",
        "rados://p/a/b", "rados://p/a/",   "rados://.p/name", "rados://p/-name",
        "rados://p/a b", "rados://p/../x", "rados://p/n\n",   "rados://p@h/name",
    };
    struct rados_url url;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_msg(rados_url_parse(wrong[i], &url) == -EINVAL, "%s", wrong[i]);
        ck_assert_msg(rados_url_begins(wrong[i]), "%s", wrong[i]);
    }
    ck_fails(rados_url_parse("/srv/store", &url), EINVAL);
    ck_assert(!rados_url_begins("/srv/store"));
    ck_assert(!rados_url_begins("rados:/pool/name"));
    ck_assert(!rados_url_begins(""));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("rados_url");
    suite_add(s, "url", a_url_is_a_pool_and_a_name);
    suite_add(s, "url", a_name_has_64_bytes_at_most);
    suite_add(s, "url", what_is_no_url_is_refused_and_told_from_a_path);
    return s;
}
