/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a store by its name, as far as that needs no cluster. */
#include <stdlib.h>
#include <unistd.h>

#include <kv/storage.h>

#include "tests/lib/check_main.h"

START_TEST(a_path_is_a_directory)
{
    char directory[] = "/tmp/kv-named-XXXXXX";
    struct kv_storage *storage = NULL;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(kv_storage_is_url(directory), 0);
    ck_assert_int_eq(kv_storage_is_url("rados:/pool/name"), 0);
    ck_ok(kv_storage_open(directory, NULL, &storage));
    ck_assert_str_eq(storage->ops->name(storage), directory);
    storage->ops->close(storage);
    ck_assert_int_eq(rmdir(directory), 0);
    ck_fails(kv_storage_open(directory, NULL, &storage), ENOENT);
    ck_ok(kv_storage_open(directory, &(struct kv_storage_options){.create = true}, &storage));
    storage->ops->close(storage);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(a_url_of_a_wrong_form_is_told_before_anything_is_loaded)
{
    struct kv_storage *storage = NULL;

    ck_assert_int_eq(kv_storage_is_url("rados://pool/name"), 1);
    ck_fails(kv_storage_is_url("rados://pool"), EINVAL);
    ck_fails(kv_storage_open("rados://pool", NULL, &storage), EINVAL);
    ck_fails(kv_storage_open("rados://pool/name/", NULL, &storage), EINVAL);
    ck_assert_int_eq(setenv("CEPH_ARGS", "--name osd.1", 1), 0);
    ck_fails(kv_storage_open("rados://pool/name", NULL, &storage), EINVAL);
    ck_assert_int_eq(unsetenv("CEPH_ARGS"), 0); /* the next test may be in this process */
    ck_assert_ptr_null(storage);
}
END_TEST

/* This program has no run path that leads to the module. */
START_TEST(without_the_module_a_url_is_refused)
{
    struct kv_storage *storage = NULL;
    ck_fails(kv_storage_open("rados://pool/name", NULL, &storage), ENOPKG);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("storage_named");
    suite_add(s, "name", a_path_is_a_directory);
    suite_add(s, "name", a_url_of_a_wrong_form_is_told_before_anything_is_loaded);
    suite_add(s, "name", without_the_module_a_url_is_refused);
    return s;
}
